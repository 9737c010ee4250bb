//! [`DataDir`]: a data directory held for writing.
//!
//! 1. One writer: the lock is taken before anything else is touched, and held as long as the value lives.
//! 2. One endpoint: the first one is remembered, another one is refused. Sandbox and production never mix.
//! 3. One descriptor, opened before the first write, serves every flush: an error of the device cannot slip between two descriptors.
//! 4. The kernel tells a failure to one flush only, whoever asked for it. So flushes come one after the other and failures are counted: every
//!    flush that succeeds says how many had failed by then, and whoever relies on it compares. After a failure that could not be made good
//!    there is no flush any more.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::error::{At, StoreError};
use super::filesystem::{self, BootId, Space};
use super::lock::DirLock;
use super::place::{DayKey, OWN_FOLDER};
use super::probe::{Probe, Step, Verdict, Why};
use crate::schema::ColumnSet;
use crate::time::DateFormat;

/// How a data directory is to be written.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which columns new days get.
    pub columns: ColumnSet,
    /// How new days spell their date.
    pub date_format: DateFormat,
    /// Whether to write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// Records that a new day begins with room for; grows from there.
    pub first_records: u64,
    /// Bytes of a column behind its durable end that stay in the page cache at least; what lies before them is given back in steps of as many.
    pub cached_bytes: u64,
    /// The boot's id; a test passes another to play a restart of the machine, or none for one that cannot be read.
    pub boot_id: Option<BootId>,
    /// Sees every step; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

/// Records that a new day begins with room for.
pub const FIRST_RECORDS: u64 = 1024;

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

/// A data directory, locked for this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    options: StoreOptions,
    handle: File,
    /// Device and inode of what was opened.
    identity: (u64, u64),
    /// Held during a flush. True once a failure could not be made good.
    flushing_is_over: Mutex<bool>,
    failed_flushes: AtomicU64,
    /// Flushes begun and ended: odd while one is at work.
    flush_turn: AtomicU64,
    /// Days that are being opened or made.
    in_the_making: Mutex<BTreeSet<DayKey>>,
    one_is_made: Condvar,
    _lock: DirLock,
}

/// A day that nobody else of this process opens or makes meanwhile.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    dir: &'a DataDir,
    key: DayKey,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.dir.in_the_making.lock().remove(&self.key);
        self.dir.one_is_made.notify_all();
    }
}

impl DataDir {
    /// Opens a data directory for writing, making it where it is missing.
    ///
    /// # Errors
    /// Where another process writes to it, its file system is unsafe, it belongs to another endpoint, or the system refuses.
    pub fn open(path: &Path, options: StoreOptions, endpoint: &str) -> Result<Self, StoreError> {
        Self::open_for(path, options, Some(endpoint))
    }

    /// Opens a data directory for writing whatever endpoint it belongs to: for who brings nothing from an endpoint, or has looked ([`endpoint_of`]).
    ///
    /// # Errors
    /// As [`DataDir::open`], but for the endpoint.
    pub fn open_of_any_endpoint(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_for(path, options, None)
    }

    fn open_for(path: &Path, options: StoreOptions, endpoint: Option<&str>) -> Result<Self, StoreError> {
        let own = path.join(OWN_FOLDER);
        std::fs::create_dir_all(&own).at("make", &own)?;
        if !options.force_fs {
            filesystem::refuse_unsafe(path)?;
        }
        let lock = DirLock::take(path, &own.join("lock"))?;
        let handle = File::open(path).at("open", path)?;
        if let Some(endpoint) = endpoint {
            remember_endpoint(path, &own.join("endpoint"), endpoint)?;
        }
        for folder in [own.as_path(), path] {
            filesystem::sync_folder(folder)?;
        }
        // The entry of the directory itself; where its parent is not ours to open, nothing depends on it that a flush of the file system does not do.
        if let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
            let _ = filesystem::sync_folder(parent);
        }
        let found = handle.metadata().at("look at", path)?;
        let identity = (found.dev(), found.ino());
        let (flushing_is_over, failed_flushes) = (Mutex::default(), AtomicU64::new(0));
        let flush_turn = AtomicU64::new(0);
        Ok(Self {
            path: path.to_owned(),
            options,
            handle,
            identity,
            flushing_is_over,
            failed_flushes,
            flush_turn,
            in_the_making: Mutex::default(),
            one_is_made: Condvar::new(),
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

    /// Tells how much room the disk has.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn free_space(&self) -> io::Result<Space> {
        filesystem::free_space(&self.path)
    }

    /// Flushes the file system: all that was stored before the call is on disk after it.
    ///
    /// # Errors
    /// Where the device failed. The kernel says so once and forgets: what was being written may be lost although a second call succeeds.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.flush_for(Why::Sync).map(drop)
    }

