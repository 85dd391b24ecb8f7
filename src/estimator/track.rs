//! One epoch's worth of tracking: the filters, the verdicts on samples that contradict them, and the published line.
#![forbid(unsafe_code)]

use super::delays::Delays;
use super::filter::{fit, Excess, Filter, Point};
use super::line::Line;
use crate::time::{LocalTime, PtpTime, Span};

/// Scale assumed for excess delays before any is known, ns: between a wire's and a congested radio's.
const FIRST_SCALE: f64 = 500e3;
/// No two crystals differ by more, ns/s.
const MAX_RATE: f64 = 300e3;
/// Power of the rate's random walk in steady state, (ns/s)^2 per second.
const WANDER: f64 = 20.0 * 20.0;
/// The same for the agile filter, which stands for "the rate has changed".
const AGILE_WANDER: f64 = 2000.0 * 2000.0;
/// Log likelihood ratio of the agile to the steady filter that proves a change of rate (Page's test).
const CHANGE: f64 = 12.0;
/// A change of rate beyond this is no crystal's but a queue's, ns/s.
const CRYSTAL_CHANGE: f64 = 80e3;
/// A sample above the line by more cannot be a late stamp, nor be explained by any network, ns.
const STEP: f64 = 50e6;
/// Nor can a queue delay a packet by this much, ns.
const FAR: f64 = 1.5e9;
/// A young line may itself sit this much too late (a beacon interval), ns.
const YOUNG_LATE: f64 = 110e6;
/// Samples in which a line is young.
const YOUNG: u32 = 24;
/// Samples in a row that make a step.
const STEP_SAMPLES: usize = 3;
/// How far those may lie apart, ns.
const STEP_SPREAD: f64 = 150e6;
/// Samples kept to judge by.
const RECENT: usize = 64;
/// Samples kept to begin anew from.
const HISTORY: usize = 256;
/// Standard deviations (and ns) above the line from which a sample contradicts it.
const ABOVE_SIGMA: f64 = 6.0;
const ABOVE_LEAST: f64 = 20e3;
/// No stamp was seen this late, ns.
const LATE_MOST: f64 = 5e6;
/// Share of pairs whose send stamp was read late, so that they seem to arrive before they left (field guide 1.14).
const LATE_SHARE: f64 = 0.005;
/// Log probability below which a run of late samples is no accident.
const IMPROBABLE: f64 = -16.0;
/// Pairs before the line is trusted.
const TRUST_PAIRS: u32 = 3;

pub(super) enum Verdict {
    Used,
    Outlier,
    Step,
}

/// The state of one epoch.
#[derive(Clone, Debug)]
pub(super) struct Track {
    local0: LocalTime,
    remote0: PtpTime,
    pub steady: Filter,
    pub agile: Filter,
    pub down: Delays,
    pub up: Delays,
    pub pairs: u32,
    exchanges: u32,
    pub pending: [Point; STEP_SAMPLES],
    pending_len: usize,
    /// The latest samples, newest first.
    recent: [Point; HISTORY],
    prior: (f64, f64),
    recent_len: usize,
    pub score: f64,
    /// The run of samples that contradict the line: since when the line coasts.
    pub hold: Option<f64>,
    hold_gap: f64,
    /// Growth of the path's least delay that the filters follow and the published line does not, ns.
    pub grown: f64,
    up_above: u32,
    anchor_t: f64,
    anchor: f64,
    rate: f64,
    widen: f64,
    /// The published line is trusted, so it moves no more by jumps.
    settled: bool,
}

impl Track {
    pub fn start(local: LocalTime, remote: PtpTime, prior: (f64, f64), delays: Option<(Delays, Delays)>) -> Self {
        let (down, up) = delays.unwrap_or_else(|| (Delays::new(), Delays::new()));
        let scale = excess_of(&down).scale;
        let x = [scale, prior.0, 0.0];
        let p = [[scale * scale, 0.0, 0.0], [0.0, prior.1 * prior.1, 0.0], [0.0, 0.0, 0.0]];
        let filter = Filter { t: 0.0, x, p };
        Self {
            local0: local,
            remote0: remote,
            steady: filter,
            agile: filter,
            down,
            up,
            pairs: 1,
            exchanges: 0,
            pending: [Point::default(); STEP_SAMPLES],
            pending_len: 0,
            recent: [Point::default(); HISTORY],
            prior,
            recent_len: 1,
            score: 0.0,
            hold: None,
            hold_gap: 0.0,
            grown: 0.0,
            up_above: 0,
            anchor_t: 0.0,
            anchor: scale,
            rate: prior.0,
            widen: 0.0,
            settled: false,
        }
    }

