//! Which file is mapped where, in a table that a signal handler can read: no lock, no allocation.
//!
//! An entry is taken by setting its end from 0, and counts once its start is set. The lowest free one is taken, so that the table takes the memory of as many
//! mappings as there are at once, however many there have been.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Most mappings that are remembered for the message on SIGBUS; it does not name those beyond. The kernel's usual limit is as large.
const WATCHED: usize = 65_536;

struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
    name: AtomicPtr<u8>,
    name_len: AtomicUsize,
    /// Whether pages of the mapping were lost.
    is_torn: AtomicBool,
}

impl Entry {
    const fn free() -> Self {
        let (start, end, name_len) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { start, end, name: AtomicPtr::new(std::ptr::null_mut()), name_len, is_torn: AtomicBool::new(false) }
    }
}

/// Every mapping's place and name, in a table that a signal handler can read: no lock, no allocation.
static TABLE: [Entry; WATCHED] = [const { Entry::free() }; WATCHED];

/// No entry below it was free when it was stored. The search for a free one begins here; entries are taken by setting `end` from 0.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// How often pages of a mapping were lost.
static LOSSES: AtomicU64 = AtomicU64::new(0);

/// A mapping's entry in the table, removed when the mapping is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    entry: Option<usize>,
    name: Box<str>,
    /// Whether pages were lost before it moved.
    was_torn: bool,
}

impl Watched {
    /// Notes a mapping and the file that it is of.
    pub(super) fn new(addresses: Range<usize>, path: &Path) -> Self {
        Self::named(addresses, path.to_string_lossy().into())
    }

    /// Gives the entry up, before the mapping moves: another one may lie there a moment later. Nobody reads it until [`Watched::follow`].
    pub(super) fn leave(&mut self) {
        self.was_torn = self.has_lost_pages();
        self.free();
    }

    /// Notes where the mapping lies now, and how long it is.
    pub(super) fn follow(&mut self, addresses: Range<usize>) {
        let mut moved = Self::named(addresses, std::mem::take(&mut self.name));
        moved.was_torn = self.was_torn;
        *self = moved;
    }

    fn named(addresses: Range<usize>, name: Box<str>) -> Self {
        let Range { start, end } = addresses;
        // Where several threads take and free entries at once, it may be too high for a while. The search goes round, so that only costs memory.
        let first = NEXT.load(Ordering::Relaxed);
        let entry = (0..WATCHED)
            .map(|step| (first + step) % WATCHED)
            .find(|at| TABLE.get(*at).is_some_and(|entry| entry.end.compare_exchange(0, end, Ordering::AcqRel, Ordering::Relaxed).is_ok()));
        if let Some(at) = entry {
            NEXT.store(at + 1, Ordering::Relaxed);
        }
        if let Some(entry) = entry.and_then(|at| TABLE.get(at)) {
            entry.name_len.store(name.len(), Ordering::Relaxed);
            entry.name.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
            // Release: a handler that finds `start` finds the name. Partner: the acquire load in `name_at`.
            entry.start.store(start, Ordering::Release);
        }
        Self { entry, name, was_torn: false }
    }

    /// Tells whether pages of the mapping were lost.
    pub(super) fn has_lost_pages(&self) -> bool {
        // Acquire: who has read zeros in the place of a page finds this set. Partner: the handler has set it before it put them there.
        self.was_torn || self.entry().is_some_and(|entry| entry.is_torn.load(Ordering::Acquire))
    }

    fn entry(&self) -> Option<&'static Entry> {
        self.entry.and_then(|at| TABLE.get(at))
    }

    fn free(&mut self) {
        let Some(at) = self.entry.take() else { return };
        if let Some(entry) = TABLE.get(at) {
            entry.start.store(0, Ordering::Release);
            entry.is_torn.store(false, Ordering::Release);
            entry.name.store(std::ptr::null_mut(), Ordering::Release);
            entry.end.store(0, Ordering::Release);
        }
        NEXT.fetch_min(at, Ordering::Relaxed);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.free();
    }
}

/// Finds the name of the file that is mapped at an address: where its bytes are, and how many.
pub(super) fn name_at(address: usize) -> Option<(*const u8, usize)> {
    let entry = entry_at(address)?;
    let name = entry.name.load(Ordering::Relaxed);
    (!name.is_null()).then(|| (name.cast_const(), entry.name_len.load(Ordering::Relaxed)))
}

/// Notes that the pages of a mapping from an address on are lost. Gives the addresses of these pages.
pub(super) fn tear_at(address: usize, page: usize) -> Option<Range<usize>> {
    let entry = entry_at(address)?;
    let end = entry.end.load(Ordering::Relaxed).checked_next_multiple_of(page)?;
    entry.is_torn.store(true, Ordering::Release);
    LOSSES.fetch_add(1, Ordering::AcqRel);
    Some(address - address % page..end)
}

/// Gives how often pages of a mapping were lost.
pub(super) fn losses() -> u64 {
    LOSSES.load(Ordering::Acquire)
}

fn entry_at(address: usize) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| {
        let start = entry.start.load(Ordering::Acquire);
        start != 0 && (start..entry.end.load(Ordering::Relaxed)).contains(&address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_come_and_go_take_no_more_of_the_table() {
        let mut highest = 0;
        for at in 0..3 * WATCHED {
            let mapping = Watched::named(1 << 60..(1 << 60) + 1 + at, "x".into());
            highest = highest.max(mapping.entry.expect("a free entry"));
        }
        // Other tests map files meanwhile.
        assert!(highest < WATCHED / 2, "entry {highest}");
    }
}
