//! The library's lock-free files, the very ones that are shipped, with loom's atomics instead of the processor's.

pub mod atomic;
#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/latch.rs"]
pub mod latch;
#[path = "../../../src/session/lease.rs"]
pub mod lease;
pub mod lock;
pub mod model;
#[path = "../../../src/planted.rs"]
mod planted;
#[path = "../../../src/engine/queue.rs"]
pub mod queue;
