//! The header all messages share: message types, flags and the fields of the first 34 bytes.
#![forbid(unsafe_code)]

use super::PortIdentity;
use crate::time::Correction;

/// Bytes of the common header (IEEE 1588-2019, 13.3).
pub(super) const HEADER_LEN: usize = 34;

/// The versionPTP spoken here; PTPv1 shares nothing with it (IEEE 1588-2019, 13.3.2.4).
pub(super) const VERSION_PTP: u8 = 2;

/// Bits of flagField, as one big-endian number (IEEE 1588-2019, 13.3.2.8).
pub mod flags {
    /// A Follow_Up carries the send time.
    pub const TWO_STEP: u16 = 0x0200;
    /// Sent to one address, not to a group.
    pub const UNICAST: u16 = 0x0400;
    /// The grandmaster's timescale is PTP's.
    pub const PTP_TIMESCALE: u16 = 0x0008;
}

/// What a message is (IEEE 1588-2019, 13.3.2.2). Management is not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// A master's beat, timed at its sending and at its arrival.
    Sync = 0,
    /// A slave's question how long its messages travel.
    DelayReq = 1,
    /// The same question between neighbours.
    PdelayReq = 2,
    /// A neighbour's answer: when the question arrived.
    PdelayResp = 3,
    /// When the Sync of the same sequenceId left.
    FollowUp = 8,
    /// A master's answer: when the Delay_Req arrived.
    DelayResp = 9,
    /// When the neighbour's answer left.
    PdelayRespFollowUp = 10,
    /// How good the sender's clock is.
    Announce = 11,
    /// Requests between ports, as TLVs.
    Signaling = 12,
}

impl MessageType {
    /// How many types there are.
    pub const COUNT: usize = 9;

    /// The type of the low four bits of a message's first byte; `None` for Management and reserved values.
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        match nibble {
            0 => Some(Self::Sync),
            1 => Some(Self::DelayReq),
            2 => Some(Self::PdelayReq),
            3 => Some(Self::PdelayResp),
            8 => Some(Self::FollowUp),
            9 => Some(Self::DelayResp),
            10 => Some(Self::PdelayRespFollowUp),
            11 => Some(Self::Announce),
            12 => Some(Self::Signaling),
            _ => None,
        }
    }

    /// A place in a table of [`MessageType::COUNT`] counters: 0 to 8, each type its own.
    pub const fn index(self) -> usize {
        match self {
            Self::Sync => 0,
            Self::DelayReq => 1,
            Self::PdelayReq => 2,
            Self::PdelayResp => 3,
            Self::FollowUp => 4,
            Self::DelayResp => 5,
            Self::PdelayRespFollowUp => 6,
            Self::Announce => 7,
            Self::Signaling => 8,
        }
    }

    /// Whether its arrival is timed: event messages go to port 319, the others to port 320 (field guide 2.0).
    pub const fn is_event(self) -> bool {
        matches!(self, Self::Sync | Self::DelayReq | Self::PdelayReq | Self::PdelayResp)
    }

    /// The shortest messageLength of the type, in bytes (IEEE 1588-2019, 13.5 to 13.12).
    pub const fn min_len(self) -> usize {
        match self {
            Self::Sync | Self::DelayReq | Self::FollowUp | Self::Signaling => 44,
            Self::PdelayReq | Self::PdelayResp | Self::DelayResp | Self::PdelayRespFollowUp => 54,
            Self::Announce => 64,
        }
    }
}

/// The header's fields. Its message type is the body's, its messageLength is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// High four bits of the first byte, 0 to 15; Apple's profile is 1 (field guide 2.1a).
    pub major_sdo_id: u8,
    /// High four bits of the second byte, 0 to 15; 1 from IEEE 1588-2019 on, 0 before.
    pub minor_version: u8,
    /// domainNumber.
    pub domain: u8,
    /// flagField, see [`flags`].
    pub flags: u16,
    /// correctionField.
    pub correction: Correction,
    /// sourcePortIdentity.
    pub source: PortIdentity,
    /// sequenceId.
    pub sequence_id: u16,
    /// controlField; nobody is known to read it (field guide 2.1e).
    pub control: u8,
    /// logMessageInterval: the sender's period as a power of two of seconds; 0x7F and -128 say nothing.
    pub log_interval: i8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_indexes_are_one_to_one() {
        let types: Vec<_> = (0..16).filter_map(MessageType::from_nibble).collect();
        assert_eq!(types.len(), MessageType::COUNT);
        for (place, kind) in types.iter().enumerate() {
            assert_eq!(kind.index(), place);
            assert_eq!(MessageType::from_nibble(*kind as u8), Some(*kind));
            // Event types are those below 8 (IEEE 1588-2019, 13.3.2.2).
            assert_eq!(kind.is_event(), (*kind as u8) < 8);
        }
    }
}
