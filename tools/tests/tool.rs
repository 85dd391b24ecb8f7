//! The command `ptpbmca` as a program: its views of simulated receivers, and the doctor's verdicts. On loopback addresses
//! and high ports.
#![allow(clippy::disallowed_methods)] // A test makes sockets, threads and waits.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ptpbmca::time::{Correction, Timestamp};
use ptpbmca::wire::{encode, Body, ClockIdentity, Header, Message, PortIdentity};
use ptpbmca_sim::{Handle, Receiver};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ptpbmca");
const SENDER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const RECEIVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Lines, one per second, within which anything that is to come has come.
const LIVENESS: usize = 30;

/// A user without privileges.
const NOBODY: &str = "65534";

/// A pair of ports that no other test of this process has.
fn ports() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(23_319);
    let event = NEXT.fetch_add(2, Ordering::Relaxed);
    (event, event + 1)
}

fn receiver(ports: (u16, u16)) -> ptpbmca_sim::Config {
    ptpbmca_sim::Config { skew_ppb: 23_000, ..ptpbmca_sim::Config::on_loopback(ports) }
}

fn spawn(config: ptpbmca_sim::Config) -> Handle {
    Receiver::spawn(config).unwrap()
}

/// `ptpbmca COMMAND RECEIVER --local SENDER --ports ...`, and what else is said.
fn tool(command: &str, (event, general): (u16, u16), more: &[&str]) -> Command {
    let mut tool = Command::new(PROGRAM);
    tool.args([command, &RECEIVER.to_string(), "--local", &SENDER.to_string()]);
    tool.args(["--ports", &event.to_string(), &general.to_string()]).args(more);
    tool.stdin(Stdio::null());
    tool
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the doctor for so many seconds; gives its exit code, its last line, and all it said.
fn doctor(ports: (u16, u16), seconds: &str) -> (i32, String, String) {
    let output = tool("doctor", ports, &["--seconds", seconds]).output().unwrap();
    verdict(&output)
}

fn verdict(output: &Output) -> (i32, String, String) {
    let said = text(&output.stdout);
    let all = format!("{said}{}", text(&output.stderr));
    (output.status.code().unwrap_or(-1), said.lines().last().unwrap_or_default().to_string(), all)
}

/// Says that a test cannot run here, past the capture of the tests' output.
fn skip(name: &str, why: &str) {
    let _ = writeln!(std::io::stdout(), "\nSKIP {name}: {why}");
}

#[test]
fn the_doctor_finds_a_healthy_receiver() {
    let ports = ports();
    let _receiver = spawn(receiver(ports));
    // A busy machine may take longer to lock.
    let mut tries = ["3", "10", "30"].iter().map(|seconds| doctor(ports, seconds));
    let (code, sentence, all) = tries.find(|(code, ..)| *code == 0).expect("no healthy receiver");
    assert_eq!(code, 0, "{all}");
    assert!(sentence.starts_with("Healthy: the clock of 127.0.0.2 is followed within "), "{all}");
    assert!(all.contains("missing     nothing"), "{all}");
    assert!(all.contains("to 127.0.0.2 from 127.0.0.1"), "{all}");
}

#[test]
fn the_doctor_finds_nothing_there() {
    let (code, sentence, all) = doctor(ports(), "1");
    assert_eq!(code, 3, "{all}");
    assert!(sentence.starts_with("Nothing there: 127.0.0.2 sent no PTP message"), "{all}");
    assert!(all.contains("missing     Announce, Sync, Follow_Up"), "{all}");
}

#[test]
fn the_doctor_finds_who_holds_the_ports() {
    let ports = ports();
    let _held = UdpSocket::bind((SENDER, ports.1)).unwrap();
    let (code, sentence, all) = doctor(ports, "1");
    assert_eq!(code, 4, "{all}");
    assert!(sentence.starts_with(&format!("Ports held: UDP {} of this host is held by ", ports.1)), "{all}");
    assert!(all.contains(&format!("UDP {} free\n", ports.0)), "{all}");
    assert!(!sentence.contains("--local"), "it is given already: {all}");
    if cfg!(target_os = "linux") {
        assert!(sentence.contains(&format!("(pid {})", std::process::id())), "{all}");
    }
}

/// Beside a simulated receiver on this host, which has the ports on its own address only.
#[test]
fn the_doctor_names_the_way_beside_a_receiver_on_this_host() {
    let (event, general) = ports();
    let _receiver = spawn(receiver((event, general)));
    let mut without_local = Command::new(PROGRAM);
    without_local.args(["doctor", &RECEIVER.to_string(), "--seconds", "1"]);
    without_local.args(["--ports", &event.to_string(), &general.to_string()]);
    let (code, sentence, all) = verdict(&without_local.output().unwrap());
    assert_eq!(code, 4, "{all}");
    assert_eq!(
        sentence.contains("name another address of this host: --local"),
        cfg!(target_os = "linux"),
        "{all}"
    );
}

#[test]
fn the_doctor_finds_a_receiver_that_only_announces() {
    let ports = ports();
    let _receiver = spawn(ptpbmca_sim::Config { never_sync: true, ..receiver(ports) });
    let (code, sentence, all) = doctor(ports, "2");
    assert_eq!(code, 6, "{all}");
    assert!(sentence.starts_with("Announce only: 127.0.0.2 announced its clock "), "{all}");
    assert!(all.contains("missing     Sync, Follow_Up"), "{all}");
}

/// So long that we lead again: that a better clock announced itself and never served stays the cause.
#[test]
fn the_doctor_is_not_appeased_by_leading() {
    let ports = ports();
    let _receiver = spawn(ptpbmca_sim::Config { never_sync: true, ..receiver(ports) });
    let output = tool("doctor", ports, &["--seconds", "5", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["session"]["state"], "LEADING", "{found}");
    assert_eq!((output.status.code(), &found["cause"]), (Some(6), &Value::from("announce_only")), "{found}");
}

#[test]
fn the_doctor_finds_a_clock_without_follow_ups() {
    let ports = ports();
    let over = Arc::new(AtomicBool::new(false));
    let socket = UdpSocket::bind((RECEIVER, ports.0)).unwrap();
    let sending = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            for sequence_id in 0..200 {
                let source = PortIdentity { clock: ClockIdentity(0x1414_7de8_5498_0008), port: 0x8005 };
                let header = Header {
                    major_sdo_id: 1,
                    minor_version: 0,
                    domain: 0,
                    flags: 0x0608,
                    correction: Correction::default(),
                    source,
                    sequence_id,
                    control: 0,
                    log_interval: -3,
                };
                let sync = Message { header, body: Body::Sync { origin: Timestamp::default() } };
                let _ = socket.send_to(&encode(&sync), (SENDER, ports.0));
                std::thread::sleep(Duration::from_millis(50));
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    });
    let (code, sentence, all) = doctor(ports, "1");
    over.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    assert_eq!(code, 7, "{all}");
    assert!(sentence.starts_with("Sync without Follow_Up: 127.0.0.2 sent "), "{all}");
}

/// In a network namespace of its own, where the least port that needs no privilege is what the kernel begins with.
#[test]
fn the_doctor_finds_that_it_may_not() {
    let name = "the doctor without privileges";
    let scratch = Scratch::new("unprivileged");
    // What a build directory lets others see is not known.
    let copy = scratch.0.join("ptpbmca");
    std::fs::copy(PROGRAM, &copy).unwrap();
    let drop_all =
        ["-n", "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps", "-all"];
    let unprivileged = |program: &Path, arguments: &[&str]| {
        Command::new("unshare").args(drop_all).arg(program).args(arguments).stdin(Stdio::null()).output()
    };
    match unprivileged(&copy, &["--version"]) {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(name, text(&output.stderr).trim()),
        Err(e) => return skip(name, &format!("unshare (it takes root and Linux): {e}")),
    }
    let output = unprivileged(&copy, &["doctor", "127.0.0.2"]).unwrap();
    let (code, sentence, all) = verdict(&output);
    assert_eq!(code, 5, "{all}");
    assert!(sentence.starts_with("Unprivileged: UDP 319 and 320 need CAP_NET_BIND_SERVICE"), "{all}");
    assert!(all.contains("CAP_NET_BIND_SERVICE is not there; ports from 1024 on need none"), "{all}");
}

#[test]
fn the_doctor_names_an_address_that_is_none() {
    let output = Command::new(PROGRAM)
        .args(["doctor", "speaker.local", "--ports", "23317", "23318"])
        .output()
        .unwrap();
    let (code, sentence, all) = verdict(&output);
    assert_eq!(code, 9, "{all}");
    assert!(sentence.contains("speaker.local"), "{all}");
}

/// Follows until a line says LOCKED, at most for so many lines; gives the lines.
fn follow_until_locked(ports: (u16, u16), more: &[&str]) -> Vec<String> {
    let mut child = tool("follow", ports, more).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().take(LIVENESS) {
        lines.push(line.unwrap());
        if lines.last().is_some_and(|line| line.contains("LOCKED")) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn follow_speaks_json_and_locks() {
    let ports = ports();
    let receiver = spawn(receiver(ports));
    let lines = follow_until_locked(ports, &["--json", "--clock", "monotonic"]);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["state"], &last["role"]),
        (&Value::from("LOCKED"), &Value::from("FOLLOWING")),
        "{last}"
    );
    assert_eq!(last["grandmaster_id"], format!("{:016x}", receiver.identity()), "{last}");
    assert!(last["received"]["sync"].as_u64() > Some(2), "{last}");
    // The offset is the receiver's minus ours: what it claims of its clock is so.
    let (local, offset) = (last["local_ns"].as_i64().unwrap(), last["offset_ns"].as_i64().unwrap());
    let off = (local + offset) - i64::try_from(receiver.truth_at(local)).unwrap();
    // The snapshot is older than the local time by what lies between the two calls, times the skew: far below 1 us.
    let bound = last["error_ns"].as_u64().unwrap() + 1_000;
    assert!(off.unsigned_abs() <= bound, "{off} ns off, bound {bound}");
    // Before the first Sync nothing is claimed.
    assert_eq!((&lines[0]["synchronized"], &lines[0]["error_ns"]), (&Value::from(false), &Value::Null));
}

#[test]
fn follow_is_a_table_where_nobody_draws() {
    let ports = ports();
    let _receiver = spawn(receiver(ports));
    let lines = follow_until_locked(ports, &[]);
    assert!(lines[0].starts_with("state      role                  offset ns"), "{lines:?}");
    let columns: Vec<_> = lines.last().unwrap().split_whitespace().collect();
    assert_eq!((columns.len(), columns[1]), (8, "FOLLOWING"), "{lines:?}");
    assert!(!lines.concat().contains('\u{1b}'), "{lines:?}");
    let ended = tool("follow", ports, &["--seconds", "0"]).output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stdout).lines().count()), (Some(0), 2));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_follow_cleanly() {
    let ports = ports();
    let whole = LIVENESS.to_string();
    let mut child =
        tool("follow", ports, &["--plain", "--seconds", &whole]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first line with the session's state: the handlers are there.
    assert!(lines.nth(1).unwrap().unwrap().starts_with("SILENT"));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest = lines.count();
    assert!(rest < LIVENESS / 2, "it went on for {rest} lines");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The ports are free again.
    UdpSocket::bind((SENDER, ports.0)).unwrap();
}

#[test]
fn follow_says_why_it_cannot() {
    let ports = ports();
    let _held = UdpSocket::bind((SENDER, ports.0)).unwrap();
    let output = tool("follow", ports, &["--seconds", "1"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.starts_with("ptpbmca follow: Could not bind UDP") && said.contains("Another PTP program"),
        "{said}"
    );
}

#[test]
fn simulate_is_a_receiver_and_follow_finds_it() {
    let (event, general) = ports();
    let mut simulated = Command::new(PROGRAM)
        .args(["simulate", "--address", "127.0.0.2", "--peer", "127.0.0.1", "--duration", "60"])
        .args(["--event-port", &event.to_string(), "--general-port", &general.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = follow_until_locked((event, general), &["--json"]);
    simulated.kill().unwrap();
    simulated.wait().unwrap();
    assert!(lines.last().unwrap().contains("LOCKED"), "{lines:?}");
    let help = Command::new(PROGRAM).args(["simulate", "--help"]).output().unwrap();
    assert!(text(&help.stdout).contains("usage: ptpbmca simulate [options]"));
    let wrong = Command::new(PROGRAM).args(["simulate", "--loss", "much"]).output().unwrap();
    assert!(!wrong.status.success() && text(&wrong.stderr).starts_with("ptpbmca simulate: "));
}

#[test]
fn replay_makes_estimates_and_a_picture() {
    let scratch = Scratch::new("replay");
    let (trace, picture) = (scratch.0.join("trace.csv"), scratch.0.join("trace.svg"));
    let mut rows = String::from("seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns\n");
    for seq in 0..80_i64 {
        let t1 = 127_000_000_000_000 + seq * 125_000_000;
        rows += &format!("{seq},{t1},1000000,{},,\n", 1_700_000_000_000_000_000 + seq * 125_000_000);
    }
    std::fs::write(&trace, rows).unwrap();
    let run = |more: &[&Path]| Command::new(PROGRAM).arg("replay").arg(&trace).args(more).output().unwrap();
    let estimates = run(&[]);
    assert!(estimates.status.success());
    let rows = text(&estimates.stdout);
    assert_eq!(rows.lines().count(), 80, "{rows}");
    assert!(run(&[Path::new("--plot"), &picture]).status.success());
    assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg"));
    let missing = Command::new(PROGRAM).args(["replay", "/nonexistent/trace"]).output().unwrap();
    assert!(
        !missing.status.success() && text(&missing.stderr).starts_with("ptpbmca replay: /nonexistent/trace")
    );
}

/// `ptpbmca generate packaging` writes them anew.
#[test]
fn the_man_page_and_the_completions_are_current() {
    let scratch = Scratch::new("generate");
    assert!(Command::new(PROGRAM).arg("generate").arg(&scratch.0).status().unwrap().success());
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for name in ["man/ptpbmca.1", "completions/ptpbmca", "completions/_ptpbmca", "completions/ptpbmca.fish"] {
        let read = |directory: &Path| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        let (now, then) = (read(&scratch.0), read(&kept));
        assert!(!now.is_empty() && now == then, "packaging/{name} is old: run `ptpbmca generate packaging`");
    }
    let bash = Command::new(PROGRAM).args(["completions", "bash"]).output().unwrap();
    assert_eq!(text(&bash.stdout), std::fs::read_to_string(kept.join("completions/ptpbmca")).unwrap());
}

/// A directory that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ptpbmca-tool-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
