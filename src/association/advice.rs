//! What to tell a person whose speaker stays silent: one sentence for each way of not being synchronised.
#![forbid(unsafe_code)]

use std::ffi::CStr;

use super::{Association, Refusal, RolePolicy};
use crate::timeline::{Role, SyncState};
use crate::wire::MessageType;

impl Association {
    /// What was heard, what is missing and what to check, as one sentence.
    pub fn advice(&self) -> &'static CStr {
        let heard = |kind| self.counters.received(kind) > 0;
        match (self.sync_state, self.role) {
            (SyncState::Locked, _) => c"Following the receiver's clock.",
            (SyncState::Leading, _) if self.receiver_clock().0 == 0 => {
                c"Our clock is the session's, but nothing was heard from the receiver: if it stays silent, check that \
                 the session set-up has told it about us, and that a firewall lets UDP 319 and 320 in."
            }
            (SyncState::Leading, _) => c"Our clock is the session's; the receiver is served with it.",
            (SyncState::Holdover, _) => {
                c"The receiver's Sync messages have stopped; its time is extrapolated: check that the receiver is on \
                 and the network carries UDP 319 and 320."
            }
            (SyncState::Acquiring, _) => {
                c"Sync and Follow_Up arrive; a few more are needed before they are trusted."
            }
            (_, Role::Leading) => c"Our clock is to be the session's; nothing is needed from the receiver.",
            (SyncState::Silent, _) if self.counters.pairs > 0 => {
                c"The receiver has fallen silent: check that it is on, and that the network carries UDP 319 and 320."
            }
            _ if heard(MessageType::Sync) && !heard(MessageType::FollowUp) => {
                c"Sync arrives without Follow_Up: check that UDP 320 is not blocked on the way, and that the receiver \
                 is a two-step clock."
            }
            _ if heard(MessageType::FollowUp) && !heard(MessageType::Sync) => {
                c"Follow_Up arrives without Sync: check that UDP 319 is not blocked on the way."
            }
            _ if self.heard_sdo.is_some_and(|heard| heard != self.config.major_sdo_id & 0x0f) => {
                c"The receiver speaks another majorSdoId than ours and may drop what we send: set major_sdo_id to \
                 its own (1 for AirPlay receivers)."
            }
            _ if heard(MessageType::Announce) => {
                c"The receiver announces its clock but sends no Sync: it may wait for the session set-up to name us \
                 as a timing peer, or still take another sender's clock."
            }
            _ if self.counters.refused(Refusal::Domain) > 0 => {
                c"The receiver speaks in another PTP domain than ours: set domain to its own (0 for AirPlay receivers)."
            }
            _ if self.counters.refused(Refusal::Own) > 0 => {
                c"Packets with our own clock identity arrive: another PTP program uses it; set clock_id to another one."
            }
            _ if self.config.policy == RolePolicy::Follow => {
                c"Nothing heard from the receiver: check that the session set-up has told it about us, that a \
                 firewall lets UDP 319 and 320 in, and that both are on one network."
            }
            _ => {
                c"Nothing heard from the receiver yet: check that the session set-up has told it about us, and that \
                 a firewall lets UDP 319 and 320 in; without an answer our clock will lead."
            }
        }
    }
}
