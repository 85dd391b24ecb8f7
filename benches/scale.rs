//! One worker and many receivers: CPU, wake-ups, memory and punctuality, from ten sessions to a thousand, following and
//! leading. Receivers are simulated, in another thread of this process, on loopback addresses of their own.
//!
//! `cargo bench --bench scale` prints the table of docs/scale.md.
#![allow(missing_docs, clippy::disallowed_methods)] // A program that measures sleeps and reads clocks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ptpbmca::association::RolePolicy;
use ptpbmca::{Config, Session};
use ptpbmca_sim::Fleet;

const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(12);
const SYNC_INTERVAL_NS: i64 = 125_000_000;

/// Counts what the worker has allocated and not yet freed.
struct Counting;

static HELD_BY_WORKER: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// 0: not looked at yet, 1: the worker, 2: another thread.
    static WHO: Cell<u8> = const { Cell::new(0) };
}

fn on_worker() -> bool {
    WHO.try_with(|who| {
        if who.get() == 0 {
            let mut name = [0_u8; 16];
            // SAFETY: PR_GET_NAME writes at most 16 bytes.
            unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
            who.set(if name.starts_with(b"ptpbmca\0") { 1 } else { 2 });
        }
        who.get() == 1
    })
    .unwrap_or(false)
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if on_worker() {
            HELD_BY_WORKER.fetch_add(layout.size() as i64, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if on_worker() {
            HELD_BY_WORKER.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nanoseconds on a CPU, and times it went to sleep by itself, of the worker thread.
fn worker_use() -> Option<(u64, u64)> {
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
        if read("comm")?.trim() != "ptpbmca" {
            continue;
        }
        let cpu = read("schedstat")?.split(' ').next()?.parse().ok()?;
        let status = read("status")?;
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        return Some((cpu, line.split_whitespace().nth(1)?.parse().ok()?));
    }
    None
}

struct Row {
    cpu_us: f64,
    wakeups: f64,
    bytes: i64,
    late_us: Option<(f64, f64)>,
    ready: usize,
}

fn measure(count: usize, role: RolePolicy, port: u16) -> Row {
    let address = |i: usize| Ipv4Addr::new(127, 1, (i / 250) as u8, (i % 250 + 1) as u8);
    let configs = (0..count)
        .map(|i| ptpbmca_sim::Config {
            addresses: vec![IpAddr::V4(address(i)).into()],
            event_port: port,
            general_port: port + 1,
            // As receivers in a house beat: each when it began.
            phase_ns: i as i64 * 250_000_000 / count as i64,
            seed: i as u64,
            kept_pairs: 256,
            ..ptpbmca_sim::Config::default()
        })
        .collect();
    let fleet = Fleet::spawn(configs, Box::new(|_, _| {})).unwrap();
    let config = Config {
        role,
        local_address: Some("127.0.0.1".into()),
        event_port: port,
        general_port: port + 1,
        ready_timeout_ms: 0,
        ..Config::default()
    };
    HELD_BY_WORKER.store(0, Ordering::Relaxed);
    let sessions: Vec<Session> =
        (0..count).map(|i| Session::start(&address(i).to_string(), &config).unwrap()).collect();
    std::thread::sleep(WARM_UP);
    let (cpu, wakeups) = worker_use().unwrap();
    let start = Instant::now();
    std::thread::sleep(MEASURED);
    let seconds = start.elapsed().as_secs_f64();
    let (cpu_after, wakeups_after) = worker_use().unwrap();
    let bytes = HELD_BY_WORKER.load(Ordering::Relaxed) / count as i64;

    let mut late: Vec<i64> = Vec::new();
    for i in 0..count {
        let sender = IpAddr::V4(Ipv4Addr::LOCALHOST).into();
        let origins: Vec<i64> = fleet.pairs(i, sender).iter().map(|pair| pair.origin_ns as i64).collect();
        let mut gaps = origins.windows(2).map(|w| (w[1] - w[0] - SYNC_INTERVAL_NS).abs());
        // The first two are the opening's, a phase apart.
        gaps.next();
        late.extend(gaps);
    }
    late.sort_unstable();
    let at = |share: f64| late.get((late.len() as f64 * share) as usize).map(|ns| *ns as f64 / 1e3);
    let ready = sessions
        .iter()
        .filter(|session| session.offset().is_ok_and(|offset| offset.is_synchronized()))
        .count();
    let intervals = seconds / (SYNC_INTERVAL_NS as f64 / 1e9) * count as f64;
    Row {
        cpu_us: (cpu_after - cpu) as f64 / 1e3 / intervals,
        wakeups: (wakeups_after - wakeups) as f64 / seconds,
        bytes,
        late_us: at(0.5).zip(at(0.99)),
        ready,
    }
}

fn main() {
    println!("| role | sessions | synchronised | worker CPU per receiver and Sync interval | worker CPU | wake-ups/s | heap per session | gap between Syncs off 125 ms, median / p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut port = 12_000;
    for (name, role) in [("follow", RolePolicy::Auto), ("lead", RolePolicy::Lead)] {
        for count in [10, 100, 1_000] {
            let row = measure(count, role, port);
            port += 10;
            let late = row.late_us.map_or("-".to_owned(), |(p50, p99)| format!("{p50:.0} / {p99:.0} us"));
            println!(
                "| {name} | {count} | {} | {:.1} us | {:.1} % | {:.0} | {} B | {late} |",
                row.ready,
                row.cpu_us,
                row.cpu_us * count as f64 * 8.0 / 1e4,
                row.wakeups,
                row.bytes,
            );
        }
    }
    println!("\nBeside the heap, every slot takes {} B of static memory.", ptpbmca::SLOT_BYTES);
}
