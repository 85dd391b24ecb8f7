//! The estimator on small links in virtual time, with the truth beside it.
#![forbid(unsafe_code)]

use super::*;
use crate::time::Span;

mod contradiction;
mod honest;
mod leap;
mod paths;
mod start;

/// Local and remote clock at the start, ns: far apart and large, where an f64 would lose some 200 ns.
const LOCAL: i64 = 1_790_000_000_123_456_789;
const REMOTE: i64 = 127_677_463_415_875;
/// Sync interval, ns.
const SYNC: i64 = 125_000_000;

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// A link with a receiver at its end; fields change as the test goes.
struct Link {
    estimator: Estimator,
    random: Random,
    /// Nanoseconds since the start.
    now: i64,
    /// Remote minus local clock beyond the start's, ns, and rate in ppm.
    offset: f64,
    ppm: f64,
    /// Least delay and mean of the rest, ns.
    least: f64,
    mean: f64,
    /// Added to each delay: 0 or a queue's range, ns.
    queue: (f64, f64),
    two_way: Option<f64>,
    late_share: f64,
    spikes: bool,
    steps: u32,
    /// Absolute errors (one-way: apart from `excused`), whether inside the bound, and bounds, since `look()`.
    errors: Vec<f64>,
    outside: usize,
    bounds: Vec<f64>,
    excused: f64,
    last: Option<Line>,
    jump: f64,
}

impl Link {
    fn new(seed: u64, least: f64, mean: f64) -> Self {
        Self {
            estimator: Estimator::new(),
            random: Random(seed),
            now: 0,
            offset: 0.0,
            ppm: -43.0,
            least,
            mean,
            queue: (0.0, 0.0),
            two_way: None,
            late_share: 0.0,
            spikes: true,
            steps: 0,
            errors: Vec::new(),
            outside: 0,
            bounds: Vec::new(),
            excused: least,
            last: None,
            jump: 0.0,
        }
    }

    fn wired(seed: u64) -> Self {
        Self::new(seed, 60e3, 20e3)
    }

    fn wifi(seed: u64) -> Self {
        Self::new(seed, 1e6, 600e3)
    }

    fn local(&self) -> LocalTime {
        LocalTime::from_nanos(LOCAL + self.now)
    }

    fn truth(&self, after: f64) -> i64 {
        REMOTE + self.now + (self.offset + after + self.ppm * 1e-3 * after * 1e-6).round() as i64
    }

    fn advance(&mut self, nanos: i64) {
        self.now += nanos;
        self.offset += self.ppm * 1e-6 * nanos as f64;
    }

    fn delay(&mut self) -> f64 {
        let spike = if self.random.unit() < 0.02 && self.spikes { 10.0 * self.mean } else { 0.0 };
        let queue = self.queue.0 + (self.queue.1 - self.queue.0) * self.random.unit();
        self.least + self.random.exponential(self.mean) + spike + queue
    }

    /// One Sync, 125 ms after the last.
    fn sync(&mut self) -> Outcome {
        self.advance(SYNC);
        let delay = self.delay();
        let late = if self.random.unit() < self.late_share { 2e6 * self.random.unit() } else { 0.0 };
        let remote = PtpTime::clamped(i128::from(self.truth(late - delay)));
        let outcome = self.estimator.pair(SyncPair { local: self.local(), remote }, self.local());
        self.steps += u32::from(outcome.stepped);
        if let Some(up) = self.two_way {
            let delay = up + self.random.exponential(self.mean);
            let received = PtpTime::clamped(i128::from(self.truth(delay)));
            self.estimator.exchange(Exchange { sent: self.local(), received }, self.local());
        }
        self.judge(outcome.stepped);
        outcome
    }

    fn judge(&mut self, stepped: bool) {
        let line = self.estimator.line().unwrap();
        let error = line.remote_at(self.local()).nanos() as i64 - self.truth(0.0);
        let error = (error as f64 + self.excused).abs();
        let bound = line.error_at(self.local()) as f64;
        self.errors.push(error);
        self.bounds.push(bound);
        self.outside += usize::from(error > bound);
        if let Some(last) = self.last.filter(|l| l.trusted && !stepped) {
            let jump =
                last.remote_at(self.local()).nanos() as f64 - line.remote_at(self.local()).nanos() as f64;
            self.jump = self.jump.max(jump.abs());
        }
        self.last = Some(line);
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..8 * seconds {
            self.sync();
        }
    }

