//! [`KnownTrades`]: trades of which it is known that they happened, wherever they lie in the chain of ids: the journal names them, or tickers do.
//!
//! 1. Ids between stored ones are missing anyway. Those behind the last stored one, or before the first, are missing where something has named them: they are
//!    fetched and reported like the others, as `verify` counts them.
//! 2. What tickers name behind the last trade of a tape is found in each tape by itself, before anything is joined: only there do the receive times, the
//!    absences and the trades belong to one box. It is journaled with the time of the ticker, as the box's capture would have done at its end.
//! 3. What the journal of another tape names behind the last trade there is copied: no day that is brought has it.
//! 4. A line that is here already is not written again. So a repair may be run any number of times.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::history::named::named_behind;
use crate::history::product::{ASKED, TICKER};
use crate::history::{History, Journal};
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{Dataset, Md, Trades};
use crate::store::event::{Event, Line};
use crate::store::gaps::{StoredIds, gaps};
use crate::store::journal::{self, JOURNAL, JournalFile};
use crate::store::{Snapshot, StoreError, catalog, holder_of};
use crate::time::{UnixNanos, UtcDay};

use super::day_index::ids_of;

/// What is known of trades that may not be stored.
#[derive(Debug, Default)]
pub(super) struct KnownTrades {
    /// Lines of a journal that name some, and of which day's journal each is.
    lines: Vec<(UtcDay, String)>,
    products: BTreeMap<ProductId, History>,
}

impl KnownTrades {
    /// Finds what tickers and other journals name behind the last trades of a directory and of other tapes, before anything is joined. `is_own` says that this
    /// process holds the directory.
    pub(super) fn behind((dir, is_own): (&Path, bool), tapes: &[PathBuf], products: &[ProductId]) -> Result<Self, StoreError> {
        let mut known = Self::default();
        // Of a tape that grows meanwhile nothing is concluded: its trades are read before its tickers.
        let is_still = |tape: &Path| is_own && tape == dir || holder_of(tape).is_ok_and(|holder| holder.is_none());
        for tape in std::iter::once(dir).chain(tapes.iter().map(PathBuf::as_path)).filter(|tape| is_still(tape)) {
            known.add_tape(tape, tape != dir, products)?;
        }
        Ok(known)
    }

    fn add_tape(&mut self, tape: &Path, is_other: bool, products: &[ProductId]) -> Result<(), StoreError> {
        let journal = Journal::read(tape);
        let mut ends: BTreeMap<&ProductId, u64> = BTreeMap::new();
        for product in products {
            let last = gaps(tape, product, None)?.last;
            ends.insert(product, last.unwrap_or(0));
            if let Some((ids, time)) = last.map_or(Ok(None), |last| by_tickers(tape, product, last, &journal))? {
                let event = Event::GapOpened { product: product.clone(), ids, why: TICKER.into() };
                self.lines.push((time.day(), event.line(time)));
            }
        }
        for date in journal::dates(tape, JOURNAL).into_iter().filter(|_| is_other) {
            let is_behind = |line: &String| match Line::parse(line.as_bytes()) {
                Ok(Line { event: Some(Event::GapOpened { product, ids, why }), .. }) => {
                    why != ASKED && ends.get(&product).is_some_and(|last| ids.last() > *last)
                }
                _ => false,
            };
            self.lines.extend(journal::read(tape, JOURNAL, date, date).filter(is_behind).map(|line| (date, line)));
        }
        Ok(())
    }

    /// Journals it, unless the journal says it already.
    pub(super) fn journal(&self, dir: &Path) -> Result<(), StoreError> {
        let mut file = JournalFile::new(dir, JOURNAL);
        let mut written: BTreeMap<UtcDay, HashSet<String>> = BTreeMap::new();
        for (date, line) in &self.lines {
            let of_day = written.entry(*date).or_insert_with(|| journal::read(dir, JOURNAL, *date, *date).collect());
            if of_day.insert(line.clone()) {
                file.append_line(*date, line.clone())?;
            }
        }
        file.finish()
    }

    /// Adds what the journal of the directory says, and in a dry run what would be written to it.
    pub(super) fn add_journal(&mut self, dir: &Path, products: &[ProductId]) {
        let journal = Journal::read(dir);
        self.products = products.iter().map(|product| (product.clone(), journal.of(product))).collect();
        for (_, line) in &self.lines {
            if let Ok(Line { time, event: Some(event), .. }) = Line::parse(line.as_bytes())
                && let Some(history) = event.product().and_then(|product| self.products.get_mut(product))
            {
                history.take(time, &event);
            }
        }
    }

    /// Gives the ids outside the stored ones that are known to be missing.
    pub(super) fn outside(&self, product: &ProductId, stored: &StoredIds) -> IdSet {
        let Some(history) = self.products.get(product) else { return IdSet::new() };
        let below = stored.first.and_then(|first| IdRange::one(first).below());
        let above = stored.last.map_or(Some(IdRange::ALL), |last| IdRange::one(last).above());
        let named = below.into_iter().chain(above).flat_map(|ids| history.named.within(ids));
        // What passed before the first stored trade was never there to be recorded.
        let passed = above.into_iter().flat_map(|ids| history.passed.within(ids));
        named.chain(passed).collect()
    }
}

/// Finds what the tickers of a tape name behind its last stored trade.
fn by_tickers(tape: &Path, product: &ProductId, last: u64, journal: &Journal) -> Result<Option<(IdRange, UnixNanos)>, StoreError> {
    let holds_it = |day: &Snapshot<Trades>| ids_of(day).is_some_and(|ids| ids.last() == last);
    let dates = catalog::days(tape, product, Dataset::Trades)?;
    let day = dates.into_iter().rev().find_map(|date| Snapshot::<Trades>::open(tape, product, date).ok().flatten().filter(holds_it));
    let Some(day) = day else { return Ok(None) };
    let dates = catalog::days(tape, product, Dataset::Md)?.into_iter().filter(|date| *date >= day.key().date);
    // A day that cannot be read is said elsewhere.
    let md: Vec<Snapshot<Md>> = dates.filter_map(|date| Snapshot::open(tape, product, date).ok().flatten()).collect();
    Ok(named_behind(&journal.of(product), last, &day, &md))
}
