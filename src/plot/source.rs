//! [`Source`]: the records that are drawn, day by day, opened once. They are read twice: first for their extremes, then for their places in the picture.

use super::config::{PlotConfig, PlotError, PlotPart};
use crate::lookup;
use crate::market::sum::shortest_f64;
use crate::market::{Coverage, Verdict};
use crate::product::ProductId;
use crate::record::{Side, Ticker, Trade};
use crate::schema::{ColumnSet, Dataset, Layout, Md, Trades};
use crate::store::Snapshot;
use crate::tape::{DayPart, Tape};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// How much time is drawn where nothing is said.
const USUAL_NANOS: u64 = 3600 * NANOS_PER_SECOND;
/// The shortest time that is drawn where nothing is said.
const LEAST_NANOS: u64 = 60 * NANOS_PER_SECOND;
/// Records at an end of a day that are looked at for its first or last event time: times may fall a little.
const OUT_OF_TURN: usize = 64;

/// A trade, as far as it is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dot {
    pub(super) id: u64,
    pub(super) time: UnixNanos,
    pub(super) price: f64,
    pub(super) size: f64,
    pub(super) side: Side,
}

/// A quote; NaN where the feed sent no bid or no ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quote {
    pub(super) time: UnixNanos,
    pub(super) bid: f64,
    pub(super) ask: f64,
}

/// The records of a range of time.
pub(super) struct Source {
    pub(super) from: UnixNanos,
    pub(super) to: UnixNanos,
    trades: Vec<DayPart<Trades>>,
    quotes: Vec<DayPart<Md>>,
    /// What is known of the chain of ids; nothing where no trades are kept.
    pub(super) coverage: Option<Coverage>,
    /// The first and the last event time of any record that the tape has.
    pub(super) held: (UnixNanos, UnixNanos),
}

impl Source {
    /// Finds the records.
    ///
    /// # Errors
    /// Where there are none, or a day cannot be read.
    pub(super) fn open(config: &PlotConfig) -> Result<Self, PlotError> {
        lookup::check_range(config.from, config.to)?;
        let tape = Tape::open(&config.dir)?;
        let product = &config.product;
        let (of_trades, of_quotes) = (held::<Trades>(&tape, product)?, held::<Md>(&tape, product)?);
        let Some(held) = [of_trades, of_quotes].into_iter().flatten().reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))) else {
            lookup::days(&config.dir, product, Dataset::Trades, None, None)?;
            return Err(nothing("trade or quote", config, span(config, (UnixNanos(0), UnixNanos(0))), None));
        };
        let (from, to) = span(config, held);
        let range = TimeRange::new(from, to);
        let wants_trades = [PlotPart::Trades, PlotPart::Candles, PlotPart::Volume].into_iter().any(|part| config.shows(part));
        let trades = if wants_trades { parts::<Trades>(&tape, product, range)? } else { Vec::new() };
        let quotes = if config.shows(PlotPart::Quotes) { parts::<Md>(&tape, product, range)? } else { Vec::new() };
        let source = Self { from, to, trades, quotes, coverage: of_trades.map(|_| Coverage::of(&tape, product, range)).transpose()?, held };
        if source.count() == 0 {
            let what = if wants_trades && config.shows(PlotPart::Quotes) {
                "trade or quote"
            } else if wants_trades {
                "trade"
            } else {
                "quote"
            };
            return Err(nothing(what, config, (from, to), Some(held)));
        }
        Ok(source)
    }

    fn count(&self) -> usize {
        self.trades.iter().map(DayPart::count).sum::<usize>() + self.quotes.iter().map(DayPart::count).sum::<usize>()
    }

    /// Gives the verdict on the range of time.
    pub(super) fn verdict(&self) -> Verdict {
        self.coverage.as_ref().map_or(Verdict::Unverifiable, Coverage::verdict)
    }

    /// Shows every trade, in order of ids.
    pub(super) fn each_trade(&self, mut look: impl FnMut(Dot)) {
        for part in &self.trades {
            let is_core = part.day.column_set() == ColumnSet::Core;
            part.rows().for_each(|trade| look(dot(&trade, is_core)));
        }
    }

    /// Shows every quote, in order. The one that stands when the range begins comes first, at the beginning of the range.
    pub(super) fn each_quote(&self, mut look: impl FnMut(Quote)) {
        for (number, part) in self.quotes.iter().enumerate() {
            let is_core = part.day.column_set() == ColumnSet::Core;
            let before = part.pieces.first().and_then(|piece| piece.start.checked_sub(1)).filter(|_| number == 0);
            if let Some(standing) = before.and_then(|number| part.day.row(number)) {
                look(Quote { time: self.from, ..quote(&standing, is_core) });
            }
            part.rows().for_each(|ticker| look(quote(&ticker, is_core)));
        }
    }
}

