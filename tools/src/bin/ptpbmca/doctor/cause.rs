//! What it comes down to: one cause, one sentence.
#![forbid(unsafe_code)]

use ptpbmca::association::RolePolicy;
use ptpbmca::{Config, Error, ErrorKind};
use serde::Serialize;

use super::host::{Host, PortState};
use crate::report::{span, Report};

/// Why a speaker stays silent, or that it need not. The numbers are the exit codes, and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Cause {
    /// The clock is followed, or ours leads and somebody is there.
    Healthy = 0,
    /// No message came.
    NothingThere = 3,
    /// Another program has the ports.
    PortsHeld = 4,
    /// The ports need a privilege.
    Unprivileged = 5,
    /// Announce came, and no Sync.
    AnnounceOnly = 6,
    /// Sync came, and no Follow_Up.
    SyncWithoutFollowUp = 7,
    /// Follow_Up came, and no Sync.
    FollowUpWithoutSync = 8,
    /// No address, or no network.
    NoWay = 9,
    /// Messages came, and no clock to be trusted.
    Untrusted = 10,
}

impl Cause {
    /// What the program ends with.
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

/// The cause where a session could not be had.
pub fn of_host(receiver: &str, host: &Host, config: &Config, error: &Error) -> (Cause, String) {
    let (event, general) = (config.event_port, config.general_port);
    match error.kind {
        ErrorKind::Permission => {
            let start =
                host.unprivileged_port_start.map_or_else(|| "1024".to_string(), |start| start.to_string());
            let sentence = format!(
                "Unprivileged: UDP {event} and {general} need CAP_NET_BIND_SERVICE, as all ports below {start}: run as root, \
                 setcap cap_net_bind_service=+ep the player, set net.ipv4.ip_unprivileged_port_start to {}, or hand \
                 over bound sockets.",
                event.min(general)
            );
            (Cause::Unprivileged, sentence)
        }
        ErrorKind::AddressInUse => {
            let held = host.ports.iter().filter(|port| port.state == PortState::Held);
            let numbers: Vec<_> = held.clone().map(|port| port.number.to_string()).collect();
            let mut holders: Vec<_> =
                held.flat_map(|port| &port.holders).map(super::holders::Holder::words).collect();
            holders.sort();
            holders.dedup();
            let ports =
                if numbers.is_empty() { format!("{event} or {general}") } else { numbers.join(" and ") };
            // One that is bound to an address of its own, as a simulated receiver is, leaves the others free.
            let shares = config.local_address.is_none()
                && !holders.is_empty()
                && host
                    .ports
                    .iter()
                    .flat_map(|port| &port.holders)
                    .all(super::holders::Holder::has_one_address);
            let aside = if shares {
                " Or let it be, and name another address of this host: --local, as 127.0.0.1 beside a simulated \
                 receiver."
            } else {
                ""
            };
            let by = if holders.is_empty() { "another program".to_string() } else { holders.join(" and ") };
            let sentence = format!(
                "Ports held: UDP {ports} of this host is held by {by}: stop it, for only one program of a host can \
                 speak PTP.{aside}"
            );
            (Cause::PortsHeld, sentence)
        }
        _ => (Cause::NoWay, format!("No way to {receiver}: {}", error.message)),
    }
}

/// The cause by what a session brought. `yielded`: at some time the receiver's clock was to be followed.
pub fn of_session(receiver: &str, report: &Report, yielded: bool, config: &Config) -> (Cause, String) {
    let (event, general) = (config.event_port, config.general_port);
    let heard = |key: &str| report.received(key);
    let (announces, syncs, follow_ups) = (heard("announce"), heard("sync"), heard("follow_up"));
    let seconds = report.elapsed_s;
    let anything = report.received.values().sum::<u64>();
    let bound = report.error_ns.map_or_else(|| "an unknown bound".to_string(), span);
    // Having led, a better clock that announced itself and sent no Sync is as silent as before.
    let silent_master =
        syncs == 0 && follow_ups == 0 && announces > 0 && (yielded || report.state != "LEADING");
    if report.state == "LOCKED" {
        let path = match report.path_delay_ns {
            Some(delay) => format!("path delay {}", span(delay)),
            None => "it answers no Delay_Req, so the path delay is unknown".to_string(),
        };
        return (
            Cause::Healthy,
            format!("Healthy: the clock of {receiver} is followed within {bound}; {path}."),
        );
    }
    if anything == 0 && report.refused.values().all(|&count| count == 0) {
        let no_way = report.send_errors > 0;
        if no_way {
            let failed = report.send_errors;
            return (
                Cause::NoWay,
                format!("No way to {receiver}: the system refused {failed} sends, and nothing came."),
            );
        }
        // One receiver may speak from IPv4 and IPv6 (field guide 1.8).
        let strangers = match report.wrong_source {
            0 => String::new(),
            count => format!(
                " {count} PTP packets came from other addresses: if one of them is the receiver's, name both, \
                 separated by a comma."
            ),
        };
        return (
            Cause::NothingThere,
            format!(
                "Nothing there: {receiver} sent no PTP message in {seconds:.1} s: check that it is on, that a running \
                 session set-up names this host as a timing peer, and that a firewall lets UDP {event} and {general} \
                 in.{strangers}"
            ),
        );
    }
    if silent_master && config.role != RolePolicy::Lead {
        return (
            Cause::AnnounceOnly,
            format!(
                "Announce only: {receiver} announced its clock {announces} times in {seconds:.1} s and sent no Sync: it \
                 may wait for the session set-up to name this host as a timing peer, or still take another sender's \
                 clock."
            ),
        );
    }
    if syncs > 0 && follow_ups == 0 {
        // Announce goes to the general port too.
        let why = if announces > 0 {
            format!("Announce does come in on UDP {general}, so it may be a one-step clock, which is not understood here")
        } else {
            format!("check that UDP {general} is not blocked on the way")
        };
        return (
            Cause::SyncWithoutFollowUp,
            format!("Sync without Follow_Up: {receiver} sent {syncs} Sync and no Follow_Up in {seconds:.1} s: {why}."),
        );
    }
    if follow_ups > 0 && syncs == 0 {
        return (
            Cause::FollowUpWithoutSync,
            format!(
                "Follow_Up without Sync: {receiver} sent {follow_ups} Follow_Up and no Sync in {seconds:.1} s: check that \
                 UDP {event} is not blocked on the way."
            ),
        );
    }
    if report.state == "LEADING" {
        let asked = report.delay_req_answered;
        let follows = if asked > 0 {
            format!("asked {asked} times how far away it is, and was answered")
        } else {
            "is there, but asked for no delay; some receivers never do".to_string()
        };
        return (Cause::Healthy, format!("Healthy: our clock leads; {receiver} {follows}."));
    }
    (Cause::Untrusted, format!("Not synchronised after {seconds:.1} s: {}", report.advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;
    use crate::report::Counts;

    /// A session that brought these messages and stands in this state.
    fn cause(state: &'static str, yielded: bool, heard: &[(&'static str, u64)]) -> (Cause, String) {
        let received = heard.iter().copied().collect::<Counts>();
        let report = Report { state, received, refused: Counts::new(), ..report() };
        of_session("10.0.0.7", &report, yielded, &Config::default())
    }

    #[test]
    fn each_kind_of_silence_has_its_cause() {
        let all = [("announce", 20), ("sync", 40), ("follow_up", 40)];
        assert_eq!(cause("LOCKED", true, &all).0, Cause::Healthy);
        assert_eq!(cause("SILENT", false, &[]).0, Cause::NothingThere);
        assert_eq!(cause("LEADING", false, &[]).0, Cause::NothingThere);
        assert_eq!(cause("ANNOUNCED", true, &[("announce", 8)]).0, Cause::AnnounceOnly);
        assert_eq!(cause("LEADING", true, &[("announce", 20)]).0, Cause::AnnounceOnly);
        assert_eq!(cause("LEADING", false, &[("announce", 2)]).0, Cause::Healthy);
        assert_eq!(cause("LEADING", false, &[("delay_req", 30)]).0, Cause::Healthy);
        assert_eq!(cause("SILENT", true, &[("sync", 30)]).0, Cause::SyncWithoutFollowUp);
        assert_eq!(cause("LEADING", true, &[("sync", 30), ("announce", 3)]).0, Cause::SyncWithoutFollowUp);
        assert_eq!(cause("SILENT", false, &[("follow_up", 30)]).0, Cause::FollowUpWithoutSync);
        assert_eq!(cause("ACQUIRING", true, &all).0, Cause::Untrusted);
        assert_eq!(cause("SILENT", false, &[("signaling", 1)]).0, Cause::Untrusted);
    }

    #[test]
    fn what_was_refused_was_there() {
        let refused = [("domain", 4)].into_iter().collect::<Counts>();
        let report = Report { state: "SILENT", received: Counts::new(), refused, ..report() };
        assert_eq!(of_session("10.0.0.7", &report, false, &Config::default()).0, Cause::Untrusted);
    }

    #[test]
    fn other_addresses_of_a_silent_receiver_are_thought_of() {
        let silent = Report { state: "SILENT", received: Counts::new(), refused: Counts::new(), ..report() };
        let sentence = |report: &Report| of_session("10.0.0.7", report, false, &Config::default()).1;
        assert!(!sentence(&silent).contains("other addresses"));
        let strangers = Report { wrong_source: 5, ..silent };
        assert!(sentence(&strangers).contains("5 PTP packets came from other addresses"));
    }

    #[test]
    fn sends_that_fail_are_no_silence_of_the_receiver() {
        let report = Report {
            state: "SILENT",
            received: Counts::new(),
            refused: Counts::new(),
            send_errors: 3,
            ..report()
        };
        assert_eq!(of_session("10.0.0.7", &report, false, &Config::default()).0, Cause::NoWay);
    }

    #[test]
    fn a_port_that_announce_came_by_is_not_blamed() {
        let (_, blocked) = cause("SILENT", true, &[("sync", 30)]);
        assert!(blocked.contains("UDP 320 is not blocked"), "{blocked}");
        let (_, one_step) = cause("SILENT", true, &[("sync", 30), ("announce", 3)]);
        assert!(one_step.contains("one-step"), "{one_step}");
    }
}
