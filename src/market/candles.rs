//! [`Candles`]: trades added up in buckets of time.
//!
//! 1. Buckets are aligned to the epoch and filled by event time. A bucket lies within one day, and so within one day's files: what is kept at once are the
//!    buckets of one day.
//! 2. Open and close are the prices of the lowest and the highest trade id of a bucket. The other values do not depend on the order.
//! 3. A missing id counts once ([`Candle::missing`]). The ids of a gap are spread evenly over the time between the trades before and after it, so those of
//!    a gap within one bucket all count there. What falls into a bucket without a candle counts in the candle before it, or in the first one.
//! 4. The interval of a bucket is never shortened: with `from` in the middle of one, its candle holds the trades from there on.

use super::basis::Basis;
use super::coverage::{Coverage, MissingIds};
use super::days;
use super::error::MarketError;
use super::flow::{Block, Flow};
use super::tally::Tally;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::Snapshot;
use crate::tape::Tape;
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Seconds of a day.
pub(super) const DAY_SECONDS: usize = 86_400;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interval {
    /// `1s`
    Second,
    /// `1m`
    #[default]
    Minute,
    /// `5m`
    FiveMinutes,
    /// `15m`
    QuarterHour,
    /// `1h`
    Hour,
    /// `6h`
    SixHours,
    /// `1d`
    Day,
}

impl Interval {
    /// Every interval, the shortest first.
    pub const ALL: [Self; 7] = [Self::Second, Self::Minute, Self::FiveMinutes, Self::QuarterHour, Self::Hour, Self::SixHours, Self::Day];

    /// Gives its seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
            Self::SixHours => 21_600,
            Self::Day => 86_400,
        }
    }

    /// Spells it as the command line does.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "1d",
        }
    }

    const fn nanos(self) -> u64 {
        self.seconds() as u64 * NANOS_PER_SECOND
    }

    /// Gives the buckets of a day.
    const fn per_day(self) -> usize {
        DAY_SECONDS / self.seconds() as usize
    }
}

/// What stands for a bucket without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Nothing, as Coinbase does.
    #[default]
    None,
    /// The last close four times, volume 0. Only up to where the tape is known to reach.
    Flat,
}

/// A bucket of trades.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Candle {
    /// Where the bucket begins.
    pub time: UnixNanos,
    /// The price of the lowest trade id.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The price of the highest trade id.
    pub close: f64,
    /// The sum of the sizes.
    pub volume: f64,
    /// The part of it that takers bought.
    pub buy_volume: f64,
    /// The part of it that takers sold.
    pub sell_volume: f64,
    /// The number of trades.
    pub trades: u64,
    /// The mean price, weighted by size. `None` where the volume is 0.
    pub vwap: Option<f64>,
    /// Trade ids that are missing in the bucket.
    pub missing: u64,
}

/// Which candles are asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candles {
    /// The tape.
    pub tape: Tape,
    /// The product.
    pub product: ProductId,
    /// The event times.
    pub range: TimeRange,
    /// The length of a bucket.
    pub interval: Interval,
    /// What stands for an empty bucket.
    pub fill: Fill,
}

impl Candles {
    /// Asks for the candles of one minute of all that is stored.
    #[must_use]
    pub const fn new(tape: Tape, product: ProductId) -> Self {
        Self { tape, product, range: TimeRange::ALL, interval: Interval::Minute, fill: Fill::None }
    }

    /// Calls `visit` with each candle, in order of time. Gives what the candles rest on.
    ///
    /// # Errors
    /// Where the tape has no such trades or cannot be read, and where `visit` fails.
    pub fn for_each(&self, visit: impl FnMut(&Candle) -> Result<(), MarketError>) -> Result<Basis, MarketError> {
        let dates = self.tape.days_in(&self.product, Dataset::Trades, self.range)?;
        let mut basis = Basis::of(&self.tape, &self.product, self.range)?;
        let coverage = &basis.coverage;
        let mut rows = Rows { flat: self.flat_times(coverage)?, held: None, pending: 0, visit };
        let mut gaps = coverage.gaps.clone();
        gaps.sort_by_key(|gap| gap.times().0);
        let (mut flow, mut buckets) = (Flow::default(), Vec::new());
        let mut counted_to = self.range.from;
        for date in self.days(dates, coverage) {
            rows.add_missing(missing_within(&gaps, TimeRange { from: counted_to, to: Some(date.start()) }));
            // A gap that ends before this day concerns none of the later ones.
            gaps.retain(|gap| gap.times().1 >= date.start());
            self.tally_day(date, &mut flow, &mut buckets)?;
            self.spread_missing(date, &gaps, &mut buckets);
            rows.add_day(self, date, &buckets)?;
            counted_to = counted_to.max(Some(date.next().start()));
        }
        rows.add_missing(missing_within(&gaps, TimeRange { from: counted_to, to: self.range.to }));
        if rows.held.is_none() {
            return Err(MarketError::NoTrades { product: self.product.clone() });
        }
        rows.finish()?;
        basis.has_core_days = flow.has_narrow();
        Ok(basis)
    }

