//! What this host allows: ports, privileges, firewall, the way to the receiver.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ptpbmca::Config;
use ptpbmca_sim::edge;
use serde::Serialize;

use super::holders::{self, Holder};

/// CAP_NET_BIND_SERVICE: its bit in CapEff (linux/capability.h).
const NET_BIND_SERVICE: u32 = 10;

/// A program whose presence means rules, and what to look at.
const FIREWALLD: (&str, &str) =
    ("firewalld", "firewalld runs: firewall-cmd --list-all; firewall-cmd --add-port=319-320/udp lets PTP in");

/// What was found out about this host.
#[derive(Debug, Serialize)]
pub struct Host {
    /// Event and general port.
    pub ports: [Port; 2],
    /// Whether this process may bind ports below 1024; `None` where that cannot be told.
    pub may_bind_privileged: Option<bool>,
    /// The first port that needs no privilege; `None` where that cannot be told.
    pub unprivileged_port_start: Option<u16>,
    /// Signs of a firewall, with what to look at. They say nothing about its rules.
    pub firewall: Vec<String>,
    /// The way to each address of the receiver.
    pub routes: Vec<Route>,
}

/// One port.
#[derive(Debug, Serialize)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Whether it can be bound.
    pub state: PortState,
    /// The system's words where it cannot.
    pub error: Option<String>,
    /// Who has it.
    pub holders: Vec<Holder>,
}

/// Whether a port can be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// It can.
    Free,
    /// Another socket has it.
    Held,
    /// It needs a privilege.
    Forbidden,
    /// Something else.
    Failed,
}

/// The way to an address.
#[derive(Debug, Serialize)]
pub struct Route {
    /// The address.
    pub to: String,
    /// The address of this host that packets leave from.
    pub from: Option<IpAddr>,
    /// The system's words where there is no way.
    pub error: Option<String>,
}

impl Host {
    /// Looks; `root` is where /proc and /etc are. Sends nothing.
    pub fn examine(root: &Path, receiver: &str, config: &Config) -> Self {
        let local = config.local_address.as_deref().and_then(|local| edge::host(local).ok());
        let ports = [config.event_port, config.general_port].map(|number| {
            let (state, error) = match local {
                Some(local) => bind(&[local.with_port(number)]),
                None => {
                    bind(&[(Ipv4Addr::UNSPECIFIED, number).into(), (Ipv6Addr::UNSPECIFIED, number).into()])
                }
            };
            let mut holders = holders::of_port(root, number);
            holders.retain(|holder| holder.is_in_the_way(local.map(|local| local.ip)));
            Port { number, state, error, holders }
        });
        let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
        let start = fs::read_to_string(root.join("proc/sys/net/ipv4/ip_unprivileged_port_start"));
        Self {
            ports,
            may_bind_privileged: may_bind(&status),
            unprivileged_port_start: start.ok().and_then(|start| start.trim().parse().ok()),
            firewall: firewall(root),
            routes: receiver.split(',').map(|to| route(to.trim(), local)).collect(),
        }
    }

    /// What was found, a line each.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        for (name, port) in ["ports", ""].into_iter().zip(&self.ports) {
            writeln!(out, "{name:<12}{}", port.words())?;
        }
        let may = match self.may_bind_privileged {
            Some(true) => "CAP_NET_BIND_SERVICE is there",
            Some(false) => "CAP_NET_BIND_SERVICE is not there",
            None => "cannot be told on this system",
        };
        let start = self.unprivileged_port_start.map(|start| format!("; ports from {start} on need none"));
        writeln!(out, "privileges  {may}{}", start.unwrap_or_default())?;
        if self.firewall.is_empty() {
            writeln!(out, "firewall    no sign of one (rules are not looked at)")?;
        }
        for (index, hint) in self.firewall.iter().enumerate() {
            writeln!(out, "{:<12}{hint}", if index == 0 { "firewall" } else { "" })?;
        }
        for (index, route) in self.routes.iter().enumerate() {
            let name = if index == 0 { "route" } else { "" };
            match (&route.from, &route.error) {
                (Some(from), _) => writeln!(out, "{name:<12}to {} from {from}", route.to)?,
                (None, error) => {
                    writeln!(out, "{name:<12}to {}: {}", route.to, error.as_deref().unwrap_or("none"))?;
                }
            }
        }
        Ok(())
    }
}

impl Port {
    fn words(&self) -> String {
        let state = match (self.state, &self.error) {
            (PortState::Free, _) => "free".to_string(),
            (PortState::Held, _) => "held".to_string(),
            (PortState::Forbidden, _) => "needs a privilege".to_string(),
            (PortState::Failed, error) => error.clone().unwrap_or_default(),
        };
        // Who has the port at another address stands in nobody's way.
        let in_the_way = self.holders.iter().filter(|_| self.state != PortState::Free);
        let holders: Vec<_> =
            in_the_way.map(|holder| format!("{} has {}", holder.words(), holder.address)).collect();
        let holders = if holders.is_empty() { String::new() } else { format!("; {}", holders.join(", ")) };
        format!("UDP {} {state}{holders}", self.number)
    }
}

