//! The calls that may wait: starting, stopping, waiting, status, log, and names of things.

use std::ffi::{c_char, c_void, CStr};

use super::types::{
    ptpbmca_config, ptpbmca_error, ptpbmca_event_callback, ptpbmca_log_callback, ptpbmca_log_level,
    ptpbmca_result, ptpbmca_session, ptpbmca_session_status,
};
use super::types::{PTPBMCA_ERR_INVALID_ARGUMENT, PTPBMCA_ERR_NO_SESSION, PTPBMCA_OK};
use super::{convert, growth, guarded, handle, log_bridge, put, result, token};
use crate::config::Config;
use crate::engine::{clock, Callback};
use crate::error::{Error, ErrorKind};
use crate::session::{self, ClockOffset, Token};

/// Fills every field of a config with its default.
///
/// Pass sizeof(ptpbmca_config) as `struct_size`: it tells the library which version the caller was compiled with.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT (config is NULL, or no version has this size).
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `config` is NULL or valid for writing `struct_size` bytes.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_config_init(
    config: *mut ptpbmca_config,
    struct_size: u32,
) -> ptpbmca_result {
    if config.is_null() || !growth::is_config_size(struct_size) {
        return PTPBMCA_ERR_INVALID_ARGUMENT;
    }
    // SAFETY: the caller's promise: so many bytes are valid for writing.
    unsafe { growth::write_over(config.cast(), struct_size as usize, &convert::default_config(struct_size)) };
    PTPBMCA_OK
}

/// Starts a session with the receiver at `receiver`: an IPv4 or IPv6 address (IPv6 may carry %interface), or several
/// addresses of one receiver, separated by commas. `config` NULL: defaults; `error` NULL: no details.
///
/// Returns when the role is settled (AUTO: an Announce decided it, or the wait for one ended; FOLLOW: an Announce or
/// Sync was heard; LEAD: at once) or when ready_timeout_ms has passed. Not being ready is no error: the session runs on.
/// Sessions of one process share one worker thread and, with equal ports and local address, one pair of sockets.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT, PTPBMCA_ERR_INVALID_ADDRESS, PTPBMCA_ERR_PERMISSION,
/// PTPBMCA_ERR_ADDRESS_IN_USE, PTPBMCA_ERR_NETWORK, PTPBMCA_ERR_LIMIT, PTPBMCA_ERR_WOULD_DEADLOCK (from a callback),
/// PTPBMCA_ERR_NO_SESSION (in a child after fork), PTPBMCA_ERR_INTERNAL. `*session` is then untouched.
///
/// Thread-safe: yes. Realtime-safe: no.
///
/// # Safety
/// `receiver` is NULL or a string that ends with a zero; `config` is NULL or as ptpbmca_config_init() made it, its
/// pointers valid during the call, on_event and user_data until ptpbmca_stop() returns; `session` and `error` are NULL or
/// valid for writing.
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_start(
    receiver: *const c_char,
    config: *const ptpbmca_config,
    session: *mut *mut ptpbmca_session,
    error: *mut ptpbmca_error,
) -> ptpbmca_result {
    guarded(|| {
        // SAFETY: the caller's promises are passed on.
        let started = unsafe { start(receiver, config, session.is_null()) };
        match started {
            Ok(token) => {
                // SAFETY: not null, or `start` would have refused; the caller's promise.
                unsafe { put(session, handle(token)) };
                PTPBMCA_OK
            }
            Err(details) => {
                if crate::planted::bug("config-error-leaks") {
                    std::mem::forget(details.message.clone());
                }
                if !error.is_null() {
                    // SAFETY: not null, and the caller's promise.
                    unsafe { put(error, convert::error(&details)) };
                }
                details.kind as ptpbmca_result
            }
        }
    })
}

/// # Safety
/// As for [`ptpbmca_start`].
unsafe fn start(
    receiver: *const c_char,
    config: *const ptpbmca_config,
    no_output: bool,
) -> crate::error::Result<Token> {
    if receiver.is_null() || no_output {
        return Err(Error::new(ErrorKind::InvalidArgument, "receiver and session must not be NULL."));
    }
    // SAFETY: not null, and the caller's promise.
    let receiver = unsafe { convert::address_text(receiver) }?;
    if config.is_null() {
        return session::start(receiver, &Config::default(), |_| None);
    }
    // SAFETY: not null, and the caller's promise.
    let raw = unsafe { convert::read_config(config) }?;
    // SAFETY: the caller's promise about its strings.
    let config = unsafe { convert::config(&raw) }?;
    session::start(receiver, &config, |token| event_callback(raw.on_event, raw.user_data, token))
}

/// A pointer of the caller's that is only ever passed back to it.
#[derive(Clone, Copy)]
pub(super) struct UserData(pub *mut c_void);

// SAFETY: the library never looks behind it; that it may be used on the worker thread is the callback's contract.
unsafe impl Send for UserData {}

fn event_callback(
    callback: ptpbmca_event_callback,
    user_data: *mut c_void,
    token: Token,
) -> Option<Callback> {
    let callback = callback?;
    let user_data = UserData(user_data);
    Some(Box::new(move |event, timeline| {
        // All of it is moved here, not its field alone, which is not Send.
        let user_data = user_data;
        let now = convert::clock_offset(&ClockOffset::at(timeline, clock::monotonic()));
        // SAFETY: the host gave this function for such calls, until its session is stopped.
        unsafe { callback(user_data.0, handle(token), event as u32, &raw const now) };
    }))
}

