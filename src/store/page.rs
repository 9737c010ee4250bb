//! [`Page`]: the mapped commit page, written by a day's threads and read by anyone.
//!
//! 1. `committed` is stored with release ordering after the columns' bytes and after the last key; a reader that loads it sees both.
//! 2. The last key lies in two entries written in turn, each with the count it belongs to: a process that dies between two stores leaves
//!    the entry of the count that `committed` names.
//! 3. A state is stored in its spare sector first, then in its own: at every moment one of the two is whole. A crash may leave the spare
//!    older than the state. So both are made equal, and flushed, when a day is opened: a stale spare must never replace a torn state.
//! 4. The boot's identity is stored last of all when a day is opened: until then the hot sector does not count.
//! 5. [`Page::durable`] is the one place that decides which durable slot counts.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::boot::BootId;
use super::commit::{
    Checkpoint, DurableSlot, Extent, HOT_SECTOR, IDENTITY_SECTOR, Identity, PAGE, Phase, SLOT_SECTORS, STATE_SECTORS, State, WITNESS_SECTOR,
};
use super::error::StoreError;
use super::map::{SECTOR, WordMap};

const HOT: usize = HOT_SECTOR * SECTOR / 8;
const COMMITTED: usize = HOT;
const LATE: usize = HOT + 1;
const MARKS: [usize; 2] = [HOT + 2, HOT + 4];
const BOOT: [usize; 2] = [HOT + 6, HOT + 7];
const DEVICE: usize = HOT + 8;
const INODE: usize = HOT + 9;
const MISTRUST: usize = HOT + 10;

/// The count of an entry that is being written.
const WRITING: u64 = u64::MAX;
/// Times an entry is read again because the writer has overwritten it. Each needs two commits within a few nanoseconds.
const MARK_ATTEMPTS: u32 = 10_000;

/// What the writer has made visible: a number of records, and the key of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) count: u64,
    pub(crate) key: u64,
}

/// A durable slot and its place, 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedSlot {
    pub(crate) place: usize,
    pub(crate) slot: DurableSlot,
}

/// The boot that a page was written on, and the file that it was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageOrigin {
    pub(crate) boot: BootId,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl PageOrigin {
    /// Gives the origin that a page has if it was written on this boot, in this file.
    pub(crate) fn here(file: &File, boot: BootId) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { boot, device: found.dev(), inode: found.ino() })
    }
}

/// A mapped commit page.
#[derive(Debug)]
pub(crate) struct Page {
    words: WordMap,
    here: Option<PageOrigin>,
}

