//! [`RestorePlan`]: which dataset-days other tapes have and this directory does not. Nothing is written, and no tape is changed.
//!
//! 1. A day is wanted that is not here, or is empty here, and not archived. Days of trades that are here are joined trade by trade instead ([`super::tape`]).
//! 2. Tickers have no id that all feeds send, so the tickers of two boxes are never merged. A day of tickers that is here is taken from another tape only
//!    where it holds the first records of that tape's day: a copy that grew since.
//! 3. All ticker datasets of a day are of one box: their records tell of each other. Some are brought alone where the others cannot be used.
//! 4. Of several tapes the one with all columns comes first, then the one with the most records, then the one that was named first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout, Trades, with_layout};
use crate::store::archived::ArchivedDays;
use crate::store::import::is_front_of;
use crate::store::{DayKey, DayState, Snapshot, StoreError, catalog};
use crate::time::UtcDay;

/// A tape that has a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its place among the tapes.
    pub(super) tape: usize,
    pub(super) records: u64,
    set: ColumnSet,
}

/// A dataset-day that is to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedDay {
    pub(super) key: DayKey,
    /// The tapes that have it, the best one first.
    pub(super) candidates: Vec<Candidate>,
}

/// What is to be brought of one product.
#[derive(Debug, Default)]
pub(super) struct ProductPlan {
    pub(super) days: Vec<WantedDay>,
    /// Whether this directory holds no record of the product.
    pub(super) is_new: bool,
    /// Whether a later series has begun, here or on another tape: the exchange's ids mean other trades since.
    pub(super) is_over: bool,
    /// What is not brought although it is wanted, and why.
    pub(super) failures: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// What is to be brought, product by product.
pub(super) type RestorePlan = BTreeMap<ProductId, ProductPlan>;

/// Lists the products of a directory and of other tapes. With `only`, that product and its later series.
pub(super) fn products(dir: &Path, tapes: &[PathBuf], only: Option<&ProductId>) -> Result<Vec<ProductId>, StoreError> {
    let mut all = BTreeSet::new();
    if dir.is_dir() || tapes.is_empty() {
        all.extend(catalog::products(dir)?);
    }
    for tape in tapes {
        all.extend(catalog::products(tape)?);
    }
    all.retain(|product| only.is_none_or(|only| is_series_of(product.as_str(), only.as_str())));
    Ok(all.into_iter().collect())
}

/// Tells whether a name is a product's, or that of one of its later series: `BTC-USD~2`.
pub(super) fn is_series_of(name: &str, product: &str) -> bool {
    name.strip_prefix(product).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
}

/// Finds what is to be brought of some products.
pub(super) fn plan(dir: &Path, tapes: &[PathBuf], products: &[ProductId]) -> Result<RestorePlan, StoreError> {
    products.iter().map(|product| Ok((product.clone(), Planner { dir, tapes, product }.plan()?))).collect()
}

/// Says in lines what other tapes have that a directory does not: for the capture that holds it, which cannot bring it.
///
/// # Errors
/// Where a directory or folder cannot be listed.
pub(crate) fn days_only_elsewhere(dir: &Path, tapes: &[PathBuf], only: Option<&ProductId>) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    for (product, plan) in plan(dir, tapes, &products(dir, tapes, only)?)? {
        let mut sums: BTreeMap<Dataset, (u64, UtcDay, UtcDay)> = BTreeMap::new();
        for WantedDay { key, .. } in &plan.days {
            let sum = sums.entry(key.dataset).or_insert((0, key.date, key.date));
            *sum = (sum.0 + 1, sum.1.min(key.date), sum.2.max(key.date));
        }
        lines.extend(sums.into_iter().map(|(dataset, (days, first, last))| {
            format!("{product} {}: {days} days from {first} to {last} are on another tape only", dataset.folder())
        }));
        lines.extend(plan.failures.into_iter().map(|failure| format!("{product}: {failure}")));
    }
    Ok(lines)
}

/// A day as a directory has it.
enum Found<L: Layout> {
    Nothing,
    /// A day without a record, and whether it is sealed: nothing happened on it.
    Empty {
        is_sealed: bool,
        set: ColumnSet,
    },
    Day(Box<Snapshot<L>>),
    /// In words.
    Unreadable(String),
}

