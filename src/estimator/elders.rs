//! Where the line ran in the last minutes: a path that grows slowly takes the filter along, but not these.
//!
//! By pairs alone the floor F (the receiver's clock less the local one, less the least delay) lies nowhere below a
//! sample, and touches one. So for any assumed course of the rate, F is the highest of the old lines carried forward with
//! it, and the only question is which courses the clock may have taken. Two kinds are held: that the rate is what a
//! remembered line had (it fell since: that was the path growing), and that it always was what it is now (it rose: that
//! was the path's growth ending, as where a session begins on a path that grows). What tells a clock from a path is that
//! no path grows steadily for minutes on end, nor by milliseconds without end.
#![forbid(unsafe_code)]

use super::side::Straight;

/// Lines remembered.
const COUNT: usize = 24;
/// Seconds between two of them: together they reach back seven minutes and more, for paths were seen to grow and to
/// shrink for minutes each.
const EVERY: f64 = 30.0;
/// A young line is remembered more often: each time that it is older by this part, and by so many seconds.
const YOUNG_EVERY: f64 = 0.25;
const LEAST_EVERY: f64 = 4.0;
/// For so long a line bears witness, s.
const MEMORY: f64 = 420.0;
/// A rate known no better than this is no rate to go by, ns/s: with exchanges, and without.
const CALM_RATE: f64 = 500.0;
const KNOWN_RATE: f64 = 2e3;
/// A floor known no better than this is none to go by, ns.
const KNOWN_FLOOR: f64 = 1e6;
/// Rates closer than this, and than so many standard deviations, are one, ns/s.
const SAME_RATE: f64 = 500.0;
const SAME_SIGMA: f64 = 2.0;
/// A rate that has lasted for so long is the clock's: no path was seen to grow, or shrink, steadily for as long, s.
const LASTING: f64 = 240.0;
/// What two clocks may part by in t seconds without being at fault: a temperature's drift of the rate, ns/s per s,
const DRIFT: f64 = 2.0;
/// and three standard deviations of its random walk (0.01 ppm per root second, integrated once), ns/s per root s,
const WALK: f64 = 3.0 * 10.0 * 0.577;
/// and as many of the rate and of the floor known then,
const SIGMAS: f64 = 3.0;
/// or more, where they are a young line's, for which they are far from normally distributed.
const YOUNG_SIGMAS: f64 = 5.0;
/// No path grows by more, ns: it is the rate that has changed.
const MOST: f64 = 5e6;
/// A line that was below is back when it is no further from there than this part of what clocks can do.
const BACK: f64 = 0.25;
/// What a floor's own noise may add, ns.
const LEAST: f64 = 20e3;
/// Nor does any crystal differ from what was expected of it by more than so many standard deviations.
const PRIOR_SIGMAS: f64 = 2.5;

/// A line and how well it was known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elder {
    pub line: Straight,
    /// Standard deviation of the floor, ns, and of the rate, ns/s.
    pub sigma: f64,
    pub rate_sigma: f64,
    /// Since when the rate has been about the same, s.
    since: f64,
    /// It went on to be so for long enough to be the clock's.
    lasted: bool,
}

/// The remembered lines, newest first.
#[derive(Clone, Debug)]
pub(super) struct Elders {
    lines: [Option<Elder>; COUNT],
    /// The line runs below some of them, or did so just now and is not back yet.
    parted: bool,
}

impl Elder {
    /// A line just now.
    pub const fn new(line: Straight, sigma: f64, rate_sigma: f64) -> Self {
        Self { line, sigma, rate_sigma, since: line.t, lasted: false }
    }

    /// Whether two rates may be one.
    fn agrees(&self, other: &Self) -> bool {
        let sigma = self.rate_sigma + other.rate_sigma;
        (self.line.rate - other.line.rate).abs() < SAME_RATE + SAME_SIGMA * sigma
    }

