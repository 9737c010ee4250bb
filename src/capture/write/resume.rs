//! [`ResumePoint`]: what is stored of a product when its writer starts: its newest series, that one's first and last trade, the gaps between them, its newest
//! ticker.

use std::path::Path;

use crate::capture::context::CaptureContext;
use crate::capture::write::seam::TickerSeam;
use crate::feed::doubts::Mark;
use crate::feed::ticker_marks::{StoredEnd, TickerMarks};
use crate::feed::trade_marks::TradeMarks;
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, Kind, Layout, Trades, with_layout};
use crate::store::archived::ArchivedDays;
use crate::store::{Snapshot, StoreError, catalog, gaps};
use crate::time::UnixNanos;

/// Days searched for gaps, counted back from the newest one. Gaps before that are left to `coltape repair`.
const DAYS_BACK: usize = 7;

/// Records at the end of a day that are looked at for the newest event time.
const OUT_OF_TURN: usize = 64;

/// What is stored of a product's newest series.
#[derive(Debug, Clone)]
pub(crate) struct ResumePoint {
    /// The series that is continued: the newest one.
    pub series: ProductId,
    /// The newest trade.
    pub last_trade_id: Option<u64>,
    /// Id and time of the newest trade.
    pub newest_trade: Option<Mark>,
    /// Where its trades begin and end.
    pub trade_marks: TradeMarks,
    /// Where its tickers end.
    pub ticker_marks: TickerMarks,
    /// The oldest trade; nothing where there is none, or where it is not needed.
    pub first: Option<FirstTrade>,
    /// Ids missing within the last days.
    pub missing: IdSet,
    /// The tickers that the capture stored last from which this one took over, where nothing else tells copies.
    pub seam: Option<TickerSeam>,
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
        let dir = context.dir().path();
        let series = catalog::series(dir, product)?.pop();
        let product = series.as_ref().unwrap_or(product);
        let last = |dataset| catalog::last_key(dir, product, dataset);
        // `MD` is the first of them and stores every ticker. Where none is kept, no ticker is compared with the sequence.
        let of_tickers = context.datasets.iter().find(|dataset| dataset.is_of_tickers()).unwrap_or(Dataset::TickerTrades);
        let last_sequence = last(of_tickers)?;
        let newest_ticker = newest(dir, product, of_tickers)?;
        let end = newest_ticker.map(|end| {
            let key = if end.last.key == 0 { last_sequence.unwrap_or(0) } else { end.last.key };
            StoredEnd { last: Mark { key, ..end.last }, ..end }
        });
        let begun = Self {
            series: product.clone(),
            last_trade_id: None,
            newest_trade: None,
            trade_marks: TradeMarks::default(),
            ticker_marks: TickerMarks::continuing(end),
            first: None,
            missing: IdSet::new(),
            seam: match context.taken_over_at() {
                Some(held_since) => TickerSeam::read(dir, product, held_since)?,
                None => None,
            },
        };
        if !context.datasets.contains(Dataset::Trades) {
            return Ok(begun);
        }
        let found = gaps(dir, product, Some(DAYS_BACK))?;
        for (date, error) in &found.unreadable {
            log::warn!("{product} {date}: its trades count as missing: {error}");
        }
        let newest_trade = newest(dir, product, Dataset::Trades)?;
        Ok(Self {
            last_trade_id: last(Dataset::Trades)?.max(found.last),
            newest_trade: newest_trade.map(|newest| newest.last),
            trade_marks: TradeMarks::continuing(oldest(dir, product)?, newest_trade.map_or(UnixNanos(0), |newest| newest.last.time)),
            first: first(context, product)?,
            missing: found.missing,
            ..begun
        })
    }

    /// Tells whether the oldest trade happened before a time: no trade since then is older than it.
    #[must_use]
    pub(crate) fn reaches_back_to(&self, since: UnixNanos) -> bool {
        self.first.is_some_and(|first| first.time < since)
    }
}

/// Finds where a dataset ends, in the order of its days.
///
/// # Errors
/// Where a folder cannot be read.
pub(crate) fn newest(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<Option<StoredEnd>, StoreError> {
    let dates = catalog::days(dir, product, dataset)?;
    Ok(with_layout!(dataset, L => dates.into_iter().rev().find_map(|date| newest_of(&Snapshot::<L>::open(dir, product, date).ok()??))))
}

fn newest_of<L: Layout>(day: &Snapshot<L>) -> Option<StoredEnd> {
    // Records of one day that came out of turn stand near its end. Late tickers stand behind all others, whatever their sequence.
    let ends = day.count().saturating_sub(OUT_OF_TURN)..day.count();
    let last = day.base_count().checked_sub(1).and_then(|last| day.base_row(last)).or_else(|| day.row(ends.end.checked_sub(1)?))?;
    let rows: Vec<L::Row> = ends.filter_map(|number| day.row(number)).collect();
    let time = rows.iter().map(|row| L::time(row)).max()?;
    let lowest = rows.iter().filter(|row| L::time(row) == time).map(L::key).filter(|key| *key != 0).min().unwrap_or(0);
    let trade_id = day.columns().iter().position(|column| column.name == "trade_id" && column.kind == Kind::U64);
    let last_trade = trade_id.and_then(|column| day.column_bytes(column).last_chunk().copied()).map_or(0, u64::from_le_bytes);
    Some(StoredEnd { last: Mark { key: L::key(&last), time }, lowest, trade_id: last_trade })
}

/// Gives the oldest trade of the days that are searched for gaps.
fn oldest(dir: &Path, product: &ProductId) -> Result<Option<Mark>, StoreError> {
    let dates = catalog::days(dir, product, Dataset::Trades)?;
    let searched = dates.len().saturating_sub(DAYS_BACK);
    Ok(dates.into_iter().skip(searched).find_map(|date| {
        let trade = Snapshot::<Trades>::open(dir, product, date).ok()??.row(0)?;
        Some(Mark { key: trade.trade_id, time: trade.time })
    }))
}

/// Gives the oldest trade where a time was asked for since which all trades are wanted.
fn first(context: &CaptureContext, product: &ProductId) -> Result<Option<FirstTrade>, StoreError> {
    if context.backfill.as_ref().is_none_or(|backfill| backfill.since().is_none()) {
        return Ok(None);
    }
    let (dir, mut archived) = (context.dir().path(), None);
    for day in ArchivedDays::read(dir, product)?.away(dir, product, Dataset::Trades)? {
        let run = day.runs.first().map(|run| FirstTrade { trade_id: run.ids.first(), time: run.times.0 });
        archived = archived.or(run);
    }
    for date in catalog::days(dir, product, Dataset::Trades)? {
        if let Some(first) = archived.filter(|first| first.time.day() < date) {
            return Ok(Some(first));
        }
        // A day that cannot be read is recovered when it is opened.
        if let Ok(Some(day)) = Snapshot::<Trades>::open(dir, product, date)
            && let Some(trade) = day.row(0)
        {
            return Ok(Some(FirstTrade { trade_id: trade.trade_id, time: trade.time }));
        }
    }
    Ok(archived)
}
