//! [`DayIndex`]: which ids each day of a product holds, so that a trade is not stored a second time under another day.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Trades};
use crate::store::archived::ArchivedDays;
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::UtcDay;

/// The days of a product, and the lowest and the highest id of each one that can be read.
#[derive(Debug)]
pub(super) struct DayIndex {
    dir: PathBuf,
    product: ProductId,
    dates: BTreeSet<UtcDay>,
    days: BTreeMap<UtcDay, IdRange>,
    /// The ids of the days that are archived.
    archived: BTreeMap<UtcDay, IdSet>,
    /// The day that was searched last.
    open: Option<(UtcDay, Snapshot<Trades>)>,
}

impl DayIndex {
    pub(super) fn read(dir: &Path, product: &ProductId) -> Result<Self, StoreError> {
        let dates: BTreeSet<UtcDay> = catalog::days(dir, product, Dataset::Trades)?.into_iter().collect();
        let archived = ArchivedDays::read(dir, product)?;
        let archived: BTreeMap<UtcDay, IdSet> = archived
            .away(dir, product, Dataset::Trades)?
            .into_iter()
            .map(|day| (day.key.date, day.runs.iter().map(|run| run.ids).collect()))
            .collect();
        let (days, listed) = (BTreeMap::new(), dates.clone());
        let mut index = Self { dir: dir.to_owned(), product: product.clone(), dates: listed, days, archived, open: None };
        dates.into_iter().for_each(|date| index.refresh(date));
        Ok(index)
    }

    /// Tells whether there is such a day, readable or not.
    pub(super) fn has_day(&self, date: UtcDay) -> bool {
        self.dates.contains(&date)
    }

    /// Tells whether a day is archived: nothing is written to it.
    pub(super) fn is_archived(&self, date: UtcDay) -> bool {
        self.archived.contains_key(&date)
    }

    /// Reads a day again, which may have grown. A day that cannot be read holds nothing.
    pub(super) fn refresh(&mut self, date: UtcDay) {
        self.open = None;
        self.days.remove(&date);
        if let Ok(Some(day)) = Snapshot::<Trades>::open(&self.dir, &self.product, date)
            && let Some(ids) = ids_of(&day)
        {
            self.dates.insert(date);
            self.days.insert(date, ids);
        }
    }

    /// Gives the range from the lowest stored id to the highest.
    pub(super) fn ids(&self) -> Option<IdRange> {
        self.days.values().copied().reduce(IdRange::span)
    }

    /// Takes into account that a day holds these ids, before it can be read.
    pub(super) fn note(&mut self, date: UtcDay, ids: IdRange) {
        self.dates.insert(date);
        self.days.insert(date, ids);
    }

    /// Tells whether a range of ids touches that of another day than `date`.
    pub(super) fn overlaps_another(&self, ids: IdRange, date: UtcDay) -> bool {
        self.days.iter().any(|(other, held)| *other != date && held.overlaps(ids))
    }

    /// Gives the ids of a day together with those between it and its neighbours; at the ends of the tape all that there may be.
    pub(super) fn reach_of(&self, date: UtcDay) -> Option<IdRange> {
        let ids = self.days.get(&date)?;
        let others = || self.days.values().filter(|other| *other != ids);
        let below = others().map(|other| other.last()).filter(|last| *last < ids.first()).max().unwrap_or(0);
        let above = others().map(|other| other.first()).filter(|first| *first > ids.last()).min().unwrap_or(u64::MAX);
        IdRange::new(below.saturating_add(1).min(ids.first()), above.saturating_sub(1).max(ids.last()))
    }

    /// Tells whether a trade is stored under any day.
    pub(super) fn has(&mut self, id: u64) -> bool {
        self.archived.values().any(|ids| ids.contains(id)) || matches!(self.find_but_on(id, None), Ok(Some(_)))
    }

    /// Gives the first day.
    pub(super) fn first_day(&self) -> Option<UtcDay> {
        self.days.first_key_value().map(|(date, _)| *date)
    }

    /// Gives the last day whose first id is not above `id`: the day that would hold the trade.
    pub(super) fn day_of(&self, id: u64) -> Option<UtcDay> {
        self.days.iter().rev().find(|(_, ids)| ids.first() <= id).map(|(date, _)| *date)
    }

    /// Finds a trade that is stored under another day than `date`.
    pub(super) fn find_elsewhere(&mut self, id: u64, date: UtcDay) -> Result<Option<(UtcDay, Trade)>, StoreError> {
        self.find_but_on(id, Some(date))
    }

    fn find_but_on(&mut self, id: u64, date: Option<UtcDay>) -> Result<Option<(UtcDay, Trade)>, StoreError> {
        // Days follow each other by their ids, so usually there is none to search.
        let others = self.days.iter().filter(|(other, ids)| Some(**other) != date && ids.contains(id));
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

/// Gives the range from a day's lowest id to its highest.
pub(super) fn ids_of(day: &Snapshot<Trades>) -> Option<IdRange> {
    IdRange::new(day.key_at(0)?, day.key_at(day.count().checked_sub(1)?)?)
}

fn find(day: &Snapshot<Trades>, id: u64) -> Option<Trade> {
    let (mut low, mut high) = (0, day.count());
    while low < high {
        let middle = low + (high - low) / 2;
        if day.key_at(middle)? < id { low = middle + 1 } else { high = middle }
    }
    day.row(low).filter(|trade| trade.trade_id == id)
}
