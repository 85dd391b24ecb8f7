//! The open socket pairs: found or opened for a session, polled, sent through, closed after the last one.

use std::net::IpAddr;

use mio::{Interest, Registry, Token};

use super::clock::{self, Clocks};
use super::guard::Guard;
use super::net::{self, Address, Endpoint, PairSpec};
use super::timestamp::{self, Received};
use crate::association::Port;
use crate::error::{Error, ErrorKind, Result};
use crate::time::{LocalTime, Span};

/// Names a pair while it is open.
pub type PairId = usize;

/// A refusal to send is told once, and again after this: a network that is down refuses every packet.
const TELL_AGAIN: Span = Span::from_millis(60_000);

/// The sockets of one set of ports and local address.
struct Pair {
    spec: PairSpec,
    ephemeral: bool,
    endpoints: Vec<Endpoint>,
    sessions: usize,
    guard: Guard,
    /// The kernel stamped the last message sent that needed it, whichever family's socket it left by.
    send_stamped: bool,
    told: Option<LocalTime>,
}

impl Pair {
    /// Whether a session that wants `wanted` is served here: other ports than asked for only if it allows them, and
    /// sockets handed over only if they are these, since numbers of descriptors are used again.
    fn serves(&self, wanted: &PairSpec, ephemeral: bool) -> bool {
        let numbers = |spec: &PairSpec| PairSpec { prebound: None, ..*spec };
        let sockets = match (self.spec.prebound, wanted.prebound) {
            (None, None) => ephemeral || !self.ephemeral,
            (Some(_), Some((event, general))) => self.endpoints.iter().all(|endpoint| match endpoint.port {
                Port::Event => endpoint.is_same(event),
                Port::General => endpoint.is_same(general),
            }),
            _ => false,
        };
        sockets && numbers(&self.spec) == numbers(wanted)
    }

    /// Whether a socket has died, or could not be made anew when it had. Sockets handed over are lost for good.
    fn is_dead(&self) -> bool {
        let missing = self.endpoints.is_empty() && self.spec.prebound.is_none();
        missing || self.endpoints.iter().any(|endpoint| !endpoint.lives())
    }

    /// Makes all sockets anew.
    fn reopen(&mut self, id: PairId, registry: &Registry) -> Result<()> {
        self.close(registry);
        self.endpoints = match self.spec.prebound {
            None => net::open(&self.spec, self.ephemeral)?,
            // By now their numbers may be a stranger's.
            Some(_) => {
                return Err(Error::new(ErrorKind::Network, "sockets handed over cannot be made anew."));
            }
        };
        self.guard.begin_anew();
        // Sockets that nothing polls are as good as none, and are tried again like those.
        self.register(id, registry).inspect_err(|_| self.let_go())
    }

    /// Closes all sockets.
    fn close(&mut self, registry: &Registry) {
        for endpoint in &mut self.endpoints {
            // Closing takes it out of the poll as well.
            let _ = registry.deregister(&mut endpoint.socket);
        }
        self.let_go();
    }

    /// Drops the sockets: closes those that still are ours, and only those.
    fn let_go(&mut self) {
        let dead = std::mem::take(&mut self.endpoints).into_iter().filter(|endpoint| !endpoint.lives());
        dead.for_each(Endpoint::forget);
    }

    fn register(&mut self, id: PairId, registry: &Registry) -> Result<()> {
        self.endpoints.truncate(TOKENS);
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            let token = Token(id * TOKENS + index + 1);
            registry.register(&mut endpoint.socket, token, Interest::READABLE).map_err(|error| Error {
                kind: ErrorKind::Network,
                os_error: error.raw_os_error().unwrap_or(0),
                message: format!("Could not poll a PTP socket: {error}."),
            })?;
        }
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// All open pairs.
#[derive(Default)]
pub struct Pairs(Vec<Option<Pair>>);

/// Sockets of one pair get consecutive tokens from `pair * TOKENS + 1` on: event and general, two families, and as
/// many again and more for the groups.
const TOKENS: usize = 16;

/// Names one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId {
    /// Its pair.
    pub pair: PairId,
    index: usize,
}

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// From and to which port.
    pub port: Port,
    /// To whom.
    pub to: Address,
    /// From which of this host's addresses, if that matters.
    pub source: Option<IpAddr>,
    /// What.
    pub bytes: &'a [u8],
    /// Whether its time of leaving is wanted exactly.
    pub tagged: bool,
}

