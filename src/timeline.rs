//! The published snapshot of a session's clock: its words in the latch, its conversions, and how it ages.
//!
//! Everything here runs on audio threads: no panic, no allocation, no clock; a time that does not fit is held at the
//! end of its range.
#![forbid(unsafe_code)]

use crate::time::{LocalTime, PtpTime, Span};

/// No Sync for this long: locked turns to holdover (the C interface's definition of HOLDOVER).
pub const HOLDOVER_AFTER: Span = Span::from_millis(1_000);

/// No Sync for this long: holdover ends in silence (the C interface's definition of HOLDOVER).
pub const SILENT_AFTER: Span = Span::from_millis(60_000);

/// A leading session is published at least once a second; one not refreshed for this long has a dead worker.
pub const LEADING_STALE_AFTER: Span = Span::from_millis(3_000);

/// What part a session plays towards its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Role {
    /// Undecided: waiting for an Announce or a Sync.
    #[default]
    Listening = 0,
    /// The receiver's timeline is the session's.
    Following = 1,
    /// The local timeline is the session's, and the receiver is served with it.
    Leading = 2,
}

/// How far the session's clock is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum SyncState {
    /// Nothing heard from the receiver.
    #[default]
    Silent = 0,
    /// Announce heard, no Sync/Follow_Up pair yet.
    Announced = 1,
    /// Pairs arrive, not yet trusted.
    Acquiring = 2,
    /// Following, and within the bound.
    Locked = 3,
    /// No Sync for a second: extrapolating, with a growing bound.
    Holdover = 4,
    /// The local timeline is the session's timeline.
    Leading = 5,
}

impl Role {
    const fn from_word(word: u64) -> Self {
        match word & 0xff {
            1 => Self::Following,
            2 => Self::Leading,
            _ => Self::Listening,
        }
    }
}

impl SyncState {
    /// Whether conversions may be trusted in this state.
    pub const fn is_synchronized(self) -> bool {
        matches!(self, Self::Locked | Self::Holdover | Self::Leading)
    }

    const fn from_word(word: u64) -> Self {
        match word & 0xff {
            1 => Self::Announced,
            2 => Self::Acquiring,
            3 => Self::Locked,
            4 => Self::Holdover,
            5 => Self::Leading,
            _ => Self::Silent,
        }
    }
}

/// How much faster one clock runs than another: their ratio minus one, in units of 2^-60. Whole numbers multiply
/// exactly, and on an audio thread in fewer steps than a round trip through floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rate(i64);

impl Rate {
    /// Fractional bits: what is left of 64 for a ratio within a factor of two, and then some.
    const BITS: u32 = 60;

    /// No two clocks differ by more; it keeps every product below within 128 bits.
    const MAX: f64 = 0.5;

    /// From a ratio minus one; held within a half, and none at all for what is no number.
    pub fn new(ratio_minus_one: f64) -> Self {
        let scaled = ratio_minus_one.clamp(-Self::MAX, Self::MAX) * (1_u64 << Self::BITS) as f64;
        Self(scaled as i64)
    }

    /// The ratio minus one.
    pub fn ratio_minus_one(self) -> f64 {
        self.0 as f64 / (1_u64 << Self::BITS) as f64
    }

    /// What the faster clock gains in a span of the slower one, to the nearest nanosecond. `span` is a sum of a few
    /// 64-bit numbers at most.
    #[inline]
    fn gain(self, span: i128) -> i128 {
        (span * i128::from(self.0) + (1 << (Self::BITS - 1))) >> Self::BITS
    }

    /// The same rate seen from the other clock.
    #[inline]
    fn inverse(self) -> Self {
        let rate = self.ratio_minus_one();
        Self::new(-rate / (1.0 + rate))
    }
}

/// The part of a snapshot that conversions need: the line from local to receiver time.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Conversion {
    /// A point of the line, in the clock estimates run in.
    pub anchor_local: LocalTime,
    /// The same point on the receiver's timeline.
    pub anchor_remote: PtpTime,
    /// How much faster the receiver's clock runs.
    pub rate: Rate,
    /// The session's local clock minus the clock estimates run in, in nanoseconds.
    pub shift_ns: i64,
    /// Counts the re-anchorings of the timeline.
    pub epoch: u32,
    /// The part played towards the receiver.
    pub role: Role,
    /// How far the line is to be believed.
    pub sync_state: SyncState,
    /// From then on it is not to be believed, in the clock estimates run in: readers find out by themselves.
    pub valid_until: LocalTime,
}

