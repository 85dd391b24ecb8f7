//! Paths that grow or shrink until they are taken for a clock, by pairs alone.
#![forbid(unsafe_code)]

use super::*;

/// For so many seconds the path grows by so much each second, ns.
fn grow(link: &mut Link, seconds: u32, by: f64) {
    for _ in 0..8 * seconds {
        link.least += by / 8.0;
        link.sync();
    }
}

/// How far the line is off after a silence, ns, and its bound there.
fn after_silence(link: &mut Link, seconds: i64) -> (f64, f64) {
    link.advance(seconds * 1_000_000_000);
    let line = link.estimator.line().unwrap();
    let error = line.remote_at(link.local()).nanos() as i64 - link.truth(-link.excused);
    (error.abs() as f64, line.error_at(link.local()) as f64)
}

#[test]
fn a_rate_learned_from_a_path_that_grew_is_in_the_bound_of_a_silence() {
    for seed in 1..=6 {
        for by in [-60e3, -30e3, 30e3] {
            // From the start, so that no other rate was ever seen.
            let mut link = Link::wifi(seed);
            link.least += 3e6;
            grow(&mut link, 45, by);
            let line = link.estimator.line().unwrap();
            let before = line.remote_at(link.local()).nanos() as f64 - link.truth(0.0) as f64;
            link.excused = -before;
            let (error, bound) = after_silence(&mut link, 40);
            assert!(error > 1e6 && error < bound, "seed {seed}, {by}: {error} {bound}");
        }
    }
}

#[test]
fn a_rate_learned_from_a_path_that_shrank_is_in_the_bound_of_a_silence() {
    for seed in 1..=6 {
        let mut link = Link::wifi(seed);
        link.run(30);
        grow(&mut link, 60, 50e3);
        link.run(60);
        grow(&mut link, 50, -50e3);
        link.least = link.excused;
        let (error, bound) = after_silence(&mut link, 50);
        assert!(error > 1e6 && error < bound, "seed {seed}: {error} {bound}");
    }
}

#[test]
fn a_rate_that_has_lasted_is_the_clocks() {
    let mut link = Link::wired(7);
    link.run(300);
    let (_, bound) = after_silence(&mut link, 40);
    assert!(bound < 100e3, "{bound}");
}

#[test]
fn a_growth_from_the_start_is_in_the_bound_once_it_has_ended() {
    for seed in 1..=6 {
        let mut link = Link::wired(seed);
        grow(&mut link, 30, 50e3);
        // Until the new rate is known.
        link.run(20);
        link.look();
        link.run(120);
        assert!(link.outside <= 16, "seed {seed}: {} of {}", link.outside, link.errors.len());
        assert!(link.error(0.0) > 0.5e6, "seed {seed}: {}", link.error(0.0));
    }
}

#[test]
fn a_growth_within_the_jitter_stays_in_the_bound() {
    let mut outside = 0;
    for seed in 1..=12 {
        let mut link = Link::wifi(seed);
        link.run(30);
        link.least += 300e3;
        link.run(30);
        link.look();
        // Longer than any line is remembered.
        link.run(600);
        outside += link.outside;
    }
    assert!(outside <= 100, "{outside} of 57600");
}

#[test]
fn a_path_shorter_than_any_before_is_in_the_bound_before_the_line_is_there() {
    let mut outside = 0;
    for seed in 1..=24 {
        let mut link = Link::wifi(seed);
        link.run(100);
        link.least -= 350e3;
        link.excused = link.least;
        link.run(1);
        link.look();
        link.run(10);
        outside += link.outside;
    }
    assert!(outside <= 60, "{outside} of 1920");
}

#[test]
fn a_clock_set_ahead_does_not_pay_what_a_path_owes() {
    for seed in 1..=4 {
        let mut link = Link::wired(seed);
        link.run(60);
        // The former floor is given up.
        link.least += 2e6;
        link.run(30);
        link.least += 3e6;
        link.run(60);
        link.offset += 33e6;
        link.run(60);
        link.look();
        link.run(500);
        assert_eq!(
            (link.outside, link.steps),
            (0, 0),
            "seed {seed}: {} {}",
            link.error(1.0),
            link.bound(0.0)
        );
    }
}

#[test]
fn in_a_silence_the_bound_grows_by_any_rate_that_few_samples_of_both_ways_allow() {
    for seed in 1..=8 {
        let mut link = Link::wifi(seed);
        // Both ways grow by 48 us a second from the start: the trend of 16 s hides in such delays.
        for i in 0..224 {
            let grown = 6e3 * f64::from(i);
            (link.least, link.two_way) = (1e6 + grown, Some(1e6 + grown));
            link.sync();
        }
        link.advance(1_000_000_000);
        link.estimator.coast(link.local());
        let line = link.estimator.line().unwrap();
        let wrong = (line.rate - link.ppm * 1e-6).abs();
        assert!(line.error_growth >= wrong, "seed {seed}: {} of {wrong}", line.error_growth);
    }
    // Where the path keeps to itself, that is little.
    let mut link = two_way_wire();
    link.run(60);
    link.estimator.coast(link.local());
    let growth = link.estimator.line().unwrap().error_growth;
    assert!(growth < 3e-6, "{growth}");
}

fn two_way_wire() -> Link {
    let mut link = Link::wired(1);
    link.two_way = Some(60e3);
    link
}
