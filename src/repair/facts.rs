//! [`copy_facts`]: what another tape keeps beside its records comes along with them: its journal, the exact texts, the data of its products.
//!
//! 1. All of it is copied before the records that it is about. So a repair that dies in between leaves texts without records, and never the reverse.
//! 2. A line that is here already is not copied again. So a repair may be run any number of times.
//! 3. A directory that no capture of its own has written to gets the whole journal: it says when a capture ran, what was lost and why, and `verify` says
//!    the same of both. Another directory gets the lines about the days and products that are brought: its own captures are what its journal tells of.
//! 4. Lines are copied as they are, also those of events that this version does not know.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, Trades};
use crate::store::event::{Event, Line, Mention};
use crate::store::journal::{self, EXACT_TEXTS, JOURNAL, JournalFile, PRODUCTS_FILE, REJECTS};
use crate::store::{DayKey, StoreError};
use crate::time::UtcDay;

use super::day_index::DayIndex;
use super::plan::{RestorePlan, is_series_of};

/// Events that say who held the other directory. They are not copied beside a journal that says who held this one.
const OF_ITS_HOLDER: [&str; 3] = ["backfill_started", "repair_started", "repaired"];

/// The decimal texts of one product's trades that no f64 gives back: by trade id the column and the text.
pub(crate) type TradeTexts = HashMap<u64, Vec<(&'static str, String)>>;

/// Reads the texts that another tape keeps of a product's trades: for the capture that holds the directory, which writes such texts itself.
pub(crate) fn trade_texts(tape: &Path, product: &ProductId) -> TradeTexts {
    let mut texts = TradeTexts::new();
    for line in journal::events(tape, EXACT_TEXTS, UtcDay(0), UtcDay(u32::MAX)) {
        let Ok(Line { event: Some(Event::Exact { product: named, column, key, text }), .. }) = line else { continue };
        let known = Trades::COLUMNS.iter().find(|known| known.name == column).map(|known| known.name);
        if let Some(column) = known.filter(|_| named == *product) {
            texts.entry(key).or_default().push((column, text));
        }
    }
    texts
}

/// What is to be copied for.
pub(super) struct FactCopy<'a> {
    pub(super) dir: &'a Path,
    pub(super) tapes: &'a [PathBuf],
    /// The only product that is repaired; `None` = all.
    pub(super) only: Option<&'a ProductId>,
    pub(super) plan: &'a RestorePlan,
}

