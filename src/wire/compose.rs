//! The messages we send, as field guide 1.12 fixes them.
#![forbid(unsafe_code)]

use super::{
    flags, Announce, Body, DataSet, FollowUpInformation, Header, Message, MessageIntervalRequest, PathTrace,
    PortIdentity, Tlv, Tlvs,
};
use crate::time::{Correction, Timestamp};

/// The portNumber we send from, one of Apple's range (field guide 1.12, 2.1d).
pub const PORT_NUMBER: u16 = 0x8005;

/// The majorSdoId of Apple's profile; receivers drop others (field guide 1.1, 2.1a).
pub const MAJOR_SDO_ID: u8 = 1;

/// Sync and Follow_Up every 2^-3 s, and the same in Delay_Req and Delay_Resp (field guide 1.12).
pub const LOG_SYNC_INTERVAL: i8 = -3;

/// Announce every second while we lead (field guide 1.6, 1.12).
pub const LOG_ANNOUNCE_INTERVAL: i8 = 0;

/// Signaling has no period to tell (field guide 1.12).
const LOG_SIGNALING: i8 = -128;

/// "No interval told", which the standard wants in Pdelay answers (IEEE 1588-2019, 13.3.2.14).
const LOG_NONE: i8 = 0x7f;

/// What the yielding Signaling asks for in each of its three intervals (field guide 1.7).
///
/// The public sender this flow was learnt from sends 126 and calls it "stop". The standard calls 126 "reset to
/// the initial interval" and 127 "stop". What Apple's receivers do with either is not measured; that they
/// take over when we fall silent is. So the proven flow's value stays, and nothing here relies on it.
pub const YIELDING_INTERVAL: i8 = 0x7e;

/// controlField where nothing else is said (field guide 1.12).
const CONTROL: u8 = 0;
/// controlField of a Follow_Up (field guide 1.12).
const CONTROL_FOLLOW_UP: u8 = 2;
/// controlField of Signaling (field guide 1.12).
const CONTROL_SIGNALING: u8 = 5;

/// Sync and Delay_Resp: 0x0608.
const TWO_STEP: u16 = flags::TWO_STEP | flags::UNICAST | flags::PTP_TIMESCALE;
/// All others: 0x0408.
const GENERAL: u16 = flags::UNICAST | flags::PTP_TIMESCALE;

/// What a Mac asks for in its opening Signaling (field guide 1.12).
const OPENING_INTERVALS: MessageIntervalRequest =
    MessageIntervalRequest { link_delay: -3, time_sync: -3, announce: -2, flags: 0x02 };

