//! The edge to the host: its clocks, sockets and signals. The only file here with unsafe code.
// Sockets and clocks are what this file is for; every other one is given them.
#![allow(clippy::disallowed_methods)]

use crate::config::Host;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A stamp this much older than its reading is a mistake (the wall clock was set in between), in nanoseconds.
const STALE_STAMP_NS: i64 = 10_000_000_000;

/// The host's monotonic clock, in nanoseconds. Every time this crate speaks of is of this clock.
#[cfg(unix)]
pub fn monotonic_ns() -> i64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

/// The host's monotonic clock, in nanoseconds from the first reading.
#[cfg(not(unix))]
pub fn monotonic_ns() -> i64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    i64::try_from(START.get_or_init(std::time::Instant::now).elapsed().as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(unix)]
fn read_clock(clock: libc::clockid_t) -> i64 {
    // SAFETY: timespec is plain numbers, for which all zeros are a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is a timespec of ours; the clocks asked for exist on every system of this kind.
    unsafe { libc::clock_gettime(clock, &mut time) };
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * 1_000_000_000 + nanoseconds
}

/// A datagram socket bound to exactly this address and port, not blocking, with the kernel's receive stamps on.
///
/// Never shared with another program: an address in use is an error.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    #[cfg(target_os = "linux")]
    stamp_arrivals(&socket)?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[cfg(target_os = "linux")]
fn stamp_arrivals(socket: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    let size = std::mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open, `on` lives through the call and `size` is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            std::ptr::from_ref(&on).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The next datagram: its length, who sent it, and when it arrived by the monotonic clock.
#[cfg(target_os = "linux")]
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, i64)> {
    use std::os::fd::AsRawFd;
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Room for one stamp, aligned as its header wants it.
    let mut control = [0u64; 16];
    // SAFETY: msghdr is plain numbers and pointers, for which all zeros are a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = std::mem::size_of_val(&control) as _;
    // SAFETY: the message points at buffers of ours that live through the call, with their sizes; the closure succeeds
    // only where the kernel has written an address and its length.
    let (length, from) = unsafe {
        socket2::SockAddr::try_init(|storage, size| {
            message.msg_name = storage.cast();
            message.msg_namelen = *size;
            let length = libc::recvmsg(socket.as_raw_fd(), &mut message, 0);
            *size = message.msg_namelen;
            usize::try_from(length).map_err(|_| io::Error::last_os_error())
        })
    }?;
    let (now, difference) = clocks();
    let arrived = kernel_stamp(&message).map(|stamp| stamp.saturating_sub(difference));
    // A stamp of a wall clock that was set meanwhile says nothing.
    let arrived = arrived.filter(|at| (0..STALE_STAMP_NS).contains(&now.saturating_sub(*at)));
    let from = from.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((length, from, arrived.unwrap_or(now)))
}

/// The next datagram: its length, who sent it, and when it was read by the monotonic clock.
#[cfg(not(target_os = "linux"))]
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, i64)> {
    let (length, from) = socket.recv_from(buffer)?;
    Ok((length, from, monotonic_ns()))
}

/// The monotonic clock now, and the wall clock minus it.
#[cfg(target_os = "linux")]
fn clocks() -> (i64, i64) {
    let before = monotonic_ns();
    let wall = read_clock(libc::CLOCK_REALTIME);
    let after = monotonic_ns();
    (after, wall - (before + (after - before) / 2))
}

/// The kernel's stamp of a received message, of the wall clock, in nanoseconds.
#[cfg(target_os = "linux")]
fn kernel_stamp(message: &libc::msghdr) -> Option<i64> {
    // SAFETY: the kernel has filled in the message; its control buffer is alive and as long as it says.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !control.is_null() {
        // SAFETY: not null, so a header inside the control buffer.
        let header = unsafe { *control };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_TIMESTAMPNS {
            // SAFETY: a control message of this type holds a timespec.
            let time: libc::timespec = unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
            #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
            return Some(time.tv_sec as i64 * 1_000_000_000 + time.tv_nsec as i64);
        }
        // SAFETY: both are of the message that the kernel has filled in.
        control = unsafe { libc::CMSG_NXTHDR(message, control) };
    }
    None
}

