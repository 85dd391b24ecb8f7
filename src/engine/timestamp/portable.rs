//! Any other system: the times of the calls, and no control messages.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use socket2::Socket;

use super::{Received, Stamp};

/// Nothing to ask for: arrivals are stamped by the call that receives them.
pub fn enable(_: &Socket, _ipv6: bool) -> bool {
    false
}

/// Receives one datagram without waiting.
///
/// # Errors
/// The system's; `WouldBlock` where there is none.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let (length, source) = socket.recv_from(buffer)?;
    Ok(Received { length, source, destination: None, stamp: None })
}

/// Sends one datagram without waiting; the system chooses its source address.
///
/// # Errors
/// The system's.
pub fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    to: &SocketAddr,
    _source: Option<IpAddr>,
    _stamped: bool,
) -> io::Result<()> {
    socket.send_to(bytes, *to).map(|_| ())
}

/// No stamps of leaving: the time before the send is used.
#[derive(Debug, Default)]
pub struct SendStamps;

impl SendStamps {
    /// None.
    pub fn take<T>(&mut self, _: &UdpSocket, _: impl Fn(Stamp) -> Option<T>) -> Option<T> {
        None
    }
}
