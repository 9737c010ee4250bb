//! The memory maps, and the only unsafe code of the program.
//!
//! 1. **Bounds**: no access leaves a mapping; each offset is checked, of stores once a record, and is a multiple of the value's width.
//! 2. **Frozen bytes**: a slice over shared pages covers frozen bytes only; a store below the frozen mark panics. So no slice ever sees a change.
//! 3. **Words**: what changes under a reader is accessed as an atomic word, never as a slice. A read-only mapping is only ever loaded from.
//! 4. **Length**: what lies beyond a file's *length* is SIGBUS, and so is losing the device. That is no memory error: [`super::sigbus`] says what follows.
//!    `provision.rs` keeps stores below the length.
//!    An entry of the table of mappings is given up before its addresses are: the handler never takes one mapping for another.
//! 5. Maps are addressed by 64-bit offsets; nothing here allocates except to remember a file's name.

#![expect(unsafe_code, reason = "memory maps are pointers; this file turns them into checked accesses")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, MmapOptions, MmapRaw, RemapOptions, UncheckedAdvice};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::boot::STAGGER_BYTES;
use super::mapping_table::{self, Watched};
use crate::schema::MAX_COLUMNS;

const _: () = assert!(usize::BITS == 64, "columns are mapped with address space that only a 64-bit machine has");

/// How far a day's columns are frozen, in records; all its maps share one.
pub(crate) type FrozenMark = Arc<AtomicUsize>;

/// A mapping that one thread stores to through [`ColumnBases`], others load from, and whose frozen front is given out as slices.
#[derive(Debug)]
pub(crate) struct WriteMap {
    _watched: Watched,
    raw: MmapRaw,
    /// Most bytes that the file may grow to.
    len: usize,
    /// Bytes of a record.
    width: usize,
    frozen: FrozenMark,
}

impl WriteMap {
    /// Maps address space for `records` records of `width` bytes over `file`, however short the file still is. The file may be closed afterwards.
    pub(crate) fn new(file: &File, records: usize, width: usize, frozen: FrozenMark, path: &Path) -> io::Result<Self> {
        let len = records * width;
        let raw = MmapOptions::new().len(len + STAGGER_BYTES).map_raw(file)?;
        // Without this the first store reads megabytes ahead into the page cache.
        raw.advise(Advice::Random)?;
        let watched = Watched::new(addresses(&raw), path);
        Ok(Self { raw, len, width, frozen, _watched: watched })
    }

    #[inline(always)]
    fn within(&self, at: usize, width: usize) -> *mut u8 {
        assert!(at < self.len && self.len - at >= width && at.is_multiple_of(width), "outside the mapping");
        // SAFETY: (1) `at` lies inside the mapping, as just checked.
        unsafe { self.raw.as_mut_ptr().add(at) }
    }

    /// Makes the pages of a part present and writable here, so that the storing thread does not wait. The part lies below the file's length.
    pub(crate) fn populate(&self, part: Range<usize>) {
        assert!(part.end <= self.len, "outside the mapping");
        for start in part.clone().step_by(POPULATE_STEP) {
            // Only a hint: where the system does not know it, or has no page left, the store itself makes the page present.
            if self.raw.advise_range(Advice::PopulateWrite, start, POPULATE_STEP.min(part.end - start)).is_err() {
                return;
            }
        }
    }

    /// Unmaps the pages of a part. Their bytes stay in the page cache, and the next access, a store as well, maps them again.
    pub(crate) fn unmap(&self, part: Range<usize>) -> io::Result<()> {
        assert!(part.start <= part.end && part.end <= self.len, "outside the mapping");
        // SAFETY: (1) inside the mapping, as just checked; the mapping is shared, so this loses and changes no byte, none that is stored meanwhile and none of
        // the slices given out.
        unsafe { self.raw.unchecked_advise_range(UncheckedAdvice::DontNeed, part.start, part.len()) }
    }

