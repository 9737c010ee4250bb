//! Restored days are equal byte for byte: golden ones, those of both feeds, and days of every kind of record.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use coltape::internals::decimal::parse;
use coltape::internals::product::ProductId;
use coltape::internals::record::Origin;
use coltape::internals::schema::ColumnSet;
use coltape::internals::store::{DataDir, StoreOptions, catalog, seal};
use coltape::internals::time::UtcDay;

use super::{done, files, refused, run, said, text};
use crate::capture::programs::{Capture, Simulator, await_that, verify};
use crate::export::{mixed, store_mixed};
use crate::market::FIRST_DAY;
use crate::repair::tape::{copy_folder, memory_folder};

/// Archives days by name, asserts that they are gone and that `verify` knows of them, restores them, and asserts that every file is as it was.
fn goes_and_comes_back(data: &Path, dates: &[&str], args: &[&str]) {
    let before = files(data);
    let out = data.with_extension("cold");
    let dates = dates.join(",");
    let spelled = |date: &str| [date.to_owned(), format!("{}.{}.{}", &date[8..], &date[5..7], &date[2..4])];
    let is_of = |path: &Path| dates.split(',').flat_map(spelled).any(|date| path.to_string_lossy().contains(&date));
    assert!(before.keys().any(|path| is_of(path)));
    let mut all = vec!["--out", text(&out), "--date", &dates, "--apply"];
    all.extend(args);
    let last = done("archive", data, &all);
    assert!(last.contains("moved to"), "{last}");
    assert!(files(data).keys().all(|path| !is_of(path)), "the files of the days are removed");
    let (_, table) = verify(data, &[]);
    assert!(table.contains("archived in"), "{table}");
    done("restore", data, &["--date", &dates]);
    let after = files(data);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} is another file", path.display());
    }
}

#[test]
fn golden_days_come_back_as_they_were() {
    let folder = memory_folder();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1");
    let names = fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut count = 0;
    for from in names {
        let name = from.file_name().unwrap().to_str().unwrap().to_owned();
        let data = folder.path().join(&name);
        copy_folder(&from, &data.join(&name));
        let dir = Arc::new(DataDir::open(&data, StoreOptions::default(), "exchange wss://golden").unwrap());
        let product = ProductId::new(&name).unwrap();
        // Days that are not sealed are sealed by `archive` itself, below.
        let is_damaged = name.starts_with("DAMAGED");
        let unsealed = if is_damaged { Vec::new() } else { seal::unsealed(&data, &product).unwrap() };
        for key in &unsealed {
            seal::seal_at_rest(&dir, key).unwrap();
        }
        drop(dir);
        if is_damaged {
            let before = files(&data);
            let out = folder.path().join(format!("{name}.cold"));
            let output = run("archive", &data, &["--out", text(&out), "--date", "2025-06-07", "--apply"]);
            let after = files(&data);
            assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{name}: a damaged day stays: {}", said(&output));
            continue;
        }
        goes_and_comes_back(&data, &["2025-06-07"], &[]);
        count += 1;
    }
    assert!(count >= 8, "only {count} golden products");
}

#[test]
fn a_named_day_that_is_not_sealed_is_sealed_first() {
    let folder = memory_folder();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1/LIVE-LATE");
    let [left, right] = ["left", "right"].map(|name| folder.path().join(name));
    for data in [&left, &right] {
        copy_folder(&golden, &data.join("LIVE-LATE"));
    }
    let dir = Arc::new(DataDir::open(&left, StoreOptions::default(), "exchange wss://golden").unwrap());
    for key in seal::unsealed(&left, &ProductId::new("LIVE-LATE").unwrap()).unwrap() {
        seal::seal_at_rest(&dir, &key).unwrap();
    }
    drop(dir);
    let out = folder.path().join("cold");
    let args = ["--out", text(&out), "--older-than", "1d", "--also", "unverifiable,partial,open"];
    let last = done("archive", &right, &args);
    assert!(last.contains("1 left here: not sealed"), "{last}");
    done("archive", &right, &["--out", text(&out), "--date", "2025-06-07", "--apply"]);
    assert!(files(&right).is_empty());
    done("restore", &right, &["--all"]);
    assert_eq!(files(&right), files(&left));
}

/// Records some seconds over midnight.
fn recorded(data: &Path, feed: &str, args: &[&str]) {
    let names = "BTC-USD,ETH-USD";
    let faults = "drop=0.01,reorder=0.02,delay:200ms=0.01";
    let simulator = Simulator::start(&[
        "--feed",
        feed,
        "--products",
        names,
        "--rate",
        "150",
        "--start",
        "2025-06-06T23:59:58Z",
        "--duration",
        "30s",
        "--faults",
        faults,
    ]);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let mut all = vec!["--feed", feed, "BTC-USD", "ETH-USD", "--url"];
    let url = simulator.websocket();
    all.extend([url.as_str(), "--rest-url", &rest]);
    all.extend(args);
    let capture = Capture::start(data, &all);
    let product = ProductId::new("ETH-USD").unwrap();
    let next = UtcDay::parse("2025-06-07").unwrap();
    await_that("the second day has some trades", || {
        let day = coltape::Snapshot::<coltape::Trades>::open(data, &product, next).ok().flatten();
        day.is_some_and(|day| day.count() > 100)
    });
    capture.stop();
}

