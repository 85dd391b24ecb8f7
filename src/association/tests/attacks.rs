//! Somebody at the receiver's own address, who knows its identity or does not: what is refused, and what can be done.
#![forbid(unsafe_code)]

use super::super::Refusal;
use super::*;

/// What a Follow_Up may say that no clock reads, or none here.
fn absurd(world: &World) -> Vec<Message> {
    let now = world.now;
    let sound = world.receiver.follow_up(now);
    let Body::FollowUp { precise_origin, information, .. } = sound.body else { unreachable!() };
    let with = |seconds, nanoseconds, correction| {
        let precise_origin = Timestamp { seconds, nanoseconds };
        let body = Body::FollowUp { precise_origin, information, apple_clock: world.receiver.timeline };
        let mut message = world.receiver.message(sound.header.sequence_id, 0, body);
        message.header.correction = Correction::from_scaled(correction);
        message
    };
    let (seconds, nanoseconds) = (precise_origin.seconds, precise_origin.nanoseconds);
    vec![
        with(seconds, 1_000_000_000, 0),
        with(seconds, u32::MAX, 0),
        with((1 << 48) - 1, 999_999_999, 0),
        with((1 << 48) - 1, nanoseconds, i64::MAX),
        with(0, 0, i64::MIN),
        with(0, 0, 0),
        with(seconds, nanoseconds, i64::MAX),
        with(seconds, nanoseconds, i64::MIN),
        with(seconds, nanoseconds, 1),
        with(seconds + 3_600, nanoseconds, 0),
        with(seconds.saturating_sub(3_600), nanoseconds, 0),
    ]
}

/// Nothing has moved it.
fn unmoved(world: &World) {
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.grandmaster(), world.longest_wrong), (0, HOMEPOD.clock, 0));
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    within_its_bound(world);
}

/// The truth, but for the one-way delay that nothing shows here, is where the bound says.
fn within_its_bound(world: &World) {
    let (error, bound) = (world.error().unwrap() + world.receiver.down, world.timeline().error_ns);
    assert!(error.unsigned_abs() <= bound, "{error} of {bound}");
}

/// For some seconds: each true Sync, then whatever `between` says, then its Follow_Up.
fn attacked(seconds: i64, mut between: impl FnMut(&mut World)) -> World {
    let mut world = World::locked(RolePolicy::Auto);
    for _ in 0..8 * seconds {
        let left = world.now;
        let (sync, follow_up) = (world.receiver.sync(), world.receiver.follow_up(left));
        world.run(MS);
        world.hear(&sync);
        between(&mut world);
        world.run(MS);
        world.hear(&follow_up);
        world.receiver.sync_sequence = world.receiver.sync_sequence.wrapping_add(1);
        world.run(INTERVAL - 2 * MS);
    }
    world
}

#[test]
fn absurd_follow_ups_leave_room_for_the_true_one() {
    let world = attacked(4, |world| {
        for message in absurd(world) {
            world.hear(&message);
        }
    });
    unmoved(&world);
    assert!(world.refused(Refusal::Timestamp) >= 32 && world.refused(Refusal::Outlier) >= 32);
}

#[test]
fn absurd_follow_ups_ahead_of_their_sync_are_no_better() {
    let world = attacked(4, |world| {
        world.receiver.sync_sequence += 1;
        for message in absurd(world) {
            world.hear(&message);
        }
        world.receiver.sync_sequence -= 1;
    });
    unmoved(&world);
}

#[test]
fn one_follow_up_that_names_another_clock_voids_nothing() {
    let mut number = 0;
    let world = attacked(4, |world| {
        number += 1;
        let mut forged = world.receiver.clone();
        forged.timeline = Some(ClockIdentity(APPLE_TV.0 + number % 2));
        forged.offset += 7 * SECOND;
        let forged = forged.follow_up(world.now);
        world.hear(&forged);
    });
    unmoved(&world);
    assert_eq!(world.refused(Refusal::Outlier), 32);
}

