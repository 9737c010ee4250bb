//! Checks tickers against each other and against the trades: what two datasets say of one event must agree.
//!
//! 1. A record of `TICKER_TRADES` says of the trade what its record of `MD` says. Its spread is that record's ask minus its bid, rounded. Records are paired
//!    within one event time, whatever their order. A record without its partner is counted and is no finding: a crash may cost the end of one dataset.
//! 2. A ticker that names a stored trade agrees with it in side, price and size.
//!    Its event time is the trade's, too: in the recorded sessions it is so 107 of 107 times. Where the two lie more than [`CLOCK_FALL_NANOS`] apart, one of
//!    them is wrong.
//! 3. Nothing can show that every ticker was captured: the feed itself skips trades.

use std::collections::{BTreeMap, BTreeSet};

use super::day::ClockOfNow;
use super::finding::{FindingKind, Findings, Location, Suspect};
use super::index::IndexedDays;
use super::order::CLOCK_FALL_NANOS;
use crate::record::SIDE_UNKNOWN;
use crate::schema::{Column, Layout, Md, TickerTrades, Trades, Value};
use crate::store::Snapshot;
use crate::stored::{self, u32_at, u64_at};
use crate::time::{UnixNanos, UtcDay};

/// How many records of `MD` and `TICKER_TRADES` were paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pairing {
    /// Pairs that agree.
    pub pairs: u64,
    /// Records without a partner.
    pub unpaired: u64,
}

/// A trade as a ticker tells of it.
struct ToldTrade {
    /// Seconds, nanoseconds, price, volume, side.
    values: [Value; 5],
    /// `None` where it cannot be told.
    spread: Option<f32>,
}

impl ToldTrade {
    /// Gives seconds and nanoseconds of the event time.
    fn time(&self) -> (u32, u32) {
        match self.values {
            [Value::U32(seconds), Value::U32(nanos), ..] => (seconds, nanos),
            _ => (0, 0),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let spreads = match (self.spread, other.spread) {
            (Some(own), Some(other)) => stored::is_same(Value::F32(own), Value::F32(other)),
            _ => true,
        };
        spreads && self.values.iter().zip(&other.values).all(|(own, other)| stored::is_same(*own, *other))
    }
}

impl std::fmt::Display for ToldTrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.values {
            [Value::U32(seconds), Value::U32(nanos), Value::F32(price), Value::F32(volume), Value::U32(side)] => {
                let spread = self.spread.unwrap_or(f32::NAN);
                write!(f, "{seconds}.{nanos:09} price {price} volume {volume} side {side} spread {spread}")
            }
            ref other => write!(f, "{other:?}"),
        }
    }
}

/// Checks a day's `TICKER_TRADES` against its `MD`.
pub(super) fn pair(md: &Snapshot<Md>, trades: &Snapshot<TickerTrades>, location: &Location, findings: &mut Findings) -> Pairing {
    let mut pairing = Pairing::default();
    let mut md = MdTrades::new(md).peekable();
    let mut trades = TickerTradeRecords { snapshot: trades, next: 0, values: Vec::new() }.peekable();
    loop {
        let time = match (md.peek(), trades.peek()) {
            (None, None) => return pairing,
            (Some(one), None) | (None, Some(one)) => one.time(),
            (Some(one), Some(other)) => one.time().min(other.time()),
        };
        let of_md: Vec<ToldTrade> = std::iter::from_fn(|| md.next_if(|row| row.time() == time)).collect();
        let mut of_trades: Vec<ToldTrade> = std::iter::from_fn(|| trades.next_if(|row| row.time() == time)).collect();
        pair_within(of_md, &mut of_trades, &mut pairing, location, findings);
    }
}

/// Pairs the records of one event time.
fn pair_within(of_md: Vec<ToldTrade>, of_trades: &mut Vec<ToldTrade>, pairing: &mut Pairing, location: &Location, findings: &mut Findings) {
    let mut unmatched = Vec::new();
    for told in of_md {
        match of_trades.iter().position(|other| told.is_same(other)) {
            Some(at) => {
                of_trades.remove(at);
                pairing.pairs += 1;
            }
            None => unmatched.push(told),
        }
    }
    for told in unmatched {
        match of_trades.pop() {
            Some(other) => findings.add(FindingKind::TickerTrade, location, || format!("MD says {told}, TICKER_TRADES {other}")),
            None => pairing.unpaired += 1,
        }
    }
    pairing.unpaired += of_trades.len() as u64;
}

