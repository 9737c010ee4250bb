//! Opening a dataset-day: making it, continuing it, and recovering it after a crash.
//!
//! 1. `committed` counts only on the boot and in the file that it was written in, and if no flush has failed since.
//! 2. Otherwise the durable slot counts that [`Page::durable`] chooses, and the columns' bytes must fit its checksums. If they do not, nothing is cut or
//!    zeroed: the day is damaged.
//! 3. A day that was closed after a failed flush is taken from the cache, as far as the cache can be proved to have kept it (`salvage.rs`).
//! 4. Bytes behind the last definite record are zeroed, and that is flushed, before anything is appended. Late records count as far as they are whole.
//! 5. A replacement that was announced is finished: its files were on disk before the announcement.
//! 6. The boot's identity is stored last, so a crash during recovery finds the page as untrusted as before.
//! 7. A damaged day moves to quarantine and an empty one begins: one bad file never stops the other products.
//! 8. A day keeps the columns that it began with, however many the table has gained since.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checksum::{checksum, length};
use super::commit::{Checkpoint, Extent, Hot, Identity, PAGE, Phase, State};
use super::directory::DataDir;
use super::error::{At, MAP, StoreError};
use super::files::{DayFiles, DayParts, SyncProgress, WriteMode};
use super::late::{Payloads, record_bytes};
use super::page::{self, Mark, Page};
use super::place::{DayKey, Place};
use super::probe::{Step, Why};
use super::quarantine::quarantine;
use super::{own_file, replace, salvage};
use crate::schema::{Column, ColumnSet};
use crate::time::UnixNanos;

/// Why a day's records were trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusted {
    /// The commit mark, or the witness of a failed flush: the machine has not restarted since.
    Committed,
    /// A durable slot: the machine has restarted, the files were copied, or a flush had failed.
    Durable,
}

/// What was found when a day was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// There was nothing: the day begins.
    Created,
    /// It was live.
    Continued {
        /// Records it has, late ones not counted.
        records: u64,
        /// Records that were visible once, as far as the page says, and are lost.
        given_up: u64,
        /// Why its records were trusted.
        trusted: Trusted,
    },
    /// It had been sealed and is today's: it is live again.
    Reopened {
        /// Records it has.
        records: u64,
    },
    /// It is sealed and takes late records only.
    Sealed {
        /// Records it has, late ones not counted.
        records: u64,
    },
    /// It was damaged; an empty one begins.
    Quarantined {
        /// What did not fit.
        why: String,
        /// Where the files are now.
        moved_to: PathBuf,
    },
}

/// Opens a day. `table` holds today's columns of its dataset. The caller makes room in it.
pub(crate) fn open(dir: &Arc<DataDir>, key: &DayKey, table: &'static [Column], now: UnixNanos) -> Result<(DayFiles, Opening), StoreError> {
    let place = Place::find(dir.path(), key, dir.options().date_format);
    dir.admit_day(&place, key.dataset)?;
    match recover(dir, key, &place, table, now) {
        Ok(Some(Recovered { parts, opening })) => Ok((DayFiles::new(Arc::clone(dir), parts)?, opening)),
        Ok(None) => Ok((create(dir, key, place, table, dir.options().columns)?, Opening::Created)),
        Err(StoreError::Damaged { why, .. }) => {
            let moved_to = quarantine(dir, key, &place)?;
            Ok((create(dir, key, place, table, dir.options().columns)?, Opening::Quarantined { why, moved_to }))
        }
        Err(error) => Err(error),
    }
}

/// Makes a day that does not exist.
pub(crate) fn create_if_missing(dir: &Arc<DataDir>, key: &DayKey, table: &'static [Column]) -> Result<Option<DayFiles>, StoreError> {
    create_with(dir, key, table, dir.options().columns)
}

/// Makes a day that does not exist, with a set of columns.
pub(crate) fn create_with(
    dir: &Arc<DataDir>,
    key: &DayKey,
    table: &'static [Column],
    set: ColumnSet,
) -> Result<Option<DayFiles>, StoreError> {
    let place = Place::find(dir.path(), key, dir.options().date_format);
    if place.page().exists() { Ok(None) } else { create(dir, key, place, table, set).map(Some) }
}

fn create(dir: &Arc<DataDir>, key: &DayKey, place: Place, table: &'static [Column], set: ColumnSet) -> Result<DayFiles, StoreError> {
    clear(dir, key, &place)?;
    let table = set.of(table);
    for column in table {
        let path = place.column(column.name);
        File::create(&path).at("make", &path)?;
        dir.step(Step::Changed("column made"));
    }
    let begun = Begun { key: key.clone(), place, set, table, generation: 0, mark: Mark { count: 0, key: 0 }, late: 0 };
    make_page(dir, begun)
}

