//! Named worlds, each with what it has to come to beside what `watch` asks of every world.

use crate::host::{self, SessionPlan};
use crate::link::{Episode, Jitter, Trouble, Way};
use crate::receiver::{self, Kind, Lie};
use crate::world::{Act, LinkPlan, Plan, Report, World};
use crate::{complain, number};
use ptpbmca::association::RolePolicy::{self, Auto, Follow, Lead};
use ptpbmca::timeline::Role::{self, Following, Leading, Listening};
use ptpbmca_sim::Command;

/// Worlds of each scenario.
const SEEDS: u64 = 3;

/// One host, one receiver, for some seconds.
fn one(kind: Kind, policy: RolePolicy, way: Way, seconds: f64) -> Plan {
    let session = SessionPlan { host: 0, receiver: 0, policy, peers: 1, from: 0.0 };
    Plan {
        seed: 0,
        seconds,
        hosts: vec![host::Plan::good()],
        receivers: vec![receiver::Plan::good(kind)],
        sessions: vec![(session, LinkPlan::even(way))],
        acts: Vec::new(),
    }
}

/// Runs a scenario with each of its seeds: nothing may be wrong, and `ends` is what the sessions come to.
fn run(name: &str, plan: &Plan, ends: &[(Role, u32)]) {
    for (seed, report) in run_any(name, plan) {
        assert_eq!(report.ends, ends, "WORLD_SEED={seed} cargo test --test world {name}");
    }
}

/// The same, whatever the sessions come to: the reports, each with its seed.
fn run_any(name: &str, plan: &Plan) -> Vec<(u64, Report)> {
    let seeds = number("WORLD_SEED").map_or(1..=SEEDS, |seed| seed..=seed);
    let world = |seed| {
        let report = World::new(Plan { seed, ..plan.clone() }).run();
        let all = [&report.violations[..], &report.below[..]].concat();
        complain(&format!("WORLD_SEED={seed} cargo test --test world {name}"), &all);
        (seed, report)
    };
    seeds.map(world).collect()
}

fn trouble(from: f64, until: f64, what: Trouble) -> Episode {
    Episode { from, until, what }
}

fn one_way(mut plan: Plan) -> Plan {
    plan.receivers[0].one_way = true;
    plan
}

fn restart(silence_s: f64) -> Act {
    Act::Receiver(0, Command::Restart { uptime_ns: 3_000_000_000, silence_ns: (silence_s * 1e9) as i64 })
}

fn step(ms: i64) -> Act {
    Act::Receiver(0, Command::Step { step_ns: ms * 1_000_000 })
}

/// A standalone HomePod before OS 27 is followed over good Wi-Fi, in one epoch.
#[test]
fn a_standalone_homepod_is_followed() {
    run(
        "a_standalone_homepod_is_followed",
        &one(Kind::HomePodOld, Auto, Way::WIFI, 300.0),
        &[(Following, 0)],
    );
}

/// A standalone HomePod of OS 27, which serves only who is silent, is followed by who only follows.
#[test]
fn a_homepod_of_os_27_is_followed_in_silence() {
    let plan = one(Kind::HomePodNew, Follow, Way::WIFI, 300.0);
    run("a_homepod_of_os_27_is_followed_in_silence", &plan, &[(Following, 0)]);
}

/// A HomePod in an Apple TV's group tells that one's time; its Announces thin out, which is no loss of it.
#[test]
fn a_grouped_homepod_tells_the_apple_tvs_time() {
    let plan = one(Kind::HomePodGrouped, Auto, Way::WIFI, 300.0);
    run("a_grouped_homepod_tells_the_apple_tvs_time", &plan, &[(Following, 0)]);
}

/// A stereo pair on power-save Wi-Fi, where packets come in bunches, is followed in one epoch.
#[test]
fn a_stereo_pair_on_power_save_wifi_is_followed() {
    let plan = one(Kind::StereoPair, Auto, Way::POWER_SAVE, 600.0);
    run("a_stereo_pair_on_power_save_wifi_is_followed", &plan, &[(Following, 0)]);
}

/// An Apple TV behind a path that takes 4 ms longer up than down: the bound holds the half of it.
#[test]
fn an_asymmetric_path_is_within_the_bound() {
    let mut plan = one(Kind::AppleTv, Auto, Way::WIFI, 300.0);
    plan.sessions[0].1.up.base += 4e-3;
    run("an_asymmetric_path_is_within_the_bound", &plan, &[(Following, 0)]);
}

