//! The worker's loop: packets, deadlines and commands, each to its link.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};

use super::clock::{self, Clocks, Moved};
use super::link::Link;
use super::net::{self, Address};
use super::own;
use super::pairs::{EndpointId, PairId, Pairs};
use super::routes::RouteWatch;
use super::timer::{Alarm, SettingWatch};
use super::timestamp::{Received, MAX_DATAGRAM};
use super::{interface, Awaited, Command, SessionId, Shared, Waited};
use crate::association::Packet;
use crate::planted::bug;
use crate::time::{LocalTime, Span};
use crate::timeline::Role;

/// So long at most the worker sleeps. Nothing is due then; but a host that closes all descriptors of its process closes the
/// poll, the alarm and the waker, and who stops a session would wait for ever.
const HEARTBEAT: Duration = Duration::from_millis(1_000);

/// The waker's token.
pub const WAKER: Token = Token(0);

/// The token of the watch over settings of the wall clock.
const SETTING: Token = Token(usize::MAX);

/// The alarm's token.
const ALARM: Token = Token(usize::MAX - 1);

/// The token of the watch over routes.
const ROUTES: Token = Token(usize::MAX - 2);

/// Datagrams read from one socket before the others, the timers and the commands have their turn: a flood on one
/// socket delays a deadline by no more than so many packets.
const BATCH: usize = 64;

/// Poll events taken at once.
const EVENTS: usize = 64;

/// How often clocks are compared where the system does not tell of settings: a step is to be noticed within a second.
const CLOCK_CHECK: Duration = Duration::from_millis(500);

/// So much early a deadline may be kept: a fifth of a percent of a Sync interval.
const EARLY: Span = Span::from_nanos(250_000);

/// How often sockets are looked at at most; half of the time in which a lock is to be back with an interface.
const SOCKET_CHECK: Span = Span::from_millis(1_000);

/// How often sockets that could not be made anew are tried again.
const SOCKET_RETRY: Duration = Duration::from_millis(1_000);

/// How often the ways to receivers are looked up anew at most: a thousand take some ten milliseconds, and a host that
/// learns or loses its routes hears of each one.
const ROUTES_PAUSE: Span = Span::from_millis(250);

mod sessions;

/// Names an association; never used twice.
type LinkId = u64;

struct Waiter {
    session: SessionId,
    /// The session's link; a closed session takes its waiters with it.
    link: Option<LinkId>,
    what: Awaited,
    deadline: LocalTime,
    reply: SyncSender<Waited>,
}

/// The worker's state; lives on its thread.
pub struct Worker<'a> {
    poll: &'a mut Poll,
    shared: &'a Shared,
    setting: Option<SettingWatch>,
    alarm: Option<Alarm>,
    routes: Option<RouteWatch>,
    clocks: Clocks,
    pairs: Pairs,
    /// Boxed: a table grows by doubling, and a link is large.
    links: HashMap<LinkId, Box<Link>>,
    next_link: LinkId,
    /// Which links listen to an address; more than one only where sessions differ in their local address.
    peers: HashMap<(PairId, Address), Vec<(LinkId, u8)>>,
    sessions: HashMap<SessionId, LinkId>,
    /// The names of interfaces that link-local addresses are on.
    scopes: HashMap<u32, String>,
    timers: BinaryHeap<Reverse<(LocalTime, LinkId)>>,
    waiters: Vec<Waiter>,
    /// Sockets that may have more to read.
    readable: Vec<EndpointId>,
    /// Links that heard something and have not published it yet.
    unsettled: Vec<LinkId>,
    sockets_checked: LocalTime,
    own_checked: LocalTime,
    /// Routes have changed, and the ways to receivers were not looked up since.
    routes_changed: bool,
    routes_followed: LocalTime,
    quit: bool,
}

