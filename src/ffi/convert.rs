//! Between C's structs and the library's.

use std::ffi::{c_char, CStr};

use super::types::{
    ptpbmca_anchor_time, ptpbmca_clock_offset, ptpbmca_config, ptpbmca_error, ptpbmca_message_counts,
    ptpbmca_refusal_counts, ptpbmca_result, ptpbmca_session_status,
};
use super::types::{
    PTPBMCA_CLOCK_MONOTONIC, PTPBMCA_CLOCK_REALTIME, PTPBMCA_ROLE_AUTO, PTPBMCA_ROLE_FOLLOW,
    PTPBMCA_ROLE_LEAD,
};
use crate::association::{Counters, Refusal, RolePolicy};
use crate::config::{Config, LocalClock};
use crate::engine::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::session::{Anchor, ClockOffset};
use crate::wire::MessageType;

/// Longest address text read: eight IPv6 addresses with interface names are far shorter.
const MAX_ADDRESS_TEXT: usize = 1_024;

/// Largest struct_size believed: a caller's version that is newer by far more than it can be.
const MAX_STRUCT_SIZE: u32 = 1_024;

/// Size of the first version of the config; there is no smaller one.
const FIRST_CONFIG_SIZE: usize = std::mem::size_of::<ptpbmca_config>();

pub fn clock_offset(offset: &ClockOffset) -> ptpbmca_clock_offset {
    ptpbmca_clock_offset {
        offset_ns: offset.offset_ns,
        error_ns: offset.error_ns,
        path_delay_ns: offset.path_delay_ns,
        skew_ppm: offset.skew_ppm,
        grandmaster_id: offset.grandmaster_id,
        receiver_clock_id: offset.receiver_clock_id,
        local_clock_id: offset.local_clock_id,
        age_ns: offset.age_ns,
        epoch: offset.epoch,
        role: offset.role as u32,
        sync_state: offset.sync_state as u32,
        synchronized: u32::from(offset.is_synchronized()),
        reserved: [0; 4],
    }
}

pub fn anchor_time(anchor: &Anchor) -> ptpbmca_anchor_time {
    ptpbmca_anchor_time {
        receiver_ns: anchor.receiver_ns,
        seconds: anchor.seconds,
        fraction: anchor.fraction,
        timeline_id: anchor.timeline_id,
        epoch: anchor.epoch,
        reserved32: 0,
        reserved: [0; 2],
    }
}

pub fn error(error: &Error) -> ptpbmca_error {
    let mut out = ptpbmca_error {
        result: error.kind as ptpbmca_result,
        os_error: error.os_error,
        message: [0; 256],
        reserved: [0; 4],
    };
    // The last byte stays zero, and a character is not cut in two.
    let end = error.message.floor_char_boundary(out.message.len() - 1);
    for (to, from) in out.message.iter_mut().zip(error.message.as_bytes().get(..end).unwrap_or(&[])) {
        *to = *from as c_char;
    }
    out
}

pub fn session_status(clock: &ClockOffset, status: &Status) -> ptpbmca_session_status {
    let announced = status.announced;
    let dataset = announced.map(|announced| announced.dataset).unwrap_or_default();
    ptpbmca_session_status {
        clock: clock_offset(clock),
        event_port: status.event_port,
        general_port: status.general_port,
        ephemeral_ports: u32::from(status.ephemeral_ports),
        kernel_receive_stamps: u32::from(status.kernel_receive_stamps),
        kernel_send_stamps: u32::from(status.kernel_send_stamps),
        announced: u32::from(announced.is_some()),
        announced_priority1: dataset.priority1,
        announced_priority2: dataset.priority2,
        announced_clock_class: dataset.quality.class,
        announced_clock_accuracy: dataset.quality.accuracy,
        announced_variance: dataset.quality.variance,
        announced_steps_removed: dataset.steps_removed,
        announced_time_source: announced.map_or(0, |announced| announced.time_source),
        reserved8: [0; 3],
        announced_grandmaster_id: dataset.grandmaster.0,
        received: message_counts(|kind| status.counters.received(kind)),
        sent: message_counts(|kind| status.counters.sent(kind)),
        refused: refusal_counts(&status.counters, status.wrong_source),
        pairs: status.counters.pairs,
        delay_req_answered: status.counters.delay_req_answered,
        delay_resp_used: status.counters.delay_resp_used,
        steps: status.counters.steps,
        send_errors: status.send_errors,
        advice: status.advice.as_ptr(),
        refused_flood: status.counters.refused(Refusal::Flood),
        kernel_drops: status.kernel_drops,
        reserved: [0; 6],
    }
}

