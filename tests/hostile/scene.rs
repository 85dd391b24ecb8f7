//! Where the attacks take place: a simulated receiver that is followed, an address that is led, somebody who listens in.

use std::ffi::{c_char, c_void, CStr};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ptpbmca::association::{Counters, Refusal, RolePolicy};
use ptpbmca::timeline::SyncState;
use ptpbmca::wire::MessageType;
use ptpbmca::{Config, LocalClock, Session};
use ptpbmca_sim::{Handle, Receiver};

use crate::attacks::{delay_req, Knowledge};
use crate::flood::Packet;

/// Far longer than anything here takes.
pub const LIVENESS: Duration = Duration::from_secs(30);

pub const OURS: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub const RECEIVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const LED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// A receiver that comes while strangers are kept away.
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
/// Another peer of the receiver's: hears what we hear.
const LISTENER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// A receiver that is let in locks within a second; one that is not never does.
const LET_IN: Duration = Duration::from_secs(5);

/// Packets of the receiver that are kept for the replays: half a minute's.
const RECORDED: usize = 1_000;

/// A look at the clock this often.
const SAMPLE: Duration = Duration::from_millis(4);

/// Lines that the library's log had, of this process.
static LOG_LINES: AtomicU64 = AtomicU64::new(0);

/// How many there were until now.
pub fn log_lines() -> u64 {
    LOG_LINES.load(Ordering::Relaxed)
}

extern "C" {
    fn ptpbmca_set_log_callback(
        callback: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_char)>,
        user_data: *mut c_void,
        max_level: u32,
    ) -> i32;
}

unsafe extern "C" fn count_line(_: *mut c_void, level: u32, message: *const c_char) {
    LOG_LINES.fetch_add(1, Ordering::Relaxed);
    if std::env::var_os("HOSTILE_LOG").is_some() {
        // SAFETY: the library gives a string that ends in zero and lives through the call.
        println!("log {level}: {}", unsafe { CStr::from_ptr(message) }.to_string_lossy());
    }
}

/// Has the library's log counted, all of it, as a host in C would.
pub fn count_log_lines() {
    // SAFETY: a function with the signature that is asked for, and no data.
    assert_eq!(unsafe { ptpbmca_set_log_callback(Some(count_line), std::ptr::null_mut(), 5) }, 0);
}

pub struct Scene {
    pub receiver: Handle,
    pub session: Session,
    /// We lead there; its Syncs show whether the worker keeps its deadlines.
    leading: Session,
    led: Listener,
    listener: Listener,
    pub ports: (u16, u16),
    config: Config,
    _handed_over: Option<[UdpSocket; 2]>,
}

impl Scene {
    /// A session that follows, and one that leads. With `handed_over`, on sockets that the kernel must not filter.
    pub fn new(ports: (u16, u16), handed_over: bool) -> Self {
        let listener = Listener::new(LISTENER, ports);
        let led = Listener::new(LED, ports);
        let receiver = Receiver::spawn(ptpbmca_sim::Config {
            addresses: vec![IpAddr::V4(RECEIVER).into()],
            event_port: ports.0,
            general_port: ports.1,
            peers: vec![IpAddr::V4(OURS).into(), IpAddr::V4(LISTENER).into()],
            only_peers: true,
            skew_ppb: 23_000,
            ..ptpbmca_sim::Config::default()
        })
        .unwrap();
        let sockets =
            handed_over.then(|| [ports.0, ports.1].map(|port| UdpSocket::bind((OURS, port)).unwrap()));
        let descriptors = sockets
            .as_ref()
            .map(|[event, general]| (i64::from(event.as_raw_fd()), i64::from(general.as_raw_fd())));
        let config = Config {
            local_clock: LocalClock::Monotonic,
            local_address: descriptors.is_none().then(|| OURS.to_string()),
            event_port: ports.0,
            general_port: ports.1,
            announce_timeout_ms: 300,
            sockets: descriptors,
            ..Config::default()
        };
        let session = Session::start(&RECEIVER.to_string(), &config).unwrap();
        let lead = Config { role: RolePolicy::Lead, ..config.clone() };
        let leading = Session::start(&LED.to_string(), &lead).unwrap();
        let scene = Self { receiver, session, leading, led, listener, ports, config, _handed_over: sockets };
        scene.until_locked();
        scene
    }

