//! Datagrams with what the kernel knows of them: when they came or left, and to which address.
//!
//! A kernel stamp is 25 to 30 us earlier than the return of the receiving call, and up to milliseconds on a busy host.
//! Elsewhere than on Linux the time of the call itself is used.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Longest datagram read. Longer ones are cut; what they lost shows in their messageLength.
pub const MAX_DATAGRAM: usize = 2_048;

/// A datagram's circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length as far as it was read.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// The address it was sent to, where the kernel tells.
    pub destination: Option<IpAddr>,
    /// The kernel's stamp in the wall clock, nanoseconds since the Unix epoch.
    pub wall_ns: Option<i64>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::{enable, receive, send, set_option, SendStamps};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::{enable, receive, send, SendStamps};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::{io, IpAddr, Received, SocketAddr};
    use socket2::{SockAddr, SockAddrStorage};
    use std::mem::{size_of, size_of_val};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::os::fd::{AsRawFd, RawFd};

    /// Room for the control messages asked for: a stamp (3 timespecs), an address (in6_pktinfo) and an extended error,
    /// each with its header, come to less than half of it.
    const CONTROL_WORDS: usize = 64;

    /// Aligned as cmsghdr wants it.
    type Control = [u64; CONTROL_WORDS];

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

    /// Sets a socket option of a plain value.
    pub fn set_option<T: Copy>(fd: RawFd, level: i32, option: i32, value: T) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of a live local value.
        let done = unsafe {
            libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<T>() as libc::socklen_t)
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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
        let mut received = Received { length, source, destination: None, wall_ns: None };
        for_each_control(&header, |level, kind, data| match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING | libc::SCM_TIMESTAMPNS) => {
                received.wall_ns = read::<libc::timespec>(data).and_then(nanos).or(received.wall_ns);
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                received.destination = read::<libc::in_pktinfo>(data)
                    .map(|info| IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                received.destination = read::<libc::in6_pktinfo>(data)
                    .map(|info| IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
            }
            _ => {}
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
        let to = SockAddr::from(*to);
        let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
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
        match source {
            Some(IpAddr::V4(source)) => {
                let source = libc::in_addr { s_addr: u32::from(source).to_be() };
                let any = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: any };
                used = put(&mut control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(source)) => {
                let ipi6_addr = libc::in6_addr { s6_addr: source.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                used = put(&mut control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        // SAFETY: a msghdr of zeros is a valid empty one.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        if used > 0 {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = used as _;
        }
        // SAFETY: all pointers of the message are to live locals and the caller's bytes, which sendmsg only reads.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
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
        /// The stamp of the send that has just returned, as `accept` reads it from the wall clock; what it refuses is
        /// another send's. Waits at most a millisecond, and not at all where stamps have failed to come.
        pub fn take<T>(&mut self, socket: &impl AsRawFd, accept: impl Fn(i64) -> Option<T>) -> Option<T> {
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
        pub(super) fn waits(&self) -> bool {
            self.patience >= STAMPS_PER_WAIT
        }

        fn look<T>(
            &mut self,
            fd: RawFd,
            accept: &impl Fn(i64) -> Option<T>,
            refused: &mut bool,
        ) -> Option<T> {
            for _ in 0..QUEUE_LOOKS {
                let mut control: Control = [0; CONTROL_WORDS];
                let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
                let (_, _, header) = receive_message(fd, &mut [], &mut control, flags).ok()?;
                let (mut stamp, mut key) = (None, None);
                for_each_control(&header, |level, kind, data| match (level, kind) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                        stamp = read::<libc::timespec>(data).and_then(nanos);
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

    type Message = (usize, Option<SocketAddr>, libc::msghdr);

    fn receive_message(
        fd: RawFd,
        buffer: &mut [u8],
        control: &mut Control,
        flags: i32,
    ) -> io::Result<Message> {
        let mut address = SockAddrStorage::zeroed();
        let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: a msghdr of zeros is a valid empty one.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = size_of_val(&address) as libc::socklen_t;
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control) as _;
        // SAFETY: all pointers of the message are to live buffers of the lengths given with them.
        let length = unsafe { libc::recvmsg(fd, &raw mut message, flags) };
        if length < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel wrote an address of this length into the storage, or none and a length of 0.
        let source = unsafe { SockAddr::new(address, message.msg_namelen) }.as_socket();
        // The pointers to this call's locals are not used again; that to `control` is, by the caller who owns it.
        message.msg_name = std::ptr::null_mut();
        message.msg_iov = std::ptr::null_mut();
        Ok((length as usize, source, message))
    }

    /// Calls `take` with level, type and data of each control message.
    fn for_each_control(message: &libc::msghdr, mut take: impl FnMut(i32, i32, &[u8])) {
        // SAFETY: msg_control and msg_controllen describe a live buffer, filled by the kernel or zeroed.
        let mut current = unsafe { libc::CMSG_FIRSTHDR(message) };
        while !current.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a header inside the buffer.
            let header = unsafe { &*current };
            // SAFETY: no memory is touched: this is the length of an empty control message.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let length = (header.cmsg_len as usize).saturating_sub(head);
            // SAFETY: the kernel keeps cmsg_len inside the buffer, so `length` bytes follow the header.
            let data = unsafe { std::slice::from_raw_parts(libc::CMSG_DATA(current), length) };
            take(header.cmsg_level, header.cmsg_type, data);
            // SAFETY: as for CMSG_FIRSTHDR, and `current` came from it.
            current = unsafe { libc::CMSG_NXTHDR(message, current) };
        }
    }

    /// Puts one control message behind `used` bytes; returns the bytes used now.
    fn put<T: Copy>(control: &mut Control, used: usize, level: i32, kind: i32, value: T) -> usize {
        // SAFETY: no memory is touched: these are sums of constants.
        let (space, length) = unsafe {
            (libc::CMSG_SPACE(size_of::<T>() as u32) as usize, libc::CMSG_LEN(size_of::<T>() as u32))
        };
        if used + space > size_of_val(control) {
            return used;
        }
        // SAFETY: `used` is a sum of CMSG_SPACEs, so the header is aligned, and header and data lie within the buffer.
        unsafe {
            let header = control.as_mut_ptr().cast::<u8>().add(used).cast::<libc::cmsghdr>();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = length as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        used + space
    }

    /// A plain C value at the start of `data`.
    fn read<T: Copy>(data: &[u8]) -> Option<T> {
        if data.len() < size_of::<T>() {
            return None;
        }
        // SAFETY: long enough, and every T used here is made of integers alone.
        Some(unsafe { data.as_ptr().cast::<T>().read_unaligned() })
    }

    fn nanos(time: libc::timespec) -> Option<i64> {
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        // The fields are narrower on some systems.
        let (seconds, nanos) = (time.tv_sec as i64, time.tv_nsec as i64);
        (seconds != 0 || nanos != 0).then(|| seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use super::{io, IpAddr, Received, SocketAddr};
    use mio::net::UdpSocket;

    /// Nothing to ask for: arrivals are stamped by the call that receives them.
    pub fn enable(_: &socket2::Socket, _ipv6: bool) -> bool {
        false
    }

    /// Receives one datagram without waiting.
    ///
    /// # Errors
    /// The system's; `WouldBlock` where there is none.
    pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        let (length, source) = socket.recv_from(buffer)?;
        Ok(Received { length, source, destination: None, wall_ns: None })
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
        pub fn take<T>(&mut self, _: &UdpSocket, _: impl Fn(i64) -> Option<T>) -> Option<T> {
            None
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
#[allow(clippy::disallowed_methods)] // The kernel is part of what these tests are about.
mod tests {
    use super::linux::{enable, send, SendStamps};
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
        stamps.take(socket, |wall| (wall >= before).then_some(wall))
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