/// What a session may want to know of its pair.
#[derive(Clone, Copy, Debug)]
pub struct PairStatus {
    /// Bound port for event messages.
    pub event_port: u16,
    /// Bound port for general messages.
    pub general_port: u16,
    /// These are not the ports asked for.
    pub ephemeral: bool,
    /// The kernel stamps what arrives.
    pub receive_stamps: bool,
    /// The kernel stamps what leaves.
    pub send_stamps: bool,
    /// Packets from addresses of no session.
    pub foreign: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
}

impl Pairs {
    /// The pair for `spec`: one that is open, the wildcard one included, or a new one.
    ///
    /// # Errors
    /// Those of [`net::open`].
    pub fn acquire(&mut self, spec: &PairSpec, ephemeral: bool, registry: &Registry) -> Result<PairId> {
        let wildcard = PairSpec { local: None, ..*spec };
        for wanted in [spec, &wildcard] {
            let open = self.0.iter_mut().enumerate().filter_map(|(id, pair)| Some((id, pair.as_mut()?)));
            let found = open.into_iter().find(|(_, pair)| pair.serves(wanted, ephemeral));
            if let Some((id, pair)) = found {
                pair.sessions += 1;
                return Ok(id);
            }
        }
        let endpoints = net::open(spec, ephemeral).map_err(|error| self.explain(error, spec))?;
        let id = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        let asked = |e: &Endpoint| match e.port {
            Port::Event => spec.event_port,
            Port::General => spec.general_port,
        };
        let replaced = endpoints.iter().any(|e| spec.prebound.is_none() && e.bound != asked(e));
        let mut pair = Pair {
            spec: *spec,
            ephemeral: replaced,
            endpoints,
            sessions: 1,
            guard: Guard::default(),
            send_stamped: false,
            told: None,
        };
        pair.register(id, registry)?;
        match self.0.get_mut(id) {
            Some(free) => *free = Some(pair),
            None => self.0.push(Some(pair)),
        }
        Ok(id)
    }

    /// Ports that another local address of this very process has are told apart from another program's.
    fn explain(&self, error: Error, spec: &PairSpec) -> Error {
        let ours = self.0.iter().flatten().find(|pair| {
            pair.spec.event_port == spec.event_port || pair.spec.general_port == spec.general_port
        });
        match ours {
            Some(pair) if error.kind == ErrorKind::AddressInUse && spec.local.is_none() => Error {
                message: format!(
                    "A session of this process has UDP {}/{} on a local_address: give this one a local_address too, \
                     or start the session without one first.",
                    pair.spec.event_port, pair.spec.general_port
                ),
                ..error
            },
            _ => error,
        }
    }

    /// Makes sockets anew that have died under us, of all pairs; tells whether there were any.
    pub fn revive(&mut self, registry: &Registry) -> bool {
        let mut revived = false;
        for (id, place) in self.0.iter_mut().enumerate() {
            let Some(pair) = place.as_mut().filter(|pair| pair.is_dead()) else { continue };
            // Said once, also if it has to be tried again and again.
            let first = !pair.endpoints.is_empty();
            match pair.reopen(id, registry) {
                Ok(()) => {
                    revived = true;
                    log::warn!("the PTP sockets were closed under the library; made anew");
                }
                Err(error) if first => log::error!("the PTP sockets were closed under the library: {error}"),
                Err(_) => {}
            }
        }
        revived
    }

    /// Whether sockets could not be made anew so far.
    pub fn is_wanting(&self) -> bool {
        self.0.iter().flatten().any(|pair| pair.endpoints.is_empty() && pair.spec.prebound.is_none())
    }

