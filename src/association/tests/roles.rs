//! How roles live: the wake-up pair of a passive receiver, masters that never sync, and who may take over.
#![forbid(unsafe_code)]

use super::*;

use MessageType::{Announce as Ann, DelayReq, Signaling, Sync};

#[test]
fn a_passive_receivers_wake_up_pair_ends_with_us_leading() {
    // Also when we lead already: it wakes a master that has fallen silent.
    for before in [50 * MS, 300 * MS, 10 * SECOND] {
        let mut world = World::new(RolePolicy::Auto);
        world.receiver.identity.port = 0x8008;
        world.run(before);
        let epochs = world.epoch();
        world.forget();
        for priority1 in [249, 251] {
            world.receiver.announce_sequence = 0;
            world.receiver.priority1 = priority1;
            world.hear_announce();
            world.run(150 * MS);
        }
        assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
        world.run(20 * SECOND);
        assert_eq!(world.state(), (Role::Leading, SyncState::Leading), "and stays so");
        assert_eq!(world.sent_of(MessageType::Signaling)[0].bytes.len(), 60, "yielded in between");
        assert!(world.sent_of(Sync).len() >= 160);
        let changes_of_role = if before > 3 * SECOND { 2 } else { 1 };
        assert_eq!(world.epoch(), epochs + changes_of_role);
        assert_eq!(world.timeline().grandmaster_id, OURS.clock.0);
    }
}

#[test]
fn a_master_that_never_syncs_gives_us_our_clock_back() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.forget();
    // Announces, four a second, as a HomePod does; and no Sync.
    for _ in 0..12 {
        world.hear_announce();
        world.run(250 * MS - 1);
        assert_eq!(world.association.role(), Role::Following);
    }
    world.run(MS);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.sent_kinds()[..3], [Signaling, Ann, Sync]);
    // Its Announces do not win any more.
    for _ in 0..40 {
        world.hear_announce();
        world.run(250 * MS);
    }
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.epoch(), 1);
    // Until it has sent a Sync.
    world.forget();
    let sync = world.receiver.sync();
    world.receiver.sync_sequence += 1;
    world.hear(&sync);
    assert_eq!(world.association.role(), Role::Following);
    assert_eq!(world.epoch(), 2);
    assert_eq!(world.sent_of(Signaling).len(), 1);
    world.forget();
    world.serve_and_announce(10 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.epoch(), 2);
    assert_eq!(world.sent_of(DelayReq).len(), world.sent.len());
    // From then on its Announces count like any other's.
    world.receiver.priority1 = 251;
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Leading);
    world.receiver.priority1 = 248;
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Following);
}

#[test]
fn a_standalone_homepod_that_speaks_only_when_we_are_silent_is_followed() {
    // It announces itself every 20 s while we serve; silence makes it serve (field guide 4).
    let mut world = World::new(RolePolicy::Auto);
    world.run(17 * SECOND);
    assert_eq!(world.association.role(), Role::Leading);
    world.hear_announce();
    world.run(600 * MS);
    world.serve_and_announce(3 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.epoch(), 1);
}

#[test]
fn another_clock_is_not_held_to_what_a_given_up_one_did() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.hear_announce();
    world.run(4 * SECOND);
    assert_eq!(world.association.role(), Role::Leading);
    // Given up on, the first one announces itself still. Another one at the address serves: it need not wait.
    world.hear_announce();
    let silent = world.receiver.clone();
    world.receiver.identity.clock = APPLE_TV;
    world.receiver.grandmaster = APPLE_TV;
    world.receiver.timeline = Some(APPLE_TV);
    world.serve(INTERVAL);
    assert_eq!(world.association.role(), Role::Following);
    world.serve_and_announce(2 * SECOND);
    assert_eq!((world.grandmaster(), world.epoch()), (APPLE_TV, 2));
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(silent.identity, HOMEPOD);

    // And one that announces itself after the other's silence wins by its Announce.
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.hear_announce();
    world.run(6 * SECOND);
    world.receiver.identity.clock = APPLE_TV;
    world.hear_announce();
    assert_eq!(world.association.role(), Role::Following);
}

#[test]
fn a_lone_sync_stops_the_time_out_and_needs_its_follow_up() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(2_900 * MS);
    let sync = world.receiver.sync();
    world.hear(&sync);
    world.run(2_900 * MS);
    assert_eq!(world.state(), (Role::Listening, SyncState::Announced));
    world.run(200 * MS);
    assert_eq!(world.association.role(), Role::Leading);
}

#[test]
fn syncs_without_follow_up_keep_the_master_and_never_synchronise() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.hear_announce();
    for _ in 0..80 {
        let sync = world.receiver.sync();
        world.receiver.sync_sequence += 1;
        world.hear(&sync);
        world.run(INTERVAL);
        assert_eq!(world.state(), (Role::Following, SyncState::Announced));
    }
    assert!(world.advice().contains("Sync arrives without Follow_Up"));
}

#[test]
fn one_that_turns_worse_hands_over_to_us() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.priority1 = 255;
    world.serve_and_announce(2 * SECOND);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.roles_told(), [(Role::Following, Role::Leading)]);
    assert_eq!(world.grandmasters_told(), [(HOMEPOD.clock, OURS.clock)]);
    // Better again, but rebooted since: what was measured before does not count.
    world.receiver.offset -= 100_000 * SECOND;
    world.receiver.priority1 = 248;
    world.hear_announce();
    assert_eq!(world.state(), (Role::Following, SyncState::Announced));
    assert_eq!(world.epoch(), 2);
    // Who is told to follow follows.
    let mut world = World::locked(RolePolicy::Follow);
    world.receiver.priority1 = 255;
    world.serve_and_announce(2 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
}

#[test]
fn advice_says_what_is_missing() {
    let mut world = World::new(RolePolicy::Auto);
    assert!(world.advice().starts_with("Nothing heard from the receiver yet"));
    world.hear_announce();
    assert!(world.advice().contains("sends no Sync"));
    world.post_pair();
    world.run(INTERVAL);
    assert!(world.advice().contains("a few more are needed"));
    world.serve(SECOND);
    assert!(world.advice().starts_with("Following"));
    world.run(2 * SECOND);
    assert!(world.advice().contains("have stopped"));
    let mut world = World::new(RolePolicy::Follow);
    assert!(world.advice().starts_with("Nothing heard from the receiver:"));
    let follow_up = world.receiver.follow_up(START);
    world.hear(&follow_up);
    assert!(world.advice().contains("without Sync"));

    let told = |speaker: Receiver| {
        let mut world = World::new(RolePolicy::Auto);
        let announce = speaker.clone().announce();
        world.hear(&announce);
        world.advice()
    };
    let homepod = Receiver::homepod();
    assert!(told(Receiver { major_sdo_id: 0, ..homepod.clone() }).contains("majorSdoId"));
    assert!(told(Receiver { domain: 1, ..homepod.clone() }).contains("another PTP domain"));
    assert!(told(Receiver { identity: OURS, ..homepod }).contains("our own clock identity"));
}