    pub fn until_locked(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < LIVENESS {
            let now = self.session.offset().unwrap();
            if now.sync_state == SyncState::Locked {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Whether another receiver can be followed now, and the address that we lead has its questions answered.
    pub fn lets_in_who_is_known(&self) -> bool {
        let receiver = Receiver::spawn(ptpbmca_sim::Config {
            addresses: vec![IpAddr::V4(NEWCOMER).into()],
            event_port: self.ports.0,
            general_port: self.ports.1,
            peers: vec![IpAddr::V4(OURS).into()],
            only_peers: true,
            ..ptpbmca_sim::Config::default()
        });
        let _receiver = receiver.unwrap();
        let session = Session::start(&NEWCOMER.to_string(), &self.config).unwrap();
        let answered = || self.leading.status().unwrap().1.counters.delay_req_answered;
        let before = answered();
        let asker = UdpSocket::bind((LED, 0)).unwrap();
        let start = Instant::now();
        while start.elapsed() < LET_IN {
            asker.send_to(&delay_req(), (OURS, self.ports.0)).unwrap();
            if session.offset().unwrap().sync_state == SyncState::Locked && answered() > before {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn knowledge(&self) -> Knowledge {
        let now = self.session.local_now().unwrap();
        Knowledge {
            receiver: self.receiver.identity(),
            ours: self.session.offset().unwrap().local_clock_id,
            sequence: Arc::clone(&self.listener.sequence),
            recorded: Arc::clone(&self.listener.recorded),
            seconds: self.receiver.truth_at(now) / 1_000_000_000,
        }
    }

    /// What happens in so much time.
    pub fn watch(&self, span: Duration) -> Watched {
        let before = self.counts();
        let (cpu, served) = (worker_cpu(), self.led.syncs());
        let epoch = self.session.offset().unwrap().epoch;
        let start = Instant::now();
        let mut watched = Watched::default();
        let mut errors = Vec::new();
        while start.elapsed() < span {
            let local = self.session.local_now().unwrap();
            let now = self.session.offset().unwrap();
            watched.samples += 1;
            watched.epochs = now.epoch.wrapping_sub(epoch);
            if now.sync_state == SyncState::Locked {
                watched.locked += 1;
                let claimed = self.session.receiver_time(local).unwrap();
                let error = claimed.abs_diff(self.receiver.truth_at(local));
                watched.beyond += u32::from(error > now.error_ns);
                errors.push(error);
            }
            std::thread::sleep(SAMPLE);
        }
        watched.span = start.elapsed();
        errors.sort_unstable();
        let at = |share: f64| errors.get((errors.len() as f64 * share) as usize).copied().unwrap_or(0);
        (watched.median, watched.p99) = (at(0.5), at(0.99));
        watched.cpu = worker_cpu().saturating_sub(cpu);
        watched.served = self.led.syncs() - served;
        watched.counts = self.counts().since(&before);
        watched
    }

    pub fn counts(&self) -> Counts {
        let (_, status) = self.session.status().unwrap();
        Counts {
            counters: status.counters,
            wrong_source: status.wrong_source,
            kernel_drops: status.kernel_drops,
        }
    }
}

/// What a time of watching has shown.
#[derive(Clone, Default)]
pub struct Watched {
    pub span: Duration,
    pub samples: u32,
    /// Samples that were LOCKED.
    pub locked: u32,
    /// Of those, beyond their bound.
    pub beyond: u32,
    pub epochs: u32,
    /// Errors of those, ns.
    pub median: u64,
    pub p99: u64,
    /// The worker's time on a processor.
    pub cpu: Duration,
    /// Syncs to the address that we lead.
    pub served: u64,
    pub counts: Delta,
}

impl Watched {
    /// The worker's share of one processor, in percent.
    pub fn load(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.span.as_secs_f64()
    }
}

/// Counters at a moment.
pub struct Counts {
    counters: Counters,
    wrong_source: u64,
    kernel_drops: u64,
}

/// By how much they grew.
#[derive(Clone, Default)]
pub struct Delta {
    pub refused: Vec<(Refusal, u64)>,
    pub wrong_source: u64,
    pub kernel_drops: u64,
    /// Well-formed messages that were received, refused or not.
    pub received: u64,
}

impl Counts {
    pub fn since(&self, before: &Self) -> Delta {
        let refused = |why| self.counters.refused(why).wrapping_sub(before.counters.refused(why));
        use MessageType::{Announce, DelayReq, DelayResp, FollowUp, PdelayReq, PdelayResp, Signaling, Sync};
        let kinds = [Announce, DelayReq, DelayResp, FollowUp, PdelayReq, PdelayResp, Signaling, Sync];
        let received = |counters: &Counters| kinds.iter().map(|kind| counters.received(*kind)).sum::<u64>();
        Delta {
            refused: Refusal::ALL.iter().map(|why| (*why, refused(*why))).filter(|(_, n)| *n > 0).collect(),
            wrong_source: self.wrong_source.wrapping_sub(before.wrong_source),
            kernel_drops: self.kernel_drops.wrapping_sub(before.kernel_drops),
            received: received(&self.counters) - received(&before.counters),
        }
    }
}

impl Delta {
    pub fn of(&self, why: Refusal) -> u64 {
        self.refused.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count)
    }

    /// Packets of which something is known: those the worker read, and those the kernel dropped.
    pub fn accounted(&self) -> u64 {
        use Refusal::{Length, Short, Tlv, Type, Version};
        let unread: u64 = [Short, Version, Length, Type, Tlv].into_iter().map(|why| self.of(why)).sum();
        self.received + unread + self.wrong_source + self.kernel_drops
    }
}

impl std::fmt::Display for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        for (why, count) in &self.refused {
            write!(f, " {why:?} {count}")?;
        }
        for (what, count) in [("wrong_source", self.wrong_source), ("kernel_drops", self.kernel_drops)] {
            if count > 0 {
                write!(f, " {what} {count}")?;
            }
        }
        Ok(())
    }
}

/// The time that the library's worker has had on a processor.
fn worker_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut tasks = tasks.map(|task| task.path());
    let named = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ptpbmca")
    };
    let text = tasks.find(named).and_then(|path| std::fs::read_to_string(path.join("schedstat")).ok());
    let nanos = text.and_then(|text| text.split_whitespace().next()?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Bound to the ports at an address; counts Syncs, and keeps what came.
struct Listener {
    sequence: Arc<AtomicU16>,
    recorded: Arc<Mutex<Vec<Packet>>>,
    syncs: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listener {
    fn new(at: Ipv4Addr, ports: (u16, u16)) -> Self {
        let mut listener = Self {
            sequence: Arc::default(),
            recorded: Arc::default(),
            syncs: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for (port, general) in [(ports.0, false), (ports.1, true)] {
            let socket = UdpSocket::bind((at, port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (sequence, recorded) = (Arc::clone(&listener.sequence), Arc::clone(&listener.recorded));
            let (syncs, stop) = (Arc::clone(&listener.syncs), Arc::clone(&listener.stop));
            listener.threads.push(std::thread::spawn(move || {
                let mut buffer = [0; 2_048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(length) = socket.recv(&mut buffer) else { continue };
                    if !general && length >= 34 && buffer[0] & 0x0f == 0 {
                        syncs.fetch_add(1, Ordering::Relaxed);
                        sequence.store(u16::from_be_bytes([buffer[30], buffer[31]]), Ordering::Relaxed);
                    }
                    let mut recorded = recorded.lock().unwrap();
                    if recorded.len() < RECORDED {
                        recorded.push(Packet { general, bytes: buffer[..length].to_vec() });
                    }
                }
            }));
        }
        listener
    }

    fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
