//! The slots sessions live in, and the tokens that name them: static memory, so that a token of a session long gone is
//! looked up as safely as any other.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::{Published, SessionId};
use crate::error::{Error, ErrorKind, Result};

/// Sessions of one process at the same time.
pub const MAX_SESSIONS: usize = 1_024;

/// Names a session: the number of its slot and which use of that slot it is. Never zero, never an address: on 64-bit
/// systems its top bits make it one that no processor accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// Bits of a slot's number in a token; 2 to their power is [`MAX_SESSIONS`].
const SLOT_BITS: u32 = 10;

/// Bits of the generation in a token: what a pointer has room for.
const GENERATION_BITS: u32 = if usize::BITS >= 64 { 32 } else { 32 - SLOT_BITS };

/// The rest of a 64-bit token, between the greatest and the least canonical address.
const TAG: u64 = if usize::BITS >= 64 { 0x2d7 << (SLOT_BITS + GENERATION_BITS) | 1 << 63 } else { 0 };

const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// The least generation: with 0, and no tag on 32-bit systems, the first slot's token would be null.
const FIRST_GENERATION: u64 = 1;

/// What a slot is used for. Stored below its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Phase {
    /// Nobody's.
    Free = 0,
    /// Somebody is about to start.
    Reserved = 1,
    /// In use.
    Live = 2,
    /// Somebody is about to stop.
    Closing = 3,
    /// The worker panicked.
    Failed = 4,
}

const PHASE_BITS: u32 = 3;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;

/// Static memory of one session, in bytes.
pub const SLOT_BYTES: usize = std::mem::size_of::<Slot>();

/// The place of one session.
pub struct Slot {
    /// Generation and phase.
    state: AtomicU64,
    /// The session's local times count in the wall clock.
    pub wall: AtomicBool,
    /// Which engine serves it.
    pub engine: AtomicU64,
    /// What the worker says of the session.
    pub published: Published,
}

static SLOTS: [Slot; MAX_SESSIONS] = [const {
    Slot {
        state: AtomicU64::new(0),
        wall: AtomicBool::new(false),
        engine: AtomicU64::new(0),
        published: Published::new(),
    }
}; MAX_SESSIONS];

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
    /// Whether this slot is in use by the session of this generation.
    #[inline]
    pub fn check(&self, generation: u64) -> std::result::Result<(), ErrorKind> {
        let state = self.state.load(Ordering::Acquire);
        if state >> PHASE_BITS != generation {
            return Err(ErrorKind::NoSession);
        }
        match state & PHASE_MASK {
            phase if phase == Phase::Live as u64 || phase == Phase::Closing as u64 => Ok(()),
            phase if phase == Phase::Failed as u64 => Err(ErrorKind::Internal),
            _ => Err(ErrorKind::NoSession),
        }
    }

    /// Moves from one phase to another within a generation; tells whether it was in the former.
    pub fn change(&self, generation: u64, from: Phase, to: Phase) -> bool {
        let state = |phase| generation << PHASE_BITS | phase as u64;
        self.state.compare_exchange(state(from), state(to), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends this generation.
    pub fn retire(&self, generation: u64) {
        let next = (generation.wrapping_add(1) & GENERATION_MASK).max(FIRST_GENERATION);
        self.state.store(next << PHASE_BITS | Phase::Free as u64, Ordering::Release);
    }
}

/// Takes a free slot.
///
/// # Errors
/// [`ErrorKind::Limit`] if there is none.
pub fn reserve() -> Result<(Token, &'static Slot, u64)> {
    for (number, slot) in SLOTS.iter().enumerate() {
        let state = slot.state.load(Ordering::Acquire);
        let generation = state >> PHASE_BITS;
        // A slot never used starts anywhere, so that a made-up token is no session's.
        let first = if state == 0 { first_generation(number) } else { generation };
        let reserved = first << PHASE_BITS | Phase::Reserved as u64;
        if state & PHASE_MASK == Phase::Free as u64
            && slot.state.compare_exchange(state, reserved, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            return Ok((Token::new(number, first), slot, first));
        }
    }
    Err(Error::new(ErrorKind::Limit, format!("There are {MAX_SESSIONS} sessions already: stop some first.")))
}

fn first_generation(slot: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(slot) & GENERATION_MASK).max(FIRST_GENERATION)
}

/// The worker has panicked: nobody serves its sessions any more. Called on the worker, which is the only one at the
/// time.
pub fn fail_sessions() {
    for slot in &SLOTS {
        let generation = slot.state.load(Ordering::Acquire) >> PHASE_BITS;
        let _ = slot.change(generation, Phase::Live, Phase::Failed);
    }
}

/// In a child made by fork: no session is one there. Only stores to atomics.
#[cfg(unix)]
#[cfg(unix)]
pub fn forget_sessions() {
    for slot in &SLOTS {
        let state = slot.state.load(Ordering::Relaxed);
        if state & PHASE_MASK != Phase::Free as u64 {
            slot.retire(state >> PHASE_BITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_come_round_without_the_one_of_null() {
        let slot = Slot {
            state: AtomicU64::new(0),
            wall: AtomicBool::new(false),
            engine: AtomicU64::new(0),
            published: Published::new(),
        };
        slot.retire(GENERATION_MASK);
        assert_eq!(slot.state.load(Ordering::Relaxed), FIRST_GENERATION << PHASE_BITS | Phase::Free as u64);
        slot.retire(FIRST_GENERATION);
        assert!(slot.change(FIRST_GENERATION + 1, Phase::Free, Phase::Reserved));
        assert_eq!(slot.check(FIRST_GENERATION), Err(ErrorKind::NoSession));
    }
}
