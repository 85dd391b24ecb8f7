//! The C interface's types and constants. Their names, values and field names are a contract; structs grow at their
//! end only.
#![forbid(unsafe_code)]
#![allow(non_camel_case_types)] // The names are those of C.

use std::ffi::{c_char, c_void};

/// A session. Opaque: a pointer to it is a token, never the address of anything. A stale, stopped or made-up one gives
/// PTPBMCA_ERR_NO_SESSION, from any thread, also while another thread is in ptpbmca_stop().
pub struct ptpbmca_session {
    _opaque: [u8; 0],
}

/// What a call returns: PTPBMCA_OK or one of the PTPBMCA_ERR_ constants. Numbers are never reused.
pub type ptpbmca_result = i32;

/// It went well.
pub const PTPBMCA_OK: ptpbmca_result = 0;
/// Null where it is not allowed, an unknown constant, a bad struct_size, or settings that contradict another session's.
pub const PTPBMCA_ERR_INVALID_ARGUMENT: ptpbmca_result = -1;
/// Not an IPv4 or IPv6 literal (IPv6 may carry %scope) of one host.
pub const PTPBMCA_ERR_INVALID_ADDRESS: ptpbmca_result = -2;
/// Ports below 1024 need a privilege; the message names the remedies.
pub const PTPBMCA_ERR_PERMISSION: ptpbmca_result = -3;
/// Another PTP program on this host has ports 319 and 320.
pub const PTPBMCA_ERR_ADDRESS_IN_USE: ptpbmca_result = -4;
/// Any other socket error; the message carries the system's words.
pub const PTPBMCA_ERR_NETWORK: ptpbmca_result = -5;
/// No such session, or not any more.
pub const PTPBMCA_ERR_NO_SESSION: ptpbmca_result = -6;
/// The receiver's time is not known.
pub const PTPBMCA_ERR_NOT_SYNCHRONIZED: ptpbmca_result = -7;
/// It did not happen in time.
pub const PTPBMCA_ERR_TIMEOUT: ptpbmca_result = -8;
/// The call would wait for the thread it is made on, such as ptpbmca_stop() from an event callback.
pub const PTPBMCA_ERR_WOULD_DEADLOCK: ptpbmca_result = -9;
/// More than 1,024 sessions, or the system refused a thread.
pub const PTPBMCA_ERR_LIMIT: ptpbmca_result = -10;
/// A bug in the library: a caught panic, never undefined behaviour. Also where the host has closed the descriptors that
/// the worker waits by.
pub const PTPBMCA_ERR_INTERNAL: ptpbmca_result = -11;

/// Which clock the caller's local_ns count in.
pub type ptpbmca_clock = u32;

/// Nanoseconds since the Unix epoch (the default).
pub const PTPBMCA_CLOCK_REALTIME: ptpbmca_clock = 0;
/// The platform's audio clock: CLOCK_MONOTONIC (Linux, Android), mach_absolute_time in ns (Apple),
/// QueryPerformanceCounter in ns (Windows).
pub const PTPBMCA_CLOCK_MONOTONIC: ptpbmca_clock = 1;

/// Which part a session is to play towards its receiver.
pub type ptpbmca_role_policy = u32;

/// Best-master election, re-run on every Announce.
pub const PTPBMCA_ROLE_AUTO: ptpbmca_role_policy = 0;
/// Always follow the receiver, even a worse clock, and never offer ours: no Sync, no Announce (what a standalone HomePod
/// of OS 27 wants); Delay_Req only.
pub const PTPBMCA_ROLE_FOLLOW: ptpbmca_role_policy = 1;
/// Always be grandmaster and ignore better clocks; announces the data set of iOS.
pub const PTPBMCA_ROLE_LEAD: ptpbmca_role_policy = 2;

/// The part a session plays.
pub type ptpbmca_role = u32;

/// Undecided: waiting for an Announce or a Sync.
pub const PTPBMCA_LISTENING: ptpbmca_role = 0;
/// The receiver's timeline is the session's.
pub const PTPBMCA_FOLLOWING: ptpbmca_role = 1;
/// The local timeline is the session's, and the receiver is served with it.
pub const PTPBMCA_LEADING: ptpbmca_role = 2;

/// How far the session's clock is to be believed.
pub type ptpbmca_sync_state = u32;

