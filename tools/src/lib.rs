//! What the replay example and the benches share.

pub mod replay;
pub mod traces;
