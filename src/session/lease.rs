//! Who has a slot: its state machine, of atomics alone. No lock stands between a token and the answer whether its session
//! still is, and the models of `tests/loom` run this very file.
//!
//! A reader checks that the slot is still its session's, reads, and checks again: what it read between two checks that
//! agree is of its session. Orderings, each shown to be needed:
//! - [`Lease::begin`] stores Live with Release, after the clock has been emptied: a check that sees Live (Acquire) sees
//!   nothing older, however its caller came by the token.
//! - The second check comes after an Acquire of what was read: the latch's fence, or the load of the choice of the local
//!   clock. All that the slot's next session stores comes after a Release fence, of the emptied clock. So who has seen
//!   any of it sees that the former session has ended; the stores and the check itself may be Relaxed.
//! - [`Lease::retire`] is a Release and [`Lease::take`] an Acquire: the next session's writer of the clock goes on where
//!   the last one's ended.
//! - [`Lease::close`] is an Acquire, so that the winner knows the engine that [`Lease::begin`] stored. All changes but
//!   `begin` and `retire` are compare-exchanges: they carry on what those released, and need no Release of their own.
#![forbid(unsafe_code)]

#[cfg(loom)]
use crate::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::ErrorKind;
use crate::latch::Latch;
use crate::planted::{bug, unless_relaxed};

/// Bits of a slot's number in a token.
pub const SLOT_BITS: u32 = 10;

/// Bits of the generation in a token: what a pointer has room for. After so many uses of one slot (2^32, or 2^22 where
/// pointers have 32 bits) a token comes again.
pub const GENERATION_BITS: u32 = if usize::BITS >= 64 { 32 } else { 32 - SLOT_BITS };

/// The bits themselves.
pub const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// The least generation: with 0, and no tag on 32-bit systems, the first slot's token would be null.
pub const FIRST_GENERATION: u64 = 1;

/// What a slot is used for. Stored below its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Phase {
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

/// What a read of a slot gives.
pub type Read<T> = Result<T, ErrorKind>;

/// A session that its caller, and nobody else, is to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Which engine serves it.
    pub engine: u64,
    /// That engine's worker has panicked.
    pub failed: bool,
}

/// Who has a slot, and the little that is known of a session without asking the worker.
#[derive(Debug)]
pub struct Lease {
    /// Generation and phase.
    state: AtomicU64,
    /// The session's local times count in the wall clock.
    wall: AtomicBool,
    /// Which engine serves it.
    engine: AtomicU64,
}

const fn state(generation: u64, phase: Phase) -> u64 {
    generation << PHASE_BITS | phase as u64
}