/// Nothing heard from the receiver.
pub const PTPBMCA_SYNC_SILENT: ptpbmca_sync_state = 0;
/// Announce heard, no Sync/Follow_Up pair yet.
pub const PTPBMCA_SYNC_ANNOUNCED: ptpbmca_sync_state = 1;
/// Pairs arrive, not yet trusted.
pub const PTPBMCA_SYNC_ACQUIRING: ptpbmca_sync_state = 2;
/// Following, within the bound.
pub const PTPBMCA_SYNC_LOCKED: ptpbmca_sync_state = 3;
/// No Sync for 1 s: extrapolating, error_ns grows; after 60 s ends in SILENT.
pub const PTPBMCA_SYNC_HOLDOVER: ptpbmca_sync_state = 4;
/// The local timeline is the session's timeline.
pub const PTPBMCA_SYNC_LEADING: ptpbmca_sync_state = 5;

/// How much the log tells.
pub type ptpbmca_log_level = u32;

/// Nothing.
pub const PTPBMCA_LOG_OFF: ptpbmca_log_level = 0;
/// What failed.
pub const PTPBMCA_LOG_ERROR: ptpbmca_log_level = 1;
/// What will be heard, or rather not be heard.
pub const PTPBMCA_LOG_WARN: ptpbmca_log_level = 2;
/// Changes of role with their reason, outcomes of waits.
pub const PTPBMCA_LOG_INFO: ptpbmca_log_level = 3;
/// First convergence.
pub const PTPBMCA_LOG_DEBUG: ptpbmca_log_level = 4;
/// Everything.
pub const PTPBMCA_LOG_TRACE: ptpbmca_log_level = 5;

/// What an event callback is told of.
pub type ptpbmca_event = u32;

/// The receiver's time is known from now on.
pub const PTPBMCA_EVENT_SYNCHRONIZED: ptpbmca_event = 1;
/// It is not known any more.
pub const PTPBMCA_EVENT_LOST: ptpbmca_event = 2;
/// The timeline was re-anchored: anchors computed before are void.
pub const PTPBMCA_EVENT_EPOCH_CHANGED: ptpbmca_event = 3;
/// The session plays another part now.
pub const PTPBMCA_EVENT_ROLE_CHANGED: ptpbmca_event = 4;
/// The timeline is another clock's: anchors must name the new grandmaster_id.
pub const PTPBMCA_EVENT_GRANDMASTER_CHANGED: ptpbmca_event = 5;
/// The session has ended; the last event of a session.
pub const PTPBMCA_EVENT_STOPPED: ptpbmca_event = 6;

/// Takes one line of log. Runs on the worker thread, one at a time; must not block or unwind. It may call every
/// realtime-safe function and ptpbmca_status(). `message` is valid during the call.
pub type ptpbmca_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: ptpbmca_log_level, message: *const c_char)>;

/// Takes one event, with the snapshot of that moment. Runs on the worker thread, one at a time; must not block or unwind.
/// It may call every realtime-safe function and ptpbmca_status(). `now` is valid during the call.
pub type ptpbmca_event_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        session: *mut ptpbmca_session,
        event: ptpbmca_event,
        now: *const ptpbmca_clock_offset,
    ),
>;

/// How a session is to be. ptpbmca_config_init() fills every field with its default; change what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ptpbmca_config {
    /// sizeof(ptpbmca_config), set by ptpbmca_config_init(): how the library knows the caller's version.
    pub struct_size: u32,
    /// PTPBMCA_ROLE_AUTO.
    pub role: ptpbmca_role_policy,
    /// PTPBMCA_CLOCK_REALTIME: the clock all local times of this session count in.
    pub local_clock: ptpbmca_clock,
    /// priority1 announced. 0: by role, 250 for AUTO (as a Mac: yields to a HomePod's 248), 128 for LEAD (as iOS).
    pub priority1: u8,
    /// priority2 announced. 0: 128.
    pub priority2: u8,
    /// clockClass announced. 0: by role, 248 for AUTO, 6 for LEAD; accuracy, variance and time source go with it.
    pub clock_class: u8,
    /// PTP domainNumber. 0.
    pub domain: u8,
    /// majorSdoId sent, 0 to 15; any is accepted. 1: the gPTP dialect of AirPlay; 0 for plain IEEE 1588 masters.
    pub major_sdo_id: u8,
    /// Our clock identity. 0: derived from a MAC address as Apple does (MAC + 0x0008), else random. Must equal the ClockID
    /// the host advertises in its session set-up.
    pub clock_id: u64,
    /// NULL: any. An address of this host to send from and receive on, whose interface joins 224.0.1.129 or ff0e::181.
    pub local_address: *const c_char,
    /// UDP port of event messages, at both ends. 319.
    pub event_port: u16,
    /// UDP port of general messages, at both ends. 320.
    pub general_port: u16,
    /// 0. 1: if the ports cannot be had, bind any and say so in status and log. Real receivers talk to 319 and 320 only.
    pub allow_ephemeral_ports: u32,
    /// -1. A UDP socket for event messages bound by someone privileged; the library works on a duplicate.
    pub event_socket: i64,
    /// -1. The same for general messages; both or none.
    pub general_socket: i64,
    /// No Announce and no Sync for this long makes us grandmaster under AUTO. 3000.
    pub announce_timeout_ms: u32,
    /// How long ptpbmca_start() waits for the role to be settled; 0: not at all. 5000.
    pub ready_timeout_ms: u32,
    /// NULL. Called with each event, on the worker thread.
    pub on_event: ptpbmca_event_callback,
    /// Passed to on_event.
    pub user_data: *mut c_void,
}

