//! Sessions: their slots and tokens, how they start, are read, are waited for and stop, in a process that may fork.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::{Config, LocalClock};
use crate::engine::{
    self, clock, Awaited, Callback, Engine, Event, Handle, Published, SessionId, Status, Waited,
};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Span;
use crate::timeline::{Conversion, Role, SyncState, Timeline};

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

/// What a slot is used for. Stored below its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Phase {
    Free = 0,
    Reserved = 1,
    Live = 2,
    Closing = 3,
    /// The worker panicked.
    Failed = 4,
}

const PHASE_BITS: u32 = 3;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;

/// Static memory of one session, in bytes.
pub const SLOT_BYTES: usize = std::mem::size_of::<Slot>();

struct Slot {
    /// Generation and phase.
    state: AtomicU64,
    /// The session's local times count in the wall clock.
    wall: AtomicBool,
    /// Which engine serves it.
    engine: AtomicU64,
    published: Published,
}

static SLOTS: [Slot; MAX_SESSIONS] = [const {
    Slot {
        state: AtomicU64::new(0),
        wall: AtomicBool::new(false),
        engine: AtomicU64::new(0),
        published: Published::new(),
    }
}; MAX_SESSIONS];

struct Running {
    engine: Engine,
    number: u64,
    sessions: usize,
}

/// The worker, while there are sessions; and the number of the last one.
static ENGINE: Mutex<(Option<Running>, u64)> = Mutex::new((None, 0));

/// This process is a child of one that had used the library: locks and the worker are its parent's.
static FORKED: AtomicBool = AtomicBool::new(false);

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

    fn slot(self) -> Option<(&'static Slot, u64)> {
        let slot = SLOTS.get((self.0 & (MAX_SESSIONS as u64 - 1)) as usize)?;
        let generation = self.0 >> SLOT_BITS & GENERATION_MASK;
        let whole = TAG | generation << SLOT_BITS | self.0 & (MAX_SESSIONS as u64 - 1);
        (whole == self.0).then_some((slot, generation))
    }

    /// The whole of it: a late command must not reach the next session of the slot.
    fn id(self) -> SessionId {
        self.0
    }
}

impl Slot {
    /// Whether this slot is in use by the session of this generation.
    #[inline]
    fn check(&self, generation: u64) -> std::result::Result<(), ErrorKind> {
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
    fn change(&self, generation: u64, from: Phase, to: Phase) -> bool {
        let state = |phase| generation << PHASE_BITS | phase as u64;
        self.state.compare_exchange(state(from), state(to), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends this generation.
    fn retire(&self, generation: u64) {
        let next = generation.wrapping_add(1) & GENERATION_MASK;
        self.state.store(next << PHASE_BITS | Phase::Free as u64, Ordering::Release);
    }
}

/// A reading of a session's clock, which may be the local time itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// The time; without synchronisation the one asked with, not below 0.
    pub value: T,
    /// Whether it is to be believed.
    pub synchronized: bool,
}

impl<T> Reading<T> {
    /// The time, if it is to be believed.
    ///
    /// # Errors
    /// [`ErrorKind::NotSynchronized`] else.
    pub fn synchronized(self) -> std::result::Result<T, ErrorKind> {
        if self.synchronized {
            Ok(self.value)
        } else {
            Err(ErrorKind::NotSynchronized)
        }
    }
}

/// One consistent snapshot of a session's clock. The fields are those of `ptpbmca_clock_offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockOffset {
    /// Receiver timeline minus local clock, in nanoseconds.
    pub offset_ns: i64,
    /// Bound on the error of the offset; `u64::MAX` while not synchronised.
    pub error_ns: u64,
    /// One-way mean path delay in nanoseconds; 0 while unknown.
    pub path_delay_ns: u64,
    /// Receiver clock rate against the local clock, in parts per million.
    pub skew_ppm: f64,
    /// The clock whose timeline this is; 0 while unknown.
    pub grandmaster_id: u64,
    /// The receiver's own clock; 0 while unknown.
    pub receiver_clock_id: u64,
    /// Our clock.
    pub local_clock_id: u64,
    /// Nanoseconds since the last accepted Sync; `u64::MAX` before the first.
    pub age_ns: u64,
    /// Counts the re-anchorings of the timeline.
    pub epoch: u32,
    /// The part played towards the receiver.
    pub role: Role,
    /// How far the clock is to be believed.
    pub sync_state: SyncState,
}

impl ClockOffset {
    /// A snapshot as it stands at `now`.
    pub(crate) fn at(timeline: &Timeline, now: crate::time::LocalTime) -> Self {
        let timeline = timeline.aged(now);
        let conversion = timeline.conversion;
        Self {
            offset_ns: conversion.offset_at(now),
            error_ns: timeline.error_at(now),
            path_delay_ns: timeline.path_delay_ns,
            skew_ppm: conversion.rate.ratio_minus_one() * 1e6,
            grandmaster_id: timeline.grandmaster_id,
            receiver_clock_id: timeline.receiver_clock_id,
            local_clock_id: timeline.local_clock_id,
            age_ns: timeline.age_at(now),
            epoch: conversion.epoch,
            role: conversion.role,
            sync_state: conversion.sync_state,
        }
    }

