//! An input as a conversation in virtual time: a receiver that serves, lies or talks nonsense, and a host that is late or
//! loses its send stamps. Whatever comes, the promises of an association hold after each event.
#![no_main]

use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use ptpbmca::association::{Association, Change, Config, Packet, RolePolicy, Tag, Then};
use ptpbmca::election::Advertisement;
use ptpbmca::time::{Correction, LocalTime, PtpTime, Span, Timestamp};
use ptpbmca::timeline::{Role, SyncState, Timeline, HOLDOVER_AFTER};
use ptpbmca::wire::{
    self, Announce, Body, ClockIdentity, ClockQuality, DataSet, Header, Message, PathTrace, PortIdentity, Tlv,
};
use ptpbmca_fuzz::cursor::Cursor;
use ptpbmca_fuzz::{edges, memory};

const US: i64 = 1_000;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// Sync to Sync (field guide 3.1).
const INTERVAL: i64 = 125 * MS;
/// From handing a message over to its leaving.
const SEND_TAKES: i64 = 7 * US;
/// Events of one input: some minutes of a session.
const MAX_EVENTS: u32 = 3_000;

/// Edges of one event: five times what was measured.
const EDGES: u64 = 250_000;
/// Edges of the whole input, for each of its events: thirty times what was measured.
const EDGES_OF_MANY: u64 = 20_000;

/// Heap of an association and of the world around it, bytes: outbox, changes, and as much again.
const MEMORY: usize = 64 << 10;

/// Nanoseconds the published line may move by at an event: both ends are rounded to whole ones.
const JUMP: i64 = 2;

const OURS: PortIdentity = PortIdentity { clock: ClockIdentity(0xfe6b_3a00_f840_0008), port: 0x8005 };
const HOMEPOD: PortIdentity = PortIdentity { clock: ClockIdentity(0x1414_7de8_5498_0008), port: 0x8075 };
const APPLE_TV: ClockIdentity = ClockIdentity(0x50bc_96e6_9986_0008);

/// Our served timeline minus the local clock: Unix time against time since boot.
const SERVED: i64 = 1_789_012_345_678_901_234;

fuzz_target!(|bytes: &[u8]| {
    memory::nothing_kept(|| {
        edges::within(EDGES_OF_MANY * u64::from(MAX_EVENTS), || {
            let mut world = World::new(&mut Cursor(bytes), memory::live());
            let mut rest = Cursor(bytes.get(World::SET_UP..).unwrap_or_default());
            while !rest.is_empty() && world.events < MAX_EVENTS {
                world.act(&mut rest);
            }
        })
    });
});

fn at(nanos: i64) -> LocalTime {
    LocalTime::from_nanos(nanos)
}

/// A span of 0 ns to some minutes.
fn span(c: &mut Cursor) -> i64 {
    let byte = c.u8();
    let many = i64::from(byte & 63);
    match byte >> 6 {
        0 => many * 50 * US,
        1 => many * 4 * MS,
        2 => many * INTERVAL,
        _ => many * 4 * SECOND,
    }
}

/// A time that a clock may read, or should never.
fn any_time(c: &mut Cursor, now: i64) -> i64 {
    match c.u8() % 8 {
        0 => c.pick(&[0, -1, 1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, -now, i64::MAX / 2]),
        1 | 2 => now.saturating_sub(span(c)),
        3 => now.saturating_add(span(c)),
        4 => c.i64(),
        _ => now,
    }
}

fn any_stamp(c: &mut Cursor, sane: i128) -> Timestamp {
    match c.u8() % 4 {
        0 => Timestamp { seconds: c.u64() >> 16, nanoseconds: c.u32() },
        1 => c.pick(&[
            Timestamp { seconds: 0, nanoseconds: 0 },
            Timestamp { seconds: (1 << 48) - 1, nanoseconds: 999_999_999 },
            Timestamp { seconds: 9_223_372_036, nanoseconds: 854_775_807 },
            Timestamp { seconds: 1, nanoseconds: 1_000_000_000 },
        ]),
        _ => PtpTime::clamped(sane).into(),
    }
}

/// The receiver: its clock, its identity, its ways.
struct Receiver {
    identity: PortIdentity,
    grandmaster: ClockIdentity,
    timeline: Option<ClockIdentity>,
    priority1: u8,
    steps_removed: u16,
    path: Option<PathTrace>,
    /// Its clock minus the local one at the start, and how much faster it runs, parts per 10^9.
    offset: i64,
    ppb: i64,
    delay: i64,
    jitter: i64,
    sequence: u16,
    correction: i64,
    peer: u8,
    /// How its Delay_Resp mean their correction; 0: there are none.
    answers: u8,
}