/// Details of a failed start, for people.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ptpbmca_error {
    /// What ptpbmca_start() returned.
    pub result: ptpbmca_result,
    /// The system's error number (errno); 0 where it has no part in it.
    pub os_error: i32,
    /// What was tried, what failed, what to do about it: one or a few sentences, UTF-8, ends with a zero.
    pub message: [c_char; 256],
    /// Zero. Room to grow.
    pub reserved: [u64; 4],
}

/// One consistent snapshot of a session's clock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ptpbmca_clock_offset {
    /// Receiver timeline minus local clock, now, in ns; 0 while not synchronised. The one sign convention, everywhere.
    pub offset_ns: i64,
    /// The true offset lies within +-error_ns in at least 99.9 % of samples, apart from the path's least delay while no
    /// Delay_Resp came (path_delay_ns 0). UINT64_MAX while not synchronised.
    pub error_ns: u64,
    /// One-way mean path delay (half the round trip) in ns; 0 while unknown.
    pub path_delay_ns: u64,
    /// Receiver clock rate against the local clock, in parts per million.
    pub skew_ppm: f64,
    /// The clock whose timeline this is (timeline id for anchors); ours while LEADING; 0 while unknown.
    pub grandmaster_id: u64,
    /// Identity of the receiver itself; 0 while unknown.
    pub receiver_clock_id: u64,
    /// Our identity.
    pub local_clock_id: u64,
    /// Since the last accepted Sync, in ns; UINT64_MAX before the first.
    pub age_ns: u64,
    /// +1 whenever the timeline is re-anchored: receiver restart, clock step, new grandmaster, change of role; 0 until
    /// then. Anchors computed under another epoch are void.
    pub epoch: u32,
    /// The part played towards the receiver.
    pub role: ptpbmca_role,
    /// How far the clock is to be believed.
    pub sync_state: ptpbmca_sync_state,
    /// 1: LOCKED, HOLDOVER or LEADING; else 0.
    pub synchronized: u32,
    /// Zero. Room to grow.
    pub reserved: [u64; 4],
}

/// A moment on the receiver's timeline, all from the same snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ptpbmca_anchor_time {
    /// Nanoseconds on the receiver's timeline.
    pub receiver_ns: u64,
    /// receiver_ns as whole seconds ...
    pub seconds: u64,
    /// ... plus fraction / 2^64.
    pub fraction: u64,
    /// The clock whose timeline this is: networkTimeTimelineID.
    pub timeline_id: u64,
    /// The epoch this holds in.
    pub epoch: u32,
    /// Zero.
    pub reserved32: u32,
    /// Zero. Room to grow.
    pub reserved: [u64; 2],
}

/// Counts of each message type.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ptpbmca_message_counts {
    /// Sync.
    pub sync: u64,
    /// Follow_Up.
    pub follow_up: u64,
    /// Delay_Req.
    pub delay_req: u64,
    /// Delay_Resp.
    pub delay_resp: u64,
    /// Announce.
    pub announce: u64,
    /// Signaling.
    pub signaling: u64,
    /// Pdelay_Req.
    pub pdelay_req: u64,
    /// Pdelay_Resp.
    pub pdelay_resp: u64,
    /// Pdelay_Resp_Follow_Up.
    pub pdelay_resp_follow_up: u64,
}

/// Counts of packets refused, by reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ptpbmca_refusal_counts {
    /// From an address of no session of this port pair. In a flood of those the kernel keeps them away: see kernel_drops.
    pub wrong_source: u64,
    /// From the receiver's address, but another clock than the one listened to.
    pub wrong_identity: u64,
    /// With our own identity as source.
    pub own_echo: u64,
    /// Another domainNumber.
    pub wrong_domain: u64,
    /// Not PTP version 2.
    pub wrong_version: u64,
    /// Shorter than a header.
    pub too_short: u64,
    /// messageLength beyond the datagram, or below the least of its type.
    pub wrong_length: u64,
    /// A message type we take no part in.
    pub unknown_type: u64,
    /// A TLV that runs past the message.
    pub malformed_tlv: u64,
    /// A Sync or Follow_Up whose other half never came.
    pub unmatched: u64,
    /// Seen before.
    pub duplicate: u64,
    /// A timestamp that no clock reads.
    pub bad_timestamp: u64,
    /// An Announce that came in a circle: path trace with our clock, or stepsRemoved of 255 and more.
    pub announce_loop: u64,
    /// A Delay_Resp to somebody else, or to no request of ours.
    pub unrequested: u64,
    /// A Delay_Resp whose times fit no reading of its correction.
    pub implausible: u64,
    /// A Sync/Follow_Up pair that the estimate did not use.
    pub outlier: u64,
}

