//! An input as calls of the C interface: a config of any size and content, addresses of any text, sessions that never
//! were. Memory is given out to the byte, so that AddressSanitizer sees whoever reads or writes one more.
//!
//! Nothing leaves the machine: the process has a network of its own where the system allows it, and a call is not made
//! where its text names an address that is not a loopback one.
#![no_main]
#![allow(clippy::disallowed_methods)] // No room of the library: its rules are not for those who call it.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::{offset_of, size_of};
use std::net::IpAddr;
use std::os::fd::IntoRawFd;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ptpbmca::ffi::calls::*;
use ptpbmca::ffi::realtime::*;
use ptpbmca::ffi::types::*;
use ptpbmca_fuzz::cursor::Cursor;
use ptpbmca_fuzz::{edges, memory, network};

/// Edges of an input with its worker; each of its calls may start a session. Many times what was measured: the worker goes
/// on while this thread waits for a processor.
const EDGES: u64 = 5_000_000;
/// Calls of one input.
const MAX_CALLS: u32 = 24;
/// Sessions at the same time.
const MAX_SESSIONS: usize = 4;
/// Heap that inputs may leave behind all together, bytes: what is made once for the process.
const MEMORY: usize = 256 << 10;
/// The size of the config's only version, and the largest that is believed.
const CONFIG: usize = size_of::<ptpbmca_config>();
const MAX_STRUCT_SIZE: u32 = 1_024;
/// What outputs hold before a call.
const ARMED: u8 = 0xa5;

/// Descriptors to hand over: two good ones, one unbound, one no datagram socket, one no socket.
static SOCKETS: OnceLock<[i64; 5]> = OnceLock::new();

fuzz_target!(
    init: {
        if let Err(error) = network::leave() {
            eprintln!("no network of its own ({error}): loopback addresses of the host's");
        }
        let bound = || std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a socket").into_raw_fd();
        // SAFETY: no memory is involved.
        let unbound = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
        let stream = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a socket").into_raw_fd();
        let file = std::fs::File::open("/dev/null").expect("a file").into_raw_fd();
        let _ = SOCKETS.set([bound(), bound(), unbound, stream, file].map(i64::from));
    },
    |bytes: &[u8]| {
        static BEFORE: OnceLock<usize> = OnceLock::new();
        let before = *BEFORE.get_or_init(memory::live);
        let lowest = lowest_descriptor();
        edges::within(EDGES, || calls(&mut Cursor(bytes)));
        assert_eq!(lowest_descriptor(), lowest, "a descriptor is left");
        assert!(memory::live() <= before + MEMORY, "{} bytes are left", memory::live() - before);
    }
);

fn lowest_descriptor() -> c_int {
    // SAFETY: no memory is involved; what is closed was just made.
    unsafe {
        let descriptor = libc::dup(0);
        libc::close(descriptor);
        descriptor
    }
}

/// The sessions of an input: those that run, and those that did.
#[derive(Default)]
struct Sessions {
    live: Vec<*mut ptpbmca_session>,
    stopped: Vec<*mut ptpbmca_session>,
}

fn calls(c: &mut Cursor) {
    let mut sessions = Sessions::default();
    for _ in 0..MAX_CALLS {
        if c.is_empty() {
            break;
        }
        match c.u8() % 8 {
            0 | 1 => start(c, &mut sessions),
            2 => stop(c, &mut sessions),
            3 | 4 => read(c, &sessions),
            5 => init(c),
            6 => log_to(c),
            _ => names(c.u32() as i32),
        }
    }
    while let Some(session) = sessions.live.pop() {
        assert_eq!(ptpbmca_stop(session), PTPBMCA_OK);
        gone(session);
    }
    // SAFETY: no callback is given.
    assert_eq!(unsafe { ptpbmca_set_log_callback(None, std::ptr::null_mut(), PTPBMCA_LOG_OFF) }, PTPBMCA_OK);
}

/// Memory of exactly so many bytes, at an even or odd address.
struct Block {
    bytes: Box<[u8]>,
    from: usize,
}

