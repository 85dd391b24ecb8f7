//! Sessions over real sockets with simulated receivers, each on loopback addresses and ports of its own: what the
//! association's tests show in virtual time, with the kernel in between.
//!
//! Nothing here is judged by how long it took: waits end as soon as what they wait for is there, and only a liveness
//! bound far above it fails.
#![allow(clippy::disallowed_methods)] // A test waits and reads clocks.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ptpbmca::association::{Refusal, RolePolicy};
use ptpbmca::timeline::{Role, SyncState};
use ptpbmca::wire::MessageType;
use ptpbmca::{ClockOffset, Config, Event, LocalClock, Session};
use ptpbmca_sim::{Command, DelayResp, Handle, Receiver, Serving};

/// Far longer than anything here takes.
const LIVENESS: Duration = Duration::from_secs(30);

const SENDER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const RECEIVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A pair of ports that no other test of this process has.
fn ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(20_319);
    let event = NEXT.fetch_add(2, Ordering::Relaxed);
    (event, event + 1)
}

fn receiver(ports: (u16, u16)) -> ptpbmca_sim::Config {
    ptpbmca_sim::Config { skew_ppb: 23_000, ..ptpbmca_sim::Config::on_loopback(ports) }
}

/// Local times count in the clock that the simulation's truth is told in.
fn sender((event_port, general_port): (u16, u16)) -> Config {
    Config {
        local_clock: LocalClock::Monotonic,
        local_address: Some(SENDER.to_string()),
        event_port,
        general_port,
        announce_timeout_ms: 300,
        ..Config::default()
    }
}

fn start(config: &Config) -> Session {
    Session::start(&RECEIVER.to_string(), config).unwrap()
}

