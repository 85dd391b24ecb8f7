//! The cursor messages are read with, and the one they are written with; neither can leave its bytes.
#![forbid(unsafe_code)]

use super::encode::{Encoded, MAX_MESSAGE};
use super::tlv::TLV_HEADER_LEN;
use super::{ClockIdentity, PortIdentity};
use crate::time::Timestamp;

/// Reads big-endian fields off the front of a slice; `None` once it is exhausted.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn timestamp(&mut self) -> Option<Timestamp> {
        let [a, b, c, d, e, f] = self.array()?;
        let seconds = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Some(Timestamp { seconds, nanoseconds: self.u32()? })
    }

    pub fn clock(&mut self) -> Option<ClockIdentity> {
        self.array().map(u64::from_be_bytes).map(ClockIdentity)
    }

    pub fn port(&mut self) -> Option<PortIdentity> {
        Some(PortIdentity { clock: self.clock()?, port: self.u16()? })
    }
}

/// Appends fields to a message of at most [`MAX_MESSAGE`] bytes. What does not fit is left out as a whole.
pub(super) struct Writer {
    bytes: [u8; MAX_MESSAGE],
    len: usize,
}

/// Where messageLength stands in the header.
const LENGTH_OFFSET: usize = 2;

impl Writer {
    pub const fn new() -> Self {
        Self { bytes: [0; MAX_MESSAGE], len: 0 }
    }

    pub fn put(&mut self, field: &[u8]) {
        self.put_at(self.len, field);
    }

    pub fn timestamp(&mut self, timestamp: Timestamp) {
        // The wire has 48 bits of seconds; a time of this library always fits them.
        let [_, _, seconds @ ..] = timestamp.seconds.to_be_bytes();
        self.put(&seconds);
        self.put(&timestamp.nanoseconds.to_be_bytes());
    }

    pub fn clock(&mut self, clock: ClockIdentity) {
        self.put(&clock.0.to_be_bytes());
    }

    pub fn port(&mut self, port: PortIdentity) {
        self.clock(port.clock);
        self.put(&port.port.to_be_bytes());
    }

    /// Appends what `write` writes as one TLV, or nothing of it where it does not fit whole.
    pub fn tlv(&mut self, kind: u16, len: usize, write: impl FnOnce(&mut Self)) {
        let Ok(length_field) = u16::try_from(len) else { return };
        if len.saturating_add(self.len).saturating_add(TLV_HEADER_LEN) > MAX_MESSAGE {
            return;
        }
        self.put(&kind.to_be_bytes());
        self.put(&length_field.to_be_bytes());
        write(self);
    }

    /// The message, its messageLength filled in.
    pub fn finish(mut self) -> Encoded {
        let len = self.len;
        // At most 128: the conversion does not fail.
        self.put_at(LENGTH_OFFSET, &u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        Encoded::new(self.bytes, len)
    }

    fn put_at(&mut self, at: usize, field: &[u8]) {
        let end = at.saturating_add(field.len());
        if let Some(place) = self.bytes.get_mut(at..end) {
            place.copy_from_slice(field);
            self.len = self.len.max(end);
        }
    }
}
