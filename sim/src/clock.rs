//! The receiver's clock: uptime that advances with the host's monotonic clock times (1 + skew), and every change of it.
#![forbid(unsafe_code)]

use ptpbmca::time::{Correction, Timestamp, NANOS_PER_SECOND};

/// Fractions of a nanosecond are counted in 2^-16 ns, the unit of the correctionField (IEEE 1588-2019, 13.3.2.9).
pub const FRACTION_BITS: u32 = 16;

/// Skew is counted in parts per billion.
const BILLION: i128 = 1_000_000_000;

/// Changes kept at most; the oldest goes first. A run makes a handful.
const MAX_SEGMENTS: usize = 4096;

/// A stretch of time in which the clock runs evenly: from `monotonic_ns` on,
/// receiver time = `receiver_ns` + (t - `monotonic_ns`) * (1 + `skew_ppb` * 1e-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The host's monotonic clock at the start, in nanoseconds.
    pub monotonic_ns: i64,
    /// The receiver's clock at that moment, in nanoseconds.
    pub receiver_ns: u64,
    /// How much faster than the host's clock it runs, in parts per billion.
    pub skew_ppb: i64,
    /// The clock whose time this is.
    pub grandmaster: u64,
    /// Counts the changes that void an anchor: restart, step, new grandmaster. Starts at 0.
    pub epoch: u32,
}

/// A reading of the receiver's clock in 2^-16 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading(i128);

impl Segment {
    /// What the clock reads at `monotonic_ns` of the host's clock.
    pub fn read(&self, monotonic_ns: i64) -> Reading {
        let elapsed = i128::from(monotonic_ns) - i128::from(self.monotonic_ns);
        let gained = ((elapsed * i128::from(self.skew_ppb)) << FRACTION_BITS).div_euclid(BILLION);
        Reading(((i128::from(self.receiver_ns) + elapsed) << FRACTION_BITS) + gained)
    }
}

impl Reading {
    /// Whole nanoseconds, rounded to the nearest and held at 0.
    pub fn nanos(self) -> u64 {
        u64::try_from((self.0 + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).unwrap_or(0)
    }

    /// Splits the reading into a wire timestamp about `early_ns` before it and the correction that adds up to it
    /// exactly, fraction included.
    pub fn split(self, early_ns: i64) -> (Timestamp, Correction) {
        // Rounded down to whole nanoseconds: what is cut off goes into the correction. Not before the epoch.
        let stamp = ((self.0 >> FRACTION_BITS) - i128::from(early_ns)).max(0);
        let correction = self.0 - (stamp << FRACTION_BITS);
        let seconds = (stamp / i128::from(NANOS_PER_SECOND)) as u64;
        let nanoseconds = (stamp % i128::from(NANOS_PER_SECOND)) as u32;
        let scaled = i64::try_from(correction).unwrap_or(i64::MAX);
        (Timestamp { seconds, nanoseconds }, Correction::from_scaled(scaled))
    }
}

/// The clock with its history.
#[derive(Clone, Debug)]
pub struct Clock {
    segments: Vec<Segment>,
    current: Segment,
}

impl Clock {
    /// A clock that runs as `first` says.
    pub fn new(first: Segment) -> Self {
        Self { segments: vec![first], current: first }
    }

    /// How the clock runs now.
    pub fn segment(&self) -> Segment {
        self.current
    }

    /// What the clock reads at `monotonic_ns`, as it runs now.
    pub fn read(&self, monotonic_ns: i64) -> Reading {
        self.current.read(monotonic_ns)
    }

    /// What the clock read at `monotonic_ns`, by the stretch that was in force then.
    pub fn truth_at(&self, monotonic_ns: i64) -> u64 {
        let in_force = self.segments.iter().rev().find(|segment| segment.monotonic_ns <= monotonic_ns);
        in_force.or(self.segments.first()).unwrap_or(&self.current).read(monotonic_ns).nanos()
    }

    /// The clock falls to `uptime_ns`, as after a boot; its own identity and rate are in force again.
    pub fn restart(&mut self, now: i64, uptime_ns: u64, identity: u64, skew_ppb: i64) -> Segment {
        self.change(now, Segment { receiver_ns: uptime_ns, skew_ppb, grandmaster: identity, ..self.current })
    }

