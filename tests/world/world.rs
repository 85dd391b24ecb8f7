//! The world: virtual time, what is planned to happen, and the events in their order.

use crate::host::{self, Arriving, Host, Leaving, Session, SessionPlan};
use crate::link::{Episode, Lane, Trouble, Way};
use crate::random::Random;
use crate::receiver::{self, address, sender, sender_of, Kind, Lie, Receiver};
use crate::watch::Tally;
use ptpbmca::association::{Port, RolePolicy};
use ptpbmca::timeline::Role;
use ptpbmca::wire::Encoded;
use ptpbmca_sim::Command;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Between two looks of a reader, ns.
const LOOK: i64 = 50_000_000;
/// A second, ns.
pub const SECOND: i64 = 1_000_000_000;
/// What a role may take to be what it should, after anything that disturbs it, s: an Announce every 20 s, an election
/// and a watchdog.
const SETTLE: f64 = 15.0;
/// In any one world, one sample of so many may be outside of its bound, but always those of one second.
const WORST: u64 = 200;
const WORST_SECOND: u64 = 20;
/// Who has a worse clock, or never serves, makes us yield for so long at most, ns: until its next Announce, or the
/// watchdog's time.
const WOKEN: i64 = 4 * SECOND;
/// A queue of so many seconds may hide a step or look like one: the least step back that is looked for is 50 ms.
const LONG_QUEUE: f64 = 30e-3;
/// Right again after a step of the wall clock, ns (the C interface's promise).
const WALL_WITHIN: i64 = SECOND;

/// What may happen in a world.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// To a receiver.
    Receiver(usize, Command),
    /// A host sleeps for so many seconds.
    Suspend(usize, f64),
    /// A host's wall clock is set, by so many nanoseconds.
    Wall(usize, i64),
    /// A host's worker does not run for so many seconds; packets wait in its sockets.
    Freeze(usize, f64),
}

/// A link: both ways of it, and what happens to it.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    /// To the host.
    pub down: Way,
    /// To the receiver.
    pub up: Way,
    /// Troubles.
    pub episodes: Vec<Episode>,
}

impl LinkPlan {
    /// Alike in both directions, and calm.
    pub fn even(way: Way) -> Self {
        Self { down: way, up: way, episodes: Vec::new() }
    }
}

/// Everything that is decided before a world begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of everything random.
    pub seed: u64,
    /// How long it lasts, s.
    pub seconds: f64,
    /// The hosts.
    pub hosts: Vec<host::Plan>,
    /// The receivers.
    pub receivers: Vec<receiver::Plan>,
    /// The sessions, each with its link.
    pub sessions: Vec<(SessionPlan, LinkPlan)>,
    /// What happens when (s).
    pub acts: Vec<(f64, Act)>,
}

/// What became of a world.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All sessions' counts.
    pub tally: Tally,
    /// What was wrong.
    pub violations: Vec<String>,
    /// The last role of each session, and its epoch.
    pub ends: Vec<(Role, u32)>,
    /// The first readings that were outside of their bound.
    pub outside: Vec<String>,
    /// Sessions that had more of those than one of [`WORST`].
    pub below: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    ToHost { session: usize, peer: u8, bytes: Encoded, at: i64, left: i64, era: usize },
    ToReceiver { session: usize, peer: u8, bytes: Encoded, event: bool },
    Start(usize),
    Act(usize),
    Wake(usize),
    Notice(usize),
    Look,
}

/// A world under way.
pub struct World {
    plan: Plan,
    hosts: Vec<Host>,
    receivers: Vec<Receiver>,
    sessions: Vec<Session>,
    queue: BinaryHeap<Reverse<(i64, u64, usize)>>,
    events: Vec<Event>,
    free: Vec<usize>,
    count: u64,
    random: Random,
    leaving: Vec<Leaving>,
    report: Report,
    /// Per session: dark times, in which its role may be any, s.
    dark: Vec<Vec<(f64, f64)>>,
    wall_epochs: Vec<u32>,
    /// When the role of each session was last what it should be.
    right: Vec<i64>,
    /// Whether another host talks to a session's receiver.
    shared: Vec<bool>,
    /// Each session is printed every second.
    pub traced: bool,
}

