//! ptpbmca: what time it is on the speaker you play to.
//!
//! Speaks PTP with an AirPlay 2 receiver, follows its clock or leads, and turns local time into receiver time for any
//! thread, an audio thread included. Rust programs start with [`Session`]; C programs with `include/ptpbmca.h`.
//!
//! ```no_run
//! let session = ptpbmca::Session::start("10.0.0.7", &ptpbmca::Config::default())?;
//! if session.await_sync(5_000).is_ok() {
//!     println!("the speaker's clock reads {:?} ns", session.receiver_now());
//! }
//! # Ok::<(), ptpbmca::Error>(())
//! ```
//!
//! A packet's way: `engine` receives it with the kernel's timestamp and finds the [`association`]; [`wire`] reads it; the
//! association pairs it into a measurement, or changes role by the [`election`]; the [`estimator`] turns measurements into a
//! line; the [`timeline`] is stored in the session's [`latch`]; any thread reads it through `session`, and C through
//! [`ffi`]. From [`time`] to `latch`, the inner rooms know no socket, thread, clock or `unsafe`.

// Built for RealtimeSanitizer (tests/realtime), the realtime-safe calls say that they are.
#![cfg_attr(rtsan, feature(sanitize))]

pub mod association;
mod config;
pub mod election;
mod engine;
mod error;
pub mod estimator;
pub mod ffi;
pub mod latch;
pub(crate) mod planted;
mod session;
pub mod time;
pub mod timeline;
pub mod wire;

pub use config::{Config, LocalClock, EVENT_PORT, GENERAL_PORT};
pub use engine::{Event, Status};
pub use error::{Error, ErrorKind, Result};
pub use session::{Anchor, ClockOffset, Session, MAX_SESSIONS, SLOT_BYTES};