/// Everything about a session, for people and logs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ptpbmca_session_status {
    /// The clock, as ptpbmca_offset() gives it.
    pub clock: ptpbmca_clock_offset,
    /// Bound port for event messages.
    pub event_port: u16,
    /// Bound port for general messages.
    pub general_port: u16,
    /// 1: the ports asked for could not be had, and others were allowed.
    pub ephemeral_ports: u32,
    /// 1: the kernel stamps what arrives.
    pub kernel_receive_stamps: u32,
    /// 1: the kernel stamped the last message sent that needed it.
    pub kernel_send_stamps: u32,
    /// 1: the receiver has announced itself, and the fields below that begin with announced_ are its data set.
    pub announced: u32,
    /// priority1.
    pub announced_priority1: u8,
    /// priority2.
    pub announced_priority2: u8,
    /// clockClass.
    pub announced_clock_class: u8,
    /// clockAccuracy.
    pub announced_clock_accuracy: u8,
    /// offsetScaledLogVariance.
    pub announced_variance: u16,
    /// stepsRemoved.
    pub announced_steps_removed: u16,
    /// timeSource.
    pub announced_time_source: u8,
    /// Zero.
    pub reserved8: [u8; 3],
    /// grandmasterIdentity.
    pub announced_grandmaster_id: u64,
    /// Well-formed messages received from the receiver.
    pub received: ptpbmca_message_counts,
    /// Messages sent to the receiver.
    pub sent: ptpbmca_message_counts,
    /// Packets refused.
    pub refused: ptpbmca_refusal_counts,
    /// Sync/Follow_Up pairs completed.
    pub pairs: u64,
    /// Delay_Req of the receiver answered.
    pub delay_req_answered: u64,
    /// Delay_Resp used for the path delay.
    pub delay_resp_used: u64,
    /// Steps of the receiver's clock seen.
    pub steps: u64,
    /// Sends that the system refused; they are tried again with the next round.
    pub send_errors: u64,
    /// One sentence: what was heard, what is missing, what to check. Static.
    pub advice: *const c_char,
    /// Packets refused because more of their kind came in a second than any clock sends.
    pub refused_flood: u64,
    /// Packets to the ports that the kernel dropped: from other addresses while a flood of those is kept away, or because
    /// the socket's buffer was full. For which reason, it does not tell; 0 where it tells nothing. Counted once a second.
    pub kernel_drops: u64,
    /// Zero. Room to grow.
    pub reserved: [u64; 6],
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// What programs outside were compiled against. A line that has to change here is a new ABI number.
    #[test]
    fn sizes_and_offsets_stay() {
        if size_of::<usize>() != 8 {
            return;
        }
        assert_eq!(size_of::<ptpbmca_config>(), 88);
        assert_eq!(offset_of!(ptpbmca_config, major_sdo_id), 16);
        assert_eq!(offset_of!(ptpbmca_config, clock_id), 24);
        assert_eq!(offset_of!(ptpbmca_config, event_port), 40);
        assert_eq!(offset_of!(ptpbmca_config, event_socket), 48);
        assert_eq!(offset_of!(ptpbmca_config, announce_timeout_ms), 64);
        assert_eq!(offset_of!(ptpbmca_config, on_event), 72);
        assert_eq!(size_of::<ptpbmca_error>(), 296);
        assert_eq!(offset_of!(ptpbmca_error, message), 8);
        assert_eq!(size_of::<ptpbmca_clock_offset>(), 112);
        assert_eq!(offset_of!(ptpbmca_clock_offset, epoch), 64);
        assert_eq!(offset_of!(ptpbmca_clock_offset, synchronized), 76);
        assert_eq!(size_of::<ptpbmca_anchor_time>(), 56);
        assert_eq!(offset_of!(ptpbmca_anchor_time, epoch), 32);
        assert_eq!(size_of::<ptpbmca_message_counts>(), 72);
        assert_eq!(size_of::<ptpbmca_refusal_counts>(), 128);
        assert_eq!(size_of::<ptpbmca_session_status>(), 536);
        assert_eq!(offset_of!(ptpbmca_session_status, received), 152);
        assert_eq!(offset_of!(ptpbmca_session_status, advice), 464);
        assert_eq!(offset_of!(ptpbmca_session_status, kernel_drops), 480);
    }
}