/// A Sonos, whose Follow_Ups name no timeline, goes over to another clock's half a second ahead: one epoch.
#[test]
fn a_sonos_changes_its_grandmaster() {
    let mut plan = one(Kind::Sonos, Auto, Way::WIFI, 200.0);
    let other = Command::Grandmaster { identity: 99, step_ns: 500_000_000, skew_ppb: Some(-30_000) };
    plan.acts.push((80.0, Act::Receiver(0, other)));
    run("a_sonos_changes_its_grandmaster", &plan, &[(Following, 1)]);
}

/// nqptp only follows, and wakes a silent sender: under AUTO we yield to its Announce, and lead again when no Sync comes.
#[test]
fn nqptp_is_led() {
    run("nqptp_is_led", &one(Kind::Nqptp, Auto, Way::WIFI, 120.0), &[(Leading, 1)]);
}

/// airptpd is a grandmaster only: AUTO follows it, LEAD does not.
#[test]
fn airptpd_is_followed_unless_we_must_lead() {
    let name = "airptpd_is_followed_unless_we_must_lead";
    run(name, &one(Kind::Airptpd, Auto, Way::WIRED, 120.0), &[(Following, 0)]);
    run(name, &one(Kind::Airptpd, Lead, Way::WIRED, 120.0), &[(Leading, 0)]);
}

/// A third-party receiver whose Delay_Resp carry its own turnaround is followed within the two-way bound.
#[test]
fn a_turnaround_in_the_correction_is_told_apart() {
    let mut plan = one(Kind::Avnu, Auto, Way::WIFI, 300.0);
    plan.receivers[0].answers_within = 101_000_000;
    run("a_turnaround_in_the_correction_is_told_apart", &plan, &[(Following, 0)]);
}

/// A TV that never speaks is led under AUTO, waited for under FOLLOW, and led under LEAD.
#[test]
fn a_tv_that_never_speaks_is_led() {
    for (policy, role) in [(Auto, Leading), (Follow, Listening), (Lead, Leading)] {
        run("a_tv_that_never_speaks_is_led", &one(Kind::SilentTv, policy, Way::WIFI, 60.0), &[(role, 0)]);
    }
}

/// A receiver with a worse clock than ours is led.
#[test]
fn a_worse_clock_is_led() {
    run("a_worse_clock_is_led", &one(Kind::Follower, Auto, Way::WIFI, 60.0), &[(Leading, 0)]);
}

/// A receiver that dies: a minute of holdover within the growing bound, then listening, then leading.
#[test]
fn a_receiver_dies_in_mid_session() {
    for (policy, end) in [(Auto, Leading), (Follow, Listening)] {
        let mut plan = one(Kind::HomePodOld, policy, Way::WIFI, 200.0);
        plan.acts.push((60.0, Act::Receiver(0, Command::Die)));
        run("a_receiver_dies_in_mid_session", &plan, &[(end, 1)]);
    }
}

/// A receiver that restarts: its clock falls back to seconds, and after its silence that is one epoch.
#[test]
fn a_receiver_restarts() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 200.0);
    plan.acts.push((60.0, restart(2.5)));
    run("a_receiver_restarts", &plan, &[(Following, 1)]);
}

/// A receiver that restarts again and again, once before it was trusted again.
#[test]
fn a_receiver_restarts_again_and_again() {
    let mut plan = one(Kind::HomePodOld, Follow, Way::WIRED, 300.0);
    plan.acts = [30.0, 60.0, 61.5, 90.0, 200.0].map(|at| (at, restart(1.0))).into();
    for (seed, report) in run_any("a_receiver_restarts_again_and_again", &plan) {
        // The third comes while the second is not yet found out, or is not yet trusted.
        assert!((4..=5).contains(&report.ends[0].1), "seed {seed}: {:?}", report.ends);
    }
}

/// A timeline that steps ahead and back by half a second: an epoch each, by pairs alone and with exchanges.
#[test]
fn a_timeline_steps_ahead_and_back() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 200.0);
    plan.acts = vec![(60.0, step(500)), (120.0, step(-500))];
    run("a_timeline_steps_ahead_and_back", &plan, &[(Following, 2)]);
    run("a_timeline_steps_ahead_and_back", &one_way(plan), &[(Following, 2)]);
}