impl FactCopy<'_> {
    /// Copies what all tapes keep beside the records that are taken from them.
    pub(super) fn copy(&self) -> Result<(), StoreError> {
        let is_first = !has_own_captures(self.dir, self.tapes);
        for (at, tape) in self.tapes.iter().enumerate() {
            if is_first {
                copy_lines(self.dir, tape, JOURNAL, |line| self.is_asked(line))?;
                copy_lines(self.dir, tape, REJECTS, |_| true)?;
            } else {
                let brought = self.brought_from(at, tape)?;
                if !brought.is_empty() {
                    copy_lines(self.dir, tape, JOURNAL, |line| is_about(&brought, line))?;
                }
            }
            self.copy_texts(tape)?;
            self.copy_products(tape)?;
        }
        Ok(())
    }

    fn is_asked(&self, line: &str) -> bool {
        let Some(only) = self.only else { return true };
        let product = Mention::of(line).and_then(|mention| mention.product);
        product.is_none_or(|product| is_series_of(product.as_str(), only.as_str()))
    }

    /// Finds what is brought from one tape.
    fn brought_from(&self, at: usize, tape: &Path) -> Result<BTreeMap<ProductId, Brought>, StoreError> {
        let mut brought = BTreeMap::new();
        for (product, plan) in self.plan {
            let is_of_tape = |day: &&super::plan::WantedDay| day.candidates.first().is_some_and(|best| best.tape == at);
            let keys: BTreeSet<DayKey> = plan.days.iter().filter(is_of_tape).map(|day| day.key.clone()).collect();
            if keys.is_empty() {
                continue;
            }
            let index = DayIndex::read(tape, product)?;
            let of_trades = keys.iter().filter(|key| key.dataset == Dataset::Trades);
            let ids = of_trades.filter_map(|key| index.reach_of(key.date)).collect();
            brought.insert(product.clone(), Brought { is_new: plan.is_new, keys, ids });
        }
        Ok(brought)
    }

    /// Copies the exact texts of trades that are not stored here, and those of the tickers that are brought.
    fn copy_texts(&self, tape: &Path) -> Result<(), StoreError> {
        let mut indexes: BTreeMap<ProductId, DayIndex> = BTreeMap::new();
        let mut failed = None;
        copy_lines(self.dir, tape, EXACT_TEXTS, |line| {
            let Ok(Line { time, event: Some(Event::Exact { product, column, key, .. }), .. }) = Line::parse(line) else { return false };
            let Some(plan) = self.plan.get(&product) else { return false };
            if !column.starts_with("trade_") {
                // A text was written when its ticker came: on its day, or just after midnight.
                let days = [time.day(), UtcDay(time.day().0.saturating_sub(1))];
                return plan.days.iter().any(|day| day.key.dataset.is_of_tickers() && days.contains(&day.key.date));
            }
            let index = match indexes.get_mut(&product) {
                Some(index) => index,
                None => match DayIndex::read(self.dir, &product) {
                    Ok(index) => indexes.entry(product).or_insert(index),
                    Err(error) => {
                        failed.get_or_insert(error);
                        return false;
                    }
                },
            };
            !index.has(key)
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Copies the data of products of which this directory knows no more than the tape.
    fn copy_products(&self, tape: &Path) -> Result<(), StoreError> {
        let own = lines_by_product(&journal::lines_of(self.dir, PRODUCTS_FILE));
        let mut missing = Vec::new();
        for (product, theirs) in lines_by_product(&journal::lines_of(tape, PRODUCTS_FILE)) {
            let has: &[String] = own.get(&product).map_or(&[], Vec::as_slice);
            if self.plan.contains_key(&product) && has.iter().all(|line| theirs.contains(line)) {
                missing.extend(theirs.into_iter().filter(|line| !has.contains(line)));
            }
        }
        journal::append_lines(self.dir, PRODUCTS_FILE, &missing)
    }
}

/// What is brought of one product from one tape.
struct Brought {
    /// Whether nothing of the product was here.
    is_new: bool,
    keys: BTreeSet<DayKey>,
    /// For each day of trades the ids up to its neighbours there.
    ids: Vec<IdRange>,
}

/// Tells whether a line is about something that is brought.
fn is_about(brought: &BTreeMap<ProductId, Brought>, line: &str) -> bool {
    let Some(mention) = Mention::of(line) else { return false };
    let Some((product, brought)) = mention.product.and_then(|product| brought.get_key_value(&product)) else { return false };
    if OF_ITS_HOLDER.contains(&mention.event.as_str()) {
        return false;
    }
    if brought.is_new {
        return true;
    }
    if let (Some(dataset), Some(date)) = (mention.dataset, mention.date) {
        return brought.keys.contains(&DayKey { product: product.clone(), dataset, date });
    }
    match mention.ids {
        Some(ids) => brought.ids.iter().any(|reach| reach.overlaps(ids)),
        None => brought.keys.iter().any(|key| key.date == mention.time.day()),
    }
}

/// Tells whether a capture of its own has written to a directory: one that no tape tells of.
fn has_own_captures(dir: &Path, tapes: &[PathBuf]) -> bool {
    let starts = |dir: &Path| -> HashSet<String> {
        let lines = journal::read(dir, JOURNAL, UtcDay(0), UtcDay(u32::MAX));
        lines.filter(|line| line.contains("\"event\":\"capture_started\"")).collect()
    };
    let told: HashSet<String> = tapes.iter().flat_map(|tape| starts(tape)).collect();
    starts(dir).iter().any(|start| !told.contains(start))
}

/// Copies the lines of another tape that are chosen and not here, each into the file of the same day.
fn copy_lines(dir: &Path, tape: &Path, name: &str, mut is_chosen: impl FnMut(&str) -> bool) -> Result<(), StoreError> {
    let mut file = JournalFile::new(dir, name);
    for date in journal::dates(tape, name) {
        // A repair that died while it copied a line begins it anew.
        journal::drop_torn_copy(dir, name, date, |torn| {
            journal::read(tape, name, date, date).any(|line| line.as_bytes().starts_with(torn))
        })?;
        let mut own: Option<HashSet<String>> = None;
        for line in journal::read(tape, name, date, date).filter(|line| is_chosen(line)) {
            let own = own.get_or_insert_with(|| journal::read(dir, name, date, date).collect());
            if own.insert(line.clone()) {
                file.append_line(date, line)?;
            }
        }
    }
    file.finish()
}

fn lines_by_product(lines: &[String]) -> BTreeMap<ProductId, Vec<String>> {
    let mut by_product: BTreeMap<ProductId, Vec<String>> = BTreeMap::new();
    for line in lines {
        if let Some(product) = Mention::of(line).and_then(|mention| mention.product) {
            by_product.entry(product).or_default().push(line.clone());
        }
    }
    by_product
}