impl Page {
    /// Maps a page. `boot` is the boot's id of now.
    ///
    /// # Errors
    /// Where the file is shorter than a page, as one is that is just being made: what lies behind its end is SIGBUS.
    pub(crate) fn map(file: &File, writable: bool, boot: Option<BootId>, path: &Path) -> io::Result<Self> {
        if file.metadata()?.len() < PAGE as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than a commit page"));
        }
        let here = boot.map(|boot| PageOrigin::here(file, boot)).transpose()?;
        Ok(Self { words: WordMap::new(file, PAGE, writable, path)?, here })
    }

    /// Tells whether the file was cut, or its device lost, since it was mapped.
    pub(super) fn is_lost(&self) -> bool {
        self.words.has_lost_pages()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::decode(&self.words.load_sector(IDENTITY_SECTOR))
    }

    /// Fails where the page is of another version of the format: it is a day, and not one that this program can read.
    pub(crate) fn must_be_of_this_version(&self, path: &Path) -> Result<(), StoreError> {
        match Identity::other_version(&self.words.load_sector(IDENTITY_SECTOR)) {
            Some(version) => {
                Err(StoreError::damaged(path, format!("it is of version {version} of the format, which this coltape does not read")))
            }
            None => Ok(()),
        }
    }

    /// Tells whether the hot sector counts: written on this boot, in this very file, and no flush has failed since.
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_of_here() && self.words.load(MISTRUST) == 0
    }

    /// Tells whether the hot sector was written on this boot, in this very file.
    fn is_of_here(&self) -> bool {
        let Some(here) = self.here else { return false };
        let [high, low] = BOOT.map(|word| self.words.load(word));
        let boot = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let written = PageOrigin { boot: BootId(boot), device: self.words.load(DEVICE), inode: self.words.load(INODE) };
        written == here
    }

    /// Gives what the day held when it was closed after a failed flush; nothing unless that was on this boot.
    pub(crate) fn witness(&self) -> Option<DurableSlot> {
        let witness = DurableSlot::decode(&self.words.load_sector(WITNESS_SECTOR))?;
        (self.is_of_here() && self.words.load(MISTRUST) != 0).then_some(witness)
    }

    /// Writes the witness, or clears it.
    pub(crate) fn store_witness(&self, witness: Option<&DurableSlot>) {
        self.words.store_sector(WITNESS_SECTOR, &witness.map_or([0; SECTOR], DurableSlot::encode));
    }

    /// Makes the hot sector count from now on. Without a boot id it never does.
    pub(crate) fn trust(&self) {
        self.store_witness(None);
        self.words.store(MISTRUST, 0);
        let Some(here) = self.here else { return };
        self.words.store(DEVICE, here.device);
        self.words.store(INODE, here.inode);
        let boot = u128::from_be_bytes(here.boot.0);
        #[expect(clippy::cast_possible_truncation, reason = "each word takes one half")]
        let halves = [(boot >> 64) as u64, boot as u64];
        for (word, half) in BOOT.into_iter().zip(halves) {
            self.words.store(word, half);
        }
    }

    /// Declares that `committed` must not be trusted: a flush failed, and the cache may have lost some of the records.
    pub(crate) fn mistrust(&self) {
        self.words.store(MISTRUST, 1);
    }

    /// Zeroes the hot sector of a day that has been sealed, the boot's identity first: from then on it does not count.
    pub(crate) fn clear_hot(&self) {
        let identity = [DEVICE, INODE].into_iter().chain(BOOT);
        for word in identity.chain(HOT..HOT + SECTOR / 8) {
            self.words.store(word, 0);
        }
    }

    /// Makes `mark.count` records visible. Only the day's writer calls this.
    #[inline]
    pub(crate) fn commit(&self, mark: Mark) {
        let [first, second] = MARKS;
        let entry = if self.words.load(first) == self.words.load(COMMITTED) { second } else { first };
        self.words.store(entry, WRITING);
        // Release, in each `store`: a reader that has read the new key finds `WRITING`, or the new count, when it looks at the count again (partner: the
        // acquire in `load`). So a reader that finds the old count twice has read the old key.
        self.words.store(entry + 1, mark.key);
        self.words.store(entry, mark.count);
        // Release likewise. Partner: the acquire load in `committed`.
        self.words.store(COMMITTED, mark.count);
    }

    /// Sets the mark when a day is opened, or when only its last key has changed: both entries get the same values, one after the other.
    pub(crate) fn reset(&self, mark: Mark) {
        for entry in MARKS {
            self.words.store(entry, WRITING);
            self.words.store(entry + 1, mark.key);
            self.words.store(entry, mark.count);
        }
        self.words.store(COMMITTED, mark.count);
    }

    /// Stores `committed` alone. For tests that plant a bug: it announces records that are not stored yet.
    pub(crate) fn announce(&self, count: u64) {
        self.words.store(COMMITTED, count);
    }

    /// Gives the number of visible records.
    #[inline]
    pub(crate) fn committed(&self) -> u64 {
        self.words.load(COMMITTED)
    }

    /// Gives the number of visible records with the key of the last one; nothing where no entry fits, which does not happen on a trusted page.
    pub(crate) fn mark(&self) -> Option<Mark> {
        (0..MARK_ATTEMPTS).find_map(|_| {
            let count = self.committed();
            MARKS.into_iter().find_map(|entry| {
                let before = self.words.load(entry);
                let key = self.words.load(entry + 1);
                (before == count && self.words.load(entry) == count).then_some(Mark { count, key })
            })
        })
    }

    /// Gives the number of visible late records of a generation; those of another one are void.
    pub(crate) fn late(&self, generation: u32) -> u32 {
        let word = self.words.load(LATE);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
        let (of, count) = ((word >> 32) as u32, word as u32);
        if of == generation { count } else { 0 }
    }

    /// Makes late records visible.
    pub(crate) fn commit_late(&self, generation: u32, count: u32) {
        self.words.store(LATE, u64::from(generation) << 32 | u64::from(count));
    }

    /// Gives the durable slots that are whole, in the order of their places.
    fn slots(&self) -> impl Iterator<Item = PlacedSlot> {
        SLOT_SECTORS.into_iter().enumerate().filter_map(|(place, sector)| {
            let slot = DurableSlot::decode(&self.words.load_sector(sector))?;
            Some(PlacedSlot { place, slot })
        })
    }

    /// Gives the newest whole slot, whatever files it describes: the next one has the sequence after it, and the other place.
    pub(crate) fn newest_slot(&self) -> Option<PlacedSlot> {
        self.slots().max_by_key(|placed| placed.slot.sequence)
    }

    /// Tells whether anything was ever made durable.
    pub(crate) fn has_durable_records(&self) -> bool {
        self.slots().any(|placed| placed.slot.extent.records > 0 || placed.slot.late > 0)
    }

    /// Decides what of the day is on disk. A slot counts if it is the newest whole one of the state's generation and columns, and describes no fewer
    /// records than the state. Where none does, the records that the state names are on disk, and no late one.
    ///
    /// A sealed day has the records of its seal; only late ones, and their keys, can have come since. A day that is being replaced has those of the new
    /// files, which were on disk before the state said so.
    pub(crate) fn durable(&self, state: &State) -> Checkpoint {
        let describes_it = |slot: &DurableSlot| {
            slot.generation == state.generation && slot.extent.crcs.len() == state.extent.crcs.len() && state.phase != Phase::Replacing
        };
        let newest = self.slots().map(|placed| placed.slot).filter(describes_it).max_by_key(|slot| slot.sequence);
        match newest.filter(|slot| slot.extent.records >= state.extent.records) {
            Some(slot) if state.phase == Phase::Live => Checkpoint { extent: slot.extent, late: slot.late },
            Some(slot) => {
                let last_key = slot.extent.last_key.max(state.extent.last_key);
                Checkpoint { extent: Extent { last_key, ..state.extent.clone() }, late: slot.late }
            }
            None => Checkpoint { extent: state.extent.clone(), late: 0 },
        }
    }

    /// Gives the key of the day's newest record that has one, as far as it counts; 0 where none has.
    pub(crate) fn last_key(&self) -> u64 {
        let marked = if self.is_trusted() { self.mark().map(|mark| mark.key) } else { None };
        match self.state() {
            Some(state) => marked.unwrap_or_else(|| self.durable(&state).extent.last_key).max(state.extent.last_key),
            None => marked.or_else(|| Some(self.newest_slot()?.slot.extent.last_key)).unwrap_or(0),
        }
    }

    /// Writes a durable slot into place 0 or 1.
    pub(crate) fn store_slot(&self, place: usize, slot: &DurableSlot) {
        let [first, second] = SLOT_SECTORS;
        self.words.store_sector(if place == 0 { first } else { second }, &slot.encode());
    }

    /// Gives the state, from its own sector or, where that is torn, from the spare.
    pub(crate) fn state(&self) -> Option<State> {
        STATE_SECTORS.into_iter().find_map(|sector| State::decode(&self.words.load_sector(sector)))
    }

    /// Tells whether the state and its spare are both whole and say the same.
    pub(crate) fn state_has_its_spare(&self) -> bool {
        let [state, spare] = STATE_SECTORS.map(|sector| State::decode(&self.words.load_sector(sector)));
        state.is_some() && state == spare
    }

    /// Stores the state, the spare first.
    pub(crate) fn store_state(&self, state: &State) {
        let sector = state.encode();
        for place in STATE_SECTORS.into_iter().rev() {
            self.words.store_sector(place, &sector);
        }
    }

    /// Writes the page to the disk and waits.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.words.flush()
    }
}

