//! The messages a HomePod sends (field guide 2.1 to 2.7, the HomePod's columns), and the ones nqptp wakes with.
#![forbid(unsafe_code)]

use ptpbmca::time::{Correction, Timestamp};
use ptpbmca::wire::{
    flags, Announce, Body, ClockIdentity, ClockQuality, DataSet, FollowUpInformation, Header, Message,
    PathTrace, PortIdentity, Tlv,
};

/// portNumber of a HomePod (field guide 2.1d).
const PORT_NUMBER: u16 = 0x8075;
/// portNumber of nqptp (field guide 2.1d).
const NQPTP_PORT_NUMBER: u16 = 0x8008;
/// Flags of Sync and Delay_Resp: two-step, unicast, PTP timescale (field guide 2.1b).
const EVENT_FLAGS: u16 = flags::TWO_STEP | flags::UNICAST | flags::PTP_TIMESCALE;
/// Flags of everything else (field guide 2.1b).
const GENERAL_FLAGS: u16 = flags::UNICAST | flags::PTP_TIMESCALE;
/// logMessageInterval of Sync, Follow_Up, Delay_Req and Delay_Resp: 125 ms (field guide 2.1f).
const LOG_SYNC: i8 = -3;
/// logMessageInterval of a HomePod's Announce: 250 ms (field guide 2.1f).
const LOG_ANNOUNCE: i8 = -2;
/// logMessageInterval of Signaling (field guide 2.1f).
const LOG_SIGNALING: i8 = -128;
/// controlField of Follow_Up and of Signaling (field guide 2.1e); the rest has 0, but for nqptp's Announce with 5.
const CONTROL_FOLLOW_UP: u8 = 2;
const CONTROL_SIGNALING: u8 = 5;
/// The data set of a captured HomePod (field guide 2.4).
const CLASS: u8 = 248;
const ACCURACY: u8 = 0x21;
const VARIANCE: u16 = 0x436a;
const PRIORITY2: u8 = 239;
const TIME_SOURCE: u8 = 0xa0;
const UTC_OFFSET_S: i16 = 37;
/// clockAccuracy of nqptp's Announce (field guide 2.4).
const NQPTP_ACCURACY: u8 = 0xfe;

/// The sender of a receiver's messages.
#[derive(Clone, Copy, Debug)]
pub struct Composer {
    /// Its clockIdentity.
    pub identity: ClockIdentity,
    /// priority1 it announces.
    pub priority1: u8,
}

impl Composer {
    /// Its sourcePortIdentity.
    pub fn port(&self) -> PortIdentity {
        PortIdentity { clock: self.identity, port: PORT_NUMBER }
    }

    /// The data set it announces while `grandmaster` is the clock it tells.
    pub fn data_set(&self, grandmaster: ClockIdentity) -> DataSet {
        DataSet {
            priority1: self.priority1,
            quality: ClockQuality { class: CLASS, accuracy: ACCURACY, variance: VARIANCE },
            priority2: PRIORITY2,
            grandmaster,
            steps_removed: u16::from(grandmaster != self.identity),
        }
    }

    fn header(&self, flags: u16, sequence_id: u16, log_interval: i8) -> Header {
        Header {
            major_sdo_id: 1,
            minor_version: 0,
            domain: 0,
            flags,
            correction: Correction::ZERO,
            source: self.port(),
            sequence_id,
            control: 0,
            log_interval,
        }
    }

    /// A Sync; its time comes in the Follow_Up.
    pub fn sync(&self, sequence_id: u16) -> Message {
        let header = self.header(EVENT_FLAGS, sequence_id, LOG_SYNC);
        Message { header, body: Body::Sync { origin: Timestamp::default() } }
    }

    /// The Follow_Up of Sync `sequence_id`, which left at `precise_origin` + `correction`.
    pub fn follow_up(
        &self,
        sequence_id: u16,
        precise_origin: Timestamp,
        correction: Correction,
        grandmaster: ClockIdentity,
    ) -> Message {
        let header = self.header(GENERAL_FLAGS, sequence_id, LOG_SYNC);
        Message {
            header: Header { correction, control: CONTROL_FOLLOW_UP, ..header },
            body: Body::FollowUp {
                precise_origin,
                information: Some(FollowUpInformation::default()),
                apple_clock: Some(grandmaster),
            },
        }
    }

    /// An Announce of `grandmaster`'s clock.
    pub fn announce(&self, sequence_id: u16, grandmaster: ClockIdentity) -> Message {
        let path = [grandmaster, self.identity];
        let first = usize::from(grandmaster == self.identity);
        let announce = Announce {
            origin: Timestamp::default(),
            utc_offset: UTC_OFFSET_S,
            dataset: self.data_set(grandmaster),
            time_source: TIME_SOURCE,
            path_trace: Some(path.into_iter().skip(first).collect()),
        };
        let header = self.header(GENERAL_FLAGS, sequence_id, LOG_ANNOUNCE);
        Message { header, body: Body::Announce(announce) }
    }

