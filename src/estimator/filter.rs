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

/// Power of the rate's random walk, (ns/s)^2 per second: crystals wander by some 0.01 ppm per root second, and a
/// temperature cycle of some minutes adds as much again.
pub(super) const WANDER: f64 = 20.0 * 20.0;
/// Power of the gap's random walk, ns^2 per second: 0.1 us per root second.
const GAP_WANDER: f64 = 100.0 * 100.0;
/// Width of the tail's flat density, ns: delays on Wi-Fi reach about a beacon interval.
const TAIL_WIDTH: f64 = 100e6;
/// Scale of that lateness, ns (30 us to 2.3 ms were seen).
const LATE_SCALE: f64 = 1e6;

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
        let Some((shift, ratio, likelihood)) = posterior(sign * (value - mean), variance, excess) else { return 0.0 };
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

/// The state that a short history of at most 64 points speaks for as a whole, given a prior of the rate.
///
/// Taken one by one, the first samples are judged with a poor idea of the delays and of the rate, and what they did to
/// the state stays. Here the rate's posterior is summed up over a grid; for each rate the floor lies just above the
/// highest point.
pub(super) fn fit(points: &[Point], rate: (f64, f64), excess: Excess) -> Option<Filter> {
    let n = points.len();
    let newest = points.first()?;
    let mut dropped = Dropped::default();
    let (mut centre, mut half) = rate_range(rate);
    let mut moments = [0.0; 5];
    for pass in 0..FIT_PASSES {
        let mut nodes = [(0.0, 0.0, 0.0); FIT_NODES];
        for (i, node) in nodes.iter_mut().enumerate() {
            let f = centre + half * (2.0 * i as f64 / (FIT_NODES - 1) as f64 - 1.0);
            *node = fit_rate(points, &dropped, f, newest.t, excess);
            let off = (f - rate.0) / rate.1;
            node.0 -= 0.5 * off * off;
        }
        let top = nodes.iter().map(|n| n.0).fold(f64::MIN, f64::max);
        let mut sums = [0.0; 6];
        for (weight, l, f) in nodes {
            let w = (weight - top).exp();
            // Around the first node, lest large numbers cancel.
            let (l, f) = (l - nodes[0].1, f - centre);
            for (sum, term) in sums.iter_mut().zip([1.0, l, f, l * l, l * f, f * f]) {
                *sum += w * term;
            }
        }
        let [w, l, f, ll, lf, ff] = sums;
        let (l, f) = (l / w, f / w);
        moments = [l + nodes[0].1, f + centre, ll / w - l * l, lf / w - l * f, ff / w - f * f];
        let Some(late) = latest_stamp(points, &dropped, moments[1], newest.t, excess) else {
            if pass > 0 && moments[4].sqrt() > half / (FIT_NODES as f64) {
                break;
            }
            (centre, half) = (moments[1], (4.0 * moments[4].sqrt()).max(2.0 * half / FIT_NODES as f64));
            continue;
        };
        dropped.0[dropped.1] = late;
        dropped.1 += 1;
        (centre, half) = rate_range(rate);
    }
    let [l, f, ll, lf, ff] = moments;
    let floor = excess.scale / n as f64;
    let p = [[ll.max(0.0) + floor * floor, lf, 0.0], [lf, ff.max(1.0), 0.0], [0.0; 3]];
    moments.iter().all(|m| m.is_finite()).then_some(Filter { t: newest.t, x: [l, f, 0.0], p })
}

/// Nodes of the rate's grid.
const FIT_NODES: usize = 25;
/// Refinements of the grid, and stamps left out, at most.
const FIT_PASSES: usize = 6;

/// Points left out of a fit, and how many.
#[derive(Default)]
struct Dropped([usize; FIT_PASSES], usize);

impl Dropped {
    fn has(&self, index: usize) -> bool {
        self.0[..self.1].contains(&index)
    }
}

fn rate_range(rate: (f64, f64)) -> (f64, f64) {
    (rate.0, 4.0 * rate.1)
}

