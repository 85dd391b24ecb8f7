//! The first seconds of an epoch, and the seconds after a suspend.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn three_pairs_make_it_trusted_within_a_wide_bound() {
    let mut link = Link::wifi(5);
    for expected in [false, false, true] {
        link.sync();
        let line = link.estimator.line().unwrap();
        assert_eq!(line.trusted, expected);
        assert!(line.error_ns > 500_000, "{}", line.error_ns);
    }
}

#[test]
fn the_young_bound_holds_what_a_few_samples_cannot_show() {
    let mut outside = 0;
    for seed in 1..=40 {
        let mut link = Link::wifi(seed);
        link.run(3);
        outside += link.outside;
        // It does not stay so wide.
        link.run(60);
        assert!(link.bounds[link.bounds.len() - 1] < 300e3, "seed {seed}");
    }
    assert!(outside <= 4, "{outside}");
}

#[test]
fn the_rate_is_measured_within_seconds_whatever_the_line_steers() {
    for seed in 1..=8 {
        let mut link = Link::wired(seed);
        link.run(4);
        let line = link.estimator.line().unwrap();
        assert!((line.skew * 1e6 - link.ppm).abs() < 5.0, "seed {seed}: {}", line.skew * 1e6);
    }
    // A line that was wrong by a millisecond is steered back; the rate it is said to have is the clock's.
    let mut link = Link::wifi(1);
    link.run(60);
    link.offset += 2e6;
    link.run(2);
    let line = link.estimator.line().unwrap();
    assert!((line.skew * 1e6 - link.ppm).abs() < 5.0, "{}", line.skew * 1e6);
    assert!((line.rate - line.skew).abs() > 50e-6, "{}", line.rate);
}

#[test]
fn a_slow_first_exchange_is_soon_forgotten() {
    let mut link = Link::wifi(14);
    link.excused = 0.0;
    for exchange in 0..12 {
        link.sync();
        let up = if exchange == 0 { 26e6 } else { 1.3e6 };
        let received = PtpTime::clamped(i128::from(link.truth(up)));
        link.estimator.exchange(Exchange { sent: link.local(), received }, link.local());
    }
    assert!(link.errors[10] < 1e6, "{:?}", link.errors);
}

#[test]
fn one_exchange_alone_does_not_move_the_line() {
    let mut link = Link::wifi(16);
    link.run(2);
    let received = PtpTime::clamped(i128::from(link.truth(26e6)));
    link.estimator.exchange(Exchange { sent: link.local(), received }, link.local());
    link.look();
    link.run(2);
    assert!(link.error(1.0) < 1e6, "{}", link.error(1.0));
    assert!(link.bound(0.0) > 10e6, "{}", link.bound(0.0));
}

#[test]
fn the_bound_holds_the_latest_reading_of_exchanges_in_doubt() {
    for seed in 1..=8 {
        let mut link = Link::wifi(seed);
        link.excused = 0.0;
        let (up, doubt) = (1e6 * f64::from(seed as u32), 4e6);
        for _ in 0..80 {
            link.sync();
            // Read earlier by `doubt` than it arrived.
            let delay = up + link.random.exponential(link.mean) - doubt;
            let received = PtpTime::clamped(i128::from(link.truth(delay)));
            let exchange = Exchange { sent: link.local(), received };
            let doubt = Span::from_nanos(doubt as i64);
            link.estimator.doubtful_exchange(exchange, doubt, link.local());
        }
        assert_eq!(link.outside, 0, "seed {seed}");
        // Where that reading is denied, the round trip is what it is.
        link.two_way = Some(up);
        link.estimator.forget_exchanges();
        link.run(10);
        link.look();
        link.run(10);
        assert_eq!(link.outside, 0, "seed {seed}");
        let most = 0.5 * (up + link.least) + 1e6;
        assert!(link.bound(0.9) < most, "seed {seed}: {} {most}", link.bound(0.9));
    }
}

#[test]
fn a_line_that_leaves_its_samples_says_so() {
    let mut outside = 0;
    for seed in 1..=8 {
        let mut link = Link::wifi(seed);
        link.run(60);
        // Nothing that a crystal does, nor so abrupt as a queue.
        link.ppm -= 85.0;
        link.look();
        link.run(20);
        outside += link.outside;
    }
    // It takes some 4 s until so many late samples in a row are no chance.
    assert!(outside < 8 * 36, "{outside}");
}

#[test]
fn a_suspend_moves_the_line_and_takes_the_trust_from_it() {
    let mut link = Link::wired(12);
    link.run(30);
    let before = link.estimator.line().unwrap();
    // The receiver's crystal goes on for an hour while the local one stands still; a millisecond of it goes unnoticed.
    link.offset += 3600e9 * (1.0 + link.ppm * 1e-6);
    link.estimator.shift(Span::from_nanos(3_599_999_000_000));
    let after = link.estimator.line().unwrap();
    assert_eq!(after.anchor_local, before.anchor_local);
    let moved =
        after.anchor_remote.since(before.anchor_remote).nanos() as f64 - 3600e9 * (1.0 + link.ppm * 1e-6);
    assert!(moved.abs() < 2e6, "{moved}");
    assert!(after.error_ns > 1_000_000 + before.error_ns);
    // What the first pairs put right would be a jump of a line that is trusted.
    assert!(before.trusted && !after.trusted);
    link.look();
    link.run(1);
    let line = link.estimator.line().unwrap();
    assert!(line.trusted && (line.skew * 1e6 - link.ppm).abs() < 1.0, "{line:?}");
    link.run(10);
    assert_eq!((link.outside, link.steps), (0, 0));
    assert!(link.errors[40] < 20e3, "{}", link.errors[40]);
}

#[test]
fn after_a_suspend_the_samples_of_before_say_nothing() {
    for wrong in [-1_000_000, 1_000_000] {
        let mut link = Link::wired(15);
        link.two_way = Some(60e3);
        link.excused = 0.0;
        link.run(5);
        link.offset += 3600e9;
        link.estimator.shift(Span::from_nanos(3_600_000_000_000 + wrong));
        link.run(3);
        link.look();
        link.run(3);
        assert!(link.error(1.0) < 50e3, "{wrong}: {}", link.error(1.0));
        assert_eq!((link.outside, link.steps), (0, 0));
    }
}