impl<L: Layout> Found<L> {
    fn of(dir: &Path, product: &ProductId, date: UtcDay) -> Self {
        match Snapshot::<L>::open(dir, product, date) {
            Ok(Some(day)) if day.count() > 0 => Self::Day(Box::new(day)),
            Ok(Some(day)) => Self::Empty { is_sealed: matches!(day.state(), DayState::Sealed { .. }), set: day.column_set() },
            // The catalog lists the day: where there is none, its page is torn.
            Ok(None) => Self::Unreadable("its commit page is torn".to_owned()),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    fn may_hold_records(&self) -> bool {
        matches!(self, Self::Day(_) | Self::Unreadable(_))
    }
}

/// What another tape offers for a ticker dataset of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offer {
    /// The day, of so many records.
    Bring(Candidate),
    /// Nothing; and there is nothing here that it would have to fit.
    Nothing,
    /// The same as here, but for the receive times.
    Alike,
    /// Other records than here.
    Other { has_more: bool },
    /// A day that cannot be used; in words.
    Unusable(String),
}

struct Planner<'a> {
    dir: &'a Path,
    tapes: &'a [PathBuf],
    product: &'a ProductId,
}

impl Planner<'_> {
    fn plan(&self) -> Result<ProductPlan, StoreError> {
        let mut plan = ProductPlan::default();
        let mut has_records = false;
        let own = self.own_days(Dataset::Trades)?;
        for date in &own {
            has_records |= Found::<Trades>::of(self.dir, self.product, *date).may_hold_records();
        }
        for date in self.dates_of_tapes(Dataset::Trades)? {
            self.plan_trades(&mut plan, date, own.contains(&date));
        }
        let mut dates = BTreeSet::new();
        for dataset in Dataset::of_tickers() {
            for date in self.own_days(dataset)? {
                has_records = has_records || with_layout!(dataset, L => Found::<L>::of(self.dir, self.product, date).may_hold_records());
            }
            dates.extend(self.dates_of_tapes(dataset)?);
        }
        for date in dates {
            self.plan_tickers(&mut plan, date)?;
        }
        let archived = ArchivedDays::read(self.dir, self.product)?;
        plan.days.retain(|day| archived.get(day.key.dataset, day.key.date).is_none());
        plan.is_new = !has_records && archived.days.is_empty();
        for dir in std::iter::once(self.dir).chain(self.tapes.iter().map(PathBuf::as_path)).filter(|dir| dir.is_dir()) {
            plan.is_over |= catalog::series(dir, self.product)?.last().is_some_and(|newest| newest.series() > self.product.series());
        }
        Ok(plan)
    }

    fn own_days(&self, dataset: Dataset) -> Result<BTreeSet<UtcDay>, StoreError> {
        Ok(catalog::days(self.dir, self.product, dataset)?.into_iter().collect())
    }

    fn dates_of_tapes(&self, dataset: Dataset) -> Result<BTreeSet<UtcDay>, StoreError> {
        let mut dates = BTreeSet::new();
        for tape in self.tapes {
            dates.extend(catalog::days(tape, self.product, dataset)?);
        }
        Ok(dates)
    }

    fn key(&self, dataset: Dataset, date: UtcDay) -> DayKey {
        DayKey { product: self.product.clone(), dataset, date }
    }

    /// Wants a day of trades that is not here. Days that no tape can show are reported where their trades are taken.
    fn plan_trades(&self, plan: &mut ProductPlan, date: UtcDay, is_listed: bool) {
        if is_listed && Found::<Trades>::of(self.dir, self.product, date).may_hold_records() {
            return;
        }
        let candidates = self.tapes.iter().enumerate().filter_map(|(tape, path)| match Found::<Trades>::of(path, self.product, date) {
            Found::Day(day) => Some(Candidate { tape, records: day.count() as u64, set: day.column_set() }),
            Found::Empty { is_sealed: true, set } if !is_listed => Some(Candidate { tape, records: 0, set }),
            Found::Nothing | Found::Empty { .. } | Found::Unreadable(_) => None,
        });
        let candidates = best_first(candidates.collect());
        if !candidates.is_empty() {
            plan.days.push(WantedDay { key: self.key(Dataset::Trades, date), candidates });
        }
    }

    fn plan_tickers(&self, plan: &mut ProductPlan, date: UtcDay) -> Result<(), StoreError> {
        let lists = |dir: &Path, dataset| catalog::days(dir, self.product, dataset).map(|days| days.contains(&date));
        let mut best: Option<Choice> = None;
        let mut refused = Vec::new();
        for (tape, path) in self.tapes.iter().enumerate() {
            let mut offers = Vec::new();
            for dataset in Dataset::of_tickers() {
                let (is_here, is_there) = (lists(self.dir, dataset)?, lists(path, dataset)?);
                offers.push((dataset, with_layout!(dataset, L => self.offer::<L>(tape, path, date, is_here, is_there))));
            }
            match together(offers) {
                Ok(Some(choice)) if best.as_ref().is_none_or(|best| choice.rank() > best.rank()) => best = Some(choice),
                Ok(_) => {}
                Err(why) => refused.push((path, why)),
            }
        }
        let text = |path: &Path, why: &str| format!("tickers of {date} are not taken from {}: {why}", path.display());
        match best {
            Some(Choice { brought, lost }) => {
                let tape = brought.first().and_then(|(_, candidate)| self.tapes.get(candidate.tape));
                plan.days.extend(
                    brought.into_iter().map(|(dataset, candidate)| WantedDay { key: self.key(dataset, date), candidates: vec![candidate] }),
                );
                plan.failures.extend(lost.iter().flat_map(|why| tape.map(|path| text(path, why))));
            }
            None => {
                for (path, Refusal { why, is_lost }) in refused {
                    if is_lost { plan.failures.push(text(path, &why)) } else { plan.remarks.push(text(path, &why)) }
                }
            }
        }
        Ok(())
    }

    fn offer<L: Layout>(&self, tape: usize, path: &Path, date: UtcDay, is_here: bool, is_there: bool) -> Offer {
        let own = match if is_here { Found::<L>::of(self.dir, self.product, date) } else { Found::Nothing } {
            Found::Empty { .. } => Found::Nothing,
            own => own,
        };
        let other = match if is_there { Found::<L>::of(path, self.product, date) } else { Found::Nothing } {
            Found::Empty { is_sealed: true, set } if !is_here => return Offer::Bring(Candidate { tape, records: 0, set }),
            Found::Empty { .. } => Found::Nothing,
            other => other,
        };
        let bring = |day: &Snapshot<L>| match why_unsound(day) {
            None => Offer::Bring(Candidate { tape, records: day.count() as u64, set: day.column_set() }),
            Some(why) => Offer::Unusable(format!("{} {why}", L::DATASET.folder())),
        };
        match (own, other) {
            (Found::Day(own), Found::Day(other)) if own.count() == other.count() && is_told_alike(&own, &other) => Offer::Alike,
            (Found::Day(own), Found::Day(other)) => {
                let has_grown = own.count() < other.count() && own.state() != DayState::Bare && is_front_of(&own, &other);
                if has_grown { bring(&other) } else { Offer::Other { has_more: own.count() < other.count() } }
            }
            (Found::Day(_), _) => Offer::Other { has_more: false },
            (_, Found::Day(day)) => bring(&day),
            (_, Found::Unreadable(why)) => Offer::Unusable(format!("{} {why}", L::DATASET.folder())),
            _ => Offer::Nothing,
        }
    }
}