    /// Whether the clock is synchronised: locked, in holdover or leading.
    pub fn is_synchronized(&self) -> bool {
        self.sync_state.is_synchronized()
    }
}

/// A moment on the receiver's timeline. The fields are those of `ptpbmca_anchor_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Nanoseconds on the receiver's timeline.
    pub receiver_ns: u64,
    /// The same in whole seconds.
    pub seconds: u64,
    /// The rest of the seconds, times 2^64.
    pub fraction: u64,
    /// The clock whose timeline this is.
    pub timeline_id: u64,
    /// The epoch this holds in.
    pub epoch: u32,
}

impl Anchor {
    fn new(receiver_ns: u64, timeline: &Timeline) -> Self {
        /// Nanoseconds in a second.
        const SECOND: u64 = crate::time::NANOS_PER_SECOND;
        let rest = u128::from(receiver_ns % SECOND);
        Self {
            receiver_ns,
            seconds: receiver_ns / SECOND,
            // Below 2^64, since the rest is below a second. Rounded up, so that the nanosecond comes back whole.
            fraction: ((rest << 64).div_ceil(u128::from(SECOND))) as u64,
            timeline_id: timeline.grandmaster_id,
            epoch: timeline.conversion.epoch,
        }
    }
}

type Read<T> = std::result::Result<T, ErrorKind>;

#[inline]
fn words<const M: usize>(token: Token) -> Read<[u64; M]> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    slot.check(generation)?;
    // A reader that the writer has overtaken so often has no time to tell.
    let words = slot.published.clock.read::<M>().ok_or(ErrorKind::NotSynchronized)?;
    // The words are this session's only if the slot still is.
    slot.check(generation)?;
    Ok(words)
}

#[inline]
fn conversion(token: Token) -> Read<Conversion> {
    Ok(Conversion::from_words(&words::<{ Conversion::WORDS }>(token)?))
}

#[inline]
fn timeline(token: Token) -> Read<Timeline> {
    Ok(Timeline::from_words(&words::<{ Timeline::WORDS }>(token)?))
}

/// The clock as it stands. Thread-safe and realtime-safe.
pub fn offset(token: Token) -> Read<ClockOffset> {
    Ok(ClockOffset::at(&timeline(token)?, clock::monotonic()))
}

/// Receiver time at a local time. Thread-safe and realtime-safe.
#[inline]
pub fn receiver_time(token: Token, local_ns: i64) -> Read<Reading<u64>> {
    let line = conversion(token)?;
    Ok(Reading { value: line.receiver_time(local_ns), synchronized: line.is_synchronized() })
}

/// Receiver time now. Thread-safe and realtime-safe.
#[inline]
pub fn receiver_now(token: Token) -> Read<Reading<u64>> {
    let line = conversion(token)?;
    let now = clock::monotonic();
    let line = line.aged(now);
    let value = line.receiver_time(line.local_at(now));
    Ok(Reading { value, synchronized: line.is_synchronized() })
}

/// Local time at a receiver time. Thread-safe and realtime-safe.
#[inline]
pub fn local_time(token: Token, receiver_ns: u64) -> Read<Reading<i64>> {
    let line = conversion(token)?;
    Ok(Reading { value: line.local_time(receiver_ns), synchronized: line.is_synchronized() })
}

