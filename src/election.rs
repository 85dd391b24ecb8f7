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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::wire::PathTrace;

    const US: ClockIdentity = ClockIdentity(0x0200_5e10_0001_0008);
    const THEM: ClockIdentity = ClockIdentity(0x0200_5e20_0002_0008);

    fn port(clock: u64, port: u16) -> PortIdentity {
        PortIdentity { clock: ClockIdentity(clock), port }
    }

    /// A HomePod's data set (field guide 2.4).
    fn homepod() -> DataSet {
        DataSet {
            priority1: 248,
            quality: ClockQuality { class: 248, accuracy: 0x21, variance: 0x436a },
            priority2: 239,
            grandmaster: THEM,
            steps_removed: 0,
        }
    }

    fn announce(dataset: DataSet) -> Announce {
        Announce {
            origin: Timestamp::default(),
            utc_offset: 37,
            dataset,
            time_source: 0xa0,
            path_trace: None,
        }
    }

    /// Compares both ways and insists that the two answers agree.
    fn checked(a: &Candidate, b: &Candidate) -> Comparison {
        let forth = compare(a, b);
        assert_eq!(compare(b, a), forth.reversed());
        forth
    }

    fn theirs(dataset: DataSet) -> Candidate {
        let ours = PortIdentity { clock: US, port: 0x8005 };
        Candidate::announced(&announce(dataset), PortIdentity { clock: THEM, port: 0x8075 }, ours)
    }

    #[test]
    fn clocks_rank_by_priority_as_the_guide_has_them() {
        // Field guide 4: iOS, 246, 247, the receivers, the Mac, a clock that only follows.
        let ranking = [128, 246, 247, 248, 250, 255];
        for (place, better) in ranking.iter().enumerate() {
            for worse in &ranking[place + 1..] {
                // All else speaks for the other one.
                let a = DataSet {
                    priority1: *better,
                    quality: ClockQuality { class: 255, accuracy: 0xff, variance: 0xffff },
                    priority2: 255,
                    grandmaster: ClockIdentity(u64::MAX),
                    steps_removed: 200,
                };
                let b = DataSet {
                    priority1: *worse,
                    quality: ClockQuality { class: 0, accuracy: 0, variance: 0 },
                    priority2: 0,
                    grandmaster: ClockIdentity(1),
                    steps_removed: 0,
                };
                assert_eq!(checked(&theirs(a), &theirs(b)), Comparison::Better, "{better} {worse}");
            }
        }
    }

    #[test]
    fn a_homepod_beats_our_mac_and_loses_to_our_ios() {
        let mac = Candidate::own(Advertisement::mac(US).dataset, US);
        let ios = Candidate::own(Advertisement::ios(US).dataset, US);
        assert_eq!(checked(&theirs(homepod()), &mac), Comparison::Better);
        assert!(compare(&theirs(homepod()), &mac).is_better());
        assert_eq!(checked(&theirs(homepod()), &ios), Comparison::Worse);
        // A clock that only follows loses to either.
        let follower = theirs(DataSet { priority1: 255, ..homepod() });
        assert_eq!(checked(&mac, &follower), Comparison::Better);
    }

    #[test]
    fn each_field_decides_where_those_before_it_are_equal() {
        let base = homepod();
        // From the last to the first: each is worse in its field, and better in all that come after.
        let mut after = DataSet { grandmaster: ClockIdentity(1), steps_removed: 0, ..base };
        let worse: [fn(&mut DataSet); 5] = [
            |d| d.priority2 += 1,
            |d| d.quality.variance += 1,
            |d| d.quality.accuracy += 1,
            |d| d.quality.class += 1,
            |d| d.priority1 += 1,
        ];
        let better: [fn(&mut DataSet); 5] = [
            |d| d.priority2 = 0,
            |d| d.quality.variance = 0,
            |d| d.quality.accuracy = 0,
            |d| d.quality.class = 0,
            |d| d.priority1 = 0,
        ];
        for (worsen, improve) in worse.iter().zip(better) {
            let mut other = after;
            worsen(&mut other);
            assert_eq!(checked(&theirs(base), &theirs(other)), Comparison::Better, "{other:?}");
            improve(&mut after);
            assert_eq!(checked(&theirs(base), &theirs(after)), Comparison::Worse, "{after:?}");
        }
    }

    #[test]
    fn a_tie_goes_to_the_lesser_identity_unsigned() {
        let of = |id| theirs(DataSet { grandmaster: ClockIdentity(id), ..homepod() });
        assert_eq!(checked(&of(0x14 << 56), &of(0xfe << 56)), Comparison::Better);
        assert_eq!(checked(&of(7), &of(6)), Comparison::Worse);
        // Steps do not count between different grandmasters.
        let far = theirs(DataSet { grandmaster: ClockIdentity(1), steps_removed: 200, ..homepod() });
        assert_eq!(checked(&far, &of(2)), Comparison::Better);
    }

    /// One grandmaster seen through `sender`, `steps` away, by `receiver`.
    fn path(steps: u16, sender: PortIdentity, receiver: PortIdentity) -> Candidate {
        Candidate { dataset: DataSet { steps_removed: steps, ..homepod() }, sender, receiver }
    }

    #[test]
    fn of_two_paths_the_clearly_shorter_is_better() {
        let (s, r) = (port(10, 1), port(20, 1));
        assert_eq!(checked(&path(1, s, r), &path(3, s, r)), Comparison::Better);
        assert_eq!(checked(&path(0, s, r), &path(u16::MAX, s, r)), Comparison::Better);
        // Then not even the priorities are looked at: they are the same grandmaster's.
        let mut near = path(1, s, r);
        near.dataset.priority1 = 255;
        assert_eq!(checked(&near, &path(3, s, r)), Comparison::Better);
    }

    #[test]
    fn of_two_paths_one_step_apart_the_longer_ones_ends_decide() {
        let near = path(1, port(10, 1), port(20, 1));
        let far = |sender, receiver| path(2, port(sender, 1), port(receiver, 1));
        // Receiver below sender: better outright; above it: by topology; its own message: no answer.
        assert_eq!(checked(&near, &far(30, 20)), Comparison::Better);
        assert_eq!(checked(&near, &far(15, 20)), Comparison::BetterByTopology);
        assert_eq!(checked(&near, &far(20, 20)), Comparison::Equal);
    }

    #[test]
    fn of_two_equal_paths_sender_then_receiving_port_decide() {
        let at = |sender, receiver| path(1, sender, receiver);
        let r = port(20, 1);
        assert_eq!(checked(&at(port(10, 9), r), &at(port(11, 1), r)), Comparison::BetterByTopology);
        assert_eq!(checked(&at(port(10, 1), r), &at(port(10, 2), r)), Comparison::BetterByTopology);
        assert_eq!(
            checked(&at(port(10, 1), port(20, 1)), &at(port(10, 1), port(20, 2))),
            Comparison::BetterByTopology
        );
        assert_eq!(checked(&at(port(10, 1), r), &at(port(10, 1), r)), Comparison::Equal);
        assert!(Comparison::BetterByTopology.is_better());
        assert!(!Comparison::Equal.is_better() && !Comparison::WorseByTopology.is_better());
    }

    #[test]
    fn our_data_sets_are_the_guides() {
        // Field guide 2.4.
        let mac = Advertisement::mac(US);
        assert_eq!((mac.dataset.priority1, mac.dataset.priority2, mac.time_source), (250, 128, 0xa0));
        assert_eq!(mac.dataset.quality, ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff });
        let ios = Advertisement::ios(US);
        assert_eq!((ios.dataset.priority1, ios.dataset.priority2, ios.time_source), (128, 128, 0x20));
        assert_eq!(ios.dataset.quality, ClockQuality { class: 6, accuracy: 0x21, variance: 0x436a });
        assert_eq!((mac.utc_offset, ios.utc_offset), (37, 0));
        assert_eq!((mac.dataset.grandmaster, ios.dataset.steps_removed), (US, 0));
    }

    #[test]
    fn announces_that_lead_back_to_us_do_not_qualify() {
        let source = PortIdentity { clock: THEM, port: 0x8075 };
        let good = announce(homepod());
        assert_eq!(qualified(&good, source, US), Ok(()));
        // Another of our ports is still us.
        let ourselves = PortIdentity { clock: US, port: 1 };
        assert_eq!(qualified(&good, ourselves, US), Err(Refusal::FromOurselves));
        let ours = announce(DataSet { grandmaster: US, ..homepod() });
        assert_eq!(qualified(&ours, source, US), Err(Refusal::OurGrandmaster));
        for (steps, answer) in
            [(254, Ok(())), (255, Err(Refusal::TooManySteps)), (u16::MAX, Err(Refusal::TooManySteps))]
        {
            let far = announce(DataSet { steps_removed: steps, ..homepod() });
            assert_eq!(qualified(&far, source, US), answer, "{steps}");
        }
        let through = |path: &[ClockIdentity]| {
            let path_trace: Option<PathTrace> = Some(path.iter().copied().collect());
            qualified(&Announce { path_trace, ..good }, source, US)
        };
        assert_eq!(through(&[]), Ok(()));
        assert_eq!(through(&[THEM]), Ok(()));
        assert_eq!(through(&[THEM, US]), Err(Refusal::PathThroughUs));
    }
}
