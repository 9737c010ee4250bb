//! [`Dataset`]: which kinds of records there are, and what they are called.

/// A dataset: one folder of column files below a product's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dataset {
    /// One record a ticker message.
    Md,
    /// The last trade as the ticker saw it.
    TickerTrades,
    /// One record a trade.
    Trades,
}

impl Dataset {
    /// Every dataset.
    pub const ALL: [Self; 3] = [Self::Md, Self::TickerTrades, Self::Trades];

    /// Names the folder: `MD`, `TICKER_TRADES` or `TRADES`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Md => "MD",
            Self::TickerTrades => "TICKER_TRADES",
            Self::Trades => "TRADES",
        }
    }

    /// Names the dataset as the command line spells it: `md`, `ticker_trades` or `trades`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::TickerTrades => "ticker_trades",
            Self::Trades => "trades",
        }
    }

    /// Names the dataset at the head of a column of a table, in at most 11 characters.
    #[must_use]
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::TickerTrades => "tick.trades",
            Self::Trades => "trades",
        }
    }

    /// Says in a line what it holds, for help texts.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Md => "One record per ticker message",
            Self::TickerTrades => "The last trade, as the ticker reports it",
            Self::Trades => "One record per trade",
        }
    }

    /// Tells whether its records come from the ticker channel.
    #[must_use]
    pub(crate) const fn is_of_tickers(self) -> bool {
        !matches!(self, Self::Trades)
    }

    /// Lists the datasets whose records come from the ticker channel, in the order of [`Dataset::ALL`].
    pub(crate) fn of_tickers() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|dataset| dataset.is_of_tickers())
    }

    /// Gives the dataset's place in [`Dataset::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Finds a dataset by [`Dataset::name`].
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dataset| dataset.name() == name)
    }

    /// Gives a number for file headers: 1 MD, 2 TICKER_TRADES, 3 TRADES.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Md => 1,
            Self::TickerTrades => 2,
            Self::Trades => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataset_is_found_by_its_place_and_by_its_name() {
        for (at, dataset) in Dataset::ALL.into_iter().enumerate() {
            assert_eq!((dataset.index(), Dataset::by_name(dataset.name())), (at, Some(dataset)));
        }
    }
}
