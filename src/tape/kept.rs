//! What a [`Tape`](super::Tape) remembers of files that have not changed: what those of `_coltape` tell, which checksums of days were right, and the ends of days.
//!
//! 1. It never makes an answer another one: whatever a file's stamp, inode or generation shows to have changed is read again.
//! 2. It is bounded. Beyond that all of its kind is forgotten and read again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::history::{KeptKnowledge, Knowledge};
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, Trades};
use crate::store::own_file::FileStamp;
use crate::store::{CheckedFront, DayKey, DayState, Fault, Snapshot, StoreError, catalog};
use crate::time::{UnixNanos, UtcDay};

/// Most days of each kind.
const MAX_DAYS: usize = 1 << 16;

/// What is remembered.
#[derive(Default)]
pub(super) struct Kept {
    knowledge: KeptKnowledge,
    checked: Mutex<BTreeMap<(ProductId, Dataset, UtcDay), CheckedFront>>,
    /// A day is checked by one thread at a time, so that the others need not: each has one of these, and shares it with few.
    checking: [Mutex<()>; 32],
    ends: Mutex<BTreeMap<(ProductId, UtcDay), KeptEnds>>,
}

/// The ends of a day's trades, in order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayEnds {
    /// Its trades.
    pub(crate) count: u64,
    /// The id and the event time of the first one and of the last one.
    pub(crate) ends: Option<[(u64, UnixNanos); 2]>,
}

#[derive(Debug)]
struct KeptEnds {
    files: Vec<FileStamp>,
    ends: DayEnds,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A whole journal, otherwise.
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Kept {
    /// Gives what the files of `_coltape` tell now.
    pub(super) fn knowledge(&self, dir: &Path) -> Arc<Knowledge> {
        self.knowledge.now(dir)
    }

    /// Checks a day's bytes against its checksums. What has been checked before is not looked at again.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub(super) fn check_day<L: Layout>(&self, day: &Snapshot<L>) -> Result<Vec<Fault>, StoreError> {
        let key = (day.key().product.clone(), L::DATASET, day.key().date);
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % self.checking.len() as u64).unwrap_or(0);
        let _turn = self.checking.get(at).map(Mutex::lock);
        let before = self.checked.lock().remove(&key);
        let (faults, checked) = day.check_behind(before.as_ref())?;
        if let Some(checked) = checked {
            let mut kept = self.checked.lock();
            if kept.len() >= MAX_DAYS {
                kept.clear();
            }
            kept.insert(key, checked);
        }
        Ok(faults)
    }

    /// Gives the ends of a day's trades; nothing where there is no such day.
    ///
    /// # Errors
    /// Where the day cannot be read.
    pub(super) fn ends_of_day(&self, dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<DayEnds>, StoreError> {
        let key = (product.clone(), date);
        let files = catalog::stamps(dir, &DayKey { product: product.clone(), dataset: Dataset::Trades, date });
        if let Some(kept) = self.ends.lock().get(&key).filter(|kept| kept.files == files) {
            return Ok(Some(kept.ends));
        }
        let Some(day) = Snapshot::<Trades>::open(dir, product, date)? else { return Ok(None) };
        let end = |number: usize| day.key_at(number).zip(day.time_at(number));
        let last = day.count().checked_sub(1).and_then(end);
        let ends = DayEnds { count: day.count() as u64, ends: end(0).zip(last).map(|(first, last)| [first, last]) };
        if let DayState::Sealed { .. } = day.state() {
            let mut kept = self.ends.lock();
            if kept.len() >= MAX_DAYS {
                kept.clear();
            }
            kept.insert(key, KeptEnds { files, ends });
        }
        Ok(Some(ends))
    }
}