    /// nqptp's wake-up Announce: its own clock with `priority1` and the sender's `priority2`, sequenceId always 0.
    pub fn wake_up(&self, priority1: u8, priority2: u8) -> Message {
        let header = self.header(GENERAL_FLAGS, 0, LOG_ANNOUNCE);
        let own = self.data_set(self.identity);
        let announce = Announce {
            origin: Timestamp::default(),
            utc_offset: UTC_OFFSET_S,
            dataset: DataSet {
                priority1,
                priority2,
                quality: ClockQuality { accuracy: NQPTP_ACCURACY, ..own.quality },
                ..own
            },
            time_source: TIME_SOURCE,
            path_trace: Some(PathTrace::single(self.identity)),
        };
        let source = PortIdentity { clock: self.identity, port: NQPTP_PORT_NUMBER };
        Message {
            header: Header { source, control: CONTROL_SIGNALING, ..header },
            body: Body::Announce(announce),
        }
    }

    /// The Signaling of a captured HomePod (field guide 2.5).
    pub fn signaling(&self, sequence_id: u16) -> Message {
        let (mut first, mut fifth) = ([0; 16], [0; 26]);
        first[..4].copy_from_slice(&[0x00, 0x04, 0x03, 0x01]);
        first[13..].copy_from_slice(&[0x20, 0x6f, 0x2f]);
        fifth[..4].copy_from_slice(&[0x00, 0x10, 0x03, 0x01]);
        fifth[23..].copy_from_slice(&[0x20, 0x6f, 0x2f]);
        let tlvs = [Tlv::AppleSubtype1(first), Tlv::AppleSubtype5(fifth)].into_iter().collect();
        let header = self.header(GENERAL_FLAGS, sequence_id, LOG_SIGNALING);
        Message {
            header: Header { control: CONTROL_SIGNALING, ..header },
            body: Body::Signaling { target: PortIdentity::ZERO, tlvs },
        }
    }

    /// A Delay_Req that bears the Sync's sequenceId (field guide 2.6).
    pub fn delay_req(&self, sequence_id: u16) -> Message {
        let header = self.header(GENERAL_FLAGS, sequence_id, LOG_SYNC);
        Message { header, body: Body::DelayReq { origin: Timestamp::default() } }
    }

    /// The answer to a Delay_Req.
    pub fn delay_resp(
        &self,
        sequence_id: u16,
        requesting: PortIdentity,
        receive: Timestamp,
        correction: Correction,
    ) -> Message {
        let header = self.header(EVENT_FLAGS, sequence_id, LOG_SYNC);
        Message { header: Header { correction, ..header }, body: Body::DelayResp { receive, requesting } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptpbmca::wire::{decode, encode};

    const HOMEPOD: Composer = Composer { identity: ClockIdentity(0x1414_7de8_5498_0008), priority1: 248 };

    #[test]
    fn every_message_has_its_captured_length_and_reads_back() {
        let gm = HOMEPOD.identity;
        let port = PortIdentity { clock: ClockIdentity(9), port: 0x8005 };
        let stamp = Timestamp { seconds: 127_677, nanoseconds: 463_415_875 };
        let all = [
            (HOMEPOD.sync(1), 44, 0x10),
            (HOMEPOD.follow_up(1, stamp, Correction::from_nanos(24_990_916), gm), 96, 0x18),
            (HOMEPOD.announce(1, gm), 76, 0x1b),
            (HOMEPOD.announce(1, ClockIdentity(5)), 84, 0x1b),
            (HOMEPOD.wake_up(249, 128), 76, 0x1b),
            (HOMEPOD.signaling(1), 106, 0x1c),
            (HOMEPOD.delay_req(1), 44, 0x11),
            (HOMEPOD.delay_resp(1, port, stamp, Correction::from_nanos(-428_875)), 54, 0x19),
        ];
        for (message, length, first) in all {
            let bytes = encode(&message);
            assert_eq!((bytes.len(), bytes[0]), (length, first), "{message:?}");
            assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn another_grandmaster_is_one_step_away_and_first_in_the_path() {
        let Body::Announce(announce) = HOMEPOD.announce(1, ClockIdentity(5)).body else { panic!() };
        assert_eq!((announce.dataset.grandmaster, announce.dataset.steps_removed), (ClockIdentity(5), 1));
        let path: Vec<_> = announce.path_trace.unwrap().iter().collect();
        assert_eq!(path, [ClockIdentity(5), HOMEPOD.identity]);
        let Body::Announce(own) = HOMEPOD.announce(1, HOMEPOD.identity).body else { panic!() };
        assert_eq!((own.dataset.steps_removed, own.dataset.priority1), (0, 248));
    }
}
