//! [`Datasets`]: a set of datasets.

use super::dataset::Dataset;
use crate::record::Record;

/// A set of datasets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Datasets(u8);

impl Datasets {
    /// No dataset.
    pub const NONE: Self = Self(0);

    /// Every dataset.
    pub const ALL: Self = Self::of(&Dataset::ALL);

    /// Makes the set of these datasets.
    #[must_use]
    pub const fn of(mut datasets: &[Dataset]) -> Self {
        let mut set = Self::NONE;
        while let [first, rest @ ..] = datasets {
            set = set.with(*first);
            datasets = rest;
        }
        set
    }

    /// Gives the set with one dataset more.
    #[must_use]
    pub const fn with(self, dataset: Dataset) -> Self {
        Self(self.0 | 1 << dataset as u8)
    }

    /// Tells whether a dataset is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(self, dataset: Dataset) -> bool {
        self.0 & 1 << dataset as u8 != 0
    }

    /// Tells whether the set is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Lists the datasets of the set, in the order of [`Dataset::ALL`].
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Dataset> {
        Dataset::ALL.into_iter().filter(move |dataset| self.contains(*dataset))
    }

    /// Gives those of the set that store something of a record.
    #[inline]
    #[must_use]
    pub fn storing(self, record: Record<'_>) -> Self {
        self.iter().filter(|dataset| dataset.stores(record)).collect()
    }

    /// Tells whether the set needs the ticker channel.
    #[must_use]
    pub(crate) fn wants_tickers(self) -> bool {
        self.iter().any(Dataset::is_of_tickers)
    }
}

impl FromIterator<Dataset> for Datasets {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Dataset>>(datasets: I) -> Self {
        datasets.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::record::{Side, Ticker};
    use crate::schema::{Layout as _, Md, Trades};

    #[test]
    fn a_set_of_datasets_holds_what_was_put_in() {
        assert!(Datasets::NONE.is_empty() && !Datasets::NONE.wants_tickers());
        assert!(Datasets::ALL.iter().eq(Dataset::ALL));
        let set: Datasets = [Dataset::Trades, Dataset::Md].into_iter().collect();
        assert_eq!(set, Datasets::of(&[Dataset::Md, Dataset::Trades]));
        assert!(set.iter().eq([Dataset::Md, Dataset::Trades]), "in the order of the table");
        assert!(set.wants_tickers() && !set.contains(Dataset::TickerTrades));
        assert!(set.with(Dataset::TickerTrades).iter().eq([Dataset::Md, Dataset::TickerTrades, Dataset::Trades]));
        assert!(!Datasets::of(&[Dataset::Trades]).wants_tickers());
    }

    #[test]
    fn each_dataset_stores_the_records_that_belong_to_it() {
        let with_trade = Ticker { trade_id: 7, side: Some(Side::Buy), volume: Decimal::new(1.0, 1.0, true), ..Md::EMPTY };
        let stored = |record| Datasets::of(&[Dataset::Md, Dataset::TickerTrades, Dataset::Trades]).storing(record);
        assert_eq!(stored(Record::Trade(&Trades::EMPTY)), Datasets::of(&[Dataset::Trades]));
        assert_eq!(stored(Record::Ticker(&Md::EMPTY)), Datasets::of(&[Dataset::Md]));
        assert_eq!(stored(Record::Ticker(&with_trade)), Datasets::of(&[Dataset::Md, Dataset::TickerTrades]));
    }
}