impl Block {
    fn new(length: usize, odd: bool, fill: u8) -> Self {
        let from = usize::from(odd);
        Self { bytes: vec![fill; from + length].into_boxed_slice(), from }
    }

    fn part(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..]
    }

    fn pointer<T>(&mut self) -> *mut T {
        self.part().as_mut_ptr().cast()
    }

    fn is_untouched(&mut self) -> bool {
        self.part().iter().all(|byte| *byte == ARMED)
    }
}

/// An output of a call, or null.
fn output<T>(c: &mut Cursor) -> Option<Block> {
    let byte = c.u8();
    (byte & 7 != 0).then(|| Block::new(size_of::<T>(), byte & 8 != 0, ARMED))
}

fn to<T>(block: &mut Option<Block>) -> *mut T {
    block.as_mut().map_or(std::ptr::null_mut(), Block::pointer)
}

/// An address, several, or nonsense, in memory that ends with it; null now and then. Not for calls if it is of another
/// host.
struct Text {
    bytes: Option<Box<[u8]>>,
    harmless: bool,
}

impl Text {
    fn new(c: &mut Cursor) -> Self {
        const PARTS: [&str; 14] = [
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
            ",",
            " ",
            "%lo",
            "%",
            "localhost",
            "127.0.0.1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.1.129",
        ];
        let byte = c.u8();
        let mut text = Vec::new();
        match byte >> 6 {
            0 => text.extend(b"127.0.0.1"),
            1 => (0..byte & 15).for_each(|_| text.extend(c.pick(&PARTS).bytes())),
            2 => {
                text.extend(c.pick(&PARTS).bytes());
                text.extend(c.slice(usize::from(byte & 63)));
            }
            _ if byte & 1 == 0 => return Self { bytes: None, harmless: true },
            // Without an end: as long as is read.
            _ => return Self { bytes: Some(vec![b'1'; 1_024].into()), harmless: true },
        }
        text.retain(|byte| *byte != 0);
        let harmless = text.split(|byte| *byte == b',').all(is_harmless);
        text.push(0);
        Self { bytes: Some(text.into()), harmless }
    }

    fn pointer(&self) -> *const c_char {
        self.bytes.as_ref().map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast())
    }
}

/// Whether a text is a loopback address, or one to which nothing is sent.
fn is_harmless(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return true };
    let literal = text.trim().split('%').next().unwrap_or_default();
    literal.parse::<IpAddr>().map(|ip| ip.to_canonical()).is_ok_and(|ip| {
        ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4])
    }) || literal.parse::<IpAddr>().is_err()
}

unsafe extern "C" fn on_event(
    user_data: *mut c_void,
    session: *mut ptpbmca_session,
    event: ptpbmca_event,
    now: *const ptpbmca_clock_offset,
) {
    assert_eq!(user_data.addr(), 0x5eed);
    assert!((1..=6).contains(&event) && !now.is_null());
    // It may be stopped by then; from here, never.
    assert!([PTPBMCA_ERR_WOULD_DEADLOCK, PTPBMCA_ERR_NO_SESSION].contains(&ptpbmca_stop(session)));
}

unsafe extern "C" fn on_log(_: *mut c_void, level: ptpbmca_log_level, message: *const c_char) {
    assert!((1..=5).contains(&level));
    // SAFETY: the library's promise.
    assert!(!unsafe { CStr::from_ptr(message) }.to_bytes().is_empty());
}