impl World {
    /// The world of a plan.
    pub fn new(plan: Plan) -> Self {
        let seconds = plan.seconds + 10.0;
        let hosts: Vec<_> =
            plan.hosts.iter().enumerate().map(|(i, p)| Host::new(p, i, seconds, plan.seed)).collect();
        let senders = |r: usize| -> Vec<_> {
            let of = plan.sessions.iter().filter(|(s, _)| s.receiver == r);
            of.flat_map(|(s, _)| (0..s.peers).map(|via| sender(s.host, via))).collect()
        };
        let receivers = plan.receivers.iter().enumerate();
        let receivers: Vec<_> =
            receivers.map(|(i, p)| Receiver::new(p, i, &senders(i), seconds, plan.seed)).collect();
        let sessions = plan.sessions.iter().enumerate().map(|(i, (session, link))| {
            let name = format!(
                "host {} {:?} with receiver {} ({:?})",
                session.host, session.policy, session.receiver, plan.receivers[session.receiver].kind
            );
            let number = 1_000 + 10 * i as u64;
            let phase = Random::new(plan.seed, number).unit();
            let lanes = |up: bool| -> Vec<_> {
                let lane = |peer: usize| {
                    let random = Random::new(plan.seed, number + 2 + 2 * peer as u64 + u64::from(up));
                    Lane::new(if up { link.up } else { link.down }, link.episodes.clone(), up, phase, random)
                };
                (0..session.peers).map(lane).collect()
            };
            Session::new(session.clone(), name, lanes(true), lanes(false))
        });
        let sessions: Vec<_> = sessions.collect();
        let dark = (0..sessions.len()).map(|s| dark(&plan, s)).collect();
        let talkers = |r: usize| plan.sessions.iter().filter(|(s, _)| s.receiver == r).count();
        let shared = plan.sessions.iter().map(|(s, _)| talkers(s.receiver) > 1).collect();
        let mut world = Self {
            hosts,
            receivers,
            wall_epochs: vec![0; sessions.len()],
            right: vec![0; sessions.len()],
            sessions,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            count: 0,
            random: Random::new(plan.seed, 1),
            leaving: Vec::new(),
            report: Report::default(),
            dark,
            shared,
            traced: false,
            plan,
        };
        for s in 0..world.sessions.len() {
            world.put((world.sessions[s].plan.from * 1e9) as i64, Event::Start(s));
        }
        for a in 0..world.plan.acts.len() {
            world.put((world.plan.acts[a].0 * 1e9) as i64, Event::Act(a));
        }
        world.put(LOOK, Event::Look);
        world
    }