/// What a tape brings of the ticker datasets of a day.
#[derive(Debug)]
struct Choice {
    /// In the order of [`Dataset::ALL`].
    brought: Vec<(Dataset, Candidate)>,
    /// What it has and cannot be used.
    lost: Vec<String>,
}

impl Choice {
    /// Orders choices: without losses first, then by the number of records.
    fn rank(&self) -> (bool, u64) {
        (self.lost.is_empty(), self.brought.iter().map(|(_, candidate)| candidate.records).sum())
    }
}

/// Why a tape brings no tickers of a day, and whether something is missing here for that.
#[derive(Debug)]
struct Refusal {
    why: String,
    is_lost: bool,
}

/// Decides over all ticker datasets of a day: what a tape brings of them; nothing where nothing is wanted of it.
fn together(offers: Vec<(Dataset, Offer)>) -> Result<Option<Choice>, Refusal> {
    let has = |is: fn(&Offer) -> bool| offers.iter().any(|(_, offer)| is(offer));
    let is_wanted = has(|offer| matches!(offer, Offer::Bring(_)));
    let refused = |why: &str, is_lost| Err(Refusal { why: why.to_owned(), is_lost });
    if has(|offer| matches!(offer, Offer::Other { .. })) && is_wanted {
        return refused("a ticker dataset of that day is here, with other records: the tickers of two boxes are not mixed", true);
    }
    if has(|offer| matches!(offer, Offer::Other { has_more: true })) {
        return refused("it has more of them, but not the same ones: the tickers of two boxes are not merged", false);
    }
    let lost: Vec<String> =
        offers.iter().filter_map(|(_, offer)| if let Offer::Unusable(why) = offer { Some(why.clone()) } else { None }).collect();
    if !is_wanted {
        return if lost.is_empty() { Ok(None) } else { refused(&lost.join("; "), true) };
    }
    let bring = |(dataset, offer)| if let Offer::Bring(candidate) = offer { Some((dataset, candidate)) } else { None };
    Ok(Some(Choice { brought: offers.into_iter().filter_map(bring).collect(), lost }))
}

