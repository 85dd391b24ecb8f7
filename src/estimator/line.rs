//! The published line: what a reader needs to convert a time and to age its bound, without asking the estimator again.
#![forbid(unsafe_code)]

use crate::time::{LocalTime, PtpTime};

/// The receiver's timeline as a straight line over the local clock, with a bound that any reader ages by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Local time of the anchor.
    pub anchor_local: LocalTime,
    /// The receiver's time at the anchor.
    pub anchor_remote: PtpTime,
    /// Remote seconds per local second, minus one.
    pub rate: f64,
    /// The same as measured: `rate` also steers the line towards where it should be.
    pub skew: f64,
    /// Bound on the error at the anchor, nanoseconds.
    pub error_ns: u64,
    /// Nanoseconds added to the bound per nanosecond of distance from the anchor, either side.
    pub error_growth: f64,
    /// One-way mean path delay in nanoseconds, half the round trip, once exchanges work.
    pub path_delay_ns: Option<u64>,
    /// Good enough to call the session locked.
    pub trusted: bool,
}

impl Line {
    /// The receiver's time at `local`, held within 0 and [`PtpTime::MAX`].
    ///
    /// Exact integers apart from the rate times the distance, so that no nanosecond is lost at any offset.
    pub fn remote_at(&self, local: LocalTime) -> PtpTime {
        let distance = i128::from(local.nanos()) - i128::from(self.anchor_local.nanos());
        // A float to integer cast saturates and takes NaN as 0: total for any rate.
        let drift = (self.rate * distance as f64).round() as i128;
        PtpTime::clamped(
            i128::from(self.anchor_remote.nanos()).saturating_add(distance).saturating_add(drift),
        )
    }

    /// The bound on the error at `local` in nanoseconds, held at `u64::MAX`.
    pub fn error_at(&self, local: LocalTime) -> u64 {
        let distance = (i128::from(local.nanos()) - i128::from(self.anchor_local.nanos())).unsigned_abs();
        self.error_ns.saturating_add((self.error_growth * distance as f64).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line {
        anchor_local: LocalTime::from_nanos(1_790_000_000_123_456_789),
        anchor_remote: PtpTime::clamped(127_677_463_415_875),
        rate: -50e-6,
        skew: -50e-6,
        error_ns: 1_000,
        error_growth: 1e-6,
        path_delay_ns: None,
        trusted: true,
    };

    #[test]
    fn a_reader_converts_to_the_nanosecond_and_ages_the_bound() {
        let after = |nanos| LINE.anchor_local.plus(crate::time::Span::from_nanos(nanos));
        assert_eq!(LINE.remote_at(after(0)), LINE.anchor_remote);
        assert_eq!(LINE.remote_at(after(1)).nanos(), 127_677_463_415_876);
        assert_eq!(LINE.remote_at(after(1_000_000_000)).nanos(), 127_678_463_365_875);
        assert_eq!(LINE.remote_at(after(-1_000_000_000)).nanos(), 127_676_463_465_875);
        assert_eq!(LINE.error_at(after(0)), 1_000);
        assert_eq!(LINE.error_at(after(2_000_000_000)), 3_000);
        assert_eq!(LINE.error_at(after(-2_000_000_000)), 3_000);
    }

    #[test]
    fn the_ends_of_the_range_hold() {
        let ends = [i64::MIN, i64::MAX].map(LocalTime::from_nanos);
        for rate in [0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -1.0] {
            let line = Line { rate, error_growth: f64::MAX, ..LINE };
            for end in ends {
                assert!(line.remote_at(end) <= PtpTime::MAX);
                assert_eq!(line.error_at(end), u64::MAX);
            }
        }
        assert_eq!(LINE.remote_at(ends[0]).nanos(), 0);
    }
}
