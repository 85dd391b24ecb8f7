//! Messages as values: a header and a body.
#![forbid(unsafe_code)]

use super::{ClockIdentity, FollowUpInformation, Header, MessageType, PathTrace, PortIdentity, Tlvs};
use crate::time::Timestamp;

/// One PTP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The fields every message has.
    pub header: Header,
    /// The fields of its type.
    pub body: Body,
}

impl Message {
    /// The type, which the body decides.
    pub const fn message_type(&self) -> MessageType {
        self.body.message_type()
    }
}

/// What a message says beyond its header. Timestamps are as the wire has them, not yet checked for their range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Field guide 2.2.
    Sync {
        /// originTimestamp; zero from Apple, whose Syncs are two-step.
        origin: Timestamp,
    },
    /// Field guide 2.6.
    DelayReq {
        /// originTimestamp; nobody reads it.
        origin: Timestamp,
    },
    /// Field guide 2.8.
    PdelayReq {
        /// originTimestamp.
        origin: Timestamp,
    },
    /// Field guide 2.8.
    PdelayResp {
        /// requestReceiptTimestamp.
        receipt: Timestamp,
        /// requestingPortIdentity.
        requesting: PortIdentity,
    },
    /// Field guide 2.3.
    FollowUp {
        /// preciseOriginTimestamp; the correctionField belongs to it (field guide 1.2).
        precise_origin: Timestamp,
        /// 802.1AS's Follow_Up information.
        information: Option<FollowUpInformation>,
        /// Apple's clock identity of the timeline; Sonos leaves it out.
        apple_clock: Option<ClockIdentity>,
    },
    /// Field guide 2.7.
    DelayResp {
        /// receiveTimestamp.
        receive: Timestamp,
        /// requestingPortIdentity.
        requesting: PortIdentity,
    },
    /// Field guide 2.8.
    PdelayRespFollowUp {
        /// responseOriginTimestamp.
        origin: Timestamp,
        /// requestingPortIdentity.
        requesting: PortIdentity,
    },
    /// Field guide 2.4.
    Announce(Announce),
    /// Field guide 2.5.
    Signaling {
        /// targetPortIdentity.
        target: PortIdentity,
        /// What is asked for or granted.
        tlvs: Tlvs,
    },
}

impl Body {
    /// The type of message it makes.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Sync { .. } => MessageType::Sync,
            Self::DelayReq { .. } => MessageType::DelayReq,
            Self::PdelayReq { .. } => MessageType::PdelayReq,
            Self::PdelayResp { .. } => MessageType::PdelayResp,
            Self::FollowUp { .. } => MessageType::FollowUp,
            Self::DelayResp { .. } => MessageType::DelayResp,
            Self::PdelayRespFollowUp { .. } => MessageType::PdelayRespFollowUp,
            Self::Announce(_) => MessageType::Announce,
            Self::Signaling { .. } => MessageType::Signaling,
        }
    }
}

/// An Announce's fields (field guide 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// originTimestamp; zero from all known senders.
    pub origin: Timestamp,
    /// currentUtcOffset in seconds.
    pub utc_offset: i16,
    /// What the election compares.
    pub dataset: DataSet,
    /// timeSource (IEEE 1588-2019, 7.6.2).
    pub time_source: u8,
    /// PATH_TRACE, where it is sent.
    pub path_trace: Option<PathTrace>,
}

/// The grandmaster an Announce speaks of, and how far away it is: what the election compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DataSet {
    /// priority1: the lower wins.
    pub priority1: u8,
    /// How good the clock says it is.
    pub quality: ClockQuality,
    /// priority2: the lower wins.
    pub priority2: u8,
    /// The grandmaster.
    pub grandmaster: ClockIdentity,
    /// Clocks between the sender and the grandmaster.
    pub steps_removed: u16,
}

/// How good a clock says it is (IEEE 1588-2019, 7.6.2 and 7.6.3): the lower, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ClockQuality {
    /// clockClass.
    pub class: u8,
    /// clockAccuracy.
    pub accuracy: u8,
    /// offsetScaledLogVariance.
    pub variance: u16,
}
