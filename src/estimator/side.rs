//! One direction of the path: its latest samples and what they say of its excess delays.
#![forbid(unsafe_code)]

use super::delays::Delays;
use super::filter::{Excess, Filter, Point};
use super::fit::{fit, Fit};

/// Samples kept: 32 s at 8 Hz.
pub(super) const HISTORY: usize = 256;
/// Samples after which a young line is fitted anew: every 2 s at 8 Hz.
const ANEW: u64 = 16;
/// Up to so many samples it is fitted anew four times as often: 4 s at 8 Hz.
const INFANT: usize = 32;
/// Scale assumed for excess delays before any is known, ns: between a wire's and a congested radio's.
const FIRST_SCALE: f64 = 500e3;
/// Samples that this guess counts for.
const GUESS: f64 = 4.0;
/// The share of samples taken as the floor's neighbourhood: where their delays end tells how dense it is.
const NEAR: f64 = 0.1;
/// A second share, and how many times larger than the scale between the two that of the neighbourhood may be.
const FAR: f64 = 0.3;
const HOLLOW: f64 = 4.0;
/// Least scale, ns: software stamps are no better.
const LEAST_SCALE: f64 = 1e3;
/// Share of the samples that lie in a tail and tell nothing of the floor.
const TAIL: f64 = 0.2;
/// Share of pairs whose send stamp was read late, so that they seem to arrive before they left (field guide 1.14).
const LATE: f64 = 0.005;
/// Standard deviations, plus nanoseconds of stamp noise, beyond the line from which a sample contradicts it.
const BEYOND_SIGMA: f64 = 6.0;
const BEYOND_LEAST: f64 = 20e3;
/// So many of the latest samples may contradict the line by all lying below it: from 1 to 8 s at 8 Hz.
const FEWEST_BELOW: usize = 16;
const MOST_BELOW: usize = 64;
/// Log probability from which on that is no chance.
const NO_CHANCE: f64 = -8.0;
/// From this log probability on late samples may be the first ones after a step back: at worst the bound is too wide in
/// one of some hundred samples.
const SUSPICIOUS: f64 = -7.0;
/// Samples by which that is judged; with more of them, a hold begins.
const MOST_LATE: usize = 8;
/// Later than any before by this factor is what a step back looks like, and hardly ever a queue.
const UNHEARD_OF: f64 = 2.0;
/// Samples that there must be before them.
const FEWEST_BEFORE: usize = 8;
/// Part of their lateness that earlier samples are counted above: bins are a fifth wide.
const LATE_PART: f64 = 0.8;

/// Of so many of the latest samples, as many as this are above a line more often because it is too low than because
/// their stamps are late (field guide 1.14: up to one in fifty).
const ABOVE: [(usize, usize); 3] = [(16, 2), (32, 3), (64, 4)];
const MOST_ABOVE: usize = 4;
/// Standard deviations above the line from which on that counts.
const ABOVE_SIGMA: f64 = 2.0;

/// The latest samples of one direction, newest first. Those of the way up are stored mirrored, so that for either
/// direction a packet that was delayed lies below the line.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub delays: Delays,
    recent: [Point; HISTORY],
    len: usize,
    /// Samples seen in this epoch.
    pub seen: u64,
    /// Up to so many samples the line is fitted to the whole history now and then.
    young_until: u64,
    /// Rate and its standard deviation from the last such fit.
    fitted: Option<(f64, f64)>,
}

impl Side {
    pub const fn new(delays: Delays) -> Self {
        Self {
            delays,
            recent: [Point { t: 0.0, y: 0.0 }; HISTORY],
            len: 0,
            seen: 0,
            young_until: HISTORY as u64,
            fitted: None,
        }
    }

    pub fn push(&mut self, point: Point) {
        self.recent.rotate_right(1);
        self.recent[0] = point;
        self.len = (self.len + 1).min(HISTORY);
        self.seen = self.seen.saturating_add(1);
    }

    /// The latest samples, newest first.
    pub fn recent(&self) -> &[Point] {
        &self.recent[..self.len]
    }

    /// Whether the line is young and it is time to fit it to the whole history.
    pub const fn begins_anew(&self) -> bool {
        let every = if self.len <= INFANT { INFANT as u64 / 8 } else { ANEW };
        self.seen <= self.young_until && self.len >= INFANT / 4 && self.seen.is_multiple_of(every)
    }

    /// Forgets all but the latest `keep` samples, not what they taught of the delays.
    pub fn forget(&mut self, keep: usize) {
        self.fitted = None;
        self.len = self.len.min(keep);
        self.rejuvenate();
    }

    /// The history speaks of a path that changed, so the line is not to be fitted to it.
    pub const fn grow_up(&mut self) {
        self.young_until = 0;
    }

    /// The line was wrong, so it is young again.
    pub const fn rejuvenate(&mut self) {
        self.young_until = self.seen.saturating_add(HISTORY as u64);
    }

    /// How often to learn the delays from the fit and fit again: the first few samples start from a mere guess.
    pub const fn rounds(&self) -> usize {
        if self.len <= INFANT {
            3
        } else {
            2
        }
    }

    /// Fits a line to the whole history; `prior` is mean and standard deviation of the rate.
    pub fn fit(&mut self, prior: (f64, f64)) -> Option<Fit> {
        let fit = fit(self.recent(), prior, self.excess(), self.fitted);
        self.fitted = fit.map(|f| (f.rate, f.rate_variance.sqrt()));
        fit
    }

    /// Learns the delays from the history alone, against a line.
    pub fn relearn(&mut self, line: Straight) {
        self.delays = Delays::new();
        for i in (0..self.len).rev() {
            self.delays.add(line.above(&self.recent[i]));
        }
    }

