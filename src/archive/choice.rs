//! [`Choice`]: which product-days are archived. No I/O.
//!
//! 1. By itself a day is chosen only if it is sealed, has one of the verdicts wanted, and ended long enough ago. Neither today nor yesterday is.
//! 2. The newest day of a product stays: a capture goes on from it.
//! 3. A day that is named is chosen whatever rules 1 and 2 say. It is sealed first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::config::ArchiveConfig;
use crate::product::ProductId;
use crate::store::{DayKey, DayState};
use crate::time::UtcDay;
use crate::verify::{DatasetDay, ProductDay};

/// Days that are too young to be archived by themselves.
const YOUNGEST_DAYS: u32 = 2;
/// What a day takes in the archive, in hundredths of what its files take: 35 B a trade of 96 B, and some more of a ticker.
const ARCHIVED_PERCENT: u64 = 45;
const SECONDS_PER_DAY: u64 = 86_400;

/// A product-day that may be archived.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) day: ProductDay,
    /// The bytes of its files.
    pub(super) bytes: u64,
    /// Dataset-days of it that are not sealed.
    pub(super) unsealed: Vec<DayKey>,
}

impl Candidate {
    /// Gives its datasets whose files are here.
    pub(super) fn here(&self) -> impl Iterator<Item = &DatasetDay> {
        self.day.datasets.iter().filter(|kept| kept.archive.is_none())
    }

    /// Counts the records of these.
    pub(super) fn records(&self) -> u64 {
        self.here().map(|kept| kept.sums.records).sum()
    }
}

/// The days that are chosen, product by product, and why others are not.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) days: BTreeMap<ProductId, Vec<Candidate>>,
    pub(super) left: BTreeMap<&'static str, u64>,
    /// The bytes that are free once the chosen days have gone, as far as that can be told beforehand.
    pub(super) free: u64,
    /// Whether other days might go, too.
    pub(super) has_more: bool,
}

/// Tells why a day is not archived, whatever its age.
fn why_not(config: &ArchiveConfig, candidate: &Candidate, newest: Option<UtcDay>) -> Option<&'static str> {
    let day = &candidate.day;
    if candidate.here().any(|kept| kept.state.is_none()) {
        return Some("cannot be read");
    }
    if config.dates.contains(&day.date) {
        return None;
    }
    if !candidate.unsealed.is_empty() || candidate.here().any(|kept| !matches!(kept.state, Some(DayState::Sealed { .. }))) {
        return Some("not sealed");
    }
    if !config.verdicts.contains(&day.coverage.verdict) {
        return Some("not verified as whole");
    }
    if newest.is_none_or(|newest| day.date >= newest) {
        return Some("the newest of their product");
    }
    (day.date.0.saturating_add(YOUNGEST_DAYS) > config.now.day().0).then_some("too young")
}

/// Tells whether a day ended so long ago.
fn is_older(config: &ArchiveConfig, date: UtcDay, age: Duration) -> bool {
    let days = u32::try_from(age.as_secs().div_ceil(SECONDS_PER_DAY)).unwrap_or(u32::MAX);
    date.0.saturating_add(1).saturating_add(days) <= config.now.day().0
}

/// The disk of the data directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// Bytes that are free.
    pub(super) free: u64,
    /// Whether the archive lies on it, too.
    pub(super) holds_archive: bool,
}

impl Disk {
    /// Gives the bytes that are free once a day of so many bytes has gone.
    const fn free_without(self, bytes: u64) -> u64 {
        let taken = if self.holds_archive { bytes / 100 * ARCHIVED_PERCENT } else { 0 };
        self.free.saturating_add(bytes.saturating_sub(taken))
    }
}

