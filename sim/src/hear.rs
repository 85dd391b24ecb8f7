//! What a receiver makes of what it hears: refusals, the election, measurements of the sender's clock.
#![forbid(unsafe_code)]

use crate::behaviour::{Answer, Core, Planned, MASTER_TIMEOUT_NS, MAX_PEERS};
use crate::config::{DelayResp, Host, Serving};
use crate::line::{Event, Line};
use crate::peer::{Pair, Peer, PendingSync};
use ptpbmca::time::PtpTime;
use ptpbmca::wire::{decode, Announce, Body, DataSet, Header, Message};

/// Between the two Announces of nqptp's wake-up pair (field guide 2.4, 5).
const WAKE_UP_GAP_NS: i64 = 150_000_000;
/// nqptp wakes again after so many Announces without a Follow_Up (field guide 5).
const ANNOUNCES_BEFORE_WAKE: u32 = 3;
/// A Follow_Up without room for the 802.1AS information TLV is dropped by AVNU (field guide 2.3).
const FOLLOW_UP_MIN_LEN: u16 = 76;
/// An Announce from this far away is refused (field guide 2.4).
const STEPS_REMOVED_END: u16 = 255;

/// A message with its circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) message: Message,
    /// messageLength as it was on the wire.
    pub(crate) length: u16,
    pub(crate) from: Host,
    pub(crate) via: usize,
    pub(crate) arrival_ns: i64,
}

/// Where and when a datagram came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// From whom.
    pub from: Host,
    /// At which of the receiver's addresses.
    pub via: usize,
    /// At the event port; else at the general port.
    pub event: bool,
    /// When, by the host's monotonic clock, in nanoseconds.
    pub at_ns: i64,
}

