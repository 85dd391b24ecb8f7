//! Small steps and paths that grow, early in a session and late, on a link that is clean.
#![forbid(unsafe_code)]

use super::*;

/// A loopback (0) or 2 ms of cable, with the noise of software stamps.
fn clean(seed: u64, least: f64, two_way: bool) -> Link {
    let mut link = Link::new(seed, least, 8e3);
    link.spikes = false;
    link.two_way = two_way.then_some(least);
    link.excused = if two_way { 0.0 } else { least };
    link
}

/// Runs for `age` seconds, then `change`s, and tells the share of samples outside the bound in the 60 s after the first
/// contradicting sample, and after how many samples a step was found.
fn after(mut link: Link, age: f64, change: impl Fn(&mut Link)) -> (f64, Option<usize>) {
    (0..(8.0 * age) as usize).for_each(|_| {
        link.sync();
    });
    assert_eq!(link.steps, 0);
    change(&mut link);
    link.sync();
    link.look();
    let found = (2..480).filter(|_| link.sync().stepped).min();
    assert!(link.jump <= 2.0, "{}", link.jump);
    (link.outside as f64 / link.errors.len() as f64, found)
}

const AGES: [f64; 8] = [2.0, 3.0, 4.0, 5.5, 8.0, 15.0, 29.0, 60.0];

#[test]
fn a_small_step_back_is_inside_the_bound_at_any_age() {
    let mut bad = Vec::new();
    for seed in 1..=2 {
        for age in AGES {
            for (least, two_way) in [(10e3, false), (2e6, false), (10e3, true), (2e6, true)] {
                for step in [2e6, 3e6, 5e6, 20e6, 45e6] {
                    let (outside, found) =
                        after(clean(seed, least, two_way), age, |link| link.offset -= step);
                    if outside > 1e-3 || two_way && step > 1.2 * least && found.is_none_or(|n| n > 4) {
                        bad.push((seed, age, least, two_way, step, outside, found));
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} {bad:#?}", bad.len());
}

#[test]
fn a_step_forward_that_exchanges_prove_is_found() {
    let mut bad = Vec::new();
    for seed in 1..=2 {
        for age in AGES {
            for step in [5e6, 20e6, 45e6] {
                let (outside, found) = after(clean(seed, 10e3, true), age, |link| link.offset += step);
                if outside > 1e-3 || found.is_none_or(|n| n > 4) {
                    bad.push((seed, age, step, outside, found));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} {bad:#?}", bad.len());
}

#[test]
fn a_path_that_grows_is_no_step_and_inside_the_bound_at_any_age() {
    let mut bad = Vec::new();
    for seed in 1..=2 {
        for age in AGES {
            for (least, two_way, up) in [
                (10e3, false, 0.0),
                (2e6, false, 0.0),
                (10e3, true, 0.0),
                (10e3, true, 1.0),
                (2e6, true, 1.0),
            ] {
                for growth in [2e6, 5e6, 20e6] {
                    let (outside, found) = after(clean(seed, least, two_way), age, |link| {
                        link.least += growth;
                        link.two_way = link.two_way.map(|u| u + up * growth);
                    });
                    if outside > 1e-3 || found.is_some() {
                        bad.push((seed, age, least, two_way, up, growth, outside, found));
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} {bad:#?}", bad.len());
}

#[test]
fn a_tight_step_back_is_found_in_a_second_and_inside_the_bound_before() {
    let mut bad = Vec::new();
    for age in AGES {
        for step in [60e6, 250e6, 1.4e9] {
            let (outside, found) = after(clean(1, 10e3, false), age, |link| link.offset -= step);
            if outside > 1e-3 || found.is_none_or(|n| n > 9) {
                bad.push((age, step, outside, found));
            }
        }
    }
    assert!(bad.is_empty(), "{} {bad:#?}", bad.len());
}

#[test]
fn on_a_radio_exchanges_prove_a_step_and_deny_a_queue() {
    for seed in 1..=6 {
        let mut link = Link::wifi(seed);
        link.two_way = Some(1e6);
        link.excused = 0.0;
        link.run(20);
        link.queue = (5e6, 40e6);
        link.run(10);
        link.queue = (0.0, 0.0);
        link.run(20);
        assert_eq!(link.steps, 0, "seed {seed}");
        let (outside, found) = after(link, 0.0, |link| link.offset -= 20e6);
        assert!(found.is_some_and(|n| n <= 8) && outside < 1e-3, "seed {seed}: {found:?} {outside}");
    }
}

#[test]
fn with_exchanges_nothing_that_paths_and_rates_do_is_a_step_or_leaves_the_bound() {
    for seed in 1..=30 {
        let mut link = match seed % 3 {
            0 => Link::wifi(seed),
            1 => Link::wired(seed),
            _ => clean(seed, 2e6, true),
        };
        let least = link.least;
        link.late_share = if seed % 4 == 0 { 0.03 } else { 0.0 };
        link.two_way = Some(least);
        link.excused = 0.0;
        link.run(2 + seed as u32 % 20);
        for _ in 0..12 {
            let (kind, share) = (link.random.bits() % 7, link.random.unit());
            let grown = least + 20e6 * share * share;
            match kind {
                0 => link.least = grown,
                1 => link.two_way = Some(grown),
                2 => (link.least, link.two_way) = (grown, Some(grown)),
                3 => link.ppm += 40.0 * share - 20.0,
                4 => link.advance((60e9 * share) as i64),
                5 => link.queue = (5e6 * share, 40e6 * share),
                _ => (link.queue, link.least, link.two_way) = ((0.0, 0.0), least, Some(least)),
            }
            link.run(1 + (20.0 * share) as u32);
        }
        assert_eq!(link.steps, 0, "seed {seed}");
        assert!(link.outside * 1000 <= link.errors.len(), "seed {seed}: {}", link.outside);
    }
}

#[test]
fn a_path_takes_time() {
    let mut link = clean(1, 0.0, true);
    link.mean = 100.0;
    for syncs in 1..800 {
        link.sync();
        let path = link.estimator.line().unwrap().path_delay_ns;
        assert!(path != Some(0) && (syncs < 2 || path.is_some()), "{syncs} {path:?}");
    }
}
