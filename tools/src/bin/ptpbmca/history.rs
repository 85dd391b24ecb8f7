//! The last minute of a session: its bound, and how the offset moved.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::report::Report;

/// Samples kept: a minute of one per second.
pub const SAMPLES: usize = 60;

/// What is kept of one second; `None` where nothing was known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The bound, in nanoseconds.
    pub bound_ns: Option<u64>,
    /// How far the offset is from where the second before put it, its skew counted in; in nanoseconds.
    pub moved_ns: Option<i64>,
}

/// The last minute.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    last: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    local_ns: i64,
    offset_ns: i64,
    skew_ppm: f64,
    epoch: u32,
}

impl Place {
    /// How far the offset at `next` is from what this place said it would be. Another epoch is another line.
    fn moved(self, next: Self) -> Option<i64> {
        let expected = (next.local_ns.saturating_sub(self.local_ns) as f64 * self.skew_ppm * 1e-6) as i64;
        let moved = next.offset_ns.saturating_sub(self.offset_ns).saturating_sub(expected);
        (self.epoch == next.epoch).then_some(moved)
    }
}

impl History {
    /// Takes one sample; called once a second.
    pub fn push(&mut self, report: &Report) {
        let Report { local_ns, offset_ns, skew_ppm, epoch, .. } = *report;
        let place = report.synchronized.then_some(Place { local_ns, offset_ns, skew_ppm, epoch });
        let moved_ns = self.last.zip(place).and_then(|(last, now)| last.moved(now));
        self.last = place;
        self.samples.push_back(Sample { bound_ns: report.error_ns, moved_ns });
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// The bounds, oldest first.
    pub fn bounds(&self) -> Vec<Option<u64>> {
        self.samples.iter().map(|sample| sample.bound_ns).collect()
    }

    /// The sizes of the moves, oldest first.
    pub fn moves(&self) -> Vec<Option<u64>> {
        self.samples.iter().map(|sample| sample.moved_ns.map(i64::unsigned_abs)).collect()
    }

    /// The last move.
    pub fn last_move(&self) -> Option<i64> {
        self.samples.back().and_then(|sample| sample.moved_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_steady_skew_is_no_move() {
        let mut history = History::default();
        for second in 0..70_i64 {
            let mut report = report();
            report.local_ns = second * 1_000_000_000;
            report.skew_ppm = 20.0;
            // 300 ns too far in the last second.
            report.offset_ns = -5_000_000_000_000 + second * 20_000 + if second == 69 { 300 } else { 0 };
            history.push(&report);
        }
        assert_eq!(history.bounds().len(), SAMPLES);
        assert_eq!(history.last_move(), Some(300));
        assert_eq!(history.moves().iter().flatten().sum::<u64>(), 300);
    }

    #[test]
    fn another_epoch_and_an_unknown_time_have_no_move() {
        let mut history = History::default();
        let mut one = report();
        history.push(&one);
        assert_eq!(history.last_move(), None);
        one.epoch += 1;
        one.offset_ns = 0;
        history.push(&one);
        assert_eq!(history.last_move(), None);
        history.push(&one);
        assert_eq!(history.last_move(), Some(0));
        one.synchronized = false;
        history.push(&one);
        assert_eq!(history.last_move(), None);
    }
}
