//! What `verify` found to be wrong: [`Finding`]s.
//!
//! 1. A finding is something wrong or missing. Something that only cannot be shown is a verdict of [`super::coverage`], not a finding.
//! 2. A [`Suspect`] is a finding unless another dataset speaks for it.
//! 3. Every finding is counted by its kind. The first [`LISTED_PER_KIND`] of a kind are kept with their texts.

use std::collections::{BTreeMap, BTreeSet};

use super::ahead::Received;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::time::{UnixNanos, UtcDay};

/// How many findings of one kind are kept with their texts.
pub(super) const LISTED_PER_KIND: usize = 20;
/// How many suspects wait for a decision at most. More are findings at once.
const MAX_SUSPECTS: usize = 10_000;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// A dataset-day cannot be opened or read.
    Unreadable,
    /// A column is shorter than its records.
    Length,
    /// A checksum does not match, or a page is torn.
    Checksum,
    /// A trade id is 0 or does not rise.
    IdOrder,
    /// Two days of a product hold the same trade id.
    IdTwice,
    /// The nanoseconds of a time make a second or more.
    Nanos,
    /// An event time is before 2012, or more than an hour after its receive time.
    Time,
    /// An event time belongs to another day's file.
    WrongDay,
    /// A side is not one of the codes of its column.
    Side,
    /// A price or size is not above 0.
    NotPositive,
    /// An f32 is not its f64 rounded, or an f64 is not the one nearest to its exact text.
    Rounding,
    /// A sequence of a ticker does not rise.
    SequenceOrder,
    /// A record of `TICKER_TRADES` is not what its record of `MD` says.
    TickerTrade,
    /// A ticker names a stored trade and disagrees with it, or dates it otherwise by more than a minute.
    TickerDisagrees,
    /// The ids of trades and their times do not agree: a trade lies in the file of a day to which its id does not belong, its time falls by more than an
    /// hour, or those of one or two trades alone lie more than a minute beside all others.
    TimeOrder,
    /// Trade ids are missing: between stored ones, or named by the journal.
    Missing,
    /// A trade came again with other fields, and the first was kept.
    Conflict,
    /// Records that the journal knows of are gone: a day, its files, or a part of them.
    Gone,
    /// Files that belong to no day that can be read.
    Stray,
    /// The journal is damaged, or does not know what is stored.
    Journal,
    /// What a capture received is not the sum of what became of it.
    Sums,
    /// A record of the ledger was sent and is not stored.
    Lost,
    /// A trade of the ledger was never sent, and nothing else supplied it.
    NeverSent,
    /// A record of the ledger is stored more than once.
    Doubled,
    /// A stored field is not what the ledger says.
    Altered,
    /// A record of the ledger lies in another day's file.
    Misfiled,
    /// A stored record is not in the ledger.
    Invented,
    /// A line of the ledger cannot be read, or the ledger has no end.
    Ledger,
}

impl FindingKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 28] = [
        Self::Unreadable,
        Self::Length,
        Self::Checksum,
        Self::IdOrder,
        Self::IdTwice,
        Self::Nanos,
        Self::Time,
        Self::WrongDay,
        Self::Side,
        Self::NotPositive,
        Self::Rounding,
        Self::SequenceOrder,
        Self::TickerTrade,
        Self::TickerDisagrees,
        Self::TimeOrder,
        Self::Missing,
        Self::Conflict,
        Self::Gone,
        Self::Stray,
        Self::Journal,
        Self::Sums,
        Self::Lost,
        Self::NeverSent,
        Self::Doubled,
        Self::Altered,
        Self::Misfiled,
        Self::Invented,
        Self::Ledger,
    ];

    /// Gives the kind's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::IdOrder => "id_order",
            Self::IdTwice => "id_twice",
            Self::Nanos => "nanos",
            Self::Time => "time",
            Self::WrongDay => "wrong_day",
            Self::Side => "side",
            Self::NotPositive => "not_positive",
            Self::Rounding => "rounding",
            Self::SequenceOrder => "sequence_order",
            Self::TickerTrade => "ticker_trade",
            Self::TickerDisagrees => "ticker_disagrees",
            Self::TimeOrder => "time_order",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Stray => "stray",
            Self::Journal => "journal",
            Self::Sums => "sums",
            Self::Lost => "lost",
            Self::NeverSent => "never_sent",
            Self::Doubled => "doubled",
            Self::Altered => "altered",
            Self::Misfiled => "misfiled",
            Self::Invented => "invented",
            Self::Ledger => "ledger",
        }
    }
}

/// Where something is wrong: product, dataset and day, as far as they apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// The product.
    pub product: Option<ProductId>,
    /// The dataset.
    pub dataset: Option<Dataset>,
    /// The day.
    pub date: Option<UtcDay>,
}

impl Location {
    /// Makes the location of a product's dataset, over all its days.
    #[must_use]
    pub(super) fn of(product: &ProductId, dataset: Dataset) -> Self {
        Self { product: Some(product.clone()), dataset: Some(dataset), date: None }
    }

