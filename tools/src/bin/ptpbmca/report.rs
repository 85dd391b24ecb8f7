//! A session at one moment, in the words of people and the keys of scripts.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use ptpbmca::association::{Announced, Refusal, RolePolicy};
use ptpbmca::timeline::{Role, SyncState};
use ptpbmca::wire::MessageType;
use ptpbmca::{ClockOffset, Status};
use serde::Serialize;

/// The messages that are shown: the type, its name in IEEE 1588, its key. Nobody here sends the others.
pub const MESSAGES: [(MessageType, &str, &str); 9] = [
    (MessageType::Announce, "Announce", "announce"),
    (MessageType::Signaling, "Signaling", "signaling"),
    (MessageType::Sync, "Sync", "sync"),
    (MessageType::FollowUp, "Follow_Up", "follow_up"),
    (MessageType::DelayReq, "Delay_Req", "delay_req"),
    (MessageType::DelayResp, "Delay_Resp", "delay_resp"),
    (MessageType::PdelayReq, "Pdelay_Req", "pdelay_req"),
    (MessageType::PdelayResp, "Pdelay_Resp", "pdelay_resp"),
    (MessageType::PdelayRespFollowUp, "Pdelay_Resp_Follow_Up", "pdelay_resp_follow_up"),
];

/// Counts by key.
pub type Counts = BTreeMap<&'static str, u64>;

/// A session at one moment. Clocks are in nanoseconds; identities in hexadecimal; unknown is null.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seconds since the program began.
    pub elapsed_s: f64,
    /// How far the clock is to be believed.
    pub state: &'static str,
    /// The part played.
    pub role: &'static str,
    /// Whether the fields below hold.
    pub synchronized: bool,
    /// The session's local clock.
    pub local_ns: i64,
    /// Receiver timeline minus local clock.
    pub offset_ns: i64,
    /// Bound on the error of the offset.
    pub error_ns: Option<u64>,
    /// One-way mean path delay.
    pub path_delay_ns: Option<u64>,
    /// Receiver clock rate against the local clock.
    pub skew_ppm: f64,
    /// Since the last accepted Sync.
    pub age_ns: Option<u64>,
    /// Counts the re-anchorings.
    pub epoch: u32,
    /// The clock whose timeline this is.
    pub grandmaster_id: Option<String>,
    /// The receiver's own clock.
    pub receiver_clock_id: Option<String>,
    /// Our clock.
    pub local_clock_id: Option<String>,
    /// The port of event messages.
    pub event_port: u16,
    /// The port of general messages.
    pub general_port: u16,
    /// The kernel stamps what arrives.
    pub kernel_receive_stamps: bool,
    /// The kernel stamps what leaves.
    pub kernel_send_stamps: bool,
    /// What the receiver announced last.
    pub announced: Option<DataSet>,
    /// Well-formed messages that came, by type.
    pub received: Counts,
    /// Messages sent, by type.
    pub sent: Counts,
    /// Packets refused, by reason.
    pub refused: Counts,
    /// Packets from addresses of no session.
    pub wrong_source: u64,
    /// Sends that the system refused.
    pub send_errors: u64,
    /// Sync/Follow_Up pairs.
    pub pairs: u64,
    /// Delay_Req of the receiver that were answered.
    pub delay_req_answered: u64,
    /// Delay_Resp used for the path delay.
    pub delay_resp_used: u64,
    /// Steps of the receiver's timeline.
    pub steps: u64,
    /// What was heard, what is missing, what to check.
    pub advice: String,
}

/// What a receiver announces of its clock.
#[derive(Clone, Debug, Serialize)]
pub struct DataSet {
    priority1: u8,
    class: u8,
    accuracy: u8,
    variance: u16,
    priority2: u8,
    steps_removed: u16,
    time_source: u8,
    grandmaster_id: String,
}

impl Report {
    /// The session as it is.
    pub fn new(elapsed_s: f64, local_ns: i64, now: &ClockOffset, status: &Status) -> Self {
        let known = |value: u64| (value != u64::MAX).then_some(value);
        let identity = |id: u64| (id != 0).then(|| format!("{id:016x}"));
        let counters = &status.counters;
        Self {
            // What counts beyond the millisecond is counted in ns.
            elapsed_s: (elapsed_s * 1e3).round() / 1e3,
            state: state_name(now.sync_state),
            role: role_name(now.role),
            synchronized: now.is_synchronized(),
            local_ns,
            offset_ns: now.offset_ns,
            error_ns: known(now.error_ns),
            path_delay_ns: (now.path_delay_ns != 0).then_some(now.path_delay_ns),
            skew_ppm: now.skew_ppm,
            age_ns: known(now.age_ns),
            epoch: now.epoch,
            grandmaster_id: identity(now.grandmaster_id),
            receiver_clock_id: identity(now.receiver_clock_id),
            local_clock_id: identity(now.local_clock_id),
            event_port: status.event_port,
            general_port: status.general_port,
            kernel_receive_stamps: status.kernel_receive_stamps,
            kernel_send_stamps: status.kernel_send_stamps,
            announced: status.announced.as_ref().map(DataSet::from),
            received: MESSAGES.iter().map(|&(kind, _, key)| (key, counters.received(kind))).collect(),
            sent: MESSAGES.iter().map(|&(kind, _, key)| (key, counters.sent(kind))).collect(),
            refused: Refusal::ALL.iter().map(|&why| (refusal_key(why), counters.refused(why))).collect(),
            wrong_source: status.wrong_source,
            send_errors: status.send_errors,
            pairs: counters.pairs,
            delay_req_answered: counters.delay_req_answered,
            delay_resp_used: counters.delay_resp_used,
            steps: counters.steps,
            advice: status.advice.to_string_lossy().into_owned(),
        }
    }