/// One consistent snapshot of a session's clock.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Timeline {
    /// The line and its standing.
    pub conversion: Conversion,
    /// Bound on the error at the anchor, in nanoseconds.
    pub error_ns: u64,
    /// How the bound grows away from the anchor: nanoseconds per nanosecond.
    pub error_growth: f64,
    /// The receiver's rate as measured, less one; the line's own rate also steers it to where it should be.
    pub skew: f64,
    /// One-way mean path delay in nanoseconds; 0 while unknown.
    pub path_delay_ns: u64,
    /// The clock whose timeline this is; 0 while unknown.
    pub grandmaster_id: u64,
    /// The receiver's own clock; 0 while unknown.
    pub receiver_clock_id: u64,
    /// Our clock.
    pub local_clock_id: u64,
    /// When the last accepted Sync arrived, in the clock estimates run in; the least value while there was none.
    pub last_sync: LocalTime,
    /// When this snapshot was made, in the clock estimates run in.
    pub published: LocalTime,
}

/// `last_sync` of a session that has accepted no Sync yet.
pub const NO_SYNC: LocalTime = LocalTime::from_nanos(i64::MIN);

impl Conversion {
    /// Words in the latch; they are the first of a [`Timeline`]'s.
    pub const WORDS: usize = 6;

    /// The words of this conversion.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        [
            self.anchor_local.nanos() as u64,
            self.anchor_remote.nanos(),
            self.rate.0 as u64,
            self.shift_ns as u64,
            u64::from(self.epoch) << 32 | (self.role as u64) << 8 | self.sync_state as u64,
            self.valid_until.nanos() as u64,
        ]
    }

    /// From the words of a latch.
    #[inline]
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let [anchor_local, anchor_remote, rate, shift, standing, valid_until] = *words;
        Self {
            anchor_local: LocalTime::from_nanos(anchor_local as i64),
            anchor_remote: PtpTime::from_nanos(anchor_remote).unwrap_or(PtpTime::MAX),
            rate: Rate(rate as i64),
            shift_ns: shift as i64,
            epoch: (standing >> 32) as u32,
            role: Role::from_word(standing >> 8),
            sync_state: SyncState::from_word(standing),
            valid_until: LocalTime::from_nanos(valid_until as i64),
        }
    }

    /// Whether times may be trusted, as of the last snapshot.
    #[inline]
    pub fn is_synchronized(&self) -> bool {
        self.sync_state.is_synchronized()
    }

    /// This conversion as it stands at `now`, without standing once its time is over.
    #[inline]
    pub fn aged(mut self, now: LocalTime) -> Self {
        if now >= self.valid_until && self.is_synchronized() {
            self.sync_state = SyncState::Silent;
        }
        self
    }

    /// Receiver time at a time of the session's local clock, held at the ends of the range; without
    /// synchronisation the local time itself, not below 0.
    #[inline]
    pub fn receiver_time(&self, local_ns: i64) -> u64 {
        if !self.is_synchronized() {
            return local_ns.max(0) as u64;
        }
        let away = i128::from(local_ns) - i128::from(self.shift_ns) - i128::from(self.anchor_local.nanos());
        let time = i128::from(self.anchor_remote.nanos()) + away + self.rate.gain(away);
        time.clamp(0, i128::from(u64::MAX)) as u64
    }

    /// The session's local time at a receiver time, held at the ends of the range; without synchronisation the
    /// receiver time itself. The inverse of [`Conversion::receiver_time`] to one nanosecond.
    #[inline]
    pub fn local_time(&self, receiver_ns: u64) -> i64 {
        if !self.is_synchronized() {
            return i64::try_from(receiver_ns).unwrap_or(i64::MAX);
        }
        let away = i128::from(receiver_ns) - i128::from(self.anchor_remote.nanos());
        let local = i128::from(self.anchor_local.nanos()) + away + self.rate.inverse().gain(away);
        let off = if crate::planted::bug("inverse-off") { 3 } else { 0 };
        clamp_i64(local + i128::from(self.shift_ns) + off)
    }

    /// The session's local clock when the clock estimates run in reads `now`.
    #[inline]
    pub fn local_at(&self, now: LocalTime) -> i64 {
        now.nanos().saturating_add(self.shift_ns)
    }

    /// Receiver timeline minus the session's local clock when the clock estimates run in reads `now`; 0 without
    /// synchronisation.
    pub fn offset_at(&self, now: LocalTime) -> i64 {
        if !self.is_synchronized() {
            return 0;
        }
        let local = self.local_at(now);
        clamp_i64(i128::from(self.receiver_time(local)) - i128::from(local))
    }
}

