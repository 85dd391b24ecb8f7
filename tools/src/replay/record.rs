//! What is kept of a replay for its picture, and the straight lines it is drawn against.
#![forbid(unsafe_code)]

use ptpbmca::time::{LocalTime, PtpTime};

use super::session::{Estimate, Published, Silence};

/// Rows kept: 36 hours of eight Syncs a second, in some 70 MB.
const MAX_ROWS: usize = 1 << 20;

/// A pair, or the end of a silence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// t2, or when the silence ended.
    pub at: LocalTime,
    /// When the Sync left; a silence has none.
    pub left: Option<PtpTime>,
    /// The timeline's epoch after it.
    pub epoch: u32,
    /// The published timeline, if there was one.
    pub published: Option<Published>,
}

/// What is kept of a replay.
#[derive(Debug, Default)]
pub struct Record {
    /// In order of arrival.
    pub rows: Vec<Row>,
    /// Pairs that came after the last row.
    pub beyond: u64,
}

impl Record {
    /// Keeps what a pair led to.
    pub fn pair(&mut self, estimate: &Estimate) {
        let Estimate { local, left, epoch, published } = *estimate;
        self.push(Row { at: local, left: Some(left), epoch, published });
    }

    /// Keeps where a silence had led to when it ended.
    pub fn silence(&mut self, silence: &Silence) {
        // Nobody but a pair begins an epoch.
        let epoch = self.rows.last().map_or(0, |row| row.epoch);
        self.push(Row { at: silence.until, left: None, epoch, published: silence.published });
    }

    fn push(&mut self, row: Row) {
        if self.rows.len() < MAX_ROWS {
            self.rows.push(row);
        } else {
            self.beyond += u64::from(row.left.is_some());
        }
    }
}

/// A straight line close to the receiver's timeline: what it is drawn against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    local0: LocalTime,
    remote0: PtpTime,
    /// Offset at the first point, ns, and its growth, ns per ns.
    offset: f64,
    /// Receiver seconds per local second, minus one.
    pub rate: f64,
}

impl Trend {
    /// The line through `points` (local and receiver's time, bound) with the least squares, each point weighed by its
    /// bound: a line that is still settling counts little. Nothing without points.
    pub fn through(points: impl Iterator<Item = (LocalTime, u64, u64)> + Clone) -> Option<Self> {
        /// No bound is believed to be better, ns.
        const BEST: f64 = 1e3;
        let (local0, remote0, _) = points.clone().next()?;
        let mut trend =
            Self { local0, remote0: PtpTime::clamped(i128::from(remote0)), offset: 0.0, rate: 0.0 };
        let weighed = points.map(|(at, remote, error)| {
            let bound = error as f64 + BEST;
            (trend.elapsed(at), trend.above(at, remote), 1.0 / (bound * bound))
        });
        let (mut weights, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
        for (x, y, weight) in weighed.clone() {
            (weights, sum_x, sum_y) = (weights + weight, sum_x + weight * x, sum_y + weight * y);
        }
        let (mean_x, mean_y) = (sum_x / weights, sum_y / weights);
        let (mut xx, mut covariance) = (0.0, 0.0);
        for (x, y, weight) in weighed {
            xx += weight * (x - mean_x) * (x - mean_x);
            covariance += weight * (x - mean_x) * (y - mean_y);
        }
        let rate = if xx > 0.0 { covariance / xx } else { 0.0 };
        (trend.offset, trend.rate) = (mean_y - rate * mean_x, rate);
        Some(trend)
    }

    fn elapsed(&self, at: LocalTime) -> f64 {
        (i128::from(at.nanos()) - i128::from(self.local0.nanos())) as f64
    }

    /// How far a receiver's time at a local time lies above the line, ns.
    pub fn above(&self, at: LocalTime, remote: u64) -> f64 {
        let local = i128::from(at.nanos()) - i128::from(self.local0.nanos());
        let remote = i128::from(remote) - i128::from(self.remote0.nanos());
        (remote - local) as f64 - self.offset - self.rate * local as f64
    }
}

/// A row with its numbers for the picture, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Since the first row, seconds.
    pub time: f64,
    /// The epoch.
    pub epoch: u32,
    /// The sample against its epoch's trend.
    pub sample: Option<f64>,
    /// The published line against the same.
    pub line: Option<f64>,
    /// The sample against the published line.
    pub residual: Option<f64>,
    /// The bound.
    pub error: Option<f64>,
}

