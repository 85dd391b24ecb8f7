//! The part an association plays: the election, yielding, leading, the watchdog over a master that never sends Sync,
//! holdover and silence (field guide 1.10).
#![forbid(unsafe_code)]

use super::following::{Speech, ANNOUNCES};
use super::{Announced, Association, Change, Packet, Refusal, RolePolicy};
use crate::election::{self, Candidate};
use crate::time::{LocalTime, Span};
use crate::timeline::{Role, SyncState, HOLDOVER_AFTER, SILENT_AFTER};
use crate::wire::{Announce, Header};

/// Having yielded, this long without any Sync gives us our clock back (field guide 1.10, 4: a passive receiver that
/// wakes a silent master never syncs).
const SYNC_WATCHDOG: Span = Span::from_millis(3_000);

impl Association {
    pub(super) fn on_announce(
        &mut self,
        header: &Header,
        announce: &Announce,
        packet: Packet,
        now: LocalTime,
    ) -> Result<(), Refusal> {
        election::qualified(announce, header.source, self.config.identity.clock)
            .map_err(|_| Refusal::Loop)?;
        self.adopt(header.source, Speech::Announce, packet.peer, now)?;
        self.budgets.announces.take(ANNOUNCES, packet.received)?;
        let ours = Candidate::own(self.config.advertisement.dataset, self.config.identity.clock);
        let theirs = Candidate::announced(announce, header.source, self.config.identity);
        let better = election::compare(&theirs, &ours).is_better();
        if let Some(master) = &mut self.master {
            master.announced =
                Some(Announced { dataset: announce.dataset, time_source: announce.time_source, better });
        }
        self.announced_grandmaster(announce.dataset.grandmaster, now);
        match (self.config.policy, self.role) {
            (RolePolicy::Lead, _) | (RolePolicy::Follow, Role::Following) => {}
            (RolePolicy::Follow, _) => self.follow(now, "the receiver announces itself"),
            (RolePolicy::Auto, Role::Following) if !better => {
                self.lead(now, "the receiver's clock now announces itself as worse than ours");
            }
            (RolePolicy::Auto, Role::Listening) if !better => {
                self.lead(now, "the receiver's clock is worse than ours");
            }
            (RolePolicy::Auto, Role::Listening | Role::Leading) if better && !self.sync_first => {
                self.follow(now, "the receiver announces a better clock");
            }
            (RolePolicy::Auto, _) => {}
        }
        Ok(())
    }

    /// A Sync alone: a sign of life, and what a master that was given up on has to send before it is believed again.
    pub(super) fn sync_heard(&mut self, now: LocalTime) {
        self.sync_first = false;
        match (self.config.policy, self.role, self.announced()) {
            (RolePolicy::Follow, Role::Listening, _) => self.follow(now, "the receiver sends Sync"),
            (RolePolicy::Auto, Role::Leading, Some(announced)) if announced.better => {
                self.follow(now, "the receiver, whose clock is better, has begun to send Sync");
            }
            _ => {}
        }
    }

    /// A complete pair: counts as an Announce of a better clock where none said otherwise (field guide 1.10). Tells
    /// whether the pair is to be used.
    pub(super) fn pair_counts(&mut self, now: LocalTime) -> bool {
        if self.role == Role::Following {
            return true;
        }
        let worse = self.announced().is_some_and(|announced| !announced.better);
        match self.config.policy {
            RolePolicy::Lead => return false,
            RolePolicy::Auto if worse => return false,
            RolePolicy::Auto | RolePolicy::Follow => {}
        }
        self.follow(now, "the receiver serves its clock");
        true
    }

    /// Takes the receiver's timeline for the session's.
    fn follow(&mut self, now: LocalTime, reason: &'static str) {
        self.serving.fall_silent();
        if self.config.policy == RolePolicy::Auto {
            self.send_yielding();
        }
        self.has_locked = false;
        self.last_request = None;
        self.estimator.restart();
        self.change_role(Role::Following, now, reason);
    }

    /// Takes our timeline for the session's, and serves it.
    pub(super) fn lead(&mut self, now: LocalTime, reason: &'static str) {
        self.serving.lead(now);
        self.change_role(Role::Leading, now, reason);
    }

    /// Nobody is heard: begins anew.
    fn listen(&mut self, now: LocalTime, reason: &'static str) {
        self.master = None;
        self.asker = None;
        self.talking = None;
        self.serving.fall_silent();
        if self.config.policy == RolePolicy::Auto {
            self.serving.open(now);
        }
        self.change_role(Role::Listening, now, reason);
    }

