//! What is stored of a product before its writer goes on: the ends of its chain of trades, the gaps in it, its newest ticker.

use crate::capture::context::CaptureContext;
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::{Snapshot, StoreError, catalog, gaps};
use crate::time::UnixNanos;

/// Days searched for gaps, counted back from the newest that there is. What is missing before that is for `coltape repair`.
const DAYS_BACK: usize = 7;

/// What is stored of a product.
#[derive(Debug, Clone, Default)]
pub struct ResumePoint {
    /// The newest trade.
    pub last_trade_id: Option<u64>,
    /// The newest ticker's sequence.
    pub last_sequence: Option<u64>,
    /// The oldest trade, and its event time.
    pub first: Option<(u64, UnixNanos)>,
    /// Ids missing within the last days.
    pub missing: IdSet,
}

impl ResumePoint {
    /// Reads it from the files.
    ///
    /// # Errors
    /// Where a folder or page cannot be read.
    pub fn read(context: &CaptureContext, product: &ProductId) -> Result<Self, StoreError> {
        let dir = context.dir.path();
        let last = |dataset| catalog::last_key(dir, product, dataset);
        let last_sequence = if context.datasets.md { last(Dataset::Md)? } else { last(Dataset::TickerTrades)? };
        if !context.datasets.trades {
            return Ok(Self { last_sequence, ..Self::default() });
        }
        let found = gaps(dir, product, Some(DAYS_BACK))?;
        for (date, error) in &found.unreadable {
            log::warn!("{product} {date}: its trades count as missing: {error}");
        }
        Ok(Self {
            last_trade_id: last(Dataset::Trades)?.max(found.last),
            last_sequence,
            first: first(context, product)?,
            missing: found.missing,
        })
    }

    /// Tells whether the oldest trade happened before a time, so that nothing since then lies before it.
    #[must_use]
    pub fn reaches_back_to(&self, since: UnixNanos) -> bool {
        self.first.is_some_and(|(_, time)| time < since)
    }
}

fn first(context: &CaptureContext, product: &ProductId) -> Result<Option<(u64, UnixNanos)>, StoreError> {
    if context.backfill.as_ref().is_none_or(|backfill| backfill.since().is_none()) {
        return Ok(None);
    }
    for date in catalog::days(context.dir.path(), product, Dataset::Trades)? {
        // A day that cannot be read is recovered when it is opened.
        if let Ok(Some(day)) = Snapshot::<Trades>::open(context.dir.path(), product, date)
            && let Some(trade) = day.row(0)
        {
            return Ok(Some((trade.trade_id, trade.time)));
        }
    }
    Ok(None)
}
