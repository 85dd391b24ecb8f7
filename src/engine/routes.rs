//! Tells when this host's routes change: an interface that went away has come back, perhaps under another index, and
//! with it none of the multicast memberships that it had.

#[cfg(target_vendor = "apple")]
pub use apple::RouteWatch;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::RouteWatch;

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub use portable::RouteWatch;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use crate::engine::own;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::mem::size_of_val;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// Notices read at once: a storm of them does not hold up the worker; the next one wakes the poll again.
    const NOTICES: usize = 256;

    /// The netlink groups of changed routes (linux/rtnetlink.h: RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE; not every C
    /// library has them).
    const ROUTE_GROUPS: u32 = 0x40 | 0x400;

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
            address.nl_groups = ROUTE_GROUPS;
            let length = size_of_val(&address) as libc::socklen_t;
            // SAFETY: a live address and its length.
            if unsafe { libc::bind(fd, (&raw const address).cast(), length) } != 0 {
                return Err(io::Error::last_os_error());
            }
            registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(socket))
        }

        /// Whether this still is what was registered at `registry` with `token`.
        pub fn is_ours(&self, registry: &Registry, token: Token) -> bool {
            own::is_ours(registry, &self.0, token)
        }

        /// Takes the notices off, so that the next one wakes the poll again. What they say is not read: everything that
        /// depends on routes is looked up anew.
        pub fn take(&self) -> bool {
            let mut notice = [0_u8; 64];
            for _ in 0..NOTICES {
                let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
                // SAFETY: a live buffer of the length given with it.
                let length = unsafe {
                    libc::recv(self.0.as_raw_fd(), notice.as_mut_ptr().cast(), notice.len(), flags)
                };
                if length < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                    break;
                }
            }
            true
        }
    }
}

#[cfg(target_vendor = "apple")]
mod apple {
    use crate::engine::own;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use socket2::{Domain, Socket, Type};
    use std::io;
    use std::os::fd::AsRawFd;

    /// Notices read at once, as on Linux.
    const NOTICES: usize = 256;

    /// Where a routing message has its type, behind its length and its version (net/route.h, rt_msghdr).
    const TYPE_AT: usize = 3;

    /// An address came or went, or an interface did (net/route.h: RTM_NEWADDR, RTM_DELADDR and RTM_IFINFO). Most other
    /// messages are of neighbours that were looked up.
    const TYPES: [u8; 3] = [0x0c, 0x0d, 0x0e];

    /// A routing socket.
    #[derive(Debug)]
    pub struct RouteWatch(Socket);

    impl RouteWatch {
        /// Watches, and wakes the poll with `token`.
        ///
        /// # Errors
        /// The system's; some sandboxes refuse.
        #[allow(clippy::disallowed_methods)] // No network socket.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let socket = Socket::new(Domain::from(libc::PF_ROUTE), Type::from(libc::SOCK_RAW), None)?;
            socket.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(socket))
        }

        /// Whether this still is what was registered at `registry` with `token`.
        pub fn is_ours(&self, registry: &Registry, token: Token) -> bool {
            own::is_ours(registry, &self.0, token)
        }

        /// Takes the notices off, so that the next one wakes the poll again; tells whether an interface or an address came
        /// or went.
        pub fn take(&self) -> bool {
            let (mut notice, mut changed) = ([0_u8; 64], false);
            for _ in 0..NOTICES {
                match io::Read::read(&mut &self.0, &mut notice) {
                    Ok(_) => changed |= notice.get(TYPE_AT).is_some_and(|kind| TYPES.contains(kind)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Notices were lost, of whatever kind.
                    Err(_) => changed = true,
                }
            }
            changed
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
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

        /// There is nothing to lose.
        pub fn is_ours(&self, _: &Registry, _: Token) -> bool {
            true
        }

        /// Nothing has changed, as far as is known.
        pub fn take(&self) -> bool {
            false
        }
    }
}
