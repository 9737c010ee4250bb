//! The ids and times of a day's trades, in the merged order, as fast as the columns can be read: no record is loaded.

use std::ops::Range;

use super::chain::{Link, Run as Stretch, Runs};
use super::falls::Latest;
use super::order::CLOCK_FALL_NANOS;
use crate::record::{LATEST_AHEAD_NANOS, Trade};
use crate::schema::Trades;
use crate::store::{Run, Snapshot};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How much of the days of trades is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every id of the range, every time, and the bytes of its days.
    Full,
    /// Not the bytes, and ids and times are taken to rise, as their writer makes them: what this shows is to be confirmed by a full look.
    Ends,
}

impl Depth {
    /// Gives the places of all of so many records, or of some all over them, some at a time.
    pub(super) fn parts(self, count: usize) -> impl Iterator<Item = Range<usize>> {
        const STRETCHES: usize = 64;
        const RECORDS: usize = 1 << 10;
        let step = match self {
            Self::Ends if count > STRETCHES * RECORDS => count / STRETCHES,
            _ => RECORDS,
        };
        (0..count).step_by(step).map(move |from| from..(from + RECORDS).min(count))
    }
}

/// Adds the ids of the trades with these numbers.
pub(super) fn add(day: &Snapshot<Trades>, numbers: Range<usize>, depth: Depth, runs: &mut Runs) {
    let date = day.key().date;
    let ids = day.column::<u64>("trade_id").unwrap_or_default();
    let at = times_of(day);
    let count = match depth {
        Depth::Full => consecutive,
        Depth::Ends => rising,
    };
    for run in day.runs(numbers) {
        match run {
            Run::Late(trade) => runs.push(Link { date, id: trade.trade_id, time: trade.time }),
            Run::Columns(records) => {
                let mut from = records.start;
                while let Some(rest) = ids.get(from..records.end)
                    && let Some(first) = rest.first()
                {
                    let end = from + count(rest);
                    let link = |id: u64, record: usize| Link { date, id, time: at(record) };
                    let last = first + (end - from - 1) as u64;
                    runs.push_run(Stretch { first: link(*first, from), last: link(last, end - 1) });
                    from = end;
                }
            }
        }
    }
}

/// Tells whether the event time of any of these trades lies before an earlier one's by more than the exchange's clock may fall.
pub(super) fn is_any_behind(day: &Snapshot<Trades>, numbers: Range<usize>) -> bool {
    const BLOCK: usize = 512;
    const FALL_SECONDS: u32 = 60;
    const { assert!(FALL_SECONDS as u64 * NANOS_PER_SECOND == CLOCK_FALL_NANOS) };
    let at = times_of(day);
    let seconds: &[u32] = day.column("trade_time").unwrap_or_default();
    let (mut latest, mut is_behind) = (Latest::default(), false);
    let mut see = |time: UnixNanos| {
        is_behind |= latest.is_fallen_from(time);
        latest = latest.with(time);
    };
    let mut highest = 0;
    for run in day.runs(numbers) {
        let records = match run {
            Run::Late(trade) => {
                highest = highest.max(trade.time.seconds());
                see(trade.time);
                continue;
            }
            Run::Columns(records) => records,
        };
        for from in records.clone().step_by(BLOCK) {
            let block = from..records.end.min(from + BLOCK);
            // Without a branch, so that several seconds are compared at once. Where they lie near each other no time of the block can have fallen so far.
            let of_block = seconds.get(block.clone()).unwrap_or_default();
            let (least, most) = of_block.iter().fold((u32::MAX, 0), |(least, most), second| (least.min(*second), most.max(*second)));
            highest = highest.max(most);
            if least.saturating_add(FALL_SECONDS) > highest {
                // The latest of them is what a later one falls from.
                let latest_of = block.filter(|record| seconds.get(*record) == Some(&most)).map(&at).max();
                latest_of.into_iter().for_each(&mut see);
            } else {
                block.map(&at).for_each(&mut see);
            }
        }
    }
    is_behind
}