    /// Forgets what was seen of errors.
    fn look(&mut self) {
        self.errors.clear();
        self.bounds.clear();
        self.outside = 0;
    }

    fn quantile(values: &[f64], p: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * p) as usize]
    }

    fn error(&self, p: f64) -> f64 {
        Self::quantile(&self.errors, p)
    }

    fn bound(&self, p: f64) -> f64 {
        Self::quantile(&self.bounds, p)
    }
}

#[test]
fn a_wire_gives_microseconds_and_a_bound_to_match() {
    for seed in 1..=4 {
        let mut link = Link::wired(seed);
        link.run(10);
        link.look();
        link.run(60);
        assert!(link.error(0.99) < 4e3, "seed {seed}: {}", link.error(0.99));
        assert!(link.bound(0.5) < 20e3, "seed {seed}: {}", link.bound(0.5));
        assert_eq!(link.outside, 0, "seed {seed}");
        let line = link.estimator.line().unwrap();
        assert!((line.rate * 1e6 - link.ppm).abs() < 1.0, "seed {seed}: {}", line.rate);
        assert_eq!(line.path_delay_ns, None);
    }
}

#[test]
fn good_wifi_gives_tens_of_microseconds() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        link.run(10);
        link.look();
        link.run(110);
        assert!(link.error(0.99) < 90e3, "seed {seed}: {}", link.error(0.99));
        assert!(link.bound(0.5) < 300e3, "seed {seed}: {}", link.bound(0.5));
        assert_eq!((link.outside, link.steps), (0, 0), "seed {seed}");
    }
}

#[test]
fn once_trusted_the_line_makes_no_jump() {
    for seed in 1..=3 {
        let mut link = Link::wifi(seed);
        link.two_way = (seed == 2).then_some(1e6);
        link.run(30);
        link.ppm += 20.0;
        link.run(30);
        link.least += 1.5e6;
        link.run(30);
        // The remote times of two lines round to nanoseconds each.
        assert!(link.jump <= 2.0, "seed {seed}: {}", link.jump);
    }
}

#[test]
fn a_step_forward_is_found_at_the_third_sample_and_never_denied() {
    let mut link = Link::wifi(6);
    link.run(40);
    link.offset += 250e6;
    link.look();
    assert!(!link.sync().stepped && !link.sync().stepped);
    assert!(link.sync().stepped);
    assert_eq!(link.outside, 0);
    link.run(10);
    link.look();
    link.run(20);
    assert!(link.error(0.99) < 120e3, "{}", link.error(0.99));
    assert_eq!((link.outside, link.steps), (0, 1));
}

#[test]
fn a_restart_is_found_at_the_third_sample() {
    let mut link = Link::wifi(7);
    link.run(40);
    link.offset -= 127_000.0 * 1e9;
    link.look();
    assert!(!link.sync().stepped && !link.sync().stepped);
    assert!(link.sync().stepped);
    assert_eq!(link.outside, 0);
    link.look();
    link.run(5);
    assert_eq!((link.outside, link.steps), (0, 1));
}

#[test]
fn samples_made_up_beside_a_clock_that_goes_on_are_no_step() {
    for by in [7e9, -7e9, 60e6] {
        let mut link = Link::wired(21);
        link.run(20);
        link.look();
        for number in 0..80 {
            // Any number of them, that agree, between two of the clock's own.
            for _ in 0..10 {
                link.advance(1_000_000 + number);
                let remote = PtpTime::clamped(i128::from(link.truth(by)));
                let outcome = link.estimator.pair(SyncPair { local: link.local(), remote }, link.local());
                assert_eq!(outcome, Outcome { stepped: false, outlier: true }, "{by}");
            }
            link.sync();
        }
        assert_eq!((link.steps, link.outside), (0, 0), "{by}");
        assert!(link.error(0.99) < 100e3, "{by}: {}", link.error(0.99));
    }
}

