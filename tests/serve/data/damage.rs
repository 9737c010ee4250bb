//! A damaged day is an error, never a short answer that looks whole, and tags say when an answer is another one.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use coltape::internals::schema::{Dataset, Md};
use coltape::internals::store::StoreOptions;
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{JOURNAL, JournalFile};
use coltape::internals::time::UnixNanos;

use super::{Served, mixed, store_sealed};
use crate::market::{FIRST_DAY, column_path, data_dir, prints, product, store, ticker};

/// Every endpoint over days, with a format that is not JSON among them.
const OVER_DAYS: [&str; 6] = ["trades", "tickers", "candles", "orders", "stats", "coverage"];

pub(crate) fn flip(path: &Path, at: u64) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    std::io::Read::read_exact(&mut file, &mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

pub(super) fn column(tape: &Path, dataset: Dataset, name: &str) -> PathBuf {
    column_path(tape, dataset, name, FIRST_DAY)
}

#[test]
fn a_damaged_day_is_named_with_500_and_the_others_are_given() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(600));
    let served = Served::start(folder.path());
    for path in OVER_DAYS {
        served.get(&format!("/v1/{path}?product=BTC-USD")).whole();
    }
    flip(&column(folder.path(), Dataset::Trades, "trade_price_f64"), 100);
    flip(&column(folder.path(), Dataset::Md, "best_bid"), 100);
    for path in OVER_DAYS.into_iter().filter(|path| *path != "coverage") {
        for format in ["jsonl", "arrow", "parquet"] {
            let (status, text) = served.get(&format!("/v1/{path}?product=BTC-USD&format={format}")).error();
            assert_eq!(status, 500, "{path}: {text}");
            assert!(text.contains("2025-06-07") && text.contains("coltape verify"), "{path}: {text}");
            assert!(!text.contains(&folder.path().display().to_string()), "{path}: {text}");
        }
        // The fills of an order may lie on both sides of midnight, so the orders of the next day are made of the damaged one, too.
        let other = served.get(&format!("/v1/{path}?product=BTC-USD&from=2025-06-08&to=2025-06-09"));
        assert_eq!(other.status, if path == "orders" { 500 } else { 200 }, "{path}: {}", other.text());
    }
    // What is asked for its completeness says so. Trades are missing besides, which weighs more, as for `verify`.
    let days = served.rows("/v1/coverage?product=BTC-USD");
    assert_eq!((&days[0]["date"], &days[0]["verdict"]), (&"2025-06-07".into(), &"open".into()), "{days:?}");
    let reason = days[0]["reason"].as_str().unwrap();
    assert!(reason.contains(" BTC-USD/TRADES/trade_price_f64.2025-06-07.bin: the checksum"), "{reason}");
    let missing = column(folder.path(), Dataset::Trades, "trade_id");
    std::fs::remove_file(&missing).unwrap();
    assert_eq!(served.get("/v1/trades?product=BTC-USD").error().0, 500);
}

#[test]
fn a_damaged_day_that_is_too_large_to_be_checked_before_breaks_the_answer_off() {
    let folder = tempfile::tempdir().unwrap();
    let count = 350_000;
    let tickers: Vec<_> = prints(1, count, FIRST_DAY.start(), 1_000_000).iter().map(ticker).collect();
    store::<Md>(&data_dir(folder.path(), StoreOptions::default()), &product(), &tickers);
    let served = Served::start(folder.path());
    let path = "/v1/tickers?product=BTC-USD&columns=trade_id,bid&format=csv";
    assert_eq!(served.get(path).whole().lines().count() as u64, count + 1);
    flip(&column(folder.path(), Dataset::Md, "best_bid_f64"), 8 * (count - 2));
    for order in ["asc", "desc"] {
        let reply = served.get(&format!("{path}&order={order}"));
        assert_eq!((reply.status, reply.is_whole), (200, false), "{order}");
    }
    // A part of the day, before or behind the altered record, cannot be told from it.
    for part in ["&limit=5", "&order=desc&limit=5", "&after_id=349000"] {
        let (status, text) = served.get(&format!("{path}{part}")).error();
        assert!(status == 500 && text.contains("2025-06-07"), "{part}: {text}");
    }
    let reply = served.get(&format!("{path}&from=2025-06-07T00:00:01Z"));
    assert_eq!((reply.status, reply.is_whole), (200, false), "more than is kept before it is sent");
    // A column that is not read is not asked for.
    served.get("/v1/tickers?product=BTC-USD&columns=trade_id&format=csv").whole();
}

