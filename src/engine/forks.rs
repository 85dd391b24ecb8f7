//! Which sockets a child made by fork has to let go of: it would keep the ports bound after the parent's last session,
//! and the parent's next start would find them in use.

use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors remembered; four of a pair, and as many for its groups. What is more stays open in a child until it ends
/// or executes another program.
const PLACES: usize = 256;

/// No descriptor.
const NONE: i32 = -1;

/// Relaxed: nothing else hangs on an entry, and a child sees its parent's memory as it was at the fork. A socket that is
/// being opened or closed just then may stay open in the child.
static OPEN: [AtomicI32; PLACES] = [const { AtomicI32::new(NONE) }; PLACES];

/// A descriptor was opened.
pub fn opened(descriptor: i32) {
    let replace = |place: &AtomicI32| {
        place.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    let _ = OPEN.iter().any(replace);
}

/// A descriptor is about to be closed. To be called before it is: a child must not close a stranger's.
pub fn closing(descriptor: i32) {
    let replace = |place: &AtomicI32| {
        place.compare_exchange(descriptor, NONE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    let _ = OPEN.iter().any(replace);
}

/// In a child made by fork: closes its copies.
pub fn close_copies() {
    for place in &OPEN {
        let descriptor = place.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: the descriptor is a copy of the worker's, which does not run here. close is allowed in such a child.
            unsafe { libc::close(descriptor) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_remembered() {
        // Descriptors that no process has: tests beside this one have sockets of their own here.
        let remembered = |descriptor| OPEN.iter().any(|place| place.load(Ordering::Relaxed) == descriptor);
        opened(i32::MAX);
        opened(i32::MAX - 1);
        closing(i32::MAX);
        assert!(!remembered(i32::MAX) && remembered(i32::MAX - 1));
        closing(i32::MAX - 1);
        assert!(!remembered(i32::MAX - 1));
    }
}
