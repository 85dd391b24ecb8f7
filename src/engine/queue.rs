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

/// The worker has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended;

impl<C> Queue<C> {
    /// An empty one.
    pub fn new() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }

    /// Puts a command in, then wakes the worker: the other way round, one that takes all in between would sleep on.
    ///
    /// # Errors
    /// [`Ended`]: nobody will obey.
    pub fn put(&self, command: C, wake: impl Fn()) -> Result<(), Ended> {
        if bug("queue-wakes-first") {
            wake();
        }
        self.0.lock().as_mut().ok_or(Ended)?.push_back(command);
        if !bug("queue-wakes-first") {
            wake();
        }
        Ok(())
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
    fn nothing_comes_in_after_the_end() {
        let queue = Queue::new();
        let command = std::sync::Arc::new(());
        for _ in 0..2 {
            assert_eq!(queue.put(std::sync::Arc::clone(&command), || ()), Ok(()));
        }
        assert!(queue.is_open());
        assert_eq!(queue.take().len(), 2);
        assert_eq!(queue.put(std::sync::Arc::clone(&command), || ()), Ok(()));
        queue.end();
        assert_eq!(std::sync::Arc::strong_count(&command), 1, "who waits for a reply learns of the end");
        assert!(!queue.is_open());
        assert_eq!(queue.put(command, || ()), Err(Ended));
        assert!(queue.take().is_empty());
    }
}
