//! Orders against those of a ledger, whose sweeps and quotes are known; and quotes where a sequence began anew, or came late.

use std::path::Path;

use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{Dataset, Layout, Md, Trades};
use coltape::internals::store::{Day, StoreOptions};
use coltape::internals::time::UnixNanos;
use coltape::{Format, Order, Orders, OrdersBasis, ProductId, Tape, TimeRange, print_orders};
use serde_json::Value;

use super::candles::decimal;
use super::exactly::{DIGITS, agree, nearest, quotient, units};
use super::recorded::{Recorded, ToldFill, record};
use crate::market::{FIRST_DAY, column, data_dir, insert, product, rewrite, store};

const SECOND: u64 = 1_000_000_000;

fn asked(dir: &Path) -> Orders {
    Orders::new(Tape::open(dir).unwrap(), ProductId::new("BTC-USD").unwrap())
}

fn lines(asked: &Orders) -> (Vec<Value>, Value) {
    let mut out = Vec::new();
    print_orders(asked, Format::Jsonl, true, &mut out).unwrap();
    let mut lines: Vec<Value> = String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

/// The fills of the ledger, put together: those that follow each other and have one taker.
fn sweeps(fills: &[ToldFill]) -> Vec<Vec<ToldFill>> {
    let mut found: Vec<Vec<ToldFill>> = Vec::new();
    for fill in fills {
        match found.last_mut() {
            Some(sweep) if sweep[0].taker.is_some() && sweep[0].taker == fill.taker => sweep.push(fill.clone()),
            _ => found.push(vec![fill.clone()]),
        }
    }
    found
}

fn assert_sweep(line: &Value, sweep: &[ToldFill], market: &Recorded) {
    let (first, last) = (&sweep[0], &sweep[sweep.len() - 1]);
    let prices: Vec<i128> = sweep.iter().map(|fill| units(&fill.trade.price)).collect();
    let sizes: Vec<i128> = sweep.iter().map(|fill| units(&fill.trade.size)).collect();
    let size: i128 = sizes.iter().sum();
    let notional: i128 = prices.iter().zip(&sizes).map(|(price, size)| price * size).sum();
    let different = |mut values: Vec<String>| {
        values.sort();
        values.dedup();
        values.len() as u64
    };
    let number = |key: &str| line[key].as_f64();
    assert_eq!(line["side"].as_str(), Some(if first.trade.is_buy { "buy" } else { "sell" }));
    assert_eq!((line["first_trade_id"].as_u64(), line["last_trade_id"].as_u64()), (Some(first.trade.id), Some(last.trade.id)));
    assert_eq!(line["fills"].as_u64(), Some(sweep.len() as u64), "{line}");
    assert_eq!(line["levels"].as_u64(), Some(different(sweep.iter().map(|fill| fill.trade.price.clone()).collect())), "{line}");
    let makers: Vec<String> = sweep.iter().filter_map(|fill| fill.maker.clone()).collect();
    assert_eq!(line["makers"].as_u64(), (!makers.is_empty()).then(|| different(makers)), "{line}");
    assert_eq!(line["taker_order_id"].as_str(), first.taker.as_deref());
    assert!(
        agree(number("size").unwrap(), nearest(size, DIGITS)) && agree(number("notional").unwrap(), nearest(notional, 2 * DIGITS)),
        "{line}"
    );
    let vwap = quotient(notional, size * 10i128.pow(10));
    assert!(agree(number("vwap").unwrap(), vwap), "{vwap} {line}");
    let worst = if first.trade.is_buy { prices.iter().max() } else { prices.iter().min() };
    assert_eq!(number("worst_price"), Some(nearest(*worst.unwrap(), DIGITS)), "{line}");
    let time = |key: &str| u64::try_from(line[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap();
    assert_eq!((time("time"), time("last_time")), (first.trade.time, last.trade.time));
    let with_sequence = |from: u64| market.tickers.iter().filter(move |ticker| ticker.sequence != 0 && from != 0);
    let before = with_sequence(first.sequence).rfind(|ticker| ticker.sequence < first.sequence);
    let after = with_sequence(last.sequence).find(|ticker| ticker.sequence == last.sequence);
    assert_eq!((number("bid_after"), number("ask_after")), (after.map(|ticker| ticker.bid), after.map(|ticker| ticker.ask)), "{line}");
    assert!(after.is_none_or(|ticker| ticker.trade_id == last.trade.id));
    match before {
        // The ticker that was sent on subscribing may be the one before.
        None if first.sequence != 0 => {}
        before => {
            assert_eq!(
                (number("bid_before"), number("ask_before")),
                (before.map(|ticker| ticker.bid), before.map(|ticker| ticker.ask)),
                "{line}"
            );
            assert_eq!(number("quote_age_ms"), before.map(|ticker| (first.trade.time - ticker.time) as f64 / 1e6), "{line}");
            let mid = before.map(|ticker| (ticker.bid + ticker.ask) / 2.0);
            let slippage = mid.map(|mid| if first.trade.is_buy { vwap - mid } else { mid - vwap } / mid * 1e4);
            assert_eq!(number("slippage_bps").is_some(), slippage.is_some());
            if let (Some(found), Some(slippage)) = (number("slippage_bps"), slippage) {
                assert!((found - slippage).abs() < 1e-9, "{slippage} {line}");
            }
        }
    }
}

/// Asserts that the orders of a market are the sweeps of its ledger; gives how many have a quote before and one after.
fn assert_orders(market: &Recorded) -> (usize, usize) {
    let mut asked = asked(&market.data);
    asked.range.from = Some(UnixNanos(market.fills[0].trade.time));
    let (lines, summary) = lines(&asked);
    let sweeps = sweeps(&market.fills);
    assert_eq!(lines.len(), sweeps.len());
    lines.iter().zip(&sweeps).for_each(|(line, sweep)| assert_sweep(line, sweep, market));
    assert_eq!(summary["orders"].as_u64(), Some(sweeps.len() as u64));
    let count = |key: &str| lines.iter().filter(|line| !line[key].is_null()).count();
    (count("bid_before"), count("bid_after"))
}

#[test]
fn the_orders_of_a_market_are_the_sweeps_of_its_ledger_with_the_quotes_before_and_after() {
    let market = record("exchange", &["--rate", "300", "--duration", "3s", "--faults", "drop=0.03"], &[]);
    let (before, after) = assert_orders(&market);
    let sweeps = sweeps(&market.fills);
    assert!(before > sweeps.len() / 2 && after > sweeps.len() / 2 && after < sweeps.len(), "{before} and {after} of {}", sweeps.len());
    assert!(sweeps.iter().any(|sweep| sweep.len() > 3), "no sweep");
}

#[test]
fn trades_of_the_advanced_feed_stand_alone_without_quotes_and_that_is_said() {
    let market = record("advanced", &["--rate", "300", "--duration", "2s"], &[]);
    assert_eq!(assert_orders(&market), (0, 0));
    let basis = asked(&market.data).for_each(|_| Ok(())).unwrap();
    let said = basis.notes();
    assert!(
        said.iter().any(|note| note.contains("have no order ids")) && said.iter().any(|note| note.contains("no ticker with a sequence")),
        "{said:?}"
    );
}

#[test]
fn small_orders_and_those_of_few_fills_are_left_out_when_asked() {
    let market = record("exchange", &["--rate", "200", "--duration", "2s"], &[]);
    let mut asked = asked(&market.data);
    let from = market.begin().parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    asked.range.from = Some(UnixNanos(u64::try_from(from).unwrap()));
    let sweeps = sweeps(&market.fills);
    for (fills, size) in [(Some(2), None), (None, Some(0.01)), (Some(3), Some(0.02))] {
        (asked.min_fills, asked.min_size) = (fills, size);
        let kept = sweeps.iter().filter(|sweep| {
            let total: i128 = sweep.iter().map(|fill| units(&fill.trade.size)).sum();
            fills.is_none_or(|fills| sweep.len() as u64 >= fills) && size.is_none_or(|size: f64| nearest(total, DIGITS) >= size)
        });
        let (lines, summary) = lines(&asked);
        assert_eq!(lines.len(), kept.count(), "{fills:?} {size:?}");
        assert_eq!((summary["orders"].as_u64(), summary["rows"].as_u64()), (Some(sweeps.len() as u64), Some(lines.len() as u64)));
    }
}

fn noon() -> u64 {
    FIRST_DAY.start().0 + 43_200 * SECOND
}

/// A trade of its own taker, at `after` seconds behind noon.
fn trade(id: u64, after: u64, sequence: u64) -> Trade {
    Trade {
        trade_id: id,
        time: UnixNanos(noon() + after * SECOND),
        price: decimal("100"),
        size: decimal("1"),
        side: Side::Buy,
        maker_order_id: OrderId([1; 16]),
        taker_order_id: OrderId(u128::from(id).to_be_bytes()),
        sequence,
        ..Trades::EMPTY
    }
}

/// The ticker of a trade. Its bid is its trade id.
fn ticker(trade_id: u64, after: u64, sequence: u64) -> Ticker {
    Ticker {
        time: UnixNanos(noon() + after * SECOND),
        trade_id,
        sequence,
        best_bid: decimal(&trade_id.to_string()),
        best_ask: decimal(&(trade_id + 1).to_string()),
        ..Md::EMPTY
    }
}

/// The bids before and after each trade.
fn bids(dir: &Path) -> Vec<(u64, Option<f64>, Option<f64>)> {
    let mut found = Vec::new();
    let note = |order: &Order| (order.first_trade_id, order.before.and_then(|quote| quote.bid), order.after.and_then(|quote| quote.bid));
    let _: OrdersBasis = asked(dir)
        .for_each(|order| {
            found.push(note(order));
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn a_sequence_that_begins_anew_gives_no_quote_of_the_time_before() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    // The sequences of trades 1 to 4 are 1000 to 1300, those of 5 to 9 begin anew at 1050. Trade 8 has that of trade 3.
    let sequences = [1000, 1100, 1200, 1300, 1050, 1150, 1160, 1200, 1400];
    let trades: Vec<Trade> = (1..).zip(sequences).map(|(id, sequence)| trade(id, id, sequence)).collect();
    store::<Trades>(&dir, &product(), &trades);
    // Trades 2, 5 and 8 have no ticker.
    let named: Vec<(u64, u64)> = (1..).zip(sequences).filter(|(id, _)| ![2, 5, 8].contains(id)).collect();
    // The store takes rising sequences alone where no capture says that they have begun anew, so they are changed afterwards.
    store::<Md>(&dir, &product(), &named.iter().map(|(id, _)| ticker(*id, *id, *id)).collect::<Vec<_>>());
    rewrite(folder.path(), Dataset::Md, FIRST_DAY, |rows| {
        for (row, (_, sequence)) in rows.iter_mut().zip(&named) {
            row[column(Dataset::Md, "sequence")] = sequence.to_le_bytes().to_vec();
        }
    });
    let expected = [
        (1, None, Some(1.0)),
        (2, Some(1.0), None),
        (3, Some(1.0), Some(3.0)),
        (4, Some(3.0), Some(4.0)),
        (5, None, None),
        (6, None, Some(6.0)),
        (7, Some(6.0), Some(7.0)),
        (8, Some(7.0), None),
        (9, Some(7.0), Some(9.0)),
    ];
    assert_eq!(bids(folder.path()), expected);
}

#[test]
fn quotes_reach_over_midnight_and_late_tickers_and_trades_count() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    let day = 86_400;
    // Trades 1 and 2 are of the first day, the others of the second.
    let after = |id: u64| if id <= 2 { id } else { day + id };
    let all: Vec<Trade> = (1..=6).map(|id| trade(id, after(id), id * 10)).collect();
    store::<Trades>(&dir, &product(), &all[..2]);
    store::<Md>(&dir, &product(), &[ticker(1, 1, 10)]);
    // The ticker of trade 2 comes when its day is sealed.
    let (mut sealed, _) = Day::<Md>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.next().start()).unwrap();
    insert(&mut sealed, &ticker(2, 2, 20));
    sealed.commit();
    assert_eq!(sealed.late_count(), 1);
    let (mut trades, _) = Day::<Trades>::open(&dir, &product(), FIRST_DAY.next(), FIRST_DAY.next().start()).unwrap();
    for at in [2, 4, 3, 5] {
        insert(&mut trades, &all[at]);
    }
    trades.commit();
    assert_eq!(trades.late_count(), 1);
    let (mut md, _) = Day::<Md>::open(&dir, &product(), FIRST_DAY.next(), FIRST_DAY.next().start()).unwrap();
    insert(&mut md, &ticker(5, after(5), 50));
    md.commit();
    let expected = [
        (1, None, Some(1.0)),
        (2, Some(1.0), Some(2.0)),
        (3, Some(2.0), None),
        (4, Some(2.0), None),
        (5, Some(2.0), Some(5.0)),
        (6, Some(5.0), None),
    ];
    assert_eq!(bids(folder.path()), expected);
    // The tickers of the Advanced feed have no sequence: they are between the others, and are no quote of a trade.
    insert(&mut md, &ticker(0, after(6), 0));
    insert(&mut md, &ticker(6, after(6), 60));
    md.commit();
    assert_eq!(bids(folder.path())[5], (6, Some(5.0), Some(6.0)));
}

#[test]
fn an_order_is_given_once_and_whole_by_adjoining_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    // One order over midnight, from the 43 199th second after noon on.
    let of_one = |id: u64, after: u64| Trade { taker_order_id: OrderId([7; 16]), ..trade(id, after, id) };
    let trades = [trade(1, 43_190, 1), of_one(2, 43_199), of_one(3, 43_199), of_one(4, 43_200), trade(5, 43_201, 5)];
    store::<Trades>(&dir, &product(), &trades);
    let midnight = FIRST_DAY.next().start();
    let fills = |from: Option<UnixNanos>, to: Option<UnixNanos>| {
        let mut asked = asked(folder.path());
        asked.range = TimeRange { from, to };
        let (lines, _) = lines(&asked);
        lines.iter().map(|line| (line["first_trade_id"].as_u64().unwrap(), line["fills"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(fills(None, None), [(1, 1), (2, 3), (5, 1)]);
    assert_eq!(fills(None, Some(midnight)), [(1, 1), (2, 3)]);
    assert_eq!(fills(Some(midnight), None), [(5, 1)]);
    assert_eq!(fills(Some(UnixNanos(midnight.0 - 1)), None), [(5, 1)]);
}
