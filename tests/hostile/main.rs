//! A hostile network over real sockets: while a receiver is followed and another address is led, one flood after the
//! other. Prints `PASS name: figures` or `FAIL name: why` for each; with names as arguments, for those alone.
//!
//! What is judged is a ratio to the calm of the same run, or to the published bound. Nothing depends on how fast the
//! host is, but for the calm's floor: with two processors, sender, receiver and library take turns.
#![allow(clippy::disallowed_methods)] // A test waits, reads clocks and opens sockets.

mod attacks;
mod flood;
mod scene;

use std::process::ExitCode;
use std::time::Duration;

use attacks::{Attack, Expect, From, ATTACKS};
use flood::Flood;
use scene::{Scene, Watched, ELSEWHERE, OURS, RECEIVER};

/// Packets a second.
const RATE: u32 = 100_000;

/// A calm of less than this is taken for as much: a scheduler's slice on a host whose processors are all busy.
const FLOOR_NS: u64 = 100_000;

/// How long the clock settles, and how long the calm and each attack are watched.
struct Spans {
    settle: Duration,
    calm: Duration,
    attacked: Duration,
}

const SPANS: Spans =
    Spans { settle: Duration::from_secs(2), calm: Duration::from_secs(6), attacked: Duration::from_secs(4) };

/// The same for an attack that is called by its name: to see whether a bug is found, not how good the clock is.
const QUICK: Spans =
    Spans { settle: Duration::from_secs(1), calm: Duration::from_secs(2), attacked: Duration::from_secs(2) };

/// The worker's time for one packet that it reads and refuses is at most this.
const PER_PACKET: Duration = Duration::from_micros(20);

/// Log lines that an attack may cause: twenty changes a minute of each session, and one line of the flood itself.
const LINES: u64 = 42;

/// Syncs that the led address is owed in a second.
const SYNCS: f64 = 8.0;

/// The kernel's drops are counted once a second, and shown with the next packet.
const COUNTED_WITHIN: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    // What cargo hands every test program is not for this one.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let spans = if wanted.is_empty() { SPANS } else { QUICK };
    let mut failed = false;
    scene::count_log_lines();
    let scenes = [("", (23_319, 23_320), false), ("-unfiltered", (23_329, 23_330), true)];
    for (suffix, ports, handed_over) in scenes {
        let mine = |attack: &&Attack| !handed_over || attack.from == From::Elsewhere;
        let is_wanted =
            |attack: &&Attack| wanted.is_empty() || wanted.contains(&format!("{}{suffix}", attack.name));
        let attacks: Vec<&Attack> = ATTACKS.iter().filter(mine).filter(is_wanted).collect();
        if attacks.is_empty() {
            continue;
        }
        let scene = Scene::new(ports, handed_over);
        std::thread::sleep(spans.settle);
        let calm = scene.watch(spans.calm);
        println!(
            "calm{suffix}: error median {} p99 {}, worker {:.2} %",
            us(calm.median),
            us(calm.p99),
            calm.load()
        );
        for attack in attacks {
            let name = format!("hostile {}{suffix}", attack.name);
            match judged(&scene, attack, &calm, spans.attacked, handed_over) {
                Ok(figures) => println!("PASS {name}: {figures}"),
                Err(why) => {
                    println!("FAIL {name}: {why}");
                    failed = true;
                    // The next one is judged by itself.
                    scene.until_locked();
                    std::thread::sleep(spans.settle + spans.calm);
                }
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

fn us(ns: u64) -> String {
    format!("{:.1} us", ns as f64 / 1e3)
}

fn judged(
    scene: &Scene,
    attack: &Attack,
    calm: &Watched,
    span: Duration,
    handed_over: bool,
) -> Result<String, String> {
    let from = match attack.from {
        From::Elsewhere => ELSEWHERE,
        From::Receiver => RECEIVER,
    };
    let before = scene.counts();
    let lines = scene::log_lines();
    let flood = Flood::start(from, OURS, scene.ports, RATE, (attack.make)(scene.knowledge()));
    std::thread::sleep(Duration::from_millis(200));
    let let_in = attack.from != From::Elsewhere || scene.lets_in_who_is_known();
    let early = flood.sent();
    let seen = scene.watch(span);
    let during = flood.sent() - early;
    let sent = {
        let sent = flood.sent();
        drop(flood);
        sent
    };
    std::thread::sleep(COUNTED_WITHIN);
    let lines = scene::log_lines() - lines;
    let counts = scene.counts().since(&before);
    let read = counts.accounted().saturating_sub(counts.kernel_drops);
    let per_packet = seen.cpu.saturating_sub(calm.cpu.mul_f64(span.as_secs_f64() / calm.span.as_secs_f64()));
    let per_packet = per_packet / u32::try_from(read.max(1)).unwrap_or(u32::MAX);
    let figures = format!(
        "{} packets/s; error median {} p99 {} (calm {} {}), {}/{} locked, {} beyond the bound; worker {:.1} % \
         (calm {:.1} %), {:.2} us a packet read; {} Syncs served; {} epochs; {lines} log lines; {sent} sent:{counts}",
        during * 1_000 / seen.span.as_millis() as u64,
        us(seen.median),
        us(seen.p99),
        us(calm.median),
        us(calm.p99),
        seen.locked,
        seen.samples,
        seen.beyond,
        seen.load(),
        calm.load(),
        per_packet.as_nanos() as f64 / 1e3,
        seen.served,
        seen.epochs,
    );
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {figures}")) };

    match attack.expect {
        Expect::Unmoved => {
            check(seen.locked == seen.samples && seen.epochs == 0, "lock was lost")?;
            check(seen.beyond <= 1 + seen.samples / 1_000, "beyond the bound")?;
            check(seen.median <= 2 * calm.median.max(FLOOR_NS), "the median error has grown")?;
            check(seen.p99 <= 2 * calm.p99.max(FLOOR_NS), "the error has grown")?;
        }
        Expect::Honest => {
            check(seen.epochs > 0 || seen.beyond <= 1 + seen.samples / 1_000, "silently wrong")?;
            check(scene.until_locked(), "no lock after the attack")?;
            std::thread::sleep(Duration::from_secs(2));
            let after = scene.watch(Duration::from_secs(1));
            check(after.locked == after.samples && after.epochs == 0, "no rest after the attack")?;
            check(after.beyond <= 1 + after.samples / 1_000, "wrong after the attack")?;
        }
    }
    check(let_in, "a receiver was kept away with the strangers")?;
    check(seen.served as f64 >= 0.75 * SYNCS * seen.span.as_secs_f64(), "deadlines were missed")?;
    check(lines <= LINES, "the log was flooded")?;
    check(per_packet <= PER_PACKET, "too dear a packet")?;
    check(counts.accounted() >= sent - sent / 20, "packets are unaccounted for")?;
    for why in attack.counted {
        check(counts.of(*why) > 0, &format!("{why:?} was not counted"))?;
    }
    if attack.from == From::Elsewhere {
        if handed_over {
            check(counts.wrong_source >= sent / 2, "strangers were not counted one by one")?;
        } else {
            check(counts.kernel_drops >= sent / 2, "the kernel was not asked to help")?;
            check(seen.load() <= calm.load() + 5.0, "strangers cost the worker time")?;
        }
    }
    Ok(figures)
}
