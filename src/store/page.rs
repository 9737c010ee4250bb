//! [`Page`]: the mapped commit page, written by a day's threads and read by anyone.
//!
//! 1. `committed` is stored with release ordering after the columns' bytes and after the last key; whoever loads it sees both.
//! 2. The last key lies in two entries written in turn, each with the count it belongs to: a process that dies between two stores leaves
//!    the entry of the count that `committed` names.
//! 3. A state is stored in its spare sector first, then in its own: at every moment one of the two is whole. A crash may leave the spare
//!    older than the state, so both are made alike, and flushed, when a day is opened: a stale spare must never stand in for a torn state.
//! 4. The boot's identity is stored last of all when a day is opened: until then the hot sector does not count.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::commit::{DurableSlot, HOT_SECTOR, IDENTITY_SECTOR, Identity, PAGE, SLOT_SECTORS, STATE_SECTORS, State, WITNESS_SECTOR};
use super::filesystem::BootId;
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
/// Times an entry is read anew while the writer overwrites it: two commits within a few nanoseconds, so often in a row.
const MARK_ATTEMPTS: u32 = 10_000;

/// What the writer has made visible: so many records, the last of which had this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) count: u64,
    pub(crate) key: u64,
}

/// Where and when a page was written: the boot, and the file it was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) boot: BootId,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Origin {
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
    here: Option<Origin>,
}

impl Page {
    /// Maps a page of full length. `boot` is the boot's id of now.
    pub(crate) fn map(file: &File, writable: bool, boot: Option<BootId>, path: &Path) -> io::Result<Self> {
        let here = boot.map(|boot| Origin::here(file, boot)).transpose()?;
        Ok(Self { words: WordMap::new(file, PAGE, writable, path)?, here })
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::decode(&self.words.load_sector(IDENTITY_SECTOR))
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
        let written = Origin { boot: BootId(boot), device: self.words.load(DEVICE), inode: self.words.load(INODE) };
        written == here
    }

    /// Gives what was attested on this boot of a day whose last flush failed.
    pub(crate) fn witness(&self) -> Option<DurableSlot> {
        let witness = DurableSlot::decode(&self.words.load_sector(WITNESS_SECTOR))?;
        (self.is_of_here() && self.words.load(MISTRUST) != 0).then_some(witness)
    }

    /// Writes the witness, or takes it away.
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
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
        let halves = [(boot >> 64) as u64, boot as u64];
        for (word, half) in BOOT.into_iter().zip(halves) {
            self.words.store(word, half);
        }
    }

    /// Declares that `committed` is not to be trusted: a flush failed, and the cache may have lost what it names.
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
        // Release, in each `store`: who has read the new key finds the one above in its second look at the count (partner: the acquire in `load`), so who
        // finds the old count twice has read the old key.
        self.words.store(entry + 1, mark.key);
        self.words.store(entry, mark.count);
        // Release likewise. Partner: the acquire load in `committed`.
        self.words.store(COMMITTED, mark.count);
    }

    /// Sets the mark when a day is opened, or when its last key alone has changed: both entries alike, one after the other.
    pub(crate) fn reset(&self, mark: Mark) {
        for entry in MARKS {
            self.words.store(entry, WRITING);
            self.words.store(entry + 1, mark.key);
            self.words.store(entry, mark.count);
        }
        self.words.store(COMMITTED, mark.count);
    }

    /// Stores `committed` alone. A bug planted by a test: it announces records that are not there yet.
    pub(crate) fn announce(&self, count: u64) {
        self.words.store(COMMITTED, count);
    }

    /// Gives the number of visible records.
    #[inline]
    pub(crate) fn committed(&self) -> u64 {
        self.words.load(COMMITTED)
    }

    /// Gives the number of visible records with the key of the last; nothing where no entry fits, which on a trusted page does not happen.
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

    /// Gives the durable slots that are whole, newest first, each with its place.
    pub(crate) fn slots(&self) -> Vec<(usize, DurableSlot)> {
        let mut slots: Vec<_> = SLOT_SECTORS
            .into_iter()
            .enumerate()
            .filter_map(|(place, sector)| Some((place, DurableSlot::decode(&self.words.load_sector(sector))?)))
            .collect();
        slots.sort_by_key(|(_, slot)| std::cmp::Reverse(slot.sequence));
        slots
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

/// Gives the bytes of a new page: an identity, a live state of no records, and nothing else.
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
    use super::super::commit::{Extent, Hot, Phase};
    use super::*;

    fn page() -> (Page, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(PAGE as u64).expect("a length");
        (Page::map(file.as_file(), true, Some(BootId([7; 16])), file.path()).expect("a page"), file)
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
            // What a process that dies before `committed` is stored leaves behind: the older entry still fits.
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
        assert_eq!(page.slots(), [(1, slot(9)), (0, slot(8))]);
        page.words.store_sector(SLOT_SECTORS[1], &[1; SECTOR]);
        assert_eq!(page.slots(), [(0, slot(8))]);
    }
}
