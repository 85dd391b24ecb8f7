//! Random worlds: everything from one seed.

use crate::host::{self, SessionPlan};
use crate::link::{Episode, Jitter, Trouble, Way};
use crate::oscillator::Crystal;
use crate::random::Random;
use crate::receiver::{self, Kind};
use crate::world::{Act, LinkPlan, Plan};
use ptpbmca::association::RolePolicy;
use ptpbmca_sim::Command;

/// The plan of the random world `seed`, `seconds` long.
pub fn plan(seed: u64, seconds: f64) -> Plan {
    let r = &mut Random::new(seed, 0);
    let hosts = if r.chance(0.1) { 2 } else { 1 };
    let receivers = if r.chance(0.25) { 2 } else { 1 };
    let hosts: Vec<_> = (0..hosts).map(|_| host(r, seconds)).collect();
    let mut receivers: Vec<_> = (0..receivers).map(|_| receiver(r, seconds)).collect();
    let mut sessions = Vec::new();
    for host in 0..hosts.len() {
        for (number, receiver) in receivers.iter_mut().enumerate() {
            let session = session(r, host, number);
            // Who follows says nothing before it has heard something: the receiver has to have been told of it.
            receiver.knows_senders |= session.policy == RolePolicy::Follow;
            sessions.push((session, link(r, seconds)));
        }
    }
    let mut acts = Vec::new();
    while acts.len() < 8 && r.chance(0.7) {
        let at = r.between(0.02, 0.95) * seconds;
        let act = match act(r, hosts.len(), receivers.len()) {
            // Without stamps, what waited in the sockets for long is taken for fresh: nothing tells otherwise.
            Act::Freeze(host, seconds) if hosts[host].no_stamps => Act::Freeze(host, seconds.min(0.1)),
            act => act,
        };
        acts.push((at, act));
    }
    Plan { seed, seconds, hosts, receivers, sessions, acts }
}

fn crystal(r: &mut Random, seconds: f64) -> Crystal {
    let mut changes = Vec::new();
    if r.chance(0.1) {
        let by = r.sign() * r.between(1.0, 20.0);
        changes.push((r.between(0.05, 0.9) * seconds, by, r.pick(&[0.0, 5.0, 30.0, 120.0])));
    }
    Crystal {
        skew_ppm: r.sign() * r.between(0.0, 45.0),
        walk_ppm: r.between(0.002, 0.01),
        cycle: (r.between(0.0, 0.3), r.between(400.0, 1200.0)),
        changes,
    }
}

fn host(r: &mut Random, seconds: f64) -> host::Plan {
    let wired = r.chance(0.5);
    host::Plan {
        crystal: crystal(r, seconds),
        // From just booted to some years up.
        monotonic: r.scaled(5e9, 1e17) as i64,
        stamp_noise: if wired { 300.0 } else { 3_000.0 },
        no_stamps: r.chance(0.15),
        latency: r.scaled(10e3, 100e3),
        stalls: r.pick(&[0.0, 0.0, 0.001, 0.01]),
        early: r.pick(&[0, 250_000]),
    }
}

fn receiver(r: &mut Random, seconds: f64) -> receiver::Plan {
    let kind = if r.chance(0.1) { r.pick(&Kind::LIARS) } else { r.pick(&Kind::HONEST) };
    receiver::Plan {
        crystal: crystal(r, seconds),
        uptime: r.scaled(3e9, 1e17) as u64,
        stamp_noise: r.pick(&[300.0, 3_000.0]),
        late_stamps: r.pick(&[0.0, 0.0, 0.0, 0.02]),
        one_way: r.chance(0.3),
        answers_within: r.pick(&[1_000_000, 20_000_000, 101_000_000]),
        knows_senders: r.chance(0.7),
        kind,
    }
}

