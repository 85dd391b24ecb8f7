//! What follows a message's fixed fields: TLVs, and lists of bounded length to keep them in.
#![forbid(unsafe_code)]

use super::ClockIdentity;

/// Bytes of a TLV before its value: tlvType and lengthField (IEEE 1588-2019, 14.1).
pub(super) const TLV_HEADER_LEN: usize = 4;

/// tlvType of an organisation's own TLV: OUI, subtype, data (IEEE 1588-2019, 14.3).
pub(super) const ORGANIZATION_EXTENSION: u16 = 0x0003;
/// tlvType of REQUEST_UNICAST_TRANSMISSION (IEEE 1588-2019, 16.1.4.1).
pub(super) const REQUEST_UNICAST: u16 = 0x0004;
/// tlvType of GRANT_UNICAST_TRANSMISSION (IEEE 1588-2019, 16.1.4.2).
pub(super) const GRANT_UNICAST: u16 = 0x0005;
/// tlvType of PATH_TRACE (IEEE 1588-2019, 16.2).
pub(super) const PATH_TRACE: u16 = 0x0008;

/// OUI and subtype of 802.1AS's Follow_Up information (field guide 2.3).
pub(super) const FOLLOW_UP_INFORMATION: [u8; 6] = [0x00, 0x80, 0xc2, 0, 0, 1];
/// OUI and subtype of 802.1AS's Message Interval Request (field guide 2.5).
pub(super) const MESSAGE_INTERVAL_REQUEST: [u8; 6] = [0x00, 0x80, 0xc2, 0, 0, 2];
/// OUI and subtype of Apple's first Signaling TLV (field guide 2.5).
pub(super) const APPLE_SUBTYPE_1: [u8; 6] = [0x00, 0x0d, 0x93, 0, 0, 1];
/// OUI and subtype of Apple's clock identity in a Follow_Up (field guide 2.3).
pub(super) const APPLE_CLOCK: [u8; 6] = [0x00, 0x0d, 0x93, 0, 0, 4];
/// OUI and subtype of Apple's second Signaling TLV (field guide 2.5).
pub(super) const APPLE_SUBTYPE_5: [u8; 6] = [0x00, 0x0d, 0x93, 0, 0, 5];

/// 802.1AS's Follow_Up information. Nobody here uses its content, but receivers refuse a Follow_Up without it
/// (field guide 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FollowUpInformation {
    /// The grandmaster's rate over the sender's, minus one, times 2^41.
    pub cumulative_scaled_rate_offset: i32,
    /// Counts the changes of the grandmaster's time base.
    pub gm_time_base_indicator: u16,
    /// Phase step at the last change: signed 96 bits, nanoseconds times 2^16.
    pub last_gm_phase_change: [u8; 12],
    /// Frequency step at the last change, times 2^41.
    pub scaled_last_gm_freq_change: i32,
}

/// 802.1AS's Message Interval Request: powers of two of seconds; 127 stops, 126 resets to the initial
/// interval, -128 leaves it (field guide 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MessageIntervalRequest {
    /// Wanted interval of Pdelay_Req.
    pub link_delay: i8,
    /// Wanted interval of Sync.
    pub time_sync: i8,
    /// Wanted interval of Announce.
    pub announce: i8,
    /// computeNeighborRateRatio (1), computeMeanLinkDelay (2).
    pub flags: u8,
}

