//! The sockets: bound, joined to the PTP multicast groups, adopted from a privileged parent.
#![allow(clippy::disallowed_methods)] // The one room where sockets are made.

#[cfg(unix)]
#[path = "posix.rs"]
mod system;

#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub mod filter;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mio::net::UdpSocket;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::interface;
use super::timestamp::{self, SendStamps};
use crate::association::Port;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::bug;

/// The group of all PTP messages but the peer delay ones, IPv4 (IEEE 1588-2019, annex C).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

/// The same for IPv6, with global and with link-local scope (IEEE 1588-2019, annex D).
const GROUPS_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 0x181), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x181)];

/// Bytes of receive buffer asked for: a second of a thousand receivers' messages, with what the kernel counts on top.
const RECEIVE_BUFFER: usize = 4 << 20;

/// An address without a port, with the interface where the address needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address; never an IPv4 one in IPv6 clothes.
    pub ip: IpAddr,
    /// Interface index of a link-local IPv6 address; 0 else.
    pub scope: u32,
}

impl Address {
    /// Where a datagram came from.
    pub fn of(source: SocketAddr) -> Self {
        let ip = source.ip().to_canonical();
        let scope = match source {
            SocketAddr::V6(v6) if is_link_local(ip) => v6.scope_id(),
            _ => 0,
        };
        Self { ip, scope }
    }

    /// This address with a port.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, port),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, self.scope).into(),
        }
    }
}

/// Whether an address is only good together with an interface.
pub fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// What a pair of ports is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSpec {
    /// UDP port of event messages.
    pub event_port: u16,
    /// UDP port of general messages.
    pub general_port: u16,
    /// The one local address; `None`: all.
    pub local: Option<Address>,
    /// Descriptors of sockets that somebody else has bound: event and general.
    pub prebound: Option<(i64, i64)>,
}

impl PairSpec {
    fn port(&self, port: Port) -> u16 {
        match port {
            Port::Event => self.event_port,
            Port::General => self.general_port,
        }
    }
}

/// One socket.
#[derive(Debug)]
pub struct Endpoint {
    /// The socket, ready for polling.
    pub socket: UdpSocket,
    /// Which of the two ports.
    pub port: Port,
    /// IPv6, or else IPv4.
    pub ipv6: bool,
    /// An IPv6 socket that carries IPv4 as well (only one that was handed over).
    pub dual: bool,
    /// For sending; else it only listens to a multicast group.
    pub sends: bool,
    /// The kernel stamps what arrives.
    pub stamped: bool,
    /// Stamps of what was sent.
    pub stamps: SendStamps,
    /// The port it is bound to; 0 if the system does not say.
    pub bound: u16,
    /// What the kernel had dropped when it was last asked.
    pub dropped: u32,
}

impl Endpoint {
    fn new(socket: Socket, port: Port, ipv6: bool, sends: bool) -> Self {
        let stamped = timestamp::enable(&socket, ipv6);
        system::enlarge_buffer(&socket, RECEIVE_BUFFER);
        let dual = ipv6 && sends && matches!(socket.only_v6(), Ok(false));
        let socket = UdpSocket::from_std(socket.into());
        #[cfg(unix)]
        super::forks::opened(std::os::fd::AsRawFd::as_raw_fd(&socket));
        let bound = socket.local_addr().map_or(0, |address| address.port());
        Self { socket, port, ipv6, dual, sends, stamped, stamps: SendStamps::default(), bound, dropped: 0 }
    }

    /// Whether this socket can send to `to`.
    pub fn reaches(&self, port: Port, to: IpAddr) -> bool {
        self.sends && self.port == port && (self.ipv6 == to.is_ipv6() || self.dual)
    }

    /// Whether the socket still is the one that was bound: a host that closes descriptors it does not own closes ours
    /// too, and may have a socket of its own under the number next.
    pub fn lives(&self) -> bool {
        self.socket.local_addr().is_ok_and(|address| address.port() == self.bound)
    }

    /// Whether a descriptor of the caller's is this very socket.
    pub fn is_same(&self, descriptor: i64) -> bool {
        system::is_same(&self.socket, descriptor)
    }

