//! What a host asks for, and what that means: addresses read, defaults filled in, nonsense refused.

use std::net::{IpAddr, Ipv4Addr};

use crate::association::{self, RolePolicy, MAX_PEERS};
use crate::election::Advertisement;
use crate::engine::{self, Address, PairSpec, SessionSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Span;
use crate::wire::compose::{MAJOR_SDO_ID, PORT_NUMBER};
use crate::wire::{ClockIdentity, PortIdentity};

/// UDP port of PTP event messages (IEEE 1588-2019, annex C); receivers talk to no other.
pub const EVENT_PORT: u16 = 319;

/// UDP port of PTP general messages (IEEE 1588-2019, annex C); receivers talk to no other.
pub const GENERAL_PORT: u16 = 320;

/// clockClass of a clock that serves a time of its own, as iOS announces (field guide 2.4).
const PRIMARY_CLASS: u8 = 6;

/// Which clock the host's local times count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum LocalClock {
    /// Nanoseconds since the Unix epoch.
    #[default]
    Realtime = 0,
    /// The platform's audio clock: `CLOCK_MONOTONIC` on Linux and Android, `mach_absolute_time` in nanoseconds on
    /// Apple's systems, `QueryPerformanceCounter` in nanoseconds on Windows.
    Monotonic = 1,
}

/// How a session is to be. Zeros and `None` mean the defaults named at each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which part to play.
    pub role: RolePolicy,
    /// The clock local times count in.
    pub local_clock: LocalClock,
    /// priority1 we announce; 0: by role, 250 as a Mac does, or 128 as iOS does to lead.
    pub priority1: u8,
    /// priority2 we announce; 0: 128.
    pub priority2: u8,
    /// clockClass we announce; 0: by role, 248 or, to lead, 6. Accuracy, variance and time source go with it.
    pub clock_class: u8,
    /// domainNumber, sent and asked for.
    pub domain: u8,
    /// majorSdoId sent, 0 to 15; any is accepted.
    pub major_sdo_id: u8,
    /// Our clock identity; 0: derived from a hardware address, and the same for all sessions of the process.
    pub clock_id: u64,
    /// An address of this host to send from and receive on; `None`: any.
    pub local_address: Option<String>,
    /// UDP port of event messages, at both ends.
    pub event_port: u16,
    /// UDP port of general messages, at both ends.
    pub general_port: u16,
    /// If the ports cannot be had, use any others. Real receivers do not answer to those.
    pub allow_ephemeral_ports: bool,
    /// Descriptors of bound sockets for event and general messages, from somebody privileged. Duplicates are used.
    pub sockets: Option<(i64, i64)>,
    /// No Announce and no Sync in this many milliseconds makes us grandmaster under [`RolePolicy::Auto`].
    pub announce_timeout_ms: u32,
    /// Starting waits this many milliseconds for the role to be settled; 0: not at all.
    pub ready_timeout_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: RolePolicy::Auto,
            local_clock: LocalClock::Realtime,
            priority1: 0,
            priority2: 0,
            clock_class: 0,
            domain: 0,
            major_sdo_id: MAJOR_SDO_ID,
            clock_id: 0,
            local_address: None,
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
            allow_ephemeral_ports: false,
            sockets: None,
            // Field guide 5: how long the public sender of this flow waits.
            announce_timeout_ms: 3_000,
            ready_timeout_ms: 5_000,
        }
    }
}

impl Config {
    /// What the worker needs to know for a session with the receiver at `addresses`.
    pub(crate) fn resolve(&self, addresses: &str) -> Result<SessionSpec> {
        let invalid = |message: &str| Error::new(ErrorKind::InvalidArgument, message);
        if self.major_sdo_id > 15 {
            return Err(invalid("major_sdo_id is a number of four bits: 0 to 15."));
        }
        if self.event_port == 0 || self.general_port == 0 || self.event_port == self.general_port {
            return Err(invalid("event_port and general_port are two different ports, 1 to 65535."));
        }
        let peers = parse_receiver(addresses)?;
        let local =
            self.local_address.as_deref().map(|text| parse_address(text, "local_address")).transpose()?;
        if let Some(local) = local {
            if let Some(other) = peers.iter().find(|peer| peer.ip.is_ipv6() != local.ip.is_ipv6()) {
                return Err(Error::new(
                    ErrorKind::InvalidAddress,
                    format!(
                        "The receiver's address {} cannot be reached from local_address {}.",
                        other.ip, local.ip
                    ),
                ));
            }
        }
        let clock = match self.clock_id {
            0 => engine::process_clock_identity(local.map(|local| local.ip))?,
            id => ClockIdentity(id),
        };
        Ok(SessionSpec {
            pair: PairSpec {
                event_port: self.event_port,
                general_port: self.general_port,
                local,
                prebound: self.sockets,
            },
            ephemeral: self.allow_ephemeral_ports,
            wall: self.local_clock == LocalClock::Realtime,
            association: association::Config {
                policy: self.role,
                advertisement: self.advertisement(clock),
                identity: PortIdentity { clock, port: PORT_NUMBER },
                domain: self.domain,
                major_sdo_id: self.major_sdo_id,
                announce_timeout: Span::from_millis(i64::from(self.announce_timeout_ms)),
                // At most MAX_PEERS.
                peers: u8::try_from(peers.len()).unwrap_or(u8::MAX),
            },
            peers,
        })
    }

