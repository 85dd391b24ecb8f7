//! An association with what surrounds it in the worker: its sockets, its addresses, the sessions that share it.

use std::net::IpAddr;
use std::time::Duration;

use super::clock::Clocks;
use super::net::Address;
use super::pairs::{Outgoing, PairId, PairStatus, Pairs};
use super::published::{Published, Status};
use super::SessionId;
use crate::association::{Association, Change};
use crate::time::{LocalTime, Span};
use crate::timeline::{Role, Timeline};

/// How long publishing waits for a reader of the status.
const STATUS_PATIENCE: Duration = Duration::from_millis(1);

/// What a session's callback is told of. The numbers are those of the C interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// The receiver's time is known from now on.
    Synchronized = 1,
    /// It is not known any more.
    Lost = 2,
    /// The timeline was re-anchored: anchors computed before are void.
    EpochChanged = 3,
    /// We follow, lead or listen now, and did not before.
    RoleChanged = 4,
    /// The timeline is another clock's.
    GrandmasterChanged = 5,
    /// The session has ended; nothing comes after it.
    Stopped = 6,
}

/// Called on the worker with each event and the snapshot of that moment.
pub type Callback = Box<dyn FnMut(Event, &Timeline) + Send>;

/// One session of a link.
pub struct SessionRun {
    /// Its number.
    pub id: SessionId,
    /// Where it is published.
    pub published: &'static Published,
    /// Whom to tell.
    pub callback: Option<Callback>,
    /// Its local clock is the wall clock.
    pub wall: bool,
    /// Added to the association's epoch: what the association counted before this session began is taken out, and
    /// steps of this session's own local clock are put in.
    pub epochs: u32,
    /// Packets from strangers that the pair had counted when the session began.
    pub foreign_before: u64,
    /// Packets that the kernel had dropped by then.
    pub dropped_before: u64,
}

/// How much of a link is told in the log: a peer that changes its mind with every packet fills no disk.
#[derive(Debug, Default)]
pub struct Telling {
    since: Option<LocalTime>,
    lines: u32,
    untold: u64,
}

/// Lines told of one link in [`TELLING_SPAN`]: four handovers and their consequences.
const TELLING_LINES: u32 = 20;

/// The time in which they are counted.
const TELLING_SPAN: Span = Span::from_millis(60_000);

impl Telling {
    /// Whether one more line is told, and how many were not before it.
    fn may(&mut self, now: LocalTime) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= TELLING_SPAN) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= TELLING_LINES && !crate::planted::bug("log-unlimited") {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// One association and those who share it.
pub struct Link {
    /// The conversation.
    pub association: Association,
    /// Its sockets.
    pub pair: PairId,
    /// The address its sessions asked to send from.
    pub local: Option<IpAddr>,
    /// The receiver's addresses.
    pub peers: Vec<Address>,
    /// Who shares it.
    pub sessions: Vec<SessionRun>,
    /// The deadline the timers know of.
    pub scheduled: Option<LocalTime>,
    /// It has heard something and not published it yet.
    pub unsettled: bool,
    /// Sends that the system refused.
    pub send_errors: u64,
    /// What was told of it in the log.
    pub told: Telling,
}

impl Link {
    /// Sends what the association has to say, and tells it when that left.
    pub fn transmit(&mut self, pairs: &mut Pairs, clocks: &Clocks, now: LocalTime) {
        // Ends: what a message that left gives rise to is not tagged itself.
        while let Some(transmit) = self.association.poll_transmit() {
            let Some(to) = self.peers.get(usize::from(transmit.peer)) else { continue };
            let out = Outgoing {
                port: transmit.port,
                to: *to,
                source: self.local,
                bytes: transmit.message.as_bytes(),
                tagged: transmit.tag.is_some(),
            };
            match pairs.send(self.pair, &out, clocks) {
                Ok(at) => {
                    if let Some(tag) = transmit.tag {
                        self.association.sent(tag, at, now);
                    }
                }
                Err(_) => self.send_errors = self.send_errors.wrapping_add(1),
            }
        }
    }

    /// Publishes the clock to every session, then tells each what changed.
    pub fn publish(&mut self, pairs: &Pairs, clocks: &Clocks, now: LocalTime) {
        let timeline = self.publish_clock(pairs, clocks, now);
        while let Some(change) = self.association.poll_change() {
            if let Some(untold) = self.told.may(now) {
                if untold > 0 {
                    log::warn!("{}: {untold} changes were not told, for there were too many", self.name());
                }
                self.log(change, &timeline);
            }
            for session in &mut self.sessions {
                let mine = session.timeline(&timeline, clocks);
                session.tell(event(change), &mine);
            }
        }
    }

    /// Publishes the clock to every session: before any is told of it, since its callback may ask for all of it.
    pub fn publish_clock(&self, pairs: &Pairs, clocks: &Clocks, now: LocalTime) -> Timeline {
        let timeline = self.association.timeline(now);
        let pair = pairs.status(self.pair);
        for session in &self.sessions {
            let mine = session.timeline(&timeline, clocks);
            session.published.clock.write(&mine.to_words());
            let status = status(&self.association, self.send_errors, mine, pair, session);
            // A reader that is kept from running inside its copy must not hold up the clocks of all sessions: the next
            // time will do.
            if let Some(mut place) = session.published.status.try_lock_for(STATUS_PATIENCE) {
                *place = Some(status);
            }
        }
        timeline
    }

    /// The wall clock was stepped: for those who count in it, the timeline is anchored anew.
    pub fn wall_clock_stepped(&mut self, pairs: &Pairs, clocks: &Clocks, now: LocalTime) {
        let synchronized = self.association.sync_state().is_synchronized();
        for session in self.sessions.iter_mut().filter(|session| session.wall && synchronized) {
            session.epochs = session.epochs.wrapping_add(1);
        }
        let timeline = self.publish_clock(pairs, clocks, now);
        for session in self.sessions.iter_mut().filter(|session| session.wall && synchronized) {
            let mine = session.timeline(&timeline, clocks);
            session.tell(Event::EpochChanged, &mine);
        }
    }

    fn name(&self) -> IpAddr {
        self.peers.first().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip)
    }

    fn log(&self, change: Change, timeline: &Timeline) {
        let who = self.name();
        match change {
            Change::Role { from, to, reason } => {
                log::info!("{who}: {} after {}: {reason}", role_name(to), role_name(from));
            }
            Change::Epoch { epoch, reason } => {
                log::info!("{who}: timeline anchored anew, epoch {epoch}: {reason}")
            }
            Change::Synchronized => log::debug!(
                "{who}: synchronised to clock {:016x}, within {} ns, path delay {} ns",
                timeline.grandmaster_id,
                timeline.error_ns,
                timeline.path_delay_ns
            ),
            Change::Lost => {
                log::warn!("{who}: synchronisation lost. {}", self.association.advice().to_string_lossy())
            }
            Change::Grandmaster { from, to } => log::info!("{who}: grandmaster {to} after {from}"),
        }
    }
}

