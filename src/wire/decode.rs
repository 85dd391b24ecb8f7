//! Bytes to messages: total, strict about what would mislead, tolerant of what peers are known to send.
#![forbid(unsafe_code)]

use super::bytes::Reader;
use super::header::{HEADER_LEN, VERSION_PTP};
use super::{
    tlv, Announce, Body, ClockQuality, DataSet, FollowUpInformation, Header, Message, MessageIntervalRequest,
    MessageType, PathTrace, Tlv, Tlvs,
};
use crate::time::Correction;
use std::fmt;

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// Shorter than the common header.
    Short,
    /// versionPTP is not 2.
    Version,
    /// messageLength reaches beyond the datagram, or is below the least of its type.
    Length,
    /// A messageType that is not read here; Management is one.
    Type,
    /// A TLV reaches beyond messageLength.
    Tlv,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "shorter than the PTP header",
            Self::Version => "not PTP version 2",
            Self::Length => "messageLength does not fit",
            Self::Type => "messageType not read here",
            Self::Tlv => "a TLV runs past the end",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Reads one datagram.
///
/// Any majorSdoId, minorVersionPTP and logMessageInterval is accepted, and so are bytes after messageLength
/// (a sender over IPv6 may append two). TLVs that are unknown, or too short for what they are, are skipped;
/// of a TLV that belongs there once, the first counts. Timestamps are not checked here: see
/// [`PtpTime::from_wire`](crate::time::PtpTime::from_wire).
///
/// # Errors
/// The first [`DecodeError`] that applies, in the order of its variants, but `Type` before `Length`.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let mut reader = Reader(bytes.get(..HEADER_LEN).ok_or(DecodeError::Short)?);
    let first: [u8; 2] = reader.array().ok_or(DecodeError::Short)?;
    let [(major_sdo_id, kind), (minor_version, version)] = first.map(|byte| (byte >> 4, byte & 0x0f));
    if version != VERSION_PTP {
        return Err(DecodeError::Version);
    }
    let kind = MessageType::from_nibble(kind).ok_or(DecodeError::Type)?;
    let length = usize::from(reader.u16().ok_or(DecodeError::Short)?);
    let header = header(reader, major_sdo_id, minor_version).ok_or(DecodeError::Short)?;
    if length < kind.min_len() {
        return Err(DecodeError::Length);
    }
    let content = bytes.get(HEADER_LEN..length).ok_or(DecodeError::Length)?;
    Ok(Message { header, body: body(kind, Reader(content))? })
}

/// The header from domainNumber on.
fn header(mut r: Reader<'_>, major_sdo_id: u8, minor_version: u8) -> Option<Header> {
    let domain = r.u8()?;
    let _minor_sdo_id = r.u8()?;
    let flags = r.u16()?;
    let correction = Correction::from_scaled(r.i64()?);
    let _message_type_specific: [u8; 4] = r.array()?;
    Some(Header {
        major_sdo_id,
        minor_version,
        domain,
        flags,
        correction,
        source: r.port()?,
        sequence_id: r.u16()?,
        control: r.u8()?,
        log_interval: r.i8()?,
    })
}

fn body(kind: MessageType, mut r: Reader<'_>) -> Result<Body, DecodeError> {
    let mut body = fixed_fields(kind, &mut r).ok_or(DecodeError::Length)?;
    match &mut body {
        Body::FollowUp { information, apple_clock, .. } => {
            for item in RawTlvs(r) {
                match item? {
                    RawTlv::Organization(tlv::FOLLOW_UP_INFORMATION, value) if information.is_none() => {
                        *information = follow_up_information(value);
                    }
                    RawTlv::Organization(tlv::APPLE_CLOCK, mut value) if apple_clock.is_none() => {
                        *apple_clock = value.clock();
                    }
                    _ => {}
                }
            }
        }
        Body::Announce(announce) => {
            for item in RawTlvs(r) {
                match item? {
                    RawTlv::Standard(tlv::PATH_TRACE, mut value) if announce.path_trace.is_none() => {
                        announce.path_trace = Some(std::iter::from_fn(|| value.clock()).collect());
                    }
                    _ => {}
                }
            }
        }
        Body::Signaling { tlvs, .. } => {
            for item in RawTlvs(r) {
                if let Some(tlv) = signaling_tlv(item?) {
                    tlvs.push(tlv);
                }
            }
        }
        // No TLV is known to belong to the others; what follows them is not looked at.
        _ => {}
    }
    Ok(body)
}