    fn point(&self, local: LocalTime, remote: PtpTime) -> Point {
        let elapsed = i128::from(local.nanos()) - i128::from(self.local0.nanos());
        let remote = i128::from(remote.nanos()) - i128::from(self.remote0.nanos());
        Point { t: elapsed as f64 * 1e-9, y: (remote - elapsed) as f64 }
    }

    pub fn pair(&mut self, local: LocalTime, remote: PtpTime, now: LocalTime) -> Verdict {
        let Point { t, y } = self.point(local, remote);
        let before = self.steady;
        let young = super::lab(0, 0.0) / (1.0 + self.steady.t);
        self.steady.predict(t, super::lab(1, WANDER) + young * young);
        let back = (self.steady.t - t).clamp(0.0, 10.0);
        let h = [1.0, -back, 0.0];
        let (floor, variance, _) = self.steady.project(h);
        let sigma = variance.max(0.0).sqrt();
        let r = y - floor;
        let step = STEP + 5.0 * sigma + if self.pairs < YOUNG { YOUNG_LATE } else { 0.0 };
        if r > step || r.abs() > FAR {
            self.steady = before;
            self.widen = 2.0 * r.abs() + STEP;
            self.pending.rotate_left(1);
            self.pending[STEP_SAMPLES - 1] = Point { t, y };
            self.pending_len = (self.pending_len + 1).min(STEP_SAMPLES);
            let ys = self.pending.map(|p| p.y);
            let spread = ys.iter().copied().fold(f64::MIN, f64::max) - ys.iter().copied().fold(f64::MAX, f64::min);
            if self.pending_len == STEP_SAMPLES && spread < STEP_SPREAD {
                return Verdict::Step;
            }
            return Verdict::Outlier;
        }
        self.agile.predict(t, super::lab(2, 2000.0).powi(2));
        self.pending_len = 0;
        self.widen = 0.0;
        self.pairs = self.pairs.saturating_add(1);
        self.recent.rotate_right(1);
        self.recent[0] = Point { t, y };
        self.recent_len = (self.recent_len + 1).min(HISTORY);
        if self.contradicted_from_above(sigma) {
            let top = self.recent[..5].iter().map(|p| -self.gap(p)).fold(0.0, f64::max);
            let returned = top.min(self.grown);
            self.grown -= returned;
            self.steady.x[0] += returned;
            self.steady.p[0][0] += (top - returned).powi(2) + 0.01 * returned * returned;
            self.hold = None;
            let before = self.steady.x[0];
            self.steady.update(h, y, 1.0, excess_of(&self.down));
            let by = self.steady.x[0] - before;
            if by > self.down.quantile(0.2) && returned == 0.0 {
                self.down = Delays::new();
                self.relearn();
            }
            self.agile = self.steady;
            self.score = 0.0;
            self.publish(self.point(now, remote).t);
            return Verdict::Used;
        }
        if let Some(v) = self.judge_late_run(t, r, sigma) {
            return v;
        }
        if self.hold.is_none() {
            self.down.add(-r);
        }
        let mut excess = excess_of(&self.down);
        if self.hold.is_some() {
            excess.tail = 0.99;
        }
        let before = self.steady.x[0];
        let steady = self.steady.update(h, y, 1.0, excess);
        if self.grown > 0.0 && r > 3.0 * sigma {
            self.grown = (self.grown - (self.steady.x[0] - before).max(0.0)).max(0.0);
        }
        let agile = self.agile.update(h, y, 1.0, excess);
        if self.hold.is_none() {
            self.score = (self.score + agile - steady).max(0.0);
            if self.score > super::lab(3, CHANGE) {
                self.score = 0.0;
                if (self.agile.x[1] - self.steady.x[1]).abs() < CRYSTAL_CHANGE {
                    self.steady = self.agile;
                } else {
                    self.agile = self.steady;
                }
            }
        }
        if self.pairs.is_power_of_two() && (8..=super::lab(6, 256.0) as u32).contains(&self.pairs) && self.recent_len == self.pairs as usize && self.hold.is_none() {
            self.begin_anew();
        }
        self.steady.x[1] = self.steady.x[1].clamp(-MAX_RATE, MAX_RATE);
        self.publish(self.point(now, remote).t);
        Verdict::Used
    }

    /// How far a sample lies below the steady line, ns.
    fn gap(&self, p: &Point) -> f64 {
        self.steady.x[0] + self.steady.x[1] * (p.t - self.steady.t) - p.y
    }

    /// Learns the delays from the history alone.
    fn relearn(&mut self) {
        let mut down = Delays::new();
        self.recent[..self.recent_len].iter().rev().for_each(|p| down.add(self.gap(p)));
        self.down = down;
    }

