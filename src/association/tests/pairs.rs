//! Sync and Follow_Up: from the very first on, in any order, once each, from one clock only.
#![forbid(unsafe_code)]

use super::super::Refusal;
use super::*;

use MessageType::{DelayReq, Signaling};

fn opened() -> World {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.forget();
    world
}

#[test]
fn pairs_count_from_the_very_first_on_without_an_announce() {
    let mut world = opened();
    world.post_pair();
    world.run(INTERVAL);
    // A pair counts as an Announce of a better clock, and is measured itself.
    assert_eq!(world.state(), (Role::Following, SyncState::Acquiring));
    assert_eq!(world.association.counters().pairs, 1);
    assert_eq!(world.sent_kinds(), [Signaling, DelayReq]);
    world.serve(2 * INTERVAL);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked), "the third pair of three locks");
    world.serve(10 * SECOND);
    assert_eq!(world.epoch(), 0);
    assert_eq!(world.grandmaster(), HOMEPOD.clock);
    assert_eq!(world.longest_wrong, 0);
}

#[test]
fn a_pair_while_leading_is_followed_unless_its_clock_said_that_it_is_worse() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(5 * SECOND);
    world.serve(INTERVAL);
    assert_eq!(world.association.role(), Role::Following);

    let mut world = opened();
    world.receiver.priority1 = 251;
    world.hear_announce();
    world.serve(SECOND);
    assert_eq!(world.association.role(), Role::Leading);
    assert!(world.sent_of(DelayReq).is_empty());
}

#[test]
fn both_corrections_are_added_to_the_origin() {
    let mut world = opened();
    world.receiver.early = 110_270_001;
    world.receiver.sync_correction = 3_000_017;
    world.receiver.ppm = 0.0;
    world.serve(SECOND);
    let error = world.error().unwrap();
    assert!((-2 * MS..=0).contains(&error), "late by at most the path delay, not {error} ns");
}

#[test]
fn a_follow_up_may_come_before_its_sync() {
    let mut world = opened();
    for _ in 0..16 {
        let left = world.now;
        let (sync, follow_up) = (world.receiver.sync(), world.receiver.follow_up(left));
        world.receiver.sync_sequence += 1;
        world.post(left + world.receiver.down - 500 * US, 0, &follow_up);
        world.post(left + world.receiver.down, 0, &sync);
        world.run(INTERVAL);
    }
    assert_eq!(world.association.counters().pairs, 16);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.refused(Refusal::Unmatched), 0);
    assert!(world.error().unwrap().abs() < 2 * MS);
}

#[test]
fn duplicates_are_used_once() {
    let mut world = World::with(Config { peers: 2, ..config(RolePolicy::Auto) });
    world.run(300 * MS);
    for _ in 0..16 {
        let left = world.now;
        let (sync, follow_up) = (world.receiver.sync(), world.receiver.follow_up(left));
        world.receiver.sync_sequence += 1;
        world.post(left + MS, 0, &sync);
        // The same clock over the other family, 20 ms later: taken for the Sync it would spoil the time.
        world.post(left + 21 * MS, 1, &sync);
        world.post(left + 2 * MS, 0, &follow_up);
        world.post(left + 22 * MS, 1, &follow_up);
        world.run(INTERVAL);
    }
    assert_eq!(world.association.counters().pairs, 16);
    assert_eq!(world.refused(Refusal::Duplicate), 32);
    assert!(world.error().unwrap().abs() < 2 * MS);
    assert_eq!(world.sent_of(DelayReq).len(), 16);
}

#[test]
fn announces_with_one_sequence_id_are_no_duplicates() {
    let mut world = opened();
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Following);
    world.receiver.announce_sequence -= 1;
    world.receiver.priority1 = 251;
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Leading);
    assert_eq!(world.refused(Refusal::Duplicate), 0);
}

#[test]
fn lost_halves_are_counted_and_harm_nothing() {
    let mut world = opened();
    for number in 0..64 {
        let left = world.now;
        let (sync, follow_up) = (world.receiver.sync(), world.receiver.follow_up(left));
        world.receiver.sync_sequence += 1;
        if number % 4 != 1 {
            world.post(left + MS, 0, &sync);
        }
        if number % 4 != 3 {
            world.post(left + 2 * MS, 0, &follow_up);
        }
        world.run(INTERVAL);
    }
    assert_eq!(world.association.counters().pairs, 32);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    // Those of the last second are kept in case their other half is late.
    assert_eq!(world.refused(Refusal::Unmatched), 27);
    assert_eq!(world.longest_wrong, 0);
}

