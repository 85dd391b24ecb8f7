//! A two-copy latch of atomic words: one writer, any number of readers, nobody waits.
//!
//! The writer keeps two copies and a sequence number. While it changes one copy, the number points readers to the
//! other, so a writer preempted in the middle of a store holds nobody up. A reader retries only if the writer finished
//! half a store during its read; the retries are counted, so a read has bounded steps whatever the writer does.
//!
//! Orderings, each of which the models of `tests/loom` show to be needed: without it they fail.
//! - The number is stored with Release and taken with Acquire: who sees it sees the copy that was finished before it.
//! - The writer moves the number, then a Release fence, then touches the other copy; a reader loads the words, then an
//!   Acquire fence, then the number again. So a reader that saw even one new word sees the moved number too, and
//!   discards what it read. A Release store would not do: it keeps what is before it from moving down past it, not what
//!   is after it from moving up; likewise the reader's Acquire load.
//! - The words themselves, and the number's second load, are Relaxed: the fences and the first load order them. The
//!   writer loads its own number Relaxed, too: only it stores there, and one writer hands over to the next by other
//!   means (the worker's queue).
#![forbid(unsafe_code)]

#[cfg(loom)]
use crate::atomic::{fence, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{fence, AtomicU64, Ordering};

use crate::planted::{bug, unless_relaxed};

/// How often a read starts again before it gives up. One retry takes the writer half a store inside a read of a few
/// nanoseconds; at its tens of stores a second even two in a row need the reader to be preempted twice.
pub const MAX_TRIES: u32 = 64;

/// `N` words that change together.
#[derive(Debug)]
pub struct Latch<const N: usize> {
    /// Even: copy 0 is whole, copy 1 may be changing. Odd: the other way round.
    sequence: AtomicU64,
    copies: [[AtomicU64; N]; 2],
}

impl<const N: usize> Latch<N> {
    /// A latch of zeros.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            copies: [[const { AtomicU64::new(0) }; N], [const { AtomicU64::new(0) }; N]],
        }
    }

    /// A latch of zeros. Loom's atomics are not made at compile time.
    #[cfg(loom)]
    pub fn new() -> Self {
        let copy = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { sequence: AtomicU64::new(0), copies: [copy(), copy()] }
    }

    /// Stores all words. Only one thread may write at a time: a second one loses no memory safety, but readers could
    /// see a mixture.
    pub fn write(&self, words: &[u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        for (step, copy) in (1..).zip(&self.copies) {
            // Sends the readers to the other copy, which the Release makes whole for them.
            let release = unless_relaxed("latch-store-relaxed", Ordering::Release);
            self.sequence.store(sequence.wrapping_add(step), release);
            // Keeps the stores below after the store above, in the eyes of a reader that fences.
            if !bug("latch-no-release-fence") {
                fence(Ordering::Release);
            }
            if step == 2 && bug("latch-second-copy-old") {
                continue;
            }
            for (cell, word) in copy.iter().zip(words) {
                cell.store(*word, Ordering::Relaxed);
            }
        }
    }

    /// The first `M` words as one store left them; `None` if the writer overtook the read [`MAX_TRIES`] times.
    ///
    /// Thread-safe: yes. Realtime-safe: yes.
    #[inline]
    pub fn read<const M: usize>(&self) -> Option<[u64; M]> {
        const { assert!(M <= N) };
        for _ in 0..MAX_TRIES {
            let before = self.sequence.load(unless_relaxed("latch-load-relaxed", Ordering::Acquire));
            if before & 1 == 1 && bug("latch-waits") {
                while self.sequence.load(Ordering::Acquire) == before {}
            }
            if before & 1 == 1 && bug("latch-waits-for-writer") {
                continue;
            }
            let [even, odd] = &self.copies;
            let whole = if bug("latch-wrong-copy") { 1 } else { 0 };
            let copy = if before & 1 == whole { even } else { odd };
            let mut words = [0; M];
            for (word, cell) in words.iter_mut().zip(copy) {
                *word = cell.load(Ordering::Relaxed);
            }
            if !bug("latch-no-acquire-fence") {
                fence(Ordering::Acquire);
            }
            if self.sequence.load(Ordering::Relaxed) == before {
                return Some(words);
            }
        }
        None
    }
}

impl<const N: usize> Default for Latch<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn reads_what_was_written_last() {
        let latch = Latch::<3>::new();
        assert_eq!(latch.read::<3>(), Some([0, 0, 0]));
        for i in 1..10 {
            latch.write(&[i, i + 1, i + 2]);
            assert_eq!(latch.read::<3>(), Some([i, i + 1, i + 2]));
            assert_eq!(latch.read::<2>(), Some([i, i + 1]));
        }
    }

    #[test]
    fn a_frozen_writer_holds_up_nobody() {
        let latch = Latch::<2>::new();
        latch.write(&[7, 8]);
        // What the latch looks like when its writer stopped inside the first half of a store ...
        latch.sequence.store(3, Ordering::Relaxed);
        latch.copies[0][0].store(99, Ordering::Relaxed);
        assert_eq!(latch.read::<2>(), Some([7, 8]));
        // ... and inside the second half.
        latch.copies[0][1].store(98, Ordering::Relaxed);
        latch.sequence.store(4, Ordering::Relaxed);
        latch.copies[1][0].store(99, Ordering::Relaxed);
        assert_eq!(latch.read::<2>(), Some([99, 98]));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // Threads are the subject of this test.
    fn no_reader_sees_a_mixture() {
        static LATCH: Latch<8> = Latch::new();
        static DONE: AtomicBool = AtomicBool::new(false);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    let mut seen = 0;
                    while !DONE.load(Ordering::Relaxed) {
                        if let Some(words) = LATCH.read::<8>() {
                            assert!(words.iter().all(|w| *w == words[0]), "mixture {words:?}");
                            assert!(words[0] >= seen, "went back from {seen} to {}", words[0]);
                            seen = words[0];
                        }
                    }
                })
            })
            .collect();
        for i in 1..=200_000 {
            LATCH.write(&[i; 8]);
        }
        DONE.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    }
}
