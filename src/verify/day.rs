//! One dataset-day held against itself: what its own columns say must fit together. Driven by the table of columns.
//!
//! 1. Records are taken in the merged order, late ones in their place.
//! 2. A column `x` with a column `x_f64` beside it is the f32 of that value. The f32 was rounded from the text and not from the f64, so where the f64
//!    lies exactly between two f32s either is right. Without the f64 nothing can be checked, and the report says so.
//! 3. Times that fall from one record to the next are counted and no fault: the exchange's clock is not ours.

use super::finding::{Findings, Kind, Place};
use crate::record::{EARLIEST_PLAUSIBLE, SIDE_UNKNOWN, time_is_plausible};
use crate::schema::{ColumnSet, Dataset, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// What a day's records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Records, late ones included.
    pub records: u64,
    /// Records whose time is before that of the one before them.
    pub regressions: u64,
    /// Trades with both order ids.
    pub with_order_ids: u64,
    /// Records with a receive time: received live.
    pub with_recv: u64,
    /// Values held against their exact ones; nothing where there are none.
    pub rounded: Option<u64>,
    /// Event time of the first record and of the last.
    pub times: Option<(UnixNanos, UnixNanos)>,
}

/// Where a layout's columns stand that mean something to a check.
struct Plan {
    nanos: Option<usize>,
    side: Option<usize>,
    key: Option<usize>,
    recv: Option<usize>,
    orders: Vec<usize>,
    positive: Vec<usize>,
    /// An f32 and its f64.
    pairs: Vec<(usize, usize)>,
    names: Vec<&'static str>,
}

