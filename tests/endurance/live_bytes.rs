//! The system's allocator with a count of the bytes that the process has allocated and not freed. What the resident memory shows besides (free memory that the
//! allocator keeps, stacks) depends on how allocations happened to lie; this does not. What libraries in C allocate is not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are allocated now.
pub(crate) fn live_bytes() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

fn add(bytes: usize) {
    // No allocation has more than `isize::MAX` bytes.
    LIVE.fetch_add(bytes as i64, Ordering::Relaxed);
}

fn subtract(bytes: usize) {
    LIVE.fetch_sub(bytes as i64, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
// SAFETY: every call is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        subtract(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[test]
fn what_is_allocated_counts_until_it_is_freed() {
    // Other tests of this program allocate meanwhile, but not so much.
    const BYTES: usize = 1 << 30;
    let before = live_bytes();
    let held = std::hint::black_box(Vec::<u8>::with_capacity(BYTES));
    assert!(live_bytes() - before > (BYTES / 2) as i64);
    drop(held);
    assert!(live_bytes() - before < (BYTES / 2) as i64);
}
