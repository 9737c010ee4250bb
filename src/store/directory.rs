//! [`DataDir`]: a data directory held for writing.
//!
//! 1. One writer: the lock is taken before anything else is touched, and held as long as the value lives.
//! 2. One endpoint: the first one is remembered, another one is refused. Sandbox and production never mix.
//! 3. Every flush goes through its [`Flushes`]; every step that changes files is shown to the probe there.
//! 4. A day is opened or made by one thread at a time ([`DataDir::lock_day`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use parking_lot::{Condvar, Mutex};
use rustix::process::geteuid;

use super::boot::BootId;
use super::catalog;
use super::device::{Devices, FileSystems};
use super::error::{At, StoreError};
use super::filesystem;
use super::flush::Flushes;
use super::growth::{FIRST_RECORDS, FULL};
use super::lock::DirLock;
use super::own_file::{self, FileId, Links};
use super::place::{DayKey, OWN_FOLDER, Place, dataset_folder};
use super::probe::{Probe, Step, Verdict, Why};
use super::space::Space;
use crate::schema::{ColumnSet, Dataset};
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
    /// Records that a day's columns have address space for, and so the most that it holds.
    pub map_records: u64,
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
            map_records: FULL,
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

    /// Sets the records that a day's columns have address space for.
    #[must_use]
    pub fn map_records(self, map_records: u64) -> Self {
        Self { map_records, ..self }
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
    /// The directory that was opened.
    identity: FileId,
    /// What the file `endpoint` has to say; nothing where whoever holds the directory brings nothing from an endpoint.
    endpoint: Option<String>,
    /// Days that are being opened or made.
    locked_days: Mutex<BTreeSet<DayKey>>,
    day_unlocked: Condvar,
    lock: DirLock,
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

/// Warns where root writes to a directory of another user, as a command that is run by hand beside a service does.
fn warn_of_root(path: &Path, opened: &File) {
    static SAID: Once = Once::new();
    let owner = opened.metadata().map_or(0, |found| found.uid());
    if owner != 0 && geteuid().is_root() {
        SAID.call_once(|| {
            log::warn!(
                "{} belongs to user {owner}, and this is root: a capture of that user cannot write to the files that are made now. Better run it as that \
                 user: sudo -u '#{owner}' coltape …",
                path.display()
            );
        });
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
        std::fs::create_dir_all(path).at("make", path)?;
        let allowed = if options.force_fs { FileSystems::Any } else { FileSystems::KnownToBeSafe };
        let devices = Devices::default();
        devices.admit(path, allowed)?;
        let opened = File::open(path).at("open", path)?;
        let identity = FileId::of_file(&opened).at("look at", path)?;
        warn_of_root(path, &opened);
        let lock = DirLock::take(path, opened)?;
        // The folders that lie elsewhere are refused now rather than at their first record.
        admit_folders(path, &devices, allowed)?;
        let flushes = Flushes::new(path, devices, options.probe.clone());
        if let Some(endpoint) = endpoint {
            remember_endpoint(path, endpoint)?;
        }
        for folder in [path.join(OWN_FOLDER).as_path(), path] {
            filesystem::sync_folder(folder)?;
        }
        // The name of the directory itself. Where its parent may not be opened, the next flush of the file system brings the name to disk.
        if let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
            let _ = filesystem::sync_folder(parent);
        }
        Ok(Self {
            path: path.to_owned(),
            options,
            flushes,
            identity,
            endpoint: endpoint.map(str::to_owned),
            locked_days: Mutex::default(),
            day_unlocked: Condvar::new(),
            lock,
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

    /// Gives the room on the disk; where the directory's files lie on several, on the one that has the least.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn free_space(&self) -> io::Result<Space> {
        self.flushes.devices().least_space()
    }

    /// Gives how many file systems the directory's files lie on, as far as they were opened.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.flushes.devices().all().len()
    }

    /// Admits the devices that a day's folder and files lie on, before anything is written to them. A missing folder has none.
    ///
    /// # Errors
    /// Where one of them is not known to survive a full disk, and `force_fs` is not set.
    pub(crate) fn admit_day(&self, place: &Place, dataset: Dataset) -> Result<(), StoreError> {
        let allowed = if self.options.force_fs { FileSystems::Any } else { FileSystems::KnownToBeSafe };
        let columns = dataset.columns().iter().map(|column| place.column(column.name));
        for path in [place.folder().to_owned(), place.page(), place.late()].into_iter().chain(columns) {
            self.flushes.devices().admit(&path, allowed)?;
        }
        Ok(())
    }

    /// Flushes the file systems: all that was stored before the call is on disk after it.
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
            Ok(found) if FileId::of(&found) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("look at", &self.path),
            _ => Err(StoreError::Gone { path: self.path.clone() }),
        }
    }

    /// Makes the program's own files again that were removed or replaced and that are not being written to: the lock and the endpoint. Names them.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process holds the new lock file; where a file cannot be made.
    pub(crate) fn keep_own_files(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut made = Vec::new();
        if self.lock.keep()? {
            made.push("lock");
        }
        if let Some(endpoint) = &self.endpoint
            && endpoint_of(&self.path).ok().flatten().as_deref() != Some(endpoint)
        {
            write_endpoint(&self.path, endpoint)?;
            made.push("endpoint");
        }
        Ok(made)
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

/// Name of the file that remembers the endpoint.
const ENDPOINT: &str = "endpoint";

/// Most bytes that are read of it.
const MAX_ENDPOINT_BYTES: u64 = 64 << 10;

/// Reads the beginning of a plain file. Anything else is an error, and is not waited for.
fn read_small(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_ENDPOINT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Tells which endpoint a data directory was begun with; nothing where none is remembered.
///
/// # Errors
/// Where the file that says so is there and cannot be read.
pub(crate) fn endpoint_of(dir: &Path) -> Result<Option<String>, StoreError> {
    let path = dir.join(OWN_FOLDER).join(ENDPOINT);
    match read_small(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", &path),
    }
}

fn remember_endpoint(dir: &Path, asked: &str) -> Result<(), StoreError> {
    match endpoint_of(dir)? {
        None => write_endpoint(dir, asked),
        Some(same) if same == asked => Ok(()),
        Some(remembered) => Err(StoreError::OtherEndpoint { path: dir.to_owned(), remembered, asked: asked.to_owned() }),
    }
}

/// Writes the endpoint. Under another name first: a crash leaves the whole file or nothing.
fn write_endpoint(dir: &Path, endpoint: &str) -> Result<(), StoreError> {
    let path = own_file::make_own_folder(dir)?.join(ENDPOINT);
    let new = path.with_extension("tmp");
    for path in [&path, &new] {
        own_file::clear_way(path, Links::InTheWay)?;
    }
    std::fs::write(&new, format!("{endpoint}\n")).at("write", &new)?;
    File::open(&new).at("open", &new)?.sync_all().at("flush", &new)?;
    std::fs::rename(&new, &path).at("rename", &new)
}

/// Admits the devices of the folders that are there.
fn admit_folders(dir: &Path, devices: &Devices, allowed: FileSystems) -> Result<(), StoreError> {
    for product in catalog::products(dir)? {
        for dataset in Dataset::ALL {
            match devices.admit(&dataset_folder(dir, &product, dataset), allowed) {
                Err(error @ StoreError::UnsafeFileSystem { .. }) => return Err(error),
                // Whoever opens a day there hears of it. It must not keep the other products from being recorded.
                Err(error) => log::warn!("{error}"),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}
