//! Setting a day's files aside: they are moved below `_coltape/quarantine/`, and nothing of them is lost.

use std::path::PathBuf;

use super::directory::DataDir;
use super::error::{At, StoreError};
use super::place::{DayKey, OWN_FOLDER, Place};
use super::probe::Step;

/// Most quarantined copies of one day.
const MAX_QUARANTINED: u32 = 10_000;

/// Moves a day's files into a folder of their own, and gives that folder.
pub(crate) fn quarantine(dir: &DataDir, key: &DayKey, place: &Place) -> Result<PathBuf, StoreError> {
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