impl Plan {
    fn new<L: Layout>(set: ColumnSet) -> Self {
        let names: Vec<&'static str> = L::DATASET.columns_of(set).iter().map(|column| column.name).collect();
        let of = |wanted: &str| names.iter().position(|name| *name == wanted);
        let any = |wanted: &[&str]| wanted.iter().find_map(|name| of(name));
        let exact = |name: &&str| of(&format!("{name}_f64"));
        let positive: &[&str] = match L::DATASET {
            Dataset::Trades => &["trade_price", "trade_size", "trade_price_f64", "trade_size_f64"],
            // A ticker of a product that has never traded may say 0.
            Dataset::Md | Dataset::TickerTrades => &[],
        };
        Self {
            nanos: any(&["trade_nanos", "nanos"]),
            side: any(&["trade_side", "side"]),
            key: match L::DATASET {
                Dataset::Trades => of("trade_id"),
                Dataset::Md => of("sequence"),
                Dataset::TickerTrades => None,
            },
            recv: any(&["trade_recv_nanos", "recv_nanos"]),
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

/// Checks every record of a day. `see` is shown each with its number, so that a second pass is not needed; `now` bounds the times of what has no
/// receive time.
pub fn check<L: Layout>(
    snapshot: &Snapshot<L>,
    place: &Place,
    now: UnixNanos,
    findings: &mut Findings,
    mut see: impl FnMut(usize, UnixNanos, &[Value]),
) -> Sums {
    let plan = Plan::new::<L>(snapshot.column_set());
    let mut sums = Sums { rounded: (!plan.pairs.is_empty()).then_some(0), ..Sums::default() };
    let mut values = Vec::new();
    let (mut last_time, mut last_key) = (None, 0);
    for number in 0..snapshot.count() {
        if !stored::load(snapshot, number, &mut values) {
            findings.add(Kind::Length, place, || format!("record {number} is not in every column"));
            break;
        }
        sums.records += 1;
        let time = check_time::<L>(&plan, &values, number, now, place, findings);
        sums.regressions += u64::from(last_time.is_some_and(|last| time < last));
        last_time = Some(time);
        sums.times = Some((sums.times.map_or(time, |(first, _)| first), time));
        check_values::<L>(&plan, &values, number, place, findings, &mut sums);
        if let Some(key) = plan.key.and_then(|at| long(&values, at)) {
            last_key = check_key::<L>(key, last_key, number, place, findings);
        }
        see(number, time, &values);
    }
    sums
}

fn check_time<L: Layout>(
    plan: &Plan,
    values: &[Value],
    number: usize,
    now: UnixNanos,
    place: &Place,
    findings: &mut Findings,
) -> UnixNanos {
    let seconds = word(values, L::TIME).unwrap_or(0);
    let nanos = plan.nanos.and_then(|at| word(values, at)).unwrap_or(0);
    if u64::from(nanos) >= NANOS_PER_SECOND {
        findings.add(Kind::Nanos, place, || format!("record {number}: {nanos} nanoseconds"));
    }
    let time = UnixNanos::from_parts(seconds, nanos);
    let recv = plan.recv.and_then(|at| long(values, at)).filter(|recv| *recv != 0).map_or(now, UnixNanos);
    if time < EARLIEST_PLAUSIBLE || !time_is_plausible(time, recv) {
        findings.add(Kind::Time, place, || format!("record {number}: {time}, received {recv}"));
    }
    if place.date.is_some_and(|date| time.day() != date) {
        findings.add(Kind::WrongDay, place, || format!("record {number}: {time}"));
    }
    time
}

fn check_values<L: Layout>(plan: &Plan, values: &[Value], number: usize, place: &Place, findings: &mut Findings, sums: &mut Sums) {
    if let Some(side) = plan.side.and_then(|at| word(values, at))
        && side > 1
        && !(side == SIDE_UNKNOWN && L::DATASET == Dataset::Md)
    {
        findings.add(Kind::Side, place, || format!("record {number}: side {side}"));
    }
    for at in &plan.positive {
        let is_positive = match values.get(*at) {
            Some(Value::F32(value)) => *value > 0.0 && value.is_finite(),
            Some(Value::F64(value)) => *value > 0.0 && value.is_finite(),
            _ => true,
        };
        if !is_positive {
            findings.add(Kind::NotPositive, place, || format!("record {number}: {} {:?}", plan.name(*at), values.get(*at)));
        }
    }
    for (rounded, exact) in &plan.pairs {
        if let (Some(Value::F32(rounded_value)), Some(Value::F64(exact_value))) = (values.get(*rounded), values.get(*exact)) {
            *sums.rounded.get_or_insert(0) += 1;
            if !is_rounded(*rounded_value, *exact_value) {
                findings.add(Kind::Rounding, place, || {
                    format!("record {number}: {} {rounded_value} is not {exact_value} rounded", plan.name(*rounded))
                });
            }
        }
    }
    let is_named = |at: &usize| matches!(values.get(*at), Some(Value::Uuid(id)) if *id != [0; 16]);
    sums.with_order_ids += u64::from(!plan.orders.is_empty() && plan.orders.iter().all(is_named));
    sums.with_recv += u64::from(plan.recv.and_then(|at| long(values, at)).is_some_and(|recv| recv != 0));
}

fn check_key<L: Layout>(key: u64, last: u64, number: usize, place: &Place, findings: &mut Findings) -> u64 {
    let kind = if L::DATASET == Dataset::Trades { Kind::IdOrder } else { Kind::SequenceOrder };
    // A ticker without a sequence has no place in the order of sequences; a trade without an id is none.
    if key == 0 && L::DATASET != Dataset::Trades {
        return last;
    }
    if key <= last {
        findings.add(kind, place, || format!("record {number}: {key} after {last}"));
    }
    last.max(key)
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

/// Gives a 4-byte value.
pub(super) fn word(values: &[Value], at: usize) -> Option<u32> {
    match values.get(at) {
        Some(Value::U32(value)) => Some(*value),
        _ => None,
    }
}

/// Gives an 8-byte value.
pub(super) fn long(values: &[Value], at: usize) -> Option<u64> {
    match values.get(at) {
        Some(Value::U64(value)) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Md, TickerTrades, Trades};

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
        let pairs = |plan: Plan| plan.pairs.iter().map(|(rounded, exact)| (plan.name(*rounded), plan.name(*exact))).collect::<Vec<_>>();
        assert_eq!(pairs(Plan::new::<Trades>(ColumnSet::Full)), [("trade_price", "trade_price_f64"), ("trade_size", "trade_size_f64")]);
        let md = ["price", "volume", "best_bid", "best_ask"];
        assert_eq!(pairs(Plan::new::<Md>(ColumnSet::Full)).iter().map(|pair| pair.0).collect::<Vec<_>>(), md);
        assert!(Plan::new::<Trades>(ColumnSet::Core).pairs.is_empty() && Plan::new::<TickerTrades>(ColumnSet::Full).pairs.is_empty());
        let plan = Plan::new::<Trades>(ColumnSet::Full);
        assert_eq!(
            (plan.nanos, plan.side, plan.key, plan.orders.as_slice(), plan.positive.len()),
            (Some(2), Some(5), Some(0), &[6, 7][..], 4)
        );
        let plan = Plan::new::<Md>(ColumnSet::Full);
        assert_eq!((plan.nanos, plan.side, plan.key), (Some(1), Some(4), Some(8)));
    }
}
