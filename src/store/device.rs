//! [`Devices`]: the file systems that a data directory's files lie on. A product's folder, a dataset's folder or a single file may be a link to another
//! disk, or a mount of one.
//!
//! 1. A device is admitted before the first byte is written to it: its kind is checked, and the descriptor of its flushes is opened. An error of the device
//!    cannot fall between two descriptors.
//! 2. A device that was admitted stays: what was stored on it is flushed even if its link is gone.
//! 3. There are at most [`MAX_DEVICES`].

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{At, StoreError};
use super::filesystem;
use super::space::{self, Space};

/// Most devices of one data directory: each flush asks all of them, one after the other.
const MAX_DEVICES: usize = 64;

/// Which file systems are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystems {
    /// Those that are known to survive a full disk.
    KnownToBeSafe,
    /// All.
    Any,
}

/// A file system, by the number that the system knows it by.
#[derive(Debug)]
pub(crate) struct Device {
    id: u64,
    path: PathBuf,
    handle: File,
}

impl Device {
    /// Opens a descriptor on the device: of the folder, so that it keeps no removed file alive, or of the file if it is a mount of its own.
    fn open(id: u64, path: &Path, is_folder: bool) -> Result<Self, StoreError> {
        let real = path.canonicalize().at("look at", path)?;
        let folder = if is_folder { Some(real.as_path()) } else { real.parent() };
        for candidate in folder.into_iter().chain([real.as_path()]) {
            let handle = File::open(candidate).at("open", candidate)?;
            if handle.metadata().at("look at", candidate)?.dev() == id {
                return Ok(Self { id, path: candidate.to_owned(), handle });
            }
        }
        Err(StoreError::Gone { path: path.to_owned() })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Shows the folder through which it was admitted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes it.
    pub(crate) fn flush(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.handle)?)
    }
}

/// The devices that were admitted, in that order.
#[derive(Debug, Default)]
pub(crate) struct Devices(Mutex<Vec<Arc<Device>>>);

impl Devices {
    /// Gives all of them. One that is admitted later holds nothing yet.
    pub(crate) fn all(&self) -> Vec<Arc<Device>> {
        self.0.lock().clone()
    }

    /// Admits the device that a folder or a file lies on, which may be a link to another one. What is missing has none.
    ///
    /// # Errors
    /// [`StoreError::UnsafeFileSystem`]; where the system refuses to look at it.
    pub(crate) fn admit(&self, path: &Path, allowed: FileSystems) -> Result<(), StoreError> {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("look at", path),
        };
        let id = found.dev();
        if self.all().iter().any(|device| device.id == id) {
            return Ok(());
        }
        let device = Device::open(id, path, found.is_dir())?;
        if allowed == FileSystems::KnownToBeSafe {
            filesystem::refuse_unsafe_at(&device.handle, path)?;
        }
        let mut devices = self.0.lock();
        if devices.iter().all(|device| device.id != id) {
            if devices.len() >= MAX_DEVICES {
                let too_many = io::Error::other(format!("the files of a data directory lie on {MAX_DEVICES} file systems at most"));
                return Err(too_many).at("open", path);
            }
            devices.push(Arc::new(device));
        }
        Ok(())
    }

    /// Gives the room of the device that has the least.
    pub(crate) fn least_space(&self) -> io::Result<Space> {
        let spaces = self.all().iter().map(|device| space::free_space_of(&device.handle)).collect::<io::Result<Vec<_>>>()?;
        spaces.into_iter().min_by_key(|space| space.free).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_admitted_once_and_an_unsafe_one_never() {
        let dir = tempfile::tempdir().expect("a folder");
        let devices = Devices::default();
        std::fs::create_dir(dir.path().join("below")).expect("made");
        for folder in [dir.path().to_owned(), dir.path().join("below")] {
            devices.admit(&folder, FileSystems::Any).expect("admitted");
        }
        devices.admit(&dir.path().join("nothing"), FileSystems::Any).expect("a missing file is on no device");
        assert_eq!(devices.all().len(), 1);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/proc/self/stat", &link).expect("linked");
        let refused = devices.admit(&link, FileSystems::KnownToBeSafe);
        assert!(matches!(refused, Err(StoreError::UnsafeFileSystem { .. })), "{refused:?}");
        assert_eq!(devices.all().len(), 1);
        devices.admit(&link, FileSystems::Any).expect("forced");
        assert_eq!(devices.all().len(), 2);
        assert!(devices.least_space().is_ok());
    }
}