/// A small step, of 5 ms, by pairs alone: no epoch can be told from it, and it is steered out within the bound.
#[test]
fn a_small_step_is_steered_out_within_the_bound() {
    for ms in [5, -5] {
        let mut plan = one_way(one(Kind::HomePodOld, Auto, Way::WIFI, 200.0));
        plan.acts = vec![(60.0, step(ms))];
        run("a_small_step_is_steered_out_within_the_bound", &plan, &[(Following, 0)]);
    }
}

/// A handover to another clock on power-save Wi-Fi with lost and reordered packets.
#[test]
fn a_handover_on_power_save_wifi() {
    let way = Way { reordered: 0.02, duplicates: 0.02, ..Way::POWER_SAVE };
    let mut plan = one(Kind::HomePodOld, Auto, way, 300.0);
    let other = Command::Grandmaster { identity: 99, step_ns: 250_000_000, skew_ppb: Some(-40_000) };
    plan.acts.push((150.0, Act::Receiver(0, other)));
    run("a_handover_on_power_save_wifi", &plan, &[(Following, 1)]);
}

/// The host's wall clock is set ahead and back: no epoch but for sessions that count in it, and right within a second.
#[test]
fn the_wall_clock_is_set() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 120.0);
    plan.acts = vec![(40.0, Act::Wall(0, 3_600_000_000_000)), (80.0, Act::Wall(0, -86_400_000_000_000))];
    run("the_wall_clock_is_set", &plan, &[(Following, 0)]);
}

/// The host is suspended for five minutes: one epoch, and it is right again as soon as it is trusted again.
#[test]
fn the_host_is_suspended() {
    for (policy, role) in [(Follow, Following), (Lead, Leading)] {
        let mut plan = one(Kind::HomePodOld, policy, Way::WIFI, 500.0);
        plan.acts.push((60.0, Act::Suspend(0, 300.0)));
        run("the_host_is_suspended", &plan, &[(role, 1)]);
    }
}

/// The network is gone for twenty seconds: holdover, and the same epoch after it.
#[test]
fn a_partition_of_twenty_seconds_is_bridged() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 200.0);
    plan.sessions[0].1.episodes.push(trouble(100.0, 120.0, Trouble::Partition));
    run("a_partition_of_twenty_seconds_is_bridged", &plan, &[(Following, 0)]);
}

/// The network is gone for longer than holdover: listening, leading, and following again when it is back.
#[test]
fn a_partition_of_ninety_seconds_is_survived() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 250.0);
    plan.sessions[0].1.episodes.push(trouble(60.0, 150.0, Trouble::Partition));
    run("a_partition_of_ninety_seconds_is_survived", &plan, &[(Following, 2)]);
}

/// A minute in a queue of up to 40 ms is no step of the clock, and the line coasts through it.
#[test]
fn a_congested_minute_is_no_step() {
    for plan in [
        one(Kind::HomePodOld, Auto, Way::WIFI, 400.0),
        one_way(one(Kind::HomePodOld, Auto, Way::WIFI, 400.0)),
    ] {
        let mut plan = plan;
        plan.sessions[0].1.episodes.push(trouble(120.0, 180.0, Trouble::Queue(40e-3)));
        run("a_congested_minute_is_no_step", &plan, &[(Following, 0)]);
    }
}

/// A host that roams: for minutes the path grows by 3 ms and shrinks again, seen by pairs alone.
#[test]
fn a_roaming_host_stays_in_its_bound() {
    let mut plan = one_way(one(Kind::HomePodOld, Auto, Way::WIFI, 600.0));
    plan.sessions[0].1.episodes.push(trouble(150.0, 450.0, Trouble::Roaming(3e-3)));
    run("a_roaming_host_stays_in_its_bound", &plan, &[(Following, 0)]);
}

/// The sun shines on a receiver, and cold air on a host: 20 ppm at once, and 15 within half a minute.
#[test]
fn a_crystals_temperature_changes() {
    let mut plan = one_way(one(Kind::HomePodOld, Auto, Way::WIFI, 400.0));
    plan.receivers[0].crystal.changes.push((150.0, 20.0, 0.0));
    plan.hosts[0].crystal.changes.push((250.0, -15.0, 30.0));
    run("a_crystals_temperature_changes", &plan, &[(Following, 0)]);
}

