//! The only reader of local clocks, and the watch over how they run against each other.
#![allow(clippy::disallowed_methods)] // The one room where clocks are read.

use super::timestamp::Stamp;
use crate::time::{LocalTime, Span};

#[cfg(unix)]
#[path = "posix.rs"]
mod platform;

#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

#[cfg(windows)]
pub use platform::nanos_of_counts;
#[cfg(target_vendor = "apple")]
pub use platform::nanos_of_ticks;

/// Two clocks differ by more than this from what they did: one of them was stepped. Far above what reading two clocks
/// one after the other costs, far below what a listener hears.
const STEP_NS: i64 = 10_000;

/// How fast the wall clock may be steered against the monotonic clock, in parts per million: not at all on Linux, which
/// steers both alike; elsewhere as fast as NTP does it (ntp_adjtime's limit). Slower than this is no step.
const STEERED_PPM: i64 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 500 };

/// Readings of a clock between two of another: the narrowest is taken. A preempted reading is wide, and the next one
/// is not.
const TRIES: usize = 4;

/// A difference read within this is as good as it gets; a clock read takes some tens of nanoseconds.
const NARROW_NS: i64 = 500;

/// The clock estimates run in: the platform's audio clock, which no time setting steps.
///
/// Thread-safe: yes. Realtime-safe: yes.
#[inline]
pub fn monotonic() -> LocalTime {
    LocalTime::from_nanos(platform::monotonic_ns())
}

/// Nanoseconds of the wall clock since the Unix epoch.
///
/// Thread-safe: yes. Realtime-safe: yes.
#[inline]
pub fn realtime_ns() -> i64 {
    platform::realtime_ns()
}

/// A clock minus the monotonic clock, and how far off that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The difference in nanoseconds.
    pub ns: i64,
    /// It is right to this many nanoseconds.
    pub within_ns: i64,
}

fn difference(other: fn() -> i64) -> Difference {
    let mut best = Difference { ns: 0, within_ns: i64::MAX };
    for _ in 0..TRIES {
        let before = platform::monotonic_ns();
        let reading = other();
        let after = platform::monotonic_ns();
        let within_ns = after.saturating_sub(before);
        if within_ns < best.within_ns {
            let middle = before.saturating_add(within_ns / 2);
            best = Difference { ns: reading.saturating_sub(middle), within_ns };
        }
        if best.within_ns <= NARROW_NS {
            break;
        }
    }
    best
}

/// How the wall clock and the clock that also counts in suspend stand to the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: Difference,
    /// When `wall` was read, in the monotonic clock.
    wall_read_ns: i64,
    /// What `wall` was before the last step: stamps taken just before it still count in it.
    wall_before: i64,
    boot: Difference,
    served_minus_boot: i64,
}

/// What [`Clocks::check`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// The wall clock was stepped.
    pub wall: bool,
    /// The monotonic clock stood still for this long, in a suspend.
    pub suspended: Span,
}

impl Clocks {
    /// Reads the clocks for the first time. The served timeline starts equal to the wall clock, and is driven by the
    /// clock that never steps and never stands still.
    pub fn new() -> Self {
        let (wall, boot) = (difference(platform::realtime_ns), difference(platform::boottime_ns));
        Self {
            wall,
            wall_read_ns: platform::monotonic_ns(),
            wall_before: wall.ns,
            boot,
            served_minus_boot: wall.ns.saturating_sub(boot.ns),
        }
    }

    /// Reads the clocks again, and tells whether one was stepped or stood still.
    pub fn check(&mut self) -> Moved {
        let wall = difference(platform::realtime_ns);
        let mut moved = Moved {
            wall: self.take_wall(wall, platform::monotonic_ns(), STEERED_PPM),
            suspended: Span::ZERO,
        };
        let boot = difference(platform::boottime_ns);
        if changed(self.boot, boot, 0) {
            moved.suspended = Span::from_nanos(boot.ns.saturating_sub(self.boot.ns));
            self.boot = boot;
        }
        moved
    }