    /// Begins anew from the whole history, while that holds every sample of the epoch.
    fn begin_anew(&mut self) {
        let n = self.recent_len;
        for _ in 0..2 {
            let excess = excess_of(&self.down);
            let Some(new) = fit(&self.recent[..n], self.prior, excess) else { return };
            let (old, gap) = (self.steady.x[0], self.steady.p[2][2]);
            if !((new.x[1] - self.prior.0).abs() < 4.0 * self.prior.1) {
                return;
            }
            let kept = if self.exchanges > 0 { self.steady.x[2] + old - new.x[0] } else { 0.0 };
            self.steady = Filter { x: [new.x[0], new.x[1], kept], ..new };
            self.steady.p[2][2] = gap;
            self.relearn();
        }
        self.agile = self.steady;
        self.score = 0.0;
    }

    /// Three of the last five samples above the line, or two of eight by more than any late stamp.
    fn contradicted_from_above(&self, sigma: f64) -> bool {
        let limit = ABOVE_SIGMA * sigma + ABOVE_LEAST;
        let n = self.recent_len;
        if -self.gap(&self.recent[0]) <= limit {
            return false;
        }
        self.recent[..n.min(5)].iter().filter(|p| -self.gap(p) > limit).count() >= 3
            || self.recent[..n.min(8)].iter().filter(|p| -self.gap(p) > limit.max(LATE_MOST)).count() >= 2
    }

    /// A run of samples that all lie improbably far below the line: the path has grown, a queue has built up, or the
    /// clock was stepped back. Meanwhile the line coasts.
    fn judge_late_run(&mut self, t: f64, r: f64, sigma: f64) -> Option<Verdict> {
        let n = self.recent_len.min(RECENT);
        if let Some(since) = self.hold {
            if -r < 5.0 * sigma + self.down.quantile(0.2) {
                self.hold = None;
                self.agile = self.steady;
                return None;
            }
            let run = self.recent[..n].iter().take_while(|p| p.t >= since).count();
            if run < 16 {
                return None;
            }
            let mut gaps = [0.0; RECENT];
            gaps[..run].iter_mut().zip(&self.recent).for_each(|(g, p)| *g = self.gap(p));
            gaps[..run].sort_by(f64::total_cmp);
            let least = gaps[0];
            self.hold_gap = least;
            // As tight above the new floor as above the old one: no queue does that.
            let tight = gaps[run / 2] - least < 1.5 * self.down.quantile(0.5) + 100e3;
            if tight && least > STEP {
                return Some(Verdict::Step);
            }
            let tight = gaps[run / 5] - least < 1.5 * self.down.quantile(0.2) + 50e3;
            if (tight && run >= RECENT) || t - since > 180.0 {
                let by = least + excess_of(&self.down).scale / run as f64;
                self.steady.x[0] -= by;
                self.steady.p[0][0] += (sigma + least / run as f64).powi(2);
                self.grown += by;
                self.hold = None;
                self.agile = self.steady;
                self.score = 0.0;
            }
            return None;
        }
        for len in [4, 8, 16, 32, 64] {
            if len > n || self.pairs < 2 * YOUNG {
                break;
            }
            let least = self.recent[..len].iter().map(|p| self.gap(p)).fold(f64::MAX, f64::min);
            let span = t - self.recent[len - 1].t;
            if least > CRYSTAL_CHANGE * span.max(0.5) && least > 6.0 * sigma && len as f64 * self.down.share_above(0.8 * least).ln() < IMPROBABLE {
                self.hold = Some(self.recent[len - 1].t);
                self.hold_gap = least;
                break;
            }
        }
        None
    }

    pub fn exchange(&mut self, sent: LocalTime, received: PtpTime, now: LocalTime) -> bool {
        let Point { t, y } = self.point(sent, received);
        let back = self.steady.t - t;
        let floor = self.steady.x[0] - self.steady.x[1] * back;
        if back.abs() > 10.0 || (y - floor).abs() > FAR {
            return false;
        }
        if self.exchanges == 0 {
            let scale = excess_of(&self.up).scale;
            for f in [&mut self.steady, &mut self.agile] {
                f.x[2] = y - (f.x[0] - f.x[1] * back) - scale;
                f.p[2] = [0.0; 3];
                f.p[0][2] = 0.0;
                f.p[1][2] = 0.0;
                f.p[2][2] = scale * scale;
            }
        }
        self.exchanges = self.exchanges.saturating_add(1);
        let h = [1.0, -back, 1.0];
        let (ceiling, variance, _) = self.steady.project(h);
        let sigma = variance.max(0.0).sqrt();
        let excess = y - ceiling;
        if excess < -(ABOVE_SIGMA * sigma + ABOVE_LEAST) {
            self.up_above += 1;
            if self.up_above >= 2 {
                self.up_above = 0;
                self.steady.p[2][2] += excess * excess;
                self.agile.p[2][2] += excess * excess;
            }
        } else {
            self.up_above = self.up_above.saturating_sub(1);
        }
        self.up.add(excess);
        let model = excess_of(&self.up);
        let steady = self.steady.update(h, y, -1.0, model);
        let agile = self.agile.update([1.0, -(self.agile.t - t), 1.0], y, -1.0, model);
        self.score = (self.score + agile - steady).max(0.0);
        self.publish(self.point(now, received).t);
        true
    }

