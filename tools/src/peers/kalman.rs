//! A Kalman filter of two states, offset and drift, as Sendspin describes its own: the measurement's standard deviation
//! is half a bound on its error, and what is known is forgotten, by a factor of 2 in standard deviation, when a sample
//! lies beyond three bounds once 100 were seen. Drift wanders by 1e-11 per square root of a microsecond.
//!
//! It was made for exchanges, of which half the round trip bounds the error. One way the bound has to be a constant:
//! 10 ms here, which does better on Wi-Fi than the 1 ms that would do on a wire; or one that a front end makes.
#![forbid(unsafe_code)]

use super::front::BestOfEight;
use super::{Measurement, Peer};

/// The constant bound, ns.
const FIXED_BOUND: f64 = 10e6;
/// The bound behind the front end: this, ns, and half of what is seen of the delay. Our choice.
const LEAST_BOUND: f64 = 1e6;
/// Standard deviation of a measurement, as part of its bound.
const DEVIATION: f64 = 0.5;
/// Variance grows by this where a residual is beyond
const FORGET: f64 = 2.0 * 2.0;
/// so many bounds, after
const BEYOND: f64 = 3.0;
/// so many samples.
const SETTLED: u32 = 100;
/// Drift's wander, ns/s per square root of a second: 1e-11 per square root of a microsecond.
const WANDER: f64 = 10.0;
/// Standard deviation of drift at first, ns/s: 100 ppm, what crystals differ by. Our choice.
const DRIFT: f64 = 100e3;

/// The filter.
#[derive(Clone, Debug, Default)]
pub struct Kalman {
    front: Option<BestOfEight>,
    samples: u32,
    x: f64,
    offset: f64,
    drift: f64,
    /// Variances of offset and drift, and their covariance.
    offset_variance: f64,
    drift_variance: f64,
    covariance: f64,
}

impl Kalman {
    /// Every sample with the constant bound; exchanges with half their round trip.
    pub fn every_sample() -> Self {
        Self::default()
    }

    /// The best of eight samples.
    pub fn best_of_eight() -> Self {
        Self { front: Some(BestOfEight::default()), ..Self::default() }
    }

    fn update(&mut self, x: f64, y: f64, bound: f64) {
        let noise = (DEVIATION * bound).powi(2);
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            (self.x, self.offset) = (x, y);
            (self.offset_variance, self.drift_variance) = (noise, DRIFT * DRIFT);
            return;
        }
        let dt = (x - self.x).max(0.0);
        self.x = self.x.max(x);
        self.offset += self.drift * dt;
        self.offset_variance += dt * (2.0 * self.covariance + dt * self.drift_variance);
        self.covariance += dt * self.drift_variance;
        self.drift_variance += WANDER * WANDER * dt;
        let residual = y - self.offset;
        if self.samples > SETTLED && residual.abs() > BEYOND * bound {
            self.offset_variance *= FORGET;
            self.drift_variance *= FORGET;
            self.covariance *= FORGET;
        }
        let total = self.offset_variance + noise;
        let (gain, drift_gain) = (self.offset_variance / total, self.covariance / total);
        self.offset += gain * residual;
        self.drift += drift_gain * residual;
        self.drift_variance -= drift_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.offset_variance *= 1.0 - gain;
    }
}

impl Peer for Kalman {
    fn name(&self) -> &'static str {
        if self.front.is_some() {
            "Kalman, best of 8"
        } else {
            "Kalman"
        }
    }

    fn take(&mut self, measurement: &Measurement) {
        if let Some(front) = &mut self.front {
            if let Some(point) = front.take(measurement) {
                let least = if point.two_way { 0.0 } else { LEAST_BOUND };
                self.update(point.x, point.y, least + 0.5 * point.delay);
            }
            return;
        }
        let Measurement { x, y, back, .. } = *measurement;
        match back {
            Some((x3, z)) => self.update(0.5 * (x + x3), 0.5 * (y + z), 0.5 * (z - y)),
            None => self.update(x, y, FIXED_BOUND),
        }
    }

    fn offset_at(&self, x: f64) -> Option<f64> {
        (self.samples > 0).then_some(self.offset + self.drift * (x - self.x))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{at, drift};
    use super::*;

    #[test]
    fn it_learns_offset_and_drift() {
        for mut kalman in [Kalman::every_sample(), Kalman::best_of_eight()] {
            let end = drift(&mut kalman, 4_800, 30e3, |_| 1e6);
            let ahead = kalman.offset_at(end + 1.0).unwrap();
            assert!((ahead - (30e3 * (end + 1.0) - 1e6)).abs() < 2e3, "{}: {ahead}", kalman.name());
        }
    }

    #[test]
    fn two_samples_by_hand() {
        let mut kalman = Kalman::every_sample();
        kalman.take(&at(0.0, 0.0));
        kalman.take(&at(1.0, 3e6));
        // Variances: 25e12 of the first sample and 1e10 of a second's drift, against 25e12.
        let gain = (25e12 + 1e10) / (50e12 + 1e10);
        assert!((kalman.offset_at(1.0).unwrap() - gain * 3e6).abs() < 1e-3);
        assert!((kalman.drift - 1e10 / (50e12 + 1e10) * 3e6).abs() < 1e-6);
    }

    #[test]
    fn a_far_sample_makes_it_forget() {
        let mut kalman = Kalman::every_sample();
        drift(&mut kalman, 200, 0.0, |_| 0.0);
        let (before, mut near) = (kalman.offset_variance, kalman.clone());
        kalman.take(&at(25.0, -31e6));
        near.take(&at(25.0, -29e6));
        assert!(near.offset_variance < 1.1 * before && kalman.offset_variance > 3.0 * before);
    }
}
