//! Bugs planted for the controls: a check that cannot fail shows nothing.
//!
//! `tests/controls.sh` builds with `--cfg planted`, names one bug at a time in `PTPBMCA_PLANTED`, and runs the check that
//! must find it. Without that cfg [`bug`] is a constant `false`, and the code behind it is not compiled in.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;

/// Whether the bug `name` is planted in this run. The names stand in `tests/controls.txt`.
#[cfg(not(planted))]
#[inline(always)]
#[allow(dead_code)] // A room may plant its bugs in one system's code alone.
pub(crate) const fn bug(_name: &str) -> bool {
    false
}

/// Whether the bug `name` is planted in this run.
#[cfg(planted)]
pub(crate) fn bug(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("PTPBMCA_PLANTED").unwrap_or_default()) == name
}

/// `ordering`, or none at all if the bug `name` is planted: what a memory ordering is good for shows when it is missing.
#[cfg(not(planted))]
#[inline(always)]
#[allow(dead_code)] // A crate that shares this file may not share those who call it.
pub(crate) const fn unless_relaxed(_name: &str, ordering: Ordering) -> Ordering {
    ordering
}

/// `ordering`, or none at all if the bug `name` is planted.
#[cfg(planted)]
#[allow(dead_code)]
pub(crate) fn unless_relaxed(name: &str, ordering: Ordering) -> Ordering {
    if bug(name) {
        Ordering::Relaxed
    } else {
        ordering
    }
}