/// Waits until the session is synchronised, at most `timeout_ms` milliseconds. Wakes at once on synchronisation or stop.
///
/// Errors: PTPBMCA_ERR_TIMEOUT, PTPBMCA_ERR_NO_SESSION (also if it is stopped meanwhile), PTPBMCA_ERR_WOULD_DEADLOCK
/// (from a callback), PTPBMCA_ERR_INTERNAL.
///
/// Thread-safe: yes. Realtime-safe: no.
#[no_mangle]
pub extern "C" fn ptpbmca_await_sync(session: *const ptpbmca_session, timeout_ms: u32) -> ptpbmca_result {
    guarded(|| result(session::await_sync(token(session), timeout_ms)))
}

/// Tells everything about a session into `out`: the clock, bound ports, the receiver's Announce, counters of messages and
/// refusals, and advice to a person whose speaker stays silent.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT (out is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
///
/// Thread-safe: yes, and from callbacks. Realtime-safe: no (takes a lock for the time of a copy).
///
/// # Safety
/// `out` is NULL or valid for writing.
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_status(
    session: *const ptpbmca_session,
    out: *mut ptpbmca_session_status,
) -> ptpbmca_result {
    guarded(|| {
        if out.is_null() {
            return PTPBMCA_ERR_INVALID_ARGUMENT;
        }
        #[cfg(planted)]
        super::spoil_memory();
        match session::status(token(session)) {
            Ok((clock, status)) => {
                // SAFETY: not null, and the caller's promise.
                unsafe { put(out, convert::session_status(&clock, &status)) };
                PTPBMCA_OK
            }
            Err(kind) => kind as ptpbmca_result,
        }
    })
}

/// Stops a session. None of its callbacks runs when this has returned; the last session's end closes the sockets and the
/// worker. NULL is no session and fine.
///
/// Errors: PTPBMCA_ERR_NO_SESSION (stopped before, or by another thread), PTPBMCA_ERR_WOULD_DEADLOCK (from a callback),
/// PTPBMCA_ERR_INTERNAL.
///
/// Thread-safe: yes. Realtime-safe: no.
#[no_mangle]
pub extern "C" fn ptpbmca_stop(session: *mut ptpbmca_session) -> ptpbmca_result {
    if session.is_null() {
        return PTPBMCA_OK;
    }
    guarded(|| result(session::stop(token(session))))
}

/// Sends the library's log, up to `max_level`, to `callback`; NULL or PTPBMCA_LOG_OFF ends it. The library is silent until
/// then. The former callback does not run any more when this has returned.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT (no such level; or this is a Rust program with a logger of its own, which gets the
/// log already), PTPBMCA_ERR_WOULD_DEADLOCK (from a log callback), PTPBMCA_ERR_NO_SESSION (in a child after fork).
///
/// Thread-safe: yes. Realtime-safe: no.
///
/// # Safety
/// `callback` may be called with `user_data`, from the worker thread, until it is replaced.
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_set_log_callback(
    callback: ptpbmca_log_callback,
    user_data: *mut c_void,
    max_level: ptpbmca_log_level,
) -> ptpbmca_result {
    guarded(|| {
        if session::forked() {
            return PTPBMCA_ERR_NO_SESSION;
        }
        log_bridge::set(callback, UserData(user_data), max_level)
    })
}

/// The name of a result, such as "PTPBMCA_ERR_PERMISSION"; "PTPBMCA_ERR_UNKNOWN" for a number that is none. Static.
///
/// Thread-safe: yes. Realtime-safe: yes.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub extern "C" fn ptpbmca_result_name(result: ptpbmca_result) -> *const c_char {
    let name = match kind(result) {
        None if result == PTPBMCA_OK => c"PTPBMCA_OK",
        None => c"PTPBMCA_ERR_UNKNOWN",
        Some(ErrorKind::InvalidArgument) => c"PTPBMCA_ERR_INVALID_ARGUMENT",
        Some(ErrorKind::InvalidAddress) => c"PTPBMCA_ERR_INVALID_ADDRESS",
        Some(ErrorKind::Permission) => c"PTPBMCA_ERR_PERMISSION",
        Some(ErrorKind::AddressInUse) => c"PTPBMCA_ERR_ADDRESS_IN_USE",
        Some(ErrorKind::Network) => c"PTPBMCA_ERR_NETWORK",
        Some(ErrorKind::NoSession) => c"PTPBMCA_ERR_NO_SESSION",
        Some(ErrorKind::NotSynchronized) => c"PTPBMCA_ERR_NOT_SYNCHRONIZED",
        Some(ErrorKind::Timeout) => c"PTPBMCA_ERR_TIMEOUT",
        Some(ErrorKind::WouldDeadlock) => c"PTPBMCA_ERR_WOULD_DEADLOCK",
        Some(ErrorKind::Limit) => c"PTPBMCA_ERR_LIMIT",
        Some(ErrorKind::Internal) => c"PTPBMCA_ERR_INTERNAL",
    };
    name.as_ptr()
}

/// A result as one sentence with its remedy. Static.
///
/// Thread-safe: yes. Realtime-safe: yes.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub extern "C" fn ptpbmca_result_message(result: ptpbmca_result) -> *const c_char {
    let message = match kind(result) {
        Some(kind) => kind.message(),
        None if result == PTPBMCA_OK => c"It went well.",
        None => c"This number is no result of this library.",
    };
    message.as_ptr()
}

/// The library's version, such as "0.1.0". Static.
///
/// Thread-safe: yes. Realtime-safe: yes.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub extern "C" fn ptpbmca_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

fn kind(result: ptpbmca_result) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| *kind as ptpbmca_result == result)
}
