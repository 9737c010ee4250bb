//! Candles against candles in integers: of a market that was recorded with gaps, and of tapes made by chance.

use std::path::Path;

use coltape::internals::record::{Side, Trade};
use coltape::internals::schema::{ColumnSet, Layout, Trades};
use coltape::internals::store::{Day, StoreOptions, seal};
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::{Candles, Fill, Format, Interval, ProductId, Tape, TimeRange, print_candles};
use proptest::prelude::*;
use serde_json::Value;

use super::exactly::{Added, Told, assert_candle, buckets, missing_places};
use super::recorded::{record, replay};
use crate::market::{FIRST_DAY, data_dir, insert, product, store};

const SECOND: u64 = 1_000_000_000;

pub(crate) fn decimal(text: &str) -> coltape::Decimal {
    coltape::internals::decimal::parse(text.as_bytes()).unwrap()
}

pub(crate) fn stored(told: &Told) -> Trade {
    Trade {
        trade_id: told.id,
        time: UnixNanos(told.time),
        price: decimal(&told.price),
        size: decimal(&told.size),
        side: if told.is_buy { Side::Buy } else { Side::Sell },
        ..Trades::EMPTY
    }
}

fn asked(dir: &Path, interval: Interval, range: TimeRange, fill: Fill) -> Candles {
    asked_of("BTC-USD", dir, interval, range, fill)
}

fn asked_of(product: &str, dir: &Path, interval: Interval, range: TimeRange, fill: Fill) -> Candles {
    let mut asked = Candles::new(Tape::open(dir).unwrap(), ProductId::new(product).unwrap());
    (asked.interval, asked.range, asked.fill) = (interval, range, fill);
    asked
}

