//! The field's estimators, each written small from its description, to be measured beside ours on equal traces.
//!
//! None of them is somebody's program: they show what a rule makes of a link. Constants that a description leaves open
//! are named as our choice.
#![forbid(unsafe_code)]

mod ema;
mod front;
mod kalman;
mod last;
mod nqptp;
mod regression;

pub use ema::Ema;
pub use kalman::Kalman;
pub use last::Last;
pub use nqptp::Asymmetric;
pub use regression::Regression;

/// What an estimator is told of one pair, in seconds and nanoseconds from the first pair of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurement {
    /// Local time of the Sync's arrival, s.
    pub x: f64,
    /// t1 with its corrections, minus t2: the clock's offset minus the delay, ns.
    pub y: f64,
    /// Sum of the corrections, ns.
    pub correction: f64,
    /// How long after the Sync its Follow_Up arrived, ns.
    pub follow_up: f64,
    /// An exchange that was finished before: t3, s; and t4 minus t3, the clock's offset plus the delay, ns.
    pub back: Option<(f64, f64)>,
}

/// A rule that makes an offset of measurements.
pub trait Peer {
    /// A short name for tables.
    fn name(&self) -> &'static str;
    /// Takes in a pair.
    fn take(&mut self, measurement: &Measurement);
    /// Remote minus local clock at a local time in s, in ns from that of the first pair; `None` before anything is known.
    fn offset_at(&self, x: f64) -> Option<f64>;
}

/// One of each, fresh.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Last::uncorrected()),
        Box::new(Last::corrected()),
        Box::new(Ema::default()),
        Box::new(Asymmetric::default()),
        Box::new(Kalman::every_sample()),
        Box::new(Kalman::best_of_eight()),
        Box::new(Regression::default()),
    ]
}

#[cfg(test)]
pub(crate) mod samples {
    use super::{Measurement, Peer};

    /// A measurement of a clock at `y` that is told at `x`.
    pub fn at(x: f64, y: f64) -> Measurement {
        Measurement { x, y, ..Measurement::default() }
    }

    /// Feeds 8 measurements a second of a clock that drifts by `rate` ns/s, each late by what `delay` says of its number.
    pub fn drift(peer: &mut impl Peer, count: u32, rate: f64, delay: impl Fn(u32) -> f64) -> f64 {
        let mut x = 0.0;
        for i in 0..count {
            x = f64::from(i) * 0.125;
            peer.take(&at(x, rate * x - delay(i)));
        }
        x
    }
}
