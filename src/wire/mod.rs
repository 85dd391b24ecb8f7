//! Bytes to messages and back: total functions that allocate nothing and can't panic on any input.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod bytes;
pub mod compose;
mod decode;
mod encode;
mod header;
#[cfg(test)]
mod hostile;
mod identity;
mod message;
mod tlv;
#[cfg(test)]
mod vectors;

pub use decode::{decode, DecodeError};
pub use encode::{encode, Encoded, MAX_MESSAGE};
pub use header::{flags, Header, MessageType};
pub use identity::{ClockIdentity, PortIdentity};
pub use message::{Announce, Body, ClockQuality, DataSet, Message};
pub use tlv::{FollowUpInformation, MessageIntervalRequest, PathTrace, Tlv, Tlvs};
