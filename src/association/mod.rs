//! One conversation with one receiver, without I/O: packets, send times and the clock come in as arguments; packets to
//! send, the next deadline and what changed are asked for.
#![forbid(unsafe_code)]

mod advice;
mod budget;
mod counters;
mod exchange;
mod following;
mod pairing;
mod roles;
mod serving;
mod sign;

pub use counters::{Counters, Refusal};

use std::collections::VecDeque;

use crate::election::Advertisement;
use crate::estimator::Estimator;
use crate::time::{LocalTime, PtpTime, Span};
use crate::timeline::{Conversion, Rate, Role, SyncState, Timeline, NO_SYNC};
use crate::wire::compose::Sender;
use crate::wire::{self, Body, ClockIdentity, DataSet, Encoded, Header, Message, PortIdentity};
use budget::Budgets;
use exchange::Exchanges;
use pairing::{Pair, Pairing};
use serving::Serving;

/// Addresses one receiver may have: an IPv4 and a few IPv6 ones.
pub const MAX_PEERS: usize = 8;

/// Messages that may wait to be sent: what one tick can make for every address, twice over.
const OUTBOX: usize = 8 * MAX_PEERS;

/// Changes that may wait to be told; the oldest give way, and the state itself is never lost.
const CHANGES: usize = 32;

/// Which part to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum RolePolicy {
    /// Best-master election, re-run on every Announce.
    #[default]
    Auto = 0,
    /// Always follow the receiver, and never offer our clock.
    Follow = 1,
    /// Always be grandmaster.
    Lead = 2,
}

/// What an association is set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which part to play.
    pub policy: RolePolicy,
    /// What we announce of our clock.
    pub advertisement: Advertisement,
    /// Our port.
    pub identity: PortIdentity,
    /// domainNumber, sent and asked for.
    pub domain: u8,
    /// majorSdoId sent; any is accepted.
    pub major_sdo_id: u8,
    /// No Announce and no Sync in this time makes us grandmaster under [`RolePolicy::Auto`].
    pub announce_timeout: Span,
    /// Number of addresses the receiver has: 1 to [`MAX_PEERS`].
    pub peers: u8,
}

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Event messages: 319.
    Event,
    /// General messages: 320.
    General,
}

/// A datagram from the receiver.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Which of the receiver's addresses it came from.
    pub peer: u8,
    /// When it arrived.
    pub received: LocalTime,
}

/// What follows a Sync of ours once its Follow_Up is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// An Announce.
    Announce,
    /// The opening Signaling.
    Opening,
}

/// Names a message whose time of sending is wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A Sync, to be followed up.
    Sync {
        /// Its address.
        peer: u8,
        /// Its sequenceId.
        sequence: u16,
        /// What comes after the Follow_Up.
        then: Then,
    },
    /// A Delay_Req.
    DelayReq {
        /// Its sequenceId.
        sequence: u16,
    },
    /// A Pdelay_Resp, to be followed up.
    PdelayResp {
        /// Its address.
        peer: u8,
        /// The header of what it answers.
        request: Header,
    },
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Transmit {
    /// From and to which port.
    pub port: Port,
    /// To which of the receiver's addresses.
    pub peer: u8,
    /// The bytes.
    pub message: Encoded,
    /// Whether and as what [`Association::sent`] is to tell when it left.
    pub tag: Option<Tag>,
}

/// Something a host may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another role.
    Role {
        /// Until now.
        from: Role,
        /// From now on.
        to: Role,
        /// Why.
        reason: &'static str,
    },
    /// The timeline was re-anchored: anchors computed before are void.
    Epoch {
        /// The new epoch.
        epoch: u32,
        /// Why.
        reason: &'static str,
    },
    /// The clock may be trusted from now on.
    Synchronized,
    /// The clock may not be trusted any more.
    Lost,
    /// The timeline is another clock's.
    Grandmaster {
        /// The clock it was.
        from: ClockIdentity,
        /// The clock it is.
        to: ClockIdentity,
    },
}

