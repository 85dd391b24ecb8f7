//! One association in virtual time: packets go in with the times they were recorded with, estimates come out.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use ptpbmca::association::{Association, Change, Config, Counters, Packet, Refusal, Tag};
use ptpbmca::time::{Correction, LocalTime, PtpTime, Span, Timestamp};
use ptpbmca::timeline::{SyncState, HOLDOVER_AFTER};
use ptpbmca::wire::{self, Body, Message, MessageType, PortIdentity};

/// Deadlines worked off on the way to the next recorded time. Silence has three (a lost beat, holdover, the end of
/// holdover); a record that leaps over years must not make more work than that.
const MAX_TICKS: usize = 16;

/// A record whose time is this far back does not come late: the recording clock was set back, or another recording
/// begins, which no live session sees. As long as an association's longest memory (holdover's minute).
const SET_BACK: Span = Span::from_millis(60_000);

/// Delay_Req that may be under way: the association itself keeps eight.
const REQUESTS: usize = 16;

/// Two Delay_Req of one sequenceId within this time are one, captured twice (field guide 1.11 has the same time).
const SAME_REQUEST: Span = Span::from_millis(1_000);

/// Where sequenceId and requestingPortIdentity lie in a Delay_Resp (IEEE 1588-2019, tables 35 and 45).
const SEQUENCE_AT: std::ops::Range<usize> = 30..32;

/// What is known at a local time, as a program that asks the library would read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The receiver's time then, ns.
    pub remote_ns: u64,
    /// And a second later.
    pub remote_plus_1s_ns: u64,
    /// And two seconds later.
    pub remote_plus_2s_ns: u64,
    /// The bound on the error then, ns.
    pub error_ns: u64,
}

/// What stood after a completed pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// t2 of the pair: local time of the Sync's arrival.
    pub local: LocalTime,
    /// t1 and all corrections of the pair: the receiver's time at which the Sync left.
    pub left: PtpTime,
    /// The timeline's epoch.
    pub epoch: u32,
    /// The published timeline at t2; nothing while the session is not synchronised.
    pub published: Option<Published>,
}

/// A silence at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When the next record came.
    pub until: LocalTime,
    /// The published timeline right before it.
    pub published: Option<Published>,
}

/// The halves of a pair, as far as they were accepted.
#[derive(Clone, Copy, Debug, Default)]
struct Halves {
    sync: Option<(LocalTime, Correction)>,
    follow_up: Option<(Timestamp, Correction)>,
}

/// A Delay_Req of the recorded sender.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// Its sequenceId in the record.
    recorded: u16,
    /// When it left.
    at: LocalTime,
    /// The sequenceId of the association's own Delay_Req that it stands for.
    own: u16,
}

/// An association that lives through a record.
#[derive(Debug)]
pub struct Session {
    config: Config,
    association: Association,
    /// Epochs and counts of the sessions before the clock was set back.
    past_epochs: u32,
    past: Totals,
    now: LocalTime,
    /// By sequenceId: at most 65,536.
    halves: HashMap<u16, Halves>,
    /// The association's Delay_Req that waits for a recorded one to stand for it.
    unsent: Option<u16>,
    /// A recorded Delay_Req that came before the association wanted to send one.
    early: Option<(u16, LocalTime)>,
    requests: [Option<Request>; REQUESTS],
    next_request: usize,
    changes: Vec<(LocalTime, Change)>,
    silence: Option<Silence>,
}

impl Session {
    /// A session that begins at `start`.
    pub fn new(config: Config, start: LocalTime) -> Self {
        let mut session = Self {
            config,
            association: Association::new(config, Span::ZERO, start),
            past_epochs: 0,
            past: Totals::default(),
            now: start,
            halves: HashMap::new(),
            unsent: None,
            early: None,
            requests: [None; REQUESTS],
            next_request: 0,
            changes: Vec::new(),
            silence: None,
        };
        session.drain();
        session
    }

    /// The virtual time.
    pub fn now(&self) -> LocalTime {
        self.now
    }

    /// What was counted.
    pub fn totals(&self) -> Totals {
        self.past.and(self.association.counters())
    }

    fn counters(&self) -> &Counters {
        self.association.counters()
    }

    fn epoch(&self) -> u32 {
        self.past_epochs.wrapping_add(self.association.timeline(self.now).conversion.epoch)
    }

    /// How far the clock is to be believed at the end.
    pub fn sync_state(&self) -> SyncState {
        self.association.sync_state()
    }

