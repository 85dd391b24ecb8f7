//! Pairs Sync with Follow_Up by sequenceId, in either order, each once; and keeps out what cannot be next.
#![forbid(unsafe_code)]

use super::counters::Refusal;
use crate::time::{Correction, LocalTime, PtpTime, Span, Timestamp};
use crate::wire::ClockIdentity;

/// Syncs kept open or remembered as done: one second of them at the usual 8 a second (field guide 3.1), and as much
/// again for Follow_Ups that are overtaken.
const SLOTS: usize = 16;

/// Follow_Ups kept whose Sync is still to come: they overtake it on the way or in our sockets, by one Sync or two.
const EARLY_SLOTS: usize = 8;

/// A half older than this is no longer paired, and a pair older than this no longer makes a later one a duplicate, nor
/// says which sequenceId is next: a restarted receiver repeats its sequence ids (field guide 1.11).
const MEMORY: Span = Span::from_millis(1_000);

/// While pairs come, the next sequenceId is at most so far ahead: a second of losses at 8 a second, and eight peers
/// that share the sender's counter.
const AHEAD: u16 = 64;

/// A Sync and its Follow_Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Shared by both.
    pub sequence: u16,
    /// When the Sync arrived; of several with its id, the latest before the Follow_Up.
    pub arrived: LocalTime,
    /// When the first of those arrived.
    pub first_arrived: LocalTime,
    /// When the Sync left: preciseOriginTimestamp plus both correction fields (field guide 1.2).
    pub left: PtpTime,
    /// Whose timeline it is, where the Follow_Up says so (Apple clock TLV).
    pub timeline: Option<ClockIdentity>,
}

/// What a Follow_Up tells of its Sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// preciseOriginTimestamp.
    pub precise_origin: Timestamp,
    /// Its own correctionField.
    pub correction: Correction,
    /// Its Apple clock TLV.
    pub timeline: Option<ClockIdentity>,
}

/// A Sync as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    /// sequenceId.
    pub sequence: u16,
    /// Its own correctionField.
    pub correction: Correction,
    /// When it arrived.
    pub arrived: LocalTime,
    /// Which of the receiver's addresses it came from.
    pub peer: u8,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    sync: Sync,
    /// When the first Sync arrived that is like this one.
    first_arrived: LocalTime,
    /// When it came in.
    since: LocalTime,
    /// The Follow_Up that was paired with it, of use or not.
    follow_up: Option<FollowUp>,
    /// Paired, or given up.
    done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Early {
    sequence: u16,
    since: LocalTime,
    peer: u8,
    follow_up: FollowUp,
}

/// The halves of one sender's pairs.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    slots: [Option<Half>; SLOTS],
    next: usize,
    /// Apart from the Syncs: Follow_Ups made up by somebody push out nothing but each other.
    early: [Option<Early>; EARLY_SLOTS],
    next_early: usize,
    /// The highest sequenceId of the pairs that were of use, and when the last of those came.
    last: Option<(u16, LocalTime)>,
    unmatched: u32,
}

