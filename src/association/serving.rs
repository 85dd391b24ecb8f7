//! What an association sends of its own accord and what it answers: the opening burst, the grandmaster's rhythm,
//! Delay_Resp, Pdelay_Resp and unicast grants.
#![forbid(unsafe_code)]

use super::budget::Rate;
use super::{Association, Packet, Port, Refusal, RolePolicy, Tag, Then};
use crate::time::{LocalTime, Span};
use crate::timeline::Role;
use crate::wire::compose::Grant;
use crate::wire::{Header, Tlv, Tlvs};

/// Sync to Sync: 8 a second, as every sender and receiver has it (field guide 3.1).
const SYNC_INTERVAL: Span = Span::from_millis(125);

/// Announce to Announce while leading, as iOS (field guide 3.1).
const ANNOUNCE_INTERVAL: Span = Span::from_millis(1_000);

/// Signaling to Signaling while leading, as iOS (field guide 3.1).
const SIGNALING_INTERVAL: Span = Span::from_millis(1_000);

/// An address that was silent for this long is not the only one served any more: other grandmasters forget a silent peer
/// after as long (field guide 5).
const ADDRESS_TRUST: Span = Span::from_millis(15_000);

/// Requests answered: eight times the 8 a second that receivers send (field guide 3.1), and half a second of that at once.
/// Whoever sends under the receiver's address has our answers sent there: not more than it can bear, nor than we can.
const REQUESTS: Rate = Rate { interval: Span::from_millis(15), burst: 32 };

/// What follows each Sync of the opening burst: a Mac sends three (field guide 3.2).
const BURST: [Then; 3] = [Then::Announce, Then::Announce, Then::Opening];

/// The sending side's counters and deadlines.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Next Sync of the opening burst, and its number.
    burst: Option<(LocalTime, usize)>,
    /// The addresses that have had an Announce of this burst, a bit for each.
    burst_announced: u8,
    sync: Option<LocalTime>,
    announce: Option<LocalTime>,
    signaling: Option<LocalTime>,
    sync_sequence: u16,
    announce_sequence: u16,
    signaling_sequence: u16,
}

impl Serving {
    /// Begins the opening burst.
    pub fn open(&mut self, now: LocalTime) {
        self.burst = Some((now, 0));
        self.burst_announced = 0;
    }

    /// Begins the grandmaster's rhythm at once: receivers are ready sooner than after a tick (field guide 3.2).
    pub fn lead(&mut self, now: LocalTime) {
        self.burst = None;
        (self.sync, self.announce, self.signaling) = (Some(now), Some(now), Some(now));
    }

    /// Ends burst and rhythm.
    pub fn fall_silent(&mut self) {
        self.burst = None;
        (self.sync, self.announce, self.signaling) = (None, None, None);
    }

    /// When something is to be sent next.
    pub fn deadline(&self) -> Option<LocalTime> {
        let burst = self.burst.map(|(at, _)| at);
        [burst, self.sync, self.announce, self.signaling].into_iter().flatten().min()
    }
}

/// The next number of a counter of its own per message type (field guide 2.1).
fn next(counter: &mut u16) -> u16 {
    let number = *counter;
    *counter = counter.wrapping_add(1);
    number
}

/// Whether `timer` is due; moves it on to its next round.
fn due(timer: &mut Option<LocalTime>, interval: Span, now: LocalTime) -> bool {
    let Some(at) = timer.filter(|at| *at <= now) else {
        return false;
    };
    *timer = Some(following(at, interval, now));
    true
}

/// The first round after `now` of those that `at` is one of. Rounds missed in a stall are not made up for, and the beat
/// stays: else a stall would bunch the sends to all receivers for ever.
fn following(at: LocalTime, interval: Span, now: LocalTime) -> LocalTime {
    if crate::planted::bug("association-deadline-past") {
        return at;
    }
    let missed = now.since(at).nanos().max(0) / interval.nanos();
    at.plus(Span::from_nanos(interval.nanos().saturating_mul(missed.saturating_add(1))))
}

impl Association {
    /// Sends what is due.
    pub(super) fn serving_tick(&mut self, now: LocalTime) {
        // An address that has died may have left the receiver waiting at another one.
        self.talking = self.talking.filter(|(_, heard)| now.since(*heard) < ADDRESS_TRUST);
        if let Some((at, number)) = self.serving.burst.filter(|(at, _)| *at <= now) {
            self.serving.burst =
                (number + 1 < BURST.len()).then(|| (following(at, SYNC_INTERVAL, now), number + 1));
            self.send_sync(BURST.get(number).copied().unwrap_or(Then::Nothing));
        }
        // Announce first: a receiver takes no Sync from a clock it has not heard announce itself.
        if due(&mut self.serving.announce, ANNOUNCE_INTERVAL, now) {
            let sequence = next(&mut self.serving.announce_sequence);
            self.each_peer(|this, peer| this.send_announce(sequence, peer));
        }
        if due(&mut self.serving.sync, SYNC_INTERVAL, now) {
            self.send_sync(Then::Nothing);
        }
        if due(&mut self.serving.signaling, SIGNALING_INTERVAL, now) {
            let message = self.sender.signaling_leading(next(&mut self.serving.signaling_sequence));
            self.each_peer(|this, peer| this.send(Port::General, peer, &message, None));
        }
    }

