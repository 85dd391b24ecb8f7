//! A two-copy latch of atomic words: one writer, any number of readers, nobody waits.
//!
//! The writer keeps two copies and a sequence number. While it changes one copy, the number points readers to the
//! other, so a writer preempted in the middle of a store holds nobody up. A reader retries only if the writer finished
//! half a store during its read; the retries are counted, so a read has bounded steps whatever the writer does.
//!
//! Ordering. A reader takes the number (Acquire), the words (Relaxed), an Acquire fence and the number again. The
//! writer moves the number before it touches a copy, with a Release fence between: a reader that saw even one new
//! word has, after its own fence, to see the moved number too, and discards what it read. The Release stores of the
//! number publish the copy that was finished before them to the Acquire load.
#![forbid(unsafe_code)]

use std::sync::atomic::{fence, AtomicU64, Ordering};

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
    pub const fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            copies: [[const { AtomicU64::new(0) }; N], [const { AtomicU64::new(0) }; N]],
        }
    }

    /// Stores all words. Only one thread may write at a time: a second one loses no memory safety, but readers could
    /// see a mixture.
    pub fn write(&self, words: &[u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        for (step, copy) in (1..).zip(&self.copies) {
            // Sends the readers to the other copy, which the Release makes whole for them.
            self.sequence.store(sequence.wrapping_add(step), Ordering::Release);
            // Keeps the stores below after the store above, in the eyes of a reader that fences.
            fence(Ordering::Release);
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
            let before = self.sequence.load(Ordering::Acquire);
            if crate::planted::bug("latch-waits") && before & 1 == 1 {
                while self.sequence.load(Ordering::Acquire) == before {}
            }
            let [even, odd] = &self.copies;
            let whole = if crate::planted::bug("latch-wrong-copy") { 1 } else { 0 };
            let copy = if before & 1 == whole { even } else { odd };
            let mut words = [0; M];
            for (word, cell) in words.iter_mut().zip(copy) {
                *word = cell.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
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

#[cfg(test)]
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
