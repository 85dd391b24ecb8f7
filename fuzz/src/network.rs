//! A network of this process's own, with nothing in it but loopback addresses.

use std::io;

/// Leaves the host's network for an empty one and brings its loopback up. For a process of one thread.
///
/// # Errors
/// The system's, where it allows no such thing: then the process stays where it was.
pub fn leave() -> io::Result<()> {
    // SAFETY: concerns this process alone, and no memory of it.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        // Without privileges, in a user namespace of one's own.
        // SAFETY: as above.
        checked(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) })?;
    }
    // SAFETY: no memory is involved.
    let socket = checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: all zeros are a request: a name and numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: a request that lives through the call, and a socket that was just opened.
    let up = checked(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) });
    // SAFETY: the socket is this function's own.
    unsafe { libc::close(socket) };
    up.map(|_| ())
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
