//! `/replay` and `/replay-normalized`, as clients of tardis-machine ask.

use std::path::Path;

use coltape::internals::record::{Ticker, Trade};
use coltape::internals::schema::{Md, Trades};
use coltape::internals::store::StoreOptions;
use serde_json::{Value, json};

use super::client::{Serve, escaped};
use super::tapes::stored_market;
use crate::market::{self, FIRST_DAY, Print};

fn lines(serve: &Serve, path: &str, options: &Value) -> Vec<Value> {
    let answer = serve.get(&format!("{path}?options={}", escaped(&options.to_string())));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(answer.header("x-coltape-verdict").is_some());
    text.lines().map(|line| if line.is_empty() { Value::Null } else { serde_json::from_str(line).unwrap() }).collect()
}

/// A market without the trades 11 to 14.
fn with_gap(data: &Path) -> Vec<Print> {
    let prints = market::prints(1, 30, FIRST_DAY.start(), 1_000_000_000);
    let dir = market::data_dir(data, StoreOptions::default());
    let kept: Vec<Print> = prints.into_iter().filter(|print| !(11..=14).contains(&print.trade.trade_id)).collect();
    let trades: Vec<Trade> = kept.iter().map(|print| print.trade).collect();
    let tickers: Vec<Ticker> = kept.iter().filter(|print| print.has_ticker).map(market::ticker).collect();
    market::store::<Trades>(&dir, &market::product(), &trades);
    market::store::<Md>(&dir, &market::product(), &tickers);
    kept
}

#[test]
fn normalized_lines_are_the_tape_with_the_takers_side_in_order_of_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 3000);
    let serve = Serve::start(&data);
    let options = json!({"exchange": "coinbase", "symbols": ["BTC-USD"], "from": "2025-06-01", "to": "2025-07-01", "dataTypes": ["trade", "book_ticker"]});
    let all = lines(&serve, "/replay-normalized", &options);
    let trades: Vec<&Value> = all.iter().filter(|line| line["type"] == "trade").collect();
    assert_eq!(trades.len(), prints.len());
    for (line, print) in trades.iter().zip(&prints) {
        let trade = &print.trade;
        assert_eq!((&line["symbol"], &line["exchange"]), (&json!("BTC-USD"), &json!("coinbase")));
        assert_eq!((&line["id"], &line["side"]), (&json!(trade.trade_id.to_string()), &json!(trade.side.name())));
        assert_eq!((line["price"].as_f64(), line["amount"].as_f64()), (Some(trade.price.as_f64), Some(trade.size.as_f64)));
        let time = |name: &str| line[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond();
        assert_eq!((time("timestamp"), time("localTimestamp")), (i128::from(trade.time.0), i128::from(trade.recv.0)));
    }
    let quotes: Vec<&Value> = all.iter().filter(|line| line["type"] == "book_ticker").collect();
    assert_eq!(quotes.len(), prints.iter().filter(|print| print.has_ticker).count());
    for (line, print) in quotes.iter().zip(prints.iter().filter(|print| print.has_ticker)) {
        let sides = ["bidPrice", "askPrice", "bidAmount", "askAmount"].map(|name| line[name].as_f64().unwrap());
        assert_eq!(sides, [print.bid.parse().unwrap(), print.ask.parse().unwrap(), 1.5, 0.25]);
    }
    let received: Vec<&str> = all.iter().map(|line| line["localTimestamp"].as_str().unwrap()).collect();
    assert!(received.windows(2).all(|pair| pair[0] <= pair[1]));
    // `to` is exclusive, and an array of one is the same.
    let half = json!([{"exchange": "coinbase", "from": "2025-06-08T00:00:00.000Z", "to": "2025-06-09", "dataTypes": ["trade"]}]);
    let wanted = prints.iter().filter(|print| print.trade.time >= FIRST_DAY.next().start()).count();
    assert_eq!(lines(&serve, "/replay-normalized", &half).len(), wanted);
}

#[test]
fn a_gap_of_the_tape_is_a_disconnect() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    with_gap(&data);
    let serve = Serve::start(&data);
    let mut options =
        json!({"exchange": "coinbase", "symbols": ["btc-usd"], "from": "2025-06-07", "to": "2025-06-08", "dataTypes": ["trade"]});
    let all = lines(&serve, "/replay-normalized", &options);
    let gap = all.iter().position(|line| line["type"] == "disconnect").expect("the gap is told");
    assert_eq!((&all[gap - 1]["id"], &all[gap + 1]["id"]), (&json!("10"), &json!("15")));
    assert_eq!((&all[gap]["exchange"], &all[gap]["symbols"]), (&json!("coinbase"), &json!(["BTC-USD"])));
    assert_eq!((all.len(), all.iter().filter(|line| line["type"] == "disconnect").count()), (27, 1));
    options["withDisconnectMessages"] = false.into();
    assert_eq!(lines(&serve, "/replay-normalized", &options).len(), 26);
    let native = json!({"exchange": "coinbase", "from": "2025-06-07", "to": "2025-06-08", "withDisconnects": true,
        "filters": [{"channel": "match", "symbols": ["BTC-USD"]}, {"channel": "ticker"}]});
    let all = lines(&serve, "/replay", &native);
    assert_eq!(all.iter().filter(|line| line.is_null()).count(), 1);
    let first = &all[0]["message"];
    assert_eq!((&first["type"], &first["trade_id"], &first["product_id"]), (&json!("match"), &json!(1), &json!("BTC-USD")));
    assert!(all[0]["localTimestamp"].as_str().unwrap().ends_with("0000Z"), "{}", all[0]);
    assert_eq!(all.iter().filter(|line| line["message"]["type"] == "match").count(), 26);
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 30);
    let serve = Serve::start(&data);
    let good = json!({"exchange": "coinbase", "symbols": ["BTC-USD"], "from": "2025-06-07", "to": "2025-06-08", "dataTypes": ["trade"]});
    let with = |name: &str, value: Value| {
        let mut options = good.clone();
        options[name] = value;
        options.to_string()
    };
    for (options, status, what) in [
        (String::new(), 400, "options is not JSON"),
        ("[".repeat(50_000), 431, ""),
        ("[[[[[[[[[[[[]]]]]]]]]]]]".to_owned(), 400, "options is not JSON, or nests too deep"),
        (with("exchange", "bitmex".into()), 400, "exchange is missing or wrong"),
        (with("symbols", json!(["NO-SUCH"])), 404, "NotFound"),
        (with("from", "never".into()), 400, "from is missing or wrong"),
        (with("to", "2025-06-07".into()), 400, "to is missing or wrong"),
        (with("dataTypes", json!(["book_change"])), 400, "dataTypes is missing or wrong"),
        (with("dataTypes", json!([])), 400, "dataTypes is missing or wrong"),
    ] {
        let answer = serve.get(&format!("/replay-normalized?options={}", escaped(&options)));
        assert_eq!(answer.status, status, "{options:.100}");
        if !what.is_empty() {
            assert_eq!(answer.json()["error"], what, "{options:.100}");
        }
    }
    let (status, said) = serve.json("/replay-normalized");
    assert_eq!((status, &said["error"]), (400, &json!("options is missing")));
}