    /// What to tell somebody who wonders about that.
    pub fn advice(&self) -> String {
        self.association.advice().to_string_lossy().into_owned()
    }

    /// The changes since the last call, with their times.
    pub fn take_changes(&mut self) -> Vec<(LocalTime, Change)> {
        std::mem::take(&mut self.changes)
    }

    /// Lets time pass until `to`, with all that falls due on the way. Time does not run backwards, but for a clock
    /// that was set back.
    pub fn advance(&mut self, to: LocalTime) {
        let began = self.now;
        for _ in 0..MAX_TICKS {
            let Some(deadline) = self.association.poll_timeout().filter(|deadline| *deadline <= to) else {
                break;
            };
            self.now = self.now.max(deadline);
            self.association.tick(self.now);
            self.drain();
        }
        if self.now.since(to) >= SET_BACK {
            self.begin_anew(to);
        }
        self.now = self.now.max(to);
        if to.since(began) >= HOLDOVER_AFTER {
            self.silence = Some(Silence { until: to, published: self.published(to) });
        }
    }

    /// Begins another session at `now`, in another epoch.
    fn begin_anew(&mut self, now: LocalTime) {
        let mut anew = Self::new(self.config, now);
        anew.past = self.totals();
        anew.past_epochs = self.epoch().wrapping_add(1);
        anew.changes = std::mem::take(&mut self.changes);
        anew.changes.push((
            now,
            Change::Epoch { epoch: anew.past_epochs, reason: "the recording clock was set back" },
        ));
        *self = anew;
    }

    /// The last silence of a second or more that ended since the last call.
    pub fn take_silence(&mut self) -> Option<Silence> {
        self.silence.take()
    }

    /// The published timeline at a local time, as it stands.
    fn published(&self, at: LocalTime) -> Option<Published> {
        let timeline = self.association.timeline(self.now).with_validity().aged(self.now);
        let conversion = timeline.conversion;
        let after =
            |seconds: i64| conversion.receiver_time(at.plus(Span::from_millis(seconds * 1_000)).nanos());
        conversion.is_synchronized().then(|| Published {
            remote_ns: after(0),
            remote_plus_1s_ns: after(1),
            remote_plus_2s_ns: after(2),
            error_ns: timeline.error_at(at),
        })
    }

    /// A message of the receiver arrives at `received`. Gives the estimate if it completes a pair.
    pub fn receive(&mut self, bytes: &[u8], peer: u8, received: LocalTime) -> Option<Estimate> {
        self.advance(received);
        match wire::decode(bytes) {
            Ok(Message { header, body: Body::DelayResp { .. } }) => {
                self.deliver_response(header.sequence_id, bytes, peer, received);
                None
            }
            Ok(message) => {
                let pairs = self.counters().pairs;
                let accepted = self.deliver(bytes, peer, received);
                let halves = accepted.then(|| self.note_half(&message, received)).flatten()?;
                if self.counters().pairs == pairs {
                    return None;
                }
                self.halves.remove(&message.header.sequence_id);
                let ((local, first), (origin, second)) = (halves.sync?, halves.follow_up?);
                Some(Estimate {
                    local,
                    left: PtpTime::from_wire(origin, &[first, second])?,
                    epoch: self.epoch(),
                    published: self.published(local),
                })
            }
            Err(_) => {
                // For its counters.
                self.deliver(bytes, peer, received);
                None
            }
        }
    }

    /// Whether the association waits for a Delay_Req of its own to leave.
    pub fn wants_to_ask(&self) -> bool {
        self.unsent.is_some()
    }

    /// A Delay_Req of the recorded sender left `at`. It stands for the association's latest own one: that the
    /// association follows the same Syncs does not make it use the same sequenceIds or the same moments.
    pub fn requested(&mut self, recorded: u16, at: LocalTime) {
        let again = |other: u16, then: LocalTime| {
            other == recorded && at.since(then).abs_nanos() < SAME_REQUEST.abs_nanos()
        };
        if self.requests.iter().flatten().any(|request| again(request.recorded, request.at))
            || self.early.is_some_and(|(other, then)| again(other, then))
        {
            return;
        }
        self.early = Some((recorded, at));
        self.match_requests();
    }

    fn match_requests(&mut self) {
        let (Some(own), Some((recorded, at))) = (self.unsent, self.early) else { return };
        (self.unsent, self.early) = (None, None);
        if let Some(slot) = self.requests.get_mut(self.next_request) {
            *slot = Some(Request { recorded, at, own });
        }
        self.next_request = (self.next_request + 1) % REQUESTS;
        self.association.sent(Tag::DelayReq { sequence: own }, at, self.now);
        self.drain();
    }

