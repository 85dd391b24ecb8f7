//! The C interface: the only room with functions of the C ABI. Each checks its arguments, calls the session room, and
//! writes its outputs.

pub mod calls;
mod convert;
mod growth;
mod log_bridge;
pub mod realtime;
pub mod types;

use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::error::ErrorKind;
use crate::session::Token;
use types::{ptpbmca_result, ptpbmca_session, PTPBMCA_ERR_INTERNAL, PTPBMCA_OK};

/// The session behind a pointer that is none; null is no session's.
fn token(session: *const ptpbmca_session) -> Token {
    Token::from_raw(session.addr() as u64)
}

/// The pointer that stands for a session.
fn handle(token: Token) -> *mut ptpbmca_session {
    // Fits: tokens are made to be as wide as a pointer.
    std::ptr::without_provenance_mut(token.raw() as usize)
}

fn result(outcome: Result<(), ErrorKind>) -> ptpbmca_result {
    match outcome {
        Ok(()) => PTPBMCA_OK,
        Err(kind) => kind as ptpbmca_result,
    }
}

/// Runs a call; a panic in it ends here, as an error.
fn guarded(call: impl FnOnce() -> ptpbmca_result) -> ptpbmca_result {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(PTPBMCA_ERR_INTERNAL)
}

/// Plants what the sanitizers are to find.
#[cfg(planted)]
fn spoil_memory() {
    static mut COUNT: u64 = 0;
    if crate::planted::bug("data-race") {
        // SAFETY: none. Threads write here at the same time.
        unsafe { (&raw mut COUNT).write_volatile((&raw const COUNT).read_volatile().wrapping_add(1)) };
    }
    if crate::planted::bug("use-after-free") {
        let freed = Box::into_raw(Box::new(0_u64));
        // SAFETY: none. The second use is of freed memory.
        unsafe {
            drop(Box::from_raw(freed));
            freed.read_volatile();
        }
    }
}

/// Writes an output.
///
/// # Safety
/// `out` is valid for writing a `T`.
unsafe fn put<T>(out: *mut T, value: T) {
    // SAFETY: the caller's promise; no alignment is asked of a foreign pointer.
    unsafe { out.write_unaligned(value) };
}
