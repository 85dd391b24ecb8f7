//! The way to the worker: a queue that any thread puts commands in, and that ends with the worker. The models of
//! `tests/loom` run this very file.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

#[cfg(loom)]
use crate::lock::Mutex;
#[cfg(not(loom))]
use parking_lot::Mutex;

use crate::planted::bug;

/// Commands for the worker.
pub struct Queue<C>(Mutex<Option<VecDeque<C>>>);

/// Why a command is not in the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<E> {
    /// The worker has ended.
    Ended,
    /// It could not be woken.
    Asleep(E),
}

impl<C> Queue<C> {
    /// An empty one.
    pub fn new() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }

    /// Puts a command in and wakes the worker, or does neither. The waking comes after the putting, or a worker that takes
    /// all in between would sleep on; and under the lock, so that a command whose sender was told of a failure is never
    /// obeyed: its session's slot may be another's by then.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn put<E>(&self, command: C, wake: impl Fn() -> Result<(), E>) -> Result<(), Refused<E>> {
        if bug("queue-wakes-first") {
            let _ = wake();
        }
        let mut place = self.0.lock();
        let Some(queue) = &mut *place else { return Err(Refused::Ended) };
        queue.push_back(command);
        if bug("queue-wakes-first") {
            return Ok(());
        }
        wake().map_err(|error| {
            if !bug("queue-keeps-the-refused") {
                queue.pop_back();
            }
            Refused::Asleep(error)
        })
    }

    /// Takes all that is there. For the worker.
    pub fn take(&self) -> VecDeque<C> {
        self.0.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes nothing any more, and drops what was still to be done, so that those who wait for it learn that it will not
    /// be. For the worker, when it ends.
    pub fn end(&self) {
        // Dropped without the lock: a command holds what is the host's.
        let left = if bug("queue-stays-open") { Some(self.take()) } else { self.0.lock().take() };
        drop(left);
    }

    /// Whether the worker still takes commands.
    pub fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_command_whose_sender_was_told_of_a_failure_is_not_obeyed() {
        let queue = Queue::new();
        assert_eq!(queue.put(1, || Ok::<_, ()>(())), Ok(()));
        assert_eq!(queue.put(2, || Err("no descriptor")), Err(Refused::Asleep("no descriptor")));
        assert_eq!(queue.put(3, || Ok::<_, ()>(())), Ok(()));
        assert_eq!(queue.take(), [1, 3]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn nothing_comes_in_after_the_end() {
        let queue = Queue::new();
        let command = std::sync::Arc::new(());
        assert_eq!(queue.put(std::sync::Arc::clone(&command), || Ok::<_, ()>(())), Ok(()));
        assert!(queue.is_open());
        queue.end();
        assert_eq!(std::sync::Arc::strong_count(&command), 1, "who waits for a reply learns of the end");
        assert!(!queue.is_open());
        assert_eq!(queue.put(command, || Ok::<_, ()>(())), Err(Refused::Ended));
        assert!(queue.take().is_empty());
    }
}
