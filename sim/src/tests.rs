//! The behaviour in virtual time: a receiver, what it sends, and a sender made of messages.
#![forbid(unsafe_code)]

use super::*;
use crate::messages::Composer;
use ptpbmca::time::{Correction, PtpTime, Timestamp};
use ptpbmca::wire::{decode, encode, Body, ClockIdentity, Header, Message, MessageType};
use std::net::IpAddr;

const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;
/// Where virtual time starts.
const START: i64 = 100 * SECOND;
const SENDER: ClockIdentity = ClockIdentity(0xfe6b_3a00_f840_0008);

fn sender() -> Host {
    Host::from(IpAddr::from([127, 0, 0, 1]))
}

/// A receiver and the virtual time it lives in.
struct World {
    core: Core,
    now: i64,
}

impl World {
    fn new(config: Config) -> Self {
        Self { core: Core::new(config, START), now: START }
    }

    fn with_peer(config: Config) -> Self {
        Self::new(Config { peers: vec![sender()], ..config })
    }

    /// Lets time pass until `at` after the start; gives what was sent and when.
    fn run(&mut self, at: i64) -> Vec<(i64, Message)> {
        let mut sent = Vec::new();
        let end = START + at;
        while let Some(deadline) = self.core.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            while let Some(transmit) = self.core.poll_transmit(self.now) {
                let message = decode(&transmit.bytes).unwrap();
                assert_eq!(message.message_type().is_event(), transmit.event);
                assert_eq!(transmit.to, sender());
                sent.push((self.now - START, message));
            }
        }
        self.now = end;
        sent
    }

    fn hear(&mut self, message: &Message) {
        let event = message.message_type().is_event();
        let arrival = Arrival { from: sender(), via: 0, event, at_ns: self.now };
        self.core.receive(&encode(message), arrival, self.now);
    }

    fn announce(&mut self, priority1: u8) {
        self.hear(&Composer { identity: SENDER, priority1 }.announce(0, SENDER));
    }

    fn sync(&mut self, sequence_id: u16) {
        let composer = Composer { identity: SENDER, priority1: 128 };
        let stamp = Timestamp { seconds: 1_790_000_000, nanoseconds: 5 };
        self.hear(&composer.sync(sequence_id));
        self.hear(&composer.follow_up(sequence_id, stamp, Correction::ZERO, SENDER));
    }

    fn lines(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.core.next_line()).collect()
    }
}

fn kinds(sent: &[(i64, Message)], kind: MessageType) -> Vec<i64> {
    sent.iter().filter(|(_, m)| m.message_type() == kind).map(|&(at, _)| at).collect()
}

/// Each Sync with its Follow_Up: when it left, sequenceId, and when the receiver says it left.
fn pairs(sent: &[(i64, Message)]) -> Vec<(i64, u16, u64)> {
    sent.windows(2)
        .filter(|w| w[0].1.message_type() == MessageType::Sync)
        .map(|w| {
            let Message { header, body: Body::FollowUp { precise_origin, .. } } = w[1].1 else {
                panic!("{:?} is no Follow_Up", w[1])
            };
            assert_eq!(w[0].1.header.sequence_id, header.sequence_id);
            let left =
                PtpTime::from_wire(precise_origin, &[header.correction, w[0].1.header.correction]).unwrap();
            (w[0].0, header.sequence_id, left.nanos())
        })
        .collect()
}

#[test]
fn it_serves_a_peer_as_a_homepod_does() {
    let mut world = World::with_peer(Config { skew_ppb: 23_456, ..Config::default() });
    let sent = world.run(10 * SECOND);
    assert_eq!(kinds(&sent, MessageType::Announce)[..3], [0, 250 * MS, 500 * MS]);
    assert_eq!(kinds(&sent, MessageType::Signaling)[..3], [0, SECOND, 2 * SECOND]);
    let syncs = kinds(&sent, MessageType::Sync);
    assert_eq!(syncs[..3], [200 * MS, 325 * MS, 450 * MS]);
    assert_eq!(syncs.len(), 79);
    for (at, _, left) in pairs(&sent) {
        assert_eq!(left, world.core.truth_at(START + at));
    }
    let corrections: Vec<_> = sent
        .iter()
        .filter(|(_, m)| m.message_type() == MessageType::FollowUp)
        .map(|(_, m)| m.header.correction.nanos())
        .collect();
    assert!(corrections.iter().all(|c| (500_000..=110_000_001).contains(c)), "{corrections:?}");
    assert!(corrections.iter().any(|&c| c > 30 * MS) && corrections.iter().any(|&c| c < 2 * MS));
}

