//! Whole conversations in virtual time: a scripted receiver, a wire with delays, and a host that does what is due.
#![forbid(unsafe_code)]

mod answering;
mod attacks;
mod exchanges;
mod handover;
mod hostile;
mod leading;
mod opening;
mod pairs;
mod roles;
mod silence;

use super::{Association, Change, Config, Packet, Port, RolePolicy, Tag, Transmit};
use crate::election::Advertisement;
use crate::time::{Correction, LocalTime, PtpTime, Span, Timestamp};
use crate::timeline::{Role, SyncState, Timeline};
use crate::wire::{
    self, Announce, Body, ClockIdentity, ClockQuality, DataSet, Header, Message, MessageType, PathTrace,
    PortIdentity,
};
use std::collections::BTreeMap;

const US: i64 = 1_000;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// When every conversation begins, on the local clock.
const START: i64 = 1_000 * SECOND;
/// Our served timeline minus the local clock: Unix time against time since boot.
const SERVED: i64 = 1_789_012_345_678_901_234;
/// From handing a message over to its leaving.
const SEND_TAKES: i64 = 7 * US;
/// Sync to Sync of the scripted receiver.
const INTERVAL: i64 = 125 * MS;

const OURS: PortIdentity = PortIdentity { clock: ClockIdentity(0xfe6b_3a00_f840_0008), port: 0x8005 };
const HOMEPOD: PortIdentity = PortIdentity { clock: ClockIdentity(0x1414_7de8_5498_0008), port: 0x8075 };
const APPLE_TV: ClockIdentity = ClockIdentity(0x50bc_96e6_9986_0008);

fn at(nanos: i64) -> LocalTime {
    LocalTime::from_nanos(nanos)
}

fn config(policy: RolePolicy) -> Config {
    Config {
        policy,
        advertisement: match policy {
            RolePolicy::Lead => Advertisement::ios(OURS.clock),
            _ => Advertisement::mac(OURS.clock),
        },
        identity: OURS,
        domain: 0,
        major_sdo_id: 1,
        announce_timeout: Span::from_millis(3_000),
        peers: 1,
    }
}

/// What the scripted receiver's Delay_Resp say: the correction, in nanoseconds, and how it is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    Never,
    /// T4 = receiveTimestamp + correction.
    Plus(i64),
    /// T4 = receiveTimestamp - correction.
    Minus(i64),
    /// T4 = receiveTimestamp, with its own turnaround as a correction on top.
    TruthAndTurnaround,
    /// T4 = receiveTimestamp, with any correction on top.
    TruthAnd(i64),
}

/// A scripted receiver.
#[derive(Clone, Debug)]
struct Receiver {
    identity: PortIdentity,
    /// Named by its Announce.
    grandmaster: ClockIdentity,
    /// Named by its Follow_Up.
    timeline: Option<ClockIdentity>,
    priority1: u8,
    steps_removed: u16,
    path: Option<PathTrace>,
    /// Its clock minus the local one at START, and how fast it runs against it.
    offset: i64,
    ppm: f64,
    /// One-way delays.
    down: i64,
    up: i64,
    /// How early preciseOriginTimestamp is; the corrections of Sync and Follow_Up make up for it.
    early: i64,
    sync_correction: i64,
    answers: Answers,
    turnaround: i64,
    domain: u8,
    major_sdo_id: u8,
    minor_version: u8,
    sync_sequence: u16,
    announce_sequence: u16,
    peer: u8,
}

impl Receiver {
    /// A HomePod, a day and a half up, 21 ppm fast, 1 ms away.
    fn homepod() -> Self {
        Self {
            identity: HOMEPOD,
            grandmaster: HOMEPOD.clock,
            timeline: Some(HOMEPOD.clock),
            priority1: 248,
            steps_removed: 0,
            path: None,
            offset: 126_677 * SECOND,
            ppm: 21.0,
            down: MS,
            up: MS,
            early: 24_990_916,
            sync_correction: 0,
            answers: Answers::Never,
            turnaround: 2 * MS,
            domain: 0,
            major_sdo_id: 1,
            minor_version: 0,
            sync_sequence: 100,
            announce_sequence: 7,
            peer: 0,
        }
    }

    fn clock_at(&self, local: i64) -> i64 {
        local + self.offset + ((local - START) as f64 * self.ppm * 1e-6).round() as i64
    }

    fn message(&self, sequence_id: u16, correction: i64, body: Body) -> Message {
        let header = Header {
            major_sdo_id: self.major_sdo_id,
            minor_version: self.minor_version,
            domain: self.domain,
            flags: 0x0408,
            correction: Correction::from_nanos(correction),
            source: self.identity,
            sequence_id,
            control: 0,
            log_interval: -3,
        };
        Message { header, body }
    }

