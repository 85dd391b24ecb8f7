//! Who has a UDP port of this host, as Linux tells in /proc.
#![forbid(unsafe_code)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::Serialize;

/// A socket that has the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// What it is bound to.
    pub address: SocketAddr,
    /// The user it belongs to.
    pub uid: u32,
    /// The process, where this one may see it.
    pub pid: Option<u32>,
    /// The program's name, as the process has it.
    pub name: Option<String>,
}

impl Holder {
    /// Whether it has the port on one address of this host, not on all of them.
    pub fn has_one_address(&self) -> bool {
        !self.address.ip().is_unspecified()
    }

    /// Whether it keeps another socket from binding the port on `local`; `None`: on all addresses.
    pub fn is_in_the_way(&self, local: Option<IpAddr>) -> bool {
        local.is_none_or(|local| !self.has_one_address() || self.address.ip() == local)
    }

    /// In a few words.
    pub fn words(&self) -> String {
        match (&self.name, self.pid) {
            (Some(name), Some(pid)) => format!("{name} (pid {pid})"),
            (None, Some(pid)) => format!("pid {pid}"),
            _ => format!("a program of user {} that this user may not see", self.uid),
        }
    }
}

/// A socket of /proc/net/udp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// The sockets on `port`, of both address families.
pub fn of_port(root: &Path, port: u16) -> Vec<Holder> {
    let tables = ["proc/net/udp", "proc/net/udp6"]
        .map(|table| fs::read_to_string(root.join(table)).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines()).filter_map(row);
    let rows: Vec<Row> = rows.filter(|row| row.address.port() == port).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let owners = owners(root, &rows);
    let holder = |(row, pid): (&Row, Option<u32>)| Holder {
        address: row.address,
        uid: row.uid,
        pid,
        name: pid.and_then(|pid| name(root, pid)),
    };
    rows.iter().zip(owners).map(holder).collect()
}

/// A line of the table: "sl local remote state queues timer retransmits uid timeout inode ...".
fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    let uid = words.nth(5)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Row { address: SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?), uid, inode })
}

/// Addresses are printed as the numbers that their 32-bit words are in this machine's memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word =
        |index: usize| u32::from_str_radix(hex.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(index)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The process that has each socket open. Those of other users are seen by root only.
fn owners(root: &Path, rows: &[Row]) -> Vec<Option<u32>> {
    let mut owners = vec![None; rows.len()];
    let processes = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
            let Some(inode) = inode.and_then(|inode| inode.parse::<u64>().ok()) else { continue };
            for (row, owner) in rows.iter().zip(&mut owners) {
                if row.inode == inode && owner.is_none() {
                    *owner = Some(pid);
                }
            }
        }
    }
    owners
}

fn name(root: &Path, pid: u32) -> Option<String> {
    let name = fs::read_to_string(root.join(format!("proc/{pid}/comm"))).ok()?;
    // A process names itself as it likes.
    Some(name.trim().chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_on_another_address_is_not_in_the_way() {
        let on = |ip: &str| Holder {
            address: SocketAddr::new(ip.parse().unwrap(), 319),
            uid: 0,
            pid: None,
            name: None,
        };
        let local = Some("127.0.0.1".parse().unwrap());
        for (holder, of_one, of_all) in [
            ("127.0.0.2", false, true),
            ("127.0.0.1", true, true),
            ("0.0.0.0", true, true),
            ("::", true, true),
        ] {
            let holder = on(holder);
            assert_eq!(
                (holder.is_in_the_way(local), holder.is_in_the_way(None)),
                (of_one, of_all),
                "{holder:?}"
            );
        }
    }

    const LITTLE_ENDIAN: bool = cfg!(target_endian = "little");

    #[test]
    fn the_tables_of_linux_are_read() {
        if !LITTLE_ENDIAN {
            return;
        }
        let v4 = "  10: 0200007F:013F 00000000:0000 07 00000000:00000000 00:00000000 00000000   123        0 45678 2 0 0";
        let expected = Row { address: "127.0.0.2:319".parse().unwrap(), uid: 123, inode: 45_678 };
        assert_eq!(row(v4), Some(expected));
        let v6 = "  11: 000080FE00000000FF005450B6ED0DFE:0140 00000000000000000000000000000000:0000 07 \
                  00000000:00000000 00:00000000 00000000     0        0 7 2 0 0";
        assert_eq!(row(v6).unwrap().address, "[fe80::5054:ff:fe0d:edb6]:320".parse().unwrap());
        for wrong in [
            "",
            "  sl  local_address rem_address st",
            "1: 0200007:013F 0 0 0 0 0 0 0 0",
            "1: zz:1 0 0 0 0 0 0 0 0",
        ] {
            assert_eq!(row(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn who_cannot_be_seen_is_told_by_user() {
        let holder = Holder { address: "0.0.0.0:319".parse().unwrap(), uid: 7, pid: None, name: None };
        assert!(holder.words().contains("user 7"));
        let seen = Holder { pid: Some(12), name: Some("nqptp".into()), ..holder };
        assert_eq!(seen.words(), "nqptp (pid 12)");
    }
}
