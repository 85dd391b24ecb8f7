//! What the decoder must bear, what it must refuse, and that nothing makes it panic.
#![forbid(unsafe_code)]

use super::vectors::{all, hex, received, Vector, OURS, THEIRS, US};
use super::*;
use crate::time::Timestamp;

/// A general message's start up to its TLVs, with flags, correction and all else zero: type and messageLength,
/// then the body's fixed fields.
fn message(kind: MessageType, fixed: usize, tlvs: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10 | kind as u8, 0x02];
    bytes.extend(((34 + fixed + tlvs.len()) as u16).to_be_bytes());
    bytes.resize(34 + fixed, 0);
    bytes.extend(tlvs);
    bytes
}

fn signaling(tlvs: &str) -> Result<Vec<Tlv>, DecodeError> {
    decode(&message(MessageType::Signaling, 10, &hex(tlvs))).map(|message| match message.body {
        Body::Signaling { tlvs, .. } => tlvs.iter().copied().collect(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn versions_profiles_domains_and_intervals_are_borne() {
    let bytes = encode(&US.sync(1)).to_vec();
    let with = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        decode(&changed).unwrap().header
    };
    // linuxptp announces version 2.1.
    assert_eq!(with(1, 0x12).minor_version, 1);
    for sdo in 0..16 {
        assert_eq!(with(0, sdo << 4).major_sdo_id, sdo);
    }
    assert_eq!(with(4, 0xff).domain, 255);
    assert_eq!(with(33, 0x7f).log_interval, 127);
    assert_eq!(with(33, 0x80).log_interval, -128);
    // minorSdoId and the four bytes after the correction are nobody's business.
    for at in [5, 16, 17, 18, 19] {
        assert_eq!(with(at, 0xff), US.sync(1).header);
    }
}

#[test]
fn bytes_after_the_message_are_borne() {
    for mut vector in all() {
        // linuxptp appends two bytes over IPv6.
        vector.bytes.extend([0, 0]);
        assert_eq!(decode(&vector.bytes), Ok(vector.message), "{}", vector.name);
        vector.bytes.resize(65_507, 0xff);
        assert_eq!(decode(&vector.bytes), Ok(vector.message), "{}", vector.name);
    }
}

#[test]
fn a_follow_up_may_lack_either_tlv() {
    let follow_up = |tlvs: &str| match decode(&message(MessageType::FollowUp, 10, &hex(tlvs))) {
        Ok(Message { body: Body::FollowUp { information, apple_clock, .. }, .. }) => {
            (information.map(|i| i.gm_time_base_indicator), apple_clock.map(|clock| clock.0))
        }
        other => panic!("{other:?}"),
    };
    let information = "0003 001c 0080c2 000001 00000000 0007 000000000000000000000000 00000000";
    let apple = "0003 0010 000d93 000004 0102030405060708 0000";
    assert_eq!(follow_up(""), (None, None));
    // Sonos sends the first only.
    assert_eq!(follow_up(information), (Some(7), None));
    assert_eq!(follow_up(apple), (None, Some(0x0102_0304_0506_0708)));
    // Another order, strangers between, and a second one of a kind.
    let unknown = "0003 0006 000d93 000009  0003 0004 ffffffff  2004 0002 abcd";
    let second = "0003 0010 000d93 000004 ffffffffffffffff 0000
         0003 001c 0080c2 000001 00000000 0008 000000000000000000000000 00000000";
    assert_eq!(
        follow_up(&format!("{apple}{unknown}{information}{second}")),
        (Some(7), Some(0x0102_0304_0506_0708))
    );
    // Too short for what they say they are.
    assert_eq!(follow_up("0003 0010 0080c2 000001 00000000000000000000"), (None, None));
    assert_eq!(follow_up("0003 000a 000d93 000004 01020304"), (None, None));
}

#[test]
fn a_message_interval_request_may_lack_its_reserved_bytes() {
    let wanted = MessageIntervalRequest { link_delay: 0, time_sync: -3, announce: -128, flags: 3 };
    let of = |request| Ok(vec![Tlv::MessageInterval(request)]);
    assert_eq!(signaling("0003 000c 0080c2 000002 00fd8003 0000"), of(wanted));
    assert_eq!(signaling("0003 000c 0080c2 000002 00fd8003 ffff"), of(wanted));
    assert_eq!(signaling("0003 000a 0080c2 000002 00fd8003"), of(wanted));
    for refused in
        ["0003 0009 0080c2 000002 00fd80", "0003 000b 0080c2 000002 00fd8003 00", "0003 0006 0080c2 000002"]
    {
        assert_eq!(signaling(refused), Ok(vec![]), "{refused}");
    }
}

#[test]
fn unknown_tlvs_are_skipped_and_known_ones_behind_them_read() {
    let grant = Tlv::GrantUnicast { message_type: 11, log_interval: 1, duration_s: 60, renewal: true };
    let known = "0005 0008 bf 01 0000003c ff ff";
    for unknown in [
        "0000 0000",                                                // no type at all
        "0003 0016 000d93 000002 00000000000000000000000000000000", // an unknown subtype of Apple's
        "0003 0002 000d",                                           // an organisation cut short
        "0003 0014 000d93 000001 0000000000000000000000000000",     // subtype 1 too short by two
        "0003 0024 000d93 000005 000000000000000000000000000000000000000000000000000000000000", // 5 too long
        "0003 0016 0080c2 000001 00000000000000000000000000000000", // one of a Follow_Up
        "8000 0003 aabbcc",                                         // of odd length
        "0005 0007 b0 01 0000003c 00",                              // a grant too short by one
        "0004 0005 b0 01 000000",                                   // a request too short by one
    ] {
        assert_eq!(signaling(&format!("{unknown}{known}")), Ok(vec![grant]), "{unknown}");
    }
    // What is too short for a TLV at the end is none.
    for rest in ["00", "0003", "0003ff"] {
        assert_eq!(signaling(&format!("{known}{rest}")), Ok(vec![grant]), "{rest}");
    }
    // The low bit alone is the renewal.
    let refused = Tlv::GrantUnicast { message_type: 11, log_interval: 1, duration_s: 60, renewal: false };
    assert_eq!(signaling("0005 0008 b0 01 0000003c 00 fe"), Ok(vec![refused]));
}

#[test]
fn more_tlvs_than_are_kept_are_dropped() {
    let many = "0004 0006 00 00 00000000".repeat(9);
    assert_eq!(signaling(&many).unwrap().len(), Tlvs::CAPACITY);
    let path: Vec<u8> = (0..17u64).flat_map(|n| n.to_be_bytes()).collect();
    let tlv = [&[0, 8, 0, 136], path.as_slice()].concat();
    let Ok(Message { body: Body::Announce(announce), .. }) =
        decode(&message(MessageType::Announce, 30, &tlv))
    else {
        panic!("no announce")
    };
    assert!(announce.path_trace.unwrap().iter().eq((0..16).map(ClockIdentity)));
}

#[test]
fn a_path_of_broken_length_keeps_its_whole_identities() {
    let path = |tlvs: &str| match decode(&message(MessageType::Announce, 30, &hex(tlvs))).unwrap().body {
        Body::Announce(announce) => {
            announce.path_trace.map(|path| path.iter().map(|id| id.0).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(path(""), None);
    assert_eq!(path("0008 0000"), Some(vec![]));
    assert_eq!(path("0008 000b 0000000000000005 ffffff"), Some(vec![5]));
    assert_eq!(path("0008 0008 0000000000000005 0008 0008 0000000000000006"), Some(vec![5]));
}

#[test]
fn each_refusal_has_its_reason() {
    let sync = encode(&US.sync(1)).to_vec();
    let with = |at: usize, byte: u8| {
        let mut changed = sync.clone();
        changed[at] = byte;
        decode(&changed)
    };
    assert_eq!(decode(&[]), Err(DecodeError::Short));
    assert_eq!(decode(&sync[..33]), Err(DecodeError::Short));
    // PTPv1, and versions yet to come.
    for version in [0x00, 0x01, 0x03, 0x21, 0xff] {
        assert_eq!(with(1, version), Err(DecodeError::Version));
    }
    for kind in [4, 5, 6, 7, 13, 14, 15] {
        assert_eq!(with(0, 0x10 | kind), Err(DecodeError::Type), "{kind}");
    }
    // messageLength one beyond the datagram, one below a Sync, and below the header.
    for length in [45, 43, 34, 33, 0] {
        assert_eq!(with(3, length), Err(DecodeError::Length), "{length}");
    }
    assert_eq!(with(2, 0xff), Err(DecodeError::Length));
}

#[test]
fn each_type_has_its_least_length() {
    // Field guide 2.2 to 2.8.
    let least = [
        (MessageType::Sync, 44),
        (MessageType::DelayReq, 44),
        (MessageType::PdelayReq, 54),
        (MessageType::PdelayResp, 54),
        (MessageType::FollowUp, 44),
        (MessageType::DelayResp, 54),
        (MessageType::PdelayRespFollowUp, 54),
        (MessageType::Announce, 64),
        (MessageType::Signaling, 44),
    ];
    for (kind, least) in least {
        let bytes = message(kind, least - 34, &[]);
        assert_eq!(decode(&bytes).unwrap().message_type(), kind);
        let mut short = message(kind, least - 35, &[]);
        // More bytes in the datagram do not make the message longer.
        short.extend([0; 64]);
        assert_eq!(decode(&short), Err(DecodeError::Length), "{kind:?}");
    }
}

#[test]
fn a_tlv_beyond_the_end_condemns_the_message() {
    for (kind, fixed) in
        [(MessageType::FollowUp, 10), (MessageType::Announce, 30), (MessageType::Signaling, 10)]
    {
        for tlv in ["0008 0001", "0003 ffff 0080c2 000001", "0000 0000 0008 0009 0000000000000000"] {
            let mut bytes = message(kind, fixed, &hex(tlv));
            assert_eq!(decode(&bytes), Err(DecodeError::Tlv), "{kind:?} {tlv}");
            // Bytes after messageLength do not save it.
            bytes.extend([0; 64]);
            assert_eq!(decode(&bytes), Err(DecodeError::Tlv), "{kind:?} {tlv}");
        }
    }
    // Where no TLVs are read, none are judged.
    let sync = message(MessageType::Sync, 10, &hex("0008 0001"));
    assert!(decode(&sync).is_ok());
}

#[test]
fn tlvs_that_do_not_fit_are_left_out_whole() {
    let (small, large) = (
        Tlv::RequestUnicast { message_type: 0, log_interval: 0, duration_s: 1 },
        Tlv::AppleSubtype5([0xab; 26]),
    );
    let sent = |list: &[Tlv]| {
        let mut message = US.signaling_leading(1);
        message.body = Body::Signaling { target: OURS, tlvs: list.iter().copied().collect() };
        let bytes = encode(&message);
        match decode(&bytes).unwrap().body {
            Body::Signaling { tlvs, .. } => (bytes.len(), tlvs.iter().copied().collect::<Vec<_>>()),
            other => panic!("{other:?}"),
        }
    };
    // 44 + 2 * 36 = 116; a third large one does not fit, a small one of 10 behind it does.
    assert_eq!(sent(&[large; 3]), (116, vec![large; 2]));
    assert_eq!(sent(&[large, large, large, small]), (126, vec![large, large, small]));
    // 44 + 7 * 12 = 128 fits to the byte.
    let grant = Tlv::GrantUnicast { message_type: 0, log_interval: 0, duration_s: 1, renewal: false };
    assert_eq!(sent(&[grant; 8]), (128, vec![grant; 7]));

    let announce = |clocks: u64| {
        let mut message = received()[1].message;
        let Body::Announce(announce) = &mut message.body else { panic!("no announce") };
        announce.path_trace = Some((0..clocks).map(ClockIdentity).collect());
        encode(&message).len()
    };
    // 64 + 4 + 7 * 8 = 124.
    assert_eq!((announce(7), announce(8), announce(16)), (124, 64, 64));
}

#[test]
fn fields_wider_than_the_wire_lose_their_high_bits() {
    let mut message = US.follow_up(1, Timestamp { seconds: u64::MAX, nanoseconds: u32::MAX });
    message.header.major_sdo_id = 0xf2;
    message.header.minor_version = 0x31;
    let bytes = encode(&message);
    assert_eq!(bytes[..2], [0x28, 0x12]);
    assert_eq!(bytes[34..44], [0xff; 10]);
    message.body = Body::Signaling {
        target: THEIRS,
        tlvs: [Tlv::RequestUnicast { message_type: 0x1b, log_interval: 0, duration_s: 0 }]
            .into_iter()
            .collect(),
    };
    assert_eq!(encode(&message)[48], 0xb0);
}

#[test]
fn every_truncation_is_refused() {
    for Vector { name, bytes, .. } in all() {
        for len in 0..bytes.len() {
            let reason = if len < 34 { DecodeError::Short } else { DecodeError::Length };
            assert_eq!(decode(&bytes[..len]), Err(reason), "{name} {len}");
        }
        // The same with a messageLength that admits it: whatever it then is, it settles.
        for len in 34..bytes.len() {
            let mut cut = bytes[..len].to_vec();
            cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            settles(&cut);
        }
    }
}

#[test]
fn every_corruption_of_a_byte_is_borne_or_refused() {
    let mut decoded = 0;
    for Vector { bytes, .. } in all() {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            for byte in 0..=u8::MAX {
                changed[at] = byte;
                decoded += usize::from(settles(&changed));
            }
        }
    }
    // Most bytes are free to be anything.
    assert!(decoded > 200_000, "{decoded}");
}

#[test]
fn random_bytes_are_borne_or_refused() {
    const SEED: u64 = 0x5eed_0001;
    let mut state = SEED;
    let mut random = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut decoded = 0;
    for round in 0..40_000 {
        let len = (random() % 300) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        // Every second one looks like a message, so that what lies behind the header is reached.
        if round % 2 == 0 && len >= 64 {
            bytes[1] = 0x02;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            let tlvs_at = if bytes[0] & 0x0f == 11 { 64 } else { 44 };
            let kinds =
                ["0003 0010 000d93000004", "0003 001c 0080c2000001", "0003 000c 0080c2000002", "0008 0018"];
            let tlv = hex(kinds[(random() % 4) as usize]);
            if let Some(place) = bytes.get_mut(tlvs_at..tlvs_at + tlv.len()) {
                place.copy_from_slice(&tlv);
            }
        }
        decoded += usize::from(settles(&bytes));
    }
    assert!(decoded > 5_000, "{decoded}");
}

/// Decodes; what decodes must encode to a message that decodes to the same, but for TLVs that did not fit, and
/// from then on nothing may change. Says whether it decoded.
fn settles(bytes: &[u8]) -> bool {
    let Ok(first) = decode(bytes) else { return false };
    let encoded = encode(&first);
    assert!((44..=MAX_MESSAGE).contains(&encoded.len()));
    let second = decode(&encoded).unwrap();
    if unbounded_len(&first) <= MAX_MESSAGE {
        assert_eq!(second, first);
        assert_eq!(encoded.len(), unbounded_len(&first));
    } else {
        assert_eq!((second.header, second.message_type()), (first.header, first.message_type()));
    }
    assert_eq!(encode(&second), encoded);
    true
}

/// What the message would need if there were no bound.
fn unbounded_len(message: &Message) -> usize {
    message.message_type().min_len()
        + match message.body {
            Body::FollowUp { information, apple_clock, .. } => {
                information.map_or(0, |_| 32) + apple_clock.map_or(0, |_| 20)
            }
            Body::Announce(announce) => announce.path_trace.map_or(0, |path| 4 + 8 * path.iter().count()),
            Body::Signaling { tlvs, .. } => tlvs
                .iter()
                .map(|tlv| match tlv {
                    Tlv::MessageInterval(_) => 16,
                    Tlv::AppleSubtype1(_) => 26,
                    Tlv::AppleSubtype5(_) => 36,
                    Tlv::RequestUnicast { .. } => 10,
                    Tlv::GrantUnicast { .. } => 12,
                })
                .sum(),
            _ => 0,
        }
}