    /// What the filter may assume of the excess delays.
    pub fn excess(&self) -> Excess {
        let n = self.delays.count();
        // An exponential density has -ln(1 - p) scales below its quantile p.
        let near = self.delays.quantile(NEAR);
        let first = near / -(1.0 - NEAR).ln();
        // And so many between two quantiles. Where the floor's neighbourhood is hollow, the line is too high.
        let spread = (self.delays.quantile(FAR) - near) / ((1.0 - NEAR) / (1.0 - FAR)).ln();
        let learned = first.min(HOLLOW * spread).max(LEAST_SCALE);
        let scale = ((learned.ln() * n + FIRST_SCALE.ln() * GUESS) / (n + GUESS)).exp();
        Excess { scale, tail: TAIL, late: LATE }
    }

    /// How far beyond the line a sample contradicts it.
    pub fn limit(sigma: f64) -> f64 {
        BEYOND_SIGMA * sigma + BEYOND_LEAST
    }

    /// How far the latest samples all lie below the line where that is too improbable to be chance, at most, ns.
    pub fn below(&self, line: Straight) -> f64 {
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for (i, p) in self.recent().iter().take(MOST_BELOW).enumerate() {
            least = least.min(line.above(p));
            if least <= 0.0 {
                break;
            }
            let len = i + 1;
            if len >= FEWEST_BELOW && len.is_power_of_two() {
                let odds = len as f64 * self.delays.share_above(least).ln();
                if odds < NO_CHANCE {
                    most = most.max(least);
                }
            }
        }
        most
    }

    /// How far below the line the latest one or few samples all lie, where hardly any before them did, ns.
    pub fn late(&self, line: Straight, sigma: f64) -> f64 {
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for (i, p) in
            self.recent().iter().take(MOST_LATE.min(self.len.saturating_sub(FEWEST_BEFORE))).enumerate()
        {
            least = least.min(line.above(p));
            if least <= Self::limit(sigma) {
                break;
            }
            let odds = (i + 1) as f64 * self.delays.share_above_but(LATE_PART * least, i + 1).ln();
            if odds < SUSPICIOUS || self.unheard_of(least, i + 1) {
                most = most.max(least);
            }
        }
        most
    }

    /// By how much the floor may lie higher than the line, as more of the latest samples say than stamps are late, ns. Each
    /// sample is a lower limit of it.
    pub fn above(&self, line: Straight, sigma: f64) -> f64 {
        let mut tops = [0.0; MOST_ABOVE];
        let mut most = 0.0_f64;
        let mut next = ABOVE.iter().peekable();
        for (i, p) in self.recent().iter().enumerate() {
            let mut above = -line.above(p);
            for top in &mut tops {
                if *top < above {
                    above = std::mem::replace(top, above);
                }
            }
            if let Some((_, count)) = next.next_if(|(len, _)| i + 1 == *len) {
                most = most.max(tops[*count - 1]);
            }
            if next.peek().is_none() {
                break;
            }
        }
        if most > ABOVE_SIGMA * sigma + BEYOND_LEAST {
            most
        } else {
            0.0
        }
    }

    /// Whether nothing was ever nearly as late as the latest samples, of which the delays were learned from `own`, all are.
    pub fn unheard_of(&self, late: f64, own: usize) -> bool {
        self.delays.none_above(late / UNHEARD_OF, own)
    }

    /// Of the `among` latest samples, how many lie beyond the line by more than `limit`, and by how much at most.
    pub fn beyond(&self, line: Straight, among: usize, limit: f64) -> (usize, f64) {
        let beyond = self.recent().iter().take(among).map(|p| -line.above(p)).filter(|r| *r > limit);
        beyond.fold((0, 0.0), |(n, most), r| (n + 1, r.max(most)))
    }
}

/// A line in the coordinates of a [`Side`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Straight {
    pub t: f64,
    pub y: f64,
    pub rate: f64,
}

impl Straight {
    /// The down floor of a filter.
    pub fn floor(filter: &Filter) -> Self {
        Self { t: filter.t, y: filter.x[0], rate: filter.x[1] }
    }

    /// The up ceiling of a filter, mirrored.
    pub fn ceiling(filter: &Filter) -> Self {
        Self { t: filter.t, y: -(filter.x[0] + filter.x[2]), rate: -filter.x[1] }
    }

    /// Its value at `t`.
    pub fn at(self, t: f64) -> f64 {
        self.y + self.rate * (t - self.t)
    }

    /// How far it runs above a point, ns.
    pub fn above(self, point: &Point) -> f64 {
        self.at(point.t) - point.y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_below_the_line_contradicts_it_and_a_few_do_not() {
        let line = Straight { t: 0.0, y: 0.0, rate: 0.0 };
        let mut side = Side::new(Delays::new());
        for i in 0..400 {
            side.delays.add(f64::from(i % 40) * 50e3);
        }
        let mut t = 0.0;
        let mut see = |y: f64, times: usize| {
            for _ in 0..times {
                t += 0.125;
                side.push(Point { t, y });
            }
            side.below(line)
        };
        assert_eq!(see(-50e3, 64), 0.0);
        assert_eq!(see(-1500e3, 15), 0.0);
        assert_eq!(see(-1500e3, 1), 1500e3);
        assert_eq!(see(-50e3, 1), 0.0);
        assert_eq!(see(-800e3, 16), 800e3);
    }

    #[test]
    fn a_line_that_grew_up_is_not_fitted() {
        let mut side = Side::new(Delays::new());
        (0..64).for_each(|i| side.push(Point { t: f64::from(i), y: 0.0 }));
        assert!(side.begins_anew());
        side.grow_up();
        assert!(!side.begins_anew());
        side.rejuvenate();
        assert!(side.begins_anew());
    }
}