    /// The one Signaling that goes with yielding (field guide 1.7).
    pub(super) fn send_yielding(&mut self) {
        let message = self.sender.signaling_yielding(next(&mut self.serving.signaling_sequence));
        self.each_peer(|this, peer| this.send(Port::General, peer, &message, None));
    }

    /// A Sync has left: its Follow_Up says when, and goes at once.
    pub(super) fn follow_up_sync(&mut self, peer: u8, sequence: u16, then: Then, at: LocalTime) {
        let at = if crate::planted::bug("follow-up-late") { at.plus(Span::from_nanos(5)) } else { at };
        let message = self.sender.follow_up(sequence, self.served_at(at).into());
        self.send(Port::General, peer, &message, None);
        // A better Announce that came meanwhile ends the burst, but for the Announce after its first Follow_Up
        // (field guide 1.10): only a burst's Syncs carry one, and none is sent after the burst ended.
        match then {
            Then::Nothing => {}
            Then::Announce => {
                let bit = 1_u8.checked_shl(peer.into()).unwrap_or(0);
                let first = self.serving.burst_announced & bit == 0;
                if first || self.role != Role::Following {
                    self.serving.burst_announced |= bit;
                    let sequence = next(&mut self.serving.announce_sequence);
                    self.send_announce(sequence, peer);
                }
            }
            Then::Opening if self.role == Role::Following => {}
            Then::Opening => {
                let message = self.sender.signaling_opening(next(&mut self.serving.signaling_sequence));
                self.send(Port::General, peer, &message, None);
            }
        }
    }

    /// A Pdelay_Resp has left: its Follow_Up says when.
    pub(super) fn follow_up_pdelay(&mut self, peer: u8, request: &Header, at: LocalTime) {
        let message = self.sender.pdelay_resp_follow_up(request, self.served_at(at).into());
        self.send(Port::General, peer, &message, None);
    }

    /// Whether there is an answer left for this one; the receiver's own are not used up by others under its address.
    pub(super) fn may_ask(
        &mut self,
        request: &Header,
        packet: Packet,
        now: LocalTime,
    ) -> Result<(), Refusal> {
        let known = self.heard_asker(request.source, packet.peer, now);
        let budget = if known { &mut self.budgets.receiver } else { &mut self.budgets.others };
        budget.take(REQUESTS, packet.received)
    }

    /// Answers with the true time of arrival and no correction, which is right under either sign (field guide 2.7),
    /// to the requester's address on the general port, in every role.
    pub(super) fn answer_delay_req(&mut self, request: &Header, packet: Packet) {
        let message = self.sender.delay_resp(request, self.served_at(packet.received).into());
        self.send(Port::General, packet.peer, &message, None);
        self.counters.delay_req_answered = self.counters.delay_req_answered.wrapping_add(1);
    }

    /// Answers a Pdelay_Req, so that a gPTP neighbour takes us for capable (field guide 2.8).
    pub(super) fn answer_pdelay_req(&mut self, request: &Header, packet: Packet) {
        if self.config.policy == RolePolicy::Follow {
            return;
        }
        let message = self.sender.pdelay_resp(request, self.served_at(packet.received).into());
        let tag = Tag::PdelayResp { peer: packet.peer, request: *request };
        self.send(Port::Event, packet.peer, &message, Some(tag));
    }

    /// Grants what a Signaling asks for by REQUEST_UNICAST (field guide 2.5); nothing else in it moves us.
    pub(super) fn answer_signaling(&mut self, request: &Header, tlvs: &Tlvs, peer: u8) {
        if self.config.policy == RolePolicy::Follow {
            return;
        }
        let asked = tlvs.iter().filter_map(|tlv| match *tlv {
            Tlv::RequestUnicast { message_type, log_interval, duration_s } => {
                Some(Grant { message_type, log_interval, duration_s, renewal: true })
            }
            _ => None,
        });
        // At most as many as a message holds.
        let grants: Vec<Grant> = asked.collect();
        if !grants.is_empty() {
            let sequence = next(&mut self.serving.signaling_sequence);
            let message = self.sender.grant_unicast(sequence, request.source, &grants);
            self.send(Port::General, peer, &message, None);
        }
    }

    fn send_sync(&mut self, then: Then) {
        let sequence = next(&mut self.serving.sync_sequence);
        let message = self.sender.sync(sequence);
        self.each_peer(|this, peer| {
            this.send(Port::Event, peer, &message, Some(Tag::Sync { peer, sequence, then }));
        });
    }

    fn send_announce(&mut self, sequence: u16, peer: u8) {
        let ours = self.config.advertisement;
        let message = self.sender.announce(sequence, &ours.dataset, ours.time_source, ours.utc_offset);
        self.send(Port::General, peer, &message, None);
    }

    /// The address that answers, or all of them until one does.
    fn each_peer(&mut self, mut act: impl FnMut(&mut Self, u8)) {
        match self.talking {
            Some((peer, _)) => act(self, peer),
            None => (0..self.config.peers).for_each(|peer| act(self, peer)),
        }
    }
}