    fn put(&mut self, at: i64, event: Event) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place] = event;
                place
            }
            None => {
                self.events.push(event);
                self.events.len() - 1
            }
        };
        self.count += 1;
        self.queue.push(Reverse((at, self.count, place)));
    }

    /// Lets it run to its end.
    pub fn run(mut self) -> Report {
        let end = (self.plan.seconds * 1e9) as i64;
        loop {
            let queued = self.queue.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
            let (receiver, next_receiver) = least(self.receivers.iter().map(|r| r.deadline));
            let (session, next_session) = least(self.sessions.iter().map(|s| s.deadline));
            let now = queued.min(next_receiver).min(next_session);
            if now > end {
                break;
            }
            if now == next_receiver {
                self.serve(receiver, now);
            } else if now == next_session {
                self.tick(session, now);
            } else if let Some(Reverse((_, _, place))) = self.queue.pop() {
                self.free.push(place);
                self.happen(self.events[place], now);
            }
        }
        self.finish(end)
    }

    fn happen(&mut self, event: Event, now: i64) {
        match event {
            Event::ToHost { session, peer, bytes, at, left, era } => {
                let host = &mut self.hosts[self.sessions[session].plan.host];
                if host.is_asleep() {
                    return;
                }
                if host.frozen_until > now {
                    let until = host.frozen_until;
                    return self.put(until, event);
                }
                host.at = host.latency(now);
                let congested = self.sessions[session].down[usize::from(peer)].queue(at) > LONG_QUEUE;
                self.sessions[session].watch.congested = congested;
                let packet = Arriving { bytes: &bytes, peer, at, left, era };
                let receiver = &self.receivers[self.sessions[session].plan.receiver];
                self.sessions[session].receive(packet, host, receiver, &mut self.leaving);
                self.send(session);
            }
            Event::ToReceiver { session, peer, bytes, event } => {
                let plan = &self.sessions[session].plan;
                let via = usize::from(peer);
                let from = sender(plan.host, via);
                let receiver = plan.receiver;
                self.receivers[receiver].receive(&bytes, event, from, via, now);
            }
            Event::Start(session) => {
                let host = &mut self.hosts[self.sessions[session].plan.host];
                if host.is_asleep() {
                    return self.put(now + SECOND, event);
                }
                host.at = host.latency(now);
                let receiver = &self.receivers[self.sessions[session].plan.receiver];
                self.sessions[session].start(host, receiver, &mut self.leaving);
                self.send(session);
            }
            Event::Act(number) => self.act(self.plan.acts[number].1, now),
            Event::Wake(host) => self.wake(host, now),
            Event::Notice(host) => {
                if self.hosts[host].wall_set.is_some() && !self.hosts[host].is_asleep() {
                    self.hosts[host].notice_wall();
                    self.of_host(host).for_each(|s| self.sessions[s].wall_was_set());
                }
            }
            Event::Look => {
                self.look(now);
                self.put(now + LOOK, Event::Look);
            }
        }
    }

    fn of_host(&self, host: usize) -> impl Iterator<Item = usize> + use<> {
        let of: Vec<_> = (0..self.sessions.len()).filter(|s| self.sessions[*s].plan.host == host).collect();
        of.into_iter()
    }

    fn act(&mut self, act: Act, now: i64) {
        match act {
            Act::Receiver(receiver, command) => self.receivers[receiver].apply(command, now),
            Act::Suspend(host, seconds) => {
                if !self.hosts[host].is_asleep() {
                    let from = now.max(self.hosts[host].at);
                    self.hosts[host].sleep(from);
                    self.of_host(host).for_each(|s| self.sessions[s].deadline = i64::MAX);
                    self.put(now + (seconds * 1e9) as i64, Event::Wake(host));
                }
            }
            Act::Wall(host, by) => {
                self.hosts[host].set_wall(by, now);
                // Where nothing tells, the clocks are compared twice a second.
                let noticed = now + self.random.below(SECOND as usize / 2) as i64;
                self.put(noticed, Event::Notice(host));
            }
            Act::Freeze(host, seconds) => self.hosts[host].frozen_until = now + (seconds * 1e9) as i64,
        }
    }

    fn wake(&mut self, host: usize, now: i64) {
        let woken = &mut self.hosts[host];
        let by = woken.wake(now);
        woken.at = woken.latency(now);
        if woken.wall_set.is_some() {
            woken.notice_wall();
        }
        for s in self.of_host(host) {
            let receiver = &self.receivers[self.sessions[s].plan.receiver];
            self.sessions[s].resume(by, &mut self.hosts[host], receiver, &mut self.leaving);
            self.send(s);
        }
    }

    fn tick(&mut self, session: usize, now: i64) {
        let host = &mut self.hosts[self.sessions[session].plan.host];
        if host.frozen_until > now {
            self.sessions[session].deadline = host.frozen_until;
            return;
        }
        host.at = host.latency(now);
        let receiver = &self.receivers[self.sessions[session].plan.receiver];
        self.sessions[session].tick(host, receiver, &mut self.leaving);
        self.send(session);
    }

    /// What the session has to send goes on its way.
    fn send(&mut self, session: usize) {
        for Leaving { transmit, at } in std::mem::take(&mut self.leaving) {
            let peer = transmit.peer;
            let Some(lane) = self.sessions[session].up.get_mut(usize::from(peer)) else { continue };
            for arrival in lane.carry(at).into_iter().flatten() {
                let event = transmit.port == Port::Event;
                self.put(arrival, Event::ToReceiver { session, peer, bytes: transmit.message, event });
            }
        }
    }

    /// What a receiver has to send goes on its way.
    fn serve(&mut self, receiver: usize, now: i64) {
        while let Some(outgoing) = self.receivers[receiver].transmit(now) {
            let (host, via) = sender_of(outgoing.to);
            debug_assert_eq!(address(receiver, via), address(receiver, outgoing.via));
            let session =
                self.sessions.iter().position(|s| (s.plan.host, s.plan.receiver) == (host, receiver));
            let Some(session) = session else { continue };
            let peer = via as u8;
            let Some(lane) = self.sessions[session].down.get_mut(via) else { continue };
            for at in lane.carry(now).into_iter().flatten() {
                if self.sessions[session].runs() {
                    let bytes = outgoing.bytes;
                    self.put(at, Event::ToHost { session, peer, bytes, at, left: now, era: outgoing.era });
                }
            }
        }
    }

    /// A reader looks at every session.
    fn look(&mut self, now: i64) {
        for s in 0..self.sessions.len() {
            let session = &mut self.sessions[s];
            let host = &self.hosts[session.plan.host];
            if host.is_asleep() {
                continue;
            }
            let Some((timeline, local)) = session.read(host, now) else { continue };
            let at = now.max(host.at);
            let line = timeline.conversion;
            if line.is_synchronized() {
                let away = self.random.sign() * self.random.scaled(1.0, 3.6e12);
                session.watch.inverse(&timeline, local.nanos(), away as i64, at);
            }
            if let Some((epoch, off)) = session.read_wall(host, now) {
                let settled = host.wall_set.is_none_or(|set| now - set > WALL_WITHIN);
                if settled && off.abs() > 1 && line.is_synchronized() {
                    session.watch.wrong(at, format!("{off} ns off by the wall clock"));
                }
                if epoch < self.wall_epochs[s] {
                    session.watch.wrong(at, "the wall clock's epoch went back");
                }
                self.wall_epochs[s] = epoch;
            }
            let receiver = &self.receivers[session.plan.receiver];
            if line.is_synchronized()
                && line.role == Role::Following
                && receiver.kind != Kind::Liar(Lie::DelayResp)
            {
                session.watch.tally.samples += 1;
                let error = session.watch.error(&timeline, local, receiver, at);
                let excused = |error| {
                    let crystals = [
                        &self.plan.hosts[session.plan.host].crystal,
                        &self.plan.receivers[session.plan.receiver].crystal,
                    ];
                    let changes: Vec<f64> =
                        crystals.iter().flat_map(|c| c.changes.iter().map(|change| change.0)).collect();
                    let grown = session.down[0].grown(at, session.watch.line_since(), &changes);
                    let warmed: f64 = crystals.iter().map(|c| c.warmed(at as f64 * 1e-9)).sum();
                    session.watch.excused(&timeline, error, grown, warmed, timeline.age_at(local) as i64)
                };
                if error.is_some_and(excused) {
                    session.watch.tally.excused += 1;
                } else if let Some((off, bound)) = error {
                    session.watch.tally.outside += 1;
                    if self.report.outside.len() < 2_000 {
                        let ways = if timeline.path_delay_ns == 0 { "one-way" } else { "two-way" };
                        let text = format!(
                            "{:.2} s: off by {off} ns, bound {bound}, {ways}, {:?}, epoch {}, age {} ms",
                            at as f64 * 1e-9,
                            line.sync_state,
                            line.epoch,
                            timeline.age_at(local) / 1_000_000
                        );
                        self.report.outside.push(text);
                    }
                }
            }
            if self.traced && now % SECOND == 0 {
                let off = session.watch.off(&timeline, local, receiver, at);
                println!(
                    "session {s} at {} s: {:?} epoch {} off {off} ns, bound {} ns, path {} ns, {:.3} ppm, least {:?}",
                    now / SECOND,
                    line.sync_state,
                    line.epoch,
                    timeline.error_at(local),
                    timeline.path_delay_ns,
                    timeline.skew * 1e6,
                    session.watch.delays()
                );
            }
            let x = now as f64 * 1e-9;
            let (policy, kind) = (session.plan.policy, receiver.kind);
            let bright = !self.dark[s].iter().any(|(from, until)| (*from..*until).contains(&x));
            let role = expected(policy, kind, self.shared[s]);
            let Some(role) = role.filter(|role| bright && *role != line.role) else {
                self.right[s] = now;
                continue;
            };
            // nqptp wakes us from each of its addresses that hears us for the first time, and one that follows serves
            // where it hears nothing of us: we yield, and lead again as soon as it says that its clock is worse.
            let patience = if kind.never_serves() { WOKEN } else { 0 };
            if now - self.right[s] > patience {
                session.watch.wrong(at, format!("is {:?}, should be {role:?}", line.role));
            }
        }
    }

    fn finish(mut self, end: i64) -> Report {
        for session in &mut self.sessions {
            let Some((timeline, _)) = session.read(&self.hosts[session.plan.host], end) else { continue };
            let tally = session.watch.tally;
            // One in a thousand is promised of all samples (and asked of all worlds together); no world may be much worse.
            if tally.outside > (tally.samples / WORST).max(WORST_SECOND) {
                let what = format!("outside of the bound in {} of {} samples", tally.outside, tally.samples);
                self.report.below.push(format!("{what}, first at {:?}", self.report.outside.first()));
            }
            self.report.ends.push((timeline.conversion.role, timeline.conversion.epoch));
            self.report.violations.append(&mut session.watch.violations);
            self.report.tally += tally;
        }
        self.report
    }
}