impl SessionRun {
    /// The snapshot as this session's caller counts.
    pub fn timeline(&self, timeline: &Timeline, clocks: &Clocks) -> Timeline {
        let mut mine = *timeline;
        mine.conversion.epoch = mine.conversion.epoch.wrapping_add(self.epochs);
        if self.wall {
            let wall = clocks.wall();
            mine.conversion.shift_ns = wall.ns;
            mine.error_ns = mine.error_ns.saturating_add(u64::try_from(wall.within_ns).unwrap_or(u64::MAX));
        }
        mine
    }

    /// Tells the session's host.
    pub fn tell(&mut self, event: Event, timeline: &Timeline) {
        if let Some(callback) = &mut self.callback {
            if crate::planted::bug("panic-event") {
                panic!("planted");
            }
            callback(event, timeline);
        }
    }
}

fn status(
    association: &Association,
    send_errors: u64,
    timeline: Timeline,
    pair: Option<PairStatus>,
    session: &SessionRun,
) -> Status {
    Status {
        timeline,
        event_port: pair.map_or(0, |pair| pair.event_port),
        general_port: pair.map_or(0, |pair| pair.general_port),
        ephemeral_ports: pair.is_some_and(|pair| pair.ephemeral),
        kernel_receive_stamps: pair.is_some_and(|pair| pair.receive_stamps),
        kernel_send_stamps: pair.is_some_and(|pair| pair.send_stamps),
        announced: association.announced(),
        counters: *association.counters(),
        wrong_source: pair.map_or(0, |pair| pair.foreign.wrapping_sub(session.foreign_before)),
        kernel_drops: pair.map_or(0, |pair| pair.dropped.wrapping_sub(session.dropped_before)),
        send_errors,
        advice: association.advice(),
    }
}

const fn event(change: Change) -> Event {
    match change {
        Change::Role { .. } => Event::RoleChanged,
        Change::Epoch { .. } => Event::EpochChanged,
        Change::Synchronized => Event::Synchronized,
        Change::Lost => Event::Lost,
        Change::Grandmaster { .. } => Event::GrandmasterChanged,
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Listening => "LISTENING",
        Role::Following => "FOLLOWING",
        Role::Leading => "LEADING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_changes_its_mind_without_end_gets_so_many_lines() {
        let mut telling = Telling::default();
        let mut at = |ms: i64| telling.may(LocalTime::from_nanos(ms * 1_000_000));
        assert_eq!((0..10_000).filter(|ms| at(*ms).is_some()).count(), 20);
        // Later it is said how many there were.
        assert_eq!(at(60_000), Some(10_000 - 20));
        assert_eq!(at(60_001), Some(0));
    }
}