/// What the receiver's Announce said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its data set.
    pub dataset: DataSet,
    /// Its timeSource.
    pub time_source: u8,
    /// Whether it beats ours.
    better: bool,
}

/// The clock at the receiver's address that is listened to.
#[derive(Clone, Copy, Debug)]
struct Master {
    identity: PortIdentity,
    /// Since when it is the one listened to.
    since: LocalTime,
    /// Its last accepted Announce, Sync or Follow_Up.
    heard: LocalTime,
    sync_heard: Option<LocalTime>,
    announced: Option<Announced>,
    /// The grandmaster its Announce named last.
    announced_grandmaster: Option<ClockIdentity>,
    /// The grandmaster its Follow_Up named last (Apple clock TLV).
    followed_up_grandmaster: Option<ClockIdentity>,
    /// Whose timeline its pairs carry.
    grandmaster: ClockIdentity,
    /// A grandmaster that its Announce named, and when, while its Follow_Ups still name another.
    handover: Option<(ClockIdentity, LocalTime)>,
    /// The first pairs of those whose Follow_Ups name another grandmaster.
    renamed: [Option<Pair>; following::RENAMED_MOST],
    /// Arrival of the newest Sync that found its Follow_Up.
    newest: Option<LocalTime>,
}

/// One conversation with one receiver.
#[derive(Debug)]
pub struct Association {
    config: Config,
    sender: Sender,
    /// Our served timeline minus the local clock.
    served: Span,
    role: Role,
    sync_state: SyncState,
    epoch: u32,
    /// Whether the clock was called synchronised in this epoch.
    claimed: bool,
    /// Whether the last change told said that the clock may be trusted.
    told_synchronized: bool,
    /// The clock whose timeline is the session's; the last one that was, while there is none.
    grandmaster: ClockIdentity,
    /// When the receiver's timeline was last seen to step.
    stepped: Option<LocalTime>,
    master: Option<Master>,
    /// majorSdoId of the receiver's last packet.
    heard_sdo: Option<u8>,
    /// The receiver's identity where it only asks, from its Delay_Req or Signaling, and when it did so last.
    asker: Option<(ClockIdentity, LocalTime)>,
    budgets: Budgets,
    /// The address that answers, and when it did so last.
    talking: Option<(u8, LocalTime)>,
    pairing: Pairing,
    exchanges: Exchanges,
    estimator: Estimator,
    /// Arrival of the last accepted pair's Sync.
    last_pair: LocalTime,
    last_request: Option<LocalTime>,
    /// When the present role began.
    role_since: LocalTime,
    /// Locked at some time since following began.
    has_locked: bool,
    /// We took our clock back from a master that never sent Sync: its Announces do not win until it does.
    sync_first: bool,
    serving: Serving,
    outbox: VecDeque<Transmit>,
    changes: VecDeque<Change>,
    counters: Counters,
}

impl Association {
    /// A conversation that begins `now`; `served` is our served timeline minus the local clock. The first messages
    /// can be had from [`Association::poll_transmit`] at once.
    pub fn new(config: Config, served: Span, now: LocalTime) -> Self {
        let mut association = Self {
            config,
            sender: Sender {
                identity: config.identity,
                domain: config.domain,
                major_sdo_id: config.major_sdo_id,
            },
            served,
            role: Role::Listening,
            sync_state: SyncState::Silent,
            epoch: 0,
            claimed: false,
            told_synchronized: false,
            stepped: None,
            grandmaster: ClockIdentity(0),
            master: None,
            heard_sdo: None,
            asker: None,
            budgets: Budgets::default(),
            talking: None,
            pairing: Pairing::default(),
            exchanges: Exchanges::default(),
            estimator: Estimator::new(),
            last_pair: NO_SYNC,
            last_request: None,
            role_since: now,
            has_locked: false,
            sync_first: false,
            serving: Serving::default(),
            outbox: VecDeque::new(),
            changes: VecDeque::new(),
            counters: Counters::default(),
        };
        match config.policy {
            RolePolicy::Lead => association.lead(now, "the host asked us to lead"),
            RolePolicy::Auto => association.serving.open(now),
            RolePolicy::Follow => {}
        }
        association.tick(now);
        association
    }