#[test]
fn pairs_of_one_time_while_the_receivers_are_lost_are_no_step() {
    let mut world = World::locked(RolePolicy::Auto);
    let mut forged = world.receiver.clone();
    forged.offset += 7 * SECOND;
    let follow_up = forged.follow_up(world.now);
    // So close together that any three of them look alike.
    for ahead in 1..16 {
        world.run(40 * MS);
        forged.sync_sequence = world.receiver.sync_sequence.wrapping_add(ahead);
        let mut follow_up = follow_up;
        follow_up.header.sequence_id = forged.sync_sequence;
        world.hear(&forged.sync());
        world.hear(&follow_up);
    }
    assert_eq!(world.refused(Refusal::Outlier), 15);
    world.serve(4 * INTERVAL);
    unmoved(&world);
}

#[test]
fn two_at_once_are_no_more_than_one() {
    let mut number = 1_000;
    let world = attacked(4, |world| {
        // Syncs of its own with their Follow_Ups, within a millisecond.
        let mut forged = world.receiver.clone();
        forged.timeline = Some(APPLE_TV);
        for ahead in 1..6 {
            number += 1;
            forged.sync_sequence = world.receiver.sync_sequence.wrapping_add(ahead);
            forged.offset += number % 3;
            let (sync, follow_up) = (forged.sync(), forged.follow_up(world.now));
            world.hear(&sync);
            world.hear(&follow_up);
        }
    });
    unmoved(&world);
}

#[test]
fn replays_are_duplicates() {
    let mut recorded: Vec<Message> = Vec::new();
    let world = attacked(20, |world| {
        // The newest ones first: those of the last second, and older.
        for message in recorded.iter().rev() {
            world.hear(message);
        }
        recorded.extend([world.receiver.sync(), world.receiver.follow_up(world.now - MS)]);
    });
    unmoved(&world);
    assert_eq!(world.refused(Refusal::Duplicate), 159 * 160);
}

#[test]
fn every_sequence_id_there_is_leaves_the_true_ones_alone() {
    for both in [false, true] {
        let mut next = 0_u16;
        let world = attacked(8, |world| {
            let mut forged = world.receiver.clone();
            forged.offset += 7 * SECOND;
            let (mut sync, mut follow_up) = (forged.sync(), forged.follow_up(world.now));
            for _ in 0..12_000 {
                next = next.wrapping_add(1);
                // Its own are the targeted attack of other tests.
                if next == world.receiver.sync_sequence {
                    continue;
                }
                (sync.header.sequence_id, follow_up.header.sequence_id) = (next, next);
                if both {
                    world.hear(&follow_up);
                }
                world.hear(&sync);
            }
        });
        // Two sweeps of all ids come across those that are next: the pair of that time is lost, no more.
        assert_eq!(world.state(), (Role::Following, SyncState::Locked), "{both}");
        assert_eq!((world.epoch(), world.longest_wrong), (0, 0), "{both}");
        assert!(world.refused(Refusal::Duplicate) > 100_000 && world.refused(Refusal::Unmatched) > 100_000);
    }
}

#[test]
fn corrections_at_the_limits_of_what_can_be_written_cost_no_lock() {
    let mut number = 0;
    let world = attacked(8, |world| {
        number += 1;
        let mut sync = world.receiver.sync();
        sync.header.correction = Correction::from_scaled([i64::MAX, i64::MIN][number % 2]);
        if number % 5 == 0 {
            world.hear(&sync);
        }
    });
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.longest_wrong), (0, 0));
}