/// Waits until the clock looks as asked for.
fn until(session: &Session, what: &str, mut holds: impl FnMut(&ClockOffset) -> bool) -> ClockOffset {
    let start = Instant::now();
    loop {
        let now = session.offset().unwrap();
        if holds(&now) {
            return now;
        }
        assert!(start.elapsed() < LIVENESS, "no {what}: {now:?}, {:?}", session.status().unwrap().1.advice);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_locked(session: &Session) -> ClockOffset {
    until(session, "lock", |now| now.sync_state == SyncState::Locked)
}

/// How far the session's receiver time is off what the receiver's clock really reads, with the bound it claims.
fn error(session: &Session, receiver: &Handle) -> (u64, u64) {
    let local = session.local_now().unwrap();
    let claimed = session.receiver_time(local).unwrap();
    (claimed.abs_diff(receiver.truth_at(local)), session.offset().unwrap().error_ns)
}

/// Samples for a while; the claims that break their bound may be one in a thousand, which of so few is none.
fn bound_is_kept(session: &Session, receiver: &Handle, samples: u32) {
    for _ in 0..samples {
        let (error, bound) = error(session, receiver);
        assert!(error <= bound, "off by {error} ns, bound {bound} ns");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn follows_and_knows_whom() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    let now = until_locked(&session);
    assert_eq!((now.role, now.epoch), (Role::Following, 0));
    assert_eq!((now.grandmaster_id, now.receiver_clock_id), (receiver.identity(), receiver.identity()));
    until(&session, "path delay", |now| now.path_delay_ns > 0);
    bound_is_kept(&session, &receiver, 100);
    let (_, status) = session.status().unwrap();
    assert_eq!(status.announced.unwrap().dataset.priority1, 248);
    assert!(status.kernel_receive_stamps && status.kernel_send_stamps);
}

#[test]
fn every_reading_of_a_delay_resp_gives_the_same_time() {
    for delay_resp in [DelayResp::Plus, DelayResp::Minus, DelayResp::Plain, DelayResp::TruthPlusCorrection] {
        let ports = ports();
        let receiver = Receiver::spawn(ptpbmca_sim::Config { delay_resp, ..receiver(ports) }).unwrap();
        let session = start(&sender(ports));
        // The path may be known before the clock is.
        until_locked(&session);
        until(&session, "path delay", |now| now.path_delay_ns > 0);
        bound_is_kept(&session, &receiver, 50);
        assert_eq!(session.offset().unwrap().epoch, 0);
    }
}

#[test]
fn a_wake_up_pair_ends_with_us_leading() {
    let ports = ports();
    let config = ptpbmca_sim::Config { serving: Serving::WakeUp, ..receiver(ports) };
    let _receiver = Receiver::spawn(config).unwrap();
    let session = start(&sender(ports));
    until(&session, "leading", |now| now.role == Role::Leading);
    // And it stays so: the pair is over.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(session.offset().unwrap().role, Role::Leading);
}

#[test]
fn a_master_that_never_syncs_gives_our_clock_back() {
    let ports = ports();
    let config = ptpbmca_sim::Config { never_sync: true, ..receiver(ports) };
    let _receiver = Receiver::spawn(config).unwrap();
    let session = start(&sender(ports));
    assert_eq!(session.offset().unwrap().role, Role::Following);
    let now = until(&session, "leading", |now| now.role == Role::Leading);
    assert_eq!(now.epoch, 1);
}

#[test]
fn a_receiver_that_speaks_only_when_we_are_silent_is_followed() {
    let ports = ports();
    let config = ptpbmca_sim::Config { serving: Serving::WhenSilent, ..receiver(ports) };
    let receiver = Receiver::spawn(config).unwrap();
    let session = start(&Config { role: RolePolicy::Follow, ready_timeout_ms: 0, ..sender(ports) });
    until_locked(&session);
    bound_is_kept(&session, &receiver, 50);
    let (_, status) = session.status().unwrap();
    assert_eq!(status.counters.sent(ptpbmca::wire::MessageType::Announce), 0);
    assert_eq!(status.counters.sent(ptpbmca::wire::MessageType::Sync), 0);
}

#[test]
fn a_better_master_that_comes_late_is_followed() {
    let ports = ports();
    let session = start(&sender(ports));
    let before = until(&session, "leading", |now| now.role == Role::Leading);
    assert_eq!((before.epoch, before.sync_state), (0, SyncState::Leading));
    assert_eq!(before.grandmaster_id, before.local_clock_id);
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let after = until_locked(&session);
    assert_eq!((after.epoch, after.grandmaster_id), (1, receiver.identity()));
    bound_is_kept(&session, &receiver, 50);
}

#[test]
fn a_restart_is_one_epoch() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    until_locked(&session);
    bound_is_kept(&session, &receiver, 100);
    receiver.command(Command::Restart { uptime_ns: 3_000_000_000, silence_ns: 2_500_000_000 });
    until(&session, "holdover", |now| now.sync_state == SyncState::Holdover);
    let now = until(&session, "lock again", |now| now.epoch == 1 && now.sync_state == SyncState::Locked);
    assert_eq!((now.role, now.grandmaster_id), (Role::Following, receiver.identity()));
    bound_is_kept(&session, &receiver, 100);
    assert_eq!(session.offset().unwrap().epoch, 1);
}

#[test]
fn a_handover_is_one_epoch_and_names_the_new_clock() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    until_locked(&session);
    let identity = 0x0499_b9b7_e0f1_0008;
    receiver.command(Command::Grandmaster { identity, step_ns: 250_000_000, skew_ppb: Some(-41_000) });
    let now = until(&session, "the new clock", |now| {
        now.grandmaster_id == identity && now.sync_state == SyncState::Locked
    });
    assert_eq!((now.epoch, now.receiver_clock_id), (1, receiver.identity()));
    bound_is_kept(&session, &receiver, 100);
    assert_eq!(session.offset().unwrap().epoch, 1);
}

#[test]
fn silence_is_held_over_within_the_bound() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    until_locked(&session);
    bound_is_kept(&session, &receiver, 300);
    receiver.command(Command::Silence { for_ns: 5_000_000_000 });
    until(&session, "holdover", |now| now.sync_state == SyncState::Holdover);
    let mut last = (0, 0);
    let mut bounds = Vec::new();
    until(&session, "lock again", |now| {
        if now.sync_state == SyncState::Holdover {
            last = error(&session, &receiver);
            assert!(last.0 <= last.1, "off by {} ns, bound {} ns", last.0, last.1);
            bounds.push(last.1);
        }
        now.sync_state == SyncState::Locked
    });
    // 200 us after 5 s is what is promised; here there is only the host's own noise.
    assert!(last.0 < 200_000, "off by {} ns at the end of the silence", last.0);
    // The last ones may be of the first packets after the silence, which make the estimate good again.
    let grown = bounds.iter().max();
    assert!(bounds.first() < grown, "the bound did not grow from {:?} on: {grown:?}", bounds.first());
    assert_eq!(session.offset().unwrap().epoch, 0);
}

