//! [`pack`]: proves that an exported dataset-day can be brought back, and writes what the export does not say of its files.
//!
//! 1. The exported file is read back and compared with the columns value by value. A value that the export holds and that comes back as another one ends it.
//! 2. What the export leaves open goes into the rest: for each column the difference, byte by byte (exclusive or), for each other file its bytes. Nearly
//!    all of it is zeroes, and it is compressed.
//! 3. Then the files are unpacked to nowhere, from the disk, and their checksums compared.
//! 4. Everything is on disk before a line of the record is given.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use zstd::stream::write::Encoder;

use super::error::{ArchiveError, At};
use super::files;
use super::parquet_day::ParquetDay;
use super::rebuilt::{Source, has_double, is_left_open};
use super::unpacking::{self, Target};
use crate::export::partition_path;
use crate::schema::{Column, Dataset, Layout, Trades, with_layout};
use crate::store::archived::{ArchivedDay, ArchivedRun, KnownFile, MAX_RUNS, line_path, rest_path};
use crate::store::dir_identity::DirIdentity;
use crate::store::removal::PAGE_NAME;
use crate::store::{DayKey, DayState, Snapshot, StoreError};
use crate::time::{DateFormat, UnixNanos};
use crate::verify::{DatasetDay, ProductDay, facts_of, runs_of};

/// The level of the compression: nearly everything is zeroes.
const LEVEL: i32 = 3;
/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 18;

/// What a day is packed for.
pub(super) struct Packing<'a> {
    /// The data directory, by its full path.
    pub(super) dir: &'a Path,
    /// The archive, by its full path.
    pub(super) archive: &'a Path,
    pub(super) now: UnixNanos,
}

/// Packs a dataset-day that is exported. Gives its line of the record.
///
/// # Errors
/// Where the day has changed since it was verified, cannot be brought back equal, or the archive cannot be written to.
pub(super) fn pack(packing: &Packing<'_>, day: &ProductDay, kept: &DatasetDay) -> Result<ArchivedDay, ArchiveError> {
    let key = DayKey { product: day.product.clone(), dataset: kept.dataset, date: day.date };
    with_layout!(kept.dataset, L => {
        let opened = Snapshot::<L>::open(packing.dir, &key.product, key.date)?;
        let snapshot = opened.ok_or_else(|| changed(&key, "is gone"))?;
        let runs = runs(packing.dir, &key)?;
        pack_day(packing, &key, &snapshot, runs, day, kept)
    })
}

fn changed(key: &DayKey, why: &str) -> ArchiveError {
    ArchiveError::Changed { what: key.to_string(), why: why.to_owned() }
}

/// Gives the ids of a day of trades.
fn runs(dir: &Path, key: &DayKey) -> Result<Vec<ArchivedRun>, ArchiveError> {
    if key.dataset != Dataset::Trades {
        return Ok(Vec::new());
    }
    let Some(day) = Snapshot::<Trades>::open(dir, &key.product, key.date)? else { return Err(changed(key, "is gone")) };
    runs_of(&day, MAX_RUNS).ok_or_else(|| ArchiveError::Unfit {
        what: key.to_string(),
        why: format!("has more than {MAX_RUNS} gaps, or ids that do not rise; `coltape repair` first"),
    })
}

