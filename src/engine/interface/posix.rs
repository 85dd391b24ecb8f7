//! What POSIX systems tell of their network interfaces.

use std::io;
use std::net::IpAddr;

use super::{Address, Entry};

/// iOS gives this for every interface of every device: an identity made of it would be no identity.
#[cfg(target_vendor = "apple")]
const WITHHELD: [u8; 6] = [0x02, 0, 0, 0, 0, 0];

/// The index of the interface called `name`.
pub fn index_of_name(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a live string that ends with a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// The name of the interface with this index.
pub fn name_of(index: u32) -> Option<String> {
    let mut name: [libc::c_char; libc::IF_NAMESIZE] = [0; libc::IF_NAMESIZE];
    // SAFETY: as many bytes as a name may have, for the call to fill; it gives null or a string that ends with a zero.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the call has filled the name.
    unsafe { std::ffi::CStr::from_ptr(found) }.to_str().ok().map(str::to_owned)
}

/// Every address of every interface.
///
/// # Errors
/// The system's.
pub fn entries() -> io::Result<Vec<Entry>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: a live pointer for the call to fill.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut entries = Vec::new();
    let mut current = list;
    while !current.is_null() {
        // SAFETY: an element of the list that getifaddrs made, not yet freed.
        let item = unsafe { &*current };
        current = item.ifa_next;
        if item.ifa_addr.is_null() || item.ifa_name.is_null() {
            continue;
        }
        // SAFETY: the name is a string that ends with a zero, part of the same list.
        let index = unsafe { libc::if_nametoindex(item.ifa_name) };
        // SAFETY: the address is not null, and part of the same list.
        if let Some(address) = unsafe { address(item.ifa_addr) } {
            let loopback = item.ifa_flags & libc::IFF_LOOPBACK as u32 != 0;
            entries.push(Entry { index, loopback, address });
        }
    }
    // SAFETY: the list that getifaddrs made, freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(entries)
}

/// The address behind a pointer of the system's list.
///
/// # Safety
/// `pointer` is to a whole socket address of the family that it names.
unsafe fn address(pointer: *const libc::sockaddr) -> Option<Address> {
    // SAFETY: every socket address begins with its family.
    let family = i32::from(unsafe { (*pointer).sa_family });
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that it is one.
            let v4 = unsafe { pointer.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Address::Ip(IpAddr::V4(u32::from_be(v4.sin_addr.s_addr).into())))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one.
            let v6 = unsafe { pointer.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Address::Ip(IpAddr::V6(v6.sin6_addr.s6_addr.into())))
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        libc::AF_PACKET => {
            // SAFETY: the family says that it is one.
            let link = unsafe { pointer.cast::<libc::sockaddr_ll>().read_unaligned() };
            let [a, b, c, d, e, f, ..] = link.sll_addr;
            (link.sll_halen == 6).then_some(Address::Hardware([a, b, c, d, e, f]))
        }
        #[cfg(target_vendor = "apple")]
        libc::AF_LINK => {
            // SAFETY: the family says that it is one.
            let link = unsafe { pointer.cast::<libc::sockaddr_dl>().read_unaligned() };
            let at = std::mem::offset_of!(libc::sockaddr_dl, sdl_data) + usize::from(link.sdl_nlen);
            // The declared data is short; how long the whole really is, its first byte says.
            if link.sdl_alen != 6 || at + 6 > usize::from(link.sdl_len) {
                return None;
            }
            // SAFETY: the address follows the name, and both lie within the length just checked.
            let mac = unsafe { pointer.cast::<u8>().add(at).cast::<[u8; 6]>().read_unaligned() };
            (mac != WITHHELD).then_some(Address::Hardware(mac))
        }
        _ => None,
    }
}
