//! What a simulated receiver is, how it behaves, and what may be done to it while it runs.
#![forbid(unsafe_code)]

use crate::link::Impairments;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// priority1 of a HomePod (field guide 2.4).
pub const HOMEPOD_PRIORITY1: u8 = 248;

/// Uptime of a captured HomePod, in seconds (field guide 5).
pub const HOMEPOD_UPTIME_S: u64 = 127_677;

/// Least and greatest correction of captured Follow_Ups, in nanoseconds: 0.49 to 110.27 ms (field guide 3.3).
pub const HOMEPOD_CORRECTION_NS: (i64, i64) = (500_000, 110_000_000);

/// The latest a captured Delay_Resp came, in nanoseconds: 101 ms (field guide 3.2).
pub const HOMEPOD_DELAY_RESP_LATENCY_NS: i64 = 101_000_000;

/// Nanoseconds between two Syncs of a HomePod (field guide 3.1).
pub const SYNC_INTERVAL_NS: i64 = 125_000_000;

/// An address without a port. Peers are told apart by it, never by port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// The address.
    pub ip: IpAddr,
    /// Index of the interface of a link-local IPv6 address; 0 else.
    pub scope: u32,
}

impl Host {
    /// This address with a port.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.scope)),
        }
    }

    /// A clockIdentity as Apple makes it, MAC + 0x0008 (field guide 2.1c), from a locally administered MAC with the
    /// last four bytes of the address in it.
    pub fn identity(self) -> u64 {
        let last = match self.ip {
            IpAddr::V4(ip) => u32::from(ip),
            IpAddr::V6(ip) => (u128::from(ip) & u128::from(u32::MAX)) as u32,
        };
        (0x0214 << 48) | (u64::from(last) << 16) | 0x0008
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: 0 }
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self { ip: address.ip(), scope }
    }
}

/// When the receiver serves its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serving {
    /// While its data set is the best it hears of: a HomePod before OS 27, a Sonos.
    #[default]
    WhenBest,
    /// Always, whatever it hears.
    Always,
    /// While the sender sends neither Announce nor Sync; else one Announce in 20 s: a standalone HomePod of OS 27.
    WhenSilent,
    /// Never; wakes a sender with two Announces: nqptp.
    WakeUp,
}

/// How often it announces itself while it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announcing {
    /// Every 250 ms.
    #[default]
    Steadily,
    /// Three at 250 ms, then one in 20 s (field guide 3.1).
    Thinning,
    /// Never.
    Never,
}

/// What a Delay_Resp says (field guide 2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DelayResp {
    /// receiveTimestamp + correction = T4: Apple.
    #[default]
    Plus,
    /// receiveTimestamp - correction = T4: IEEE 1588.
    Minus,
    /// receiveTimestamp = T4, correction 0.
    Plain,
    /// receiveTimestamp = T4, correction = time from receipt to response: AVNU.
    TruthPlusCorrection,
    /// No answer.
    Never,
}

/// Something that happens to a running receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It boots: the clock falls to `uptime_ns`, sequence ids start again, it is silent for `silence_ns` and then serves
    /// the same peers under the same identity.
    Restart {
        /// What the clock reads at the fall, in nanoseconds.
        uptime_ns: u64,
        /// How long it says and hears nothing, in nanoseconds.
        silence_ns: i64,
    },
    /// It says and hears nothing for so many nanoseconds.
    Silence {
        /// How long, in nanoseconds.
        for_ns: i64,
    },
    /// It tells another clock's time from now on.
    Grandmaster {
        /// clockIdentity of that clock.
        identity: u64,
        /// Phase of the new clock minus the old one, in nanoseconds.
        step_ns: i64,
        /// Rate of the new clock, in parts per billion; `None`: as before.
        skew_ppb: Option<i64>,
    },
    /// Its phase moves, nothing else changes.
    Step {
        /// New phase minus old, in nanoseconds.
        step_ns: i64,
    },
    /// It is gone, sockets closed, for good.
    Die,
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses it binds, one clock behind them. The first of a peer's family is the one spoken from.
    pub addresses: Vec<Host>,
    /// Port of event messages, at both ends.
    pub event_port: u16,
    /// Port of general messages, at both ends.
    pub general_port: u16,
    /// clockIdentity; 0: made from the first address.
    pub identity: u64,
    /// What its clock reads at the start, in nanoseconds.
    pub uptime_ns: u64,
    /// How much faster than the host's clock it runs, in parts per billion.
    pub skew_ppb: i64,
    /// Who is served from the start on, as SETPEERS names them.
    pub peers: Vec<Host>,
    /// Serve nobody else; else also whoever is heard.
    pub only_peers: bool,
    /// Serving begins so many nanoseconds late: sets the members of a fleet apart, which else beat as one.
    pub phase_ns: i64,
    /// When it serves.
    pub serving: Serving,
    /// How often it announces itself.
    pub announcing: Announcing,
    /// Sends no Sync.
    pub never_sync: bool,
    /// Nanoseconds from one Sync to the next. The messages go on saying that it is 125 ms.
    pub sync_interval_ns: i64,
    /// priority1 it announces.
    pub priority1: u8,
    /// Least and greatest correction of a Follow_Up, in nanoseconds above 0; small ones are more frequent.
    pub correction_ns: (i64, i64),
    /// What a Delay_Resp says.
    pub delay_resp: DelayResp,
    /// A Delay_Resp leaves 0 to this many nanoseconds after the request came.
    pub delay_resp_latency_ns: i64,
    /// What the link does to packets it sends.
    pub outgoing: Impairments,
    /// What the link does to packets it gets.
    pub incoming: Impairments,
    /// Seed of all randomness.
    pub seed: u64,
    /// What happens when, in nanoseconds after the start.
    pub script: Vec<(i64, Command)>,
    /// How many of the last Sync pairs of a sender are kept to be looked at.
    pub kept_pairs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: vec![Host::from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))],
            // Field guide 2.0.
            event_port: 319,
            general_port: 320,
            identity: 0,
            uptime_ns: HOMEPOD_UPTIME_S * 1_000_000_000,
            skew_ppb: 0,
            peers: Vec::new(),
            only_peers: false,
            phase_ns: 0,
            serving: Serving::default(),
            announcing: Announcing::default(),
            never_sync: false,
            sync_interval_ns: SYNC_INTERVAL_NS,
            priority1: HOMEPOD_PRIORITY1,
            correction_ns: HOMEPOD_CORRECTION_NS,
            delay_resp: DelayResp::default(),
            delay_resp_latency_ns: 0,
            outgoing: Impairments::default(),
            incoming: Impairments::default(),
            seed: 1,
            script: Vec::new(),
            kept_pairs: 1024,
        }
    }
}

impl Config {
    /// One at 127.0.0.2 with these ports, which serves 127.0.0.1 from the start on: what most tests want.
    pub fn on_loopback((event_port, general_port): (u16, u16)) -> Self {
        let peers = vec![Host::from(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        Self { event_port, general_port, peers, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_apple_style_and_differ_by_address() {
        let a = Host::from(IpAddr::from([127, 0, 0, 2])).identity();
        assert_eq!(a, 0x0214_7f00_0002_0008);
        assert_ne!(a, Host::from(IpAddr::from([127, 1, 0, 2])).identity());
    }

    #[test]
    fn a_scope_survives_the_way_to_a_socket_address() {
        let host = Host { ip: "fe80::1".parse().unwrap(), scope: 7 };
        assert_eq!(Host::from(host.with_port(319)), host);
        assert_eq!(host.with_port(319).port(), 319);
    }
}