/// Log likelihood, floor at `now` and rate of a line of rate `f` just above all points.
fn fit_rate(points: &[Point], dropped: &Dropped, f: f64, now: f64, excess: Excess) -> (f64, f64, f64) {
    let kept = || points.iter().enumerate().filter(|(i, _)| !dropped.has(*i)).map(|(_, p)| p.y - f * (p.t - now));
    let l = kept().fold(f64::MIN, f64::max) + excess.scale / points.len() as f64;
    let core = (1.0 - excess.tail) / excess.scale;
    let tail = excess.tail / TAIL_WIDTH;
    (kept().map(|y| (core * ((y - l) / excess.scale).exp() + tail).ln()).sum(), l, f)
}

/// The highest point, where it stands so far above the next that its send stamp must have been read late.
fn latest_stamp(points: &[Point], dropped: &Dropped, f: f64, now: f64, excess: Excess) -> Option<usize> {
    let (mut first, mut second, mut index) = (f64::MIN, f64::MIN, 0);
    for (i, p) in points.iter().enumerate().filter(|(i, _)| !dropped.has(*i)) {
        let y = p.y - f * (p.t - now);
        if y > first {
            (second, first, index) = (first, y, i);
        } else if y > second {
            second = y;
        }
    }
    let stands_out = (first - second) * points.len() as f64 / excess.scale > FIT_LATE;
    (stands_out && first - second < LATE_MOST && points.len() >= 16).then_some(index)
}

/// Log odds against the gap between the highest and the next point by which the highest is a late stamp.
const FIT_LATE: f64 = 14.0;
/// No stamp was seen this late, ns.
const LATE_MOST: f64 = 5e6;

/// The value of a normal variable with mean 0 and `variance` that was seen at `y`, below itself by an excess delay:
/// its new mean, its new variance as a ratio to the old, and the logarithm of the likelihood.
fn posterior(y: f64, variance: f64, excess: Excess) -> Option<(f64, f64, f64)> {
    let s = variance.sqrt();
    if !(s > 0.0) || !y.is_finite() {
        return None;
    }
    // Each part: log weight, mean, variance.
    let a = y / s + s / excess.scale;
    let (ln_q, h) = upper_tail(a);
    let slope = s / excess.scale;
    let core = (
        ((1.0 - excess.tail - excess.late) / excess.scale).ln() + y / excess.scale + 0.5 * slope * slope + ln_q,
        y + s * (h - a),
        (1.0 - h * (h - a)).max(1e-9),
    );
    let (ln_q, h) = upper_tail(y / s);
    let tail = ((excess.tail / TAIL_WIDTH).ln() + ln_q, s * h, (1.0 - h * (h - y / s)).max(1e-9));
    let slope = s / LATE_SCALE;
    let b = -y / s + slope;
    let (ln_q, h) = upper_tail(b);
    let late = (
        (excess.late / LATE_SCALE).ln() - y / LATE_SCALE + 0.5 * slope * slope + ln_q,
        y - s * (h - b),
        (1.0 - h * (h - b)).max(1e-9),
    );
    let top = core.0.max(tail.0).max(late.0);
    let parts = [core, tail, late].map(|(w, m, v)| ((w - top).exp(), m, v));
    let sum: f64 = parts.iter().map(|p| p.0).sum();
    let mean = parts.iter().map(|p| p.0 * p.1).sum::<f64>() / sum;
    let second = parts.iter().map(|p| p.0 * (p.2 * variance + (p.1 - mean) * (p.1 - mean))).sum::<f64>() / sum;
    let ratio = second / variance;
    let likelihood = top + sum.ln();
    (mean.is_finite() && ratio.is_finite() && likelihood.is_finite()).then_some((mean, ratio, likelihood))
}

/// Logarithm of the normal distribution's upper tail at `x`, and density over tail (inverse Mills ratio) there.
fn upper_tail(x: f64) -> (f64, f64) {
    const LN_ROOT_TWO_PI: f64 = 0.918_938_533_204_672_7;
    let ln_density = -0.5 * x * x - LN_ROOT_TWO_PI;
    if x > 2.0 {
        // Laplace's continued fraction.
        let mut c = x;
        let mut k = 24.0;
        while k > 0.0 {
            c = x + k / c;
            k -= 1.0;
        }
        return (ln_density - c.ln(), c);
    }
    // Abramowitz and Stegun 26.2.17, |error| < 7.5e-8.
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let density = ln_density.exp();
    let upper = if x >= 0.0 { density * poly } else { 1.0 - density * poly };
    (upper.ln(), density / upper)
}
