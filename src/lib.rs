//! ptpbmca: what time it is on the speaker you play to.

pub mod association;
pub mod election;
pub mod estimator;
pub mod latch;
pub mod time;
pub mod timeline;
pub mod wire;
