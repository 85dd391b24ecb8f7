//! Packet captures: pcap and pcapng files to frames with their times.
#![forbid(unsafe_code)]

use std::io::{self, Read};

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{create_reader, Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, PcapHeader};
use ptpbmca::time::LocalTime;

/// Bytes read at once.
const BUFFER: usize = 1 << 16;

/// Bytes of the longest block read: no packet is longer, and other blocks (names, statistics) seldom.
const MAX_BLOCK: usize = 1 << 22;

/// Interfaces of one section that are kept; packets of others are left out.
const MAX_INTERFACES: usize = 1_024;

/// First bytes of the formats read, in either byte order: pcap with microseconds, with nanoseconds, pcapng.
const MAGICS: [u32; 5] = [0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1, 0x0a0d_0d0a];

/// Nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured, ns since 1970.
    pub at: LocalTime,
    /// What its bytes begin with: a LINKTYPE number.
    pub link: i32,
    /// The bytes captured, of possibly more.
    pub bytes: &'a [u8],
}

/// How reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Frames without a usable time.
    pub timeless: u64,
    /// What is wrong from where on; the frames before it were read.
    pub damage: Option<String>,
}

/// Whether an input that begins with `head` is a capture.
pub fn is_capture(head: [u8; 4]) -> bool {
    MAGICS.contains(&u32::from_le_bytes(head))
}

/// Fills what it is given as far as the input goes: the parsers take a short read for the whole of a small file.
struct Filling<R>(R);

impl<R: Read> Read for Filling<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What was read counts first; the error comes back with the next read.
                Err(e) if filled == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(filled)
    }
}

/// Reads a capture to its end or its first damage, and hands its frames to `take`.
pub fn read(input: impl Read + Send, mut take: impl FnMut(Frame)) -> Ending {
    let mut ending = Ending { timeless: 0, damage: None };
    let mut reader = match create_reader(BUFFER, Filling(input)) {
        Ok(reader) => reader,
        Err(e) => {
            ending.damage = Some(format!("the capture's header cannot be read: {}", reason(&e)));
            return ending;
        }
    };
    let mut format = Format::default();
    let mut refilled = false;
    let mut room = BUFFER;
    loop {
        let position = reader.consumed();
        let why = match reader.next() {
            Ok((length, block)) => {
                if let Some(frame) = format.frame(&block, &mut ending.timeless) {
                    take(frame);
                }
                reader.consume(length);
                refilled = false;
                continue;
            }
            Err(PcapError::Eof) => return ending,
            Err(PcapError::BufferTooSmall) if room < MAX_BLOCK => {
                room *= 2;
                reader.grow(room);
                refilled = false;
                continue;
            }
            Err(PcapError::Incomplete(_)) if !refilled => None,
            Err(_) if planted("replay-endless-refill") => None,
            Err(e) => Some(reason(&e)),
        };
        // One refill gives all there is room for, or all there is.
        refilled = true;
        let why = match why {
            Some(why) => why,
            None => match reader.refill() {
                Ok(()) => continue,
                Err(e) => reason(&e),
            },
        };
        ending.damage = Some(format!("from byte {position} on: {why}"));
        return ending;
    }
}

/// Whether a bug is planted for the controls: see the library's `src/planted.rs`.
fn planted(name: &str) -> bool {
    cfg!(planted) && std::env::var_os("PTPBMCA_PLANTED").is_some_and(|planted| planted == name)
}

fn reason<T>(error: &PcapError<T>) -> &'static str {
    match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => {
            "cut off, or a length is wrong"
        }
        PcapError::BufferTooSmall => "a block is longer than any packet",
        PcapError::ReadError => "the input cannot be read",
        PcapError::HeaderNotRecognized => "neither pcap nor pcapng",
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "damaged",
    }
}

/// What the blocks so far say of those to come.
#[derive(Default)]
struct Format {
    /// pcap: link type, and nanoseconds per fraction of a second.
    legacy: (i32, i128),
    /// pcapng: the section's interfaces.
    interfaces: Vec<Interface>,
}