/// An anchor for a local time. Thread-safe and realtime-safe.
pub fn anchor(token: Token, local_ns: i64) -> Read<Reading<Anchor>> {
    let timeline = timeline(token)?;
    let line = timeline.conversion;
    let value = Anchor::new(line.receiver_time(local_ns), &timeline);
    Ok(Reading { value, synchronized: line.is_synchronized() })
}

/// The session's local clock now. Thread-safe and realtime-safe.
pub fn local_now(token: Token) -> Read<i64> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    slot.check(generation)?;
    let wall = slot.wall.load(Ordering::Relaxed);
    Ok(if wall { clock::realtime_ns() } else { clock::monotonic().nanos() })
}

/// Everything about a session. Thread-safe, but waits for a lock.
pub fn status(token: Token) -> Read<(ClockOffset, Status)> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    slot.check(generation)?;
    let status = *slot.published.status.lock();
    slot.check(generation)?;
    let status = status.ok_or(ErrorKind::NoSession)?;
    Ok((ClockOffset::at(&status.timeline, clock::monotonic()), status))
}

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
    let spec = config.resolve(receiver)?;
    guard_forks();
    let (token, slot, generation) = reserve()?;
    let (handle, number) = join_engine().inspect_err(|_| slot.retire(generation))?;
    slot.wall.store(config.local_clock == LocalClock::Realtime, Ordering::Relaxed);
    slot.engine.store(number, Ordering::Relaxed);
    *slot.published.status.lock() = None;
    slot.change(generation, Phase::Reserved, Phase::Live);
    if let Err(error) = handle.open(token.id(), spec, &slot.published, callback(token)) {
        slot.retire(generation);
        leave_engine(number);
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
    slot.check(generation).or_else(|kind| if kind == ErrorKind::Internal { Ok(()) } else { Err(kind) })?;
    if engine::on_worker() {
        return Err(ErrorKind::WouldDeadlock);
    }
    let number = slot.engine.load(Ordering::Relaxed);
    let closed = if slot.change(generation, Phase::Live, Phase::Closing) {
        handle(number).and_then(|handle| handle.close(token.id())).map_err(|error| error.kind)
    } else if slot.change(generation, Phase::Failed, Phase::Closing) {
        Err(ErrorKind::Internal)
    } else {
        // Somebody else stops it.
        return Err(ErrorKind::NoSession);
    };
    slot.retire(generation);
    leave_engine(number);
    closed
}

/// Waits until a session is synchronised, at most so many milliseconds.
pub fn await_sync(token: Token, timeout_ms: u32) -> Read<()> {
    let (slot, generation) = token.slot().ok_or(ErrorKind::NoSession)?;
    slot.check(generation)?;
    if engine::on_worker() {
        return Err(ErrorKind::WouldDeadlock);
    }
    let deadline = clock::monotonic().plus(Span::from_millis(i64::from(timeout_ms)));
    let waited = handle(slot.engine.load(Ordering::Relaxed))
        .and_then(|handle| handle.wait(token.id(), Awaited::Synchronized, deadline))
        .map_err(|error| error.kind);
    // The session may have been stopped meanwhile, and its engine and its slot with it: that is no bug of the library.
    slot.check(generation)?;
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

fn reserve() -> Result<(Token, &'static Slot, u64)> {
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
    RandomState::new().hash_one(slot) & GENERATION_MASK
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

/// The worker has panicked: nobody serves its sessions any more. Called on the worker, which is the only one at the
/// time.
fn fail_sessions() {
    for slot in &SLOTS {
        let generation = slot.state.load(Ordering::Acquire) >> PHASE_BITS;
        let _ = slot.change(generation, Phase::Live, Phase::Failed);
    }
}

/// In a child made by fork there is no worker, and the locks are as they were by chance: its sessions end there.
fn guard_forks() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // SAFETY: the handler stores to atomics and closes descriptors, which is allowed in a child of a threaded process.
        ONCE.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(forget_sessions));
        });
    }
}

#[cfg(unix)]
extern "C" fn forget_sessions() {
    FORKED.store(true, Ordering::Relaxed);
    for slot in &SLOTS {
        let state = slot.state.load(Ordering::Relaxed);
        if state & PHASE_MASK != Phase::Free as u64 {
            slot.retire(state >> PHASE_BITS);
        }
    }
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

    /// As [`Session::start`]; `on_event` runs on the worker thread with each event, and must not block.
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
