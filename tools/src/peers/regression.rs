//! A line through the samples of least delay, in the manner of chrony as its manual describes it: a weighted
//! regression over up to 64 samples, from which the oldest are dropped while the residuals have too few runs of one
//! sign to be noise about a line. Samples are the best of eight, so the line is up to 64 s long.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::front::{BestOfEight, Point};
use super::{Measurement, Peer};

/// The most samples.
const MOST: usize = 64;
/// The fewest for a slope. Our choice.
const FEWEST: usize = 4;
/// Standard deviations below the expected number of runs (Wald, Wolfowitz 1940) that are too few: 5 %, one-sided.
const TOO_FEW: f64 = 1.645;

/// The samples and their line.
#[derive(Clone, Debug, Default)]
pub struct Regression {
    front: BestOfEight,
    points: VecDeque<Point>,
    /// A point of the line, and its slope in ns/s.
    x: f64,
    y: f64,
    slope: f64,
}

impl Regression {
    /// Weight of a sample: what its delay has beyond the least counts against the mean of that. Our choice.
    fn weights(&self) -> impl Fn(&Point) -> f64 {
        let least = self.points.iter().map(|p| p.delay).fold(f64::MAX, f64::min);
        let mean = self.points.iter().map(|p| p.delay - least).sum::<f64>() / self.points.len() as f64;
        move |p| (1.0 + (p.delay - least) / mean.max(1.0)).powi(-2)
    }

    fn fit(&mut self) {
        let weight = self.weights();
        let (mut sum, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
        for p in &self.points {
            let w = weight(p);
            (sum, sum_x, sum_y) = (sum + w, sum_x + w * p.x, sum_y + w * p.y);
        }
        (self.x, self.y, self.slope) = (sum_x / sum, sum_y / sum, 0.0);
        let (mut xx, mut xy) = (0.0, 0.0);
        for p in &self.points {
            let (dx, dy) = (p.x - self.x, p.y - self.y);
            (xx, xy) = (xx + weight(p) * dx * dx, xy + weight(p) * dx * dy);
        }
        if self.points.len() >= FEWEST && xx > 0.0 {
            self.slope = xy / xx;
        }
    }

    /// Whether neighbours lie on one side of the line more often than noise would.
    fn is_bent(&self) -> bool {
        let above = |p: &Point| p.y - self.y > self.slope * (p.x - self.x);
        let ups = self.points.iter().filter(|p| above(p)).count() as f64;
        let n = self.points.len() as f64;
        let runs = 1 + self
            .points
            .iter()
            .zip(self.points.iter().skip(1))
            .filter(|(a, b)| above(a) != above(b))
            .count();
        let product = 2.0 * ups * (n - ups);
        let variance = product * (product - n) / (n * n * (n - 1.0));
        (runs as f64) < product / n + 1.0 - TOO_FEW * variance.max(0.0).sqrt()
    }
}

impl Peer for Regression {
    fn name(&self) -> &'static str {
        "regression, best of 8"
    }

    fn take(&mut self, measurement: &Measurement) {
        let Some(point) = self.front.take(measurement) else { return };
        if self.points.len() == MOST {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.fit();
        while self.points.len() > FEWEST && self.is_bent() {
            self.points.pop_front();
            self.fit();
        }
    }

    fn offset_at(&self, x: f64) -> Option<f64> {
        (!self.points.is_empty()).then_some(self.y + self.slope * (x - self.x))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::drift;
    use super::*;

    #[test]
    fn late_samples_do_not_move_the_line() {
        let mut peer = Regression::default();
        // Six of eight are 20 ms late.
        let end = drift(&mut peer, 800, -50e3, |i| if i % 8 < 6 { 20e6 } else { f64::from(i * 7 % 5) });
        assert!((peer.offset_at(end + 1.0).unwrap() + 50e3 * (end + 1.0)).abs() < 500.0);
    }

    #[test]
    fn of_two_blocks_the_late_one_counts_less() {
        let mut peer = Regression::default();
        // Every other block has nothing better than 1 ms late: in the mean, half of that.
        let end = drift(&mut peer, 512, 0.0, |i| if i / 8 % 2 == 0 { 0.0 } else { 1e6 });
        // The late ones lie two means beyond the least: a ninth of the weight, a tenth of the sum.
        assert!((peer.offset_at(end - 32.0).unwrap() + 1e5).abs() < 5e3, "{}", peer.y);
    }

    #[test]
    fn a_bend_drops_what_was_before() {
        let mut peer = Regression::default();
        for i in 0..800_u32 {
            let x = f64::from(i) * 0.125;
            let noise = f64::from(i.wrapping_mul(2_654_435_761) >> 22);
            peer.take(&super::super::samples::at(x, 1e5 * (x - 50.0).max(0.0) - noise));
        }
        assert!((peer.slope - 1e5).abs() < 500.0, "{}", peer.slope);
        assert!(peer.points.len() < 60);
    }
}
