//! Who speaks: the identities of clocks and of their ports.
#![forbid(unsafe_code)]

use std::fmt;

/// What Apple appends to a MAC address to make a clock identity (field guide 2.1c).
const APPLE_IDENTITY_TAIL: [u8; 2] = [0x00, 0x08];

/// A clock's eight bytes (IEEE 1588-2019, 7.5.2.2), ordered as the standard compares them: unsigned, first byte first.
///
/// Displayed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClockIdentity(pub u64);

/// A port of a clock (IEEE 1588-2019, 7.5.2), ordered by clock, then by port number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PortIdentity {
    /// The clock.
    pub clock: ClockIdentity,
    /// Its port, 0 to 65535; Apple counts from 0x8000 (field guide 2.1d).
    pub port: u16,
}

impl ClockIdentity {
    /// The identity Apple's devices make of a MAC address: its six bytes, then 0x0008 (field guide 2.1c).
    pub const fn from_mac(mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        let [y, z] = APPLE_IDENTITY_TAIL;
        Self(u64::from_be_bytes([a, b, c, d, e, f, y, z]))
    }
}

impl fmt::Display for ClockIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl PortIdentity {
    /// Every port of every clock: ten times 0xFF (IEEE 1588-2019, 13.12).
    pub const ALL: Self = Self { clock: ClockIdentity(u64::MAX), port: u16::MAX };

    /// Ten zero bytes, which Apple's Signaling carries as its target (field guide 2.5).
    pub const ZERO: Self = Self { clock: ClockIdentity(0), port: 0 };
}

impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04x}", self.clock, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_becomes_apples_identity() {
        // Field guide 2.1c: the HomePod's identity.
        let identity = ClockIdentity::from_mac([0x14, 0x14, 0x7d, 0xe8, 0x54, 0x98]);
        assert_eq!(identity.to_string(), "14147de854980008");
        assert_eq!(ClockIdentity(0x0f).to_string(), "000000000000000f");
    }

    #[test]
    fn identities_order_by_clock_then_port() {
        let at = |clock, port| PortIdentity { clock: ClockIdentity(clock), port };
        assert!(at(1, 9) < at(2, 1));
        assert!(at(2, 1) < at(2, 2));
        // Unsigned: a first byte of 0xFE is above one of 0x14.
        assert!(at(0x14 << 56, 0) < at(0xfe << 56, 0));
        assert_eq!(at(0x14, 0x8005).to_string(), "0000000000000014-8005");
    }
}