/// A config as bytes: those of the defaults with some changed, or none of them; pointers and waits are made harmless.
fn config(c: &mut Cursor, local: &Text) -> [u8; CONFIG] {
    let mut bytes: [u8; CONFIG] = c.array();
    let mode = c.u8();
    let mut block = Block::new(CONFIG, false, 0);
    // SAFETY: as many bytes as are said.
    assert_eq!(unsafe { ptpbmca_config_init(block.pointer(), CONFIG as u32) }, PTPBMCA_OK);
    if mode & 1 == 0 {
        // High ports, so that no privilege decides; then the input's zeros stand for the defaults.
        let mut default: [u8; CONFIG] = block.part().try_into().expect("a config");
        set(&mut default, offset_of!(ptpbmca_config, event_port), &22_319_u16.to_ne_bytes());
        set(&mut default, offset_of!(ptpbmca_config, general_port), &22_320_u16.to_ne_bytes());
        for (byte, default) in bytes.iter_mut().zip(default) {
            *byte ^= default;
        }
    }
    let good = SOCKETS.get().expect("made at the start");
    let mut socket = || match c.u8() {
        byte @ 0..100 => good[usize::from(byte) % good.len()],
        100..150 => -1,
        150..160 => good[0] | 1 << 32,
        160..170 => i64::from(i32::MAX),
        // No process here has so many, and a negative one is none.
        byte => [-2, i64::MIN, i64::MAX, 1 << 40][usize::from(byte) % 4],
    };
    let (event, general) = if mode & 6 == 6 { (socket(), socket()) } else { (-1, -1) };
    set(&mut bytes, offset_of!(ptpbmca_config, event_socket), &event.to_ne_bytes());
    set(&mut bytes, offset_of!(ptpbmca_config, general_socket), &general.to_ne_bytes());
    set(&mut bytes, offset_of!(ptpbmca_config, local_address), &local.pointer().addr().to_ne_bytes());
    // Waits are real ones.
    let wait = u32::from(mode & 0xf8 == 0xf8);
    set(&mut bytes, offset_of!(ptpbmca_config, ready_timeout_ms), &wait.to_ne_bytes());
    let callback: ptpbmca_event_callback = (mode & 8 == 0).then_some(on_event);
    let callback = callback.map_or(0, |callback| callback as usize);
    set(&mut bytes, offset_of!(ptpbmca_config, on_event), &callback.to_ne_bytes());
    set(&mut bytes, offset_of!(ptpbmca_config, user_data), &0x5eed_usize.to_ne_bytes());
    bytes
}

