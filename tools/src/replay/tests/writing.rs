//! Traces and captures made for the tests: one receiver's session, as rows and as packets.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ptpbmca::time::{Correction, LocalTime, PtpTime};
use ptpbmca::wire::compose::Sender;
use ptpbmca::wire::{self, ClockIdentity, Message, PortIdentity};

pub const MILLISECOND: i64 = 1_000_000;
/// Local time of the first Sync's sending.
pub const LOCAL: i64 = 1_790_000_000_123_456_789;
/// The receiver's time then.
pub const REMOTE: i64 = 127_677_463_415_875;
/// The least one-way delay.
pub const DELAY: i64 = MILLISECOND;

/// A generator of numbers: xorshift64*, good enough for noise.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One Sync with its Follow_Up, and the exchange finished before it.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    pub sequence: u16,
    pub t1: i64,
    pub corr: i64,
    pub t2: i64,
    pub exchange: Option<(i64, i64)>,
}

/// The receiver's time at a local one: 40 ppm fast.
pub fn remote(local: i64) -> i64 {
    REMOTE + (local - LOCAL) + (local - LOCAL) / 25_000
}

/// Syncs every 125 ms over a link with some jitter; two-way but for the first and each seventh.
pub fn beats(count: u16, seed: u64) -> Vec<Beat> {
    let mut random = Random(seed);
    let mut before: Option<i64> = None;
    let mut beat = |index: u16| {
        let sent = LOCAL + i64::from(index) * 125 * MILLISECOND;
        let corr = (random.below(100) as i64) * 700_001;
        let t2 = sent + DELAY + random.below(MILLISECOND as u64) as i64;
        let exchange = before.filter(|_| !index.is_multiple_of(7)).map(|before| {
            let t3 = before + 2 * MILLISECOND + random.below(MILLISECOND as u64) as i64;
            (t3, remote(t3 + DELAY + random.below(MILLISECOND as u64) as i64))
        });
        before = Some(t2);
        Beat { sequence: index.wrapping_add(65_500), t1: remote(sent) - corr, corr, t2, exchange }
    };
    (0..count).map(&mut beat).collect()
}

/// The beats as a trace of whole rows.
pub fn trace(beats: &[Beat]) -> String {
    let mut text = "seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns\n".to_string();
    for Beat { sequence, t1, corr, t2, exchange } in beats {
        let (t3, t4) = exchange.map_or(Default::default(), |(t3, t4)| (t3.to_string(), t4.to_string()));
        text += &format!("{sequence},{t1},{corr},{t2},{t3},{t4}\n");
    }
    text
}

pub fn clock(id: u64) -> Sender {
    Sender { identity: PortIdentity { clock: ClockIdentity(id), port: 0x8005 }, domain: 0, major_sdo_id: 1 }
}

/// A packet before it is framed.
pub struct Packet {
    pub at: i64,
    pub from: IpAddr,
    pub to: IpAddr,
    pub port: u16,
    pub payload: Vec<u8>,
}

/// The beats as packets, with requests numbered by `number` from the sequenceId of the Sync before.
pub fn packets(beats: &[Beat], number: impl Fn(u16) -> u16) -> Vec<Packet> {
    let (homepod, mac) = (clock(0x1414_7de8_5498_0008), clock(0x0499_b9b7_e0f1_0008));
    let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 2].into(), [10, 0, 0, 9].into());
    let mut all = Vec::new();
    let mut say = |at, from, to, message: &Message| {
        let port = if message.message_type().is_event() { 319 } else { 320 };
        all.push(Packet { at, from, to, port, payload: wire::encode(message).to_vec() });
    };
    for (index, beat) in beats.iter().enumerate() {
        if let Some((t3, t4)) = beat.exchange {
            let before = beats[index - 1].sequence;
            let request = mac.delay_req(number(before));
            say(t3, here, there, &request);
            let answer = homepod.delay_resp(&request.header, PtpTime::from_nanos(t4 as u64).unwrap().into());
            say(beat.t2, there, here, &answer);
        }
        say(beat.t2, there, here, &homepod.sync(beat.sequence));
        let origin = PtpTime::from_nanos(beat.t1 as u64).unwrap().into();
        let mut follow_up = homepod.follow_up(beat.sequence, origin);
        follow_up.header.correction = Correction::from_nanos(beat.corr);
        say(beat.t2, there, here, &follow_up);
    }
    all
}

fn datagram(packet: &Packet) -> Vec<u8> {
    let length = (packet.payload.len() + 8) as u16;
    let mut bytes = match (packet.from, packet.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(length, from, to),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(length, from, to),
        _ => unreachable!("one address family"),
    };
    for field in [packet.port, packet.port, length, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(&packet.payload);
    bytes
}

fn ipv4(length: u16, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((length + 20).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes
}

fn ipv6(length: u16, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([17, 64]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes
}

/// A pcap file of raw IP packets with nanoseconds, big-endian.
pub fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_3c4d_u32, 0x0002_0004, 0, 0, 65_535, 101] {
        file.extend(field.to_be_bytes());
    }
    for packet in packets {
        let bytes = datagram(packet);
        let length = bytes.len() as u32;
        let seconds = (packet.at / 1_000_000_000) as u32;
        for field in [seconds, (packet.at % 1_000_000_000) as u32, length, length] {
            file.extend(field.to_be_bytes());
        }
        file.extend(bytes);
    }
    file
}

/// A pcapng file of VLAN-tagged Ethernet frames with nanoseconds, little-endian.
pub fn pcapng(packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    block(&mut file, 0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    // Ethernet, no limit; if_tsresol: nanoseconds; end of options.
    block(&mut file, 1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    for packet in packets {
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0, 0, 7]);
        frame.extend(if packet.from.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        frame.extend(datagram(packet));
        let mut body = Vec::new();
        let length = frame.len() as u32;
        for field in [0, (packet.at >> 32) as u32, packet.at as u32, length, length] {
            body.extend(field.to_le_bytes());
        }
        frame.resize(frame.len().next_multiple_of(4), 0);
        body.extend(frame);
        block(&mut file, 6, &body);
    }
    file
}

/// Appends a block of a pcapng file.
pub fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = body.len() as u32 + 12;
    file.extend(kind.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(body);
    file.extend(length.to_le_bytes());
}

/// A local time.
pub fn at(nanos: i64) -> LocalTime {
    LocalTime::from_nanos(nanos)
}
