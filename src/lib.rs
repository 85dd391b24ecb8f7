//! ptpbmca: what time it is on the speaker you play to.

pub mod association;
mod config;
pub mod election;
mod engine;
mod error;
pub mod estimator;
pub mod ffi;
pub mod latch;
mod session;
pub mod time;
pub mod timeline;
pub mod wire;

pub use config::{Config, LocalClock, EVENT_PORT, GENERAL_PORT};
pub use engine::{Event, Status};
pub use error::{Error, ErrorKind, Result};
pub use session::{Anchor, ClockOffset, Session, MAX_SESSIONS, SLOT_BYTES};
