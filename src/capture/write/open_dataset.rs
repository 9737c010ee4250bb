//! [`OpenDataset`]: one dataset of an open day, whichever dataset that is.
//!
//! 1. What keeps a record from being stored ([`OpenDataset::obstacle`]) is asked of every dataset before any of them stores it.
//! 2. The files are asked to grow once for each room that runs short, and once more where it is used up: a first answer may have been made before the
//!    records were seen that have used it up since.

use std::sync::Arc;

use crate::capture::service::files::Provisioner;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::wakeup::Wakeup;
use crate::product::ProductId;
use crate::record::{Record, Trade};
use crate::schema::{Dataset, Layout, Likeness, layout_enum, match_layout, with_layout};
use crate::store::{DataDir, Day, DayFiles, InsertError, Inserted, Opening, Pages, Restored, StoreError};
use crate::time::{UnixNanos, UtcDay};

layout_enum! {
    /// A dataset-day that is open for writing.
    pub(crate) enum OpenDataset of Open
}

/// A dataset-day, and how it was when more room was last asked for.
pub(crate) struct Open<L: Layout> {
    day: Day<L>,
    asked: Option<Asked>,
}

/// A request for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    at_room: u64,
    was_used_up: bool,
}

impl<L: Layout> Open<L> {
    fn new(dir: &Arc<DataDir>, product: &ProductId, date: UtcDay, now: UnixNanos) -> Result<(Self, Opening), StoreError> {
        let (day, opening) = Day::open(dir, product, date, now)?;
        Ok((Self { day, asked: None }, opening))
    }

    #[inline]
    fn obstacle(&mut self, record: Record<'_>, effort: Effort) -> Option<Outcome> {
        let row = L::part_of(record)?;
        match effort {
            Effort::OnlyIfReady if self.day.takes_now(row, Pages::Writable) => None,
            Effort::PageWait if self.day.takes_now(row, Pages::Any) => None,
            Effort::OnlyIfReady if self.day.takes_now(row, Pages::Any) => Some(Outcome::NeedsPage),
            Effort::OnlyIfReady | Effort::PageWait => Some(Outcome::NeedsWriter),
            Effort::Any => self.day.waits_for_room(row).then_some(Outcome::Blocked),
        }
    }

    #[inline]
    fn insert(&mut self, record: Record<'_>) -> Result<Outcome, StoreError> {
        let Some(row) = L::part_of(record) else { return Ok(Outcome::NotKept) };
        match self.day.insert(row) {
            Ok(Inserted::Appended) => Ok(Outcome::Written),
            Ok(Inserted::Late) => Ok(Outcome::Late),
            Ok(Inserted::Duplicate) => Ok(Outcome::Duplicate),
            Ok(Inserted::Conflict(_)) => Ok(Outcome::Conflict),
            Err(InsertError::NoRoom) => Ok(Outcome::Blocked),
            Err(InsertError::Store(error)) => Err(error),
        }
    }

    /// Gives the request for room that is to be made and was not made yet.
    fn due_request(&mut self) -> Option<Asked> {
        if !self.day.needs_room() {
            return None;
        }
        // Both look at the same room: when more has come and runs short again, it is asked for again.
        let request = Asked { at_room: self.day.seen_room(), was_used_up: self.day.is_out_of_room() };
        (self.asked != Some(request)).then_some(request)
    }

    fn request_room(&mut self, provisioner: &Provisioner, wakeup: &Arc<Wakeup>) {
        if let Some(request) = self.due_request() {
            self.asked = Some(request);
            provisioner.grow(self.day.files(), wakeup);
        }
    }
}

impl OpenDataset {
    /// Opens a dataset-day: makes, continues or recovers its files.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses.
    pub(crate) fn open(
        dataset: Dataset,
        dir: &Arc<DataDir>,
        product: &ProductId,
        date: UtcDay,
        now: UnixNanos,
    ) -> Result<(Self, Opening), StoreError> {
        with_layout!(dataset, L => Open::<L>::new(dir, product, date, now).map(|(open, opening)| (open.into(), opening)))
    }

    /// Gives what keeps a record from being stored with this effort; nothing where it can be stored, or has no part in this dataset.
    #[inline]
    pub(crate) fn obstacle(&mut self, record: Record<'_>, effort: Effort) -> Option<Outcome> {
        match_layout!(OpenDataset, self, open => open.obstacle(record, effort))
    }

    /// Stores a record where [`OpenDataset::obstacle`] knows of none.
    ///
    /// # Errors
    /// Where a late record could not be written.
    #[inline]
    pub(crate) fn insert(&mut self, record: Record<'_>) -> Result<Outcome, StoreError> {
        match_layout!(OpenDataset, self, open => open.insert(record))
    }

    /// Makes every record visible. Tells whether the writer's thread has work: room to ask for, or files that were removed.
    #[inline]
    pub(crate) fn commit(&mut self) -> bool {
        match_layout!(OpenDataset, self, open => {
            open.day.commit();
            open.due_request().is_some() || open.day.files().is_gone()
        })
    }

    /// Asks for more room where it runs short and was not asked for.
    #[inline]
    pub(crate) fn request_room(&mut self, provisioner: &Provisioner, wakeup: &Arc<Wakeup>) {
        match_layout!(OpenDataset, self, open => open.request_room(provisioner, wakeup));
    }

    /// Tells whether it is a day of this dataset.
    #[must_use]
    pub(crate) fn is_of(&self, dataset: Dataset) -> bool {
        self.files().key().dataset == dataset
    }

    /// Shows the files.
    #[must_use]
    pub(crate) fn files(&self) -> &Arc<DayFiles> {
        match_layout!(OpenDataset, self, open => open.day.files())
    }

    /// Gives the number of records, without late ones.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        match_layout!(OpenDataset, self, open => open.day.count())
    }

    /// Gives the stored trade of an id. Cold.
    #[must_use]
    pub(crate) fn find_trade(&self, trade_id: u64) -> Option<Trade> {
        if let Self::Trades(open) = self { open.day.find(trade_id) } else { None }
    }

    /// Stores the day again after files of it were removed or replaced.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses. It can be tried again.
    pub(crate) fn restore(&mut self) -> Result<Restored, StoreError> {
        match_layout!(OpenDataset, self, open => {
            open.asked = None;
            open.day.restore()
        })
    }

    /// Gives the stored trade of a trade's id, and what the trade is to it. Cold.
    #[must_use]
    pub(crate) fn compare(&self, trade: &Trade) -> Option<(Trade, Likeness)> {
        if let Self::Trades(open) = self { open.day.compare(trade) } else { None }
    }

    /// Begins another stretch of rising sequences.
    pub(crate) fn begin_stretch(&mut self) {
        match_layout!(OpenDataset, self, open => open.day.begin_stretch());
    }

    /// Commits, and gives the files back to be sealed.
    #[must_use]
    pub(crate) fn close(self) -> Arc<DayFiles> {
        match_layout!(OpenDataset, self, open => open.day.close())
    }
}