impl Pairing {
    /// Forgets everything: another sender, or the same one begun anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a Sync.
    ///
    /// Of several with one id from one address the latest is meant, until a Follow_Up was of use, for one that was made up
    /// comes before the true one; or the first, if the later ones are its copies, which the caller can tell.
    pub fn sync(&mut self, sync: Sync, now: LocalTime) -> Result<Option<Pair>, Refusal> {
        self.expire(now);
        if let Some(half) = self.half(sync.sequence, now) {
            if !half.done && half.sync.peer == sync.peer {
                if half.sync.correction != sync.correction {
                    half.first_arrived = sync.arrived;
                }
                half.sync = sync;
            }
            // Either this one or the one before it is refused.
            return Err(Refusal::Duplicate);
        }
        self.may_be_next(sync.sequence, now)?;
        // Below SLOTS by the remainder, which tells the compiler so.
        let slot = &mut self.slots[self.next % SLOTS];
        self.next = (self.next + 1) % SLOTS;
        let fresh = Half { sync, first_arrived: sync.arrived, since: now, follow_up: None, done: false };
        if slot.replace(fresh).is_some_and(|half| !half.done) {
            self.unmatched = self.unmatched.saturating_add(1);
        }
        let early =
            self.early.iter_mut().find_map(|early| early.take_if(|early| early.sequence == sync.sequence));
        match (early, slot) {
            (Some(early), Some(half)) => half.complete(early.follow_up).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes a Follow_Up that came from the receiver's address `peer`.
    pub fn follow_up(
        &mut self,
        sequence: u16,
        follow_up: FollowUp,
        peer: u8,
        now: LocalTime,
    ) -> Result<Option<Pair>, Refusal> {
        self.expire(now);
        if let Some(half) = self.half(sequence, now) {
            if half.done || half.follow_up == Some(follow_up) {
                return Err(Refusal::Duplicate);
            }
            return half.complete(follow_up).map(Some);
        }
        self.may_be_next(sequence, now)?;
        let fresh = Early { sequence, since: now, peer, follow_up };
        if let Some(early) = self.early.iter_mut().flatten().find(|early| early.sequence == sequence) {
            if early.peer == peer {
                *early = fresh;
            }
            return Err(Refusal::Duplicate);
        }
        let slot = &mut self.early[self.next_early % EARLY_SLOTS];
        self.next_early = (self.next_early + 1) % EARLY_SLOTS;
        if slot.replace(fresh).is_some() {
            self.unmatched = self.unmatched.saturating_add(1);
        }
        Ok(None)
    }

    /// The pair was of use: its id is behind us from now on.
    pub fn used(&mut self, sequence: u16, now: LocalTime) {
        if let Some(half) = self.half(sequence, now) {
            half.done = true;
        }
        let highest = match self.last {
            Some((last, at)) if recent(at, now) && !is_after(sequence, last) => last,
            _ => sequence,
        };
        self.last = Some((highest, now));
    }

    /// Halves given up since the last call: their other half never came.
    pub fn take_unmatched(&mut self) -> u32 {
        std::mem::take(&mut self.unmatched)
    }

    /// Whether a half with this id can be a new one. While pairs come, their ids count up: older ones are replays, and
    /// those far ahead are made up.
    fn may_be_next(&self, sequence: u16, now: LocalTime) -> Result<(), Refusal> {
        match self.last {
            Some((last, at)) if recent(at, now) && !crate::planted::bug("sequence-unchecked") => {
                if !is_after(sequence, last) {
                    Err(Refusal::Duplicate)
                } else if sequence.wrapping_sub(last) > AHEAD {
                    Err(Refusal::Unmatched)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Gives up halves that have waited too long.
    fn expire(&mut self, now: LocalTime) {
        for half in self.slots.iter_mut().flatten() {
            if !half.done && now.since(half.since) > MEMORY {
                half.done = true;
                // A pair that was of no use was told as such.
                self.unmatched = self.unmatched.saturating_add(u32::from(half.follow_up.is_none()));
            }
        }
        for early in &mut self.early {
            if early.take_if(|early| !recent(early.since, now)).is_some() {
                self.unmatched = self.unmatched.saturating_add(1);
            }
        }
    }

    /// The Sync with this id, unless it is from so long ago that the id may be another one's.
    fn half(&mut self, sequence: u16, now: LocalTime) -> Option<&mut Half> {
        let same = |half: &Half| half.sync.sequence == sequence;
        self.slots.iter_mut().flatten().find(|half| same(half) && recent(half.since, now))
    }
}

impl Half {
    /// A Follow_Up that makes no time of it leaves it open: the true one may still come.
    fn complete(&mut self, follow_up: FollowUp) -> Result<Pair, Refusal> {
        self.follow_up = Some(follow_up);
        let left =
            PtpTime::from_wire(follow_up.precise_origin, &[self.sync.correction, follow_up.correction])
                .ok_or(Refusal::Timestamp)?;
        let Sync { sequence, arrived, .. } = self.sync;
        let first_arrived = self.first_arrived.min(arrived);
        Ok(Pair { sequence, arrived, first_arrived, left, timeline: follow_up.timeline })
    }
}

/// Whether `since` is within [`MEMORY`] of `now`, on either side of it.
fn recent(since: LocalTime, now: LocalTime) -> bool {
    now.since(since) <= MEMORY && since.since(now) <= MEMORY
}

/// Whether one sequenceId comes after another; they wrap around (IEEE 1588-2019, 7.3.7).
fn is_after(sequence: u16, other: u16) -> bool {
    (1..=u16::MAX / 2).contains(&sequence.wrapping_sub(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Timestamp = Timestamp { seconds: 100, nanoseconds: 5 };

    fn follow_up(correction: i64) -> FollowUp {
        FollowUp { precise_origin: ORIGIN, correction: ns(correction), timeline: Some(ClockIdentity(9)) }
    }

    fn at(ms: i64) -> LocalTime {
        LocalTime::from_nanos(ms * 1_000_000)
    }

    fn ns(n: i64) -> Correction {
        Correction::from_nanos(n)
    }

    /// A Sync that arrives at `ms` and comes in then.
    fn sync(pairing: &mut Pairing, sequence: u16, ms: i64) -> Result<Option<Pair>, Refusal> {
        let sync = Sync { sequence, correction: ns(0), arrived: at(ms), peer: 0 };
        pairing.sync(sync, at(ms))
    }

    /// Its Follow_Up, whose content is told apart by its correction.
    fn follows(
        pairing: &mut Pairing,
        sequence: u16,
        correction: i64,
        ms: i64,
    ) -> Result<Option<Pair>, Refusal> {
        pairing.follow_up(sequence, follow_up(correction), 0, at(ms))
    }

    /// A pair that was of use.
    fn paired(pairing: &mut Pairing, sequence: u16, ms: i64) {
        assert_eq!(sync(pairing, sequence, ms), Ok(None));
        assert!(follows(pairing, sequence, 0, ms).unwrap().is_some());
        pairing.used(sequence, at(ms));
    }

    #[test]
    fn either_order_gives_the_same_pair() {
        let expected = Pair {
            sequence: 7,
            arrived: at(1),
            first_arrived: at(1),
            left: PtpTime::from_nanos(100_000_000_042).unwrap(),
            timeline: Some(ClockIdentity(9)),
        };
        let sync = Sync { sequence: 7, correction: ns(30), arrived: at(1), peer: 0 };
        let mut pairing = Pairing::default();
        assert_eq!(pairing.sync(sync, at(1)), Ok(None));
        assert_eq!(follows(&mut pairing, 7, 7, 2), Ok(Some(expected)));
        let mut pairing = Pairing::default();
        assert_eq!(follows(&mut pairing, 7, 7, 0), Ok(None));
        assert_eq!(pairing.sync(sync, at(1)), Ok(Some(expected)));
    }

    #[test]
    fn each_pair_is_taken_once_within_its_memory() {
        let mut pairing = Pairing::default();
        paired(&mut pairing, 7, 0);
        assert_eq!(follows(&mut pairing, 7, 0, 3), Err(Refusal::Duplicate));
        assert_eq!(follows(&mut pairing, 7, 1, 3), Err(Refusal::Duplicate));
        assert_eq!(sync(&mut pairing, 7, 4), Err(Refusal::Duplicate));
        // A receiver that restarted repeats its ids.
        assert_eq!(sync(&mut pairing, 7, 1_500), Ok(None));
        assert!(follows(&mut pairing, 7, 0, 1_501).unwrap().is_some());
    }

    #[test]
    fn late_follow_ups_still_find_their_sync() {
        let mut pairing = Pairing::default();
        for sequence in 0..4 {
            assert_eq!(sync(&mut pairing, sequence, 125 * i64::from(sequence)), Ok(None));
        }
        assert!(follows(&mut pairing, 3, 0, 380).unwrap().is_some());
        pairing.used(3, at(380));
        let pair = follows(&mut pairing, 1, 0, 400).unwrap().unwrap();
        assert_eq!(pair.arrived, at(125));
        pairing.used(1, at(400));
        // Which does not make the ids after it new again.
        assert_eq!(follows(&mut pairing, 3, 1, 410), Err(Refusal::Duplicate));
        assert_eq!(follows(&mut pairing, 0, 0, 1_001), Err(Refusal::Duplicate));
    }

    #[test]
    fn ids_never_grow_the_table_and_losses_are_seen() {
        let mut pairing = Pairing::default();
        for sequence in 0..SLOTS as u16 {
            assert_eq!(sync(&mut pairing, sequence, 0), Ok(None));
        }
        assert_eq!(pairing.take_unmatched(), 0);
        assert_eq!(sync(&mut pairing, 99, 1), Ok(None));
        assert_eq!(pairing.take_unmatched(), 1);
        // The oldest half made room.
        assert_eq!(follows(&mut pairing, 0, 0, 2), Ok(None));
        // Follow_Ups without Sync make room for each other, and for nothing else.
        for sequence in 1_000..1_100 {
            assert_eq!(follows(&mut pairing, sequence, 0, 2), Ok(None));
        }
        assert_eq!(pairing.take_unmatched(), 101 - EARLY_SLOTS as u32);
        assert!(follows(&mut pairing, 15, 0, 2).unwrap().is_some());
        // What waits too long is given up: the 15 Syncs that are left, and the Follow_Ups.
        assert_eq!(sync(&mut pairing, 200, 5_000), Ok(None));
        assert_eq!(pairing.take_unmatched(), 15 + EARLY_SLOTS as u32);
    }

    #[test]
    fn while_pairs_come_ids_count_up() {
        let mut pairing = Pairing::default();
        paired(&mut pairing, u16::MAX - 1, 0);
        paired(&mut pairing, u16::MAX, 125);
        paired(&mut pairing, 0, 250);
        for behind in [0, u16::MAX, u16::MAX - 40, u16::MAX / 2 + 1] {
            assert_eq!(sync(&mut pairing, behind, 300), Err(Refusal::Duplicate), "{behind}");
            assert_eq!(follows(&mut pairing, behind, 7, 300), Err(Refusal::Duplicate), "{behind}");
        }
        for ahead in [AHEAD + 1, 1_000, u16::MAX / 2] {
            assert_eq!(sync(&mut pairing, ahead, 300), Err(Refusal::Unmatched), "{ahead}");
            assert_eq!(follows(&mut pairing, ahead, 7, 300), Err(Refusal::Unmatched), "{ahead}");
        }
        paired(&mut pairing, AHEAD, 375);
        // Another count, or the old one from its start: once this one is over.
        paired(&mut pairing, 9_999, 1_500);
        paired(&mut pairing, 3, 3_000);
    }

    #[test]
    fn syncs_made_up_ahead_of_the_true_one_give_way_to_it() {
        let mut pairing = Pairing::default();
        paired(&mut pairing, 7, 0);
        for sequence in 8..16 {
            let _ = sync(&mut pairing, sequence, 3);
        }
        let _ = sync(&mut pairing, 8, 125);
        let pair = follows(&mut pairing, 8, 0, 126).unwrap().unwrap();
        assert_eq!((pair.first_arrived, pair.arrived), (at(3), at(125)));
        // Not those of another address of the receiver: there the first one counts (field guide 1.11).
        pairing.used(8, at(126));
        let _ = sync(&mut pairing, 9, 250);
        let other = Sync { sequence: 9, correction: ns(0), arrived: at(251), peer: 1 };
        assert_eq!(pairing.sync(other, at(251)), Err(Refusal::Duplicate));
        assert_eq!(follows(&mut pairing, 9, 0, 252).unwrap().unwrap().arrived, at(250));
    }

    #[test]
    fn a_follow_up_of_no_use_leaves_room_for_the_true_one() {
        let mut pairing = Pairing::default();
        assert_eq!(sync(&mut pairing, 1, 0), Ok(None));
        for nanoseconds in [1_000_000_000, u32::MAX] {
            let absurd = FollowUp { precise_origin: Timestamp { seconds: 1, nanoseconds }, ..follow_up(0) };
            assert_eq!(pairing.follow_up(1, absurd, 0, at(0)), Err(Refusal::Timestamp));
            assert_eq!(pairing.follow_up(1, absurd, 0, at(0)), Err(Refusal::Duplicate));
        }
        assert!(follows(&mut pairing, 1, 5, 1).unwrap().is_some());
        // Nor was that one of use to the estimate: no `used`. Its copy is a duplicate all the same.
        assert_eq!(follows(&mut pairing, 1, 5, 1), Err(Refusal::Duplicate));
        assert!(follows(&mut pairing, 1, 6, 2).unwrap().is_some());
        // A Sync that came with a correction which none can have.
        let beyond =
            Sync { sequence: 2, correction: Correction::from_scaled(i64::MIN), arrived: at(3), peer: 0 };
        assert_eq!(pairing.sync(beyond, at(3)), Ok(None));
        assert_eq!(follows(&mut pairing, 2, 0, 3), Err(Refusal::Timestamp));
    }
}
