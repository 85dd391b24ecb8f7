//! The following side: whose packets count, pairs into the estimate, path delay, and whose timeline it is.
#![forbid(unsafe_code)]

use super::budget::Rate;
use super::exchange::{Answer, Response};
use super::pairing::{FollowUp, Pair, Sync};
use super::{Association, Master, Packet, Port, Refusal, Tag};
use crate::estimator::SyncPair;
use crate::time::{LocalTime, Span, Timestamp};
use crate::timeline::Role;
use crate::wire::{ClockIdentity, Header, PortIdentity};

/// A master that sent Sync and is silent for this long may be taken over from by another identity at its address:
/// four Sync intervals (field guide 3.1), so that a stranger cannot while it lives.
const SYNC_HOLD: Span = Span::from_millis(500);

/// The same once the master's time was trusted: Wi-Fi stalls for longer than four Sync intervals, while nothing is lost by
/// waiting, since the estimate holds over for a minute.
const TRUSTED_HOLD: Span = Span::from_millis(2_000);

/// The same where one of the two only announces: Announces come up to 2 s apart (field guide 2.10, 12).
const ANNOUNCE_HOLD: Span = Span::from_millis(2_000);

/// An address of the receiver that was silent for this long gives way to another one that speaks.
const PEER_HOLD: Span = Span::from_millis(1_000);

/// An Announce trails the pairs by up to its interval (2 s, field guide 2.10) and a spell on the way.
const ANNOUNCE_LAG: Span = Span::from_millis(3_000);

/// Of that, the spell on the way. An Announce that comes later than this after a step, and names the clock as before, was
/// sent after the step: no handover came with it.
const ANNOUNCE_SPELL: Span = Span::from_millis(1_000);

/// Follow_Ups that name their timeline trail the Announce of a handover by a Sync interval; where they still name the
/// old one after four (field guide 3.1), the Announce is taken at its word.
const FOLLOW_UP_LAG: Span = Span::from_millis(500);

/// Follow_Ups that name another grandmaster than before are believed once they have done so for this long, with none in
/// between that names the former: half a Sync interval and more (field guide 3.1), so that it takes a second Sync, and the
/// true one's Follow_Up would contradict one that was made up. A handover is seen a Sync interval later for it.
const RENAMED_FOR: Span = Span::from_millis(75);

/// Pairs that are kept meanwhile, to be measured with: no more fit into that time, unless they come in a bunch.
pub(super) const RENAMED_MOST: usize = 4;

/// No such pairs.
const NONE: [Option<Pair>; RENAMED_MOST] = [None; RENAMED_MOST];

/// Announces taken from the clock that is listened to: four times the fastest rate known (250 ms, field guide 3.1), and
/// two seconds of that at once. Each can turn our role, which costs five messages.
pub(super) const ANNOUNCES: Rate = Rate { interval: Span::from_millis(62), burst: 32 };

/// Least time between two Delay_Req: a quarter of the usual Sync interval, against a master that runs wild.
const REQUEST_INTERVAL: Span = Span::from_millis(31);

/// What kind of message an identity speaks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// Announce: says what it could do.
    Announce,
    /// Sync or Follow_Up: serves.
    Serving,
}

impl Association {
    /// Decides whether `source`, at an address of the receiver, is the clock to listen to: the first one heard, until
    /// it has been silent for a while (field guide 1.8: filter by address, then by a stable identity).
    pub(super) fn adopt(
        &mut self,
        source: PortIdentity,
        speech: Speech,
        peer: u8,
        now: LocalTime,
    ) -> Result<(), Refusal> {
        match &mut self.master {
            Some(master) if master.identity == source => master.heard = now,
            Some(master) => {
                let hold = match speech {
                    // A clock that serves need not wait for one that was given up on because it does not.
                    Speech::Serving if self.sync_first => Span::ZERO,
                    Speech::Serving if master.sync_heard.is_some() && !self.has_locked => SYNC_HOLD,
                    Speech::Serving if master.sync_heard.is_some() => TRUSTED_HOLD,
                    _ => ANNOUNCE_HOLD,
                };
                if now.since(master.heard) < hold && !crate::planted::bug("identity-unchecked") {
                    return Err(Refusal::Identity);
                }
                self.new_master(source, now);
            }
            None => self.new_master(source, now),
        }
        self.heard_from(peer, now);
        Ok(())
    }

