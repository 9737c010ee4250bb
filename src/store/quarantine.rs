//! Setting a day's files aside: they are moved below `_coltape/quarantine/`, and nothing of them is lost.
//!
//! A file that lies on another device is copied there, and removed when the copy is on disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::DataDir;
use super::error::{At, StoreError};
use super::own_file;
use super::place::{DayKey, Place};
use super::probe::Step;

/// Most quarantined copies of one day.
const MAX_QUARANTINED: u32 = 10_000;

/// Moves a day's files into a folder of their own, and gives that folder.
pub(crate) fn quarantine(dir: &DataDir, key: &DayKey, place: &Place) -> Result<PathBuf, StoreError> {
    let quarantine = own_file::make_own_folder(dir.path())?.join("quarantine");
    own_file::clear_way_of_folder(&quarantine)?;
    let base = quarantine.join(key.product.as_str()).join(key.dataset.folder());
    std::fs::create_dir_all(&base).at("make", &base)?;
    let free = (1..MAX_QUARANTINED).map(|number| base.join(format!("{}-{number}", key.date))).find(|path| !path.exists());
    let folder = free.ok_or_else(|| StoreError::InUse { path: base.clone() })?;
    std::fs::create_dir(&folder).at("make", &folder)?;
    for path in place.files() {
        if let Some(name) = path.file_name() {
            move_file(&path, &folder.join(name)).at("move", &path)?;
            dir.step(Step::Changed("quarantined"));
        }
    }
    Ok(folder)
}

/// Renames a file; where it lies on another device, copies it and then removes it.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let (mut source, mut copy) = (File::open(from)?, File::create(to)?);
            io::copy(&mut source, &mut copy)?;
            copy.sync_all()?;
            std::fs::remove_file(from)
        }
        done => done,
    }
}
