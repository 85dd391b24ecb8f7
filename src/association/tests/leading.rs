//! Leading: when it begins, its rhythm, and how a better clock ends it.
#![forbid(unsafe_code)]

use super::*;

use MessageType::{Announce as Ann, FollowUp, Signaling, Sync};

#[test]
fn without_an_announce_we_lead_synchronised_at_offset_0() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(2_999 * MS);
    assert_eq!(world.association.role(), Role::Listening);
    world.forget();
    world.run(2 * MS);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.roles_told(), [(Role::Listening, Role::Leading)]);
    assert!(world.changes.iter().any(|(_, change)| *change == Change::Synchronized));
    // At once, not with the next round.
    assert_eq!(world.sent_kinds(), [Ann, Sync, Signaling, FollowUp]);
    assert_eq!(world.sent[0].at, START + 3 * SECOND);
    let timeline = world.timeline();
    for ahead in [0, 1, 17 * SECOND] {
        let local = world.now + ahead;
        assert_eq!(timeline.conversion.receiver_time(local) as i64, local + SERVED);
    }
    assert_eq!(timeline.error_at(at(world.now)), 0);
    assert_eq!((timeline.grandmaster_id, timeline.local_clock_id), (OURS.clock.0, OURS.clock.0));
    assert_eq!(timeline.conversion.epoch, 0);
    assert_eq!(timeline.age_at(at(world.now)), u64::MAX);
}

#[test]
fn the_time_out_is_the_configured_one() {
    let mut world =
        World::with(Config { announce_timeout: Span::from_millis(700), ..config(RolePolicy::Auto) });
    world.run(699 * MS);
    assert_eq!(world.association.role(), Role::Listening);
    world.run(2 * MS);
    assert_eq!(world.association.role(), Role::Leading);
}

#[test]
fn a_leader_keeps_time() {
    let mut world = World::new(RolePolicy::Lead);
    // At once when the session starts, with what iOS announces.
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.sent_kinds(), [Ann, Sync, Signaling, FollowUp]);
    assert_eq!(world.sent[0].bytes[44..53], [0, 0, 0, 128, 6, 0x21, 0x43, 0x6a, 128]);
    assert_eq!(world.sent[2].bytes.len(), 106);
    assert_eq!(world.sent[2].bytes[34..44], [0; 10]);
    world.run(10 * SECOND);
    let syncs = world.sent_of(Sync);
    let follow_ups = world.sent_of(FollowUp);
    assert_eq!((syncs.len(), follow_ups.len()), (81, 81));
    for (number, (sync, follow_up)) in syncs.iter().zip(&follow_ups).enumerate() {
        assert_eq!((sync.at - START) / MS, number as i64 * 125);
        assert_eq!((sync.port, follow_up.port), (Port::Event, Port::General));
        assert_eq!(sync.message.header.sequence_id, number as u16);
        assert_eq!(follow_up.message.header.sequence_id, number as u16);
        let Body::FollowUp { precise_origin, .. } = follow_up.message.body else { unreachable!() };
        assert_eq!(precise_origin, stamp(sync.at + SERVED));
    }
    for kind in [Ann, Signaling] {
        let times: Vec<i64> = world.sent_of(kind).iter().map(|sent| (sent.at - START) / MS).collect();
        assert_eq!(times, (0..=10).map(|second| second * 1_000).collect::<Vec<_>>(), "{kind:?}");
        assert!(world.sent_of(kind).iter().all(|sent| sent.port == Port::General));
    }
}

#[test]
fn a_stalled_host_does_not_make_up_for_missed_rounds() {
    let mut world = World::new(RolePolicy::Lead);
    world.run(SECOND);
    world.forget();
    world.now += 10 * SECOND;
    world.run(10 * MS);
    assert_eq!(world.sent_kinds(), [Ann, Sync, Signaling, FollowUp]);
}

#[test]
fn a_worse_announce_makes_us_lead_at_once() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(300 * MS);
    world.forget();
    world.receiver.priority1 = 251;
    world.hear_announce();
    let heard = world.now;
    world.run(MS);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.sent_kinds(), [Ann, Sync, Signaling, FollowUp]);
    assert_eq!(world.sent[0].at, heard);
    assert_eq!(world.epoch(), 0);
    assert_eq!(world.timeline().receiver_clock_id, HOMEPOD.clock.0);
}

#[test]
fn a_better_announce_later_is_followed_in_a_new_epoch() {
    let mut world = World::new(RolePolicy::Auto);
    world.run(5 * SECOND);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    world.forget();
    world.hear_announce();
    assert_eq!(world.sent_kinds(), [Signaling]);
    assert_eq!(world.state(), (Role::Following, SyncState::Announced));
    assert_eq!(world.epoch(), 1);
    assert!(world.changes.iter().any(|(_, change)| *change == Change::Lost));
    world.serve_and_announce(5 * SECOND);
    assert_eq!(world.state(), (Role::Following, SyncState::Locked));
    assert_eq!(world.epoch(), 1);
    assert_eq!(world.grandmasters_told(), [(OURS.clock, HOMEPOD.clock)]);
    assert!(world.sent_of(Sync).is_empty() && world.sent_of(Ann).is_empty());
    assert_eq!(world.longest_wrong, 0);
}

#[test]
fn role_lead_ignores_better_clocks() {
    let mut world = World::new(RolePolicy::Lead);
    world.receiver.priority1 = 1;
    world.serve_and_announce(5 * SECOND);
    assert_eq!(world.state(), (Role::Leading, SyncState::Leading));
    assert_eq!(world.epoch(), 0);
    assert_eq!(world.grandmaster(), OURS.clock);
    assert!(world.sent_of(MessageType::DelayReq).is_empty());
    assert_eq!(world.sent_of(Sync).len(), 41);
    // It is noted all the same.
    assert_eq!(world.association.announced().unwrap().dataset.priority1, 1);
}

#[test]
fn a_tie_goes_to_the_lower_clock() {
    // A data set like ours in every field: the identity decides, and a HomePod's 0x14 is below our 0xFE.
    let mut world = World::new(RolePolicy::Auto);
    world.run(50 * MS);
    let mut same = Advertisement::mac(HOMEPOD.clock).dataset;
    let announce = |dataset| {
        let fields = Announce {
            origin: Timestamp::default(),
            utc_offset: 37,
            dataset,
            time_source: 0xa0,
            path_trace: None,
        };
        Receiver::homepod().message(0, 0, Body::Announce(fields))
    };
    world.hear(&announce(same));
    assert_eq!(world.association.role(), Role::Following);
    let mut world = World::new(RolePolicy::Auto);
    world.run(50 * MS);
    same.grandmaster = ClockIdentity(u64::MAX);
    world.hear(&announce(same));
    assert_eq!(world.association.role(), Role::Leading);
}

#[test]
fn an_address_that_has_died_is_not_the_only_one_served() {
    let mut world = World::with(Config { peers: 2, ..config(RolePolicy::Lead) });
    let ask = world.receiver.message(3, 0, Body::DelayReq { origin: Timestamp::default() });
    world.hear_from(1, &ask);
    world.forget();
    world.run(14 * SECOND);
    assert!(world.sent.iter().all(|sent| sent.peer == 1));
    world.run(2 * SECOND);
    world.forget();
    world.run(SECOND);
    let syncs = |peer| world.sent_of(MessageType::Sync).iter().filter(|sent| sent.peer == peer).count();
    assert_eq!((syncs(0), syncs(1)), (8, 8));
}
