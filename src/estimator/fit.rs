//! The line that a short history as a whole speaks for.
//!
//! Taken one by one, the first samples of a session are judged with a poor idea of the delays and of the rate, and what
//! they did to the filter stays. Here the posterior of the rate is summed up over a grid; for each rate the floor lies
//! just above the highest point. That is exact where the filter approximates, cannot fail to converge, and costs some
//! tens of microseconds for 256 points where an earlier fit shows the place, so it is done every few points only.
#![forbid(unsafe_code)]

use super::filter::{Excess, Filter, Point, LATE_SCALE, TAIL_WIDTH};

/// Nodes of the rate's grid; the grid is refined around what the last one found, so few are enough.
const NODES: usize = 17;
/// Refinements of the grid at most.
const PASSES: usize = 6;
/// Late stamps left out at most.
const MOST_LATE: usize = 12;
/// Reach of the grid in standard deviations.
const REACH: f64 = 4.0;
/// The same where an earlier fit shows the place, and how many must remain to the edge: else the grid is laid anew.
const WARM_REACH: f64 = 4.0;
const WARM_EDGE: f64 = 2.5;
/// Log odds on top of the likelihoods that it takes to call a stamp late: the floor's lucky samples look alike.
const LATE_ODDS: f64 = 4.0;
/// Points of which one may be stamped late: in fewer a late stamp cannot be told from a lucky sample.
const LATE_POINTS: usize = 16;
/// No stamp was seen this late, ns (the worst was 2.3 ms, field guide 1.14).
pub(super) const LATE_MOST: f64 = 5e6;

/// A straight line with its uncertainty: floor and rate at the time of the newest point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub t: f64,
    pub floor: f64,
    pub rate: f64,
    /// Variance of the rate.
    pub rate_variance: f64,
    /// What the floor moves by per unit of rate, and its variance once the rate is known.
    pub slope: f64,
    pub rest: f64,
}

/// Fits `points`, newest first, from below; `prior` is mean and standard deviation of the rate, `last` the same from an
/// earlier fit of nearly the same points: where it still holds, most of the work is spared.
pub(super) fn fit(
    points: &[Point],
    prior: (f64, f64),
    excess: Excess,
    last: Option<(f64, f64)>,
) -> Option<Fit> {
    let now = points.first()?.t;
    let wide = (prior.0, REACH * prior.1);
    let (mut centre, mut half) = last.map_or(wide, |(rate, sigma)| (rate, (WARM_REACH * sigma).min(wide.1)));
    let mut warm = last.is_some();
    let mut found = None;
    for _ in 0..PASSES {
        let (floor, rate, [ll, lf, ff]) = sum_up(points, now, centre, half, prior, excess);
        let least = excess.scale / points.len() as f64;
        // A grid far coarser than the posterior sees one node only: its spacing is then the uncertainty.
        let spacing = 2.0 * half / (NODES - 1) as f64;
        let edge = (rate - centre).abs() + WARM_EDGE * ff.max(0.0).sqrt();
        if warm && (edge.is_nan() || edge >= half) {
            (centre, half) = wide;
            warm = false;
            continue;
        }
        let rate_variance = ff.max(0.01 * spacing * spacing);
        let slope = lf / rate_variance;
        let rest = (ll - slope * lf).max(0.0) + least * least;
        found = Some(Fit { t: now, floor, rate, rate_variance, slope, rest });
        if ff.sqrt() > spacing {
            break;
        }
        (centre, half) = (rate, (REACH * ff.sqrt()).max(1.5 * spacing));
    }
    found.filter(|f| {
        let sound = f.floor.is_finite() && f.rest.is_finite() && f.slope.is_finite() && f.rate_variance > 0.0;
        sound && (f.rate - prior.0).abs() < REACH * prior.1
    })
}

