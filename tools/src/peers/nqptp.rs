//! nqptp's asymmetric smoothing, as described in field guide 6, row NQ: the offset is taken against the Follow_Up's
//! arrival, a sample above it counts more than one below, because a packet can be late but not early; no rate.
#![forbid(unsafe_code)]

use super::{Measurement, Peer};

/// Time after the start in which a sample above is taken whole and one below is ignored, s.
const YOUNG: f64 = 1.0;
/// After that, part of a sample above that is taken,
const RISE: f64 = 1.0 / 16.0;
/// part of a sample below,
const FALL: f64 = 1.0 / 256.0;
/// and the most that a sample below counts for, ns.
const MOST_BELOW: f64 = -2.5e6;

/// The smoothed offset and when it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asymmetric {
    started: Option<f64>,
    offset: f64,
}

impl Peer for Asymmetric {
    fn name(&self) -> &'static str {
        "asymmetric"
    }

    fn take(&mut self, measurement: &Measurement) {
        let sample = measurement.y - measurement.follow_up;
        let Some(started) = self.started else {
            (self.started, self.offset) = (Some(measurement.x), sample);
            return;
        };
        let jitter = sample - self.offset;
        let young = measurement.x - started < YOUNG;
        self.offset += match jitter > 0.0 {
            true if young => jitter,
            true => jitter * RISE,
            false if young => 0.0,
            false => jitter.max(MOST_BELOW) * FALL,
        };
    }

    fn offset_at(&self, _: f64) -> Option<f64> {
        self.started.map(|_| self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_climbs_fast_and_sinks_slowly() {
        let mut peer = Asymmetric::default();
        let mut after = |x, y| {
            peer.take(&Measurement { x, y, follow_up: 100.0, ..Measurement::default() });
            peer.offset_at(x).unwrap()
        };
        // In the first second: up at once, down not at all.
        assert_eq!(after(0.0, 1_000.0), 900.0);
        assert_eq!(after(0.5, 5_000.0), 4_900.0);
        assert_eq!(after(0.9, 0.0), 4_900.0);
        // Later: a sixteenth up, a 256th of no more than 2.5 ms down.
        assert_eq!(after(1.1, 6_600.0), 5_000.0);
        assert_eq!(after(1.2, 2_540.0), 5_000.0 - 10.0);
        assert_eq!(after(1.3, -1e12), 4_990.0 - 2.5e6 / 256.0);
    }
}
