//! Files that are cut while they are read: the pages behind the cut are gone, which ends a program that does not expect it. The server says what is damaged,
//! and lives on.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Md, Trades};
use coltape::internals::store::{Day, StoreOptions};

use crate::client::{Answer, connect};
use crate::coinbase::{Client, escaped};
use crate::market::{FIRST_DAY, column_path, data_dir, insert, prints, product, store, ticker};
use crate::served::Served;

/// Trades of the first day, which is cut. Each format needs more bytes for them than the buffers of a connection hold.
const TRADES: u64 = 120_000;
/// Trades of the second day, which is not.
const OTHERS: u64 = 300;

/// Two sealed days.
fn tape(data: &Path) {
    let dir = data_dir(data, StoreOptions::default());
    let second = FIRST_DAY.next().start();
    let all = [prints(1, TRADES, FIRST_DAY.start(), 500_000_000), prints(TRADES + 1, OTHERS, second, 1_000_000_000)].concat();
    store::<Trades>(&dir, &product(), &all.iter().map(|print| print.trade).collect::<Vec<Trade>>());
    store::<Md>(&dir, &product(), &all.iter().map(ticker).collect::<Vec<_>>());
}

/// Cuts a column of the first day to some bytes.
fn cut(data: &Path, dataset: Dataset, name: &str, bytes: u64) {
    OpenOptions::new().write(true).open(column_path(data, dataset, name, FIRST_DAY)).unwrap().set_len(bytes).unwrap();
}

/// Asks, and reads the beginning of the answer. The server waits for the rest to be read.
fn begun(served: &Served, path: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = connect(served.address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.address).unwrap();
    let mut come = vec![0; 4096];
    stream.read_exact(&mut come).unwrap();
    (stream, come)
}

fn rest((mut stream, mut come): (TcpStream, Vec<u8>)) -> Answer {
    let _ = stream.read_to_end(&mut come);
    Answer::parse(&come, false).unwrap().0
}

/// Asserts that the server answers, has not panicked, and says what is damaged.
fn assert_lives(served: &Served, status_of_other_day: u16) {
    assert_eq!((served.get("/healthz").status, served.metric("panics_total")), (200, 0.0));
    let error = served.get("/v1/trades?product=BTC-USD&from=2025-06-07&to=2025-06-08").assert_error(500);
    assert!(error.contains("2025-06-07"), "{error}");
    let other = served.get("/v1/trades?product=BTC-USD&from=2025-06-08&to=2025-06-09&format=csv");
    assert_eq!((other.status, other.text().lines().count() as u64), (status_of_other_day, OTHERS + 1));
}

#[test]
fn an_answer_over_a_day_that_is_cut_meanwhile_is_broken_off_and_the_server_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    tape(folder.path());
    let served = Served::start(folder.path(), &["--send-timeout", "60s"]);
    let of_trades = |format: &str| format!("/v1/trades?product=BTC-USD&format={format}");
    let options = r#"{"exchange":"coinbase","from":"2025-06-07","to":"2025-06-09","dataTypes":["trade"]}"#;
    let targets = [
        of_trades("jsonl"),
        of_trades("csv"),
        of_trades("json"),
        of_trades("arrow"),
        of_trades("csv") + "&order=desc",
        format!("/replay-normalized?options={}", escaped(options)),
    ];
    let answers: Vec<_> = targets.iter().map(|target| begun(&served, target)).collect();
    let mut replay = Client::connect(&format!("ws://{}/ws?from=2025-06-01", served.address));
    replay.subscribe(&["matches"], &["BTC-USD"]);
    replay.until(|message| message["trade_id"] == 1);
    cut(folder.path(), Dataset::Trades, "trade_price_f64", 0);
    for (target, answer) in targets.iter().zip(answers) {
        let answer = rest(answer);
        assert_eq!((answer.status, answer.is_whole), (200, false), "{target}");
    }
    let (messages, code) = replay.rest();
    assert_eq!(code, 1011, "{:?}", messages.last());
    let prices = messages.iter().filter(|message| message["type"] == "match").map(|message| message["price"].as_str().unwrap().to_owned());
    assert!(prices.into_iter().all(|price| price.parse::<f64>().unwrap() > 1000.0), "a price that nobody has paid");
    assert_lives(&served, 200);
}

#[test]
fn a_cut_within_a_page_is_no_signal_and_is_found_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    tape(folder.path());
    let served = Served::start(folder.path(), &["--send-timeout", "60s"]);
    let targets = [
        "/v1/tickers?product=BTC-USD&format=csv&columns=trade_id,price,time,side,bid,ask",
        "/v1/trades?product=BTC-USD&format=csv&columns=trade_id,price,time,side,size,sequence",
        "/v1/trades?product=BTC-USD&format=arrow&to=2025-06-08",
    ];
    let answers: Vec<_> = targets.iter().map(|target| begun(&served, target)).collect();
    // One byte of the last record: the page is there.
    cut(folder.path(), Dataset::Trades, "trade_price_f64", 8 * TRADES - 1);
    cut(folder.path(), Dataset::Md, "best_bid_f64", 8 * TRADES - 1);
    for (target, answer) in targets.iter().zip(answers) {
        let answer = rest(answer);
        assert_eq!((answer.status, answer.is_whole), (200, false), "{target}");
    }
    assert_lives(&served, 200);
}

#[test]
fn live_clients_of_a_day_that_is_cut_are_told_and_get_no_record_of_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    let all = prints(1, 20, FIRST_DAY.start(), 1_000_000);
    for print in &all[..10] {
        insert(&mut day, &print.trade);
    }
    day.commit();
    let served = Served::start(folder.path(), &[]);
    let mut client = Client::connect(&format!("ws://{}/ws", served.address));
    client.subscribe(&["matches"], &["BTC-USD"]);
    client.until(|message| message["type"] == "subscriptions");
    let mut events = connect(served.address);
    write!(events, "GET /v1/live?product=BTC-USD HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.address).unwrap();
    let mut come = vec![0; 200];
    events.read_exact(&mut come).unwrap();
    // Committed all at once with a price that is cut away: whoever looks at the mark finds records, and nothing behind them.
    for print in &all[10..] {
        insert(&mut day, &print.trade);
    }
    cut(folder.path(), Dataset::Trades, "trade_price_f64", 0);
    day.commit();
    let (messages, code) = client.rest();
    assert_eq!(code, 1011, "{messages:?}");
    assert!(!messages.iter().any(|message| message["type"] == "match"), "{messages:?}");
    let events = rest((events, come));
    assert!(!events.is_whole && !events.text().contains("data:"), "{}", events.text());
    assert_eq!((served.get("/healthz").status, served.metric("panics_total")), (200, 0.0));
    drop(day);
}
