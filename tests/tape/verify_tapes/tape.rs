//! Tapes made by chance: products, days, ids, feeds, columns, dates and states, with the journal that a capture would have left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, OrderId, Origin, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict as Fate, Why};
use coltape::internals::store::{DataDir, Day, Inserted, OWN_FOLDER, StoreOptions, Syncer, seal};
use coltape::internals::time::{DateFormat, UnixNanos, UtcDay};
use coltape::internals::verify::{Report, Verdict, VerifyConfig, verify};

use crate::market::{self, FIRST_DAY};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;

/// The event of the lines that lie in the files of rejects.
const REJECT: &str = "reject";
/// The event of those in the files of exact texts.
const EXACT: &str = "exact";

/// How a dataset-day lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Sealed,
    /// Sealed again with late records in their place.
    Replaced,
    /// Sealed, with late records beside it.
    Late,
    /// A seal with late records was cut short: before the new files were renamed, or behind that.
    Replacing {
        is_renamed: bool,
    },
    /// Not sealed; all of it is durable.
    Live,
    /// Not sealed; the newest records are only committed.
    LiveUnsynced,
}

#[derive(Debug, Clone)]
pub(crate) struct DaySpec {
    pub(crate) date: UtcDay,
    pub(crate) trades: Vec<Trade>,
    pub(crate) tickers: Vec<Ticker>,
    pub(crate) state: State,
}

#[derive(Debug, Clone)]
pub(crate) struct ProductSpec {
    pub(crate) product: ProductId,
    pub(crate) days: Vec<DaySpec>,
}

/// A tape before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) options: StoreOptions,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) products: Vec<ProductSpec>,
    /// The day in whose evening the capture stopped and after whose midnight another one began: what was between is missing and excused.
    pub(crate) absence: Option<UtcDay>,
    /// Whether REST said that it has nothing below the first id.
    pub(crate) says_retention: bool,
    /// Whether somebody removed the files of each day while it was written, and the capture stored them again.
    pub(crate) says_restored: bool,
    /// Messages that could not be used and that are no trades.
    pub(crate) rejected: u64,
    /// Whether the captures name their products.
    pub(crate) names_products: bool,
    /// A product, by its number, that is taken off the list in the evening of a day and is on it again after midnight: what was between is missing and
    /// excused.
    pub(crate) unlisted: Option<(usize, UtcDay)>,
    /// A trade whose price has more digits than an f64 gives back: the numbers of its product and day, and the text.
    pub(crate) exact: Option<(usize, usize, String)>,
    /// How far the clock of the machine was off, in nanoseconds: every receive time says so. A capture raises an alert.
    pub(crate) clock_off: i64,
}

pub(crate) fn date(day: u32) -> UtcDay {
    UtcDay(FIRST_DAY.0 + day)
}

fn at(date: UtcDay, nanos: u64) -> UnixNanos {
    UnixNanos(date.start().0 + nanos)
}

fn make_advanced(trade: &mut Trade) {
    (trade.maker_order_id, trade.taker_order_id, trade.sequence) = (OrderId::NIL, OrderId::NIL, 0);
    trade.origin = Origin::new(Means::Live, 0, 1);
}

/// Makes a trade one that only REST has supplied.
pub(crate) fn make_fetched(trade: &mut Trade) {
    (trade.maker_order_id, trade.taker_order_id, trade.sequence, trade.recv) = (OrderId::NIL, OrderId::NIL, 0, UnixNanos(0));
    // What breaks a rule of plausibility does so whoever supplies it.
    trade.origin = Origin(Origin::new(Means::Rest, 0, 0).0 | trade.origin.0 & 1 << 9);
}