#[test]
fn the_truth_comes_first_and_the_first_pair_is_told() {
    let mut world = World::with_peer(Config::default());
    let lines = world.lines();
    assert!(matches!(lines[0], Line::Truth(Segment { monotonic_ns: START, epoch: 0, .. })));
    assert_eq!(lines[1..], [Line::Event(START, Event::Serving)]);
    world.run(SECOND);
    let first = Line::Event(START + 200 * MS, Event::FirstSync(sender().ip));
    assert_eq!(world.lines(), [first]);
    assert_eq!(world.core.first_pair_at(), Some(START + 200 * MS));

    let mut later = World::with_peer(Config { phase_ns: 30 * MS, ..Config::default() });
    let sent = later.run(SECOND);
    assert_eq!((sent[0].0, kinds(&sent, MessageType::Sync)[0]), (30 * MS, 230 * MS));
}

#[test]
fn who_is_not_named_is_served_when_heard_unless_forbidden() {
    let mut open = World::new(Config::default());
    assert!(open.run(SECOND).is_empty());
    open.announce(250);
    assert_eq!(kinds(&open.run(2 * SECOND), MessageType::Sync)[0], 1200 * MS);

    let mut closed = World::new(Config { only_peers: true, ..Config::default() });
    closed.announce(250);
    assert!(closed.run(2 * SECOND).is_empty());
    assert_eq!(closed.core.counters().strangers, 1);
}

#[test]
fn it_yields_to_128_and_not_to_250() {
    let mut world = World::with_peer(Config::default());
    world.run(SECOND);
    world.announce(250);
    assert!(world.core.is_serving());
    world.announce(128);
    assert!(!world.core.is_serving());
    assert!(world.run(2 * SECOND).is_empty());
    // It follows: one Delay_Req for a pair, with the Sync's sequenceId.
    world.sync(77);
    let sent = world.run(2 * SECOND + MS);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].1.message_type(), sent[0].1.header.sequence_id), (MessageType::DelayReq, 77));
    assert_eq!(world.core.pairs(sender()).len(), 1);
    // Three seconds after the last sign of life it serves again.
    let sent = world.run(8 * SECOND);
    assert_eq!(kinds(&sent, MessageType::Announce)[0], 5 * SECOND);
    assert!(kinds(&sent, MessageType::Sync).len() > 20);
}

#[test]
fn the_delay_to_a_sender_is_measured() {
    let mut world = World::with_peer(Config::default());
    world.announce(128);
    world.sync(1);
    // The request leaves 2 ms after the pair came, and arrives 5 ms after the pair left: 3 ms for both ways.
    world.now += 2 * MS;
    let sent = world.run(2 * MS);
    let [.., (_, request)] = sent[..] else { panic!("no request") };
    let stamp = Timestamp { seconds: 1_790_000_000, nanoseconds: 5 + 5_000_000 };
    let composer = Composer { identity: SENDER, priority1: 128 };
    let response = composer.delay_resp(1, request.header.source, stamp, Correction::ZERO);
    // Somebody else's and another request's are refused, and so is the second of two.
    world
        .hear(&Message { body: Body::DelayResp { receive: stamp, requesting: composer.port() }, ..response });
    world.hear(&Message { header: Header { sequence_id: 2, ..response.header }, ..response });
    assert_eq!(world.core.pairs(sender())[0].path_delay_ns, None);
    world.hear(&response);
    assert_eq!(world.core.pairs(sender())[0].path_delay_ns, Some(1_500_000));
    world.hear(&response);
    assert_eq!(world.core.counters().delay_resp_unmatched, 3);
}