fn place_of(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name == name)
}

/// The trades that the records of `MD` tell of.
struct MdTrades<'a> {
    snapshot: &'a Snapshot<Md>,
    next: usize,
    values: Vec<Value>,
    /// Seconds, nanoseconds, price, volume, side.
    columns: [Option<usize>; 5],
    trade_id: Option<usize>,
    /// Bid and ask.
    quotes: Option<(usize, usize)>,
}

impl<'a> MdTrades<'a> {
    fn new(snapshot: &'a Snapshot<Md>) -> Self {
        let columns = stored::columns_of(snapshot);
        let of = |name| place_of(columns, name);
        Self {
            snapshot,
            next: 0,
            values: Vec::new(),
            columns: [of("time"), of("nanos"), of("price"), of("volume"), of("side")],
            trade_id: of("trade_id"),
            quotes: of("best_bid_f64").zip(of("best_ask_f64")),
        }
    }
}

impl Iterator for MdTrades<'_> {
    type Item = ToldTrade;

    /// Gives the trade of the next record that tells of one.
    #[expect(clippy::cast_possible_truncation, reason = "the spread is an f32: rounding is what it means")]
    fn next(&mut self) -> Option<ToldTrade> {
        while stored::load(self.snapshot, self.next, &mut self.values) {
            self.next += 1;
            let value = |at: usize| self.values.get(at).copied();
            let [Some(seconds), Some(nanos), Some(price), Some(volume), Some(side)] = self.columns.map(|at| at.and_then(value)) else {
                return None;
            };
            let has_id = self.trade_id.is_none_or(|at| u64_at(&self.values, at) != Some(0));
            let has_volume = !matches!(volume, Value::F32(volume) if volume.is_nan());
            if !has_id || !has_volume || side == Value::U32(SIDE_UNKNOWN) {
                continue;
            }
            let spread = self.quotes.and_then(|(bid, ask)| match (value(bid), value(ask)) {
                (Some(Value::F64(bid)), Some(Value::F64(ask))) => Some((ask - bid) as f32),
                _ => None,
            });
            return Some(ToldTrade { values: [seconds, nanos, price, volume, side], spread });
        }
        None
    }
}

/// The records of `TICKER_TRADES`.
struct TickerTradeRecords<'a> {
    snapshot: &'a Snapshot<TickerTrades>,
    next: usize,
    values: Vec<Value>,
}

impl Iterator for TickerTradeRecords<'_> {
    type Item = ToldTrade;

    fn next(&mut self) -> Option<ToldTrade> {
        if !stored::load(self.snapshot, self.next, &mut self.values) {
            return None;
        }
        self.next += 1;
        match self.values.as_slice() {
            // Columns of a later version may stand behind these.
            [seconds, nanos, price, volume, side, Value::F32(spread), ..] => {
                Some(ToldTrade { values: [*seconds, *nanos, *price, *volume, *side], spread: Some(*spread) })
            }
            _ => None,
        }
    }
}

/// The columns of `MD` and of `TRADES` that say the same of a trade.
const SAME_IN_BOTH: [(&str, &str); 5] = [
    ("side", "trade_side"),
    ("price", "trade_price"),
    ("volume", "trade_size"),
    ("price_f64", "trade_price_f64"),
    ("volume_f64", "trade_size_f64"),
];

