//! Checks one dataset-day against itself: the columns of a record must fit together. The table of columns drives it.
//!
//! 1. Records are taken in the merged order, late ones in their place.
//! 2. A column `x` with a column `x_f64` beside it is the f32 of that value. The f32 was rounded from the text and not from the f64. So where the f64
//!    lies exactly between two f32s, either is right. Without the f64 nothing can be checked, and the report says so.
//! 3. An event time below the one before it is counted and is no finding: it is the exchange's clock. Of trades, whose ids say in which order they
//!    happened, one that others contradict by more than that clock may fall is a finding, or a suspect that the tickers decide about ([`falls`](super::falls)).
//! 4. An event time more than an hour after its receive time is wrong, unless the receiving machine's clock was ([`ahead`](super::ahead)).
//! 5. A trade that is flagged as breaking a rule of plausibility may have any price and size.

use std::ops::Range;

use super::ahead::{AheadOfReceipt, Received};
use super::falls::{Falls, Timed};
use super::finding::{FindingKind, Findings, Location};
use super::plain::{BLOCK_RECORDS, Before, PlainColumns};
use super::sums::DaySums;
use crate::history::ClockDays;
use crate::record::{EARLIEST_PLAUSIBLE, Means, Origin, Record, SIDE_UNKNOWN, time_is_plausible};
use crate::schema::{Column, Dataset, Layout, Md, Value};
use crate::store::Snapshot;
use crate::stored::{self, u32_at, u64_at};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// The bit of `trade_origin` that says that a trade breaks a rule of plausibility which is not its identity.
const FLAGGED: u32 = 1 << 9;
/// Only a ticker may leave its side open, and not every dataset of tickers stores such a one.
const TICKER_WITHOUT_SIDE: Record<'static> = Record::Ticker(&Md::EMPTY);

/// The places of those columns that a check knows the meaning of.
struct CheckedColumns {
    nanos: Option<usize>,
    side: Option<usize>,
    /// The column whose values must rise.
    key: Option<usize>,
    recv: Option<usize>,
    origin: Option<usize>,
    orders: Vec<usize>,
    positive: Vec<usize>,
    /// Each f32 that has an f64, and that f64.
    pairs: Vec<(usize, usize)>,
    names: Vec<&'static str>,
}

impl CheckedColumns {
    fn new<L: Layout>(columns: &[Column]) -> Self {
        let names: Vec<&'static str> = columns.iter().map(|column| column.name).collect();
        let of = |wanted: &str| names.iter().position(|name| *name == wanted);
        let any = |wanted: &[&str]| wanted.iter().find_map(|name| of(name));
        let exact = |name: &&str| of(&format!("{name}_f64"));
        // A ticker of a product that has never traded may say 0.
        let positive: &[&str] = match L::DATASET {
            Dataset::Trades => &["trade_price", "trade_size", "trade_price_f64", "trade_size_f64"],
            _ => &[],
        };
        Self {
            nanos: any(&["trade_nanos", "nanos"]),
            side: any(&["trade_side", "side"]),
            key: stored::key_column(columns),
            recv: any(&["trade_recv_nanos", "recv_nanos"]),
            origin: of("trade_origin"),
            orders: ["maker_order_id", "taker_order_id"].into_iter().filter_map(of).collect(),
            positive: positive.iter().filter_map(|name| of(name)).collect(),
            pairs: names.iter().enumerate().filter_map(|(at, name)| Some((at, exact(name)?))).collect(),
            names,
        }
    }

    fn name(&self, column: usize) -> &'static str {
        self.names.get(column).copied().unwrap_or("?")
    }
}

/// Checks every record of a day. Shows each to `visit`, with its number, its event time and its key (0 where it has none), so that no second pass is needed. `now` is the
/// latest event time that a record without a receive time may have. `restarted` are the sequences at which the product's tickers began anew.
pub(super) fn check<L: Layout>(
    snapshot: &Snapshot<L>,
    location: &Location,
    clock: ClockOfNow<'_>,
    restarted: &[u64],
    findings: &mut Findings,
    visit: impl FnMut(usize, UnixNanos, u64),
) -> DaySums {
    check_by(PlainColumns::of(snapshot).as_ref(), snapshot, location, clock, restarted, findings, visit)
}

