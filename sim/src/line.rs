//! What a receiver tells a test: its clock's truth and what happened, one line each.
#![forbid(unsafe_code)]

use crate::clock::Segment;
use std::fmt;
use std::net::IpAddr;

/// One line of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// How the clock runs from now on.
    Truth(Segment),
    /// Something happened at this time of the host's monotonic clock, in nanoseconds.
    Event(i64, Event),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first Sync and Follow_Up of a session have left for this sender.
    FirstSync(IpAddr),
    /// The first Delay_Req of a session came from this sender.
    FirstDelayReq(IpAddr),
    /// The first Announce of a wake-up pair left for this sender.
    WakeUp(IpAddr),
    /// It serves its clock from now on.
    Serving,
    /// It follows a sender's clock from now on: that grandmaster's clockIdentity.
    Following(u64),
    /// It boots.
    Restart,
    /// It says and hears nothing until this time of the monotonic clock.
    Silent(i64),
    /// It speaks again.
    Speaking,
    /// It is gone.
    Died,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, event) = match *self {
            Self::Truth(s) => {
                let Segment { monotonic_ns, receiver_ns, skew_ppb, grandmaster, epoch } = s;
                return write!(f, "truth {monotonic_ns} {receiver_ns} {skew_ppb} {grandmaster:016x} {epoch}");
            }
            Self::Event(at, event) => (at, event),
        };
        match event {
            Event::FirstSync(peer) => write!(f, "event first_sync {at} {peer}"),
            Event::FirstDelayReq(peer) => write!(f, "event first_delay_req {at} {peer}"),
            Event::WakeUp(peer) => write!(f, "event wake_up {at} {peer}"),
            Event::Serving => write!(f, "event serving {at}"),
            Event::Following(master) => write!(f, "event following {at} {master:016x}"),
            Event::Restart => write!(f, "event restart {at}"),
            Event::Silent(until) => write!(f, "event silent {at} {until}"),
            Event::Speaking => write!(f, "event speaking {at}"),
            Event::Died => write!(f, "event died {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_what_a_test_reads() {
        let segment = Segment { monotonic_ns: 7, receiver_ns: 8, skew_ppb: -9, grandmaster: 0xab, epoch: 1 };
        assert_eq!(Line::Truth(segment).to_string(), "truth 7 8 -9 00000000000000ab 1");
        let first = Event::FirstSync(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(Line::Event(5, first).to_string(), "event first_sync 5 127.0.0.1");
    }
}