/// Gives the bytes of a new page: an identity, a state, and nothing else.
pub(crate) fn blank(identity: &Identity, state: &State) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAGE);
    for sector in 0..PAGE / SECTOR {
        bytes.extend(match sector {
            IDENTITY_SECTOR => identity.encode(),
            sector if STATE_SECTORS.contains(&sector) => state.encode(),
            _ => [0; SECTOR],
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::commit::Hot;
    use super::*;

    fn page() -> (Page, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(PAGE as u64).expect("a length");
        (Page::map(file.as_file(), true, Some(BootId([7; 16])), file.path()).expect("a page"), file)
    }

    #[test]
    fn a_page_that_is_shorter_is_not_mapped() {
        let (_, file) = page();
        for (len, is_mapped) in [(0, false), (1, false), (SECTOR, false), (PAGE - 1, false), (PAGE, true), (PAGE + 1, true)] {
            file.as_file().set_len(len as u64).expect("a length");
            for writable in [false, true] {
                assert_eq!(Page::map(file.as_file(), writable, None, file.path()).is_ok(), is_mapped, "{len}");
            }
        }
    }

    #[test]
    fn the_hot_sector_counts_on_its_own_boot_and_in_its_own_file_only() {
        let (page, file) = page();
        assert!(!page.is_trusted(), "a page that was never opened");
        page.trust();
        assert!(page.is_trusted());
        let again = |boot| Page::map(file.as_file(), false, boot, file.path()).expect("a page").is_trusted();
        assert!(again(Some(BootId([7; 16]))) && !again(Some(BootId([8; 16]))) && !again(None));
        let copy = tempfile::NamedTempFile::new().expect("a file");
        std::fs::copy(file.path(), copy.path()).expect("copied");
        assert!(!Page::map(copy.as_file(), false, Some(BootId([7; 16])), copy.path()).expect("a page").is_trusted());
        page.mistrust();
        assert!(!page.is_trusted(), "after a failed flush");
    }

    #[test]
    fn a_cleared_hot_sector_holds_zeroes_and_counts_no_more() {
        let (page, _file) = page();
        page.reset(Mark { count: 9, key: 90 });
        page.commit_late(1, 2);
        page.trust();
        page.clear_hot();
        assert!(!page.is_trusted());
        assert_eq!(page.words.load_sector(HOT_SECTOR), [0; SECTOR]);
    }

    #[test]
    fn every_commit_leaves_the_key_of_its_own_count() {
        let (page, _file) = page();
        page.reset(Mark { count: 0, key: 0 });
        for count in 1..20 {
            let before = page.mark();
            // A process that dies before it stores `committed` leaves this: the older entry still fits.
            let (copy, _copied) = self::page();
            copy.words.store_sector(HOT_SECTOR, &page.words.load_sector(HOT_SECTOR));
            copy.commit(Mark { count, key: count * 10 });
            copy.words.store(COMMITTED, count - 1);
            assert_eq!(copy.mark(), before);
            page.commit(Mark { count, key: count * 10 });
            assert_eq!(page.mark(), Some(Mark { count, key: count * 10 }));
        }
    }

    #[test]
    fn late_records_of_another_generation_are_void() {
        let (page, _file) = page();
        page.commit_late(3, 5);
        assert_eq!((page.late(3), page.late(2), page.late(4)), (5, 0, 0));
    }

    #[test]
    fn a_torn_state_leaves_its_spare_and_a_torn_slot_the_older_one() {
        let (page, _file) = page();
        let state = State { phase: Phase::Live, hot: Hot::Used, generation: 1, extent: Extent::empty(3) };
        page.store_state(&state);
        page.words.store_sector(STATE_SECTORS[0], &[1; SECTOR]);
        assert_eq!(page.state(), Some(state));
        let slot = |sequence| DurableSlot { sequence, generation: 0, late: 0, extent: Extent::empty(3) };
        page.store_slot(0, &slot(8));
        page.store_slot(1, &slot(9));
        assert_eq!(page.newest_slot(), Some(PlacedSlot { place: 1, slot: slot(9) }));
        page.words.store_sector(SLOT_SECTORS[1], &[1; SECTOR]);
        assert_eq!(page.newest_slot(), Some(PlacedSlot { place: 0, slot: slot(8) }));
        page.words.store_sector(SLOT_SECTORS[0], &[1; SECTOR]);
        assert_eq!(page.newest_slot(), None);
    }

    /// An extent of three columns whose checksums tell which it is.
    fn extent(records: u64, last_key: u64, crc: u32) -> Extent {
        Extent { records, last_key, crcs: vec![crc; 3] }
    }

    fn slot(sequence: u64, generation: u32, late: u32, extent: &Extent) -> DurableSlot {
        DurableSlot { sequence, generation, late, extent: extent.clone() }
    }

    #[test]
    fn the_newest_slot_of_the_files_as_they_are_is_what_is_durable() {
        let state = |phase, records| State { phase, hot: Hot::Used, generation: 2, extent: extent(records, records * 10, 7) };
        let durable = |state: &State, slots: [Option<DurableSlot>; 2]| {
            let (page, _file) = page();
            for (place, slot) in slots.into_iter().enumerate() {
                slot.into_iter().for_each(|slot| page.store_slot(place, &slot));
            }
            page.durable(state)
        };
        let (five, eight) = (extent(5, 50, 5), extent(8, 80, 8));
        let live = state(Phase::Live, 4);
        let said_by_state = Checkpoint { extent: live.extent.clone(), late: 0 };
        assert_eq!(durable(&live, [None, None]), said_by_state);
        let both = durable(&live, [Some(slot(3, 2, 1, &five)), Some(slot(4, 2, 2, &eight))]);
        assert_eq!(both, Checkpoint { extent: eight.clone(), late: 2 });
        let turned = durable(&live, [Some(slot(4, 2, 2, &eight)), Some(slot(3, 2, 1, &five))]);
        assert_eq!(turned, both, "wherever it lies");
        assert_eq!(durable(&live, [Some(slot(9, 1, 3, &eight)), None]), said_by_state, "of files that have been replaced");
        let newer_of_others = durable(&live, [Some(slot(9, 1, 3, &eight)), Some(slot(3, 2, 1, &five))]);
        assert_eq!(newer_of_others, Checkpoint { extent: five.clone(), late: 1 });
        let of_four_columns = Extent { crcs: vec![1; 4], ..eight.clone() };
        assert_eq!(durable(&live, [Some(slot(9, 2, 0, &of_four_columns)), None]), said_by_state);
        // What the day grew from was on disk before any of these: a slot of fewer records is older than the seal.
        let grown_from_six = state(Phase::Live, 6);
        let older = durable(&grown_from_six, [Some(slot(3, 2, 1, &five)), None]);
        assert_eq!(older, Checkpoint { extent: grown_from_six.extent.clone(), late: 0 });
        let newest_is_older = durable(&grown_from_six, [Some(slot(3, 2, 0, &eight)), Some(slot(4, 2, 1, &five))]);
        assert_eq!(newest_is_older, older, "slots that contradict each other prove nothing");
    }

    #[test]
    fn a_seal_and_an_announced_replacement_say_themselves_what_is_durable() {
        let (page, _file) = page();
        let state = |phase| State { phase, hot: Hot::TakesLate, generation: 2, extent: extent(8, 80, 7) };
        page.store_slot(0, &slot(4, 2, 2, &extent(8, 95, 7)));
        let sealed = page.durable(&state(Phase::Sealed));
        assert_eq!(sealed, Checkpoint { extent: extent(8, 95, 7), late: 2 }, "late tickers have later keys");
        let replacing = page.durable(&state(Phase::Replacing));
        assert_eq!(
            replacing,
            Checkpoint { extent: extent(8, 80, 7), late: 0 },
            "the slot describes the old files, even where their number is the same"
        );
    }

    #[test]
    fn the_last_key_is_the_marks_on_this_boot_and_else_what_is_durable() {
        let (page, file) = page();
        assert_eq!(page.last_key(), 0);
        page.store_slot(1, &slot(1, 0, 0, &extent(2, 20, 1)));
        assert_eq!(page.last_key(), 20, "without a state the newest slot is all there is");
        page.store_state(&State { phase: Phase::Live, hot: Hot::Used, generation: 0, extent: Extent::empty(3) });
        page.reset(Mark { count: 3, key: 30 });
        assert_eq!(page.last_key(), 20);
        page.trust();
        assert_eq!(page.last_key(), 30);
        let elsewhere = Page::map(file.as_file(), false, Some(BootId([8; 16])), file.path()).expect("a page");
        assert_eq!(elsewhere.last_key(), 20);
    }
}
