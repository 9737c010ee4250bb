//! Every value of every text format is the stored one.

use coltape::internals::record::{OrderId, Ticker, Trade};
use serde_json::{Value, json};

use super::{LiveDay, Served, mixed, store_sealed};
use crate::market::{FIRST_DAY, ticker};

/// Gives a number as its shortest text is read.
fn number(value: f64) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// What a trade is in JSON.
fn shown(trade: &Trade) -> Value {
    let order = |id: OrderId| if id == OrderId::NIL { Value::Null } else { json!(id.to_string()) };
    let unless_zero = |value: u64| if value == 0 { Value::Null } else { json!(value) };
    let time = trade.time.to_string();
    json!({
        "time": format!("{}Z", &time[..26]),
        "time_ns": trade.time.0,
        "recv_ns": unless_zero(trade.recv.0),
        "trade_id": trade.trade_id,
        "sequence": unless_zero(trade.sequence),
        "price": number(trade.price.as_f64),
        "size": number(trade.size.as_f64),
        "side": trade.side.name(),
        "maker_order_id": order(trade.maker_order_id),
        "taker_order_id": order(trade.taker_order_id),
        "origin": (["live", "snapshot", "rest", "tape"][trade.origin.means().unwrap() as usize]),
        "line": trade.origin.0 >> 4 & 0xf,
        "feed": if trade.origin.0 & 0x100 == 0 { "exchange" } else { "advanced" },
    })
}

fn shown_ticker(ticker: &Ticker) -> Value {
    json!({
        "time": format!("{}Z", &ticker.time.to_string()[..26]),
        "time_ns": ticker.time.0,
        "recv_ns": ticker.recv.0,
        "trade_id": ticker.trade_id,
        "sequence": if ticker.sequence == 0 { Value::Null } else { json!(ticker.sequence) },
        "price": number(ticker.price.as_f64),
        "size": number(ticker.volume.as_f64),
        "bid": number(ticker.best_bid.as_f64),
        "ask": number(ticker.best_ask.as_f64),
        "bid_size": number(ticker.best_bid_size),
        "ask_size": number(ticker.best_ask_size),
        "side": ticker.side.unwrap().name(),
    })
}

/// Reads a table of CSV as JSON Lines would have it.
fn of_csv(text: &str, like: &[Value]) -> Vec<Value> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(names.len(), like[0].as_object().unwrap().len());
    let row = |line: &str| {
        let value = |(name, text): (&&str, &str)| {
            let value = match text {
                "" => Value::Null,
                text => serde_json::from_str(text).ok().filter(Value::is_number).unwrap_or_else(|| json!(text)),
            };
            ((*name).to_owned(), value)
        };
        Value::Object(names.iter().zip(line.split(',')).map(value).collect())
    };
    lines.map(row).collect()
}

/// Holds the answer in every text format against the rows expected.
fn assert_rows(served: &Served, path: &str, want: &[Value]) {
    assert!(!want.is_empty());
    let lines = served.rows(&format!("{path}&format=jsonl"));
    assert_eq!(lines.len(), want.len());
    for (line, want) in lines.iter().zip(want) {
        assert_eq!(line, want);
    }
    let array: Vec<Value> = serde_json::from_str(served.get(&format!("{path}&format=json")).whole()).unwrap();
    assert_eq!(array, lines);
    assert_eq!(of_csv(served.get(&format!("{path}&format=csv")).whole(), &lines), lines);
}

#[test]
fn text_has_every_stored_value_over_sealed_days_and_a_live_one_with_late_records_in_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let all = mixed(2_000);
    store_sealed(folder.path(), &all);
    // The third day grows, and every tenth of its trades has come late.
    let mut third = crate::market::prints(20_000, 600, FIRST_DAY.next().next().start(), 1_000_000_000);
    third
        .iter_mut()
        .for_each(|print| print.trade.origin = coltape::internals::record::Origin::new(coltape::internals::record::Means::Live, 0, 0));
    let mut live = LiveDay::begin(folder.path(), FIRST_DAY.next().next());
    live.add(third.iter().filter(|print| print.trade.trade_id % 10 != 4));
    live.add(third.iter().filter(|print| print.trade.trade_id % 10 == 4));
    let served = Served::start(folder.path());
    let trades: Vec<Value> = all.iter().chain(&third).map(|print| shown(&print.trade)).collect();
    assert_rows(&served, "/v1/trades?product=BTC-USD", &trades);
    let reversed: Vec<Value> = trades.iter().rev().cloned().collect();
    assert_rows(&served, "/v1/trades?product=BTC-USD&order=desc", &reversed);
    let tickers: Vec<Value> = all.iter().filter(|print| print.has_ticker).map(|print| shown_ticker(&ticker(print))).collect();
    assert_rows(&served, "/v1/tickers?product=BTC-USD", &tickers);
    drop(live);
}

#[test]
fn a_number_that_no_float_gives_back_comes_as_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let all = mixed(600);
    store_sealed(folder.path(), &all);
    let sent = all.iter().find(|print| print.trade.trade_id % 11 == 3).unwrap();
    let (key, text) = (sent.trade.trade_id, format!("0.0000{:014}0001", sent.trade.trade_id));
    let day = sent.trade.time.day();
    // As a capture writes it down. The f64 nearest to the longer text is another one, so the shorter one is spelled with zeros.
    let spelled = format!("0.0000{:014}0000", sent.trade.trade_id);
    let line = |text: &str| {
        format!(r#"{{"time":"{day}T12:00:00Z","event":"exact","product":"BTC-USD","column":"trade_size_f64","key":{key},"text":"{text}"}}"#)
    };
    std::fs::write(folder.path().join(format!("_coltape/exact.{day}.jsonl")), format!("{}\n{}\n", line(&text), line(&spelled))).unwrap();
    let served = Served::start(folder.path());
    for format in ["json", "jsonl", "csv"] {
        let reply = served.get(&format!("/v1/trades?product=BTC-USD&format={format}"));
        assert!(reply.whole().contains(&spelled), "{format}");
        assert!(!reply.text().contains(&text), "{format}: a text of another number");
    }
}
