//! The timeline changes under us: restarts, steps, other grandmasters. Once told, once counted, never wrong for long.
#![forbid(unsafe_code)]

use super::super::sign::CorrectionSign;
use super::super::Refusal;
use super::*;

/// What a handover is told by.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Announce this long after the phase, in ns.
    announce: Option<i64>,
    /// By the Follow_Ups' own Apple clock TLV; `None` where they carry none at all.
    follow_up: Option<bool>,
}

/// A quarter of a second ahead, or back, with another grandmaster.
fn hand_over(told: Told, step: i64) {
    let mut world = World::new(RolePolicy::Auto);
    if told.follow_up.is_none() {
        world.receiver.timeline = None;
    }
    world.run(50 * MS);
    world.serve_and_announce(6 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    world.forget();
    let handover = world.now;
    world.receiver.offset += step;
    if told.follow_up == Some(true) {
        world.receiver.timeline = Some(APPLE_TV);
    }
    if let Some(after) = told.announce {
        world.receiver.grandmaster = APPLE_TV;
        for round in 0..8 {
            let announce = world.receiver.announce();
            world.post(handover + after + round * SECOND, 0, &announce);
        }
    }
    world.serve(8 * SECOND);
    assert_eq!(world.epoch(), 1, "{told:?} {step}");
    assert_eq!(world.grandmaster(), APPLE_TV, "{told:?} {step}");
    assert_eq!(world.grandmasters_told(), [(HOMEPOD.clock, APPLE_TV)], "{told:?} {step}");
    assert_eq!(world.state(), (Role::Following, SyncState::Locked), "{told:?} {step}");
    assert!(world.longest_wrong <= SECOND, "{told:?} {step}: wrong for {} ns", world.longest_wrong);
    assert!(world.roles_told().is_empty());
}

#[test]
fn a_handover_told_by_announce_and_follow_up_is_one_epoch() {
    for announce in [0, 60 * MS, 200 * MS, 700 * MS, SECOND] {
        hand_over(Told { announce: Some(announce), follow_up: Some(true) }, 250 * MS);
        hand_over(Told { announce: Some(announce), follow_up: Some(true) }, -250 * MS);
    }
}

#[test]
fn a_handover_told_by_announce_only_is_one_epoch() {
    for follow_up in [None, Some(false)] {
        hand_over(Told { announce: Some(0), follow_up }, 250 * MS);
        hand_over(Told { announce: Some(0), follow_up }, -250 * MS);
    }
}

#[test]
fn a_handover_told_by_follow_up_only_is_one_epoch() {
    hand_over(Told { announce: None, follow_up: Some(true) }, 250 * MS);
    hand_over(Told { announce: None, follow_up: Some(true) }, -250 * MS);
    hand_over(Told { announce: None, follow_up: Some(true) }, 7 * MS);
}

#[test]
fn a_phase_step_before_its_announce_is_one_epoch() {
    for announce in [100 * MS, 300 * MS, 500 * MS, 700 * MS, SECOND] {
        for follow_up in [None, Some(false)] {
            hand_over(Told { announce: Some(announce), follow_up }, 250 * MS);
        }
    }
}

#[test]
fn an_announce_ahead_of_the_phase_is_one_epoch() {
    // Pairs of the old timeline, still named so, are under way for some Sync intervals.
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.grandmaster = APPLE_TV;
    world.hear_announce();
    world.serve(3 * INTERVAL);
    assert_eq!(world.epoch(), 0);
    world.receiver.offset += 7 * MS;
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(5 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    assert_eq!(world.grandmasters_told(), [(HOMEPOD.clock, APPLE_TV)]);
    assert!(world.longest_wrong <= SECOND);
}

#[test]
fn a_late_follow_up_of_the_old_grandmaster_is_no_second_handover() {
    let mut world = World::locked(RolePolicy::Auto);
    let left = world.now;
    let (sync, late) = (world.receiver.sync(), world.receiver.follow_up(left));
    world.receiver.sync_sequence += 1;
    world.hear(&sync);
    world.run(INTERVAL);
    world.receiver.offset += 250 * MS;
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(2 * INTERVAL);
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    let refused = world.refused(Refusal::Outlier);
    world.hear(&late);
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    assert_eq!(world.refused(Refusal::Outlier), refused + 1);
    world.serve(3 * SECOND);
    assert_eq!(world.grandmasters_told().len(), 1);
    assert_eq!(world.epoch(), 1);
    // The first of the new grandmaster's pairs waits for the second.
    assert!(world.longest_wrong <= INTERVAL, "{}", world.longest_wrong);
}

#[test]
fn another_clocks_announce_through_the_same_receiver_stays_followed() {
    // A HomePod that follows a home-theatre Apple TV: the grandmaster is not the clock we talk to.
    let mut world = World::new(RolePolicy::Auto);
    world.receiver.grandmaster = APPLE_TV;
    world.receiver.timeline = Some(APPLE_TV);
    world.receiver.steps_removed = 1;
    world.run(50 * MS);
    world.serve_and_announce(5 * SECOND);
    assert_eq!(world.grandmaster(), APPLE_TV);
    assert_eq!(world.timeline().receiver_clock_id, HOMEPOD.clock.0);
    assert_eq!(world.epoch(), 0);
    assert!(world.grandmasters_told().is_empty());
}

#[test]
fn the_first_announce_after_pairs_names_the_clock_and_keeps_the_measurement() {
    let mut world = World::new(RolePolicy::Auto);
    world.receiver.timeline = None;
    world.run(300 * MS);
    world.serve(3 * SECOND);
    assert_eq!((world.grandmaster(), world.epoch()), (HOMEPOD.clock, 0));
    world.receiver.grandmaster = APPLE_TV;
    world.hear_announce();
    // Anchors that bear the guessed clock's name are void; the line is not.
    assert_eq!((world.grandmaster(), world.epoch()), (APPLE_TV, 1));
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
}

#[test]
fn follow_ups_are_nearer_to_the_pairs_than_a_first_announce() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.serve(3 * SECOND);
    world.receiver.grandmaster = APPLE_TV;
    world.serve_and_announce(3 * SECOND);
    assert_eq!((world.grandmaster(), world.epoch()), (HOMEPOD.clock, 0));
}

#[test]
fn an_announce_that_takes_its_word_back_was_no_handover() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.grandmaster = APPLE_TV;
    world.hear_announce();
    world.serve(2 * INTERVAL);
    world.receiver.grandmaster = HOMEPOD.clock;
    world.hear_announce();
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (0, HOMEPOD.clock));
    assert!(world.changes.is_empty());
}