/// Mean floor, mean rate and their (co)variances over a grid of rates.
fn sum_up(
    points: &[Point],
    now: f64,
    centre: f64,
    half: f64,
    prior: (f64, f64),
    excess: Excess,
) -> (f64, f64, [f64; 3]) {
    let mut nodes = [(0.0, 0.0, 0.0); NODES];
    for (i, node) in nodes.iter_mut().enumerate() {
        let offset = half * (2.0 * i as f64 / (NODES - 1) as f64 - 1.0);
        let (likelihood, floor) = at_rate(points, now, centre + offset, excess);
        let off = (centre + offset - prior.0) / prior.1;
        *node = (likelihood - 0.5 * off * off, floor, offset);
    }
    let top = nodes.iter().map(|n| n.0).fold(f64::MIN, f64::max);
    // Floors relative to the first node's, lest large numbers cancel.
    let base = nodes[0].1;
    let mut sums = [0.0; 6];
    for (weight, floor, f) in nodes {
        let (w, l) = ((weight - top).exp(), floor - base);
        for (sum, term) in sums.iter_mut().zip([1.0, l, f, l * l, l * f, f * f]) {
            *sum += w * term;
        }
    }
    let [w, l, f, ll, lf, ff] = sums;
    let (l, f) = (l / w, f / w);
    (base + l, centre + f, [ll / w - l * l, lf / w - l * f, ff / w - f * f])
}

/// Log likelihood and floor at `now` of a line of the given rate just above all points but those stamped late.
fn at_rate(points: &[Point], now: f64, rate: f64, excess: Excess) -> (f64, f64) {
    let ys = || points.iter().map(|p| p.y - rate * (p.t - now));
    // The highest ones, in falling order.
    let mut tops = [f64::MIN; MOST_LATE + 1];
    for mut y in ys() {
        if y > tops[MOST_LATE] {
            for top in &mut tops {
                if *top < y {
                    y = std::mem::replace(top, y);
                }
            }
        }
    }
    let density = (1.0 - excess.tail) / excess.scale;
    let late = excess.late / LATE_SCALE;
    // Leaving one out costs this much likelihood, and gains what the floor then lies nearer to all others.
    let cost = (density / late).ln().max(0.0) + LATE_ODDS;
    let gain = |m: usize| (tops[0] - tops[m]) * points.len() as f64 * density - m as f64 * cost;
    let most = if points.len() < LATE_POINTS { 0 } else { MOST_LATE.min(points.len() / LATE_POINTS) };
    let plausible = (0..=most).take_while(|m| tops[0] - tops[*m] < LATE_MOST);
    let best = plausible.max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap_or(0);
    let floor = tops[best] + excess.scale / points.len() as f64;
    let tail = excess.tail / TAIL_WIDTH;
    let one = |y: f64| {
        if y > floor {
            late * ((floor - y) / LATE_SCALE).exp()
        } else {
            density * ((y - floor) / excess.scale).exp() + tail
        }
    };
    // A product of several densities costs one logarithm; none is small enough for eight to underflow.
    let mut sum = 0.0;
    let mut product = 1.0;
    for (i, y) in ys().enumerate() {
        product *= one(y).max(1e-30);
        if i % 8 == 7 {
            sum += product.ln();
            product = 1.0;
        }
    }
    (sum + product.ln(), floor)
}

impl Fit {
    /// The filter's state from the fit of one direction.
    pub fn state(&self) -> Filter {
        let ff = self.rate_variance;
        let lf = self.slope * ff;
        let ll = self.rest + self.slope * lf;
        Filter { t: self.t, x: [self.floor, self.rate, 0.0], p: [[ll, lf, 0.0], [lf, ff, 0.0], [0.0; 3]] }
    }

