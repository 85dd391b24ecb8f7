//! The clock identity of this process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;

use super::{interface, refused};
use crate::error::Result;
use crate::wire::ClockIdentity;

/// The identity of all sessions that set none of their own: a hardware address of this host as Apple derives it (field
/// guide 2.1c), of the interface with `local` if the first session names it; random where there is no hardware.
///
/// # Errors
/// [`ErrorKind::Network`](crate::error::ErrorKind::Network) if there is no descriptor left to ask for it: the identity of a
/// process is not to be random because of the moment when its first session starts.
pub fn process_clock_identity(local: Option<IpAddr>) -> Result<ClockIdentity> {
    static IDENTITY: OnceLock<ClockIdentity> = OnceLock::new();
    if let Some(identity) = IDENTITY.get() {
        return Ok(*identity);
    }
    let address =
        interface::hardware_address(local).map_err(|error| refused("its interfaces' addresses", &error))?;
    Ok(*IDENTITY.get_or_init(|| ClockIdentity::from_mac(address.unwrap_or_else(random_address))))
}

/// A random hardware address, marked as one that no manufacturer gave.
fn random_address() -> [u8; 6] {
    // The standard library seeds its hashers from the system's random numbers.
    let [a, b, c, d, e, f, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    [a & 0xfc | 0x02, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_stays_and_ends_as_apples_do() {
        let first = process_clock_identity(None).unwrap();
        assert_eq!(first.0 & 0xffff, 0x0008);
        assert_ne!(first.0, 0x0008);
        assert_eq!(process_clock_identity(Some(IpAddr::from([127, 0, 0, 1]))).unwrap(), first);
    }

    #[test]
    fn random_addresses_are_local_and_single() {
        let address = random_address();
        assert_eq!(address[0] & 0x03, 0x02);
        assert_ne!(address, random_address());
    }
}
