//! Nanoseconds that cannot be mixed: local time, PTP time, spans between them, and the wire's 48+32-bit timestamp.
#![forbid(unsafe_code)]

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// One past the largest value of the 48-bit seconds field (IEEE 1588-2019, 5.3.3).
const WIRE_SECONDS_END: u64 = 1 << 48;

/// A reading of the local clock estimates run in: nanoseconds of the host's monotonic clock, or of a trace's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LocalTime(i64);

/// A reading of a PTP timeline (a receiver's uptime, say), in nanoseconds from that timeline's epoch.
///
/// Always at most [`PtpTime::MAX`] (292 years), so that the difference to any sane local time fits 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PtpTime(u64);

/// A signed span of time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

/// The wire's timestamp: 48 bits of seconds, 32 bits of nanoseconds (IEEE 1588-2019, 5.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Timestamp {
    /// Seconds, 48 bits on the wire.
    pub seconds: u64,
    /// Nanoseconds; below 1e9 in a valid timestamp.
    pub nanoseconds: u32,
}

/// The wire's correctionField: signed nanoseconds times 2^16 (IEEE 1588-2019, 13.3.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Correction(i64);

impl LocalTime {
    /// From nanoseconds of the local clock.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds of the local clock.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// This time plus `span`, held at the ends of the range.
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this time, held at the ends of the range.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl PtpTime {
    /// The latest time held: what a signed 64-bit number of nanoseconds can say.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// From nanoseconds of the timeline; `None` past [`PtpTime::MAX`].
    pub const fn from_nanos(nanos: u64) -> Option<Self> {
        if nanos <= Self::MAX.0 {
            Some(Self(nanos))
        } else {
            None
        }
    }

    /// From a wide signed number of nanoseconds, held within 0 and [`PtpTime::MAX`].
    pub const fn clamped(nanos: i128) -> Self {
        if nanos < 0 {
            Self(0)
        } else if nanos > i64::MAX as i128 {
            Self::MAX
        } else {
            Self(nanos as u64)
        }
    }

    /// Nanoseconds of the timeline.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This time plus `span`, held within 0 and [`PtpTime::MAX`].
    pub const fn plus(self, span: Span) -> Self {
        Self::clamped(self.0 as i128 + span.0 as i128)
    }

    /// The span from `earlier` to this time (always fits: both are below 2^63).
    pub const fn since(self, earlier: Self) -> Span {
        Span((self.0 as i64).saturating_sub(earlier.0 as i64))
    }

    /// PTP minus local: the one sign convention, receiver minus local clock; held at the ends of the range.
    pub const fn minus_local(self, local: LocalTime) -> Span {
        Span((self.0 as i64).saturating_sub(local.0))
    }

    /// When the packet of a wire timestamp and its corrections left (or arrived): timestamp plus the sum of
    /// `corrections`, rounded to the nanosecond. `None` where the timestamp is invalid or the sum is not a [`PtpTime`].
    pub fn from_wire(timestamp: Timestamp, corrections: &[Correction]) -> Option<Self> {
        let base = timestamp.nanos()?;
        let scaled: i128 = corrections.iter().map(|c| i128::from(c.0)).sum();
        // Half a nanosecond is added before the floor of the shift: rounds to nearest for either sign.
        let nanos = base + ((scaled + (1 << 15)) >> 16);
        u64::try_from(nanos).ok().and_then(Self::from_nanos)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds, held at the ends of the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Its length without its sign.
    pub const fn abs_nanos(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The sum, held at the ends of the range.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Timestamp {
    /// Nanoseconds since the timeline's epoch; `None` where a field is out of its range.
    pub fn nanos(self) -> Option<i128> {
        (self.seconds < WIRE_SECONDS_END && u64::from(self.nanoseconds) < NANOS_PER_SECOND)
            .then(|| i128::from(self.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanoseconds))
    }
}

impl From<PtpTime> for Timestamp {
    fn from(time: PtpTime) -> Self {
        Self {
            seconds: time.0 / NANOS_PER_SECOND,
            // The remainder is below 1e9 and fits.
            nanoseconds: (time.0 % NANOS_PER_SECOND) as u32,
        }
    }
}

impl Correction {
    /// No correction.
    pub const ZERO: Self = Self(0);

    /// From the wire's number: nanoseconds times 2^16.
    pub const fn from_scaled(scaled: i64) -> Self {
        Self(scaled)
    }

    /// From whole nanoseconds, held at the ends of the range.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos.saturating_mul(1 << 16))
    }

    /// The wire's number: nanoseconds times 2^16.
    pub const fn scaled(self) -> i64 {
        self.0
    }

    /// The same correction with the other sign, held at the ends of the range.
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Whole nanoseconds, rounded to the nearest.
    pub const fn nanos(self) -> i64 {
        ((self.0 as i128 + (1 << 15)) >> 16) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_follow_up_adds_up() {
        // Field guide 3.3: 127677.463415875 s plus 24.990916 ms.
        let t = Timestamp { seconds: 127_677, nanoseconds: 463_415_875 };
        let c = Correction::from_scaled(0x0000_017d_54c4_0000);
        assert_eq!(PtpTime::from_wire(t, &[c]).map(PtpTime::nanos), Some(127_677_488_406_791));
    }

    #[test]
    fn corrections_round_to_nearest_for_either_sign() {
        let t = Timestamp { seconds: 1, nanoseconds: 0 };
        let at = |scaled| PtpTime::from_wire(t, &[Correction::from_scaled(scaled)]).unwrap().nanos();
        assert_eq!(at(0x7fff), 1_000_000_000);
        assert_eq!(at(0x8000), 1_000_000_001);
        assert_eq!(at(-0x8000), 1_000_000_000);
        assert_eq!(at(-0x8001), 999_999_999);
        assert_eq!(Correction::from_scaled(-0x8001).nanos(), -1);
    }

    #[test]
    fn absurd_times_are_refused_or_held() {
        assert_eq!(Timestamp { seconds: 0, nanoseconds: 1_000_000_000 }.nanos(), None);
        assert_eq!(Timestamp { seconds: 1 << 48, nanoseconds: 0 }.nanos(), None);
        let all = Timestamp { seconds: (1 << 48) - 1, nanoseconds: 999_999_999 };
        assert_eq!(PtpTime::from_wire(all, &[Correction::from_scaled(i64::MAX); 2]), None);
        let zero = Timestamp::default();
        assert_eq!(PtpTime::from_wire(zero, &[Correction::from_scaled(i64::MIN)]), None);
        assert_eq!(PtpTime::clamped(-1).nanos(), 0);
        assert_eq!(PtpTime::clamped(i128::MAX), PtpTime::MAX);
        assert_eq!(LocalTime::from_nanos(i64::MAX).plus(Span::from_nanos(1)).nanos(), i64::MAX);
        assert_eq!(LocalTime::from_nanos(i64::MIN).since(LocalTime::from_nanos(1)).nanos(), i64::MIN);
        assert_eq!(Correction::from_scaled(i64::MIN).negated().scaled(), i64::MAX);
    }

    #[test]
    fn timestamps_and_ptp_times_convert_back() {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 1_790_000_000_123_456_789, PtpTime::MAX.nanos()] {
            let time = PtpTime::from_nanos(nanos).unwrap();
            assert_eq!(PtpTime::from_wire(time.into(), &[]), Some(time));
        }
    }
}