    /// Messages of a type that came.
    pub fn received(&self, key: &str) -> u64 {
        self.received.get(key).copied().unwrap_or(0)
    }

    /// The refused packets, where there are any: "outlier 3, duplicate 2".
    pub fn refusals(&self) -> String {
        let mut reasons: Vec<_> = self.refused.iter().map(|(&why, &count)| (why, count)).collect();
        reasons.push(("wrong source", self.wrong_source));
        reasons.push(("send error", self.send_errors));
        let reasons = reasons.into_iter().filter(|(_, count)| *count > 0);
        reasons
            .map(|(why, count)| format!("{} {count}", why.replace('_', " ")))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl DataSet {
    /// In one line that a small terminal has room for.
    pub fn line(&self) -> String {
        let steps =
            if self.steps_removed == 0 { String::new() } else { format!(", steps {}", self.steps_removed) };
        format!(
            "priority {}/{}, class {}, accuracy 0x{:02x}, variance 0x{:04x}{steps}",
            self.priority1, self.priority2, self.class, self.accuracy, self.variance
        )
    }
}

impl From<&Announced> for DataSet {
    fn from(announced: &Announced) -> Self {
        let set = &announced.dataset;
        Self {
            priority1: set.priority1,
            class: set.quality.class,
            accuracy: set.quality.accuracy,
            variance: set.quality.variance,
            priority2: set.priority2,
            steps_removed: set.steps_removed,
            time_source: announced.time_source,
            grandmaster_id: set.grandmaster.to_string(),
        }
    }
}

/// A state, as the C constants have it.
pub const fn state_name(state: SyncState) -> &'static str {
    match state {
        SyncState::Silent => "SILENT",
        SyncState::Announced => "ANNOUNCED",
        SyncState::Acquiring => "ACQUIRING",
        SyncState::Locked => "LOCKED",
        SyncState::Holdover => "HOLDOVER",
        SyncState::Leading => "LEADING",
    }
}

/// A role, as the C constants have it.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Listening => "LISTENING",
        Role::Following => "FOLLOWING",
        Role::Leading => "LEADING",
    }
}

/// A role policy, as the C constants have it.
pub const fn policy_name(policy: RolePolicy) -> &'static str {
    match policy {
        RolePolicy::Auto => "AUTO",
        RolePolicy::Follow => "FOLLOW",
        RolePolicy::Lead => "LEAD",
    }
}

const fn refusal_key(why: Refusal) -> &'static str {
    match why {
        Refusal::Short => "short",
        Refusal::Version => "version",
        Refusal::Length => "length",
        Refusal::Type => "type",
        Refusal::Tlv => "tlv",
        Refusal::Domain => "domain",
        Refusal::Identity => "identity",
        Refusal::Own => "own",
        Refusal::Unmatched => "unmatched",
        Refusal::Duplicate => "duplicate",
        Refusal::Timestamp => "timestamp",
        Refusal::Loop => "loop",
        Refusal::Unrequested => "unrequested",
        Refusal::Implausible => "implausible",
        Refusal::Outlier => "outlier",
        Refusal::Flood => "flood",
    }
}

/// Nanoseconds as people read them.
pub fn span(ns: u64) -> String {
    match ns {
        0..=999_999 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A locked session.
    pub fn report() -> Report {
        let counts = |counts: &[(&'static str, u64)]| counts.iter().copied().collect::<Counts>();
        let identity = Some("02147f0000020008".to_string());
        Report {
            elapsed_s: 42.0,
            state: "LOCKED",
            role: "FOLLOWING",
            synchronized: true,
            local_ns: 1_795_000_000_000_000_000,
            offset_ns: -1_794_872_323_000_000_000,
            error_ns: Some(24_040),
            path_delay_ns: Some(9_800),
            skew_ppm: 37.365,
            age_ns: Some(12_000_000),
            epoch: 1,
            grandmaster_id: identity.clone(),
            receiver_clock_id: identity,
            local_clock_id: Some("0242ac1100020008".to_string()),
            event_port: 319,
            general_port: 320,
            kernel_receive_stamps: true,
            kernel_send_stamps: false,
            announced: None,
            received: counts(&[("announce", 5), ("sync", 336), ("follow_up", 336), ("delay_resp", 335)]),
            sent: counts(&[("announce", 2), ("sync", 3), ("delay_req", 336)]),
            refused: counts(&[("outlier", 3), ("duplicate", 0)]),
            wrong_source: 0,
            send_errors: 0,
            pairs: 336,
            delay_req_answered: 0,
            delay_resp_used: 335,
            steps: 0,
            advice: "Following the receiver's clock.".to_string(),
        }
    }

    #[test]
    fn only_refusals_that_happened_are_told() {
        assert_eq!(report().refusals(), "outlier 3");
        assert_eq!(Report { wrong_source: 2, ..report() }.refusals(), "outlier 3, wrong source 2");
    }

    #[test]
    fn every_message_type_is_shown_once() {
        let types: std::collections::BTreeSet<_> = MESSAGES.iter().map(|(kind, _, _)| kind.index()).collect();
        assert_eq!(types.len(), MessageType::COUNT);
        let keys: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|&why| refusal_key(why)).collect();
        assert_eq!(keys.len(), Refusal::ALL.len());
    }

    #[test]
    fn spans_have_the_unit_they_are_read_in() {
        assert_eq!(
            [0, 24_040, 999_999, 1_000_000, 2_500_000_000].map(span),
            ["0.0 µs", "24.0 µs", "1000.0 µs", "1.00 ms", "2.50 s"]
        );
    }
}