/// Reads an address: IPv4, IPv6, or link-local IPv6 with `%` and the name or number of an interface.
pub fn host(text: &str) -> Result<Host, String> {
    let (address, scope) = text.split_once('%').map_or((text, None), |(a, s)| (a, Some(s)));
    let ip: IpAddr = address.parse().map_err(|_| format!("{text}: not an IPv4 or IPv6 address"))?;
    let scope = match scope {
        None => 0,
        Some(_) if ip.is_ipv4() => return Err(format!("{text}: an IPv4 address has no scope")),
        Some(name) => interface(name).ok_or_else(|| format!("{text}: no such interface"))?,
    };
    Ok(Host { ip, scope })
}

#[cfg(unix)]
fn interface(name: &str) -> Option<u32> {
    if let Ok(index) = name.parse() {
        return Some(index);
    }
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is a C string that lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

#[cfg(not(unix))]
fn interface(name: &str) -> Option<u32> {
    name.parse().ok()
}

/// Raises the limit of open files to what this process may have: a large fleet has two sockets each.
pub fn raise_file_limit() {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is ours to write.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
            limit.rlim_cur = limit.rlim_max;
            // SAFETY: `limit` is a limit the system has given; that it may refuse changes nothing.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        }
    }
}

/// SIGINT and SIGTERM, held back so that [`StopSignals::wait`] gets them.
#[derive(Debug)]
pub struct StopSignals(());

impl StopSignals {
    /// Holds both signals back from this thread and those it starts.
    pub fn hold() -> Self {
        #[cfg(target_os = "linux")]
        {
            let set = Self::set();
            // SAFETY: `set` is a signal set; the old mask is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        }
        Self(())
    }

    /// Waits for one of them, or until `limit` has passed.
    #[cfg(target_os = "linux")]
    pub fn wait(&self, limit: Option<Duration>) {
        let set = Self::set();
        let end = limit
            .map(|limit| monotonic_ns().saturating_add(i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)));
        loop {
            let left = end.map_or(i64::MAX, |end| end - monotonic_ns());
            if left <= 0 {
                return;
            }
            let left = libc::timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 };
            // SAFETY: set and time are ours and live through the call; what the signal says is not asked for.
            let signal = unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), &left) };
            if signal > 0 {
                return;
            }
        }
    }

    /// Waits until `limit` has passed; signals end the program as the system does it.
    #[cfg(not(target_os = "linux"))]
    pub fn wait(&self, limit: Option<Duration>) {
        let end = limit.map(|limit| monotonic_ns().saturating_add(limit.as_nanos() as i64));
        loop {
            match end.map(|end| end - monotonic_ns()) {
                Some(left) if left <= 0 => return,
                Some(left) => std::thread::park_timeout(Duration::from_nanos(left as u64)),
                None => std::thread::park(),
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn set() -> libc::sigset_t {
        // SAFETY: sigset_t is plain numbers, for which all zeros are a value.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is ours to write and both signals exist.
        unsafe {
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigaddset(&mut set, libc::SIGTERM);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_scope() {
        assert_eq!(host("127.0.0.2").unwrap(), Host::from(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(host("fe80::1%7").unwrap(), Host { ip: "fe80::1".parse().unwrap(), scope: 7 });
        assert_eq!(host("::1").unwrap().scope, 0);
        for wrong in ["", "speaker", "127.0.0.1%lo", "fe80::1%no-such-interface", "fe80::1%"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        #[cfg(target_os = "linux")]
        assert_ne!(host("fe80::1%lo").unwrap().scope, 0);
    }
}
