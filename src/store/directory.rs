//! [`DataDir`]: a data directory held for writing.
//!
//! 1. One writer: the lock is taken before anything else is touched, and held as long as the value lives.
//! 2. One endpoint: the first one is remembered, another one is refused. Sandbox and production never mix.
//! 3. Every flush goes through its [`Flushes`]; every step that changes files is shown to the probe there.
//! 4. A day is opened or made by one thread at a time ([`DataDir::lock_day`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};

use super::boot::BootId;
use super::error::{At, StoreError};
use super::filesystem;
use super::flush::Flushes;
use super::growth::FIRST_RECORDS;
use super::lock::DirLock;
use super::place::{DayKey, OWN_FOLDER};
use super::probe::{Probe, Step, Verdict, Why};
use super::space::{self, Space};
use crate::schema::ColumnSet;
use crate::time::DateFormat;

/// How a data directory is to be written. Begins with [`StoreOptions::default`]; each method sets the field of its name.
///
/// ```
/// use coltape::ColumnSet;
/// use coltape::internals::store::StoreOptions;
/// let options = StoreOptions::default().columns(ColumnSet::Core).force_fs(true);
/// assert!(options.force_fs && options.columns == ColumnSet::Core);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Which columns new days get.
    pub columns: ColumnSet,
    /// How new days spell their date.
    pub date_format: DateFormat,
    /// Whether to write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// Records that a new day begins with room for; it grows from there.
    pub first_records: u64,
    /// Bytes of a column before its durable end that stay in the page cache at least. What lies before them is given back to the system, so many
    /// bytes at a time.
    pub cached_bytes: u64,
    /// The boot's id. A test passes another to act as after a restart of the machine, or none for one that cannot be read.
    pub boot_id: Option<BootId>,
    /// Sees every step; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

/// Bytes of a column that stay in the page cache at least: an hour of the busiest product.
const CACHED_BYTES: u64 = 16 << 20;

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            columns: ColumnSet::Full,
            date_format: DateFormat::Iso,
            force_fs: false,
            first_records: FIRST_RECORDS,
            cached_bytes: CACHED_BYTES,
            boot_id: BootId::read(),
            probe: None,
        }
    }
}

impl StoreOptions {
    /// Sets which columns new days get.
    #[must_use]
    pub fn columns(self, columns: ColumnSet) -> Self {
        Self { columns, ..self }
    }

    /// Sets how new days spell their date.
    #[must_use]
    pub fn date_format(self, date_format: DateFormat) -> Self {
        Self { date_format, ..self }
    }

    /// Sets whether to write to a file system that is not known to be safe.
    #[must_use]
    pub fn force_fs(self, force_fs: bool) -> Self {
        Self { force_fs, ..self }
    }

    /// Sets the records that a new day begins with room for.
    #[must_use]
    pub fn first_records(self, first_records: u64) -> Self {
        Self { first_records, ..self }
    }

    /// Sets the bytes of a column that stay in the page cache at least.
    #[must_use]
    pub fn cached_bytes(self, cached_bytes: u64) -> Self {
        Self { cached_bytes, ..self }
    }

    /// Sets the boot's id; tests only.
    #[doc(hidden)]
    #[must_use]
    pub fn boot_id(self, boot_id: Option<BootId>) -> Self {
        Self { boot_id, ..self }
    }

    /// Sets the probe; tests only.
    #[doc(hidden)]
    #[must_use]
    pub fn probe(self, probe: Option<Probe>) -> Self {
        Self { probe, ..self }
    }
}

/// A data directory, locked for this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    options: StoreOptions,
    flushes: Flushes,
    /// Device and inode of the directory that was opened.
    identity: (u64, u64),
    /// Days that are being opened or made.
    locked_days: Mutex<BTreeSet<DayKey>>,
    day_unlocked: Condvar,
    _lock: DirLock,
}

/// A day that no other thread opens or makes meanwhile.
#[derive(Debug)]
pub(crate) struct DayGuard<'a> {
    dir: &'a DataDir,
    key: DayKey,
}

impl Drop for DayGuard<'_> {
    fn drop(&mut self) {
        self.dir.locked_days.lock().remove(&self.key);
        self.dir.day_unlocked.notify_all();
    }
}

impl DataDir {
    /// Opens a data directory for writing, and makes it where it is missing.
    ///
    /// # Errors
    /// Where another process writes to it, its file system is unsafe, it belongs to another endpoint, or the system refuses.
    pub fn open(path: &Path, options: StoreOptions, endpoint: &str) -> Result<Self, StoreError> {
        Self::open_for(path, options, Some(endpoint))
    }

    /// Opens a data directory for writing whatever endpoint it belongs to: for a caller that brings nothing from an endpoint, or has checked it
    /// with [`endpoint_of`].
    ///
    /// # Errors
    /// As [`DataDir::open`], but for the endpoint.
    pub(crate) fn open_of_any_endpoint(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_for(path, options, None)
    }

