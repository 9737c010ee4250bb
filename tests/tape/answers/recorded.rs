//! A simulated market recorded by the real binary, and what its ledger says of it.

use std::path::PathBuf;

use serde_json::Value;

use super::exactly::Told;
use crate::capture::programs::{Capture, Simulator, await_that, journal, recording};

/// A ticker of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct ToldTicker {
    pub(crate) sequence: u64,
    pub(crate) trade_id: u64,
    pub(crate) time: u64,
    pub(crate) bid: f64,
    pub(crate) ask: f64,
}

/// A trade of the ledger with its order and its sequence.
#[derive(Debug, Clone)]
pub(crate) struct ToldFill {
    pub(crate) trade: Told,
    pub(crate) sequence: u64,
    pub(crate) maker: Option<String>,
    pub(crate) taker: Option<String>,
}

/// A tape, and what the exchange sent of it.
pub(crate) struct Recorded {
    _folder: tempfile::TempDir,
    pub(crate) data: PathBuf,
    pub(crate) product: String,
    /// What was sent, in order of ids.
    pub(crate) fills: Vec<ToldFill>,
    /// What was sent, in order of sequences, or of times where there are none.
    pub(crate) tickers: Vec<ToldTicker>,
}

fn nanos(text: &Value) -> u64 {
    u64::try_from(text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Records a market of one product without fetching what is missing. Trades that were sent only on subscribing are left out of what is told.
pub(crate) fn record(feed: &str, simulated: &[&str], captured: &[&str]) -> Recorded {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let mut args = vec!["--feed", feed, "--products", "BTC-USD", "--ledger", ledger.to_str().unwrap()];
    args.extend(simulated);
    let simulator = Simulator::start(&args);
    let url = simulator.websocket();
    let mut args = vec!["BTC-USD", "--feed", feed, "--url", &url, "--no-backfill"];
    args.extend(captured);
    let capture = Capture::start(&data, &args);
    simulator.totals();
    capture.stop();
    let (mut fills, mut tickers) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(&ledger).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["sent"] != true {
            continue;
        }
        let number = |key: &str| line[key].as_u64().unwrap();
        let time = nanos(&line["time"]);
        if line["kind"] == "trade" {
            let trade = Told {
                id: number("trade_id"),
                time,
                price: text(&line["price"]),
                size: text(&line["size"]),
                is_buy: line["side"] == "buy",
            };
            let order = |key: &str| line[key].as_str().map(str::to_owned);
            fills.push(ToldFill { trade, sequence: number("sequence"), maker: order("maker"), taker: order("taker") });
        } else if line["kind"] == "ticker" {
            let price = |key: &str| line[key].as_str().unwrap().parse().unwrap();
            let (bid, ask) = (price("best_bid"), price("best_ask"));
            tickers.push(ToldTicker { sequence: number("sequence"), trade_id: number("trade_id"), time, bid, ask });
        }
    }
    fills.sort_by_key(|fill| fill.trade.id);
    tickers.sort_by_key(|ticker| (ticker.sequence, ticker.time));
    assert!(fills.len() > 100, "{}", fills.len());
    Recorded { _folder: folder, data, product: "BTC-USD".to_owned(), fills, tickers }
}

/// Records one product of a recorded session, which is served frame by frame. Gives nothing where the recording is not there.
pub(crate) fn replay(feed: &str, name: &str, product: &str) -> Option<Recorded> {
    let path = recording(name)?;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--feed", feed, "--replay", path.to_str().unwrap()]);
    let url = simulator.websocket();
    let capture = Capture::start(&data, &[product, "--feed", feed, "--url", &url, "--no-backfill"]);
    simulator.totals();
    await_that("the connection's end is journaled", || !journal(&data, "connection_lost").is_empty());
    capture.stop();
    let (mut fills, mut tickers) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let frame: Value = serde_json::from_str(line.split_once('\t').unwrap().1).unwrap();
        if frame["product_id"] == product {
            let number = |key: &str| frame[key].as_u64().unwrap();
            match frame["type"].as_str().unwrap() {
                "match" | "last_match" => {
                    let order = |key: &str| frame[key].as_str().map(str::to_owned);
                    let (maker, taker) = (order("maker_order_id"), order("taker_order_id"));
                    fills.push(ToldFill { trade: told(&frame, number("trade_id")), sequence: number("sequence"), maker, taker });
                }
                "ticker" => {
                    let price = |key: &str| frame[key].as_str().unwrap().parse().unwrap();
                    let (bid, ask) = (price("best_bid"), price("best_ask"));
                    tickers.push(ToldTicker {
                        sequence: number("sequence"),
                        trade_id: number("trade_id"),
                        time: nanos(&frame["time"]),
                        bid,
                        ask,
                    });
                }
                _ => {}
            }
        }
        let trades = frame["events"].as_array().into_iter().flatten().flat_map(|event| event["trades"].as_array().into_iter().flatten());
        for trade in trades.filter(|trade| trade["product_id"] == product) {
            let id = trade["trade_id"].as_str().unwrap().parse().unwrap();
            fills.push(ToldFill { trade: told(trade, id), sequence: 0, maker: None, taker: None });
        }
    }
    fills.sort_by_key(|fill| fill.trade.id);
    fills.dedup_by_key(|fill| fill.trade.id);
    Some(Recorded { _folder: folder, data, product: product.to_owned(), fills, tickers })
}

/// A trade as a frame tells it, with the maker's side.
fn told(trade: &Value, id: u64) -> Told {
    let is_buy = trade["side"].as_str().unwrap().eq_ignore_ascii_case("sell");
    Told { id, time: nanos(&trade["time"]), price: text(&trade["price"]), size: text(&trade["size"]), is_buy }
}

impl Recorded {
    /// The trades alone.
    pub(crate) fn trades(&self) -> Vec<Told> {
        self.fills.iter().map(|fill| fill.trade.clone()).collect()
    }

    /// The time of the first trade that is told, as the command line has it: what came on subscribing lies before it.
    pub(crate) fn begin(&self) -> String {
        jiff::Timestamp::from_nanosecond(self.fills[0].trade.time.into()).unwrap().to_string()
    }
}