struct World {
    association: Association,
    config: Config,
    receiver: Receiver,
    now: i64,
    start: i64,
    /// The host tells at once when a message left.
    prompt: bool,
    tags: VecDeque<Tag>,
    /// The last packet, for those that are nearly the same.
    packet: Vec<u8>,
    /// When the last Sync left there.
    left: i64,
    before: Timeline,
    steps: u64,
    memory: usize,
    events: u32,
    noise: u64,
}

impl World {
    /// Bytes that set up a world.
    const SET_UP: usize = 8;

    fn new(c: &mut Cursor, memory: usize) -> Self {
        let policy = c.pick(&[RolePolicy::Auto, RolePolicy::Follow, RolePolicy::Lead]);
        let start = c.pick(&[1_000 * SECOND, 0, 86_400 * SECOND, 100 * 31_556_952 * SECOND]);
        let config = Config {
            policy,
            advertisement: match policy {
                RolePolicy::Lead => Advertisement::ios(OURS.clock),
                _ => Advertisement::mac(OURS.clock),
            },
            identity: OURS,
            domain: 0,
            major_sdo_id: 1,
            peers: c.pick(&[1, 2, 8]),
            announce_timeout: Span::from_millis(c.pick(&[3_000, 0, 1, 60_000, i64::MAX])),
        };
        let served = Span::from_nanos(c.pick(&[SERVED, 0, i64::MIN, i64::MAX]));
        let flags = c.u8();
        let association = Association::new(config, served, at(start));
        let mut world = Self {
            before: association.timeline(at(start)),
            association,
            config,
            receiver: Receiver {
                identity: HOMEPOD,
                grandmaster: HOMEPOD.clock,
                timeline: (flags & 1 == 0).then_some(HOMEPOD.clock),
                priority1: if flags & 2 == 0 { 248 } else { 251 },
                steps_removed: 0,
                path: None,
                offset: 126_677 * SECOND,
                ppb: 21_000,
                delay: MS,
                jitter: if flags & 4 == 0 { 0 } else { 2 * MS },
                sequence: 0,
                correction: 24_990_916,
                peer: 0,
                answers: c.u8() % 4,
            },
            now: start,
            start,
            prompt: flags & 8 == 0,
            tags: VecDeque::with_capacity(64),
            packet: Vec::with_capacity(256),
            left: start,
            steps: 0,
            memory,
            events: 0,
            noise: u64::from(c.u8()),
        };
        world.after("the start", 0, |_, _| ());
        world
    }