    /// Lets go of a dead socket without closing its number, which may be somebody else's by now.
    pub fn forget(self) {
        if bug("strangers-closed") {
            return;
        }
        #[cfg(unix)]
        super::forks::closing(std::os::fd::AsRawFd::as_raw_fd(&self.socket));
        std::mem::forget(self);
    }
}

#[cfg(unix)]
impl Drop for Endpoint {
    fn drop(&mut self) {
        // Runs before the socket itself is dropped.
        super::forks::closing(std::os::fd::AsRawFd::as_raw_fd(&self.socket));
    }
}

/// Opens the sockets of a pair. With `ephemeral`, ports that cannot be had are replaced by any others.
///
/// # Errors
/// [`ErrorKind::Permission`], [`ErrorKind::AddressInUse`], [`ErrorKind::Network`], and for sockets handed over
/// [`ErrorKind::InvalidArgument`].
pub fn open(spec: &PairSpec, ephemeral: bool) -> Result<Vec<Endpoint>> {
    if let Some((event, general)) = spec.prebound {
        let endpoints = vec![adopt(event, Port::Event)?, adopt(general, Port::General)?];
        // Sockets on other ports may be behind a translation; each on the other's port is a mistake.
        let swapped = (spec.general_port, spec.event_port);
        if spec.event_port != spec.general_port && swapped == (endpoints[0].bound, endpoints[1].bound) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "event_socket is bound to port {}, general_socket to {}: swap them.",
                    swapped.0, swapped.1
                ),
            ));
        }
        return Ok(endpoints);
    }
    match bind_all(spec) {
        Err(error) if ephemeral && matches!(error.kind, ErrorKind::Permission | ErrorKind::AddressInUse) => {
            log::warn!("{error} Any other ports are used instead, as allowed: receivers talk to the fixed ones only.");
            bind_all(&PairSpec { event_port: 0, general_port: 0, ..*spec })
        }
        other => other,
    }
}

fn bind_all(spec: &PairSpec) -> Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    let (v4, v6) = match spec.local {
        Some(Address { ip: IpAddr::V4(_), .. }) => (spec.local, None),
        Some(address) => (None, Some(address)),
        None => (
            Some(Address { ip: Ipv4Addr::UNSPECIFIED.into(), scope: 0 }),
            Some(Address { ip: Ipv6Addr::UNSPECIFIED.into(), scope: 0 }),
        ),
    };
    for address in [v4, v6].into_iter().flatten() {
        for port in [Port::Event, Port::General] {
            let at = address.with_port(spec.port(port));
            match bind(at, false) {
                Ok(socket) => endpoints.push(Endpoint::new(socket, port, address.ip.is_ipv6(), true)),
                // A host without IPv6 is reached by IPv4 alone.
                Err(error) if spec.local.is_none() && address.ip.is_ipv6() && system::is_absent(&error) => {
                    log::debug!("no IPv6 on this host: {error}");
                }
                Err(error) => {
                    if bug("descriptor-leak") {
                        std::mem::forget(endpoints);
                    }
                    return Err(bind_error(at, port, &error));
                }
            }
        }
    }
    match spec.local {
        Some(local) if system::UNICAST_HEARS_GROUPS => join_by(&endpoints, local),
        Some(local) => endpoints.extend(group_endpoints(spec, local)),
        None => {}
    }
    Ok(endpoints)
}

/// Sockets of their own for the groups: one bound to a unicast address gets no multicast.
fn group_endpoints(spec: &PairSpec, local: Address) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    let groups: Vec<Address> = match local.ip {
        IpAddr::V4(_) => vec![Address { ip: GROUP_V4.into(), scope: 0 }],
        IpAddr::V6(_) => {
            let index = interface::index_of(local.ip).unwrap_or(local.scope);
            GROUPS_V6.iter().map(|group| Address { ip: (*group).into(), scope: index }).collect()
        }
    };
    for group in groups {
        for port in [Port::Event, Port::General] {
            let number = spec.port(port);
            if number == 0 {
                continue;
            }
            let joined = bind(group.with_port(number), true).and_then(|socket| {
                system::only_own_groups(&socket);
                join(&socket, group.ip, local.ip, group.scope)?;
                Ok(socket)
            });
            match joined {
                Ok(socket) => endpoints.push(Endpoint::new(socket, port, group.ip.is_ipv6(), false)),
                Err(error) => log::info!("multicast {} on {} is not heard: {error}", group.ip, local.ip),
            }
        }
    }
    endpoints
}

