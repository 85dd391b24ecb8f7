//! What the worker publishes of a session for other threads.
#![forbid(unsafe_code)]

use std::ffi::CStr;

use parking_lot::Mutex;

use crate::association::{Announced, Counters};
use crate::latch::Latch;
use crate::timeline::Timeline;

/// What a session looks like, beyond its clock; for people and logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The clock, as last published.
    pub timeline: Timeline,
    /// The port event messages are sent from and received on.
    pub event_port: u16,
    /// The same for general messages.
    pub general_port: u16,
    /// The ports asked for could not be had, and others were allowed.
    pub ephemeral_ports: bool,
    /// The kernel stamps what arrives.
    pub kernel_receive_stamps: bool,
    /// The kernel stamps what leaves.
    pub kernel_send_stamps: bool,
    /// What the receiver announced last.
    pub announced: Option<Announced>,
    /// What was counted in the conversation with the receiver.
    pub counters: Counters,
    /// Packets on the session's ports from addresses of no session, as far as they came to the worker.
    pub wrong_source: u64,
    /// Packets on the session's ports that the kernel dropped: from strangers in a flood of those, or for want of room.
    pub kernel_drops: u64,
    /// Sends that the system refused.
    pub send_errors: u64,
    /// What was heard, what is missing, what to check.
    pub advice: &'static CStr,
}

impl Status {
    /// The status of a session that the worker has published none of yet.
    pub fn beginning() -> Self {
        Self {
            timeline: Timeline::beginning(),
            event_port: 0,
            general_port: 0,
            ephemeral_ports: false,
            kernel_receive_stamps: false,
            kernel_send_stamps: false,
            announced: None,
            counters: Counters::default(),
            wrong_source: 0,
            kernel_drops: 0,
            send_errors: 0,
            advice: c"The session begins.",
        }
    }
}

/// One session's place to publish in.
#[derive(Debug)]
pub struct Published {
    /// The clock, for readers that cannot wait.
    pub clock: Latch<{ Timeline::WORDS }>,
    /// Everything, for those who can.
    pub status: Mutex<Option<Status>>,
}

impl Published {
    /// A place where nothing has been published yet.
    pub const fn new() -> Self {
        Self { clock: Latch::new(), status: Mutex::new(None) }
    }
}

impl Default for Published {
    fn default() -> Self {
        Self::new()
    }
}