#[test]
fn answers_over_sealed_days_have_a_tag_that_changes_with_the_question_the_days_and_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let all = mixed(2_000);
    store_sealed(folder.path(), &all);
    let served = Served::start(folder.path());
    let first_day = "from=2025-06-07&to=2025-06-08";
    let mut tags = std::collections::BTreeSet::new();
    for path in OVER_DAYS {
        for options in [first_day, "from=2025-06-08&to=2025-06-09", "from=2025-06-07T23:50:00Z&to=2025-06-08"] {
            for format in ["csv", "json", "arrow"] {
                let path = format!("/v1/{path}?product=BTC-USD&{options}&format={format}");
                let reply = served.get(&path);
                let tag = reply.header("ETag").unwrap_or_else(|| panic!("{path}")).to_owned();
                let again = served.get_with(&path, &[("If-None-Match", &format!("\"other\", {tag}"))]);
                assert_eq!((again.status, again.body.len(), again.verdict()), (304, 0, reply.verdict()), "{path}");
                assert_eq!(served.get_with(&path, &[("If-None-Match", "\"other\"")]).body, reply.body, "{path}");
                tags.insert(tag);
            }
        }
    }
    // The coverage of a part of a day is that of the day.
    assert_eq!(tags.len(), OVER_DAYS.len() * 9 - 3);
    // A late record of a sealed day, which is open then, and a day that grows.
    let path = format!("/v1/trades?product=BTC-USD&{first_day}");
    let before = served.get(&path).header("ETag").unwrap().to_owned();
    let dir = data_dir(folder.path(), StoreOptions::default());
    // One of the ids that are missing.
    let missing = prints(1_010, 1, UnixNanos(FIRST_DAY.next().start().0 - 990 * super::SECOND), 1);
    let late = missing[0].trade.time;
    let (mut day, _) =
        coltape::internals::store::Day::<coltape::internals::schema::Trades>::open(&dir, &product(), FIRST_DAY, late).unwrap();
    crate::market::insert(&mut day, &missing[0].trade);
    day.commit();
    let reply = served.get(&path);
    assert_ne!(reply.header("ETag"), Some(before.as_str()));
    assert!(reply.whole().contains("\"trade_id\":1010,"));
    drop(day);
    let third = FIRST_DAY.next().next();
    let mut live = super::LiveDay::begin_in(dir, third);
    live.add(&prints(9_000, 10, third.start(), 1_000));
    assert_eq!(served.get("/v1/trades?product=BTC-USD").header("ETag"), None);
    assert!(served.get("/v1/trades?product=BTC-USD&from=2025-06-08&to=2025-06-09").header("ETag").is_some());
    drop(live);
}