/// Whether a port can be bound at all of these addresses. Nothing is kept.
fn bind(addresses: &[SocketAddr]) -> (PortState, Option<String>) {
    for &address in addresses {
        let Err(error) = edge::bind(address) else { continue };
        let state = match error.kind() {
            io::ErrorKind::AddrInUse => PortState::Held,
            io::ErrorKind::PermissionDenied => PortState::Forbidden,
            // A host without IPv6 is none the worse.
            _ if address.ip() == Ipv6Addr::UNSPECIFIED => continue,
            _ => PortState::Failed,
        };
        return (state, Some(error.to_string()));
    }
    (PortState::Free, None)
}

/// Whether /proc/self/status names the capability among the effective ones.
fn may_bind(status: &str) -> Option<bool> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(effective >> NET_BIND_SERVICE & 1 == 1)
}

/// The way to an address: a connected UDP socket knows it without a packet.
fn route(to: &str, local: Option<ptpbmca_sim::Host>) -> Route {
    let way = || -> Result<IpAddr, String> {
        let receiver = edge::host(to)?;
        let any: IpAddr = match receiver.ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = edge::bind(local.unwrap_or(any.into()).with_port(0)).map_err(|e| e.to_string())?;
        socket.connect(receiver.with_port(ptpbmca::EVENT_PORT)).map_err(|e| e.to_string())?;
        socket.local_addr().map(|from| from.ip()).map_err(|e| e.to_string())
    };
    match way() {
        Ok(from) => Route { to: to.to_string(), from: Some(from), error: None },
        Err(error) => Route { to: to.to_string(), from: None, error: Some(error) },
    }
}

/// Signs of a firewall that anybody may see.
fn firewall(root: &Path) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut hints = Vec::new();
    if read("etc/ufw/ufw.conf").lines().any(|line| line.trim() == "ENABLED=yes") {
        hints.push("ufw is enabled: ufw status; ufw allow 319:320/udp lets PTP in".to_string());
    }
    let processes = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let names: Vec<String> =
        processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok()).collect();
    let (program, hint) = FIREWALLD;
    if names.iter().any(|name| name.trim() == program) {
        hints.push(hint.to_string());
    }
    // "nf_tables 278528 5 nft_compat,... Live 0x0": the third word counts users, a table being one.
    let modules = read("proc/modules");
    let used = |module: &str| {
        let line = modules.lines().find(|line| line.split_whitespace().next() == Some(module));
        line.and_then(|line| line.split_whitespace().nth(2)).is_some_and(|users| users != "0")
    };
    if used("nf_tables") {
        hints.push(
            "nftables is loaded: nft list ruleset (as root) shows whether UDP 319 and 320 may come in"
                .to_string(),
        );
    }
    if used("ip_tables") || !read("proc/net/ip_tables_names").trim().is_empty() {
        hints.push(
            "iptables is loaded: iptables -S (as root) shows whether UDP 319 and 320 may come in".to_string(),
        );
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_one_bit_of_a_number() {
        assert_eq!(may_bind("Name:\tx\nCapEff:\t0000000000000400\n"), Some(true));
        assert_eq!(may_bind("CapEff:\t000001fffffffbff\n"), Some(false));
        assert_eq!(may_bind("Name:\tx\n"), None);
    }

    #[test]
    fn the_way_to_a_neighbour_is_known_and_to_nonsense_is_not() {
        assert_eq!(route("127.0.0.2", None).from, Some(IpAddr::from([127, 0, 0, 1])));
        let there = route("speaker.local", None);
        assert!(there.from.is_none() && there.error.is_some());
    }

    #[test]
    fn signs_of_a_firewall_are_read_from_files() {
        let root = std::env::temp_dir().join(format!("ptpbmca-firewall-{}", std::process::id()));
        fs::create_dir_all(root.join("proc/12")).unwrap();
        fs::create_dir_all(root.join("etc/ufw")).unwrap();
        assert!(firewall(&root).is_empty());
        fs::write(root.join("etc/ufw/ufw.conf"), "# x\nENABLED=yes\n").unwrap();
        fs::write(root.join("proc/12/comm"), "firewalld\n").unwrap();
        fs::write(root.join("proc/modules"), "nf_tables 1 5 - Live 0x0\nip_tables 1 0 - Live 0x0\n").unwrap();
        let hints = firewall(&root);
        fs::remove_dir_all(&root).unwrap();
        let starts: Vec<_> = hints.iter().filter_map(|hint| hint.split(' ').next()).collect();
        assert_eq!(starts, ["ufw", "firewalld", "nftables"]);
    }
}
