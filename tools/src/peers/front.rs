//! A front end that peers without one are given: of eight Syncs only the one with the least delay.
//!
//! One way, the delay is how far a sample lies below the highest of the last 8 s. Once exchanges come, it is the round
//! trip, and the offset is the one in the middle.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::Measurement;

/// Syncs of which one is taken: a second of them.
const BLOCK: u32 = 8;
/// Syncs whose highest offset counts as no delay: 8 s.
const MEMORY: usize = 64;

/// The best of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Local time, s.
    pub x: f64,
    /// Offset, ns.
    pub y: f64,
    /// Delay beyond the least, or the round trip, ns.
    pub delay: f64,
    /// Whether `delay` is a round trip.
    pub two_way: bool,
}

/// Picks the best of each block.
#[derive(Clone, Debug, Default)]
pub struct BestOfEight {
    latest: VecDeque<f64>,
    taken: u32,
    best: Option<Point>,
    two_way: bool,
}

impl BestOfEight {
    /// Takes in a pair; the best of the block at its end.
    pub fn take(&mut self, measurement: &Measurement) -> Option<Point> {
        if self.latest.len() == MEMORY {
            self.latest.pop_front();
        }
        self.latest.push_back(measurement.y);
        if measurement.back.is_some() && !self.two_way {
            (self.two_way, self.best) = (true, None);
        }
        if let Some(point) = self.point(measurement) {
            if self.best.is_none_or(|best| point.delay <= best.delay) {
                self.best = Some(point);
            }
        }
        self.taken += 1;
        if self.taken < BLOCK {
            return None;
        }
        self.taken = 0;
        self.best.take()
    }

    fn point(&self, measurement: &Measurement) -> Option<Point> {
        let Measurement { x, y, back, .. } = *measurement;
        if self.two_way {
            let (x3, z) = back?;
            return Some(Point { x: 0.5 * (x + x3), y: 0.5 * (y + z), delay: z - y, two_way: true });
        }
        let highest = self.latest.iter().copied().fold(y, f64::max);
        Some(Point { x, y, delay: highest - y, two_way: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::at;
    use super::*;

    #[test]
    fn the_least_delayed_of_eight() {
        let mut front = BestOfEight::default();
        let points: Vec<_> = (0..16)
            .filter_map(|i| front.take(&at(f64::from(i), -f64::from(i * 37 % 8) - f64::from(i / 8))))
            .collect();
        let best = |x, y, delay| Point { x, y, delay, two_way: false };
        assert_eq!(points, [best(0.0, 0.0, 0.0), best(8.0, -1.0, 1.0)]);
    }

    #[test]
    fn with_exchanges_the_least_round_trip() {
        let mut front = BestOfEight::default();
        let mut point = None;
        for i in 0..8 {
            let delay = f64::from(10 - i);
            let back = (i != 7).then_some((f64::from(i) - 0.5, 100.0 + delay));
            let measurement = Measurement { back, ..at(f64::from(i), 100.0 - delay) };
            point = front.take(&measurement);
        }
        assert_eq!(point, Some(Point { x: 5.75, y: 100.0, delay: 8.0, two_way: true }));
    }
}