/// Joins the groups on the wildcard sockets of a pair, at the interface of `way`.
pub fn join_by(endpoints: &[Endpoint], way: Address) {
    let by_address = || if way.ip.is_ipv6() { interface::index_of(way.ip).unwrap_or(0) } else { 0 };
    let way = Address { scope: if way.scope == 0 { by_address() } else { way.scope }, ..way };
    let groups: &[IpAddr] = match way.ip {
        IpAddr::V4(_) => &[IpAddr::V4(GROUP_V4)],
        IpAddr::V6(_) => &[IpAddr::V6(GROUPS_V6[0]), IpAddr::V6(GROUPS_V6[1])],
    };
    for endpoint in endpoints.iter().filter(|e| e.sends && e.ipv6 == way.ip.is_ipv6()) {
        for group in groups {
            join_once_more(endpoint, *group, way);
        }
    }
}

/// Joins the groups again on the sockets that do nothing else, at the interface that has `local` now.
pub fn join_again(endpoints: &[Endpoint], local: Address) {
    let Some(index) = interface::index_of(local.ip) else { return };
    for endpoint in endpoints.iter().filter(|e| !e.sends) {
        if let Ok(group) = endpoint.socket.local_addr() {
            join_once_more(endpoint, group.ip(), Address { scope: index, ..local });
        }
    }
}

fn join_once_more(endpoint: &Endpoint, group: IpAddr, way: Address) {
    match join(&socket2::SockRef::from(&endpoint.socket), group, way.ip, way.scope) {
        Ok(()) => {}
        // Joined before.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        Err(error) => log::info!("multicast {group} at {} is not heard: {error}", way.ip),
    }
}

fn join(socket: &Socket, group: IpAddr, local: IpAddr, index: u32) -> io::Result<()> {
    match (group, local) {
        (IpAddr::V4(group), IpAddr::V4(local)) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Address(local))
        }
        (IpAddr::V6(group), _) => socket.join_multicast_v6(&group, index),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The local address packets to `receiver` leave from, with the interface that `receiver` names: asked of the routing
/// table by a socket that sends nothing. `None`: there is no way at present.
pub fn way_to(receiver: Address) -> Option<Address> {
    let to = receiver.with_port(9);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&to.into()).ok()?;
    let ip = socket.local_addr().ok()?.as_socket()?.ip();
    Some(Address { ip, ..receiver })
}

/// Whether there is a descriptor for asking the system for ways and interfaces.
pub fn can_ask() -> bool {
    let refused = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).err();
    bug("routes-forgotten") || !refused.is_some_and(|error| lacks_descriptors(&error))
}

/// Binds a socket. `shared` only for multicast groups: beside a running PTP program the bind of a unicast address must
/// fail, or both would get half of the packets.
fn bind(at: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_address(true)?;
    } else {
        system::claim(&socket)?;
    }
    socket.bind(&at.into())?;
    Ok(socket)
}

/// Works on a duplicate of a socket that somebody privileged has bound.
fn adopt(descriptor: i64, port: Port) -> Result<Endpoint> {
    let refuse = |why: String| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("The {} is no bound UDP socket: {why}.", socket_field(port)),
        )
    };
    let socket = system::duplicate(descriptor).map_err(refuse)?;
    if socket.r#type().ok() != Some(Type::DGRAM) {
        return Err(refuse("not a datagram socket".into()));
    }
    // On Linux each call says that it does not wait, and the caller's own descriptor stays as it is.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    socket.set_nonblocking(true).map_err(|error| refuse(error.to_string()))?;
    let address = socket.local_addr().map_err(|error| refuse(error.to_string()))?.as_socket();
    match address {
        Some(address) if address.port() != 0 => Ok(Endpoint::new(socket, port, address.is_ipv6(), true)),
        _ => Err(refuse("not bound to a port".into())),
    }
}

fn socket_field(port: Port) -> &'static str {
    match port {
        Port::Event => "event_socket",
        Port::General => "general_socket",
    }
}

