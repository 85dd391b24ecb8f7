//! Sessions: how they start, are waited for and stop, in a process that may fork.
//!
//! Locks, of the whole library:
//! 1. `ENGINE` here, held while a worker is started, or ended and waited for.
//! 2. The queue to the worker (`engine::queue`), held to put in or take out; it may be taken while `ENGINE` is held.
//!
//! and two that are never held together with any of these or each other: a slot's status, for the time of a copy, and the
//! log callback's (`ffi::log_bridge`), while that callback runs. A worker is waited for with `ENGINE` held, so it must
//! never want it: what would take it gives WOULD_DEADLOCK on the worker first. Only the worker writes to the log, so no
//! callback runs on a thread that holds a lock of the library; and nobody who waits for an answer of the worker holds one.

mod lease;
mod reads;
mod slot;

pub use lease::Read;
pub use reads::{
    anchor, local_now, local_time, offset, receiver_now, receiver_time, status, Anchor, ClockOffset, Reading,
};
pub use slot::{Token, MAX_SESSIONS, SLOT_BYTES};

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::config::{Config, LocalClock};
use crate::engine::{self, clock, Awaited, Callback, Engine, Event, Handle, Status, Waited};
use crate::error::{Error, ErrorKind, Result};
use crate::planted;
use crate::time::Span;
use lease::Closing;
use slot::{fail_sessions, reserve};

struct Running {
    engine: Engine,
    number: u64,
    sessions: usize,
}

/// The worker, while there are sessions; and the number of the last one.
static ENGINE: Mutex<(Option<Running>, u64)> = Mutex::new((None, 0));

/// This process is a child of one that had used the library: locks and the worker are its parent's. Relaxed: it is set
/// before the child has a second thread, and never cleared.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Starts a session; `callback` gets its token. Waits for the role to be settled as configured.
pub fn start(
    receiver: &str,
    config: &Config,
    callback: impl FnOnce(Token) -> Option<Callback>,
) -> Result<Token> {
    if forked() {
        return Err(Error::new(
            ErrorKind::NoSession,
            "This process is a fork of one that used the library: its worker stayed behind. Start after exec.",
        ));
    }
    if engine::on_worker() {
        return Err(Error::of(ErrorKind::WouldDeadlock));
    }
    // First of all: what follows takes locks.
    guard_forks();
    let spec = config.resolve(receiver)?;
    if planted::bug("leak") {
        std::mem::forget(Box::new(receiver.len()));
    }
    let (token, slot, generation) = reserve()?;
    let (handle, number) = join_engine().inspect_err(|_| slot.lease.retire(generation))?;
    slot.begin(generation, config.local_clock == LocalClock::Realtime, number);
    if let Err(error) = handle.open(token.id(), spec, &slot.published, callback(token)) {
        // Unless it is stopped already, by somebody who had the token from a callback before the worker failed.
        if slot.lease.close(generation).is_some() {
            slot.lease.retire(generation);
            leave_engine(number);
        }
        return Err(error);
    }
    if config.ready_timeout_ms > 0 {
        let deadline = clock::monotonic().plus(Span::from_millis(i64::from(config.ready_timeout_ms)));
        // Not being ready is no error; a worker that has died is told by every call on the session.
        let _ = handle.wait(token.id(), Awaited::Role, deadline);
    }
    Ok(token)
}

/// Stops a session. None of its callbacks runs when this returns.
pub fn stop(token: Token) -> Read<()> {
    if forked() {
        return Ok(());
    }
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    slot.lease
        .check(generation)
        .or_else(|kind| if kind == ErrorKind::Internal { Ok(()) } else { Err(kind) })?;
    if engine::on_worker() {
        return Err(ErrorKind::WouldDeadlock);
    }
    // Or somebody else stops it.
    let Closing { engine: number, failed } = slot.lease.close(generation).ok_or(ErrorKind::NoSession)?;
    let closed = if failed {
        Err(ErrorKind::Internal)
    } else {
        handle(number).and_then(|handle| handle.close(token.id())).map_err(|error| error.kind)
    };
    slot.lease.retire(generation);
    leave_engine(number);
    closed
}

/// Waits until a session is synchronised, at most so many milliseconds.
pub fn await_sync(token: Token, timeout_ms: u32) -> Read<()> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    let number = slot.lease.engine(generation)?;
    if engine::on_worker() {
        return Err(ErrorKind::WouldDeadlock);
    }
    let deadline = clock::monotonic().plus(Span::from_millis(i64::from(timeout_ms)));
    let waited = handle(number)
        .and_then(|handle| handle.wait(token.id(), Awaited::Synchronized, deadline))
        .map_err(|error| error.kind);
    // The session may have been stopped meanwhile, and its engine and its slot with it: that is no bug of the library.
    slot.lease.check(generation)?;
    match waited? {
        Waited::Happened => Ok(()),
        Waited::TimedOut => Err(ErrorKind::Timeout),
        Waited::Stopped => Err(ErrorKind::NoSession),
    }
}

/// Whether this process is a fork of one that used the library.
pub fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

