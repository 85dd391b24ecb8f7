//! Pairs Sync with Follow_Up by sequenceId, in either order, each once.
#![forbid(unsafe_code)]

use super::counters::Refusal;
use crate::time::{Correction, LocalTime, PtpTime, Span, Timestamp};
use crate::wire::ClockIdentity;

/// Syncs kept open or remembered as done: one second of them at the usual 8 a second (field guide 3.1), and as much
/// again for Follow_Ups that are overtaken.
const SLOTS: usize = 16;

/// A half older than this is no longer paired, and a pair older than this no longer makes a later one a duplicate: a
/// restarted receiver repeats its sequence ids (field guide 1.11).
const MEMORY: Span = Span::from_millis(1_000);

/// A Sync and its Follow_Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Shared by both.
    pub sequence: u16,
    /// When the Sync arrived.
    pub arrived: LocalTime,
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

#[derive(Clone, Copy, Debug)]
struct Half {
    sequence: u16,
    /// When the first half came in.
    since: LocalTime,
    sync: Option<(LocalTime, Correction)>,
    follow_up: Option<FollowUp>,
    /// Paired, or given up.
    done: bool,
}

/// The halves of one sender's pairs.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    slots: [Option<Half>; SLOTS],
    next: usize,
    unmatched: u32,
}

impl Pairing {
    /// Forgets everything: another sender, or the same one begun anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a Sync that arrived at `arrived`.
    pub fn sync(
        &mut self,
        sequence: u16,
        correction: Correction,
        arrived: LocalTime,
        now: LocalTime,
    ) -> Result<Option<Pair>, Refusal> {
        let half = self.half(sequence, now);
        if half.sync.is_some() {
            return Err(Refusal::Duplicate);
        }
        half.sync = Some((arrived, correction));
        half.complete()
    }

    /// Takes a Follow_Up.
    pub fn follow_up(
        &mut self,
        sequence: u16,
        follow_up: FollowUp,
        now: LocalTime,
    ) -> Result<Option<Pair>, Refusal> {
        let half = self.half(sequence, now);
        if half.follow_up.is_some() {
            return Err(Refusal::Duplicate);
        }
        half.follow_up = Some(follow_up);
        half.complete()
    }

    /// Halves given up since the last call: their other half never came.
    pub fn take_unmatched(&mut self) -> u32 {
        std::mem::take(&mut self.unmatched)
    }

    /// Gives up halves that have waited too long.
    fn expire(&mut self, now: LocalTime) {
        for half in self.slots.iter_mut().flatten() {
            if !half.done && now.since(half.since) > MEMORY {
                half.done = true;
                self.unmatched = self.unmatched.saturating_add(1);
            }
        }
    }

    fn half(&mut self, sequence: u16, now: LocalTime) -> &mut Half {
        self.expire(now);
        let fresh = Half { sequence, since: now, sync: None, follow_up: None, done: false };
        let known = self.slots.iter().position(|slot| slot.is_some_and(|half| half.sequence == sequence));
        let (index, reuse) = match known {
            Some(index) => {
                let young =
                    self.slots.get(index).copied().flatten().is_some_and(|half| {
                        now.since(half.since) <= MEMORY && half.since.since(now) <= MEMORY
                    });
                (index, young)
            }
            None => {
                let index = self.next;
                self.next = (self.next + 1) % SLOTS;
                (index, false)
            }
        };
        // `index` is below SLOTS either way; the remainder says so to the compiler.
        let slot = &mut self.slots[index % SLOTS];
        if !reuse && slot.take().is_some_and(|half| !half.done) {
            self.unmatched = self.unmatched.saturating_add(1);
        }
        slot.get_or_insert(fresh)
    }
}