    fn new_master(&mut self, identity: PortIdentity, now: LocalTime) {
        let first = self.master.is_none();
        self.master = Some(Master {
            identity,
            since: now,
            heard: now,
            sync_heard: None,
            announced: None,
            announced_grandmaster: None,
            followed_up_grandmaster: None,
            grandmaster: identity.clock,
            handover: None,
            renamed: NONE,
            newest: None,
        });
        self.pairing.clear();
        self.exchanges.clear();
        // What was found out of the other one says nothing of this one.
        self.has_locked = false;
        self.sync_first = false;
        if !first && self.role == Role::Following {
            self.restart_estimate("another clock answers at the receiver's address");
        }
    }

    /// Notes who asks us without being listened to: the first one, until it has been silent for a while. Tells whether
    /// `source` is the receiver, as far as is known.
    pub(super) fn heard_asker(&mut self, source: PortIdentity, peer: u8, now: LocalTime) -> bool {
        self.heard_from(peer, now);
        let clock = source.clock;
        match &mut self.asker {
            Some((asker, heard)) if *asker == clock => *heard = now,
            Some((_, heard)) if now.since(*heard) < ANNOUNCE_HOLD => {
                return self.master.is_some_and(|master| master.identity.clock == clock);
            }
            asker => *asker = Some((clock, now)),
        }
        true
    }

    /// The address that answers first is the one talked to, as long as it speaks.
    fn heard_from(&mut self, peer: u8, now: LocalTime) {
        match &mut self.talking {
            Some((talking, heard)) if *talking == peer => *heard = now,
            Some((_, heard)) if now.since(*heard) < PEER_HOLD => {}
            talking => *talking = Some((peer, now)),
        }
    }

    pub(super) fn on_sync(&mut self, header: &Header, packet: Packet, now: LocalTime) -> Result<(), Refusal> {
        self.adopt(header.source, Speech::Serving, packet.peer, now)?;
        let sync = Sync {
            sequence: header.sequence_id,
            correction: header.correction,
            arrived: packet.received,
            peer: packet.peer,
        };
        let pair = self.pairing.sync(sync, now)?;
        if let Some(master) = &mut self.master {
            master.sync_heard = Some(now);
        }
        self.sync_heard(now);
        self.on_pair(pair, packet.peer, now)
    }

    pub(super) fn on_follow_up(
        &mut self,
        header: &Header,
        precise_origin: Timestamp,
        apple_clock: Option<ClockIdentity>,
        peer: u8,
        now: LocalTime,
    ) -> Result<(), Refusal> {
        self.adopt(header.source, Speech::Serving, peer, now)?;
        let timeline = apple_clock.filter(|clock| clock.0 != 0);
        let follow_up = FollowUp { precise_origin, correction: header.correction, timeline };
        let pair = self.pairing.follow_up(header.sequence_id, follow_up, peer, now)?;
        self.on_pair(pair, peer, now)
    }

    /// Which of several Syncs with one id is meant: the first, and the others are copies that took longer, unless that
    /// one arrived before it left; then it was made up.
    fn sync_meant(&self, pair: Pair) -> Pair {
        let early = self.estimator.line().filter(|line| line.trusted).is_some_and(|line| {
            let ahead = pair.left.since(line.remote_at(pair.first_arrived)).nanos();
            ahead > i64::try_from(line.error_at(pair.first_arrived)).unwrap_or(i64::MAX)
        });
        Pair { arrived: if early { pair.arrived } else { pair.first_arrived }, ..pair }
    }

