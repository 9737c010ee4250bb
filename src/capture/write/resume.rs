//! [`ResumePoint`]: what is stored of a product when its writer starts: its first and last trade, the gaps between them, its newest ticker.

use crate::capture::context::CaptureContext;
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::{Snapshot, StoreError, catalog, gaps};
use crate::time::UnixNanos;

/// Days searched for gaps, counted back from the newest one. Gaps before that are left to `coltape repair`.
const DAYS_BACK: usize = 7;

/// What is stored of a product.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResumePoint {
    /// The newest trade.
    pub last_trade_id: Option<u64>,
    /// The newest ticker's sequence.
    pub last_sequence: Option<u64>,
    /// The oldest trade; nothing where there is none, or where it is not needed.
    pub first: Option<FirstTrade>,
    /// Ids missing within the last days.
    pub missing: IdSet,
}

/// The oldest trade of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstTrade {
    /// Its id.
    pub trade_id: u64,
    /// Its event time.
    pub time: UnixNanos,
}

impl ResumePoint {
    /// Reads it from the files.
    ///
    /// # Errors
    /// Where a folder or page cannot be read.
    pub(crate) fn read(context: &CaptureContext, product: &ProductId) -> Result<Self, StoreError> {
        let dir = context.dir.path();
        let last = |dataset| catalog::last_key(dir, product, dataset);
        // `MD` is the first of them and stores every ticker. Where none is kept, no ticker is compared with the sequence.
        let of_tickers = context.datasets.iter().find(|dataset| dataset.is_of_tickers()).unwrap_or(Dataset::TickerTrades);
        let last_sequence = last(of_tickers)?;
        if !context.datasets.contains(Dataset::Trades) {
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

    /// Tells whether the oldest trade happened before a time: no trade since then is older than it.
    #[must_use]
    pub(crate) fn reaches_back_to(&self, since: UnixNanos) -> bool {
        self.first.is_some_and(|first| first.time < since)
    }
}

/// Gives the oldest trade where a time was asked for since which all trades are wanted.
fn first(context: &CaptureContext, product: &ProductId) -> Result<Option<FirstTrade>, StoreError> {
    if context.backfill.as_ref().is_none_or(|backfill| backfill.since().is_none()) {
        return Ok(None);
    }
    for date in catalog::days(context.dir.path(), product, Dataset::Trades)? {
        // A day that cannot be read is recovered when it is opened.
        if let Ok(Some(day)) = Snapshot::<Trades>::open(context.dir.path(), product, date)
            && let Some(trade) = day.row(0)
        {
            return Ok(Some(FirstTrade { trade_id: trade.trade_id, time: trade.time }));
        }
    }
    Ok(None)
}
