//! The system's allocator with a count of allocations for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Threads of a process have ids close to each other, so two that live at the same time do not share a slot.
const SLOTS: usize = 1 << 16;

static ALLOCATIONS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn of_this_thread() -> &'static AtomicU64 {
    let thread = usize::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
    &ALLOCATIONS[thread % SLOTS]
}

fn count() {
    of_this_thread().fetch_add(1, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
// SAFETY: every call is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Counts the allocations of this thread while `work` runs.
pub(crate) fn allocations_during(work: impl FnOnce()) -> u64 {
    let before = of_this_thread().load(Ordering::Relaxed);
    work();
    of_this_thread().load(Ordering::Relaxed) - before
}

/// Allocations so far of the threads whose name begins so, by thread.
pub(crate) fn allocations_of(prefixes: &[&str]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path();
        let Ok(name) = std::fs::read_to_string(path.join("comm")) else { continue };
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            let thread: usize = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            found.insert(name.trim().to_owned(), ALLOCATIONS[thread % SLOTS].load(Ordering::Relaxed));
        }
    }
    found
}

#[test]
fn an_allocation_is_counted() {
    let _alone = crate::alone();
    assert_eq!(allocations_during(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations_during(|| ()), 0);
}