    /// How far this line, carried to `now` at the rate that `at` had, runs above the line of now, and how far clocks take it
    /// there by themselves.
    fn above(&self, now: &Self, at: &Self) -> (f64, f64) {
        let age = (now.line.t - self.line.t.min(at.line.t)).max(0.0);
        let ahead = (now.line.t - self.line.t).max(0.0);
        let sigmas = if at.rate_sigma < CALM_RATE { SIGMAS } else { YOUNG_SIGMAS };
        let noise = sigmas * (self.sigma + at.rate_sigma * age);
        let allowed = LEAST + noise + 0.5 * DRIFT * age * age + WALK * age * age.sqrt();
        (self.line.y + at.line.rate * ahead - now.line.y, allowed)
    }
}

impl Elders {
    pub const fn new() -> Self {
        Self { lines: [None; COUNT], parted: false }
    }

    /// Remembers a line now and then.
    pub fn see(&mut self, mut elder: Elder) {
        let Some(last) = self.lines[0] else {
            self.lines[0] = Some(elder);
            return;
        };
        let t = elder.line.t;
        if t - last.line.t < (YOUNG_EVERY * t).clamp(LEAST_EVERY, EVERY) {
            return;
        }
        if self.goes_on(&elder) {
            (elder.since, elder.lasted) = (last.since, last.lasted);
        }
        self.lines.rotate_right(1);
        self.lines[0] = Some(elder);
        if t - elder.since >= LASTING {
            for other in self.lines.iter_mut().flatten().filter(|other| other.since >= elder.since) {
                other.lasted = true;
            }
        }
    }

    /// The lines that bear witness now.
    fn witnesses(&self, now: f64) -> impl Iterator<Item = &Elder> + Clone {
        self.lines.iter().flatten().filter(move |e| now - e.line.t < MEMORY)
    }

    /// Whether the rate of now is still that of the last line and of all those since when it has been: not only of the one
    /// before, lest it creeps away.
    fn goes_on(&self, now: &Elder) -> bool {
        let since = self.lines[0].map_or(f64::MAX, |last| last.since);
        self.lines.iter().flatten().filter(|e| e.since >= since).all(|e| e.agrees(now))
    }

    /// Whether the rate of now has lasted long enough to be the clock's.
    fn lasts(&self, now: &Elder) -> bool {
        self.lines[0].is_some_and(|last| last.lasted) && self.goes_on(now)
    }

    /// How far the line of `now` runs below one of the elders, each carried at its own rate, where that is more than clocks
    /// can do by themselves, ns.
    pub fn fall(&self, now: &Elder) -> f64 {
        let below = self.witnesses(now.line.t).filter(|e| e.rate_sigma < CALM_RATE).map(|elder| {
            let (below, allowed) = elder.above(now, elder);
            if below > allowed && below < MOST {
                below + allowed
            } else {
                0.0
            }
        });
        below.fold(0.0, f64::max)
    }

    /// The same by pairs alone, where nothing but the rate tells a path from a clock: by any rate that the clock may have had
    /// throughout, and where its rate is none that was to be expected (`prior`: mean and standard deviation), by the next
    /// one that is.
    pub fn fall_one_way(&mut self, now: &Elder, prior: (f64, f64)) -> f64 {
        let mut expected = Elder { rate_sigma: 0.0, ..*now };
        let reach = PRIOR_SIGMAS * prior.1;
        expected.line.rate = now.line.rate.clamp(prior.0 - reach, prior.0 + reach);
        let most = self.highest(now, &expected);
        self.parted = most > 0.0;
        most
    }

    fn highest(&self, now: &Elder, expected: &Elder) -> f64 {
        let mut most = 0.0_f64;
        let lasts = self.lasts(now);
        let witnesses = self.witnesses(now.line.t);
        let rates = witnesses.clone().chain([now, expected]).filter(|e| e.rate_sigma < KNOWN_RATE);
        for at in rates.filter(|at| !lasts || at.agrees(now)) {
            let mut highest = 0.0_f64;
            for elder in witnesses.clone().filter(|e| e.sigma < KNOWN_FLOOR) {
                let (below, allowed) = elder.above(now, at);
                if below - allowed > MOST {
                    // No path grew by so much: the clock did not run at this rate throughout.
                    highest = 0.0;
                    break;
                }
                // What ran at another rate for so long was the clock then.
                let counts = !elder.lasted || elder.agrees(at);
                if below > allowed && counts {
                    highest = highest.max((below + allowed).min(MOST));
                } else if self.parted && below > BACK * allowed && counts {
                    highest = highest.max(below);
                }
            }
            most = most.max(highest);
        }
        most
    }