#[test]
fn what_a_correction_means_outlives_a_handover_but_not_the_receiver() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.answers = Answers::Minus(330 * MS);
    // One answer of the old timeline is under way when the new one begins.
    world.receiver.turnaround = 300 * MS;
    world.serve(3 * SECOND);
    assert_eq!(world.association.exchanges.proven(), Some(CorrectionSign::Minus));
    let unrequested = world.refused(Refusal::Unrequested);
    world.receiver.offset += 7 * MS;
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(2 * INTERVAL);
    assert_eq!(world.refused(Refusal::Unrequested), unrequested + 1);
    assert_eq!(world.association.exchanges.proven(), Some(CorrectionSign::Minus));
    world.receiver.answers = Answers::Never;
    world.run(2_100 * MS);
    world.receiver.identity.clock = APPLE_TV;
    world.serve(INTERVAL);
    assert_eq!(world.association.exchanges.proven(), None);
}

#[test]
fn follow_ups_have_the_last_word_on_a_handover() {
    let third = ClockIdentity(3);
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.grandmaster = third;
    world.hear_announce();
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    assert_eq!(world.grandmasters_told(), [(HOMEPOD.clock, APPLE_TV)]);
}

#[test]
fn another_grandmaster_before_the_clock_was_trusted_voids_nothing() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.serve(INTERVAL);
    assert_eq!(world.association.sync_state(), SyncState::Acquiring);
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (0, APPLE_TV));
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
}

#[test]
fn a_restart_is_one_epoch_and_soon_right() {
    for repeats_ids in [true, false] {
        let mut world = World::locked(RolePolicy::Auto);
        world.run(2_500 * MS);
        assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
        world.forget();
        // Up for 3 s, with ids from the start.
        world.receiver.offset += 3 * SECOND - world.receiver.clock_at(world.now);
        world.wrong_since = None;
        world.longest_wrong = 0;
        world.receiver.sync_sequence = if repeats_ids { 100 } else { 0 };
        world.receiver.announce_sequence = 0;
        world.serve_and_announce(5 * SECOND);
        assert!(world.longest_wrong <= SECOND, "wrong for {} ns", world.longest_wrong);
        assert_eq!(world.epoch(), 1);
        assert_eq!(world.association.counters().steps, 1);
        assert_eq!(world.state(), (Role::Following, SyncState::Locked));
        assert!(world.grandmasters_told().is_empty() && world.roles_told().is_empty());
        let standing: Vec<_> = world.changes.iter().map(|(_, change)| *change).collect();
        // Trusted again at once or a little later, but never told the one without the other.
        assert_eq!(standing.contains(&Change::Lost), standing.contains(&Change::Synchronized));
        // Exchanges go on with the ids that come again.
        world.receiver.answers = Answers::Plus(42 * MS);
        let used = world.association.counters().delay_resp_used;
        world.serve(2 * SECOND);
        assert!(world.association.counters().delay_resp_used >= used + 14);
    }
}