    fn act(&mut self, c: &mut Cursor) {
        match c.u8() % 16 {
            0 => self.pass(span(c), true),
            1 => self.pass(span(c), false),
            2 => {
                for _ in 0..c.u8() % 32 {
                    self.serve();
                    self.pass(INTERVAL, true);
                }
            }
            3 => self.sync(self.now),
            4 => self.follow_up(),
            5 => self.announce(),
            6 => {
                let arrives = any_time(c, self.now);
                let sequence = c.pick(&[self.receiver.sequence, 0, 65_535]);
                self.delay_resp(sequence, arrives);
            }
            7 => self.stranger(c),
            8 => {
                let length = usize::from(c.u8());
                let bytes = c.slice(length).to_vec();
                self.hear(&bytes, c.u8() % 9, self.now);
            }
            9 => {
                let mut bytes = self.packet.clone();
                for _ in 0..=c.u8() % 4 {
                    let place = usize::from(c.u8());
                    let flip = c.u8();
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= flip;
                    }
                }
                bytes.truncate(usize::from(c.u8()).max(34));
                self.hear(&bytes, self.receiver.peer, self.now);
            }
            10 => {
                let place = usize::from(c.u8() % 8);
                let (left, known) = (any_time(c, self.now), self.tags.get(place).copied());
                let tag = known.unwrap_or(c.pick(&[
                    Tag::DelayReq { sequence: self.receiver.sequence },
                    Tag::Sync { peer: 0, sequence: 9, then: Then::Announce },
                    Tag::Sync { peer: 0, sequence: 65_535, then: Then::Opening },
                ]));
                self.after("a send stamp", 0, |a, now| a.sent(tag, at(left), now));
            }
            11 => {
                let by = any_time(c, 0);
                self.receiver.offset = self.receiver.offset.saturating_add(by);
            }
            12 => self.transform(c),
            13 => {
                let by = Span::from_nanos(any_time(c, 0));
                let served = Span::from_nanos(any_time(c, SERVED));
                self.after("a suspend", 0, |a, now| a.local_clock_stood_still(by, served, now));
            }
            14 => {
                let received = any_time(c, self.now);
                self.sync(received);
            }
            _ => {
                let (receiver, byte) = (&mut self.receiver, c.u8());
                match byte & 3 {
                    0 => receiver.ppb = i64::from(c.u16() as i16) * 10,
                    1 => receiver.delay = span(c),
                    2 => receiver.jitter = span(c),
                    _ => receiver.ppb = i64::from(c.u32() as i32),
                }
                receiver.answers = byte >> 2 & 3;
                self.prompt = byte & 16 == 0;
            }
        }
    }

    /// Other things the receiver may turn into.
    fn transform(&mut self, c: &mut Cursor) {
        let receiver = &mut self.receiver;
        match c.u8() % 12 {
            0 => receiver.identity.clock = c.pick(&[HOMEPOD.clock, APPLE_TV, OURS.clock, ClockIdentity(0)]),
            1 => receiver.identity.port = receiver.identity.port.wrapping_add(1),
            2 => receiver.grandmaster = c.pick(&[HOMEPOD.clock, APPLE_TV, OURS.clock]),
            3 => receiver.timeline = c.pick(&[None, Some(HOMEPOD.clock), Some(APPLE_TV), Some(OURS.clock)]),
            4 => receiver.priority1 = c.u8(),
            5 => receiver.steps_removed = c.pick(&[0, 1, 254, 255, u16::MAX]),
            6 => receiver.path = c.pick(&[None, Some(OURS.clock), Some(APPLE_TV)]).map(PathTrace::single),
            7 => receiver.sequence = c.u16(),
            8 => receiver.correction = c.pick(&[0, 24_990_916, -1, i64::MAX, i64::MIN]),
            9 => receiver.peer = c.u8() % 9,
            // A restart: another uptime, and the ids from the beginning.
            10 => (receiver.offset, receiver.sequence) = (-self.now + span(c), 0),
            // A handover within a group.
            _ => {
                receiver.grandmaster =
                    if receiver.grandmaster == APPLE_TV { HOMEPOD.clock } else { APPLE_TV };
                receiver.timeline = receiver.timeline.map(|_| receiver.grandmaster);
                receiver.offset = receiver.offset.saturating_add(c.i64() >> 8);
            }
        }
    }

    /// Lets time pass; a host that is late does what is due only at its end.
    fn pass(&mut self, by: i64, punctual: bool) {
        let end = self.now.saturating_add(by);
        while let Some(deadline) = self.association.poll_timeout().map(LocalTime::nanos) {
            if deadline > end || !punctual || self.events >= MAX_EVENTS {
                break;
            }
            self.now = self.now.max(deadline);
            self.tick();
        }
        self.now = end;
        if !punctual {
            self.tick();
        }
        self.look();
    }

    fn tick(&mut self) {
        self.after("a tick", 0, |a, now| {
            a.tick(now);
            let deadline = a.poll_timeout();
            assert!(
                deadline.is_none_or(|deadline| deadline > now),
                "would spin: {deadline:?} at {now:?}, {:?} {:?}",
                a.role(),
                a.sync_state()
            );
        });
    }

    /// The receiver's clock at a local time.
    fn clock_at(&self, local: i64) -> i128 {
        let since = i128::from(local) - i128::from(self.start);
        i128::from(local)
            + i128::from(self.receiver.offset)
            + since * i128::from(self.receiver.ppb) / 1_000_000_000
    }

    fn message(&self, sequence_id: u16, correction: i64, body: Body) -> Message {
        let header = Header {
            major_sdo_id: 1,
            minor_version: 0,
            domain: 0,
            flags: 0x0408,
            correction: Correction::from_nanos(correction),
            source: self.receiver.identity,
            sequence_id,
            control: 0,
            log_interval: -3,
        };
        Message { header, body }
    }

    /// A pair, as a receiver in its right mind sends it.
    fn serve(&mut self) {
        self.noise =
            self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let late =
            if self.receiver.jitter == 0 { 0 } else { (self.noise >> 33) as i64 % self.receiver.jitter };
        self.left = self.now;
        self.pass((self.receiver.delay + late).min(INTERVAL), true);
        self.sync(self.now);
        self.follow_up();
    }

    fn sync(&mut self, received: i64) {
        self.receiver.sequence = self.receiver.sequence.wrapping_add(1);
        let sync = self.message(self.receiver.sequence, 0, Body::Sync { origin: Timestamp::default() });
        self.say(&sync, received);
    }

    fn follow_up(&mut self) {
        let early = self.receiver.correction;
        let precise_origin = PtpTime::clamped(self.clock_at(self.left) - i128::from(early)).into();
        let body = Body::FollowUp { precise_origin, information: None, apple_clock: self.receiver.timeline };
        self.say(&self.message(self.receiver.sequence, early, body), self.now);
        self.left = self.now;
    }

    fn announce(&mut self) {
        let receiver = &self.receiver;
        let dataset = DataSet {
            priority1: receiver.priority1,
            quality: ClockQuality { class: 248, accuracy: 0x21, variance: 0x436a },
            priority2: 239,
            grandmaster: receiver.grandmaster,
            steps_removed: receiver.steps_removed,
        };
        let body = Body::Announce(Announce {
            origin: Timestamp::default(),
            utc_offset: 37,
            dataset,
            time_source: 0xa0,
            path_trace: receiver.path,
        });
        self.say(&self.message(7, 0, body), self.now);
    }

    /// The answer to a Delay_Req that arrived there when the local clock read `arrives`.
    fn delay_resp(&mut self, sequence: u16, arrives: i64) {
        let t4 = self.clock_at(arrives);
        let by = self.receiver.correction;
        let receive = PtpTime::clamped(match self.receiver.answers {
            0 | 1 => t4 - i128::from(by),
            2 => t4 + i128::from(by),
            _ => t4,
        });
        let body = Body::DelayResp { receive: receive.into(), requesting: OURS };
        self.say(&self.message(sequence, by, body), self.now);
    }

    /// A message that a receiver sends seldom, with any times.
    fn stranger(&mut self, c: &mut Cursor) {
        let stamp = any_stamp(c, self.clock_at(self.now));
        let requesting = c.pick(&[OURS, HOMEPOD]);
        let apple_clock = self.receiver.timeline;
        let body = match c.u8() % 9 {
            0 => Body::Sync { origin: stamp },
            1 => Body::FollowUp { precise_origin: stamp, information: None, apple_clock },
            2 => Body::DelayReq { origin: stamp },
            3 => Body::DelayResp { receive: stamp, requesting },
            4 => Body::PdelayReq { origin: stamp },
            5 => Body::PdelayResp { receipt: stamp, requesting },
            6 => Body::PdelayRespFollowUp { origin: stamp, requesting },
            _ => {
                let (message_type, log_interval, duration_s) = (c.u8() & 15, c.u8() as i8, c.u32());
                let ask = Tlv::RequestUnicast { message_type, log_interval, duration_s };
                Body::Signaling {
                    target: OURS,
                    tlvs: std::iter::repeat_n(ask, usize::from(c.u8() % 9)).collect(),
                }
            }
        };
        let correction = c.pick(&[0, self.receiver.correction, i64::MAX, i64::MIN]);
        let sequence = c.pick(&[self.receiver.sequence, 0, 65_535]);
        let message = self.message(sequence, correction, body);
        let received = any_time(c, self.now);
        self.say(&message, received);
    }

    fn say(&mut self, message: &Message, received: i64) {
        let bytes = wire::encode(message);
        self.packet.clear();
        self.packet.extend_from_slice(&bytes);
        self.hear(&bytes, self.receiver.peer, received);
    }

    fn hear(&mut self, bytes: &[u8], peer: u8, received: i64) {
        let packet = Packet { bytes, peer, received: at(received) };
        self.after("a packet", bytes.len(), |a, now| a.receive(packet, now));
    }

    /// Something happens; all promises hold afterwards.
    fn after(&mut self, what: &str, bytes: usize, event: impl FnOnce(&mut Association, LocalTime)) {
        let taken = edges::taken();
        event(&mut self.association, at(self.now));
        let taken = edges::taken() - taken;
        assert!(taken <= EDGES, "{what} of {bytes} bytes took {taken} edges");
        self.events += 1;
        let told = self.told();
        self.epoch_is_right(told, what == "a suspend");
        self.look();
        assert!(memory::live() <= self.memory + MEMORY, "{what} left {} bytes", memory::live() - self.memory);
        self.sent(what);
    }

    /// What is to be sent: not much for one event, and each a message.
    fn sent(&mut self, what: &str) {
        let mut number = 0;
        let mut asked = None;
        while let Some(transmit) = self.association.poll_transmit() {
            number += 1;
            assert!(transmit.peer < self.config.peers);
            let message = wire::decode(&transmit.message).expect("what is sent can be read");
            assert_eq!(message.header.source, OURS);
            let Some(tag) = transmit.tag else { continue };
            if self.tags.len() == 8 {
                self.tags.pop_back();
            }
            self.tags.push_front(tag);
            if let Tag::DelayReq { sequence } = tag {
                asked = Some(sequence);
            }
        }
        // To each address an Announce, a Sync and a Signaling; and an answer.
        assert!(number <= 3 * u32::from(self.config.peers) + 3, "{what} made {number} messages");
        if let (true, Some(sequence)) = (self.prompt, asked) {
            let left = self.now;
            self.now = self.now.saturating_add(SEND_TAKES);
            let tag = Tag::DelayReq { sequence };
            self.after("a request's stamp", 0, |a, now| a.sent(tag, at(left), now));
            if self.receiver.answers > 0 {
                let way = self.receiver.delay.min(INTERVAL);
                self.now = self.now.saturating_add(2 * way);
                self.delay_resp(sequence, left.saturating_add(way));
            }
        }
    }

    /// The epochs that changes told of: how many, and whether each says that something has moved.
    fn told(&mut self) -> Option<(u32, &'static str)> {
        let mut last = None;
        while let Some(change) = self.association.poll_change() {
            if let Change::Epoch { epoch, reason } = change {
                last = Some((epoch, reason));
            }
        }
        last
    }

    /// Epochs count up, are told, and come only where the timeline moved.
    fn epoch_is_right(&mut self, told: Option<(u32, &'static str)>, stood_still: bool) {
        let now = self.association.timeline(at(self.now));
        let (epoch, former) = (now.conversion.epoch, self.before.conversion.epoch);
        let steps = self.association.counters().steps;
        assert!((former..=former + 2).contains(&epoch), "from epoch {former} to {epoch}");
        assert_eq!(told.map_or(former, |(epoch, _)| epoch), epoch);
        if let Some((_, reason)) = told {
            let moved = stood_still
                || steps != self.steps
                || now.conversion.role != self.before.conversion.role
                || now.grandmaster_id != self.before.grandmaster_id
                || now.receiver_clock_id != self.before.receiver_clock_id
                // The same clock from another port.
                || reason == "another clock answers at the receiver's address";
            assert!(moved, "a new epoch for nothing: {reason}");
        }
        self.steps = steps;
    }

    /// The published clock, against what it was.
    fn look(&mut self) {
        let now = at(self.now);
        let fresh = self.association.timeline(now);
        let (is, was) = (fresh.aged(now).conversion, self.before.aged(now).conversion);
        assert_eq!(is.role == Role::Leading, is.sync_state == SyncState::Leading);
        assert!(is.role != Role::Listening || !is.is_synchronized());
        assert!(fresh.last_sync <= now);
        if is.sync_state == SyncState::Locked {
            assert!(now.since(fresh.last_sync) < HOLDOVER_AFTER);
        }
        if is.is_synchronized() && was.is_synchronized() && is.epoch == was.epoch {
            assert_eq!(is.role, was.role, "another role in the same epoch");
            let jump = is.receiver_time(self.now).abs_diff(was.receiver_time(self.now));
            // At the ends of the range a timeline stands still.
            let ends = [PtpTime::default(), PtpTime::MAX];
            let held = ends.contains(&is.anchor_remote) || ends.contains(&was.anchor_remote);
            assert!(
                held || jump <= JUMP as u64,
                "the line jumped by {jump} ns within an epoch: {was:?} to {is:?}"
            );
        }
        if is.is_synchronized() {
            assert!(fresh.error_at(now.plus(Span::from_millis(1_000))) >= fresh.error_at(now));
            for away in [0, 1, -SECOND, 60 * SECOND + 1, 3_600 * SECOND] {
                let local = self.now.saturating_add(away);
                let remote = is.receiver_time(local);
                // Past the ends of the range there is no way back.
                if remote > 0 && remote < i64::MAX as u64 {
                    let back = is.local_time(remote);
                    assert!(back.abs_diff(local) <= 1, "{local} comes back as {back}: {is:?}");
                }
            }
        } else {
            assert_eq!(is.local_time(is.receiver_time(self.now)), self.now.max(0));
        }
        let _ = (self.association.advice(), self.association.announced(), is.offset_at(now));
        self.before = fresh;
    }
}
