//! [`Stats`]: a range of time in figures, and its significant trades.
//!
//! 1. Quantiles are exact and interpolated as `median` and `quantile_cont` of DuckDB and `numpy.percentile` do.
//! 2. A spread is the best ask less the best bid of a ticker, as decimals. Weighted by time, each counts until the next ticker of the range. Times between
//!    two stored trades of which others are missing do not count: nobody knows the spread then.
//! 3. The time between two trades is that between their event times, in the order of their ids; 0 where the exchange's clock was set back. Missing trades
//!    between the two make it longer.
//! 4. The rate is that over the time for which the tape reaches: from the beginning of the range, or the first trade if the tape begins in it, to the end
//!    of the range, or the last trade.
//! 5. Memory does not grow with the number of records: what has to be looked at several times is read several times.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::basis::Basis;
use super::candles::DAY_SECONDS;
use super::coverage::{Coverage, MissingIds};
use super::error::MarketError;
use super::flow::{BUY, Block, Flow};
use super::quantile::{from_ordered, ordered, quantiles};
use super::sum::{ExactSum, Spread, shortest_f64};
use super::tally::Tally;
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::Side;
use crate::schema::{Dataset, Md, Trades};
use crate::store::Run;
use crate::tape::{DayPart, Tape};
use crate::time::{NANOS_PER_SECOND, UnixNanos};
use crate::time_range::TimeRange;

/// More than a product of two f64 differs from that of their decimals, as a share of it.
const ROUNDING: f64 = 1e-9;

/// A range of time in figures.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The time of the first trade by id.
    pub first_time: UnixNanos,
    /// The time of the last trade by id.
    pub last_time: UnixNanos,
    /// The number of trades.
    pub trades: u64,
    /// The sum of the sizes.
    pub volume: f64,
    /// The sum of prices times sizes.
    pub notional: f64,
    /// The mean price, weighted by size.
    pub vwap: Option<f64>,
    /// The price of the lowest trade id.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The price of the highest trade id.
    pub close: f64,
    /// The part of the volume that takers bought.
    pub buy_volume: f64,
    /// The part of the volume that takers sold.
    pub sell_volume: f64,
    /// The bought part as a share, 0 to 1.
    pub buy_share: Option<f64>,
    /// The sold part as a share, 0 to 1.
    pub sell_share: Option<f64>,
    /// The spread that half of the tickers do not exceed. `None` where no ticker has both prices.
    pub spread_median: Option<f64>,
    /// The spread that 95 % of the tickers do not exceed.
    pub spread_p95: Option<f64>,
    /// The mean spread, weighted by time.
    pub spread_time_weighted: Option<f64>,
    /// Trades per second.
    pub trades_per_s: Option<f64>,
    /// The second with the most trades, the first of several.
    pub peak_second: UnixNanos,
    /// The trades of that second.
    pub peak_trades: u64,
    /// The time between two trades that half of them do not exceed, in milliseconds.
    pub inter_arrival_p50_ms: Option<f64>,
    /// The time between two trades that 99 % of them do not exceed, in milliseconds.
    pub inter_arrival_p99_ms: Option<f64>,
}

/// A trade that is large.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LargeTrade {
    /// Its event time.
    pub time: UnixNanos,
    /// Its id.
    pub trade_id: u64,
    /// The taker's side.
    pub side: Side,
    /// Its price.
    pub price: f64,
    /// Its size.
    pub size: f64,
    /// Price times size.
    pub notional: f64,
}

/// Which trades are significant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Significant {
    /// So many, the largest by price times size, the largest first.
    Top(usize),
    /// Those whose price times size is so much or more, in the order of their ids.
    MinNotional(f64),
}

/// Opened days of a range of time, for several looks at the same records.
#[derive(Debug)]
pub struct StatsOf {
    product: ProductId,
    days: Vec<DayPart<Trades>>,
    tickers: Vec<DayPart<Md>>,
    basis: Basis,
}