impl Timeline {
    /// The snapshot of a session that nothing is known of yet.
    pub fn beginning() -> Self {
        Self { last_sync: NO_SYNC, ..Self::default() }
    }

    /// Words in the latch.
    pub const WORDS: usize = Conversion::WORDS + 9;

    /// The words of this snapshot.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        let [a, b, c, d, e, f] = self.conversion.to_words();
        [
            a,
            b,
            c,
            d,
            e,
            f,
            self.error_ns,
            self.error_growth.to_bits(),
            self.skew.to_bits(),
            self.path_delay_ns,
            self.grandmaster_id,
            self.receiver_clock_id,
            self.local_clock_id,
            self.last_sync.nanos() as u64,
            self.published.nanos() as u64,
        ]
    }

    /// From the words of a latch.
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let [a, b, c, d, e, f, error, growth, skew, path, grandmaster, receiver, local, last_sync, published] =
            *words;
        Self {
            conversion: Conversion::from_words(&[a, b, c, d, e, f]),
            error_ns: error,
            error_growth: f64::from_bits(growth),
            skew: f64::from_bits(skew),
            path_delay_ns: path,
            grandmaster_id: grandmaster,
            receiver_clock_id: receiver,
            local_clock_id: local,
            last_sync: LocalTime::from_nanos(last_sync as i64),
            published: LocalTime::from_nanos(published as i64),
        }
    }

    /// This snapshot as it stands at `now`: a reader ages it by itself, so that a dead worker turns stale, not wrong.
    pub fn aged(mut self, now: LocalTime) -> Self {
        self.conversion = self.conversion.aged(now);
        let locked = self.conversion.sync_state == SyncState::Locked;
        if locked && now.since(self.last_sync) >= HOLDOVER_AFTER {
            self.conversion.sync_state = SyncState::Holdover;
        }
        self
    }

    /// Sets until when this snapshot may be believed if no other one comes.
    pub fn with_validity(mut self) -> Self {
        self.conversion.valid_until = match self.conversion.sync_state {
            SyncState::Locked | SyncState::Holdover => self.last_sync.plus(SILENT_AFTER),
            SyncState::Leading => self.published.plus(LEADING_STALE_AFTER),
            _ => self.published,
        };
        self
    }

    /// Bound on the error at `now`, in nanoseconds; `u64::MAX` while not synchronised.
    pub fn error_at(&self, now: LocalTime) -> u64 {
        if !self.conversion.sync_state.is_synchronized() {
            return u64::MAX;
        }
        let away = now.since(self.conversion.anchor_local).abs_nanos();
        self.error_ns.saturating_add((away as f64 * self.error_growth).ceil() as u64)
    }

    /// Nanoseconds since the last accepted Sync at `now`; `u64::MAX` before the first.
    pub fn age_at(&self, now: LocalTime) -> u64 {
        if self.last_sync == NO_SYNC {
            return u64::MAX;
        }
        now.since(self.last_sync).nanos().max(0) as u64
    }
}