/// Rows against the trends of their epochs.
pub fn marks(rows: &[Row]) -> (Vec<Mark>, Option<Trend>) {
    let Some(first) = rows.first() else { return (Vec::new(), None) };
    let published = |row: &Row| row.published.map(|known| (row.at, known.remote_ns, known.error_ns));
    let mut trends: Vec<(u32, Trend)> = Vec::new();
    for epoch in rows.chunk_by(|a, b| a.epoch == b.epoch) {
        let number = epoch.first().map_or(0, |row| row.epoch);
        if let Some(trend) = Trend::through(epoch.iter().filter_map(published)) {
            trends.push((number, trend));
        }
    }
    // Nothing was ever published: against the samples themselves.
    if trends.is_empty() {
        let samples = rows.iter().filter_map(|row| row.left.map(|left| (row.at, left.nanos(), 0)));
        trends.extend(Trend::through(samples).map(|trend| (u32::MAX, trend)));
    }
    let mut marks = Vec::with_capacity(rows.len());
    let mut next = 0;
    for row in rows {
        // The trend of the row's epoch, or of the last one that had any.
        while trends.get(next + 1).is_some_and(|(epoch, _)| *epoch <= row.epoch) {
            next += 1;
        }
        let Some((_, trend)) = trends.get(next) else { continue };
        let later = trends.get(next + 1).map(|(_, trend)| trend);
        let sample = row.left.map(|left| {
            let above = trend.above(row.at, left.nanos());
            // The first samples of an epoch come before it is known to have begun.
            let ahead = later.map_or(above, |later| later.above(row.at, left.nanos()));
            if ahead.abs() < above.abs() {
                ahead
            } else {
                above
            }
        });
        let known = row.published;
        marks.push(Mark {
            time: (i128::from(row.at.nanos()) - i128::from(first.at.nanos())) as f64 * 1e-9,
            epoch: row.epoch,
            sample,
            line: known.map(|known| trend.above(row.at, known.remote_ns)),
            residual: row
                .left
                .zip(known)
                .map(|(left, known)| (i128::from(left.nanos()) - i128::from(known.remote_ns)) as f64),
            error: known.map(|known| known.error_ns as f64),
        });
    }
    (marks, trends.last().map(|(_, trend)| *trend))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn row(second: i64, remote: u64, late: u64, epoch: u32, known: bool) -> Row {
        let published = known.then_some(Published {
            remote_ns: remote,
            remote_plus_1s_ns: 0,
            remote_plus_2s_ns: 0,
            error_ns: 50,
        });
        let at = LocalTime::from_nanos(1_790_000_000 * SECOND + second * SECOND);
        Row { at, left: PtpTime::from_nanos(remote - late), epoch, published }
    }

    #[test]
    fn microseconds_are_left_of_clocks_days_apart() {
        // 20 ppm fast, and after a restart as fast again.
        let before = |s: i64| (127_677 * SECOND + s * (SECOND + 20_000)) as u64;
        let after = |s: i64| (s * (SECOND + 20_000)) as u64;
        let mut rows: Vec<Row> = (0..10).map(|s| row(s, before(s), 1_000, 0, s > 1)).collect();
        // Two samples of the new timeline before the step is seen.
        rows.extend(
            (10..12).map(|s| Row { left: PtpTime::from_nanos(after(s)), ..row(s, before(s), 0, 0, true) }),
        );
        rows.extend((12..20).map(|s| row(s, after(s), 2_000, 1, true)));
        let (marks, last) = marks(&rows);
        assert!((last.unwrap().rate - 20e-6).abs() < 1e-9);
        for (mark, row) in marks.iter().zip(&rows) {
            assert!(mark.line.is_none_or(|line| line.abs() < 0.1), "{mark:?}");
            let late = match mark.time as i64 {
                0..10 => 1_000.0,
                10..12 => 0.0,
                _ => 2_000.0,
            };
            assert!((mark.sample.unwrap() + late).abs() < 0.1, "{mark:?}");
            assert_eq!(mark.error.is_some(), row.published.is_some());
        }
        assert_eq!((marks[0].residual, marks[2].residual), (None, Some(-1_000.0)));
    }

    #[test]
    fn a_line_that_still_settles_counts_little() {
        let point = |s: i64| {
            let (off, error) = if s < 5 { (400_000, 900_000) } else { (0, 10_000) };
            (LocalTime::from_nanos(s * SECOND), (s * SECOND + 37_500 * s + off) as u64, error)
        };
        let trend = Trend::through((0..20).map(point)).unwrap();
        assert!((trend.rate - 37.5e-6).abs() < 0.1e-6, "{}", trend.rate);
    }

    #[test]
    fn rows_at_the_ends_of_the_range_have_finite_marks() {
        let ends = [(i64::MIN, 0), (i64::MAX, i64::MAX as u64), (0, 5)];
        let rows = ends.map(|(at, left)| Row {
            at: LocalTime::from_nanos(at),
            left: PtpTime::from_nanos(left),
            epoch: 0,
            published: None,
        });
        let (marks, _) = marks(&rows);
        assert!(marks.iter().all(|mark| mark.time.is_finite() && mark.sample.unwrap().is_finite()));
    }
}
