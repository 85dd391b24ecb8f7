//! Tells when this host's routes change: an interface that went away has come back, perhaps under another index, and
//! with it none of the multicast memberships that it had.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::RouteWatch;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::RouteWatch;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::mem::size_of_val;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// Notices read at once: a storm of them does not hold up the worker; the next one wakes the poll again.
    const NOTICES: usize = 256;

    /// A netlink socket that hears of changes of routes. Routes and not addresses: a route is there when packets can go.
    #[derive(Debug)]
    pub struct RouteWatch(OwnedFd);

    impl RouteWatch {
        /// Watches, and wakes the poll with `token`.
        ///
        /// # Errors
        /// The system's; some sandboxes refuse.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: no pointers.
            let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a descriptor just made, owned by nobody else.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: a netlink address of zeros is valid: the kernel chooses the port.
            let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
            address.nl_groups = (libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE) as u32;
            let length = size_of_val(&address) as libc::socklen_t;
            // SAFETY: a live address and its length.
            if unsafe { libc::bind(fd, (&raw const address).cast(), length) } != 0 {
                return Err(io::Error::last_os_error());
            }
            registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(socket))
        }

        /// Takes the notices off, so that the next one wakes the poll again. What they say is not read: everything that
        /// depends on routes is looked up anew.
        pub fn take(&self) {
            let mut notice = [0_u8; 64];
            for _ in 0..NOTICES {
                let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
                // SAFETY: a live buffer of the length given with it.
                let length = unsafe {
                    libc::recv(self.0.as_raw_fd(), notice.as_mut_ptr().cast(), notice.len(), flags)
                };
                if length < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                    return;
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use mio::{Registry, Token};
    use std::io;

    /// Nothing: on this system memberships of an interface that comes back as another one are not renewed.
    #[derive(Debug)]
    pub struct RouteWatch;

    impl RouteWatch {
        /// Watches nothing.
        ///
        /// # Errors
        /// None.
        pub fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// Does nothing.
        pub fn take(&self) {}
    }
}