/// A TLV of a Signaling message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlv {
    /// 802.1AS: send to me this often.
    MessageInterval(MessageIntervalRequest),
    /// Apple's subtype 1, its content unexplained (field guide 2.5).
    AppleSubtype1([u8; 16]),
    /// Apple's subtype 5, its content unexplained (field guide 2.5).
    AppleSubtype5([u8; 26]),
    /// Send me messages of this type (IEEE 1588-2019, 16.1.4.1).
    RequestUnicast {
        /// The wanted messageType, 0 to 15.
        message_type: u8,
        /// The wanted interval, a power of two of seconds.
        log_interval: i8,
        /// For how many seconds.
        duration_s: u32,
    },
    /// The answer to a request (IEEE 1588-2019, 16.1.4.2).
    GrantUnicast {
        /// The granted messageType, 0 to 15.
        message_type: u8,
        /// The granted interval, a power of two of seconds.
        log_interval: i8,
        /// For how many seconds; 0 is a refusal.
        duration_s: u32,
        /// Whether a renewal is likely to be granted.
        renewal: bool,
    },
}

/// The TLVs of one Signaling message, at most [`Tlvs::CAPACITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tlvs {
    kept: [Option<Tlv>; Self::CAPACITY],
}

impl Tlvs {
    /// How many are kept; later ones are dropped. Captured messages have 2, ours at most 3.
    pub const CAPACITY: usize = 8;

    /// No TLVs.
    pub const fn new() -> Self {
        Self { kept: [None; Self::CAPACITY] }
    }

    /// Adds one at the end; `false`, and no change, when the list is full.
    pub fn push(&mut self, tlv: Tlv) -> bool {
        match self.kept.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(tlv);
                true
            }
            None => false,
        }
    }

    /// The TLVs in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = &Tlv> {
        self.kept.iter().flatten()
    }
}

impl FromIterator<Tlv> for Tlvs {
    /// Keeps the first [`Tlvs::CAPACITY`].
    fn from_iter<I: IntoIterator<Item = Tlv>>(tlvs: I) -> Self {
        let mut list = Self::new();
        for tlv in tlvs.into_iter().take(Self::CAPACITY) {
            list.push(tlv);
        }
        list
    }
}

/// The clocks an Announce came through, grandmaster first (IEEE 1588-2019, 16.2), at most
/// [`PathTrace::CAPACITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PathTrace {
    kept: [Option<ClockIdentity>; Self::CAPACITY],
}

impl PathTrace {
    /// How many clocks are kept, from the grandmaster on. An endpoint, which passes no Announce on, can stand
    /// in a path only as its grandmaster, so what is dropped behind hides no loop from it.
    pub const CAPACITY: usize = 16;

    /// A path of one clock: what a grandmaster sends.
    pub fn single(id: ClockIdentity) -> Self {
        std::iter::once(id).collect()
    }

    /// Whether the path, as far as it is kept, leads through this clock.
    pub fn contains(&self, id: ClockIdentity) -> bool {
        self.iter().any(|passed| passed == id)
    }

    /// The clocks from the grandmaster on.
    pub fn iter(&self) -> impl Iterator<Item = ClockIdentity> + '_ {
        self.kept.iter().flatten().copied()
    }
}

impl FromIterator<ClockIdentity> for PathTrace {
    /// Keeps the first [`PathTrace::CAPACITY`].
    fn from_iter<I: IntoIterator<Item = ClockIdentity>>(ids: I) -> Self {
        let mut path = Self::default();
        for (place, id) in path.kept.iter_mut().zip(ids) {
            *place = Some(id);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_order_and_their_bound() {
        let tlv = |n| Tlv::AppleSubtype1([n; 16]);
        let mut list = Tlvs::new();
        for n in 0..8 {
            assert!(list.push(tlv(n)));
        }
        assert!(!list.push(tlv(8)));
        assert_eq!(list, (0..20).map(tlv).collect());
        assert!(list.iter().copied().eq((0..8).map(tlv)));

        let path: PathTrace = (0..20).map(ClockIdentity).collect();
        assert!(path.iter().eq((0..16).map(ClockIdentity)));
        assert!(path.contains(ClockIdentity(15)) && !path.contains(ClockIdentity(16)));
        assert!(PathTrace::single(ClockIdentity(3)).iter().eq([ClockIdentity(3)]));
        assert!(!PathTrace::default().contains(ClockIdentity(0)));
    }
}