impl Spec {
    /// Draws a tape. It is whole but for its ends, where nothing can be shown, and what passed while no capture was running.
    pub(crate) fn random(rng: &mut fastrand::Rng) -> Self {
        let is_advanced = rng.u8(..4) == 0;
        let options = StoreOptions::default()
            .columns(if rng.u8(..4) == 0 { ColumnSet::Core } else { ColumnSet::Full })
            .date_format(if rng.u8(..4) == 0 { DateFormat::Dmy } else { DateFormat::Iso })
            .first_records(64);
        let mut datasets = vec![Dataset::Trades];
        datasets.extend((rng.u8(..4) > 0).then_some(Dataset::Md));
        datasets.extend((!is_advanced && rng.u8(..4) > 0).then_some(Dataset::TickerTrades));
        let feed = FeedSpec { is_advanced, tells_times: !is_advanced && datasets.contains(&Dataset::Md) };
        let days = 1 + rng.u32(..3);
        let absence = (days > 1 && rng.u8(..5) == 0).then(|| date(rng.u32(..days - 1)));
        let hours = rng.i64(2..100_000);
        let clock_off = match rng.u8(..8) {
            0 => -hours * HOUR as i64,
            1 => hours * HOUR as i64,
            _ => 0,
        };
        let names = ["BTC-USD", "ETH-USD", "BTC-USD~2"];
        let count = *rng.choice(&[1, 1, 2, 3]).expect("a number");
        let may_be_unlisted = days > 1 && absence.is_none() && clock_off == 0 && rng.u8(..5) == 0;
        let unlisted = may_be_unlisted.then(|| (rng.usize(..count), date(rng.u32(..days - 1))));
        let products = names.iter().take(count).enumerate().map(|(number, name)| {
            let unlisted = unlisted.filter(|(product, _)| *product == number).map(|(_, evening)| evening);
            let mut id = if rng.bool() { 1 } else { rng.u64(2..1 << 40) };
            let days = (0..days).filter_map(|day| {
                let is_last = day + 1 == days;
                // A day on which nothing is traded has no files.
                if rng.u8(..8) == 0 && !is_last && day > 0 && absence.is_none() && unlisted.is_none() {
                    return None;
                }
                let mut made = day_spec(date(day), &mut id, feed, is_last, rng);
                let shift = |recv: &mut UnixNanos| {
                    if recv.0 > 0 {
                        recv.0 = recv.0.saturating_add_signed(clock_off);
                    }
                };
                made.trades.iter_mut().for_each(|trade| shift(&mut trade.recv));
                made.tickers.iter_mut().for_each(|ticker| shift(&mut ticker.recv));
                if absence == Some(date(day)) || unlisted == Some(date(day)) {
                    id += rng.u64(1..1000);
                }
                Some(made)
            });
            let days = days.collect();
            ProductSpec { product: ProductId::new(name).expect("a product"), days }
        });
        let mut products: Vec<ProductSpec> = products.collect();
        let exact = if rng.bool() { None } else { make_exact(&mut products, rng) };
        let (says_retention, says_restored) = (rng.bool(), rng.u8(..4) == 0);
        let (rejected, names_products) = (if rng.bool() { 0 } else { rng.u64(1..5) }, unlisted.is_some() || rng.bool());
        Self { options, datasets, products, absence, says_retention, says_restored, rejected, names_products, unlisted, exact, clock_off }
    }

    /// Tells whether what passed of a product in the night behind a day is missing and excused.
    pub(crate) fn is_excused_after(&self, product: usize, evening: UtcDay) -> bool {
        self.absence == Some(evening) || self.unlisted == Some((product, evening))
    }

    /// Gives what `verify` must say of each day.
    pub(crate) fn verdicts(&self) -> Vec<(ProductId, UtcDay, Verdict)> {
        let of = |(number, product): (usize, &ProductSpec)| {
            let product = product.clone();
            let last = product.days.len() - 1;
            let verdict = move |(at, day): (usize, &DaySpec)| {
                let is_begun = at > 0 || day.trades.first().is_some_and(|trade| trade.trade_id == 1);
                let is_cut = self.is_excused_after(number, day.date) || self.is_excused_after(number, UtcDay(day.date.0 - 1));
                let is_proven = day.state != State::LiveUnsynced;
                if is_begun && at < last && !is_cut && is_proven { Verdict::Whole } else { Verdict::Partial }
            };
            product.days.iter().enumerate().map(|it| (product.product.clone(), it.1.date, verdict(it))).collect::<Vec<_>>()
        };
        self.products.iter().enumerate().flat_map(of).collect()
    }