    /// Gives the days to go through: those that are stored, and with flat candles all from the first to the last.
    fn days(&self, dates: Vec<UtcDay>, coverage: &Coverage) -> Vec<UtcDay> {
        let (Some(first), Some(last)) = (dates.first().copied(), dates.last().copied()) else { return dates };
        if self.fill == Fill::None {
            return dates;
        }
        let from = self.range.from.filter(|_| coverage.captured_from.is_none()).map_or(first, UnixNanos::day);
        let to = self.range.to.filter(|_| coverage.captured_to.is_none()).map_or(last, |to| UnixNanos(to.0.saturating_sub(1)).day());
        (from.0..=to.0).map(UtcDay).collect()
    }

    /// Tells in which times an empty bucket gets a flat candle, and with which price they begin.
    fn flat_times(&self, coverage: &Coverage) -> Result<Option<FlatTimes>, MarketError> {
        if self.fill == Fill::None {
            return Ok(None);
        }
        let is_begun = coverage.captured_from.is_none();
        let last_close = self.range.from.filter(|_| is_begun).map(|from| self.close_before(from)).transpose()?.flatten();
        let end = coverage.captured_to.map_or(self.range.to, |last| Some(UnixNanos(last.time.0.saturating_add(1))));
        Ok(Some(FlatTimes { last_close, from: self.range.from.unwrap_or_default(), to: end.unwrap_or_default() }))
    }

    /// Adds up the trades of a day, bucket by bucket.
    fn tally_day(&self, date: UtcDay, flow: &mut Flow, buckets: &mut Vec<Bucket>) -> Result<(), MarketError> {
        buckets.clear();
        buckets.resize(self.interval.per_day(), Bucket::default());
        let Some(day) = days::open::<Trades>(&self.tape, &self.product, date)? else { return Ok(()) };
        let pieces = if self.range.covers_day(date) { std::iter::once(0..day.count()).collect() } else { day.time_pieces(self.range) };
        let start = date.start().seconds();
        for piece in pieces {
            flow.read(&day, piece, |block| add_block(block, start, self.interval.seconds(), buckets))
                .map_err(|id| MarketError::Misplaced { product: self.product.clone(), date, id })?;
        }
        Ok(())
    }

    /// Counts the missing ids of a day, bucket by bucket. The gaps are in order of their earliest times.
    fn spread_missing(&self, date: UtcDay, gaps: &[MissingIds], buckets: &mut [Bucket]) {
        let (start, end) = (date.start(), date.next().start());
        for gap in gaps.iter().take_while(|gap| gap.times().0 < end) {
            let (first, last) = gap.times();
            let place = |time: UnixNanos| usize::try_from(time.since(start) / self.interval.nanos()).unwrap_or(usize::MAX);
            for (at, bucket) in buckets.iter_mut().enumerate().take(place(last).saturating_add(1)).skip(place(first)) {
                let from = start.0 + at as u64 * self.interval.nanos();
                let to = from + self.interval.nanos();
                let within = TimeRange {
                    from: Some(UnixNanos(self.range.from.map_or(from, |first| first.0.max(from)))),
                    to: Some(UnixNanos(self.range.to.map_or(to, |end| end.0.min(to)))),
                };
                bucket.missing = bucket.missing.saturating_add(gap.count_within(within));
            }
        }
    }

    /// Finds the price of the last trade before a time.
    fn close_before(&self, from: UnixNanos) -> Result<Option<f64>, MarketError> {
        let before = TimeRange { from: None, to: Some(from) };
        for date in self.tape.days(&self.product, Dataset::Trades)?.into_iter().rev().filter(|date| before.overlaps_day(*date)) {
            let Some(day) = days::open::<Trades>(&self.tape, &self.product, date)? else { continue };
            let last = last_before(&day, before).and_then(|number| day.row(number));
            if let Some(trade) = last {
                return Ok(Some(price_of(&day, trade.price)));
            }
        }
        Ok(None)
    }
}

/// Gives the number of a day's last record of a range of time.
fn last_before(day: &Snapshot<Trades>, range: TimeRange) -> Option<usize> {
    if range.covers_day(day.key().date) { day.count().checked_sub(1) } else { day.time_range(range).end.checked_sub(1) }
}

