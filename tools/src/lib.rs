//! What the replay example and the benches share.

pub mod bench;
pub mod peers;
pub mod replay;
pub mod traces;