/// Checks a day's tickers against the trades that they name. Gives how many stored trades are named; nothing where the tickers hold no trade ids.
pub(super) fn check_named_trades(
    md: &Snapshot<Md>,
    trades: &mut IndexedDays<Trades>,
    location: &Location,
    findings: &mut Findings,
) -> Option<u64> {
    let columns = stored::columns_of(md);
    let id_at = place_of(columns, "trade_id")?;
    let side_at = place_of(columns, "side");
    let times = |columns: &[Column], seconds: &str, nanos: &str| place_of(columns, seconds).zip(place_of(columns, nanos));
    let times = times(columns, "time", "nanos").zip(times(Trades::COLUMNS, "trade_time", "trade_nanos"));
    let places = SAME_IN_BOTH.map(|(own, of_trade)| place_of(columns, own).zip(place_of(Trades::COLUMNS, of_trade)));
    let (mut values, mut trade) = (Vec::new(), Vec::new());
    let (mut named, mut newest, mut has_ids) = (0, 0, false);
    for number in 0..md.count() {
        if !stored::load(md, number, &mut values) {
            break;
        }
        let Some(id) = u64_at(&values, id_at).filter(|id| *id != 0) else { continue };
        has_ids = true;
        let date = md.row(number).map_or(md.key().date, |row| Md::time(&row).day());
        let Some(position) = trades.find(id, date, |_, _| true) else { continue };
        if id > newest {
            named += 1;
            newest = id;
        }
        trades.load(position, &mut trade);
        let differs = |place: &Option<(usize, usize)>| {
            place.is_some_and(|(own, of_trade)| values.get(own).zip(trade.get(of_trade)).is_some_and(|(own, told)| denies(*own, *told)))
        };
        if let Some(at) = places.iter().position(differs) {
            let name = SAME_IN_BOTH.get(at).map_or("?", |pair| pair.0);
            let side = side_at.and_then(|at| u32_at(&values, at)).unwrap_or(SIDE_UNKNOWN);
            findings
                .add(FindingKind::TickerDisagrees, location, || format!("record {number} (side {side}) and trade {id} differ in {name}"));
        }
        let own = times.and_then(|(own, _)| time_at(&values, own));
        let told = times.and_then(|(_, of_trade)| time_at(&trade, of_trade));
        if let Some((own, told)) = own.zip(told).filter(|(own, told)| own.0.abs_diff(told.0) > CLOCK_FALL_NANOS) {
            findings
                .add(FindingKind::TickerDisagrees, location, || format!("record {number} dates trade {id} {own}, its own record {told}"));
        }
    }
    (has_ids || md.count() == 0).then_some(named)
}

/// Gives the time that stands in two columns.
fn time_at(values: &[Value], (seconds, nanos): (usize, usize)) -> Option<UnixNanos> {
    Some(UnixNanos::from_parts(u32_at(values, seconds)?, u32_at(values, nanos)?))
}

/// Decides about trades whose event times others contradict. A ticker that says the same time shows that it is as the exchange made it: a step of its
/// clock. So does a capture that found the two clocks apart on that day (`clock_off`): a quiet product may have had one trade in such a step. The others
/// are findings.
pub(super) fn settle_suspects(trades: &IndexedDays<Trades>, md: Option<&IndexedDays<Md>>, clock: &ClockOfNow<'_>, findings: &mut Findings) {
    let mut suspects = findings.take_suspects();
    suspects.retain(|suspect| !clock.off.concern(suspect.location.date));
    let dates: BTreeSet<Option<UtcDay>> = suspects.iter().map(|suspect| suspect.location.date).collect();
    for date in dates.into_iter().flatten() {
        let Some((own, tickers)) = trades.day(date).zip(md.and_then(|days| days.day(date))) else { continue };
        let id_of = |suspect: &Suspect| own.snapshot.row(suspect.number).map_or(0, |trade| trade.trade_id);
        let of_date = suspects.iter().filter(|suspect| suspect.location.date == Some(date));
        let mut untold: BTreeMap<UnixNanos, u64> = of_date.map(|suspect| (suspect.time, id_of(suspect))).collect();
        for ticker in tickers.snapshot.rows() {
            // Tickers of the core have no trade id.
            if untold.get(&ticker.time).is_some_and(|id| ticker.trade_id == 0 || ticker.trade_id == *id) {
                untold.remove(&ticker.time);
            }
        }
        suspects.retain(|suspect| suspect.location.date != Some(date) || untold.contains_key(&suspect.time));
    }
    for Suspect { location, number, time } in suspects {
        findings.add_time_order(&location, number, time);
    }
}

/// Tells whether a ticker's value differs from the trade's. A value that the ticker leaves out does not.
fn denies(of_ticker: Value, of_trade: Value) -> bool {
    let is_left_out = match of_ticker {
        Value::F32(value) => value.is_nan(),
        Value::F64(value) => value.is_nan(),
        value => value == Value::U32(SIDE_UNKNOWN),
    };
    !is_left_out && !stored::is_same(of_ticker, of_trade)
}