#[test]
fn a_step_back_is_found_within_three_seconds_and_widens_the_bound_before() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        link.run(40);
        link.offset -= 250e6;
        link.look();
        let found = (1..=100).find(|_| link.sync().stepped).unwrap();
        assert!(found <= 24, "seed {seed}: {found}");
        assert!(link.outside <= 3, "seed {seed}: {}", link.outside);
        link.run(10);
        link.look();
        link.run(20);
        assert!(link.error(0.99) < 120e3, "seed {seed}: {}", link.error(0.99));
        assert_eq!(link.steps, 1, "seed {seed}");
    }
}

#[test]
fn a_queue_is_no_step_and_does_not_pull_the_line() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        link.run(40);
        link.queue = (5e6, 40e6);
        link.look();
        link.run(30);
        link.queue = (0.0, 0.0);
        link.run(20);
        assert!(link.error(0.99) < 100e3, "seed {seed}: {}", link.error(0.99));
        assert_eq!((link.outside, link.steps), (0, 0), "seed {seed}");
    }
}

#[test]
fn a_session_that_begins_inside_a_queue_says_so_and_recovers() {
    let mut link = Link::wifi(8);
    link.queue = (5e6, 40e6);
    link.run(10);
    link.look();
    link.run(30);
    link.queue = (0.0, 0.0);
    link.run(30);
    assert_eq!((link.outside, link.steps), (0, 0));
    link.look();
    link.run(10);
    assert!(link.error(0.99) < 100e3, "{}", link.error(0.99));
}

#[test]
fn a_late_stamp_never_lifts_the_line() {
    let mut link = Link::wired(9);
    link.run(30);
    for late in [30e3, 300e3, 2.3e6] {
        link.look();
        link.advance(SYNC);
        let remote = PtpTime::clamped(i128::from(link.truth(late)));
        let outcome = link.estimator.pair(SyncPair { local: link.local(), remote }, link.local());
        assert!(outcome.outlier && !outcome.stepped);
        link.run(2);
        assert!(link.error(1.0) < 5e3, "{late}: {}", link.error(1.0));
    }
    link.late_share = 0.03;
    link.look();
    link.run(60);
    assert!(link.error(0.99) < 5e3, "{}", link.error(0.99));
    assert_eq!(link.outside, 0);
}

#[test]
fn late_stamps_from_the_first_moment_on_do_no_harm() {
    for seed in 1..=4 {
        let mut link = Link::wired(seed);
        link.late_share = 0.03;
        link.run(10);
        link.look();
        link.run(60);
        assert!(link.error(0.99) < 10e3, "seed {seed}: {}", link.error(0.99));
    }
}

#[test]
fn a_change_of_rate_is_followed_either_way() {
    for (seed, change) in [(1, 20.0), (2, -20.0), (3, 20.0), (4, -20.0)] {
        let mut link = Link::wifi(seed);
        link.run(60);
        link.ppm += change;
        link.look();
        link.run(30);
        assert!(link.error(1.0) < 400e3, "seed {seed}: {}", link.error(1.0));
        assert_eq!((link.outside, link.steps), (0, 0), "seed {seed}");
        link.look();
        link.run(20);
        assert!(link.error(0.99) < 100e3, "seed {seed}: {}", link.error(0.99));
    }
}

#[test]
fn a_longer_path_moves_the_bound_not_the_line() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        link.run(60);
        link.least += 1.5e6;
        link.run(10);
        link.look();
        link.run(60);
        assert!(link.error(0.99) < 200e3, "seed {seed}: {}", link.error(0.99));
        assert!(link.bound(0.0) > 1.4e6, "seed {seed}: {}", link.bound(0.0));
        link.least -= 1.5e6;
        link.run(20);
        link.look();
        link.run(20);
        assert!(link.error(0.99) < 150e3, "seed {seed}: {}", link.error(0.99));
        assert!(link.bound(0.5) < 400e3, "seed {seed}: {}", link.bound(0.5));
        assert_eq!(link.steps, 0, "seed {seed}");
    }
}

