//! What a receiver counted: for the summary at the end and for tests.
#![forbid(unsafe_code)]

use std::fmt;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl std::ops::AddAssign for Counters {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }

        impl fmt::Display for Counters {
            /// One line of `name=count`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name),)+];
                for (i, (name, count)) in all.iter().enumerate() {
                    write!(f, "{}{name}={count}", if i == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    };
}

counters! {
    /// Sync sent.
    sync_sent,
    /// Follow_Up sent.
    follow_up_sent,
    /// Announce sent.
    announce_sent,
    /// Signaling sent.
    signaling_sent,
    /// Delay_Req sent.
    delay_req_sent,
    /// Delay_Resp sent.
    delay_resp_sent,
    /// Packets the socket would not send.
    send_failed,
    /// Sync received.
    sync_received,
    /// Follow_Up received.
    follow_up_received,
    /// Announce received.
    announce_received,
    /// Signaling received.
    signaling_received,
    /// Delay_Req received.
    delay_req_received,
    /// Delay_Resp received.
    delay_resp_received,
    /// Other messages received.
    other_received,
    /// Refused: not a PTP message.
    malformed,
    /// Refused: majorSdoId 0.
    sdo_zero,
    /// Refused: another domain.
    wrong_domain,
    /// Refused: an event message on the general port, or the reverse.
    wrong_port,
    /// Refused: own identity.
    own,
    /// Refused: from an address that is not a peer.
    strangers,
    /// Refused: Follow_Up shorter than 76 bytes, without the 802.1AS information TLV.
    follow_up_short,
    /// Refused: Follow_Up without its Sync.
    follow_up_unmatched,
    /// Refused: Delay_Resp to somebody else or to no request of ours.
    delay_resp_unmatched,
    /// Refused: an Announce that came back to us, or from 255 steps away.
    announce_refused,
    /// Not heard: silent or booting.
    unheard,
    /// Sync pairs of a sender that were measured.
    pairs,
    /// Wake-up pairs begun.
    wake_ups,
    /// Times the role changed.
    role_changes,
    /// Lost on purpose, either direction.
    lost,
    /// Doubled on purpose.
    duplicated,
    /// Swapped on purpose.
    reordered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line_of_names_and_counts() {
        let text = Counters { sync_sent: 3, reordered: 9, ..Default::default() }.to_string();
        assert!(text.starts_with("sync_sent=3 follow_up_sent=0 "), "{text}");
        assert!(text.ends_with(" reordered=9"), "{text}");
        assert!(!text.contains('\n'));
        let mut sum = Counters { lost: 1, ..Default::default() };
        sum += Counters { lost: 2, own: 5, ..Default::default() };
        assert_eq!((sum.lost, sum.own), (3, 5));
    }
}