    /// A Delay_Resp answers the association's own Delay_Req, under the sequenceId which that has.
    fn deliver_response(&mut self, sequence: u16, bytes: &[u8], peer: u8, received: LocalTime) {
        let latest = self.requests.iter().flatten().filter(|request| request.recorded == sequence);
        let own = latest.max_by_key(|request| request.at).map(|request| request.own);
        if own.is_none() && self.early.is_some_and(|(recorded, _)| recorded == sequence) {
            // Asked and answered while the association had nothing to ask.
            self.early = None;
        }
        let mut renumbered = bytes.to_vec();
        if let (Some(own), Some(field)) = (own, renumbered.get_mut(SEQUENCE_AT)) {
            field.copy_from_slice(&own.to_be_bytes());
        }
        self.deliver(&renumbered, peer, received);
    }

    /// Hands a packet over; tells whether it was accepted.
    fn deliver(&mut self, bytes: &[u8], peer: u8, received: LocalTime) -> bool {
        let before = refusals(self.counters());
        self.association.receive(Packet { bytes, peer, received }, self.now);
        self.drain();
        refusals(self.counters()) == before
    }

    /// Keeps an accepted half; gives what is known of its pair.
    fn note_half(&mut self, message: &Message, received: LocalTime) -> Option<Halves> {
        let (sequence, correction) = (message.header.sequence_id, message.header.correction);
        match message.body {
            Body::Sync { .. } => {
                let halves = self.halves.entry(sequence).or_default();
                halves.sync = Some((received, correction));
                Some(*halves)
            }
            Body::FollowUp { precise_origin, .. } => {
                let halves = self.halves.entry(sequence).or_default();
                halves.follow_up = Some((precise_origin, correction));
                Some(*halves)
            }
            _ => None,
        }
    }

    /// Takes what the association wants to send, of which only a Delay_Req matters, and its changes.
    fn drain(&mut self) {
        while let Some(transmit) = self.association.poll_transmit() {
            if let Some(Tag::DelayReq { sequence }) = transmit.tag {
                self.unsent = Some(sequence);
            }
        }
        while let Some(mut change) = self.association.poll_change() {
            if let Change::Epoch { epoch, .. } = &mut change {
                *epoch = self.past_epochs.wrapping_add(*epoch);
            }
            self.changes.push((self.now, change));
        }
        self.match_requests();
    }
}

/// What is told of an association's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sync, Follow_Up, Delay_Resp and Announce received.
    pub received: [u64; 4],
    /// Pairs completed.
    pub pairs: u64,
    /// Delay_Resp used.
    pub answers: u64,
    /// Steps of the receiver's timeline.
    pub steps: u64,
    /// Packets refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

impl Totals {
    fn and(&self, counters: &Counters) -> Self {
        use MessageType::{Announce, DelayResp, FollowUp, Sync};
        let mut sum = self.clone();
        for (total, kind) in sum.received.iter_mut().zip([Sync, FollowUp, DelayResp, Announce]) {
            *total = total.wrapping_add(counters.received(kind));
        }
        for (total, why) in sum.refused.iter_mut().zip(Refusal::ALL) {
            *total = total.wrapping_add(counters.refused(why));
        }
        sum.pairs = sum.pairs.wrapping_add(counters.pairs);
        sum.answers = sum.answers.wrapping_add(counters.delay_resp_used);
        sum.steps = sum.steps.wrapping_add(counters.steps);
        sum
    }
}

/// Packets refused, but for pairs that were completed and not used, and for halves given up on.
fn refusals(counters: &Counters) -> u64 {
    Refusal::ALL
        .into_iter()
        .filter(|why| !matches!(why, Refusal::Outlier | Refusal::Unmatched))
        .map(|why| counters.refused(why))
        .fold(0, u64::wrapping_add)
}

/// The set-up of a replayed association: it follows, whatever its own clock may be worth.
pub fn following(identity: PortIdentity, domain: u8, peers: u8) -> Config {
    use ptpbmca::association::RolePolicy;
    use ptpbmca::election::Advertisement;
    Config {
        policy: RolePolicy::Follow,
        advertisement: Advertisement::mac(identity.clock),
        identity,
        domain,
        major_sdo_id: wire::compose::MAJOR_SDO_ID,
        announce_timeout: Span::from_millis(3_000),
        peers,
    }
}