fn pack_day<L: Layout>(
    packing: &Packing<'_>,
    key: &DayKey,
    snapshot: &Snapshot<L>,
    runs: Vec<ArchivedRun>,
    day: &ProductDay,
    kept: &DatasetDay,
) -> Result<ArchivedDay, ArchiveError> {
    let generation = match (snapshot.state(), kept.state) {
        (DayState::Sealed { generation }, Some(DayState::Sealed { generation: verified })) if generation == verified => Some(generation),
        (DayState::Bare, Some(DayState::Bare)) => None,
        _ => return Err(changed(key, "has changed since it was verified")),
    };
    if snapshot.count() as u64 != kept.sums.records || !snapshot.late().is_empty() {
        return Err(changed(key, "has other records than when it was verified"));
    }
    if let Some(fault) = snapshot.check()?.first() {
        return Err(StoreError::damaged(&fault.path, fault.what.clone()).into());
    }
    let spelling = spelling(packing.dir, key)?;
    let mut archived = ArchivedDay {
        key: key.clone(),
        time: packing.now,
        dir: packing.dir.to_owned(),
        dir_id: DirIdentity::of(packing.dir),
        archive: packing.archive.to_owned(),
        spelling,
        records: snapshot.count() as u64,
        generation,
        set: snapshot.column_set(),
        files: Vec::new(),
        data: None,
        rest: KnownFile { name: rest_path(key).to_string_lossy().into_owned(), bytes: 0, crc: 0 },
        verdict: day.coverage.verdict,
        reasons: day.coverage.reasons.clone(),
        runs,
        facts: facts_of(day, kept),
    };
    archived.files = known_files(packing.dir, &archived, snapshot.columns())?;
    if archived.records > 0 {
        let name = partition_path(key.dataset.name(), &key.product, key.date, "parquet");
        files::forget(&packing.archive.join(&name));
        archived.data = Some(KnownFile::of(&name, &packing.archive.join(&name))?);
    }
    let folder = Path::new(&archived.rest.name).parent().unwrap_or(Path::new("")).to_owned();
    files::make_folder(packing.archive, &folder)?;
    write_rest(packing, &archived, snapshot)?;
    archived.rest = KnownFile::of(&archived.rest.name, &packing.archive.join(&archived.rest.name))?;
    for file in archived.data.iter().chain([&archived.rest]) {
        files::forget(&packing.archive.join(&file.name));
    }
    unpacking::unpack(packing.archive, &archived, Target::Nowhere)?;
    write_line(packing, &archived)?;
    Ok(archived)
}

/// Tells how a day's files spell its date.
fn spelling(dir: &Path, key: &DayKey) -> Result<DateFormat, ArchiveError> {
    let folder = dir.join(key.product.as_str()).join(key.dataset.folder());
    let has = |format: DateFormat| {
        [PAGE_NAME, "time", "trade_time"].iter().any(|name| folder.join(format!("{name}.{}.bin", key.date.spelled(format))).exists())
    };
    match [DateFormat::Iso, DateFormat::Dmy].map(has) {
        [true, false] => Ok(DateFormat::Iso),
        [false, true] => Ok(DateFormat::Dmy),
        [false, false] => Err(changed(key, "is gone")),
        [true, true] => {
            let why = "has files in both spellings of its date: move those away that are not read";
            Err(ArchiveError::Unfit { what: key.to_string(), why: why.to_owned() })
        }
    }
}

/// Lists the files of a day: the columns, in the order of the table, then the page and void late records.
fn known_files(dir: &Path, day: &ArchivedDay, table: &[Column]) -> Result<Vec<KnownFile>, ArchiveError> {
    let folder = dir.join(day.key.product.as_str()).join(day.key.dataset.folder());
    let ending = format!(".{}.bin", day.key.date.spelled(day.spelling));
    let unfit = |why: String| ArchiveError::Unfit { what: day.key.to_string(), why };
    let mut names: Vec<String> = table.iter().map(|column| column.name.to_owned()).collect();
    for entry in std::fs::read_dir(&folder).at("list", &folder)? {
        let name = entry.at("list", &folder)?.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(&ending) else { continue };
        if names.iter().any(|known| known == name) {
            continue;
        }
        if !matches!(name, PAGE_NAME | "late") {
            return Err(unfit(format!("has a file {name}{ending}, which is none of a day: move it away")));
        }
        names.push(name.to_owned());
    }
    let mut known = Vec::new();
    for name in names {
        let path = folder.join(format!("{name}{ending}"));
        if !path.symlink_metadata().at("look at", &path)?.is_file() {
            return Err(unfit(format!(
                "has a file {}, which is a link or no plain file: it cannot be brought back as such",
                path.display()
            )));
        }
        known.push(KnownFile::of(&name, &path)?);
    }
    Ok(known)
}

