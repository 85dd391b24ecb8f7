//! This host's network interfaces: which one has an address, and what its hardware address is.

#[cfg(unix)]
#[path = "posix.rs"]
mod system;

#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use system::name_of;

use std::io;
use std::net::IpAddr;

use super::net::lacks_descriptors;
use system::entries;

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
    entries().ok()?.into_iter().find(|entry| entry.address == Address::Ip(address)).map(|entry| entry.index)
}

/// The index of the interface called `name`, or of the number it is.
pub fn index_by_name(name: &str) -> Option<u32> {
    let number = || name.parse().ok().filter(|number| name_of(*number).is_some());
    system::index_of_name(name).or_else(number)
}

/// The hardware address of the interface that has `address`, or else of the first one that has any. `None`
/// also where the system does not tell: some sandboxes do not.
///
/// # Errors
/// There is no descriptor to ask the system by.
pub fn hardware_address(address: Option<IpAddr>) -> io::Result<Option<[u8; 6]>> {
    let entries = match entries() {
        Err(error) if lacks_descriptors(&error) => return Err(error),
        other => other.unwrap_or_default(),
    };
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
    Ok(preferred.and_then(|index| of(Some(index))).or_else(|| of(None)))
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
        let of = |address| hardware_address(address).unwrap();
        assert_eq!(of(Some(IpAddr::from([127, 0, 0, 1]))), of(None));
    }
}
