//! Wakes the worker when somebody sets the wall clock, where the system can tell.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::SettingWatch;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::SettingWatch;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// A timer of the wall clock that never expires, but is cancelled when that clock is set.
    #[derive(Debug)]
    pub struct SettingWatch(OwnedFd);

    impl SettingWatch {
        /// Watches, and wakes the poll with `token`.
        ///
        /// # Errors
        /// The system's.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            // SAFETY: no pointers.
            let fd =
                unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a descriptor just made, owned by nobody else.
            let watch = Self(unsafe { OwnedFd::from_raw_fd(fd) });
            watch.arm()?;
            registry.register(&mut SourceFd(&watch.0.as_raw_fd()), token, Interest::READABLE)?;
            Ok(watch)
        }

        fn arm(&self) -> io::Result<()> {
            // SAFETY: a timer setting of zeros is valid.
            let mut never: libc::itimerspec = unsafe { std::mem::zeroed() };
            never.it_value.tv_sec = libc::time_t::MAX;
            let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
            // SAFETY: a live setting, and null where no old one is wanted.
            let set = unsafe {
                libc::timerfd_settime(self.0.as_raw_fd(), flags, &raw const never, std::ptr::null_mut())
            };
            if set == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
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
    use mio::{Registry, Token};
    use std::io;

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

        /// Does nothing.
        pub fn rearm(&self) {}

        /// Whether settings have to be looked for by waking up now and then.
        pub const NEEDS_POLLING: bool = true;
    }
}
