//! Socket messages with control messages beside them, as POSIX systems have them.

use socket2::{SockAddr, SockAddrStorage};
use std::io;
use std::mem::{size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

/// Room for the control messages asked for: a stamp (3 timespecs), an address (in6_pktinfo) and an extended error,
/// each with its header, come to less than half of it.
pub const CONTROL_WORDS: usize = 64;

/// Aligned as cmsghdr wants it.
pub type Control = [u64; CONTROL_WORDS];

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

/// Length, source and header of a message that was received.
pub type Message = (usize, Option<SocketAddr>, libc::msghdr);

/// Receives one message and its control messages.
///
/// # Errors
/// The system's; `WouldBlock` where there is none.
pub fn receive_message(
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
pub fn for_each_control(message: &libc::msghdr, mut take: impl FnMut(i32, i32, &[u8])) {
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
pub fn put<T: Copy>(control: &mut Control, used: usize, level: i32, kind: i32, value: T) -> usize {
    // SAFETY: no memory is touched: these are sums of constants.
    let (space, length) =
        unsafe { (libc::CMSG_SPACE(size_of::<T>() as u32) as usize, libc::CMSG_LEN(size_of::<T>() as u32)) };
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
pub fn read<T: Copy>(data: &[u8]) -> Option<T> {
    if data.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough, and every T used here is made of integers alone.
    Some(unsafe { data.as_ptr().cast::<T>().read_unaligned() })
}

/// The address a message was sent to, if this control message says it.
pub fn destination(level: i32, kind: i32, data: &[u8]) -> Option<IpAddr> {
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => read::<libc::in_pktinfo>(data)
            .map(|info| IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)))),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            read::<libc::in6_pktinfo>(data).map(|info| IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
        }
        _ => None,
    }
}

/// Puts the address to send from behind `used` bytes, if one is given; returns the bytes used now.
pub fn put_source(control: &mut Control, used: usize, source: Option<IpAddr>) -> usize {
    match source {
        Some(IpAddr::V4(source)) => {
            let source = libc::in_addr { s_addr: u32::from(source).to_be() };
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: any };
            put(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        Some(IpAddr::V6(source)) => {
            let ipi6_addr = libc::in6_addr { s6_addr: source.octets() };
            let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
            put(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
        None => used,
    }
}

/// Sends one message with the control messages in the first `used` bytes of `control`.
///
/// # Errors
/// The system's.
pub fn send_message(
    fd: RawFd,
    bytes: &[u8],
    to: &SocketAddr,
    control: &mut Control,
    used: usize,
    flags: i32,
) -> io::Result<()> {
    let to = SockAddr::from(*to);
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
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
    let sent = unsafe { libc::sendmsg(fd, &message, flags) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
