//! Measurements in, a line out.
#![forbid(unsafe_code)]

mod delays;
mod filter;
mod line;

pub use line::Line;

use crate::time::{LocalTime, PtpTime, Span};
use delays::Delays;
use filter::{Excess, Filter};

/// One completed Sync/Follow_Up pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPair {
    /// t2: local time of the Sync's arrival.
    pub local: LocalTime,
    /// t1: preciseOriginTimestamp plus all corrections.
    pub remote: PtpTime,
}

/// One completed Delay_Req/Delay_Resp exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// t3: local time at which the Delay_Req left.
    pub sent: LocalTime,
    /// t4: the receiver's time at which it arrived.
    pub received: PtpTime,
}

/// What one measurement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The timeline was re-anchored: the caller counts an epoch.
    pub stepped: bool,
    /// The measurement was not used for the line.
    pub outlier: bool,
}

/// Scale assumed for excess delays before any is known, ns: between a wire's and a congested radio's.
const FIRST_SCALE: f64 = 500e3;
/// What two crystals differ by, standard deviation, ns/s.
const CRYSTALS: f64 = 40e3;
/// No two crystals differ by more, ns/s.
const MAX_RATE: f64 = 300e3;
/// A sample above the line by more cannot be a late stamp, nor be explained by any network, ns.
const STEP: f64 = 50e6;
/// Nor can a queue delay a packet by this much, ns.
const FAR: f64 = 1.5e9;
/// Samples in a row that make a step.
const STEP_SAMPLES: usize = 3;
/// How far those may lie apart, ns.
const STEP_SPREAD: f64 = 150e6;
/// Pairs before the line is trusted.
const TRUST_PAIRS: u32 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    t: f64,
    y: f64,
}

/// The state of one epoch.
#[derive(Clone, Debug)]
struct Track {
    local0: LocalTime,
    remote0: PtpTime,
    filter: Filter,
    down: Delays,
    up: Delays,
    pairs: u32,
    exchanges: u32,
    pending: [Point; STEP_SAMPLES],
    pending_len: usize,
    anchor_t: f64,
    anchor: f64,
    rate: f64,
    widen: f64,
}

/// Turns the measurements of one receiver into a [`Line`].
#[derive(Clone, Debug)]
pub struct Estimator {
    track: Option<Track>,
    rate_prior: (f64, f64),
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new()
    }
}

impl Estimator {
    /// An estimator that has seen nothing.
    pub fn new() -> Self {
        Self { track: None, rate_prior: (0.0, CRYSTALS) }
    }

    /// Takes in a Sync/Follow_Up pair; `now` is the local time of the call.
    pub fn pair(&mut self, pair: SyncPair, now: LocalTime) -> Outcome {
        let Some(track) = &mut self.track else {
            self.track = Some(Track::start(pair, self.rate_prior));
            return Outcome::default();
        };
        match track.pair(pair, now) {
            Verdict::Used => Outcome::default(),
            Verdict::Outlier => Outcome { outlier: true, stepped: false },
            Verdict::Step => {
                self.rate_prior = (track.filter.x[1], CRYSTALS);
                self.track = Some(Track::start(pair, self.rate_prior));
                Outcome { stepped: true, outlier: false }
            }
        }
    }

    /// Takes in a Delay_Req/Delay_Resp exchange; `now` is the local time of the call.
    pub fn exchange(&mut self, exchange: Exchange, now: LocalTime) -> Outcome {
        let used = self.track.as_mut().is_some_and(|t| t.exchange(exchange, now));
        Outcome { stepped: false, outlier: !used }
    }

    /// Another grandmaster: forgets the samples, keeps what is known of the rate as a wide prior.
    pub fn restart(&mut self) {
        if let Some(track) = self.track.take() {
            self.rate_prior = (track.filter.x[1], CRYSTALS);
        }
    }

    /// The local clock stood still for `by` while the receiver's went on: moves line and history, widens the bound.
    pub fn shift(&mut self, by: Span) {
        if let Some(track) = &mut self.track {
            track.remote0 = track.remote0.plus(by);
            track.filter.p[0][0] += 1e12;
        }
    }

    /// The published line; `None` before the first pair.
    pub fn line(&self) -> Option<Line> {
        self.track.as_ref().map(Track::line)
    }
}

enum Verdict {
    Used,
    Outlier,
    Step,
}

impl Track {
    fn start(pair: SyncPair, prior: (f64, f64)) -> Self {
        let x = [FIRST_SCALE, prior.0, 0.0];
        let p = [[FIRST_SCALE * FIRST_SCALE, 0.0, 0.0], [0.0, prior.1 * prior.1, 0.0], [0.0, 0.0, 0.0]];
        Self {
            local0: pair.local,
            remote0: pair.remote,
            filter: Filter { t: 0.0, x, p },
            down: Delays::new(),
            up: Delays::new(),
            pairs: 1,
            exchanges: 0,
            pending: [Point::default(); STEP_SAMPLES],
            pending_len: 0,
            anchor_t: 0.0,
            anchor: 0.0,
            rate: prior.0,
            widen: 0.0,
        }
    }

