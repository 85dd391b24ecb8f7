//! The calls an audio thread may make: nothing in them can panic, wait, allocate or enter the kernel.

use super::convert::{anchor_time, clock_offset};
use super::types::{ptpbmca_anchor_time, ptpbmca_clock_offset, ptpbmca_result, ptpbmca_session};
use super::types::{PTPBMCA_ERR_INVALID_ARGUMENT, PTPBMCA_ERR_NOT_SYNCHRONIZED, PTPBMCA_OK};
use super::{put, token};
use crate::error::ErrorKind;
use crate::session::{self, Reading};

/// Writes a reading, also one that is only the local time passed through, and says which it is.
///
/// # Safety
/// `out` is null or valid for writing a `T`.
#[inline]
unsafe fn give<T>(out: *mut T, read: impl FnOnce() -> Result<Reading<T>, ErrorKind>) -> ptpbmca_result {
    if out.is_null() {
        return PTPBMCA_ERR_INVALID_ARGUMENT;
    }
    match read() {
        Ok(Reading { value, synchronized }) => {
            // SAFETY: not null, and the caller's promise.
            unsafe { put(out, value) };
            if synchronized {
                PTPBMCA_OK
            } else {
                PTPBMCA_ERR_NOT_SYNCHRONIZED
            }
        }
        Err(kind) => kind as ptpbmca_result,
    }
}

/// Takes one consistent snapshot of the session's clock, aged to now, into `out`.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT (out is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL. Not being
/// synchronised is no error here: see `synchronized` and `sync_state`.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `out` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_offset(
    session: *const ptpbmca_session,
    out: *mut ptpbmca_clock_offset,
) -> ptpbmca_result {
    if out.is_null() {
        return PTPBMCA_ERR_INVALID_ARGUMENT;
    }
    match session::offset(token(session)) {
        Ok(offset) => {
            // SAFETY: not null, and the caller's promise.
            unsafe { put(out, clock_offset(&offset)) };
            PTPBMCA_OK
        }
        Err(kind) => kind as ptpbmca_result,
    }
}

/// Converts a time of the session's local clock, `local_ns`, to nanoseconds on the receiver's timeline. Never below 0.
/// Reads no clock and trusts the last snapshot.
///
/// Errors: PTPBMCA_ERR_NOT_SYNCHRONIZED, and then `receiver_ns` is `local_ns` itself, not below 0;
/// PTPBMCA_ERR_INVALID_ARGUMENT (receiver_ns is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `receiver_ns` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_receiver_time(
    session: *const ptpbmca_session,
    local_ns: i64,
    receiver_ns: *mut u64,
) -> ptpbmca_result {
    // SAFETY: the caller's promise.
    unsafe { give(receiver_ns, || session::receiver_time(token(session), local_ns)) }
}

/// Tells what the receiver's clock reads now, in nanoseconds on its timeline.
///
/// Errors: as for ptpbmca_receiver_time(); not synchronised, the local clock's reading is written.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `receiver_ns` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_receiver_now(
    session: *const ptpbmca_session,
    receiver_ns: *mut u64,
) -> ptpbmca_result {
    // SAFETY: the caller's promise.
    unsafe { give(receiver_ns, || session::receiver_now(token(session))) }
}

/// Converts nanoseconds on the receiver's timeline to the session's local clock: the inverse of
/// ptpbmca_receiver_time() to one nanosecond. Reads no clock and trusts the last snapshot.
///
/// Errors: as for ptpbmca_receiver_time(); not synchronised, `local_ns` is `receiver_ns` itself.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `local_ns` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_local_time(
    session: *const ptpbmca_session,
    receiver_ns: u64,
    local_ns: *mut i64,
) -> ptpbmca_result {
    // SAFETY: the caller's promise.
    unsafe { give(local_ns, || session::local_time(token(session), receiver_ns)) }
}

/// Makes an anchor for the local time `local_ns`: receiver time as nanoseconds and as seconds with a binary fraction,
/// with the timeline's clock and the epoch it holds in, all from one snapshot. Reads no clock and trusts the last
/// snapshot.
///
/// Errors: as for ptpbmca_receiver_time(); not synchronised, the time written is `local_ns` itself, not below 0.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `out` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_anchor(
    session: *const ptpbmca_session,
    local_ns: i64,
    out: *mut ptpbmca_anchor_time,
) -> ptpbmca_result {
    let read = || {
        let reading = session::anchor(token(session), local_ns)?;
        Ok(Reading { value: anchor_time(&reading.value), synchronized: reading.synchronized })
    };
    // SAFETY: the caller's promise.
    unsafe { give(out, read) }
}

/// Reads the session's local clock, the one `local_ns` count in, in nanoseconds.
///
/// Errors: PTPBMCA_ERR_INVALID_ARGUMENT (local_ns is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
///
/// Thread-safe: yes. Realtime-safe: yes.
///
/// # Safety
/// `local_ns` is NULL or valid for writing.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
#[no_mangle]
pub unsafe extern "C" fn ptpbmca_local_now(
    session: *const ptpbmca_session,
    local_ns: *mut i64,
) -> ptpbmca_result {
    let read = || Ok(Reading { value: session::local_now(token(session))?, synchronized: true });
    // SAFETY: the caller's promise.
    unsafe { give(local_ns, read) }
}
