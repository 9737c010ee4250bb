//! Trades of which nothing has to be said: a block of them is checked column by column, ten times as fast as record by record.
//!
//! 1. A block is plain where every check of [`super::day`] holds for every record of it, by the columns as they are stored. If anything at all is unusual,
//!    also something that is allowed, the block is none, and its records are checked one by one.
//! 2. So a plain block has no finding, and changes the sums in one way only. A test holds both ways against each other.

use std::ops::Range;

use super::falls::{Latest, Timed};
use super::order::CONFIRMATIONS;
use super::sums::DaySums;
use crate::record::{EARLIEST_PLAUSIBLE, LATEST_AHEAD_NANOS, Means};
use crate::schema::{Layout, Trades};
use crate::store::Snapshot;
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Records of a block.
pub(super) const BLOCK_RECORDS: usize = 1 << 12;

/// The columns of a day of trades that has all of version 1 and no late record.
pub(super) struct PlainColumns<'a> {
    ids: &'a [u64],
    seconds: &'a [u32],
    nanos: &'a [u32],
    prices: &'a [f32],
    sizes: &'a [f32],
    sides: &'a [u32],
    orders: [&'a [[u8; 16]]; 2],
    exact_prices: &'a [f64],
    exact_sizes: &'a [f64],
    received: &'a [u64],
    origins: &'a [u32],
}

/// What came before a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The highest id.
    pub last_id: u64,
    /// The event time of the record before.
    pub time: Option<UnixNanos>,
    /// The latest event times that others confirm.
    pub latest: Latest,
}

/// What a plain block adds.
#[derive(Debug)]
pub(super) struct PlainBlock {
    pub sums: DaySums,
    /// What is before the next block.
    pub after: Before,
    /// Its last records, in order.
    pub last: Vec<Timed>,
}

impl<'a> PlainColumns<'a> {
    /// Gives the columns of a day. Nothing where it has late records, other records than trades, or the core alone.
    pub(super) fn of<L: Layout>(day: &'a Snapshot<L>) -> Option<Self> {
        if L::DATASET != Trades::DATASET || !day.late().is_empty() {
            return None;
        }
        Some(Self {
            ids: day.column("trade_id").ok()?,
            seconds: day.column("trade_time").ok()?,
            nanos: day.column("trade_nanos").ok()?,
            prices: day.column("trade_price").ok()?,
            sizes: day.column("trade_size").ok()?,
            sides: day.column("trade_side").ok()?,
            orders: [day.column("maker_order_id").ok()?, day.column("taker_order_id").ok()?],
            exact_prices: day.column("trade_price_f64").ok()?,
            exact_sizes: day.column("trade_size_f64").ok()?,
            received: day.column("trade_recv_nanos").ok()?,
            origins: day.column("trade_origin").ok()?,
        })
    }

    /// Gives the ids and event times of some records.
    pub(super) fn links(&self, records: Range<usize>) -> impl Iterator<Item = (u64, UnixNanos)> {
        let ids = self.ids.get(records.clone()).unwrap_or_default().iter().copied();
        ids.zip(self.times(records))
    }

    fn times(&self, records: Range<usize>) -> impl Iterator<Item = UnixNanos> {
        let seconds = self.seconds.get(records.clone()).unwrap_or_default();
        let nanos = self.nanos.get(records).unwrap_or_default();
        seconds.iter().zip(nanos).map(|(seconds, nanos)| UnixNanos::from_parts(*seconds, *nanos))
    }

