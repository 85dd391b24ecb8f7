//! The slots sessions live in, and the tokens that name them: static memory, so that a token of a session long gone is
//! looked up as safely as any other.
#![forbid(unsafe_code)]

use super::lease::{Lease, Read, FIRST_GENERATION, GENERATION_BITS, GENERATION_MASK, SLOT_BITS};
use crate::engine::{Published, SessionId, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::timeline::Timeline;

/// Sessions of one process at the same time.
pub const MAX_SESSIONS: usize = 1 << SLOT_BITS;

/// Names a session: the number of its slot and which use of that slot it is. Never zero, never an address: on 64-bit
/// systems its top bits make it one that no processor accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// The rest of a 64-bit token, between the greatest and the least canonical address.
const TAG: u64 = if usize::BITS >= 64 { 0x2d7 << (SLOT_BITS + GENERATION_BITS) | 1 << 63 } else { 0 };

/// Static memory of one session, in bytes.
pub const SLOT_BYTES: usize = std::mem::size_of::<Slot>();

/// The place of one session.
pub struct Slot {
    /// Who has it.
    pub lease: Lease,
    /// What the worker says of the session.
    pub published: Published,
}

static SLOTS: [Slot; MAX_SESSIONS] =
    [const { Slot { lease: Lease::new(), published: Published::new() } }; MAX_SESSIONS];

impl Token {
    fn new(slot: usize, generation: u64) -> Self {
        Self(TAG | (generation & GENERATION_MASK) << SLOT_BITS | slot as u64)
    }

    /// From a number that a caller holds for a token.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number a caller may hold.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The slot this token may be of, and which use of it.
    pub fn slot(self) -> Option<(&'static Slot, u64)> {
        let slot = SLOTS.get((self.0 & (MAX_SESSIONS as u64 - 1)) as usize)?;
        let generation = self.0 >> SLOT_BITS & GENERATION_MASK;
        let whole = TAG | generation << SLOT_BITS | self.0 & (MAX_SESSIONS as u64 - 1);
        (whole == self.0).then_some((slot, generation))
    }

    /// The whole of it: a late command must not reach the next session of the slot.
    pub fn id(self) -> SessionId {
        self.0
    }
}

impl Slot {
    /// The session that this slot was taken for begins, with nothing known of its clock.
    pub fn begin(&self, generation: u64, wall: bool, engine: u64) {
        *self.published.status.lock() = Some(Status::beginning());
        let empty = Timeline::beginning().to_words();
        self.lease.begin(generation, &self.published.clock, &empty, wall, engine);
    }

    /// The first words of the session's clock.
    #[inline]
    pub fn words<const M: usize>(&self, generation: u64) -> Read<[u64; M]> {
        self.lease.read(generation, &self.published.clock)
    }

    /// Everything the worker has published of the session.
    pub fn status(&self, generation: u64) -> Read<Status> {
        self.lease.check(generation)?;
        let status = *self.published.status.lock();
        // The next session locked it after this one had ended: who sees its status sees that, too.
        self.lease.check(generation)?;
        status.ok_or(ErrorKind::NoSession)
    }
}

/// Takes a free slot.
///
/// # Errors
/// [`ErrorKind::Limit`] if there is none.
pub fn reserve() -> Result<(Token, &'static Slot, u64)> {
    // A slot never used starts anywhere, so that a made-up token is no session's.
    let take = |(number, slot): (usize, &'static Slot)| {
        let generation = slot.lease.take(|| first_generation(number))?;
        Some((Token::new(number, generation), slot, generation))
    };
    SLOTS.iter().enumerate().find_map(take).ok_or_else(|| {
        Error::new(ErrorKind::Limit, format!("There are {MAX_SESSIONS} sessions already: stop some first."))
    })
}

fn first_generation(slot: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(slot) & GENERATION_MASK).max(FIRST_GENERATION)
}

/// The worker has panicked: nobody serves its sessions any more. Called on the worker, which is the only one at the
/// time.
pub fn fail_sessions() {
    SLOTS.iter().for_each(|slot| slot.lease.fail());
}

/// In a child made by fork: no session is one there. Only stores to atomics.
#[cfg(unix)]
pub fn forget_sessions() {
    SLOTS.iter().for_each(|slot| slot.lease.forget());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Conversion, SyncState};

    #[test]
    fn a_session_begins_with_nothing_of_the_one_before() {
        let slot = Slot { lease: Lease::new(), published: Published::new() };
        let first = slot.lease.take(|| 1).unwrap();
        slot.begin(first, true, 1);
        slot.published.clock.write(&[7; Timeline::WORDS]);
        *slot.published.status.lock() = None;
        assert_eq!(slot.words::<1>(first), Ok([7]));
        assert!(slot.lease.close(first).is_some());
        slot.lease.retire(first);

        let second = slot.lease.take(|| 1).unwrap();
        assert_ne!(first, second);
        assert_eq!(slot.words::<1>(second), Err(ErrorKind::NoSession));
        slot.begin(second, false, 2);
        assert_eq!(slot.words::<1>(first), Err(ErrorKind::NoSession));
        let conversion = Conversion::from_words(&slot.words(second).unwrap());
        assert_eq!(conversion.sync_state, SyncState::Silent);
        // Also where the worker could not publish it the first time.
        let status = slot.status(second).unwrap();
        assert_eq!(status.timeline.conversion, conversion);
        assert_eq!(slot.lease.counts_in_wall_clock(second), Ok(false));
    }
}
