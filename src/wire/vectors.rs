//! Whole messages as hexadecimal, laid out by hand from the field guide's tables, and what they mean.
#![forbid(unsafe_code)]

use super::compose::{Grant, Sender};
use super::*;
use crate::time::{Correction, Timestamp};

/// Our clock: MAC 02:00:5e:10:00:01.
pub const OURS: PortIdentity = PortIdentity { clock: ClockIdentity(0x0200_5e10_0001_0008), port: 0x8005 };
/// A receiver's clock: MAC 02:00:5e:20:00:02.
pub const THEIRS: PortIdentity = PortIdentity { clock: ClockIdentity(0x0200_5e20_0002_0008), port: 0x8075 };
pub const US: Sender = Sender { identity: OURS, domain: 0, major_sdo_id: 1 };
/// 48 bits of seconds with every byte its own, and the largest valid nanoseconds.
const TIME: Timestamp = Timestamp { seconds: 0x0102_0304_0506, nanoseconds: 999_999_999 };

/// Bytes of the hexadecimal digits; blanks are skipped, and so is the rest of a line after `;`.
pub fn hex(text: &str) -> Vec<u8> {
    let code: String = text.lines().map(|line| line.split(';').next().unwrap()).collect();
    let digits: Vec<u32> = code.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// A named message and its bytes.
pub struct Vector {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub message: Message,
}

fn vector(name: &'static str, text: &str, message: Message) -> Vector {
    Vector { name, bytes: hex(text), message }
}

/// A message of the receiver's, as Apple's header has it.
fn theirs(flags: u16, sequence_id: u16, control: u8, log_interval: i8, body: Body) -> Message {
    let header = Header {
        major_sdo_id: 1,
        minor_version: 0,
        domain: 0,
        flags,
        correction: Correction::ZERO,
        source: THEIRS,
        sequence_id,
        control,
        log_interval,
    };
    Message { header, body }
}

/// A request of the receiver's to answer: sequenceId 0xBEEF, correction of 1.5 ns.
fn request() -> Header {
    let mut header = theirs(0x0408, 0xbeef, 0, -3, Body::DelayReq { origin: Timestamp::default() }).header;
    header.correction = Correction::from_scaled(0x0001_8000);
    header
}

/// What we send (field guide 1.12).
pub fn composed() -> Vec<Vector> {
    let mac = crate::election::Advertisement::mac(OURS.clock);
    let ios = crate::election::Advertisement::ios(OURS.clock);
    vec![
        vector(
            "Sync",
            "10 02 002c 00 00 0608        ; type, version, length 44, domain, minorSdoId, flags
             0000000000000000 00000000    ; correction, reserved
             02005e1000010008 8005        ; source
             0102 00 fd                   ; sequence, control, log interval -3
             000000000000 00000000        ; originTimestamp",
            US.sync(0x0102),
        ),
        vector(
            "Follow_Up",
            "18 02 0060 00 00 0408        ; length 96
             0000000000000000 00000000
             02005e1000010008 8005
             0102 02 fd
             010203040506 3b9ac9ff        ; preciseOriginTimestamp
             0003 001c 0080c2 000001      ; 802.1AS information, 28
             00000000 0000                ; rate offset, time base
             000000000000000000000000     ; phase change
             00000000                     ; frequency change
             0003 0010 000d93 000004      ; Apple's clock, 16
             02005e1000010008 0000",
            US.follow_up(0x0102, TIME),
        ),
        vector(
            "Announce, Mac",
            "1b 02 004c 00 00 0408        ; length 76
             0000000000000000 00000000
             02005e1000010008 8005
             fffe 00 00
             000000000000 00000000        ; originTimestamp
             0025 00                      ; UTC offset 37, reserved
             fa f8 fe ffff 80             ; priority1 250, class 248, accuracy, variance, priority2 128
             02005e1000010008 0000 a0     ; grandmaster, stepsRemoved, timeSource
             0008 0008 02005e1000010008   ; PATH_TRACE of ourselves",
            US.announce(0xfffe, &mac.dataset, mac.time_source, mac.utc_offset),
        ),
        vector(
            "Announce, iOS",
            "1b 02 004c 00 00 0408
             0000000000000000 00000000
             02005e1000010008 8005
             0000 00 00
             000000000000 00000000
             0000 00                      ; UTC offset 0
             80 06 21 436a 80             ; priority1 128, class 6
             02005e1000010008 0000 20     ; timeSource GNSS
             0008 0008 02005e1000010008",
            US.announce(0, &ios.dataset, ios.time_source, ios.utc_offset),
        ),
        vector(
            "Delay_Req",
            "11 02 002c 00 00 0408        ; length 44
             0000000000000000 00000000
             02005e1000010008 8005
             1234 00 fd
             000000000000 00000000",
            US.delay_req(0x1234),
        ),
        vector(
            "Delay_Resp",
            "19 02 0036 00 00 0608        ; length 54
             0000000000000000 00000000    ; no correction, whatever the request had
             02005e1000010008 8005
             beef 00 fd                   ; the request's sequence
             010203040506 3b9ac9ff        ; receiveTimestamp
             02005e2000020008 8075        ; requestingPortIdentity",
            US.delay_resp(&request(), TIME),
        ),
        vector(
            "Pdelay_Resp",
            "13 02 0036 00 00 0608
             0000000000000000 00000000
             02005e1000010008 8005
             beef 00 7f
             010203040506 3b9ac9ff
             02005e2000020008 8075",
            US.pdelay_resp(&request(), TIME),
        ),
        vector(
            "Pdelay_Resp_Follow_Up",
            "1a 02 0036 00 00 0408
             0000000000018000 00000000    ; the request's correction
             02005e1000010008 8005
             beef 00 7f
             010203040506 3b9ac9ff
             02005e2000020008 8075",
            US.pdelay_resp_follow_up(&request(), TIME),
        ),
        vector(
            "Signaling, opening",
            "1c 02 007a 00 00 0408        ; length 122
             0000000000000000 00000000
             02005e1000010008 8005
             0003 05 80                   ; control 5, log interval -128
             ffffffffffffffffffff         ; target
             0003 000c 0080c2 000002      ; Message Interval Request, 12
             fd fd fe 02 0000
             0003 0016 000d93 000001      ; Apple subtype 1, 22
             0003 0000 0000 2710 0000 2710 0000 0000
             0003 0020 000d93 000005      ; Apple subtype 5, 32
             000f 0000 0000 2710 0000 2710
             0000000000000000000000000000",
            US.signaling_opening(3),
        ),
        vector(
            "Signaling, yielding",
            "1c 02 003c 00 00 0408        ; length 60
             0000000000000000 00000000
             02005e1000010008 8005
             0004 05 80
             ffffffffffffffffffff
             0003 000c 0080c2 000002
             7e 7e 7e 00 0000",
            US.signaling_yielding(4),
        ),
        vector(
            "Signaling, leading",
            "1c 02 006a 00 00 0408        ; length 106
             0000000000000000 00000000
             02005e1000010008 8005
             0005 05 80
             00000000000000000000
             0003 0016 000d93 000001
             00000301 000000000000000000000000
             0003 0020 000d93 000005
             00000301 00000000000000000000000000000000000000000000",
            US.signaling_leading(5),
        ),
        vector(
            "Signaling, grants",
            "1c 02 0044 00 00 0408        ; length 68
             0000000000000000 00000000
             02005e1000010008 8005
             0006 05 80
             02005e2000020008 8075
             0005 0008 b0 00 0000012c 00 01 ; Announce, 1 s, 300 s, renewal
             0005 0008 90 fd 00000000 00 00 ; Delay_Resp refused",
            US.grant_unicast(
                6,
                THEIRS,
                &[
                    Grant { message_type: 11, log_interval: 0, duration_s: 300, renewal: true },
                    Grant { message_type: 9, log_interval: -3, duration_s: 0, renewal: false },
                ],
            ),
        ),
    ]
}

/// What only peers send.
pub fn received() -> Vec<Vector> {
    let mut all_fields = theirs(
        0x060c,
        0x8001,
        0x2a,
        -7,
        Body::FollowUp {
            precise_origin: Timestamp { seconds: 127_677, nanoseconds: 463_415_875 },
            information: Some(FollowUpInformation {
                cumulative_scaled_rate_offset: -2,
                gm_time_base_indicator: 0x1122,
                last_gm_phase_change: [0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
                scaled_last_gm_freq_change: i32::MIN,
            }),
            apple_clock: Some(ClockIdentity(0xdead_beef_0102_0304)),
        },
    );
    all_fields.header.major_sdo_id = 15;
    all_fields.header.domain = 127;
    all_fields.header.correction = Correction::from_scaled(-0x0000_017d_54c4_0000);
    let announce = Announce {
        origin: TIME,
        utc_offset: -1,
        dataset: DataSet {
            priority1: 248,
            quality: ClockQuality { class: 249, accuracy: 0x21, variance: 0x436a },
            priority2: 239,
            grandmaster: ClockIdentity(0x0200_5e30_0003_0008),
            steps_removed: 0x0102,
        },
        time_source: 0xa0,
        path_trace: Some([ClockIdentity(0x0200_5e30_0003_0008), THEIRS.clock].into_iter().collect()),
    };
    let requests = [
        Tlv::RequestUnicast { message_type: 11, log_interval: -2, duration_s: 300 },
        Tlv::RequestUnicast { message_type: 0, log_interval: -3, duration_s: 0x0102_0304 },
    ];
    vec![
        vector(
            "Follow_Up with every field its own",
            "f8 02 0060 7f 00 060c
             fffffe82ab3c0000 00000000    ; correction -24.990916 ms
             02005e2000020008 8075
             8001 2a f9
             00000001f2bd 1b9f2a43        ; 127677 s, 463415875 ns
             0003 001c 0080c2 000001
             fffffffe 1122
             ff0102030405060708090a0b
             80000000
             0003 0010 000d93 000004
             deadbeef01020304 0000",
            all_fields,
        ),
        vector(
            "Announce behind a boundary clock",
            "1b 02 0054 00 00 0408        ; length 84
             0000000000000000 00000000
             02005e2000020008 8075
             0007 00 fe
             010203040506 3b9ac9ff
             ffff 00
             f8 f9 21 436a ef
             02005e3000030008 0102 a0
             0008 0010 02005e3000030008 02005e2000020008",
            theirs(0x0408, 7, 0, -2, Body::Announce(announce)),
        ),
        vector(
            "Pdelay_Req",
            "12 02 0036 00 00 0400
             0000000000000000 00000000
             02005e2000020008 8075
             0008 05 00
             010203040506 3b9ac9ff
             00000000000000000000         ; reserved",
            theirs(0x0400, 8, 5, 0, Body::PdelayReq { origin: TIME }),
        ),
        vector(
            "Signaling, requests",
            "1c 02 0040 00 00 0408        ; length 64
             0000000000000000 00000000
             02005e2000020008 8075
             0009 05 80
             02005e1000010008 8005
             0004 0006 b0 fe 0000012c     ; Announce, 250 ms, 300 s
             0004 0006 00 fd 01020304     ; Sync",
            theirs(
                0x0408,
                9,
                5,
                -128,
                Body::Signaling { target: OURS, tlvs: requests.into_iter().collect() },
            ),
        ),
    ]
}

pub fn all() -> Vec<Vector> {
    composed().into_iter().chain(received()).collect()
}

#[test]
fn every_message_is_encoded_to_the_byte() {
    for Vector { name, bytes, message } in all() {
        assert_eq!(hex_of(encode(&message).as_bytes()), hex_of(&bytes), "{name}");
    }
}

#[test]
fn every_message_is_decoded_to_the_field() {
    for Vector { name, bytes, message } in all() {
        assert_eq!(decode(&bytes), Ok(message), "{name}");
    }
}

#[test]
fn what_we_send_has_the_lengths_the_guide_gives() {
    // Field guide 1.12, 2.2 to 2.8; the grants are 44 + 2 * 12.
    let lengths: Vec<_> = composed().iter().map(|v| encode(&v.message).len()).collect();
    assert_eq!(lengths, [44, 96, 76, 76, 44, 54, 54, 54, 122, 60, 106, 68]);
    assert!(lengths.iter().all(|len| *len <= MAX_MESSAGE));
}

#[test]
fn a_sender_speaks_its_own_profile_and_domain() {
    let us = Sender { identity: THEIRS, domain: 20, major_sdo_id: 0 };
    let bytes = encode(&us.sync(1));
    assert_eq!(bytes[..6], [0x00, 0x02, 0, 44, 20, 0]);
    assert_eq!(bytes[20..30], hex("02005e2000020008 8075"));
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
