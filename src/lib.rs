//! ptpbmca: what time it is on the speaker you play to.

pub mod election;
pub mod estimator;
pub mod time;
pub mod wire;