fn clamp_i64(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A HomePod two days up, 37 ppm fast, seen from a host whose wall clock is 1.8e18 ns ahead of its uptime.
    fn homepod() -> Timeline {
        Timeline {
            conversion: Conversion {
                anchor_local: LocalTime::from_nanos(987_654_321_012_345),
                anchor_remote: PtpTime::from_nanos(127_677_488_406_791).unwrap(),
                rate: Rate::new(37e-6),
                shift_ns: 1_789_012_345_678_901_234,
                epoch: 3,
                role: Role::Following,
                sync_state: SyncState::Locked,
                valid_until: NO_SYNC,
            },
            error_ns: 40_000,
            error_growth: 1e-6,
            skew: 36e-6,
            path_delay_ns: 1_000_000,
            grandmaster_id: 0x1414_7de8_5498_0008,
            receiver_clock_id: 2,
            local_clock_id: 3,
            last_sync: LocalTime::from_nanos(987_654_321_012_345),
            published: LocalTime::from_nanos(987_654_321_012_400),
        }
        .with_validity()
    }

    #[test]
    fn words_round_trip() {
        let line = homepod();
        assert_eq!(Timeline::from_words(&line.to_words()), line);
        let [a, b, c, d, e, f, ..] = line.to_words();
        assert_eq!(Conversion::from_words(&[a, b, c, d, e, f]), line.conversion);
    }

    #[test]
    fn no_nanosecond_is_lost_between_unix_time_and_uptime() {
        let c = homepod().conversion;
        let anchor_unix = c.anchor_local.nanos() + c.shift_ns;
        assert_eq!(c.receiver_time(anchor_unix), 127_677_488_406_791);
        assert_eq!(c.receiver_time(anchor_unix + 1), 127_677_488_406_792);
        assert_eq!(c.receiver_time(anchor_unix + 1_000_000_000), 127_677_488_406_791 + 1_000_037_000);
        assert_eq!(c.offset_at(c.anchor_local), 127_677_488_406_791 - anchor_unix);
    }

    #[test]
    fn local_time_is_the_inverse_to_one_nanosecond() {
        for rate in [0.0, 37e-6, -80e-6, 150e-6] {
            let c = Conversion { rate: Rate::new(rate), ..homepod().conversion };
            let unix = c.anchor_local.nanos() + c.shift_ns;
            for away in [0, 1, -1, 999_999_937, -60_000_000_001, 60_000_000_001, 3_600_000_000_007] {
                let back = c.local_time(c.receiver_time(unix + away));
                assert!((back - unix - away).abs() <= 1, "rate {rate} away {away}: {}", back - unix - away);
            }
        }
    }

    #[test]
    fn extremes_are_held_at_the_ends() {
        let mut c = homepod().conversion;
        assert_eq!(c.receiver_time(i64::MIN), 0);
        assert!(c.receiver_time(i64::MAX) > 0);
        assert!(c.local_time(u64::MAX) > c.local_time(0));
        c.anchor_remote = PtpTime::MAX;
        c.shift_ns = i64::MIN;
        assert!(c.receiver_time(i64::MAX) > i64::MAX as u64);
        c.shift_ns = i64::MAX;
        assert_eq!(c.local_time(u64::MAX), i64::MAX);
        assert_eq!(c.receiver_time(i64::MIN), 0);
        for rate in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            c.rate = Rate::new(rate);
            for local in [i64::MIN, -1, 0, i64::MAX] {
                let _ = (c.receiver_time(local), c.offset_at(LocalTime::from_nanos(local)));
                let _ = (c.local_time(local as u64), c.local_time(u64::MAX));
            }
        }
    }

    #[test]
    fn without_synchronisation_local_time_passes_through() {
        let c = Conversion { sync_state: SyncState::Acquiring, ..homepod().conversion };
        assert_eq!(c.receiver_time(-5), 0);
        assert_eq!(c.receiver_time(42), 42);
        assert_eq!(c.local_time(42), 42);
        assert_eq!(c.local_time(u64::MAX), i64::MAX);
        assert_eq!(c.offset_at(c.anchor_local), 0);
    }

    #[test]
    fn a_dead_worker_turns_stale() {
        let line = homepod();
        let after = |ms| line.last_sync.plus(Span::from_millis(ms));
        let state = |ms| line.aged(after(ms)).conversion.sync_state;
        assert_eq!(state(999), SyncState::Locked);
        assert_eq!(state(1_000), SyncState::Holdover);
        assert_eq!(state(59_999), SyncState::Holdover);
        assert_eq!(state(60_000), SyncState::Silent);
        assert_eq!(line.aged(after(60_000)).error_at(after(60_000)), u64::MAX);
        assert_eq!(line.error_at(after(2_000)), 42_000);
        assert_eq!(line.age_at(after(2_000)), 2_000_000_000);
        assert_eq!(Timeline { last_sync: NO_SYNC, ..line }.age_at(after(0)), u64::MAX);

        let mut leading = line;
        leading.conversion.sync_state = SyncState::Leading;
        leading = leading.with_validity();
        let at = |ms| leading.aged(leading.published.plus(Span::from_millis(ms))).conversion.sync_state;
        assert_eq!(at(2_999), SyncState::Leading);
        assert_eq!(at(3_000), SyncState::Silent);
    }
}
