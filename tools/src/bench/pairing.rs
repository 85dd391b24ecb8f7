//! A trace's rows made into measurements: Follow_Ups find their Syncs, and each estimator gets the form it reads.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use ptpbmca::estimator::{Exchange, SyncPair};
use ptpbmca::time::{LocalTime, PtpTime};

use crate::peers::Measurement;
use crate::traces::{Class, Random, Row, Trace};

/// Syncs that ours remembers, and sequenceIds it knows to be done.
const OPEN: usize = 8;
const DONE: usize = 16;
/// A Follow_Up leaves after its Sync by this and an exponential of that mean, ns, and stays behind it: seen on Wi-Fi
/// (field guide 3.3). Its own delay is taken to be its Sync's, which is kind to those who use its arrival.
const FOLLOW_UP_LEAST: f64 = 150e3;
const FOLLOW_UP_MEAN: f64 = 250e3;

/// How Follow_Ups find their Syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Among the last eight, each once: ours.
    LatestEight,
    /// The last one only, as simple followers do: a late Follow_Up is lost.
    Latest,
}

/// Where a trace's numbers are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    local: i64,
    offset: i64,
}

impl Frame {
    /// A local time in s from the first pair.
    pub fn seconds(&self, local: i64) -> f64 {
        (local - self.local) as f64 * 1e-9
    }

    /// The remote time at a local time, given the offset beyond the first pair's.
    pub fn remote(&self, local: i64, offset: f64) -> i64 {
        // A float's cast holds at the ends of the range.
        local.saturating_add(self.offset).saturating_add(offset.round() as i64)
    }

    fn above(&self, local: i64, remote: i64) -> f64 {
        (i128::from(remote) - i128::from(local) - i128::from(self.offset)) as f64
    }
}

/// A completed pair with the exchange finished before it, as ours and as the peers read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// For ours.
    pub pair: SyncPair,
    /// For ours.
    pub exchange: Option<Exchange>,
    /// Local time of completion, as far as the trace tells: that of the latest Sync so far.
    pub now: LocalTime,
    /// For the peers.
    pub measurement: Measurement,
}

/// The measurements of a trace, in order of completion.
pub fn readings(trace: &Trace, class: Class, seed: u64, pairing: Pairing) -> (Frame, Vec<Reading>) {
    let mut random = Random::new(seed << 8 | 7);
    let mut follow_up = || FOLLOW_UP_LEAST + random.exponential(FOLLOW_UP_MEAN);
    let mut open = Open { pairing, syncs: VecDeque::new(), done: VecDeque::new() };
    let (mut frame, mut now) = (None, i64::MIN);
    let mut readings = Vec::with_capacity(trace.rows.len());
    for row in &trace.rows {
        now = now.max(row.arrival.unwrap_or(now));
        let Some((arrival, (origin, correction))) = open.take(row) else { continue };
        let remote = origin.saturating_add(correction);
        let frame = *frame.get_or_insert(Frame { local: arrival, offset: remote - arrival });
        let exchange = row.exchange.filter(|_| class.two_way());
        readings.push(Reading {
            pair: SyncPair {
                local: LocalTime::from_nanos(arrival),
                remote: PtpTime::clamped(i128::from(remote)),
            },
            exchange: exchange.map(|(sent, received)| Exchange {
                sent: LocalTime::from_nanos(sent),
                received: PtpTime::clamped(i128::from(received)),
            }),
            now: LocalTime::from_nanos(now),
            measurement: Measurement {
                x: frame.seconds(arrival),
                y: frame.above(arrival, remote),
                correction: correction as f64,
                follow_up: follow_up(),
                back: exchange.map(|(sent, received)| (frame.seconds(sent), frame.above(sent, received))),
            },
        });
    }
    (frame.unwrap_or_default(), readings)
}

/// Syncs whose Follow_Up is awaited.
struct Open {
    pairing: Pairing,
    syncs: VecDeque<(u16, i64)>,
    done: VecDeque<u16>,
}

impl Open {
    /// Takes in a row; arrival, origin and correction of the pair it completes.
    fn take(&mut self, row: &Row) -> Option<(i64, (i64, i64))> {
        match (row.arrival, row.origin) {
            (Some(arrival), Some(origin)) => Some((arrival, origin)),
            (Some(arrival), None) => {
                self.sync(row.sequence, arrival);
                None
            }
            (None, Some(origin)) => Some((self.match_of(row.sequence)?, origin)),
            (None, None) => None,
        }
    }

    fn sync(&mut self, sequence: u16, arrival: i64) {
        let most = match self.pairing {
            Pairing::Latest => 1,
            Pairing::LatestEight => {
                // A second copy of a Sync came later than the first.
                if self.done.contains(&sequence) || self.syncs.iter().any(|s| s.0 == sequence) {
                    return;
                }
                OPEN
            }
        };
        if self.syncs.len() == most {
            self.syncs.pop_front();
        }
        self.syncs.push_back((sequence, arrival));
    }

    fn match_of(&mut self, sequence: u16) -> Option<i64> {
        let place = self.syncs.iter().position(|s| s.0 == sequence)?;
        if self.done.len() == DONE {
            self.done.pop_front();
        }
        self.done.push_back(sequence);
        self.syncs.remove(place).map(|s| s.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(pairing: Pairing) -> Vec<i64> {
        let mut open = Open { pairing, syncs: VecDeque::new(), done: VecDeque::new() };
        let sync = |sequence, arrival| Row { sequence, arrival: Some(arrival), ..Row::default() };
        let follow_up = |sequence| Row { sequence, origin: Some((0, 0)), ..Row::default() };
        // A doubled Sync, a late Follow_Up, a doubled one, one without a Sync; and a pair that comes twice.
        let rows =
            [sync(1, 10), sync(1, 11), follow_up(1), sync(2, 20), sync(3, 30), follow_up(2), follow_up(3)];
        let more = [follow_up(3), follow_up(9), sync(3, 31), follow_up(3)];
        rows.iter().chain(&more).filter_map(|row| open.take(row)).map(|p| p.0).collect()
    }

    #[test]
    fn a_late_follow_up_is_lost_only_where_one_sync_is_remembered() {
        assert_eq!(feed(Pairing::LatestEight), [10, 20, 30]);
        assert_eq!(feed(Pairing::Latest), [11, 30, 31]);
    }

    #[test]
    fn peers_read_the_same_as_ours() {
        let trace = Trace::new(Class::TwoWay, 3, 20.0);
        let (frame, readings) = readings(&trace, Class::TwoWay, 3, Pairing::Latest);
        assert!(readings.iter().filter(|r| r.exchange.is_some()).count() > 100);
        for Reading { pair, exchange, measurement, .. } in readings {
            let local = pair.local.nanos();
            assert_eq!(frame.remote(local, measurement.y), pair.remote.nanos() as i64);
            assert_eq!(exchange.is_some(), measurement.back.is_some());
            if let (Some(exchange), Some((x, z))) = (exchange, measurement.back) {
                assert_eq!(frame.remote(exchange.sent.nanos(), z), exchange.received.nanos() as i64);
                assert!(z > measurement.y && x < measurement.x);
            }
        }
    }
}