struct Interface {
    link: i32,
    /// if_tsresol: ticks per second as a power of ten, or of two where the high bit is set.
    resolution: u8,
    /// if_tsoffset, seconds.
    offset: i64,
}

impl Format {
    /// The frame in a block, if it is one.
    fn frame<'a>(&mut self, block: &'a PcapBlockOwned, timeless: &mut u64) -> Option<Frame<'a>> {
        let (at, link, bytes) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.legacy = legacy(header);
                return None;
            }
            PcapBlockOwned::Legacy(packet) => {
                let (link, fraction) = self.legacy;
                let at = i128::from(packet.ts_sec) * SECOND + i128::from(packet.ts_usec) * fraction;
                (Some(at), link, packet.data)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                return None;
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                if self.interfaces.len() < MAX_INTERFACES {
                    self.interfaces.push(interface(block));
                }
                return None;
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.interfaces.get(usize::try_from(packet.if_id).ok()?)?;
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                (interface.time(ticks), interface.link, packet.packet_data())
            }
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                *timeless += 1;
                return None;
            }
            PcapBlockOwned::NG(_) => return None,
        };
        let Some(at) = at.and_then(|at| i64::try_from(at).ok()).map(LocalTime::from_nanos) else {
            *timeless += 1;
            return None;
        };
        Some(Frame { at, link, bytes })
    }
}

fn legacy(header: &PcapHeader) -> (i32, i128) {
    /// The upper half of the field tells of checksums.
    const LINK_BITS: i32 = 0xffff;
    let fraction = if header.is_nanosecond_precision() { 1 } else { 1_000 };
    (header.network.0 & LINK_BITS, fraction)
}

fn interface(block: &InterfaceDescriptionBlock) -> Interface {
    const LITTLE_ENDIAN: u32 = 1;
    // The parser reads the offset as little-endian in either order.
    let offset =
        if block.block_type == LITTLE_ENDIAN { block.if_tsoffset } else { block.if_tsoffset.swap_bytes() };
    Interface { link: block.linktype.0, resolution: block.if_tsresol, offset }
}

impl Interface {
    /// Nanoseconds since 1970; nothing for a resolution finer than any clock's.
    fn time(&self, ticks: u64) -> Option<i128> {
        /// Set: the resolution is a power of two.
        const BINARY: u8 = 0x80;
        let ticks = i128::from(ticks) * SECOND;
        let power = u32::from(self.resolution & !BINARY);
        let nanos = if self.resolution & BINARY != 0 {
            ticks >> power
        } else {
            ticks / 10_i128.checked_pow(power)?
        };
        Some(nanos + i128::from(self.offset) * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(resolution: u8, offset: i64, ticks: u64) -> Option<i128> {
        Interface { link: 1, resolution, offset }.time(ticks)
    }

    #[test]
    fn ticks_of_any_resolution_are_nanoseconds() {
        assert_eq!(at(6, 0, 1_790_000_000_123_456), Some(1_790_000_000_123_456_000));
        assert_eq!(at(9, 10, 1_790_000_000_123_456_789), Some(1_790_000_010_123_456_789));
        assert_eq!(at(12, 0, 5_000), Some(5));
        assert_eq!(at(0x80 | 10, 0, 1_024 + 512), Some(1_500_000_000));
        assert_eq!(at(0xff, 0, u64::MAX), Some(0));
        assert_eq!(at(0x7f, 0, u64::MAX), None);
    }

    #[test]
    fn captures_are_told_from_text() {
        assert!(is_capture([0xd4, 0xc3, 0xb2, 0xa1]) && is_capture([0xa1, 0xb2, 0x3c, 0x4d]));
        assert!(is_capture([0x0a, 0x0d, 0x0d, 0x0a]));
        assert!(!is_capture(*b"seq,") && !is_capture(*b"\n\r\n1"));
    }
}
