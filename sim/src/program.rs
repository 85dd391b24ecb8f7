//! The simulated receiver as a program: a HomePod's clock on an address of this host, its truth on standard output.
#![forbid(unsafe_code)]

use crate::edge::{self, StopSignals};
use crate::{Announcing, Command, Config, Counters, DelayResp, Fleet, Host, Line, Serving};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What `--help` says; the program is called `receiver` in it.
pub const USAGE: &str = "\
A simulated AirPlay 2 receiver: serves the PTP clock of a HomePod, and prints the truth about it. Who follows it on the
same host needs an address of its own there, such as 127.0.0.1 (local_address).

usage: receiver [options]                                        times in seconds unless the name says ms

where and whom
  --address ADDR         address to bind, fe80::1%eth0 too; repeat for several (127.0.0.2)
  --event-port N         event port at both ends (319)
  --general-port N       general port at both ends (320)
  --peer ADDR            sender to serve from the start on; repeat for several
  --only-peers           serve nobody else; without it also whoever is heard
  --count N              N receivers, at N addresses from ADDR on; their lines begin with the address
its clock
  --clock-id HEX         clockIdentity (made from the address)
  --uptime S             what the clock reads at the start (127677)
  --skew-ppm X           how much faster than this host's clock it runs (0)
  --correction-ms A-B    corrections of Follow_Ups, A to B, small ones more often (0.5-110)
its behaviour
  --gm-priority1 N       priority1 it announces (248)
  --standalone           serve always, also beside a better clock
  --only-when-silent     serve only while the sender sends neither Announce nor Sync (OS 27)
  --wake-up              nqptp: never serve, wake the sender with two Announces
  --thin-announces       three Announces, then one in 20 s
  --never-announce       no Announce
  --never-sync           no Sync
  --sync-interval-ms X   time from one Sync to the next (125)
  --delay-resp-sign S    plus (Apple), minus (IEEE 1588), none, truth+correction (AVNU) (plus)
  --delay-resp-latency-ms X   answers leave 0 to X after the question (0; one of 101 was captured)
  --no-delay-resp        no answer to Delay_Req
its link, for what it sends; with --both-ways also for what it hears
  --loss PERCENT  --jitter-ms X  --duplicate PERCENT  --reorder PERCENT
  --both-ways
  --seed N               of all randomness (1)
what happens, at S seconds after the start
  --restart-at S         boot: --restart-uptime S (3), --restart-silence S (2.5)
  --silence-at S         for --silence-for S (5)
  --grandmaster-at S     tell another clock's time: --grandmaster-step-ms X (250), --grandmaster-skew-ppm X (as before),
                         --grandmaster-id HEX (its own with each bit flipped)
  --step-at S            phase moves by --step-ms X (250)
  --die-at S             gone, ports closed
output
  --truth FILE           lines of truth and events go there (standard output)
  --pairs FILE           at the end: each Sync pair that was heard:
                         pair SENDER ARRIVAL_MONOTONIC_NS ORIGIN_NS SEQUENCE PATH_DELAY_NS|-
  --duration S           end after so long (at SIGINT or SIGTERM)

lines
  truth MONOTONIC_NS RECEIVER_NS SKEW_PPB GRANDMASTER EPOCH
      from CLOCK_MONOTONIC = MONOTONIC_NS on, receiver time = RECEIVER_NS + (t - MONOTONIC_NS) * (1 + SKEW_PPB * 1e-9)
  event first_sync|first_delay_req|wake_up MONOTONIC_NS SENDER;  event serving|restart|speaking|died MONOTONIC_NS
  event following MONOTONIC_NS GRANDMASTER;  event silent MONOTONIC_NS UNTIL_MONOTONIC_NS
  ready                  all is bound
  summary NAME=COUNT...  at the end
";

/// Sync pairs kept for `--pairs`: over three hours of one sender.
const PAIRS_KEPT: usize = 100_000;

/// A fleet begins to serve over so many nanoseconds: one Announce interval, so that nothing comes all at once.
const SPREAD_NS: i64 = 250_000_000;

/// What the command line says.
struct Options {
    config: Config,
    count: u32,
    truth: Option<PathBuf>,
    pairs: Option<PathBuf>,
    duration: Option<Duration>,
}

/// [`USAGE`] of a program called `name`.
pub fn usage(name: &str) -> String {
    USAGE.replacen("usage: receiver ", &format!("usage: {name} "), 1)
}

