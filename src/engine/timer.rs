//! The kernel's timers: one that wakes the worker to the nanosecond, where a poll's own time-out counts in
//! milliseconds, and one that tells when somebody sets the wall clock.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::{Alarm, SettingWatch};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::{Alarm, SettingWatch};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use crate::engine::own;
    use crate::time::LocalTime;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    fn create(clock: libc::clockid_t, registry: &Registry, token: Token) -> io::Result<OwnedFd> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::timerfd_create(clock, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor just made, owned by nobody else.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(timer)
    }

    fn set(timer: &OwnedFd, seconds: libc::time_t, nanos: libc::c_long, flags: i32) -> io::Result<()> {
        // SAFETY: a timer setting of zeros is valid.
        let mut setting: libc::itimerspec = unsafe { std::mem::zeroed() };
        setting.it_value.tv_sec = seconds;
        setting.it_value.tv_nsec = nanos;
        let flags = flags | libc::TFD_TIMER_ABSTIME;
        // SAFETY: a live setting, and null where no old one is wanted.
        let set = unsafe {
            libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const setting, std::ptr::null_mut())
        };
        if set == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Wakes the poll at a monotonic time.
    #[derive(Debug)]
    pub struct Alarm {
        timer: OwnedFd,
        at: Option<LocalTime>,
    }

    impl Alarm {
        /// An alarm that wakes the poll with `token`.
        ///
        /// # Errors
        /// The system's.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            Ok(Self { timer: create(libc::CLOCK_MONOTONIC, registry, token)?, at: None })
        }

        /// Whether this still is what was registered at `registry` with `token`.
        pub fn is_ours(&self, registry: &Registry, token: Token) -> bool {
            own::is_ours(registry, &self.timer, token)
        }

        /// Sets the alarm, unless it is set so already; tells whether it will go off.
        pub fn set(&mut self, at: LocalTime) -> bool {
            if self.at == Some(at) {
                return true;
            }
            // A time of zero would be no alarm; anything past goes off at once.
            let nanos = at.nanos().max(1);
            let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            self.at =
                set(&self.timer, seconds as libc::time_t, rest as libc::c_long, 0).is_ok().then_some(at);
            self.at.is_some()
        }

        /// It has gone off.
        pub fn went_off(&mut self) {
            self.at = None;
        }
    }

    /// A timer of the wall clock that never expires, but is cancelled when that clock is set.
    #[derive(Debug)]
    pub struct SettingWatch(OwnedFd);

    impl SettingWatch {
        /// Watches, and wakes the poll with `token`.
        ///
        /// # Errors
        /// The system's.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let watch = Self(create(libc::CLOCK_REALTIME, registry, token)?);
            watch.arm()?;
            Ok(watch)
        }

        /// Whether this still is what was registered at `registry` with `token`.
        pub fn is_ours(&self, registry: &Registry, token: Token) -> bool {
            own::is_ours(registry, &self.0, token)
        }

        fn arm(&self) -> io::Result<()> {
            set(&self.0, libc::time_t::MAX, 0, libc::TFD_TIMER_CANCEL_ON_SET)
        }

        /// Gets ready for the next setting, after one.
        pub fn rearm(&self) {
            let mut expirations = 0_u64;
            // SAFETY: eight writable bytes, as a timerfd wants to fill. It fails with ECANCELED, which clears it.
            unsafe { libc::read(self.0.as_raw_fd(), (&raw mut expirations).cast(), 8) };
            if let Err(error) = self.arm() {
                log::warn!("settings of the wall clock are noticed later from now on: {error}");
            }
        }

        /// Whether settings have to be looked for by waking up now and then.
        pub const NEEDS_POLLING: bool = false;
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use crate::time::LocalTime;
    use mio::{Registry, Token};
    use std::io;

    /// None: the poll's own time-out has to do.
    #[derive(Debug)]
    pub struct Alarm;

    impl Alarm {
        /// No alarm.
        ///
        /// # Errors
        /// None.
        pub fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// There is nothing to lose.
        pub fn is_ours(&self, _: &Registry, _: Token) -> bool {
            true
        }

        /// It will not go off.
        pub fn set(&mut self, _: LocalTime) -> bool {
            false
        }

        /// It never does.
        pub fn went_off(&mut self) {}
    }

    /// Nothing: this system does not tell.
    #[derive(Debug)]
    pub struct SettingWatch;

    impl SettingWatch {
        /// Watches nothing.
        ///
        /// # Errors
        /// None.
        pub fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// There is nothing to lose.
        pub fn is_ours(&self, _: &Registry, _: Token) -> bool {
            true
        }

        /// Does nothing.
        pub fn rearm(&self) {}

        /// Whether settings have to be looked for by waking up now and then.
        pub const NEEDS_POLLING: bool = true;
    }
}
