//! The clocks of POSIX systems.

#[cfg(target_vendor = "apple")]
pub use apple::nanos_of_ticks;

/// A POSIX clock in nanoseconds; 0 where the system refuses, which it does for no clock used here.
#[inline]
fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec for the call to fill.
    unsafe { libc::clock_gettime(clock, &mut time) };
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    // The fields are narrower on some systems.
    (time.tv_sec as i64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as i64)
}

#[cfg(not(target_vendor = "apple"))]
const MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC;
/// mach_absolute_time in nanoseconds.
#[cfg(target_vendor = "apple")]
const MONOTONIC: libc::clockid_t = libc::CLOCK_UPTIME_RAW;

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOTTIME: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// mach_continuous_time in nanoseconds.
#[cfg(target_vendor = "apple")]
const BOOTTIME: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
const BOOTTIME: libc::clockid_t = libc::CLOCK_MONOTONIC;

#[inline]
pub fn monotonic_ns() -> i64 {
    read(MONOTONIC)
}

#[inline]
pub fn realtime_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

#[inline]
pub fn boottime_ns() -> i64 {
    read(BOOTTIME)
}

#[cfg(target_vendor = "apple")]
mod apple {
    use std::sync::OnceLock;

    /// mach_timebase_info: a tick is so many nanoseconds, over so many.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Timebase {
        numerator: u32,
        denominator: u32,
    }

    extern "C" {
        fn mach_timebase_info(info: *mut Timebase) -> i32;
    }

    /// Ticks of mach_absolute_time as the nanoseconds that CLOCK_UPTIME_RAW counts.
    pub fn nanos_of_ticks(ticks: u64) -> i64 {
        static TIMEBASE: OnceLock<Timebase> = OnceLock::new();
        let base = *TIMEBASE.get_or_init(|| {
            let mut base = Timebase { numerator: 1, denominator: 1 };
            // SAFETY: a live struct of the layout of mach_timebase_info_data_t, for the call to fill.
            unsafe { mach_timebase_info(&raw mut base) };
            base
        });
        let nanos = u128::from(ticks) * u128::from(base.numerator) / u128::from(base.denominator.max(1));
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}