#[test]
fn only_whole_pairs_are_measured() {
    let mut world = World::with_peer(Config::default());
    let composer = Composer { identity: SENDER, priority1: 128 };
    let stamp = Timestamp { seconds: 9, nanoseconds: 0 };
    let follow_up = composer.follow_up(5, stamp, Correction::from_nanos(300), SENDER);
    let sync = composer.sync(5);
    let corrected = Header { correction: Correction::from_nanos(20), ..sync.header };
    // Before its Sync, of another Sync, of another clock: nothing.
    world.hear(&follow_up);
    world.hear(&composer.sync(4));
    world.hear(&follow_up);
    let stranger = Composer { identity: ClockIdentity(7), priority1: 128 };
    world.hear(&stranger.sync(5));
    world.hear(&follow_up);
    assert_eq!(world.core.counters().follow_up_unmatched, 3);
    // Without the information of 802.1AS: dropped.
    world.hear(&Message { header: corrected, ..sync });
    let bare = Body::FollowUp { precise_origin: stamp, information: None, apple_clock: None };
    world.hear(&Message { body: bare, ..follow_up });
    assert_eq!((world.core.counters().follow_up_short, world.core.counters().pairs), (1, 0));
    world.hear(&follow_up);
    let pairs = world.core.pairs(sender());
    let whole = Pair { arrival_ns: START, origin_ns: 9_000_000_320, sequence_id: 5, path_delay_ns: None };
    assert_eq!(pairs, [whole]);
    // They outlive a restart.
    world.core.apply(Command::Restart { uptime_ns: 0, silence_ns: 0 }, START);
    assert_eq!(world.core.pairs(sender()), [whole]);
}

#[test]
fn several_peers_are_served_in_one_beat_each_pair_unbroken() {
    let other = Host::from(IpAddr::from([127, 0, 0, 9]));
    let mut core = Core::new(Config { peers: vec![sender()], ..Config::default() }, START);
    let mut sent = Vec::new();
    let mut now = START;
    while now <= START + 2 * SECOND {
        while let Some(transmit) = core.poll_transmit(now) {
            let message = decode(&transmit.bytes).unwrap();
            sent.push((now - START, transmit.to, message.message_type(), message.header.sequence_id));
        }
        // Looked at every 10 ms: the beat is not moved by that.
        now += 10 * MS;
        if now == START + 500 * MS {
            let request = encode(&Composer { identity: SENDER, priority1: 250 }.delay_req(1));
            core.receive(&request, Arrival { from: other, via: 0, event: true, at_ns: now }, now);
        }
    }
    let syncs: Vec<_> = sent.windows(2).filter(|w| w[0].2 == MessageType::Sync).collect();
    assert!(syncs.iter().all(|w| w[1].2 == MessageType::FollowUp && w[1].1 == w[0].1 && w[1].3 == w[0].3));
    let times = |to| syncs.iter().filter(|w| w[0].1 == to).map(|w| (w[0].0, w[0].3)).collect::<Vec<_>>();
    // Every 125 ms from 200 ms on, seen at the next 10 ms; the second sender joins 200 ms after it was heard.
    let (first, second) = (times(sender()), times(other));
    assert_eq!(first.len(), 15);
    assert_eq!(first[14], (1950 * MS, 14));
    assert_eq!(second[..], first[first.len() - second.len()..]);
    assert_eq!(second[0], (700 * MS, 4));
}

#[test]
fn the_first_pair_counts_once_both_halves_have_left() {
    for seed in 0..200 {
        let outgoing = Impairments { loss_percent: 50.0, ..Impairments::default() };
        let mut world = World::with_peer(Config { outgoing, seed, ..Config::default() });
        let sent = world.run(5 * SECOND);
        let ids = |kind| sent.iter().filter(move |(_, m)| m.message_type() == kind);
        let whole = ids(MessageType::FollowUp).find(|(_, follow_up)| {
            ids(MessageType::Sync).any(|(_, sync)| sync.header.sequence_id == follow_up.header.sequence_id)
        });
        assert_eq!(world.core.first_pair_at(), whole.map(|(at, _)| START + at), "seed {seed}");
    }
}