    /// Makes the location of a dataset-day.
    #[must_use]
    pub(super) fn on(product: &ProductId, dataset: Dataset, date: UtcDay) -> Self {
        Self { date: Some(date), ..Self::of(product, dataset) }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let product = self.product.as_ref().map(ToString::to_string);
        let dataset = self.dataset.map(|dataset| dataset.folder().to_owned());
        let date = self.date.map(|date| date.to_string());
        let words: Vec<String> = [product, dataset, date].into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}

/// Something that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// Where it is.
    pub location: Location,
    /// What was found, in words.
    pub text: String,
}

/// A trade whose event time others contradict, by no more than a capture would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Its day.
    pub location: Location,
    /// The number of its record.
    pub number: usize,
    /// Its event time.
    pub time: UnixNanos,
}

/// All that was found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    counts: BTreeMap<FindingKind, u64>,
    listed: Vec<Finding>,
    suspects: Vec<Suspect>,
    /// The product-days that any of them is about, with the datasets.
    days: BTreeSet<(ProductId, UtcDay, Option<Dataset>)>,
}

impl Findings {
    /// Adds a finding. Its text is made only where it is listed.
    pub(super) fn add(&mut self, kind: FindingKind, location: &Location, text: impl FnOnce() -> String) {
        self.add_many(kind, 1, location, text);
    }

    /// Adds `count` findings that have one text.
    pub(super) fn add_many(&mut self, kind: FindingKind, count: u64, location: &Location, text: impl FnOnce() -> String) {
        let total = self.counts.entry(kind).or_default();
        *total = total.saturating_add(count);
        if let (Some(product), Some(date)) = (&location.product, location.date) {
            self.days.insert((product.clone(), date, location.dataset));
        }
        if self.listed.iter().filter(|finding| finding.kind == kind).count() < LISTED_PER_KIND {
            self.listed.push(Finding { kind, location: location.clone(), text: text() });
        }
    }

    /// Adds a trade whose event time does not agree with those of other ids.
    pub(super) fn add_time_order(&mut self, location: &Location, number: usize, time: UnixNanos) {
        self.add(FindingKind::TimeOrder, location, || format!("record {number}: {time}, against those before and behind it"));
    }

    /// Adds a record whose event time lies too far after its receive time.
    pub(super) fn add_ahead(&mut self, location: &Location, Received { number, time, recv }: Received) {
        self.add(FindingKind::Time, location, || format!("record {number}: {time}, received {recv}"));
    }

    /// Keeps a suspect until it is decided about.
    pub(super) fn suspect(&mut self, location: &Location, number: usize, time: UnixNanos) {
        if self.suspects.len() < MAX_SUSPECTS {
            self.suspects.push(Suspect { location: location.clone(), number, time });
        } else {
            self.add_time_order(location, number, time);
        }
    }

    /// Gives the days that suspects are of.
    pub(super) fn dates_of_suspects(&self) -> BTreeSet<UtcDay> {
        self.suspects.iter().filter_map(|suspect| suspect.location.date).collect()
    }

    /// Takes the suspects.
    pub(super) fn take_suspects(&mut self) -> Vec<Suspect> {
        std::mem::take(&mut self.suspects)
    }

    /// Lists the datasets of a product-day that any finding is about.
    #[must_use]
    pub(super) fn datasets_of(&self, product: &ProductId, date: UtcDay) -> Vec<&'static str> {
        let from = (product.clone(), date, None);
        let found = self.days.range(from..).take_while(|(of, on, _)| of == product && *on == date);
        found.map(|(_, _, dataset)| dataset.map_or("the day", Dataset::folder)).collect()
    }

    /// Gives how many findings there are of a kind.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Gives every kind that was found, with its count.
    pub fn counts(&self) -> impl Iterator<Item = (FindingKind, u64)> {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Gives the findings that are listed.
    #[must_use]
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// Gives how many findings there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Tells whether there is no finding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_beyond_the_list_are_counted() {
        let mut findings = Findings::default();
        for at in 0..LISTED_PER_KIND + 5 {
            findings.add(FindingKind::Lost, &Location::default(), || at.to_string());
        }
        findings.add_many(FindingKind::Missing, 40, &Location::default(), || "ids 1 to 40".to_owned());
        assert_eq!((findings.count(FindingKind::Lost), findings.count(FindingKind::Missing), findings.total()), (25, 40, 65));
        assert_eq!(findings.listed().len(), LISTED_PER_KIND + 1);
    }

    #[test]
    fn a_location_names_what_applies() {
        let product = ProductId::new("BTC-USD").expect("a product");
        assert_eq!(Location::on(&product, Dataset::Md, UtcDay(0)).to_string(), "BTC-USD MD 1970-01-01");
        assert_eq!(Location::of(&product, Dataset::Trades).to_string(), "BTC-USD TRADES");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = FindingKind::ALL.into_iter().map(FindingKind::name).collect();
        assert_eq!(names.len(), FindingKind::ALL.len());
        // The last one stands for the number of them.
        assert_eq!(FindingKind::Ledger as usize + 1, FindingKind::ALL.len());
    }
}