/// Makes the folder of a day that is to begin, and empties it of the day: files that hold bytes go to quarantine. Gives the place there.
pub(crate) fn clear(dir: &DataDir, key: &DayKey, place: &Place) -> Result<Option<PathBuf>, StoreError> {
    own_file::make_folder_of_folder(place.folder())?;
    dir.admit_day(place, key.dataset)?;
    let mut set_aside = None;
    // There may be columns without a page that says anything: a crash left them before they were durable, or somebody copied a sealed day's bare
    // columns here. The two look the same, so all files that hold bytes are kept in quarantine.
    if place.files().iter().any(|path| std::fs::metadata(path).is_ok_and(|found| found.len() > 0)) {
        let moved_to = quarantine(dir, key, place)?;
        log::warn!("{key}: files that are in the way of the day are set aside in {}", moved_to.display());
        set_aside = Some(moved_to);
    }
    for path in place.files() {
        std::fs::remove_file(&path).at("remove", &path)?;
    }
    Ok(set_aside)
}

/// A day whose columns have just been made.
pub(crate) struct Begun {
    pub(crate) key: DayKey,
    pub(crate) place: Place,
    pub(crate) set: ColumnSet,
    pub(crate) table: &'static [Column],
    pub(crate) generation: u32,
    pub(crate) mark: Mark,
    pub(crate) late: u32,
}

/// Makes the page of a day whose columns are there, and maps all of it. Nothing of it is durable yet.
pub(crate) fn make_page(dir: &Arc<DataDir>, begun: Begun) -> Result<DayFiles, StoreError> {
    let Begun { key, place, set, table, generation, mark, late } = begun;
    let (path, empty) = (place.page(), Extent::empty(table.len()));
    let state = State { phase: Phase::Live, hot: Hot::Used, generation, extent: empty.clone() };
    let identity = Identity { key: key.clone(), set, columns: table.len() };
    std::fs::write(&path, page::blank(&identity, &state)).at("write", &path)?;
    let page = map_page(dir, &path)?;
    page.reset(mark);
    page.commit_late(generation, late);
    page.trust();
    dir.step(Step::Changed("page made"));
    let progress = SyncProgress::after(None, Checkpoint { extent: empty, late: 0 });
    let parts = DayParts { key, place, set, table, mode: WriteMode::Append, generation, page, progress };
    DayFiles::new(Arc::clone(dir), parts)
}

pub(super) fn map_page(dir: &DataDir, path: &Path) -> Result<Page, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path).at("open", path)?;
    Page::map(&file, true, dir.options().boot_id, path).at(MAP, path)
}

/// Recovers the day that is there; nothing where none is, or nothing of it ever became durable.
fn recover(
    dir: &Arc<DataDir>,
    key: &DayKey,
    place: &Place,
    table: &'static [Column],
    now: UnixNanos,
) -> Result<Option<Recovered>, StoreError> {
    let path = place.page();
    match std::fs::metadata(&path) {
        Ok(found) if found.len() < PAGE as u64 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("look at", &path),
    }
    let page = map_page(dir, &path)?;
    page.must_be_of_this_version(&path)?;
    let (Some(identity), Some(state)) = (page.identity(), page.state()) else {
        // A slot is written after the flush that carried identity and state. So without a slot those two may be torn; with one they may not.
        let was_durable = page.has_durable_records();
        return if was_durable { Err(StoreError::damaged(&path, "neither identity nor state is whole")) } else { Ok(None) };
    };
    if identity.key != *key {
        return Err(StoreError::damaged(&path, format!("it is the page of {}", identity.key)));
    }
    let table = identity.columns(table, &path)?;
    if state.extent.crcs.len() != table.len() {
        let (said, held) = (state.extent.crcs.len(), table.len());
        return Err(StoreError::damaged(&path, format!("its state speaks of {said} columns, its identity of {held}")));
    }
    let mut day = FoundDay { dir, place, table, page: &page, state };
    day.finish_replacement()?;
    let mode = if day.state.phase == Phase::Live || key.date >= now.day() { WriteMode::Append } else { WriteMode::LateOnly };
    let definite = if day.state.phase == Phase::Live { day.live()? } else { day.sealed()? };
    let records = definite.mark.count;
    let opening = match (day.state.phase, mode) {
        (Phase::Live, _) => Opening::Continued { records, given_up: definite.given_up, trusted: definite.trusted },
        (_, WriteMode::Append) => Opening::Reopened { records },
        (_, WriteMode::LateOnly) => Opening::Sealed { records },
    };
    day.open_state(mode, definite.mark)?;
    day.settle_on(&definite)?;
    let generation = day.state.generation;
    let progress = SyncProgress::after(page.newest_slot().as_ref(), definite.durable);
    let parts = DayParts { key: key.clone(), place: place.clone(), set: identity.set, table, mode, generation, page, progress };
    Ok(Some(Recovered { parts, opening }))
}

