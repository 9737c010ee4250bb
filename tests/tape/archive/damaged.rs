//! A damaged archive: each of its files changed, cut or gone. It is found, nothing wrong comes back, and nothing is lost that was not.

use std::fs;
use std::path::{Path, PathBuf};

use coltape::internals::record::Trade;
use coltape::internals::schema::Trades;
use coltape::internals::store::StoreOptions;
use coltape::internals::store::probe::{Probe, Step, Verdict};
use coltape::{ArchiveConfig, Clock, archive};

use super::{day, done, files, refused, run, said, tape, text};
use crate::capture::programs::{coltape, verify};
use crate::market::{data_dir, product, store};
use crate::repair::tape::memory_folder;

/// The ways to damage a file.
const DAMAGES: [&str; 4] = ["flipped", "cut", "longer", "gone"];

fn damage(path: &Path, how: &str, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        "flipped" => {
            let at = at % bytes.len();
            bytes[at] ^= 0x10;
        }
        "cut" => bytes.truncate(bytes.len() / 2),
        "longer" => bytes.push(0),
        _ => {
            fs::remove_file(path).unwrap();
            return;
        }
    }
    fs::write(path, bytes).unwrap();
}

/// The files that a day is kept in.
fn kept(out: &Path) -> Vec<PathBuf> {
    let all = files(out).into_keys().filter(|path| path.extension().is_some_and(|end| end == "parquet" || end == "rest"));
    all.map(|path| out.join(path)).collect()
}