    /// By how much the path has grown where the rate is known and the same as before, so that it was no clock, ns.
    pub fn grown(&self, now: &Elder) -> Option<f64> {
        let below = self.witnesses(now.line.t).filter(|e| e.sigma < KNOWN_FLOOR && e.agrees(now));
        let sure = below.filter_map(|elder| {
            let (below, allowed) = elder.above(now, now);
            (below > allowed && below < MOST).then_some(below)
        });
        sure.max_by(f64::total_cmp).filter(|_| now.rate_sigma < CALM_RATE)
    }

    /// By how much the clock may run at another rate than the line of `now`, which was learned from the samples since 0 s,
    /// by pairs alone, where `prior` was expected, ns/s.
    pub fn rate_doubt(&self, now: &Elder, prior: (f64, f64)) -> f64 {
        if self.lasts(now) {
            return 0.0;
        }
        let known = self.witnesses(now.line.t).filter(|e| e.rate_sigma < KNOWN_RATE);
        let apart = known.clone().map(|e| (e.line.rate - now.line.rate).abs()).fold(0.0, f64::max);
        // On a path that grew, or shrank, all the time no line has had the clock's rate.
        let never = if known.clone().any(|e| e.lasted) {
            0.0
        } else {
            let expected = (now.line.rate - prior.0).abs() + PRIOR_SIGMAS * prior.1;
            expected.min(MOST / now.line.t.max(LEAST_EVERY))
        };
        apart.max(never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: (f64, f64) = (0.0, 40e3);

    fn elder(t: f64, y: f64, rate: f64) -> Elder {
        Elder::new(Straight { t, y, rate }, 1e3, 100.0)
    }

    /// Lines seen every second, of a rate that changes at some times.
    fn seen(rates: &[(f64, f64)], until: f64) -> (Elders, Elder) {
        let mut elders = Elders::new();
        let (mut t, mut y) = (0.0, 0.0);
        loop {
            let rate = rates.iter().rev().find(|(from, _)| t >= *from).map_or(0.0, |r| r.1);
            let now = elder(t, y, rate);
            if t >= until {
                return (elders, now);
            }
            elders.see(now);
            t += 1.0;
            y += rate;
        }
    }

    #[test]
    fn a_slow_fall_is_seen_for_minutes_and_a_wander_is_not() {
        let mut elders = Elders::new();
        for i in 0..=10 {
            elders.see(elder(30.0 * f64::from(i), 300e3 * f64::from(i), 10e3));
        }
        assert_eq!(elders.fall(&elder(300.0, 3000e3, 10e3)), 0.0);
        assert_eq!(elders.fall(&elder(300.0, 3000e3 - 15e3, 10e3)), 0.0);
        assert!(elders.fall(&elder(300.0, 3000e3 - 500e3, 10e3)) > 500e3);
        assert_eq!(elders.fall(&elder(800.0, 8000e3 - 700e3, 10e3)), 0.0);
        // A path does not grow by so much.
        assert_eq!(elders.fall(&elder(300.0, 3000e3 - 2.0 * MOST, 10e3)), 0.0);
    }

    #[test]
    fn a_line_of_unknown_rate_bears_no_witness() {
        let mut elders = Elders::new();
        elders.see(Elder::new(Straight { t: 0.0, y: 0.0, rate: 10e3 }, 1e3, 5e3));
        assert_eq!(elders.fall(&elder(20.0, -1e6, 10e3)), 0.0);
    }

    #[test]
    fn a_growth_from_the_start_shows_when_it_ends() {
        // The path grows by 40 us/s for a minute: when it ends, the rate rises.
        let (mut elders, now) = seen(&[(0.0, -40e3), (60.0, 0.0)], 90.0);
        assert!(
            elders.fall(&now) == 0.0 && elders.fall_one_way(&now, PRIOR) > 2.2e6,
            "{}",
            elders.fall_one_way(&now, PRIOR)
        );
        // The same after minutes of one rate is the clock.
        let (mut elders, now) = seen(&[(0.0, -40e3), (300.0, 0.0)], 500.0);
        assert_eq!(elders.fall_one_way(&now, PRIOR), 0.0);
        // And so is a rate that fell and stays.
        let (mut elders, now) = seen(&[(0.0, 10e3), (100.0, 0.0)], 190.0);
        assert!(elders.fall_one_way(&now, PRIOR) > 0.9e6);
        let (mut elders, now) = seen(&[(0.0, 10e3), (100.0, 0.0)], 390.0);
        assert_eq!(elders.fall_one_way(&now, PRIOR), 0.0);
    }

    #[test]
    fn a_rate_that_no_crystal_has_is_a_path_that_grows() {
        let (mut elders, now) = seen(&[(0.0, -130e3)], 30.0);
        assert!(elders.fall(&now) == 0.0 && elders.fall_one_way(&now, PRIOR) > 30.0 * 20e3);
        let (mut elders, now) = seen(&[(0.0, -90e3)], 30.0);
        assert_eq!(elders.fall_one_way(&now, PRIOR), 0.0);
    }

    #[test]
    fn what_no_path_grows_by_is_no_reading() {
        // The path shrank by 50 us/s for a minute: nobody takes that for the clock's rate once it is over.
        let (mut elders, now) = seen(&[(0.0, 0.0), (100.0, 50e3), (160.0, 0.0)], 200.0);
        assert_eq!(elders.fall_one_way(&now, PRIOR), 0.0);
    }

    #[test]
    fn a_rate_that_creeps_away_is_another_one() {
        let rates: Vec<_> = (0..12).map(|i| (250.0 + 10.0 * f64::from(i), -400.0 * f64::from(i))).collect();
        let (mut elders, now) = seen(&rates, 370.0);
        assert!(elders.fall_one_way(&now, PRIOR) > 200e3, "{}", elders.fall_one_way(&now, PRIOR));
    }

    #[test]
    fn a_line_that_comes_back_is_held_until_it_is_there() {
        let (mut elders, now) = seen(&[(0.0, 0.0)], 100.0);
        let below = |by: f64| Elder { line: Straight { y: -by, ..now.line }, ..now };
        assert_eq!(elders.fall_one_way(&below(20e3), PRIOR), 0.0);
        assert!(elders.fall_one_way(&below(200e3), PRIOR) > 200e3);
        assert_eq!(elders.fall_one_way(&below(20e3), PRIOR), 20e3);
        assert_eq!(elders.fall_one_way(&below(5e3), PRIOR), 0.0);
        assert_eq!(elders.fall_one_way(&below(20e3), PRIOR), 0.0);
    }

    #[test]
    fn a_growth_between_equal_rates_is_no_clock() {
        let (elders, now) = seen(&[(0.0, 0.0), (100.0, -20e3), (120.0, 0.0)], 150.0);
        let grown = elders.grown(&now);
        assert!(grown.is_some_and(|g| (399e3..401e3).contains(&g)), "{grown:?}");
        let (elders, now) = seen(&[(0.0, 0.0), (100.0, -20e3)], 120.0);
        assert_eq!(elders.grown(&now), None);
    }

    #[test]
    fn in_silence_any_rate_that_the_clock_may_have_is_held() {
        let prior = PRIOR;
        // A path that grew, and one that shrinks.
        let (elders, now) = seen(&[(0.0, 5e3), (100.0, -30e3)], 140.0);
        assert!(elders.rate_doubt(&now, prior) >= 35e3);
        // Nothing else was ever seen: as far as a path may grow in that time, or as crystals differ.
        let (elders, now) = seen(&[(0.0, -30e3)], 50.0);
        assert_eq!(elders.rate_doubt(&now, prior), MOST / 50.0);
        let (elders, now) = seen(&[(0.0, -30e3)], 10.0);
        assert_eq!(elders.rate_doubt(&now, prior), 30e3 + 2.5 * 40e3);
        // After minutes it is the clock's.
        let (elders, now) = seen(&[(0.0, -30e3)], 300.0);
        assert_eq!(elders.rate_doubt(&now, prior), 0.0);
    }
}
