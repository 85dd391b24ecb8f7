//! What Windows tells of its network adapters.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use windows_sys::core::PWSTR;
use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, ERROR_SUCCESS};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetAdaptersAddresses, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER, GAA_FLAG_SKIP_MULTICAST,
    IF_TYPE_SOFTWARE_LOOPBACK, IP_ADAPTER_ADDRESSES_LH,
};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, AF_UNSPEC, SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6,
};

use super::{Address, Entry};

/// Bytes offered at first; the documentation's advice is 15 kB. In words, since the list wants their alignment.
const WORDS: usize = 2_048;

/// The list may grow between two calls, but not for ever.
const TRIES: usize = 4;

/// An adapter's name is not longer than this, in UTF-16 units (netioapi.h, IF_MAX_STRING_SIZE).
const MAX_NAME: usize = 256;

/// Every address of every adapter; none if the system does not tell.
///
/// # Errors
/// None: elsewhere asking takes a descriptor.
#[allow(clippy::unnecessary_wraps)]
pub fn entries() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for_each_adapter(|adapter| {
        let (v4, v6) = indexes(adapter);
        let loopback = adapter.IfType == IF_TYPE_SOFTWARE_LOOPBACK;
        if let (6, [a, b, c, d, e, f, ..]) = (adapter.PhysicalAddressLength, adapter.PhysicalAddress) {
            let address = Address::Hardware([a, b, c, d, e, f]);
            entries.push(Entry { index: v4, loopback, address });
            if v6 != v4 {
                entries.push(Entry { index: v6, loopback, address });
            }
        }
        let mut current = adapter.FirstUnicastAddress;
        while !current.is_null() {
            // SAFETY: an element of the list that belongs to the adapter.
            let item = unsafe { &*current };
            current = item.Next;
            // SAFETY: the system's socket address, whole, of the family that it names, or null.
            if let Some(ip) = unsafe { address(item.Address.lpSockaddr) } {
                let index = if ip.is_ipv6() { v6 } else { v4 };
                entries.push(Entry { index, loopback, address: Address::Ip(ip) });
            }
        }
    });
    Ok(entries)
}

/// The index of the adapter that people call `name`, such as "Wi-Fi".
pub fn index_of_name(name: &str) -> Option<u32> {
    let mut found = None;
    for_each_adapter(|adapter| {
        // SAFETY: the adapter's name, a string that ends with a zero, or null.
        if unsafe { text(adapter.FriendlyName) }.as_deref() == Some(name) {
            let (v4, v6) = indexes(adapter);
            found = Some(if v6 == 0 { v4 } else { v6 });
        }
    });
    found
}

/// What people call the adapter with this index.
pub fn name_of(index: u32) -> Option<String> {
    let mut found = None;
    for_each_adapter(|adapter| {
        let (v4, v6) = indexes(adapter);
        if index != 0 && (index == v4 || index == v6) {
            // SAFETY: the adapter's name, a string that ends with a zero, or null.
            found = unsafe { text(adapter.FriendlyName) };
        }
    });
    found
}

/// The adapter's indexes for IPv4 and IPv6; 0 where it does not speak one.
fn indexes(adapter: &IP_ADAPTER_ADDRESSES_LH) -> (u32, u32) {
    // SAFETY: the other member of the union is an integer over the same bytes.
    (unsafe { adapter.Anonymous1.Anonymous.IfIndex }, adapter.Ipv6IfIndex)
}

fn for_each_adapter(mut take: impl FnMut(&IP_ADAPTER_ADDRESSES_LH)) {
    let flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    let mut list: Vec<u64> = vec![0; WORDS];
    for _ in 0..TRIES {
        let mut size = (list.len() * 8) as u32;
        let place = list.as_mut_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
        // SAFETY: a live buffer of the size given with it, aligned as its elements are.
        let done = unsafe {
            GetAdaptersAddresses(u32::from(AF_UNSPEC), flags, std::ptr::null(), place, &raw mut size)
        };
        match done {
            ERROR_SUCCESS => {
                let mut current = place.cast_const();
                while !current.is_null() {
                    // SAFETY: an element of the list that the call has made in the buffer.
                    let adapter = unsafe { &*current };
                    take(adapter);
                    current = adapter.Next;
                }
                return;
            }
            ERROR_BUFFER_OVERFLOW => list.resize((size as usize).div_ceil(8), 0),
            // No adapter at all, too.
            _ => return,
        }
    }
}

/// The IP address behind a pointer of the system's list.
///
/// # Safety
/// `pointer` is null or to a whole socket address of the family that it names.
unsafe fn address(pointer: *const SOCKADDR) -> Option<IpAddr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: every socket address begins with its family.
    let family = unsafe { (*pointer).sa_family };
    if family == AF_INET {
        // SAFETY: the family says that it is one; the other members of the union are integers over the same bytes.
        let ip = unsafe { pointer.cast::<SOCKADDR_IN>().read_unaligned().sin_addr.S_un.S_addr };
        return Some(Ipv4Addr::from(u32::from_be(ip)).into());
    }
    if family == AF_INET6 {
        // SAFETY: as for IPv4.
        let ip = unsafe { pointer.cast::<SOCKADDR_IN6>().read_unaligned().sin6_addr.u.Byte };
        return Some(Ipv6Addr::from(ip).into());
    }
    None
}

/// A name of the system's list.
///
/// # Safety
/// `pointer` is null or to a string that ends with a zero.
unsafe fn text(pointer: PWSTR) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: nothing behind the zero is read.
    let units = (0..MAX_NAME).map(|at| unsafe { *pointer.add(at) }).take_while(|unit| *unit != 0);
    String::from_utf16(&units.collect::<Vec<u16>>()).ok()
}
