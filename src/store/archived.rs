//! [`ArchivedDay`]: what is known of a dataset-day whose files were moved into an archive. It outlives them.
//!
//! ```text
//! {data-dir}/_coltape/archived/{symbol}.jsonl                     a line for each dataset-day of the product that is archived
//! {archive}/dataset=…/product=…/date=…/part-0.parquet             its records, as every export has them
//! {archive}/_coltape_archive/{symbol}/{DATASET}/{date}.rest       what those do not say of its files
//! {archive}/_coltape_archive/{symbol}/{DATASET}/{date}.json       its line once more
//! ```
//!
//! 1. A line is on disk before the first file of its day is removed, and is removed after the last file is back and on disk. So a day is always in at
//!    least one of the two places.
//! 2. A line ends with its own checksum. One that was changed is no line, and is reported.
//! 3. What is read is not trusted: a path that leads out of the archive, or a name that is no file of a day, makes the line unreadable.
//! 4. Whoever changes the lines holds [`RecordLock`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::catalog;
use super::checksum::{checksum, length};
use super::dir_identity::DirIdentity;
use super::error::{At, StoreError};
use super::filesystem;
use super::lock;
use super::own_file;
use super::place::{DayKey, OWN_FOLDER, Place};
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::time::{DateFormat, UnixNanos, UtcDay};
use crate::verdict::Verdict;

/// The folder of the lines, in the folder `_coltape`.
const FOLDER: &str = "archived";
/// The folder of an archive for what its data set does not hold. Readers of data sets skip names with an underscore in front.
pub(crate) const REST_FOLDER: &str = "_coltape_archive";
/// The largest file of lines that is read, in bytes.
const MAX_BYTES: u64 = 1 << 28;
/// Most stretches of ids that a line lists. A day with more gaps is not archived.
pub(crate) const MAX_RUNS: usize = 100_000;
/// Most files of a day.
const MAX_FILES: usize = 64;
/// What stands before the checksum at the end of a line.
const LINE_CRC: &str = ",\"line_crc32c\":\"";

/// A file with its length and checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownFile {
    /// Of a day's file what stands before the date in its name: a column, `commit` or `late`. Of a file of the archive its path in it.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// CRC32C of its bytes.
    pub(crate) crc: u32,
}

impl KnownFile {
    /// Looks at a file that is there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn of(name: &str, path: &Path) -> Result<Self, StoreError> {
        let bytes = length(path)?;
        let crc = checksum(path, bytes)?.ok_or_else(|| StoreError::InUse { path: path.to_owned() })?;
        Ok(Self { name: name.to_owned(), bytes, crc })
    }

    /// Tells whether the file at a path has these bytes.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool, StoreError> {
        Ok(path.is_file() && length(path)? == self.bytes && checksum(path, self.bytes)? == Some(self.crc))
    }

    fn json(&self) -> String {
        format!("{{\"name\":{},\"bytes\":{},\"crc32c\":\"{:08x}\"}}", quoted(&self.name), self.bytes, self.crc)
    }

    fn read(value: &BorrowedValue<'_>) -> Option<Self> {
        let crc = u32::from_str_radix(value.get_str("crc32c")?, 16).ok()?;
        Some(Self { name: value.get_str("name")?.to_owned(), bytes: value.get_u64("bytes")?, crc })
    }
}

/// Trades with consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArchivedRun {
    pub(crate) ids: IdRange,
    /// The event times of the first and the last of them.
    pub(crate) times: (UnixNanos, UnixNanos),
}

/// A dataset-day that is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchivedDay {
    pub(crate) key: DayKey,
    /// When it was archived.
    pub(crate) time: UnixNanos,
    /// The data directory that it is of.
    pub(crate) dir: PathBuf,
    /// Which directory that is. `None` where its file system does not say, or an earlier version wrote the line.
    pub(crate) dir_id: Option<DirIdentity>,
    /// The folder of the archive, an absolute path.
    pub(crate) archive: PathBuf,
    /// How its files spell the date.
    pub(crate) spelling: DateFormat,
    pub(crate) records: u64,
    /// How often its files had been replaced. `None` where it has no commit page.
    pub(crate) generation: Option<u32>,
    pub(crate) set: ColumnSet,
    /// Its files: the columns in the order of the table, then the others.
    pub(crate) files: Vec<KnownFile>,
    /// Its records in the data set. `None` where it has none.
    pub(crate) data: Option<KnownFile>,
    /// What those do not say of its files.
    pub(crate) rest: KnownFile,
    /// The verdict on the product-day, as it was when its records could be looked at.
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<String>,
    /// The ids of its trades, in stored order.
    pub(crate) runs: Vec<ArchivedRun>,
    /// What else `verify` has found out, as members of a JSON object.
    pub(crate) facts: String,
}

