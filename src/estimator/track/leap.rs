//! What a round trip says of the pair beside it: that the clock leapt, that the line has drifted off, or neither.
#![forbid(unsafe_code)]

use super::super::filter::Point;
use super::super::rounds::{Beside, Told, UNLIKE};
use super::super::side::Straight;
use super::{Track, GAP_EXCHANGES, SCORE_DOUBT, STEP};
use crate::estimator::CRYSTALS;

/// A step by less is left to the line to follow, ns.
const LEAST_STEP: f64 = 1e6;
/// An exchange and a pair no further apart than this, a Sync interval and some, make a round trip, s.
const NEXT_TO: f64 = 0.15;
/// A line that took a path's change for its rate leaves the clock no faster, ns/s: 4 ms in 20 s, and a crystal.
const LOST_RATE: f64 = 250e3;
/// Pairs on the line that show that it was right then: one or two may be stamped late.
const NEAR: usize = 3;
/// Samples that a line begins anew from once it has drifted off: 1 s at 8 Hz, in which it runs no further.
const DRIFT_KEEPS: usize = 8;

impl Track {
    /// The round trip of an exchange and the pair next to it, and how late that pair is against the line.
    pub(super) fn round(&self, t: f64, y: f64) -> Option<Beside> {
        let nearest =
            self.down.recent().iter().take(2).min_by(|a, b| (a.t - t).abs().total_cmp(&(b.t - t).abs()));
        let pair = nearest.filter(|p| (p.t - t).abs() < NEXT_TO)?;
        let round = y - pair.y - self.steady.x[1] * (t - pair.t);
        Some(Beside { t: pair.t, round, late: Straight::floor(&self.steady).above(pair) })
    }

    /// Whether a round trip shows that the clock, not the path, is what put its pair off the line.
    pub(super) fn judge_round(&mut self, beside: Beside) -> bool {
        let Beside { t, round, late } = beside;
        if self.hold.is_some() {
            self.rounds.grows(round);
        }
        let known = self.up.seen >= GAP_EXCHANGES;
        let sigma = self.steady.p[2][2].max(0.0).sqrt();
        let changing =
            if self.score > SCORE_DOUBT { (self.agile.x[0] - self.steady.x[0]).abs() } else { 0.0 };
        let off = |told| late.abs() > if told == Told::Leap { LEAST_STEP } else { 0.0 };
        let left = self.left(t, late).filter(|(_, told)| off(*told));
        let tells = known
            && late.abs() > self.output.calm() + changing
            && left.is_some_and(|left| self.rounds.see(beside, round - self.steady.x[2], sigma, left));
        self.rounds.remember(beside);
        tells
    }

    /// When pairs before `t` were last on the line from which they are `late`, and whether that is a leap of the clock or
    /// a drift of the line, whose rate may be wrong: the former comes from one pair to the next, the latter takes a while.
    /// `None` where it is neither.
    fn left(&self, t: f64, late: f64) -> Option<(f64, Told)> {
        let line = Straight::floor(&self.steady);
        let likely = UNLIKE * late.abs();
        let before = || self.down.recent().iter().filter(|p| p.t < t);
        let near = |p: &&Point| line.above(p) * late.signum() <= likely;
        let last = before().filter(near).nth(NEAR - 1).or_else(|| before().next_back())?.t;
        let former = self.former.filter(|f| f.holds || f.abrupt);
        // Nor where the line was known no better before: it may be what is wrong, and its bound has said so. But no line
        // is wrong by as much as a step.
        let known = late.abs() > self.unsure.min(STEP) || crate::planted::bug("doubt-is-a-step");
        let leapt = known && (1.0 - UNLIKE) * late.abs() > LOST_RATE * (t - last);
        if leapt || crate::planted::bug("drift-is-a-step") {
            // Where the line from before the path grew still counts, that is where pairs come back to.
            let returned = former.is_some_and(|f| (f.line.at(t) - line.at(t) + late).abs() <= likely);
            (!returned).then_some((last, Told::Leap))
        } else {
            (late > 0.0 && former.is_none()).then_some((last, Told::Drift))
        }
    }

    /// The line runs above the clock, for its rate was wrong: that of a path that has got shorter, or of a crystal that has
    /// changed unseen. It begins anew from the latest samples, within the epoch.
    pub(super) fn sink(&mut self) {
        let line = Straight::floor(&self.steady);
        let latest = self.down.recent().iter().take(DRIFT_KEEPS).map(|p| line.above(p));
        let least = latest.fold(f64::MAX, f64::min).max(0.0);
        let scale = self.down.excess().scale;
        let round = self.rounds.least_of(|t| t >= self.steady.t - 2.0);
        let f = &mut self.steady;
        f.x[0] -= least;
        f.x[2] = round.unwrap_or(f.x[2]);
        f.p = [
            [(scale + UNLIKE * least).powi(2), 0.0, 0.0],
            [0.0, LOST_RATE * LOST_RATE, 0.0],
            [0.0, 0.0, scale * scale + f.p[2][2].max(0.0)],
        ];
        self.prior = (0.0, CRYSTALS);
        self.down.forget(DRIFT_KEEPS);
        self.up.forget(DRIFT_KEEPS);
        (self.hold, self.former) = (None, None);
        self.agile = self.steady;
        self.score = 0.0;
        self.rounds.settle();
        // Lines that ran off say nothing of how far the path has grown.
        self.elders = super::Elders::new();
        self.begin_anew();
    }

    /// Whether round trips since `since` say that the path is longer by a good part of what samples are `late`: no step,
    /// then. `None` without any.
    pub(super) fn path_grew(&self, since: f64, late: f64) -> bool {
        let known = self.up.seen >= GAP_EXCHANGES;
        let least = self.rounds.least_of(|t| t >= since).filter(|_| known);
        least.is_some_and(|round| round - self.steady.x[2] > UNLIKE * late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{LocalTime, PtpTime};

    #[test]
    fn pairs_that_leave_a_line_by_less_than_it_was_unsure_of_are_no_leap() {
        let local = |i: i64| LocalTime::from_nanos(i * 125_000_000);
        let remote = |i: i64| PtpTime::clamped(i128::from(i) * 125_000_000 - i128::from(i * 17 % 40) * 1_000);
        let mut track = Track::start(local(1), remote(1), (0.0, CRYSTALS), None);
        for i in 2..200 {
            track.pair(local(i), remote(i), local(i));
        }
        assert!(track.unsure < 100e3, "{}", track.unsure);
        let told = |track: &Track| track.left(track.steady.t + 0.125, 13e6).map(|(_, told)| told);
        assert_eq!(told(&track), Some(Told::Leap));
        track.unsure = 30e6;
        assert_ne!(told(&track), Some(Told::Leap));
    }
}