/// Apple subtype 1 as a Mac sends it (field guide 1.12).
const MAC_SUBTYPE_1: [u8; 16] = [0, 3, 0, 0, 0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10, 0, 0, 0, 0];
/// Apple subtype 5 as a Mac sends it (field guide 1.12).
const MAC_SUBTYPE_5: [u8; 26] =
    [0, 0x0f, 0, 0, 0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Apple subtype 1 as iOS sends it (field guide 1.12).
const IOS_SUBTYPE_1: [u8; 16] = [0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Apple subtype 5 as iOS sends it (field guide 1.12).
const IOS_SUBTYPE_5: [u8; 26] =
    [0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Who sends: what all our messages share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Our sourcePortIdentity.
    pub identity: PortIdentity,
    /// domainNumber.
    pub domain: u8,
    /// majorSdoId, 0 to 15; [`MAJOR_SDO_ID`] unless the caller says otherwise.
    pub major_sdo_id: u8,
}

/// What a grant promises (IEEE 1588-2019, 16.1.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The messageType, 0 to 15, as requested.
    pub message_type: u8,
    /// Its interval, a power of two of seconds.
    pub log_interval: i8,
    /// For how many seconds; 0 refuses.
    pub duration_s: u32,
    /// Whether a renewal is likely to be granted.
    pub renewal: bool,
}

impl Sender {
    /// A Sync, 44 bytes; its time follows in the Follow_Up, so its own is zero.
    pub fn sync(&self, sequence: u16) -> Message {
        self.message(
            TWO_STEP,
            sequence,
            CONTROL,
            LOG_SYNC_INTERVAL,
            Body::Sync { origin: Timestamp::default() },
        )
    }

    /// The Follow_Up of the Sync with this sequenceId, 96 bytes, naming our own clock as the timeline.
    /// `precise_origin` is when that Sync left, on the timeline we serve.
    pub fn follow_up(&self, sequence: u16, precise_origin: Timestamp) -> Message {
        let body = Body::FollowUp {
            precise_origin,
            information: Some(FollowUpInformation::default()),
            apple_clock: Some(self.identity.clock),
        };
        self.message(GENERAL, sequence, CONTROL_FOLLOW_UP, LOG_SYNC_INTERVAL, body)
    }

    /// An Announce, 76 bytes, with a path of ourselves only. `utc_offset` is in seconds.
    pub fn announce(&self, sequence: u16, dataset: &DataSet, time_source: u8, utc_offset: i16) -> Message {
        let body = Body::Announce(Announce {
            origin: Timestamp::default(),
            utc_offset,
            dataset: *dataset,
            time_source,
            path_trace: Some(PathTrace::single(self.identity.clock)),
        });
        self.message(GENERAL, sequence, CONTROL, LOG_ANNOUNCE_INTERVAL, body)
    }

    /// A Delay_Req, 44 bytes; its time is zero because nobody reads it (field guide 2.6).
    pub fn delay_req(&self, sequence: u16) -> Message {
        let body = Body::DelayReq { origin: Timestamp::default() };
        self.message(GENERAL, sequence, CONTROL, LOG_SYNC_INTERVAL, body)
    }

    /// The answer to a Delay_Req that arrived at `receive`, 54 bytes. The correction is zero: peers disagree
    /// about its sign, and zero is right for all of them (field guide 2.7).
    pub fn delay_resp(&self, request: &Header, receive: Timestamp) -> Message {
        let body = Body::DelayResp { receive, requesting: request.source };
        self.message(TWO_STEP, request.sequence_id, CONTROL, LOG_SYNC_INTERVAL, body)
    }

    /// The first answer to a Pdelay_Req that arrived at `receipt`, 54 bytes.
    pub fn pdelay_resp(&self, request: &Header, receipt: Timestamp) -> Message {
        let body = Body::PdelayResp { receipt, requesting: request.source };
        self.message(TWO_STEP, request.sequence_id, CONTROL, LOG_NONE, body)
    }

    /// The second answer to a Pdelay_Req, 54 bytes: the first one left at `origin`. It carries the request's
    /// correction back (IEEE 1588-2019, 11.4.2).
    pub fn pdelay_resp_follow_up(&self, request: &Header, origin: Timestamp) -> Message {
        let body = Body::PdelayRespFollowUp { origin, requesting: request.source };
        let mut message = self.message(GENERAL, request.sequence_id, CONTROL, LOG_NONE, body);
        message.header.correction = request.correction;
        message
    }

    /// The Signaling a Mac opens with, 122 bytes.
    pub fn signaling_opening(&self, sequence: u16) -> Message {
        let tlvs = [
            Tlv::MessageInterval(OPENING_INTERVALS),
            Tlv::AppleSubtype1(MAC_SUBTYPE_1),
            Tlv::AppleSubtype5(MAC_SUBTYPE_5),
        ];
        self.signaling(sequence, PortIdentity::ALL, tlvs)
    }

    /// The Signaling sent once on yielding to a better clock, 60 bytes; see [`YIELDING_INTERVAL`].
    pub fn signaling_yielding(&self, sequence: u16) -> Message {
        let request = MessageIntervalRequest {
            link_delay: YIELDING_INTERVAL,
            time_sync: YIELDING_INTERVAL,
            announce: YIELDING_INTERVAL,
            flags: 0,
        };
        self.signaling(sequence, PortIdentity::ALL, [Tlv::MessageInterval(request)])
    }

    /// The Signaling sent periodically while we lead, 106 bytes, as iOS does.
    pub fn signaling_leading(&self, sequence: u16) -> Message {
        let tlvs = [Tlv::AppleSubtype1(IOS_SUBTYPE_1), Tlv::AppleSubtype5(IOS_SUBTYPE_5)];
        self.signaling(sequence, PortIdentity::ZERO, tlvs)
    }

    /// The answer to requests for unicast messages of the port `target`; grants beyond the seventh do not fit.
    pub fn grant_unicast(&self, sequence: u16, target: PortIdentity, grants: &[Grant]) -> Message {
        let tlvs = grants.iter().map(|grant| Tlv::GrantUnicast {
            message_type: grant.message_type,
            log_interval: grant.log_interval,
            duration_s: grant.duration_s,
            renewal: grant.renewal,
        });
        self.signaling(sequence, target, tlvs)
    }

    fn signaling(&self, sequence: u16, target: PortIdentity, tlvs: impl IntoIterator<Item = Tlv>) -> Message {
        let body = Body::Signaling { target, tlvs: tlvs.into_iter().collect::<Tlvs>() };
        self.message(GENERAL, sequence, CONTROL_SIGNALING, LOG_SIGNALING, body)
    }

    fn message(&self, flags: u16, sequence_id: u16, control: u8, log_interval: i8, body: Body) -> Message {
        let header = Header {
            major_sdo_id: self.major_sdo_id,
            minor_version: 0,
            domain: self.domain,
            flags,
            correction: Correction::ZERO,
            source: self.identity,
            sequence_id,
            control,
            log_interval,
        };
        Message { header, body }
    }
}