    /// Loads a value of this width, frozen or not.
    #[inline]
    pub(crate) fn load_u32(&self, at: usize) -> u32 {
        // SAFETY: (1) checked and aligned; (3) atomic.
        u32::from_le(unsafe { AtomicU32::from_ptr(self.within(at, 4).cast()) }.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn load_u64(&self, at: usize) -> u64 {
        // SAFETY: (1) checked and aligned; (3) atomic.
        u64::from_le(unsafe { AtomicU64::from_ptr(self.within(at, 8).cast()) }.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn load_uuid(&self, at: usize) -> [u8; 16] {
        let place = self.within(at, 16);
        // SAFETY: (1) 16 checked bytes, aligned to 16; (3) atomic.
        let (low, high) = unsafe {
            (AtomicU64::from_ptr(place.cast()).load(Ordering::Relaxed), AtomicU64::from_ptr(place.add(8).cast()).load(Ordering::Relaxed))
        };
        whole(low, high)
    }

    /// Makes the page of a word dirty without changing it, by one atomic step that stores the value it found: a writer's store is never undone.
    pub(crate) fn dirty(&self, at: usize) {
        // SAFETY: (1) checked and aligned; (3) atomic.
        let word = unsafe { AtomicU32::from_ptr(self.within(at, 4).cast()) };
        // Not `fetch_or(0)`: the compiler turns that into a load, which leaves the page clean. Where this fails the writer has just stored.
        let found = word.load(Ordering::Relaxed);
        let _ = word.compare_exchange(found, found, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Declares the first `to` records of the day final: nobody stores to them again. The caller has loaded the commit mark with acquire ordering.
    pub(crate) fn freeze(&self, to: usize) {
        self.frozen.fetch_max(to, Ordering::AcqRel);
    }

    /// Gives the bytes of frozen records.
    pub(crate) fn frozen(&self, records: Range<usize>) -> &[u8] {
        assert!(records.start <= records.end && records.end <= self.frozen.load(Ordering::Acquire), "only frozen bytes are given out");
        assert!(records.end <= self.len / self.width, "outside the mapping");
        // SAFETY: (1) inside the mapping, as just checked; (2) no byte below the mark changes again.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(records.start * self.width), records.len() * self.width) }
    }
}

/// Bytes whose pages are made present at a time: meanwhile the system holds a lock that all maps share.
const POPULATE_STEP: usize = 64 << 10;

/// Where a column is mapped, for the thread that stores to it.
#[derive(Debug, Clone, Copy)]
struct ColumnBase {
    start: *mut u8,
    /// Bytes of a value; 0 where the folder has no such column.
    width: usize,
}

// SAFETY: (3) what lies behind `start` is only ever accessed as atomic words.
unsafe impl Send for ColumnBase {}
// SAFETY: as above.
unsafe impl Sync for ColumnBase {}

/// A day's columns, stored to a record at a time: what holds for all columns is checked once a record, not once a value.
#[derive(Debug)]
pub(crate) struct ColumnBases {
    bases: [ColumnBase; MAX_COLUMNS],
    /// Records that every mapping has address space for.
    records: usize,
    frozen: FrozenMark,
    /// Keeps the mappings alive.
    _maps: Vec<Arc<WriteMap>>,
}

impl ColumnBases {
    /// Takes the maps of one day, which share a frozen mark, in the order of the table.
    pub(crate) fn new(maps: Vec<Arc<WriteMap>>) -> Self {
        assert!(maps.len() <= MAX_COLUMNS, "more columns than the table has");
        let mut bases = [ColumnBase { start: std::ptr::null_mut(), width: 0 }; MAX_COLUMNS];
        for (base, map) in bases.iter_mut().zip(&maps) {
            *base = ColumnBase { start: map.raw.as_mut_ptr(), width: map.width };
        }
        let records = maps.iter().map(|map| map.len / map.width).min().unwrap_or(0);
        let frozen = maps.first().map_or_else(FrozenMark::default, |map| Arc::clone(&map.frozen));
        assert!(maps.iter().all(|map| Arc::ptr_eq(&map.frozen, &frozen)), "one day, one mark");
        Self { bases, records, frozen, _maps: maps }
    }

    /// Gives the places of a record that may be stored to.
    #[inline(always)]
    pub(crate) fn record(&self, record: usize) -> OpenRecord<'_> {
        // Relaxed: the mark is raised only to what the storing thread has committed, hence already passed.
        assert!(record >= self.frozen.load(Ordering::Relaxed), "a frozen byte is never stored to");
        assert!(record < self.records, "outside the mapping");
        OpenRecord { bases: &self.bases, record }
    }
}

/// A record that is not frozen, in all columns.
#[derive(Clone, Copy)]
pub(crate) struct OpenRecord<'a> {
    bases: &'a [ColumnBase; MAX_COLUMNS],
    record: usize,
}

impl OpenRecord<'_> {
    /// Gives the place of the record's value in a column of that width; nothing where the folder does not have the column.
    #[inline(always)]
    fn place<const WIDTH: usize>(self, column: usize) -> Option<*mut u8> {
        let base = self.bases.get(column)?;
        if base.width != WIDTH {
            assert!(base.width == 0, "a value of another width");
            return None;
        }
        // SAFETY: (1) every mapping has room for `records` values of its width, and the record is below that, as `ColumnBases::record` has checked;
        // the maps live as long as the `ColumnBases` that this borrows from. Mappings begin at a page, so the place is aligned to the width.
        Some(unsafe { base.start.add(self.record * WIDTH) })
    }

    #[inline(always)]
    pub(crate) fn store_u32(self, column: usize, value: u32) {
        if let Some(place) = self.place::<4>(column) {
            // SAFETY: (1) checked and aligned; (3) atomic, so that a reader in this process is no data race.
            unsafe { AtomicU32::from_ptr(place.cast()) }.store(value.to_le(), Ordering::Relaxed);
        }
    }

    /// Stores 4 bytes after all that was stored before. Partner: the acquire fence of a program that reads the time column alone.
    #[inline(always)]
    pub(crate) fn store_u32_last(self, column: usize, value: u32) {
        if let Some(place) = self.place::<4>(column) {
            // SAFETY: (1) checked and aligned; (3) atomic.
            unsafe { AtomicU32::from_ptr(place.cast()) }.store(value.to_le(), Ordering::Release);
        }
    }

    #[inline(always)]
    pub(crate) fn store_u64(self, column: usize, value: u64) {
        if let Some(place) = self.place::<8>(column) {
            // SAFETY: (1) checked and aligned; (3) atomic.
            unsafe { AtomicU64::from_ptr(place.cast()) }.store(value.to_le(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn store_uuid(self, column: usize, value: [u8; 16]) {
        let [low, high] = halves(value);
        if let Some(place) = self.place::<16>(column) {
            // SAFETY: (1) 16 checked bytes, aligned to 16, so both halves are aligned to 8; (3) atomic.
            unsafe {
                AtomicU64::from_ptr(place.cast()).store(low, Ordering::Relaxed);
                AtomicU64::from_ptr(place.add(8).cast()).store(high, Ordering::Relaxed);
            }
        }
    }
}

/// A read-only mapping of bytes that never change again: records below a commit mark. It may reach beyond them, even beyond the file's end, so that most
/// growth costs nothing.
#[derive(Debug)]
pub(crate) struct ReadMap {
    watched: Watched,
    raw: MmapRaw,
    len: usize,
}

impl ReadMap {
    /// Maps address space for `space` bytes of `file`, at least `len`, and shows the first `len`: the file holds them, and they are committed.
    pub(crate) fn new(file: &File, len: usize, space: usize, path: &Path) -> io::Result<Self> {
        let raw = MmapOptions::new().len(space.max(len).max(1)).map_raw_read_only(file)?;
        Ok(Self { watched: Watched::new(addresses(&raw), path), raw, len })
    }

    /// Makes sure that the mapping reaches over `len` bytes. One that does not gets address space for `space` bytes, or `len` where a limit refuses
    /// that. Tells whether it was moved.
    pub(crate) fn reserve(&mut self, len: usize, space: usize) -> io::Result<bool> {
        if len <= self.raw.len() {
            return Ok(false);
        }
        let options = RemapOptions::new().may_move(true);
        self.watched.leave();
        // SAFETY: (1) no slice of the old mapping is alive, as this borrows the map alone; (4) what lies beyond the file's end is not accessed.
        let mut remap = |space| unsafe { self.raw.remap(space, options) };
        let moved = remap(space.max(len)).or_else(|_| remap(len));
        self.watched.follow(addresses(&self.raw));
        moved.map(|()| true)
    }

    /// Shows the first `len` bytes from now on, as many as before or more. The mapping reaches over them; else as in [`ReadMap::new`].
    pub(crate) fn show(&mut self, len: usize) {
        assert!(len >= self.len && len <= self.raw.len(), "within the mapping, and a snapshot's bytes are never taken back");
        self.len = len;
    }

    /// Unmaps the pages of some bytes: they are no memory of this process until the next access reads them from the file again.
    pub(crate) fn release(&self, bytes: Range<usize>) {
        let (start, end) = (bytes.start.min(self.len), bytes.end.min(self.len));
        // SAFETY: (1) inside the mapping, as just cut; it is shared, so this loses and changes no byte. Where it is refused, the pages stay.
        let _ = unsafe { self.raw.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end.saturating_sub(start)) };
    }

    /// Tells whether pages were lost: zeros stand in their place.
    pub(crate) fn has_lost_pages(&self) -> bool {
        self.watched.has_lost_pages()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: (1) within the mapping; (2) the writer commits before anyone looks, and committed bytes never change: the format's contract.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), self.len) }
    }

    /// Gives the bytes as values; those behind the last whole value are left out.
    pub(crate) fn values<T: Plain>(&self) -> &[T] {
        const { assert!(align_of::<T>() <= SECTOR && size_of::<T>() > 0, "a mapping begins at a page, so its start suits any of these") };
        // SAFETY: (1) as many whole values as there are bytes for, aligned as just asserted; (2) as in `bytes`; every bit pattern is a value, by `Plain`.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().cast(), self.len / size_of::<T>()) }
    }
}

const _: () = assert!(cfg!(target_endian = "little"), "columns are little-endian, and readers get them as they lie there");

/// A type of which every bit pattern is a value, without padding.
///
/// # Safety
/// As said.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($integers_floats_and_bytes:ty),*) => {
        // SAFETY: they have no padding, and take any bits.
        $(unsafe impl Plain for $integers_floats_and_bytes {})*
    };
}
plain!(u32, u64, f32, f64, [u8; 16]);

/// Bytes of a sector, the unit that a disk writes whole.
pub(crate) const SECTOR: usize = 512;
const WORDS_PER_SECTOR: usize = SECTOR / 8;

/// A mapping accessed as atomic 64-bit words: the commit page.
#[derive(Debug)]
pub(crate) struct WordMap {
    watched: Watched,
    raw: MmapRaw,
    writable: bool,
}

impl WordMap {
    /// Maps the first `len` bytes of `file`.
    pub(crate) fn new(file: &File, len: usize, writable: bool, path: &Path) -> io::Result<Self> {
        assert!(len.is_multiple_of(SECTOR), "whole sectors");
        let options = MmapOptions::new().len(len).to_owned();
        let raw = if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        Ok(Self { watched: Watched::new(addresses(&raw), path), raw, writable })
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.raw.len() / 8, "outside the mapping");
        // SAFETY: (1) checked; the mapping is aligned to a page and thus the word to 8; (3) only ever accessed as an atomic.
        unsafe { AtomicU64::from_ptr(self.raw.as_mut_ptr().cast::<u64>().add(index)) }
    }

    /// Tells whether the page was lost: zeros stand in its place.
    pub(crate) fn has_lost_pages(&self) -> bool {
        self.watched.has_lost_pages()
    }

    /// Loads a word; what was stored before the release store of the value found is visible afterwards.
    #[inline]
    pub(crate) fn load(&self, index: usize) -> u64 {
        // Relaxed and a fence instead of an acquire load: the only load that is defined on read-only pages.
        let value = self.word(index).load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        u64::from_le(value)
    }

    /// Stores a word after all that was stored before. Partner: [`WordMap::load`].
    #[inline]
    pub(crate) fn store(&self, index: usize, value: u64) {
        assert!(self.writable, "a read-only page is not stored to");
        self.word(index).store(value.to_le(), Ordering::Release);
    }

    /// Copies a sector word by word. Its CRC says whether a writer changed it meanwhile.
    pub(crate) fn load_sector(&self, sector: usize) -> [u8; SECTOR] {
        let mut bytes = [0; SECTOR];
        for (word, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&self.word(sector * WORDS_PER_SECTOR + word).load(Ordering::Relaxed).to_ne_bytes());
        }
        fence(Ordering::Acquire);
        bytes
    }

    /// Stores a sector word by word, after all that was stored before.
    pub(crate) fn store_sector(&self, sector: usize, bytes: &[u8; SECTOR]) {
        assert!(self.writable, "a read-only page is not stored to");
        for (word, chunk) in bytes.chunks_exact(8).enumerate() {
            let mut value = [0; 8];
            value.copy_from_slice(chunk);
            self.word(sector * WORDS_PER_SECTOR + word).store(u64::from_ne_bytes(value), Ordering::Release);
        }
    }

    /// Writes the page to the disk and waits.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.raw.flush()
    }
}

/// Splits 16 bytes into two words that lie in memory as the bytes do.
#[inline(always)]
fn halves(value: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = value;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
}

fn whole(low: u64, high: u64) -> [u8; 16] {
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (low.to_ne_bytes(), high.to_ne_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Gives the addresses of a mapping.
fn addresses(raw: &MmapRaw) -> Range<usize> {
    let start = raw.as_ptr() as usize;
    start..start + raw.len()
}

/// Finds the name of the file mapped at an address.
pub(super) fn column_at(address: usize) -> Option<&'static [u8]> {
    let (name, len) = mapping_table::name_at(address)?;
    // SAFETY: the name lives as long as its entry; only the handler of SIGBUS calls this, about a mapping that its thread was just accessing.
    Some(unsafe { std::slice::from_raw_parts(name, len) })
}

/// Tells of the address of a SIGBUS whether the access can be tried again.
static TAKES: OnceLock<fn(usize) -> bool> = OnceLock::new();

/// Has an async-signal-safe function decide what follows a SIGBUS: the thread goes on, or the process ends as without a handler.
pub(super) fn handle_sigbus(takes: fn(usize) -> bool) -> io::Result<()> {
    let _ = TAKES.set(takes);
    // SAFETY: all zeros are a `sigaction`; the handler does what is async-signal-safe alone.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *const libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives the handler a valid `info`, and in it the address.
    let address = unsafe { (*info).si_addr() } as usize;
    if !TAKES.get().is_some_and(|takes| takes(address)) {
        // SAFETY: both are async-signal-safe. The signal comes again when the handler is left, and ends the process.
        let _ = unsafe { (libc::signal(signal, libc::SIG_DFL), libc::raise(signal)) };
    }
}

/// Puts zeros in the place of pages of a read-only mapping that its thread cannot read.
pub(super) fn put_zeros(pages: Range<usize>) -> io::Result<()> {
    let (start, flags) = (std::ptr::with_exposed_provenance_mut(pages.start), MapFlags::PRIVATE | MapFlags::FIXED);
    // SAFETY: (1) `pages` lies inside a mapping that the faulting thread borrows, so nobody unmaps it meanwhile; (2) what was there is lost.
    unsafe { mmap_anonymous(start, pages.len(), ProtFlags::READ, flags) }.map(drop).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: usize = 1 << 16;

    fn file(len: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(len).expect("a length");
        file
    }

    fn map(file: &tempfile::NamedTempFile, width: usize, frozen: &FrozenMark) -> Arc<WriteMap> {
        Arc::new(WriteMap::new(file.as_file(), RECORDS, width, Arc::clone(frozen), file.path()).expect("a map"))
    }

    /// Columns of 4, 8 and 16 bytes, files of two pages each.
    fn bases() -> (ColumnBases, Vec<Arc<WriteMap>>, Vec<tempfile::NamedTempFile>) {
        let frozen = FrozenMark::default();
        let files: Vec<_> = (0..3).map(|_| file(8192)).collect();
        let maps: Vec<_> = files.iter().zip([4, 8, 16]).map(|(file, width)| map(file, width, &frozen)).collect();
        (ColumnBases::new(maps.clone()), maps, files)
    }

    fn panics(what: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).is_err()
    }

    #[test]
    fn what_is_stored_is_in_the_files_little_endian() {
        let (bases, maps, files) = bases();
        let record = bases.record(1);
        record.store_u32_last(0, 0x0403_0201);
        record.store_u64(1, 0x0807_0605_0403_0201);
        record.store_uuid(2, std::array::from_fn(|at| u8::try_from(at).expect("small")));
        let [narrow, wide, uuids] = [0, 1, 2].map(|at| std::fs::read(files[at].path()).expect("read"));
        assert_eq!(narrow[..12], [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(wide[8..24], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(uuids[16..32], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!((maps[0].load_u32(4), maps[1].load_u64(8), maps[2].load_uuid(16)[15]), (0x0403_0201, 0x0807_0605_0403_0201, 15));
    }

    #[test]
    fn a_file_that_grows_is_reached_by_the_old_mapping() {
        let (bases, _maps, files) = bases();
        files[0].as_file().set_len(16_384).expect("a length");
        bases.record(4095).store_u32(0, 7);
        assert_eq!(std::fs::read(files[0].path()).expect("read")[16_380], 7);
    }

    #[test]
    fn frozen_records_are_given_out_and_no_longer_stored_to_in_any_column() {
        let (bases, maps, _files) = bases();
        bases.record(0).store_u32(0, 1);
        maps[1].freeze(1);
        assert_eq!(maps[0].frozen(0..1), [1, 0, 0, 0]);
        bases.record(1).store_u32(0, 2);
        assert!(panics(|| bases.record(0).store_u32(0, 2)));
        assert!(panics(|| assert!(!maps[0].frozen(0..2).is_empty())));
        maps[1].freeze(usize::MAX);
        assert!(panics(|| assert!(!maps[2].frozen(0..RECORDS + 1).is_empty())));
    }

    #[test]
    fn no_access_leaves_the_mapping() {
        let (bases, maps, _files) = bases();
        for at in [RECORDS * 4, RECORDS * 4 - 2, usize::MAX, 2] {
            assert!(panics(|| assert_eq!(maps[0].load_u32(at), 0)), "{at}");
        }
        for record in [RECORDS, usize::MAX] {
            assert!(panics(|| bases.record(record).store_u32(0, 1)), "{record}");
        }
        assert!(panics(|| bases.record(0).store_u64(0, 1)), "eight bytes into a column of four");
        assert!(panics(|| bases.record(0).store_u32(1, 1)), "four bytes into a column of eight");
        bases.record(0).store_u64(3, 1);
        bases.record(0).store_u64(MAX_COLUMNS, 1);
        assert!(panics(|| maps[0].populate(0..RECORDS * 4 + 1)));
    }

    #[test]
    fn maps_of_two_days_are_never_stored_to_together() {
        let files = [file(4096), file(4096)];
        let maps = files.iter().map(|file| map(file, 4, &FrozenMark::default())).collect();
        assert!(panics(|| drop(ColumnBases::new(maps))));
    }

    #[test]
    fn populating_brings_pages_and_changes_nothing() {
        let (bases, maps, files) = bases();
        bases.record(3).store_u64(1, 9);
        let before = std::fs::read(files[1].path()).expect("read");
        maps[1].populate(0..8192);
        // Beyond the file's end there is nothing to bring: it gives up.
        maps[1].populate(8192..65_536);
        assert_eq!(std::fs::read(files[1].path()).expect("read"), before);
        assert_eq!(files[1].as_file().metadata().expect("found").len(), 8192);
    }

    #[test]
    fn a_read_only_mapping_shows_more_of_a_file_that_has_grown_where_it_is_or_elsewhere() {
        let file = file(4096);
        std::fs::write(file.path(), 7u32.to_le_bytes().repeat(10)).expect("written");
        let mut map = ReadMap::new(file.as_file(), 12, 4096, file.path()).expect("a map");
        assert_eq!((map.values::<u32>(), map.bytes().len()), ([7; 3].as_slice(), 12));
        assert!(!map.reserve(4000, 8192).expect("within the mapping"));
        std::fs::write(file.path(), 8u64.to_le_bytes().repeat(2000)).expect("written");
        map.show(4000);
        assert_eq!(map.values::<u64>(), [8; 500]);
        assert!(map.reserve(16_000, 1 << 20).expect("moved"));
        map.show(16_000);
        assert_eq!(map.values::<u64>(), [8; 2000]);
        assert_eq!(map.values::<[u8; 16]>().len(), 1000);
        for at in [0, (1 << 20) - 1] {
            assert_eq!(column_at(map.raw.as_ptr() as usize + at), Some(file.path().to_string_lossy().as_bytes()), "the name goes with it");
        }
        assert!(panics(|| map.show(15_999)), "bytes are never taken back");
    }

    #[test]
    fn an_address_inside_a_mapping_has_its_files_name_and_none_after_it_is_gone() {
        let file = file(4096);
        let map = map(&file, 4, &FrozenMark::default());
        let address = map.raw.as_ptr() as usize + 5000;
        assert_eq!(column_at(address), Some(file.path().to_string_lossy().as_bytes()));
        drop(map);
        assert_eq!(column_at(address), None);
    }
}