#[test]
fn a_path_that_grows_for_a_minute_is_inside_the_bound_and_comes_back() {
    for seed in 1..=3 {
        let mut link = Link::wifi(seed);
        link.run(60);
        link.look();
        for _ in 0..8 * 60 {
            link.least += 2e6 / 480.0;
            link.sync();
        }
        link.run(90);
        assert!(link.outside <= 2, "seed {seed}: {}", link.outside);
        link.look();
        link.run(10);
        // The rate came back, so it was the path: the line is where it was before.
        assert!(link.error(0.5) < 400e3, "seed {seed}: {}", link.error(0.5));
    }
}

#[test]
fn silence_is_bridged_inside_a_growing_bound() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        link.run(60);
        for (silence, most) in [(20, 100e3), (60, 300e3)] {
            let line = link.estimator.line().unwrap();
            let before = line.error_at(link.local());
            link.advance(silence * 1_000_000_000);
            let error =
                (line.remote_at(link.local()).nanos() as i64 - link.truth(-link.excused)).abs() as f64;
            assert!(error < most, "seed {seed}: {error}");
            let bound = line.error_at(link.local());
            assert!(bound > before && error <= bound as f64, "seed {seed}: {error} {bound}");
            link.run(10);
        }
        assert_eq!(link.steps, 0, "seed {seed}");
    }
}

#[test]
fn two_ways_give_the_absolute_time_and_a_bound_that_holds_any_asymmetry() {
    for (seed, up) in [(1, 1e6), (2, 2e6), (3, 100e3)] {
        let mut link = Link::wifi(seed);
        link.two_way = Some(up);
        link.excused = 0.0;
        link.run(15);
        link.look();
        link.run(60);
        let asymmetry = (up - link.least).abs() * 0.5;
        assert!((link.error(0.99) - asymmetry).abs() < 60e3, "seed {seed}: {}", link.error(0.99));
        assert_eq!(link.outside, 0, "seed {seed}");
        let half = link.estimator.line().unwrap().path_delay_ns.unwrap() as f64;
        assert!((half - 0.5 * (up + link.least)).abs() < 60e3, "seed {seed}: {half}");
    }
}

#[test]
fn an_impossible_exchange_is_refused() {
    let mut link = Link::wifi(10);
    let exchange = |link: &Link, after: f64| Exchange {
        sent: link.local(),
        received: PtpTime::clamped(i128::from(link.truth(after))),
    };
    assert!(link.estimator.exchange(exchange(&link, 1e6), link.local()).outlier);
    link.two_way = Some(1e6);
    link.run(20);
    // Received before it was sent by more than the way down, or seconds later.
    for after in [-250e6, 2e9] {
        assert!(link.estimator.exchange(exchange(&link, after), link.local()).outlier);
    }
    link.excused = 0.0;
    link.look();
    link.run(10);
    assert!(link.error(0.99) < 80e3, "{}", link.error(0.99));
}

#[test]
fn a_new_grandmaster_starts_afresh_but_for_the_rate() {
    let mut link = Link::wired(11);
    link.run(30);
    link.estimator.restart();
    assert_eq!(link.estimator.line(), None);
    link.offset += 3.6e12;
    link.sync();
    let line = link.estimator.line().unwrap();
    assert!(!line.trusted && (line.rate * 1e6 - link.ppm).abs() < 1.0, "{}", line.rate);
    link.run(10);
    assert_eq!(link.steps, 0);
}

#[test]
fn follow_ups_that_come_late_and_out_of_order_are_used() {
    let mut link = Link::wired(13);
    link.run(20);
    let mut waiting = Vec::new();
    link.look();
    for i in 0..400 {
        link.advance(SYNC);
        let delay = link.delay();
        let pair = SyncPair { local: link.local(), remote: PtpTime::clamped(i128::from(link.truth(-delay))) };
        if i % 5 == 0 {
            waiting.push(pair);
        } else {
            assert!(!link.estimator.pair(pair, link.local()).stepped);
        }
        if i % 5 == 3 {
            for pair in waiting.drain(..) {
                assert_eq!(link.estimator.pair(pair, link.local()), Outcome::default());
            }
        }
        link.judge(false);
    }
    assert!(link.error(0.99) < 4e3, "{}", link.error(0.99));
    assert!(link.jump <= 2.0, "{}", link.jump);
}