#[test]
fn a_tag_is_another_one_when_the_journal_says_another_reason_for_any_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = prints(1, 200, UnixNanos(FIRST_DAY.start().0 + 1), 60_000_000_000);
    // More gaps than the sentence about a time names.
    all.retain(|print| print.trade.trade_id % 20 != 0);
    store_sealed(folder.path(), &all);
    let served = Served::start(folder.path());
    let path = "/v1/trades?product=BTC-USD&format=csv";
    let before = served.get(path);
    let tag = before.header("ETag").unwrap().to_owned();
    assert_eq!(served.get(path).header("ETag"), Some(tag.as_str()));
    let event = Event::BackfillFailed {
        product: product(),
        ids: coltape::IdRange::between(179, 181).unwrap(),
        failures: None,
        error: "REST is not there".to_owned(),
    };
    JournalFile::new(folder.path(), JOURNAL).append(all.last().unwrap().trade.time, &event).unwrap();
    let after = served.get_with(path, &[("If-None-Match", &tag)]);
    assert_eq!((after.status, &after.body), (200, &before.body), "what is said of completeness has changed, the records have not");
    assert_ne!(after.header("ETag"), Some(tag.as_str()));
    let days = served.rows("/v1/coverage?product=BTC-USD");
    let gaps = days[0]["missing"].as_array().unwrap();
    let reason = |id: u64| gaps.iter().find(|gap| gap["first_id"] == id).unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason(180).contains("REST is not there") && !reason(160).contains("REST is not there"), "{days:?}");
}

#[test]
fn the_verdict_is_that_of_the_time_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // Ids from 1 at noon of the first day to the noon of the third, one missing on the second.
    let mut all = prints(1, 2 * 1_440, UnixNanos(FIRST_DAY.start().0 + 43_200_000_000_000), 60_000_000_000);
    let second = FIRST_DAY.next();
    let missing =
        all.iter().position(|print| print.trade.time.day() == second && print.trade.time.0 > second.start().0 + 7_200_000_000_000);
    all.remove(missing.unwrap());
    store_sealed(folder.path(), &all);
    let served = Served::start(folder.path());
    for (range, want) in [
        ("from=2025-06-07&to=2025-06-08", "whole"),
        ("from=2025-06-08&to=2025-06-09", "open"),
        ("from=2025-06-08T12:00:00Z&to=2025-06-09", "whole"),
        ("from=2025-06-09&to=2025-06-10", "partial"),
        ("from=2025-06-09&to=2025-06-09T06:00:00Z", "whole"),
        ("", "open"),
    ] {
        for path in ["trades", "candles", "stats", "orders"] {
            let reply = served.get(format!("/v1/{path}?product=BTC-USD&{range}").trim_end_matches('&'));
            assert_eq!(reply.verdict(), want, "{path} {range}");
        }
        // Tickers may skip trades.
        assert_eq!(served.get(format!("/v1/tickers?product=BTC-USD&{range}").trim_end_matches('&')).verdict(), "unverifiable");
    }
    let days = served.rows("/v1/coverage?product=BTC-USD");
    let verdicts: Vec<&str> = days.iter().map(|day| day["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["whole", "open", "partial"]);
    let missing = all.windows(2).find(|pair| pair[0].trade.trade_id + 1 < pair[1].trade.trade_id).unwrap()[0].trade.trade_id + 1;
    assert_eq!(days[1]["missing"][0]["first_id"], missing);
    assert_eq!((&days[1]["missing_ids"], &days[0]["missing_ids"]), (&1.into(), &0.into()));
    assert_eq!((&days[0]["first_id"], &days[2]["last_id"]), (&1.into(), &all.last().unwrap().trade.trade_id.into()));
    assert_eq!((&days[0]["order_ids_share"], &days[0]["receive_time_share"]), (&1.into(), &1.into()));
    let products = served.rows("/v1/products");
    let btc = &products[0];
    assert_eq!((&btc["product"], &btc["verdict"], &btc["state"]), (&"BTC-USD".into(), &"open".into(), &"sealed".into()));
    assert_eq!((&btc["first_trade_id"], &btc["last_trade_id"]), (&1.into(), &all.last().unwrap().trade.trade_id.into()));
    assert_eq!(btc["last_price"].as_f64(), Some(all.last().unwrap().trade.price.as_f64));
    assert_eq!(btc["days"].as_array().unwrap().iter().map(|day| day["verdict"].as_str().unwrap()).collect::<Vec<_>>(), verdicts);
}