    fn announce(&mut self) -> Message {
        let sequence = self.announce_sequence;
        self.announce_sequence = sequence.wrapping_add(1);
        let dataset = DataSet {
            priority1: self.priority1,
            quality: ClockQuality { class: 248, accuracy: 0x21, variance: 0x436a },
            priority2: 239,
            grandmaster: self.grandmaster,
            steps_removed: self.steps_removed,
        };
        let body = Body::Announce(Announce {
            origin: Timestamp::default(),
            utc_offset: 37,
            dataset,
            time_source: 0xa0,
            path_trace: self.path,
        });
        self.message(sequence, 0, body)
    }

    fn sync(&self) -> Message {
        self.message(self.sync_sequence, self.sync_correction, Body::Sync { origin: Timestamp::default() })
    }

    /// The Follow_Up of a Sync that leaves at a local time.
    fn follow_up(&self, left: i64) -> Message {
        let body = Body::FollowUp {
            precise_origin: stamp(self.clock_at(left) - self.early - self.sync_correction),
            information: None,
            apple_clock: self.timeline,
        };
        self.message(self.sync_sequence, self.early, body)
    }

    /// The answer to a request that arrives and is answered at these local times.
    fn delay_resp(&self, request: &Header, arrives: i64, answered: i64) -> Option<Message> {
        let t4 = self.clock_at(arrives);
        let (receive, correction) = match self.answers {
            Answers::Never => return None,
            Answers::Plus(by) => (t4 - by, by),
            Answers::Minus(by) => (t4 + by, by),
            Answers::TruthAndTurnaround => (t4, answered - arrives),
            Answers::TruthAnd(by) => (t4, by),
        };
        let body = Body::DelayResp { receive: stamp(receive), requesting: request.source };
        Some(self.message(request.sequence_id, correction, body))
    }
}

fn stamp(nanos: i64) -> Timestamp {
    PtpTime::from_nanos(u64::try_from(nanos).unwrap()).unwrap().into()
}

/// A message of ours, as it left.
#[derive(Clone, Debug)]
struct Sent {
    at: i64,
    port: Port,
    peer: u8,
    bytes: Vec<u8>,
    message: Message,
}

impl Sent {
    fn kind(&self) -> MessageType {
        self.message.message_type()
    }
}

/// An association, the receiver it talks to, and the wire between.
struct World {
    association: Association,
    receiver: Receiver,
    now: i64,
    /// What is under way to us, by arrival.
    wire: BTreeMap<(i64, u32), (u8, Vec<u8>)>,
    number: u32,
    sent: Vec<Sent>,
    changes: Vec<(i64, Change)>,
    /// From when to when the clock was called synchronised while more than 2 ms off, the longest time, in ns.
    longest_wrong: i64,
    wrong_since: Option<i64>,
}

impl World {
    fn new(policy: RolePolicy) -> Self {
        Self::with(config(policy))
    }

    fn with(config: Config) -> Self {
        let mut world = Self {
            association: Association::new(config, Span::from_nanos(SERVED), at(START)),
            receiver: Receiver::homepod(),
            now: START,
            wire: BTreeMap::new(),
            number: 0,
            sent: Vec::new(),
            changes: Vec::new(),
            longest_wrong: 0,
            wrong_since: None,
        };
        world.flush();
        world
    }

    /// Sends what is to be sent and notes what changed.
    fn flush(&mut self) {
        while let Some(Transmit { port, peer, message, tag }) = self.association.poll_transmit() {
            let mut left = self.now;
            if let Some(tag) = tag {
                left += SEND_TAKES;
                self.now = left;
                self.association.sent(tag, at(left), at(left));
            }
            let bytes = message.to_vec();
            let message = wire::decode(&bytes).unwrap();
            if let Some(Tag::DelayReq { .. }) = tag {
                let arrives = left + self.receiver.up;
                let answered = arrives + self.receiver.turnaround;
                if let Some(answer) = self.receiver.delay_resp(&message.header, arrives, answered) {
                    self.post(answered + self.receiver.down, self.receiver.peer, &answer);
                }
            }
            self.sent.push(Sent { at: left, port, peer, bytes, message });
        }
        while let Some(change) = self.association.poll_change() {
            self.changes.push((self.now, change));
        }
        self.watch();
    }

    /// Notes for how long the clock is called synchronised and is wrong.
    fn watch(&mut self) {
        let off = self.error().is_some_and(|error| error.abs() > 2 * MS);
        match self.wrong_since {
            Some(since) if off => self.longest_wrong = self.longest_wrong.max(self.now - since),
            None if off => self.wrong_since = Some(self.now),
            _ if !off => self.wrong_since = None,
            _ => {}
        }
    }

    /// Estimate minus truth, while following and synchronised.
    fn error(&self) -> Option<i64> {
        let timeline = self.timeline();
        let conversion = timeline.conversion;
        (conversion.role == Role::Following && conversion.sync_state.is_synchronized())
            .then(|| conversion.receiver_time(self.now) as i64 - self.receiver.clock_at(self.now))
    }

    fn timeline(&self) -> Timeline {
        self.association.timeline(at(self.now)).aged(at(self.now))
    }

