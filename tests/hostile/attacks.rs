//! What is sent at the library: each attack makes one packet after the other.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use ptpbmca::association::Refusal;
use ptpbmca::time::{Correction, Timestamp};
use ptpbmca::wire::{
    encode, Announce, Body, ClockIdentity, ClockQuality, DataSet, FollowUpInformation, Header, Message,
    PortIdentity,
};
use Refusal::{Duplicate, Flood, Identity, Length, Outlier, Short, Tlv, Type, Unmatched, Version};

use crate::flood::Packet;

/// Another clock than the receiver.
const STRANGER: u64 = 0x0666_0000_0666_0008;

/// portNumber of the simulated receiver, and ours (field guide 1.12).
const RECEIVER_PORT: u16 = 0x8075;
const OUR_PORT: u16 = 0x8005;

/// A datagram larger than any network's frame.
const JUMBO: usize = 9_000;

/// Who sends it, as far as the library can see.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// An address of no session.
    Elsewhere,
    /// The receiver's own address.
    Receiver,
}

/// What is expected of an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Lock is kept, and the error as well.
    Unmoved,
    /// The protocol allows it to do harm: nothing is silently wrong, and it ends with the attack.
    Honest,
}

/// What an attacker knows.
#[derive(Clone)]
pub struct Knowledge {
    /// clockIdentity of the receiver.
    pub receiver: u64,
    /// Ours.
    pub ours: u64,
    /// The sequenceId of the receiver's last Sync, as it comes.
    pub sequence: Arc<AtomicU16>,
    /// What the receiver sent until now.
    pub recorded: Arc<Mutex<Vec<Packet>>>,
    /// What the receiver's clock reads, in seconds.
    pub seconds: u64,
}

/// Makes the packets of one attack.
pub type Maker = Box<dyn FnMut(&mut Packet) + Send>;

/// One attack.
pub struct Attack {
    pub name: &'static str,
    pub from: From,
    pub expect: Expect,
    /// Reasons of which each must have been counted; of none where the sender's address is refused.
    pub counted: &'static [Refusal],
    pub make: fn(Knowledge) -> Maker,
}

/// All attacks.
pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "garbage-elsewhere",
        from: From::Elsewhere,
        expect: Expect::Unmoved,
        counted: &[],
        make: garbage,
    },
    Attack {
        name: "spoofed-elsewhere",
        from: From::Elsewhere,
        expect: Expect::Unmoved,
        counted: &[],
        make: spoofed,
    },
    Attack {
        name: "jumbo-elsewhere",
        from: From::Elsewhere,
        expect: Expect::Unmoved,
        counted: &[],
        make: jumbo,
    },
    Attack {
        name: "garbage",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Short, Version, Length, Type],
        make: garbage,
    },
    Attack {
        name: "other-identity",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Identity],
        make: stranger,
    },
    Attack {
        name: "requests",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Flood],
        make: requests,
    },
    Attack { name: "jumbo", from: From::Receiver, expect: Expect::Unmoved, counted: &[Length], make: jumbo },
    Attack {
        name: "tlv-bombs",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Tlv, Flood],
        make: tlvs,
    },
    Attack {
        name: "replays",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Duplicate, Flood],
        make: replays,
    },
    Attack {
        name: "absurd-times",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Refusal::Timestamp, Outlier, Duplicate],
        make: absurd,
    },
    Attack {
        name: "sequence-ids",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Duplicate, Unmatched],
        make: sequences,
    },
    Attack {
        name: "corrections",
        from: From::Receiver,
        expect: Expect::Unmoved,
        counted: &[Refusal::Timestamp, Outlier],
        make: corrections,
    },
    Attack {
        name: "impersonation",
        from: From::Receiver,
        expect: Expect::Honest,
        counted: &[Flood],
        make: impersonation,
    },
];

/// A small generator of our own (Steele, Lea and Flood's SplitMix64): the same packets each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A message of the clock `identity`, as the simulated receiver sends it.
fn message(identity: u64, sequence_id: u16, correction: i64, body: Body) -> Message {
    let header = Header {
        major_sdo_id: 1,
        minor_version: 0,
        domain: 0,
        flags: 0x0408,
        correction: Correction::from_scaled(correction),
        source: PortIdentity { clock: ClockIdentity(identity), port: RECEIVER_PORT },
        sequence_id,
        control: 0,
        log_interval: -3,
    };
    Message { header, body }
}

fn put(packet: &mut Packet, message: &Message) {
    packet.general =
        !matches!(message.body, Body::Sync { .. } | Body::DelayReq { .. } | Body::PdelayReq { .. });
    packet.bytes.clear();
    packet.bytes.extend_from_slice(&encode(message));
}

fn follow_up(seconds: u64, nanoseconds: u32, timeline: u64) -> Body {
    Body::FollowUp {
        precise_origin: Timestamp { seconds, nanoseconds },
        information: Some(FollowUpInformation::default()),
        apple_clock: Some(ClockIdentity(timeline)),
    }
}

