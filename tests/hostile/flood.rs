//! Sends packets from an address of this host's loopback at a given rate, until told to stop.

use std::mem::zeroed;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets handed to the kernel by one call.
const TOGETHER: usize = 128;

/// How much of a late flood is made up for: a sender that was held up does not send a second's packets at once.
const MADE_UP: Duration = Duration::from_millis(10);

/// A packet to be sent.
#[derive(Clone, Default)]
pub struct Packet {
    /// To the general port, else to the event port.
    pub general: bool,
    /// What.
    pub bytes: Vec<u8>,
}

/// A flood under way.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Starts one of `rate` packets a second from `from` to the event and the general port of `to`. `make` fills in each
    /// packet.
    pub fn start(
        from: Ipv4Addr,
        to: Ipv4Addr,
        (event, general): (u16, u16),
        rate: u32,
        mut make: impl FnMut(&mut Packet) + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let run = move || {
            let mut packets = vec![Packet::default(); TOGETHER];
            let mut due = Instant::now();
            let each = Duration::from_secs(1) / rate;
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                if due > now {
                    std::thread::sleep(due - now);
                }
                due = due.max(now.checked_sub(MADE_UP).unwrap_or(now)) + each * TOGETHER as u32;
                packets.iter_mut().for_each(&mut make);
                count.fetch_add(send(&socket, &packets, to, event, general), Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("flood".into()).spawn(run).unwrap();
        Self { stop, sent, thread: Some(thread) }
    }

    /// How many packets have left.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends them all in one call; returns how many left.
fn send(socket: &UdpSocket, packets: &[Packet], to: Ipv4Addr, event: u16, general: u16) -> u64 {
    let address = |port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(to).to_be() },
        sin_zero: [0; 8],
    };
    let mut targets = [address(event), address(general)];
    // SAFETY: message headers and vectors of zeros are valid empty ones.
    let mut slices: [libc::iovec; TOGETHER] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut messages: [libc::mmsghdr; TOGETHER] = unsafe { zeroed() };
    for ((message, slice), packet) in messages.iter_mut().zip(&mut slices).zip(packets) {
        slice.iov_base = packet.bytes.as_ptr().cast_mut().cast();
        slice.iov_len = packet.bytes.len();
        message.msg_hdr.msg_iov = slice;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_name = (&raw mut targets[usize::from(packet.general)]).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    }
    // SAFETY: all pointers are to live locals and to the packets, which the call only reads.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), packets.len() as u32, 0) };
    u64::try_from(sent).unwrap_or(0)
}