#[test]
fn a_step_before_the_clock_was_trusted_voids_nothing() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.serve(INTERVAL);
    assert_eq!(world.association.sync_state(), SyncState::Acquiring);
    world.receiver.offset += 10 * SECOND;
    world.serve(5 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.longest_wrong), (0, 0));
    assert_eq!(world.association.counters().steps, 1);
}

#[test]
fn a_suspended_host_is_right_again() {
    let mut world = World::locked(RolePolicy::Auto);
    let slept = 3_600 * SECOND;
    // A Sync came in before, its Follow_Up after: on the wire for an hour, it would seem.
    let left = world.now;
    let (sync, follow_up) = (world.receiver.sync(), world.receiver.follow_up(left));
    world.receiver.sync_sequence += 1;
    world.hear(&sync);
    let (asked, sound) = (world.receiver.clone(), world.error().unwrap());
    // Its crystal goes on as it did, 21 ppm fast.
    world.receiver.offset += slept + slept / 1_000_000 * 21;
    let served = Span::from_nanos(SERVED + slept);
    world.association.local_clock_stood_still(Span::from_nanos(slept), served, at(world.now));
    world.flush();
    assert_eq!(world.epoch(), 1);
    // Not before three pairs have shown where the line runs now: within the new epoch it is to make no jumps.
    assert_eq!(world.state(), (Role::Following, SyncState::Acquiring));
    let pairs = world.association.counters().pairs;
    world.hear(&follow_up);
    assert_eq!(world.association.counters().pairs, pairs);
    world.serve(3 * INTERVAL);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert!((world.error().unwrap() - sound).abs() <= 50_000);
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.longest_wrong), (1, 0));
    assert_eq!(asked.identity, HOMEPOD);

    // Our own timeline went on as well, for those who follow it.
    let mut world = World::new(RolePolicy::Lead);
    world.run(SECOND);
    world.association.local_clock_stood_still(Span::from_nanos(slept), served, at(world.now));
    world.forget();
    let receiver = world.timeline().conversion.receiver_time(world.now) as i64;
    assert_eq!(receiver, world.now + served.nanos());
    assert_eq!(world.epoch(), 1);
    world.run(INTERVAL);
    let follow_up = world.sent_of(MessageType::FollowUp)[0];
    let Body::FollowUp { precise_origin, .. } = follow_up.message.body else { unreachable!() };
    assert_eq!(precise_origin, stamp(follow_up.at + served.nanos()));
}

#[test]
fn a_step_shortly_before_a_handover_is_another_epoch() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.offset += 5 * SECOND;
    world.serve(SECOND);
    assert_eq!(world.epoch(), 1);
    // The Announce comes between the first pair that names the other clock and the second.
    world.receiver.offset -= 500 * MS;
    (world.receiver.timeline, world.receiver.grandmaster) = (Some(APPLE_TV), APPLE_TV);
    let announce = world.receiver.announce();
    world.post(world.now + INTERVAL / 2, 0, &announce);
    world.longest_wrong = 0;
    world.wrong_since = None;
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (2, APPLE_TV));
    assert!(world.longest_wrong <= INTERVAL + 10 * MS, "{}", world.longest_wrong);
}

#[test]
fn a_step_that_announces_did_not_follow_is_no_part_of_a_later_handover() {
    // Follow_Ups name nothing, so only the Announces tell which clock it is.
    let mut world = World::new(RolePolicy::Auto);
    world.receiver.timeline = None;
    world.run(50 * MS);
    world.serve_and_announce(6 * SECOND);
    world.receiver.offset += 5 * SECOND;
    world.serve(1_600 * MS);
    assert_eq!(world.epoch(), 1);
    world.hear_announce();
    world.serve(SECOND);
    world.receiver.offset += 2 * MS;
    world.receiver.grandmaster = APPLE_TV;
    world.hear_announce();
    world.serve(3 * SECOND);
    assert_eq!((world.epoch(), world.grandmaster()), (2, APPLE_TV));
}

#[test]
fn a_handover_while_the_host_was_suspended_is_of_the_same_epoch() {
    let mut world = World::new(RolePolicy::Auto);
    world.receiver.timeline = None;
    world.run(50 * MS);
    world.serve_and_announce(6 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    world.receiver.offset += 60 * SECOND + 7 * SECOND;
    world.receiver.grandmaster = APPLE_TV;
    let served = Span::from_nanos(SERVED + 60 * SECOND);
    world.association.local_clock_stood_still(Span::from_nanos(60 * SECOND), served, at(world.now));
    world.flush();
    assert_eq!(world.epoch(), 1);
    world.serve(4 * INTERVAL);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    world.hear_announce();
    world.serve(INTERVAL);
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
}