    /// Checks a block. Gives nothing where it is not plain.
    pub(super) fn check(&self, records: Range<usize>, date: UtcDay, now: UnixNanos, before: Before) -> Option<PlainBlock> {
        let count = records.len();
        let is_valued =
            self.is_rounded(self.prices, self.exact_prices, &records)? && self.is_rounded(self.sizes, self.exact_sizes, &records)?;
        let are_sides = self.sides.get(records.clone())?.iter().fold(0, |all, side| all | side) <= 1;
        let are_nanos = self.nanos.get(records.clone())?.iter().fold(0, |most: u32, nanos| most.max(*nanos));
        if !is_valued || !are_sides || u64::from(are_nanos) >= NANOS_PER_SECOND {
            return None;
        }
        let [makers, takers] = self.orders.map(|ids| ids.get(records.clone()));
        let is_named = |id: &[u8; 16]| u128::from_ne_bytes(*id) != 0;
        let has_both = makers?.iter().zip(takers?).filter(|(maker, taker)| is_named(maker) & is_named(taker)).count();
        let mut sums =
            DaySums { records: count as u64, with_order_ids: has_both as u64, rounded: Some(count as u64 * 2), ..DaySums::default() };
        let times: Vec<u64> = self.times(records.clone()).map(|time| time.0).collect();
        let (low, high) = times.iter().fold((u64::MAX, 0), |(low, high), time| (low.min(*time), high.max(*time)));
        let is_on_the_day = date.start().max(EARLIEST_PLAUSIBLE).0 <= low && high < date.next().start().0;
        let ids = self.ids.get(records.clone())?;
        let (received, origins) = (self.received.get(records.clone())?, self.origins.get(records.clone())?);
        let are_unflagged = origins.iter().fold(0, |all, origin| all | origin) >> 9 & 1 == 0;
        if !is_on_the_day || !are_unflagged || !rise(before.last_id, ids) || before.latest.is_any_fallen(&times) {
            return None;
        }
        if !sums.add_received(received, origins, &times, (date, now)) {
            return None;
        }
        let falls = times.iter().zip(times.iter().skip(1)).filter(|(time, next)| next < time).count() as u64;
        let (first, last) = (times.first().copied().map(UnixNanos), times.last().copied().map(UnixNanos));
        sums.regressions = falls + u64::from(before.time > first);
        sums.times = first.zip(last);
        let after = Before {
            last_id: ids.last().copied().unwrap_or(before.last_id),
            time: last.or(before.time),
            latest: before.latest.with(UnixNanos(high)),
        };
        let newest = records.end.saturating_sub(CONFIRMATIONS).max(records.start)..records.end;
        let times = newest.clone().zip(self.times(newest.clone())).zip(self.received.get(newest)?);
        let last = times.map(|((number, time), recv)| Timed { number, time, recv: (*recv != 0).then_some(UnixNanos(*recv)) }).collect();
        Some(PlainBlock { sums, after, last })
    }

    /// Tells whether every value is above 0, finite and the f32 of its f64.
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is checked")]
    fn is_rounded(&self, rounded: &[f32], exact: &[f64], records: &Range<usize>) -> Option<bool> {
        let pairs = rounded.get(records.clone())?.iter().zip(exact.get(records.clone())?);
        let is_good = |(rounded, exact): (&f32, &f64)| {
            (*rounded > 0.0) & rounded.is_finite() & exact.is_finite() & (rounded.to_bits() == (*exact as f32).to_bits())
        };
        Some(pairs.fold(true, |all, pair| all & is_good(pair)))
    }
}

/// Tells whether ids rise, from the one before them on.
fn rise(before: u64, ids: &[u64]) -> bool {
    let is_first_above = ids.first().is_none_or(|first| before < *first);
    ids.iter().zip(ids.iter().skip(1)).fold(is_first_above, |all, (id, next)| all & (id < next))
}

