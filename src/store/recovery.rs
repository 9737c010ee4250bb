//! Opening a dataset-day: making it, continuing it, and bringing it back after a crash.
//!
//! 1. `committed` counts only on the boot and in the file that it was written in, and if no flush has failed since.
//! 2. Otherwise the newest whole durable slot counts, held against the columns' bytes. If those contradict it nothing is cut or zeroed: the day is damaged.
//! 3. A day that was closed after a failed flush is taken from the cache, as far as it can be proved that the cache has kept it (`rescue.rs`).
//! 4. What lies behind the last definite record is zeroed and flushed before anything is appended; late records are taken as far as they prove themselves.
//! 5. A replacement that was announced is finished: its files were on disk before the announcement.
//! 6. The boot's identity is stored last, so a crash during recovery finds the page as untrusted as before.
//! 7. A damaged day moves to quarantine and an empty one begins: one bad file never stops the other products.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::{Extent, Hot, Identity, PAGE, Phase, State};
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::files::{DayFiles, Foundation, Ledger, Takes};
use super::late::{Payloads, record_bytes};
use super::page::{self, Mark, Page};
use super::place::{DayKey, OWN_FOLDER, Place};
use super::probe::{Step, Why};
use super::{replace, rescue};
use crate::schema::Column;
use crate::time::UnixNanos;

/// What a day's records were believed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusted {
    /// The commit mark, or what was attested after a failed flush: the machine has not restarted since.
    Committed,
    /// A durable slot: the machine has restarted, the files were copied, or a flush had failed.
    Durable,
}

/// What was found when a day was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// There was nothing; it begins.
    Created,
    /// It was live.
    Continued {
        /// Records it has, late ones not counted.
        records: u64,
        /// Records that were visible once, as far as the page says, and are gone.
        given_up: u64,
        /// What it was believed by.
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

/// Opens a day. The caller makes room in it.
pub(crate) fn open(dir: &Arc<DataDir>, key: &DayKey, now: UnixNanos) -> Result<(DayFiles, Opening), StoreError> {
    let place = Place::find(dir.path(), key, dir.options().date_format);
    match bring_up(dir, key, &place, now) {
        Ok(Some((foundation, opening))) => Ok((DayFiles::new(Arc::clone(dir), foundation)?, opening)),
        Ok(None) => Ok((create(dir, key, place)?, Opening::Created)),
        Err(StoreError::Damaged { why, .. }) => {
            let moved_to = quarantine(dir, key, &place)?;
            Ok((create(dir, key, place)?, Opening::Quarantined { why, moved_to }))
        }
        Err(error) => Err(error),
    }
}

/// Makes a day that does not exist.
pub(crate) fn create_if_missing(dir: &Arc<DataDir>, key: &DayKey) -> Result<Option<DayFiles>, StoreError> {
    let place = Place::find(dir.path(), key, dir.options().date_format);
    if place.page().exists() { Ok(None) } else { create(dir, key, place).map(Some) }
}

fn create(dir: &Arc<DataDir>, key: &DayKey, place: Place) -> Result<DayFiles, StoreError> {
    std::fs::create_dir_all(place.folder()).at("make", place.folder())?;
    let set = dir.options().columns;
    // Columns without a page that says anything: a crash left them before they were durable, or somebody brought a sealed day's bare columns.
    // The two cannot be told apart, so whatever holds bytes is kept, out of the way.
    if place.files().iter().any(|path| std::fs::metadata(path).is_ok_and(|found| found.len() > 0)) {
        let moved_to = quarantine(dir, key, &place)?;
        log::warn!("{key}: column files without a commit page are set aside in {}", moved_to.display());
    }
    for path in place.files() {
        std::fs::remove_file(&path).at("remove", &path)?;
    }
    let columns = key.dataset.columns_of(set);
    for column in columns {
        let path = place.column(column.name);
        File::create(&path).at("make", &path)?;
        dir.step(Step::Changed("column made"));
    }
    let (path, empty) = (place.page(), Extent::empty(columns.len()));
    let state = State { phase: Phase::Live, hot: Hot::Used, generation: 0, extent: empty.clone() };
    std::fs::write(&path, page::blank(&Identity { key: key.clone(), set }, &state)).at("write", &path)?;
    let page = map_page(dir, &path)?;
    page.reset(Mark { count: 0, key: 0 });
    page.trust();
    dir.step(Step::Changed("page made"));
    let ledger = Ledger { extent: empty, late: 0, sequence: 0, place: 0, slot_is_new: false };
    DayFiles::new(Arc::clone(dir), Foundation { key: key.clone(), place, set, takes: Takes::Appends, generation: 0, page, ledger })
}

fn map_page(dir: &DataDir, path: &Path) -> Result<Page, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path).at("open", path)?;
    Page::map(&file, true, dir.options().boot_id, path).at("map", path)
}

