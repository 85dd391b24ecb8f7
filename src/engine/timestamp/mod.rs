//! Datagrams with what the kernel knows of them: when they came or left, and to which address.
//!
//! A kernel stamp is 25 to 30 us earlier than the return of the receiving call, and up to milliseconds on a busy host.
//! Linux and Android stamp both ways, Apple's systems and Windows what arrives; elsewhere the time of the call itself is
//! used.

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod message;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "linux.rs"]
mod system;

#[cfg(target_vendor = "apple")]
#[path = "apple.rs"]
mod system;

#[cfg(windows)]
#[path = "windows.rs"]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
#[path = "portable.rs"]
mod system;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use message::set_option;
#[cfg(windows)]
pub use system::set_option;
pub use system::{enable, receive, send, SendStamps};

use std::net::{IpAddr, SocketAddr};

/// Longest datagram read. Longer ones are cut; what they lost shows in their messageLength.
pub const MAX_DATAGRAM: usize = 2_048;

/// When the kernel saw a datagram, in the clock that it stamps with, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // A system has one of them, or none.
pub enum Stamp {
    /// In the wall clock, since the Unix epoch.
    Wall(i64),
    /// In the clock that estimates run in.
    Monotonic(i64),
}

/// A datagram's circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length as far as it was read.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// The address it was sent to, where the kernel tells.
    pub destination: Option<IpAddr>,
    /// When the kernel saw it, where it tells.
    pub stamp: Option<Stamp>,
}