fn bind_error(at: SocketAddr, port: Port, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => system::REFUSED_BIND,
        io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
        _ => ErrorKind::Network,
    };
    let messages = match port {
        Port::Event => "event",
        Port::General => "general",
    };
    // Kept short: the C interface has 255 bytes for all of it.
    let remedy = match kind {
        ErrorKind::Permission => {
            "Run as root, grant CAP_NET_BIND_SERVICE (setcap), lower net.ipv4.ip_unprivileged_port_start to 319, or \
             hand over bound sockets."
        }
        ErrorKind::AddressInUse => system::IN_USE_REMEDY,
        _ if lacks_descriptors(error) => "Raise the limit of open files, or close some.",
        _ => "Check that the address is one of this host's and that the network is up.",
    };
    Error {
        kind,
        os_error: error.raw_os_error().unwrap_or(0),
        message: format!("Could not bind UDP {at} ({messages}): {error}. {remedy}"),
    }
}

/// Whether this process or its host has no descriptors left.
#[cfg(unix)]
pub fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// No such limit is known here.
#[cfg(not(unix))]
pub fn lacks_descriptors(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(event_port: u16) -> PairSpec {
        let local = Some(Address { ip: Ipv4Addr::LOCALHOST.into(), scope: 0 });
        PairSpec { event_port, general_port: event_port + 1, local, prebound: None }
    }

    #[test]
    fn a_second_pair_on_the_same_ports_is_address_in_use() {
        let first = open(&loopback(42_319), false).unwrap();
        assert_eq!(first.iter().filter(|e| e.sends).count(), 2);
        let error = open(&loopback(42_319), false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AddressInUse);
        assert!(error.message.contains("127.0.0.1:42319") && error.message.contains("ptp4l"), "{error}");
        let elsewhere = open(&loopback(42_319), true).unwrap();
        assert!(elsewhere.iter().all(|e| e.bound != 0 && e.bound != 42_319));
        drop(first);
        assert!(open(&loopback(42_319), false).is_ok());
    }

    #[test]
    fn a_stranger_under_the_number_of_a_socket_is_no_life() {
        use std::os::fd::AsRawFd;
        let mut endpoints = open(&loopback(42_349), false).unwrap();
        assert!(endpoints.iter().all(Endpoint::lives));
        let stranger = bind((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let number = endpoints[0].socket.as_raw_fd();
        // SAFETY: both descriptors are open, and this test's own.
        assert_eq!(unsafe { libc::dup2(stranger.as_raw_fd(), number) }, number);
        assert!(!endpoints[0].lives() && endpoints[1].lives());
        endpoints.swap_remove(0).forget();
        // SAFETY: the copy made above, closed once.
        assert_eq!(unsafe { libc::close(number) }, 0);
    }

    #[test]
    fn the_way_to_a_host_is_by_the_interface_that_leads_there() {
        let v4 = Address { ip: Ipv4Addr::new(127, 0, 0, 2).into(), scope: 0 };
        assert_eq!(way_to(v4).map(|way| way.ip), Some(Ipv4Addr::LOCALHOST.into()));
        let v6 = Address { ip: Ipv6Addr::LOCALHOST.into(), scope: 0 };
        // A host without IPv6 has no way there.
        assert!(way_to(v6).is_none_or(|way| way == v6));
    }

    #[test]
    fn an_address_of_another_host_is_a_network_error() {
        let spec =
            PairSpec { local: Some(Address { ip: [192, 0, 2, 1].into(), scope: 0 }), ..loopback(42_329) };
        let error = open(&spec, false).unwrap_err();
        assert_eq!((error.kind, error.os_error), (ErrorKind::Network, libc::EADDRNOTAVAIL));
    }

    #[test]
    fn sockets_handed_over_are_checked_and_duplicated() {
        use std::os::fd::AsRawFd;
        let mine = bind((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let fd = i64::from(mine.as_raw_fd());
        let adopted = open(&PairSpec { prebound: Some((fd, fd)), ..loopback(42_339) }, false).unwrap();
        assert_ne!(i64::from(adopted[0].socket.as_raw_fd()), fd);
        let port = mine.local_addr().unwrap().as_socket().unwrap().port();
        assert_eq!(adopted[1].bound, port);
        for bad in [-1, 1 << 40, 999_999, 0] {
            let spec = PairSpec { prebound: Some((bad, fd)), ..loopback(42_339) };
            assert_eq!(open(&spec, false).unwrap_err().kind, ErrorKind::InvalidArgument, "{bad}");
        }
    }
}
