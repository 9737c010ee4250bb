//! A second export: what has not changed is not touched, what has changed is replaced, and no file ever holds less than before.

use std::path::{Path, PathBuf};

use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{Day, StoreOptions};
use coltape::internals::time::UnixNanos;

use super::{SECOND, assert_manifest_holds, exported, files, manifest, mixed, store_mixed};
use crate::market::{FIRST_DAY, Print, column, data_dir, insert, prints, product, rewrite, store};

fn path_of(dataset: &str, day: u32, ending: &str) -> PathBuf {
    let date = coltape::internals::time::UtcDay(FIRST_DAY.0 + day);
    format!("dataset={dataset}/product=BTC-USD/date={date}/part-0.{ending}").into()
}

/// Trades of whole days, from just after midnight to just before the next.
fn whole_days(first_id: u64, day: u32, days: u64) -> Vec<Print> {
    let start = coltape::internals::time::UtcDay(FIRST_DAY.0 + day).start();
    prints(first_id, days * 600, UnixNanos(start.0 + SECOND), 144 * SECOND)
}

fn store_trades(tape: &Path, prints: &[Print]) {
    let trades: Vec<Trade> = prints.iter().map(|print| print.trade).collect();
    store::<Trades>(&data_dir(tape, StoreOptions::default()), &product(), &trades);
}

#[test]
fn what_has_not_changed_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_mixed(&tape, &mixed(3_000), StoreOptions::default());
    for form in ["parquet", "arrow", "csv"] {
        let out = folder.path().join(form);
        let first = exported(&tape, &out, &["--format", form]);
        assert!(first.contains("2 files written") || first.contains("4 files written"), "{first}");
        let (before, described) = (files(&out), manifest(&out));
        let again = exported(&tape, &out, &["--format", form]);
        assert!(again.ends_with("files unchanged"), "{again}");
        assert_eq!(files(&out), before, "{form}");
        assert_eq!(manifest(&out), described, "{form}: not even the manifest");
    }
    // Other options are a change, and the old ones again another.
    let out = folder.path().join("parquet");
    let before = files(&out);
    for args in [&["--types", "rich"][..], &["--types", "safe"]] {
        assert!(exported(&tape, &out, args).contains("written"));
        assert_manifest_holds(&out);
    }
    let after = files(&out);
    assert!(before.iter().all(|(path, file)| after[path].bytes == file.bytes && after[path] != *file), "the same bytes in other files");
}

#[test]
fn a_day_that_is_joined_by_the_next_one_gets_its_verdict_and_no_other_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let all = whole_days(1, 0, 3);
    let (early, last) = all.split_at(1_200);
    store_trades(&tape, early);
    exported(&tape, &out, &[]);
    let verdict = |at: usize| manifest(&out)["files"][at]["facts"]["verdict"].as_str().unwrap().to_owned();
    assert_eq!([verdict(0), verdict(1)], ["whole", "partial"]);
    let before = files(&out);
    store_trades(&tape, last);
    let said = exported(&tape, &out, &[]);
    assert!(said.contains("2 files written") && said.contains("1 file unchanged"), "{said}");
    assert_eq!([verdict(0), verdict(1), verdict(2)], ["whole", "whole", "partial"]);
    let after = files(&out);
    assert_eq!(after[&path_of("trades", 0, "parquet")], before[&path_of("trades", 0, "parquet")]);
    assert_ne!(after[&path_of("trades", 1, "parquet")].inode, before[&path_of("trades", 1, "parquet")].inode);
    assert_eq!(assert_manifest_holds(&out).len(), 3);
}

