//! Those who wait for a session, those who stop it, and the worker: the queue of src/engine/queue.rs and a slot of
//! src/session/lease.rs, with as much of the worker and of the calls as waiting needs. Nobody waits for ever (loom would
//! find a deadlock), and everybody is told the truth.

use loom::sync::{Arc, Notify};
use loom::thread;
use ptpbmca_loom::error::ErrorKind;
use ptpbmca_loom::latch::Latch;
use ptpbmca_loom::lease::{Closing, Lease, Read};
use ptpbmca_loom::lock::{reply, Reply};
use ptpbmca_loom::model::check;
use ptpbmca_loom::queue::Queue;

const GENERATION: u64 = 5;

#[derive(Debug, PartialEq, Eq)]
struct Stopped;

enum Command {
    Await(Reply<Stopped>),
    Close(Reply<()>),
    Quit,
}

struct Library {
    lease: Lease,
    queue: Queue<Command>,
    waker: Notify,
}

impl Library {
    /// A session, which nobody synchronises.
    fn new() -> Arc<Self> {
        let lease = Lease::new();
        let generation = lease.take(|| GENERATION).unwrap();
        lease.begin(generation, &Latch::new(), &[0], false, 1);
        Arc::new(Self { lease, queue: Queue::new(), waker: Notify::new() })
    }

    fn command(&self, command: Command) -> Read<()> {
        self.queue.put(command, || self.waker.notify()).map_err(|_| ErrorKind::Internal)
    }

    /// As session::await_sync.
    fn await_sync(&self) -> Read<()> {
        self.lease.engine(GENERATION)?;
        let (reply, answer) = reply();
        let waited =
            self.command(Command::Await(reply)).and_then(|()| answer.wait().ok_or(ErrorKind::Internal));
        self.lease.check(GENERATION)?;
        waited.and(Err(ErrorKind::NoSession))
    }

    /// As session::stop; the last session ends the worker.
    fn stop(&self) -> Read<()> {
        let Closing { failed, .. } = self.lease.close(GENERATION).ok_or(ErrorKind::NoSession)?;
        let (reply, answer) = reply();
        let closed = if failed {
            Err(ErrorKind::Internal)
        } else {
            self.command(Command::Close(reply)).and_then(|()| answer.wait().ok_or(ErrorKind::Internal))
        };
        self.lease.retire(GENERATION);
        let _ = self.command(Command::Quit);
        closed
    }

    /// As the worker, which panics at its first command if it is to.
    fn work(&self, panics: bool) {
        let (mut waiters, mut open, mut quit) = (Vec::new(), true, false);
        while !quit {
            self.waker.wait();
            for command in self.queue.take() {
                match command {
                    _ if panics => quit = true,
                    Command::Await(reply) if open => waiters.push(reply),
                    Command::Await(reply) => reply.send(Stopped),
                    Command::Close(reply) => {
                        waiters.drain(..).for_each(|waiter: Reply<Stopped>| waiter.send(Stopped));
                        open = false;
                        reply.send(());
                    }
                    Command::Quit => quit = true,
                }
            }
        }
        drop(waiters);
        if panics {
            self.lease.fail();
        }
        self.queue.end();
    }
}

#[test]
fn a_stop_wakes_who_waits() {
    check("waiters, one and a stop", 2, || {
        let library = Library::new();
        let theirs = Arc::clone(&library);
        let waiter = thread::spawn(move || theirs.await_sync());
        let theirs = Arc::clone(&library);
        let stopper = thread::spawn(move || theirs.stop());
        library.work(false);
        assert_eq!(stopper.join().unwrap(), Ok(()));
        assert_eq!(waiter.join().unwrap(), Err(ErrorKind::NoSession), "who waits is told");
    });
}

#[test]
fn of_two_stops_one_is_told_that_it_was_late() {
    check("waiters, none and two stops", 2, || {
        let library = Library::new();
        let stoppers = [(); 2].map(|()| {
            let library = Arc::clone(&library);
            thread::spawn(move || library.stop())
        });
        library.work(false);
        let mut told = stoppers.map(|stopper| stopper.join().unwrap());
        told.sort_by_key(Result::is_err);
        assert_eq!(told, [Ok(()), Err(ErrorKind::NoSession)]);
    });
}

#[test]
fn a_panic_wakes_who_waits() {
    check("waiters, one, a stop and a panic", 2, || {
        let library = Library::new();
        let theirs = Arc::clone(&library);
        let waiter = thread::spawn(move || theirs.await_sync());
        let theirs = Arc::clone(&library);
        let stopper = thread::spawn(move || theirs.stop());
        library.work(true);
        assert_eq!(stopper.join().unwrap(), Err(ErrorKind::Internal), "who stops is told");
        let told = waiter.join().unwrap();
        assert!(
            [Err(ErrorKind::Internal), Err(ErrorKind::NoSession)].contains(&told),
            "who waits is told {told:?}"
        );
    });
}