    fn target(&self, now: f64) -> f64 {
        self.steady.x[0] + self.steady.x[1] * (now - self.steady.t) + 0.5 * self.steady.x[2] + self.grown
    }

    fn publish(&mut self, now: f64) {
        let now = now.max(self.anchor_t).max(self.steady.t);
        let current = self.anchor + self.rate * (now - self.anchor_t);
        let target = self.target(now);
        let difference = target - current;
        self.anchor_t = now;
        if !self.settled {
            self.settled = self.pairs >= TRUST_PAIRS;
            self.anchor = target;
            self.rate = self.steady.x[1];
            return;
        }
        self.anchor = current;
        let tau = (now * 0.2).clamp(0.3, 4.0);
        let limit = if now < 8.0 { f64::MAX } else { (difference.abs() / 8.0).max(50e3) };
        self.rate = self.steady.x[1] + (difference / tau).clamp(-limit, limit);
    }

    pub fn shift(&mut self, by: Span) {
        self.remote0 = self.remote0.plus(by);
        self.steady.p[0][0] += 1e12;
        self.agile.p[0][0] += 1e12;
    }

    pub fn line(&self) -> Line {
        let elapsed = (self.anchor_t * 1e9).round();
        let remote = i128::from(self.remote0.nanos()) + elapsed as i128 + self.anchor.round() as i128;
        let lag = (self.target(self.anchor_t) - self.anchor).abs();
        let held = if self.hold.is_some() { self.hold_gap } else { 0.0 };
        let error = 4.0 * self.steady.p[0][0].max(0.0).sqrt() + lag + self.widen + held + self.grown + 0.5 * self.steady.x[2] + 2e3;
        let growth = (self.rate - self.steady.x[1]).abs() + 4.0 * self.steady.p[1][1].max(0.0).sqrt() + 100.0;
        Line {
            anchor_local: self.local0.plus(Span::from_nanos(elapsed as i64)),
            anchor_remote: PtpTime::clamped(remote),
            rate: self.rate * 1e-9,
            error_ns: error as u64,
            error_growth: growth * 1e-9,
            path_delay_ns: (self.exchanges > 3).then_some((0.5 * self.steady.x[2]) as u64),
            trusted: self.pairs >= TRUST_PAIRS,
        }
    }
    pub fn debug(&self) -> String {
        let t = self;
        format!("l {:.1} f {:.3} sl {:.2} sf {:.3} g {:.1} q05 {:.1} q20 {:.1} q50 {:.1} score {:.1} agl {:.1} agf {:.3} ags {:.1} hold {:?} gap {:.1} grown {:.1}", t.steady.x[0] / 1e3, t.steady.x[1] / 1e3, t.steady.p[0][0].sqrt() / 1e3, t.steady.p[1][1].sqrt() / 1e3, t.steady.x[2] / 1e3, t.down.quantile(0.05) / 1e3, t.down.quantile(0.2) / 1e3, t.down.quantile(0.5) / 1e3, t.score, (t.agile.x[0] - t.steady.x[0]) / 1e3, t.agile.x[1] / 1e3, t.agile.p[0][0].sqrt() / 1e3, t.hold, t.hold_gap / 1e3, t.grown / 1e3)
    }
}

/// What the filter may assume of the excess delays so far seen.
fn excess_of(delays: &Delays) -> Excess {
    /// Entries that the first guess of the scale counts for.
    const GUESS: f64 = 8.0;
    /// Share of samples taken as the floor's neighbourhood.
    let NEAR = super::lab(4, 0.1);
    let n = delays.count();
    // An exponential density has -ln(1 - p) scales below its quantile p.
    let learned = delays.quantile(NEAR) / -(1.0 - NEAR).ln();
    let scale = ((learned.ln() * n + FIRST_SCALE.ln() * GUESS) / (n + GUESS)).exp();
    Excess { scale: scale.max(1e3), tail: super::lab(5, 0.2), late: LATE_SHARE }
}