#[test]
fn an_export_of_a_day_that_grows_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let all = mixed(4_000);
    let dir = data_dir(&tape, StoreOptions::default());
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    let mut inode = 0;
    for (round, batch) in all.chunks(500).enumerate() {
        for print in batch {
            insert(&mut day, &print.trade);
        }
        day.commit();
        exported(&tape, &out, &["--live"]);
        let found = files(&out);
        let file = &found[&path_of("trades", 0, "parquet")];
        assert_ne!(file.inode, inode, "round {round}");
        inode = file.inode;
        let entry = manifest(&out)["files"][0].clone();
        assert_eq!(entry["rows"], (round * 500 + batch.len()) as u64);
        assert_eq!(assert_manifest_holds(&out).len(), 1);
        let again = exported(&tape, &out, &["--live"]);
        assert!(again.ends_with("1 file unchanged"), "{again}");
        assert_eq!(files(&out), found);
    }
}

#[test]
fn a_part_of_a_day_never_takes_the_place_of_more_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_trades(&tape, &whole_days(1, 0, 1));
    let hours = |from: u32, to: u32| [format!("{FIRST_DAY}T{from:02}:00:00Z"), format!("{FIRST_DAY}T{to:02}:00:00Z")];
    let rows = |args: &[&str]| {
        exported(&tape, &out, args);
        assert_manifest_holds(&out);
        manifest(&out)["files"][0]["rows"].as_u64().unwrap()
    };
    let part = |from, to| {
        let [from, to] = hours(from, to);
        rows(&["--from", &from, "--to", &to])
    };
    assert_eq!(part(6, 12), 150);
    assert_eq!(part(8, 10), 150, "it holds these hours already");
    assert_eq!(part(18, 21), 375, "with what is between");
    assert_eq!(rows(&[]), 600);
    assert_eq!(part(1, 2), 600);
}

#[test]
fn a_file_that_somebody_has_damaged_or_removed_is_written_again_and_a_copied_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_trades(&tape, &whole_days(1, 0, 1));
    exported(&tape, &out, &[]);
    let path = out.join(path_of("trades", 0, "parquet"));
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for damaged in [Some(&whole[..whole.len() / 2]), Some(&flipped[..]), None] {
        std::fs::remove_file(&path).unwrap();
        if let Some(bytes) = damaged {
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(exported(&tape, &out, &[]).contains("1 file written"));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &whole).unwrap();
    let copied = files(&out);
    assert!(exported(&tape, &out, &[]).ends_with("1 file unchanged"));
    assert_eq!(files(&out), copied);
    assert_manifest_holds(&out);
}

#[test]
fn days_and_products_that_are_not_asked_for_or_are_gone_stay_in_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_trades(&tape, &whole_days(1, 0, 3));
    exported(&tape, &out, &[]);
    let before = files(&out);
    assert_eq!(before.len(), 3);
    for entry in std::fs::read_dir(tape.join("BTC-USD/TRADES")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(&FIRST_DAY.to_string()) {
            std::fs::remove_file(path).unwrap();
        }
    }
    let from = coltape::internals::time::UtcDay(FIRST_DAY.0 + 2).to_string();
    exported(&tape, &out, &["--from", &from]);
    let after = files(&out);
    assert_eq!(after.len(), 3);
    assert_eq!(after[&path_of("trades", 0, "parquet")], before[&path_of("trades", 0, "parquet")]);
    assert_eq!(assert_manifest_holds(&out).len(), 3);
    // A file that somebody has removed is not named any more, whether or not its day can be exported again.
    std::fs::remove_file(out.join(path_of("trades", 0, "parquet"))).unwrap();
    exported(&tape, &out, &["--from", &from]);
    assert_eq!(assert_manifest_holds(&out), [path_of("trades", 1, "parquet"), path_of("trades", 2, "parquet")]);
}

#[test]
fn a_day_whose_records_change_while_their_ids_do_not_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_trades(&tape, &whole_days(1, 0, 1));
    rewrite(&tape, Dataset::Trades, FIRST_DAY, |_| {});
    exported(&tape, &out, &[]);
    let maker = column(Dataset::Trades, "maker_order_id");
    rewrite(&tape, Dataset::Trades, FIRST_DAY, |rows| rows[5][maker] = vec![7; 16]);
    assert!(exported(&tape, &out, &[]).contains("1 file written"));
    assert!(exported(&tape, &out, &[]).ends_with("1 file unchanged"));
    assert_manifest_holds(&out);
}