/// A day that was recovered.
struct Recovered {
    parts: DayParts,
    opening: Opening,
}

/// A day as it was found on disk.
struct FoundDay<'a> {
    dir: &'a DataDir,
    place: &'a Place,
    table: &'static [Column],
    page: &'a Page,
    state: State,
}

/// What of a day is definite.
struct Definite {
    mark: Mark,
    late: u32,
    /// What the next durable slot counts on from.
    durable: Checkpoint,
    given_up: u64,
    trusted: Trusted,
}

impl FoundDay<'_> {
    /// Makes the state and its spare equal, finishes a replacement that was announced, and removes the files of one that was not.
    fn finish_replacement(&mut self) -> Result<(), StoreError> {
        if !self.page.state_has_its_spare() {
            self.page.store_state(&self.state);
            self.dir.step(Step::Changed("spare state"));
            self.dir.flushed_by(Why::Spare, || self.page.flush())?;
        }
        if self.state.phase == Phase::Replacing {
            self.state = replace::roll_forward(self.dir, self.place, self.table, self.page, &self.state)?;
        }
        for column in self.table {
            let stale = self.place.replacement(column.name);
            if stale.exists() {
                std::fs::remove_file(&stale).at("remove", &stale)?;
                self.dir.step(Step::Changed("stale replacement removed"));
            }
        }
        Ok(())
    }

    /// Makes the page say on disk that the day is open: before it grows, and before the hot sector is used. A page that says that its hot sector holds
    /// zeroes must be right.
    fn open_state(&self, mode: WriteMode, mark: Mark) -> Result<(), StoreError> {
        let opened = match (self.state.phase, mode) {
            (Phase::Live, _) => State { hot: Hot::Used, ..self.state.clone() },
            (_, WriteMode::Append) => State { phase: Phase::Live, hot: Hot::Used, ..self.state.clone() },
            (_, WriteMode::LateOnly) => State { hot: Hot::TakesLate, ..self.state.clone() },
        };
        if self.state.phase == Phase::Sealed && opened.phase == Phase::Live && self.state.hot != Hot::Clear {
            // Before the state says that the mark counts: where the sealing was cut short it may be that of before a replacement. While the day is sealed
            // nobody looks at the mark, but for the number of late records.
            self.page.reset(mark);
            self.dir.step(Step::Changed("mark of the seal"));
        }
        if opened != self.state {
            self.page.store_state(&opened);
            self.dir.step(Step::Changed("open again"));
            self.dir.flushed_by(Why::Reopened, || self.page.flush())?;
        }
        Ok(())
    }

    /// Finds what a live day has.
    fn live(&self) -> Result<Definite, StoreError> {
        let durable = self.page.durable(&self.state);
        let mark = if self.page.is_trusted() { self.page.mark() } else { None };
        if let Some(mark) = mark {
            return self.committed(mark, durable);
        }
        let witness = self.page.witness().filter(|witness| {
            witness.generation == self.state.generation
                && witness.extent.crcs.len() == self.table.len()
                && witness.extent.records >= durable.extent.records
        });
        if let Some(witness) = witness
            && salvage::salvage(self.dir, self.place, self.table, &witness)?
        {
            let late = self.late_records(witness.late.into())?;
            let mark = Mark { count: witness.extent.records, key: witness.extent.last_key };
            let durable = Checkpoint { late: durable.late.min(late), ..durable };
            return Ok(Definite { mark, late, durable, given_up: 0, trusted: Trusted::Committed });
        }
        self.only_durable(durable)
    }

    /// Finds what a live day has whose commit mark counts.
    fn committed(&self, mark: Mark, durable: Checkpoint) -> Result<Definite, StoreError> {
        self.check_lengths(mark.count)?;
        if mark.count < durable.extent.records {
            return Err(StoreError::damaged(&self.place.page(), "fewer records are committed than durable"));
        }
        let visible_late = self.page.late(self.state.generation);
        let late = self.late_records(u64::from(visible_late))?;
        let given_up = u64::from(visible_late - late);
        let durable = Checkpoint { late: durable.late.min(late), ..durable };
        Ok(Definite { mark, late, durable, given_up, trusted: Trusted::Committed })
    }

    /// Finds what a live day has of which only the durable records count.
    fn only_durable(&self, durable: Checkpoint) -> Result<Definite, StoreError> {
        let records = durable.extent.records;
        self.check_lengths(records)?;
        for (column, crc) in self.table.iter().zip(&durable.extent.crcs) {
            let path = self.place.column(column.name);
            if checksum(&path, records * column.kind.width() as u64)? != Some(*crc) {
                let why = format!("its first {records} records are not those that were made durable");
                return Err(StoreError::damaged(&path, why));
            }
        }
        let late = self.late_records(u64::MAX)?;
        let mark = Mark { count: records, key: durable.extent.last_key };
        // Only an estimate: the hot sector reaches the disk at any time.
        let seen_late = durable.late.max(self.page.late(self.state.generation));
        let given_up = self.page.committed().saturating_sub(mark.count) + u64::from(seen_late.saturating_sub(late));
        let durable = Checkpoint { late: durable.late.min(late), ..durable };
        Ok(Definite { mark, late, durable, given_up, trusted: Trusted::Durable })
    }

    /// Finds what a sealed day has: the records of its seal, and late ones that came since.
    fn sealed(&self) -> Result<Definite, StoreError> {
        let extent = &self.state.extent;
        for column in self.table {
            let path = self.place.column(column.name);
            let (want, found) = (extent.records * column.kind.width() as u64, length(&path)?);
            if want != found {
                return Err(StoreError::damaged(&path, format!("sealed with {want} bytes, found with {found}")));
            }
        }
        let trusted = if self.page.is_trusted() { Trusted::Committed } else { Trusted::Durable };
        let (most_late, marked) = match trusted {
            Trusted::Committed => (self.page.late(self.state.generation).into(), self.page.mark().map_or(0, |mark| mark.key)),
            Trusted::Durable => (u64::MAX, 0),
        };
        let late = self.late_records(most_late)?;
        // Late tickers that came since may have a later key.
        let last_key = self.page.durable(&self.state).extent.last_key.max(marked);
        let mark = Mark { count: extent.records, key: last_key };
        let durable = Checkpoint { extent: Extent { last_key, ..extent.clone() }, late: 0 };
        Ok(Definite { mark, late, durable, given_up: 0, trusted })
    }

    fn late_records(&self, most: u64) -> Result<u32, StoreError> {
        let read = Payloads::read(&self.place.late(), self.table, self.state.generation, most)?;
        Ok(u32::try_from(read.len()).unwrap_or(u32::MAX))
    }

    /// Makes sure that every column is long enough.
    fn check_lengths(&self, records: u64) -> Result<(), StoreError> {
        for column in self.table {
            let path = self.place.column(column.name);
            let found = length(&path)?;
            if found < records * column.kind.width() as u64 {
                return Err(StoreError::damaged(&path, format!("{found} bytes do not hold {records} records")));
            }
        }
        Ok(())
    }

    /// Zeroes the bytes behind the definite records, flushes that, and sets the page's mark.
    fn settle_on(&self, definite: &Definite) -> Result<(), StoreError> {
        let mut changed = false;
        for column in self.table {
            let path = self.place.column(column.name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
            if clear_end(&file, definite.mark.count * column.kind.width() as u64).at("clear the end of", &path)? {
                changed = true;
                self.dir.step(Step::Changed("end cleared"));
            }
        }
        changed |= self.cut_late(definite.late)?;
        if changed {
            self.dir.flush_for(Why::Recovered)?;
        }
        self.page.reset(definite.mark);
        self.page.commit_late(self.state.generation, definite.late);
        self.dir.step(Step::Changed("mark set"));
        self.page.trust();
        self.dir.step(Step::Changed("trusted"));
        Ok(())
    }

    fn cut_late(&self, records: u32) -> Result<bool, StoreError> {
        let path = self.place.late();
        let want = u64::from(records) * record_bytes(self.table) as u64;
        if records == 0 && path.exists() {
            std::fs::remove_file(&path).at("remove", &path)?;
            self.dir.step(Step::Changed("late file removed"));
            return Ok(true);
        }
        if length(&path)? <= want {
            return Ok(false);
        }
        OpenOptions::new().write(true).open(&path).at("open", &path)?.set_len(want).at("cut", &path)?;
        self.dir.step(Step::Changed("late file cut"));
        Ok(true)
    }
}

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// Zeroes all bytes of a file from `from` on that are not zero. Tells whether there were any.
fn clear_end(file: &File, from: u64) -> std::io::Result<bool> {
    let (end, zeroes) = (file.metadata()?.len(), vec![0; CHUNK]);
    let (mut buffer, mut at, mut changed) = (vec![0; CHUNK], from, false);
    while at < end {
        let read = file.read_at(&mut buffer, at)?;
        let found = buffer.get(..read).unwrap_or_default();
        if read == 0 {
            break;
        }
        if found.iter().any(|byte| *byte != 0) {
            file.write_all_at(zeroes.get(..read).unwrap_or_default(), at)?;
            changed = true;
        }
        at += read as u64;
    }
    Ok(changed)
}
