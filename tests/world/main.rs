//! The simulated world: hosts, links and receivers in virtual time, and the real wire, association, estimator, timeline
//! and latch in them. One seed decides everything; `WORLD_SEED=… cargo test world` repeats the world of a failure.
//!
//! `watch` has what must be true at every event and every 50 ms; `scenarios` the named worlds, `chance` the random ones.
//! Only `src/engine` is replaced: `host` does what it does with an association.
#![allow(clippy::disallowed_methods)] // The seed to repeat and the length of a soak come from the environment.

mod chance;
mod host;
mod link;
mod memory;
mod oscillator;
mod random;
mod receiver;
mod watch;
mod world;

use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Prints what worlds do, for whoever works on them.
#[test]
#[ignore = "a tool"]
fn survey_of_worlds() {
    let first = number("WORLD_FIRST").unwrap_or(1);
    let count = number("WORLD_COUNT").unwrap_or(100);
    let (mut bad, mut samples, mut outside) = (0, 0, 0);
    for seed in first..first + count {
        let plan = chance::plan(seed, 600.0);
        let text = format!("{plan:?}");
        let report = World::new(plan).run();
        samples += report.tally.samples;
        outside += report.tally.outside;
        if !report.violations.is_empty() {
            bad += 1;
            println!("== seed {seed}: {text}");
            for violation in report.violations.iter().take(4) {
                println!("   {violation}");
            }
            for line in report.outside.iter().step_by((report.outside.len() / 6).max(1)) {
                println!("      outside {line}");
            }
        }
    }
    println!("{bad} of {count} worlds; {outside} of {samples} samples outside");
}
