//! Messages to bytes.
#![forbid(unsafe_code)]

use super::bytes::Writer;
use super::header::VERSION_PTP;
use super::{tlv, Announce, Body, FollowUpInformation, Header, Message, MessageType, Tlv};
use std::fmt;
use std::ops::Deref;

/// Bytes of the longest message sent: the smallest receive buffer known (field guide 2.0, 1.1).
pub const MAX_MESSAGE: usize = 128;

/// An encoded message, at most [`MAX_MESSAGE`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; MAX_MESSAGE],
    len: usize,
}

impl Encoded {
    pub(super) const fn new(bytes: [u8; MAX_MESSAGE], len: usize) -> Self {
        Self { bytes, len }
    }

    /// The datagram to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoded(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Writes a message. Never fails: a TLV that does not fit in [`MAX_MESSAGE`] is left out whole, the others stay;
/// numbers wider than their field (a majorSdoId above 15, say) lose their high bits. Reserved fields are zero.
pub fn encode(message: &Message) -> Encoded {
    let mut w = Writer::new();
    header(&mut w, &message.header, message.message_type());
    match &message.body {
        Body::Sync { origin } | Body::DelayReq { origin } => w.timestamp(*origin),
        Body::PdelayReq { origin } => {
            w.timestamp(*origin);
            // Reserved, so that request and response are equally long (IEEE 1588-2019, 13.9).
            w.put(&[0; 10]);
        }
        Body::PdelayResp { receipt: timestamp, requesting }
        | Body::DelayResp { receive: timestamp, requesting }
        | Body::PdelayRespFollowUp { origin: timestamp, requesting } => {
            w.timestamp(*timestamp);
            w.port(*requesting);
        }
        Body::FollowUp { precise_origin, information, apple_clock } => {
            w.timestamp(*precise_origin);
            if let Some(information) = information {
                follow_up_information(&mut w, information);
            }
            if let Some(clock) = apple_clock {
                w.tlv(tlv::ORGANIZATION_EXTENSION, 16, |w| {
                    w.put(&tlv::APPLE_CLOCK);
                    w.clock(*clock);
                    w.put(&[0; 2]);
                });
            }
        }
        Body::Announce(fields) => announce(&mut w, fields),
        Body::Signaling { target, tlvs } => {
            w.port(*target);
            for tlv in tlvs.iter() {
                signaling_tlv(&mut w, tlv);
            }
        }
    }
    w.finish()
}

/// A byte of two fields of four bits; `low` is below 16.
const fn nibbles(high: u8, low: u8) -> u8 {
    high << 4 | low
}

fn header(w: &mut Writer, header: &Header, kind: MessageType) {
    w.put(&[nibbles(header.major_sdo_id, kind as u8), nibbles(header.minor_version, VERSION_PTP)]);
    // messageLength is filled in at the end.
    w.put(&[0; 2]);
    // minorSdoId follows the domain.
    w.put(&[header.domain, 0]);
    w.put(&header.flags.to_be_bytes());
    w.put(&header.correction.scaled().to_be_bytes());
    w.put(&[0; 4]);
    w.port(header.source);
    w.put(&header.sequence_id.to_be_bytes());
    w.put(&[header.control]);
    w.put(&header.log_interval.to_be_bytes());
}

fn follow_up_information(w: &mut Writer, information: &FollowUpInformation) {
    w.tlv(tlv::ORGANIZATION_EXTENSION, 28, |w| {
        w.put(&tlv::FOLLOW_UP_INFORMATION);
        w.put(&information.cumulative_scaled_rate_offset.to_be_bytes());
        w.put(&information.gm_time_base_indicator.to_be_bytes());
        w.put(&information.last_gm_phase_change);
        w.put(&information.scaled_last_gm_freq_change.to_be_bytes());
    });
}

fn announce(w: &mut Writer, announce: &Announce) {
    let dataset = &announce.dataset;
    w.timestamp(announce.origin);
    w.put(&announce.utc_offset.to_be_bytes());
    // The first byte is reserved.
    w.put(&[0, dataset.priority1, dataset.quality.class, dataset.quality.accuracy]);
    w.put(&dataset.quality.variance.to_be_bytes());
    w.put(&[dataset.priority2]);
    w.clock(dataset.grandmaster);
    w.put(&dataset.steps_removed.to_be_bytes());
    w.put(&[announce.time_source]);
    if let Some(path) = &announce.path_trace {
        w.tlv(tlv::PATH_TRACE, path.iter().count().saturating_mul(8), |w| {
            path.iter().for_each(|id| w.clock(id));
        });
    }
}

fn signaling_tlv(w: &mut Writer, tlv: &Tlv) {
    match *tlv {
        Tlv::MessageInterval(request) => w.tlv(tlv::ORGANIZATION_EXTENSION, 12, |w| {
            w.put(&tlv::MESSAGE_INTERVAL_REQUEST);
            w.put(&request.link_delay.to_be_bytes());
            w.put(&request.time_sync.to_be_bytes());
            w.put(&request.announce.to_be_bytes());
            w.put(&[request.flags, 0, 0]);
        }),
        Tlv::AppleSubtype1(content) => w.tlv(tlv::ORGANIZATION_EXTENSION, 22, |w| {
            w.put(&tlv::APPLE_SUBTYPE_1);
            w.put(&content);
        }),
        Tlv::AppleSubtype5(content) => w.tlv(tlv::ORGANIZATION_EXTENSION, 32, |w| {
            w.put(&tlv::APPLE_SUBTYPE_5);
            w.put(&content);
        }),
        Tlv::RequestUnicast { message_type, log_interval, duration_s } => {
            w.tlv(tlv::REQUEST_UNICAST, 6, |w| {
                w.put(&[nibbles(message_type, 0)]);
                w.put(&log_interval.to_be_bytes());
                w.put(&duration_s.to_be_bytes());
            });
        }
        Tlv::GrantUnicast { message_type, log_interval, duration_s, renewal } => {
            w.tlv(tlv::GRANT_UNICAST, 8, |w| {
                w.put(&[nibbles(message_type, 0)]);
                w.put(&log_interval.to_be_bytes());
                w.put(&duration_s.to_be_bytes());
                w.put(&[0, u8::from(renewal)]);
            });
        }
    }
}