/// Runs the program called `name` with these arguments, its name not among them.
pub fn main(name: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match read_options(lexopt::Parser::from_args(arguments)) {
        Ok(Some(options)) => run(options).map_err(|e| e.to_string()),
        Ok(None) => {
            // Nobody to help is no failure.
            let _ = io::stdout().write_all(usage(name).as_bytes());
            Ok(())
        }
        Err(e) => Err(format!("{e}\nTry --help.")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<()> {
    let Options { config, count, truth, pairs, duration } = options;
    // Before any thread is made, so that none of them gets the signals.
    let signals = StopSignals::hold();
    let mut lines: Box<dyn Write + Send> = match truth {
        Some(path) => Box::new(LineWriter::new(File::create(path)?)),
        None => Box::new(io::stdout()),
    };
    let several = count > 1;
    let configs = (0..count).map(|index| numbered(&config, index, count)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = configs.iter().map(|config| config.addresses[0].ip).collect();
    // Who is named as a peer has an address already.
    let loopback = config.peers.is_empty() && names.iter().all(|name| name.is_ipv4() && name.is_loopback());
    // A reader that has gone away does not stop the clock.
    let sink = Box::new(move |index: usize, line: &Line| {
        let _ = if several { writeln!(lines, "{} {line}", names[index]) } else { writeln!(lines, "{line}") };
    });
    let fleet = Fleet::spawn(configs, sink).map_err(explain)?;
    let _ = writeln!(io::stdout(), "ready");
    if loopback {
        // The wildcard address, which is the default at the other end, is not free beside ours.
        eprintln!(
            "follow it from another address of this host: --local 127.0.0.1, in a program local_address"
        );
    }
    signals.wait(duration);

    let mut sum = Counters::default();
    (0..fleet.len()).for_each(|index| sum += fleet.counters(index));
    if let Some(path) = pairs {
        let mut file = io::BufWriter::new(File::create(path)?);
        for index in 0..fleet.len() {
            for sender in fleet.senders(index) {
                for pair in fleet.pairs(index, sender) {
                    let delay = pair.path_delay_ns.map_or("-".to_string(), |delay| delay.to_string());
                    let (ip, at, origin, id) = (sender.ip, pair.arrival_ns, pair.origin_ns, pair.sequence_id);
                    writeln!(file, "pair {ip} {at} {origin} {id} {delay}")?;
                }
            }
        }
        file.flush()?;
    }
    drop(fleet);
    let _ = writeln!(io::stdout(), "summary {sum}");
    Ok(())
}

/// The receiver at `index` of `count`: the next address, another seed, its own beat and, where one was given, another
/// identity.
fn numbered(config: &Config, index: u32, count: u32) -> io::Result<Config> {
    let mut config = config.clone();
    config.phase_ns = SPREAD_NS * i64::from(index) / i64::from(count);
    if index > 0 {
        for host in &mut config.addresses {
            let next = match host.ip {
                IpAddr::V4(ip) => u32::from(ip).checked_add(index).map(|ip| IpAddr::V4(ip.into())),
                IpAddr::V6(ip) => u128::from(ip).checked_add(index.into()).map(|ip| IpAddr::V6(ip.into())),
            };
            host.ip = next.ok_or_else(|| io::Error::other("--count: no more addresses"))?;
        }
        config.seed = config.seed.wrapping_add(index.into());
        if config.identity != 0 {
            // The last two bytes are Apple's 0x0008.
            config.identity = config.identity.wrapping_add(u64::from(index) << 16);
        }
    }
    Ok(config)
}

fn explain(error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024: choose --event-port and --general-port above)"
        }
        io::ErrorKind::AddrInUse => " (another program has this port)",
        io::ErrorKind::AddrNotAvailable => " (not an address of this host)",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{error}{remedy}"))
}

/// `None`: help is wanted.
fn read_options(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut config = Config::default();
    let mut addresses = Vec::new();
    let (mut count, mut truth, mut pairs, mut duration) = (1, None, None, None);
    let (mut restart_at, mut restart_uptime, mut restart_silence) = (None, 3.0, 2.5);
    let (mut silence_at, mut silence_for) = (None, 5.0);
    let (mut grandmaster_at, mut grandmaster_id, mut grandmaster_step) = (None, None, 250.0);
    let mut grandmaster_skew = None;
    let (mut step_at, mut step, mut die_at) = (None, 250.0, None);
    let (mut both_ways, mut only_when_silent) = (false, false);
    while let Some(argument) = parser.next()? {
        let Long(name) = argument else { return Err(argument.unexpected()) };
        match name.to_owned().as_str() {
            "help" => return Ok(None),
            "address" => addresses.push(host(&mut parser)?),
            "event-port" => config.event_port = parser.value()?.parse()?,
            "general-port" => config.general_port = parser.value()?.parse()?,
            "peer" => config.peers.push(host(&mut parser)?),
            "only-peers" => config.only_peers = true,
            "count" => count = parser.value()?.parse()?,
            "clock-id" => config.identity = identity(&mut parser)?,
            "uptime" => config.uptime_ns = nanos(seconds(&mut parser)?) as u64,
            "skew-ppm" => config.skew_ppb = ppb(number(&mut parser)?),
            "correction-ms" => config.correction_ns = parser.value()?.parse_with(range)?,
            "gm-priority1" => config.priority1 = parser.value()?.parse()?,
            "standalone" => config.serving = Serving::Always,
            "only-when-silent" => only_when_silent = true,
            "wake-up" => config.serving = Serving::WakeUp,
            "thin-announces" => config.announcing = Announcing::Thinning,
            "never-announce" => config.announcing = Announcing::Never,
            "never-sync" => config.never_sync = true,
            "sync-interval-ms" => config.sync_interval_ns = millis(seconds(&mut parser)?).max(1),
            "delay-resp-sign" => config.delay_resp = parser.value()?.parse_with(delay_resp)?,
            "delay-resp-latency-ms" => config.delay_resp_latency_ns = millis(seconds(&mut parser)?),
            "no-delay-resp" => config.delay_resp = DelayResp::Never,
            "loss" => config.outgoing.loss_percent = number(&mut parser)?,
            "jitter-ms" => config.outgoing.jitter_ns = millis(seconds(&mut parser)?),
            "duplicate" => config.outgoing.duplicate_percent = number(&mut parser)?,
            "reorder" => config.outgoing.reorder_percent = number(&mut parser)?,
            "both-ways" => both_ways = true,
            "seed" => config.seed = parser.value()?.parse()?,
            "restart-at" => restart_at = Some(seconds(&mut parser)?),
            "restart-uptime" => restart_uptime = seconds(&mut parser)?,
            "restart-silence" => restart_silence = seconds(&mut parser)?,
            "silence-at" => silence_at = Some(seconds(&mut parser)?),
            "silence-for" => silence_for = seconds(&mut parser)?,
            "grandmaster-at" => grandmaster_at = Some(seconds(&mut parser)?),
            "grandmaster-id" => grandmaster_id = Some(identity(&mut parser)?),
            "grandmaster-step-ms" => grandmaster_step = number(&mut parser)?,
            "grandmaster-skew-ppm" => grandmaster_skew = Some(ppb(number(&mut parser)?)),
            "step-at" => step_at = Some(seconds(&mut parser)?),
            "step-ms" => step = number(&mut parser)?,
            "die-at" => die_at = Some(seconds(&mut parser)?),
            "truth" => truth = Some(parser.value()?.into()),
            "pairs" => pairs = Some(parser.value()?.into()),
            "duration" => duration = Some(Duration::from_nanos(nanos(seconds(&mut parser)?) as u64)),
            _ => return Err(Long(name).unexpected()),
        }
    }
    if !addresses.is_empty() {
        config.addresses = addresses;
    }
    if only_when_silent {
        config.serving = Serving::WhenSilent;
    }
    if both_ways {
        config.incoming = config.outgoing;
    }
    if pairs.is_some() {
        config.kept_pairs = PAIRS_KEPT;
    }
    let own = if config.identity == 0 { config.addresses[0].identity() } else { config.identity };
    let (restart_uptime, restart_silence) = (nanos(restart_uptime) as u64, nanos(restart_silence));
    let script = [
        (restart_at, Command::Restart { uptime_ns: restart_uptime, silence_ns: restart_silence }),
        (silence_at, Command::Silence { for_ns: nanos(silence_for) }),
        (
            grandmaster_at,
            Command::Grandmaster {
                identity: grandmaster_id.unwrap_or(!own),
                step_ns: millis(grandmaster_step),
                skew_ppb: grandmaster_skew,
            },
        ),
        (step_at, Command::Step { step_ns: millis(step) }),
        (die_at, Command::Die),
    ];
    config.script = script.into_iter().filter_map(|(at, what)| Some((nanos(at?), what))).collect();
    Ok(Some(Options { config, count, truth, pairs, duration }))
}

fn host(parser: &mut lexopt::Parser) -> Result<Host, lexopt::Error> {
    parser.value()?.parse_with(edge::host)
}

fn number(parser: &mut lexopt::Parser) -> Result<f64, lexopt::Error> {
    parser.value()?.parse_with(|text| match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("not a number"),
    })
}

/// A span: a number not below 0.
fn seconds(parser: &mut lexopt::Parser) -> Result<f64, lexopt::Error> {
    match number(parser)? {
        number if number >= 0.0 => Ok(number),
        _ => Err("a span of time is not below 0".into()),
    }
}

fn identity(parser: &mut lexopt::Parser) -> Result<u64, lexopt::Error> {
    parser.value()?.parse_with(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16))
}