    fn post(&mut self, arrival: i64, peer: u8, message: &Message) {
        self.number += 1;
        self.wire.insert((arrival, self.number), (peer, wire::encode(message).to_vec()));
    }

    /// The receiver's packet arrives now.
    fn hear(&mut self, message: &Message) {
        self.hear_from(self.receiver.peer, message);
    }

    fn hear_from(&mut self, peer: u8, message: &Message) {
        self.hear_bytes(peer, &wire::encode(message));
    }

    fn hear_bytes(&mut self, peer: u8, bytes: &[u8]) {
        let received = at(self.now);
        self.association.receive(Packet { bytes, peer, received }, received);
        self.flush();
    }

    fn hear_announce(&mut self) {
        let announce = self.receiver.announce();
        self.hear(&announce);
    }

    /// Lets a time pass: what arrives is heard, what is due is done, never late.
    fn run(&mut self, nanos: i64) {
        let end = self.now + nanos;
        for _ in 0..1_000_000 {
            let arrival = self.wire.first_key_value().map(|((arrival, _), _)| *arrival);
            let deadline = self.association.poll_timeout().map(LocalTime::nanos);
            // Looks at the clock once a centisecond besides, to see how right it is.
            let look = self.now + 10 * MS;
            let next = [arrival, deadline, Some(look)].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = self.now.max(end);
                self.watch();
                return;
            }
            self.now = self.now.max(next);
            if arrival == Some(next) {
                if let Some(((arrival, _), (peer, bytes))) = self.wire.pop_first() {
                    let packet = Packet { bytes: &bytes, peer, received: at(arrival) };
                    self.association.receive(packet, at(self.now));
                }
            } else if deadline.is_some_and(|deadline| deadline <= next) {
                self.association.tick(at(self.now));
                let deadline = self.association.poll_timeout();
                assert!(
                    deadline.is_none_or(|deadline| deadline > at(self.now)),
                    "would spin at {deadline:?}"
                );
            }
            self.flush();
        }
        panic!("the association never rests");
    }

    /// The receiver sends a Sync now and its Follow_Up a millisecond later.
    fn post_pair(&mut self) {
        let (now, peer) = (self.now, self.receiver.peer);
        let (sync, follow_up) = (self.receiver.sync(), self.receiver.follow_up(now));
        self.post(now + self.receiver.down, peer, &sync);
        self.post(now + MS + self.receiver.down, peer, &follow_up);
        self.receiver.sync_sequence = self.receiver.sync_sequence.wrapping_add(1);
    }

    /// The receiver serves for a time: a pair each interval.
    fn serve(&mut self, nanos: i64) {
        let end = self.now + nanos;
        while self.now < end {
            let next = self.now + INTERVAL;
            self.post_pair();
            self.run((next - self.now).max(0));
        }
    }

    /// As `serve`, with an Announce before the first pair and each second.
    fn serve_and_announce(&mut self, nanos: i64) {
        let end = self.now + nanos;
        while self.now < end {
            let announce = self.receiver.announce();
            self.post(self.now + self.receiver.down, self.receiver.peer, &announce);
            self.serve((end - self.now).min(SECOND));
        }
    }

    /// Locked to the receiver, with an empty record.
    fn locked(policy: RolePolicy) -> Self {
        let mut world = Self::new(policy);
        world.run(50 * MS);
        world.serve_and_announce(5 * SECOND);
        assert_eq!(world.state(), (Role::Following, SyncState::Locked));
        world.forget();
        world
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.changes.clear();
        self.longest_wrong = 0;
    }

    fn state(&self) -> (Role, SyncState) {
        (self.association.role(), self.association.sync_state())
    }

    fn epoch(&self) -> u32 {
        self.timeline().conversion.epoch
    }

    fn grandmaster(&self) -> ClockIdentity {
        ClockIdentity(self.timeline().grandmaster_id)
    }

    fn sent_kinds(&self) -> Vec<MessageType> {
        self.sent.iter().map(Sent::kind).collect()
    }

    fn sent_of(&self, kind: MessageType) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.kind() == kind).collect()
    }

    /// How often another grandmaster was told.
    fn grandmasters_told(&self) -> Vec<(ClockIdentity, ClockIdentity)> {
        let told = |change: &Change| match *change {
            Change::Grandmaster { from, to } => Some((from, to)),
            _ => None,
        };
        self.changes.iter().filter_map(|(_, change)| told(change)).collect()
    }

    fn roles_told(&self) -> Vec<(Role, Role)> {
        let told = |change: &Change| match *change {
            Change::Role { from, to, .. } => Some((from, to)),
            _ => None,
        };
        self.changes.iter().filter_map(|(_, change)| told(change)).collect()
    }

    fn advice(&self) -> &'static str {
        self.association.advice().to_str().unwrap()
    }

    fn refused(&self, why: super::Refusal) -> u64 {
        self.association.counters().refused(why)
    }
}