fn message_counts(count: impl Fn(MessageType) -> u64) -> ptpbmca_message_counts {
    ptpbmca_message_counts {
        sync: count(MessageType::Sync),
        follow_up: count(MessageType::FollowUp),
        delay_req: count(MessageType::DelayReq),
        delay_resp: count(MessageType::DelayResp),
        announce: count(MessageType::Announce),
        signaling: count(MessageType::Signaling),
        pdelay_req: count(MessageType::PdelayReq),
        pdelay_resp: count(MessageType::PdelayResp),
        pdelay_resp_follow_up: count(MessageType::PdelayRespFollowUp),
    }
}

fn refusal_counts(counters: &Counters, wrong_source: u64) -> ptpbmca_refusal_counts {
    let count = |why| counters.refused(why);
    ptpbmca_refusal_counts {
        wrong_source,
        wrong_identity: count(Refusal::Identity),
        own_echo: count(Refusal::Own),
        wrong_domain: count(Refusal::Domain),
        wrong_version: count(Refusal::Version),
        too_short: count(Refusal::Short),
        wrong_length: count(Refusal::Length),
        unknown_type: count(Refusal::Type),
        malformed_tlv: count(Refusal::Tlv),
        unmatched: count(Refusal::Unmatched),
        duplicate: count(Refusal::Duplicate),
        bad_timestamp: count(Refusal::Timestamp),
        announce_loop: count(Refusal::Loop),
        unrequested: count(Refusal::Unrequested),
        implausible: count(Refusal::Implausible),
        outlier: count(Refusal::Outlier),
    }
}

/// The config with every default.
pub fn default_config(struct_size: u32) -> ptpbmca_config {
    let default = Config::default();
    ptpbmca_config {
        struct_size,
        role: PTPBMCA_ROLE_AUTO,
        local_clock: PTPBMCA_CLOCK_REALTIME,
        priority1: default.priority1,
        priority2: default.priority2,
        clock_class: default.clock_class,
        domain: default.domain,
        major_sdo_id: default.major_sdo_id,
        clock_id: default.clock_id,
        local_address: std::ptr::null(),
        event_port: default.event_port,
        general_port: default.general_port,
        allow_ephemeral_ports: 0,
        event_socket: -1,
        general_socket: -1,
        announce_timeout_ms: default.announce_timeout_ms,
        ready_timeout_ms: default.ready_timeout_ms,
        on_event: None,
        user_data: std::ptr::null_mut(),
    }
}

/// Whether a caller may have a config of this size: that of this version, or of a newer one, which is padded as this one.
pub fn is_config_size(struct_size: u32) -> bool {
    let size = struct_size as usize;
    (size >= FIRST_CONFIG_SIZE || crate::planted::bug("config-size-unchecked"))
        && struct_size <= MAX_STRUCT_SIZE
        && size.is_multiple_of(std::mem::align_of::<ptpbmca_config>())
}