    fn on_pair(&mut self, pair: Option<Pair>, peer: u8, now: LocalTime) -> Result<(), Refusal> {
        let pair = pair.map(|pair| self.sync_meant(pair));
        let (Some(pair), Some(master)) = (pair, &mut self.master) else {
            return Ok(());
        };
        self.counters.pairs = self.counters.pairs.wrapping_add(1);
        if master.newest.is_some_and(|newest| pair.arrived < newest) {
            // A late Follow_Up from before a handover tells of a timeline that is gone.
            if pair.timeline.is_some() && pair.timeline != master.followed_up_grandmaster {
                return Err(Refusal::Outlier);
            }
        } else if !self.followed_up_grandmaster(&pair, now) {
            return Err(Refusal::Outlier);
        }
        if !self.pair_counts(now) {
            self.pairing.used(pair.sequence, now);
            return Ok(());
        }
        let outcome = self.estimator.pair(SyncPair { local: pair.arrived, remote: pair.left }, now);
        if !outcome.outlier {
            self.last_pair = self.last_pair.max(pair.arrived);
        }
        if outcome.stepped {
            self.stepped = Some(now);
            if let Some(master) = &mut self.master {
                if let Some((clock, _)) = master.handover.take() {
                    master.grandmaster = clock;
                }
            }
            self.counters.steps = self.counters.steps.wrapping_add(1);
            if self.claimed && !crate::planted::bug("epoch-lost") {
                self.next_epoch("the receiver's clock stepped");
            }
        }
        if crate::planted::bug("false-epoch") && outcome.outlier && self.claimed {
            self.next_epoch("the receiver's clock stepped");
        }
        self.request_delay(pair, peer, now);
        if outcome.outlier {
            // Its Sync stays open: the Follow_Up may have been somebody else's.
            return Err(Refusal::Outlier);
        }
        self.pairing.used(pair.sequence, now);
        Ok(())
    }

    /// Asks for the other direction, with the Sync's sequenceId as the profile has it (field guide 2.6).
    fn request_delay(&mut self, pair: Pair, peer: u8, now: LocalTime) {
        let sequence = pair.sequence;
        if self.last_request.is_some_and(|last| now.since(last) < REQUEST_INTERVAL)
            || (self.exchanges.asked(sequence, now) && !crate::planted::bug("asked-twice"))
        {
            return;
        }
        self.last_request = Some(now);
        self.exchanges.request(sequence, pair.left, pair.arrived);
        let message = self.sender.delay_req(sequence);
        let to = self.talking.map_or(peer, |(talking, _)| talking);
        self.send(Port::Event, to, &message, Some(Tag::DelayReq { sequence }));
    }

    pub(super) fn on_delay_resp(
        &mut self,
        header: &Header,
        receive: Timestamp,
        requesting: PortIdentity,
        packet: Packet,
        now: LocalTime,
    ) -> Result<(), Refusal> {
        if requesting != self.config.identity {
            return Err(Refusal::Unrequested);
        }
        if self.master.is_none_or(|master| master.identity != header.source) {
            return Err(Refusal::Identity);
        }
        let line =
            self.estimator.line().filter(|_| self.role == Role::Following).ok_or(Refusal::Unrequested)?;
        let response = Response {
            sequence: header.sequence_id,
            receive,
            correction: header.correction,
            arrived: packet.received,
        };
        let answer = self.exchanges.response(response, &line);
        if self.exchanges.take_misread() {
            self.estimator.forget_exchanges();
        }
        let Answer { exchange, doubt } = answer?;
        if self.estimator.doubtful_exchange(exchange, doubt, now).outlier {
            return Err(Refusal::Outlier);
        }
        self.counters.delay_resp_used = self.counters.delay_resp_used.wrapping_add(1);
        Ok(())
    }

