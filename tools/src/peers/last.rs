//! The last sample is the offset: no filter, no rate. Simple senders do this (field guide 6, rows SEED and STR), some
//! without the correctionField, which receivers use to hold half a millisecond to 110 ms (field guide 3.3).
#![forbid(unsafe_code)]

use super::{Measurement, Peer};

/// The last sample.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    corrects: bool,
    offset: Option<f64>,
}

impl Last {
    /// Takes preciseOriginTimestamp for the time the Sync left.
    pub const fn uncorrected() -> Self {
        Self { corrects: false, offset: None }
    }

    /// Adds the correctionField, as IEEE 1588-2019 11.2 wants it.
    pub const fn corrected() -> Self {
        Self { corrects: true, offset: None }
    }
}

impl Peer for Last {
    fn name(&self) -> &'static str {
        if self.corrects {
            "last"
        } else {
            "last, no corr."
        }
    }

    fn take(&mut self, measurement: &Measurement) {
        let ignored = if self.corrects { 0.0 } else { measurement.correction };
        self.offset = Some(measurement.y - ignored);
    }

    fn offset_at(&self, _: f64) -> Option<f64> {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_error() {
        let measurement = Measurement { y: 5e3, correction: 2e6, ..Measurement::default() };
        for (mut peer, offset) in [(Last::corrected(), 5e3), (Last::uncorrected(), 5e3 - 2e6)] {
            assert_eq!(peer.offset_at(0.0), None);
            peer.take(&Measurement { y: 77.0, ..measurement });
            peer.take(&measurement);
            assert_eq!((peer.offset_at(0.0), peer.offset_at(1.0)), (Some(offset), Some(offset)));
        }
    }
}
