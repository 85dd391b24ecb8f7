//! Where the line ran in the last minutes: a path that grows slowly takes the filter along, but not these.
#![forbid(unsafe_code)]

use super::side::Straight;

/// Lines remembered.
const COUNT: usize = 14;
/// Seconds between two of them: together they reach back seven minutes, for paths were seen to grow and to
/// shrink for minutes each.
const EVERY: f64 = 30.0;
/// A rate known no better than this gives no line worth remembering, ns/s.
const CALM_RATE: f64 = 500.0;
/// What two clocks may part by in t seconds without being at fault: a temperature's drift of the rate, ns/s per s,
const DRIFT: f64 = 2.0;
/// and three standard deviations of its random walk (0.01 ppm per root second, integrated once), ns/s per root s,
const WALK: f64 = 3.0 * 10.0 * 0.577;
/// and as many of the rate known then.
const RATE_SIGMA: f64 = 3.0;
/// No path grows by more, ns: it is the rate that has changed.
const MOST: f64 = 5e6;
/// What a floor's own noise may add, ns.
const LEAST: f64 = 20e3;

/// The remembered lines, newest first.
#[derive(Clone, Debug)]
pub(super) struct Elders {
    lines: [Option<(Straight, f64)>; COUNT],
}

impl Elders {
    pub const fn new() -> Self {
        Self { lines: [None; COUNT] }
    }

    /// Remembers a line now and then; `rate_sigma` is the uncertainty of its rate.
    pub fn see(&mut self, line: Straight, rate_sigma: f64) {
        let due = self.lines[0].is_none_or(|(last, _)| line.t - last.t >= EVERY);
        if due {
            self.lines.rotate_right(1);
            // A line not worth remembering takes its place all the same, so that older ones go.
            self.lines[0] = Some((line, rate_sigma));
        }
    }

    /// How far `line` now runs below one of the elders, where that is more than clocks can do by themselves, ns.
    pub fn fall(&self, line: Straight) -> f64 {
        let below =
            self.lines.iter().flatten().filter(|(_, sigma)| *sigma < CALM_RATE).map(|(elder, sigma)| {
                let age = (line.t - elder.t).max(0.0);
                let allowed =
                    LEAST + RATE_SIGMA * sigma * age + 0.5 * DRIFT * age * age + WALK * age * age.sqrt();
                let below = elder.at(line.t) - line.y;
                if below > allowed && below < MOST && age < EVERY * COUNT as f64 {
                    below + allowed
                } else {
                    0.0
                }
            });
        below.fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(t: f64, y: f64) -> Straight {
        Straight { t, y, rate: 10e3 }
    }

    #[test]
    fn a_slow_fall_is_seen_for_minutes_and_a_wander_is_not() {
        let mut elders = Elders::new();
        for i in 0..=10 {
            elders.see(line(30.0 * f64::from(i), 300e3 * f64::from(i)), 100.0);
        }
        assert_eq!(elders.fall(line(300.0, 3000e3)), 0.0);
        assert_eq!(elders.fall(line(300.0, 3000e3 - 15e3)), 0.0);
        assert!(elders.fall(line(300.0, 3000e3 - 500e3)) > 500e3);
        assert_eq!(elders.fall(line(800.0, 8000e3 - 700e3)), 0.0);
        // A path does not grow by so much.
        assert_eq!(elders.fall(line(300.0, 3000e3 - 2.0 * MOST)), 0.0);
    }

    #[test]
    fn a_line_of_unknown_rate_bears_no_witness() {
        let mut elders = Elders::new();
        elders.see(line(0.0, 0.0), 5e3);
        assert_eq!(elders.fall(line(20.0, -1e6)), 0.0);
    }
}