fn announce(grandmaster: u64, priority1: u8) -> Body {
    Body::Announce(Announce {
        origin: Timestamp::default(),
        utc_offset: 37,
        dataset: DataSet {
            priority1,
            quality: ClockQuality { class: 6, accuracy: 0x21, variance: 0x436a },
            priority2: 1,
            grandmaster: ClockIdentity(grandmaster),
            steps_removed: 0,
        },
        time_source: 0x20,
        path_trace: None,
    })
}

/// A Delay_Req.
pub fn delay_req() -> Vec<u8> {
    encode(&message(STRANGER, 1, 0, Body::DelayReq { origin: Timestamp::default() })).to_vec()
}

/// Noise of any length, and noise that begins like PTP.
fn garbage(_: Knowledge) -> Maker {
    let mut random = Random(1);
    Box::new(move |packet| {
        packet.general = random.next() % 2 == 0;
        let length = random.next() % 200;
        packet.bytes.clear();
        while (packet.bytes.len() as u64) < length {
            packet.bytes.extend_from_slice(&random.next().to_be_bytes());
        }
        if let ([kind, version, ..], 0) = (&mut packet.bytes[..], random.next() % 2) {
            (*kind, *version) = (0x10 | (*kind & 0x0f), 0x02);
        }
    })
}

/// The four messages that tell time, of a better clock that is seven seconds off.
fn of_clock(identity: u64, know: &Knowledge) -> Maker {
    let know = know.clone();
    let mut number = 0_u32;
    Box::new(move |packet| {
        let live = know.sequence.load(Ordering::Relaxed);
        number = number.wrapping_add(1);
        let sequence = live.wrapping_add((number / 4 % 8) as u16).wrapping_sub(2);
        let body = match number % 4 {
            0 => Body::Sync { origin: Timestamp::default() },
            1 => follow_up(know.seconds + 7, number % 1_000_000_000, identity),
            2 => announce(identity, 1),
            _ => Body::DelayResp {
                receive: Timestamp { seconds: know.seconds + 7, nanoseconds: 5 },
                requesting: PortIdentity { clock: ClockIdentity(know.ours), port: OUR_PORT },
            },
        };
        put(packet, &message(identity, sequence, 0, body));
    })
}

/// Under the receiver's name.
fn spoofed(know: Knowledge) -> Maker {
    of_clock(know.receiver, &know)
}

/// Under another one.
fn stranger(know: Knowledge) -> Maker {
    of_clock(STRANGER, &know)
}

/// Everything that asks for an answer.
fn requests(_: Knowledge) -> Maker {
    let mut number = 0_u32;
    let mut unicast = Vec::new();
    for kind in [0x00, 0xb0, 0x90] {
        unicast.extend_from_slice(&[0, 4, 0, 6, kind, 0xfd, 0, 0, 1, 44]);
    }
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let sequence = number as u16;
        match number % 3 {
            0 => {
                put(packet, &message(STRANGER, sequence, 0, Body::DelayReq { origin: Timestamp::default() }))
            }
            1 => {
                put(packet, &message(STRANGER, sequence, 0, Body::PdelayReq { origin: Timestamp::default() }))
            }
            _ => signaling(packet, STRANGER, sequence, &unicast),
        }
    })
}

/// A Signaling with these bytes as its TLVs.
fn signaling(packet: &mut Packet, identity: u64, sequence: u16, tlvs: &[u8]) {
    put(packet, &message(identity, sequence, 0, Body::Sync { origin: Timestamp::default() }));
    packet.general = true;
    packet.bytes[0] = 0x1c;
    packet.bytes.extend_from_slice(tlvs);
    let length = packet.bytes.len() as u16;
    packet.bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Datagrams of 9,000 bytes that begin like messages of the receiver, and say so long they are.
fn jumbo(know: Knowledge) -> Maker {
    let mut inner = of_clock(know.receiver, &know);
    Box::new(move |packet| {
        inner(packet);
        packet.bytes.resize(JUMBO, 0xff);
        packet.bytes[2..4].copy_from_slice(&(JUMBO as u16).to_be_bytes());
    })
}

/// As many TLVs as fit, TLVs that run past the end, an Announce that passed two hundred clocks.
fn tlvs(know: Knowledge) -> Maker {
    let mut number = 0_u32;
    let requests: Vec<u8> = [0, 4, 0, 6, 0x00, 0xfd, 0, 0, 1, 44].repeat(190);
    let empty: Vec<u8> = [0, 3, 0, 0].repeat(480);
    let past: Vec<u8> = [0, 3, 0xff, 0xff].repeat(480);
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let sequence = number as u16;
        match number % 4 {
            0 => signaling(packet, STRANGER, sequence, &requests),
            1 => signaling(packet, STRANGER, sequence, &empty),
            2 => signaling(packet, STRANGER, sequence, &past),
            _ => {
                put(packet, &message(STRANGER, sequence, 0, announce(STRANGER, 1)));
                packet.bytes.extend_from_slice(&[0, 8, 0x07, 0x80]);
                packet.bytes.extend((0..0x780_u16).map(|n| n as u8));
                let length = packet.bytes.len() as u16;
                packet.bytes[2..4].copy_from_slice(&length.to_be_bytes());
            }
        }
        let _ = &know;
    })
}