fn range(text: &str) -> Result<(i64, i64), &'static str> {
    let span = |text: &str| text.parse::<f64>().ok().filter(|ms| (0.0..=1e6).contains(ms)).map(millis);
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    span(low).zip(span(high)).ok_or("two spans in ms: 0.5-110")
}

fn delay_resp(text: &str) -> Result<DelayResp, &'static str> {
    match text {
        "plus" => Ok(DelayResp::Plus),
        "minus" => Ok(DelayResp::Minus),
        "none" => Ok(DelayResp::Plain),
        "truth+correction" => Ok(DelayResp::TruthPlusCorrection),
        _ => Err("plus, minus, none or truth+correction"),
    }
}

/// Seconds to nanoseconds; a float's cast holds at the ends of the range.
fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

fn millis(millis: f64) -> i64 {
    (millis * 1e6).round() as i64
}

fn ppb(ppm: f64) -> i64 {
    (ppm * 1e3).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Option<Options>, lexopt::Error> {
        read_options(lexopt::Parser::from_args(arguments.split_whitespace()))
    }

    #[test]
    fn what_is_said_is_done() {
        let options = read(
            "--address ::1 --address 127.0.0.9 --peer 127.0.0.1 --only-when-silent --standalone --skew-ppm -12.5 \
             --correction-ms 1-2.5 --delay-resp-sign minus --loss 2 --both-ways --restart-at 5 --duration 1.5 \
             --grandmaster-at 7 --grandmaster-step-ms -3",
        );
        let Options { config, duration, count, .. } = options.unwrap().unwrap();
        assert_eq!((duration, count), (Some(Duration::from_millis(1500)), 1));
        assert_eq!((config.addresses.len(), config.peers.len()), (2, 1));
        assert_eq!((config.skew_ppb, config.correction_ns), (-12_500, (1_000_000, 2_500_000)));
        assert_eq!((config.serving, config.delay_resp), (Serving::WhenSilent, DelayResp::Minus));
        assert_eq!((config.incoming.loss_percent, config.outgoing.loss_percent), (2.0, 2.0));
        let own = config.addresses[0].identity();
        let script = [
            (5_000_000_000, Command::Restart { uptime_ns: 3_000_000_000, silence_ns: 2_500_000_000 }),
            (7_000_000_000, Command::Grandmaster { identity: !own, step_ns: -3_000_000, skew_ppb: None }),
        ];
        assert_eq!(config.script, script);
    }

    #[test]
    fn nonsense_is_refused_and_help_is_given() {
        assert!(read("--help").unwrap().is_none());
        for wrong in
            ["x", "--loss much", "--jitter-ms -1", "--peer speaker", "--event-port 70000", "--clock-id xyz"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        // Every option of the help is understood: an option without its value is not "unexpected".
        let options = USAGE.split_whitespace().filter(|word| word.starts_with("--"));
        for option in options.map(|word| word.trim_end_matches([',', ';', '.', ':'])) {
            let unknown = match read(option) {
                Err(lexopt::Error::UnexpectedOption(_)) => true,
                Err(_) | Ok(_) => false,
            };
            assert!(!unknown, "{option}");
        }
    }

    #[test]
    fn a_fleet_has_different_addresses_identities_and_beats() {
        let config = Config { identity: 0x1414_7de8_5498_0008, ..Config::default() };
        let second = numbered(&config, 1, 2).unwrap();
        assert_eq!(second.addresses[0].ip, IpAddr::from([127, 0, 0, 3]));
        assert_eq!((second.identity, second.phase_ns), (0x1414_7de8_5499_0008, 125_000_000));
        assert_ne!(second.seed, config.seed);
    }
}
