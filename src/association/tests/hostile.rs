//! Whatever comes in, whenever: no panic, no busy loop, nothing that grows.
#![forbid(unsafe_code)]

use super::super::{Then, CHANGES, OUTBOX};
use super::*;
use crate::wire::Tlv;

/// A small generator of our own, so that a failing seed stays what it is (Steele, Lea and Flood's SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Times a local clock should never read, and ordinary ones.
fn any_time(random: &mut Random, now: i64) -> i64 {
    let extremes = [0, -1, 1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, START, -START, i64::MAX / 2];
    match random.below(20) {
        0 => random.pick(&extremes),
        1 => now.saturating_sub(random.below(100 * SECOND as u64) as i64),
        2 => now.saturating_add(random.below(3_600 * SECOND as u64) as i64),
        3 => random.next() as i64,
        _ => now.saturating_add(random.below(200 * MS as u64) as i64),
    }
}

/// A valid message of some sort, of one of a few speakers.
fn any_message(random: &mut Random, now: i64) -> Vec<u8> {
    let mut speaker = Receiver::homepod();
    speaker.identity.clock =
        random.pick(&[HOMEPOD.clock, HOMEPOD.clock, HOMEPOD.clock, APPLE_TV, OURS.clock]);
    speaker.timeline = random.pick(&[None, Some(HOMEPOD.clock), Some(APPLE_TV), Some(ClockIdentity(0))]);
    speaker.grandmaster = random.pick(&[HOMEPOD.clock, HOMEPOD.clock, APPLE_TV, OURS.clock]);
    speaker.priority1 = random.pick(&[0, 128, 248, 249, 250, 251, 255]);
    speaker.steps_removed = random.pick(&[0, 0, 1, 254, 255, u16::MAX]);
    speaker.sync_sequence = random.pick(&[0, 1, 2, 3, 4, 65_535]);
    let random_stamp = Timestamp { seconds: random.next() >> 16, nanoseconds: random.next() as u32 };
    let t = random.pick(&[Timestamp { seconds: 3, nanoseconds: 999_999_999 }, random_stamp]);
    let requesting = random.pick(&[OURS, OURS, HOMEPOD]);
    let tlv = Tlv::RequestUnicast { message_type: 0, log_interval: -3, duration_s: u32::MAX };
    let body = match random.below(9) {
        0 => Body::Sync { origin: t },
        1 => speaker.follow_up(now.clamp(START, 100 * START)).body,
        2 => Body::FollowUp { precise_origin: t, information: None, apple_clock: speaker.timeline },
        3 => speaker.announce().body,
        4 => Body::DelayReq { origin: t },
        5 => Body::DelayResp { receive: t, requesting },
        6 => Body::PdelayReq { origin: t },
        7 => Body::PdelayResp { receipt: t, requesting },
        _ => Body::Signaling { target: OURS, tlvs: std::iter::repeat_n(tlv, 8).collect() },
    };
    let correction = random.pick(&[0, 0, 24_990_916, i64::MAX, i64::MIN, -1]);
    wire::encode(&speaker.message(speaker.sync_sequence, correction, body)).to_vec()
}

/// One random packet: noise, or a message, whole or damaged.
fn any_packet(random: &mut Random, now: i64) -> Vec<u8> {
    match random.below(5) {
        0 => (0..random.below(160)).map(|_| random.next() as u8).collect(),
        1 => {
            let mut bytes = any_message(random, now);
            for _ in 0..=random.below(4) {
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1 << random.below(8);
            }
            bytes.truncate(random.below(2 * bytes.len() as u64) as usize);
            bytes
        }
        _ => any_message(random, now),
    }
}

fn any_association(random: &mut Random, now: i64) -> Association {
    let policy = random.pick(&[RolePolicy::Auto, RolePolicy::Auto, RolePolicy::Follow, RolePolicy::Lead]);
    let peers = random.pick(&[1, 2, 8]);
    let served = random.pick(&[SERVED, 0, i64::MIN, i64::MAX]);
    Association::new(Config { peers, ..config(policy) }, Span::from_nanos(served), at(now))
}

/// What has to hold at any time.
fn holds(association: &Association, now: i64, seed: u64) {
    assert!(association.outbox.len() <= OUTBOX && association.changes.len() <= CHANGES, "seed {seed}");
    let timeline = association.timeline(at(now));
    let conversion = timeline.conversion;
    let _ = (conversion.receiver_time(now), conversion.local_time(0), timeline.error_at(at(now)));
    let _ = (timeline.aged(at(now)), association.advice(), association.announced());
    assert_eq!(association.sync_state() == SyncState::Leading, association.role() == Role::Leading);
    assert!(association.role() != Role::Listening || !association.sync_state().is_synchronized());
}