#[test]
fn a_flood_of_requests_gets_so_many_answers_and_the_receiver_its_own() {
    let mut world = World::new(RolePolicy::Lead);
    let mut stranger = Receiver::homepod();
    stranger.identity.clock = APPLE_TV;
    let asks = |asker: &Receiver, sequence| {
        asker.message(sequence, 0, Body::DelayReq { origin: Timestamp::default() })
    };
    for second in 0..2 {
        world.hear(&asks(&Receiver::homepod(), 8 * second));
        world.forget();
        for sequence in 0..10_000 {
            world.hear(&asks(&stranger, sequence));
            if sequence % 1_250 == 0 {
                world.hear(&asks(&Receiver::homepod(), 8 * second + sequence / 1_250));
            }
            world.run(100 * US);
        }
        let answers = world.sent_of(MessageType::DelayResp);
        let to = |who: ClockIdentity| {
            let is = |sent: &&&Sent| match sent.message.body {
                Body::DelayResp { requesting, .. } => requesting.clock == who,
                _ => false,
            };
            answers.iter().filter(is).count()
        };
        assert_eq!(to(HOMEPOD.clock), 8);
        assert!((60..110).contains(&to(APPLE_TV)), "{}", to(APPLE_TV));
        assert_eq!(world.timeline().receiver_clock_id, HOMEPOD.clock.0);
    }
    assert!(world.refused(Refusal::Flood) > 19_000);
    // Once it is silent, another one that asks is the receiver.
    world.run(2_100 * MS);
    world.hear(&asks(&stranger, 0));
    assert_eq!(world.timeline().receiver_clock_id, APPLE_TV.0);
}

#[test]
fn a_flood_of_announces_turns_the_role_no_more_often_than_a_few_times_a_second() {
    let mut world = World::new(RolePolicy::Auto);
    for _ in 0..10_000 {
        world.receiver.priority1 ^= 3;
        world.hear_announce();
        world.run(100 * US);
    }
    assert!(world.roles_told().len() < 60, "{}", world.roles_told().len());
    assert!(world.refused(Refusal::Flood) > 9_900);
}

#[test]
fn an_answer_that_cannot_be_one_leaves_room_for_the_true_one() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.answers = Answers::Plus(42 * MS);
    let before = world.association.counters().delay_resp_used;
    for _ in 0..16 {
        world.post_pair();
        world.run(3 * MS);
        // Before the true answer.
        let asked = world.sent_of(MessageType::DelayReq).last().unwrap().message.header.sequence_id;
        let body = Body::DelayResp { receive: Timestamp { seconds: 1, nanoseconds: 0 }, requesting: OURS };
        let forged = world.receiver.message(asked, 0, body);
        world.hear(&forged);
        world.run(INTERVAL - 3 * MS);
    }
    assert_eq!(world.refused(Refusal::Implausible), 16);
    assert_eq!(world.association.counters().delay_resp_used, before + 16);
}

#[test]
fn what_no_network_can_do_is_not_believed_beside_the_truth() {
    // On the receiver's address, with its identity, and always a little sooner than itself.
    for shift in [7 * SECOND, 200 * MS, 60 * MS, -7 * SECOND] {
        let world = attacked(6, |world| {
            let mut forged = world.receiver.clone();
            forged.offset += shift;
            let forged = forged.follow_up(world.now - MS);
            world.hear(&forged);
        });
        assert_eq!(world.state(), (Role::Following, SyncState::Locked), "{shift}");
        assert_eq!((world.epoch(), world.longest_wrong), (0, 0), "{shift}");
        within_its_bound(&world);
    }
}

#[test]
fn what_a_network_could_do_is_believed_and_shows_in_epoch_or_bound() {
    // As above, by no more than a queue or a step back: the true Follow_Up then comes second. Nothing tells which is true.
    for (shift, epochs) in [(-200 * MS, 1), (-3 * MS, 0)] {
        let mut world = attacked(60, |world| {
            let mut forged = world.receiver.clone();
            forged.offset += shift;
            let forged = forged.follow_up(world.now - MS);
            world.hear(&forged);
        });
        assert_eq!(world.state(), (Role::Following, SyncState::Locked), "{shift}");
        assert_eq!(world.epoch(), epochs, "{shift}");
        if epochs == 0 {
            within_its_bound(&world);
        } else {
            let moved = world.error().unwrap() - shift;
            assert!(moved.abs() < 2 * MS, "{shift}: {moved}");
        }
        // Once it is gone, the truth is back, by a step or without.
        world.serve(60 * SECOND);
        assert_eq!(world.epoch(), 2 * epochs, "{shift}");
        assert_eq!(world.state(), (Role::Following, SyncState::Locked));
        within_its_bound(&world);
    }
}
