//! Sessions that begin and end: which conversation each has, and whom it shares it with.

use std::collections::HashSet;
use std::net::IpAddr;

use super::super::clock;
use super::super::link::{Callback, Event, Link, SessionRun, Telling};
use super::super::net::{self, Address};
use super::super::pairs::PairId;
use super::super::published::Published;
use super::super::{interface, SessionId, SessionSpec, Waited};
use super::{LinkId, Worker};
use crate::association::{self, Association};
use crate::error::{Error, ErrorKind, Result};
use crate::planted::bug;
use crate::time::LocalTime;

impl Worker<'_> {
    pub(super) fn open(
        &mut self,
        id: SessionId,
        spec: SessionSpec,
        published: &'static Published,
        callback: Option<Callback>,
    ) -> Result<()> {
        let now = clock::monotonic();
        let pair = self.pairs.acquire(&spec.pair, spec.ephemeral, self.poll.registry())?;
        let local = spec.pair.local.map(|local| local.ip);
        for address in spec.peers.iter().chain(&spec.pair.local).filter(|address| address.scope != 0) {
            if let Some(name) = interface::name_of(address.scope) {
                self.scopes.insert(address.scope, name);
            }
        }
        let shared = match self.shareable(pair, local, &spec) {
            Ok(shared) => shared,
            Err(error) => {
                self.pairs.release(pair, self.poll.registry());
                return Err(error);
            }
        };
        for peer in &spec.peers {
            match net::way_to(*peer) {
                Some(way) => self.pairs.join(pair, way),
                // Looked up once more; without a descriptor to ask by, as soon as there is one.
                None => self.routes_changed = true,
            }
        }
        let link_id = match shared {
            Some(link_id) => {
                self.add_addresses(link_id, &spec.peers, now);
                link_id
            }
            None => self.link(pair, local, &spec, now),
        };
        // Before anything is sent, or the answer would not come in.
        self.admit(pair);
        self.sessions.insert(id, link_id);
        let Some(link) = self.links.get_mut(&link_id) else { return Err(Error::of(ErrorKind::Internal)) };
        let timeline = link.association.timeline(now);
        let before = self.pairs.status(pair);
        link.sessions.push(SessionRun {
            id,
            published,
            callback,
            wall: spec.wall,
            epochs: 0_u32.wrapping_sub(timeline.conversion.epoch),
            foreign_before: before.map_or(0, |status| status.foreign),
            dropped_before: before.map_or(0, |status| status.dropped),
        });
        let timeline = link.publish_clock(&self.pairs, &self.clocks, now);
        // The others learn nothing new; this one starts with what is so already.
        if shared.is_some() && timeline.conversion.sync_state.is_synchronized() {
            if let Some(session) = link.sessions.last_mut() {
                let mine = session.timeline(&timeline, &self.clocks);
                session.tell(Event::Synchronized, &mine);
            }
        }
        self.settle(link_id, now);
        Ok(())
    }

    /// The link to the same receiver, if there is one and it does what this session wants.
    fn shareable(&self, pair: PairId, local: Option<IpAddr>, spec: &SessionSpec) -> Result<Option<LinkId>> {
        let found = spec.peers.iter().find_map(|peer| {
            let listeners = self.peers.get(&(pair, *peer))?;
            listeners.iter().find_map(|(id, _)| {
                let link = self.links.get(id)?;
                (link.local == local).then_some((*id, link, peer.ip))
            })
        });
        let Some((id, link, ip)) = found else { return Ok(None) };
        let (theirs, ours) = (link.association.config(), &spec.association);
        let conflict = if theirs.policy != ours.policy {
            "role"
        } else if theirs.identity.clock != ours.identity.clock {
            "clock_id"
        } else if theirs.advertisement != ours.advertisement {
            "priority or clock class"
        } else if theirs.domain != ours.domain {
            "domain"
        } else if theirs.major_sdo_id != ours.major_sdo_id {
            "major_sdo_id"
        } else {
            let unheard = spec.peers.iter().filter(|peer| !self.is_heard(pair, local, **peer)).count();
            if link.peers.len() + unheard > association::MAX_PEERS {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("Sessions to {ip} name more than {} addresses of it.", association::MAX_PEERS),
                ));
            }
            return Ok(Some(id));
        };
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "Another session talks to {ip} with another {conflict}; sessions to one receiver must agree."
            ),
        ))
    }

    /// Whether a link of this local address listens to `peer` already.
    fn is_heard(&self, pair: PairId, local: Option<IpAddr>, peer: Address) -> bool {
        let listeners = self.peers.get(&(pair, peer)).map_or(&[][..], Vec::as_slice);
        listeners.iter().any(|(id, _)| self.links.get(id).is_some_and(|link| link.local == local))
    }

    /// A session that shares a conversation knows more of the receiver's addresses: they are talked to as well.
    fn add_addresses(&mut self, id: LinkId, peers: &[Address], now: LocalTime) {
        let Some((pair, local)) = self.links.get(&id).map(|link| (link.pair, link.local)) else { return };
        for peer in peers {
            if self.is_heard(pair, local, *peer) {
                continue;
            }
            let Some(link) = self.links.get_mut(&id) else { return };
            // Never more than MAX_PEERS: `shareable` has counted them.
            let Ok(number) = u8::try_from(link.peers.len()) else { return };
            link.peers.push(*peer);
            link.association.add_addresses(number + 1, now);
            self.peers.entry((pair, *peer)).or_default().push((id, number));
        }
    }

    /// A new conversation.
    fn link(&mut self, pair: PairId, local: Option<IpAddr>, spec: &SessionSpec, now: LocalTime) -> LinkId {
        let id = self.next_link;
        self.next_link += 1;
        // A second conversation with the same receiver, from another local address, is another PTP port: with one
        // portIdentity each would take the other's Delay_Resp for its own.
        let mut config = spec.association;
        let listeners = spec.peers.iter().filter_map(|peer| self.peers.get(&(pair, *peer))).flatten();
        let taken: Vec<u16> = listeners
            .filter_map(|(other, _)| Some(self.links.get(other)?.association.config().identity.port))
            .collect();
        while taken.contains(&config.identity.port) {
            config.identity.port = config.identity.port.wrapping_add(1);
        }
        for (number, peer) in (0..).zip(&spec.peers) {
            self.peers.entry((pair, *peer)).or_default().push((id, number));
        }
        let link = Link {
            association: Association::new(config, self.clocks.served(), now),
            pair,
            local,
            peers: spec.peers.clone(),
            sessions: Vec::new(),
            scheduled: None,
            unsettled: false,
            send_errors: 0,
            told: Telling::default(),
        };
        self.links.insert(id, Box::new(link));
        id
    }

    pub(super) fn close(&mut self, id: SessionId) {
        self.waiters.retain(|waiter| {
            let mine = waiter.session == id;
            if mine {
                let _ = waiter.reply.send(Waited::Stopped);
            }
            !mine
        });
        let Some(link_id) = self.sessions.remove(&id) else { return };
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let timeline = link.association.timeline(clock::monotonic());
        let pair = link.pair;
        if let Some(at) = link.sessions.iter().position(|session| session.id == id) {
            let mut session = link.sessions.swap_remove(at);
            let mine = session.timeline(&timeline, &self.clocks);
            session.tell(Event::Stopped, &mine);
            if bug("memory-leak") {
                std::mem::forget(session);
            }
        }
        if link.sessions.is_empty() {
            let peers: HashSet<Address> = link.peers.iter().copied().collect();
            self.links.remove(&link_id);
            for peer in peers {
                if let Some(listeners) = self.peers.get_mut(&(pair, peer)) {
                    listeners.retain(|(listener, _)| *listener != link_id);
                    if listeners.is_empty() {
                        self.peers.remove(&(pair, peer));
                    }
                }
            }
        }
        self.pairs.release(pair, self.poll.registry());
        self.admit(pair);
    }
}