#[test]
fn a_worker_that_was_held_up_still_knows_when_packets_came() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let mut held_up = false;
    let session = Session::start_with_events(&RECEIVER.to_string(), &sender(ports), move |event, _| {
        // What a stopped process, a paused container or a starved host does to it.
        if event == Event::Synchronized && !std::mem::replace(&mut held_up, true) {
            std::thread::sleep(Duration::from_millis(1_900));
        }
    })
    .unwrap();
    until(&session, "holdover", |now| now.sync_state == SyncState::Holdover);
    until_locked(&session);
    bound_is_kept(&session, &receiver, 50);
    let (now, status) = session.status().unwrap();
    assert_eq!((now.epoch, status.counters.refused(Refusal::Outlier)), (0, 0));
}

#[test]
fn a_backlog_of_packets_holds_up_no_command() {
    /// Far more than is read before the rest has its turn, far fewer than fit into the socket's buffer.
    const BACKLOG: u64 = 2_000;
    let ports = ports();
    let _receiver = Receiver::spawn(receiver(ports)).unwrap();
    let (held, free) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (holding, freed) = (Arc::clone(&held), Arc::clone(&free));
    let session = Session::start_with_events(&RECEIVER.to_string(), &sender(ports), move |event, _| {
        if event == Event::Synchronized && !holding.swap(true, Ordering::Relaxed) {
            let start = Instant::now();
            while !freed.load(Ordering::Relaxed) && start.elapsed() < LIVENESS {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    })
    .unwrap();
    let session = Arc::new(session);
    until(&session, "a worker that is held up", |_| held.load(Ordering::Relaxed));
    let flooder = std::net::UdpSocket::bind((RECEIVER, 0)).unwrap();
    // On both sockets: one of them is just being read.
    for number in 0..BACKLOG {
        flooder.send_to(&[0; 4], (SENDER, if number % 2 == 0 { ports.0 } else { ports.1 })).unwrap();
    }
    // Another session is to begin meanwhile. Its own worker thread says how much was read before it did.
    let read = Arc::new(AtomicU64::new(u64::MAX));
    let (reads, first) = (Arc::clone(&read), Arc::clone(&session));
    let lead = Config { role: RolePolicy::Lead, ready_timeout_ms: 0, ..sender(ports) };
    let opening = std::thread::spawn(move || {
        Session::start_with_events("127.0.0.7", &lead, move |event, _| {
            if event == Event::RoleChanged {
                reads.store(first.status().unwrap().1.counters.refused(Refusal::Short), Ordering::Relaxed);
            }
        })
    });
    // Until it stands in the queue.
    std::thread::sleep(Duration::from_millis(500));
    free.store(true, Ordering::Relaxed);
    let other = opening.join().unwrap().unwrap();
    let read = read.load(Ordering::Relaxed);
    assert!(read < BACKLOG / 4, "{read} of {BACKLOG} packets were read first");
    let all = || session.status().unwrap().1.counters.refused(Refusal::Short);
    until(&session, "the rest", |_| all() == BACKLOG);
    // The callback holds the first session; it goes first.
    drop(other);
}

#[test]
fn one_receiver_at_two_addresses_is_one_clock() {
    let ports = ports();
    let other = Ipv4Addr::new(127, 0, 0, 3);
    let mut config = receiver(ports);
    config.addresses.push(IpAddr::V4(other).into());
    let receiver = Receiver::spawn(config).unwrap();
    let session = Session::start(&format!("{RECEIVER}, {other}"), &sender(ports)).unwrap();
    until_locked(&session);
    bound_is_kept(&session, &receiver, 50);
    assert_eq!(session.offset().unwrap().epoch, 0);
}

#[test]
fn an_address_that_a_second_session_knows_is_talked_to() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let nobody = Ipv4Addr::new(127, 0, 0, 9);
    let lone = Session::start(&nobody.to_string(), &sender(ports)).unwrap();
    let session = Session::start(&format!("{nobody}, {RECEIVER}"), &sender(ports)).unwrap();
    until_locked(&session);
    until_locked(&lone);
    bound_is_kept(&lone, &receiver, 20);
}

#[test]
fn conversations_from_two_local_addresses_take_none_of_each_others_answers() {
    let ports = ports();
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    // Sockets handed over: all addresses of this host cannot be had beside a receiver on the same host.
    let sockets = [ports.0, ports.1].map(|port| std::net::UdpSocket::bind((SENDER, port)).unwrap());
    let [event, general] = sockets.each_ref().map(|socket| i64::from(socket.as_raw_fd()));
    let config = Config { sockets: Some((event, general)), ..sender(ports) };
    let anywhere = start(&Config { local_address: None, ..config.clone() });
    let here = start(&config);
    for session in [&anywhere, &here] {
        until_locked(session);
        until(session, "path delay", |now| now.path_delay_ns > 0);
        bound_is_kept(session, &receiver, 20);
    }
    for session in [&anywhere, &here] {
        let counters = session.status().unwrap().1.counters;
        // Each hears the other's, since both send from one address here, and believes its own alone.
        assert!(counters.refused(Refusal::Unrequested) >= 1, "{counters:?}");
        assert!(counters.delay_resp_used <= counters.sent(MessageType::DelayReq), "{counters:?}");
    }
}

#[test]
fn a_mixed_group_gives_each_session_its_own_timeline() {
    let ports = ports();
    let followed = Receiver::spawn(receiver(ports)).unwrap();
    let led = Ipv4Addr::new(127, 0, 0, 4);
    let led_config = ptpbmca_sim::Config { addresses: vec![IpAddr::V4(led).into()], ..receiver(ports) };
    let led_receiver = Receiver::spawn(led_config).unwrap();
    let following = start(&sender(ports));
    let leading =
        Session::start(&led.to_string(), &Config { role: RolePolicy::Lead, ..sender(ports) }).unwrap();
    let again = start(&sender(ports));
    until_locked(&following);
    until_locked(&again);
    let lead = leading.offset().unwrap();
    assert_eq!((lead.role, lead.grandmaster_id), (Role::Leading, lead.local_clock_id));
    bound_is_kept(&following, &followed, 50);
    // Two sessions with one receiver share one conversation, and stop in any order.
    drop(following);
    bound_is_kept(&again, &followed, 50);
    let start = Instant::now();
    while led_receiver.is_serving() {
        assert!(start.elapsed() < LIVENESS, "the led receiver goes on serving");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this is a process in which `test` is the only one; else it is run in one such. For tests of what a process has
/// one of: the other tests' sessions share it.
fn alone(test: &str) -> bool {
    if std::env::var_os("PTPBMCA_ALONE").is_some() {
        return true;
    }
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("PTPBMCA_ALONE", "1")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(alone.unwrap().success());
    false
}

#[test]
fn sockets_closed_under_the_library_are_made_anew() {
    if !alone("sockets_closed_under_the_library_are_made_anew") {
        return;
    }
    let ports = (20_219, 20_220);
    let receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    until_locked(&session);
    let mut closed = 0;
    for fd in 3..256 {
        // SAFETY: an address of zeros is valid, and live for the call to fill; closing is what this test is about.
        unsafe {
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            let mut length = std::mem::size_of_val(&address) as libc::socklen_t;
            let got = libc::getsockname(fd, (&raw mut address).cast(), &raw mut length);
            let ours = u32::from_be(address.sin_addr.s_addr) == u32::from(SENDER);
            let port = u16::from_be(address.sin_port);
            if got == 0 && ours && [ports.0, ports.1].contains(&port) {
                libc::close(fd);
                closed += 1;
            }
        }
    }
    assert_eq!(closed, 2);
    let pairs = || session.status().unwrap().1.counters.pairs;
    let before = pairs();
    // At once where the worker was reading just then, else when a Sync is missed.
    until(&session, "pairs", |_| pairs() > before + 8);
    let now = until_locked(&session);
    assert_eq!(now.epoch, 0);
    bound_is_kept(&session, &receiver, 50);
}

#[test]
fn a_locked_session_wakes_the_worker_for_packets_and_deadlines_only() {
    /// Times the worker went to sleep by itself; of the one worker of this process, which other tests use as well.
    fn sleeps() -> u64 {
        let task = std::fs::read_dir("/proc/self/task").unwrap().flatten().find(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ptpbmca")
        });
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    if !alone("a_locked_session_wakes_the_worker_for_packets_and_deadlines_only") {
        return;
    }
    let ports = (20_119, 20_120);
    let _receiver = Receiver::spawn(receiver(ports)).unwrap();
    let session = start(&sender(ports));
    until_locked(&session);
    let packets = || {
        let counters = session.status().unwrap().1.counters;
        use ptpbmca::wire::MessageType::{Announce, DelayReq, DelayResp, FollowUp, Signaling, Sync};
        [Announce, DelayReq, DelayResp, FollowUp, Signaling, Sync]
            .map(|kind| counters.received(kind))
            .iter()
            .sum::<u64>()
    };
    let before = (packets(), sleeps());
    std::thread::sleep(Duration::from_secs(5));
    let (packets, sleeps) = (packets() - before.0, sleeps() - before.1);
    assert!(packets >= 80, "only {packets} packets");
    // A timer that a packet moved on is looked at once a second.
    assert!(sleeps <= packets + 8, "{sleeps} wake-ups for {packets} packets");
}