    fn advertisement(&self, clock: ClockIdentity) -> Advertisement {
        let leads = self.role == RolePolicy::Lead;
        let by_class = match self.clock_class {
            0 => leads,
            class => class == PRIMARY_CLASS,
        };
        let by_role = if leads { Advertisement::ios(clock) } else { Advertisement::mac(clock) };
        let mut ours = if by_class { Advertisement::ios(clock) } else { Advertisement::mac(clock) };
        let chosen = |given: u8, default: u8| if given == 0 { default } else { given };
        ours.dataset.priority1 = chosen(self.priority1, by_role.dataset.priority1);
        ours.dataset.priority2 = chosen(self.priority2, by_role.dataset.priority2);
        ours.dataset.quality.class = chosen(self.clock_class, ours.dataset.quality.class);
        ours
    }
}

fn parse_receiver(text: &str) -> Result<Vec<Address>> {
    let mut peers = Vec::new();
    for part in text.split(',') {
        let address = parse_address(part, "receiver")?;
        if !peers.contains(&address) {
            peers.push(address);
        }
        if peers.len() > MAX_PEERS {
            return Err(Error::new(
                ErrorKind::InvalidAddress,
                format!("One receiver has at most {MAX_PEERS} addresses; a session of its own is for each receiver."),
            ));
        }
    }
    Ok(peers)
}

fn parse_address(text: &str, field: &str) -> Result<Address> {
    let text = text.trim();
    let refuse =
        |why: &str| Error::new(ErrorKind::InvalidAddress, format!("The {field} address \"{text}\" {why}."));
    let (literal, scope) = match text.split_once('%') {
        Some((literal, scope)) => (literal, Some(scope)),
        None => (text, None),
    };
    let ip: IpAddr = literal
        .parse()
        .map_err(|_| refuse("is not an IPv4 or IPv6 literal; names are not looked up here"))?;
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(refuse("is not the address of one host"));
    }
    let scope = match scope {
        None if engine::is_link_local(ip) => {
            return Err(refuse("is link-local and needs its interface: %eth0, say"));
        }
        None => 0,
        Some(_) if ip.is_ipv4() => return Err(refuse("is IPv4, which takes no %interface")),
        Some(name) => engine::index_by_name(name).ok_or_else(|| refuse("names no interface of this host"))?,
    };
    // The kernel names the interface of link-local addresses only.
    Ok(Address { ip, scope: if engine::is_link_local(ip) { scope } else { 0 } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ErrorKind {
        Config::default().resolve(text).unwrap_err().kind
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let peers = |text: &str| Config::default().resolve(text).unwrap().peers;
        let v4 = Address { ip: [10, 0, 0, 7].into(), scope: 0 };
        assert_eq!(peers("10.0.0.7"), [v4]);
        assert_eq!(peers("::ffff:10.0.0.7"), [v4]);
        let lo = engine::index_by_name("lo").unwrap();
        let v6 = Address { ip: "fe80::7".parse().unwrap(), scope: lo };
        assert_eq!(peers(" 10.0.0.7, fe80::7%lo ,10.0.0.7"), [v4, v6]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            " ",
            "homepod.local",
            "10.0.0",
            "10.0.0.7:319",
            "[::1]",
            "10.0.0.7,",
            ",",
            "0.0.0.0",
            "::",
            "224.0.1.129",
            "ff02::1%lo",
            "255.255.255.255",
            "fe80::1",
            "fe80::1%nosuchinterface",
            "fe80::1%0",
            "10.0.0.7%lo",
            "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8,9.9.9.9",
            "\u{1F50A}",
        ] {
            assert_eq!(kind(text), ErrorKind::InvalidAddress, "{text:?}");
        }
        let config = Config { local_address: Some("::1".into()), ..Config::default() };
        assert_eq!(config.resolve("10.0.0.7").unwrap_err().kind, ErrorKind::InvalidAddress);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for config in [
            Config { major_sdo_id: 16, ..Config::default() },
            Config { event_port: 0, ..Config::default() },
            Config { general_port: 319, ..Config::default() },
        ] {
            assert_eq!(config.resolve("10.0.0.7").unwrap_err().kind, ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn data_sets_go_with_role_and_class() {
        let set = |config: Config| {
            let ours = config.resolve("10.0.0.7").unwrap().association.advertisement;
            let d = ours.dataset;
            (
                d.priority1,
                d.quality.class,
                d.quality.accuracy,
                d.quality.variance,
                d.priority2,
                ours.time_source,
            )
        };
        let auto = Config::default();
        assert_eq!(set(auto.clone()), (250, 248, 0xfe, 0xffff, 128, 0xa0));
        let lead = Config { role: RolePolicy::Lead, ..auto.clone() };
        assert_eq!(set(lead.clone()), (128, 6, 0x21, 0x436a, 128, 0x20));
        assert_eq!(set(Config { clock_class: 6, ..auto.clone() }), (250, 6, 0x21, 0x436a, 128, 0x20));
        assert_eq!(
            set(Config { clock_class: 248, priority1: 246, ..lead }),
            (246, 248, 0xfe, 0xffff, 128, 0xa0)
        );
        assert_eq!(set(Config { clock_class: 13, priority2: 1, ..auto }), (250, 13, 0xfe, 0xffff, 1, 0xa0));
    }
}