impl ArchivedDay {
    /// Shows where one of its files lies while it is not archived.
    pub(crate) fn path(&self, dir: &Path, file: &KnownFile) -> PathBuf {
        Place::new(dir, &self.key, self.spelling).column(&file.name)
    }

    /// Tells whether a directory, by its full path, is the one that it was archived from. Where only paths are known, they decide.
    pub(crate) fn is_of(&self, dir: &Path) -> bool {
        match (self.dir_id, DirIdentity::of(dir)) {
            (Some(then), Some(now)) => then == now,
            _ => self.dir == dir,
        }
    }

    /// Gives the bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Tells how its files differ from what they should be, where they are in the archive. Nothing where they do not.
    ///
    /// # Errors
    /// Where a file is there and cannot be read.
    pub(crate) fn fault_in(&self, archive: &Path) -> Result<Option<String>, StoreError> {
        for file in self.data.iter().chain([&self.rest]) {
            let path = archive.join(&file.name);
            if !path.exists() {
                return Ok(Some(format!("{} is gone", path.display())));
            }
            if !file.is_at(&path)? {
                return Ok(Some(format!("{} is not what was archived: its length or checksum is another", path.display())));
            }
        }
        Ok(None)
    }

    /// Gives the line, without a line feed.
    pub(crate) fn line(&self) -> String {
        let optional = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
        let files: Vec<String> = self.files.iter().map(KnownFile::json).collect();
        let reasons: Vec<String> = self.reasons.iter().map(|reason| quoted(reason)).collect();
        let run = |run: &ArchivedRun| format!("[{},{},{},{}]", run.ids.first(), run.ids.last(), run.times.0.0, run.times.1.0);
        let runs: Vec<String> = self.runs.iter().map(run).collect();
        let path = |path: &Path| quoted(&path.to_string_lossy());
        let DayKey { product, dataset, date } = &self.key;
        let mut line = format!(
            "{{\"product\":\"{product}\",\"dataset\":\"{}\",\"date\":\"{date}\",\"time_ns\":{},\"dir\":{},\"dir_id\":{},\"archive\":{},\"spelling\":\"{}\",\
             \"records\":{},\"generation\":{},\"columns\":\"{}\",\"files\":[{}],\"data\":{},\"rest\":{},\"verdict\":\"{}\",\"reasons\":[{}],\
             \"runs\":[{}],\"facts\":{}",
            dataset.name(),
            self.time.0,
            path(&self.dir),
            optional(self.dir_id.map(|id| quoted(&id.to_string()))),
            path(&self.archive),
            spelling_name(self.spelling),
            self.records,
            optional(self.generation.map(|generation| generation.to_string())),
            set_name(self.set),
            files.join(","),
            optional(self.data.as_ref().map(KnownFile::json)),
            self.rest.json(),
            self.verdict.name(),
            reasons.join(","),
            runs.join(","),
            self.facts,
        );
        let crc = crc32c::crc32c(line.as_bytes());
        line.push_str(&format!("{LINE_CRC}{crc:08x}\"}}"));
        line
    }