/// Chooses among the days of all products.
pub(super) fn choose(config: &ArchiveConfig, candidates: Vec<Candidate>, disk: Disk) -> Choice {
    let mut newest: BTreeMap<ProductId, UtcDay> = BTreeMap::new();
    for Candidate { day, .. } in &candidates {
        let of_product = newest.entry(day.product.clone()).or_insert(day.date);
        *of_product = (*of_product).max(day.date);
    }
    let mut choice = Choice::default();
    let mut fit: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let is_named = config.dates.contains(&candidate.day.date);
        if !config.dates.is_empty() && !is_named {
            continue;
        }
        match why_not(config, &candidate, newest.get(&candidate.day.product).copied()) {
            Some(why) => *choice.left.entry(why).or_default() += 1,
            None => fit.push(candidate),
        }
    }
    // The oldest first, whichever product it is of.
    fit.sort_by(|a, b| (a.day.date, &a.day.product).cmp(&(b.day.date, &b.day.product)));
    let is_old = |date| config.older_than.is_some_and(|age| is_older(config, date, age));
    let mut taken: BTreeSet<(UtcDay, ProductId)> = BTreeSet::new();
    let mut disk = disk;
    for Candidate { day, bytes, .. } in &fit {
        let lacks = config.keep_free.is_some_and(|wanted| disk.free < wanted);
        if config.dates.contains(&day.date) || is_old(day.date) || lacks {
            disk.free = disk.free_without(*bytes);
            taken.insert((day.date, day.product.clone()));
        }
    }
    (choice.free, choice.has_more) = (disk.free, taken.len() < fit.len());
    for candidate in fit {
        if taken.contains(&(candidate.day.date, candidate.day.product.clone())) {
            choice.days.entry(candidate.day.product.clone()).or_default().push(candidate);
        } else {
            *choice.left.entry("too young").or_default() += 1;
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ColumnSet, Dataset};
    use crate::time::UnixNanos;
    use crate::verdict::Verdict;
    use crate::verify::{DayCoverage, DaySums};

    const TODAY: UtcDay = UtcDay(20_300);

    fn candidate(name: &str, days_ago: u32, verdict: Verdict, state: DayState) -> Candidate {
        let date = UtcDay(TODAY.0 - days_ago);
        let coverage = DayCoverage { date, verdict, records: 5, ends: None, missing: 0, reasons: Vec::new() };
        let sums = DaySums { records: 5, ..DaySums::default() };
        let kept =
            DatasetDay { dataset: Dataset::Trades, state: Some(state), set: ColumnSet::Full, late: 0, unproven: 0, sums, archive: None };
        let product = ProductId::new(name).expect("a product");
        let day = ProductDay { product, date, coverage, datasets: vec![kept], named: None, pairing: None };
        Candidate { day, bytes: 100, unsealed: Vec::new() }
    }

    fn tape() -> Vec<Candidate> {
        let sealed = DayState::Sealed { generation: 0 };
        let mut all: Vec<Candidate> = (1..=5).map(|ago| candidate("BTC-USD", ago * 10, Verdict::Whole, sealed)).collect();
        all.push(candidate("BTC-USD", 60, Verdict::Partial, sealed));
        all.push(candidate("BTC-USD", 45, Verdict::Whole, DayState::Live));
        all.push(candidate("ETH-USD", 50, Verdict::Whole, sealed));
        all.push(candidate("ETH-USD", 1, Verdict::Whole, sealed));
        all.push(candidate("ETH-USD", 0, Verdict::Whole, DayState::Live));
        all
    }

    fn chosen(change: impl FnOnce(&mut ArchiveConfig), free: Option<u64>) -> Vec<(String, u32)> {
        chosen_on(change, Disk { free: free.unwrap_or(u64::MAX), holds_archive: false })
    }

    fn chosen_on(change: impl FnOnce(&mut ArchiveConfig), disk: Disk) -> Vec<(String, u32)> {
        let mut config = ArchiveConfig::new("/data", "/cold", UnixNanos(TODAY.start().0 + 1));
        change(&mut config);
        let choice = choose(&config, tape(), disk);
        let days = choice.days.into_iter();
        days.flat_map(|(product, days)| days.into_iter().map(move |one| (product.to_string(), TODAY.0 - one.day.date.0))).collect()
    }

    #[test]
    fn it_is_told_what_is_free_once_the_days_have_gone() {
        let mut config = ArchiveConfig::new("/data", "/cold", UnixNanos(TODAY.start().0 + 1));
        config.keep_free = Some(10_000);
        let free = |holds_archive| choose(&config, tape(), Disk { free: 850, holds_archive }).free;
        assert_eq!((free(false), free(true)), (850 + 500, 850 + 5 * 55));
    }

    fn of(days: &[(&str, u32)]) -> Vec<(String, u32)> {
        days.iter().map(|(name, ago)| ((*name).to_owned(), *ago)).collect()
    }

    const DAY: Duration = Duration::from_secs(SECONDS_PER_DAY);

    #[test]
    fn old_days_are_chosen_if_they_are_whole_sealed_and_not_the_newest() {
        assert_eq!(chosen(|_| {}, None), []);
        assert_eq!(
            chosen(|config| config.older_than = Some(DAY * 29), None),
            of(&[("BTC-USD", 50), ("BTC-USD", 40), ("BTC-USD", 30), ("ETH-USD", 50)])
        );
        assert_eq!(chosen(|config| config.older_than = Some(DAY * 30), None), of(&[("BTC-USD", 50), ("BTC-USD", 40), ("ETH-USD", 50)]));
        let all = chosen(|config| config.older_than = Some(Duration::ZERO), None);
        assert_eq!(
            all,
            of(&[("BTC-USD", 50), ("BTC-USD", 40), ("BTC-USD", 30), ("BTC-USD", 20), ("ETH-USD", 50)]),
            "the newest and yesterday stay"
        );
        let partial = |config: &mut ArchiveConfig| {
            config.older_than = Some(DAY * 50);
            config.verdicts.push(Verdict::Partial);
        };
        assert_eq!(chosen(partial, None), of(&[("BTC-USD", 60)]));
    }

    #[test]
    fn the_oldest_days_go_until_enough_is_free() {
        let keep = |config: &mut ArchiveConfig| config.keep_free = Some(1_000);
        assert_eq!(chosen(keep, Some(1_000)), []);
        assert_eq!(chosen(keep, Some(999)), of(&[("BTC-USD", 50)]));
        assert_eq!(chosen(keep, Some(750)), of(&[("BTC-USD", 50), ("BTC-USD", 40), ("ETH-USD", 50)]));
        // On the disk that the archive lies on, less is gained.
        assert_eq!(chosen_on(keep, Disk { free: 850, holds_archive: false }).len(), 2);
        assert_eq!(chosen_on(keep, Disk { free: 850, holds_archive: true }).len(), 3);
    }

    #[test]
    fn a_day_that_is_named_is_chosen_whatever_it_is_and_no_other() {
        for ago in [60, 45, 1, 0] {
            let named = chosen(|config| (config.dates, config.older_than) = (vec![UtcDay(TODAY.0 - ago)], Some(Duration::ZERO)), None);
            assert!(!named.is_empty() && named.iter().all(|(_, found)| *found == ago), "{ago}: {named:?}");
        }
    }
}
