//! The library's log: on standard error, or kept for the screen.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// Lines kept for the screen: more than it has room for.
const KEPT: usize = 32;

struct Printed;

struct Kept(Mutex<VecDeque<String>>);

static PRINTED: Printed = Printed;
static SCREEN: Kept = Kept(Mutex::new(VecDeque::new()));

impl Log for Printed {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if record.target().starts_with("ptpbmca") {
            eprintln!("{}", record.args());
        }
    }

    fn flush(&self) {}
}

impl Log for Kept {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if record.target().starts_with("ptpbmca") {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push_back(record.args().to_string());
            if lines.len() > KEPT {
                lines.pop_front();
            }
        }
    }

    fn flush(&self) {}
}

/// The log goes to standard error.
pub fn print() {
    let _ = log::set_logger(&PRINTED);
    log::set_max_level(LevelFilter::Debug);
}

/// The log is kept for [`take`].
pub fn keep() {
    let _ = log::set_logger(&SCREEN);
    log::set_max_level(LevelFilter::Info);
}

/// The lines since the last call.
pub fn take() -> Vec<String> {
    SCREEN.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
}
