//! The worker: one thread for all sessions of the process, which owns sockets, timers and associations.

pub mod clock;
#[cfg(unix)]
pub mod forks;
mod guard;
mod identity;
mod interface;
mod link;
mod module;
mod net;
mod own;
mod pairs;
mod published;
mod queue;
mod routes;
mod timer;
mod timestamp;
mod worker;

pub use identity::process_clock_identity;
pub use interface::index_by_name;
pub use link::{Callback, Event};
pub use net::{is_link_local, Address, PairSpec};
pub use published::{Published, Status};

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::association;
use crate::error::{Error, ErrorKind, Result};
use crate::planted::bug;
use crate::time::LocalTime;
use own::Waker;
use queue::{Ended, Queue};

/// How long a wait that is over waits for the worker to say so, and to log why.
const ANSWER: Duration = Duration::from_millis(100);

/// What a session is to be.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The receiver's addresses, at least one, at most [`association::MAX_PEERS`].
    pub peers: Vec<Address>,
    /// The ports to use.
    pub pair: PairSpec,
    /// Any other ports will do.
    pub ephemeral: bool,
    /// The conversation to have.
    pub association: association::Config,
    /// The session's local clock is the wall clock, else the clock estimates run in.
    pub wall: bool,
}

/// Names a session to the worker; never used twice.
pub type SessionId = u64;

/// What a caller may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The role is settled.
    Role,
    /// The clock is synchronised.
    Synchronized,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It has come.
    Happened,
    /// It has not come in time.
    TimedOut,
    /// The session was stopped meanwhile.
    Stopped,
}

enum Command {
    Open {
        id: SessionId,
        spec: SessionSpec,
        published: &'static Published,
        callback: Option<Callback>,
        reply: SyncSender<Result<()>>,
    },
    Close {
        id: SessionId,
        reply: SyncSender<()>,
    },
    Await {
        id: SessionId,
        what: Awaited,
        deadline: LocalTime,
        reply: SyncSender<Waited>,
    },
    Quit,
}

struct Shared {
    commands: Queue<Command>,
    waker: Waker,
}

