//! A day that is too large to be looked at as a whole before its first record is sent: it is, before the end of the answer is told.

use std::fs::File;
use std::path::Path;

use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;

use super::Served;
use super::damage::{column, flip};
use crate::market::{FIRST_DAY, column_path, data_dir, prints, product, store};

/// Trades of a day that is large.
const TRADES: u64 = 500_000;
/// Between two trades.
const STEP: u64 = 100_000_000;

/// Answers over the day that begin before it was looked at.
const ANSWERS: [&str; 4] =
    ["trades?limit=10&columns=trade_id&format=csv", "trades?order=desc&limit=10&format=arrow", "candles?interval=1h", "stats?format=csv"];

/// Answers about days that begin before they were judged.
const DAYS: [&str; 6] = [
    "/v1/products?format=json",
    "/v1/coverage?format=json",
    "/v1/coverage?format=csv",
    "/products/BTC-USD/candles?granularity=3600&start=2025-06-07&end=2025-06-08",
    "/products/BTC-USD/candles?granularity=60&start=2025-06-07T06:30:00Z&end=2025-06-07T08:00:00Z",
    "/replay-normalized?options=%7B%22exchange%22:%22coinbase%22,%22symbols%22:%5B%22BTC-USD%22%5D,%22dataTypes%22:%5B%22trade%22%5D,\
     %22from%22:%222025-06-07T06:30:00Z%22,%22to%22:%222025-06-07T07:00:00Z%22%7D",
];

fn asked(path: &str) -> String {
    format!("/v1/{}&product=BTC-USD", if path.contains('?') { path.to_owned() } else { format!("{path}?") })
}

#[test]
fn a_large_day_is_judged_as_it_is_and_an_answer_over_a_damaged_one_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    // Ids that are missing at its front, in its middle and at its end.
    let missing = [2, 250_000, 250_001, 499_999];
    let all = prints(1, TRADES + missing.len() as u64, UnixNanos(FIRST_DAY.start().0 + 1), STEP);
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).filter(|trade| !missing.contains(&trade.trade_id)).collect();
    store::<Trades>(&data_dir(folder.path(), StoreOptions::default()), &product(), &trades);
    let served = Served::start(folder.path());
    for path in ANSWERS {
        // The first of them is judged at a glance, the later ones are as it was confirmed: they say the same.
        let reply = served.get(&asked(path));
        assert_eq!((reply.status, reply.is_whole, reply.verdict()), (200, true, "open"), "{path}");
        let tag = reply.header("ETag").unwrap_or_else(|| panic!("{path}")).to_owned();
        let again = served.get_with(&asked(path), &[("If-None-Match", &tag)]);
        assert_eq!((again.status, again.verdict()), (304, "open"), "{path}");
    }
    for path in DAYS {
        // A server that has judged nothing yet begins at a glance; once it has judged, it knows.
        let fresh = Served::start(folder.path());
        let first = fresh.get(path);
        assert_eq!((first.status, first.is_whole, first.verdict()), (200, true, "open"), "{path}");
        assert_eq!(first.header("Transfer-Encoding"), Some("chunked"), "{path}: it did not begin before it was judged");
        let again = fresh.get(path);
        let said = |reply: &super::Reply| (reply.verdict().to_owned(), reply.header("ETag").map(str::to_owned), reply.body.clone());
        assert_eq!(said(&again), said(&first), "{path}");
        let head = fresh.head(path);
        assert_eq!((head.verdict(), head.header("ETag")), (first.verdict(), first.header("ETag")), "{path}");
    }
    let others = [(); 5].map(|()| Served::start(folder.path()));
    flip(&column(folder.path(), Dataset::Trades, "trade_price_f64"), 8 * (TRADES - 2));
    // Of a server that has found it right before, and of one that was never asked about it.
    for (served, path) in ANSWERS.map(|path| (&served, path)).into_iter().chain([(&others[0], ANSWERS[0])]) {
        let reply = served.get(&asked(path));
        assert_eq!((reply.status, reply.is_whole), (200, false), "{path}");
    }
    // A question about days is answered by what they are: it is broken off once, where a glance has shown too much.
    for (path, another) in DAYS.into_iter().zip(&others[1..]) {
        let first = another.get(path);
        assert_eq!((first.status, first.is_whole), (200, false), "{path}");
        let again = another.get(path);
        if !path.starts_with("/v1") {
            // They would be made of the altered price, or might.
            assert!(again.status == 500 && again.text().contains("2025-06-07"), "{path}: {}", again.text());
            continue;
        }
        assert_eq!((again.status, again.is_whole), (200, true), "{path}");
        assert_eq!(again.verdict(), "open", "{path}: ids are missing, too");
        assert!(!path.starts_with("/v1/coverage") || again.text().contains("checksum"), "{path}: {}", again.text());
    }
    // Without a body nothing could be broken off.
    let path = asked(ANSWERS[0]);
    assert_eq!(served.head(&path).status, 500);
    assert_eq!(served.get_with(&path, &[("If-None-Match", "\"a\"")]).status, 500);
    let (status, text) = served.get_with(&asked("trades?format=parquet"), &[("Range", "bytes=0-3")]).error();
    assert!(status == 500 && text.contains("2025-06-07"), "{status}: {text}");
}

/// Writes a day of column files alone. Its ids are `id` of their number; prices and what else it has are 0.
fn write_bare(tape: &Path, id: impl Fn(u64) -> u64) {
    let path = |name: &str| column_path(tape, Dataset::Trades, name, FIRST_DAY);
    std::fs::create_dir_all(path("trade_id").parent().unwrap()).unwrap();
    for column in Dataset::Trades.columns() {
        File::create(path(column.name)).unwrap().set_len(TRADES * column.kind.width() as u64).unwrap();
    }
    let start = FIRST_DAY.start().0 / super::SECOND;
    let ids: Vec<u8> = (0..TRADES).flat_map(|at| id(at).to_le_bytes()).collect();
    let seconds: Vec<u8> = (0..TRADES).flat_map(|at| u32::try_from(start + at / 10).unwrap().to_le_bytes()).collect();
    std::fs::write(path("trade_id"), ids).unwrap();
    std::fs::write(path("trade_time"), seconds).unwrap();
}

#[test]
fn an_answer_whose_head_says_more_than_the_day_shows_is_broken_off_and_the_next_one_says_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    // An id that is stored twice, and the next one is not: no end of the day shows it.
    write_bare(folder.path(), |at| if at == 100_000 { at } else { at + 1 });
    let served = Served::start(folder.path());
    let path = asked("trades?limit=10&columns=trade_id&format=csv");
    let reply = served.get(&path);
    assert_eq!((reply.status, reply.is_whole, reply.verdict()), (200, false, "unverifiable"));
    let reply = served.get(&path);
    assert_eq!((reply.status, reply.is_whole, reply.verdict()), (200, true, "open"));
}