#[test]
fn a_stranger_is_refused_while_the_clock_lives() {
    let mut world = World::locked(RolePolicy::Auto);
    let mut stranger = Receiver::homepod();
    stranger.identity.clock = APPLE_TV;
    stranger.grandmaster = APPLE_TV;
    stranger.timeline = Some(APPLE_TV);
    stranger.priority1 = 1;
    stranger.offset += 7 * SECOND;
    for _ in 0..40 {
        world.post_pair();
        world.run(60 * MS);
        let (left, announce) = (world.now, stranger.announce());
        world.hear(&announce);
        world.hear(&stranger.sync());
        world.hear(&stranger.follow_up(left));
        stranger.sync_sequence += 1;
        world.run(65 * MS);
    }
    assert_eq!(world.refused(Refusal::Identity), 120);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.grandmaster()), (0, HOMEPOD.clock));
    assert_eq!(world.longest_wrong, 0);
    // The same clock's other port is a stranger too: it has ids of its own.
    let mut other_port = world.receiver.clone();
    other_port.identity.port += 1;
    world.hear(&other_port.sync());
    assert_eq!(world.refused(Refusal::Identity), 121);
}

#[test]
fn a_stranger_takes_over_after_silence() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.identity.clock = APPLE_TV;
    world.receiver.grandmaster = APPLE_TV;
    world.receiver.timeline = Some(APPLE_TV);
    world.receiver.offset += 7 * SECOND;
    world.longest_wrong = 0;
    world.wrong_since = None;
    // Not while a stall of the network may be all there is: the time of the trusted one is held over.
    world.run(1_800 * MS);
    world.hear_announce();
    world.post_pair();
    world.run(10 * MS);
    assert_eq!((world.epoch(), world.state()), (0, (Role::Following, SyncState::Holdover)));
    assert_eq!(world.refused(Refusal::Identity), 3);
    world.run(300 * MS);
    world.post_pair();
    world.run(INTERVAL);
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.state(), (Role::Following, SyncState::Acquiring), "not synchronised until measured");
    world.serve_and_announce(3 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    assert_eq!(world.grandmasters_told(), [(HOMEPOD.clock, APPLE_TV)]);
    assert_eq!(world.timeline().receiver_clock_id, APPLE_TV.0);
}

#[test]
fn an_announce_alone_takes_over_after_two_seconds() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.identity.clock = APPLE_TV;
    world.receiver.grandmaster = APPLE_TV;
    world.run(1_500 * MS);
    world.hear_announce();
    assert_eq!(world.epoch(), 0);
    world.run(600 * MS);
    world.hear_announce();
    assert_eq!(world.state(), (Role::Following, SyncState::Announced));
    assert_eq!((world.epoch(), world.grandmaster()), (1, APPLE_TV));
    // It has the watchdog's whole time to begin, and then the clock is ours again.
    world.run(2_990 * MS);
    assert_eq!(world.association.role(), Role::Following);
    world.run(20 * MS);
    assert_eq!(world.association.role(), Role::Leading);
    assert_eq!(world.epoch(), 2);
}

#[test]
fn halves_of_two_clocks_make_no_pair() {
    let mut world = World::locked(RolePolicy::Auto);
    let sync = world.receiver.sync();
    world.hear(&sync);
    let pairs = world.association.counters().pairs;
    world.run(2_100 * MS);
    // Another clock takes over with the same id.
    world.receiver.identity.clock = APPLE_TV;
    let follow_up = world.receiver.follow_up(world.now);
    world.hear(&follow_up);
    assert_eq!(world.timeline().receiver_clock_id, APPLE_TV.0);
    assert_eq!(world.association.counters().pairs, pairs);
}

#[test]
fn pairs_that_tell_nonsense_are_no_sign_of_life() {
    let mut world = World::locked(RolePolicy::Auto);
    let sound = world.receiver.offset;
    for number in 0..12 {
        world.receiver.offset = sound + (number % 3 - 1) * 1_000 * SECOND + number * 10 * SECOND;
        world.serve(INTERVAL);
    }
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    assert!(world.refused(Refusal::Outlier) >= 11);
    assert!(world.timeline().age_at(at(world.now)) > 1_400 * MS as u64);
}

#[test]
fn a_stamp_from_the_future_is_taken_for_now() {
    let mut world = opened();
    let left = world.now;
    let (sync, follow_up) = (wire::encode(&world.receiver.sync()), world.receiver.follow_up(left));
    let hours_ahead = at(world.now + 7_200 * SECOND);
    let packet = Packet { bytes: &sync, peer: 0, received: hours_ahead };
    world.association.receive(packet, at(world.now));
    world.hear(&follow_up);
    assert_eq!(world.timeline().last_sync, at(left));
}

#[test]
fn packets_of_no_known_address_are_refused() {
    let mut world = opened();
    let announce = world.receiver.announce();
    world.hear_from(1, &announce);
    world.hear_from(255, &announce);
    assert_eq!(world.refused(Refusal::Identity), 2);
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
}

#[test]
fn loops_are_refused() {
    let mut world = opened();
    world.receiver.steps_removed = 255;
    world.hear_announce();
    world.receiver.steps_removed = 0;
    world.receiver.path = Some([HOMEPOD.clock, OURS.clock].into_iter().collect());
    world.hear_announce();
    world.receiver.path = None;
    world.receiver.grandmaster = OURS.clock;
    world.hear_announce();
    assert_eq!(world.refused(Refusal::Loop), 3);
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
    world.receiver.grandmaster = HOMEPOD.clock;
    world.receiver.steps_removed = 254;
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Following);
}
