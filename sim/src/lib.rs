//! A simulated AirPlay 2 receiver: the PTP clock of a HomePod over real sockets, for ptpbmca's demo and tests.
//!
//! [`Core`] is the receiver without sockets, in virtual time: packets in, packets out, its clock's truth beside them.
//! [`Receiver`] is one on real sockets, [`Fleet`] many of them on one thread.

mod behaviour;
mod clock;
mod config;

mod counters;
pub mod edge;
mod fleet;
mod hear;
mod line;
mod link;
mod messages;
mod peer;
pub mod program;
mod random;

pub use behaviour::{Core, Transmit};
pub use clock::{Clock, Reading, Segment};
pub use config::{
    Announcing, Command, Config, DelayResp, Host, Serving, HOMEPOD_CORRECTION_NS,
    HOMEPOD_DELAY_RESP_LATENCY_NS, HOMEPOD_PRIORITY1, HOMEPOD_UPTIME_S,
};
pub use counters::Counters;
pub use fleet::{Fleet, Handle, Receiver, Sink};
pub use hear::Arrival;
pub use line::{Event, Line};
pub use link::Impairments;
pub use peer::Pair;

#[cfg(test)]
mod tests;