/// Tells whether the event time of any trade of a day lies more than an hour after its receive time, or may, by its second.
pub(super) fn is_any_ahead(day: &Snapshot<Trades>) -> bool {
    let seconds: &[u32] = day.column("trade_time").unwrap_or_default();
    let received: &[u64] = day.column("trade_recv_nanos").unwrap_or_default();
    // Without a branch, so that several are compared at once. A trade that REST has supplied has no receive time: nothing lies after the highest number.
    let is_ahead = |(second, recv): (&u32, &u64)| {
        let most = recv.wrapping_sub(1).saturating_add(LATEST_AHEAD_NANOS);
        (u64::from(*second) + 1) * NANOS_PER_SECOND > most
    };
    let is_any = seconds.iter().zip(received).fold(false, |any, pair| any | is_ahead(pair));
    let late = |trade: &Trade| trade.recv.0 > 0 && trade.time.0 > trade.recv.0.saturating_add(LATEST_AHEAD_NANOS);
    is_any || day.late().iter().any(late)
}

/// Gives the event times of the records of the columns.
fn times_of(day: &Snapshot<Trades>) -> impl Fn(usize) -> UnixNanos + '_ {
    let none: &[u32] = &[];
    let (seconds, nanos) = (day.column("trade_time").unwrap_or(none), day.column("trade_nanos").unwrap_or(none));
    move |record| {
        let part = |column: &[u32]| column.get(record).copied().unwrap_or(0);
        UnixNanos::from_parts(part(seconds), part(nanos))
    }
}

/// Counts the ids at the front that rise by 1 each, the first one included, where all of them rise: without a look at each.
fn rising(ids: &[u64]) -> usize {
    let Some(first) = ids.first() else { return 0 };
    let is_next = |at: usize| ids.get(at).is_some_and(|id| id.checked_sub(*first) == Some(at as u64));
    // Twice as far each time, so that many short stretches cost no more than a few looks each.
    let mut known = 1;
    while is_next(known * 2 - 1) {
        known *= 2;
    }
    let (mut most, all) = (known * 2 - 1, ids.len());
    most = most.min(all);
    while known < most {
        let middle = known + (most - known) / 2;
        if is_next(middle) {
            known = middle + 1;
        } else {
            most = middle;
        }
    }
    known
}

