//! A live reader. It reads several products as fast as it can while captures are started and killed, and compares everything with what it has seen before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use coltape::internals::product::ProductId;
use coltape::internals::schema::{Layout, Md, Trades};
use coltape::internals::store::{DayState, Snapshot};
use coltape::internals::time::UtcDay;

use super::tape::Tape;

/// What the reader shows while it reads.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_to_stop: AtomicBool,
    /// Trades that it has seen for the first time in this run.
    pub(crate) fresh: AtomicU64,
    /// Trades of the second date that it has seen.
    pub(crate) of_second_day: AtomicU64,
    has_failed: AtomicBool,
}

/// A running reader.
pub(crate) struct Reader {
    pub(crate) progress: Arc<Progress>,
    thread: JoinHandle<Result<BTreeMap<ProductId, Tape>, String>>,
}

impl Reader {
    /// Starts to read products. `seen` is what has been seen of them before.
    pub(crate) fn start(data: &Path, dates: [UtcDay; 2], seen: BTreeMap<ProductId, Tape>) -> Self {
        let progress = Arc::new(Progress::default());
        let (shared, data) = (Arc::clone(&progress), data.to_owned());
        let thread = std::thread::spawn(move || {
            let seen = follow(&data, dates, seen, &shared);
            shared.has_failed.store(seen.is_err(), Relaxed);
            seen
        });
        Self { progress, thread }
    }

    /// Lets it read once more, and gives what it has seen.
    pub(crate) fn finish(self) -> Result<BTreeMap<ProductId, Tape>, String> {
        self.progress.is_to_stop.store(true, Relaxed);
        self.thread.join().map_err(|_| "the reader panicked".to_owned())?
    }

    /// Tells whether it has found an error, which [`Reader::finish`] gives.
    pub(crate) fn has_failed(&self) -> bool {
        self.progress.has_failed.load(Relaxed)
    }
}

/// What a look at a day has found.
struct Look<L: Layout> {
    /// These are all rows of the day, not only the new ones.
    is_whole: bool,
    rows: Vec<L::Row>,
}

/// A dataset-day that is read again and again.
struct Followed<L: Layout> {
    date: UtcDay,
    day: Option<Snapshot<L>>,
    state: Option<DayState>,
    records: usize,
    late: usize,
}

impl<L: Layout> Followed<L> {
    const fn new(date: UtcDay) -> Self {
        Self { date, day: None, state: None, records: 0, late: 0 }
    }

    /// Reads again. Gives the new rows, or all rows where the day may have other files; `None` where nothing has changed.
    fn look(&mut self, data: &Path, product: &ProductId) -> Result<Option<Look<L>>, String> {
        let failed = |error: coltape::internals::store::StoreError| format!("a reader of {product} {}: {error}", L::DATASET.folder());
        let has_changed = match &mut self.day {
            Some(day) => day.refresh().map_err(failed)?,
            None => {
                self.day = Snapshot::open(data, product, self.date).map_err(failed)?;
                self.day.is_some()
            }
        };
        let Some(day) = self.day.as_ref().filter(|_| has_changed) else { return Ok(None) };
        let is_other = self.state != Some(day.state());
        let rows = if is_other {
            day.rows().collect()
        } else {
            if day.base_count() < self.records || day.late().len() < self.late {
                let (records, late) = (day.base_count(), day.late().len());
                return Err(format!(
                    "{product} {} {}: {records} + {late} records after {} + {}",
                    L::DATASET.folder(),
                    self.date,
                    self.records,
                    self.late
                ));
            }
            let base = (self.records..day.base_count()).filter_map(|record| day.base_row(record));
            base.chain(day.late()[self.late..].iter().copied()).collect()
        };
        (self.state, self.records, self.late) = (Some(day.state()), day.base_count(), day.late().len());
        Ok(Some(Look { is_whole: is_other, rows }))
    }
}

fn follow(
    data: &Path,
    dates: [UtcDay; 2],
    mut seen: BTreeMap<ProductId, Tape>,
    progress: &Progress,
) -> Result<BTreeMap<ProductId, Tape>, String> {
    let data: PathBuf = data.to_owned();
    let mut followed: Vec<_> =
        seen.keys().map(|product| (product.clone(), dates.map(Followed::<Trades>::new), dates.map(Followed::<Md>::new))).collect();
    loop {
        let is_last = progress.is_to_stop.load(Relaxed);
        for (product, trades, md) in &mut followed {
            let tape = seen.entry(product.clone()).or_default();
            for day in trades {
                let Some(Look { is_whole, rows }) = day.look(&data, product)? else { continue };
                if is_whole {
                    // Other files: they must have everything that was there before.
                    let ids: std::collections::BTreeSet<u64> = rows.iter().map(|row| row.trade_id).collect();
                    let gone = tape.trades.values().find(|trade| trade.time.day() == day.date && !ids.contains(&trade.trade_id));
                    if let Some(gone) = gone {
                        return Err(format!("{product}: a reader no longer finds trade {}: {gone:?}", gone.trade_id));
                    }
                }
                for row in rows {
                    if tape.see_trade(row).map_err(|what| format!("{product}: {what}"))? {
                        progress.fresh.fetch_add(1, Relaxed);
                        progress.of_second_day.fetch_add(u64::from(day.date == dates[1]), Relaxed);
                    }
                }
            }
            for day in md {
                let Some(Look { is_whole, rows }) = day.look(&data, product)? else { continue };
                if is_whole {
                    let keys: std::collections::BTreeSet<u64> = rows.iter().map(|row| row.sequence).collect();
                    let gone = tape.md.values().find(|ticker| ticker.time.day() == day.date && !keys.contains(&ticker.sequence));
                    if let Some(gone) = gone {
                        return Err(format!("{product}: a reader no longer finds ticker {}: {gone:?}", gone.sequence));
                    }
                }
                for row in rows {
                    tape.see_ticker(row).map_err(|what| format!("{product}: {what}"))?;
                }
            }
        }
        if is_last {
            return Ok(seen);
        }
        // Not faster: on two cores the capture needs time too.
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
}