#[test]
fn each_file_that_is_damaged_is_found_and_gives_nothing_back() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 2, 60);
    let whole = files(&data);
    done("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
    let without = files(&data);
    let kept = kept(&out);
    assert_eq!(kept.len(), 6);
    for (number, path) in kept.iter().enumerate() {
        let good = fs::read(path).unwrap();
        for (turn, how) in DAMAGES.into_iter().enumerate() {
            damage(path, how, number * 31 + turn * 7);
            let (holds, table) = verify(&data, &[]);
            assert!(!holds && table.contains(path.file_name().unwrap().to_str().unwrap()), "{} {how}: {table}", path.display());
            if turn == number % DAMAGES.len() {
                let said = refused("restore", &data, &["--all"]);
                assert!(said.contains(path.to_str().unwrap()), "{} {how}: {said}", path.display());
                // The day stays in one place: its other datasets do not come back either, and nothing is left half done.
                assert!(files(&data) == without, "{how}");
                assert!(said.contains("--into"), "{how}: {said}");
                // Those that are whole can be had elsewhere.
                let look = folder.path().join("look");
                refused("restore", &data, &["--all", "--into", text(&look)]);
                let there = files(&look);
                assert!(there.iter().all(|(path, bytes)| whole[path] == *bytes), "{how}");
                assert!(!there.is_empty() && there.len() < whole.len() - without.len(), "{how}");
                fs::remove_dir_all(&look).unwrap();
                fs::write(path, &good).unwrap();
                done("restore", &data, &["--all"]);
                assert_eq!(files(&data), whole);
                done("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
                assert_eq!(files(&data), without);
            }
            fs::write(path, &good).unwrap();
        }
        assert!(verify(&data, &[]).0, "whole again");
    }
}

#[test]
fn an_export_that_reads_back_as_another_value_is_refused_and_made_anew() {
    let folder = memory_folder();
    let [data, out, other] = ["data", "cold", "other"].map(|name| folder.path().join(name));
    tape(&data, 2, 60);
    // The same day with another price, another side, another id of an order, in as many records.
    for (number, change) in [0, 1, 2, 3].into_iter().zip([
        |trade: &mut Trade| trade.price = coltape::internals::decimal::parse(b"131000.5").unwrap(),
        |trade: &mut Trade| trade.side = trade.side.turned(),
        |trade: &mut Trade| trade.maker_order_id.0[15] ^= 1,
        |trade: &mut Trade| trade.time.0 += 1,
    ]) {
        let mut trades: Vec<Trade> = super::market(2, 60).iter().map(|print| print.trade).collect();
        change(&mut trades[33]);
        let tape = other.join(number.to_string());
        store::<Trades>(&data_dir(&tape, StoreOptions::default()), &product(), &trades);
        let lake = tape.with_extension("lake");
        let name = format!("dataset=trades/product=BTC-USD/date={}/part-0.parquet", day(0));
        let exported = coltape().args(["export", "--dataset", "trades", "--data-dir"]).arg(&tape).arg("--out").arg(&lake).output().unwrap();
        assert!(exported.status.success(), "{}", said(&exported));
        let mut config = ArchiveConfig::new(&data, &out, Clock::System.now());
        (config.dates, config.apply) = (vec![day(0)], true);
        let (from, to) = (lake.join(&name), out.join(&name));
        config.probe = Some(Probe::new(move |step| {
            if step == Step::Changed("days exported") {
                fs::copy(&from, &to).unwrap();
            }
            Verdict::Go
        }));
        let before = files(&data);
        let report = archive(&config).unwrap();
        assert!(report.days.is_empty() && report.failures.len() == 1, "{report:?}");
        assert!(report.failures[0].contains("record 33 reads back as another value"), "{number}: {:?}", report.failures);
        assert_eq!(files(&data), before);
        assert!(!out.join(&name).exists(), "the next run makes it anew");
    }
    done("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
}

#[test]
fn files_are_not_removed_where_the_archive_of_an_earlier_run_is_damaged() {
    let folder = memory_folder();
    let [data, out, copy] = ["data", "cold", "copy"].map(|name| folder.path().join(name));
    tape(&data, 2, 60);
    crate::repair::tape::copy_folder(&data, &copy);
    let whole = files(&data);
    let args = ["--out", text(&out), "--date", &day(0).to_string(), "--apply"];
    done("archive", &data, &args);
    // As after a kill between the record and the removal.
    for path in whole.keys() {
        fs::copy(copy.join(path), data.join(path)).unwrap();
    }
    let all = kept(&out);
    let path = all.iter().find(|path| path.to_string_lossy().contains("dataset=md/")).unwrap();
    let good = fs::read(path).unwrap();
    damage(path, "flipped", 99);
    let said = refused("archive", &data, &args);
    assert!(said.contains("it stays here"), "{said}");
    let dataset = |path: &Path| path.components().nth(1).unwrap().as_os_str().to_owned();
    let here = files(&data);
    for (name, bytes) in whole.iter().filter(|(name, _)| dataset(name) == "MD") {
        assert!(here.get(name) == Some(bytes), "{}", name.display());
    }
    fs::write(path, good).unwrap();
    done("archive", &data, &args);
    done("restore", &data, &["--all"]);
    assert_eq!(files(&data), whole);
}

#[test]
fn a_damaged_record_is_told_and_stops_changes() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    done("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
    let path = data.join("_coltape/archived/BTC-USD.jsonl");
    let good = fs::read(&path).unwrap();
    let before = files(&data);
    for at in [0, 40, good.len() / 2, good.len() - 4] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (holds, table) = verify(&data, &[]);
        assert!(!holds && table.contains("is damaged"), "{at}: {table}");
        assert!(refused("restore", &data, &["--all"]).contains("damaged"));
        let output = run("archive", &data, &["--out", text(&out), "--date", &day(1).to_string(), "--apply"]);
        assert!(!output.status.success(), "{}", said(&output));
        assert_eq!(files(&data), before);
    }
    fs::write(&path, good).unwrap();
    assert!(verify(&data, &[]).0);
}

#[test]
fn the_files_of_an_archived_day_are_not_replaced_by_another_tape() {
    let folder = memory_folder();
    let [data, out, other] = ["data", "cold", "other"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    tape(&other, 3, 30);
    done("archive", &data, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    let cold = files(&out);
    let export = coltape().args(["export", "--data-dir"]).arg(&other).arg("--out").arg(&out).output().unwrap();
    assert!(export.status.code() == Some(1) && said(&export).contains("all that is left of an archived day"), "{}", said(&export));
    let told = refused("archive", &other, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    assert!(told.contains("name another folder"), "{told}");
    for (path, bytes) in &cold {
        let is_of_archived = [day(0), day(1)].iter().any(|day| path.to_string_lossy().contains(&day.to_string()));
        if is_of_archived {
            assert_eq!(fs::read(out.join(path)).unwrap(), *bytes, "{}", path.display());
        }
    }
    assert!(verify(&data, &[]).0);
}
