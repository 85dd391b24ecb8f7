//! What may be asked of a session: readings for audio threads, and its status.
#![forbid(unsafe_code)]

use super::lease::Read;
use super::slot::Token;
use crate::engine::{clock, Status};
use crate::error::ErrorKind;
use crate::planted;
use crate::timeline::{Conversion, Role, SyncState, Timeline};

/// A reading of a session's clock, which may be the local time itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// The time; without synchronisation the one asked with, not below 0.
    pub value: T,
    /// Whether it is to be believed.
    pub synchronized: bool,
}

impl<T> Reading<T> {
    /// The time, if it is to be believed.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] else.
    pub fn synchronized(self) -> std::result::Result<T, ErrorKind> {
        if self.synchronized {
            Ok(self.value)
        } else {
            Err(ErrorKind::NotSynchronized)
        }
    }
}

/// One consistent snapshot of a session's clock. The fields are those of `ptpbmca_clock_offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockOffset {
    /// Receiver timeline minus local clock, in nanoseconds.
    pub offset_ns: i64,
    /// Bound on the error of the offset; `u64::MAX` while not synchronised.
    pub error_ns: u64,
    /// One-way mean path delay in nanoseconds; 0 while unknown.
    pub path_delay_ns: u64,
    /// Receiver clock rate against the local clock, in parts per million.
    pub skew_ppm: f64,
    /// The clock whose timeline this is; 0 while unknown.
    pub grandmaster_id: u64,
    /// The receiver's own clock; 0 while unknown.
    pub receiver_clock_id: u64,
    /// Our clock.
    pub local_clock_id: u64,
    /// Nanoseconds since the last accepted Sync; `u64::MAX` before the first.
    pub age_ns: u64,
    /// Counts the re-anchorings of the timeline.
    pub epoch: u32,
    /// The part played towards the receiver.
    pub role: Role,
    /// How far the clock is to be believed.
    pub sync_state: SyncState,
}

impl ClockOffset {
    /// A snapshot as it stands at `now`.
    pub(crate) fn at(timeline: &Timeline, now: crate::time::LocalTime) -> Self {
        let timeline = timeline.aged(now);
        let conversion = timeline.conversion;
        Self {
            offset_ns: conversion.offset_at(now),
            error_ns: timeline.error_at(now),
            path_delay_ns: timeline.path_delay_ns,
            skew_ppm: timeline.skew * 1e6,
            grandmaster_id: timeline.grandmaster_id,
            receiver_clock_id: timeline.receiver_clock_id,
            local_clock_id: timeline.local_clock_id,
            age_ns: timeline.age_at(now),
            epoch: conversion.epoch,
            role: conversion.role,
            sync_state: conversion.sync_state,
        }
    }

    /// Whether the clock is synchronised: locked, in holdover or leading.
    pub fn is_synchronized(&self) -> bool {
        self.sync_state.is_synchronized()
    }
}

/// A moment on the receiver's timeline. The fields are those of `ptpbmca_anchor_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Nanoseconds on the receiver's timeline.
    pub receiver_ns: u64,
    /// The same in whole seconds.
    pub seconds: u64,
    /// The rest of the seconds, times 2^64.
    pub fraction: u64,
    /// The clock whose timeline this is.
    pub timeline_id: u64,
    /// The epoch this holds in.
    pub epoch: u32,
}

impl Anchor {
    fn new(receiver_ns: u64, timeline: &Timeline) -> Self {
        /// Nanoseconds in a second.
        const SECOND: u64 = crate::time::NANOS_PER_SECOND;
        let rest = u128::from(receiver_ns % SECOND);
        Self {
            receiver_ns,
            seconds: receiver_ns / SECOND,
            // Below 2^64, since the rest is below a second. Rounded up, so that the nanosecond comes back whole.
            fraction: ((rest << 64).div_ceil(u128::from(SECOND))) as u64,
            timeline_id: timeline.grandmaster_id,
            epoch: timeline.conversion.epoch,
        }
    }
}