impl<'a> Worker<'a> {
    /// A worker with nothing to do yet.
    pub fn new(poll: &'a mut Poll, shared: &'a Shared) -> Self {
        let (setting, alarm, routes) =
            (setting_watch(poll.registry()), alarm(poll.registry()), route_watch(poll.registry()));
        Self {
            poll,
            shared,
            setting,
            alarm,
            routes,
            clocks: Clocks::new(),
            pairs: Pairs::default(),
            links: HashMap::new(),
            next_link: 0,
            peers: HashMap::new(),
            sessions: HashMap::new(),
            scopes: HashMap::new(),
            timers: BinaryHeap::new(),
            waiters: Vec::new(),
            readable: Vec::new(),
            unsettled: Vec::new(),
            sockets_checked: clock::monotonic(),
            own_checked: clock::monotonic(),
            routes_changed: false,
            routes_followed: clock::monotonic(),
            quit: false,
        }
    }

    /// Works until told to quit.
    ///
    /// # Errors
    /// The poll or the waker were closed under it: nothing can be waited for without.
    pub fn run(mut self) -> std::result::Result<(), Lost> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.quit {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !bug("interruption-is-fatal") => {
                }
                Err(_) if bug("closed-poll-spins") => {}
                Err(error) => {
                    log::error!("polling failed, all sessions have ended: {error}");
                    return Err(Lost);
                }
            }
            for event in &events {
                match event.token() {
                    WAKER => self.shared.waker.woke(),
                    SETTING => self.setting.iter().for_each(SettingWatch::rearm),
                    ALARM => self.alarm.iter_mut().for_each(Alarm::went_off),
                    ROUTES => {
                        let changed = self.routes.as_ref().is_some_and(RouteWatch::take);
                        self.routes_changed = self.routes_changed || changed;
                    }
                    token => {
                        let more = self.pairs.endpoint(token).filter(|id| !self.readable.contains(id));
                        self.readable.extend(more);
                    }
                }
            }
            // After the watch is armed again, or a setting in between would be missed; before any stamp is read.
            self.check_clocks();
            self.read_sockets();
            self.obey();
            self.do_what_is_due();
            self.resolve_waiters(None);
            self.check_own()?;
        }
        Ok(())
    }

    /// How long the poll may wait; sets the alarm for the next deadline.
    fn timeout(&mut self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let waiter = self.waiters.iter().map(|waiter| waiter.deadline).min();
        let routes = self.routes_changed.then(|| self.routes_followed.plus(ROUTES_PAUSE));
        let next = [timer, waiter, routes].into_iter().flatten().min();
        let rings = next.is_some_and(|at| self.alarm.as_mut().is_some_and(|alarm| alarm.set(at)));
        let until = next.filter(|_| !rings).map(|at| {
            let left = at.since(clock::monotonic()).nanos().max(0);
            Duration::from_nanos(left.unsigned_abs())
        });
        let polling = SettingWatch::NEEDS_POLLING || self.setting.is_none();
        let check = (polling && !self.links.is_empty()).then_some(CLOCK_CHECK);
        let retry = self.pairs.is_wanting().then_some(SOCKET_RETRY);
        let heartbeat = (!bug("worker-without-heartbeat")).then_some(HEARTBEAT);
        [until, check, retry, heartbeat].into_iter().flatten().min()
    }

    /// Looks whether what the worker waits by still is its own. Timers and watches are made anew.
    fn check_own(&mut self) -> std::result::Result<(), Lost> {
        let now = clock::monotonic();
        if now.since(self.own_checked).nanos() < HEARTBEAT.as_nanos() as i64 {
            return Ok(());
        }
        self.own_checked = now;
        if bug("closed-poll-spins") {
            return Ok(());
        }
        if !has_both(self.poll, &self.shared.waker) {
            log::error!("the descriptors of the PTP worker were closed under it: all sessions have ended");
            return Err(Lost);
        }
        if self.forget_lost() {
            log::warn!("timers of the PTP worker were closed under it; made anew");
            let registry = self.poll.registry();
            self.setting = self.setting.take().or_else(|| setting_watch(registry));
            self.alarm = self.alarm.take().or_else(|| alarm(registry));
            self.routes = self.routes.take().or_else(|| route_watch(registry));
        }
        Ok(())
    }

    /// Lets go of timers and watches that are not ours any more, without closing their numbers; tells whether there are
    /// any.
    fn forget_lost(&mut self) -> bool {
        let registry = self.poll.registry();
        let setting = self.setting.take_if(|watch| !watch.is_ours(registry, SETTING)).map(std::mem::forget);
        let alarm = self.alarm.take_if(|alarm| !alarm.is_ours(registry, ALARM)).map(std::mem::forget);
        let routes = self.routes.take_if(|watch| !watch.is_ours(registry, ROUTES)).map(std::mem::forget);
        setting.or(alarm).or(routes).is_some()
    }

    fn check_clocks(&mut self) {
        let Moved { wall, suspended } = self.clocks.check();
        if !wall && suspended == Span::ZERO {
            return;
        }
        let now = clock::monotonic();
        if wall && suspended == Span::ZERO {
            log::info!("the wall clock was set");
        }
        if suspended != Span::ZERO {
            log::info!("the host was suspended for {} ms", suspended.nanos() / 1_000_000);
        }
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            if let Some(link) = self.links.get_mut(&id) {
                // A suspend moves the wall clock too, as seen from the monotonic one: that is one new epoch, not two.
                if suspended != Span::ZERO {
                    link.association.local_clock_stood_still(suspended, self.clocks.served(), now);
                } else if wall {
                    link.wall_clock_stepped(&self.pairs, &self.clocks, now);
                }
            }
            self.settle(id, now);
        }
    }

    fn read_sockets(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        for id in std::mem::take(&mut self.readable) {
            let mut drained = false;
            let batch = if crate::planted::bug("no-receive-budget") { usize::MAX } else { BATCH };
            for _ in 0..batch {
                match self.pairs.receive(id, &mut buffer) {
                    Ok(received) => {
                        let bytes = buffer.get(..received.length).unwrap_or(&[]);
                        self.deliver(id.pair, received, bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        drained = true;
                        break;
                    }
                    // Closed under us: it gives errors without end, and nothing else.
                    Err(_) if !self.pairs.lives(id) => {
                        drained = true;
                        self.check_sockets(clock::monotonic());
                        break;
                    }
                    // An error of an earlier packet, told here; the socket lives on.
                    Err(_) => {}
                }
            }
            if !drained && !self.readable.contains(&id) {
                self.readable.push(id);
            }
        }
        let now = clock::monotonic();
        for id in std::mem::take(&mut self.unsettled) {
            self.settle(id, now);
        }
    }

    fn deliver(&mut self, pair: PairId, received: Received, bytes: &[u8]) {
        if bug("panic-packet") || bug("failure-untold") {
            panic!("planted");
        }
        let now = clock::monotonic();
        let source = if bug("source-unchecked") {
            let known = self.peers.keys().find(|(known, _)| *known == pair);
            known.map_or(Address::of(received.source), |(_, address)| *address)
        } else {
            Address::of(received.source)
        };
        let from = (pair, source);
        let listeners = self.peers.get(&from).map_or(0, Vec::len);
        if listeners == 0 {
            if self.pairs.count_foreign(pair, now) {
                self.pairs.keep_away(pair, &self.known(pair), now);
            }
            return;
        }
        let at = received.stamp.and_then(|stamp| self.clocks.stamp(stamp, now)).unwrap_or(now);
        for number in 0..listeners {
            let listener = self.peers.get(&from).and_then(|listeners| listeners.get(number));
            let Some((id, peer)) = listener.copied() else { break };
            let Some(link) = self.links.get_mut(&id) else { continue };
            // A packet to another of our addresses is for another link; multicast is for all.
            let elsewhere = link.local.is_some_and(|local| {
                received.destination.is_some_and(|to| !to.is_multicast() && to.to_canonical() != local)
            });
            if elsewhere {
                continue;
            }
            link.association.receive(Packet { bytes, peer, received: at }, now);
            // What is to be sent or told is so at once; the rest once for all packets that were read together: to
            // publish a thousand sessions for each packet that was refused is what a flood would want.
            if link.association.has_news() {
                self.settle(id, now);
            } else if !std::mem::replace(&mut link.unsettled, true) {
                self.unsettled.push(id);
            }
        }
    }

    /// The addresses of a pair's sessions.
    fn known(&self, pair: PairId) -> Vec<IpAddr> {
        self.peers.keys().filter(|(id, _)| *id == pair).map(|(_, address)| address.ip).collect()
    }

    /// A pair's sessions are others than before: those are let in while strangers are kept away.
    fn admit(&mut self, pair: PairId) {
        if self.pairs.keeps_away(pair) && !crate::planted::bug("filter-not-updated") {
            self.pairs.admit(pair, &self.known(pair));
        }
    }

    fn do_what_is_due(&mut self) {
        let now = clock::monotonic();
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now.plus(EARLY) {
                break;
            }
            // What is about to be due is done with the rest: each wake-up costs as much as sending a message.
            let now = now.max(at);
            self.timers.pop();
            let Some(link) = self.links.get_mut(&id).filter(|link| link.scheduled == Some(at)) else {
                continue;
            };
            link.scheduled = None;
            // A deadline that has moved on since is only put back.
            if link.association.poll_timeout().is_some_and(|due| due <= now) {
                if bug("panic-timer") {
                    panic!("planted");
                }
                link.association.tick(now);
                self.settle(id, now);
            } else {
                self.schedule(id);
            }
            // Something did not come in time: a good moment to see that the sockets are well.
            self.check_sockets(now);
        }
        if self.pairs.is_wanting() {
            self.check_sockets(now);
        }
        self.pairs.tick(now);
        if self.routes_changed && now.since(self.routes_followed) >= ROUTES_PAUSE {
            self.routes_followed = now;
            // Without a descriptor to ask by, nothing is looked up before there is one.
            self.routes_changed = !net::can_ask();
            if !self.routes_changed {
                self.follow_interfaces();
                self.rejoin();
            }
        }
    }

    fn check_sockets(&mut self, now: LocalTime) {
        if now.since(self.sockets_checked) >= SOCKET_CHECK {
            self.sockets_checked = now;
            if self.pairs.revive(self.poll.registry()) {
                self.routes_changed = true;
            }
        }
    }

    /// After anything happened to a link: sends, publishes, sets its timer, wakes who waited.
    fn settle(&mut self, id: LinkId, now: LocalTime) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.unsettled = false;
        link.transmit(&mut self.pairs, &self.clocks, now);
        link.publish(&self.pairs, &self.clocks, now);
        self.schedule(id);
        if !self.waiters.is_empty() {
            self.resolve_waiters(Some(id));
        }
    }

    /// Sets a link's timer, unless it goes off earlier anyhow: deadlines that every packet moves on would else leave a
    /// timer behind for each.
    fn schedule(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(at) = link.association.poll_timeout() else { return };
        if link.scheduled.is_none_or(|scheduled| at < scheduled) {
            link.scheduled = Some(at);
            self.timers.push(Reverse((at, id)));
        }
    }

    /// Interfaces that link-local addresses name: one that was removed and made anew has another index.
    fn follow_interfaces(&mut self) {
        let moved = |(index, name): (&u32, &String)| {
            let now = interface::index_by_name(name)?;
            (now != *index).then(|| (*index, now, name.clone()))
        };
        let moved: Vec<_> = self.scopes.iter().filter_map(moved).collect();
        for (from, to, name) in moved {
            log::info!("interface {name} has come back");
            self.scopes.remove(&from);
            self.scopes.insert(to, name);
            let peers = self.links.values_mut().flat_map(|link| link.peers.iter_mut());
            peers.filter(|peer| peer.scope == from).for_each(|peer| peer.scope = to);
            for ((pair, address), listeners) in std::mem::take(&mut self.peers) {
                let scope = if address.scope == from { to } else { address.scope };
                // A session that began since may listen to the new one already.
                self.peers.entry((pair, Address { scope, ..address })).or_default().extend(listeners);
            }
            self.pairs.move_scope(from, to, self.poll.registry());
        }
    }

    /// Joins the multicast groups again: on sockets made anew, or on an interface that has come back.
    fn rejoin(&self) {
        self.pairs.join_again();
        let peers = self.links.values().flat_map(|link| link.peers.iter().map(|peer| (link.pair, *peer)));
        // Many receivers, few ways to them.
        let ways: HashSet<_> = peers.filter_map(|(pair, peer)| Some((pair, net::way_to(peer)?))).collect();
        for (pair, way) in ways {
            self.pairs.join(pair, way);
        }
    }

    fn obey(&mut self) {
        for command in self.shared.commands.take() {
            match command {
                Command::Open { id, spec, published, callback, reply } => {
                    // A caller that has gone has no use for the answer.
                    let _ = reply.send(self.open(id, spec, published, callback));
                }
                Command::Close { id, reply } => {
                    self.close(id);
                    let _ = reply.send(());
                }
                Command::Await { id, what, deadline, reply } => {
                    let link = self.sessions.get(&id).copied();
                    self.waiters.push(Waiter { session: id, link, what, deadline, reply });
                }
                Command::Quit => self.quit = true,
            }
        }
    }

    /// Answers those whose wait is over; of one link, or of all.
    fn resolve_waiters(&mut self, of: Option<LinkId>) {
        if self.waiters.is_empty() {
            return;
        }
        let now = clock::monotonic();
        let links = &self.links;
        self.waiters.retain(|waiter| {
            // Every packet comes by here: nothing is looked up for those it does not concern.
            if of.is_some() && waiter.link != of {
                return true;
            }
            let link = waiter.link.and_then(|id| links.get(&id));
            let outcome = match link {
                None => Waited::Stopped,
                Some(link) => {
                    let happened = match waiter.what {
                        Awaited::Role => link.association.role() != Role::Listening,
                        Awaited::Synchronized => link.association.sync_state().is_synchronized(),
                    };
                    if happened {
                        Waited::Happened
                    } else if now >= waiter.deadline {
                        Waited::TimedOut
                    } else {
                        return true;
                    }
                }
            };
            log_outcome(waiter.what, outcome, link.map(Box::as_ref));
            let _ = waiter.reply.send(outcome);
            false
        });
    }
}

