//! Tickers held against each other and against the trades: what two datasets say of one event must agree.
//!
//! 1. A record of `TICKER_TRADES` is what its record of `MD` says of the trade, and its spread is that record's ask minus bid, rounded. Records are paired
//!    within one event time, whatever their order; one that has no partner is counted and no fault: a crash may give up the end of one dataset only.
//! 2. A ticker that names a stored trade agrees with it in side, price and size.
//! 3. That every ticker was captured cannot be shown by anything: the feed itself skips trades.

use super::day::{long, word};
use super::filed::Filed;
use super::finding::{Findings, Kind, Place};
use crate::record::SIDE_UNKNOWN;
use crate::schema::{Column, Layout, Md, TickerTrades, Trades, Value};
use crate::store::Snapshot;
use crate::stored;

/// What pairing `MD` with `TICKER_TRADES` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paired {
    /// Records that have their partner.
    pub pairs: u64,
    /// Records that have none.
    pub alone: u64,
}

/// What a record of `TICKER_TRADES` should be: seconds, nanoseconds, price, volume, side, and the spread where it can be told.
type Wanted = ([Value; 5], Option<f32>);

/// Holds a day's `TICKER_TRADES` against its `MD`.
pub fn pair(md: &Snapshot<Md>, trades: &Snapshot<TickerTrades>, place: &Place, findings: &mut Findings) -> Paired {
    let mut paired = Paired::default();
    let mut wanted = Told::new(md);
    let mut found = Stored { snapshot: trades, next: 0, values: Vec::new() };
    let (mut left, mut right) = (wanted.take(), found.take());
    loop {
        let (left_time, right_time) = match (&left, &right) {
            (Some(left), Some(right)) => (time_of(left), time_of(right)),
            (None, None) => return paired,
            _ => {
                // What is left on one side alone has no partner.
                paired.alone += 1;
                if left.is_some() {
                    left = wanted.take()
                } else {
                    right = found.take()
                }
                continue;
            }
        };
        if left_time != right_time {
            paired.alone += 1;
            if left_time < right_time {
                left = wanted.take()
            } else {
                right = found.take()
            }
            continue;
        }
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        while let Some(row) = left.take_if(|row| time_of(row) == left_time) {
            lefts.push(row);
            left = wanted.take();
        }
        while let Some(row) = right.take_if(|row| time_of(row) == right_time) {
            rights.push(row);
            right = found.take();
        }
        compare(lefts, &mut rights, &mut paired, place, findings);
    }
}

/// Pairs the records of one event time.
fn compare(lefts: Vec<Wanted>, rights: &mut Vec<Wanted>, paired: &mut Paired, place: &Place, findings: &mut Findings) {
    let mut unmatched = Vec::new();
    for left in lefts {
        match rights.iter().position(|right| is_like(&left, right)) {
            Some(at) => {
                rights.remove(at);
                paired.pairs += 1;
            }
            None => unmatched.push(left),
        }
    }
    for left in unmatched {
        match rights.pop() {
            Some(right) => {
                findings.add(Kind::TickerTrade, place, || format!("MD says {}, TICKER_TRADES {}", describe(&left), describe(&right)));
            }
            None => paired.alone += 1,
        }
    }
    paired.alone += rights.len() as u64;
}

fn is_like(left: &Wanted, right: &Wanted) -> bool {
    let spreads = match (left.1, right.1) {
        (Some(left), Some(right)) => stored::is_same(Value::F32(left), Value::F32(right)),
        _ => true,
    };
    spreads && left.0.iter().zip(&right.0).all(|(left, right)| stored::is_same(*left, *right))
}

fn time_of(row: &Wanted) -> (u32, u32) {
    match row.0 {
        [Value::U32(seconds), Value::U32(nanos), ..] => (seconds, nanos),
        _ => (0, 0),
    }
}

fn describe((values, spread): &Wanted) -> String {
    match values {
        [Value::U32(seconds), Value::U32(nanos), Value::F32(price), Value::F32(volume), Value::U32(side)] => {
            format!("{seconds}.{nanos:09} price {price} volume {volume} side {side} spread {}", spread.unwrap_or(f32::NAN))
        }
        other => format!("{other:?}"),
    }
}

/// What `MD` tells of trades, record by record.
struct Told<'a> {
    snapshot: &'a Snapshot<Md>,
    next: usize,
    values: Vec<Value>,
    /// Seconds, nanoseconds, price, volume, side.
    places: [Option<usize>; 5],
    trade_id: Option<usize>,
    quotes: Option<(usize, usize)>,
}

fn place_of(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name == name)
}

