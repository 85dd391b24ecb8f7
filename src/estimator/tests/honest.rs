//! Bounds where what was learned of the path does not hold any more, or was learned wrong.
#![forbid(unsafe_code)]

use super::*;

/// A two-way link, judged in absolute terms.
fn two_way(seed: u64) -> Link {
    let mut link = Link::wired(seed);
    (link.two_way, link.excused) = (Some(60e3), 0.0);
    link
}

#[test]
fn a_path_that_grows_slowly_both_ways_is_in_the_two_way_bound() {
    for seed in 1..=6 {
        let mut link = two_way(seed);
        link.run(3);
        link.look();
        // 100 us a second, which a rate not well known yet may pass for.
        for _ in 0..40 {
            link.run(1);
            link.least += 100e3;
            link.two_way = Some(link.least);
        }
        assert!(link.outside <= 2, "seed {seed}: {} of {}", link.outside, link.errors.len());
        link.look();
        link.run(60);
        assert_eq!(link.outside, 0, "seed {seed}");
    }
}

#[test]
fn an_exchange_read_wrong_at_the_start_is_not_believed_for_ever() {
    for seed in 1..=6 {
        let mut link = two_way(seed);
        // The first pairs are 30 ms late, so that a request may seem to arrive 10 ms before it left.
        link.queue = (30e6, 30e6);
        for _ in 0..3 {
            link.sync();
            let received = PtpTime::clamped(i128::from(link.truth(-10e6)));
            link.estimator.exchange(Exchange { sent: link.local(), received }, link.local());
        }
        link.queue = (0.0, 0.0);
        link.run(10);
        link.look();
        link.run(20);
        assert_eq!(link.outside, 0, "seed {seed}: {} {}", link.error(1.0), link.bound(0.0));
        assert!(link.error(1.0) < 30e3, "seed {seed}: {}", link.error(1.0));
    }
}

#[test]
fn exchanges_can_be_taken_back() {
    let mut link = two_way(3);
    link.run(10);
    assert!(link.estimator.line().unwrap().path_delay_ns.is_some());
    link.estimator.forget_exchanges();
    link.two_way = None;
    link.sync();
    assert_eq!(link.estimator.line().unwrap().path_delay_ns, None);
    link.excused = link.least;
    link.look();
    link.run(10);
    assert_eq!((link.outside, link.steps), (0, 0));
}

#[test]
fn a_late_sample_just_before_a_step_back_does_not_hide_how_far_it_went() {
    for seed in 1..=8 {
        let mut link = Link::wifi(seed);
        link.spikes = false;
        link.run(60);
        // Samples of a queue, a little late, begin the run that the step then goes on with.
        link.queue = (4e6, 5e6);
        for _ in 0..6 {
            link.sync();
        }
        link.queue = (0.0, 0.0);
        link.offset -= 20e6;
        for _ in 0..3 {
            link.sync();
        }
        link.look();
        link.run(20);
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
fn a_growth_that_was_seen_stays_in_the_bound() {
    let mut link = Link::wired(5);
    link.run(60);
    // Seen, and bridged; then more, which gives the former floor up; then the first of it is gone again.
    link.least += 2e6;
    link.run(60);
    link.least += 2e6;
    link.run(60);
    link.least -= 2e6;
    link.run(30);
    link.look();
    // Longer than any line of before is remembered.
    link.run(600);
    assert_eq!((link.outside, link.steps), (0, 0), "{} {}", link.error(1.0), link.bound(0.0));
}

#[test]
fn a_path_that_was_growing_both_ways_is_in_the_bound_of_the_silence_after_it() {
    for seed in 1..=4 {
        let mut link = Link::wired(seed);
        link.excused = 0.0;
        for i in 0..104 {
            let grown = 1.25e3 * f64::from(i);
            (link.least, link.two_way) = (60e3 + grown, Some(60e3 + grown));
            link.sync();
        }
        link.look();
        for _ in 0..60 {
            link.advance(1_000_000_000);
            let now = link.local();
            link.estimator.coast(now);
            link.judge(false);
        }
        assert_eq!(link.outside, 0, "seed {seed}");
    }
}

#[test]
fn a_line_that_is_dragged_faster_than_crystals_run_is_between_the_latest_of_both_ways() {
    for seed in 1..=16 {
        let mut link = Link::wifi(seed);
        link.excused = 0.0;
        link.two_way = Some(3e6);
        link.run(4);
        link.look();
        // The way down grows by a quarter of a millisecond a second, the way up shrinks by as much while it can.
        for i in 0..128 {
            let grown = 31.25e3 * f64::from(i);
            (link.least, link.two_way) = (1e6 + grown, Some((3e6 - grown).max(100e3)));
            link.sync();
        }
        link.run(10);
        assert_eq!(link.outside, 0, "seed {seed}");
    }
}