#[test]
fn messages_of_another_dialect_are_dropped() {
    let mut world = World::with_peer(Config::default());
    world.run(SECOND);
    let composer = Composer { identity: SENDER, priority1: 128 };
    let announce = composer.announce(0, SENDER);
    world.hear(&Message { header: Header { major_sdo_id: 0, ..announce.header }, ..announce });
    world.hear(&Message { header: Header { domain: 3, ..announce.header }, ..announce });
    let request = composer.delay_req(5);
    world.hear(&Message { header: Header { major_sdo_id: 0, ..request.header }, ..request });
    let wrong_port = Arrival { from: sender(), via: 0, event: false, at_ns: world.now };
    world.core.receive(&encode(&request), wrong_port, world.now);
    world.core.receive(&[0x11, 2], wrong_port, world.now);
    assert!(world.core.is_serving());
    let counters = world.core.counters();
    assert_eq!(
        (counters.sdo_zero, counters.wrong_domain, counters.wrong_port, counters.malformed),
        (2, 1, 1, 1)
    );
    assert!(kinds(&world.run(2 * SECOND), MessageType::DelayResp).is_empty());
}

#[test]
fn a_delay_resp_tells_the_arrival_in_each_dialect() {
    let answer = |style, at_least| {
        let mut world = World::with_peer(Config {
            delay_resp: style,
            delay_resp_latency_ns: HOMEPOD_DELAY_RESP_LATENCY_NS,
            ..Config::default()
        });
        let (mut negative, mut positive) = (0, 0);
        for i in 0..40 {
            world.run(SECOND + i * 125 * MS + 7);
            // It is looked at 5 us after it came.
            let truth = world.core.truth_at(world.now - 5_000);
            let request = encode(&Composer { identity: SENDER, priority1: 250 }.delay_req(900));
            let arrival = Arrival { from: sender(), via: 0, event: true, at_ns: world.now - 5_000 };
            world.core.receive(&request, arrival, world.now);
            let sent = world.run(SECOND + i * 125 * MS + 110 * MS);
            let (at, response) =
                *sent.iter().find(|(_, m)| m.message_type() == MessageType::DelayResp).unwrap();
            let Body::DelayResp { receive, requesting } = response.body else { panic!() };
            assert_eq!((response.header.sequence_id, requesting.clock), (900, SENDER));
            assert_eq!(response.header.flags, 0x0608);
            let correction = response.header.correction;
            let told = match style {
                DelayResp::Plus => PtpTime::from_wire(receive, &[correction]),
                DelayResp::Minus => PtpTime::from_wire(receive, &[correction.negated()]),
                _ => PtpTime::from_wire(receive, &[]),
            };
            assert_eq!(told.unwrap().nanos(), truth);
            if style == DelayResp::TruthPlusCorrection {
                assert_eq!(correction.nanos(), START + at - (world.now - 110 * MS + 7 - 5_000));
            }
            negative += u32::from(correction.nanos() < 0);
            positive += u32::from(correction.nanos() > at_least);
        }
        (negative > 0, positive > 0)
    };
    assert_eq!(answer(DelayResp::Plus, 10 * MS), (true, true));
    assert_eq!(answer(DelayResp::Minus, 10 * MS), (true, true));
    assert_eq!(answer(DelayResp::Plain, 0), (false, false));
    answer(DelayResp::TruthPlusCorrection, 0);

    let mut never = World::with_peer(Config { delay_resp: DelayResp::Never, ..Config::default() });
    never.hear(&Composer { identity: SENDER, priority1: 250 }.delay_req(1));
    assert!(kinds(&never.run(SECOND), MessageType::DelayResp).is_empty());
    assert_eq!(never.core.counters().delay_req_received, 1);
}

#[test]
fn a_restart_drops_the_clock_and_starts_sequences_again() {
    let restart = Command::Restart { uptime_ns: 3_000_000_000, silence_ns: 2500 * MS };
    let mut world = World::with_peer(Config {
        script: vec![(5 * SECOND, restart)],
        skew_ppb: -40_000,
        ..Config::default()
    });
    let before = pairs(&world.run(5 * SECOND - 1));
    assert!(before.last().unwrap().1 > 30);
    let identity = world.core.identity();
    world.lines();
    // Silent: what it hears is not answered.
    assert!(world.run(6 * SECOND).is_empty());
    world.hear(&Composer { identity: SENDER, priority1: 250 }.delay_req(1));
    assert!(world.run(7 * SECOND).is_empty());
    assert_eq!(world.core.counters().unheard, 1);
    let sent = world.run(9 * SECOND);
    assert_eq!(kinds(&sent, MessageType::Announce)[0], 7500 * MS);
    let after = pairs(&sent);
    assert_eq!((after[0].0, after[0].1), (7700 * MS, 0));
    assert_eq!(after[0].2, 3_000_000_000 + 2_700_000_000 - 108_000);
    assert_eq!(world.core.identity(), identity);
    let Line::Truth(truth) = world.lines()[0] else { panic!() };
    assert_eq!((truth.monotonic_ns, truth.receiver_ns, truth.epoch), (START + 5 * SECOND, 3_000_000_000, 1));
}

