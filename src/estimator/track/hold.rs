//! A run of late samples, and what remains of the line that they left.
#![forbid(unsafe_code)]

use super::super::side::{Side, Straight};
use super::{Track, CRYSTAL_CHANGE, INFANT, RETURN_RATE, SAME_RATE, SETTLED_RATE, STEP, YOUNG};

/// Samples by which a run of late ones is judged: 8 s at 8 Hz.
const RUN: usize = 64;
/// Samples of such a run by which a step back is told from a queue: 2 s at 8 Hz.
const STEP_BACK_RUN: usize = 16;
/// The same where all of them are later than any before: 1 s at 8 Hz.
const STEP_BACK_SOON: usize = 8;
/// Share of the samples before it that may be half as late as a step back.
const RARE: f64 = 0.01;
/// Samples that are all late by more than this, ns, though no queue builds up so far at once,
const FAR_BACK: f64 = 200e6;
/// and by which it is told that they stay so (4 s at 8 Hz):
const FAR_BACK_RUN: usize = 32;
/// half of them within this part of the least; a queue varies by more. Beacons that hold packets add a tenth of a second.
const FAR_BACK_SPREAD: f64 = 0.25;
/// Log probability below which a run of late samples is no accident.
const IMPROBABLE: f64 = -16.0;
/// A line coasts at most this long, s; then the path has changed for good.
const LONGEST_HOLD: f64 = 180.0;
/// A path that is longer may grow by another so much, ns, before the former floor is given up.
const MORE_GROWTH: f64 = 500e3;
/// For so long may a change of rate downwards turn out to have been the path's growth, s.
const DOUBT: f64 = 240.0;
/// Nor does a path grow by more, ns.
const MOST_GROWTH: f64 = 4e6;
/// A line has seen the path's floor after so many samples (30 s at 8 Hz).
const MATURE: u64 = 240;
/// For so long may a path be longer before its former floor is given up, s.
const LONGEST_GROWTH: f64 = 900.0;
/// Round trips of a run of late samples that tell by how much the path has grown.
const GROWN_ROUNDS: usize = 8;

/// Where the floor ran before the path, or the rate, changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    pub line: Straight,
    pub since: f64,
    /// What the path had grown by when the rates last agreed, ns.
    pub grown: f64,
    /// By how much the rate fell.
    pub fall: f64,
    /// The path has grown: this line is still the better guess of the time, so it is the one published.
    pub holds: bool,
    /// The line fell by a run of late samples: that was the path's growth or a step back, and no rate tells which.
    pub abrupt: bool,
}

impl Track {
    /// A run of samples that all lie improbably far below the line: the path has grown, a queue has built up, or the
    /// clock was stepped back. Meanwhile the line coasts. Returns whether it was a step.
    pub(super) fn judge_late_run(&mut self, t: f64, r: f64, sigma: f64) -> bool {
        let line = Straight::floor(&self.steady);
        if self.far_back(line) {
            self.pend_latest();
            return true;
        }
        let Some(since) = self.hold else {
            self.begin_hold(t, sigma);
            return false;
        };
        if -r < 5.0 * sigma + self.down.delays.quantile(0.2) {
            self.hold = None;
            self.agile = self.steady;
            return false;
        }
        let mut gaps = [0.0; RUN];
        let run = self.down.recent().iter().take(RUN).take_while(|p| p.t >= since);
        let len = gaps.iter_mut().zip(run).map(|(g, p)| *g = line.above(p)).count();
        if len < STEP_BACK_SOON {
            return false;
        }
        let gaps = &mut gaps[..len];
        gaps.sort_unstable_by(f64::total_cmp);
        let least = gaps[0];
        self.hold_gap = least;
        let unheard_of = self.down.unheard_of(least, self.hold_own);
        if len < STEP_BACK_RUN && !(unheard_of && least > STEP) {
            return false;
        }
        // As tight above the new floor as above the old one: no queue does that.
        let tight = gaps[len / 2] - least < 2.5 * self.down.delays.quantile(0.5) + 200e3;
        // Where packets often take half as long, as on a radio that sleeps, a queue adds the rest.
        let rare = unheard_of || self.down.delays.share_above_but(0.5 * least, self.hold_own) < RARE;
        if tight && least > STEP && rare && !self.path_grew(since, least) {
            self.pend_latest();
            return true;
        }
        let tight = gaps[len / 5] - least < 1.5 * self.down.delays.quantile(0.2) + 50e3;
        if (tight && len == RUN) || t - since > LONGEST_HOLD {
            self.grow(line, t, least, len);
            self.steady.x[0] -= least + self.down.excess().scale / len as f64;
            self.steady.p[0][0] += (sigma + least / len as f64).powi(2);
            self.hold = None;
            self.agile = self.steady;
            self.score = 0.0;
        }
        false
    }

    /// Whether the latest samples lie so far below the line, and so close together, that it was a step back, whatever is
    /// known of the delays: of a line that is younger than the step they tell nothing, and where a radio sleeps they lie
    /// apart by more in one moment than in another.
    fn far_back(&self, line: Straight) -> bool {
        let mut gaps = [0.0; FAR_BACK_RUN];
        let recent = self.down.recent();
        let run = recent.iter().take_while(|p| line.above(p) > FAR_BACK);
        let len = gaps.iter_mut().zip(run).map(|(g, p)| *g = line.above(p)).count();
        if len < FAR_BACK_RUN {
            return false;
        }
        gaps.sort_unstable_by(f64::total_cmp);
        let (least, median) = (gaps[0], gaps[FAR_BACK_RUN / 2]);
        median - least < FAR_BACK_SPREAD * least && !self.path_grew(recent[FAR_BACK_RUN - 1].t, least)
    }

