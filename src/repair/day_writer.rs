//! [`DayWriter`]: stores trades of one product in their days, and seals the days again.
//!
//! 1. At most [`MAX_OPEN`] days are open. A day that takes too many late records is sealed in between. So memory stays bounded.
//! 2. Every day that was opened is sealed by [`DayWriter::close`], through the store's own crash-safe steps.
//! 3. A day without a commit page is not written to: opening it would set its records aside.
//! 4. A damaged day goes to quarantine, as at a capture's start, and the caller is told: what it has read of that day does not count any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{ColumnSet, Layout, Trades, with_layout};
use crate::store::{DataDir, Day, DayFiles, DayState, InsertError, Inserted, Opening, Snapshot, StoreError, SyncError, Syncer, seal};
use crate::time::{Clock, UtcDay};

use super::error::RepairError;
use super::journal::RepairJournal;

/// Days open at once.
const MAX_OPEN: usize = 2;
/// Late records of a day after which it is sealed in between.
const MAX_LATE: u32 = 1 << 18;
/// Records between two commits.
const COMMIT_EVERY: u32 = 4096;
/// Days sealed together.
const SEAL_TOGETHER: usize = 16;
/// Time between two flushes.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The open days of one product.
#[derive(Debug)]
pub(super) struct DayWriter {
    dir: Arc<DataDir>,
    product: ProductId,
    clock: Clock,
    open_days: Vec<Day<Trades>>,
    syncer: Syncer,
    synced: Instant,
    uncommitted: u32,
    /// Damaged days that were moved to quarantine.
    quarantined: u32,
    /// The columns of days that are made; `None` = as the directory's options say.
    new_columns: Option<ColumnSet>,
}

/// Why a trade was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The files cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed twice.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl From<WriteError> for RepairError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Sync(error) => Self::Sync(error),
        }
    }
}

/// What opening a day for writing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepared {
    /// The day can be written to.
    Ready,
    /// The day was damaged, and is empty now.
    Emptied,
}

impl DayWriter {
    pub(super) fn new(dir: &Arc<DataDir>, product: &ProductId, clock: &Clock) -> Self {
        Self {
            dir: Arc::clone(dir),
            product: product.clone(),
            clock: clock.clone(),
            open_days: Vec::new(),
            syncer: Syncer::new(Arc::clone(dir)),
            synced: Instant::now(),
            uncommitted: 0,
            quarantined: 0,
            new_columns: None,
        }
    }

    /// Sets the columns of days that are made from now on; `None` = as the directory's options say.
    pub(super) const fn set_new_columns(&mut self, columns: Option<ColumnSet>) {
        self.new_columns = columns;
    }

    /// Gives how many damaged days were moved to quarantine.
    pub(super) const fn quarantined(&self) -> u32 {
        self.quarantined
    }

    /// Opens a day for writing.
    pub(super) fn prepare(&mut self, date: UtcDay, journal: &mut RepairJournal) -> Result<Prepared, WriteError> {
        let before = self.quarantined;
        self.open(date, journal)?;
        Ok(if self.quarantined == before { Prepared::Ready } else { Prepared::Emptied })
    }

    /// Gives the columns that an open day has.
    pub(super) fn columns_of(&self, date: UtcDay) -> Option<ColumnSet> {
        self.open_days.iter().find(|day| day.date() == date).map(|day| day.files().column_set())
    }

    /// Stores a trade in its day.
    pub(super) fn insert(&mut self, trade: &Trade, journal: &mut RepairJournal) -> Result<Inserted<Trade>, WriteError> {
        let at = self.open(trade.time.day(), journal)?;
        let Some(day) = self.open_days.get_mut(at) else { return Ok(Inserted::Duplicate) };
        let inserted = loop {
            match day.insert(trade) {
                Ok(inserted) => break inserted,
                Err(InsertError::NoRoom) => day.files().provision()?,
                Err(InsertError::Store(error)) => return Err(error.into()),
            }
        };
        self.uncommitted += 1;
        if day.late_count() >= MAX_LATE {
            let full = self.open_days.remove(at);
            self.seal(vec![full.close()], journal)?;
        } else if self.uncommitted >= COMMIT_EVERY {
            self.commit();
        }
        Ok(inserted)
    }

    /// Makes everything visible, and durable if the last flush was [`SYNC_INTERVAL`] ago.
    pub(super) fn commit_and_sync(&mut self) -> Result<(), WriteError> {
        self.commit();
        if self.synced.elapsed() >= SYNC_INTERVAL {
            self.syncer.cycle()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.open_days.iter_mut().for_each(Day::commit);
        self.uncommitted = 0;
    }

    /// Seals every open day.
    pub(super) fn close(&mut self, journal: &mut RepairJournal) -> Result<(), WriteError> {
        let days: Vec<Arc<DayFiles>> = self.open_days.drain(..).map(Day::close).collect();
        self.uncommitted = 0;
        self.seal(days, journal)
    }

    /// Seals the days of all datasets that an earlier run left unsealed, or left sealed with late records beside them. Gives how many.
    pub(super) fn seal_leftovers(&mut self, journal: &mut RepairJournal) -> Result<usize, WriteError> {
        let keys = seal::unsealed(self.dir.path(), &self.product)?;
        for keys in keys.chunks(SEAL_TOGETHER) {
            let mut days = Vec::with_capacity(keys.len());
            for key in keys {
                days.push(with_layout!(key.dataset, L => self.open_day::<L>(key.date, journal)?.close()));
            }
            self.seal(days, journal)?;
        }
        Ok(keys.len())
    }

    /// Opens a day if it is not open. Gives its place among the open ones.
    fn open(&mut self, date: UtcDay, journal: &mut RepairJournal) -> Result<usize, WriteError> {
        if let Some(at) = self.open_days.iter().position(|day| day.date() == date) {
            return Ok(at);
        }
        if self.open_days.len() >= MAX_OPEN {
            let oldest = self.open_days.remove(0);
            self.seal(vec![oldest.close()], journal)?;
        }
        let day = self.open_day::<Trades>(date, journal)?;
        self.open_days.push(day);
        Ok(self.open_days.len() - 1)
    }

    fn open_day<L: Layout>(&mut self, date: UtcDay, journal: &mut RepairJournal) -> Result<Day<L>, WriteError> {
        let bare = Snapshot::<L>::open(self.dir.path(), &self.product, date);
        if let Ok(Some(day)) = bare
            && day.state() == DayState::Bare
            && day.count() > 0
        {
            let why = format!("{}: it has no commit page, so nothing is written to it", day.key());
            return Err(StoreError::Damaged { path: self.dir.path().to_owned(), why }.into());
        }
        if let Some(columns) = self.new_columns {
            Day::<L>::make(&self.dir, &self.product, date, columns)?;
        }
        let (day, how) = Day::<L>::open(&self.dir, &self.product, date, self.clock.now())?;
        self.syncer.watch(day.files());
        journal.day_opened(day.files().key(), &how)?;
        self.quarantined += u32::from(matches!(how, Opening::Quarantined { .. }));
        Ok(day)
    }

    fn seal(&self, days: Vec<Arc<DayFiles>>, journal: &mut RepairJournal) -> Result<(), WriteError> {
        let mut failed = None;
        for seal::SealOutcome { key, sealed } in seal::seal(&self.dir, days) {
            match sealed {
                Ok(sealed) => journal.day_sealed(&key, &sealed)?,
                Err(error) => {
                    log::error!("{key}: not sealed: {error}");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
