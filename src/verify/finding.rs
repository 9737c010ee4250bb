//! What `verify` found to be wrong: [`Finding`]s, listed up to a bound and counted beyond it.
//!
//! 1. A finding is something wrong or missing. What merely cannot be shown is a verdict of [`super::coverage`], not a finding.
//! 2. Every finding is counted by its kind; the first [`LISTED_PER_KIND`] of a kind are kept with their words.

use std::collections::BTreeMap;

use crate::product::ProductId;
use crate::schema::Dataset;
use crate::time::UtcDay;

/// Findings of one kind that are kept with their words.
pub const LISTED_PER_KIND: usize = 20;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A dataset-day cannot be opened or read.
    Unreadable,
    /// A column is shorter than its records.
    Length,
    /// A checksum does not fit, or a page is torn.
    Checksum,
    /// A trade id is 0 or does not rise.
    IdOrder,
    /// Two days of a product hold the same trade id.
    IdTwice,
    /// The nanoseconds of a time are a second or more.
    Nanos,
    /// An event time is before 2012 or ahead of its receive time by more than an hour.
    Time,
    /// An event time belongs to another day's file.
    WrongDay,
    /// A side is none of the codes its column knows.
    Side,
    /// A price or size is not above 0.
    NotPositive,
    /// An f32 is not its exact value rounded.
    Rounding,
    /// A sequence of `MD` does not rise.
    SequenceOrder,
    /// A record of `TICKER_TRADES` is not what its record of `MD` says.
    TickerTrade,
    /// A ticker names a stored trade and disagrees with it.
    TickerDisagrees,
    /// Trade ids are missing between stored ones.
    Missing,
    /// What a capture received is not the sum of what became of it.
    Sums,
    /// The ledger's record was sent and is not stored.
    Lost,
    /// The ledger's trade was never sent, and nothing else supplied it.
    NeverSent,
    /// A record of the ledger is stored more than once.
    Doubled,
    /// A stored field is not the ledger's.
    Altered,
    /// A record of the ledger lies in another day's file.
    Misfiled,
    /// A stored record is not in the ledger.
    Invented,
    /// A line of the ledger cannot be read, or the ledger has no end.
    Ledger,
}

impl Kind {
    /// Names the kind as reports show it.
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
            Self::Missing => "missing",
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

/// Where something is wrong: as much of product, dataset and day as applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Whose.
    pub product: Option<ProductId>,
    /// Of which dataset.
    pub dataset: Option<Dataset>,
    /// Of which day.
    pub date: Option<UtcDay>,
}

impl Place {
    /// Names a whole product's dataset.
    #[must_use]
    pub fn of(product: &ProductId, dataset: Dataset) -> Self {
        Self { product: Some(product.clone()), dataset: Some(dataset), date: None }
    }

    /// Names one day of it.
    #[must_use]
    pub fn on(product: &ProductId, dataset: Dataset, date: UtcDay) -> Self {
        Self { date: Some(date), ..Self::of(product, dataset) }
    }
}

impl std::fmt::Display for Place {
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
    /// What.
    pub kind: Kind,
    /// Where.
    pub place: Place,
    /// In words.
    pub text: String,
}

/// All that was found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    counts: BTreeMap<Kind, u64>,
    listed: Vec<Finding>,
}

impl Findings {
    /// Counts a finding; the words are made only where it is listed.
    pub fn add(&mut self, kind: Kind, place: &Place, text: impl FnOnce() -> String) {
        self.add_many(kind, 1, place, text);
    }

    /// Counts `count` findings that one line of words speaks of.
    pub fn add_many(&mut self, kind: Kind, count: u64, place: &Place, text: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += count;
        if self.listed.iter().filter(|finding| finding.kind == kind).count() < LISTED_PER_KIND {
            self.listed.push(Finding { kind, place: place.clone(), text: text() });
        }
    }

    /// Takes over what another part found.
    pub fn absorb(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        for finding in other.listed {
            if self.listed.iter().filter(|known| known.kind == finding.kind).count() < LISTED_PER_KIND {
                self.listed.push(finding);
            }
        }
    }

    /// Gives how often a kind was found.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Gives every kind found, with its count.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Gives the findings kept with their words.
    #[must_use]
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// Gives how much was found in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Tells whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_list_is_still_counted() {
        let mut findings = Findings::default();
        for at in 0..LISTED_PER_KIND + 5 {
            findings.add(Kind::Lost, &Place::default(), || at.to_string());
        }
        findings.add_many(Kind::Missing, 40, &Place::default(), || "ids 1 to 40".to_owned());
        assert_eq!((findings.count(Kind::Lost), findings.count(Kind::Missing), findings.total()), (25, 40, 65));
        assert_eq!(findings.listed().len(), LISTED_PER_KIND + 1);
        let mut all = Findings::default();
        all.absorb(findings.clone());
        all.absorb(findings);
        assert_eq!((all.count(Kind::Lost), all.listed().len()), (50, LISTED_PER_KIND + 2));
    }

    #[test]
    fn a_place_names_what_applies() {
        let product = ProductId::new("BTC-USD").expect("a product");
        assert_eq!(Place::on(&product, Dataset::Md, UtcDay(0)).to_string(), "BTC-USD MD 1970-01-01");
        assert_eq!(Place::of(&product, Dataset::Trades).to_string(), "BTC-USD TRADES");
    }
}