    /// Writes the files of the tape.
    pub(crate) fn build(&self, dir: &Path) {
        let armed = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&armed);
        // Fails the flush behind the state that announces a replacement, or the one behind the new names.
        let probe = Probe::new(move |step| match (step, seen.load(Ordering::Relaxed)) {
            (Step::Flush(Why::SealState), 1) | (Step::Flush(Why::Names), 2) => Fate::Fail,
            _ => Fate::Go,
        });
        for product in &self.products {
            for day in &product.days {
                // A flush that failed is remembered, so each day is written by a process of its own.
                armed.store(0, Ordering::Relaxed);
                let data = Arc::new(
                    DataDir::open(dir, self.options.clone().probe(Some(probe.clone())), "exchange wss://test").expect("a directory"),
                );
                for dataset in self.datasets.iter().filter(|dataset| **dataset != Dataset::Trades) {
                    match dataset {
                        Dataset::Md => write_tickers::<Md>(&data, &product.product, day),
                        _ => write_tickers::<TickerTrades>(&data, &product.product, day),
                    }
                }
                write_day::<Trades>(&data, &product.product, day.date, &day.trades, day.state, &armed);
            }
        }
    }
}

/// Gives a trade, and its ticker, a price of many digits.
fn make_exact(products: &mut [ProductSpec], rng: &mut fastrand::Rng) -> Option<(usize, usize, String)> {
    let product = rng.usize(..products.len());
    let day = rng.usize(..products[product].days.len());
    let of = &mut products[product].days[day];
    let number = rng.usize(..of.trades.len());
    let (price, text) = super::further::exact_value(rng);
    of.trades[number].price = price;
    let id = of.trades[number].trade_id;
    of.tickers.iter_mut().filter(|ticker| ticker.trade_id == id).for_each(|ticker| ticker.price = price);
    Some((product, day, text))
}

/// What the feed of a tape sends.
#[derive(Clone, Copy)]
struct FeedSpec {
    is_advanced: bool,
    /// Whether tickers are stored that say when their trades happened.
    tells_times: bool,
}

fn day_spec(date: UtcDay, id: &mut u64, feed: FeedSpec, is_last: bool, rng: &mut fastrand::Rng) -> DaySpec {
    let is_advanced = feed.is_advanced;
    let count = rng.u64(6..30);
    let prints = market::prints(*id, count, at(date, rng.u64(HOUR..2 * HOUR)), rng.u64(SECOND..600 * SECOND));
    *id += count;
    let mut trades: Vec<Trade> = prints.iter().map(|print| print.trade).collect();
    for trade in &mut trades {
        // The exchange's clock falls a little now and then.
        if rng.u8(..16) == 0 {
            trade.time = UnixNanos(trade.time.0 - rng.u64(..2 * SECOND));
        }
        if is_advanced {
            make_advanced(trade);
        }
        if rng.u8(..8) == 0 {
            make_fetched(trade);
        }
        if rng.u8(..16) == 0 {
            // Not plausible, and kept: its id says that it happened.
            trade.size = coltape::internals::decimal::parse(b"0").expect("a decimal");
            trade.origin = Origin(trade.origin.0 | 1 << 9);
        }
    }
    let has_stepped = step_clock(&mut trades, rng);
    let mut tickers: Vec<Ticker> = prints.iter().filter(|print| print.has_ticker).map(market::ticker).collect();
    for ticker in &mut tickers {
        // A ticker says what its trade says.
        if let Some(trade) = trades.iter().find(|trade| trade.trade_id == ticker.trade_id) {
            (ticker.volume, ticker.time) = (trade.size, trade.time);
        }
    }
    if is_advanced {
        for ticker in &mut tickers {
            *ticker = Ticker { trade_id: 0, sequence: 0, volume: Decimal::NONE, side: None, ..*ticker };
        }
    }
    if feed.tells_times && !has_stepped && rng.bool() && !tickers.is_empty() {
        step_clock_once(&mut trades, &mut tickers, rng);
    }
    let state = match rng.u8(..8) {
        0 => State::Replaced,
        1 => State::Late,
        2 => State::Replacing { is_renamed: rng.bool() },
        3 if is_last => State::LiveUnsynced,
        4 | 5 if is_last => State::Live,
        6 => State::Live,
        _ => State::Sealed,
    };
    DaySpec { date, trades, tickers, state }
}

