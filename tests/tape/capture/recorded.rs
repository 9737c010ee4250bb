//! The recorded sessions, served frame by frame to the real binary, give exactly their trades and tickers: every field equal to the frame's text.
//!
//! The expected values are read from the frames by serde_json, jiff and std, and the files as plain arrays: no code of the program is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use coltape::internals::schema::Dataset;
use serde_json::Value;

use super::programs::{Capture, Simulator, await_that, coltape, columns, journal, recording, verify};

/// The values of one column file, one slice of `width` bytes each.
fn column(data: &Path, product: &str, dataset: &str, name: &str, date: &str, width: usize) -> Vec<Vec<u8>> {
    let path = data.join(product).join(dataset).join(format!("{name}.{date}.bin"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes.len() % width, 0, "{}", path.display());
    bytes.chunks(width).map(<[u8]>::to_vec).collect()
}

fn u32s(data: &Path, product: &str, dataset: &str, name: &str, date: &str) -> Vec<u32> {
    column(data, product, dataset, name, date, 4).iter().map(|b| u32::from_le_bytes(b[..].try_into().unwrap())).collect()
}

fn u64s(data: &Path, product: &str, dataset: &str, name: &str, date: &str) -> Vec<u64> {
    column(data, product, dataset, name, date, 8).iter().map(|b| u64::from_le_bytes(b[..].try_into().unwrap())).collect()
}

fn f32_bits(text: &str) -> u32 {
    text.parse::<f32>().unwrap().to_bits()
}

fn f64_bits(text: &str) -> u64 {
    text.parse::<f64>().unwrap().to_bits()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn instant(text: &str) -> (u32, u32) {
    let nanos = text.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    (u32::try_from(nanos / 1_000_000_000).unwrap(), u32::try_from(nanos % 1_000_000_000).unwrap())
}

fn uuid(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    (0..16).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn taker(makers_side: &str) -> u32 {
    match makers_side.to_lowercase().as_str() {
        "buy" => 0,
        "sell" => 1,
        other => panic!("side {other}"),
    }
}

fn frames(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line.split_once('\t').unwrap().1).unwrap()).collect()
}

/// Serves a recording to a capture. Gives its figures when everything has been read.
fn record(path: &Path, feed: &str, products: &[String], data: &Path, extra: &[&str]) -> super::programs::Ended {
    let simulator = Simulator::start(&["--feed", feed, "--replay", path.to_str().unwrap()]);
    let url = simulator.websocket();
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    args.extend(["--feed", feed, "--url", &url]);
    args.extend(extra);
    let capture = Capture::start(data, &args);
    let totals = simulator.totals();
    assert_eq!(totals["frames"].as_u64().unwrap(), frames(path).len() as u64, "{totals}");
    // The close is the last thing that the simulator sends.
    await_that("the connection's end is journaled", || !journal(data, "connection_lost").is_empty());
    capture.stop()
}

fn assert_trades(data: &Path, product: &str, date: &str, expected: &[&Value], id: impl Fn(&Value) -> u64, has_orders: bool) {
    let u32s = |name: &str| u32s(data, product, "TRADES", name, date);
    let u64s = |name: &str| u64s(data, product, "TRADES", name, date);
    assert_eq!(u64s("trade_id"), expected.iter().map(|t| id(t)).collect::<Vec<_>>(), "{product}");
    let times: Vec<_> = u32s("trade_time").into_iter().zip(u32s("trade_nanos")).collect();
    assert_eq!(times, expected.iter().map(|t| instant(text(t, "time"))).collect::<Vec<_>>(), "{product}");
    assert_eq!(u32s("trade_price"), expected.iter().map(|t| f32_bits(text(t, "price"))).collect::<Vec<_>>());
    assert_eq!(u32s("trade_size"), expected.iter().map(|t| f32_bits(text(t, "size"))).collect::<Vec<_>>());
    assert_eq!(u64s("trade_price_f64"), expected.iter().map(|t| f64_bits(text(t, "price"))).collect::<Vec<_>>());
    assert_eq!(u64s("trade_size_f64"), expected.iter().map(|t| f64_bits(text(t, "size"))).collect::<Vec<_>>());
    assert_eq!(u32s("trade_side"), expected.iter().map(|t| taker(text(t, "side"))).collect::<Vec<_>>());
    for key in ["maker_order_id", "taker_order_id"] {
        let stored = column(data, product, "TRADES", key, date, 16);
        let sent = expected.iter().map(|t| if has_orders { uuid(text(t, key)) } else { vec![0; 16] }).collect::<Vec<_>>();
        assert_eq!(stored, sent, "{product} {key}");
    }
    if has_orders {
        assert_eq!(u64s("trade_sequence"), expected.iter().map(|t| t["sequence"].as_u64().unwrap()).collect::<Vec<_>>());
    }
}

/// Asserts that `query` prints the trades of all products as they were sent: as CSV and as JSON Lines, in order of time, and by their orders.
fn assert_printed(data: &Path, trades: &BTreeMap<String, Vec<&Value>>, has_orders: bool) {
    let ask = |products: &[&String], args: &[&str]| {
        let output = coltape().arg("query").args(products).args(args).arg("--data-dir").arg(data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // The text of a decimal, without zeros at its end.
    let plain = |decimal: &str| {
        if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.').to_owned() } else { decimal.to_owned() }
    };
    let id = |trade: &Value| trade["trade_id"].as_u64().map_or_else(|| text(trade, "trade_id").to_owned(), |id| id.to_string());
    let products: Vec<&String> = trades.keys().collect();
    let columns = ["product", "trade_id", "event_time", "trade_price_f64", "trade_size_f64", "trade_side", "maker_order_id"];
    let csv = ask(&products, &["--format", "csv", "--columns", &columns.join(",")]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some(columns.join(",").as_str()));
    let mut left: BTreeMap<&str, std::slice::Iter<'_, &Value>> = trades.iter().map(|(name, all)| (name.as_str(), all.iter())).collect();
    let mut times = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let trade = left.get_mut(cells[0]).unwrap().next().unwrap();
        times.push(instant(cells[2]));
        assert_eq!((cells[1], instant(cells[2])), (id(trade).as_str(), instant(text(trade, "time"))), "{line}");
        assert_eq!((cells[3], cells[4]), (plain(text(trade, "price")).as_str(), plain(text(trade, "size")).as_str()), "{line}");
        assert_eq!(cells[5], if taker(text(trade, "side")) == 1 { "buy" } else { "sell" }, "{line}");
        let maker = if has_orders { text(trade, "maker_order_id") } else { "00000000-0000-0000-0000-000000000000" };
        assert_eq!(cells[6], maker, "{line}");
    }
    assert!(left.values().all(|rest| rest.len() == 0), "every trade is printed");
    let falls = |times: &[(u32, u32)]| times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let of_products = trades.values().map(|all| falls(&all.iter().map(|trade| instant(text(trade, "time"))).collect::<Vec<_>>()));
    assert!(falls(&times) <= of_products.sum(), "the order falls where the exchange's clock did, and nowhere else");
    let json = ask(&products, &["--format", "jsonl", "--columns", &columns.join(",")]);
    for (json, line) in json.lines().zip(csv.lines().skip(1)) {
        let read: Value = serde_json::from_str(json).unwrap();
        let cells = columns.map(|name| read[name].as_str().map_or_else(|| read[name].to_string(), str::to_owned));
        let same = |(json, csv): (&String, &str)| json == csv || json.parse::<f64>().ok().is_some_and(|number| csv.parse() == Ok(number));
        assert!(cells.iter().zip(line.split(',')).all(same), "{json}\n{line}");
    }
    assert_eq!(json.lines().count() + 1, csv.lines().count());
    let (name, all) = trades.iter().next().unwrap();
    if has_orders {
        for key in ["maker_order_id", "taker_order_id"] {
            let order = text(all[0], key);
            let of_order = all.iter().filter(|trade| text(trade, "maker_order_id") == order || text(trade, "taker_order_id") == order);
            let want: Vec<String> = of_order.map(|trade| id(trade)).collect();
            for spelling in [order.to_uppercase(), order.replace('-', ""), format!("{{{order}}}")] {
                let found = ask(&[name], &["--format", "csv", "--columns", "trade_id", "--order", &spelling]);
                assert_eq!(found.lines().skip(1).collect::<Vec<_>>(), want, "{key} {spelling}");
            }
        }
    }
}

#[test]
fn the_exchange_session_gives_its_107_trades_and_107_tickers() {
    let Some(path) = recording("exchange-2021-04-17.tsv") else { return };
    let frames = frames(&path);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut trades: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    let mut tickers: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for frame in &frames {
        match text(frame, "type") {
            "match" | "last_match" => trades.entry(text(frame, "product_id").to_owned()).or_default().push(frame),
            "ticker" => tickers.entry(text(frame, "product_id").to_owned()).or_default().push(frame),
            _ => {}
        }
    }
    let products: Vec<String> = trades.keys().cloned().collect();
    let frames_dir = folder.path().join("frames");
    let ended = record(&path, "exchange", &products, &data, &["--record", frames_dir.to_str().unwrap()]);
    ended.assert_good();
    assert_eq!(ended.figure("trades_written"), 107.0);
    assert_eq!(ended.figure("tickers_written"), 107.0);
    assert_eq!(ended.figure("frames"), 9946.0);
    assert_eq!(ended.figure("frames_used"), 214.0);
    assert_eq!(ended.figure("frames_ignored"), 9729.0, "snapshots and l2updates are ignored");
    assert_eq!(ended.figure("frames_control"), 3.0);

    let date = "2021-04-17";
    for product in &products {
        assert_trades(&data, product, date, &trades[product], |t| t["trade_id"].as_u64().unwrap(), true);
        let expected = &tickers[product];
        let md32 = |name: &str| u32s(&data, product, "MD", name, date);
        let md64 = |name: &str| u64s(&data, product, "MD", name, date);
        assert_eq!(md64("trade_id"), expected.iter().map(|t| t["trade_id"].as_u64().unwrap()).collect::<Vec<_>>());
        assert_eq!(md64("sequence"), expected.iter().map(|t| t["sequence"].as_u64().unwrap()).collect::<Vec<_>>());
        let times: Vec<_> = md32("time").into_iter().zip(md32("nanos")).collect();
        assert_eq!(times, expected.iter().map(|t| instant(text(t, "time"))).collect::<Vec<_>>());
        for (name, key) in [("price", "price"), ("volume", "last_size"), ("best_bid", "best_bid"), ("best_ask", "best_ask")] {
            assert_eq!(md32(name), expected.iter().map(|t| f32_bits(text(t, key))).collect::<Vec<_>>(), "{product} {name}");
            let exact = md64(&format!("{name}_f64"));
            assert_eq!(exact, expected.iter().map(|t| f64_bits(text(t, key))).collect::<Vec<_>>(), "{product} {name}");
        }
        assert_eq!(md32("side"), expected.iter().map(|t| u32::from(text(t, "side") == "buy")).collect::<Vec<_>>());
        assert!(md64("best_bid_size_f64").iter().all(|bits| f64::from_bits(*bits).is_nan()), "2021 sent no sizes");
        // The last trade as the ticker saw it.
        let tt32 = |name: &str| u32s(&data, product, "TICKER_TRADES", name, date);
        assert_eq!(tt32("trade_price"), md32("price"));
        assert_eq!(tt32("trade_volume"), md32("volume"));
        assert_eq!(tt32("trade_side"), md32("side"));
        let spreads = expected.iter().map(|t| {
            let quote = |key: &str| text(t, key).parse::<f64>().unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "the column is an f32")]
            let spread = (quote("best_ask") - quote("best_bid")) as f32;
            spread.to_bits()
        });
        assert_eq!(tt32("trade_spread"), spreads.collect::<Vec<_>>());
        // Trade and ticker of one sequence agree in side, price and id.
        let by_sequence: BTreeMap<u64, usize> = md64("sequence").into_iter().zip(0..).collect();
        let (sides, ids) = (u32s(&data, product, "TRADES", "trade_side", date), u64s(&data, product, "TRADES", "trade_id", date));
        let prices = u64s(&data, product, "TRADES", "trade_price_f64", date);
        for (at, sequence) in u64s(&data, product, "TRADES", "trade_sequence", date).iter().enumerate() {
            let ticker = by_sequence[sequence];
            assert_eq!((sides[at], ids[at], prices[at]), (md32("side")[ticker], md64("trade_id")[ticker], md64("price_f64")[ticker]));
        }
    }
    assert_printed(&data, &trades, true);
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");

    // The frames of --record are the same session: they give the same columns byte for byte, except receive times.
    let kept: Vec<_> = fs::read_dir(&frames_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let again = folder.path().join("again");
    record(&kept[0], "exchange", &products, &again, &[]).assert_good();
    let without_recv = |data: &Path| {
        let mut columns = columns(data);
        columns.retain(|name, _| !name.contains("recv_nanos"));
        columns
    };
    let (first, second) = (without_recv(&data), without_recv(&again));
    let kept_columns = Dataset::ALL.into_iter().flat_map(|dataset| dataset.columns()).filter(|column| !column.name.contains("recv_nanos"));
    assert_eq!(first.len(), products.len() * kept_columns.count());
    assert!(first == second, "the replay differs");
}

#[test]
fn the_advanced_session_gives_its_279_trades_and_160_tickers() {
    let Some(path) = recording("advanced-2026-08-09.tsv") else { return };
    let frames = frames(&path);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut trades: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    let mut tickers: BTreeMap<String, Vec<(&Value, &str)>> = BTreeMap::new();
    for frame in &frames {
        for event in frame["events"].as_array().into_iter().flatten() {
            match text(frame, "channel") {
                // Newest first in every batch.
                "market_trades" => event["trades"].as_array().unwrap().iter().rev().for_each(|trade| {
                    trades.entry(text(trade, "product_id").to_owned()).or_default().push(trade);
                }),
                "ticker" => event["tickers"].as_array().unwrap().iter().for_each(|ticker| {
                    tickers.entry(text(ticker, "product_id").to_owned()).or_default().push((ticker, text(frame, "timestamp")));
                }),
                _ => {}
            }
        }
    }
    let products = vec!["BTC-USD".to_owned(), "ETH-USD".to_owned()];
    assert_eq!(trades.keys().cloned().collect::<Vec<_>>(), products);
    let frames_dir = folder.path().join("frames");
    let ended = record(&path, "advanced", &products, &data, &["--record", frames_dir.to_str().unwrap()]);
    ended.assert_good();
    assert_eq!(ended.figure("trades_written"), 279.0);
    assert_eq!(ended.figure("tickers_written"), 160.0);
    let date = "2026-08-09";
    for product in &products {
        assert_trades(&data, product, date, &trades[product], |t| text(t, "trade_id").parse().unwrap(), false);
        let md32 = |name: &str| u32s(&data, product, "MD", name, date);
        let md64 = |name: &str| u64s(&data, product, "MD", name, date);
        let expected = &tickers[product];
        let times: Vec<_> = md32("time").into_iter().zip(md32("nanos")).collect();
        assert_eq!(times, expected.iter().map(|(_, time)| instant(time)).collect::<Vec<_>>());
        for (name, key) in [
            ("price_f64", "price"),
            ("best_bid_f64", "best_bid"),
            ("best_ask_f64", "best_ask"),
            ("best_bid_size_f64", "best_bid_quantity"),
            ("best_ask_size_f64", "best_ask_quantity"),
        ] {
            assert_eq!(md64(name), expected.iter().map(|(t, _)| f64_bits(text(t, key))).collect::<Vec<_>>(), "{product} {name}");
        }
        assert!(md32("side").iter().all(|side| *side == 2) && md64("trade_id").iter().all(|id| *id == 0));
        assert!(md32("volume").iter().all(|bits| f32::from_bits(*bits).is_nan()));
        assert!(!data.join(product).join("TICKER_TRADES").exists(), "there is no trade in an Advanced ticker");
    }
    assert_printed(&data, &trades, false);
    let kept: Vec<_> = fs::read_dir(&frames_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let again = folder.path().join("again");
    record(&kept[0], "advanced", &products, &again, &[]).assert_good();
    let (mut first, mut second) = (columns(&data), columns(&again));
    first.retain(|name, _| !name.contains("recv_nanos"));
    second.retain(|name, _| !name.contains("recv_nanos"));
    assert!(!first.is_empty() && first == second, "the replay differs");
}

#[test]
fn help_of_every_command_names_its_defaults() {
    for (command, words) in [
        ("capture", "50000"),
        ("capture", "[default: md,ticker_trades,trades]"),
        ("capture", "[default: 24h]"),
        ("verify", "ledger"),
        ("query", "trades"),
        ("simulate", "127.0.0.1:0"),
    ] {
        let output = coltape().args([command, "--help"]).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(words), "{command}");
    }
    assert_eq!(coltape().args(["capture", "../x"]).output().unwrap().status.code(), Some(2));
    assert_eq!(coltape().args(["capture"]).output().unwrap().status.code(), Some(2));
}