/// The fields before the TLVs, of which there are none yet in what is returned.
fn fixed_fields(kind: MessageType, r: &mut Reader<'_>) -> Option<Body> {
    Some(match kind {
        MessageType::Sync => Body::Sync { origin: r.timestamp()? },
        MessageType::DelayReq => Body::DelayReq { origin: r.timestamp()? },
        MessageType::PdelayReq => Body::PdelayReq { origin: r.timestamp()? },
        MessageType::PdelayResp => Body::PdelayResp { receipt: r.timestamp()?, requesting: r.port()? },
        MessageType::FollowUp => {
            Body::FollowUp { precise_origin: r.timestamp()?, information: None, apple_clock: None }
        }
        MessageType::DelayResp => Body::DelayResp { receive: r.timestamp()?, requesting: r.port()? },
        MessageType::PdelayRespFollowUp => {
            Body::PdelayRespFollowUp { origin: r.timestamp()?, requesting: r.port()? }
        }
        MessageType::Announce => Body::Announce(announce(r)?),
        MessageType::Signaling => Body::Signaling { target: r.port()?, tlvs: Tlvs::new() },
    })
}

fn announce(r: &mut Reader<'_>) -> Option<Announce> {
    let origin = r.timestamp()?;
    let utc_offset = r.i16()?;
    let _reserved = r.u8()?;
    let dataset = DataSet {
        priority1: r.u8()?,
        quality: ClockQuality { class: r.u8()?, accuracy: r.u8()?, variance: r.u16()? },
        priority2: r.u8()?,
        grandmaster: r.clock()?,
        steps_removed: r.u16()?,
    };
    Some(Announce { origin, utc_offset, dataset, time_source: r.u8()?, path_trace: None::<PathTrace> })
}

fn follow_up_information(mut value: Reader<'_>) -> Option<FollowUpInformation> {
    Some(FollowUpInformation {
        cumulative_scaled_rate_offset: value.i32()?,
        gm_time_base_indicator: value.u16()?,
        last_gm_phase_change: value.array()?,
        scaled_last_gm_freq_change: value.i32()?,
    })
}

fn signaling_tlv(raw: RawTlv<'_>) -> Option<Tlv> {
    match raw {
        // Four bytes and two reserved ones; some senders leave the reserved ones out (field guide 2.5).
        RawTlv::Organization(tlv::MESSAGE_INTERVAL_REQUEST, mut value) if matches!(value.0.len(), 4 | 6) => {
            Some(Tlv::MessageInterval(MessageIntervalRequest {
                link_delay: value.i8()?,
                time_sync: value.i8()?,
                announce: value.i8()?,
                flags: value.u8()?,
            }))
        }
        RawTlv::Organization(tlv::APPLE_SUBTYPE_1, value) => value.0.try_into().ok().map(Tlv::AppleSubtype1),
        RawTlv::Organization(tlv::APPLE_SUBTYPE_5, value) => value.0.try_into().ok().map(Tlv::AppleSubtype5),
        RawTlv::Standard(tlv::REQUEST_UNICAST, mut value) => Some(Tlv::RequestUnicast {
            message_type: value.u8()? >> 4,
            log_interval: value.i8()?,
            duration_s: value.u32()?,
        }),
        RawTlv::Standard(tlv::GRANT_UNICAST, mut value) => {
            let message_type = value.u8()? >> 4;
            let log_interval = value.i8()?;
            let duration_s = value.u32()?;
            let [_reserved, renewal] = value.array()?;
            // Only the lowest bit is renewalInvited (IEEE 1588-2019, 16.1.4.2).
            Some(Tlv::GrantUnicast { message_type, log_interval, duration_s, renewal: renewal & 1 == 1 })
        }
        _ => None,
    }
}

/// A TLV by what tells it apart, and its value.
enum RawTlv<'a> {
    /// tlvType.
    Standard(u16, Reader<'a>),
    /// OUI and subtype.
    Organization([u8; 6], Reader<'a>),
}

/// The TLVs of a message, each at least four bytes, so that they end; what is too short to be one ends them too.
struct RawTlvs<'a>(Reader<'a>);

impl<'a> Iterator for RawTlvs<'a> {
    type Item = Result<RawTlv<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.0.u16()?;
        let length = usize::from(self.0.u16()?);
        if crate::planted::bug("wire-tlv-unchecked") {
            // Panics where the TLV runs past the end.
            let _ = self.0 .0.split_at(length);
        }
        let Some(value) = self.0.slice(length) else {
            self.0 = Reader(&[]);
            return Some(Err(DecodeError::Tlv));
        };
        let mut content = Reader(value);
        if kind == tlv::ORGANIZATION_EXTENSION {
            if let Some(organization) = content.array() {
                return Some(Ok(RawTlv::Organization(organization, content)));
            }
        }
        Some(Ok(RawTlv::Standard(kind, Reader(value))))
    }
}
