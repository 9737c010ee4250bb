//! [`Stored`]: a record of the tape under the name by which it is served; [`Texts`]: what is needed to spell its numbers.

use std::collections::HashMap;

use super::products::Products;
use super::spelling::Number;
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::query::ExactTexts;
use crate::record::{Ticker, Trade};
use crate::tape::Tape;
use crate::time::{UnixNanos, UtcDay};

/// A trade or a ticker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Row {
    Trade(Trade),
    Ticker(Ticker),
}

/// What records are put in order by: a time, and a sequence.
pub(super) type Order = (UnixNanos, u64);

/// A stored record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// The product's name as the exchange has it.
    pub(super) product: ProductId,
    /// Which of the product's series it is of.
    pub(super) series: u32,
    pub(super) row: Row,
    /// Whether its day holds core columns alone.
    pub(super) is_core: bool,
}

impl Stored {
    /// Gives the time by which records are put in order: that of receipt where it is known, else the event's.
    pub(super) fn received(&self) -> UnixNanos {
        self.order().0
    }

    /// Gives what records are put in order by: the time, and where several were received at once the sequence of the exchange.
    pub(super) fn order(&self) -> Order {
        let (recv, time, sequence) = match self.row {
            Row::Trade(trade) => (trade.recv, trade.time, trade.sequence),
            Row::Ticker(ticker) => (ticker.recv, ticker.time, ticker.sequence),
        };
        (if recv.0 == 0 { time } else { recv }, sequence)
    }
}

/// The numbers of a trade.
#[derive(Debug, Clone, Copy)]
pub(super) struct TradeNumbers<'a> {
    pub(super) price: Number<'a>,
    pub(super) size: Number<'a>,
}

/// The numbers of a ticker.
#[derive(Debug, Clone, Copy)]
pub(super) struct TickerNumbers<'a> {
    pub(super) price: Number<'a>,
    pub(super) volume: Number<'a>,
    pub(super) bid: Number<'a>,
    pub(super) ask: Number<'a>,
    pub(super) bid_size: Number<'a>,
    pub(super) ask_size: Number<'a>,
}

/// The texts of numbers that no f64 gives back, and the decimals of quotes.
#[derive(Debug)]
pub(super) struct Texts {
    exact: ExactTexts,
    quote_decimals: HashMap<ProductId, usize>,
}

impl Texts {
    /// Reads those of some products' records from a day on.
    pub(super) fn read(tape: &Tape, products: &Products, names: &[ProductId], first: UtcDay) -> Self {
        let exact = ExactTexts::read(tape.dir(), names, Some(first));
        let quote_decimals = names.iter().map(|name| (name.clone(), products.quote_decimals(name))).collect();
        Self { exact, quote_decimals }
    }

    /// Reads what was added since. A text is written before its record is committed, so records seen before this have theirs.
    pub(super) fn refresh(&mut self) {
        self.exact.refresh();
    }

    /// Counts the decimals that a product's quotes are padded to.
    pub(super) fn quote_decimals(&self, product: &ProductId) -> usize {
        self.quote_decimals.get(product).copied().unwrap_or(0)
    }

    /// Gives the numbers of a trade.
    pub(super) fn of_trade(&self, product: &ProductId, trade: &Trade, is_core: bool) -> TradeNumbers<'_> {
        let number = |column, value| self.number(product, column, trade.trade_id, value, is_core);
        TradeNumbers { price: number("trade_price_f64", trade.price), size: number("trade_size_f64", trade.size) }
    }

    /// Gives the numbers of a ticker.
    pub(super) fn of_ticker(&self, product: &ProductId, ticker: &Ticker, is_core: bool) -> TickerNumbers<'_> {
        let key = if ticker.sequence == 0 { ticker.recv.0 } else { ticker.sequence };
        let number = |column, value| self.number(product, column, key, value, is_core);
        // Sizes at the quote are extended columns: they are never of f32.
        let size = |column, value: f64| self.number(product, column, key, Decimal::new(value, f32::NAN, true), false);
        TickerNumbers {
            price: number("price_f64", ticker.price),
            volume: number("volume_f64", ticker.volume),
            bid: number("best_bid_f64", ticker.best_bid),
            ask: number("best_ask_f64", ticker.best_ask),
            bid_size: size("best_bid_size_f64", ticker.best_bid_size),
            ask_size: size("best_ask_size_f64", ticker.best_ask_size),
        }
    }

    fn number(&self, product: &ProductId, column: &str, key: u64, value: Decimal, is_core: bool) -> Number<'_> {
        let exact = if self.exact.is_empty() || is_core { None } else { self.exact.find(product, column, key, value.as_f64) };
        Number { value, is_core, exact }
    }
}