    /// Takes a datagram from one of the receiver's addresses.
    pub fn receive(&mut self, packet: Packet, now: LocalTime) {
        // A stamp from the future is a conversion gone wrong (the wall clock was stepped between stamp and reading);
        // it would keep the session locked until that future comes.
        let packet = Packet { received: packet.received.min(now), ..packet };
        if let Err(why) = self.accept(packet, now) {
            self.counters.count_refused(why);
        }
        for _ in 0..self.pairing.take_unmatched() {
            self.counters.count_refused(Refusal::Unmatched);
        }
        self.refresh(now);
    }

    fn accept(&mut self, packet: Packet, now: LocalTime) -> Result<(), Refusal> {
        let Message { header, body } = wire::decode(packet.bytes)?;
        if header.domain != self.config.domain {
            return Err(Refusal::Domain);
        }
        if header.source.clock == self.config.identity.clock {
            return Err(Refusal::Own);
        }
        if packet.peer >= self.config.peers {
            return Err(Refusal::Identity);
        }
        self.counters.count_received(body.message_type());
        self.heard_sdo = Some(header.major_sdo_id);
        match body {
            Body::Announce(announce) => self.on_announce(&header, &announce, packet, now),
            Body::Sync { .. } => self.on_sync(&header, packet, now),
            Body::FollowUp { precise_origin, apple_clock, .. } => {
                self.on_follow_up(&header, precise_origin, apple_clock, packet.peer, now)
            }
            Body::DelayResp { receive, requesting } => {
                self.on_delay_resp(&header, receive, requesting, packet, now)
            }
            Body::DelayReq { .. } => {
                self.may_ask(&header, packet, now)?;
                self.answer_delay_req(&header, packet);
                Ok(())
            }
            Body::PdelayReq { .. } => {
                self.may_ask(&header, packet, now)?;
                self.answer_pdelay_req(&header, packet);
                Ok(())
            }
            Body::Signaling { tlvs, .. } => {
                self.may_ask(&header, packet, now)?;
                self.answer_signaling(&header, &tlvs, packet.peer);
                Ok(())
            }
            // We ask nobody for a peer delay.
            Body::PdelayResp { .. } | Body::PdelayRespFollowUp { .. } => Err(Refusal::Unrequested),
        }
    }

    /// Tells when a tagged message left.
    pub fn sent(&mut self, tag: Tag, at: LocalTime, now: LocalTime) {
        match tag {
            Tag::Sync { peer, sequence, then } => self.follow_up_sync(peer, sequence, then, at),
            Tag::DelayReq { sequence } => self.exchanges.sent(sequence, at),
            Tag::PdelayResp { peer, request } => self.follow_up_pdelay(peer, &request, at),
        }
        self.refresh(now);
    }

    /// The receiver has more addresses than was known: `peers` in all, at most [`MAX_PEERS`]. Until one has answered, all
    /// of them are talked to.
    pub fn add_addresses(&mut self, peers: u8, now: LocalTime) {
        self.config.peers = peers;
        if self.role == Role::Listening && self.config.policy == RolePolicy::Auto && self.talking.is_none() {
            self.serving.open(now);
        }
        self.tick(now);
    }