    fn change_role(&mut self, to: Role, now: LocalTime, reason: &'static str) {
        let from = self.role;
        if from == to {
            return;
        }
        self.role = to;
        self.role_since = now;
        if !crate::planted::bug("role-untold") {
            self.tell(Change::Role { from, to, reason });
        }
        // Leaving LISTENING anchors nothing anew: there was no timeline (field guide 1.10).
        if from != Role::Listening {
            self.next_epoch(reason);
        }
    }

    /// When the present role may end by itself, or its state change.
    pub(super) fn role_deadline(&self) -> Option<LocalTime> {
        match self.role {
            Role::Leading => None,
            Role::Listening => {
                (self.config.policy == RolePolicy::Auto).then(|| self.listening_since().plus(self.patience()))
            }
            Role::Following => Some(match self.sync_state {
                SyncState::Locked => self.last_pair.plus(HOLDOVER_AFTER),
                _ if self.watched() => self.sign_of_life().plus(SYNC_WATCHDOG),
                _ => self.sign_of_life().plus(SILENT_AFTER),
            }),
        }
    }

    pub(super) fn role_tick(&mut self, now: LocalTime) {
        match self.role {
            Role::Leading | Role::Listening => {}
            Role::Following if self.watched() => {
                if now >= self.sign_of_life().plus(SYNC_WATCHDOG) {
                    self.sync_first = true;
                    self.lead(now, "the receiver was given the clock and sends no Sync");
                }
            }
            Role::Following => {
                if now >= self.sign_of_life().plus(SILENT_AFTER) {
                    self.listen(now, "no Sync from the receiver for a minute");
                }
            }
        }
        // After the above: a wait of no time at all is over as soon as it begins.
        let waiting = self.role == Role::Listening && self.config.policy == RolePolicy::Auto;
        if waiting && now >= self.listening_since().plus(self.patience()) {
            self.lead(now, "nobody announced a better clock");
        }
    }

    /// The wait for an Announce begins with the role, and anew with each Sync that came without its Follow_Up.
    fn listening_since(&self) -> LocalTime {
        let sync = self.master.and_then(|master| master.sync_heard);
        sync.map_or(self.role_since, |sync| sync.max(self.role_since))
    }

    /// How long that wait is: as configured until the first Sync, the watchdog's time from then on.
    fn patience(&self) -> Span {
        match self.master.and_then(|master| master.sync_heard) {
            Some(_) => self.config.announce_timeout.max(SYNC_WATCHDOG),
            None => self.config.announce_timeout,
        }
    }

    /// Whether the watchdog minds the master: until it was locked, and only where leading is ours to choose.
    fn watched(&self) -> bool {
        self.config.policy == RolePolicy::Auto && !self.has_locked
    }

    /// The last time a master showed that it serves: Sync once it has sent any (Announces thin out, and do not
    /// count), before that the beginning of the role or of its own time.
    fn sign_of_life(&self) -> LocalTime {
        if self.has_locked {
            return self.last_pair.max(self.role_since);
        }
        self.master
            .map_or(self.role_since, |master| self.role_since.max(master.sync_heard.unwrap_or(master.since)))
    }

    /// Brings state, grandmaster and the changes told of them up to date with what happened.
    pub(super) fn refresh(&mut self, now: LocalTime) {
        let state = self.state_at(now);
        let before = std::mem::replace(&mut self.sync_state, state);
        if self.sync_state == SyncState::Locked {
            self.has_locked = true;
        }
        if before != SyncState::Holdover && self.sync_state == SyncState::Holdover {
            self.estimator.coast(now);
        }
        let grandmaster = match (self.role, self.master) {
            (Role::Leading, _) => self.config.identity.clock,
            (Role::Following, Some(master)) => master.grandmaster,
            _ => self.grandmaster,
        };
        if grandmaster != self.grandmaster {
            let from = std::mem::replace(&mut self.grandmaster, grandmaster);
            if from.0 != 0 {
                self.tell(Change::Grandmaster { from, to: grandmaster });
            }
        }
        let synchronized = self.sync_state.is_synchronized();
        self.claimed |= synchronized;
        if synchronized != self.told_synchronized {
            self.told_synchronized = synchronized;
            self.tell(if synchronized { Change::Synchronized } else { Change::Lost });
        }
    }

    fn state_at(&self, now: LocalTime) -> SyncState {
        let heard = self.master.is_some();
        match self.role {
            Role::Leading => SyncState::Leading,
            Role::Listening if heard => SyncState::Announced,
            Role::Listening => SyncState::Silent,
            Role::Following => match self.estimator.line() {
                None => SyncState::Announced,
                Some(line) if !line.trusted => SyncState::Acquiring,
                Some(_) if now.since(self.last_pair) < HOLDOVER_AFTER => SyncState::Locked,
                Some(_) => SyncState::Holdover,
            },
        }
    }
}
