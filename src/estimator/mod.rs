//! Measurements in, a line out: where the receiver's clock stands, how fast it runs, and how wrong that can be.
//!
//! A pair shows the receiver's clock minus an unknown delay, which is never less than the path's least. Only the upper
//! envelope of such samples tells the time, so means, medians and plain Kalman filters are biased. The rooms:
//!
//! - `filter`: floor, rate and round trip as a normal distribution; each sample multiplies it by the likelihood of its
//!   excess delay, of which the moments are known exactly. Constant work, no window.
//! - `delays`: what that likelihood rests on, learned. `side`: the latest samples of one direction.
//! - `fit`: the exact posterior over the first samples, where the filter's approximation is too sure of itself.
//! - `track`: the verdicts on samples that contradict the line. Above it: a late stamp, a shorter path, a step. Below:
//!   a queue, a longer path, a step. Two filters, one that believes in a steady rate and one that does not, tell a
//!   change of rate (Page's test). A line that was left for a longer path is kept and published on: the time did not
//!   change. `track/hold` has the runs of late samples. With exchanges the round trip beside a pair tells a step from a
//!   path (`rounds`), and from a line that runs at a wrong rate (`track/leap`); `latest` is for exchanges that can be read
//!   in several ways, and `drift` for a path that changes as it falls silent. `elders` notice what is too slow for any of
//!   this.
//! - `output`: the published line, which makes no jumps within an epoch, and its bound.
//!
//! **What `error_ns` promises.** The truth lies within it in 99.9 % of samples. With pairs alone, apart from the least
//! delay of the session, which nothing can show: a growth of that delay which was seen is inside, and so
//! is the step back that looks the same. With exchanges, in
//! absolute terms: only the sum of the two least delays shows in the round trip, so half of it bounds whatever the
//! asymmetry; on a symmetric link that is far more than the error. A rate that falls may be a path that grows, and one
//! that rises a path that grew until now: for some minutes the bound holds both, as far as a path may grow, and in a
//! silence it grows by what the rate may be instead. What pairs alone cannot show is a growth by a fifth of a millisecond
//! or less, and one in the first minute of a line, for as long as it goes on: a slower clock gives the same samples.
//! In the first seconds the bound is wide, for the floor may not have shown yet.
#![forbid(unsafe_code)]

mod delays;
mod drift;
mod elders;
mod filter;
mod fit;
mod latest;
mod line;
mod output;
mod rounds;
mod side;
mod track;

pub use line::Line;

use crate::time::{LocalTime, PtpTime, Span};
use track::{Track, Verdict};

/// One completed Sync/Follow_Up pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPair {
    /// t2: local time of the Sync's arrival.
    pub local: LocalTime,
    /// t1: preciseOriginTimestamp plus all corrections.
    pub remote: PtpTime,
}

/// One completed Delay_Req/Delay_Resp exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// t3: local time at which the Delay_Req left.
    pub sent: LocalTime,
    /// t4: the receiver's time at which it arrived.
    pub received: PtpTime,
}

/// What one measurement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The timeline was re-anchored: the caller counts an epoch.
    pub stepped: bool,
    /// The measurement was not used for the line.
    pub outlier: bool,
}

/// What two crystals differ by, standard deviation, ns/s.
const CRYSTALS: f64 = 40e3;
/// The same about the former rate after a step.
const STEP_CRYSTALS: f64 = 60e3;

/// Turns the measurements of one receiver into a [`Line`]: about 12 KiB of state, no allocation, any input.
#[derive(Clone, Debug)]
pub struct Estimator {
    track: Option<Track>,
    rate_prior: (f64, f64),
    /// The local clock stood still, and no pair came since.
    resumed: bool,
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new()
    }
}

impl Estimator {
    /// An estimator that has seen nothing.
    pub fn new() -> Self {
        Self { track: None, rate_prior: (0.0, CRYSTALS), resumed: false }
    }

    /// Takes in a Sync/Follow_Up pair; `now` is the local time of the call. A pair whose Follow_Up came late may be
    /// older than the last by up to 10 s; older ones, and those where only a step puts them, are outliers.
    pub fn pair(&mut self, pair: SyncPair, now: LocalTime) -> Outcome {
        let Some(track) = &mut self.track else {
            self.track = Some(Track::start(pair.local, pair.remote, self.rate_prior, None));
            return Outcome::default();
        };
        if std::mem::take(&mut self.resumed) {
            *track = track.resume(pair.local, pair.remote);
            return Outcome::default();
        }
        match track.pair(pair.local, pair.remote, now) {
            Verdict::Used => Outcome::default(),
            Verdict::Outlier => Outcome { outlier: true, stepped: false },
            Verdict::Step(restart) => {
                self.rate_prior = (restart.rate, STEP_CRYSTALS);
                let [first, rest @ ..] = restart.samples;
                let mut track = Track::start(first.0, first.1, self.rate_prior, Some(restart.delays));
                for (local, remote) in rest {
                    track.pair(local, remote, now);
                }
                self.track = Some(track);
                Outcome { stepped: true, outlier: false }
            }
        }
    }

    /// Takes in a Delay_Req/Delay_Resp exchange; `now` is the local time of the call. An outlier before the first pair,
    /// while pairs speak of a step, and where the round trip would be negative. Never
    /// a step: where its round trip proves one, the next pair tells.
    pub fn exchange(&mut self, exchange: Exchange, now: LocalTime) -> Outcome {
        self.doubtful_exchange(exchange, Span::ZERO, now)
    }

    /// The same where the request may as well have arrived later, by up to `doubt`: the line is that of the exchange as
    /// it is, the bound holds both.
    pub fn doubtful_exchange(&mut self, exchange: Exchange, doubt: Span, now: LocalTime) -> Outcome {
        let track = self.track.as_mut().filter(|_| !self.resumed);
        let used = track.is_some_and(|t| t.exchange(exchange.sent, exchange.received, doubt, now));
        Outcome { stepped: false, outlier: !used }
    }

    /// The exchanges so far were read wrong: forgets them, and what they said of the path.
    pub fn forget_exchanges(&mut self) {
        if let Some(track) = &mut self.track {
            track.forget_exchanges();
        }
    }

    /// Another grandmaster: forgets the samples, keeps what is known of the rate as a wide prior.
    pub fn restart(&mut self) {
        if let Some(track) = self.track.take() {
            self.rate_prior = (track.rate(), STEP_CRYSTALS);
        }
        self.resumed = false;
    }

    /// The local clock stood still for `by` while the receiver's went on: moves the line and widens its bound. It is not
    /// trusted until three pairs have shown where it runs now; what was measured before the pause is forgotten.
    pub fn shift(&mut self, by: Span) {
        if let Some(track) = &mut self.track {
            track.shift(by);
            self.resumed = true;
        }
    }

    /// Nothing has been heard for a while: the line runs on as measured, and is steered no more.
    pub fn coast(&mut self, now: LocalTime) {
        if let Some(track) = &mut self.track {
            track.coast(now);
        }
    }

    /// The published line; `None` before the first pair.
    pub fn line(&self) -> Option<Line> {
        self.track.as_ref().map(Track::line)
    }
}

#[cfg(test)]
mod tests;