    /// Does what is due. To be called when [`Association::poll_timeout`]'s deadline has come; harmless at any time.
    pub fn tick(&mut self, now: LocalTime) {
        self.role_tick(now);
        self.serving_tick(now);
        self.refresh(now);
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// Whether there is something to send or to tell.
    pub fn has_news(&self) -> bool {
        !self.outbox.is_empty() || !self.changes.is_empty()
    }

    /// When [`Association::tick`] is to be called next, at the latest.
    pub fn poll_timeout(&self) -> Option<LocalTime> {
        [self.role_deadline(), self.serving.deadline()].into_iter().flatten().min()
    }

    /// The next change not yet told.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The local clock stood still for `by` (a suspend), or our served timeline moved against it for another reason:
    /// `served` is the new difference.
    pub fn local_clock_stood_still(&mut self, by: Span, served: Span, now: LocalTime) {
        self.served = served;
        self.estimator.shift(by);
        // Halves from before the pause would be taken for packets that were on their way all through it.
        self.pairing.clear();
        self.exchanges.forget_requests();
        if self.sync_state.is_synchronized() {
            self.next_epoch("the host was suspended");
            // A handover meanwhile is of this epoch, as one that came with a step; its Announce may trail the first pairs.
            self.stepped = Some(now);
        }
        self.refresh(now);
    }

    /// The clock as it stands; its shift is zero, for the session to set.
    pub fn timeline(&self, now: LocalTime) -> Timeline {
        let mut timeline = Timeline {
            conversion: Conversion {
                epoch: self.epoch,
                role: self.role,
                sync_state: self.sync_state,
                ..Conversion::default()
            },
            grandmaster_id: if self.role == Role::Listening { 0 } else { self.grandmaster.0 },
            receiver_clock_id: self.receiver_clock().0,
            local_clock_id: self.config.identity.clock.0,
            last_sync: self.last_pair,
            published: now,
            ..Timeline::default()
        };
        if self.role == Role::Leading {
            timeline.conversion.anchor_local = now;
            timeline.conversion.anchor_remote = self.served_at(now);
        } else if let Some(line) = self.estimator.line().filter(|_| self.role == Role::Following) {
            timeline.conversion.anchor_local = line.anchor_local;
            timeline.conversion.anchor_remote = line.anchor_remote;
            timeline.conversion.rate = Rate::new(line.rate);
            timeline.error_ns = line.error_ns;
            timeline.error_growth = line.error_growth;
            timeline.skew = line.skew;
            // Known, and be it nothing at all, is not the same as unknown.
            timeline.path_delay_ns = line.path_delay_ns.map_or(0, |delay| delay.max(1));
        }
        timeline.with_validity()
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How far the clock is to be believed.
    pub fn sync_state(&self) -> SyncState {
        self.sync_state
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the receiver announced last.
    pub fn announced(&self) -> Option<Announced> {
        self.master.and_then(|master| master.announced)
    }

    /// What this association was set up with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn receiver_clock(&self) -> ClockIdentity {
        let asker = self.asker.map(|(asker, _)| asker);
        self.master.map(|master| master.identity.clock).or(asker).unwrap_or(ClockIdentity(0))
    }

    /// Our served timeline at a local time.
    fn served_at(&self, at: LocalTime) -> PtpTime {
        PtpTime::clamped(i128::from(at.nanos()) + i128::from(self.served.nanos()))
    }

    fn send(&mut self, port: Port, peer: u8, message: &Message, tag: Option<Tag>) {
        // A full outbox means that nobody sends: losing a message is what the network does as well.
        if crate::planted::bug("heap-grows") {
            // Bytes that nobody gives back.
            std::mem::forget(std::hint::black_box(vec![0_u8; 256]));
        }
        if self.outbox.len() < OUTBOX {
            self.counters.count_sent(message.body.message_type());
            self.outbox.push_back(Transmit { port, peer, message: wire::encode(message), tag });
        }
    }

    fn tell(&mut self, change: Change) {
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    fn next_epoch(&mut self, reason: &'static str) {
        self.epoch = self.epoch.wrapping_add(1);
        self.claimed = false;
        self.tell(Change::Epoch { epoch: self.epoch, reason });
    }
}

#[cfg(test)]
mod tests;
