//! A slot of src/session/lease.rs with its clock, in every order of its loads and stores: readers, stoppers and starters
//! of the sessions that use it one after the other.

use loom::sync::Arc;
use loom::thread;
use ptpbmca_loom::error::ErrorKind;
use ptpbmca_loom::latch::Latch;
use ptpbmca_loom::lease::{Closing, Lease, Read};
use ptpbmca_loom::model::check;

const WORDS: usize = 2;

/// The clock of a session of which nothing is known, and those of two sessions.
const EMPTY: [u64; WORDS] = [1, 1];
const FIRST: [u64; WORDS] = [11, 11];
const SECOND: [u64; WORDS] = [22, 22];

/// The generation of a slot never used, and the next.
const GENERATION: u64 = 5;
const NEXT: u64 = 6;

/// The engines that serve them.
const ENGINE: u64 = 70;
const NEXT_ENGINE: u64 = 80;

struct Slot {
    lease: Lease,
    clock: Latch<WORDS>,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self { lease: Lease::new(), clock: Latch::new() })
    }

    /// A session begins, if the slot is free: one that counts in the wall clock if it is the first.
    fn start(&self) -> Option<u64> {
        let generation = self.lease.take(|| GENERATION)?;
        let engine = if generation == GENERATION { ENGINE } else { NEXT_ENGINE };
        self.lease.begin(generation, &self.clock, &EMPTY, generation == GENERATION, engine);
        Some(generation)
    }

    fn stop(&self, generation: u64) -> Option<Closing> {
        let closing = self.lease.close(generation)?;
        // Here the worker is told, and has answered.
        self.lease.retire(generation);
        Some(closing)
    }

    fn read(&self, generation: u64) -> Read<[u64; WORDS]> {
        self.lease.read(generation, &self.clock)
    }

    /// A slot with a session whose clock is known.
    fn in_use() -> Arc<Self> {
        let slot = Self::new();
        assert_eq!(slot.start(), Some(GENERATION));
        slot.clock.write(&FIRST);
        slot
    }
}

/// The session stops and another one starts in its slot, while somebody reads the first one's clock.
#[test]
fn a_read_gives_no_other_sessions_time() {
    check("slot, a read races a stop and a start", 2, || {
        let slot = Slot::in_use();
        let theirs = Arc::clone(&slot);
        let reader = thread::spawn(move || theirs.read(GENERATION));
        assert_eq!(slot.stop(GENERATION), Some(Closing { engine: ENGINE, failed: false }));
        assert_eq!(slot.start(), Some(NEXT));
        slot.clock.write(&SECOND);
        let read = reader.join().unwrap();
        assert!(read == Ok(FIRST) || read == Err(ErrorKind::NoSession), "another session's time: {read:?}");
        assert_eq!(slot.read(NEXT), Ok(SECOND));
    });
}

/// The same for the choice of the local clock.
#[test]
fn a_read_gives_no_other_sessions_local_clock() {
    check("slot, the local clock is read in a stop and a start", 3, || {
        let slot = Slot::in_use();
        let theirs = Arc::clone(&slot);
        let reader = thread::spawn(move || theirs.lease.counts_in_wall_clock(GENERATION));
        assert!(slot.stop(GENERATION).is_some());
        assert_eq!(slot.start(), Some(NEXT));
        let read = reader.join().unwrap();
        assert!(read == Ok(true) || read == Err(ErrorKind::NoSession), "another session's clock: {read:?}");
        assert_eq!(slot.lease.counts_in_wall_clock(NEXT), Ok(false));
    });
}

/// A token that reaches a reader while its session starts, by a way that orders nothing, or by a lucky guess.
#[test]
fn an_early_token_reads_nothing_of_the_session_before() {
    check("slot, a read by an early token", 2, || {
        let slot = Slot::in_use();
        let theirs = Arc::clone(&slot);
        let reader = thread::spawn(move || {
            (theirs.lease.counts_in_wall_clock(NEXT), theirs.lease.engine(NEXT), theirs.read(NEXT))
        });
        assert!(slot.stop(GENERATION).is_some());
        assert_eq!(slot.start(), Some(NEXT));
        slot.clock.write(&SECOND);
        let (wall, engine, read) = reader.join().unwrap();
        let none = ErrorKind::NoSession;
        assert!([Ok(EMPTY), Ok(SECOND), Err(none)].contains(&read), "another session's time: {read:?}");
        assert!([Ok(false), Err(none)].contains(&wall), "another session's clock: {wall:?}");
        assert!([Ok(NEXT_ENGINE), Err(none)].contains(&engine), "another session's engine: {engine:?}");
    });
}

/// The slot alone hands the clock from the thread that wrote it last to the one that writes it next.
#[test]
fn the_next_session_writes_where_the_last_one_ended() {
    check("slot, a start waits for a stop", 2, || {
        let slot = Slot::new();
        assert_eq!(slot.start(), Some(GENERATION));
        let theirs = Arc::clone(&slot);
        let starter = thread::spawn(move || {
            let Some(generation) = theirs.start() else { return };
            assert_eq!(generation, NEXT);
            assert_eq!(theirs.read(NEXT), Ok(EMPTY), "the clock begins with");
            theirs.clock.write(&SECOND);
            assert_eq!(theirs.read(NEXT), Ok(SECOND), "the clock goes on with");
        });
        let theirs = Arc::clone(&slot);
        let reader = thread::spawn(move || theirs.read(NEXT));
        slot.clock.write(&FIRST);
        assert!(slot.stop(GENERATION).is_some());
        starter.join().unwrap();
        let read = reader.join().unwrap();
        assert!([Ok(EMPTY), Ok(SECOND), Err(ErrorKind::NoSession)].contains(&read), "another time: {read:?}");
    });
}

/// Two threads stop the session, while the worker panics: one of them does it, and knows by which engine.
#[test]
fn one_of_two_stops_wins() {
    check("slot, two stops and a panic", 3, || {
        let slot = Slot::new();
        let worker = Arc::clone(&slot);
        let worker = thread::spawn(move || worker.lease.fail());
        let theirs = Arc::clone(&slot);
        let other = thread::spawn(move || theirs.stop(GENERATION));
        assert_eq!(slot.start(), Some(GENERATION));
        let mine = slot.stop(GENERATION);
        let theirs = other.join().unwrap();
        worker.join().unwrap();
        let ((Some(closing), None) | (None, Some(closing))) = (mine, theirs) else {
            panic!("stopped by both or none: {mine:?}, {theirs:?}")
        };
        assert_eq!(closing.engine, ENGINE, "another session's engine");
        assert_eq!(slot.lease.take(|| 0), Some(NEXT));
    });
}

/// Two threads start a session where there is one slot, when its former session stops: one of them gets it, and
/// neither the former session's token.
#[test]
fn one_of_two_starts_wins_and_tokens_never_alias() {
    check("slot, two starts and a stop", 3, || {
        let slot = Slot::in_use();
        let starters = [(); 2].map(|()| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.lease.take(|| 0))
        });
        assert!(slot.stop(GENERATION).is_some());
        let taken = starters.map(|starter| starter.join().unwrap());
        assert_eq!(slot.lease.check(GENERATION), Err(ErrorKind::NoSession), "a token is used twice");
        match taken {
            [Some(generation), None] | [None, Some(generation)] => {
                assert_eq!(generation, NEXT, "a token is used twice")
            }
            [None, None] => {}
            both => panic!("taken by both: {both:?}"),
        }
    });
}
