//! What an association has counted: messages by type, refusals by reason.
#![forbid(unsafe_code)]

use crate::wire::{DecodeError, MessageType};

/// Why a packet was refused. The order is that of [`Refusal::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// Shorter than its header.
    Short,
    /// Not PTP version 2.
    Version,
    /// messageLength beyond the datagram or below its type's least.
    Length,
    /// A message type we do not take part in.
    Type,
    /// A TLV that runs past the message.
    Tlv,
    /// Another domainNumber.
    Domain,
    /// The right address, but another sourcePortIdentity than the one followed.
    Identity,
    /// Our own identity as source: an echo.
    Own,
    /// A Follow_Up whose Sync never came, or the other way round.
    Unmatched,
    /// Seen before.
    Duplicate,
    /// A timestamp outside its range, or one that no clock reads.
    Timestamp,
    /// An Announce that came in a circle: path trace with our clock, or stepsRemoved of 255 and more.
    Loop,
    /// A Delay_Resp to nobody, to somebody else, or to a request answered before.
    Unrequested,
    /// A Delay_Resp whose times fit no reading of its correction.
    Implausible,
    /// A pair that the estimate did not use, or the first that names another grandmaster.
    Outlier,
    /// More of its kind in a second than any clock sends.
    Flood,
}

impl Refusal {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::Short,
        Self::Version,
        Self::Length,
        Self::Type,
        Self::Tlv,
        Self::Domain,
        Self::Identity,
        Self::Own,
        Self::Unmatched,
        Self::Duplicate,
        Self::Timestamp,
        Self::Loop,
        Self::Unrequested,
        Self::Implausible,
        Self::Outlier,
        Self::Flood,
    ];
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Short => Self::Short,
            DecodeError::Version => Self::Version,
            DecodeError::Length => Self::Length,
            DecodeError::Type => Self::Type,
            DecodeError::Tlv => Self::Tlv,
        }
    }
}

/// Counts since the association began. They wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    received: [u64; MessageType::COUNT],
    sent: [u64; MessageType::COUNT],
    refused: [u64; Refusal::ALL.len()],
    /// Sync/Follow_Up pairs completed.
    pub pairs: u64,
    /// Delay_Req of the receiver that were answered.
    pub delay_req_answered: u64,
    /// Delay_Resp used for the path delay.
    pub delay_resp_used: u64,
    /// Steps of the receiver's timeline seen.
    pub steps: u64,
}

impl Counters {
    /// Well-formed messages of a type that came in.
    pub fn received(&self, kind: MessageType) -> u64 {
        self.received.get(kind.index()).copied().unwrap_or(0)
    }

    /// Messages of a type sent.
    pub fn sent(&self, kind: MessageType) -> u64 {
        self.sent.get(kind.index()).copied().unwrap_or(0)
    }

    /// Packets refused for a reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused.get(why as usize).copied().unwrap_or(0)
    }

    pub(super) fn count_received(&mut self, kind: MessageType) {
        count(self.received.get_mut(kind.index()));
    }

    pub(super) fn count_sent(&mut self, kind: MessageType) {
        count(self.sent.get_mut(kind.index()));
    }

    pub(super) fn count_refused(&mut self, why: Refusal) {
        count(self.refused.get_mut(why as usize));
    }
}

fn count(cell: Option<&mut u64>) {
    if let Some(cell) = cell {
        *cell = cell.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_their_order() {
        let mut counters = Counters::default();
        for (number, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number);
            counters.count_refused(why);
            assert_eq!(counters.refused(why), 1);
        }
    }
}