/// After `tick` there is nothing left that is due; except in the last day before the clock's end.
fn rests(association: &mut Association, now: i64, seed: u64) {
    association.tick(at(now));
    let deadline = association.poll_timeout();
    if now < i64::MAX - 86_400 * SECOND {
        assert!(deadline.is_none_or(|deadline| deadline > at(now)), "seed {seed}: {deadline:?} at {now}");
    }
}

#[test]
fn packets_of_any_kind_leave_it_standing() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut now = START;
        let mut association = any_association(&mut random, now);
        for _ in 0..200 {
            now += random.below(80 * MS as u64) as i64;
            let bytes = any_packet(&mut random, now);
            let packet = Packet { bytes: &bytes, peer: random.below(3) as u8, received: at(now) };
            association.receive(packet, at(now));
            holds(&association, now, seed);
            // A host that sends, now and then.
            while random.below(4) > 0 {
                let Some(transmit) = association.poll_transmit() else { break };
                if let Some(tag) = transmit.tag {
                    association.sent(tag, at(now), at(now));
                }
            }
            rests(&mut association, now, seed);
        }
        let counters = association.counters();
        let refused: u64 = super::super::Refusal::ALL.iter().map(|why| counters.refused(*why)).sum();
        assert!(refused > 0, "seed {seed}");
    }
}

#[test]
fn calls_in_any_order_at_any_time_leave_it_standing() {
    for seed in 1_000..1_060 {
        let mut random = Random(seed);
        let mut now = any_time(&mut random, START);
        let mut association = any_association(&mut random, now);
        let mut tags = vec![
            Tag::Sync { peer: 255, sequence: 9, then: Then::Announce },
            Tag::DelayReq { sequence: 1 },
            Tag::Sync { peer: 0, sequence: 65_535, then: Then::Opening },
        ];
        for _ in 0..200 {
            now = any_time(&mut random, now);
            match random.below(8) {
                0 => rests(&mut association, now, seed),
                1 => {
                    let (tag, left) = (random.pick(&tags), any_time(&mut random, now));
                    association.sent(tag, at(left), at(now));
                }
                2 => {
                    let transmits = std::iter::from_fn(|| association.poll_transmit());
                    tags.extend(transmits.filter_map(|transmit| transmit.tag));
                }
                3 => while association.poll_change().is_some() {},
                4 if random.below(8) == 0 => {
                    let (by, served) = (any_time(&mut random, 0), any_time(&mut random, SERVED));
                    let (by, served) = (Span::from_nanos(by), Span::from_nanos(served));
                    association.local_clock_stood_still(by, served, at(now));
                }
                _ => {
                    let bytes = any_packet(&mut random, now);
                    let received = at(any_time(&mut random, now));
                    let packet = Packet { bytes: &bytes, peer: random.next() as u8 % 4, received };
                    association.receive(packet, at(now));
                }
            }
            holds(&association, now, seed);
        }
        rests(&mut association, now, seed);
    }
}

#[test]
fn a_flood_costs_a_bounded_outbox() {
    let mut association = Association::new(config(RolePolicy::Auto), Span::from_nanos(SERVED), at(START));
    let ask = Receiver::homepod().message(1, 0, Body::PdelayReq { origin: Timestamp::default() });
    let ask = wire::encode(&ask);
    for ms in 0..10_000 {
        let now = at(START + ms * MS);
        association.receive(Packet { bytes: &ask, peer: 0, received: now }, now);
    }
    assert_eq!(association.outbox.len(), OUTBOX);
    // What was dropped was not counted as sent.
    let sent: u64 = association.counters().sent(MessageType::PdelayResp);
    assert_eq!(sent as usize, OUTBOX - 1);
}

#[test]
fn changes_that_nobody_reads_make_room_for_later_ones() {
    let mut association = Association::new(config(RolePolicy::Auto), Span::from_nanos(SERVED), at(START));
    let mut flapping = Receiver::homepod();
    for ms in 0..200 {
        flapping.priority1 ^= 3;
        let announce = wire::encode(&flapping.announce());
        let now = at(START + ms * MS);
        association.receive(Packet { bytes: &announce, peer: 0, received: now }, now);
    }
    assert_eq!(association.changes.len(), CHANGES);
    let epoch = association.timeline(at(START)).conversion.epoch;
    let told = std::iter::from_fn(|| association.poll_change());
    assert!(told
        .into_iter()
        .any(|change| matches!(change, Change::Epoch { epoch: last, .. } if last == epoch)));
}

#[test]
fn a_clock_that_flaps_between_better_and_worse_is_bounded_too() {
    let mut world = World::new(RolePolicy::Auto);
    for _ in 0..1_000 {
        world.receiver.priority1 ^= 3;
        world.hear_announce();
        world.run(MS);
    }
    // Five messages for two of its own: no worse than an answer to each.
    assert!(world.sent.len() < 3_000, "{} messages", world.sent.len());
}