/// The first words of a session whose receiver was never heard.
#[cold]
fn unknown<const M: usize>() -> [u64; M] {
    let all = Timeline::beginning().to_words();
    std::array::from_fn(|at| all.get(at).copied().unwrap_or_default())
}

#[inline]
fn words<const M: usize>(token: Token) -> Read<[u64; M]> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    if planted::bug("read-allocates") {
        std::hint::black_box(Box::new(generation));
    }
    if planted::bug("read-yields") {
        std::thread::yield_now();
    }
    if planted::bug("read-locks") {
        drop(slot.published.status.lock());
    }
    match slot.words(generation) {
        // Overtaken by the writer without end: there is no time to tell, as before the first.
        Err(ErrorKind::NotSynchronized) => Ok(unknown()),
        words => words,
    }
}

#[inline]
fn conversion(token: Token) -> Read<Conversion> {
    Ok(Conversion::from_words(&words::<{ Conversion::WORDS }>(token)?))
}

#[inline]
fn timeline(token: Token) -> Read<Timeline> {
    Ok(Timeline::from_words(&words::<{ Timeline::WORDS }>(token)?))
}

/// The clock as it stands. Thread-safe and realtime-safe.
pub fn offset(token: Token) -> Read<ClockOffset> {
    Ok(ClockOffset::at(&timeline(token)?, clock::monotonic()))
}

/// Receiver time at a local time. Thread-safe and realtime-safe.
#[inline]
pub fn receiver_time(token: Token, local_ns: i64) -> Read<Reading<u64>> {
    let line = conversion(token)?;
    Ok(Reading { value: line.receiver_time(local_ns), synchronized: line.is_synchronized() })
}

/// Receiver time now. Thread-safe and realtime-safe.
#[inline]
pub fn receiver_now(token: Token) -> Read<Reading<u64>> {
    let line = conversion(token)?;
    let now = clock::monotonic();
    let line = line.aged(now);
    let value = if line.is_synchronized() {
        line.receiver_time(line.local_at(now))
    } else {
        // Not by the snapshot, which may know as little of the local clocks.
        local_now(token)?.max(0) as u64
    };
    Ok(Reading { value, synchronized: line.is_synchronized() })
}

/// Local time at a receiver time. Thread-safe and realtime-safe.
#[inline]
pub fn local_time(token: Token, receiver_ns: u64) -> Read<Reading<i64>> {
    let line = conversion(token)?;
    Ok(Reading { value: line.local_time(receiver_ns), synchronized: line.is_synchronized() })
}

/// An anchor for a local time. Thread-safe and realtime-safe.
pub fn anchor(token: Token, local_ns: i64) -> Read<Reading<Anchor>> {
    let timeline = timeline(token)?;
    let line = timeline.conversion;
    let value = Anchor::new(line.receiver_time(local_ns), &timeline);
    Ok(Reading { value, synchronized: line.is_synchronized() })
}

/// The session's local clock now. Thread-safe and realtime-safe.
pub fn local_now(token: Token) -> Read<i64> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    let wall = slot.lease.counts_in_wall_clock(generation)?;
    Ok(if wall { clock::realtime_ns() } else { clock::monotonic().nanos() })
}

/// Everything about a session. Thread-safe, but waits for a lock.
pub fn status(token: Token) -> Read<(ClockOffset, Status)> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    let status = slot.status(generation)?;
    Ok((ClockOffset::at(&status.timeline, clock::monotonic()), status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::LocalTime;

    #[test]
    fn a_reader_that_is_overtaken_without_end_reads_that_nothing_is_known() {
        let line = Conversion::from_words(&unknown());
        assert!(!line.is_synchronized());
        assert_eq!((line.receiver_time(7), line.receiver_time(-7), line.local_time(7)), (7, 0, 7));
        let offset = ClockOffset::at(&Timeline::from_words(&unknown()), LocalTime::from_nanos(1_000));
        assert_eq!((offset.offset_ns, offset.error_ns, offset.age_ns), (0, u64::MAX, u64::MAX));
        assert!(!offset.is_synchronized());
    }
}
