//! An input as a file for `replay`: a trace, a capture, or neither. Or as a script of a session, of which a capture is made
//! that is sound but for what the script wants otherwise.
#![no_main]

#[allow(dead_code, missing_docs)] // The program around the readers is not run.
#[path = "../../tools/src/replay/mod.rs"]
mod replay;

use std::io::{BufReader, Read};

use libfuzzer_sys::fuzz_target;
use ptpbmca::election::Advertisement;
use ptpbmca::time::{Correction, PtpTime, Timestamp};
use ptpbmca::wire::compose::{Sender, PORT_NUMBER};
use ptpbmca::wire::{self, Body, ClockIdentity, Message, PortIdentity};
use ptpbmca_fuzz::cursor::Cursor;
use ptpbmca_fuzz::{edges, memory};

/// Edges around the rows, of a picture, and what each byte of a file may lead to; ten times what was measured.
const EDGES: u64 = 200_000;
const EDGES_OF_PICTURE: u64 = 3_000_000;
const EDGES_PER_BYTE: u64 = 2_000;

/// Bytes of heap at the end of a run, apart from what is kept of it: the reader's largest block and the estimators.
const MEMORY: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 1_000;

/// Notes at most: a hundred of malformed lines, of changes, and what is told once.
const MAX_NOTES: usize = 250;

const RECEIVER: Sender = Sender {
    identity: PortIdentity { clock: ClockIdentity(0x1414_7de8_5498_0008), port: 0x8075 },
    domain: 0,
    major_sdo_id: 1,
};
const SENDER: Sender = Sender {
    identity: PortIdentity { clock: ClockIdentity(0xfe6b_3a00_f840_0008), port: PORT_NUMBER },
    domain: 0,
    major_sdo_id: 1,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    memory::nothing_kept(|| run(*flags, bytes));
});

fn run(flags: u8, bytes: &[u8]) {
    let before = memory::live();
    let file = if flags & 8 == 0 { bytes.to_vec() } else { capture(&mut Cursor(bytes)) };
    let picture = flags & 1 != 0;
    let address = |last| std::net::IpAddr::from([10, 0, 0, last]);
    let options = replay::Options {
        input: "-".into(),
        csv: None,
        plot: picture.then(|| "picture".into()),
        sender: if flags & 2 == 0 { vec![] } else { vec![address(2)] },
        receiver: if flags & 4 == 0 { vec![] } else { vec![address(9), address(7)] },
        event_port: 319,
        general_port: 320,
    };
    let most = EDGES + EDGES_PER_BYTE * file.len() as u64 + if picture { EDGES_OF_PICTURE } else { 0 };
    let input = BufReader::new(Bits { bytes: &file, at_once: if flags & 16 == 0 { usize::MAX } else { 7 } });
    let (mut csv, mut notes) = (Vec::new(), Vec::new());
    let drawn = edges::within(most, || replay::run(&options, input, Some(Box::new(&mut csv)), &mut notes));
    assert!(memory::live() <= before + MEMORY + MEMORY_PER_BYTE * file.len());
    assert_eq!(drawn.expect("memory can be written").is_some(), picture);
    let (csv, notes) = (String::from_utf8(csv).expect("text"), String::from_utf8(notes).expect("text"));
    // No more estimates than pairs, of which the shortest is a row of text: "1,2,3,4" and the end of the line.
    assert!(csv.lines().count() <= 2 + file.len() / 8);
    for line in csv.lines() {
        assert_eq!(line.split(',').count(), 6, "{line}");
    }
    assert!(notes.lines().count() <= MAX_NOTES, "{} notes", notes.lines().count());
}

/// A file that comes in bits, as from a pipe.
struct Bits<'a> {
    bytes: &'a [u8],
    at_once: usize,
}

impl Read for Bits<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.at_once);
        self.bytes.read(&mut buffer[..most])
    }
}

/// A capture (pcap, nanoseconds, raw IPv4) of the session that the script tells.
fn capture(script: &mut Cursor) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(field.to_le_bytes());
    }
    let mut now = 1_790_000_000_000_000_000_u64;
    let (mut sequence, mut left, mut offset, mut jump) = (0_u16, now, 0_i64, 0_i64);
    for _ in 0..300 {
        if script.is_empty() {
            break;
        }
        let byte = script.u8();
        now += match byte >> 6 {
            0 => 0,
            1 => 1_000_000,
            2 => 125_000_000,
            _ => u64::from(script.u16()) * 1_000_000,
        };
        let clock = |at: u64| Timestamp::from(PtpTime::clamped(i128::from(at) + i128::from(offset)));
        let request = SENDER.delay_req(sequence).header;
        let (from, message) = match byte & 15 {
            0..=3 => {
                // A pair, a millisecond on the way, with a request and its answer.
                (sequence, left) = (sequence.wrapping_add(1), now);
                now += 1_000_000;
                record(&mut file, now, 9, &RECEIVER.sync(sequence));
                record(&mut file, now, 9, &RECEIVER.follow_up(sequence, clock(left)));
                let request = SENDER.delay_req(sequence);
                record(&mut file, now, 2, &request);
                let answer = RECEIVER.delay_resp(&request.header, clock(now + 1_000_000));
                now += 2_000_000;
                (9, answer)
            }
            4 => {
                (sequence, left) = (sequence.wrapping_add(1), now);
                (9, RECEIVER.sync(sequence))
            }
            5 => (9, RECEIVER.follow_up(sequence, clock(left))),
            6 => {
                let mut mac = Advertisement::mac(RECEIVER.identity.clock);
                mac.dataset.priority1 = script.u8();
                (9, RECEIVER.announce(sequence, &mac.dataset, mac.time_source, mac.utc_offset))
            }
            7 => (2, SENDER.delay_req(sequence)),
            8 => (9, RECEIVER.delay_resp(&request, clock(now))),
            9 => {
                jump = script.i64() >> (script.u8() & 63);
                (9, RECEIVER.sync(sequence))
            }
            10 => {
                let mut message = RECEIVER.follow_up(sequence, clock(left));
                message.header.correction = Correction::from_scaled(script.i64());
                (9, message)
            }
            11 => (7, RECEIVER.sync(script.u16())),
            12 => {
                now = script.u64() % (1 << 62);
                (2, SENDER.sync(sequence))
            }
            13 => (9, SENDER.signaling_opening(sequence)),
            14 => {
                let mut message = RECEIVER.sync(script.u16());
                message.body = Body::Sync { origin: clock(now) };
                message.header.source.port = script.u16();
                (9, message)
            }
            _ => {
                let bytes = script.slice(usize::from(byte >> 4) * 4).to_vec();
                frame(&mut file, now, 9, &bytes);
                continue;
            }
        };
        record(&mut file, now, from, &message);
        offset = offset.saturating_add(std::mem::take(&mut jump));
    }
    file
}

fn record(file: &mut Vec<u8>, at: u64, from: u8, message: &Message) {
    frame(file, at, from, &wire::encode(message));
}

/// A datagram from or to the sender, 10.0.0.2.
fn frame(file: &mut Vec<u8>, at: u64, from: u8, payload: &[u8]) {
    let length = 28 + payload.len() as u32;
    for field in [(at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32, length, length] {
        file.extend(field.to_le_bytes());
    }
    file.extend([0x45, 0, 0, length as u8, 0, 0, 0, 0, 64, 17, 0, 0]);
    file.extend([10, 0, 0, from, 10, 0, 0, if from == 2 { 9 } else { 2 }]);
    file.extend([1, 0x40, 1, 0x40, 0, 8 + payload.len() as u8, 0, 0]);
    file.extend(payload);
}
