//! The clocks of Windows.

use std::sync::atomic::{AtomicI64, Ordering};

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::GetSystemTimePreciseAsFileTime;

/// A FILETIME counts from 1601-01-01, in units of 100 ns; the Unix epoch is this many of them later.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// Counts of the performance counter as nanoseconds.
#[inline]
pub fn nanos_of_counts(counts: i64) -> i64 {
    /// Counts per second, fixed at boot; 0 until read. Relaxed: whoever reads it first, or again, stores the same.
    static FREQUENCY: AtomicI64 = AtomicI64::new(0);
    let mut frequency = FREQUENCY.load(Ordering::Relaxed);
    if frequency == 0 {
        // SAFETY: a live integer for the call to fill; it does not fail since Windows XP.
        unsafe { QueryPerformanceFrequency(&raw mut frequency) };
        frequency = frequency.max(1);
        FREQUENCY.store(frequency, Ordering::Relaxed);
    }
    // Seconds and the rest apart: the product of all counts overflows after minutes.
    let (seconds, rest) = (counts / frequency, counts % frequency);
    seconds.wrapping_mul(SECOND).wrapping_add(rest.wrapping_mul(SECOND) / frequency)
}

#[inline]
pub fn monotonic_ns() -> i64 {
    let mut counts = 0;
    // SAFETY: a live integer for the call to fill; it does not fail since Windows XP.
    unsafe { QueryPerformanceCounter(&raw mut counts) };
    nanos_of_counts(counts)
}

#[inline]
pub fn realtime_ns() -> i64 {
    let mut time = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    // SAFETY: a live struct for the call to fill.
    unsafe { GetSystemTimePreciseAsFileTime(&raw mut time) };
    let ticks = i64::from(time.dwHighDateTime) << 32 | i64::from(time.dwLowDateTime);
    ticks.wrapping_sub(UNIX_EPOCH).wrapping_mul(100)
}

/// The performance counter goes on in a suspend, so it is the boot clock as well. Interrupt time is not used beside it:
/// two clocks with rates of their own, held against each other, would look like a suspend after a while.
#[inline]
pub fn boottime_ns() -> i64 {
    monotonic_ns()
}