/// Copies a caller's config, of whatever version: the part that both know over the defaults; what this version does not
/// know must be zero.
///
/// # Safety
/// `config` is valid for reading as many bytes as its struct_size says.
pub unsafe fn read_config(config: *const ptpbmca_config) -> Result<ptpbmca_config> {
    // SAFETY: struct_size is the first field of every version.
    let struct_size = unsafe { config.cast::<u32>().read_unaligned() };
    if !is_config_size(struct_size) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "struct_size is that of no version: call ptpbmca_config_init() with sizeof(ptpbmca_config) first.",
        ));
    }
    let known = std::mem::size_of::<ptpbmca_config>();
    let rest = (struct_size as usize).saturating_sub(known);
    // SAFETY: the caller's promise, and `known + rest` is at most struct_size.
    let rest = unsafe { std::slice::from_raw_parts(config.cast::<u8>().add(known), rest) };
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "The config sets a field that this version of the library does not have: use a newer library.",
        ));
    }
    // SAFETY: as above; every bit pattern is a config, since its fields are integers and pointers.
    Ok(unsafe { config.read_unaligned() })
}

/// Understands a config's numbers and strings; the callback stays with the caller.
///
/// # Safety
/// `local_address` is null or a string that ends with a zero.
pub unsafe fn config(raw: &ptpbmca_config) -> Result<Config> {
    let invalid = |message: &str| Error::new(ErrorKind::InvalidArgument, message);
    let role = match raw.role {
        PTPBMCA_ROLE_AUTO => RolePolicy::Auto,
        PTPBMCA_ROLE_FOLLOW => RolePolicy::Follow,
        PTPBMCA_ROLE_LEAD => RolePolicy::Lead,
        _ => return Err(invalid("role is none of the PTPBMCA_ROLE_ constants.")),
    };
    let local_clock = match raw.local_clock {
        PTPBMCA_CLOCK_REALTIME => LocalClock::Realtime,
        PTPBMCA_CLOCK_MONOTONIC => LocalClock::Monotonic,
        _ => return Err(invalid("local_clock is none of the PTPBMCA_CLOCK_ constants.")),
    };
    let allow_ephemeral_ports = match raw.allow_ephemeral_ports {
        0 => false,
        1 => true,
        _ => return Err(invalid("allow_ephemeral_ports is 0 or 1.")),
    };
    let sockets = match (raw.event_socket, raw.general_socket) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(invalid("event_socket and general_socket go together.")),
        (event, general) if event == general => {
            return Err(invalid("event_socket and general_socket are two different sockets."));
        }
        both => Some(both),
    };
    let local_address = if raw.local_address.is_null() {
        None
    } else {
        // SAFETY: not null, and the caller's promise.
        Some(unsafe { address_text(raw.local_address) }?.to_owned())
    };
    Ok(Config {
        role,
        local_clock,
        priority1: raw.priority1,
        priority2: raw.priority2,
        clock_class: raw.clock_class,
        domain: raw.domain,
        major_sdo_id: raw.major_sdo_id,
        clock_id: raw.clock_id,
        local_address,
        event_port: raw.event_port,
        general_port: raw.general_port,
        allow_ephemeral_ports,
        sockets,
        announce_timeout_ms: raw.announce_timeout_ms,
        ready_timeout_ms: raw.ready_timeout_ms,
    })
}

/// An address as text, not longer than any address can be.
///
/// # Safety
/// `text` is a string that ends with a zero, or has at least [`MAX_ADDRESS_TEXT`] readable bytes; it lives for `'a`.
pub unsafe fn address_text<'a>(text: *const c_char) -> Result<&'a str> {
    let refuse = |why: &str| Error::new(ErrorKind::InvalidAddress, format!("The address {why}."));
    for length in 0..MAX_ADDRESS_TEXT {
        // SAFETY: no zero was seen before this byte, so it belongs to the string.
        if unsafe { *text.add(length) } == 0 {
            // SAFETY: the string ends with the zero just seen.
            return unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| refuse("is not UTF-8"));
        }
    }
    Err(refuse("is longer than eight addresses can be"))
}
