//! [`Listed`]: whether a list of a product's days is still complete, without a look at the folder's files.
//!
//! Nothing tells a reader that a day has appeared but the time of the folder, and the file system's clock for that is coarse.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long a list of days is taken for complete where the time of its folder has not changed.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// The same where files of a day are being made.
const LIST_SOON: Duration = Duration::from_millis(100);
/// What changes within so long of another change may leave the time of the folder as it is.
const COARSE: Duration = Duration::from_millis(20);

/// When the days were listed, and what the time of their folder was then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    at: Instant,
    changed: Option<SystemTime>,
    /// When the folder was first seen with this time.
    since: Instant,
    /// How long the list is taken for complete.
    again: Duration,
}

impl Listed {
    /// Notes that a folder is about to be listed, after it was listed as `before` says; nothing where that list is still complete.
    pub(crate) fn again(before: Option<Self>, folder: &Path) -> Option<Self> {
        let changed = std::fs::metadata(folder).and_then(|found| found.modified()).ok();
        if before.is_some_and(|before| before.is_complete(changed)) {
            return None;
        }
        let at = Instant::now();
        let since = before.filter(|before| before.changed == changed).map_or(at, |before| before.since);
        Some(Self { at, changed, since, again: LIST_AGAIN })
    }

    /// Has the folder listed again soon: files of a day are being made in it.
    pub(crate) fn hurry(&mut self) {
        self.again = LIST_SOON;
    }

    /// Tells whether the list is complete, where its folder has this time now.
    fn is_complete(&self, changed: Option<SystemTime>) -> bool {
        changed.is_some() && self.changed == changed && self.at.duration_since(self.since) >= COARSE && self.at.elapsed() < self.again
    }
}