impl Half {
    fn complete(&mut self) -> Result<Option<Pair>, Refusal> {
        let (Some((arrived, correction)), Some(follow_up)) = (self.sync, self.follow_up) else {
            return Ok(None);
        };
        self.done = true;
        let left = PtpTime::from_wire(follow_up.precise_origin, &[correction, follow_up.correction])
            .ok_or(Refusal::Timestamp)?;
        Ok(Some(Pair { sequence: self.sequence, arrived, left, timeline: follow_up.timeline }))
    }
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

    #[test]
    fn either_order_gives_the_same_pair() {
        let expected = Pair {
            sequence: 7,
            arrived: at(1),
            left: PtpTime::from_nanos(100_000_000_042).unwrap(),
            timeline: Some(ClockIdentity(9)),
        };
        let mut pairing = Pairing::default();
        assert_eq!(pairing.sync(7, ns(30), at(1), at(1)), Ok(None));
        assert_eq!(pairing.follow_up(7, follow_up(7), at(2)), Ok(Some(expected)));
        let mut pairing = Pairing::default();
        assert_eq!(pairing.follow_up(7, follow_up(7), at(0)), Ok(None));
        assert_eq!(pairing.sync(7, ns(30), at(1), at(1)), Ok(Some(expected)));
    }

    #[test]
    fn each_half_is_taken_once_within_its_memory() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.sync(7, ns(0), at(0), at(0)), Ok(None));
        assert_eq!(pairing.sync(7, ns(0), at(1), at(1)), Err(Refusal::Duplicate));
        assert!(pairing.follow_up(7, follow_up(0), at(2)).unwrap().is_some());
        assert_eq!(pairing.follow_up(7, follow_up(0), at(3)), Err(Refusal::Duplicate));
        assert_eq!(pairing.sync(7, ns(0), at(4), at(4)), Err(Refusal::Duplicate));
        // A receiver that restarted repeats its ids.
        assert_eq!(pairing.sync(7, ns(0), at(1_500), at(1_500)), Ok(None));
        assert!(pairing.follow_up(7, follow_up(0), at(1_501)).unwrap().is_some());
    }

    #[test]
    fn late_follow_ups_still_find_their_sync() {
        let mut pairing = Pairing::default();
        for sequence in 0..4 {
            let t = at(125 * i64::from(sequence));
            assert_eq!(pairing.sync(sequence, ns(0), t, t), Ok(None));
        }
        let pair = pairing.follow_up(1, follow_up(0), at(400)).unwrap().unwrap();
        assert_eq!(pair.arrived, at(125));
        // One that comes a second and more after its Sync is a half of its own.
        assert_eq!(pairing.follow_up(0, follow_up(0), at(1_001)), Ok(None));
    }

    #[test]
    fn ids_never_grow_the_table_and_losses_are_seen() {
        let mut pairing = Pairing::default();
        for sequence in 0..SLOTS as u16 {
            assert_eq!(pairing.sync(sequence, ns(0), at(0), at(0)), Ok(None));
        }
        assert_eq!(pairing.take_unmatched(), 0);
        assert_eq!(pairing.sync(99, ns(0), at(1), at(1)), Ok(None));
        assert_eq!(pairing.take_unmatched(), 1);
        // The oldest half made room.
        assert_eq!(pairing.follow_up(0, follow_up(0), at(2)), Ok(None));
        assert!(pairing.follow_up(15, follow_up(0), at(2)).unwrap().is_some());
    }

    #[test]
    fn absurd_times_are_refused() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.sync(1, Correction::from_scaled(i64::MIN), at(0), at(0)), Ok(None));
        assert_eq!(pairing.follow_up(1, follow_up(0), at(0)), Err(Refusal::Timestamp));
        assert_eq!(pairing.sync(2, ns(0), at(0), at(0)), Ok(None));
        let bad =
            FollowUp { precise_origin: Timestamp { seconds: 1, nanoseconds: 1_000_000_000 }, ..follow_up(0) };
        assert_eq!(pairing.follow_up(2, bad, at(0)), Err(Refusal::Timestamp));
    }
}