    /// Takes a new reading of the wall clock where it tells more than the old one; tells whether there was a step.
    fn take_wall(&mut self, wall: Difference, now_ns: i64, steered_ppm: i64) -> bool {
        let elapsed = now_ns.saturating_sub(self.wall_read_ns).max(0);
        let stepped = changed(self.wall, wall, elapsed / 1_000_000 * steered_ppm);
        if stepped {
            self.wall_before = self.wall.ns;
        }
        // A start on a busy host may have been preempted in every reading; that is not to stay in the bound.
        let better = wall.within_ns < self.wall.within_ns;
        let newer = steered_ppm != 0 && wall.within_ns <= self.wall.within_ns.max(NARROW_NS);
        if stepped || better || newer {
            (self.wall, self.wall_read_ns) = (wall, now_ns);
        }
        stepped
    }

    /// The wall clock minus the monotonic clock.
    pub fn wall(&self) -> Difference {
        self.wall
    }

    /// The served timeline minus the monotonic clock.
    pub fn served(&self) -> Span {
        Span::from_nanos(self.served_minus_boot.saturating_add(self.boot.ns))
    }

    /// The monotonic time of a kernel stamp, for a packet that is at hand at `now`: it cannot have come later, nor much
    /// earlier. A stamp in the wall clock that fits neither the present difference of the clocks nor the one before the
    /// last step is no use, and `now` is the best that is known.
    pub fn stamp(&self, stamp: Stamp, now: LocalTime) -> Option<LocalTime> {
        let believed = |ns: i64, longest| {
            let at = LocalTime::from_nanos(ns);
            let age = now.since(at);
            (age >= Span::from_nanos(-STEP_NS) && age <= longest).then(|| at.min(now))
        };
        let wall_ns = match stamp {
            Stamp::Monotonic(ns) => return believed(ns, MAX_QUEUED),
            Stamp::Wall(ns) => ns,
        };
        // A packet that seems to have waited for long is more likely one from before the step.
        let readings =
            [(self.wall.ns, SHORT_QUEUED), (self.wall_before, SHORT_QUEUED), (self.wall.ns, MAX_QUEUED)];
        let fitting = |(difference, longest)| believed(wall_ns.saturating_sub(difference), longest);
        readings.into_iter().find_map(fitting)
    }
}

