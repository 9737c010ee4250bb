//! [`DoctorConfig`]: what a capture on this box would be, as the checks need to know it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::CaptureConfig;

/// What the doctor has to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub(crate) struct DoctorConfig {
    /// The capture that is, or would be, run.
    pub capture: CaptureConfig,
    /// How many products it is to record, where they are not named.
    pub count: Option<usize>,
    /// Whether the endpoints are asked.
    pub asks_network: bool,
    /// How long one check may take.
    pub timeout: Duration,
}

/// Gives a directory, or what there is of the way to it. May wait for a disk.
#[must_use]
pub(super) fn nearest_folder(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}
