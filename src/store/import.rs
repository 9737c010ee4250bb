//! [`Import`]: a dataset-day of another data directory is written into this one as a sealed day, byte by byte.
//!
//! 1. The other day is only read. Its late records take their place, as when a day is sealed.
//! 2. Only a day is imported that is not here, that is empty here, or whose records here are the first ones of the other's. Stored records never change.
//!    A day here that cannot be read moves to quarantine, as at a capture's start.
//! 3. The new files are written and flushed under temporary names. Then a page announces them, as it announces a replacement. A new page appears under its
//!    name at once. So after a crash there is no day, the old day, or one that recovery finishes.
//! 4. A day without a page stays one: nothing proves its bytes, and a page here would say that something did. Catalogs find it by its time column, which
//!    gets its name last.
//! 5. Many days are finished together, with the same few flushes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::catalog;
use super::commit::{Extent, Hot, Identity, Phase, State};
use super::directory::{DataDir, DayGuard};
use super::error::{At, StoreError};
use super::late::{self, Payloads};
use super::merge::Run;
use super::page::{self, Page};
use super::place::{DayKey, Place};
use super::probe::{Step, Why};
use super::quarantine::quarantine;
use super::reader::Snapshot;
use super::reader::view::DayState;
use super::seal::{Sealed, Sealing, announce};
use super::{recovery, replace, space};
use crate::schema::{Column, ColumnSet, Kind, Layout};
use crate::time::DateFormat;

/// Bytes written at once.
const BUFFER: usize = 1 << 18;

/// A column of u32 values, by its name, and what becomes of each value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangedColumn {
    pub(crate) name: &'static str,
    pub(crate) change: fn(u32) -> u32,
}

/// How an import goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportOptions {
    /// How a new day spells its date.
    pub(crate) date_format: DateFormat,
    /// A column whose values change on the way.
    pub(crate) changed: Option<ChangedColumn>,
}

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Imported {
    /// A sealed day.
    Sealed(Sealed),
    /// A day without a page, as in the other directory, of so many records.
    Bare(u64),
}

/// A day whose files are written, but not under their names yet.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    dir: &'a DataDir,
    guard: DayGuard<'a>,
    key: DayKey,
    place: Place,
    set: ColumnSet,
    table: &'static [Column],
    extent: Extent,
    target: Target,
    /// Where the day's files moved that could not be read.
    set_aside: Option<PathBuf>,
    /// Flushes that had failed when it was begun.
    failed_before: u64,
}

/// What the new files become.
#[derive(Debug)]
enum Target {
    /// A day with a page of its own.
    New,
    /// Those of a sealed day that is here, with this page and state.
    Sealed(Page, State),
    /// A day without a page.
    Bare,
}

/// What is here of the day.
enum Here {
    Nothing,
    Sealed(Page, State),
}

impl<'a> Import<'a> {
    /// Writes the files of a day.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where the day here holds other records or is live, or where the other day changed meanwhile; [`StoreError::NoSpace`] where the
    /// disk has too little left; where a file cannot be read or written. The day here is as before then.
    pub(crate) fn write<L: Layout>(dir: &'a Arc<DataDir>, other: &Snapshot<L>, options: ImportOptions) -> Result<Self, StoreError> {
        let (key, view) = (other.key().clone(), &other.view);
        let guard = dir.lock_day(&key);
        let failed_before = dir.failed_flushes();
        let place = Place::find(dir.path(), &key, options.date_format);
        let mut set_aside = None;
        let here = match look_here(dir, &place, other) {
            Err(error) if is_damage(&error) => {
                set_aside = Some(quarantine(dir, &key, &place)?);
                Here::Nothing
            }
            here => here?,
        };
        let target = match here {
            Here::Sealed(page, state) => Target::Sealed(page, state),
            Here::Nothing if view.page.is_none() => Target::Bare,
            Here::Nothing => Target::New,
        };
        std::fs::create_dir_all(place.folder()).at("make", place.folder())?;
        let extent = write_columns(dir, &place, other, options.changed).inspect_err(|_| replace::discard(&place, view.table))?;
        let (set, table) = (view.set, view.table);
        Ok(Self { dir, guard, key, place, set, table, extent, target, set_aside, failed_before })
    }

    /// Shows the day.
    pub(crate) const fn key(&self) -> &DayKey {
        &self.key
    }

    /// Shows where the day's files moved that could not be read, if they did.
    pub(crate) const fn set_aside(&self) -> Option<&PathBuf> {
        self.set_aside.as_ref()
    }

    /// Writes the page of a new day beside its place.
    fn write_page(&self) -> Result<(), StoreError> {
        if let Target::New = self.target {
            let identity = Identity { key: self.key.clone(), set: self.set, columns: self.table.len() };
            let state = State { phase: Phase::Replacing, hot: Hot::Used, generation: 0, extent: self.extent.clone() };
            let path = self.place.replacement("commit");
            std::fs::write(&path, page::blank(&identity, &state)).at("write", &path)?;
            self.dir.step(Step::Changed("page written"));
        }
        Ok(())
    }

