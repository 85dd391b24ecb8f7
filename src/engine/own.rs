//! The worker's own descriptors: its waker, and whether those it waits by still are its own. A host that closes numbers it
//! does not own closes these too, and may have a file of its own under them next, which is not to be closed or written to.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::{is_ours, Waker};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::{is_ours, Waker};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use crate::planted::bug;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

    /// Whether a poll and a descriptor registered there both still are what they were: the kernel finds a registration by
    /// the number together with the file that was behind it. The poll tells of what there is to read once more.
    pub fn is_ours(registry: &Registry, descriptor: &impl AsRawFd, token: Token) -> bool {
        registry.reregister(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE).is_ok()
    }

    /// Wakes a poll from any thread.
    #[derive(Debug)]
    pub struct Waker(OwnedFd);

    impl Waker {
        /// Wakes the poll of `registry` with `token`.
        ///
        /// # Errors
        /// The system's.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            // SAFETY: no pointers.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a descriptor just made, owned by nobody else.
            let event = unsafe { OwnedFd::from_raw_fd(fd) };
            registry.register(&mut SourceFd(&event.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(event))
        }

        /// Wakes the poll; not, if the descriptor is a file's, a pipe's or a socket's by now.
        pub fn wake(&self) {
            let one = 1_u64;
            if is_anonymous(self.0.as_raw_fd()) || bug("strangers-written-to") {
                // SAFETY: eight readable bytes, as an eventfd wants. A counter that is full wakes as well.
                unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
            }
        }

        /// Gets ready to wake again.
        pub fn woke(&self) {
            let mut count = 0_u64;
            if is_anonymous(self.0.as_raw_fd()) {
                // SAFETY: eight writable bytes, as an eventfd fills; it does not wait.
                unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
            }
        }
    }

    impl AsRawFd for Waker {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    /// Whether a descriptor is of a kind without a place among files, as those of events are.
    fn is_anonymous(fd: RawFd) -> bool {
        // SAFETY: a stat of zeros is valid.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is live; a descriptor that is none gives an error.
        (unsafe { libc::fstat(fd, &raw mut stat) }) == 0 && stat.st_mode & libc::S_IFMT == 0
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::io::Read;

        #[test]
        fn a_file_under_the_number_of_the_waker_is_not_ours_nor_written_to() {
            let poll = mio::Poll::new().unwrap();
            let waker = Waker::new(poll.registry(), Token(7)).unwrap();
            assert!(is_ours(poll.registry(), &waker, Token(7)));
            let (mut reader, writer) = std::io::pipe().unwrap();
            // SAFETY: both descriptors are open, and this test's own.
            assert!(unsafe { libc::dup2(writer.as_raw_fd(), waker.as_raw_fd()) } >= 0);
            assert!(!is_ours(poll.registry(), &waker, Token(7)));
            waker.wake();
            waker.woke();
            drop((waker, writer));
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        }

        #[test]
        fn another_poll_is_not_ours() {
            let (poll, other) = (mio::Poll::new().unwrap(), mio::Poll::new().unwrap());
            let waker = Waker::new(poll.registry(), Token(7)).unwrap();
            assert!(!is_ours(other.registry(), &waker, Token(7)));
        }

        #[test]
        fn it_wakes_each_time() {
            let mut poll = mio::Poll::new().unwrap();
            let mut events = mio::Events::with_capacity(4);
            let waker = Waker::new(poll.registry(), Token(7)).unwrap();
            let mut woken = || {
                poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
                events.iter().count()
            };
            for _ in 0..3 {
                waker.wake();
                waker.wake();
                assert_eq!(woken(), 1);
                waker.woke();
                assert_eq!(woken(), 0);
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use mio::{Registry, Token};
    use std::io;

    /// This system does not tell: they are taken for ours.
    pub fn is_ours<T>(_: &Registry, _: &T, _: Token) -> bool {
        true
    }

    /// Wakes a poll from any thread.
    #[derive(Debug)]
    pub struct Waker(mio::Waker);

    impl Waker {
        /// Wakes the poll of `registry` with `token`.
        ///
        /// # Errors
        /// The system's.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            mio::Waker::new(registry, token).map(Self)
        }

        /// Wakes the poll.
        pub fn wake(&self) {
            // Where it does not, the worker looks for commands by itself before long.
            let _ = self.0.wake();
        }

        /// Nothing to do.
        pub fn woke(&self) {}
    }
}