/// Counts the ids at the front that rise by 1 each, the first one included.
fn consecutive(ids: &[u64]) -> usize {
    const BLOCK: usize = 512;
    let mut next = ids.first().copied().unwrap_or(0);
    let mut count = 0;
    for block in ids.chunks(BLOCK) {
        // Without a branch, so that several ids are compared at once.
        let differs = block.iter().zip(0u64..).fold(0, |differs, (id, at)| differs | (id ^ next.wrapping_add(at)));
        if differs != 0 {
            let expected = (0u64..).map(|at| next.wrapping_add(at));
            return count + block.iter().zip(expected).take_while(|(id, expected)| *id == expected).count();
        }
        count += block.len();
        next = next.wrapping_add(block.len() as u64);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn consecutive_ids_are_counted_to_the_first_that_is_not(len in 1usize..2_000, cut in 0usize..2_500, first in prop::sample::select(vec![1u64, 1 << 40, u64::MAX - 3_000])) {
            let mut ids: Vec<u64> = (first..).take(len).collect();
            if let Some(id) = ids.get_mut(cut) {
                *id += 1;
            }
            // A first id that is another one begins the count all the same: what follows it does not.
            let expected = if cut == 0 && len > 1 { 1 } else { cut.clamp(1, len) };
            prop_assert_eq!(consecutive(&ids), expected);
        }

        #[test]
        fn rising_ids_are_counted_as_one_by_one(steps in prop::collection::vec(prop_oneof![50 => Just(1u64), 1 => 2u64..1_000], 0..3_000)) {
            let mut ids = vec![17];
            ids.extend(steps.iter().scan(17, |id, step| { *id += step; Some(*id) }));
            for from in [0, ids.len() / 2, ids.len() - 1, ids.len()] {
                prop_assert_eq!(rising(&ids[from..]), consecutive(&ids[from..]));
            }
        }
    }

    /// Writes a day of trades with these seconds and receive times.
    fn day_of(dir: &std::path::Path, times: &[u64], received: &[u64]) -> Snapshot<Trades> {
        let folder = dir.join("BTC-USD/TRADES");
        std::fs::create_dir_all(&folder).expect("made");
        for column in <Trades as crate::schema::Layout>::COLUMNS {
            let bytes: Vec<u8> = match column.name {
                "trade_time" => times.iter().flat_map(|second| u32::try_from(*second).expect("a second").to_le_bytes()).collect(),
                "trade_nanos" => {
                    times.iter().flat_map(|second| (u32::try_from(second % 7).expect("few") * 100_000_000).to_le_bytes()).collect()
                }
                "trade_recv_nanos" => received.iter().flat_map(|recv| recv.to_le_bytes()).collect(),
                _ => vec![0; times.len() * column.kind.width()],
            };
            std::fs::write(folder.join(format!("{}.2024-10-04.bin", column.name)), bytes).expect("written");
        }
        let product = crate::product::ProductId::new("BTC-USD").expect("a product");
        Snapshot::<Trades>::open(dir, &product, crate::time::UtcDay(20_000)).expect("opened").expect("a day")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_trade_dated_far_after_its_receipt_is_seen_wherever_it_is(
            ahead in prop::collection::vec(prop_oneof![40 => Just(0i64), 1 => 3_590..3_610i64, 1 => Just(-40_000)], 1..700),
            without in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let received = |at: usize| (20_000 * 86_400 + 50_000 + at as u64) * NANOS_PER_SECOND + at as u64 * 1_000_003 % NANOS_PER_SECOND;
            let times: Vec<u64> = ahead.iter().enumerate().map(|(at, by)| (received(at) / NANOS_PER_SECOND).strict_add_signed(*by)).collect();
            let mut received: Vec<u64> = (0..times.len()).map(received).collect();
            without.iter().for_each(|at| received[at.index(times.len())] = 0);
            let day = day_of(dir.path(), &times, &received);
            let is_any = day.rows().any(|trade| trade.recv.0 > 0 && trade.time.0 > trade.recv.0 + LATEST_AHEAD_NANOS);
            let is_near = day.rows().any(|trade| trade.recv.0 > 0 && trade.time.0 + NANOS_PER_SECOND > trade.recv.0 + LATEST_AHEAD_NANOS);
            prop_assert!(is_any_ahead(&day) || !is_any);
            prop_assert!(is_near || !is_any_ahead(&day));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_time_that_falls_far_is_seen_wherever_it_is(
            steps in prop::collection::vec(prop_oneof![40 => 0u64..3, 2 => 20u64..70, 1 => 50u64..3_000], 1..1_500),
            falls in prop::collection::vec((any::<prop::sample::Index>(), 0u64..130), 0..3),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let mut times: Vec<u64> = steps.iter().scan(20_000 * 86_400, |second, step| { *second += step; Some(*second) }).collect();
            for (at, by) in falls {
                let at = at.index(times.len());
                times[at] -= by;
            }
            let day = day_of(dir.path(), &times, &vec![0; times.len()]);
            let times: Vec<UnixNanos> = day.rows().map(|trade| trade.time).collect();
            let mut highest = UnixNanos(0);
            let expected = times.iter().any(|time| {
                highest = highest.max(*time);
                time.0 + CLOCK_FALL_NANOS < highest.0
            });
            prop_assert_eq!(is_any_behind(&day, 0..day.count()), expected);
        }
    }
}