/// What the receiver itself sent, until two seconds ago, over and over.
fn replays(know: Knowledge) -> Maker {
    let recorded = know.recorded.lock().unwrap().clone();
    // Eight rounds a second of two messages; Announces and answers on top.
    let old = recorded.len().saturating_sub(50).max(1);
    let mut number = 0;
    Box::new(move |packet| {
        packet.clone_from(&recorded[number % old]);
        number += 1;
    })
}

/// Follow_Ups for the Syncs of now with times that no clock reads, or not this one.
fn absurd(know: Knowledge) -> Maker {
    let mut number = 0_u32;
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let live = know.sequence.load(Ordering::Relaxed);
        let sequence = live.wrapping_add((number % 8) as u16).wrapping_sub(2);
        let most = (1 << 48) - 1;
        let (seconds, nanoseconds) = match number / 8 % 8 {
            0 => (know.seconds, 1_000_000_000),
            1 => (know.seconds, u32::MAX),
            2 => (most, 999_999_999),
            3 => (0, 0),
            4 => (most, u32::MAX),
            5 => (know.seconds + 3_600, 0),
            6 => (know.seconds.saturating_sub(3_600), 0),
            _ => (know.seconds + 60, number % 1_000_000_000),
        };
        let body = follow_up(seconds, nanoseconds, know.receiver);
        put(packet, &message(know.receiver, sequence, 0, body));
    })
}

/// Syncs and Follow_Ups of every sequenceId there is, forwards and in leaps.
fn sequences(know: Knowledge) -> Maker {
    let (mut random, mut number) = (Random(2), 0_u32);
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let sequence = match number / 2 % 3 {
            0 => (number / 6) as u16,
            1 => random.next() as u16,
            _ => know.sequence.load(Ordering::Relaxed).wrapping_sub((number / 6 % 50) as u16),
        };
        let body = match number % 2 {
            0 => Body::Sync { origin: Timestamp::default() },
            _ => follow_up(know.seconds + 7, 0, know.receiver),
        };
        // The Sync that is on its way at this very moment is what `impersonation` is about.
        let live = know.sequence.load(Ordering::Relaxed);
        let sequence =
            if (live..live.wrapping_add(2)).contains(&sequence) { sequence ^ 0x8000 } else { sequence };
        put(packet, &message(know.receiver, sequence, 0, body));
    })
}

/// Corrections at the limits of what can be written: Follow_Ups for the Syncs of now, Delay_Resp, Syncs of any id.
fn corrections(know: Knowledge) -> Maker {
    let mut number = 0_u32;
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let correction = [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 1 << 62, -(1 << 62)];
        let correction = correction[(number / 3 % 6) as usize];
        let live = know.sequence.load(Ordering::Relaxed);
        let near = live.wrapping_add((number / 18 % 4) as u16).wrapping_sub(1);
        let (sequence, body) = match number % 3 {
            0 => (near, follow_up(know.seconds, 0, know.receiver)),
            1 => (number as u16 | 0x8000, Body::Sync { origin: Timestamp::default() }),
            _ => {
                let receive = Timestamp { seconds: know.seconds, nanoseconds: 0 };
                let requesting = PortIdentity { clock: ClockIdentity(know.ours), port: OUR_PORT };
                (near, Body::DelayResp { receive, requesting })
            }
        };
        put(packet, &message(know.receiver, sequence, correction, body));
    })
}

/// All that somebody can do who sends as the receiver itself and knows which Sync is next: pairs of another time, of
/// another grandmaster, Announces that are better and worse in turn.
fn impersonation(know: Knowledge) -> Maker {
    let mut number = 0_u32;
    Box::new(move |packet| {
        number = number.wrapping_add(1);
        let live = know.sequence.load(Ordering::Relaxed);
        let sequence = live.wrapping_add((number / 8 % 4) as u16);
        let timeline = if number / 64 % 2 == 0 { know.receiver } else { STRANGER };
        let body = match number % 8 {
            0 | 4 => Body::Sync { origin: Timestamp::default() },
            1 | 5 => follow_up(know.seconds + u64::from(number / 16 % 9), number % 1_000_000_000, timeline),
            2 => announce(timeline, 1),
            3 => announce(know.receiver, 255),
            6 => Body::DelayReq { origin: Timestamp::default() },
            _ => Body::DelayResp {
                receive: Timestamp { seconds: know.seconds, nanoseconds: number % 1_000_000_000 },
                requesting: PortIdentity { clock: ClockIdentity(know.ours), port: OUR_PORT },
            },
        };
        put(packet, &message(know.receiver, sequence, 0, body));
    })
}
