//! How a model is run: every execution within a bound on preemptions, counted.
//!
//! In a model, who writes comes first: the main thread, then the others in the order they are spawned. Loom runs them so
//! at first and then looks for accesses to exchange; of each cell it remembers the last access only, so that a thread's
//! own load just before its store hides that another one's load could come after that store. The other way round, a
//! load that comes after a store, it forgets nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Runs `model` in every order in which threads are preempted at most `preemptions` times in all, and with every value
/// that the memory model lets each load return, which is not bounded. Prints how many executions that were.
pub fn check(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(preemptions);
    }
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("loom: {name}: {} executions", executions.load(Ordering::Relaxed));
}
