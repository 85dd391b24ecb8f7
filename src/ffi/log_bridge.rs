//! From the `log` facade to the host's callback.

use std::cell::Cell;
use std::ffi::CString;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use super::calls::UserData;
use super::types::{
    ptpbmca_log_callback, ptpbmca_log_level, ptpbmca_result, PTPBMCA_ERR_INVALID_ARGUMENT,
    PTPBMCA_ERR_WOULD_DEADLOCK, PTPBMCA_LOG_DEBUG, PTPBMCA_LOG_ERROR, PTPBMCA_LOG_INFO, PTPBMCA_LOG_OFF,
    PTPBMCA_LOG_TRACE, PTPBMCA_LOG_WARN, PTPBMCA_OK,
};

struct Bridge(Mutex<(ptpbmca_log_callback, UserData)>);

static BRIDGE: Bridge = Bridge(Mutex::new((None, UserData(std::ptr::null_mut()))));

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Replaces the callback; waits for the former one to return.
pub fn set(
    callback: ptpbmca_log_callback,
    user_data: UserData,
    max_level: ptpbmca_log_level,
) -> ptpbmca_result {
    let filter = match max_level {
        PTPBMCA_LOG_OFF => LevelFilter::Off,
        PTPBMCA_LOG_ERROR => LevelFilter::Error,
        PTPBMCA_LOG_WARN => LevelFilter::Warn,
        PTPBMCA_LOG_INFO => LevelFilter::Info,
        PTPBMCA_LOG_DEBUG => LevelFilter::Debug,
        PTPBMCA_LOG_TRACE => LevelFilter::Trace,
        _ => return PTPBMCA_ERR_INVALID_ARGUMENT,
    };
    if IN_CALLBACK.get() {
        return PTPBMCA_ERR_WOULD_DEADLOCK;
    }
    let mut current = BRIDGE.0.lock();
    // The facade takes one logger for good. Where it is not this one, it is the host's, who has the log already.
    let _ = log::set_logger(&BRIDGE);
    if !std::ptr::addr_eq(log::logger(), &raw const BRIDGE) {
        return PTPBMCA_ERR_INVALID_ARGUMENT;
    }
    let on = callback.filter(|_| filter != LevelFilter::Off);
    *current = (on, user_data);
    log::set_max_level(if on.is_some() { filter } else { LevelFilter::Off });
    PTPBMCA_OK
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("ptpbmca")
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) || IN_CALLBACK.get() {
            return;
        }
        let level = match record.level() {
            Level::Error => PTPBMCA_LOG_ERROR,
            Level::Warn => PTPBMCA_LOG_WARN,
            Level::Info => PTPBMCA_LOG_INFO,
            Level::Debug => PTPBMCA_LOG_DEBUG,
            Level::Trace => PTPBMCA_LOG_TRACE,
        };
        // No message has a zero in it; one that had would be dropped.
        let Ok(message) = CString::new(record.args().to_string()) else { return };
        let current = self.0.lock();
        if let (Some(callback), user_data) = *current {
            IN_CALLBACK.set(true);
            // SAFETY: the host gave this function for such calls, until it is replaced, which waits for the lock.
            unsafe { callback(user_data.0, level, message.as_ptr()) };
            IN_CALLBACK.set(false);
        }
    }

    fn flush(&self) {}
}