fn session(r: &mut Random, host: usize, receiver: usize) -> SessionPlan {
    let policy = r.pick(&[
        RolePolicy::Auto,
        RolePolicy::Auto,
        RolePolicy::Follow,
        RolePolicy::Follow,
        RolePolicy::Lead,
    ]);
    let from = if r.chance(0.5) { 0.0 } else { r.between(0.0, 20.0) };
    SessionPlan { host, receiver, policy, peers: if r.chance(0.2) { 2 } else { 1 }, from }
}

fn link(r: &mut Random, seconds: f64) -> LinkPlan {
    let mut down = r.pick(&[Way::WIRED, Way::WIFI, Way::WIFI, Way::POWER_SAVE, EMULATED, HEAVY]);
    down.loss += r.pick(&[0.0, 0.0, 0.01, 0.05]);
    down.duplicates = r.pick(&[0.0, 0.0, 0.01, 0.05]);
    down.reordered = r.pick(&[0.0, 0.0, 0.01, 0.05]);
    down.bursts = r.pick(&[(0.0, 1.0), (0.0, 1.0), (0.002, 0.1)]);
    let mut up = down;
    if r.chance(0.3) {
        up.base += r.scaled(20e-6, 5e-3);
    }
    if r.chance(0.2) {
        down.base += r.scaled(20e-6, 5e-3);
    }
    let mut episodes = Vec::new();
    while episodes.len() < 4 && r.chance(0.35) {
        let from = r.between(0.0, 0.9) * seconds;
        let what = match r.below(6) {
            0 => (r.scaled(0.2, 100.0), Trouble::Partition),
            1 => (r.scaled(0.5, 80.0), Trouble::Deaf),
            2 => (r.between(5.0, 120.0), Trouble::Queue(r.scaled(5e-3, 100e-3))),
            3 => (r.between(60.0, 400.0), Trouble::Roaming(r.scaled(0.2e-3, 4e-3))),
            4 => (r.between(5.0, 400.0), Trouble::Longer(r.scaled(0.1e-3, 10e-3))),
            _ => (r.between(5.0, 60.0), Trouble::Loss(r.between(0.1, 0.7))),
        };
        episodes.push(Episode { from, until: from + what.0, what: what.1 });
    }
    LinkPlan { down, up, episodes }
}

/// A network emulator's delay.
const EMULATED: Way = Way { base: 1e-3, jitter: Jitter::Even(2e-3), ..Way::WIRED };
/// A heavy tail.
const HEAVY: Way = Way { base: 0.5e-3, jitter: Jitter::Pareto(0.4e-3, 1.3), ..Way::WIRED };

fn act(r: &mut Random, hosts: usize, receivers: usize) -> Act {
    let (host, receiver) = (r.below(hosts), r.below(receivers));
    let command = |command| Act::Receiver(receiver, command);
    match r.below(12) {
        0 | 1 => {
            let silence_ns = r.scaled(0.5e9, 90e9) as i64;
            command(Command::Restart { uptime_ns: r.scaled(0.5e9, 60e9) as u64, silence_ns })
        }
        2 => command(Command::Silence { for_ns: r.scaled(0.2e9, 90e9) as i64 }),
        3 => {
            let step_ns = (r.sign() * r.scaled(1e6, 1e13)) as i64;
            let skew_ppb = r.chance(0.5).then(|| (r.sign() * r.between(0.0, 45e3)) as i64);
            command(Command::Grandmaster { identity: r.bits() | 1, step_ns, skew_ppb })
        }
        4 | 5 => command(Command::Step { step_ns: (r.sign() * r.scaled(0.4e9, 1e13)) as i64 }),
        6 => command(Command::Step { step_ns: (r.sign() * r.scaled(50e3, 50e6)) as i64 }),
        7 => Act::Suspend(host, r.scaled(1.0, 200.0)),
        8 | 9 => Act::Wall(host, (r.sign() * r.scaled(1e6, 1e13)) as i64),
        10 => Act::Freeze(host, r.scaled(0.05, 20.0)),
        _ if r.chance(0.3) => command(Command::Die),
        _ => Act::Freeze(host, r.scaled(0.05, 70.0)),
    }
}