    fn point(&self, local: LocalTime, remote: PtpTime) -> Point {
        let elapsed = i128::from(local.nanos()) - i128::from(self.local0.nanos());
        let remote = i128::from(remote.nanos()) - i128::from(self.remote0.nanos());
        Point { t: elapsed as f64 * 1e-9, y: (remote - elapsed) as f64 }
    }

    fn pair(&mut self, pair: SyncPair, now: LocalTime) -> Verdict {
        let Point { t, y } = self.point(pair.local, pair.remote);
        let before = self.filter;
        self.filter.predict(t);
        let back = (self.filter.t - t).clamp(0.0, 10.0);
        let h = [1.0, -back, 0.0];
        let (floor, _, _) = self.filter.project(h);
        let r = y - floor;
        if r > STEP || r.abs() > FAR {
            self.filter = before;
            self.widen = 2.0 * r.abs() + STEP;
            self.pending.rotate_left(1);
            self.pending[STEP_SAMPLES - 1] = Point { t, y };
            self.pending_len = (self.pending_len + 1).min(STEP_SAMPLES);
            let ys = self.pending.map(|p| p.y);
            let spread =
                ys.iter().copied().fold(f64::MIN, f64::max) - ys.iter().copied().fold(f64::MAX, f64::min);
            if self.pending_len == STEP_SAMPLES && spread < STEP_SPREAD {
                return Verdict::Step;
            }
            return Verdict::Outlier;
        }
        self.pending_len = 0;
        self.widen = 0.0;
        self.pairs = self.pairs.saturating_add(1);
        self.down.add(-r);
        self.filter.update(h, y, 1.0, excess_of(&self.down));
        self.filter.x[1] = self.filter.x[1].clamp(-MAX_RATE, MAX_RATE);
        self.publish(self.point(now, pair.remote).t);
        Verdict::Used
    }

    fn exchange(&mut self, exchange: Exchange, now: LocalTime) -> bool {
        let Point { t, y } = self.point(exchange.sent, exchange.received);
        let back = self.filter.t - t;
        let floor = self.filter.x[0] - self.filter.x[1] * back;
        if back.abs() > 10.0 || (y - floor).abs() > FAR {
            return false;
        }
        if self.exchanges == 0 {
            self.filter.x[2] = (y - floor).max(0.0);
            self.filter.p[2] = [0.0; 3];
            self.filter.p[0][2] = 0.0;
            self.filter.p[1][2] = 0.0;
            self.filter.p[2][2] = FIRST_SCALE * FIRST_SCALE;
        }
        self.exchanges = self.exchanges.saturating_add(1);
        self.up.add(y - floor - self.filter.x[2]);
        self.filter.update([1.0, -back, 1.0], y, -1.0, excess_of(&self.up));
        self.publish(self.point(now, exchange.received).t);
        true
    }

    fn publish(&mut self, now: f64) {
        let now = now.max(self.anchor_t).max(self.filter.t);
        let target = self.filter.x[0] + self.filter.x[1] * (now - self.filter.t) + 0.5 * self.filter.x[2];
        let current = self.anchor + self.rate * (now - self.anchor_t);
        let difference = target - current;
        self.anchor_t = now;
        if self.pairs <= TRUST_PAIRS {
            self.anchor = target;
            self.rate = self.filter.x[1];
            return;
        }
        self.anchor = current;
        let tau = (now * 0.2).clamp(0.3, 5.0);
        let limit = if now < 8.0 { f64::MAX } else { (difference.abs() / 8.0).max(50e3) };
        self.rate = self.filter.x[1] + (difference / tau).clamp(-limit, limit);
    }

    fn line(&self) -> Line {
        let whole = self.anchor_t * 1e9;
        let elapsed = whole.round();
        let remote = i128::from(self.remote0.nanos()) + elapsed as i128 + self.anchor.round() as i128;
        let lag =
            (self.filter.x[0] + 0.5 * self.filter.x[2] + self.filter.x[1] * (self.anchor_t - self.filter.t)
                - self.anchor)
                .abs();
        let error =
            4.0 * self.filter.p[0][0].max(0.0).sqrt() + lag + self.widen + 0.5 * self.filter.x[2] + 2e3;
        let growth = (self.rate - self.filter.x[1]).abs() + 4.0 * self.filter.p[1][1].max(0.0).sqrt() + 100.0;
        Line {
            anchor_local: self.local0.plus(Span::from_nanos(elapsed as i64)),
            anchor_remote: PtpTime::clamped(remote),
            rate: self.rate * 1e-9,
            error_ns: error as u64,
            error_growth: growth * 1e-9,
            path_delay_ns: (self.exchanges > 3).then_some((0.5 * self.filter.x[2]) as u64),
            trusted: self.pairs >= TRUST_PAIRS,
        }
    }
}

/// What the filter may assume of the excess delays so far seen.
fn excess_of(delays: &Delays) -> Excess {
    /// Entries that the first guess of the scale counts for.
    const GUESS: f64 = 8.0;
    /// Share of samples taken as the floor's neighbourhood.
    const NEAR: f64 = 0.2;
    let n = delays.count();
    // An exponential density has -ln(1 - p) scales below its quantile p.
    let learned = delays.quantile(NEAR) / -(1.0 - NEAR).ln();
    let scale = (learned * n + FIRST_SCALE * GUESS) / (n + GUESS);
    Excess { scale: scale.max(1e3), tail: 0.2 }
}