#[test]
fn silence_ends_and_sequences_go_on() {
    let script = vec![(2 * SECOND, Command::Silence { for_ns: 5 * SECOND })];
    let mut world = World::with_peer(Config { script, ..Config::default() });
    let last = pairs(&world.run(2 * SECOND - 1)).last().unwrap().1;
    assert!(world.run(7 * SECOND - 1).is_empty());
    let after = pairs(&world.run(8 * SECOND));
    assert_eq!((after[0].0, after[0].1), (7 * SECOND, last + 1));
    assert_eq!(world.core.segment().epoch, 0);
}

#[test]
fn another_grandmaster_shows_in_announce_follow_up_and_phase() {
    let other = 0x5855_ca11_2233_0008;
    let command = Command::Grandmaster { identity: other, step_ns: 250 * MS, skew_ppb: Some(9_000) };
    let mut world = World::with_peer(Config { script: vec![(SECOND, command)], ..Config::default() });
    world.run(SECOND - 1);
    let sent = world.run(2 * SECOND);
    let mut seen = 0;
    for (_, message) in &sent {
        match message.body {
            Body::Announce(announce) => {
                assert_eq!((announce.dataset.grandmaster.0, announce.dataset.steps_removed), (other, 1));
                seen |= 1;
            }
            Body::FollowUp { apple_clock, .. } => {
                assert_eq!(apple_clock, Some(ClockIdentity(other)));
                seen |= 2;
            }
            _ => {}
        }
        assert_eq!(message.header.source.clock.0, world.core.identity());
    }
    assert_eq!(seen, 3);
    assert_eq!(world.core.truth_at(START + SECOND) - world.core.truth_at(START + SECOND - 1), 250_000_001);
    let (at, _, left) = pairs(&sent)[0];
    assert_eq!(left, world.core.truth_at(START + at));
}

#[test]
fn nqptp_wakes_a_sender_with_two_announces_and_never_serves() {
    let mut world = World::with_peer(Config { serving: Serving::WakeUp, ..Config::default() });
    assert!(world.run(SECOND).is_empty());
    world.announce(250);
    let sent = world.run(10 * SECOND);
    let seen: Vec<_> = sent
        .iter()
        .map(|(at, message)| match message.body {
            Body::Announce(announce) => (*at, message.header.sequence_id, announce.dataset.priority1),
            _ => panic!("{message:?}"),
        })
        .collect();
    assert_eq!(seen, [(SECOND, 0, 249), (1150 * MS, 0, 251)]);
    // Served, it stays quiet; announced to three times without a Follow_Up, it wakes again.
    world.sync(1);
    world.announce(250);
    world.announce(250);
    assert!(world.run(11 * SECOND).is_empty());
    world.announce(250);
    assert_eq!(world.run(12 * SECOND).len(), 2);
    assert_eq!(world.core.counters().wake_ups, 2);
}

#[test]
fn a_standalone_homepod_serves_whatever_it_hears_and_still_asks() {
    let mut world = World::with_peer(Config { serving: Serving::Always, ..Config::default() });
    world.run(SECOND);
    world.announce(128);
    world.sync(3);
    let sent = world.run(2 * SECOND);
    assert!(kinds(&sent, MessageType::Sync).len() >= 7);
    assert_eq!(kinds(&sent, MessageType::DelayReq), [SECOND]);
}

