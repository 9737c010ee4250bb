//! Tapes to serve, and what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coltape::internals::record::{OrderId, Origin, Ticker, Trade};
use coltape::internals::schema::{Layout, Md, TickerTrades, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;
use coltape::{Tape, TimeRange};

use crate::market::{self, FIRST_DAY, Print};
use crate::programs::{Capture, Simulator, await_that, journal, recording, verify};

/// What a tape holds: the records of each product and dataset as texts, receive times and origins apart.
pub(crate) type Held = BTreeMap<(String, &'static str), Vec<String>>;

/// Reads a tape, live or at rest.
pub(crate) fn held(data: &Path) -> Held {
    let mut all = Held::new();
    let Ok(tape) = Tape::open(data) else { return all };
    for product in tape.products().unwrap() {
        let name = product.to_string();
        add::<Trades>(&tape, &name, &mut all, |trade| Trade { recv: UnixNanos(0), origin: Origin(0), ..*trade });
        add::<Md>(&tape, &name, &mut all, without_receipt);
        add::<TickerTrades>(&tape, &name, &mut all, without_receipt);
    }
    all
}

fn without_receipt(ticker: &Ticker) -> Ticker {
    Ticker { recv: UnixNanos(0), ..*ticker }
}

fn add<L: Layout>(tape: &Tape, name: &str, all: &mut Held, plain: impl Fn(&L::Row) -> L::Row) {
    let product = name.parse().unwrap();
    let Ok(days) = tape.range::<L>(&product, TimeRange::ALL) else { return };
    let mut rows = Vec::new();
    for day in days {
        let Ok(day) = day else { continue };
        rows.extend(day.rows().map(|row| format!("{:?}", plain(&row))));
    }
    if !rows.is_empty() {
        all.insert((name.to_owned(), L::DATASET.folder()), rows);
    }
}

/// The same, without what the Advanced Trade feed does not have.
pub(crate) fn trades_without_orders(data: &Path) -> BTreeMap<String, Vec<String>> {
    let tape = Tape::open(data).unwrap();
    let plain = |trade: Trade| Trade {
        recv: UnixNanos(0),
        origin: Origin(0),
        sequence: 0,
        maker_order_id: OrderId::NIL,
        taker_order_id: OrderId::NIL,
        ..trade
    };
    let of = |product: &coltape::ProductId| {
        let days = tape.range::<Trades>(product, TimeRange::ALL).unwrap();
        days.flat_map(|day| day.unwrap().rows().map(|row| format!("{:?}", plain(row))).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    tape.products().unwrap().iter().map(|product| (product.to_string(), of(product))).collect()
}

/// Asserts that two tapes hold the same, and names the first difference.
pub(crate) fn assert_same(of: &Held, copy: &Held) {
    assert_eq!(of.keys().collect::<Vec<_>>(), copy.keys().collect::<Vec<_>>());
    for (subject, rows) in of {
        let copied = &copy[subject];
        let differs = rows.iter().zip(copied).position(|(row, copied)| row != copied);
        if let Some(at) = differs {
            panic!("{subject:?}: record {at} of {} and {}:\n{}\n{}", rows.len(), copied.len(), rows[at], copied[at]);
        }
        assert_eq!(rows.len(), copied.len(), "{subject:?}");
    }
}

/// Counts the records of a tape, live or at rest.
pub(crate) fn records(data: &Path) -> usize {
    let Ok(tape) = Tape::open(data) else { return 0 };
    let of =
        |product: coltape::ProductId| days::<Trades>(&tape, &product) + days::<Md>(&tape, &product) + days::<TickerTrades>(&tape, &product);
    tape.products().unwrap().into_iter().map(of).sum()
}

fn days<L: Layout>(tape: &Tape, product: &coltape::ProductId) -> usize {
    let days = tape.days(product, L::DATASET).unwrap();
    days.into_iter().filter_map(|date| tape.day::<L>(product, date).ok().flatten()).map(|day| day.count()).sum()
}

/// Counts all records.
pub(crate) fn count(held: &Held) -> usize {
    held.values().map(Vec::len).sum()
}

/// A made-up market: two days of trades with order ids, and tickers for most of them.
pub(crate) fn stored_market(folder: &Path, count: u64) -> (PathBuf, Vec<Print>) {
    let data = folder.join("stored");
    // Over midnight.
    let step = 1_000_000_000;
    let start = UnixNanos(FIRST_DAY.next().start().0 - count / 2 * step);
    let prints = market::prints(1, count, start, step);
    market::store_all(&data, &prints, StoreOptions::default());
    (data, prints)
}

/// Records a session that was recorded from the real exchange. Nothing where the recordings are missing.
pub(crate) fn recorded(folder: &Path, feed: &str) -> Option<(PathBuf, Vec<serde_json::Value>)> {
    let path = recording(if feed == "exchange" { "exchange-2021-04-17.tsv" } else { "advanced-2026-08-09.tsv" })?;
    let text = std::fs::read_to_string(&path).unwrap();
    let frames: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line.split_once('\t').unwrap().1).unwrap()).collect();
    let products = products_of(&frames);
    let data = folder.join(format!("recorded-{feed}"));
    let simulator = Simulator::start(&["--feed", feed, "--replay", path.to_str().unwrap()]);
    let url = simulator.websocket();
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    args.extend(["--feed", feed, "--url", &url, "--no-backfill"]);
    let capture = Capture::start(&data, &args);
    simulator.totals();
    await_that("the connection's end is journaled", || !journal(&data, "connection_lost").is_empty());
    capture.stop();
    Some((data, frames))
}

/// Lists the products of a session.
pub(crate) fn products_of(frames: &[serde_json::Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for frame in frames {
        let of_trades = frame["events"].as_array().into_iter().flatten().flat_map(|event| event["trades"].as_array().into_iter().flatten());
        let named = of_trades.map(|trade| &trade["product_id"]).chain([&frame["product_id"]]);
        names.extend(named.filter_map(|name| name.as_str().map(str::to_owned)));
    }
    names.sort();
    names.dedup();
    names
}

/// Captures what is at an endpoint until the copy holds as many records as `of`, and has been quiet.
pub(crate) fn capture_of(data: &Path, args: &[&str], wanted: usize) {
    let capture = Capture::start(data, args);
    await_that(&format!("{wanted} records are copied"), || records(data) >= wanted);
    capture.stop();
}

/// Asserts that `verify` finds nothing wrong.
pub(crate) fn assert_verified(data: &Path) {
    let (holds, said) = verify(data, &[]);
    assert!(holds, "{said}");
}
