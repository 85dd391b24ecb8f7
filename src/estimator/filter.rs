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
        if dt.is_nan() || dt <= 0.0 {
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
    if s.is_nan() || s <= 0.0 || !y.is_finite() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const EXCESS: Excess = Excess { scale: 500e3, tail: 0.2, late: 0.005 };

    fn filter(sigma: f64) -> Filter {
        let p = [[sigma * sigma, 0.0, 0.0], [0.0, 1e6, 0.0], [0.0; 3]];
        Filter { t: 0.0, x: [0.0; 3], p }
    }

    /// The posterior's moments, summed up over a fine grid.
    fn summed_up(y: f64, sigma: f64) -> (f64, f64) {
        let density = |v: f64| {
            let prior = (-0.5 * (v / sigma).powi(2)).exp();
            let core = 0.795 / EXCESS.scale * (-(v - y) / EXCESS.scale).exp() + 0.2 / TAIL_WIDTH;
            let late = 0.005 / LATE_SCALE * (-(y - v) / LATE_SCALE).exp();
            prior * if v > y { core } else { late }
        };
        let (mut w, mut m, mut s) = (0.0, 0.0, 0.0);
        for i in -100_000..=100_000 {
            let v = 8.0 * sigma * f64::from(i) / 100_000.0;
            let d = density(v);
            (w, m, s) = (w + d, m + d * v, s + d * v * v);
        }
        (m / w, s / w - (m / w).powi(2))
    }

    #[test]
    fn an_update_has_the_moments_of_the_product() {
        for sigma in [1e3, 30e3, 1e6] {
            for r in [-30.0, -3.0, -0.5, 0.0, 0.5, 2.0, 3.0, 6.0] {
                let y = r * sigma;
                let mut f = filter(sigma);
                f.update([1.0, 0.0, 0.0], y, 1.0, EXCESS);
                let (mean, variance) = summed_up(y, sigma);
                assert!((f.x[0] - mean).abs() < 2e-3 * sigma, "{sigma} {r}: {} {mean}", f.x[0]);
                assert!((f.p[0][0] / variance - 1.0).abs() < 5e-3, "{sigma} {r}: {} {variance}", f.p[0][0]);
            }
        }
    }

    #[test]
    fn a_way_up_is_the_mirror_of_a_way_down() {
        let (mut down, mut up) = (filter(50e3), filter(50e3));
        down.update([1.0, 0.0, 0.0], 20e3, 1.0, EXCESS);
        up.update([1.0, 0.0, 0.0], -20e3, -1.0, EXCESS);
        assert!(down.x[0] > 0.0 && down.x[0] == -up.x[0]);
        assert_eq!(down.p, up.p);
    }

    #[test]
    fn time_spreads_the_state_and_never_runs_back() {
        let mut f = filter(1e3);
        f.x[1] = 5e3;
        f.predict(2.0, 400.0);
        assert_eq!(f.x[0], 10e3);
        let expected = 1e6 + 4.0 * 1e6 + 400.0 * 8.0 / 3.0;
        assert!((f.p[0][0] - expected).abs() < 1e-6, "{}", f.p[0][0]);
        let before = f.p;
        f.predict(1.0, 400.0);
        f.predict(f64::NAN, 400.0);
        assert_eq!((f.t, f.p), (2.0, before));
    }

    #[test]
    fn the_upper_tail_is_exact_near_and_far() {
        // Standard normal tables; far out the mean lies 1/x above x.
        for (x, share) in [
            (-1.0, 0.841_344_746),
            (0.0, 0.5),
            (1.5, 0.066_807_201),
            (2.5, 0.006_209_665),
            (6.0, 9.865_9e-10),
        ] {
            let (ln_share, _, _) = upper_tail(x);
            assert!((ln_share.exp() / share - 1.0).abs() < 1e-4, "{x}: {}", ln_share.exp());
        }
        for x in [1e3, 1e6, 1e12] {
            let (ln_share, rest, variance) = upper_tail(x);
            assert!(
                ln_share.is_finite() && (rest * x - 1.0).abs() < 1e-5 && variance > 0.0,
                "{x}: {rest} {variance}"
            );
        }
    }
}