#[test]
fn one_that_waits_for_silence_serves_when_the_sender_stops() {
    let mut world = World::with_peer(Config { serving: Serving::WhenSilent, ..Config::default() });
    world.run(SECOND);
    world.announce(250);
    assert!(!world.core.is_serving());
    for i in 0..24 {
        world.run((i + 1) * SECOND);
        world.sync(i as u16);
        let sent = world.run((i + 1) * SECOND + 10 * MS);
        assert!(kinds(&sent, MessageType::Sync).is_empty());
        assert_eq!(kinds(&sent, MessageType::DelayReq).len(), 1);
    }
    // The one Announce in 20 s.
    assert!(world.core.counters().announce_sent >= 5);
    let sent = world.run(30 * SECOND);
    assert_eq!(kinds(&sent, MessageType::Announce)[0], 27 * SECOND);
    assert!(kinds(&sent, MessageType::Sync).len() > 20);
}

#[test]
fn announces_thin_out_or_never_come_and_sync_can_be_missing() {
    let mut thin = World::with_peer(Config { announcing: Announcing::Thinning, ..Config::default() });
    let announces = kinds(&thin.run(45 * SECOND), MessageType::Announce);
    assert_eq!(announces, [0, 250 * MS, 500 * MS, 20_500 * MS, 40_500 * MS]);

    let mut never = World::with_peer(Config { announcing: Announcing::Never, ..Config::default() });
    let sent = never.run(2 * SECOND);
    assert!(kinds(&sent, MessageType::Announce).is_empty() && !kinds(&sent, MessageType::Sync).is_empty());

    let mut mute = World::with_peer(Config { never_sync: true, ..Config::default() });
    let sent = mute.run(2 * SECOND);
    assert!(kinds(&sent, MessageType::Sync).is_empty() && !kinds(&sent, MessageType::Announce).is_empty());
}

#[test]
fn a_late_link_does_not_touch_the_stamps() {
    let outgoing = Impairments { jitter_ns: 40 * MS, loss_percent: 5.0, ..Impairments::default() };
    let mut world = World::with_peer(Config { outgoing, ..Config::default() });
    let sent = world.run(60 * SECOND);
    let mut late = 0;
    let mut sync = None;
    for (at, message) in &sent {
        match message.body {
            Body::Sync { .. } => sync = Some((*at, message.header.sequence_id)),
            Body::FollowUp { precise_origin, .. } => {
                let left = PtpTime::from_wire(precise_origin, &[message.header.correction]).unwrap().nanos();
                let Some((arrived, _)) = sync.filter(|s| s.1 == message.header.sequence_id) else { continue };
                let delay = world.core.truth_at(START + arrived) - left;
                assert!(delay <= 40 * MS as u64);
                late += u32::from(delay > 10 * MS as u64);
            }
            _ => {}
        }
    }
    assert!(late > 100, "{late} pairs were late");
    assert!(world.core.counters().lost > 10);
}

#[test]
fn the_dead_say_nothing() {
    let mut world = World::with_peer(Config { script: vec![(SECOND, Command::Die)], ..Config::default() });
    assert!(!world.run(SECOND - 1).is_empty());
    assert!(world.run(5 * SECOND).is_empty());
    assert!(world.core.is_dead());
    assert_eq!(world.core.deadline(), None);
    assert_eq!(world.lines().last(), Some(&Line::Event(START + SECOND, Event::Died)));
}

#[test]
fn a_looping_or_far_announce_is_refused_and_peers_are_bounded() {
    let mut world = World::new(Config::default());
    let own = ClockIdentity(world.core.identity());
    let composer = Composer { identity: SENDER, priority1: 1 };
    world.hear(&composer.announce(0, own));
    let mut looping = composer.announce(0, SENDER);
    if let Body::Announce(announce) = &mut looping.body {
        announce.path_trace = Some([SENDER, own].into_iter().collect());
    }
    world.hear(&looping);
    let mut far = composer.announce(0, SENDER);
    if let Body::Announce(announce) = &mut far.body {
        announce.dataset.steps_removed = 255;
    }
    world.hear(&far);
    assert_eq!(world.core.counters().announce_refused, 3);
    assert!(world.core.is_serving());
    for i in 0..100 {
        let from = Host::from(IpAddr::from([127, 9, 0, i]));
        let arrival = Arrival { from, via: 0, event: true, at_ns: world.now };
        world.core.receive(&encode(&composer.delay_req(1)), arrival, world.now);
    }
    assert_eq!(world.core.counters().strangers, 37);
}