/// Sets the exchange's clock forward or back for one trade, by less than an hour. Its ticker says the same.
fn step_clock_once(trades: &mut [Trade], tickers: &mut [Ticker], rng: &mut fastrand::Rng) {
    let at = rng.usize(..tickers.len());
    let (ticker, step) = (&mut tickers[at], rng.u64(..3000) * SECOND);
    let Some(trade) = trades.iter_mut().find(|trade| trade.trade_id == ticker.trade_id) else { return };
    let time = if rng.bool() { trade.time.0 + step } else { trade.time.0 - step };
    if UnixNanos(time).day() == trade.time.day() {
        (trade.time, ticker.time) = (UnixNanos(time), UnixNanos(time));
    }
}

/// Sometimes sets the exchange's clock forward or back for several trades, by less than an hour. They are received as they happen. Tells whether it did.
fn step_clock(trades: &mut [Trade], rng: &mut fastrand::Rng) -> bool {
    if rng.u8(..4) > 0 || trades.len() < 9 {
        return false;
    }
    let first = rng.usize(3..trades.len() - 5);
    let (count, step, is_ahead) = (rng.usize(3..=trades.len() - 3 - first), rng.u64(..3000) * SECOND, rng.bool());
    let steps = |trade: &&mut Trade| trade.time.0 % (24 * HOUR) + step < 24 * HOUR;
    for trade in trades.iter_mut().skip(first).take(count).filter(steps) {
        trade.time = UnixNanos(if is_ahead { trade.time.0 + step } else { trade.time.0.saturating_sub(step) });
    }
    true
}

fn write_tickers<L: Layout<Row = Ticker>>(data: &Arc<DataDir>, product: &ProductId, day: &DaySpec) {
    let rows: Vec<Ticker> = day.tickers.iter().filter(|ticker| L::DATASET == Dataset::Md || ticker.carries_trade()).copied().collect();
    let state = match day.state {
        live @ (State::Live | State::LiveUnsynced) => live,
        // Late tickers are a thing of captures over midnight.
        _ => State::Sealed,
    };
    write_day::<L>(data, product, day.date, &rows, state, &AtomicU8::new(0));
}

/// Writes one dataset-day in its state.
fn write_day<L: Layout>(data: &Arc<DataDir>, product: &ProductId, date: UtcDay, rows: &[L::Row], state: State, armed: &AtomicU8) {
    if rows.is_empty() {
        return;
    }
    let mut syncer = Syncer::new(Arc::clone(data));
    let (mut day, _) = Day::<L>::open(data, product, date, date.start()).expect("a day");
    syncer.watch(day.files());
    let late: Vec<usize> = match state {
        State::Replaced | State::Late | State::Replacing { .. } => vec![rows.len() / 3, rows.len() / 2],
        _ => Vec::new(),
    };
    let half = rows.len() / 2;
    for (number, row) in rows.iter().enumerate().filter(|(number, _)| !late.contains(number)) {
        if number == half && state == State::LiveUnsynced {
            day.commit();
            syncer.cycle().expect("synced");
        }
        assert_eq!(market::insert(&mut day, row), Inserted::Appended);
    }
    day.commit();
    if state == State::LiveUnsynced {
        return;
    }
    for _ in 0..2 {
        syncer.cycle().expect("synced");
    }
    if state == State::Live {
        return;
    }
    let sealed = seal::seal(data, vec![day.close()]).pop().expect("an outcome").sealed;
    sealed.expect("sealed");
    if late.is_empty() {
        return;
    }
    let (mut day, _) = Day::<L>::open(data, product, date, UnixNanos(u64::MAX)).expect("a day");
    syncer.watch(day.files());
    for number in &late {
        assert_eq!(market::insert(&mut day, &rows[*number]), Inserted::Late);
    }
    day.commit();
    syncer.cycle().expect("synced");
    if state == State::Late {
        return;
    }
    drop(syncer);
    if let State::Replacing { is_renamed } = state {
        armed.store(if is_renamed { 2 } else { 1 }, Ordering::Relaxed);
    }
    let sealed = seal::seal(data, vec![day.close()]).pop().expect("an outcome").sealed;
    assert_eq!(sealed.is_ok(), state == State::Replaced, "{sealed:?}");
}

/// The lines of a journal, each with its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(pub(crate) Vec<(UnixNanos, String)>);

