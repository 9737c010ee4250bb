//! What happens meanwhile: a day that changes between two steps, a capture that runs, records that come for a day that is archived, another directory that
//! uses the same archive.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coltape::internals::record::Trade;
use coltape::internals::schema::Trades;
use coltape::internals::store::probe::{Probe, Step, Verdict};
use coltape::internals::store::{Day, Snapshot, StoreOptions, seal};
use coltape::internals::time::UnixNanos;
use coltape::{ArchiveConfig, Clock, archive};

use super::{day, done, files, files_of, market, refused, run, said, tape, text};
use crate::capture::programs::{Capture, Simulator, await_that, coltape, journal, verify};
use crate::market::{data_dir, insert, prints, product, store, store_all};
use crate::repair::tape::{copy_folder, memory_folder};

/// Adds a trade to the first day, and seals it again.
fn add_late(data: &std::path::Path, trade: &Trade) {
    let dir = data_dir(data, StoreOptions::default());
    let (mut open, _) = Day::<Trades>::open(&dir, &product(), day(0), UnixNanos(u64::MAX)).unwrap();
    insert(&mut open, trade);
    open.commit();
    assert!(seal::seal(&dir, vec![open.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
}

/// A tape whose first day lacks a trade, and that trade.
fn lacking(data: &std::path::Path) -> Trade {
    let mut all = market(3, 60);
    let lost = all.remove(30).trade;
    store_all(data, &all, StoreOptions::default());
    lost
}

#[test]
fn a_day_that_changes_meanwhile_stays_with_what_came() {
    for moment in ["days exported", "day packed", "record written"] {
        let folder = memory_folder();
        let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
        let lost = lacking(&data);
        let mut config = ArchiveConfig::new(&data, &out, Clock::System.now());
        (config.dates, config.apply) = (vec![day(0)], true);
        let has_changed = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (path, once) = (data.clone(), Arc::clone(&has_changed));
        config.probe = Some(Probe::new(move |step| {
            if step == Step::Changed(moment) && !once.swap(true, std::sync::atomic::Ordering::Relaxed) {
                add_late(&path, &lost);
            }
            Verdict::Go
        }));
        let report = archive(&config).unwrap();
        assert!(has_changed.load(std::sync::atomic::Ordering::Relaxed), "{moment}");
        assert!(report.days.is_empty() && !report.failures.is_empty(), "{moment}: {report:?}");
        assert!(!report.failures.iter().any(|why| why.contains("in use")), "{moment}: {report:?}");
        if moment == "record written" {
            let [why] = report.failures.as_slice() else { panic!("{report:?}") };
            assert!(why.contains("is not the file that was archived") && why.contains("coltape restore BTC-USD --date"), "{why}");
        }
        let here = Snapshot::<Trades>::open(&data, &product(), day(0)).unwrap().unwrap();
        assert_eq!(here.count(), 60, "{moment}");
        assert!(here.number_of_id(lost.trade_id).is_some(), "{moment}: the trade that came");
        drop(here);
        if moment != "days exported" {
            // The record tells of a day that is no more. Its archive is not believed, the day here is whole, and a restore forgets the other one.
            assert!(refused("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]).contains("other records"));
            done("restore", &data, &["--date", &day(0).to_string()]);
        }
        let before = files(&data);
        config.probe = None;
        let report = archive(&config).unwrap();
        assert_eq!((report.days.len(), report.failures.as_slice()), (1, &[][..]), "{moment}: the next run");
        done("restore", &data, &["--all"]);
        assert_eq!(files(&data), before, "{moment}");
    }
}

#[test]
fn records_that_come_for_an_archived_day_are_kept_and_put_together_with_it() {
    let folder = memory_folder();
    let [data, out, other] = ["data", "cold", "other"].map(|name| folder.path().join(name));
    let lost = lacking(&data);
    done("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
    add_late(&data, &lost);
    let alone = files_of(&data, day(0));
    let (holds, table) = verify(&data, &[]);
    assert!(!holds && table.contains("other records of it are here"), "{table}");
    let cold = files(&out);
    // Nobody takes the one trade for the day.
    let told = refused("archive", &data, &["--out", text(&out), "--date", &day(0).to_string(), "--apply"]);
    assert!(told.contains("restore --into"), "{told}");
    let export = coltape().args(["export", "--data-dir"]).arg(&data).arg("--out").arg(&out).output().unwrap();
    assert!(export.status.code() == Some(1) && said(&export).contains("all that is left"), "{}", said(&export));
    assert!(refused("restore", &data, &["--all"]).contains("has other records here"));
    let is_of_trades = |path: &std::path::Path| path.starts_with("dataset=trades") || path.to_string_lossy().contains("/TRADES/");
    for (path, bytes) in cold.iter().filter(|(path, _)| is_of_trades(path)) {
        assert_eq!(fs::read(out.join(path)).unwrap(), *bytes);
    }
    assert!(alone.iter().all(|(path, bytes)| fs::read(data.join(path)).unwrap() == *bytes));
    // As the message says.
    done("restore", &data, &["--all", "--into", text(&other)]);
    let repair = coltape().arg("repair").arg(&data).args(["--no-rest", "--from"]).arg(&other).output().unwrap();
    assert!(repair.status.success(), "{}{}", String::from_utf8_lossy(&repair.stdout), said(&repair));
    done("restore", &data, &["--all"]);
    let (holds, table) = verify(&data, &[]);
    assert!(holds && !table.contains("archived"), "{table}");
    assert_eq!(Snapshot::<Trades>::open(&data, &product(), day(0)).unwrap().unwrap().count(), 60);
}

#[test]
fn a_running_capture_removes_the_files_and_puts_them_back_and_goes_on() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    let old = coltape::ProductId::new("ETH-USD").unwrap();
    let trades: Vec<Trade> = prints(1, 300, UnixNanos(day(0).start().0 + 1), 700_000_000_000).iter().map(|print| print.trade).collect();
    store::<Trades>(&data_dir(&data, StoreOptions::default()), &old, &trades);
    fs::remove_file(data.join("_coltape/endpoint")).unwrap();
    let whole = files(&data);
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "100", "--duration", "10m"]);
    let url = simulator.websocket();
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &url, "--rest-url", &rest]);
    let count = || {
        let today = coltape::dates(&data, &product(), coltape::Dataset::Trades).ok().and_then(|dates| dates.last().copied());
        today.and_then(|date| Snapshot::<Trades>::open(&data, &product(), date).ok().flatten()).map_or(0, |day| day.count())
    };
    await_that("it records", || count() > 20);
    let of_old = |found: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        found.into_iter().filter(|(path, _)| path.starts_with("ETH-USD")).collect::<std::collections::BTreeMap<_, _>>()
    };
    let dates = [day(0), day(1)].map(|day| day.to_string()).join(",");
    let last = done("archive", &data, &["ETH-USD", "--out", text(&out), "--date", &dates, "--apply"]);
    assert!(last.starts_with("2 days moved"), "{last}");
    let left = of_old(files(&data));
    assert!(!left.keys().any(|path| [day(0), day(1)].iter().any(|day| path.to_string_lossy().contains(&day.to_string()))));
    assert_eq!(journal(&data, "day_archived").len(), 2);
    // A day that the capture has open is not sealed, and stays.
    let today = coltape::dates(&data, &product(), coltape::Dataset::Trades).unwrap().last().unwrap().to_string();
    let output = run("archive", &data, &["BTC-USD", "--out", text(&out), "--date", &today, "--apply"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("a capture holds the directory"), "{}", said(&output));
    done("restore", &data, &["ETH-USD"]);
    assert_eq!(of_old(files(&data)), of_old(whole));
    assert_eq!(journal(&data, "day_returned").len(), 2);
    let before = count();
    await_that("it still records", || count() > before);
    capture.stop().assert_good();
    // Nobody has journaled the made-up days.
    let (_, found) = verify(&data, &["--json"]);
    let findings = found.lines().filter(|line| line.contains("\"line\":\"finding\""));
    assert!(findings.clone().all(|line| line.contains("\"kind\":\"journal\"")), "{found}");
}

#[test]
fn two_archives_of_one_tape_are_refused() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    fs::create_dir_all(data.join("_coltape/archived")).unwrap();
    let held = fs::File::open(data.join("_coltape/archived")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for (command, args) in [("archive", &["--out", text(&out), "--apply"][..]), ("restore", &["--all"])] {
        let told = refused(command, &data, args);
        let holder =
            format!("another `coltape archive` or `coltape restore` (process {}) is at work in {}", std::process::id(), data.display());
        assert!(told.contains(&holder) && told.contains("when it has ended"), "{command}: {told}");
    }
    drop(held);
    done("archive", &data, &["--out", text(&out), "--apply"]);
}

#[test]
fn of_two_tapes_that_archive_one_day_into_one_folder_at_once_neither_loses_it() {
    for moment in ["days chosen", "days exported"] {
        let folder = memory_folder();
        let [data, other, out] = ["data", "other", "cold"].map(|name| folder.path().join(name));
        tape(&data, 3, 60);
        tape(&other, 3, 30);
        let (whole, of_other) = (files(&data), files(&other));
        let config = |dir: &std::path::Path| {
            let mut config = ArchiveConfig::new(dir, &out, Clock::System.now());
            (config.dates, config.apply) = (vec![day(0)], true);
            config
        };
        let (first, has_run) = (config(&data), AtomicBool::new(false));
        let mut second = config(&other);
        second.probe = Some(Probe::new(move |step| {
            if matches!(step, Step::Changed(what) if what == moment) && !has_run.swap(true, Ordering::Relaxed) {
                assert_eq!(archive(&first).unwrap().failures, [""; 0]);
            }
            Verdict::Go
        }));
        let report = archive(&second).unwrap();
        assert!(report.days.is_empty() && report.failures.iter().any(|why| why.contains("name another folder")), "{moment}: {report:?}");
        assert!(files_of(&data, day(0)).is_empty(), "{moment}: the first one has archived it");
        assert_eq!(files(&other), of_other, "{moment}");
        assert!(verify(&data, &[]).0, "{moment}");
        done("restore", &data, &["--all"]);
        assert_eq!(files(&data), whole, "{moment}");
    }
}

#[test]
fn a_restore_of_days_of_another_directory_leaves_them_in_the_archive() {
    let folder = memory_folder();
    let [data, other, out] = ["data", "other", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let whole = files(&data);
    done("archive", &data, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    // A directory without these days, and without a record of them.
    copy_folder(&data.join("_coltape"), &other.join("_coltape"));
    fs::remove_dir_all(other.join("_coltape/archived")).unwrap();
    let cold = files(&out);
    done("restore", &other, &["--all", "--archive", text(&out)]);
    assert!(files_of(&other, day(0)).len() > 10);
    assert_eq!(files(&out), cold);
    assert!(verify(&data, &[]).0);
    done("restore", &data, &["--all"]);
    assert_eq!(files(&data), whole);
}

#[test]
fn two_restores_into_one_directory_are_refused() {
    let folder = memory_folder();
    let [data, out, into] = ["data", "cold", "into"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    done("archive", &data, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    fs::create_dir_all(into.join("_coltape/archived")).unwrap();
    let held = fs::File::open(into.join("_coltape/archived")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let told = refused("restore", &data, &["--all", "--into", text(&into)]);
    assert!(told.contains("is at work in") && told.contains(text(&into)), "{told}");
    drop(held);
    done("restore", &data, &["--all", "--into", text(&into)]);
}

#[test]
fn an_archive_whose_disk_is_not_mounted_gets_no_other_day() {
    let folder = memory_folder();
    let [data, out, away] = ["data", "cold", "away"].map(|name| folder.path().join(name));
    tape(&data, 4, 60);
    let whole = files(&data);
    let date = |number: u32| day(number).to_string();
    done("archive", &data, &["--out", text(&out), "--date", &date(0), "--apply"]);
    fs::rename(&out, &away).unwrap();
    let before = files(&data);
    // The empty folder on which a disk is mounted, or none at all.
    for has_folder in [false, true] {
        if has_folder {
            fs::create_dir(&out).unwrap();
        }
        for args in [&["--apply"][..], &[]] {
            let told = refused("archive", &data, &[&["--out", text(&out), "--date", &date(1)], args].concat());
            assert!(told.contains("holds none of the 3 days that were archived there: mount its disk"), "{told}");
        }
        assert_eq!(files(&data), before);
        assert_eq!(fs::read_dir(&out).map_or(0, Iterator::count), 0);
    }
    // Another folder may be named. When the disk is there again, all goes on.
    done("archive", &data, &["--out", text(&folder.path().join("other")), "--date", &date(1), "--apply"]);
    fs::remove_dir(&out).unwrap();
    fs::rename(&away, &out).unwrap();
    done("archive", &data, &["--out", text(&out), "--date", &date(2), "--apply"]);
    done("restore", &data, &["--all"]);
    assert_eq!(files(&data), whole);
}

#[test]
fn root_is_told_that_the_directory_is_another_users() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let args = ["--out", text(&out), "--older-than", "1d", "--apply"];
    let told = said(&run("archive", &data, &args));
    assert!(!told.contains("sudo"), "{told}");
    std::os::unix::fs::chown(&data, Some(12_345), None).unwrap();
    let told = said(&run("restore", &data, &["--all"]));
    assert_eq!(told.matches("sudo -u '#12345' coltape").count(), 1, "{told}");
}