fn join_engine() -> Result<(Handle, u64)> {
    let mut place = ENGINE.lock();
    let (running, last) = &mut *place;
    if let Some(dead) = running.take_if(|running| !running.engine.is_alive()) {
        dead.engine.quit();
    }
    let running = match running {
        Some(running) => running,
        None => {
            let engine = Engine::start(fail_sessions)?;
            *last += 1;
            running.insert(Running { engine, number: *last, sessions: 0 })
        }
    };
    running.sessions += 1;
    Ok((running.engine.handle(), running.number))
}

/// One session less on an engine; the last one ends it.
fn leave_engine(number: u64) {
    let mut place = ENGINE.lock();
    let (running, _) = &mut *place;
    if let Some(mine) = running.as_mut().filter(|running| running.number == number) {
        mine.sessions = mine.sessions.saturating_sub(1);
        if mine.sessions == 0 {
            if let Some(last) = running.take() {
                // Under the lock: a session that starts meanwhile must find the ports free.
                last.engine.quit();
            }
        }
    }
}

fn handle(number: u64) -> Result<Handle> {
    match &ENGINE.lock().0 {
        Some(running) if running.number == number => Ok(running.engine.handle()),
        _ => Err(Error::of(ErrorKind::Internal)),
    }
}

/// In a child made by fork there is no worker, and the locks are as they were by chance: its sessions end there. To be
/// called before any lock is taken.
fn guard_forks() {
    #[cfg(unix)]
    {
        // No Once: a child forked inside of it would wait there for a thread that it does not have. Two threads that start
        // at once may both install the handler, which does no harm.
        if crate::planted::bug("fork-guard-off") {
            return;
        }
        static GUARDED: AtomicBool = AtomicBool::new(false);
        if !GUARDED.load(Ordering::Relaxed) {
            // SAFETY: the handler stores to atomics and closes descriptors, which is allowed in a child of a threaded
            // process.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            GUARDED.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
    slot::forget_sessions();
    engine::forks::close_copies();
}

/// A session with a receiver; dropping it stops it.
#[derive(Debug)]
pub struct Session(Token);

impl Session {
    /// Starts a session with the receiver at `receiver`: an address, or several separated by commas.
    ///
    /// Returns when the role is settled, or `ready_timeout_ms` has passed; not being ready is no error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`], [`ErrorKind::InvalidArgument`], [`ErrorKind::Permission`],
    /// [`ErrorKind::AddressInUse`], [`ErrorKind::Network`], [`ErrorKind::Limit`], [`ErrorKind::WouldDeadlock`].
    pub fn start(receiver: &str, config: &Config) -> Result<Self> {
        start(receiver, config, |_| None).map(Self)
    }

    /// As [`Session::start`]; `on_event` runs on the worker thread with each event, and must not block; a
    /// panic in it is one of the worker, and ends all sessions.
    ///
    /// # Errors
    /// Those of [`Session::start`].
    pub fn start_with_events(
        receiver: &str,
        config: &Config,
        mut on_event: impl FnMut(Event, ClockOffset) + Send + 'static,
    ) -> Result<Self> {
        let callback: Callback =
            Box::new(move |event, timeline| on_event(event, ClockOffset::at(timeline, clock::monotonic())));
        start(receiver, config, |_| Some(callback)).map(Self)
    }

    /// The clock as it stands. Realtime-safe.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the worker has panicked; so for all that follow.
    pub fn offset(&self) -> Read<ClockOffset> {
        offset(self.0)
    }

    /// Receiver time in nanoseconds at a local time. Realtime-safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] while it is not known.
    pub fn receiver_time(&self, local_ns: i64) -> Read<u64> {
        receiver_time(self.0, local_ns)?.synchronized()
    }

    /// Receiver time in nanoseconds now. Realtime-safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] while it is not known.
    pub fn receiver_now(&self) -> Read<u64> {
        receiver_now(self.0)?.synchronized()
    }

    /// Local time in nanoseconds at a receiver time. Realtime-safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] while it is not known.
    pub fn local_time(&self, receiver_ns: u64) -> Read<i64> {
        local_time(self.0, receiver_ns)?.synchronized()
    }

    /// An anchor for a local time. Realtime-safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] while it is not known.
    pub fn anchor(&self, local_ns: i64) -> Read<Anchor> {
        anchor(self.0, local_ns)?.synchronized()
    }

    /// The session's local clock now, in nanoseconds. Realtime-safe.
    ///
    /// # Errors
    /// As for [`Session::offset`].
    pub fn local_now(&self) -> Read<i64> {
        local_now(self.0)
    }

    /// Waits until the receiver's time is known.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after `timeout_ms`; [`ErrorKind::WouldDeadlock`] in a callback.
    pub fn await_sync(&self, timeout_ms: u32) -> Read<()> {
        await_sync(self.0, timeout_ms)
    }

    /// Everything about the session, for people and logs.
    ///
    /// # Errors
    /// As for [`Session::offset`].
    pub fn status(&self) -> Read<(ClockOffset, Status)> {
        status(self.0)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // In a callback of its own it cannot be stopped; nothing else is to be told here.
        let _ = stop(self.0);
    }
}