/// Tells whether two days hold the same, but for the receive times.
fn is_told_alike<L: Layout>(own: &Snapshot<L>, other: &Snapshot<L>) -> bool {
    let is_same =
        |(at, column): (usize, &crate::schema::Column)| column.name == "recv_nanos" || own.column_bytes(at) == other.column_bytes(at);
    // Without extended columns both sets of a dataset are the same.
    own.late().is_empty()
        && other.late().is_empty()
        && own.columns().len() == other.columns().len()
        && own.columns().iter().enumerate().all(is_same)
}

/// Says why the bytes of a day cannot be believed; `None` where its checksums hold, or where there are none.
pub(super) fn why_unsound<L: Layout>(day: &Snapshot<L>) -> Option<String> {
    match day.check() {
        Ok(faults) => faults.first().map(|fault| format!("{}: {}", fault.path.display(), fault.what)),
        Err(error) => Some(error.to_string()),
    }
}

fn best_first(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| (candidate.set == ColumnSet::Core, std::cmp::Reverse(candidate.records), candidate.tape));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_meant_with_all_its_series_and_no_other() {
        for (name, is_meant) in [("BTC-USD", true), ("BTC-USD~2", true), ("BTC-USD~13", true), ("BTC-USDC", false), ("BTC-US", false)] {
            assert_eq!(is_series_of(name, "BTC-USD"), is_meant, "{name}");
        }
    }

    #[test]
    fn the_tape_with_all_columns_comes_before_the_longer_one() {
        let of = |tape, records, set| Candidate { tape, records, set };
        let (core, long, short) = (of(0, 90, ColumnSet::Core), of(1, 70, ColumnSet::Full), of(2, 60, ColumnSet::Full));
        let equal = of(3, 70, ColumnSet::Full);
        assert_eq!(best_first(vec![core, short, equal, long]), [long, equal, short, core]);
    }

    #[test]
    fn the_ticker_datasets_of_a_day_come_together_or_fit_what_is_here() {
        let bring = |records| Offer::Bring(Candidate { tape: 0, records, set: ColumnSet::Full });
        let other = |has_more| Offer::Other { has_more };
        let sum = |md, trades| match together(vec![(Dataset::Md, md), (Dataset::TickerTrades, trades)]) {
            Ok(choice) => Ok(choice.map(|choice| {
                (
                    choice.rank(),
                    [Dataset::Md, Dataset::TickerTrades].map(|wanted| choice.brought.iter().any(|(brought, _)| *brought == wanted)),
                )
            })),
            Err(refusal) => Err(refusal.is_lost),
        };
        let bad = || Offer::Unusable("bad".to_owned());
        assert_eq!(sum(bring(5), bring(3)), Ok(Some(((true, 8), [true, true]))));
        assert_eq!(sum(bring(5), Offer::Nothing), Ok(Some(((true, 5), [true, false]))));
        assert_eq!(sum(Offer::Alike, bring(3)), Ok(Some(((true, 3), [false, true]))));
        assert_eq!(sum(bring(5), bad()), Ok(Some(((false, 5), [true, false]))));
        assert_eq!(sum(Offer::Alike, Offer::Alike), Ok(None));
        assert_eq!(sum(other(false), other(false)), Ok(None));
        assert_eq!(
            (sum(bring(5), other(false)), sum(other(true), Offer::Alike), sum(bad(), Offer::Nothing)),
            (Err(true), Err(false), Err(true))
        );
    }
}