/// As [`check`]; blocks of these columns that are plain are checked at once.
pub(super) fn check_by<L: Layout>(
    plain: Option<&PlainColumns<'_>>,
    snapshot: &Snapshot<L>,
    location: &Location,
    clock: ClockOfNow<'_>,
    restarted: &[u64],
    findings: &mut Findings,
    mut visit: impl FnMut(usize, UnixNanos, u64),
) -> DaySums {
    let columns = CheckedColumns::new::<L>(stored::columns_of(snapshot));
    let sums = DaySums { rounded: (!columns.pairs.is_empty()).then_some(0), ..DaySums::default() };
    let dataset = L::DATASET;
    let mut check = Check {
        dataset,
        columns,
        location,
        clock,
        restarted,
        findings,
        sums,
        last_key: 0,
        last_time: None,
        falls: Falls::default(),
        ahead: AheadOfReceipt::new(clock.off.concern(location.date)),
    };
    let (mut values, mut number) = (Vec::new(), 0);
    while number < snapshot.count() {
        let end = snapshot.count().min(number + BLOCK_RECORDS);
        if let Some(columns) = plain
            && check.add_plain(columns, number..end)
        {
            columns.links(number..end).zip(number..).for_each(|((id, time), number)| visit(number, time, id));
            number = end;
            continue;
        }
        for number in number..end {
            if !stored::load(snapshot, number, &mut values) {
                check.findings.add(FindingKind::Length, location, || format!("record {number} is not in every column"));
                return check.finish();
            }
            let (time, key) = check.add(number, &values, u32_at(&values, L::TIME).unwrap_or(0));
            visit(number, time, key);
        }
        number = end;
    }
    check.finish()
}

/// What is known of the clocks when a day is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockOfNow<'a> {
    /// The latest event time that a record without a receive time may have.
    pub now: UnixNanos,
    /// The days on which a capture has said that its machine's clock was wrong.
    pub off: &'a ClockDays,
}

/// A day that is being checked.
struct Check<'a> {
    dataset: Dataset,
    columns: CheckedColumns,
    location: &'a Location,
    clock: ClockOfNow<'a>,
    restarted: &'a [u64],
    findings: &'a mut Findings,
    sums: DaySums,
    last_key: u64,
    last_time: Option<UnixNanos>,
    falls: Falls,
    ahead: AheadOfReceipt,
}

