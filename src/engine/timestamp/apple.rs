//! macOS, iOS and their kin: what arrives is stamped in the clock that estimates run in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use super::message::{
    destination, for_each_control, put_source, read, receive_message, send_message, set_option, Control,
    CONTROL_WORDS,
};
use super::{Received, Stamp};
use crate::engine::clock;

/// The control message of SO_TIMESTAMP_MONOTONIC, which carries mach_absolute_time as a u64 (XNU, sys/socket.h).
const SCM_TIMESTAMP_MONOTONIC: i32 = 0x04;

/// Asks the kernel to stamp what arrives and to tell destination addresses. Returns whether arrivals will be stamped.
pub fn enable(socket: &impl AsRawFd, ipv6: bool) -> bool {
    let fd = socket.as_raw_fd();
    // Without it packets still come, only a session's local address is then not told apart.
    let _ = if ipv6 {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1_i32)
    } else {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1_i32)
            .or_else(|_| set_option(fd, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, 1_i32))
    };
    // The latter is microseconds of the wall clock.
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMP_MONOTONIC, 1_i32).is_ok()
        || set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1_i32).is_ok()
}

/// Receives one datagram without waiting.
///
/// # Errors
/// The system's; `WouldBlock` where there is none.
pub fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control: Control = [0; CONTROL_WORDS];
    let (length, source, header) =
        receive_message(socket.as_raw_fd(), buffer, &mut control, libc::MSG_DONTWAIT)?;
    let source = source.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut received = Received { length, source, destination: None, stamp: None };
    for_each_control(&header, |level, kind, data| match (level, kind) {
        (libc::SOL_SOCKET, SCM_TIMESTAMP_MONOTONIC) => {
            received.stamp = read::<u64>(data).filter(|ticks| *ticks != 0).map(monotonic);
        }
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMP) => {
            received.stamp = received.stamp.or(read::<libc::timeval>(data).map(wall));
        }
        (libc::IPPROTO_IP, libc::IP_RECVDSTADDR) => {
            let address = read::<libc::in_addr>(data);
            received.destination = address.map(|to| Ipv4Addr::from(u32::from_be(to.s_addr)).into());
        }
        _ => received.destination = destination(level, kind, data).or(received.destination),
    });
    Ok(received)
}

fn monotonic(ticks: u64) -> Stamp {
    Stamp::Monotonic(clock::nanos_of_ticks(ticks))
}

fn wall(time: libc::timeval) -> Stamp {
    let (seconds, micros) = (time.tv_sec, i64::from(time.tv_usec));
    Stamp::Wall(seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1_000)))
}

/// Sends one datagram without waiting, from `source` if one is given.
///
/// # Errors
/// The system's.
pub fn send(
    socket: &impl AsRawFd,
    bytes: &[u8],
    to: &SocketAddr,
    source: Option<IpAddr>,
    _stamped: bool,
) -> io::Result<()> {
    let mut control: Control = [0; CONTROL_WORDS];
    let used = put_source(&mut control, 0, source);
    send_message(socket.as_raw_fd(), bytes, to, &mut control, used, libc::MSG_DONTWAIT)
}

/// No stamps of leaving: the time before the send is used.
#[derive(Debug, Default)]
pub struct SendStamps;

impl SendStamps {
    /// None.
    pub fn take<T>(&mut self, _: &impl AsRawFd, _: impl Fn(Stamp) -> Option<T>) -> Option<T> {
        None
    }
}