    fn open_for(path: &Path, options: StoreOptions, endpoint: Option<&str>) -> Result<Self, StoreError> {
        let own = path.join(OWN_FOLDER);
        std::fs::create_dir_all(&own).at("make", &own)?;
        if !options.force_fs {
            filesystem::refuse_unsafe(path)?;
        }
        let lock = DirLock::take(path, &own.join("lock"))?;
        let flushes = Flushes::open(path, options.probe.clone())?;
        if let Some(endpoint) = endpoint {
            remember_endpoint(path, &own.join("endpoint"), endpoint)?;
        }
        for folder in [own.as_path(), path] {
            filesystem::sync_folder(folder)?;
        }
        // The name of the directory itself. Where its parent may not be opened, the next flush of the file system brings the name to disk.
        if let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
            let _ = filesystem::sync_folder(parent);
        }
        let found = flushes.handle().metadata().at("look at", path)?;
        Ok(Self {
            path: path.to_owned(),
            options,
            flushes,
            identity: (found.dev(), found.ino()),
            locked_days: Mutex::default(),
            day_unlocked: Condvar::new(),
            _lock: lock,
        })
    }

    /// Shows where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows how it is written.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Gives the room on the disk.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn free_space(&self) -> io::Result<Space> {
        space::free_space(&self.path)
    }

    /// Flushes the file system: all that was stored before the call is on disk after it.
    ///
    /// # Errors
    /// Where the device failed. The kernel reports a failure once: what was being written may be lost although a second call succeeds.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.flush_for(Why::Sync).map(drop)
    }

    /// Makes sure that the directory that was opened still lies at its path.
    ///
    /// # Errors
    /// [`StoreError::Gone`] where it does not: nobody will find what is stored from now on.
    pub(crate) fn check_in_place(&self) -> Result<(), StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("look at", &self.path),
            _ => Err(StoreError::Gone { path: self.path.clone() }),
        }
    }

    /// Flushes, and gives the number of flushes that have failed so far: what one of them may have lost is not on disk by this one.
    pub(crate) fn flush_for(&self, why: Why) -> Result<u64, StoreError> {
        self.flushes.flush(why)
    }

    /// Runs another kind of flush, in turn with all others.
    pub(crate) fn flushed_by(&self, why: Why, flush: impl FnOnce() -> io::Result<()>) -> Result<u64, StoreError> {
        self.flushes.run(why, flush)
    }

    /// Waits until no other thread opens or makes the day, and keeps all others from it while the guard lives. A thread that found its files half made
    /// would take them for what a crash left.
    pub(crate) fn lock_day(&self, key: &DayKey) -> DayGuard<'_> {
        let mut locked = self.locked_days.lock();
        while !locked.insert(key.clone()) {
            self.day_unlocked.wait(&mut locked);
        }
        DayGuard { dir: self, key: key.clone() }
    }

    /// Gives the number of the time between two flushes; nothing while one runs. See [`Flushes`].
    #[inline]
    pub(crate) fn flush_epoch(&self) -> Option<u64> {
        self.flushes.epoch()
    }

    pub(crate) fn flush_failed(&self, source: io::Error) -> StoreError {
        self.flushes.error(source)
    }

    /// Gives the number of flushes that have failed.
    pub(crate) fn failed_flushes(&self) -> u64 {
        self.flushes.failed()
    }

    /// Ends all flushing: nothing is called durable any more.
    pub(crate) fn end_flushing(&self) {
        self.flushes.end();
    }

    /// Shows a step to the probe, where there is one.
    pub(crate) fn step(&self, step: Step) -> Verdict {
        self.flushes.step(step)
    }
}

/// Tells which endpoint a data directory was begun with; nothing where none is remembered.
///
/// # Errors
/// Where the file that says so is there and cannot be read.
pub(crate) fn endpoint_of(dir: &Path) -> Result<Option<String>, StoreError> {
    let path = dir.join(OWN_FOLDER).join("endpoint");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", &path),
    }
}

fn remember_endpoint(dir: &Path, path: &Path, asked: &str) -> Result<(), StoreError> {
    let remembered = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).at("read", path),
    };
    match remembered.trim() {
        "" => {
            // Under another name first: a crash leaves the whole file or nothing.
            let new = path.with_extension("tmp");
            std::fs::write(&new, format!("{asked}\n")).at("write", &new)?;
            File::open(&new).at("open", &new)?.sync_all().at("flush", &new)?;
            std::fs::rename(&new, path).at("rename", &new)
        }
        same if same == asked => Ok(()),
        other => Err(StoreError::OtherEndpoint { path: dir.to_owned(), remembered: other.to_owned(), asked: asked.to_owned() }),
    }
}