impl Check<'_> {
    /// Checks a record. Gives its event time and its key.
    fn add(&mut self, number: usize, values: &[Value], seconds: u32) -> (UnixNanos, u64) {
        self.sums.records += 1;
        let time = self.time(number, values, seconds);
        self.sums.regressions += u64::from(self.last_time.is_some_and(|last| time < last));
        self.last_time = Some(time);
        self.sums.times = Some((self.sums.times.map_or(time, |(first, _)| first), time));
        self.fall(number, time, values);
        self.side(number, values);
        self.prices(number, values);
        self.count(values);
        self.key(number, values);
        (time, self.columns.key.and_then(|at| u64_at(values, at)).unwrap_or(0))
    }

    /// Checks a block of records at once. Tells whether it is plain; if not, nothing of it has been looked at.
    fn add_plain(&mut self, columns: &PlainColumns<'_>, records: Range<usize>) -> bool {
        let (Some(latest), true, Some(date)) = (self.falls.settled(), self.ahead.is_settled(), self.location.date) else { return false };
        let before = Before { last_id: self.last_key, time: self.last_time, latest };
        let Some(block) = columns.check(records, date, self.clock.now, before) else { return false };
        self.sums.add(&block.sums);
        (self.last_key, self.last_time) = (block.after.last_id, block.after.time);
        self.falls.skip(block.after.latest, &block.last);
        true
    }

    /// Decides what is open at the end of the day.
    fn finish(mut self) -> DaySums {
        let wrong = self.ahead.settle();
        self.add_ahead(wrong);
        self.sums.clock_behind = self.ahead.by_clock();
        let unconfirmed = self.falls.take_last();
        self.add_falls(unconfirmed);
        self.sums
    }

    /// Checks the event time and gives it.
    fn time(&mut self, number: usize, values: &[Value], seconds: u32) -> UnixNanos {
        let nanos = self.columns.nanos.and_then(|at| u32_at(values, at)).unwrap_or(0);
        if u64::from(nanos) >= NANOS_PER_SECOND {
            self.findings.add(FindingKind::Nanos, self.location, || format!("record {number}: {nanos} nanoseconds"));
        }
        let time = UnixNanos::from_parts(seconds, nanos);
        match self.columns.recv.and_then(|at| u64_at(values, at)).filter(|recv| *recv != 0).map(UnixNanos) {
            Some(recv) => self.compare_with_receive_time(Received { number, time, recv }, values),
            None if time < EARLIEST_PLAUSIBLE || !time_is_plausible(time, self.clock.now) => {
                self.findings.add(FindingKind::Time, self.location, || format!("record {number}: {time}, and now is {}", self.clock.now));
            }
            None => {}
        }
        if self.location.date.is_some_and(|date| time.day() != date) {
            self.findings.add(FindingKind::WrongDay, self.location, || format!("record {number}: {time}"));
        }
        time
    }

    /// Compares the event time with the time at which the record was received.
    fn compare_with_receive_time(&mut self, record: Received, values: &[Value]) {
        let Received { number, time, recv } = record;
        let origin = self.columns.origin.and_then(|at| u32_at(values, at)).map(Origin);
        if origin.is_none_or(|origin| origin.means() == Some(Means::Live)) {
            self.sums.first_live = Some(self.sums.first_live.map_or(recv, |first| first.min(recv)));
        }
        self.sums.is_received_on_its_day |= recv.day() == time.day();
        if time < EARLIEST_PLAUSIBLE {
            self.findings.add(FindingKind::Time, self.location, || format!("record {number}: {time}, received {recv}"));
        }
        let wrong = self.ahead.see(record);
        self.add_ahead(wrong);
    }

    fn add_ahead(&mut self, wrong: Vec<Received>) {
        wrong.into_iter().for_each(|record| self.findings.add_ahead(self.location, record));
    }

    /// Looks whether the event times of trades rise with their ids, as far as the exchange's clock does.
    fn fall(&mut self, number: usize, time: UnixNanos, values: &[Value]) {
        if self.dataset == Dataset::Trades {
            let recv = self.columns.recv.and_then(|at| u64_at(values, at)).filter(|recv| *recv != 0).map(UnixNanos);
            self.falls.see(Timed { number, time, recv });
            let wrong = self.falls.take_wrong();
            self.add_falls(wrong);
            for Timed { number, time, .. } in self.falls.take_suspect() {
                self.findings.suspect(self.location, number, time);
            }
        }
    }

    fn add_falls(&mut self, wrong: impl Iterator<Item = Timed>) {
        for Timed { number, time, .. } in wrong {
            self.findings.add_time_order(self.location, number, time);
        }
    }

    fn side(&mut self, number: usize, values: &[Value]) {
        let Some(side) = self.columns.side.and_then(|at| u32_at(values, at)) else { return };
        if side > 1 && !(side == SIDE_UNKNOWN && self.dataset.stores(TICKER_WITHOUT_SIDE)) {
            self.findings.add(FindingKind::Side, self.location, || format!("record {number}: side {side}"));
        }
    }

    fn prices(&mut self, number: usize, values: &[Value]) {
        let origin = self.columns.origin.and_then(|at| u32_at(values, at));
        let is_flagged = origin.is_some_and(|bits| bits & FLAGGED != 0);
        self.sums.flagged += u64::from(is_flagged);
        // Where there is no origin, nothing says whether a trade of size 0 is flagged.
        let may_be_zero = is_flagged || origin.is_none();
        for at in &self.columns.positive {
            // A flagged trade is stored as it was sent, whatever its price or size.
            let is_good = |value: f64| {
                let is_plausible = value.is_finite() && (value > 0.0 || (may_be_zero && value == 0.0));
                is_plausible || (is_flagged && !value.is_nan())
            };
            let is_positive = match values.get(*at) {
                Some(Value::F32(value)) => is_good(f64::from(*value)),
                Some(Value::F64(value)) => is_good(*value),
                _ => true,
            };
            if !is_positive {
                let name = self.columns.name(*at);
                self.findings.add(FindingKind::NotPositive, self.location, || format!("record {number}: {name} {:?}", values.get(*at)));
            }
        }
        for (rounded, exact) in &self.columns.pairs {
            let (Some(Value::F32(rounded_value)), Some(Value::F64(exact_value))) = (values.get(*rounded), values.get(*exact)) else {
                continue;
            };
            *self.sums.rounded.get_or_insert(0) += 1;
            if !is_rounded(*rounded_value, *exact_value) {
                let name = self.columns.name(*rounded);
                let text = || format!("record {number}: {name} {rounded_value} is not {exact_value} rounded");
                self.findings.add(FindingKind::Rounding, self.location, text);
            }
        }
    }

    /// Counts whether the record has its order ids and a receive time.
    fn count(&mut self, values: &[Value]) {
        let is_named = |at: &usize| matches!(values.get(*at), Some(Value::Uuid(id)) if *id != [0; 16]);
        let has_order_ids = !self.columns.orders.is_empty() && self.columns.orders.iter().all(is_named);
        self.sums.with_order_ids += u64::from(has_order_ids);
        self.sums.with_recv += u64::from(self.columns.recv.and_then(|at| u64_at(values, at)).is_some_and(|recv| recv != 0));
    }

    fn key(&mut self, number: usize, values: &[Value]) {
        let Some(key) = self.columns.key.and_then(|at| u64_at(values, at)) else { return };
        let is_trade = self.dataset == Dataset::Trades;
        // A ticker without a sequence has no place in the order of sequences. A trade without an id is wrong.
        if key == 0 && !is_trade {
            return;
        }
        let last = self.last_key;
        if key <= last && !is_trade && self.restarted.contains(&key) {
            self.last_key = key;
            return;
        }
        if key <= last {
            let kind = if is_trade { FindingKind::IdOrder } else { FindingKind::SequenceOrder };
            self.findings.add(kind, self.location, || format!("record {number}: {key} after {last}"));
        }
        self.last_key = last.max(key);
    }
}