    fn discard(&self) {
        replace::discard(&self.place, self.table);
        // A page that cannot be removed is void under this name.
        let _ = std::fs::remove_file(self.place.replacement("commit"));
    }

    /// Gives the new files their names, or a page that announces them.
    fn place(self, sound_after: u64) -> (DayGuard<'a>, Result<Placed, StoreError>) {
        let Self { dir, guard, place, table, extent, target, .. } = self;
        let records = extent.records;
        let announced = |page, generation| {
            let state = State { phase: Phase::Replacing, hot: Hot::Used, generation, extent };
            Placed::Announced(Box::new(Sealing { place: place.clone(), table, page, state, merged: 0, sound_after }))
        };
        let placed = match target {
            Target::Bare => rename_bare(dir, &place, table).map(|()| Placed::Bare(records)),
            Target::New => name_page(dir, &place).map(|page| announced(page, 0)),
            Target::Sealed(page, state) => Ok(announced(page, state.generation)),
        };
        (guard, placed)
    }
}

/// A day whose files have their names, or are announced by a page.
enum Placed {
    Announced(Box<Sealing>),
    Bare(u64),
}

/// Gives a new page its name: from now on the day exists.
fn name_page(dir: &DataDir, place: &Place) -> Result<Page, StoreError> {
    let (from, to) = (place.replacement("commit"), place.page());
    std::fs::rename(&from, &to).at("rename", &from)?;
    dir.step(Step::Changed("page named"));
    recovery::map_page(dir, &to)
}

/// Finishes imports. Gives an outcome for each, in the order given.
pub(crate) fn finish(dir: &DataDir, imports: Vec<Import<'_>>) -> Vec<(DayKey, Result<Imported, StoreError>)> {
    let mut outcomes: Vec<(DayKey, Result<Imported, StoreError>)> = Vec::with_capacity(imports.len());
    let mut written = Vec::with_capacity(imports.len());
    for import in imports {
        match import.write_page() {
            Ok(()) => written.push(import),
            Err(error) => {
                import.discard();
                outcomes.push((import.key, Err(error)));
            }
        }
    }
    let Some(failed_before) = written.iter().map(|import| import.failed_before).min() else { return outcomes };
    let flushed = match dir.flush_for(Why::SealFiles) {
        Ok(failed) if failed == failed_before => Ok(failed),
        Ok(_) => Err("another flush had failed".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let sound_after = match flushed {
        Ok(failed) => failed,
        Err(why) => {
            for import in written {
                import.discard();
                outcomes.push((import.key, Err(dir.flush_failed(std::io::Error::other(why.clone())))));
            }
            return outcomes;
        }
    };
    // Nobody else opens one of the days until all of them are finished.
    let (mut keys, mut steps, mut guards) = (Vec::new(), Vec::new(), Vec::new());
    for import in written {
        let key = import.key.clone();
        let (guard, placed) = import.place(sound_after);
        guards.push(guard);
        match placed {
            Ok(Placed::Announced(sealing)) => {
                keys.push(key);
                steps.push(Ok(*sealing));
            }
            Ok(Placed::Bare(records)) => outcomes.push((key, Ok(Imported::Bare(records)))),
            Err(error) => outcomes.push((key, Err(error))),
        }
    }
    let sealed = announce(dir, steps).into_iter().map(|sealed| sealed.map(Imported::Sealed));
    outcomes.extend(keys.into_iter().zip(sealed));
    drop(guards);
    outcomes
}

/// Looks what is here of a day, and whether the other day's records may take its place.
fn look_here<L: Layout>(dir: &DataDir, place: &Place, other: &Snapshot<L>) -> Result<Here, StoreError> {
    let key = other.key();
    let path = place.page();
    let own = Snapshot::<L>::open(dir.path(), &key.product, key.date)?;
    let Some(own) = own else {
        catalog::must_be_empty(dir.path(), key)?;
        let found: Vec<PathBuf> =
            place.files().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "bin")).collect();
        if found.iter().any(|file| *file != path && std::fs::metadata(file).is_ok_and(|found| found.len() > 0)) {
            return Err(StoreError::damaged(&path, "column files with records, and no page that can be read"));
        }
        if !found.is_empty() {
            clear_away(place)?;
        }
        return Ok(Here::Nothing);
    };
    let in_use = || StoreError::InUse { path: path.clone() };
    let is_sealed = matches!(own.state(), DayState::Sealed { .. });
    let (set, table) = (other.view.set, other.view.table);
    if own.count() == 0 && (!is_sealed || own.view.set != set || own.view.table.len() != table.len()) {
        if own.state() == DayState::Live {
            return Err(in_use());
        }
        clear_away(place)?;
        return Ok(Here::Nothing);
    }
    if !is_sealed || !is_front_of(&own, other) {
        return Err(in_use());
    }
    let page = recovery::map_page(dir, &path)?;
    match page.state() {
        Some(state) if state.phase == Phase::Sealed => Ok(Here::Sealed(page, state)),
        _ => Err(in_use()),
    }
}

