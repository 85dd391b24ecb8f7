//! Counts the edges of the control flow that an input takes: a slow input is one that takes too many, on any machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Edges taken so far, by all threads: where two count at once, one of them may be lost.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// At so many the input is too slow.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// The compiler calls this at each edge (`-sanitizer-coverage-trace-pc`).
#[cfg(count_edges)]
#[no_mangle]
extern "C" fn __sanitizer_cov_trace_pc() {
    // Two steps and no atomic addition: this runs at every edge.
    let taken = TAKEN.load(Ordering::Relaxed).wrapping_add(1);
    TAKEN.store(taken, Ordering::Relaxed);
    if taken >= LIMIT.load(Ordering::Relaxed) {
        too_many();
    }
}

#[cfg(count_edges)]
#[cold]
fn too_many() {
    // What follows takes edges as well.
    LIMIT.store(u64::MAX, Ordering::Relaxed);
    eprintln!("slow input: more edges than its length allows");
    std::process::abort();
}

/// The edges taken so far.
pub fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Tries an input, which ends the process if it takes more than `most` edges.
pub fn within<T>(most: u64, input: impl FnOnce() -> T) -> T {
    let before = taken();
    LIMIT.store(before.saturating_add(most), Ordering::Relaxed);
    let outcome = input();
    LIMIT.store(u64::MAX, Ordering::Relaxed);
    if std::env::var_os("FUZZ_EDGES").is_some() {
        eprintln!("{} edges of at most {most}", taken() - before);
    }
    outcome
}
