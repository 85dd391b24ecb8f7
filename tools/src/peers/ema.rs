//! An exponential moving average of the offset with gain 1/8 that snaps to a sample more than 1 ms away; no rate. The
//! rule of cliairplay as described in field guide 6, row CLI.
#![forbid(unsafe_code)]

use super::{Measurement, Peer};

const GAIN: f64 = 1.0 / 8.0;
/// Distance beyond which a sample is taken for a step, ns.
const SNAP: f64 = 1e6;

/// The average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ema {
    offset: Option<f64>,
}

impl Peer for Ema {
    fn name(&self) -> &'static str {
        "EMA 1/8"
    }

    fn take(&mut self, measurement: &Measurement) {
        let offset = self.offset.unwrap_or(measurement.y);
        let off = measurement.y - offset;
        self.offset = Some(if off.abs() > SNAP { measurement.y } else { offset + GAIN * off });
    }

    fn offset_at(&self, _: f64) -> Option<f64> {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::at;
    use super::*;

    #[test]
    fn it_averages_and_snaps() {
        let mut ema = Ema::default();
        let mut after = |y| {
            ema.take(&at(0.0, y));
            ema.offset_at(0.0)
        };
        assert_eq!(after(1e3), Some(1e3));
        assert_eq!(after(801e3), Some(101e3));
        assert_eq!(after(-5e6), Some(-5e6));
    }
}