/// The rows as JSON, and the summary line.
fn lines(asked: &Candles) -> (Vec<Value>, Value) {
    let mut out = Vec::new();
    print_candles(asked, Format::Jsonl, true, &mut out).unwrap();
    let mut lines: Vec<Value> = String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

fn time_of(line: &Value) -> u64 {
    u64::try_from(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap()
}

/// The candles of trades in order of ids: the missing ids are counted one by one, each in the bucket of its even place, or in the row before.
fn expected(trades: &[Told], nanos: u64, range: TimeRange) -> Vec<(u64, Added)> {
    let inside = |time: u64| range.contains(UnixNanos(time));
    let mut rows: Vec<(u64, Added)> = buckets(trades.iter().filter(|trade| inside(trade.time)), nanos).into_iter().collect();
    for place in missing_places(trades).into_iter().filter(|place| inside(*place)) {
        let at = rows.partition_point(|(begin, _)| *begin <= place).saturating_sub(1);
        if let Some((_, row)) = rows.get_mut(at) {
            row.missing += 1;
        }
    }
    rows
}

fn assert_candles(dir: &Path, trades: &[Told], interval: Interval, range: TimeRange) {
    assert_candles_of("BTC-USD", dir, trades, interval, range);
}

fn assert_candles_of(product: &str, dir: &Path, trades: &[Told], interval: Interval, range: TimeRange) {
    let nanos = u64::from(interval.seconds()) * SECOND;
    let expected = expected(trades, nanos, range);
    let (rows, summary) = lines(&asked_of(product, dir, interval, range, Fill::None));
    assert_eq!(rows.iter().map(time_of).collect::<Vec<_>>(), expected.iter().map(|(begin, _)| *begin).collect::<Vec<_>>());
    for (row, (_, added)) in rows.iter().zip(&expected) {
        assert_candle(row, added, u64::from(interval.seconds()));
    }
    let missing: u64 = expected.iter().map(|(_, added)| added.missing).sum();
    let trades: usize = expected.iter().map(|(_, added)| added.prices.len()).sum();
    assert_eq!((summary["missing"].as_u64(), summary["trades"].as_u64()), (Some(missing), Some(trades as u64)), "{summary}");
    assert_eq!(summary["rows"].as_u64(), Some(rows.len() as u64));
}

#[test]
fn candles_of_a_market_with_gaps_are_those_of_its_ledger_on_both_feeds() {
    for feed in ["exchange", "advanced"] {
        let market = record(feed, &["--rate", "200", "--duration", "3s", "--faults", "outage:3m@1s,drop=0.02"], &[]);
        let trades = market.trades();
        assert!(trades.windows(2).any(|pair| pair[1].id > pair[0].id + 1), "no gap");
        let from = TimeRange { from: Some(UnixNanos(trades[0].time)), to: None };
        for interval in Interval::ALL {
            assert_candles(&market.data, &trades, interval, from);
        }
        let (_, summary) = lines(&asked(&market.data, Interval::Minute, from, Fill::None));
        assert_eq!((summary["whole"].as_bool(), summary["verdict"].as_str()), (Some(false), Some("open")), "{summary}");
        let middle = UnixNanos(trades[trades.len() / 2].time);
        let (first, last) = (UnixNanos(trades[0].time), UnixNanos(trades[trades.len() - 1].time));
        assert_candles(&market.data, &trades, Interval::Second, TimeRange::new(first, middle));
        assert_candles(&market.data, &trades, Interval::Second, TimeRange::new(middle, last));
    }
}

#[test]
fn candles_of_the_recorded_sessions_are_those_of_their_frames() {
    for (feed, name, product) in [
        ("exchange", "exchange-2021-04-17.tsv", "SKL-USD"),
        ("exchange", "exchange-2021-04-17.tsv", "BAND-BTC"),
        ("advanced", "advanced-2026-08-09.tsv", "ETH-USD"),
    ] {
        let Some(market) = replay(feed, name, product) else { return };
        for interval in Interval::ALL {
            assert_candles_of(product, &market.data, &market.trades(), interval, TimeRange::ALL);
        }
    }
}

#[test]
fn flat_candles_fill_what_is_empty_up_to_where_the_tape_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let minute = 60 * SECOND;
    let noon = FIRST_DAY.start().0 + 12 * 60 * minute;
    let told = |id: u64, after: u64, price: &str| Told {
        id,
        time: noon + after,
        price: price.to_owned(),
        size: "0.5".to_owned(),
        is_buy: id.is_multiple_of(2),
    };
    // The last trade is of the day after the next.
    let trades = [told(7, 0, "10"), told(8, 3 * minute, "12"), told(9, 3 * minute + 1, "11"), told(10, 2_880 * minute, "13")];
    store::<Trades>(&data_dir(folder.path(), StoreOptions::default()), &product(), &trades.iter().map(stored).collect::<Vec<_>>());
    let at = |minutes: u64| UnixNanos(noon + minutes * minute);
    let closes = |range: TimeRange, fill: Fill| {
        let (rows, _) = lines(&asked(folder.path(), Interval::Minute, range, fill));
        rows.iter()
            .map(|row| ((time_of(row) - noon) / minute, row["close"].as_f64().unwrap(), row["trades"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let range = TimeRange::new(at(0), at(6));
    assert_eq!(closes(range, Fill::None), [(0, 10.0, 1), (3, 11.0, 2)]);
    assert_eq!(closes(range, Fill::Flat), [(0, 10.0, 1), (1, 10.0, 0), (2, 10.0, 0), (3, 11.0, 2), (4, 11.0, 0), (5, 11.0, 0)]);
    // A range without a trade begins with the close before it.
    assert_eq!(closes(TimeRange::new(at(1), at(3)), Fill::Flat), [(1, 10.0, 0), (2, 10.0, 0)]);
    // A day without files lies between two that are stored.
    let all = closes(TimeRange::ALL, Fill::Flat);
    assert_eq!((all.len(), all[0], all[2_879], all[2_880]), (2_881, (0, 10.0, 1), (2_879, 11.0, 0), (2_880, 13.0, 1)));
    // Nothing is claimed of the time behind the last trade, nor of that before the first one.
    let beyond = closes(TimeRange { from: Some(UnixNanos(noon - 5 * minute)), to: Some(at(2_890)) }, Fill::Flat);
    assert_eq!((beyond.len(), beyond[0].0), (2_881, 0));
    let (rows, _) = lines(&asked(folder.path(), Interval::Minute, range, Fill::Flat));
    let flat = &rows[1];
    for key in ["open", "high", "low", "close"] {
        assert_eq!(flat[key].as_f64(), Some(10.0));
    }
    assert!(flat["vwap"].is_null() && flat["volume"].as_f64() == Some(0.0) && flat["missing"].as_u64() == Some(0), "{flat}");
}

#[test]
fn flat_candles_within_a_gap_tell_how_many_ids_are_missing_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told = |id: u64, after: u64| Told { id, time: noon + after * SECOND, price: "1.5".to_owned(), size: "1".to_owned(), is_buy: true };
    let trades = [told(1, 30), told(102, 330)];
    store::<Trades>(&data_dir(folder.path(), StoreOptions::default()), &product(), &trades.iter().map(stored).collect::<Vec<_>>());
    let (rows, summary) = lines(&asked(folder.path(), Interval::Minute, TimeRange::ALL, Fill::Flat));
    let missing: Vec<u64> = rows.iter().map(|row| row["missing"].as_u64().unwrap()).collect();
    assert_eq!((missing.iter().sum::<u64>(), missing.len(), summary["missing"].as_u64()), (100, 6, Some(100)), "{missing:?}");
    assert!(missing.iter().all(|missing| *missing >= 9), "{missing:?}");
    // Without flat candles they count in the row before.
    let (rows, _) = lines(&asked(folder.path(), Interval::Minute, TimeRange::ALL, Fill::None));
    let sparse: Vec<u64> = rows.iter().map(|row| row["missing"].as_u64().unwrap()).collect();
    assert_eq!((sparse.len(), sparse.iter().sum::<u64>(), sparse[1]), (2, 100, missing[5]));
}

#[test]
fn core_columns_give_the_shortest_decimals_of_their_f32_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told =
        |id: u64, price: &str, size: &str| Told { id, time: noon + id, price: price.to_owned(), size: size.to_owned(), is_buy: true };
    let trades = [told(1, "100.1", "0.1"), told(2, "100.3", "0.2"), told(3, "0.00000051", "1.5")];
    let options = StoreOptions::default().columns(ColumnSet::Core);
    store::<Trades>(&data_dir(folder.path(), options), &product(), &trades.iter().map(stored).collect::<Vec<_>>());
    let mut out = Vec::new();
    let basis = print_candles(&asked(folder.path(), Interval::Day, TimeRange::ALL, Fill::None), Format::Jsonl, false, &mut out).unwrap();
    let row: Value = serde_json::from_slice(&out).unwrap();
    assert_candle(&row, &buckets(trades.iter(), 86_400 * SECOND)[&FIRST_DAY.start().0], 86_400);
    assert!(basis.has_core_days && basis.notes().iter().any(|note| note.contains("rounded to f32")), "{:?}", basis.notes());
}

/// What a random tape is made of.
#[derive(Debug, Clone)]
struct Random {
    /// The trades in order of ids.
    trades: Vec<Told>,
    /// The order in which they are stored.
    order: Vec<usize>,
    is_sealed: bool,
}

fn random_tape() -> impl Strategy<Value = Random> {
    let price = prop_oneof![
        (1u64..20_000_000, 0usize..=4).prop_map(|(digits, scale)| (digits, scale)),
        Just((13_107_201, 2)),
        (1u64..1_000, 8usize..=10),
    ];
    let size = prop_oneof![(0u64..300_000_000, Just(8usize)), (1u64..50, 0usize..=3), Just((1, 10))];
    let step = prop_oneof![Just(0u64), 1..5 * SECOND, 30 * SECOND..4_000 * SECOND];
    let trade = (price, size, any::<bool>(), step, prop_oneof![4 => Just(1u64), 1 => 2u64..9], 0u64..3 * SECOND);
    (proptest::collection::vec(trade, 1..80), 1u64..4, any::<u64>(), any::<bool>(), any::<bool>()).prop_map(
        |(parts, first, seed, is_shuffled, is_sealed)| {
            let spelled = |(digits, scale): (u64, usize)| {
                let text = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = text.split_at(text.len() - scale);
                if scale == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
            };
            // Late in the evening, so that some tapes go over midnight.
            let (mut id, mut time) = (first, FIRST_DAY.start().0 + 80_000 * SECOND);
            let mut trades: Vec<Told> = Vec::new();
            for (price, size, is_buy, step, ids, fall) in parts {
                time += step;
                // Now and then the clock falls.
                let fallen = if fall < SECOND / 2 { time.saturating_sub(fall) } else { time };
                trades.push(Told { id, time: fallen, price: spelled(price), size: spelled(size), is_buy });
                id += ids;
            }
            let mut order: Vec<usize> = (0..trades.len()).collect();
            if is_shuffled {
                order.sort_by_key(|at| (*at as u64 / 5, (*at as u64).wrapping_mul(seed | 1) >> 7));
            }
            Random { trades, order, is_sealed }
        },
    )
}

/// Stores a tape: late trades are late records, until the days are sealed.
fn store_random(path: &Path, random: &Random) {
    let dir = data_dir(path, StoreOptions::default());
    let mut dates: Vec<UtcDay> = random.trades.iter().map(|trade| UnixNanos(trade.time).day()).collect();
    dates.sort();
    dates.dedup();
    let mut closed = Vec::new();
    for date in dates {
        let (mut day, _) = Day::<Trades>::open(&dir, &product(), date, date.start()).unwrap();
        for trade in random.order.iter().map(|at| &random.trades[*at]).filter(|trade| UnixNanos(trade.time).day() == date) {
            insert(&mut day, &stored(trade));
        }
        day.commit();
        closed.push(day.close());
    }
    if random.is_sealed {
        for outcome in seal::seal(&dir, closed) {
            outcome.sealed.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn candles_of_any_tape_are_those_of_integers(
        random in random_tape(), interval in prop::sample::select(Interval::ALL.as_slice()), cut in (0.0f64..1.0, 0.0f64..1.0), is_cut in any::<bool>()
    ) {
        let folder = tempfile::tempdir().unwrap();
        store_random(folder.path(), &random);
        let trades = &random.trades;
        let (first, last) = (trades.iter().map(|trade| trade.time).min().unwrap(), trades.iter().map(|trade| trade.time).max().unwrap());
        let at = |share: f64| first + ((last - first) as f64 * share) as u64;
        let range = if is_cut { TimeRange::new(UnixNanos(at(cut.0.min(cut.1))), UnixNanos(at(cut.0.max(cut.1)) + 1)) } else { TimeRange::ALL };
        if trades.iter().any(|trade| range.contains(UnixNanos(trade.time))) {
            assert_candles(folder.path(), trades, interval, range);
        }
    }
}