/// Compares the exported file with the columns, and writes the rest.
fn write_rest<L: Layout>(packing: &Packing<'_>, day: &ArchivedDay, snapshot: &Snapshot<L>) -> Result<(), ArchiveError> {
    let path = packing.archive.join(&day.rest.name);
    let temporary = files::temporary(&path);
    let written = (|| {
        let file = File::create(&temporary).at("make", &temporary)?;
        let mut out = Encoder::new(BufWriter::with_capacity(WRITE_BYTES, file), LEVEL).at("write", &temporary)?;
        let data = day.data.as_ref().map(|data| ParquetDay::open(&packing.archive.join(&data.name))).transpose()?;
        for (at, column) in snapshot.columns().iter().enumerate() {
            write_differences(day, snapshot, at, column, data.as_ref(), &mut out, &temporary)?;
        }
        for file in day.files.iter().skip(snapshot.columns().len()) {
            let path = day.path(packing.dir, file);
            let mut plain = File::open(&path).at("open", &path)?;
            io::copy(&mut plain, &mut out).at("write", &temporary)?;
        }
        let mut buffered = out.finish().at("write", &temporary)?;
        buffered.flush().at("write", &temporary)?;
        files::finish(buffered.get_ref(), &temporary, &path)
    })();
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

/// Compares a column with what the exported file says of it, and writes how they differ.
fn write_differences<L: Layout>(
    day: &ArchivedDay,
    snapshot: &Snapshot<L>,
    at: usize,
    column: &Column,
    data: Option<&ParquetDay>,
    out: &mut impl Write,
    path: &Path,
) -> Result<(), ArchiveError> {
    let Some(data) = data else { return Ok(()) };
    let (stored, width, source) = (snapshot.column_bytes(at), column.kind.width(), Source::of(column));
    let has_double = has_double(snapshot.columns(), source);
    if data.all_rows()? * width as u64 != stored.len() as u64 {
        let why = "the exported file has another number of rows".to_owned();
        return Err(ArchiveError::Differs { what: format!("{} {}", day.key, column.name), why });
    }
    let mut from = 0;
    for group in 0..data.groups() {
        let mut rebuilt = source.rebuild(data, group, column.kind)?;
        let stored = stored.get(from..from + rebuilt.len()).unwrap_or_default();
        let pairs = || stored.chunks_exact(width).zip(rebuilt.chunks_exact(width));
        if stored != rebuilt
            && let Some(row) = pairs().position(|(stored, rebuilt)| stored != rebuilt && !is_left_open(source, has_double, stored, rebuilt))
        {
            let what = format!("{} {}", day.key, column.name);
            return Err(ArchiveError::Differs { what, why: format!("record {} reads back as another value", from / width + row) });
        }
        from += rebuilt.len();
        rebuilt.iter_mut().zip(stored).for_each(|(rebuilt, stored)| *rebuilt ^= stored);
        out.write_all(&rebuilt).at("write", path)?;
    }
    Ok(())
}

/// Writes the line of the record beside the rest: with it the archive alone says what it holds.
fn write_line(packing: &Packing<'_>, day: &ArchivedDay) -> Result<(), ArchiveError> {
    let path = packing.archive.join(line_path(&day.key));
    let temporary = files::temporary(&path);
    let mut file = File::create(&temporary).at("make", &temporary)?;
    file.write_all((day.line() + "\n").as_bytes()).at("write", &temporary)?;
    files::finish(&file, &temporary, &path)
}

/// Tells whose day an archive has under a key: nothing where it has none.
///
/// # Errors
/// Where the line is there and cannot be read.
pub(super) fn archived_elsewhere(archive: &Path, key: &DayKey) -> Result<Option<ArchivedDay>, ArchiveError> {
    let path = archive.join(line_path(key));
    match std::fs::read_to_string(&path) {
        Ok(line) => match ArchivedDay::parse(&line) {
            Some(day) => Ok(Some(day)),
            None => Err(ArchiveError::DamagedArchive { why: format!("{} is damaged", path.display()) }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", &path),
    }
}