    /// An interface has come back under another index: sockets bound to a link-local address of it are made anew.
    pub fn move_scope(&mut self, from: u32, to: u32, registry: &Registry) {
        for (id, place) in self.0.iter_mut().enumerate() {
            let Some(pair) = place else { continue };
            if let Some(local) = pair.spec.local.as_mut().filter(|local| local.scope == from) {
                local.scope = to;
                // Sockets handed over are bound as their owner had it, and there are no others.
                if pair.spec.prebound.is_some() {
                    continue;
                }
                if let Err(error) = pair.reopen(id, registry) {
                    log::warn!("the PTP sockets on an interface that has come back: {error}");
                }
            }
        }
    }

    /// One session less; the last one closes the sockets.
    pub fn release(&mut self, id: PairId, registry: &Registry) {
        let Some(place) = self.0.get_mut(id) else { return };
        let Some(pair) = place else { return };
        pair.sessions = pair.sessions.saturating_sub(1);
        if pair.sessions == 0 {
            pair.close(registry);
            *place = None;
        }
    }

    /// Listens to multicast that comes by `way`; pairs of one local address did so when they were opened.
    pub fn join(&self, id: PairId, way: Address) {
        if let Some(pair) = self.pair(id).filter(|pair| pair.spec.local.is_none()) {
            net::join_by(&pair.endpoints, way);
        }
    }

    /// Listens again where a pair of one local address listens: its interface may have come back as another one.
    pub fn join_again(&self) {
        for pair in self.0.iter().flatten() {
            if let Some(local) = pair.spec.local {
                net::join_again(&pair.endpoints, local);
            }
        }
    }

    /// The socket a poll's token names.
    pub fn endpoint(&self, token: Token) -> Option<EndpointId> {
        let number = token.0.checked_sub(1)?;
        let id = EndpointId { pair: number / TOKENS, index: number % TOKENS };
        self.pair(id.pair)?.endpoints.get(id.index).map(|_| id)
    }

    /// Whether there may be more to read: reads one datagram.
    ///
    /// # Errors
    /// The system's; `WouldBlock` where there is none.
    pub fn receive(&self, id: EndpointId, buffer: &mut [u8]) -> std::io::Result<Received> {
        let endpoint = self.pair(id.pair).and_then(|pair| pair.endpoints.get(id.index));
        let endpoint = endpoint.ok_or(std::io::ErrorKind::WouldBlock)?;
        timestamp::receive(&endpoint.socket, buffer)
    }

    /// Whether a socket still is one.
    pub fn lives(&self, id: EndpointId) -> bool {
        self.pair(id.pair).and_then(|pair| pair.endpoints.get(id.index)).is_some_and(Endpoint::lives)
    }

    /// Counts a packet from an address of no session; tells whether it is one too many, and [`Pairs::keep_away`] wanted.
    pub fn count_foreign(&mut self, id: PairId, now: LocalTime) -> bool {
        let pair = self.0.get_mut(id).and_then(Option::as_mut);
        // A socket handed over is its owner's to filter, and so is one that carries two families.
        pair.is_some_and(|pair| pair.guard.count(now) && pair.spec.prebound.is_none())
    }

    /// Keeps away for a while what is not from a `known` address.
    pub fn keep_away(&mut self, id: PairId, known: &[IpAddr], now: LocalTime) {
        if let Some(pair) = self.0.get_mut(id).and_then(Option::as_mut) {
            pair.guard.raise(&pair.endpoints, known, now);
        }
    }

    /// Whether all but known addresses are kept away.
    pub fn keeps_away(&self, id: PairId) -> bool {
        self.pair(id).is_some_and(|pair| pair.guard.is_up())
    }

    /// The known addresses are these from now on.
    pub fn admit(&mut self, id: PairId, known: &[IpAddr]) {
        if let Some(pair) = self.0.get_mut(id).and_then(Option::as_mut) {
            pair.guard.admit(&pair.endpoints, known);
        }
    }

    /// Lets strangers come again where it is time, and asks the kernel what it dropped.
    pub fn tick(&mut self, now: LocalTime) {
        for pair in self.0.iter_mut().flatten() {
            pair.guard.tick(&mut pair.endpoints, now);
        }
    }

