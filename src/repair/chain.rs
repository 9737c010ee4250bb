//! [`Chain`]: which ids a product's days hold, so that a trade is not stored a second time under another day.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Trades};
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::UtcDay;

/// The days of a product, and the ends of each that can be read.
#[derive(Debug)]
pub(super) struct Chain {
    dir: PathBuf,
    product: ProductId,
    dates: BTreeSet<UtcDay>,
    days: BTreeMap<UtcDay, (u64, u64)>,
    /// The day looked into last.
    open: Option<(UtcDay, Snapshot<Trades>)>,
}

impl Chain {
    pub(super) fn read(dir: &Path, product: &ProductId) -> Result<Self, StoreError> {
        let dates: BTreeSet<UtcDay> = catalog::days(dir, product, Dataset::Trades)?.into_iter().collect();
        let mut chain = Self { dir: dir.to_owned(), product: product.clone(), dates: dates.clone(), days: BTreeMap::new(), open: None };
        dates.into_iter().for_each(|date| chain.look(date));
        Ok(chain)
    }

    /// Tells whether there is such a day, readable or not.
    pub(super) fn has_day(&self, date: UtcDay) -> bool {
        self.dates.contains(&date)
    }

    /// Looks at a day again: it may have grown. One that cannot be read holds nothing.
    pub(super) fn look(&mut self, date: UtcDay) {
        self.open = None;
        self.days.remove(&date);
        if let Ok(Some(day)) = Snapshot::<Trades>::open(&self.dir, &self.product, date)
            && let Some((first, last)) = ends(&day)
        {
            self.dates.insert(date);
            self.days.insert(date, (first, last));
        }
    }

    /// Gives the lowest and the highest id.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        let first = self.days.values().map(|(first, _)| *first).min()?;
        Some((first, self.days.values().map(|(_, last)| *last).max()?))
    }

    /// Gives the first day.
    pub(super) fn first_day(&self) -> Option<UtcDay> {
        self.days.first_key_value().map(|(date, _)| *date)
    }

    /// Gives the last day whose first id is not above `id`: where the trade of that id would be looked for.
    pub(super) fn day_of(&self, id: u64) -> Option<UtcDay> {
        self.days.iter().rev().find(|(_, (first, _))| *first <= id).map(|(date, _)| *date)
    }

    /// Finds a trade in any day but `date`.
    pub(super) fn elsewhere(&mut self, id: u64, date: UtcDay) -> Result<Option<(UtcDay, Trade)>, StoreError> {
        // Days follow each other by their ids, so as a rule there is none to look into.
        let others = self.days.iter().filter(|(other, (first, last))| **other != date && *first <= id && id <= *last);
        let others: Vec<UtcDay> = others.map(|(other, _)| *other).collect();
        for other in others {
            if self.open.as_ref().is_none_or(|(open, _)| *open != other) {
                self.open = Snapshot::open(&self.dir, &self.product, other)?.map(|day| (other, day));
            }
            let Some((_, day)) = &self.open else { continue };
            if let Some(trade) = find(day, id) {
                return Ok(Some((other, trade)));
            }
        }
        Ok(None)
    }
}

/// Gives a day's lowest and highest id.
pub(super) fn ends(day: &Snapshot<Trades>) -> Option<(u64, u64)> {
    Some((day.key_at(0)?, day.key_at(day.count().checked_sub(1)?)?))
}

fn find(day: &Snapshot<Trades>, id: u64) -> Option<Trade> {
    let (mut low, mut high) = (0, day.count());
    while low < high {
        let middle = low + (high - low) / 2;
        if day.key_at(middle)? < id { low = middle + 1 } else { high = middle }
    }
    day.row(low).filter(|trade| trade.trade_id == id)
}
