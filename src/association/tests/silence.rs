//! Silence after lock: holdover with a growing bound, a minute of it, and the way back.
#![forbid(unsafe_code)]

use super::*;

use MessageType::{Announce as Ann, FollowUp, Signaling, Sync};

#[test]
fn holdover_begins_at_one_second_and_its_bound_grows() {
    let mut world = World::locked(RolePolicy::Auto);
    let last = world.timeline().last_sync.nanos();
    world.run(last + SECOND - 1 - world.now);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    world.run(1);
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    let mut bound = 0;
    for second in 2..60 {
        world.run(last + second * SECOND - world.now);
        assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
        let grown = world.timeline().error_at(at(world.now));
        assert!(grown > bound, "bound {grown} ns after {second} s");
        bound = grown;
        // One-way: the least path delay is excused.
        assert!((world.error().unwrap() + MS).unsigned_abs() <= bound);
        assert_eq!(world.timeline().age_at(at(world.now)), (second * SECOND) as u64);
    }
    // Nothing was lost, nothing was told.
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    assert!(world.sent.is_empty());
}

#[test]
fn one_pair_ends_holdover() {
    let mut world = World::locked(RolePolicy::Auto);
    world.run(30 * SECOND);
    world.serve(INTERVAL);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.epoch(), 0);
    assert!(world.roles_told().is_empty());
}

#[test]
fn a_minute_of_silence_ends_in_listening_and_the_time_out_runs_anew() {
    let mut world = World::locked(RolePolicy::Auto);
    let last = world.timeline().last_sync.nanos();
    world.run(last + 60 * SECOND - 1 - world.now);
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    world.run(1);
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
    // Leaving FOLLOWING voids the anchors.
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.grandmaster(), ClockIdentity(0));
    assert!(world.changes.iter().any(|(_, change)| *change == Change::Lost));
    assert_eq!(world.timeline().error_at(at(world.now)), u64::MAX);
    // It begins as a session does: the burst, three seconds of listening, and then our clock.
    world.run(2_999 * MS);
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
    let burst = [Sync, FollowUp, Ann, Sync, FollowUp, Ann, Sync, FollowUp, Signaling];
    assert_eq!(world.sent_kinds(), burst);
    world.run(2 * MS);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    // The first role after LISTENING is no new epoch.
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.roles_told(), [(Role::Following, Role::Listening), (Role::Listening, Role::Leading)]);
}

#[test]
fn a_wait_of_no_time_at_all_is_over_when_silence_ends_following() {
    let mut world =
        World::with(Config { announce_timeout: Span::from_millis(0), ..config(RolePolicy::Auto) });
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    world.serve_and_announce(5 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    world.forget();
    // `run` wants each tick to leave a deadline to come.
    world.run(61 * SECOND);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.roles_told(), [(Role::Following, Role::Listening), (Role::Listening, Role::Leading)]);
}

#[test]
fn the_receiver_that_comes_back_is_followed_without_another_epoch() {
    let mut world = World::locked(RolePolicy::Auto);
    world.run(61 * SECOND);
    assert_eq!((world.association.role(), world.epoch()), (Role::Listening, 1));
    world.receiver.offset -= 100_000 * SECOND;
    world.wrong_since = None;
    world.longest_wrong = 0;
    world.serve_and_announce(3 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!((world.epoch(), world.longest_wrong), (1, 0));
    assert_eq!(world.association.counters().steps, 0);
}

#[test]
fn after_a_minute_of_silence_nobody_is_known() {
    let mut world = World::with(Config { peers: 2, ..config(RolePolicy::Auto) });
    world.receiver.peer = 1;
    world.run(50 * MS);
    world.serve_and_announce(3 * SECOND);
    let ask = world.receiver.message(3, 0, Body::DelayReq { origin: Timestamp::default() });
    world.hear(&ask);
    assert_eq!(world.timeline().receiver_clock_id, HOMEPOD.clock.0);
    world.forget();
    world.run(62 * SECOND);
    assert_eq!(world.state(), (Role::Listening, SyncState::Silent));
    assert_eq!(world.timeline().receiver_clock_id, 0);
    assert!(world.association.announced().is_none());
    // The burst looks for it at every address.
    let peers: Vec<u8> = world.sent_of(Sync).iter().map(|sent| sent.peer).collect();
    assert_eq!(peers, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn announces_that_thin_out_never_end_following() {
    let mut world = World::locked(RolePolicy::Auto);
    world.serve(400 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.epoch(), 0);
    assert!(world.changes.is_empty());
}

#[test]
fn announces_alone_do_not_keep_a_silent_master() {
    let mut world = World::locked(RolePolicy::Auto);
    for _ in 0..61 {
        world.hear_announce();
        world.run(SECOND);
    }
    assert!(world.roles_told().contains(&(Role::Following, Role::Listening)));
}

#[test]
fn syncs_without_follow_up_do_not_keep_a_locked_master() {
    // Nothing has been measured for a minute: readers call the snapshot silent, and so do we.
    let mut world = World::locked(RolePolicy::Auto);
    let last = world.timeline().last_sync.nanos();
    while world.now < last + 60 * SECOND - INTERVAL {
        world.run(INTERVAL);
        let sync = world.receiver.sync();
        world.receiver.sync_sequence += 1;
        world.hear(&sync);
    }
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    world.run(2 * INTERVAL);
    assert_eq!(world.association.role(), Role::Listening);
}

#[test]
fn one_that_locked_and_never_came_to_lead_keeps_its_role_past_the_watchdog() {
    // The three seconds of the watchdog are for masters that never served.
    let mut world = World::locked(RolePolicy::Auto);
    world.run(10 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    // Also when its timeline was begun anew in between: two pairs of another grandmaster, and silence.
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(2 * INTERVAL);
    assert_eq!(world.association.sync_state(), SyncState::Acquiring);
    world.run(10 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Acquiring));
    world.run(60 * SECOND);
    assert!(world.roles_told().contains(&(Role::Following, Role::Listening)));
}

#[test]
fn a_line_that_was_being_steered_runs_straight_in_holdover() {
    let mut world = World::new(RolePolicy::Auto);
    world.serve_and_announce(20 * SECOND);
    // A small step is no epoch: the line is steered to where the samples are.
    world.receiver.offset += 5 * MS;
    world.serve(2 * SECOND);
    let steering = |world: &World| {
        let timeline = world.association.timeline(at(world.now));
        (timeline.conversion.rate.ratio_minus_one() - timeline.skew).abs()
    };
    assert!(steering(&world) > 10e-6);
    world.run(5 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Holdover));
    assert!(steering(&world) < 1e-9);
}
