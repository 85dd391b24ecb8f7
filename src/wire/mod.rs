//! Bytes to messages and back.
#![forbid(unsafe_code)]
