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
