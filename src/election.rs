//! Who leads: IEEE 1588's comparison of clocks, and the data sets we stand for election with.
#![forbid(unsafe_code)]

use crate::wire::{Announce, ClockIdentity, ClockQuality, DataSet, PortIdentity};
use std::cmp::Ordering;

/// From this stepsRemoved on an Announce is not used: it has gone in circles (IEEE 1588-2019, 9.3.2.5).
pub const STEPS_REMOVED_LIMIT: u16 = 255;

/// What we tell of our clock in an Announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// What the election compares.
    pub dataset: DataSet,
    /// timeSource.
    pub time_source: u8,
    /// currentUtcOffset in seconds.
    pub utc_offset: i16,
}

impl Advertisement {
    /// As a Mac: worse than a HomePod (248), so that it leads, better than a clock that only follows (field
    /// guide 2.4, 4). For the automatic role.
    pub const fn mac(clock: ClockIdentity) -> Self {
        let quality = ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff };
        Self { dataset: own(250, quality, clock), time_source: 0xa0, utc_offset: 37 }
    }

    /// As iOS: better than every receiver known, so that we lead (field guide 2.4, 4).
    pub const fn ios(clock: ClockIdentity) -> Self {
        let quality = ClockQuality { class: 6, accuracy: 0x21, variance: 0x436a };
        Self { dataset: own(128, quality, clock), time_source: 0x20, utc_offset: 0 }
    }
}

/// A data set of our own clock; priority2 is 128 in both of ours (field guide 2.4).
const fn own(priority1: u8, quality: ClockQuality, clock: ClockIdentity) -> DataSet {
    DataSet { priority1, quality, priority2: 128, grandmaster: clock, steps_removed: 0 }
}

/// One side of a comparison: a data set, who sent it and who received it (IEEE 1588-2019, 9.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What is compared first.
    pub dataset: DataSet,
    /// sourcePortIdentity of the Announce.
    pub sender: PortIdentity,
    /// The port that received it.
    pub receiver: PortIdentity,
}

impl Candidate {
    /// Our own clock: sender and receiver are the clock itself, with port number 0.
    pub const fn own(dataset: DataSet, clock: ClockIdentity) -> Self {
        let itself = PortIdentity { clock, port: 0 };
        Self { dataset, sender: itself, receiver: itself }
    }

    /// The clock an Announce speaks of.
    pub const fn announced(announce: &Announce, source: PortIdentity, receiver: PortIdentity) -> Self {
        Self { dataset: announce.dataset, sender: source, receiver }
    }
}

/// What a comparison of A with B says of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// A's grandmaster is better, or A is clearly nearer to the one they share.
    Better,
    /// They share a grandmaster, and A is on the preferred path to it.
    BetterByTopology,
    /// The same message twice, or one that came back to its sender (the standard's error-1 and error-2).
    Equal,
    /// As [`Comparison::BetterByTopology`], for B.
    WorseByTopology,
    /// As [`Comparison::Better`], for B.
    Worse,
}

impl Comparison {
    /// Whether A wins, by its clock or by its path.
    pub const fn is_better(self) -> bool {
        matches!(self, Self::Better | Self::BetterByTopology)
    }

    /// The same comparison told of B.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Better => Self::Worse,
            Self::BetterByTopology => Self::WorseByTopology,
            Self::Equal => Self::Equal,
            Self::WorseByTopology => Self::BetterByTopology,
            Self::Worse => Self::Better,
        }
    }
}

/// Compares two clocks by the data set comparison algorithm, both parts (IEEE 1588-2019, 9.3.4).
pub fn compare(a: &Candidate, b: &Candidate) -> Comparison {
    if a.dataset.grandmaster == b.dataset.grandmaster {
        return compare_paths(a, b);
    }
    match compare_clocks(&a.dataset, &b.dataset) {
        Ordering::Less => Comparison::Better,
        // The identities differ, so the order is never equal.
        Ordering::Equal => Comparison::Equal,
        Ordering::Greater => Comparison::Worse,
    }
}

/// The comparison's first part, of two different grandmasters: the lesser is the better. Equal only where the
/// grandmasters are one.
pub fn compare_clocks(a: &DataSet, b: &DataSet) -> Ordering {
    let rank = |d: &DataSet| (d.priority1, d.quality, d.priority2, d.grandmaster);
    rank(a).cmp(&rank(b))
}

/// The comparison's second part, of two paths to one grandmaster.
fn compare_paths(a: &Candidate, b: &Candidate) -> Comparison {
    match a.dataset.steps_removed.cmp(&b.dataset.steps_removed) {
        Ordering::Less => nearer(a, b),
        Ordering::Greater => nearer(b, a).reversed(),
        Ordering::Equal => {
            let rank = |c: &Candidate| (c.sender, c.receiver.port);
            match rank(a).cmp(&rank(b)) {
                Ordering::Less => Comparison::BetterByTopology,
                Ordering::Equal => Comparison::Equal,
                Ordering::Greater => Comparison::WorseByTopology,
            }
        }
    }
}

/// What is said of the candidate with fewer steps.
fn nearer(near: &Candidate, far: &Candidate) -> Comparison {
    if far.dataset.steps_removed.abs_diff(near.dataset.steps_removed) > 1 {
        return Comparison::Better;
    }
    match far.receiver.cmp(&far.sender) {
        Ordering::Less => Comparison::Better,
        Ordering::Equal => Comparison::Equal,
        Ordering::Greater => Comparison::BetterByTopology,
    }
}

/// Why an Announce takes no part in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// We sent it ourselves.
    FromOurselves,
    /// It names us as its grandmaster: a follower of ours passes on what we said.
    OurGrandmaster,
    /// stepsRemoved is [`STEPS_REMOVED_LIMIT`] or more.
    TooManySteps,
    /// Its path leads through us.
    PathThroughUs,
}

/// Whether an Announce from `source` may take part in the election of the clock `ours` (IEEE 1588-2019,
/// 9.3.2.5 and 16.2).
///
/// # Errors
/// The first [`Refusal`] that applies, in the order of its variants.
pub fn qualified(announce: &Announce, source: PortIdentity, ours: ClockIdentity) -> Result<(), Refusal> {
    if source.clock == ours {
        Err(Refusal::FromOurselves)
    } else if announce.dataset.grandmaster == ours {
        Err(Refusal::OurGrandmaster)
    } else if announce.dataset.steps_removed >= STEPS_REMOVED_LIMIT {
        Err(Refusal::TooManySteps)
    } else if announce.path_trace.is_some_and(|path| path.contains(ours)) {
        Err(Refusal::PathThroughUs)
    } else {
        Ok(())
    }
}
