//! What sockets do in their own way on Windows.

use std::io;
use std::os::windows::io::{AsRawSocket, BorrowedSocket, RawSocket};

use mio::net::UdpSocket;
use socket2::{SockRef, Socket};
use windows_sys::Win32::Networking::WinSock::{
    INVALID_SOCKET, SOCKET, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, WSAEADDRNOTAVAIL, WSAEAFNOSUPPORT,
    WSAEPROTONOSUPPORT,
};

use crate::engine::timestamp::set_option;
use crate::error::ErrorKind;

/// A socket bound to a unicast address gets the groups it joins, and none can be bound to a group.
pub const UNICAST_HEARS_GROUPS: bool = true;

/// A bind that is not permitted: no port needs a privilege here, so another program has it for itself, or the system has
/// set it aside.
pub const REFUSED_BIND: ErrorKind = ErrorKind::AddressInUse;

/// What to do about a port that another program has.
pub const IN_USE_REMEDY: &str =
    "Stop the other PTP program, or see \"netsh int ipv4 show excludedportrange udp\".";

/// Else a second program could bind the port as well, with SO_REUSEADDR, and take the packets away.
pub fn claim(socket: &Socket) -> io::Result<()> {
    set_option(socket.as_raw_socket() as SOCKET, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1_i32)
}

/// A duplicate of a caller's socket, or why there is none.
pub fn duplicate(descriptor: i64) -> Result<Socket, String> {
    let borrowed = borrow(descriptor).ok_or("no socket")?;
    borrowed.try_clone_to_owned().map(Socket::from).map_err(|error| error.to_string())
}

/// Whether a descriptor of the caller's is this very socket: no other one has the same address and port.
pub fn is_same(socket: &UdpSocket, descriptor: i64) -> bool {
    let theirs =
        borrow(descriptor).and_then(|borrowed| SockRef::from(&borrowed).local_addr().ok()?.as_socket());
    theirs.is_some() && theirs == socket.local_addr().ok()
}

fn borrow(descriptor: i64) -> Option<BorrowedSocket<'static>> {
    let raw = RawSocket::try_from(descriptor).ok().filter(|raw| *raw as SOCKET != INVALID_SOCKET)?;
    // SAFETY: not the one number that is no socket; on any other that is none, calls give an error. The caller keeps it
    // open during the call that passes it.
    Some(unsafe { BorrowedSocket::borrow_raw(raw) })
}

/// Makes the receive buffer this large, or as large as the system lets it be.
pub fn enlarge_buffer(socket: &Socket, bytes: usize) {
    let _ = socket.set_recv_buffer_size(bytes);
}

/// Nothing to do: a socket hears only groups that it joined itself.
pub fn only_own_groups(_: &Socket) {}

/// Whether a bind failed because the host does not speak the address family.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(WSAEAFNOSUPPORT | WSAEADDRNOTAVAIL | WSAEPROTONOSUPPORT))
}
