//! A captured session under replay: what the receiver sent is received, what the sender sent tells when it left.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use ptpbmca::time::LocalTime;
use ptpbmca::wire::{self, Body};

use super::parties::{is_group, Captured, Parties};
use super::session::{following, Estimate, Session};

/// A captured session under replay.
#[derive(Debug)]
pub struct Conversation {
    parties: Parties,
    session: Session,
    /// Messages of others, or not of these two to each other.
    pub foreign: u64,
}

impl Conversation {
    /// A session between `parties` that begins at `start`.
    pub fn new(parties: Parties, start: LocalTime) -> Self {
        // At most as many as an association has peers.
        let peers = u8::try_from(parties.receiver.len()).unwrap_or(u8::MAX);
        let session = Session::new(following(parties.identity, parties.domain, peers), start);
        Self { parties, session, foreign: 0 }
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Takes in a captured message. Gives the estimate if it completes a pair.
    pub fn take(&mut self, captured: &Captured) -> Option<Estimate> {
        let Parties { receiver, sender, .. } = &self.parties;
        let to_sender = sender.is_empty() || sender.contains(&captured.to) || is_group(captured.to);
        let to_receiver = receiver.contains(&captured.to) || is_group(captured.to);
        let peer = |from: IpAddr| receiver.iter().position(|address| *address == from);
        match peer(captured.from).and_then(|peer| u8::try_from(peer).ok()) {
            Some(peer) if to_sender => return self.session.receive(&captured.bytes, peer, captured.at),
            None if to_receiver && sender.contains(&captured.from) => self.sent(captured),
            _ => self.foreign += 1,
        }
        None
    }

    /// Of what the sender sent only its requests matter: that it served, the replayed association does not know.
    fn sent(&mut self, captured: &Captured) {
        let Ok(message) = wire::decode(&captured.bytes) else { return };
        if matches!(message.body, Body::DelayReq { .. }) {
            self.session.advance(captured.at);
            self.session.requested(message.header.sequence_id, captured.at);
        }
    }
}