    /// The phase moves by `step_ns` (held at 0), the rate stays.
    pub fn step(&mut self, now: i64, step_ns: i64) -> Segment {
        let receiver_ns = self.read(now).nanos().saturating_add_signed(step_ns);
        self.change(now, Segment { receiver_ns, ..self.current })
    }

    /// Another clock's time is told from now on: phase moved by `step_ns`, rate `skew_ppb`.
    pub fn follow(&mut self, now: i64, grandmaster: u64, step_ns: i64, skew_ppb: i64) -> Segment {
        let receiver_ns = self.read(now).nanos().saturating_add_signed(step_ns);
        self.change(now, Segment { receiver_ns, skew_ppb, grandmaster, ..self.current })
    }

    fn change(&mut self, now: i64, next: Segment) -> Segment {
        self.current = Segment { monotonic_ns: now, epoch: self.current.epoch.wrapping_add(1), ..next };
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.remove(0);
        }
        self.segments.push(self.current);
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptpbmca::time::PtpTime;

    const FIRST: Segment = Segment {
        monotonic_ns: 5_000_000_000,
        receiver_ns: 127_677_000_000_000,
        skew_ppb: -12_345,
        grandmaster: 1,
        epoch: 0,
    };

    #[test]
    fn it_advances_with_its_skew() {
        let clock = Clock::new(FIRST);
        assert_eq!(clock.read(FIRST.monotonic_ns).nanos(), FIRST.receiver_ns);
        // 1000 s later: 1000 s less 12.345 ms.
        let later = clock.truth_at(FIRST.monotonic_ns + 1_000_000_000_000);
        assert_eq!(later, FIRST.receiver_ns + 1_000_000_000_000 - 12_345_000);
        // Before its start the same line holds.
        assert_eq!(
            clock.truth_at(FIRST.monotonic_ns - 1_000_000_000),
            FIRST.receiver_ns - 1_000_000_000 + 12_345
        );
    }

    #[test]
    fn stamp_and_correction_add_up_to_the_reading_with_its_fraction() {
        let clock = Clock::new(FIRST);
        let mut fractions = 0;
        for i in 0..1000 {
            let reading = clock.read(FIRST.monotonic_ns + i * 123_456_789);
            let early = i * 110_000;
            let (stamp, correction) = reading.split(early);
            let sum = (stamp.nanos().unwrap() << FRACTION_BITS) + i128::from(correction.scaled());
            assert_eq!(sum, reading.0);
            assert_eq!(correction.scaled() >> FRACTION_BITS, early);
            assert_eq!(PtpTime::from_wire(stamp, &[correction]).unwrap().nanos(), reading.nanos());
            fractions += i64::from(correction.scaled() & 0xffff != 0);
        }
        assert!(fractions > 900, "{fractions} of 1000 carry a fraction");
    }

    #[test]
    fn a_stamp_is_never_before_the_epoch() {
        let clock = Clock::new(Segment { receiver_ns: 1_000_000, ..FIRST });
        let reading = clock.read(FIRST.monotonic_ns);
        let (stamp, correction) = reading.split(50_000_000);
        assert_eq!(stamp.nanos(), Some(0));
        assert_eq!(correction.nanos(), 1_000_000);
    }

    #[test]
    fn changes_count_epochs_and_the_past_keeps_its_truth() {
        let mut clock = Clock::new(FIRST);
        let before = clock.truth_at(6_000_000_000);
        clock.step(7_000_000_000, -250_000_000);
        assert_eq!(
            clock.truth_at(7_000_000_000),
            clock.segments[0].read(7_000_000_000).nanos() - 250_000_000
        );
        clock.follow(8_000_000_000, 2, 250_000_000, 500);
        assert_eq!((clock.segment().grandmaster, clock.segment().skew_ppb), (2, 500));
        clock.restart(9_000_000_000, 3_000_000_000, 1, -12_345);
        assert_eq!(clock.truth_at(9_000_000_000), 3_000_000_000);
        assert_eq!(clock.segment().grandmaster, 1);
        assert_eq!(clock.segment().epoch, 3);
        assert_eq!(clock.truth_at(6_000_000_000), before);
        clock.step(9_500_000_000, i64::MIN);
        assert_eq!(clock.segment().receiver_ns, 0);
    }
}
