//! [`Binder`]: puts trades into their days and seals the days again.
//!
//! 1. At most [`MAX_OPEN`] days are open; a day that takes too many late records is sealed in between, so that memory stays bounded.
//! 2. Every day that was opened is sealed by [`Binder::close`], through the store's own crash-safe steps.
//! 3. A day found damaged goes to quarantine, as at a capture's start, and that is told: what was read of it before no longer counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use crate::store::{DataDir, Day, DayFiles, InsertError, Inserted, Opening, StoreError, SyncError, Syncer, seal};
use crate::time::{Clock, UtcDay};

use super::notes::Notes;

/// Days open at once.
const MAX_OPEN: usize = 2;
/// Late records a day takes before it is sealed in between.
const MAX_LATE: u32 = 1 << 18;
/// Records between two commits.
const COMMIT_EVERY: u32 = 4096;
/// Days sealed together.
const SEAL_TOGETHER: usize = 16;
/// How often what was put down is made durable.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The open days of one product.
#[derive(Debug)]
pub(super) struct Binder {
    dir: Arc<DataDir>,
    product: ProductId,
    clock: Clock,
    open: Vec<Day<Trades>>,
    syncer: Syncer,
    synced: Instant,
    uncommitted: u32,
    /// Days found damaged and set aside.
    pub(super) quarantined: u32,
}

/// Why a trade was not put down.
#[derive(Debug, thiserror::Error)]
pub enum BinderError {
    /// The files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed twice.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl Binder {
    pub(super) fn new(dir: &Arc<DataDir>, product: &ProductId, clock: &Clock) -> Self {
        Self {
            dir: Arc::clone(dir),
            product: product.clone(),
            clock: clock.clone(),
            open: Vec::new(),
            syncer: Syncer::new(Arc::clone(dir)),
            synced: Instant::now(),
            uncommitted: 0,
            quarantined: 0,
        }
    }

    /// Opens a day, so that it is known whether it can be written to. Tells whether it was damaged, and is empty now.
    pub(super) fn prepare(&mut self, date: UtcDay, notes: &mut Notes) -> Result<bool, BinderError> {
        let before = self.quarantined;
        self.place(date, notes)?;
        Ok(self.quarantined != before)
    }

    /// Tells which columns an open day has.
    pub(super) fn columns_of(&self, date: UtcDay) -> Option<ColumnSet> {
        self.open.iter().find(|day| day.date() == date).map(|day| day.files().column_set())
    }

    /// Puts a trade into its day.
    pub(super) fn put(&mut self, trade: &Trade, notes: &mut Notes) -> Result<Inserted<Trade>, BinderError> {
        let at = self.place(trade.time.day(), notes)?;
        let Some(day) = self.open.get_mut(at) else { return Ok(Inserted::Duplicate) };
        let inserted = loop {
            match day.insert(trade) {
                Ok(inserted) => break inserted,
                Err(InsertError::NoRoom) => day.files().provision()?,
                Err(InsertError::Store(error)) => return Err(error.into()),
            }
        };
        self.uncommitted += 1;
        if day.late_count() >= MAX_LATE {
            let full = self.open.remove(at);
            self.seal(vec![full.close()], notes)?;
        } else if self.uncommitted >= COMMIT_EVERY {
            self.commit();
        }
        Ok(inserted)
    }

    /// Makes everything visible, and now and then durable.
    pub(super) fn commit_and_sync(&mut self) -> Result<(), BinderError> {
        self.commit();
        if self.synced.elapsed() >= SYNC_EVERY {
            self.syncer.cycle()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Makes everything visible.
    pub(super) fn commit(&mut self) {
        self.open.iter_mut().for_each(Day::commit);
        self.uncommitted = 0;
    }

    /// Seals every open day.
    pub(super) fn close(&mut self, notes: &mut Notes) -> Result<(), BinderError> {
        let open: Vec<Arc<DayFiles>> = self.open.drain(..).map(Day::close).collect();
        self.uncommitted = 0;
        self.seal(open, notes)
    }

    /// Seals the days of all datasets that an earlier run left live, or sealed with late records waiting. Gives how many.
    pub(super) fn seal_leftovers(&mut self, notes: &mut Notes) -> Result<usize, BinderError> {
        let keys = seal::unsealed(self.dir.path(), &self.product)?;
        for keys in keys.chunks(SEAL_TOGETHER) {
            let mut open = Vec::with_capacity(keys.len());
            for key in keys {
                open.push(match key.dataset {
                    Dataset::Trades => self.open_day::<Trades>(key.date, notes)?.close(),
                    Dataset::Md => self.open_day::<Md>(key.date, notes)?.close(),
                    Dataset::TickerTrades => self.open_day::<TickerTrades>(key.date, notes)?.close(),
                });
            }
            self.seal(open, notes)?;
        }
        Ok(keys.len())
    }

    fn place(&mut self, date: UtcDay, notes: &mut Notes) -> Result<usize, BinderError> {
        if let Some(at) = self.open.iter().position(|day| day.date() == date) {
            return Ok(at);
        }
        if self.open.len() >= MAX_OPEN {
            let oldest = self.open.remove(0);
            self.seal(vec![oldest.close()], notes)?;
        }
        let day = self.open_day::<Trades>(date, notes)?;
        self.open.push(day);
        Ok(self.open.len() - 1)
    }

    fn open_day<L: Layout>(&mut self, date: UtcDay, notes: &mut Notes) -> Result<Day<L>, BinderError> {
        let (day, how) = Day::<L>::open(&self.dir, &self.product, date, self.clock.now())?;
        self.syncer.watch(day.files());
        notes.day_opened(day.files().key(), &how)?;
        self.quarantined += u32::from(matches!(how, Opening::Quarantined { .. }));
        Ok(day)
    }

    fn seal(&self, days: Vec<Arc<DayFiles>>, notes: &mut Notes) -> Result<(), BinderError> {
        let mut failed = None;
        for seal::SealOutcome { key, sealed } in seal::seal(&self.dir, days) {
            match sealed {
                Ok(sealed) => notes.day_sealed(&key, &sealed)?,
                Err(error) => {
                    log::error!("{key}: not sealed: {error}");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