/// The running worker.
pub struct Engine {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A way to send the worker commands.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

thread_local! {
    static IS_WORKER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether the calling thread is a worker: it may not wait for itself.
pub fn on_worker() -> bool {
    IS_WORKER.with(std::cell::Cell::get)
}

impl Engine {
    /// Starts the worker. `on_failure` is called on it should it panic or lose its poll, after which it
    /// ends.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system refuses a thread, [`ErrorKind::Network`] if it refuses the descriptors.
    pub fn start(on_failure: fn()) -> Result<Self> {
        let mut poll = mio::Poll::new().map_err(|error| refused("a poll descriptor", &error))?;
        let waker = Waker::new(poll.registry(), worker::WAKER).map_err(|error| refused("a waker", &error))?;
        let shared = Arc::new(Shared { commands: Queue::new(), waker });
        let mine = Arc::clone(&shared);
        let run = move || {
            IS_WORKER.with(|is| is.set(true));
            leave_signals_to_the_host();
            // Here, and not before: only the worker writes to the log (see the locks in the session room). Who starts the
            // first session waits until the worker has opened it, and does not unload the library meanwhile.
            module::stay_loaded();
            let ended = catch_unwind(AssertUnwindSafe(|| worker::Worker::new(&mut poll, &mine).run()));
            if !matches!(ended, Ok(Ok(()))) && !bug("failure-untold") {
                on_failure();
            }
            if !worker::has_both(&poll, &mine.waker) {
                // Either may be the host's by now: better to leave two open than to close a stranger's.
                std::mem::forget((poll, Arc::clone(&mine)));
            }
            mine.commands.end();
            // Last: the host's logger is not to stand between a failure and those who have to know of it.
            if ended.is_err() {
                log::error!("the PTP worker has failed, which is a bug: all sessions have ended");
            }
        };
        let thread = std::thread::Builder::new().name("ptpbmca".into()).spawn(run).map_err(|error| {
            if bug("refusal-leak") {
                std::mem::forget(Arc::clone(&shared));
            }
            Error {
                kind: ErrorKind::Limit,
                os_error: error.raw_os_error().unwrap_or(0),
                message: format!(
                    "The system refused a thread for the PTP worker: {error}. Raise the limit of threads."
                ),
            }
        })?;
        Ok(Self { shared, thread })
    }

    /// A way to send commands from any thread.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Whether the worker still takes commands.
    pub fn is_alive(&self) -> bool {
        self.shared.commands.is_open()
    }

    /// Ends the worker, and waits until it has.
    pub fn quit(self) {
        if bug("thread-leak") {
            return std::mem::forget(self);
        }
        let _ = Handle(self.shared).command(Command::Quit);
        // A worker that panicked has said so by then.
        let _ = self.thread.join();
    }
}

impl Handle {
    fn command(&self, command: Command) -> Result<()> {
        // A worker that cannot be woken comes by itself (worker::HEARTBEAT), to obey or to find that it is at its end.
        let wake = || self.0.waker.wake();
        self.0.commands.put(command, wake).map_err(|Ended| Error::of(ErrorKind::Internal))
    }

    /// Opens a session; returns once its first messages are sent.
    ///
    /// # Errors
    /// Those of binding sockets; [`ErrorKind::InvalidArgument`] where another session contradicts.
    pub fn open(
        &self,
        id: SessionId,
        spec: SessionSpec,
        published: &'static Published,
        callback: Option<Callback>,
    ) -> Result<()> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.command(Command::Open { id, spec, published, callback, reply })?;
        received(&answer)?
    }

    /// Closes a session; its callback does not run any more when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the worker has panicked.
    pub fn close(&self, id: SessionId) -> Result<()> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.command(Command::Close { id, reply })?;
        received(&answer)
    }

    /// Waits until something has happened to a session, at most until `deadline`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the worker has panicked.
    pub fn wait(&self, id: SessionId, what: Awaited, deadline: LocalTime) -> Result<Waited> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.command(Command::Await { id, what, deadline, reply })?;
        // Also if a callback holds the worker up.
        let left = deadline.since(clock::monotonic()).nanos().max(0);
        let answer_by = if bug("wait-outlasts") { Duration::MAX } else { ANSWER };
        match answer.recv_timeout(Duration::from_nanos(left.unsigned_abs()).saturating_add(answer_by)) {
            Ok(waited) => Ok(waited),
            Err(RecvTimeoutError::Timeout) => Ok(Waited::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(Error::of(ErrorKind::Internal)),
        }
    }
}

/// The signals that a host handles are for its own threads. Blocked by name and not all: runtimes with a garbage collector
/// stop threads by other ones, and would wait for this thread for ever once a callback has shown it to them.
fn leave_signals_to_the_host() {
    if bug("signals-on-worker") {
        return;
    }
    #[cfg(unix)]
    {
        const HOSTS: [libc::c_int; 13] = [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTERM,
            libc::SIGALRM,
            libc::SIGCHLD,
            libc::SIGPIPE,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGWINCH,
            libc::SIGIO,
            libc::SIGVTALRM,
            libc::SIGTSTP,
        ];
        // SAFETY: a signal set is plain data, filled by the calls below; the mask is this thread's alone.
        unsafe {
            let mut signals: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut signals);
            for signal in HOSTS {
                libc::sigaddset(&raw mut signals, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        }
    }
}

fn received<T>(answer: &Receiver<T>) -> Result<T> {
    answer.recv().map_err(|_| Error::of(ErrorKind::Internal))
}

fn refused(what: &str, error: &std::io::Error) -> Error {
    Error {
        kind: ErrorKind::Network,
        os_error: error.raw_os_error().unwrap_or(0),
        message: format!("The system refused {what}: {error}. Raise the limit of open files."),
    }
}
