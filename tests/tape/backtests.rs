//! `export` for backtests: the files of Tardis, nautilus_trader and hftbacktest hold every stored record once, by the day of its receipt, whoever reads them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coltape::internals::decimal;
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Md, Trades};
use coltape::internals::store::{Day, StoreOptions, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, Print, data_dir, insert, prints, product, store, ticker};
use crate::python::{output_of, script};

const SECOND: u64 = 1_000_000_000;
const FORMATS: [&str; 3] = ["tardis-csv", "nautilus", "hftbacktest"];

/// Exports, and gives whether all of it was exported and the last line that was said.
fn export(tape: &Path, out: &Path, format: &str, args: &[&str]) -> (bool, String) {
    let mut command = coltape();
    command.args(["export", "--format", format, "--data-dir"]).arg(tape).arg("--out").arg(out).args(args);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap().to_owned();
    (output.status.success(), said)
}

fn exported(tape: &Path, out: &Path, format: &str, args: &[&str]) -> String {
    let (is_done, said) = export(tape, out, format, args);
    assert!(is_done, "{said}");
    said
}

/// The files of an export: inode, time of change, bytes.
fn files(out: &Path) -> BTreeMap<String, (u64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("_coltape_export.json") {
                let meta = std::fs::metadata(&path).unwrap();
                let name = path.strip_prefix(out).unwrap().to_str().unwrap().to_owned();
                found.insert(name, (meta.ino(), meta.mtime_nsec(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Holds an export against the column files. Gives the numbers of files, of trades and of quotes.
fn compared(tape: &Path, out: &Path, format: &str) -> [usize; 3] {
    let said = output_of(script("backtest_files.py").arg(tape).arg(out).args([format, product().as_str()]));
    let counts: Vec<usize> = said.split_whitespace().map(|count| count.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

/// 600 trades around a midnight, received as on a bad day: late, across midnight, before they happened, days later, or not live at all.
fn market() -> Vec<Print> {
    let mut all = prints(1_000, 600, UnixNanos(FIRST_DAY.next().start().0 - 300 * SECOND), SECOND);
    for print in &mut all {
        let trade = &mut print.trade;
        match trade.trade_id % 13 {
            0 => trade.recv = UnixNanos(0),
            1 => trade.recv = UnixNanos(trade.time.0 - 5_000_000),
            2 | 7 => trade.recv = UnixNanos(trade.time.0 + 4 * SECOND + 123),
            _ => {}
        }
    }
    all[0].trade.recv = UnixNanos(FIRST_DAY.start().0 + 3 * 86_400 * SECOND + 5);
    let midnight = all.iter_mut().rfind(|print| print.trade.time < FIRST_DAY.next().start()).unwrap();
    midnight.trade.recv = FIRST_DAY.next().start();
    all
}

/// The tickers of such trades, some without a bid or the sizes.
fn tickers(all: &[Print]) -> Vec<Ticker> {
    let made = all.iter().filter(|print| print.has_ticker).map(|print| {
        let mut made = ticker(print);
        match print.trade.trade_id % 11 {
            0 => (made.best_bid_size, made.best_ask_size) = (f64::NAN, f64::NAN),
            1 => made.best_bid = decimal::Decimal::NONE,
            2 => made.recv = UnixNanos(made.time.0 + 3 * SECOND),
            _ => {}
        }
        made
    });
    made.collect()
}

fn options(columns: ColumnSet) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.columns = columns;
    options
}

fn store_market(tape: &Path, all: &[Print], columns: ColumnSet) {
    store_trades(tape, all, columns);
    store::<Md>(&data_dir(tape, options(columns)), &product(), &tickers(all));
}

fn store_trades(tape: &Path, all: &[Print], columns: ColumnSet) {
    let dir = data_dir(tape, options(columns));
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
    store::<Trades>(&dir, &product(), &trades);
}

fn append(day: &mut Day<Trades>, prints: &[Print]) {
    for print in prints {
        insert(day, &print.trade);
    }
    day.commit();
}

fn count(all: &[Print], of: impl Fn(&Trade) -> bool) -> usize {
    all.iter().filter(|print| of(&print.trade)).count()
}

#[test]
fn every_field_of_every_record_is_read_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let all = market();
    store_market(&tape, &all, ColumnSet::Full);
    let quotes = tickers(&all);
    let whole = quotes.iter().filter(|quote| !quote.best_bid.as_f64.is_nan() && !quote.best_bid_size.is_nan()).count();
    let days: [usize; 3] = [5, 5, 3];
    for (format, files) in FORMATS.into_iter().zip(days) {
        let out = folder.path().join(format);
        let said = exported(&tape, &out, format, &[]);
        // Two days, one of three days later, and of quotes two.
        let held = if format == "nautilus" { whole } else { quotes.len() };
        assert_eq!(compared(&tape, &out, format), [files, all.len(), held], "{format}");
        let untimed = count(&all, |trade| trade.recv.0 == 0);
        assert!(said.contains(&format!("{untimed} records without a receive time have the event time instead")), "{said}");
        let early = count(&all, |trade| trade.recv.0 != 0 && trade.recv < trade.time);
        assert!(said.contains(&format!("{early} records were received, by the clocks, before they happened")), "{said}");
        let unfit = format!("{} records were left out, as the format cannot hold them", quotes.len() - whole);
        assert_eq!(said.contains(&unfit), format == "nautilus", "{said}");
        assert!(said.contains(&format!("({} records,", all.len() + held)), "{said}");
    }
}

#[test]
fn a_folder_of_the_core_alone_gives_the_numbers_that_were_sent_and_event_times() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let mut all = market();
    for print in &mut all {
        // An f32 tells cents apart below 131 072 only.
        let price = |cents: u64| format!("{}.{:02}", 60_000 + print.trade.trade_id % 997, cents % 100);
        (print.bid, print.ask) = (price(print.trade.trade_id), price(print.trade.trade_id + 1));
        print.trade.price = decimal::parse(print.ask.as_bytes()).unwrap();
    }
    store_market(&tape, &all, ColumnSet::Core);
    let quotes = tickers(&all).len();
    for (format, files) in FORMATS.into_iter().zip([4, 2, 2]) {
        let out = folder.path().join(format);
        let said = exported(&tape, &out, format, if format == "nautilus" { &["--dataset", "trades"] } else { &[] });
        let held = if format == "nautilus" { 0 } else { quotes };
        if format != "nautilus" {
            assert_eq!(compared(&tape, &out, format), [files, all.len(), held], "{format}");
        }
        assert!(said.contains(&format!("{} records without a receive time", all.len() + held)), "{said}");
        assert!(said.contains(&format!("{files} files written")), "{said}");
    }
}

#[test]
fn what_has_not_changed_is_not_touched_and_a_part_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_market(&tape, &market(), ColumnSet::Full);
    for format in FORMATS {
        let (out, part) = (folder.path().join(format), folder.path().join(format!("part-{format}")));
        exported(&tape, &out, format, &[]);
        let before = files(&out);
        let day = FIRST_DAY.next();
        let of_day = ["--from", &day.to_string(), "--to", &day.next().to_string()];
        for args in [&[][..], &of_day] {
            let said = exported(&tape, &out, format, args);
            assert!(said.contains("unchanged") && !said.contains("written"), "{format}: {said}");
            assert_eq!(files(&out), before, "{format}");
        }
        // A day of receipt is whole, although some of its records stand in the day before: the same bytes as with all days.
        exported(&tape, &part, format, &of_day);
        let of_part = files(&part);
        assert!(!of_part.is_empty() && of_part.len() < before.len(), "{of_part:?}");
        assert!(of_part.iter().all(|(name, file)| before[name].2 == file.2), "{format}");
    }
}

#[test]
fn a_part_of_a_day_is_what_was_received_in_that_time() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let all = market();
    store_market(&tape, &all, ColumnSet::Full);
    let midnight = FIRST_DAY.next().start();
    let (from, to) = (UnixNanos(midnight.0 + 2 * SECOND), UnixNanos(midnight.0 + 60 * SECOND));
    let is_in = |received: UnixNanos, event: UnixNanos| {
        let local = if received.0 == 0 { event } else { received };
        from <= local && local < to
    };
    let expected =
        count(&all, |trade| is_in(trade.recv, trade.time)) + tickers(&all).iter().filter(|ticker| is_in(ticker.recv, ticker.time)).count();
    let is_apart = |print: &&Print| is_in(print.trade.recv, print.trade.time) && !is_in(print.trade.time, print.trade.time);
    assert!(all.iter().any(|print| is_apart(&print)), "some happened before that time");
    for format in ["tardis-csv", "hftbacktest"] {
        let out = folder.path().join(format);
        let said = exported(&tape, &out, format, &["--from", &from.to_string(), "--to", &to.to_string()]);
        assert!(said.contains(&format!("({expected} records,")), "{expected}: {said}");
        // More of the day is added, and nothing is taken away.
        exported(&tape, &out, format, &[]);
        let whole = files(&out);
        exported(&tape, &out, format, &["--from", &from.to_string(), "--to", &to.to_string()]);
        assert_eq!(files(&out), whole, "{format}");
    }
}

#[test]
fn a_day_that_grows_is_left_out_with_what_others_have_for_it_and_its_file_moves_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let all = market();
    let (first, second): (Vec<Print>, Vec<Print>) = all.into_iter().partition(|print| print.trade.time.day() == FIRST_DAY);
    store_trades(&tape, &first, ColumnSet::Full);
    let dir = data_dir(&tape, StoreOptions::default());
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), FIRST_DAY.next(), FIRST_DAY.next().start()).unwrap();
    let (early, late) = second.split_at(200);
    append(&mut day, early);
    let dates = |format: &str, out: &Path| {
        let text = std::fs::read_to_string(out.join("_coltape_export.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let entries = manifest["files"].as_array().unwrap().clone();
        assert_eq!(entries.len(), files(out).len(), "{format}: every file is named, and there is no other");
        entries.iter().map(|entry| UtcDay::parse(entry["date"].as_str().unwrap()).unwrap().0 - FIRST_DAY.0).collect::<Vec<u32>>()
    };
    for format in FORMATS {
        let out = folder.path().join(format);
        let said = exported(&tape, &out, format, &[]);
        assert!(said.contains("1 day that still grows left out"), "{said}");
        // One trade was received three days later.
        assert_eq!(dates(format, &out), [0, 3], "{format}");
        let said = exported(&tape, &out, format, &["--live"]);
        // One trade of the day that grows was received, by the clocks, on the day before.
        assert!(said.contains("2 files written") && said.contains("1 file unchanged"), "{said}");
        assert_eq!(dates(format, &out), [0, 1, 3], "{format}");
    }
    let live = |out: &Path| files(out).into_keys().collect::<Vec<String>>();
    let before = live(&folder.path().join("nautilus"));
    append(&mut day, late);
    for format in FORMATS {
        let out = folder.path().join(format);
        let said = exported(&tape, &out, format, &["--live"]);
        assert!(said.contains("1 file written") && said.contains("2 files unchanged"), "{said}");
        assert_eq!(dates(format, &out), [0, 1, 3], "{format}");
    }
    let after = live(&folder.path().join("nautilus"));
    assert_eq!(before.iter().filter(|name| after.contains(name)).count(), 2, "the file has the name of its new last row: {after:?}");
}

#[test]
fn the_files_of_an_instrument_have_one_precision_that_rises_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let midnight = FIRST_DAY.next().start();
    let (early, mut late) = (prints(1, 60, FIRST_DAY.start(), SECOND), prints(61, 60, midnight, SECOND));
    store_market(&tape, &early, ColumnSet::Full);
    exported(&tape, &out, "nautilus", &[]);
    let before = compared(&tape, &out, "nautilus");
    late[7].trade.price = decimal::parse(b"131000.0625").unwrap();
    store_market(&tape, &late, ColumnSet::Full);
    // Only the new day is asked for; the old one's files would make the catalog unreadable.
    let said = exported(&tape, &out, "nautilus", &["--from", &FIRST_DAY.next().to_string()]);
    assert!(said.contains("4 files written"), "{said}");
    let after = compared(&tape, &out, "nautilus");
    assert_eq!((before[0], after[0], after[1]), (2, 4, 120));
    let said = exported(&tape, &out, "nautilus", &[]);
    assert!(said.ends_with("4 files unchanged"), "{said}");
}