/// Tells whether an f32 can be the f32 nearest to a text whose nearest f64 is `exact`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is checked")]
fn is_rounded(rounded: f32, exact: f64) -> bool {
    let nearest = exact as f32;
    if rounded.to_bits() == nearest.to_bits() || (rounded.is_nan() && exact.is_nan()) {
        return true;
    }
    let is_neighbour = rounded == nearest.next_up() || rounded == nearest.next_down();
    is_neighbour && f64::midpoint(f64::from(rounded), f64::from(nearest)).to_bits() == exact.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ColumnSet, Md, TickerTrades, Trades};

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is tested")]
    fn an_f32_is_its_f64_rounded_and_one_ulp_beside_it_is_not() {
        for exact in [64_841.44, 0.000_000_01, 131_072.01, 1e15] {
            let rounded = exact as f32;
            assert!(is_rounded(rounded, exact), "{exact}");
            assert!(!is_rounded(rounded.next_up(), exact) && !is_rounded(rounded.next_down(), exact), "{exact}");
        }
        assert!(is_rounded(f32::NAN, f64::NAN) && !is_rounded(f32::NAN, 1.0) && !is_rounded(1.0, f64::NAN));
        assert!(!is_rounded(-0.0, 0.0));
    }

    #[test]
    fn on_the_midpoint_of_two_f32s_either_is_right() {
        // 16777217 lies between 16777216 and 16777218.
        assert!(is_rounded(16_777_216.0, 16_777_217.0) && is_rounded(16_777_218.0, 16_777_217.0));
        assert!(!is_rounded(16_777_220.0, 16_777_217.0));
    }

    #[test]
    fn every_exact_column_is_paired_with_its_f32_by_name() {
        let pairs = |columns: CheckedColumns| {
            columns.pairs.iter().map(|(rounded, exact)| (columns.name(*rounded), columns.name(*exact))).collect::<Vec<_>>()
        };
        assert_eq!(
            pairs(CheckedColumns::new::<Trades>(Trades::COLUMNS)),
            [("trade_price", "trade_price_f64"), ("trade_size", "trade_size_f64")]
        );
        let md = ["price", "volume", "best_bid", "best_ask"];
        assert_eq!(pairs(CheckedColumns::new::<Md>(Md::COLUMNS)).iter().map(|pair| pair.0).collect::<Vec<_>>(), md);
        assert!(
            CheckedColumns::new::<Trades>(Dataset::Trades.columns_of(ColumnSet::Core)).pairs.is_empty()
                && CheckedColumns::new::<TickerTrades>(TickerTrades::COLUMNS).pairs.is_empty()
        );
        let columns = CheckedColumns::new::<Trades>(Trades::COLUMNS);
        assert_eq!(
            (columns.nanos, columns.side, columns.key, columns.orders.as_slice(), columns.positive.len()),
            (Some(2), Some(5), Some(0), &[6, 7][..], 4)
        );
        let columns = CheckedColumns::new::<Md>(Md::COLUMNS);
        assert_eq!((columns.nanos, columns.side, columns.key), (Some(1), Some(4), Some(8)));
    }
}