    /// Sends a datagram, and tells when it left: by the kernel's stamp if it is `tagged` and there is one, else the
    /// time before the send.
    ///
    /// # Errors
    /// The system's; it is told in the log, but not for every packet.
    pub fn send(&mut self, id: PairId, out: &Outgoing, clocks: &Clocks) -> std::io::Result<LocalTime> {
        let Outgoing { port, to, source, bytes, tagged } = *out;
        let pair = self.0.get_mut(id).and_then(Option::as_mut).ok_or(std::io::ErrorKind::NotConnected)?;
        let number = match port {
            Port::Event => pair.spec.event_port,
            Port::General => pair.spec.general_port,
        };
        let source = source.filter(|_| pair.spec.local.is_none() && pair.spec.prebound.is_none());
        let endpoint = pair.endpoints.iter_mut().find(|endpoint| endpoint.reaches(port, to.ip));
        let before = clock::monotonic();
        let sent = match endpoint {
            None => Err(std::io::ErrorKind::Unsupported.into()),
            // A stranger under its number is not to send this.
            Some(endpoint) if !endpoint.lives() => Err(std::io::ErrorKind::NotConnected.into()),
            Some(endpoint) => {
                let mut target = to.with_port(number);
                if let (IpAddr::V4(v4), true) = (to.ip, endpoint.ipv6) {
                    target.set_ip(v4.to_ipv6_mapped().into());
                }
                timestamp::send(&endpoint.socket, bytes, &target, source, tagged).map(|()| {
                    if !tagged {
                        return before;
                    }
                    // A stamp from before the send is another packet's.
                    let stamp = endpoint.stamps.take(&endpoint.socket, |stamp| {
                        clocks.stamp(stamp, clock::monotonic()).filter(|at| *at >= before)
                    });
                    pair.send_stamped = stamp.is_some();
                    stamp.unwrap_or(before)
                })
            }
        };
        if let Err(error) = &sent {
            if pair.told.is_none_or(|told| before.since(told) >= TELL_AGAIN) {
                pair.told = Some(before);
                log::warn!("sending to {} port {number} failed: {error}; it is tried again", to.ip);
            }
        }
        sent
    }

    /// What a session may want to know of its pair.
    pub fn status(&self, id: PairId) -> Option<PairStatus> {
        let pair = self.pair(id)?;
        let bound = |port| pair.endpoints.iter().find(|e| e.sends && e.port == port);
        Some(PairStatus {
            event_port: bound(Port::Event).map_or(0, |e| e.bound),
            general_port: bound(Port::General).map_or(0, |e| e.bound),
            ephemeral: pair.ephemeral,
            receive_stamps: pair.endpoints.iter().all(|e| e.stamped),
            send_stamps: pair.send_stamped,
            foreign: pair.guard.foreign,
            dropped: pair.guard.dropped,
        })
    }

    fn pair(&self, id: PairId) -> Option<&Pair> {
        self.0.get(id)?.as_ref()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    #[allow(clippy::disallowed_methods)] // Sockets of somebody else are what this test is about.
    fn sockets_handed_over_outlive_a_change_of_interface() {
        use std::os::fd::AsRawFd;
        let poll = mio::Poll::new().unwrap();
        let bind = || std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (event, general) = (bind(), bind());
        let spec = PairSpec {
            event_port: 319,
            general_port: 320,
            local: Some(Address { ip: "fe80::1".parse().unwrap(), scope: 7 }),
            prebound: Some((event.as_raw_fd().into(), general.as_raw_fd().into())),
        };
        let mut pairs = Pairs::default();
        let id = pairs.acquire(&spec, false, poll.registry()).unwrap();
        pairs.move_scope(7, 9, poll.registry());
        assert_eq!(pairs.status(id).unwrap().event_port, event.local_addr().unwrap().port());
        let moved = PairSpec { local: Some(Address { ip: "fe80::1".parse().unwrap(), scope: 9 }), ..spec };
        assert_eq!(pairs.acquire(&moved, false, poll.registry()).unwrap(), id);
    }
}