impl Lease {
    /// A slot never used.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { state: AtomicU64::new(0), wall: AtomicBool::new(false), engine: AtomicU64::new(0) }
    }

    /// A slot never used. Loom's atomics are not made at compile time.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { state: AtomicU64::new(0), wall: AtomicBool::new(false), engine: AtomicU64::new(0) }
    }

    /// Takes the slot if it is free, and gives its generation: `first` if it was never used.
    pub fn take(&self, first: impl FnOnce() -> u64) -> Option<u64> {
        let free = self.state.load(Ordering::Relaxed);
        if free & PHASE_MASK != Phase::Free as u64 {
            return None;
        }
        let generation = if free == 0 { first() } else { free >> PHASE_BITS };
        let acquire = unless_relaxed("slot-take-relaxed", Ordering::Acquire);
        let taken =
            self.state.compare_exchange(free, state(generation, Phase::Reserved), acquire, Ordering::Relaxed);
        (taken.is_ok() || bug("slot-take-shared")).then_some(generation)
    }

    /// The session that the slot was taken for begins: from now on its token finds it, with `empty` for its clock until
    /// the worker knows better. Only for who took the slot.
    pub fn begin<const N: usize>(
        &self,
        generation: u64,
        clock: &Latch<N>,
        empty: &[u64; N],
        wall: bool,
        engine: u64,
    ) {
        if !bug("slot-clock-kept") {
            clock.write(empty);
        }
        self.engine.store(engine, Ordering::Relaxed);
        self.wall.store(wall, Ordering::Relaxed);
        let release = unless_relaxed("slot-begin-relaxed", Ordering::Release);
        self.state.store(state(generation, Phase::Live), release);
    }

    /// Whether the session of this generation still has the slot.
    #[inline]
    pub fn check(&self, generation: u64) -> Read<()> {
        Self::judge(self.state.load(unless_relaxed("slot-check-relaxed", Ordering::Acquire)), generation)
    }

    /// The same once more, of what was read after a check with an Acquire of its own.
    #[inline]
    fn check_again(&self, generation: u64) -> Read<()> {
        if bug("slot-checked-once") {
            return Ok(());
        }
        Self::judge(self.state.load(Ordering::Relaxed), generation)
    }

    #[inline]
    fn judge(found: u64, generation: u64) -> Read<()> {
        if found >> PHASE_BITS != generation {
            return Err(ErrorKind::NoSession);
        }
        match found & PHASE_MASK {
            phase if phase == Phase::Live as u64 || phase == Phase::Closing as u64 => Ok(()),
            phase if phase == Phase::Failed as u64 => Err(ErrorKind::Internal),
            _ => Err(ErrorKind::NoSession),
        }
    }

    /// The first words of the session's clock.
    ///
    /// Thread-safe: yes. Realtime-safe: yes.
    #[inline]
    pub fn read<const N: usize, const M: usize>(&self, generation: u64, clock: &Latch<N>) -> Read<[u64; M]> {
        self.check(generation)?;
        let words = clock.read::<M>();
        self.check_again(generation)?;
        // A reader that the writer has overtaken so often has no time to tell.
        words.ok_or(ErrorKind::NotSynchronized)
    }

    /// Whether the session's local times count in the wall clock.
    ///
    /// Thread-safe: yes. Realtime-safe: yes.
    #[inline]
    pub fn counts_in_wall_clock(&self, generation: u64) -> Read<bool> {
        self.check(generation)?;
        let wall = self.wall.load(unless_relaxed("slot-wall-load-relaxed", Ordering::Acquire));
        self.check_again(generation)?;
        Ok(wall)
    }

    /// The engine that serves the session. If the session ends meanwhile it may be the next one's: the caller checks
    /// again when it has its answer.
    pub fn engine(&self, generation: u64) -> Read<u64> {
        self.check(generation)?;
        Ok(self.engine.load(Ordering::Relaxed))
    }

    /// Makes the caller the one who closes the session; `None` if that is somebody else, or it is closed already.
    pub fn close(&self, generation: u64) -> Option<Closing> {
        let closing = state(generation, Phase::Closing);
        let acquire = unless_relaxed("slot-close-relaxed", Ordering::Acquire);
        let from = |phase| {
            self.state.compare_exchange(state(generation, phase), closing, acquire, Ordering::Relaxed).is_ok()
        };
        // In this order: what is live may fail in between, but nothing that failed lives again.
        let failed = !from(Phase::Live);
        if failed && !from(Phase::Failed) && !bug("slot-close-shared") {
            return None;
        }
        // The next session stores its engine after we have retired this one.
        Some(Closing { engine: self.engine.load(Ordering::Relaxed), failed })
    }

    /// The worker has panicked: if the slot's session lives, it has failed. Called on the worker, who knows of each
    /// session that began before it was told to open it.
    pub fn fail(&self) {
        let generation = self.state.load(Ordering::Relaxed) >> PHASE_BITS;
        let (live, failed) = (state(generation, Phase::Live), state(generation, Phase::Failed));
        let _ = self.state.compare_exchange(live, failed, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends this generation. Only for who took the slot and has not begun, or who closes it.
    pub fn retire(&self, generation: u64) {
        let next = if bug("slot-generation-kept") { generation } else { generation.wrapping_add(1) };
        let next = (next & GENERATION_MASK).max(FIRST_GENERATION);
        let release = unless_relaxed("slot-retire-relaxed", Ordering::Release);
        self.state.store(state(next, Phase::Free), release);
    }

    /// In a child made by fork, which has one thread: whoever had the slot has it no more.
    #[cfg(unix)]
    pub fn forget(&self) {
        let found = self.state.load(Ordering::Relaxed);
        if found & PHASE_MASK != Phase::Free as u64 {
            self.retire(found >> PHASE_BITS);
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn generations_come_round_without_the_one_of_null() {
        let lease = Lease::new();
        lease.retire(GENERATION_MASK);
        assert_eq!(lease.take(|| 0), Some(FIRST_GENERATION));
        lease.retire(FIRST_GENERATION);
        assert_eq!(lease.take(|| 0), Some(FIRST_GENERATION + 1));
        assert_eq!(lease.check(FIRST_GENERATION), Err(ErrorKind::NoSession));
    }

    #[test]
    fn a_failed_session_says_so_until_it_is_closed() {
        let lease = Lease::new();
        let generation = lease.take(|| 5).unwrap();
        lease.fail();
        assert_eq!(lease.check(generation), Err(ErrorKind::NoSession), "reserved only");
        lease.begin(generation, &Latch::<1>::new(), &[0], true, 7);
        assert_eq!(lease.counts_in_wall_clock(generation), Ok(true));
        lease.fail();
        assert_eq!(lease.engine(generation), Err(ErrorKind::Internal));
        assert_eq!(lease.close(generation), Some(Closing { engine: 7, failed: true }));
        assert_eq!(lease.close(generation), None);
        lease.retire(generation);
        assert_eq!(lease.check(generation), Err(ErrorKind::NoSession));
    }

    #[cfg(unix)]
    #[test]
    fn a_child_forgets_whoever_has_the_slot() {
        let lease = Lease::new();
        lease.forget();
        let generation = lease.take(|| 5).unwrap();
        lease.begin(generation, &Latch::<1>::new(), &[0], false, 1);
        lease.forget();
        assert_eq!(lease.check(generation), Err(ErrorKind::NoSession));
        assert_eq!(lease.close(generation), None);
    }
}
