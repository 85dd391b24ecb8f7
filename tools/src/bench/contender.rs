//! An estimator in the bench: ours or a peer, behind one face, and what it published of a trace.
#![forbid(unsafe_code)]

use ptpbmca::estimator::{Estimator, Line};
use ptpbmca::time::LocalTime;

use super::pairing::{Frame, Pairing, Reading};
use crate::peers::{self, Peer};

/// The name of ours.
pub const OURS: &str = "ptpbmca";
/// How far ahead a mapping is judged, ns.
pub(super) const AHEAD: i64 = 1_000_000_000;

/// An estimator under test.
pub enum Contender {
    /// Ours, the line it last published while trusted, and the epochs it declared.
    Ours(Box<Estimator>, Option<Line>, u32),
    /// One of the field's.
    Peer(Box<dyn Peer>, Frame),
}

/// Ours and one of each peer, fresh.
pub fn contenders() -> Vec<Contender> {
    let ours = Contender::Ours(Box::new(Estimator::new()), None, 0);
    let peers = peers::all().into_iter().map(|peer| Contender::Peer(peer, Frame::default()));
    std::iter::once(ours).chain(peers).collect()
}

impl Contender {
    /// A short name for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(..) => OURS,
            Self::Peer(peer, _) => peer.name(),
        }
    }

    /// How it pairs.
    pub fn pairing(&self) -> Pairing {
        match self {
            Self::Ours(..) => Pairing::LatestEight,
            Self::Peer(..) => Pairing::Latest,
        }
    }

    /// Tells where the trace's numbers are counted from.
    pub fn begin(&mut self, frame: Frame) {
        if let Self::Peer(_, known) = self {
            *known = frame;
        }
    }

    /// Takes in a pair and the exchange before it.
    pub fn take(&mut self, reading: &Reading) {
        match self {
            Self::Ours(estimator, line, epoch) => {
                if let Some(exchange) = reading.exchange {
                    estimator.exchange(exchange, reading.now);
                }
                *epoch += u32::from(estimator.pair(reading.pair, reading.now).stepped);
                *line = estimator.line().filter(|line| line.trusted);
            }
            Self::Peer(peer, _) => peer.take(&reading.measurement),
        }
    }

    /// The remote time at a local time; `None` while nothing is published.
    pub fn remote_at(&self, local: i64) -> Option<i64> {
        match self {
            Self::Ours(_, line, _) => {
                line.map(|line| line.remote_at(LocalTime::from_nanos(local)).nanos() as i64)
            }
            Self::Peer(peer, frame) => {
                peer.offset_at(frame.seconds(local)).map(|offset| frame.remote(local, offset))
            }
        }
    }

    fn epoch(&self) -> u32 {
        match self {
            Self::Ours(_, _, epoch) => *epoch,
            Self::Peer(..) => 0,
        }
    }

    fn bound_at(&self, local: i64) -> Option<u64> {
        match self {
            Self::Ours(_, line, _) => line.map(|line| line.error_at(LocalTime::from_nanos(local))),
            Self::Peer(..) => None,
        }
    }
}

/// What was published after a pair, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Local time of the Sync's arrival.
    pub local: i64,
    /// The remote time at that time, and a second later.
    pub remote: Option<(i64, i64)>,
    /// The new mapping less the one before, both at the local time of the pair's completion.
    pub jump: Option<i64>,
    /// Steps declared so far.
    pub epoch: u32,
    /// Bound on the error, where one is given.
    pub bound: Option<u64>,
}

/// Feeds a trace's readings to an estimator.
pub fn run(contender: &mut Contender, frame: Frame, readings: &[Reading]) -> Vec<Estimate> {
    contender.begin(frame);
    let mut estimates = Vec::with_capacity(readings.len());
    for reading in readings {
        let (local, now) = (reading.pair.local.nanos(), reading.now.nanos());
        let before = contender.remote_at(now);
        contender.take(reading);
        estimates.push(Estimate {
            local,
            remote: contender.remote_at(local).zip(contender.remote_at(local + AHEAD)),
            jump: contender.remote_at(now).zip(before).map(|(after, before)| after.saturating_sub(before)),
            epoch: contender.epoch(),
            bound: contender.bound_at(local),
        });
    }
    estimates
}

#[cfg(test)]
mod tests {
    use super::super::pairing::readings;
    use super::*;
    use crate::traces::{Class, Trace};

    #[test]
    fn all_publish_the_clock_of_a_wire() {
        let trace = Trace::new(Class::Wired, 5, 30.0);
        let mut names = Vec::new();
        for mut contender in contenders() {
            let (frame, readings) = readings(&trace, Class::Wired, 5, contender.pairing());
            let estimates = run(&mut contender, frame, &readings);
            assert_eq!(estimates.len(), readings.len());
            let last = estimates.last().unwrap();
            let error = last.remote.unwrap().0 - trace.remote_at(last.local);
            // The correction is at least half a millisecond.
            let corrects = !contender.name().contains("no corr");
            assert_eq!(error.abs() < 500_000 + 2_500_000 / 16, corrects, "{}: {error}", contender.name());
            assert_eq!(last.bound.is_some(), contender.name() == OURS);
            names.push(contender.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), contenders().len());
    }
}
