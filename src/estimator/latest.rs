//! Exchanges that can be read in several ways: what bounds the truth from above whichever of them is right.
//!
//! One reading is right for all. A request arrived no earlier than it left, so the truth lies below each exchange as it is
//! rightly read, and below each as it is read latest: below the lowest of those. A reading that is too early makes the
//! round trip too short, and half of it no bound any more; one that is too late makes it longer, which does no harm.
#![forbid(unsafe_code)]

use super::filter::Point;
use super::side::Straight;

/// One that is older than this gives way, s: the path may have grown meanwhile.
const MEMORY: f64 = 10.0;

/// The lowest of the latest readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    lowest: Option<Point>,
    /// When one was last in doubt.
    doubted: f64,
}

impl Latest {
    pub const fn new() -> Self {
        Self { lowest: None, doubted: f64::MIN }
    }

    /// Takes in an exchange that may as well have arrived later, by up to `doubt` (ns), while the clock runs at `rate`.
    pub fn see(&mut self, point: Point, doubt: f64, rate: f64) {
        if doubt > 0.0 {
            self.doubted = point.t;
        }
        let point = Point { y: point.y + doubt, ..point };
        let higher = |old: &Point| point.t - old.t > MEMORY || old.y + rate * (point.t - old.t) >= point.y;
        if self.lowest.is_none_or(|old| higher(&old)) {
            self.lowest = Some(point);
        }
    }

    /// How far above the line of the way up, mirrored, the truth may lie at `now` for that, ns: 0 where no exchange that
    /// the line rests on was in doubt.
    pub fn above(&self, ceiling: Straight, now: f64) -> f64 {
        let lowest = self.lowest.filter(|p| now - self.doubted < MEMORY && now - p.t < 2.0 * MEMORY);
        lowest.map_or(0.0, |p| ceiling.above(&Point { y: -p.y, ..p }).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_lowest_of_the_latest_readings_that_bounds_the_truth() {
        let rate = 20e3;
        let mut latest = Latest::new();
        let ceiling = |t: f64| Straight { t, y: -(1e6 + rate * t), rate: -rate };
        let point = |t: f64, above: f64| Point { t, y: 1e6 + rate * t + above };
        // Where none is in doubt, a sample that was delayed says nothing.
        latest.see(point(1.0, 30e6), 0.0, rate);
        assert_eq!(latest.above(ceiling(1.0), 1.0), 0.0);
        latest.see(point(2.0, 0.0), 85e6, rate);
        assert!((latest.above(ceiling(2.0), 2.0) - 30e6).abs() < 1.0);
        latest.see(point(3.0, 0.1e6), 4e6, rate);
        assert!((latest.above(ceiling(5.0), 5.0) - 4.1e6).abs() < 1.0);
        latest.see(point(5.0, 0.0), 9e6, rate);
        assert!((latest.above(ceiling(5.0), 5.0) - 4.1e6).abs() < 1.0);
        // One that can be read in one way only, next to the line.
        latest.see(point(6.0, 20e3), 0.0, rate);
        assert!((latest.above(ceiling(6.0), 6.0) - 20e3).abs() < 1.0);
        // The path may have grown since; and nothing is in doubt any more.
        latest.see(point(17.0, 0.5e6), 0.1e6, rate);
        assert!((latest.above(ceiling(17.0), 17.0) - 0.6e6).abs() < 1.0);
        latest.see(point(28.0, 0.5e6), 0.0, rate);
        assert_eq!(latest.above(ceiling(28.0), 28.0), 0.0);
    }
}
