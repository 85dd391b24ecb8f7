//! What a receiver knows of one sender: when to speak to it, what it announced, and how its clock measures.
#![forbid(unsafe_code)]

use crate::config::Host;
use ptpbmca::time::PtpTime;
use ptpbmca::wire::{DataSet, PortIdentity};
use std::collections::VecDeque;

/// A Sync pair of a sender, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Arrival of the Sync by the host's monotonic clock, in nanoseconds.
    pub arrival_ns: i64,
    /// When the sender says it left, on its timeline, in nanoseconds, corrections added.
    pub origin_ns: u64,
    /// sequenceId of the Sync.
    pub sequence_id: u16,
    /// One-way path delay, from the Delay_Resp to the request that followed this pair, in nanoseconds.
    pub path_delay_ns: Option<i64>,
}

/// How far the first Sync pair to a sender has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPair {
    /// Nothing of it has left.
    Waiting,
    /// The Sync of this sequenceId has left.
    SyncLeft(u16),
    /// Both have left.
    Left,
}

/// A Sync that waits for its Follow_Up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingSync {
    pub(crate) source: PortIdentity,
    pub(crate) sequence_id: u16,
    pub(crate) arrival_ns: i64,
    pub(crate) correction: ptpbmca::time::Correction,
}

/// A Delay_Req that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRequest {
    pub(crate) sequence_id: u16,
    pub(crate) sent_ns: i64,
}

/// One sender.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) host: Host,
    /// Which of the receiver's addresses it is spoken to from.
    pub(crate) via: usize,
    /// No Sync before this time.
    pub(crate) sync_from: i64,
    pub(crate) next_announce: i64,
    pub(crate) next_signaling: i64,
    /// Announces since serving began.
    pub(crate) announces: u32,
    pub(crate) first_pair: FirstPair,
    pub(crate) asked: bool,

    /// Its last Announce: who, what, when.
    pub(crate) announced: Option<(PortIdentity, DataSet, i64)>,
    /// Whether it has been quiet for too long to be a master, as of the last election.
    pub(crate) timed_out: bool,
    /// When its last Sync came.
    pub(crate) last_sync: Option<i64>,
    pub(crate) pending_sync: Option<PendingSync>,
    pub(crate) pending_request: Option<PendingRequest>,
    /// Measured pairs, the newest last.
    pub(crate) pairs: VecDeque<Pair>,

    /// Announces since its last Follow_Up, and whether it was ever woken.
    pub(crate) announces_unserved: u32,
    pub(crate) woken: bool,
    /// The second Announce of a wake-up pair: when, and its priority1 and priority2.
    pub(crate) second_wake: Option<(i64, u8, u8)>,
}

impl Peer {
    pub(crate) fn new(host: Host, via: usize) -> Self {
        Self {
            host,
            via,
            sync_from: i64::MAX,
            next_announce: i64::MAX,
            next_signaling: i64::MAX,
            announces: 0,
            first_pair: FirstPair::Waiting,
            asked: false,
            announced: None,
            timed_out: true,
            last_sync: None,
            pending_sync: None,
            pending_request: None,
            pairs: VecDeque::new(),
            announces_unserved: 0,
            woken: false,
            second_wake: None,
        }
    }

    /// Forgets what was heard, as after a boot.
    pub(crate) fn forget(&mut self) {
        *self = Self { pairs: std::mem::take(&mut self.pairs), ..Self::new(self.host, self.via) };
    }

    /// When its last sign of life as a master came: an Announce or a Sync.
    pub(crate) fn last_as_master(&self) -> Option<i64> {
        self.announced.map(|(_, _, at)| at).max(self.last_sync)
    }

    /// Adds a measured pair to at most `kept`.
    pub(crate) fn measured(&mut self, pair: Pair, kept: usize) {
        while !self.pairs.is_empty() && self.pairs.len() >= kept {
            self.pairs.pop_front();
        }
        if kept > 0 {
            self.pairs.push_back(pair);
        }
    }

    /// The answer to a request of ours that left at `sent_ns` has told `received`, on the sender's timeline: the path
    /// delay belongs to the pair of the same sequenceId.
    pub(crate) fn answered(&mut self, request: PendingRequest, received: PtpTime) {
        if let Some(pair) = self.pairs.back_mut().filter(|pair| pair.sequence_id == request.sequence_id) {
            let round = i128::from(received.nanos()) - i128::from(pair.origin_ns);
            let waited = i128::from(request.sent_ns) - i128::from(pair.arrival_ns);
            pair.path_delay_ns = i64::try_from((round - waited) / 2).ok();
        }
    }
}
