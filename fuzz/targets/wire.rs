//! Any bytes as a datagram: what can be read is written again and read again as the same, and every answer that is
//! composed of it can be read as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ptpbmca::election::{self, Advertisement, Candidate, Comparison};
use ptpbmca::time::{PtpTime, Timestamp};
use ptpbmca::wire::compose::Sender;
use ptpbmca::wire::{self, Body, ClockIdentity, Message, PortIdentity, Tlv, MAX_MESSAGE};
use ptpbmca_fuzz::{edges, memory};

/// Edges of everything below for the shortest message, and what each of its bytes may add; three times what was measured.
const EDGES: u64 = 5_000;
const EDGES_PER_BYTE: u64 = 100;

const US: Sender = Sender {
    identity: PortIdentity { clock: ClockIdentity(0x0200_5e10_0001_0008), port: 0x8005 },
    domain: 0,
    major_sdo_id: 1,
};

fuzz_target!(|bytes: &[u8]| {
    memory::nothing_kept(|| {
        edges::within(EDGES + EDGES_PER_BYTE * bytes.len() as u64, || {
            if let Ok(message) = wire::decode(bytes) {
                round_trip(&message);
                strangers(bytes, &message);
                answers(&message);
                elected(&message);
            }
        })
    });
});

/// What is written is read as the same, and written as the same again.
fn round_trip(message: &Message) {
    let encoded = wire::encode(message);
    let again = wire::decode(&encoded).expect("what was written can be read");
    assert_eq!(*wire::encode(&again), *encoded);
    if length(message) <= MAX_MESSAGE {
        assert_eq!(again, *message);
    } else {
        // TLVs were left out, and nothing else.
        assert_eq!(without_tlvs(&again), without_tlvs(message));
        assert!(kept(&again.body, &message.body), "{again:?} of {message:?}");
    }
    assert_eq!(again.message_type(), message.message_type());
}

/// Bytes the whole message takes.
fn length(message: &Message) -> usize {
    let tlv = |tlv: &Tlv| match tlv {
        Tlv::MessageInterval(_) => 16,
        Tlv::AppleSubtype1(_) => 26,
        Tlv::AppleSubtype5(_) => 36,
        Tlv::RequestUnicast { .. } => 10,
        Tlv::GrantUnicast { .. } => 12,
    };
    message.message_type().min_len()
        + match &message.body {
            Body::FollowUp { information, apple_clock, .. } => {
                information.map_or(0, |_| 32) + apple_clock.map_or(0, |_| 20)
            }
            Body::Announce(announce) => announce.path_trace.map_or(0, |path| 4 + 8 * path.iter().count()),
            Body::Signaling { tlvs, .. } => tlvs.iter().map(tlv).sum(),
            _ => 0,
        }
}

fn without_tlvs(message: &Message) -> Message {
    let mut bare = *message;
    match &mut bare.body {
        Body::Announce(announce) => announce.path_trace = None,
        Body::Signaling { tlvs, .. } => *tlvs = wire::Tlvs::new(),
        _ => {}
    }
    bare
}

/// Whether the TLVs of `some` are some of those of `all`, in their order.
fn kept(some: &Body, all: &Body) -> bool {
    match (some, all) {
        (Body::Signaling { tlvs: some, .. }, Body::Signaling { tlvs: all, .. }) => {
            let mut all = all.iter();
            some.iter().all(|tlv| all.any(|other| other == tlv))
        }
        (Body::Announce(some), Body::Announce(_)) => some.path_trace.is_none(),
        _ => false,
    }
}

/// Bytes behind the message change nothing, and without its last byte it is none.
fn strangers(bytes: &[u8], message: &Message) {
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    assert_eq!(wire::decode(&bytes[..length]).as_ref(), Ok(message));
    assert_eq!(wire::decode(&bytes[..length - 1]), Err(wire::DecodeError::Length));
}

/// Whatever was read, what is sent because of it can be read by the same rules.
fn answers(message: &Message) {
    let header = &message.header;
    let stamp = match message.body {
        Body::FollowUp { precise_origin, .. } => precise_origin,
        Body::DelayResp { receive, .. } => receive,
        _ => Timestamp::default(),
    };
    let at = PtpTime::from_wire(stamp, &[header.correction, header.correction.negated()]);
    // The two corrections cancel each other, but for the one whose opposite cannot be said.
    assert!(at.is_none_or(|at| at.nanos().abs_diff(stamp.nanos().unwrap_or(0) as u64) <= 1));
    for answer in [
        US.delay_resp(header, stamp),
        US.pdelay_resp(header, stamp),
        US.pdelay_resp_follow_up(header, at.map_or(stamp, Timestamp::from)),
        US.follow_up(header.sequence_id, stamp),
    ] {
        assert_eq!(wire::decode(&wire::encode(&answer)), Ok(answer));
    }
}

/// The election is of one mind about two clocks, whichever comes first.
fn elected(message: &Message) {
    let Body::Announce(announce) = &message.body else { return };
    let _ = election::qualified(announce, message.header.source, US.identity.clock);
    let ours = Advertisement::mac(US.identity.clock).dataset;
    let ours = Candidate::own(ours, US.identity.clock);
    let theirs = Candidate::announced(announce, message.header.source, US.identity);
    let there = election::compare(&theirs, &ours);
    assert_eq!(election::compare(&ours, &theirs), there.reversed());
    assert_eq!(election::compare(&theirs, &theirs), Comparison::Equal);
}