impl Core {
    /// A datagram has come in and is looked at at `now`.
    pub fn receive(&mut self, bytes: &[u8], arrival: Arrival, now: i64) {
        if self.is_silent(now) {
            self.counters.unheard += 1;
            return;
        }
        let Ok(message) = decode(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let length = bytes.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let Header { major_sdo_id, domain, source, .. } = message.header;
        let refused = if message.message_type().is_event() != arrival.event {
            Some(&mut self.counters.wrong_port)
        } else if major_sdo_id == 0 {
            // Field guide 2.1a: a HomePod hears only its own dialect.
            Some(&mut self.counters.sdo_zero)
        } else if domain != 0 {
            Some(&mut self.counters.wrong_domain)
        } else if source.clock == self.composer.identity {
            Some(&mut self.counters.own)
        } else {
            None
        };
        if let Some(counter) = refused {
            *counter += 1;
            return;
        }
        // A kernel's stamp that was converted between clocks may lie a little ahead.
        let arrival_ns = arrival.at_ns.min(now);
        let heard = Heard { message, length, from: arrival.from, via: arrival.via, arrival_ns };
        self.incoming.put(arrival_ns, heard);
        self.advance(now);
    }

    /// The peer at `host`, made where that is allowed.
    pub(crate) fn peer(&mut self, host: Host, via: Option<usize>) -> Option<usize> {
        if let Some(index) = self.peers.iter().position(|peer| peer.host == host) {
            if let Some(via) = via {
                self.peers[index].via = via;
            }
            return Some(index);
        }
        // Heard ones need not be named.
        if self.peers.len() >= MAX_PEERS || (via.is_some() && self.config.only_peers) {
            return None;
        }
        let same_family = |address: &Host| address.ip.is_ipv4() == host.ip.is_ipv4();
        let first = self.config.addresses.iter().position(same_family);
        self.peers.push(Peer::new(host, via.or(first).unwrap_or(0)));
        Some(self.peers.len() - 1)
    }

    /// Hears a message that has passed the link.
    pub(crate) fn listen(&mut self, heard: Heard) {
        let known = self.peers.len();
        let Some(index) = self.peer(heard.from, Some(heard.via)) else {
            self.counters.strangers += 1;
            return;
        };
        let header = heard.message.header;
        match heard.message.body {
            Body::Sync { .. } => {
                self.counters.sync_received += 1;
                let peer = &mut self.peers[index];
                peer.last_sync = Some(heard.arrival_ns);
                peer.timed_out = false;
                peer.pending_sync = Some(PendingSync {
                    source: header.source,
                    sequence_id: header.sequence_id,
                    arrival_ns: heard.arrival_ns,
                    correction: header.correction,
                });
            }
            Body::FollowUp { precise_origin, information, .. } => {
                self.counters.follow_up_received += 1;
                if heard.length < FOLLOW_UP_MIN_LEN || information.is_none() {
                    self.counters.follow_up_short += 1;
                } else {
                    self.follow_up(index, &header, precise_origin);
                }
            }
            Body::Announce(announce) => {
                self.counters.announce_received += 1;
                self.announce(index, &header, &announce, heard.arrival_ns);
            }
            Body::DelayReq { .. } => {
                self.counters.delay_req_received += 1;
                self.delay_req(index, &header, heard.arrival_ns);
            }
            Body::DelayResp { receive, requesting } => {
                self.counters.delay_resp_received += 1;
                let mine = requesting == self.composer.port();
                let peer = &mut self.peers[index];
                let request =
                    peer.pending_request.take_if(|request| mine && request.sequence_id == header.sequence_id);
                // T4 by IEEE 1588; ours is the same under any sign, as its correction is 0 (field guide 2.7).
                let received = PtpTime::from_wire(receive, &[header.correction.negated()]);
                match request.zip(received) {
                    Some((request, received)) => peer.answered(request, received),
                    None => self.counters.delay_resp_unmatched += 1,
                }
            }
            Body::Signaling { .. } => self.counters.signaling_received += 1,
            _ => self.counters.other_received += 1,
        }
        // A new sender is served at once, as when SETPEERS names it.
        if self.serving && self.peers.len() > known {
            self.serve(index, heard.arrival_ns);
        }
    }

    fn follow_up(&mut self, index: usize, header: &Header, precise_origin: ptpbmca::time::Timestamp) {
        let kept = self.config.kept_pairs;
        let asks = self.following == Some(index)
            || matches!(self.config.serving, Serving::Always | Serving::WhenSilent);
        let peer = &mut self.peers[index];
        let pending = peer
            .pending_sync
            .take_if(|sync| sync.source == header.source && sync.sequence_id == header.sequence_id);
        let pair = pending.and_then(|sync| {
            let origin = PtpTime::from_wire(precise_origin, &[header.correction, sync.correction])?;
            Some(Pair {
                arrival_ns: sync.arrival_ns,
                origin_ns: origin.nanos(),
                sequence_id: sync.sequence_id,
                path_delay_ns: None,
            })
        });
        let Some(pair) = pair else {
            self.counters.follow_up_unmatched += 1;
            return;
        };
        peer.announces_unserved = 0;
        peer.measured(pair, kept);
        self.counters.pairs += 1;
        // Field guide 2.6: once per Sync, with its sequenceId. nqptp never asks.
        if asks && self.config.serving != Serving::WakeUp {
            self.plan(Planned::DelayReq { peer: index, sequence_id: pair.sequence_id });
        }
    }

    fn announce(&mut self, index: usize, header: &Header, announce: &Announce, at: i64) {
        let own = self.composer.identity;
        let data_set = announce.dataset;
        let looped = announce.path_trace.is_some_and(|path| path.contains(own));
        if looped || data_set.grandmaster == own || data_set.steps_removed >= STEPS_REMOVED_END {
            self.counters.announce_refused += 1;
            return;
        }
        let wakes = self.config.serving == Serving::WakeUp;
        let peer = &mut self.peers[index];
        peer.announced = Some((header.source, data_set, at));
        peer.timed_out = false;
        peer.announces_unserved = peer.announces_unserved.saturating_add(1);
        let enough = !peer.woken || peer.announces_unserved >= ANNOUNCES_BEFORE_WAKE;
        if wakes && enough && peer.second_wake.is_none() {
            peer.woken = true;
            peer.announces_unserved = 0;
            let DataSet { priority1, priority2, .. } = data_set;
            peer.second_wake =
                Some((at.saturating_add(WAKE_UP_GAP_NS), priority1.saturating_add(1), priority2));
            let host = peer.host.ip;
            self.counters.wake_ups += 1;
            self.say(Line::Event(at, Event::WakeUp(host)));
            self.plan(Planned::WakeUp { peer: index, priority1: priority1.saturating_sub(1), priority2 });
        }
    }

    fn delay_req(&mut self, index: usize, header: &Header, at: i64) {
        let peer = &mut self.peers[index];
        if !peer.asked {
            peer.asked = true;
            let line = Line::Event(at, Event::FirstDelayReq(peer.host.ip));
            self.say(line);
        }
        if self.config.delay_resp == DelayResp::Never || self.config.serving == Serving::WakeUp {
            return;
        }
        let (sequence_id, requesting) = (header.sequence_id, header.source);
        let received = self.clock.read(at);
        self.answers.put(at, Answer { peer: index, sequence_id, requesting, received });
    }

    /// The election at `now`: who serves.
    pub(crate) fn decide(&mut self, now: i64) {
        for peer in &mut self.peers {
            let last = peer.last_as_master();
            peer.timed_out = last.is_none_or(|at| now.saturating_sub(at) >= MASTER_TIMEOUT_NS);
        }
        let speaking = self.peers.iter().position(|peer| !peer.timed_out);
        let foreign = self.peers.iter().enumerate().filter(|(_, peer)| !peer.timed_out);
        let best = foreign
            .filter_map(|(index, peer)| peer.announced.map(|(_, data_set, _)| (index, data_set)))
            .min_by_key(|(_, data_set)| rank(data_set));
        let own = self.composer.data_set(ptpbmca::wire::ClockIdentity(self.segment().grandmaster));
        let (serving, following) = match self.config.serving {
            Serving::Always => (true, None),
            Serving::WhenSilent => (speaking.is_none(), speaking),
            Serving::WakeUp => (false, best.map(|(index, _)| index)),
            Serving::WhenBest => match best.filter(|(_, data_set)| rank(data_set) < rank(&own)) {
                Some((index, _)) => (false, Some(index)),
                None => (true, None),
            },
        };
        if following != self.following {
            self.following = following;
            let announced = following.and_then(|index| self.peers[index].announced);
            if let Some((_, data_set, _)) = announced {
                self.counters.role_changes += 1;
                self.say(Line::Event(now, Event::Following(data_set.grandmaster.0)));
            }
        }
        if serving == self.serving {
            return;
        }
        self.serving = serving;
        if serving {
            self.counters.role_changes += 1;
            self.say(Line::Event(now, Event::Serving));
            (0..self.peers.len()).for_each(|index| self.serve(index, now));
        } else {
            self.cease(now);
        }
    }
}

/// What the election compares, the lower the better (IEEE 1588-2019, 9.3.4; a sender and a receiver are never
/// different ways to one grandmaster here).
fn rank(data_set: &DataSet) -> impl Ord {
    (data_set.priority1, data_set.quality, data_set.priority2, data_set.grandmaster, data_set.steps_removed)
}