fn set(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Starts a session with such a config; what must not start does not.
fn start(c: &mut Cursor, sessions: &mut Sessions) {
    let receiver = Text::new(c);
    let local = Text::new(c);
    let size = match c.u8() {
        byte @ 0..8 => [0, 4, 87, 84, 80, 1_024, 1_025, 1_032][usize::from(byte)],
        8 => c.u32(),
        byte @ 9..40 => u32::from(byte) * 8,
        _ => CONFIG as u32,
    };
    let mut known = config(c, &local);
    set(&mut known, 0, &size.to_ne_bytes());
    let odd = c.u8() & 1 == 1;
    let mut block = Block::new(size.clamp(4, MAX_STRUCT_SIZE) as usize, odd, 0);
    let common = block.part().len().min(CONFIG);
    block.part()[..common].copy_from_slice(&known[..common]);
    let stranger = c.u8();
    let beyond = block.part().len() > CONFIG && stranger != 0;
    if beyond {
        let place = CONFIG + usize::from(c.u8()) % (block.part().len() - CONFIG);
        block.part()[place] = stranger;
    }
    let null = c.u8() == 255;
    let (mut session, mut error) = (output::<*mut ptpbmca_session>(c), output::<ptpbmca_error>(c));
    if !receiver.harmless || !local.harmless || sessions.live.len() == MAX_SESSIONS {
        return;
    }
    let config = if null { std::ptr::null() } else { block.pointer::<ptpbmca_config>().cast_const() };
    if null {
        // The defaults wait five seconds.
        return;
    }
    // SAFETY: each is null or as long as the interface asks for.
    let result = unsafe { ptpbmca_start(receiver.pointer(), config, to(&mut session), to(&mut error)) };
    if result != PTPBMCA_OK {
        assert!(session.is_none_or(|mut session| session.is_untouched()));
        if let Some(mut error) = error {
            // SAFETY: written by the call, and all its bytes are.
            let error: ptpbmca_error = unsafe { error.pointer::<ptpbmca_error>().read_unaligned() };
            assert_eq!(error.result, result);
            let text =
                CStr::from_bytes_until_nul(error.message.map(|c| c as u8).as_slice()).map(CStr::to_owned);
            assert!(text.expect("a zero at its end").to_str().expect("UTF-8").len() > 10);
        }
        assert!([-1, -2, -3, -4, -5, -10].contains(&result), "{result}");
        return;
    }
    assert!(error.is_none_or(|mut error| error.is_untouched()));
    // SAFETY: the call has succeeded, so there was room for it, and it was written.
    let session = unsafe { to::<*mut ptpbmca_session>(&mut session).read_unaligned() };
    assert!(!session.is_null() && !sessions.live.contains(&session) && !sessions.stopped.contains(&session));
    sessions.live.push(session);
    // SAFETY: any bytes are one: numbers and pointers.
    let known: ptpbmca_config = unsafe { known.as_ptr().cast::<ptpbmca_config>().read_unaligned() };
    assert!((CONFIG..=MAX_STRUCT_SIZE as usize).contains(&(size as usize)) && size % 8 == 0 && !beyond);
    assert!(known.role <= 2 && known.local_clock <= 1 && known.allow_ephemeral_ports <= 1);
    assert!(known.major_sdo_id <= 15 && known.event_port != known.general_port);
    assert!(known.event_port != 0 && known.general_port != 0);
    assert_eq!(known.event_socket == -1, known.general_socket == -1);
    // SAFETY: all zeros are one: numbers and a pointer.
    let mut status: ptpbmca_session_status = unsafe { std::mem::zeroed() };
    // SAFETY: a live output.
    assert_eq!(unsafe { ptpbmca_status(session, &raw mut status) }, PTPBMCA_OK);
    if known.event_socket == -1 && status.ephemeral_ports == 0 {
        assert_eq!((status.event_port, status.general_port), (known.event_port, known.general_port));
    }
    assert!(known.clock_id == 0 || status.clock.local_clock_id == known.clock_id);
    assert!(known.role != PTPBMCA_ROLE_LEAD || status.clock.role == PTPBMCA_LEADING);
}

/// A session that runs, one that was stopped, or one that never was; and whether it runs.
fn any(c: &mut Cursor, sessions: &Sessions) -> (*mut ptpbmca_session, bool) {
    let byte = c.u8();
    let place = usize::from(byte >> 2);
    let of = |list: &[*mut ptpbmca_session]| (!list.is_empty()).then(|| list[place % list.len()]);
    let known = match byte & 3 {
        0 | 1 => of(&sessions.live),
        2 => of(&sessions.stopped),
        _ => None,
    };
    let made_up = || {
        let bits = match byte & 3 {
            3 => c.u64() as usize,
            // Nearly one.
            _ => of(&sessions.live).map_or(0, |session| session.addr() ^ 1 << (c.u8() & 63)),
        };
        std::ptr::without_provenance_mut(bits)
    };
    let session = known.unwrap_or_else(made_up);
    (session, sessions.live.contains(&session))
}

fn stop(c: &mut Cursor, sessions: &mut Sessions) {
    let (session, live) = any(c, sessions);
    let expected = if live || session.is_null() { PTPBMCA_OK } else { PTPBMCA_ERR_NO_SESSION };
    assert_eq!(ptpbmca_stop(session), expected);
    if live {
        sessions.live.retain(|other| *other != session);
        sessions.stopped.push(session);
    }
    gone(session);
}

/// Every call says that there is no such session, and writes nothing.
fn gone(session: *mut ptpbmca_session) {
    let mut out = Block::new(size_of::<ptpbmca_session_status>(), false, ARMED);
    // SAFETY: as many bytes as the largest output has.
    let results = unsafe {
        [
            ptpbmca_offset(session, out.pointer()),
            ptpbmca_receiver_time(session, 1, out.pointer()),
            ptpbmca_receiver_now(session, out.pointer()),
            ptpbmca_local_time(session, 1, out.pointer()),
            ptpbmca_anchor(session, 1, out.pointer()),
            ptpbmca_local_now(session, out.pointer()),
            ptpbmca_status(session, out.pointer()),
            ptpbmca_await_sync(session, u32::MAX),
        ]
    };
    assert_eq!(results, [PTPBMCA_ERR_NO_SESSION; 8]);
    assert!(out.is_untouched());
}

fn read(c: &mut Cursor, sessions: &Sessions) {
    let (session, live) = any(c, sessions);
    if !live {
        return gone(session);
    }
    let (local, remote) = (c.i64(), c.u64());
    // SAFETY: each output is null or as long as the call's own.
    let answered: (ptpbmca_result, Option<Block>) = unsafe {
        match c.u8() % 8 {
            0 => with(output::<ptpbmca_clock_offset>(c), |out| ptpbmca_offset(session, out)),
            1 => with(output::<u64>(c), |out| ptpbmca_receiver_time(session, local, out)),
            2 => with(output::<u64>(c), |out| ptpbmca_receiver_now(session, out)),
            3 => with(output::<i64>(c), |out| ptpbmca_local_time(session, remote, out)),
            4 => with(output::<ptpbmca_anchor_time>(c), |out| ptpbmca_anchor(session, local, out)),
            5 => with(output::<i64>(c), |out| ptpbmca_local_now(session, out)),
            6 => with(output::<ptpbmca_session_status>(c), |out| ptpbmca_status(session, out)),
            _ => {
                let result = ptpbmca_await_sync(session, u32::from(c.u8() & 1));
                assert!([PTPBMCA_OK, PTPBMCA_ERR_TIMEOUT].contains(&result), "{result}");
                return;
            }
        }
    };
    match answered {
        (result, None) => assert_eq!(result, PTPBMCA_ERR_INVALID_ARGUMENT),
        (result, Some(mut out)) => {
            assert!([PTPBMCA_OK, PTPBMCA_ERR_NOT_SYNCHRONIZED].contains(&result), "{result}");
            assert!(!out.is_untouched());
        }
    }
}

fn with<T>(
    mut out: Option<Block>,
    call: impl FnOnce(*mut T) -> ptpbmca_result,
) -> (ptpbmca_result, Option<Block>) {
    let result = call(to(&mut out));
    (result, out)
}

/// A config is filled as far as the caller says, where a version has that size.
fn init(c: &mut Cursor) {
    let byte = c.u8();
    let size = if byte & 128 == 0 { u32::from(byte) * 8 } else { c.u32() };
    let mut block = Block::new(size.min(4_096) as usize, byte & 1 == 1, ARMED);
    // SAFETY: as many bytes as are said; more than this are no version's.
    let result = unsafe { ptpbmca_config_init(block.pointer(), size) };
    let is_size = (CONFIG as u32..=MAX_STRUCT_SIZE).contains(&size) && size % 8 == 0;
    assert_eq!(result == PTPBMCA_OK, is_size);
    assert_eq!(block.is_untouched(), !is_size || block.part().is_empty());
    // SAFETY: null is refused.
    assert_eq!(unsafe { ptpbmca_config_init(std::ptr::null_mut(), size) }, PTPBMCA_ERR_INVALID_ARGUMENT);
}

fn log_to(c: &mut Cursor) {
    let (level, callback) = (u32::from(c.u8() % 8), c.u8() & 1 == 0);
    let callback: ptpbmca_log_callback = callback.then_some(on_log);
    // SAFETY: the function takes any such call.
    let result = unsafe { ptpbmca_set_log_callback(callback, std::ptr::null_mut(), level) };
    assert_eq!(result, if level <= 5 { PTPBMCA_OK } else { PTPBMCA_ERR_INVALID_ARGUMENT });
}

/// Every number has a name and a message.
fn names(result: ptpbmca_result) {
    for text in [ptpbmca_result_name(result), ptpbmca_result_message(result), ptpbmca_version()] {
        // SAFETY: static strings.
        assert!(unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8").len() > 3);
    }
}
