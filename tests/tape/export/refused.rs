//! What an export refuses, each in one line that says what to do, and what it does not touch then.

use std::fs;
use std::path::Path;

use coltape::internals::schema::Dataset;
use coltape::internals::store::StoreOptions;

use super::{export, exported, files, mixed, refused, said, store_mixed};
use crate::market::{FIRST_DAY, column_path};

fn tape(folder: &Path) -> std::path::PathBuf {
    let tape = folder.join("tape");
    store_mixed(&tape, &mixed(1_000), StoreOptions::default());
    tape
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (tape(folder.path()), folder.path().join("out"));
    fs::create_dir_all(out.join("photos")).unwrap();
    let why = refused(&tape, &out, &[]);
    assert!(why.contains("photos") && why.contains("new folder"), "{why}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // The data directory itself, and a folder in it.
    for inside in [tape.clone(), tape.join("export"), tape.join("BTC-USD/../export")] {
        let why = refused(&tape, &inside, &[]);
        assert!(why.contains("lies in the data directory"), "{why}");
    }
    assert!(!tape.join("export").exists());
    // A file.
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    refused(&tape, &file, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}

#[test]
fn an_export_in_another_format_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (tape(folder.path()), folder.path().join("out"));
    exported(&tape, &out, &["--format", "csv"]);
    let before = files(&out);
    let why = refused(&tape, &out, &[]);
    assert!(why.contains("\"csv\"") && why.contains("another folder"), "{why}");
    assert_eq!(files(&out), before);
}

#[test]
fn a_manifest_that_cannot_be_read_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (tape(folder.path()), folder.path().join("out"));
    exported(&tape, &out, &[]);
    let before = files(&out);
    for text in ["", "{", "{\"coltape_export\":1,\"format\":\"parquet\",\"files\":[{\"path\":\"../../x\"}]}", "null"] {
        fs::write(out.join("_coltape_export.json"), text).unwrap();
        let why = refused(&tape, &out, &[]);
        assert!(why.contains("_coltape_export.json") && why.contains("new folder"), "{why}");
        assert_eq!(files(&out), before);
    }
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (tape(folder.path()), folder.path().join("out"));
    let next = FIRST_DAY.next().to_string();
    let date = FIRST_DAY.to_string();
    for (args, words) in [
        (&["--products", "BTCUSD"][..], &["BTCUSD", "BTC-USD"][..]),
        (&["--from", &next], &["nothing to export"]),
        (&["--from", &next, "--to", &date], &["must lie after"]),
    ] {
        let why = refused(&tape, &out, args);
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
        assert!(!out.exists(), "no folder is made for nothing");
    }
    let nowhere = folder.path().join("nowhere");
    assert!(refused(&nowhere, &out, &[]).contains("does not exist"));
    fs::create_dir(&nowhere).unwrap();
    assert!(refused(&nowhere, &out, &[]).contains("is no tape"));
    let wrong = export(&tape, &out, &["--types", "wrong"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_damaged_day_is_named_and_the_others_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (tape(folder.path()), folder.path().join("out"));
    let path = column_path(&tape, Dataset::Trades, "trade_price", FIRST_DAY);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let damaged = export(&tape, &out, &[]).output().unwrap();
    assert_eq!(damaged.status.code(), Some(1));
    let lines = said(&damaged);
    assert!(lines.lines().next().unwrap().starts_with("not exported: BTC-USD trades"), "{lines}");
    assert!(lines.contains("trade_price") && lines.contains("coltape verify") && lines.lines().count() == 2, "{lines}");
    assert_eq!(files(&out).len(), 1, "the tickers");
    for missing in ["trade_price", "commit"] {
        let path = column_path(&tape, Dataset::Trades, missing, FIRST_DAY);
        fs::rename(&path, path.with_extension("away")).unwrap();
    }
    let missing = export(&tape, &out, &[]).output().unwrap();
    let lines = said(&missing);
    assert_eq!(missing.status.code(), Some(1));
    assert!(lines.starts_with("not exported: BTC-USD TRADES") && lines.lines().count() == 2, "{lines}");
}
