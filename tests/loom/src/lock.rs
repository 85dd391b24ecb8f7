//! Loom's lock with the face of parking_lot's, and a reply that is waited for, with that of the standard library's channel
//! for one.

use loom::sync::{Arc, Condvar, MutexGuard};

/// As parking_lot's.
pub struct Mutex<T>(loom::sync::Mutex<T>);

#[allow(clippy::new_without_default, missing_docs)]
impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

struct Place<T> {
    /// What was sent, and whether anything still may be.
    state: loom::sync::Mutex<(Option<T>, bool)>,
    changed: Condvar,
}

/// Sends one reply; dropped without, it is known that there will be none.
pub struct Reply<T>(Arc<Place<T>>);

/// Waits for it.
pub struct Answer<T>(Arc<Place<T>>);

/// A way for one reply.
pub fn reply<T>() -> (Reply<T>, Answer<T>) {
    let place = Arc::new(Place { state: loom::sync::Mutex::new((None, true)), changed: Condvar::new() });
    (Reply(Arc::clone(&place)), Answer(place))
}

impl<T> Reply<T> {
    /// Sends it.
    pub fn send(self, value: T) {
        self.0.state.lock().unwrap().0 = Some(value);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().1 = false;
        self.0.changed.notify_one();
    }
}

impl<T> Answer<T> {
    /// Waits for the reply; `None` if there will be none.
    pub fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock().unwrap();
        while state.0.is_none() && state.1 {
            state = self.0.changed.wait(state).unwrap();
        }
        state.0.take()
    }
}
