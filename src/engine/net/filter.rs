//! What the kernel is to keep away from a socket: packets from strangers, while somebody floods us with them.
//!
//! A classic BPF program compares the sender's address with those of the sessions' receivers, before a packet takes up
//! room in the socket's buffer. Not always on: packets of strangers that come now and then are counted by the worker
//! (`wrong_source`), for the receiver may answer from an address that the session was not given.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::{attach, detach, dropped};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::{attach, detach, dropped};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use crate::engine::timestamp::set_option;
    use libc::{sock_filter, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    use std::io;
    use std::mem::size_of_val;
    use std::net::IpAddr;
    use std::os::fd::AsRawFd;

    /// Addresses that a program can hold: nine instructions for each IPv6 one, twice over while one program replaces
    /// another, in the 20 KiB that older kernels have for it (net.core.optmem_max).
    const MOST_ADDRESSES: usize = 100;

    /// Where the network header begins for a program (linux/filter.h: SKF_NET_OFF): a socket's begins at UDP.
    const NETWORK_HEADER: u32 = -0x10_0000_i32 as u32;

    /// The source address within an IPv4 header (RFC 791) and an IPv6 header (RFC 8200), in bytes.
    const SOURCE_V4: u32 = NETWORK_HEADER.wrapping_add(12);
    const SOURCE_V6: u32 = NETWORK_HEADER.wrapping_add(8);

    /// Words of /proc's socket memory report (linux/sock_diag.h: SK_MEMINFO_VARS), and which one counts drops.
    const MEMORY_WORDS: usize = 9;
    const DROPS: usize = 8;

    const fn step(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter { code: code as u16, jt, jf, k }
    }

    const fn load(at: u32) -> sock_filter {
        step(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
    }

    /// Goes on where the loaded word is `word`, else skips so many steps.
    const fn unless(word: u32, skip: u8) -> sock_filter {
        step(BPF_JMP | BPF_JEQ | BPF_K, word, 0, skip)
    }

    const ACCEPT: sock_filter = step(BPF_RET | BPF_K, u32::MAX, 0, 0);
    const DROP: sock_filter = step(BPF_RET | BPF_K, 0, 0, 0);

    /// Lets through what these addresses send.
    fn program(ipv6: bool, from: &[IpAddr]) -> Vec<sock_filter> {
        let mut program = Vec::new();
        if !ipv6 {
            program.push(load(SOURCE_V4));
        }
        for address in from {
            match address {
                IpAddr::V4(v4) if !ipv6 => program.extend([unless(u32::from(*v4), 1), ACCEPT]),
                IpAddr::V6(v6) if ipv6 => {
                    let all = u128::from(*v6);
                    // The last word first: it is the one in which neighbours differ.
                    for (word, skip) in [(3, 7), (2, 5), (1, 3), (0, 1)] {
                        program.push(load(SOURCE_V6.wrapping_add(4 * word)));
                        program.push(unless((all >> (32 * (3 - word))) as u32, skip));
                    }
                    program.push(ACCEPT);
                }
                _ => {}
            }
        }
        program.push(DROP);
        program
    }

    /// Lets through what these addresses send, and nothing else, until it is replaced or detached.
    ///
    /// # Errors
    /// The system's; some sandboxes refuse, and [`io::ErrorKind::InvalidInput`] for too many addresses.
    pub fn attach(socket: &impl AsRawFd, ipv6: bool, from: &[IpAddr]) -> io::Result<()> {
        if from.len() > MOST_ADDRESSES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut program = program(ipv6, from);
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // The kernel copies the program during the call.
        set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
    }

    /// Lets everything through again.
    pub fn detach(socket: &impl AsRawFd) {
        // It fails where there is no program.
        let _ = set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0_i32);
    }

    /// How many packets the kernel has dropped for this socket so far: by the program, for want of room in the buffer,
    /// or for a wrong checksum. It wraps around. `None`: it does not tell.
    pub fn dropped(socket: &impl AsRawFd) -> Option<u32> {
        let mut words = [0_u32; MEMORY_WORDS];
        let mut length = size_of_val(&words) as libc::socklen_t;
        // SAFETY: a live buffer and its length, which the kernel keeps to.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                words.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        (got == 0 && length as usize == size_of_val(&words)).then(|| words[DROPS])
    }

    #[cfg(test)]
    #[allow(clippy::disallowed_methods)] // The kernel is what these tests are about.
    mod tests {
        use super::*;
        use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
        use std::time::Duration;

        /// Far longer than loopback takes.
        const LIVENESS: Duration = Duration::from_secs(10);

        fn bind(ip: impl Into<IpAddr>) -> UdpSocket {
            let socket = UdpSocket::bind((ip.into(), 0)).unwrap();
            socket.set_read_timeout(Some(LIVENESS)).unwrap();
            socket
        }

        fn heard(socket: &UdpSocket) -> (u8, SocketAddr) {
            let mut byte = [0];
            let (_, from) = socket.recv_from(&mut byte).unwrap();
            (byte[0], from)
        }

        #[test]
        fn only_those_named_get_through() {
            let (ours, friend) = (bind([127, 0, 0, 1]), bind([127, 0, 0, 2]));
            let (stranger, other) = (bind([127, 0, 0, 3]), bind([127, 0, 0, 4]));
            let to = ours.local_addr().unwrap();
            attach(&ours, false, &[[127, 0, 0, 4].into(), [127, 0, 0, 2].into(), "::1".parse().unwrap()])
                .unwrap();
            let before = dropped(&ours);
            stranger.send_to(&[1], to).unwrap();
            friend.send_to(&[2], to).unwrap();
            other.send_to(&[3], to).unwrap();
            assert_eq!(heard(&ours), (2, friend.local_addr().unwrap()));
            assert_eq!(heard(&ours), (3, other.local_addr().unwrap()));
            assert_eq!(dropped(&ours), before.map(|before| before + 1));
            // Nobody at all, and everybody again.
            attach(&ours, false, &[]).unwrap();
            friend.send_to(&[4], to).unwrap();
            detach(&ours);
            stranger.send_to(&[5], to).unwrap();
            assert_eq!(heard(&ours), (5, stranger.local_addr().unwrap()));
        }

        #[test]
        fn ipv6_addresses_count_in_full() {
            let (ours, friend) = (bind(Ipv6Addr::LOCALHOST), bind(Ipv6Addr::LOCALHOST));
            let to = ours.local_addr().unwrap();
            // Each differs in one of its four words.
            let near = ["1::1", "0:0:1::1", "::1:0:0:1", "::2"].map(|near| near.parse().unwrap());
            attach(&ours, true, &near).unwrap();
            friend.send_to(&[1], to).unwrap();
            let mut all = near.to_vec();
            all.extend::<[IpAddr; 2]>([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
            attach(&ours, true, &all).unwrap();
            friend.send_to(&[2], to).unwrap();
            assert_eq!(heard(&ours), (2, friend.local_addr().unwrap()));
        }

        #[test]
        fn as_many_as_are_allowed_do_fit() {
            let ours = bind(Ipv6Addr::LOCALHOST);
            let many: Vec<IpAddr> =
                (0..=MOST_ADDRESSES as u128).map(|n| IpAddr::V6(Ipv6Addr::from(n << 64))).collect();
            for _ in 0..3 {
                attach(&ours, true, &many[1..]).unwrap();
            }
            assert_eq!(attach(&ours, true, &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use std::io;
    use std::net::IpAddr;

    /// Not on this system: the worker refuses strangers itself.
    ///
    /// # Errors
    /// Always.
    pub fn attach<S>(_: &S, _: bool, _: &[IpAddr]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing to do.
    pub fn detach<S>(_: &S) {}

    /// This system does not tell.
    pub fn dropped<S>(_: &S) -> Option<u32> {
        None
    }
}