impl<'a> Told<'a> {
    fn new(snapshot: &'a Snapshot<Md>) -> Self {
        let columns = stored::columns_of(snapshot);
        let of = |name| place_of(columns, name);
        Self {
            snapshot,
            next: 0,
            values: Vec::new(),
            places: [of("time"), of("nanos"), of("price"), of("volume"), of("side")],
            trade_id: of("trade_id"),
            quotes: of("best_bid_f64").zip(of("best_ask_f64")),
        }
    }

    /// Gives the next record that carries a trade.
    #[expect(clippy::cast_possible_truncation, reason = "the spread is an f32: rounding is what it means")]
    fn take(&mut self) -> Option<Wanted> {
        while stored::load(self.snapshot, self.next, &mut self.values) {
            self.next += 1;
            let value = |at: usize| self.values.get(at).copied();
            let [Some(seconds), Some(nanos), Some(price), Some(volume), Some(side)] = self.places.map(|place| place.and_then(value)) else {
                return None;
            };
            let has_id = self.trade_id.is_none_or(|at| long(&self.values, at) != Some(0));
            let has_volume = !matches!(volume, Value::F32(volume) if volume.is_nan());
            if !has_id || !has_volume || side == Value::U32(SIDE_UNKNOWN) {
                continue;
            }
            let spread = self.quotes.and_then(|(bid, ask)| match (value(bid), value(ask)) {
                (Some(Value::F64(bid)), Some(Value::F64(ask))) => Some((ask - bid) as f32),
                _ => None,
            });
            return Some(([seconds, nanos, price, volume, side], spread));
        }
        None
    }
}

/// What `TICKER_TRADES` holds, record by record.
struct Stored<'a> {
    snapshot: &'a Snapshot<TickerTrades>,
    next: usize,
    values: Vec<Value>,
}

impl Stored<'_> {
    fn take(&mut self) -> Option<Wanted> {
        if !stored::load(self.snapshot, self.next, &mut self.values) {
            return None;
        }
        self.next += 1;
        match self.values.as_slice() {
            [seconds, nanos, price, volume, side, Value::F32(spread)] => Some(([*seconds, *nanos, *price, *volume, *side], Some(*spread))),
            _ => None,
        }
    }
}

/// Holds a day's tickers against the trades they name. Gives how many stored trades were named; nothing where the tickers hold no trade ids.
pub fn join(md: &Snapshot<Md>, trades: &mut Filed<Trades>, place: &Place, findings: &mut Findings) -> Option<u64> {
    let columns = stored::columns_of(md);
    let id_at = place_of(columns, "trade_id")?;
    let pairs = [
        ("side", "trade_side"),
        ("price", "trade_price"),
        ("volume", "trade_size"),
        ("price_f64", "trade_price_f64"),
        ("volume_f64", "trade_size_f64"),
    ];
    let places = pairs.map(|(ours, theirs)| place_of(columns, ours).zip(place_of(Trades::COLUMNS, theirs)));
    let (mut values, mut trade) = (Vec::new(), Vec::new());
    let (mut named, mut newest, mut has_ids) = (0, 0, false);
    for number in 0..md.count() {
        if !stored::load(md, number, &mut values) {
            break;
        }
        let Some(id) = long(&values, id_at).filter(|id| *id != 0) else { continue };
        has_ids = true;
        let date = md.row(number).map_or(md.key().date, |row| Md::time(&row).day());
        let Some(spot) = trades.find(id, date, |_, _| true) else { continue };
        if id > newest {
            named += 1;
            newest = id;
        }
        trades.load(spot, &mut trade);
        let differs = |place: &&Option<(usize, usize)>| {
            place.is_some_and(|(ours, theirs)| match (values.get(ours), trade.get(theirs)) {
                // What the ticker leaves out it does not deny.
                (Some(Value::F32(ours)), _) if ours.is_nan() => false,
                (Some(Value::F64(ours)), _) if ours.is_nan() => false,
                (Some(Value::U32(SIDE_UNKNOWN)), _) => false,
                (Some(ours), Some(theirs)) => !stored::is_same(*ours, *theirs),
                _ => false,
            })
        };
        if let Some(at) = places.iter().position(|place| differs(&place)) {
            let name = pairs.get(at).map_or("?", |pair| pair.0);
            let side = place_of(columns, "side").and_then(|at| word(&values, at)).unwrap_or(SIDE_UNKNOWN);
            findings.add(Kind::TickerDisagrees, place, || format!("record {number} (side {side}) and trade {id} differ in {name}"));
        }
    }
    (has_ids || md.count() == 0).then_some(named)
}