#[test]
fn no_offset_loses_a_nanosecond() {
    // A constant delay at the ends of the ranges: the line must be exact to the stamp noise it assumes.
    for (local, remote) in
        [(0, i64::MAX - 100_000_000_000), (i64::MAX - 100_000_000_000, 0), (-5_000_000_000, 1)]
    {
        let mut estimator = Estimator::new();
        for i in 0..400i64 {
            let at = LocalTime::from_nanos(local + i * SYNC);
            let pair = SyncPair { local: at, remote: PtpTime::clamped(i128::from(remote + i * SYNC)) };
            assert!(!estimator.pair(pair, at).stepped);
        }
        let line = estimator.line().unwrap();
        let error =
            line.remote_at(LocalTime::from_nanos(local + 399 * SYNC)).nanos() as i64 - (remote + 399 * SYNC);
        assert!(error.abs() < 1_000, "{error}");
    }
}

#[test]
fn no_input_breaks_it() {
    let edges = [0, 1, -1, i64::MIN, i64::MAX, i64::MIN + 1, LOCAL, REMOTE, 1 << 32, 1 << 62];
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut estimator = Estimator::new();
        let (mut local, mut remote) = (LOCAL, REMOTE);
        for _ in 0..300 {
            let bits = random.bits();
            let jump = match bits % 16 {
                0 => random.bits() as i64,
                1 => (random.bits() >> (random.bits() % 64)) as i64,
                2 => edges[random.bits() as usize % edges.len()],
                3 => 0,
                4 => -SYNC,
                _ => SYNC + (random.bits() % 1_000_000) as i64,
            };
            local = local.wrapping_add(jump);
            remote = match bits >> 8 & 7 {
                0 => edges[random.bits() as usize % edges.len()].max(0),
                1 => random.bits() as i64 & i64::MAX,
                _ => remote.saturating_add(jump).max(0),
            };
            let at = LocalTime::from_nanos(local);
            let now = if bits >> 16 & 7 == 0 { LocalTime::from_nanos(random.bits() as i64) } else { at };
            let remote = PtpTime::from_nanos(remote as u64).unwrap();
            match bits >> 24 & 63 {
                0 => estimator.restart(),
                1 => estimator.shift(Span::from_nanos(random.bits() as i64)),
                2..=12 => {
                    estimator.exchange(Exchange { sent: at, received: remote }, now);
                }
                _ => {
                    estimator.pair(SyncPair { local: at, remote }, now);
                }
            }
            let Some(line) = estimator.line() else { continue };
            assert!(
                line.rate.is_finite() && line.error_growth.is_finite() && line.error_growth >= 0.0,
                "{line:?}"
            );
            assert!(line.error_ns > 0, "{line:?}");
            for local in [i64::MIN, 0, i64::MAX, local] {
                let local = LocalTime::from_nanos(local);
                assert!(line.remote_at(local) <= PtpTime::MAX);
                assert!(line.error_at(local) >= line.error_ns);
            }
        }
    }
}

#[test]
fn after_garbage_it_finds_a_sane_clock_again() {
    for seed in 0..20 {
        let mut link = Link::wired(seed);
        for _ in 0..200 {
            let remote = PtpTime::clamped(i128::from(link.random.bits() >> 2));
            let local = LocalTime::from_nanos(LOCAL.wrapping_add(link.random.bits() as i64 >> 20));
            link.estimator.pair(SyncPair { local, remote }, local);
        }
        // The garbage may have been hours ahead of the local clock.
        link.now += i64::MAX >> 19;
        for _ in 0..160 {
            link.sync();
        }
        link.look();
        link.run(5);
        assert!(link.error(1.0) < 1e6, "seed {seed}: {}", link.error(1.0));
    }
}

#[test]
fn the_state_is_small() {
    assert!(std::mem::size_of::<Estimator>() < 16 * 1024, "{}", std::mem::size_of::<Estimator>());
}