impl Lines {
    pub(crate) fn add(&mut self, time: UnixNanos, event: &str, fields: &str) {
        let comma = if fields.is_empty() { "" } else { "," };
        self.0.push((time, format!(r#"{{"time":"{time}","event":"{event}"{comma}{fields}}}"#)));
    }

    /// Gives the lines that a capture of the tape would have left.
    pub(crate) fn of(spec: &Spec) -> Self {
        let mut lines = Self::default();
        let dates: Vec<UtcDay> = spec.products.iter().flat_map(|product| product.days.iter().map(|day| day.date)).collect();
        let (first, last) = (*dates.iter().min().expect("a day"), *dates.iter().max().expect("a day"));
        lines.started(at(first, HOUR / 2));
        lines.products(spec, at(first, HOUR / 2));
        for number in 0..spec.rejected {
            let raw = format!(r#"{{\"type\":\"unknown\",\"number\":{number}}}"#);
            lines.add(at(first, HOUR + number), REJECT, &format!(r#""reason":"shape","raw":"{raw}""#));
        }
        if spec.clock_off != 0 {
            lines.add(at(first, HOUR / 2 + 2), "alert_raised", r#""alert":"clock_off","subject":"","text":"hours""#);
            let (off_s, is_behind) = (spec.clock_off.unsigned_abs() / 1_000_000_000, spec.clock_off < 0);
            lines.add(at(first, HOUR / 2 + 3), "clock_off", &format!(r#""off_s":{off_s},"is_behind":{is_behind}"#));
        }
        for product in &spec.products {
            if let Some(trade) = product.days.first().and_then(|day| day.trades.first()).filter(|_| spec.says_retention) {
                lines.add(
                    at(first, HOUR / 2 + 1),
                    "trading_began",
                    &format!(r#""product":"{}","first_id":{}"#, product.product, trade.trade_id),
                );
            }
            for day in &product.days {
                lines.day(spec, &product.product, day);
            }
        }
        if let Some(evening) = spec.absence {
            lines.stopped(at(evening, 23 * HOUR), spec.rejected, "");
            lines.started(at(evening.next(), HOUR / 2));
            lines.products(spec, at(evening.next(), HOUR / 2));
        }
        lines.exact(spec);
        if let Some((product, evening)) = spec.unlisted {
            let product = format!(r#""product":"{}""#, spec.products[product].product);
            lines.add(at(evening, 23 * HOUR), "product_removed", &product);
            lines.add(at(evening.next(), HOUR / 2), "product_added", &product);
        }
        lines.stopped(at(last.next(), HOUR), if spec.absence.is_none() { spec.rejected } else { 0 }, "");
        lines.0.sort_by_key(|(time, _)| *time);
        lines
    }

    fn day(&mut self, spec: &Spec, product: &ProductId, day: &DaySpec) {
        let carrying = day.tickers.iter().filter(|ticker| ticker.carries_trade()).count();
        for (dataset, records) in [(Dataset::Trades, day.trades.len()), (Dataset::Md, day.tickers.len()), (Dataset::TickerTrades, carrying)]
        {
            if records == 0 || !spec.datasets.contains(&dataset) {
                continue;
            }
            let key = format!(r#""product":"{product}","dataset":"{}","date":"{}""#, dataset.name(), day.date);
            // By the clock of the machine: a trade that lies in a wrong day was received with the others.
            let day_of_box = UtcDay(day.date.0.clamp(FIRST_DAY.0, FIRST_DAY.0 + 5));
            self.add(at(day_of_box, HOUR), "day_opened", &format!(r#"{key},"how":"created""#));
            if spec.says_restored {
                self.add(at(day_of_box, 2 * HOUR), "day_restored", &format!(r#"{key},"records":{}"#, records.saturating_sub(3)));
            }
            let is_ticker = dataset != Dataset::Trades;
            let (generation, in_columns) = match day.state {
                State::Live | State::LiveUnsynced => continue,
                State::Replaced if !is_ticker => (1, records),
                State::Late | State::Replacing { .. } if !is_ticker => (0, records - 2),
                _ => (0, records),
            };
            let sealed = format!(r#"{key},"records":{in_columns},"late_merged":0,"generation":{generation}"#);
            self.add(at(day_of_box.next(), HOUR / 6), "day_sealed", &sealed);
        }
        let mut fetched = day.trades.iter().filter(|trade| trade.recv.0 == 0);
        if let Some(trade) = fetched.next() {
            let ids = format!(r#""product":"{product}","from_id":{0},"to_id":{0}"#, trade.trade_id);
            self.add(UnixNanos(trade.time.0 + SECOND), "gap_opened", &format!(r#"{ids},"why":"jump""#));
            self.add(UnixNanos(trade.time.0 + 2 * SECOND), "gap_filled", &format!(r#"{ids},"by":"rest""#));
        }
    }

    pub(crate) fn started(&mut self, time: UnixNanos) {
        self.add(time, "capture_started", r#""endpoint":"exchange wss://test","products":1,"version":"0.1.0""#);
    }

    /// Adds the exact text of a trade, if that is still there.
    fn exact(&mut self, spec: &Spec) {
        let Some((product, day, text)) = &spec.exact else { return };
        let Some(of) = spec.products.get(*product) else { return };
        let price = coltape::internals::decimal::parse(text.as_bytes()).expect("a decimal");
        let mut trades = of.days.get(*day).into_iter().flat_map(|day| &day.trades);
        if let Some(trade) = trades.find(|trade| trade.price == price) {
            let (name, key) = (of.product.feed_name(), trade.trade_id);
            self.add(trade.time, EXACT, &format!(r#""product":"{name}","column":"trade_price_f64","key":{key},"text":"{text}""#));
        }
    }

    /// Adds the lines in which a capture names its products.
    fn products(&mut self, spec: &Spec, time: UnixNanos) {
        for product in spec.products.iter().filter(|_| spec.names_products) {
            self.add(UnixNanos(time.0 + 1), "product_added", &format!(r#""product":"{}""#, product.product));
        }
    }

    /// Adds the end of a capture that has rejected some messages. `change` replaces figures, as in `conflict=3`.
    pub(crate) fn stopped(&mut self, time: UnixNanos, rejected: u64, change: &str) {
        let figure = |name: &str| {
            let found = change.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let usual = match name {
                "received" | "written" => 40,
                "rejected" => rejected,
                _ => 0,
            };
            found.map_or_else(|| usual.to_string(), ToOwned::to_owned)
        };
        let mut fields = vec![r#""frames":9"#.to_owned()];
        for name in ["received", "fetched", "written", "late", "duplicate", "conflict", "shed", "rejected"] {
            fields.push(format!(r#""trades_{name}":{}"#, figure(name)));
        }
        let sums = if change == "sums" { "do not hold" } else { "hold" };
        fields.push(format!(r#""sums":"{sums}","failure":"""#));
        self.add(time, "capture_stopped", &fields.join(","));
    }

    pub(crate) fn write(&self, dir: &Path) {
        let own = dir.join(OWN_FOLDER);
        std::fs::create_dir_all(&own).expect("a folder");
        let mut lines = self.0.clone();
        lines.sort_by_key(|(time, _)| *time);
        for (time, line) in &lines {
            let is_of = |event: &str| line.contains(&format!(r#""event":"{event}""#));
            let name = if is_of(REJECT) {
                "rejects"
            } else if is_of(EXACT) {
                "exact"
            } else {
                "journal"
            };
            append(&own.join(format!("{name}.{}.jsonl", time.day())), &format!("{line}\n"));
        }
        let product =
            r#"{"time":"2025-06-07T00:00:00.000000000Z","event":"product","product":"BTC-USD","status":"unknown to the exchange"}"#;
        append(&own.join("products.jsonl"), &format!("{product}\n"));
    }
}

pub(crate) fn append(path: &Path, text: &str) {
    let mut file = std::fs::File::options().append(true).create(true).open(path).expect("opened");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
}

/// When tapes are verified.
pub(crate) const NOW: UnixNanos = UnixNanos((FIRST_DAY.0 as u64 + 30) * 24 * HOUR);

pub(crate) fn verified(dir: &Path) -> Report {
    verify(&VerifyConfig::new(dir, NOW)).expect("verified")
}

/// The path of a file of a dataset-day.
pub(crate) fn file(spec: &Spec, dir: &Path, product: &ProductId, dataset: Dataset, name: &str, date: UtcDay) -> PathBuf {
    let spelled = date.spelled(spec.options.date_format);
    dir.join(product.as_str()).join(dataset.folder()).join(format!("{name}.{spelled}.bin"))
}
