//! The latch of src/latch.rs in every order of its loads and stores.
//!
//! A store writes the same value to all words: words that differ are a mixture. A reader stores nothing, so that what holds
//! for one, and for two of which one tells the other, holds for any number.

use loom::sync::Arc;
use loom::thread;
use ptpbmca_loom::atomic::{loads, stopped_after, AtomicU64, Ordering};
use ptpbmca_loom::latch::Latch;
use ptpbmca_loom::model::check;

/// Enough for a mixture.
const PAIR: usize = 2;

/// Stores that one write makes to the sequence number; each may send a reader back once.
const MOVES: u32 = 2;

fn write<const N: usize>(latch: &Latch<N>, value: u64) {
    latch.write(&[value; N]);
}

/// Reads, and checks that the words belong together and the steps are bounded by what the writer does meanwhile: so many
/// writes at most.
fn read<const N: usize>(latch: &Latch<N>, writes: u32) -> u64 {
    let (words, loads) = loads(|| latch.read::<N>());
    let words = words.expect("a read gave up");
    assert!(words.iter().all(|word| *word == words[0]), "mixture: {words:?}");
    let tries = 1 + MOVES * writes;
    assert!(loads <= tries * (2 + N as u32), "{loads} loads in one read");
    words[0]
}

#[test]
fn a_reader_sees_no_mixture() {
    check("latch, two writes and a read", 3, || {
        let latch = Arc::new(Latch::<PAIR>::new());
        let theirs = Arc::clone(&latch);
        let reader = thread::spawn(move || read(&theirs, 2));
        write(&latch, 1);
        write(&latch, 2);
        assert!(reader.join().unwrap() <= 2);
        assert_eq!(read(&latch, 0), 2);
    });
}

#[test]
fn two_readers_see_no_mixture() {
    check("latch, a write and two readers", 2, || {
        let latch = Arc::new(Latch::<PAIR>::new());
        let readers = [(); 2].map(|()| {
            let latch = Arc::clone(&latch);
            thread::spawn(move || read(&latch, 1))
        });
        write(&latch, 1);
        for reader in readers {
            assert!(reader.join().unwrap() <= 1);
        }
    });
}

#[test]
fn a_reader_never_goes_back() {
    check("latch, two writes and two reads", 3, || {
        let latch = Arc::new(Latch::<1>::new());
        let theirs = Arc::clone(&latch);
        let reader = thread::spawn(move || {
            let first = read(&theirs, 2);
            let second = read(&theirs, 2);
            assert!(second >= first, "went back from {first} to {second}");
        });
        write(&latch, 1);
        write(&latch, 2);
        reader.join().unwrap();
    });
}

/// A reader that knows of another's read does not see less than that one did.
#[test]
fn what_one_reader_saw_another_does_not_lose() {
    check("latch, one reader tells another", 2, || {
        let latch = Arc::new(Latch::<1>::new());
        let told = Arc::new(AtomicU64::new(0));
        let (theirs, tell) = (Arc::clone(&latch), Arc::clone(&told));
        let first = thread::spawn(move || tell.store(read(&theirs, 1), Ordering::Release));
        let theirs = Arc::clone(&latch);
        let second = thread::spawn(move || {
            let heard = told.load(Ordering::Acquire);
            assert!(read(&theirs, 1) >= heard, "went back");
        });
        write(&latch, 1);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// Who learns of a store by other means sees it.
#[test]
fn what_was_published_is_read() {
    check("latch, the writer tells a reader", 3, || {
        let latch = Arc::new(Latch::<1>::new());
        let told = Arc::new(AtomicU64::new(0));
        let (theirs, hear) = (Arc::clone(&latch), Arc::clone(&told));
        let reader = thread::spawn(move || {
            let heard = hear.load(Ordering::Acquire);
            assert!(read(&theirs, 2) >= heard, "an old value");
        });
        for value in 1..=2 {
            write(&latch, value);
            told.store(value, Ordering::Release);
        }
        reader.join().unwrap();
    });
}

/// At whatever store the writer stops for ever, readers get a whole value, in bounded steps.
#[test]
fn a_writer_that_stops_for_ever_holds_up_nobody() {
    const STORES: u32 = MOVES * (1 + PAIR as u32);
    for stores in 0..=STORES {
        check(&format!("latch, a writer that stops after {stores} of {STORES} stores"), 3, move || {
            let latch = Arc::new(Latch::<PAIR>::new());
            write(&latch, 1);
            let theirs = Arc::clone(&latch);
            let reader = thread::spawn(move || read(&theirs, 1));
            stopped_after(stores, || write(&latch, 2));
            assert!([1, 2].contains(&reader.join().unwrap()));
            // It will never go on, and a later reader is not sent back once.
            let finished_a_copy = stores > STORES / MOVES;
            assert_eq!(read(&latch, 0), if finished_a_copy { 2 } else { 1 });
        });
    }
}

/// The next writer goes on where the former one ended, if it learns of that end in order.
#[test]
fn a_writer_hands_over_to_the_next() {
    check("latch, two writers in turn", 2, || {
        let latch = Arc::new(Latch::<PAIR>::new());
        let ended = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&latch);
        let hear = Arc::clone(&ended);
        let second = thread::spawn(move || {
            if hear.load(Ordering::Acquire) == 1 {
                write(&theirs, 2);
            }
        });
        let theirs = Arc::clone(&latch);
        let reader = thread::spawn(move || read(&theirs, 2));
        write(&latch, 1);
        ended.store(1, Ordering::Release);
        second.join().unwrap();
        assert!(reader.join().unwrap() <= 2);
    });
}