/// Brings up what is there: nothing where nothing is, or nothing ever became durable.
fn bring_up(dir: &Arc<DataDir>, key: &DayKey, place: &Place, now: UnixNanos) -> Result<Option<(Foundation, Opening)>, StoreError> {
    let path = place.page();
    match std::fs::metadata(&path) {
        Ok(found) if found.len() < PAGE as u64 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("look at", &path),
    }
    let page = map_page(dir, &path)?;
    let (Some(identity), Some(mut state)) = (page.identity(), page.state()) else {
        // A slot is written after the flush that carried identity and state: without it they may be torn, with it they may not.
        let was_durable = page.slots().iter().any(|(_, slot)| slot.extent.records > 0 || slot.late > 0);
        return if was_durable { Err(StoreError::damaged(&path, "neither identity nor state is whole")) } else { Ok(None) };
    };
    let table = key.dataset.columns_of(identity.set);
    if identity.key != *key || state.extent.crcs.len() != table.len() {
        return Err(StoreError::damaged(&path, format!("it is the page of {}", identity.key)));
    }
    if !page.state_has_its_spare() {
        page.store_state(&state);
        dir.step(Step::Changed("spare state"));
        dir.flushed_by(Why::Spare, || page.flush())?;
    }
    if state.phase == Phase::Replacing {
        state = replace::roll_forward(dir, place, table, &page, &state)?;
    }
    for column in table {
        let stale = place.replacement(column.name);
        if stale.exists() {
            std::fs::remove_file(&stale).at("remove", &stale)?;
            dir.step(Step::Changed("stale replacement removed"));
        }
    }
    let day = Found { dir, place, table, page: &page, state: &state };
    let (takes, belief) = if state.phase == Phase::Live {
        (Takes::Appends, day.live()?)
    } else {
        (if key.date >= now.day() { Takes::Appends } else { Takes::LateOnly }, day.sealed()?)
    };
    let opening = match (state.phase, takes) {
        (Phase::Live, _) => Opening::Continued { records: belief.mark.count, given_up: belief.given_up, trusted: belief.trusted },
        (_, Takes::Appends) => Opening::Reopened { records: belief.mark.count },
        (_, Takes::LateOnly) => Opening::Sealed { records: belief.mark.count },
    };
    let opened = match (state.phase, takes) {
        (Phase::Live, _) => State { hot: Hot::Used, ..state.clone() },
        (_, Takes::Appends) => State { phase: Phase::Live, hot: Hot::Used, ..state.clone() },
        (_, Takes::LateOnly) => State { hot: Hot::TakesLate, ..state.clone() },
    };
    if state.phase == Phase::Sealed && opened.phase == Phase::Live && state.hot != Hot::Clear {
        // Before the state says that it counts: of a day whose sealing was cut short it may hold what was committed before a replacement. While the day is
        // sealed nobody looks at it, but for the late records' word.
        page.reset(belief.mark);
        dir.step(Step::Changed("mark of the seal"));
    }
    if opened != state {
        // On disk before the day grows, and before the hot sector is used: a page that says its hot sector holds zeroes must be right.
        page.store_state(&opened);
        dir.step(Step::Changed("open again"));
        dir.flushed_by(Why::Reopened, || page.flush())?;
    }
    day.settle_on(&belief)?;
    let newest = page.slots().into_iter().next();
    let ledger = Ledger {
        extent: belief.durable,
        late: belief.durable_late,
        sequence: newest.as_ref().map_or(0, |(_, slot)| slot.sequence),
        place: newest.map_or(0, |(place, _)| 1 - place),
        slot_is_new: false,
    };
    let foundation =
        Foundation { key: key.clone(), place: place.clone(), set: identity.set, takes, generation: state.generation, page, ledger };
    Ok(Some((foundation, opening)))
}