impl Default for Clocks {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet that waited no longer than this in a socket is nothing unusual.
const SHORT_QUEUED: Span = Span::from_millis(1_000);

/// Longest wait believed: a process that is stopped, or a container that is paused, finds all that came meanwhile in its
/// sockets. Of what is older, no session counts as synchronised any more (the C interface's definition of HOLDOVER).
const MAX_QUEUED: Span = Span::from_millis(60_000);

fn changed(before: Difference, after: Difference, steered_ns: i64) -> bool {
    let read = before.within_ns.saturating_add(after.within_ns);
    let unsure = read.saturating_add(steered_ns).saturating_add(STEP_NS);
    after.ns.saturating_sub(before.ns).saturating_abs() > unsure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks() -> Clocks {
        let wall = Difference { ns: 1_000_000_000_000, within_ns: 50 };
        let boot = Difference { ns: 5_000_000_000, within_ns: 50 };
        Clocks { wall, wall_read_ns: 0, wall_before: wall.ns, boot, served_minus_boot: wall.ns - boot.ns }
    }

    #[test]
    fn nothing_moves_by_itself() {
        let mut clocks = Clocks::new();
        for _ in 0..100 {
            assert_eq!(clocks.check(), Moved::default());
        }
    }

    #[test]
    fn a_stepped_wall_clock_is_seen_and_moves_no_served_time() {
        let mut clocks = Clocks::new();
        let served = clocks.served();
        clocks.wall.ns -= 1_000_000; // As if the wall clock had since been set forward by a millisecond.
        assert_eq!(clocks.check(), Moved { wall: true, suspended: Span::ZERO });
        assert_eq!(clocks.served(), served);
        assert_eq!(clocks.check(), Moved::default());
    }

    #[test]
    fn a_poor_reading_is_made_up_for() {
        let mut clocks = Clocks::new();
        clocks.wall = Difference { ns: clocks.wall.ns + 1_000_000, within_ns: 3_000_000 };
        assert_eq!(clocks.check(), Moved::default());
        assert!(clocks.wall.within_ns < 3_000_000);
    }

    #[test]
    fn a_wall_clock_that_is_steered_is_followed_and_not_taken_for_stepped() {
        let mut clocks = clocks();
        let start = clocks.wall.ns;
        // Read twice a second, 100 ppm fast: 50 us each time.
        for n in 1..=1_000 {
            let wall = Difference { ns: start + n * 50_000, within_ns: 100 };
            assert!(!clocks.take_wall(wall, n * 500_000_000, 500));
            assert_eq!(clocks.wall, wall);
        }
        let wall = Difference { ns: clocks.wall.ns + 1_000_000, within_ns: 100 };
        assert!(clocks.take_wall(wall, 500_500_000_000, 500));
        // Where both clocks are steered alike, that is a step.
        let wall = Difference { ns: clocks.wall.ns + 50_000, within_ns: 100 };
        assert!(clocks.take_wall(wall, 501_000_000_000, 0));
    }

    #[test]
    fn a_suspend_is_seen_and_served_time_goes_through_it() {
        let mut clocks = Clocks::new();
        let served = clocks.served();
        clocks.boot.ns -= 3_000_000_000; // As if the host had since slept for three seconds.
        let moved = clocks.check();
        assert!((moved.suspended.nanos() - 3_000_000_000).abs() < STEP_NS);
        assert!((clocks.served().nanos() - served.nanos()).abs() < STEP_NS);
    }

    #[test]
    fn stamps_are_believed_only_where_they_can_be() {
        let mut clocks = clocks();
        let now = LocalTime::from_nanos(77_000_000_000);
        let at = |ns| LocalTime::from_nanos(ns);
        assert_eq!(clocks.stamp(Stamp::Wall(1_076_999_000_000), now), Some(at(76_999_000_000)));
        assert_eq!(clocks.stamp(Stamp::Wall(1_077_000_000_100), now), Some(now));
        assert_eq!(clocks.stamp(Stamp::Wall(1_078_000_000_000), now), None);
        // Read by a process that was stopped for two seconds, or for two minutes.
        assert_eq!(clocks.stamp(Stamp::Wall(1_075_000_000_000), now), Some(at(75_000_000_000)));
        assert_eq!(clocks.stamp(Stamp::Wall(957_000_000_000), now), None);
        assert_eq!(clocks.stamp(Stamp::Monotonic(76_999_000_000), now), Some(at(76_999_000_000)));
        assert_eq!(clocks.stamp(Stamp::Monotonic(77_000_000_100), now), Some(now));
        assert_eq!(clocks.stamp(Stamp::Monotonic(1_076_999_000_000), now), None);
        // Stamped before the wall clock was set an hour ahead, read after.
        clocks.wall_before = clocks.wall.ns;
        clocks.wall.ns += 3_600_000_000_000;
        assert_eq!(clocks.stamp(Stamp::Wall(1_076_999_000_000), now), Some(at(76_999_000_000)));
        assert_eq!(clocks.stamp(Stamp::Wall(i64::MIN), now), None);
        // The same for two seconds ahead: it did not wait for so long.
        clocks.wall.ns = clocks.wall_before + 2_000_000_000;
        assert_eq!(clocks.stamp(Stamp::Wall(1_076_999_000_000), now), Some(at(76_999_000_000)));
    }
}