impl StatsOf {
    /// Opens the days of a range of time.
    ///
    /// # Errors
    /// Where the tape has no such trades, or cannot be read.
    pub fn open(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, MarketError> {
        let days = tape.range::<Trades>(product, range)?.collect::<Result<Vec<_>, _>>()?;
        if days.iter().all(|day| day.count() == 0) {
            return Err(MarketError::NoTrades { product: product.clone() });
        }
        // A tape may have no tickers at all, or none of that time.
        let has_tickers = tape.days(product, Dataset::Md)?.into_iter().any(|date| range.overlaps_day(date));
        let tickers = if has_tickers { tape.range::<Md>(product, range)?.collect::<Result<Vec<_>, _>>()? } else { Vec::new() };
        let mut basis = Basis::of(tape, product, range)?;
        basis.has_core_days = days.iter().any(|part| part.count() > 0 && part.day.column::<f64>("trade_price_f64").is_err());
        Ok(Self { product: product.clone(), days, tickers, basis })
    }

    /// Shows what the figures rest on.
    #[must_use]
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Computes the figures.
    ///
    /// # Errors
    /// Where a day holds trades of another day.
    pub fn stats(&self) -> Result<Stats, MarketError> {
        let mut tally = Tally::default();
        let (mut first_time, mut last_time) = (None, UnixNanos(0));
        let (mut peak_second, mut peak_trades) = (UnixNanos(0), 0);
        for part in &self.days {
            let date = part.day.key().date;
            let mut seconds = vec![0u64; DAY_SECONDS];
            let misplaced = self.each_block(part, |block| {
                let count = block.prices.len();
                tally.add(block, 0..count);
                first_time.get_or_insert(block.time(0));
                last_time = block.time(count - 1);
                for (second, id) in block.seconds.iter().zip(block.ids) {
                    let at = usize::try_from(second.wrapping_sub(date.start().seconds())).ok();
                    *at.and_then(|at| seconds.get_mut(at)).ok_or(*id)? += 1;
                }
                Ok(())
            });
            misplaced.map_err(|id| MarketError::Misplaced { product: self.product.clone(), date, id })?;
            for (at, count) in (0u64..).zip(seconds) {
                if count > peak_trades {
                    (peak_second, peak_trades) = (UnixNanos(date.start().0 + at * NANOS_PER_SECOND), count);
                }
            }
        }
        let volume = tally.volume();
        let [spread_median, spread_p95] = self.spread_quantiles();
        let [inter_arrival_p50_ms, inter_arrival_p99_ms] = self.inter_arrivals();
        let first_time = first_time.unwrap_or_default();
        Ok(Stats {
            first_time,
            last_time,
            trades: tally.trades,
            volume: volume.value(),
            notional: tally.notional.value(),
            vwap: tally.vwap(),
            open: tally.open,
            high: tally.high,
            low: tally.low,
            close: tally.close,
            buy_volume: tally.bought.value(),
            sell_volume: tally.sold.value(),
            buy_share: tally.bought.ratio(&volume),
            sell_share: tally.sold.ratio(&volume),
            spread_median,
            spread_p95,
            spread_time_weighted: self.time_weighted_spread(),
            trades_per_s: rate(tally.trades, &self.basis.coverage, (first_time, last_time)),
            peak_second,
            peak_trades,
            inter_arrival_p50_ms,
            inter_arrival_p99_ms,
        })
    }

    /// Calls `visit` with each significant trade.
    ///
    /// # Errors
    /// Where `visit` fails.
    pub fn significant(
        &self,
        which: Significant,
        mut visit: impl FnMut(&LargeTrade) -> Result<(), MarketError>,
    ) -> Result<(), MarketError> {
        let most = match which {
            Significant::MinNotional(least) => {
                let least_shown = Cell::new(least);
                return self.each_from(&least_shown, |trade| if trade.notional >= least { visit(trade) } else { Ok(()) });
            }
            Significant::Top(0) => return Ok(()),
            Significant::Top(most) => most,
        };
        // The smallest of those kept stands on top, of equal ones that with the highest id.
        let mut largest: BinaryHeap<Reverse<(u64, Reverse<u64>)>> = BinaryHeap::new();
        let mut kept = HashMap::new();
        let least = Cell::new(f64::NEG_INFINITY);
        self.each_from(&least, |trade| {
            let key = (ordered(trade.notional), Reverse(trade.trade_id));
            if largest.len() == most {
                if largest.peek().is_some_and(|least| key <= least.0) {
                    return Ok(());
                }
                if let Some(Reverse((_, Reverse(id)))) = largest.pop() {
                    kept.remove(&id);
                }
            }
            largest.push(Reverse(key));
            kept.insert(trade.trade_id, *trade);
            if largest.len() == most {
                least.set(largest.peek().map_or(f64::NEG_INFINITY, |least| from_ordered(least.0.0)));
            }
            Ok(())
        })?;
        let sorted = largest.into_sorted_vec();
        sorted.iter().filter_map(|Reverse((_, Reverse(id)))| kept.get(id)).try_for_each(visit)
    }

    fn each_block<E>(&self, part: &DayPart<Trades>, mut visit: impl FnMut(&Block<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut flow = Flow::default();
        part.pieces.iter().try_for_each(|piece| flow.read(&part.day, piece.clone(), &mut visit))
    }

    /// Calls `visit` with each trade whose price times size may be `least` or more.
    fn each_from(&self, least: &Cell<f64>, mut visit: impl FnMut(&LargeTrade) -> Result<(), MarketError>) -> Result<(), MarketError> {
        self.days.iter().try_for_each(|part| {
            self.each_block(part, |block| {
                let values = block.ids.iter().zip(block.prices).zip(block.sizes).zip(block.sides);
                for (at, (((trade_id, price), size), side)) in values.enumerate() {
                    // Rounded, the product is good enough to leave out most of them. A product that is no number is looked at.
                    if price * size < least.get() - least.get().abs() * ROUNDING {
                        continue;
                    }
                    let mut notional = ExactSum::default();
                    notional.add_product(*price, *size);
                    let (notional, side) = (notional.value(), if *side == BUY { Side::Buy } else { Side::Sell });
                    visit(&LargeTrade { time: block.time(at), trade_id: *trade_id, side, price: *price, size: *size, notional })?;
                }
                Ok(())
            })
        })
    }

    /// Gives the median and the 99th percentile of the time between two trades, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a time between two trades is far below 2^53 ns")]
    fn inter_arrivals(&self) -> [Option<f64>; 2] {
        let found = quantiles([0.5, 0.99], |visit| {
            let mut before: Option<UnixNanos> = None;
            for part in &self.days {
                let times = |time: UnixNanos| {
                    if let Some(before) = before.replace(time) {
                        visit(time.since(before));
                    }
                };
                each_time(part, times);
            }
        });
        found.map_or([None; 2], |found| found.map(|quantile| Some(quantile.value(|nanos| nanos as f64) / 1e6)))
    }

    /// Gives the median and the 95th percentile of the spread.
    fn spread_quantiles(&self) -> [Option<f64>; 2] {
        let found = quantiles([0.5, 0.95], |visit| self.each_spread(|_, spread| visit(ordered(spread))));
        found.map_or([None; 2], |found| found.map(|quantile| Some(quantile.value(from_ordered))))
    }

    #[expect(clippy::cast_precision_loss, reason = "the times between tickers need no more than 53 bits")]
    fn time_weighted_spread(&self) -> Option<f64> {
        let (mut sum, mut total) = (ExactSum::default(), ExactSum::default());
        let mut before: Option<(UnixNanos, f64)> = None;
        let gaps = GapTimes::of(&self.basis.coverage);
        self.each_spread(|time, spread| {
            if let Some((since, spread)) = before.replace((time, spread)) {
                let nanos = gaps.known_between(since, time) as f64;
                sum.add_product(spread, nanos);
                total.add(nanos);
            }
        });
        sum.ratio(&total)
    }

    /// Calls `visit` with the time and the spread of each ticker that has both prices.
    fn each_spread(&self, mut visit: impl FnMut(UnixNanos, f64)) {
        let mut spread = Spread::default();
        for part in &self.tickers {
            let day = &part.day;
            let wide = day.column::<f64>("best_bid_f64").ok().zip(day.column::<f64>("best_ask_f64").ok());
            let narrow = |name| day.column::<f32>(name).unwrap_or_default();
            let (bids, asks) = (narrow("best_bid"), narrow("best_ask"));
            let time = |name| day.column::<u32>(name).unwrap_or_default();
            let (seconds, nanos) = (time("time"), time("nanos"));
            let mut add = |time: UnixNanos, bid: f64, ask: f64| {
                if bid.is_finite() && ask.is_finite() {
                    visit(time, spread.between(bid, ask));
                }
            };
            for run in part.pieces.iter().flat_map(|piece| day.runs(piece.clone())) {
                let records = match run {
                    Run::Columns(records) => records,
                    Run::Late(ticker) => {
                        let of = |value: Decimal| if wide.is_some() { value.as_f64 } else { shortest_f64(value.as_f32) };
                        add(ticker.time, of(ticker.best_bid), of(ticker.best_ask));
                        continue;
                    }
                };
                for record in records {
                    let time = seconds.get(record).zip(nanos.get(record)).map(|(seconds, nanos)| UnixNanos::from_parts(*seconds, *nanos));
                    let prices = match wide {
                        Some((bids, asks)) => bids.get(record).copied().zip(asks.get(record).copied()),
                        None => bids.get(record).zip(asks.get(record)).map(|(bid, ask)| (shortest_f64(*bid), shortest_f64(*ask))),
                    };
                    if let Some((time, (bid, ask))) = time.zip(prices) {
                        add(time, bid, ask);
                    }
                }
            }
        }
    }
}

/// The times between two stored trades of which others are missing.
struct GapTimes {
    /// Spans that do not touch, in order: from, to, and the nanoseconds of all before.
    spans: Vec<(UnixNanos, UnixNanos, u64)>,
}

impl GapTimes {
    fn of(coverage: &Coverage) -> Self {
        let mut times: Vec<_> = coverage.gaps.iter().map(MissingIds::times).collect();
        times.sort_unstable();
        let mut spans: Vec<(UnixNanos, UnixNanos, u64)> = Vec::new();
        for (from, to) in times {
            match spans.last_mut() {
                Some((_, end, _)) if from <= *end => *end = to.max(*end),
                last => {
                    let before = last.map_or(0, |(from, to, before)| *before + to.since(*from));
                    spans.push((from, to, before));
                }
            }
        }
        Self { spans }
    }

    /// Gives the nanoseconds between two times that are in no gap; 0 where the second one is not behind the first.
    fn known_between(&self, from: UnixNanos, to: UnixNanos) -> u64 {
        to.since(from).saturating_sub(self.before(to).saturating_sub(self.before(from)))
    }

    /// Gives the nanoseconds of gaps before a time.
    fn before(&self, time: UnixNanos) -> u64 {
        let behind = self.spans.partition_point(|(from, ..)| *from < time);
        let last = behind.checked_sub(1).and_then(|at| self.spans.get(at));
        last.map_or(0, |(from, to, before)| before + time.min(*to).since(*from))
    }
}

/// Calls `visit` with the event time of each trade, in the merged order.
fn each_time(part: &DayPart<Trades>, mut visit: impl FnMut(UnixNanos)) {
    let column = |name| part.day.column::<u32>(name).unwrap_or_default();
    let (seconds, nanos) = (column("trade_time"), column("trade_nanos"));
    for run in part.pieces.iter().flat_map(|piece| part.day.runs(piece.clone())) {
        match run {
            Run::Late(trade) => visit(trade.time),
            Run::Columns(records) => {
                let (seconds, nanos) = (seconds.get(records.clone()).unwrap_or_default(), nanos.get(records).unwrap_or_default());
                seconds.iter().zip(nanos).for_each(|(seconds, nanos)| visit(UnixNanos::from_parts(*seconds, *nanos)));
            }
        }
    }
}

/// Gives the trades per second of the time for which the tape reaches.
#[expect(clippy::cast_precision_loss, reason = "counts and times far below 2^53")]
fn rate(trades: u64, coverage: &Coverage, (first, last): (UnixNanos, UnixNanos)) -> Option<f64> {
    let from = coverage.range.from.filter(|_| coverage.captured_from.is_none()).unwrap_or(first);
    let to = coverage.range.to.filter(|_| coverage.captured_to.is_none()).unwrap_or(last);
    let nanos = to.since(from);
    (nanos > 0).then(|| trades as f64 / (nanos as f64 / NANOS_PER_SECOND as f64))
}
