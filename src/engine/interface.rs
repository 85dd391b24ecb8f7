//! This host's network interfaces: which one has an address, and what its hardware address is.

use std::net::IpAddr;

/// One address of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    index: u32,
    loopback: bool,
    address: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    Ip(IpAddr),
    Hardware([u8; 6]),
}

/// The index of the interface that has `address`.
pub fn index_of(address: IpAddr) -> Option<u32> {
    entries().into_iter().find(|entry| entry.address == Address::Ip(address)).map(|entry| entry.index)
}

/// The index of the interface called `name`, or of the number it is.
pub fn index_by_name(name: &str) -> Option<u32> {
    #[cfg(unix)]
    {
        let name = std::ffi::CString::new(name).ok()?;
        // SAFETY: a live string that ends with a zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let number = || name.to_str().ok()?.parse().ok().filter(|number| name_of(*number).is_some());
        (index != 0).then_some(index).or_else(number)
    }
    #[cfg(not(unix))]
    {
        name.parse().ok()
    }
}

/// The name of the interface with this index.
pub fn name_of(index: u32) -> Option<String> {
    #[cfg(unix)]
    {
        let mut name: [libc::c_char; libc::IF_NAMESIZE] = [0; libc::IF_NAMESIZE];
        // SAFETY: as many bytes as a name may have, for the call to fill; it gives null or a string that ends with a zero.
        let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
        if found.is_null() {
            return None;
        }
        // SAFETY: the call has filled the name.
        unsafe { std::ffi::CStr::from_ptr(found) }.to_str().ok().map(str::to_owned)
    }
    #[cfg(not(unix))]
    {
        let _ = index;
        None
    }
}

/// The hardware address of the interface that has `address`, or else of the first one that has any.
pub fn hardware_address(address: Option<IpAddr>) -> Option<[u8; 6]> {
    let entries = entries();
    let preferred = address.and_then(|wanted| {
        entries.iter().find(|entry| entry.address == Address::Ip(wanted)).map(|entry| entry.index)
    });
    let of = |index: Option<u32>| {
        entries.iter().find_map(|entry| match entry.address {
            Address::Hardware(mac)
                if !entry.loopback && mac != [0; 6] && index.is_none_or(|i| i == entry.index) =>
            {
                Some(mac)
            }
            _ => None,
        })
    };
    preferred.and_then(|index| of(Some(index))).or_else(|| of(None))
}

#[cfg(unix)]
fn entries() -> Vec<Entry> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: a live pointer for the call to fill.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
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
    entries
}

/// The address behind a pointer of the system's list.
///
/// # Safety
/// `pointer` is to a whole socket address of the family that it names.
#[cfg(unix)]
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
        #[cfg(any(target_os = "macos", target_os = "ios"))]
        libc::AF_LINK => {
            // SAFETY: the family says that it is one.
            let link = unsafe { pointer.cast::<libc::sockaddr_dl>().read_unaligned() };
            // The interface's name comes first; "en0" and its like leave room for the address within the struct.
            let start = usize::from(link.sdl_nlen);
            let mac = link.sdl_data.get(start..start + 6).filter(|_| link.sdl_alen == 6)?;
            let mut bytes = [0; 6];
            bytes.iter_mut().zip(mac).for_each(|(to, from)| *to = *from as u8);
            Some(Address::Hardware(bytes))
        }
        _ => None,
    }
}

#[cfg(not(unix))]
fn entries() -> Vec<Entry> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_address_and_by_name() {
        let index = index_of(IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!(index_by_name("lo"), Some(index));
        assert_eq!(index_by_name(&index.to_string()), Some(index));
        assert_eq!(name_of(index).as_deref(), Some("lo"));
        assert_eq!(name_of(u32::MAX), None);
        assert_eq!(index_by_name("no such interface"), None);
        assert_eq!(index_by_name("0"), None);
        assert_eq!(index_by_name(&u32::MAX.to_string()), None);
        assert_eq!(index_of(IpAddr::from([192, 0, 2, 1])), None);
    }

    #[test]
    fn loopback_has_no_hardware_address_of_its_own() {
        assert_eq!(hardware_address(Some(IpAddr::from([127, 0, 0, 1]))), hardware_address(None));
    }
}