/// Gives a price as the columns of its day have it.
pub(crate) fn price_of(day: &Snapshot<Trades>, price: crate::decimal::Decimal) -> f64 {
    if day.column::<f64>("trade_price_f64").is_ok() { price.as_f64 } else { super::sum::shortest_f64(price.as_f32) }
}

/// Adds the trades of a block to the buckets of their day.
///
/// # Errors
/// The id of a trade of another day.
fn add_block(block: &Block<'_>, start: u32, seconds: u32, buckets: &mut [Bucket]) -> Result<(), u64> {
    let mut at = 0;
    while let Some(rest) = block.seconds.get(at..)
        && let Some(first) = rest.first()
    {
        let place = first.wrapping_sub(start) / seconds;
        let Some(bucket) = usize::try_from(place).ok().and_then(|place| buckets.get_mut(place)) else {
            return Err(block.ids.get(at).copied().unwrap_or(0));
        };
        let from = start.saturating_add(place.saturating_mul(seconds));
        let is_within = |second: &u32| second.wrapping_sub(from) < seconds;
        // Most blocks lie in one bucket: that is seen without a branch for each trade.
        let are_all = rest.iter().fold(true, |all, second| all & is_within(second));
        let count = if are_all { rest.len() } else { rest.iter().take_while(|second| is_within(second)).count() };
        bucket.tally.add(block, at..at + count);
        at += count;
    }
    Ok(())
}

/// A bucket of the day that is being added up.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    tally: Tally,
    missing: u64,
}

/// Adds up the ids of gaps that are missing in a range of time.
fn missing_within(gaps: &[MissingIds], range: TimeRange) -> u64 {
    gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.count_within(range)))
}

/// Where an empty bucket gets a flat candle.
struct FlatTimes {
    /// The last close. `None` before the first trade.
    last_close: Option<f64>,
    from: UnixNanos,
    to: UnixNanos,
}

/// Makes candles of buckets. It holds each candle back until the next one is known, as missing ids of the buckets between the two count in it.
struct Rows<V> {
    flat: Option<FlatTimes>,
    held: Option<Candle>,
    /// Missing ids of the buckets before the first candle.
    pending: u64,
    visit: V,
}

impl<V: FnMut(&Candle) -> Result<(), MarketError>> Rows<V> {
    fn add_day(&mut self, asked: &Candles, date: UtcDay, buckets: &[Bucket]) -> Result<(), MarketError> {
        for (at, bucket) in (0u64..).zip(buckets) {
            let time = UnixNanos(date.start().0 + at * asked.interval.nanos());
            let candle = if bucket.tally.trades > 0 {
                Some(candle_of(time, bucket))
            } else {
                self.flat.as_ref().and_then(|flat| flat.candle(time, asked.interval, bucket.missing))
            };
            match candle {
                Some(candle) => self.add(candle)?,
                None => self.add_missing(bucket.missing),
            }
        }
        Ok(())
    }

    fn add(&mut self, mut candle: Candle) -> Result<(), MarketError> {
        if let Some(flat) = &mut self.flat {
            flat.last_close = Some(candle.close);
        }
        candle.missing = candle.missing.saturating_add(std::mem::take(&mut self.pending));
        match self.held.replace(candle) {
            Some(before) => (self.visit)(&before),
            None => Ok(()),
        }
    }

    /// Counts missing ids of a time without a candle.
    fn add_missing(&mut self, missing: u64) {
        let place = self.held.as_mut().map_or(&mut self.pending, |held| &mut held.missing);
        *place = place.saturating_add(missing);
    }

    fn finish(&mut self) -> Result<(), MarketError> {
        self.held.take().map_or(Ok(()), |last| (self.visit)(&last))
    }
}

impl FlatTimes {
    fn candle(&self, time: UnixNanos, interval: Interval, missing: u64) -> Option<Candle> {
        let close = self.last_close?;
        let is_within = time < self.to && time.0.saturating_add(interval.nanos()) > self.from.0;
        let (volume, vwap) = (0.0, None);
        is_within.then_some(Candle {
            time,
            open: close,
            high: close,
            low: close,
            close,
            volume,
            buy_volume: volume,
            sell_volume: volume,
            trades: 0,
            vwap,
            missing,
        })
    }
}

fn candle_of(time: UnixNanos, bucket: &Bucket) -> Candle {
    let Tally { trades, open, high, low, close, .. } = bucket.tally;
    Candle {
        time,
        open,
        high,
        low,
        close,
        volume: bucket.tally.volume().value(),
        buy_volume: bucket.tally.bought.value(),
        sell_volume: bucket.tally.sold.value(),
        trades,
        vwap: bucket.tally.vwap(),
        missing: bucket.missing,
    }
}