    /// The latest samples are the first ones after a step.
    fn pend_latest(&mut self) {
        if let [last, second, first, ..] = *self.down.recent() {
            self.pending = [first, second, last].map(|p| self.sample(p));
        }
    }

    /// The path has grown, or the clock was stepped back by as much. The filter follows, for the rate's sake.
    fn grow(&mut self, line: Straight, t: f64, least: f64, len: usize) {
        let mature = self.down.seen >= MATURE;
        if !mature {
            // What came before would pull a fit apart.
            self.down.forget(len);
            self.prior = (self.steady.x[1], self.steady.p[1][1].max(0.0).sqrt().max(RETURN_RATE));
        }
        let round = self.rounds.grown().filter(|(_, count)| *count >= GROWN_ROUNDS);
        if let Some((round, count)) = round {
            // Half of what the round trip is now bounds the error of either reading.
            let scale = self.up.excess().scale;
            self.up.forget(0);
            for i in 0..3 {
                (self.steady.p[2][i], self.steady.p[i][2]) = (0.0, 0.0);
            }
            self.steady.x[2] = round - scale / count as f64;
            self.steady.p[2][2] = (scale + least / len as f64).powi(2);
            self.former = None;
            return;
        }
        // What is published does not follow, unless the line had hardly shown itself; the bound holds both.
        let fresh = Former { line, since: t, grown: least, fall: 0.0, holds: mature, abrupt: true };
        let former = self.former.get_or_insert(fresh);
        former.holds |= mature;
        former.abrupt = true;
    }

    fn begin_hold(&mut self, t: f64, sigma: f64) {
        let line = Straight::floor(&self.steady);
        let mut least = f64::MAX;
        for (i, p) in self.down.recent().iter().take(RUN).enumerate() {
            least = least.min(line.above(p));
            // A crystal that changes leaves the line slowly; this is faster.
            let abrupt = least > CRYSTAL_CHANGE * (t - p.t).max(0.5) && least > 6.0 * sigma;
            if !abrupt {
                return;
            }
            let len = i + 1;
            let seen = self.down.seen;
            if seen < (INFANT as usize + len) as u64 {
                return;
            }
            if len >= 2 && len.is_power_of_two() {
                // In a young session the run itself counts for much; and what looks like a run may be all there is.
                let young = seen < MATURE && self.down.unheard_of(least, len - 1);
                if !young && seen < 2 * YOUNG {
                    continue;
                }
                let own = if young { len - 1 } else { 0 };
                let odds = len as f64 * self.down.delays.share_above_but(0.8 * least, own).ln();
                if odds < IMPROBABLE {
                    self.hold = Some(p.t);
                    self.hold_gap = least;
                    self.hold_own = len - 1;
                    self.rounds.forget_grown();
                    return;
                }
            }
        }
    }

    /// A growth that the elders know of, though no verdict has shown it, is kept where the floor was before: they forget.
    pub(super) fn remember_growth(&mut self) {
        if self.former.is_some() || self.hold.is_some() || self.up.seen > 0 {
            return;
        }
        if let Some(grown) = self.elders.grown(&self.elder()) {
            let floor = Straight::floor(&self.steady);
            let line = Straight { y: floor.y + grown, ..floor };
            self.former = Some(Former { line, since: floor.t, grown, fall: 0.0, holds: false, abrupt: true });
        }
    }

    /// Whether the floor before the last change is still of use, and which of the two is right.
    pub(super) fn follow_former(&mut self) {
        let now = self.steady.t;
        let Some(former) = &mut self.former else { return };
        let grown = former.line.at(now) - self.steady.x[0];
        let sigma = self.steady.p[0][0].max(0.0).sqrt();
        let rate_sigma = self.steady.p[1][1].max(0.0).sqrt();
        let same_rate =
            (former.line.rate - self.steady.x[1]).abs() < SAME_RATE + 2.0 * rate_sigma + 0.1 * former.fall;
        let mut given_up = 0.0;
        let over = if former.holds || former.abrupt {
            let returned = grown < Side::limit(sigma);
            given_up = if returned { 0.0 } else { grown };
            if returned && !same_rate && former.holds {
                // The path shrinks slowly, and the filter took that for a rate.
                let f = &mut self.steady;
                f.x[1] = former.line.rate;
                f.p[1] = [0.0, RETURN_RATE * RETURN_RATE, 0.0];
                (f.p[0][1], f.p[2][1]) = (0.0, 0.0);
                self.agile = self.steady;
                self.down.grow_up();
            }
            returned || grown > former.grown + MORE_GROWTH || now - former.since > LONGEST_GROWTH
        } else {
            // A rate that falls and comes back was the path growing.
            let settled = now - former.since > 5.0 && rate_sigma < SETTLED_RATE;
            former.holds = settled && same_rate && grown > 2.0 * Side::limit(sigma) + 50e3;
            now - former.since > DOUBT
                || !(0.0..=MOST_GROWTH).contains(&grown)
                || (settled && same_rate && !former.holds)
        };
        if over {
            self.debt = self.debt.max(given_up);
            self.former = None;
        } else if (former.holds || former.abrupt) && same_rate {
            former.grown = grown;
            former.line = Straight { t: now, y: former.line.at(now), rate: self.steady.x[1] };
        }
    }
}
