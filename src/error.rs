//! Errors, for callers and for people.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt;

/// What kind of error it is. The numbers are those of the C interface and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument that is not allowed.
    InvalidArgument = -1,
    /// Not an IPv4 or IPv6 literal that a receiver can have.
    InvalidAddress = -2,
    /// Ports below 1024 need a privilege.
    Permission = -3,
    /// Another program on this host has the ports.
    AddressInUse = -4,
    /// Any other error of a socket.
    Network = -5,
    /// No such session, or not any more.
    NoSession = -6,
    /// The receiver's time is not known.
    NotSynchronized = -7,
    /// It did not happen in time.
    Timeout = -8,
    /// The call would wait for the thread it is made on.
    WouldDeadlock = -9,
    /// Too many.
    Limit = -10,
    /// A bug in the library.
    Internal = -11,
}

/// An error with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// The system's error number; 0 where it has no part in it.
    pub os_error: i32,
    /// What was tried, what failed, and what to do about it.
    pub message: String,
}

/// What the fallible calls return.
pub type Result<T> = std::result::Result<T, Error>;

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::InvalidArgument,
        Self::InvalidAddress,
        Self::Permission,
        Self::AddressInUse,
        Self::Network,
        Self::NoSession,
        Self::NotSynchronized,
        Self::Timeout,
        Self::WouldDeadlock,
        Self::Limit,
        Self::Internal,
    ];

    /// One sentence with the remedy.
    pub const fn message(self) -> &'static CStr {
        match self {
            Self::InvalidArgument => {
                c"An argument is not allowed: a null pointer, an unknown constant, a struct_size that no version has, \
                 or settings that contradict another session's."
            }
            Self::InvalidAddress => {
                c"The receiver's or the local address is not an IPv4 or IPv6 address (link-local IPv6 needs %interface)."
            }
            Self::Permission => {
                c"UDP ports below 1024 need a privilege: run as root, grant CAP_NET_BIND_SERVICE, lower \
                 net.ipv4.ip_unprivileged_port_start, or hand over sockets bound by someone who may."
            }
            Self::AddressInUse => {
                c"Another PTP program on this host holds the ports (ptp4l, nqptp, airptpd, another player): stop it, or \
                 share its host only through one process."
            }
            Self::Network => c"The network refused: see the error's message for the system's words.",
            Self::NoSession => c"There is no such session: it was stopped, or never started in this process.",
            Self::NotSynchronized => {
                c"The receiver's time is not known yet: wait with ptpbmca_await_sync, and see the advice in ptpbmca_status."
            }
            Self::Timeout => {
                c"It did not happen in time: the advice in ptpbmca_status says what is missing; audio may not play."
            }
            Self::WouldDeadlock => c"This call waits for the worker and cannot be made from one of its callbacks.",
            Self::Limit => c"Too many sessions, or the system refused a thread: stop some first.",
            Self::Internal => c"The library has a bug, or its host closed its descriptors; its sessions have ended: stop them and start anew.",
        }
    }
}

impl Error {
    /// An error in which the system had no part.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, os_error: 0, message: message.into() }
    }

    /// An error with nothing more to say than its kind does.
    pub fn of(kind: ErrorKind) -> Self {
        Self::new(kind, kind.message().to_string_lossy())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