    /// Reads a line; nothing where it is none, or was changed.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (said, crc) = line.trim_end().rsplit_once(LINE_CRC)?;
        let crc = u32::from_str_radix(crc.strip_suffix("\"}")?, 16).ok()?;
        if crc32c::crc32c(said.as_bytes()) != crc {
            return None;
        }
        let mut text = format!("{said}}}").into_bytes();
        let value = simd_json::to_borrowed_value(&mut text).ok()?;
        let product = ProductId::new(value.get_str("product")?).ok()?;
        let key = DayKey { product, dataset: dataset_of(value.get_str("dataset")?)?, date: UtcDay::parse(value.get_str("date")?).ok()? };
        let files: Vec<KnownFile> = value.get_array("files")?.iter().map(KnownFile::read).collect::<Option<_>>()?;
        let is_of_day = |file: &KnownFile| {
            key.dataset.columns().iter().any(|column| column.name == file.name) || matches!(file.name.as_str(), "commit" | "late")
        };
        let data = value.get("data").filter(|data| !data.is_null());
        let data = if let Some(data) = data { Some(KnownFile::read(data)?) } else { None };
        let rest = KnownFile::read(value.get("rest")?)?;
        let runs = value.get_array("runs")?;
        if !files.iter().all(is_of_day) || files.len() > MAX_FILES || runs.len() > MAX_RUNS {
            return None;
        }
        if !data.iter().chain([&rest]).all(|file| is_inside(&file.name)) {
            return None;
        }
        let generation = value.get("generation").filter(|generation| !generation.is_null());
        let generation = if let Some(generation) = generation { Some(u32::try_from(generation.as_u64()?).ok()?) } else { None };
        let dir_id = if let Some(id) = value.get_str("dir_id") { Some(DirIdentity::parse(id)?) } else { None };
        let archive = Some(PathBuf::from(value.get_str("archive")?)).filter(|path| path.is_absolute())?;
        Some(Self {
            time: UnixNanos(value.get_u64("time_ns")?),
            dir: value.get_str("dir")?.into(),
            dir_id,
            archive,
            spelling: [DateFormat::Iso, DateFormat::Dmy]
                .into_iter()
                .find(|format| Some(spelling_name(*format)) == value.get_str("spelling"))?,
            records: value.get_u64("records")?,
            generation,
            set: [ColumnSet::Full, ColumnSet::Core].into_iter().find(|set| Some(set_name(*set)) == value.get_str("columns"))?,
            files,
            data,
            rest,
            verdict: verdict_of(value.get_str("verdict")?)?,
            reasons: value.get_array("reasons")?.iter().map(|reason| reason.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            runs: runs.iter().map(run_of).collect::<Option<_>>()?,
            facts: simd_json::to_string(value.get("facts").filter(|facts| facts.is_object())?).ok()?,
            key,
        })
    }
}

fn run_of(value: &BorrowedValue<'_>) -> Option<ArchivedRun> {
    let [first, last, from, to] = value.as_array()?.as_slice() else { return None };
    let times = (UnixNanos(from.as_u64()?), UnixNanos(to.as_u64()?));
    Some(ArchivedRun { ids: IdRange::new(first.as_u64()?, last.as_u64()?)?, times })
}

/// Tells whether a path of an archive's file stays in the archive.
fn is_inside(path: &str) -> bool {
    let path = Path::new(path);
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn dataset_of(name: &str) -> Option<Dataset> {
    Dataset::ALL.into_iter().find(|dataset| dataset.name() == name)
}

fn verdict_of(name: &str) -> Option<Verdict> {
    [Verdict::Whole, Verdict::Partial, Verdict::Open, Verdict::Unverifiable].into_iter().find(|verdict| verdict.name() == name)
}

const fn spelling_name(format: DateFormat) -> &'static str {
    match format {
        DateFormat::Iso => "iso",
        DateFormat::Dmy => "dmy",
    }
}

const fn set_name(set: ColumnSet) -> &'static str {
    match set {
        ColumnSet::Full => "full",
        ColumnSet::Core => "core",
    }
}