/// Says that nothing lies in a range of time.
fn nothing(what: &'static str, config: &PlotConfig, (from, to): (UnixNanos, UnixNanos), held: Option<(UnixNanos, UnixNanos)>) -> PlotError {
    PlotError::Nothing { what, product: config.product.clone(), dir: config.dir.clone(), from, to, held }
}

fn dot(trade: &Trade, is_core: bool) -> Dot {
    // A folder of the core has the f32 alone: the shortest number that it may mean.
    let value = |decimal: crate::decimal::Decimal| if is_core { shortest_f64(decimal.as_f32) } else { decimal.as_f64 };
    Dot { id: trade.trade_id, time: trade.time, price: value(trade.price), size: value(trade.size), side: trade.side }
}

fn quote(ticker: &Ticker, is_core: bool) -> Quote {
    let value = |decimal: crate::decimal::Decimal| {
        let value = if is_core { shortest_f64(decimal.as_f32) } else { decimal.as_f64 };
        // An empty side of the book is sent as 0.
        if value > 0.0 { value } else { f64::NAN }
    };
    Quote { time: ticker.time, bid: value(ticker.best_bid), ask: value(ticker.best_ask) }
}

/// Decides the range of time.
fn span(config: &PlotConfig, (first, last): (UnixNanos, UnixNanos)) -> (UnixNanos, UnixNanos) {
    let least = LEAST_NANOS.saturating_sub(last.since(first));
    if config.from.is_none() && config.to.is_none() && least > 0 {
        // A tape that has hardly begun stands in the middle.
        let from = UnixNanos(first.0.saturating_sub(least / 2));
        return (from, UnixNanos(from.0.saturating_add(LEAST_NANOS)));
    }
    let to = config.to.unwrap_or(UnixNanos(last.0.saturating_add(1)));
    let from = config.from.unwrap_or_else(|| {
        let usual = to.0.saturating_sub(USUAL_NANOS);
        // Of a tape that is younger, all that there is.
        UnixNanos(usual.max(first.0.min(to.0.saturating_sub(1))))
    });
    // Asked for a time behind all that there is: the range must not be turned round.
    (from, if to <= from { UnixNanos(from.0.saturating_add(USUAL_NANOS)) } else { to })
}

/// Finds the first and the last event time of a dataset.
fn held<L: Layout>(tape: &Tape, product: &ProductId) -> Result<Option<(UnixNanos, UnixNanos)>, PlotError> {
    let dates = tape.days(product, L::DATASET)?;
    let mut last = None;
    for date in dates.iter().rev() {
        let Some(day) = tape.day::<L>(product, *date)?.filter(|day| day.count() > 0) else { continue };
        last = times(&day, day.count().saturating_sub(OUT_OF_TURN)..day.count()).max();
        break;
    }
    // A day long ago that cannot be read does not keep the others from being drawn.
    let first = dates.iter().find_map(|date| first_of::<L>(tape, product, *date));
    Ok(first.zip(last))
}

fn first_of<L: Layout>(tape: &Tape, product: &ProductId, date: UtcDay) -> Option<UnixNanos> {
    let day = tape.day::<L>(product, date).ok()??;
    times(&day, 0..day.count().min(OUT_OF_TURN)).min()
}

fn times<L: Layout>(day: &Snapshot<L>, numbers: std::ops::Range<usize>) -> impl Iterator<Item = UnixNanos> {
    numbers.filter_map(|number| day.time_at(number))
}

/// Opens the days of a range of time.
fn parts<L: Layout>(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Vec<DayPart<L>>, PlotError> {
    let is_in = |date: &UtcDay| range.overlaps_day(*date);
    if !tape.days(product, L::DATASET)?.iter().any(is_in) && !tape.archived_days(product, L::DATASET)?.iter().any(is_in) {
        return Ok(Vec::new());
    }
    Ok(tape.range::<L>(product, range)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_the_last_hour_that_there_is() {
        let second = |seconds: u64| UnixNanos(1_700_000_000_000_000_000 + seconds * NANOS_PER_SECOND);
        let config = |from, to| {
            let mut config = PlotConfig::new("data", ProductId::new("BTC-USD").expect("a product"));
            (config.from, config.to) = (from, to);
            config
        };
        let end = |time: UnixNanos| UnixNanos(time.0 + 1);
        let held = (second(0), second(10_000));
        assert_eq!(span(&config(None, None), held), (end(second(6_400)), end(second(10_000))));
        assert_eq!(span(&config(None, None), (second(9_000), second(10_000))).0, second(9_000), "a young tape");
        assert_eq!(span(&config(None, None), (second(10_000), second(10_000))), (second(9_970), second(10_030)), "one trade");
        assert_eq!(span(&config(None, Some(second(5_000))), held), (second(1_400), second(5_000)));
        assert_eq!(span(&config(Some(second(9_999)), None), held), (second(9_999), end(second(10_000))));
        assert_eq!(span(&config(Some(second(20_000)), None), held), (second(20_000), second(23_600)));
    }
}
