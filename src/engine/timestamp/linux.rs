//! Linux and Android: stamps in the wall clock for what arrives and, through the error queue, for what leaves.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use super::message::{
    destination, for_each_control, put, put_source, read, receive_message, send_message, set_option, Control,
    CONTROL_WORDS,
};
use super::{Received, Stamp};

/// How often the error queue is looked at for one stamp: older stamps may be ahead of it.
const QUEUE_LOOKS: usize = 8;

/// How long to wait for a stamp that is not there when the send returns, in milliseconds: drivers that stamp late
/// take tens of microseconds; one millisecond is the least that poll can wait.
const STAMP_WAIT_MS: i32 = 1;

/// Stamps that earn one wait in vain. One socket sends by several interfaces, and only some of their drivers stamp: a
/// worker that waited for every stamp that never comes would have no time left for a hundred such receivers.
const STAMPS_PER_WAIT: u32 = 64;

/// Waits in vain before any was earned.
const WAITS: u32 = 16;

/// Asks the kernel to stamp what arrives, to be ready to stamp what leaves, and to tell destination addresses.
/// Returns whether arrivals will be stamped.
pub fn enable(socket: &impl AsRawFd, ipv6: bool) -> bool {
    let fd = socket.as_raw_fd();
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    // Without it packets still come, only a session's local address is then not told apart.
    let _ = set_option(fd, level, option, 1_i32);
    let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags).is_ok()
        || set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1_i32).is_ok()
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
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING | libc::SCM_TIMESTAMPNS) => {
            received.stamp = read::<libc::timespec>(data).and_then(wall).or(received.stamp);
        }
        _ => received.destination = destination(level, kind, data).or(received.destination),
    });
    Ok(received)
}

/// Sends one datagram without waiting, from `source` if one is given, and asks for a stamp of its leaving if
/// `stamped`.
///
/// # Errors
/// The system's.
pub fn send(
    socket: &impl AsRawFd,
    bytes: &[u8],
    to: &SocketAddr,
    source: Option<IpAddr>,
    stamped: bool,
) -> io::Result<()> {
    let mut control: Control = [0; CONTROL_WORDS];
    let mut used = 0;
    if stamped {
        used = put(
            &mut control,
            used,
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            libc::SOF_TIMESTAMPING_TX_SOFTWARE,
        );
    }
    used = put_source(&mut control, used, source);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    send_message(socket.as_raw_fd(), bytes, to, &mut control, used, flags)
}

/// The stamps of one socket's sends, from its error queue.
#[derive(Debug)]
pub struct SendStamps {
    /// The key the kernel gives the next stamped send, once known.
    expected: Option<u32>,
    /// Waits in vain that are left, times [`STAMPS_PER_WAIT`].
    patience: u32,
}

impl Default for SendStamps {
    fn default() -> Self {
        Self { expected: None, patience: WAITS * STAMPS_PER_WAIT }
    }
}

impl SendStamps {
    /// The stamp of the send that has just returned, as `accept` reads it; what it refuses is
    /// another send's. Waits at most a millisecond, and not at all where stamps have failed to come.
    pub fn take<T>(&mut self, socket: &impl AsRawFd, accept: impl Fn(Stamp) -> Option<T>) -> Option<T> {
        let fd = socket.as_raw_fd();
        let mut refused = false;
        let mut stamp = self.look(fd, &accept, &mut refused);
        if stamp.is_none() && self.waits() {
            let mut ready = libc::pollfd { fd, events: 0, revents: 0 };
            // SAFETY: one live pollfd, and its count.
            unsafe { libc::poll(&raw mut ready, 1, STAMP_WAIT_MS) };
            stamp = self.look(fd, &accept, &mut refused);
            if stamp.is_none() {
                self.patience -= STAMPS_PER_WAIT;
            }
        }
        // A refused stamp has set the key already.
        if stamp.is_none() && !refused {
            self.expected = self.expected.map(|key| key.wrapping_add(1));
        }
        stamp
    }

    /// Whether a stamp that is not there is waited for.
    fn waits(&self) -> bool {
        self.patience >= STAMPS_PER_WAIT
    }

    fn look<T>(&mut self, fd: RawFd, accept: &impl Fn(Stamp) -> Option<T>, refused: &mut bool) -> Option<T> {
        for _ in 0..QUEUE_LOOKS {
            let mut control: Control = [0; CONTROL_WORDS];
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            let (_, _, header) = receive_message(fd, &mut [], &mut control, flags).ok()?;
            let (mut stamp, mut key) = (None, None);
            for_each_control(&header, |level, kind, data| match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                    stamp = read::<libc::timespec>(data).and_then(wall);
                }
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                    key = read::<libc::sock_extended_err>(data)
                        .filter(|error| error.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING)
                        .map(|error| error.ee_data);
                }
                _ => {}
            });
            let Some(key) = key else { continue };
            // Late or not, stamps do come.
            self.patience = self.patience.saturating_add(1).min(WAITS * STAMPS_PER_WAIT);
            // A key before the expected one is an older send's stamp that came late.
            if self.expected.is_some_and(|expected| (key.wrapping_sub(expected) as i32) < 0) {
                continue;
            }
            self.expected = Some(key.wrapping_add(1));
            match stamp.and_then(accept) {
                Some(stamp) => return Some(stamp),
                None => *refused = true,
            }
        }
        None
    }
}

fn wall(time: libc::timespec) -> Option<Stamp> {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    // The fields are narrower on some systems.
    let (seconds, nanos) = (time.tv_sec as i64, time.tv_nsec as i64);
    (seconds != 0 || nanos != 0)
        .then(|| Stamp::Wall(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // The kernel is part of what these tests are about.
mod tests {
    use super::{enable, send, SendStamps, Stamp};
    use crate::engine::clock::realtime_ns;
    use std::net::UdpSocket;

    fn stamping() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(enable(&socket, false));
        socket
    }

    /// Sends a datagram, and tells when, by the wall clock.
    fn sent(socket: &UdpSocket) -> i64 {
        let before = realtime_ns();
        send(socket, b"x", &socket.local_addr().unwrap(), None, true).unwrap();
        before
    }

    fn taken(stamps: &mut SendStamps, socket: &UdpSocket, before: i64) -> Option<i64> {
        stamps.take(socket, |stamp| match stamp {
            Stamp::Wall(wall) => (wall >= before).then_some(wall),
            Stamp::Monotonic(_) => None,
        })
    }

    #[test]
    fn a_stamp_that_came_late_puts_none_of_those_that_follow_behind() {
        let (socket, mut stamps) = (stamping(), SendStamps::default());
        // Its stamp was not there yet when it was looked for.
        sent(&socket);
        for _ in 0..3 {
            let before = sent(&socket);
            let stamp = taken(&mut stamps, &socket, before).unwrap();
            assert!(stamp >= before && stamp <= realtime_ns());
        }
    }

    #[test]
    fn a_few_stamps_pay_for_no_wait_without_end() {
        let (socket, mut stamps) = (stamping(), SendStamps::default());
        let mut waits = 0;
        for _ in 0..40 {
            // By an interface that stamps ...
            let before = sent(&socket);
            assert!(taken(&mut stamps, &socket, before).is_some());
            // ... and by one that does not: its stamp is taken away.
            sent(&socket);
            assert_eq!(SendStamps::default().take(&socket, |_| None::<i64>), None);
            waits += u32::from(stamps.waits());
            assert!(taken(&mut stamps, &socket, realtime_ns()).is_none());
        }
        assert_eq!(waits, 16);
    }
}
