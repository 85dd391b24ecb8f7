//! What sockets do in their own way on POSIX systems.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use mio::net::UdpSocket;
use socket2::Socket;

use crate::error::ErrorKind;

/// A socket bound to a unicast address gets no multicast.
pub const UNICAST_HEARS_GROUPS: bool = false;

/// A bind that is not permitted: ports below 1024 need a privilege.
pub const REFUSED_BIND: ErrorKind = ErrorKind::Permission;

/// What to do about a port that another program has.
pub const IN_USE_REMEDY: &str =
    "Another PTP program on this host has it (ptp4l, nqptp, airptpd, another player): stop it, only one can \
     speak PTP. Beside a simulated receiver, set local_address.";

/// Nothing to do: without SO_REUSEADDR a port is one program's already.
#[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
pub fn claim(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// A duplicate of a caller's socket, or why there is none.
pub fn duplicate(descriptor: i64) -> Result<Socket, String> {
    let fd = i32::try_from(descriptor).ok().filter(|fd| *fd >= 0).ok_or("no descriptor")?;
    // SAFETY: fcntl on any number is harmless: an unused one gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    // SAFETY: the descriptor is open, and the caller keeps it open during the call that passes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map(Socket::from).map_err(|error| error.to_string())
}

/// Whether a descriptor of the caller's is this very socket.
pub fn is_same(socket: &UdpSocket, descriptor: i64) -> bool {
    let file = |fd: i32| {
        // SAFETY: a stat of zeros is valid.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is live; a descriptor that is none gives an error.
        (unsafe { libc::fstat(fd, &raw mut stat) } == 0).then_some((stat.st_dev, stat.st_ino))
    };
    let theirs = i32::try_from(descriptor).ok().and_then(file);
    theirs.is_some() && theirs == file(socket.as_raw_fd())
}

/// Makes the receive buffer this large, or as large as the system lets it be: beyond net.core.rmem_max only with
/// CAP_NET_ADMIN. A smaller one only loses packets sooner.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn enlarge_buffer(socket: &Socket, bytes: usize) {
    use crate::engine::timestamp::set_option;
    let size = i32::try_from(bytes).unwrap_or(i32::MAX);
    if set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size).is_err() {
        let _ = socket.set_recv_buffer_size(bytes);
    }
}

/// Makes the receive buffer this large, or as large as the system lets it be.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn enlarge_buffer(socket: &Socket, bytes: usize) {
    let _ = socket.set_recv_buffer_size(bytes);
}

/// With this option off, a socket hears only groups that it joined itself, on the interface where it did.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn only_own_groups(socket: &Socket) {
    use crate::engine::timestamp::set_option;
    // Where the system has no such option, more is heard than asked for, and the peer table sorts it out.
    let _ = set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0_i32);
}

/// Nothing to do: it does so anyway.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn only_own_groups(_: &Socket) {}

/// Whether a bind failed because the host does not speak the address family.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}