/// Tells whether an error is the day's own: its files contradict each other, or one of them is gone.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } => true,
        StoreError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Removes the files of a day that holds no record, its page first: what is left then is no day.
fn clear_away(place: &Place) -> Result<(), StoreError> {
    for path in place.files().iter().rev() {
        std::fs::remove_file(path).at("remove", path)?;
    }
    Ok(())
}

/// Tells whether a day here, without late records, holds the first records of another one in the same columns.
#[must_use]
pub(crate) fn is_front_of<L: Layout>(own: &Snapshot<L>, other: &Snapshot<L>) -> bool {
    own.late().is_empty()
        && own.view.set == other.view.set
        && own.view.table.len() == other.view.table.len()
        && own.view.records <= other.view.records
        && (0..own.view.table.len()).all(|at| other.column_bytes(at).starts_with(own.column_bytes(at)))
}

/// Writes the new files of a day. Gives what they hold.
fn write_columns<L: Layout>(
    dir: &DataDir,
    place: &Place,
    other: &Snapshot<L>,
    changed: Option<ChangedColumn>,
) -> Result<Extent, StoreError> {
    let view = &other.view;
    let records = other.count() as u64;
    let width: u64 = view.table.iter().map(|column| column.kind.width() as u64).sum();
    let (needed, room) = (records * width, space::free_space(place.folder()).at("ask for the room of", place.folder())?);
    if needed > room.usable() {
        return Err(StoreError::NoSpace { path: place.folder().to_owned(), needed, free: room.free });
    }
    let payloads = late_payloads(other)?;
    let payloads: Vec<&[u8]> = payloads.iter().collect();
    let runs = view.merge.runs();
    let mut crcs = Vec::with_capacity(view.table.len());
    for (at, column) in view.table.iter().enumerate() {
        let stored = other.column_bytes(at);
        let width = column.kind.width();
        let bytes = runs.iter().map(|run| match run {
            Run::Columns(range) => stored.get(range.start * width..range.end * width).unwrap_or_default(),
            Run::Late(number) => payloads.get(*number).and_then(|payload| late::value(view.table, payload, at)).unwrap_or_default(),
        });
        let change = changed.filter(|changed| changed.name == column.name && column.kind == Kind::U32).map(|changed| changed.change);
        crcs.push(write_column(&place.replacement(column.name), bytes, change)?);
        dir.step(Step::Changed("import written"));
    }
    let last_key = match L::DATASET.key_column() {
        Some(_) => other.count().checked_sub(1).and_then(|last| other.key_at(last)).unwrap_or(0),
        None => view.page.as_ref().map_or(0, Page::last_key),
    };
    Ok(Extent { records, last_key, crcs })
}

/// Reads the late records of a day once more: rows do not hold every value of a record.
fn late_payloads<L: Layout>(other: &Snapshot<L>) -> Result<Payloads, StoreError> {
    let view = &other.view;
    let (Some(page), false) = (&view.page, view.late.is_empty()) else { return Ok(Payloads::default()) };
    let changed = || StoreError::InUse { path: view.place.page() };
    let state = page.state().ok_or_else(changed)?;
    let read = Payloads::read(&view.place.late(), view.table, state.generation, view.late.len() as u64)?;
    if read.len() == view.late.len() { Ok(read) } else { Err(changed()) }
}

/// Writes one column and gives its checksum.
fn write_column<'b>(
    path: &std::path::Path,
    bytes: impl Iterator<Item = &'b [u8]>,
    change: Option<fn(u32) -> u32>,
) -> Result<u32, StoreError> {
    let mut out = BufWriter::with_capacity(BUFFER, File::create(path).at("make", path)?);
    let (mut crc, mut changed) = (0, Vec::new());
    for run in bytes {
        for part in run.chunks(BUFFER) {
            let part = match change {
                None => part,
                Some(change) => {
                    changed.clear();
                    let values = part.chunks_exact(size_of::<u32>()).filter_map(|value| value.first_chunk().copied());
                    changed.extend(values.flat_map(|value| change(u32::from_le_bytes(value)).to_le_bytes()));
                    changed.as_slice()
                }
            };
            crc = crc32c::crc32c_append(crc, part);
            out.write_all(part).at("write", path)?;
        }
    }
    out.flush().at("write", path)?;
    Ok(crc)
}

/// Gives the files of a day without a page their names, the time column last.
fn rename_bare(dir: &DataDir, place: &Place, table: &[Column]) -> Result<(), StoreError> {
    let is_time = |column: &&Column| matches!(column.name, "time" | "trade_time");
    for column in table.iter().filter(|column| !is_time(column)).chain(table.iter().filter(is_time)) {
        let from = place.replacement(column.name);
        std::fs::rename(&from, place.column(column.name)).at("rename", &from)?;
        dir.step(Step::Changed("renamed"));
    }
    dir.flush_for(Why::Names).map(drop)
}