impl DaySums {
    /// Adds what the receive times of a block say. Tells whether no event time lies too far ahead.
    fn add_received(&mut self, received: &[u64], origins: &[u32], times: &[u64], (date, now): (UtcDay, UnixNanos)) -> bool {
        let (start, end, known) = (date.start().0, date.next().start().0, now.0.saturating_add(LATEST_AHEAD_NANOS));
        let (mut is_plain, mut is_on_its_day, mut with_recv, mut first_live) = (true, false, 0, u64::MAX);
        for ((recv, origin), time) in received.iter().zip(origins).zip(times) {
            let is_known = *recv != 0;
            is_plain &= *time <= if is_known { recv.saturating_add(LATEST_AHEAD_NANOS) } else { known };
            is_on_its_day |= is_known & (start <= *recv) & (*recv < end);
            with_recv += u64::from(is_known);
            let is_live = is_known & (origin & 0xf == Means::Live as u32);
            first_live = first_live.min(if is_live { *recv } else { u64::MAX });
        }
        self.with_recv = with_recv;
        self.is_received_on_its_day = is_on_its_day;
        self.first_live = (first_live != u64::MAX).then_some(UnixNanos(first_live));
        is_plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ClockDays;
    use crate::product::ProductId;
    use crate::schema::Dataset;
    use crate::verify::day::{ClockOfNow, check_by};
    use crate::verify::finding::{Findings, Location};
    use proptest::prelude::*;

    const DATE: UtcDay = UtcDay(20_000);
    const NAMES: [&str; 13] = [
        "trade_id",
        "trade_time",
        "trade_nanos",
        "trade_price",
        "trade_size",
        "trade_side",
        "maker_order_id",
        "taker_order_id",
        "trade_price_f64",
        "trade_size_f64",
        "trade_sequence",
        "trade_recv_nanos",
        "trade_origin",
    ];

    /// Writes a day without a page: good records, but for what is changed in single values.
    fn store(dir: &std::path::Path, count: u64, changes: &[(usize, usize, u8, u8)]) {
        let mut columns: Vec<Vec<u8>> = vec![Vec::new(); NAMES.len()];
        for at in 0..count {
            let time = DATE.start().0 + at * 9_000_000_000_000 / count;
            #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is wanted")]
            let (price, size) = (65_000.01 + at as f64 / 100.0, (0.001 * (at + 1) as f64) as f32);
            let recv = if at % 5 == 0 { 0 } else { time + 7_000_000 };
            let origin = if at % 5 == 0 { 2u32 } else { 0 };
            let id = [u8::try_from(at % 3).unwrap_or(0); 16];
            #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is wanted")]
            let values: [Vec<u8>; 13] = [
                (at + 1).to_le_bytes().into(),
                UnixNanos(time).seconds().to_le_bytes().into(),
                UnixNanos(time).subsec_nanos().to_le_bytes().into(),
                (price as f32).to_le_bytes().into(),
                size.to_le_bytes().into(),
                u32::from(at % 2 == 0).to_le_bytes().into(),
                id.into(),
                [1; 16].into(),
                price.to_le_bytes().into(),
                f64::from(size).to_le_bytes().into(),
                at.to_le_bytes().into(),
                recv.to_le_bytes().into(),
                origin.to_le_bytes().into(),
            ];
            columns.iter_mut().zip(values).for_each(|(column, value)| column.extend(value));
        }
        for (column, record, byte, flip) in changes {
            let bytes = &mut columns[column % NAMES.len()];
            let width = bytes.len() / usize::try_from(count).expect("few");
            let at = record % usize::try_from(count).expect("few") * width + usize::from(*byte) % width;
            bytes[at] ^= flip;
        }
        let folder = dir.join("BTC-USD/TRADES");
        std::fs::create_dir_all(&folder).expect("made");
        for (name, bytes) in NAMES.iter().zip(columns) {
            std::fs::write(folder.join(format!("{name}.{DATE}.bin")), bytes).expect("written");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_block_at_once_says_what_its_records_say_one_by_one(
            count in 1u64..9_000,
            changes in prop::collection::vec((0usize..13, any::<usize>(), any::<u8>(), 1u8..), 0..5),
            past in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            store(dir.path(), count, &changes);
            let product = ProductId::new("BTC-USD").expect("a product");
            let day = Snapshot::<Trades>::open(dir.path(), &product, DATE).expect("opened").expect("a day");
            let location = Location::on(&product, Dataset::Trades, DATE);
            let now = if past { DATE.start() } else { DATE.next().start() };
            let columns = PlainColumns::of(&day).expect("all columns");
            let by = |plain: Option<&PlainColumns<'_>>| {
                let (mut findings, mut seen) = (Findings::default(), Vec::new());
                let clock = ClockOfNow { now, off: &ClockDays::default() };
                let sums = check_by(plain, &day, &location, clock, &[], &mut findings, |number, time, id| seen.push((number, time, id)));
                let listed: Vec<String> = findings.listed().iter().map(|finding| format!("{finding:?}")).collect();
                (sums, findings.counts().collect::<Vec<_>>(), listed, seen, format!("{:?}", findings.take_suspects()))
            };
            prop_assert_eq!(by(Some(&columns)), by(None));
            if changes.is_empty() && !past {
                let before = Before { last_id: 0, time: None, latest: Latest::default() };
                let first = usize::try_from(count).expect("few").min(BLOCK_RECORDS);
                prop_assert!(columns.check(0..first, DATE, now, before).is_some(), "the usual block is plain");
            }
        }
    }
}
