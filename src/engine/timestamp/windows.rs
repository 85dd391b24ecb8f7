//! Windows: what arrives is stamped with the performance counter, where the system offers it (Windows 11, Server 2022);
//! control messages tell and choose this host's addresses. A stamp in a network card's own clock fits no time of a packet
//! at hand, and is passed over.

use std::io;
use std::mem::{offset_of, size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::windows::io::AsRawSocket;
use std::ptr::null_mut;
use std::sync::OnceLock;

use mio::net::UdpSocket;
use socket2::{SockAddr, SockAddrStorage, Socket};
use windows_sys::Win32::Networking::WinSock::{
    setsockopt, WSAIoctl, WSASendMsg, CMSGHDR, IN6_PKTINFO, IN_PKTINFO, IPPROTO_IP, IPPROTO_IPV6,
    IPV6_PKTINFO, IP_PKTINFO, LPFN_WSARECVMSG, SIO_GET_EXTENSION_FUNCTION_POINTER, SIO_TIMESTAMPING,
    SIO_UDP_CONNRESET, SIO_UDP_NETRESET, SOCKET, SOL_SOCKET, SO_TIMESTAMP, TIMESTAMPING_CONFIG,
    TIMESTAMPING_FLAG_RX, WSABUF, WSAID_WSARECVMSG, WSAMSG,
};

use super::{Received, Stamp};
use crate::engine::clock;

/// Room for the control messages asked for: an address (in6_pktinfo) and a stamp, each with its header, come to less than
/// a third of it.
const CONTROL_BYTES: usize = 256;

/// Aligned as the header of a control message wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Control messages and their data begin at multiples of this (ws2def.h, WSA_CMSGDATA_ALIGN).
const ALIGNMENT: usize = size_of::<usize>();

/// Bytes from the beginning of a control message to its data.
const HEADER: usize = size_of::<CMSGHDR>().next_multiple_of(ALIGNMENT);

/// Asks the kernel to stamp what arrives and to tell destination addresses. Returns whether arrivals will be stamped.
pub fn enable(socket: &Socket, ipv6: bool) -> bool {
    let raw = socket.as_raw_socket() as SOCKET;
    // Else an ICMP error about an earlier packet, to a receiver that is away, fails a later receive.
    for report in [SIO_UDP_CONNRESET, SIO_UDP_NETRESET] {
        let _ = control_socket(raw, report, &0_u32);
    }
    let (level, option) = if ipv6 { (IPPROTO_IPV6, IPV6_PKTINFO) } else { (IPPROTO_IP, IP_PKTINFO) };
    // Without it packets still come, only a session's local address is then not told apart.
    let _ = set_option(raw, level, option, 1_i32);
    let config = TIMESTAMPING_CONFIG { Flags: TIMESTAMPING_FLAG_RX, TxTimestampsBuffered: 0 };
    control_socket(raw, SIO_TIMESTAMPING, &config).is_ok()
}

/// Sets a socket option of a plain value.
pub fn set_option<T: Copy>(socket: SOCKET, level: i32, option: i32, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a live local value.
    let done = unsafe { setsockopt(socket, level, option, (&raw const value).cast(), size_of::<T>() as i32) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A control code of a socket that takes a plain value.
fn control_socket<T: Copy>(socket: SOCKET, code: u32, value: &T) -> io::Result<()> {
    let (input, length) = ((&raw const *value).cast(), size_of::<T>() as u32);
    let mut returned = 0;
    // SAFETY: the pointer and the length are those of a live value; nothing is given back, and nothing is overlapped.
    let done =
        unsafe { WSAIoctl(socket, code, input, length, null_mut(), 0, &raw mut returned, null_mut(), None) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// WSARecvMsg, which is no export: a socket tells where it is.
fn receiving_function(socket: SOCKET) -> LPFN_WSARECVMSG {
    static FUNCTION: OnceLock<LPFN_WSARECVMSG> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        let name = WSAID_WSARECVMSG;
        let mut function: LPFN_WSARECVMSG = None;
        let mut returned = 0;
        // SAFETY: the pointers and lengths are those of a live GUID and of a live function pointer to fill.
        let done = unsafe {
            WSAIoctl(
                socket,
                SIO_GET_EXTENSION_FUNCTION_POINTER,
                (&raw const name).cast(),
                size_of_val(&name) as u32,
                (&raw mut function).cast(),
                size_of_val(&function) as u32,
                &raw mut returned,
                null_mut(),
                None,
            )
        };
        function.filter(|_| done == 0)
    })
}

/// Receives one datagram without waiting. One that is longer than the buffer is an error.
///
/// # Errors
/// The system's; `WouldBlock` where there is none.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let raw = socket.as_raw_socket() as SOCKET;
    match receiving_function(raw) {
        // Through mio, which has to learn that there is nothing more, or it does not wake the poll again.
        Some(function) => socket.try_io(|| {
            let mut address = SockAddrStorage::zeroed();
            let mut control = Control([0; CONTROL_BYTES]);
            let mut data = WSABUF { len: buffer.len() as u32, buf: buffer.as_mut_ptr() };
            let mut message = WSAMSG {
                name: (&raw mut address).cast(),
                namelen: size_of_val(&address) as i32,
                lpBuffers: &raw mut data,
                dwBufferCount: 1,
                Control: WSABUF { len: CONTROL_BYTES as u32, buf: control.0.as_mut_ptr() },
                dwFlags: 0,
            };
            let mut length = 0;
            // SAFETY: all pointers of the message are to live buffers of the lengths given with them, and the socket is not
            // used overlapped here: the call is over when it returns.
            if unsafe { function(raw, &raw mut message, &raw mut length, null_mut(), None) } != 0 {
                return Err(io::Error::last_os_error());
            }
            let used = message.Control.len as usize;
            // SAFETY: the kernel wrote an address of this length into the storage.
            let source = unsafe { SockAddr::new(address, message.namelen) }.as_socket();
            let source = source.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            let mut received = Received { length: length as usize, source, destination: None, stamp: None };
            for_each_control(control.0.get(..used).unwrap_or(&[]), |level, kind, data| match (level, kind) {
                (IPPROTO_IP, IP_PKTINFO) => {
                    let at = offset_of!(IN_PKTINFO, ipi_addr);
                    received.destination = bytes::<4>(data, at).map(|ip| Ipv4Addr::from(ip).into());
                }
                (IPPROTO_IPV6, IPV6_PKTINFO) => {
                    let at = offset_of!(IN6_PKTINFO, ipi6_addr);
                    received.destination = bytes::<16>(data, at).map(|ip| Ipv6Addr::from(ip).into());
                }
                (SOL_SOCKET, kind) if kind == SO_TIMESTAMP as i32 => {
                    let counts = bytes::<8>(data, 0).map(i64::from_ne_bytes).filter(|counts| *counts > 0);
                    received.stamp = counts.map(|counts| Stamp::Monotonic(clock::nanos_of_counts(counts)));
                }
                _ => {}
            });
            Ok(received)
        }),
        None => {
            let (length, source) = socket.recv_from(buffer)?;
            Ok(Received { length, source, destination: None, stamp: None })
        }
    }
}

/// Sends one datagram without waiting, from `source` if one is given.
///
/// # Errors
/// The system's.
pub fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    to: &SocketAddr,
    source: Option<IpAddr>,
    _stamped: bool,
) -> io::Result<()> {
    let Some(source) = source else { return socket.send_to(bytes, *to).map(|_| ()) };
    let mut control = Control([0; CONTROL_BYTES]);
    let used = put_source(&mut control.0, source);
    let to = SockAddr::from(*to);
    let mut data = WSABUF { len: bytes.len() as u32, buf: bytes.as_ptr().cast_mut() };
    let message = WSAMSG {
        name: to.as_ptr().cast_mut().cast(),
        namelen: to.len(),
        lpBuffers: &raw mut data,
        dwBufferCount: 1,
        Control: WSABUF { len: used as u32, buf: control.0.as_mut_ptr() },
        dwFlags: 0,
    };
    let raw = socket.as_raw_socket() as SOCKET;
    let mut sent = 0;
    // SAFETY: all pointers of the message are to live locals and the caller's bytes, which the call only reads.
    if unsafe { WSASendMsg(raw, &raw const message, 0, &raw mut sent, null_mut(), None) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Writes the control message that chooses the address to send from; returns its length.
fn put_source(control: &mut [u8; CONTROL_BYTES], source: IpAddr) -> usize {
    let (level, kind, at, size) = match source {
        IpAddr::V4(_) => (IPPROTO_IP, IP_PKTINFO, offset_of!(IN_PKTINFO, ipi_addr), size_of::<IN_PKTINFO>()),
        IpAddr::V6(_) => {
            (IPPROTO_IPV6, IPV6_PKTINFO, offset_of!(IN6_PKTINFO, ipi6_addr), size_of::<IN6_PKTINFO>())
        }
    };
    let mut write = |at: usize, bytes: &[u8]| {
        if let Some(place) = control.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    // The rest, the interface's index, stays 0: it follows from the address.
    write(offset_of!(CMSGHDR, cmsg_len), &(HEADER + size).to_ne_bytes());
    write(offset_of!(CMSGHDR, cmsg_level), &level.to_ne_bytes());
    write(offset_of!(CMSGHDR, cmsg_type), &kind.to_ne_bytes());
    match source {
        IpAddr::V4(ip) => write(HEADER + at, &ip.octets()),
        IpAddr::V6(ip) => write(HEADER + at, &ip.octets()),
    }
    (HEADER + size).next_multiple_of(ALIGNMENT)
}

/// Calls `take` with level, type and data of each control message.
fn for_each_control(mut control: &[u8], mut take: impl FnMut(i32, i32, &[u8])) {
    // Ends: each turn takes a header's length off at least.
    while let Some(length) = bytes(control, offset_of!(CMSGHDR, cmsg_len)).map(usize::from_ne_bytes) {
        let level = bytes(control, offset_of!(CMSGHDR, cmsg_level)).map(i32::from_ne_bytes);
        let kind = bytes(control, offset_of!(CMSGHDR, cmsg_type)).map(i32::from_ne_bytes);
        let (Some(level), Some(kind), Some(data)) = (level, kind, control.get(HEADER..length)) else {
            return;
        };
        take(level, kind, data);
        control = control.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
    }
}

/// `N` bytes of `data` from `at` on.
fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
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
