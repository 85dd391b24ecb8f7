//! Loom's atomics, with what the models need beside: a thread may be stopped for ever at any store, and loads are counted.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

pub use loom::sync::atomic::{fence, AtomicBool, Ordering};

loom::thread_local! {
    /// Stores that the thread may still make before it stops for ever.
    static STORES_LEFT: Cell<u32> = Cell::new(u32::MAX);
    static LOADS: Cell<u32> = Cell::new(0);
}

/// As the standard library's.
#[derive(Debug)]
pub struct AtomicU64(loom::sync::atomic::AtomicU64);

struct Stopped;

/// Runs `work` until the thread has made so many stores, and no further: what a thread looks like to others that was
/// killed, or is never scheduled again.
pub fn stopped_after(stores: u32, work: impl FnOnce()) {
    STORES_LEFT.with(|left| left.set(stores));
    if let Err(cause) = catch_unwind(AssertUnwindSafe(work)) {
        if !cause.is::<Stopped>() {
            resume_unwind(cause);
        }
    }
    STORES_LEFT.with(|left| left.set(u32::MAX));
}

/// How many loads of 64 bits `work` makes on this thread.
pub fn loads<T>(work: impl FnOnce() -> T) -> (T, u32) {
    let before = LOADS.with(Cell::get);
    let result = work();
    (result, LOADS.with(Cell::get) - before)
}

impl AtomicU64 {
    #[allow(clippy::new_without_default, missing_docs)]
    pub fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    /// As the standard library's.
    #[track_caller]
    pub fn load(&self, ordering: Ordering) -> u64 {
        LOADS.with(|loads| loads.set(loads.get() + 1));
        self.0.load(ordering)
    }

    /// As the standard library's, unless the thread's stores are used up.
    #[track_caller]
    pub fn store(&self, value: u64, ordering: Ordering) {
        let left = STORES_LEFT.with(Cell::get);
        if left == 0 {
            resume_unwind(Box::new(Stopped));
        }
        STORES_LEFT.with(|place| place.set(if left == u32::MAX { left } else { left - 1 }));
        self.0.store(value, ordering);
    }

    /// As the standard library's.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, success, failure)
    }
}