fn quoted(text: &str) -> String {
    // A string can always be written.
    simd_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// The archived days of a product.
#[derive(Debug, Default)]
pub(crate) struct ArchivedDays {
    pub(crate) days: BTreeMap<(Dataset, UtcDay), ArchivedDay>,
    /// What is wrong with the lines, in words.
    pub(crate) faults: Vec<String>,
}

impl ArchivedDays {
    /// Reads the lines of a product. It is empty where there are none.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(crate) fn read(dir: &Path, product: &ProductId) -> Result<Self, StoreError> {
        let path = path_of(dir, product);
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).at("look at", &path),
        };
        let mut archived = Self::default();
        if !found.is_file() || found.len() > MAX_BYTES {
            archived.faults.push(format!("{} is no file of archived days", path.display()));
            return Ok(archived);
        }
        let bytes = std::fs::read(&path).at("read", &path)?;
        for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
            match std::str::from_utf8(line).ok().and_then(ArchivedDay::parse).filter(|day| day.key.product == *product) {
                Some(day) => drop(archived.days.insert((day.key.dataset, day.key.date), day)),
                None => archived.faults.push(format!("line {number} of {} is damaged", path.display())),
            }
        }
        Ok(archived)
    }

    /// Gives one day.
    pub(crate) fn get(&self, dataset: Dataset, date: UtcDay) -> Option<&ArchivedDay> {
        self.days.get(&(dataset, date))
    }

    /// Gives the days of a dataset whose files are not here as well, in order.
    ///
    /// # Errors
    /// Where a folder cannot be listed.
    pub(crate) fn away(&self, dir: &Path, product: &ProductId, dataset: Dataset) -> Result<Vec<&ArchivedDay>, StoreError> {
        let of_dataset = || self.days.iter().filter(move |((of, _), _)| *of == dataset);
        if of_dataset().next().is_none() {
            return Ok(Vec::new());
        }
        let here = catalog::days(dir, product, dataset)?;
        Ok(of_dataset().filter(|((_, date), _)| here.binary_search(date).is_err()).map(|(_, day)| day).collect())
    }

    /// Replaces the lines of a product. They are on disk from then on.
    ///
    /// # Errors
    /// Where they cannot be written: the old ones stay.
    pub(crate) fn write(&self, dir: &Path, product: &ProductId) -> Result<(), StoreError> {
        if let Some(fault) = self.faults.first() {
            return Err(StoreError::damaged(
                &path_of(dir, product),
                format!("{fault}; nothing of the product is archived or restored until it is mended"),
            ));
        }
        let path = path_of(dir, product);
        let new = path.with_extension("jsonl.tmp");
        let text: String = self.days.values().map(|day| day.line() + "\n").collect();
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.at("write", &new)?;
        std::fs::rename(&new, &path).at("rename", &new)?;
        filesystem::sync_folder(path.parent().unwrap_or(dir))
    }
}

/// Gives the path of a day's line in its archive.
pub(crate) fn line_path(key: &DayKey) -> PathBuf {
    rest_folder(key).join(format!("{}.json", key.date))
}

/// Gives the path of what the data set does not hold of a day, in its archive.
pub(crate) fn rest_path(key: &DayKey) -> PathBuf {
    rest_folder(key).join(format!("{}.rest", key.date))
}

fn rest_folder(key: &DayKey) -> PathBuf {
    [REST_FOLDER, key.product.as_str(), key.dataset.folder()].iter().collect()
}

/// Lists the products of which days are archived.
#[must_use]
pub(crate) fn products(dir: &Path) -> Vec<ProductId> {
    let entries = std::fs::read_dir(dir.join(OWN_FOLDER).join(FOLDER)).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| ProductId::new(entry.file_name().to_str()?.strip_suffix(".jsonl")?).ok();
    let mut found: Vec<ProductId> = entries.filter_map(name).collect();
    found.sort();
    found
}

fn path_of(dir: &Path, product: &ProductId) -> PathBuf {
    dir.join(OWN_FOLDER).join(FOLDER).join(format!("{product}.jsonl"))
}

/// Held by whoever changes what is known of archived days. It ends with the process.
#[derive(Debug)]
pub(crate) struct RecordLock {
    folder: File,
}

impl Drop for RecordLock {
    fn drop(&mut self) {
        // Said aloud: a child that is just being started holds a copy of the descriptor until it runs its own program.
        let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
    }
}

impl RecordLock {
    /// Takes it, and makes the folder of the lines where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Archiving`] where another process archives or restores.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let own = own_file::make_own_folder(dir)?;
        let path = own.join(FOLDER);
        own_file::clear_way_of_folder(&path)?;
        if !path.is_dir() {
            std::fs::create_dir_all(&path).at("make", &path)?;
            filesystem::sync_folder(&own)?;
        }
        let folder = File::open(&path).at("open", &path)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Archiving { path: dir.to_owned(), pid: lock::holder_by_kernel(&path) }),
            Err(error) => log::warn!("{} cannot be locked ({error}): only one archive or restore may run", path.display()),
        }
        Ok(Self { folder })
    }
}

#[cfg(test)]
#[path = "archived/tests.rs"]
mod tests;