/// A link that loses in bursts, doubles and reorders what is left.
#[test]
fn bursts_of_loss_duplicates_and_reordering() {
    let way = Way { bursts: (0.01, 0.1), duplicates: 0.1, reordered: 0.1, loss: 0.05, ..Way::WIFI };
    run(
        "bursts_of_loss_duplicates_and_reordering",
        &one(Kind::HomePodOld, Auto, way, 300.0),
        &[(Following, 0)],
    );
}

/// A path with a heavy tail, by pairs alone.
#[test]
fn a_heavy_tail_is_outlived() {
    let way = Way { base: 0.5e-3, jitter: Jitter::Pareto(0.4e-3, 1.1), ..Way::WIRED };
    run("a_heavy_tail_is_outlived", &one_way(one(Kind::HomePodOld, Auto, way, 300.0)), &[(Following, 0)]);
}

/// The worker is kept from running for five seconds: readers see holdover, and what waited in the sockets is no step.
#[test]
fn the_worker_is_kept_from_running() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 120.0);
    plan.acts.push((60.0, Act::Freeze(0, 5.0)));
    run("the_worker_is_kept_from_running", &plan, &[(Following, 0)]);
}

/// A host without kernel stamps whose worker is late by milliseconds now and then.
#[test]
fn a_busy_host_without_stamps() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIRED, 300.0);
    (plan.hosts[0].no_stamps, plan.hosts[0].stalls, plan.hosts[0].latency) = (true, 0.01, 50e3);
    run("a_busy_host_without_stamps", &plan, &[(Following, 0)]);
}

/// A master that stamps some of its Syncs milliseconds late, so that they seem to arrive before they left.
#[test]
fn a_master_that_stamps_late() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 300.0);
    plan.receivers[0].late_stamps = 0.02;
    run("a_master_that_stamps_late", &plan, &[(Following, 0)]);
}

/// A receiver that answers from two addresses, IPv4 and IPv6, is one clock.
#[test]
fn two_addresses_are_one_clock() {
    for policy in [Auto, Follow] {
        let mut plan = one(Kind::HomePodOld, policy, Way::WIFI, 200.0);
        plan.sessions[0].0.peers = 2;
        run("two_addresses_are_one_clock", &plan, &[(Following, 0)]);
    }
}

/// Two hosts and one receiver: one follows its clock as the other does.
#[test]
fn two_hosts_follow_one_receiver() {
    let mut plan = one(Kind::HomePodOld, Auto, Way::WIFI, 200.0);
    plan.hosts.push(host::Plan { monotonic: 5_000_000_000, ..host::Plan::good() });
    let second = SessionPlan { host: 1, from: 7.0, ..plan.sessions[0].0.clone() };
    plan.sessions.push((second, LinkPlan::even(Way::POWER_SAVE)));
    run("two_hosts_follow_one_receiver", &plan, &[(Following, 0), (Following, 0)]);
}

/// A receiver that announces a better clock and never serves it is led: its Announces count for nothing until it does.
#[test]
fn a_liar_that_never_syncs_is_led() {
    let plan = one(Kind::Liar(Lie::NeverSync), Auto, Way::WIFI, 120.0);
    run("a_liar_that_never_syncs_is_led", &plan, &[(Leading, 1)]);
}

/// Follow_Ups that are seconds to minutes off, now and then: no epoch, and the bound holds.
#[test]
fn wild_times_move_nothing() {
    let plan = one(Kind::Liar(Lie::WildTimes), Auto, Way::WIFI, 300.0);
    run("wild_times_move_nothing", &plan, &[(Following, 0)]);
}

/// Follow_Ups that name another clock every ten seconds: an epoch each, and nothing worse.
#[test]
fn names_that_change_are_epochs() {
    run(
        "names_that_change_are_epochs",
        &one(Kind::Liar(Lie::Names), Auto, Way::WIFI, 55.0),
        &[(Following, 5)],
    );
}

/// Delay_Resp that are off by milliseconds, each by another: no epoch, no jump.
#[test]
fn answers_that_lie_make_no_epoch() {
    run(
        "answers_that_lie_make_no_epoch",
        &one(Kind::Liar(Lie::DelayResp), Auto, Way::WIFI, 200.0),
        &[(Following, 0)],
    );
}