impl Drop for Worker<'_> {
    /// Also after a panic: what follows closes only what is ours.
    fn drop(&mut self) {
        self.forget_lost();
    }
}

/// The worker has lost what it waits by.
#[derive(Debug)]
pub struct Lost;

/// Whether the worker's poll and its waker are still those that it was given.
pub fn has_both(poll: &Poll, waker: &own::Waker) -> bool {
    own::is_ours(poll.registry(), waker, WAKER)
}

fn setting_watch(registry: &Registry) -> Option<SettingWatch> {
    SettingWatch::new(registry, SETTING)
        .inspect_err(|error| log::info!("settings of the wall clock are noticed late: {error}"))
        .ok()
}

fn alarm(registry: &Registry) -> Option<Alarm> {
    Alarm::new(registry, ALARM)
        .inspect_err(|error| log::info!("deadlines are kept to the millisecond only: {error}"))
        .ok()
}

fn route_watch(registry: &Registry) -> Option<RouteWatch> {
    RouteWatch::new(registry, ROUTES)
        .inspect_err(|error| log::info!("an interface that comes back gets no multicast: {error}"))
        .ok()
}

fn log_outcome(what: Awaited, outcome: Waited, link: Option<&Link>) {
    let who = link.and_then(|link| link.peers.first()).map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip);
    let advice = link.map_or(c"", |link| link.association.advice()).to_string_lossy();
    match (what, outcome) {
        (Awaited::Synchronized, Waited::Happened) => log::info!("{who}: synchronised"),
        (Awaited::Synchronized, Waited::TimedOut) => {
            log::warn!("{who}: not synchronised in time, audio may not play. {advice}");
        }
        (Awaited::Synchronized, Waited::Stopped) => log::info!("{who}: stopped before it was synchronised"),
        (Awaited::Role, Waited::TimedOut) => log::info!("{who}: no role settled yet. {advice}"),
        (Awaited::Role, _) => {}
    }
}