    /// Makes sure that the directory is still what lies at its path.
    ///
    /// # Errors
    /// [`StoreError::Gone`] where it is not: what is stored is nobody's any more.
    pub fn is_in_place(&self) -> Result<(), StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("look at", &self.path),
            _ => Err(StoreError::Gone { path: self.path.clone() }),
        }
    }

    /// Flushes, and gives the number of flushes that have failed so far: what one of them may have lost is not on disk by this one.
    pub(crate) fn flush_for(&self, why: Why) -> Result<u64, StoreError> {
        self.flushed_by(why, || Ok(rustix::fs::syncfs(&self.handle)?))
    }

    /// Runs a flush under the probe's eyes.
    pub(crate) fn flushed_by(&self, why: Why, flush: impl FnOnce() -> io::Result<()>) -> Result<u64, StoreError> {
        let is_over = self.flushing_is_over.lock();
        if *is_over {
            return Err(self.flush_failed(io::Error::other("an earlier one failed, and what it lost could not be made good")));
        }
        let _turn = Turn::begin(&self.flush_turn);
        let done = match self.step(Step::Flush(why)) {
            Verdict::Go => flush(),
            Verdict::Skip => return Ok(self.failed_flushes()),
            Verdict::Fail => Err(io::Error::other("as the probe wished")),
        };
        if let Err(source) = done {
            // Release, inside the lock: a flush that comes later counts this one. Partner: the load in `failed_flushes`.
            self.failed_flushes.fetch_add(1, Ordering::Release);
            return Err(self.flush_failed(source));
        }
        self.step(Step::Flushed(why));
        Ok(self.failed_flushes())
    }

    /// Waits until nobody opens or makes a day, and keeps everybody else from it: who finds its files half made takes them for what a death left.
    pub(crate) fn alone_with(&self, key: &DayKey) -> Alone<'_> {
        let mut made = self.in_the_making.lock();
        while !made.insert(key.clone()) {
            self.one_is_made.wait(&mut made);
        }
        Alone { dir: self, key: key.clone() }
    }

    /// Gives the number of the time between two flushes; nothing while one is at work. A flush makes the pages that it writes read-only, so that the first
    /// store to each of them afterwards waits for the system.
    #[inline]
    pub(crate) fn between_flushes(&self) -> Option<u64> {
        // Acquire: who finds a flush begun stores nothing that it thinks to be before it. Partner: `Turn`. A flush that begins right after is met
        // by a store that waits, as any store may; nothing else depends on it.
        Some(self.flush_turn.load(Ordering::Acquire)).filter(|turn| turn.is_multiple_of(2))
    }

    pub(crate) fn flush_failed(&self, source: io::Error) -> StoreError {
        StoreError::Flush { path: self.path.clone(), source }
    }

    /// Gives the number of flushes that have failed. Waits for none: one that is failing just now is counted by whoever flushes next.
    pub(crate) fn failed_flushes(&self) -> u64 {
        self.failed_flushes.load(Ordering::Acquire)
    }

    /// Ends all flushing: nothing is called durable any more.
    pub(crate) fn end_flushing(&self) {
        *self.flushing_is_over.lock() = true;
    }

    /// Shows a step to the probe, where there is one.
    pub(crate) fn step(&self, step: Step) -> Verdict {
        self.options.probe.as_ref().map_or(Verdict::Go, |probe| probe.see(step))
    }
}

/// A flush at work.
struct Turn<'a>(&'a AtomicU64);

impl<'a> Turn<'a> {
    fn begin(turns: &'a AtomicU64) -> Self {
        // Release: see `between_flushes`.
        turns.fetch_add(1, Ordering::Release);
        Self(turns)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Tells which endpoint a data directory was begun with; nothing where none is remembered.
///
/// # Errors
/// Where the file that says so is there and cannot be read.
pub fn endpoint_of(dir: &Path) -> Result<Option<String>, StoreError> {
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
            // Under another name first: a crash leaves the whole of it or nothing.
            let new = path.with_extension("tmp");
            std::fs::write(&new, format!("{asked}\n")).at("write", &new)?;
            File::open(&new).at("open", &new)?.sync_all().at("flush", &new)?;
            std::fs::rename(&new, path).at("rename", &new)
        }
        same if same == asked => Ok(()),
        other => Err(StoreError::OtherEndpoint { path: dir.to_owned(), remembered: other.to_owned(), asked: asked.to_owned() }),
    }
}