/// A day as it was found on disk.
struct Found<'a> {
    dir: &'a DataDir,
    place: &'a Place,
    table: &'static [Column],
    page: &'a Page,
    state: &'a State,
}

/// What of a day is definite.
struct Belief {
    mark: Mark,
    late: u32,
    /// What the next durable slot counts on from.
    durable: Extent,
    durable_late: u32,
    given_up: u64,
    trusted: Trusted,
}

impl Found<'_> {
    /// Finds what a live day has.
    fn live(&self) -> Result<Belief, StoreError> {
        let slots = self.page.slots().into_iter().map(|(_, slot)| slot);
        let newest = slots
            .filter(|slot| slot.generation == self.state.generation && slot.extent.crcs.len() == self.table.len())
            .max_by_key(|slot| slot.sequence);
        let newest = newest.filter(|slot| slot.extent.records >= self.state.extent.records);
        let (durable, durable_late) = newest.map_or((self.state.extent.clone(), 0), |slot| (slot.extent, slot.late));
        let visible_late = self.page.late(self.state.generation);
        let mark = if self.page.is_trusted() { self.page.mark() } else { None };
        if let Some(mark) = mark {
            self.holds(mark.count)?;
            if mark.count < durable.records {
                return Err(StoreError::damaged(&self.place.page(), "fewer records are committed than durable"));
            }
            let late = self.late_records(u64::from(visible_late))?;
            let given_up = u64::from(visible_late - late);
            let durable_late = durable_late.min(late);
            return Ok(Belief { mark, late, durable, durable_late, given_up, trusted: Trusted::Committed });
        }
        let witness = self.page.witness().filter(|witness| {
            witness.generation == self.state.generation
                && witness.extent.crcs.len() == self.table.len()
                && witness.extent.records >= durable.records
        });
        if let Some(witness) = witness
            && rescue::rescue(self.dir, self.place, self.table, &witness)?
        {
            let late = self.late_records(witness.late.into())?;
            let mark = Mark { count: witness.extent.records, key: witness.extent.last_key };
            return Ok(Belief { mark, late, durable, durable_late: durable_late.min(late), given_up: 0, trusted: Trusted::Committed });
        }
        self.holds(durable.records)?;
        for (column, crc) in self.table.iter().zip(&durable.crcs) {
            let path = self.place.column(column.name);
            if checksum(&path, durable.records * column.kind.width() as u64)? != Some(*crc) {
                return Err(StoreError::damaged(
                    &path,
                    format!("its first {} records are not those that were made durable", durable.records),
                ));
            }
        }
        let late = self.late_records(u64::MAX)?;
        let mark = Mark { count: durable.records, key: durable.last_key };
        // Only an estimate: the hot sector reaches the disk when it pleases.
        let given_up = self.page.committed().saturating_sub(mark.count) + u64::from(durable_late.max(visible_late).saturating_sub(late));
        let durable_late = durable_late.min(late);
        Ok(Belief { mark, late, durable, durable_late, given_up, trusted: Trusted::Durable })
    }

    /// Finds what a sealed day has: what its seal says, and late records since.
    fn sealed(&self) -> Result<Belief, StoreError> {
        let extent = &self.state.extent;
        for column in self.table {
            let path = self.place.column(column.name);
            let (want, found) = (extent.records * column.kind.width() as u64, length(&path)?);
            if want != found {
                return Err(StoreError::damaged(&path, format!("sealed with {want} bytes, found with {found}")));
            }
        }
        let trusted = if self.page.is_trusted() { Trusted::Committed } else { Trusted::Durable };
        let late =
            self.late_records(if trusted == Trusted::Committed { self.page.late(self.state.generation).into() } else { u64::MAX })?;
        // Late tickers since may have a later key.
        let marked = if trusted == Trusted::Committed { self.page.mark().map(|mark| mark.key) } else { None };
        let slots = self.page.slots().into_iter().filter(|(_, slot)| slot.generation == self.state.generation);
        let last_key = slots.map(|(_, slot)| slot.extent.last_key).chain(marked).fold(extent.last_key, u64::max);
        let mark = Mark { count: extent.records, key: last_key };
        let durable = Extent { last_key, ..extent.clone() };
        Ok(Belief { mark, late, durable, durable_late: 0, given_up: 0, trusted })
    }

    fn late_records(&self, most: u64) -> Result<u32, StoreError> {
        let read = Payloads::read(&self.place.late(), self.table, self.state.generation, most)?;
        Ok(u32::try_from(read.len()).unwrap_or(u32::MAX))
    }

    /// Makes sure that every column is long enough.
    fn holds(&self, records: u64) -> Result<(), StoreError> {
        for column in self.table {
            let path = self.place.column(column.name);
            let found = length(&path)?;
            if found < records * column.kind.width() as u64 {
                return Err(StoreError::damaged(&path, format!("{found} bytes do not hold {records} records")));
            }
        }
        Ok(())
    }

    /// Clears what lies behind the definite records, flushes that, and makes the page say so.
    fn settle_on(&self, belief: &Belief) -> Result<(), StoreError> {
        let mut changed = false;
        for column in self.table {
            let path = self.place.column(column.name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
            if clear(&file, belief.mark.count * column.kind.width() as u64).at("clear the end of", &path)? {
                changed = true;
                self.dir.step(Step::Changed("end cleared"));
            }
        }
        changed |= self.cut_late(belief.late)?;
        if changed {
            self.dir.flush_for(Why::Recovered)?;
        }
        self.page.reset(belief.mark);
        self.page.commit_late(self.state.generation, belief.late);
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

/// Gives a file's length, 0 where it is missing.
fn length(path: &Path) -> Result<u64, StoreError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).at("look at", path),
    }
}

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// Gives the CRC32C of a file's first `len` bytes, or nothing where it is shorter or missing.
pub(crate) fn checksum(path: &Path, len: u64) -> Result<Option<u32>, StoreError> {
    if len == 0 {
        return Ok(Some(0));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("open", path),
    };
    let mut buffer = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
    let (mut at, mut crc) = (0, 0);
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
        let read = buffer.get_mut(..want).map_or(Ok(0), |room| file.read_at(room, at)).at("read", path)?;
        if read == 0 {
            return Ok(None);
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(Some(crc))
}

/// Zeroes what is not zero from `from` to a file's end. Tells whether anything was.
fn clear(file: &File, from: u64) -> std::io::Result<bool> {
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

/// Most quarantined copies of one day that are told apart.
const MAX_QUARANTINED: u32 = 10_000;

/// Moves a day's files out of the way.
fn quarantine(dir: &DataDir, key: &DayKey, place: &Place) -> Result<PathBuf, StoreError> {
    let base = dir.path().join(OWN_FOLDER).join("quarantine").join(key.product.as_str()).join(key.dataset.folder());
    std::fs::create_dir_all(&base).at("make", &base)?;
    let free = (1..MAX_QUARANTINED).map(|number| base.join(format!("{}-{number}", key.date))).find(|path| !path.exists());
    let folder = free.ok_or_else(|| StoreError::InUse { path: base.clone() })?;
    std::fs::create_dir(&folder).at("make", &folder)?;
    for path in place.files() {
        if let Some(name) = path.file_name() {
            std::fs::rename(&path, folder.join(name)).at("move", &path)?;
            dir.step(Step::Changed("quarantined"));
        }
    }
    Ok(folder)
}