/// The role that a session has to come to (field guide 4), where that is settled.
fn expected(policy: RolePolicy, kind: Kind, shared: bool) -> Option<Role> {
    match (policy, kind) {
        (RolePolicy::Lead, _) => Some(Role::Leading),
        // Whom the receiver follows is between the other host and it.
        _ if shared => None,
        // It serves once it has heard nothing for a while, and our patience with it is no longer than that: which is why
        // such a receiver wants to be followed (field guide 1.10, 4).
        (RolePolicy::Auto, Kind::HomePodNew) => None,
        (RolePolicy::Auto, kind) if kind.never_serves() => Some(Role::Leading),
        (RolePolicy::Follow, Kind::SilentTv) => Some(Role::Listening),
        // It is followed as long as it is heard now and then, which is up to how often it wakes or announces.
        (RolePolicy::Follow, kind) if kind.never_serves() => None,
        _ => Some(Role::Following),
    }
}

/// Times in which the role of a session may be any, s.
fn dark(plan: &Plan, session: usize) -> Vec<(f64, f64)> {
    let (session, link) = &plan.sessions[session];
    let mut dark = vec![(0.0, session.from + SETTLE)];
    for episode in &link.episodes {
        if matches!(episode.what, Trouble::Partition | Trouble::Deaf | Trouble::Loss(_)) {
            dark.push((episode.from, episode.until + SETTLE));
        }
    }
    for (at, act) in &plan.acts {
        let lasts = match *act {
            Act::Receiver(r, command) if r == session.receiver => match command {
                Command::Restart { silence_ns, .. } => silence_ns as f64 * 1e-9,
                Command::Silence { for_ns } => for_ns as f64 * 1e-9,
                // From then on it is none of its kind.
                Command::Die => f64::MAX,
                _ => 0.0,
            },
            Act::Suspend(h, seconds) | Act::Freeze(h, seconds) if h == session.host => seconds,
            _ => continue,
        };
        dark.push((*at, at + lasts + SETTLE));
    }
    dark
}

/// The least of some times, and which it is.
fn least(times: impl Iterator<Item = i64>) -> (usize, i64) {
    times.enumerate().min_by_key(|(_, at)| *at).unwrap_or((0, i64::MAX))
}