#[test]
fn a_file_of_a_day_that_grows_is_written_again_when_the_decimals_of_the_others_rise() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let today = FIRST_DAY.next().next();
    store_trades(&tape, &prints(1, 60, FIRST_DAY.start(), SECOND), ColumnSet::Full);
    let dir = data_dir(&tape, StoreOptions::default());
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), today, today.start()).unwrap();
    append(&mut day, &prints(121, 60, today.start(), SECOND));
    // The decimals of the prices of each file, and its rows.
    let told = || {
        let text = std::fs::read_to_string(out.join("_coltape_export.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let entries = manifest["files"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| [&entry["facts"]["price_decimals"], &entry["rows"]].map(|value| value.as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    exported(&tape, &out, "nautilus", &["--live"]);
    assert_eq!(told(), [[2, 60], [2, 60]]);
    // What the day that grows has since is not asked for.
    append(&mut day, &prints(181, 10, UnixNanos(today.start().0 + 60 * SECOND), SECOND));
    let said = exported(&tape, &out, "nautilus", &[]);
    assert!(said.contains("1 file unchanged") && !said.contains("written"), "{said}");
    let mut late = prints(61, 60, FIRST_DAY.next().start(), SECOND);
    late[7].trade.price = decimal::parse(b"131000.0625").unwrap();
    store::<Trades>(&dir, &product(), &late.iter().map(|print| print.trade).collect::<Vec<_>>());
    let said = exported(&tape, &out, "nautilus", &[]);
    assert!(said.contains("3 files written"), "{said}");
    assert_eq!(told(), [[4, 60], [4, 60], [4, 70]]);
    let said = exported(&tape, &out, "nautilus", &[]);
    assert!(said.contains("2 files unchanged") && !said.contains("written"), "{said}");
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    exported(&tape, &out, "nautilus", &[]);
    assert_eq!(compared(&tape, &out, "nautilus"), [3, 190, 0]);
}

#[test]
fn what_a_catalog_cannot_hold_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let mut all = prints(1, 30, FIRST_DAY.start(), SECOND);
    let number = |text: &str| decimal::parse(text.as_bytes()).unwrap();
    all[3].trade.size = number("34028236692093.5");
    all[4].trade.size = number("34028236692093");
    all[5].trade.size = number("0.00000000000000001");
    all[6].trade.size = number("0.0000000000000001");
    all[7].trade.price = number("17014118346046.5");
    all[8].trade.size = number("0");
    store_trades(&tape, &all, ColumnSet::Full);
    let said = exported(&tape, &out, "nautilus", &[]);
    assert!(said.contains("(27 records,") && said.contains("3 records were left out, as the format cannot hold them"), "{said}");
    let text = exported(&tape, &folder.path().join("tardis"), "tardis-csv", &[]);
    assert!(text.contains("(30 records,") && !text.contains("left out"), "{text}");
}

#[test]
fn a_file_of_a_day_that_is_gone_from_the_tape_stays() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_market(&tape, &market(), ColumnSet::Full);
    let outs = FORMATS.map(|format| folder.path().join(format));
    let before = FORMATS.iter().zip(&outs).map(|(format, out)| {
        exported(&tape, out, format, &[]);
        files(out)
    });
    let before: Vec<_> = before.collect();
    for dataset in ["TRADES", "MD"] {
        for entry in std::fs::read_dir(tape.join("BTC-USD").join(dataset)).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(&FIRST_DAY.to_string()) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    for ((format, out), before) in FORMATS.iter().zip(&outs).zip(before) {
        exported(&tape, out, format, &[]);
        assert_eq!(files(out), before, "{format}");
    }
}

#[test]
fn a_dataset_without_a_place_in_the_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_market(&tape, &market(), ColumnSet::Full);
    for format in FORMATS {
        let (is_done, said) = export(&tape, &folder.path().join("out"), format, &["--dataset", "trades,ticker_trades"]);
        assert!(!is_done && said.contains("has no place for ticker_trades"), "{said}");
        assert!(!folder.path().join("out").exists());
    }
}
