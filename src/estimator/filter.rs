//! A Kalman filter for one-sided noise: a packet is late by any amount, early never.
//!
//! State: the down floor `l` (receiver clock minus local clock minus the least delay down, ns), the rate `f` (ns/s) and
//! the gap `g` (least delay down plus least delay up, ns). A Sync shows `l` minus an excess delay, an exchange `l + g`
//! plus one. The state is kept as mean and covariance; each sample multiplies it by the likelihood of its excess delay
//! and the moments of the product become the new state. With an exponential density for the excess these moments are
//! those of a truncated normal distribution, so a sample at the floor pushes hard, a late one hardly pulls.
#![forbid(unsafe_code)]

/// Mean and covariance of the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    /// Time of the state, seconds since the first sample.
    pub t: f64,
    /// Down floor (ns), rate (ns/s), gap (ns).
    pub x: [f64; 3],
    /// Covariance of the same.
    pub p: [[f64; 3]; 3],
}

/// A measurement relative to the track's first: time in s, remote minus local in ns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    pub t: f64,
    pub y: f64,
}

/// What is known of the excess delays in one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excess {
    /// Scale of the exponential density near the floor, ns.
    pub scale: f64,
    /// Share of the samples that lie in a flat tail and tell nothing of the floor.
    pub tail: f64,
    /// Share of the samples that seem to arrive early, for their send stamp was read late.
    pub late: f64,
}

/// Power of the gap's random walk, ns^2 per second: 0.1 us per root second.
const GAP_WANDER: f64 = 100.0 * 100.0;
/// Width of the tail's flat density, ns: delays on Wi-Fi reach about a beacon interval.
pub(super) const TAIL_WIDTH: f64 = 100e6;
/// Scale of that lateness, ns (30 us to 2.3 ms were seen).
pub(super) const LATE_SCALE: f64 = 1e6;

impl Filter {
    /// Moves the state to time `t`, never backwards, while the rate wanders with the power `wander`.
    pub fn predict(&mut self, t: f64, wander: f64) {
        let dt = t - self.t;
        if !(dt > 0.0) {
            return;
        }
        self.t = t;
        self.x[0] += self.x[1] * dt;
        let p = &mut self.p;
        p[0][0] += dt * (2.0 * p[0][1] + dt * p[1][1]) + wander * dt * dt * dt / 3.0;
        p[0][1] += dt * p[1][1] + wander * dt * dt / 2.0;
        p[0][2] += dt * p[1][2];
        p[1][1] += wander * dt;
        p[2][2] += GAP_WANDER * dt;
        p[1][0] = p[0][1];
        p[2][0] = p[0][2];
    }

    /// Mean and variance of `h . x`.
    pub fn project(&self, h: [f64; 3]) -> (f64, f64, [f64; 3]) {
        let mut ph = [0.0; 3];
        for (i, v) in ph.iter_mut().enumerate() {
            *v = self.p[i][0] * h[0] + self.p[i][1] * h[1] + self.p[i][2] * h[2];
        }
        let mean = self.x[0] * h[0] + self.x[1] * h[1] + self.x[2] * h[2];
        (mean, ph[0] * h[0] + ph[1] * h[1] + ph[2] * h[2], ph)
    }

    /// Takes in a value that lies below `h . x` (`sign` +1) or above it (-1) by an excess delay. Returns the logarithm
    /// of the value's likelihood.
    pub fn update(&mut self, h: [f64; 3], value: f64, sign: f64, excess: Excess) -> f64 {
        let (mean, variance, ph) = self.project(h);
        let Some((shift, ratio, likelihood)) = posterior(sign * (value - mean), variance, excess) else {
            return 0.0;
        };
        let gain = sign * shift / variance;
        let shrink = (1.0 - ratio) / variance;
        for i in 0..3 {
            self.x[i] += ph[i] * gain;
            for j in 0..3 {
                self.p[i][j] -= ph[i] * ph[j] * shrink;
            }
        }
        likelihood
    }
}

/// The value of a normal variable with mean 0 and `variance` that was seen at `y`, below itself by an excess delay:
/// its new mean, its new variance as a ratio to the old, and the logarithm of the likelihood.
fn posterior(y: f64, variance: f64, excess: Excess) -> Option<(f64, f64, f64)> {
    let s = variance.sqrt();
    if !(s > 0.0) || !y.is_finite() {
        return None;
    }
    // Each part: log weight, mean, ratio of variances. Where the variable lies above a limit, it is a truncated normal.
    let slope = s / excess.scale;
    let (ln_q, rest, ratio) = upper_tail(y / s + slope);
    let weight = ((1.0 - excess.tail - excess.late) / excess.scale).ln();
    let core = (weight + y / excess.scale + 0.5 * slope * slope + ln_q, y + s * rest, ratio);
    let (ln_q, rest, ratio) = upper_tail(y / s);
    let tail = ((excess.tail / TAIL_WIDTH).ln() + ln_q, y + s * rest, ratio);
    let slope = s / LATE_SCALE;
    let (ln_q, rest, ratio) = upper_tail(slope - y / s);
    let late =
        ((excess.late / LATE_SCALE).ln() - y / LATE_SCALE + 0.5 * slope * slope + ln_q, y - s * rest, ratio);
    let top = core.0.max(tail.0).max(late.0);
    let parts = [core, tail, late].map(|(w, m, v)| ((w - top).exp(), m, v));
    let sum: f64 = parts.iter().map(|p| p.0).sum();
    let mean = parts.iter().map(|p| p.0 * p.1).sum::<f64>() / sum;
    let second =
        parts.iter().map(|p| p.0 * (p.2 * variance + (p.1 - mean) * (p.1 - mean))).sum::<f64>() / sum;
    let ratio = second / variance;
    let likelihood = top + sum.ln();
    (mean.is_finite() && ratio.is_finite() && likelihood.is_finite()).then_some((mean, ratio, likelihood))
}

/// Of the standard normal distribution above `x`: the logarithm of its share, its mean less `x`, and its variance.
fn upper_tail(x: f64) -> (f64, f64, f64) {
    const LN_ROOT_TWO_PI: f64 = 0.918_938_533_204_672_7;
    /// From here on the polynomial is too coarse and the continued fraction good enough with this many terms.
    const FAR: f64 = 2.0;
    const TERMS: usize = 24;
    let ln_density = -0.5 * x * x - LN_ROOT_TWO_PI;
    let (ln_share, rest) = if x > FAR {
        // Laplace's continued fraction; the mean less x is its fractional part, so nothing cancels however far out.
        let rest = (1..=TERMS).rev().fold(0.0, |rest, k| k as f64 / (x + rest));
        (ln_density - (x + rest).ln(), rest)
    } else {
        // Abramowitz and Stegun 26.2.17, |error| < 7.5e-8.
        let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
        let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
        let beyond = ln_density.exp() * series.into_iter().fold(0.0, |sum, c| t * (c + sum));
        let share = if x >= 0.0 { beyond } else { 1.0 - beyond };
        (share.ln(), ln_density.exp() / share - x)
    };
    // The variance falls as 1/x^2; the bound keeps rounding from making it negative.
    (ln_share, rest, (1.0 - (x + rest) * rest).max(0.25 / (1.0 + x * x)).min(1.0))
}