    /// The filter's state from the fits of both directions (`up` fits mirrored points), which share one prior rate.
    pub fn state_with(&self, up: &Self, prior: (f64, f64)) -> Option<Filter> {
        let up_rate = -up.rate;
        let known = 1.0 / (prior.1 * prior.1);
        let (wd, wu) = (1.0 / self.rate_variance, 1.0 / up.rate_variance);
        let weight = wd + wu - known;
        let ff = 1.0 / weight;
        let rate = (wd * self.rate + wu * up_rate - known * prior.0) * ff;
        let apart = self.t - up.t;
        // Mirrored twice, so the slope keeps its sign; it is carried to the time of the down fit.
        let up_slope = up.slope + apart;
        let floor = self.floor + self.slope * (rate - self.rate);
        let ceiling = -up.floor + up_rate * apart + up_slope * (rate - up_rate);
        let ll = self.rest + self.slope * self.slope * ff;
        let cc = up.rest + up_slope * up_slope * ff;
        let lc = self.slope * up_slope * ff;
        let (lf, cf) = (self.slope * ff, up_slope * ff);
        let (lg, fg, gg) = (lc - ll, cf - lf, cc + ll - 2.0 * lc);
        let p = [[ll, lf, lg], [lf, ff, fg], [lg, fg, gg]];
        (weight > 0.0).then_some(Filter { t: self.t, x: [floor, rate, ceiling - floor], p })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCESS: Excess = Excess { scale: 20e3, tail: 0.2, late: 0.005 };
    const PRIOR: (f64, f64) = (0.0, 40e3);

    /// `n` points at 8 Hz, newest first, that lie below a line, at 0 at the newest, by exponential delays.
    fn points(n: usize, rate: f64) -> Vec<Point> {
        let mut bits = n as u64;
        let mut point = |i: usize| {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let t = -0.125 * i as f64;
            Point { t, y: rate * t + EXCESS.scale * ((bits >> 11) as f64 / (1u64 << 53) as f64).ln() }
        };
        (0..n).map(&mut point).collect()
    }

    #[test]
    fn a_line_is_found_with_an_uncertainty_to_match() {
        for n in [16, 64, 200] {
            let fit = fit(&points(n, 30e3), PRIOR, EXCESS, None).unwrap();
            let state = fit.state();
            let (sigma, rate_sigma) = (state.p[0][0].sqrt(), state.p[1][1].sqrt());
            assert!(state.x[0].abs() < 3.0 * sigma, "{n}: {} {sigma}", state.x[0]);
            assert!((state.x[1] - 30e3).abs() < 3.0 * rate_sigma, "{n}: {} {rate_sigma}", state.x[1]);
            // Some scales over the number of points.
            assert!(sigma < 12.0 * EXCESS.scale / n as f64, "{n}: {sigma}");
        }
    }

    #[test]
    fn an_earlier_fit_changes_nothing_but_the_work() {
        let points = points(96, 30e3);
        let cold = fit(&points, PRIOR, EXCESS, None).unwrap();
        let sigma = cold.rate_variance.sqrt();
        // From nearby, and from somewhere else altogether.
        for last in [(cold.rate + sigma, 1.5 * sigma), (cold.rate + 100.0 * sigma, sigma), (f64::NAN, 1.0)] {
            let warm = fit(&points, PRIOR, EXCESS, Some(last)).unwrap();
            assert!((warm.rate - cold.rate).abs() < 0.2 * sigma, "{last:?}: {} {}", warm.rate, cold.rate);
            let ratio = warm.rate_variance / cold.rate_variance;
            assert!((0.7..1.4).contains(&ratio), "{last:?}: {ratio}");
        }
    }

    #[test]
    fn late_stamps_are_left_out() {
        let mut points = points(128, 30e3);
        for (i, late) in [(3, 2e6), (40, 300e3), (41, 310e3), (100, 1e6)] {
            points[i].y += late;
        }
        let state = fit(&points, PRIOR, EXCESS, None).unwrap().state();
        assert!(state.x[0].abs() < 3e3, "{}", state.x[0]);
        assert!((state.x[1] - 30e3).abs() < 1e3, "{}", state.x[1]);
    }

    #[test]
    fn two_ways_share_one_rate() {
        let down = fit(&points(64, 30e3), PRIOR, EXCESS, None).unwrap();
        // The way up runs 500 us above, mirrored, and its newest point is 50 ms older.
        let mirror = |p: &Point| Point { t: p.t - 0.05, y: 2.0 * 30e3 * (-p.t) + p.y - 500e3 + 30e3 * 0.05 };
        let up: Vec<Point> = points(64, 30e3).iter().map(mirror).collect();
        let up = fit(&up, (-PRIOR.0, PRIOR.1), EXCESS, None).unwrap();
        let both = down.state_with(&up, PRIOR).unwrap();
        assert!((both.x[1] - 30e3).abs() < 1e3, "{}", both.x[1]);
        assert!((both.x[2] - 500e3).abs() < 6e3, "{}", both.x[2]);
        assert!(both.p[1][1] < 0.7 * down.rate_variance, "{} {}", both.p[1][1], down.rate_variance);
        assert!(both.p[2][2] > 0.0 && both.p[2][2].sqrt() < 5e3, "{}", both.p[2][2]);
    }

    #[test]
    fn absurd_points_give_no_fit_or_a_finite_one() {
        for y in [f64::INFINITY, f64::NAN, 1e300, -1e300] {
            let mut points = points(16, 0.0);
            points[5].y = y;
            if let Some(fit) = fit(&points, PRIOR, EXCESS, None) {
                assert!(fit.state().p.as_flattened().iter().all(|v| v.is_finite()), "{y}: {fit:?}");
            }
        }
        assert!(fit(&[], PRIOR, EXCESS, None).is_none());
    }
}
