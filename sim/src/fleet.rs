//! Receivers on real sockets, any number of them on one thread.
#![forbid(unsafe_code)]

use crate::behaviour::Core;
use crate::clock::Segment;
use crate::config::{Command, Config, Host};
use crate::counters::Counters;
use crate::edge;
use crate::hear::Arrival;
use crate::line::Line;
use crate::peer::Pair;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Wakes the thread for a command.
const WAKE: Token = Token(usize::MAX);
/// Datagrams read from one socket before the others have their turn.
const READ_BATCH: usize = 32;
/// Packets one receiver sends before the others have their turn.
const SEND_BATCH: usize = 256;
/// Longer datagrams are cut off; none of PTP is.
const BUFFER_LEN: usize = 1024;
/// From this many receivers on, more files than a process usually may have are needed.
const LARGE_FLEET: usize = 200;

/// Is given each line of each receiver, with the receiver's place in the fleet.
pub type Sink = Box<dyn FnMut(usize, &Line) + Send>;

/// Receivers that run on one thread, until this is dropped.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cores: Vec<Mutex<Core>>,
    waker: Waker,
    stop: AtomicBool,
}

impl Shared {
    fn core(&self, index: usize) -> MutexGuard<'_, Core> {
        // A test thread that panicked with the lock held has changed nothing by halves.
        self.cores[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// Binds all sockets, gives the first line of each receiver to `sink`, and starts the thread.
    ///
    /// # Errors
    /// What the system says when a socket cannot be bound, with the address.
    pub fn spawn(configs: Vec<Config>, mut sink: Sink) -> io::Result<Self> {
        if configs.len() >= LARGE_FLEET {
            edge::raise_file_limit();
        }
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut sockets = Vec::new();
        for (receiver, config) in configs.iter().enumerate() {
            for (via, address) in config.addresses.iter().enumerate() {
                for (event, port) in [(true, config.event_port), (false, config.general_port)] {
                    let address = address.with_port(port);
                    let failed = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
                    let mut socket = edge::bind(address).map_err(failed)?;
                    poll.registry().register(&mut socket, Token(sockets.len()), Interest::READABLE)?;
                    sockets.push(Place { receiver, via, event, socket: Some(socket) });
                }
            }
        }
        let now = edge::monotonic_ns();
        let cores: Vec<_> = configs.into_iter().map(|config| Mutex::new(Core::new(config, now))).collect();
        let shared = Arc::new(Shared { cores, waker, stop: AtomicBool::new(false) });
        for index in 0..shared.cores.len() {
            let mut core = shared.core(index);
            while let Some(line) = core.next_line() {
                sink(index, &line);
            }
        }
        let runner = Runner::new(Arc::clone(&shared), sockets, sink);
        let thread = std::thread::Builder::new().name("receivers".into()).spawn(move || runner.run(poll))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How many receivers there are.
    pub fn len(&self) -> usize {
        self.shared.cores.len()
    }

    /// Whether there is no receiver.
    pub fn is_empty(&self) -> bool {
        self.shared.cores.is_empty()
    }

    /// What the clock of receiver `index` read at this time of the host's monotonic clock; both in nanoseconds.
    ///
    /// # Panics
    /// This and all calls with an index: where there is no such receiver.
    pub fn truth_at(&self, index: usize, monotonic_ns: i64) -> u64 {
        self.shared.core(index).truth_at(monotonic_ns)
    }

    /// How the clock of receiver `index` runs now.
    pub fn segment(&self, index: usize) -> Segment {
        self.shared.core(index).segment()
    }

    /// clockIdentity of receiver `index`.
    pub fn identity(&self, index: usize) -> u64 {
        self.shared.core(index).identity()
    }

    /// What receiver `index` counted.
    pub fn counters(&self, index: usize) -> Counters {
        self.shared.core(index).counters()
    }

    /// Whom receiver `index` knows.
    pub fn senders(&self, index: usize) -> Vec<Host> {
        self.shared.core(index).senders()
    }

    /// The last Sync pairs receiver `index` measured of a sender, the oldest first.
    pub fn pairs(&self, index: usize, sender: Host) -> Vec<Pair> {
        self.shared.core(index).pairs(sender)
    }

    /// When the first Sync pair of receiver `index`'s last session had left, by the monotonic clock, in nanoseconds.
    pub fn first_pair_at(&self, index: usize) -> Option<i64> {
        self.shared.core(index).first_pair_at()
    }

    /// Whether receiver `index` serves its clock now.
    pub fn is_serving(&self, index: usize) -> bool {
        self.shared.core(index).is_serving()
    }

    /// Does `command` to receiver `index`; it is done when this returns.
    pub fn command(&self, index: usize, command: Command) {
        self.shared.core(index).apply(command, edge::monotonic_ns());
        // Without the wake-up it would be seen at the next packet.
        let _ = self.shared.waker.wake();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let _ = self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One receiver on its own thread.
#[derive(Debug)]
pub struct Receiver;

impl Receiver {
    /// Binds the sockets and starts; runs until the handle is dropped.
    ///
    /// # Errors
    /// What the system says when a socket cannot be bound.
    pub fn spawn(config: Config) -> io::Result<Handle> {
        Fleet::spawn(vec![config], Box::new(|_, _| {})).map(Handle)
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Handle(Fleet);

impl Handle {
    /// What its clock read at this time of the host's monotonic clock; both in nanoseconds.
    pub fn truth_at(&self, monotonic_ns: i64) -> u64 {
        self.0.truth_at(0, monotonic_ns)
    }

    /// How its clock runs now.
    pub fn segment(&self) -> Segment {
        self.0.segment(0)
    }

    /// Its clockIdentity.
    pub fn identity(&self) -> u64 {
        self.0.identity(0)
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        self.0.counters(0)
    }

    /// The last Sync pairs it measured of a sender, the oldest first.
    pub fn pairs(&self, sender: Host) -> Vec<Pair> {
        self.0.pairs(0, sender)
    }

    /// When the first Sync pair of its last session had left, by the monotonic clock, in nanoseconds.
    pub fn first_pair_at(&self) -> Option<i64> {
        self.0.first_pair_at(0)
    }

    /// Whether it serves its clock now.
    pub fn is_serving(&self) -> bool {
        self.0.is_serving(0)
    }

    /// Does `command`; it is done when this returns.
    pub fn command(&self, command: Command) {
        self.0.command(0, command);
    }
}

/// A socket and whose it is.
struct Place {
    receiver: usize,
    via: usize,
    event: bool,
    /// `None` once the receiver has died.
    socket: Option<UdpSocket>,
}

struct Runner {
    shared: Arc<Shared>,
    sockets: Vec<Place>,
    /// Where the sockets of each receiver begin in `sockets`: two for each of its addresses, event first.
    first: Vec<usize>,
    sink: Sink,
    /// When receivers have something to do, and which of these entries is in force for each.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    due: Vec<Option<i64>>,
    /// Sockets that may hold more datagrams.
    readable: Vec<usize>,
    /// Receivers to be looked at.
    touched: Vec<usize>,
}

impl Runner {
    fn new(shared: Arc<Shared>, sockets: Vec<Place>, sink: Sink) -> Self {
        let count = shared.cores.len();
        let first = (0..count)
            .map(|receiver| sockets.iter().position(|place| place.receiver == receiver).unwrap_or(usize::MAX))
            .collect();
        let touched = (0..count).collect();
        let due = vec![None; count];
        Self { shared, sockets, first, sink, queue: BinaryHeap::new(), due, readable: Vec::new(), touched }
    }

    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(1024);
        loop {
            self.look_after_touched();
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            match poll.poll(&mut events, self.patience()) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            for event in &events {
                if event.token() == WAKE {
                    self.touched.extend(0..self.due.len());
                } else {
                    self.readable.push(event.token().0);
                }
            }
            self.read();
            let now = edge::monotonic_ns();
            while let Some(&Reverse((at, receiver))) = self.queue.peek().filter(|entry| entry.0 .0 <= now) {
                self.queue.pop();
                if self.due[receiver] == Some(at) {
                    self.due[receiver] = None;
                    self.touched.push(receiver);
                }
            }
        }
    }

    /// How long nothing is to be done.
    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let Reverse((at, _)) = self.queue.peek()?;
        let left = at.saturating_sub(edge::monotonic_ns());
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
    }

    fn read(&mut self) {
        self.readable.sort_unstable();
        self.readable.dedup();
        let mut buffer = [0; BUFFER_LEN];
        let Self { shared, sockets, touched, .. } = self;
        self.readable.retain(|&index| {
            let place = &sockets[index];
            let Some(socket) = &place.socket else { return false };
            touched.push(place.receiver);
            for _ in 0..READ_BATCH {
                match edge::receive(socket, &mut buffer) {
                    Ok((length, from, at_ns)) => {
                        let from = Host::from(from);
                        let arrival = Arrival { from, via: place.via, event: place.event, at_ns };
                        let bytes = buffer.get(..length).unwrap_or_default();
                        shared.core(place.receiver).receive(bytes, arrival, edge::monotonic_ns());
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                    // Any other error is of one datagram; the next may be well.
                    Err(_) => {}
                }
            }
            true
        });
    }

    fn look_after_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for &receiver in &touched {
            self.look_after(receiver);
        }
        touched.clear();
        // Keeps its room; what was touched meanwhile is kept too.
        touched.append(&mut self.touched);
        self.touched = touched;
    }

    fn look_after(&mut self, receiver: usize) {
        let mut core = self.shared.core(receiver);
        let first = self.first[receiver];
        for _ in 0..SEND_BATCH {
            // The clock is read before each packet: a Sync is stamped with this reading.
            let Some(transmit) = core.poll_transmit(edge::monotonic_ns()) else { break };
            let (port, offset) = if transmit.event { (core.ports().0, 0) } else { (core.ports().1, 1) };
            let place = self.sockets.get(first + 2 * transmit.via + offset);
            let Some(socket) = place.and_then(|place| place.socket.as_ref()) else { continue };
            if socket.send_to(&transmit.bytes, transmit.to.with_port(port)).is_err() {
                core.send_failed();
            }
        }
        while let Some(line) = core.next_line() {
            (self.sink)(receiver, &line);
        }
        if core.is_dead() {
            let own = self.sockets.iter_mut().filter(|place| place.receiver == receiver);
            own.for_each(|place| place.socket = None);
        }
        let deadline = core.deadline();
        if let Some(at) = deadline.filter(|_| deadline != self.due[receiver]) {
            self.queue.push(Reverse((at, receiver)));
        }
        self.due[receiver] = deadline;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Composer;
    use ptpbmca::time::PtpTime;
    use ptpbmca::wire::{decode, encode, Body, ClockIdentity, Message};
    use std::net::IpAddr;

    /// Waits for a datagram that `wanted` accepts, 5 s at most, and gives what it made of it.
    fn next<T>(socket: &UdpSocket, mut wanted: impl FnMut(Message, i64) -> Option<T>) -> T {
        let end = edge::monotonic_ns() + 5_000_000_000;
        let mut buffer = [0; BUFFER_LEN];
        while edge::monotonic_ns() < end {
            if let Ok((length, from, at)) = edge::receive(socket, &mut buffer) {
                // The same port at both ends.
                assert_eq!(from.port(), socket.local_addr().unwrap().port());
                let message = decode(&buffer[..length]).unwrap();
                if let Some(found) = wanted(message, at) {
                    return found;
                }
            }
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("nothing came in 5 s");
    }

    #[test]
    fn a_sender_on_loopback_is_served_and_answered() {
        // Ports nobody has: bound at the sender's address first, then the same at the receiver's.
        let sender_ip = IpAddr::from([127, 77, 0, 1]);
        let event = edge::bind((sender_ip, 0).into()).unwrap();
        let general = edge::bind((sender_ip, 0).into()).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let address = Host::from(IpAddr::from([127, 77, 0, 2]));
        let receiver = Receiver::spawn(Config {
            addresses: vec![address],
            event_port: port(&event),
            general_port: port(&general),
            skew_ppb: 50_000,
            ..Config::default()
        })
        .unwrap();

        let composer = Composer { identity: ClockIdentity(0xfe6b_3a00_f840_0008), priority1: 250 };
        let hello = encode(&composer.announce(0, composer.identity));
        general.send_to(&hello, address.with_port(port(&general))).unwrap();
        let announced = next(&general, |message, _| match message.body {
            Body::Announce(announce) => Some(announce.dataset),
            _ => None,
        });
        assert_eq!((announced.grandmaster.0, announced.priority1), (receiver.identity(), 248));

        let (id, arrived) = next(&event, |message, at| {
            matches!(message.body, Body::Sync { .. }).then_some((message.header.sequence_id, at))
        });
        let left = next(&general, |message, _| match message.body {
            Body::FollowUp { precise_origin, .. } if message.header.sequence_id == id => {
                PtpTime::from_wire(precise_origin, &[message.header.correction])
            }
            _ => None,
        });
        // It left before it arrived, and not long before.
        let truth = receiver.truth_at(arrived);
        assert!(left.nanos() <= truth + 1000, "left {} after {truth}", left.nanos());
        assert!(left.nanos() + 1_000_000_000 > truth);

        let before = receiver.truth_at(edge::monotonic_ns());
        event.send_to(&encode(&composer.delay_req(4321)), address.with_port(port(&event))).unwrap();
        let received = next(&general, |message, _| match message.body {
            Body::DelayResp { receive, requesting } if message.header.sequence_id == 4321 => {
                assert_eq!(requesting, composer.port());
                PtpTime::from_wire(receive, &[message.header.correction])
            }
            _ => None,
        });
        let after = receiver.truth_at(edge::monotonic_ns());
        // The kernel's stamp is converted between clocks: a microsecond's grace.
        assert!((before - 1000..=after).contains(&received.nanos()), "{before} {received:?} {after}");

        receiver.command(Command::Restart { uptime_ns: 3_000_000_000, silence_ns: 0 });
        assert_eq!(receiver.segment().epoch, 1);
        assert!(receiver.truth_at(edge::monotonic_ns()) < 1_000_000_000_000);
        assert!(receiver.first_pair_at().is_some_and(|at| at <= arrived + 5_000_000_000));
        let counters = receiver.counters();
        assert!(counters.sync_sent >= 1 && counters.delay_resp_sent == 1 && counters.send_failed == 0);
    }

    #[test]
    fn one_receiver_follows_a_better_one() {
        let [better, worse] = [11, 12].map(|last| Host::from(IpAddr::from([127, 77, 0, last])));
        // Ports that were free a moment ago at both addresses.
        let probes = [0, 0].map(|port| edge::bind(better.with_port(port)).unwrap());
        let [event_port, general_port] = probes.each_ref().map(|probe| probe.local_addr().unwrap().port());
        drop(probes);
        let config = |address, peer, priority1| Config {
            addresses: vec![address],
            peers: vec![peer],
            event_port,
            general_port,
            priority1,
            delay_resp: crate::config::DelayResp::Plain,
            ..Config::default()
        };
        let configs = vec![config(better, worse, 128), config(worse, better, 248)];
        let fleet = Fleet::spawn(configs, Box::new(|_, _| {})).unwrap();
        let end = edge::monotonic_ns() + 5_000_000_000;
        let measured = |fleet: &Fleet| {
            let pairs = fleet.pairs(1, better);
            pairs.into_iter().find_map(|pair| Some((pair.arrival_ns, pair.origin_ns, pair.path_delay_ns?)))
        };
        while measured(&fleet).is_none() && edge::monotonic_ns() < end {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let (arrival_ns, origin_ns, _) = measured(&fleet).unwrap();
        // The Sync left before it came; a microsecond's grace for the kernel's stamp.
        assert!(origin_ns <= fleet.truth_at(0, arrival_ns) + 1000);
        assert!(fleet.is_serving(0) && !fleet.is_serving(1));
        assert_eq!(fleet.counters(0).announce_refused + fleet.counters(1).sync_sent, 0);
    }

    #[test]
    fn an_address_in_use_is_an_error_with_the_address() {
        let address = IpAddr::from([127, 77, 0, 3]);
        let taken = edge::bind((address, 0).into()).unwrap();
        let event_port = taken.local_addr().unwrap().port();
        let config = Config { addresses: vec![address.into()], event_port, ..Config::default() };
        let error = Receiver::spawn(config).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("127.77.0.3"), "{error}");
    }
}