    /// The Announce names a grandmaster. Whichever of Announce, Follow_Up and step tells of a handover first, the
    /// others follow suit: it is one handover.
    pub(super) fn announced_grandmaster(&mut self, clock: ClockIdentity, now: LocalTime) {
        let Some(master) = &mut self.master else { return };
        let before = master.announced_grandmaster.replace(clock);
        if before == Some(clock) {
            self.stepped.take_if(|stepped| now.since(*stepped) >= ANNOUNCE_SPELL);
            return;
        }
        master.handover = None;
        // Of a first Announce that contradicts the Follow_Ups, the Follow_Ups are nearer to the pairs.
        let known = master.followed_up_grandmaster.is_some() && before.is_none();
        if known || master.grandmaster == clock {
            return;
        }
        // A step from before the first pair that names this clock was another one.
        let told = master.renamed[0].is_some_and(|first| first.timeline == Some(clock));
        let stepped = !told && self.stepped.is_some_and(|stepped| now.since(stepped) < ANNOUNCE_LAG);
        if stepped || before.is_none() {
            // The step that came with the handover has been counted; or pairs came before the first Announce, and what
            // was measured stays right. Only anchors that went out with a guessed clock's name are void.
            master.grandmaster = clock;
            if !stepped && self.claimed && self.role == Role::Following {
                self.next_epoch("the receiver names the clock it serves");
            }
        } else if master.followed_up_grandmaster.is_some_and(|named| named != clock) {
            // Pairs of the old timeline may still be on their way, and say so themselves.
            master.handover = Some((clock, now));
        } else {
            self.grandmaster_is(clock);
        }
    }

    /// A pair is there, and names the clock whose timeline it tells, or does not. Tells whether the pair is of that
    /// clock's timeline.
    fn followed_up_grandmaster(&mut self, pair: &Pair, now: LocalTime) -> bool {
        let Some(master) = &mut self.master else { return false };
        match pair.timeline {
            Some(clock) if master.followed_up_grandmaster != Some(clock) => {
                let same = |first: &Pair| first.timeline == pair.timeline;
                let held = if master.renamed[0].as_ref().is_some_and(same) { master.renamed } else { NONE };
                let again = |first: Pair| {
                    first.sequence != pair.sequence && pair.arrived.since(first.arrived) >= RENAMED_FOR
                };
                let believed = held[0].is_some_and(again) || crate::planted::bug("renamed-at-once");
                // Where anchors are out already, a single Follow_Up voids none of them.
                if self.claimed && self.role == Role::Following && master.grandmaster != clock && !believed {
                    master.renamed = held;
                    if let Some(free) = master.renamed.iter_mut().find(|held| held.is_none()) {
                        *free = Some(*pair);
                    }
                    return false;
                }
                master.followed_up_grandmaster = Some(clock);
                (master.handover, master.renamed) = (None, NONE);
                self.grandmaster_is(clock);
                for held in held.into_iter().flatten().filter(|held| held.sequence != pair.sequence) {
                    self.estimator.pair(SyncPair { local: held.arrived, remote: held.left }, now);
                }
            }
            named => {
                if named.is_some() {
                    // Not by one that was overtaken.
                    if master.renamed[0].is_some_and(|first| pair.arrived >= first.arrived) {
                        master.renamed = NONE;
                    }
                }
                if let Some((clock, _)) =
                    master.handover.take_if(|(_, since)| now.since(*since) >= FOLLOW_UP_LAG)
                {
                    self.grandmaster_is(clock);
                }
            }
        }
        if let Some(master) = &mut self.master {
            master.newest = Some(pair.arrived);
        }
        true
    }

    fn grandmaster_is(&mut self, clock: ClockIdentity) {
        let Some(master) = &mut self.master else { return };
        if std::mem::replace(&mut master.grandmaster, clock) != clock && self.role == Role::Following {
            self.restart_estimate("the receiver follows another grandmaster");
        }
    }

    /// Another clock's timeline: nothing measured so far says anything about it. Where nothing was claimed in this
    /// epoch there is nothing to void.
    fn restart_estimate(&mut self, reason: &'static str) {
        self.estimator.restart();
        // What the correction means is the receiver's way, whichever clock it passes on.
        self.exchanges.forget_requests();
        if self.claimed {
            self.next_epoch(reason);
        }
    }
}
