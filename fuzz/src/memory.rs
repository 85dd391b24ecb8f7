//! Counts the bytes that are allocated: nothing that comes in may make them grow without bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator (AddressSanitizer's, in these builds), with a count.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes allocated and not yet freed by Rust code.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Tries an input, which may keep nothing.
pub fn nothing_kept(mut input: impl FnMut()) {
    let before = live();
    input();
    if live() != before {
        // What is made once for the process is there by now.
        let before = live();
        input();
        assert_eq!(live(), before, "bytes are kept");
    }
}