#[test]
fn recorded_days_of_both_feeds_come_back_as_they_were() {
    let folder = memory_folder();
    for (feed, args) in [("exchange", &[][..]), ("advanced", &["--columns", "core", "--date-format", "dmy"][..])] {
        let data = folder.path().join(feed);
        recorded(&data, feed, args);
        let before = verify(&data, &["--json"]);
        goes_and_comes_back(&data, &["2025-06-06", "2025-06-07"], &["--types", "rich"]);
        assert_eq!(verify(&data, &["--json"]), before, "{feed}: the same is said of it");
    }
}

#[test]
fn records_of_every_kind_come_back_as_they_were() {
    let folder = memory_folder();
    for (name, columns) in [("full", ColumnSet::Full), ("core", ColumnSet::Core)] {
        let data = folder.path().join(name);
        let mut all = mixed(3_000);
        for print in &mut all {
            let trade = &mut print.trade;
            match trade.trade_id % 13 {
                // Its f32 is not that of its f64: that would round twice.
                4 => trade.price = parse(b"1.000000059604644775390625000000001").unwrap(),
                // It breaks a rule of plausibility, which no export tells.
                5 => trade.origin = Origin(trade.origin.0 | 1 << 9),
                6 => trade.size = parse(b"0").unwrap(),
                _ => {}
            }
        }
        assert!(all.iter().any(|print| print.trade.price.as_f64 as f32 != print.trade.price.as_f32));
        store_mixed(&data, &all, StoreOptions::default().columns(columns));
        goes_and_comes_back(&data, &[&FIRST_DAY.to_string()], &[]);
    }
    // A day of a market that stood still has no record, and no file in the data set.
    let data = folder.path().join("empty");
    let dir = Arc::new(DataDir::open(&data, StoreOptions::default(), "exchange wss://test").unwrap());
    let product = ProductId::new("BTC-USD").unwrap();
    let (day, _) = coltape::internals::store::Day::<coltape::Trades>::open(&dir, &product, FIRST_DAY, FIRST_DAY.start()).unwrap();
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    drop(dir);
    goes_and_comes_back(&data, &[&FIRST_DAY.to_string()], &[]);
    assert_eq!(catalog::days(&data, &product, coltape::Dataset::Trades).unwrap(), [FIRST_DAY]);
}

#[test]
fn a_bare_day_comes_back_bare() {
    let folder = memory_folder();
    let data = folder.path().join("data");
    super::tape(&data, 2, 60);
    for dataset in ["TRADES", "MD", "TICKER_TRADES"] {
        fs::remove_file(data.join(format!("BTC-USD/{dataset}/commit.{FIRST_DAY}.bin"))).unwrap();
    }
    goes_and_comes_back(&data, &[&FIRST_DAY.to_string()], &[]);
}

#[test]
fn a_lost_directory_comes_back_from_a_copy_of_its_archive() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    super::tape(&data, 3, 60);
    let before = files(&data);
    let dates = [0, 1, 2].map(|number| super::day(number).to_string()).join(",");
    done("archive", &data, &["--out", text(&out), "--date", &dates, "--apply"]);
    // With the record of archived days, and without it.
    for (name, has_record) in [("with", true), ("without", false)] {
        let [new, copy] = [name, &format!("{name}.copy")].map(|name| folder.path().join(name));
        copy_folder(&data.join("_coltape"), &new.join("_coltape"));
        copy_folder(&out, &copy);
        if !has_record {
            fs::remove_dir_all(new.join("_coltape/archived")).unwrap();
        }
        done("restore", &new, &["--all", "--archive", text(&copy)]);
        assert_eq!(files(&new), before, "{name}");
        assert!(verify(&new, &[]).0, "{name}");
    }
}

#[test]
fn a_restore_into_another_directory_leaves_the_archive_as_it_is() {
    let folder = memory_folder();
    let [data, out, other] = ["data", "cold", "other"].map(|name| folder.path().join(name));
    super::tape(&data, 3, 60);
    let before = files(&data);
    done("archive", &data, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    let cold = super::files(&out);
    done("restore", &data, &["--all", "--into", text(&other)]);
    assert!(files(&other).iter().all(|(path, bytes)| before[path] == *bytes));
    assert_eq!(files(&other).len() + files(&data).len(), before.len());
    assert_eq!(super::files(&out), cold);
    assert!(verify(&data, &[]).0);
    // A moved archive is named.
    let moved = folder.path().join("moved");
    fs::rename(&out, &moved).unwrap();
    assert!(refused("restore", &data, &["--all"]).contains("is not there"));
    done("restore", &data, &["--all", "--archive", text(&moved)]);
    assert_eq!(files(&data), before);
}
