//! An archive or a restore that ends early, by a kill at any step or a full disk: no day is nowhere, and the next run finishes it.
//!
//! The test runs itself again as a child, which aborts at the step it is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::internals::schema::{ColumnSet, Trades};
use coltape::internals::store::probe::{Probe, Verdict};
use coltape::internals::store::{Snapshot, StoreOptions};
use coltape::{ArchiveConfig, Clock, RestoreConfig, archive, restore};

use super::{day, done, files, files_of, market, refused, tape, text};
use crate::capture::programs::{await_that, coltape, verify};
use crate::export::ended::SmallDisk;
use crate::market::store_all;
use crate::repair::tape::{copy_folder, memory_folder};

const STEP: &str = "COLTAPE_TEST_DIE_AT";
const FOLDER: &str = "COLTAPE_TEST_FOLDER";
const BACK: &str = "COLTAPE_TEST_BACK";
/// How the child ends when there was no such step.
const LIVED: i32 = 42;

fn archive_config(folder: &Path) -> ArchiveConfig {
    let mut config = ArchiveConfig::new(folder.join("data"), folder.join("cold"), Clock::System.now());
    config.dates = vec![day(0)];
    config.apply = true;
    config
}

fn restore_config(folder: &Path) -> RestoreConfig {
    let mut config = RestoreConfig::new(folder.join("data"), Clock::System.now());
    // The folder is a copy of the one that was archived from.
    config.archive = Some(folder.join("cold"));
    config
}

/// The child: archives or restores, and dies at the step it was told.
#[test]
fn child_of_a_killed_archive() {
    let (Ok(step), Ok(folder)) = (std::env::var(STEP), std::env::var(FOLDER)) else { return };
    let (step, seen): (u64, _) = (step.parse().unwrap(), AtomicU64::new(0));
    let probe = Some(Probe::new(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == step {
            std::process::abort();
        }
        Verdict::Go
    }));
    let folder = Path::new(&folder);
    let report = if std::env::var(BACK).is_ok() {
        let mut config = restore_config(folder);
        config.probe = probe;
        restore(&config)
    } else {
        let mut config = archive_config(folder);
        config.probe = probe;
        archive(&config)
    };
    assert_eq!(report.unwrap().failures, [""; 0]);
    std::process::exit(LIVED);
}

/// Runs the child. Tells whether it died.
fn died_at(step: u64, folder: &Path, back: bool) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "archive::ended::child_of_a_killed_archive"]).env(STEP, step.to_string()).env(FOLDER, folder);
    if back {
        child.env(BACK, "1");
    }
    child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code() != Some(LIVED)
}

/// Asserts that a day is here as it was, or can be brought back as it was.
fn assert_is_somewhere(folder: &Path, whole: &BTreeMap<PathBuf, Vec<u8>>, step: u64) {
    let data = folder.join("data");
    let here = files_of(&data, day(0));
    assert!(here.iter().all(|(path, bytes)| path.extension().is_some_and(|end| end == "tmp") || whole[path] == *bytes), "step {step}");
    for dataset in ["TRADES", "MD", "TICKER_TRADES"] {
        let is_of = |path: &&PathBuf| path.to_string_lossy().contains(&format!("/{dataset}/"));
        if whole.keys().filter(is_of).all(|path| here.contains_key(path)) {
            continue;
        }
        let look = folder.join("look");
        let mut config = restore_config(folder);
        config.into = Some(look.clone());
        let report = restore(&config).unwrap_or_else(|error| panic!("step {step}, {dataset}: {error}"));
        assert_eq!(report.failures, [""; 0], "step {step}, {dataset}");
        assert_eq!(files(&look), *whole, "step {step}, {dataset}");
        fs::remove_dir_all(&look).unwrap();
    }
}

/// Asserts that a reader of a day that is half removed or half back finds all of its trades or no day.
fn assert_is_whole_or_none(folder: &Path, step: u64) {
    match Snapshot::<Trades>::open(&folder.join("data"), &crate::market::product(), day(0)) {
        Ok(Some(day)) => assert_eq!((day.count(), day.columns().len()), (12, 8), "step {step}"),
        Ok(None) => {}
        Err(error) => panic!("step {step}: {error}"),
    }
}

/// A product-day of few columns, and a second day.
fn prepared() -> (tempfile::TempDir, BTreeMap<PathBuf, Vec<u8>>) {
    let folder = memory_folder();
    store_all(&folder.path().join("start/data"), &market(2, 12), StoreOptions::default().columns(ColumnSet::Core));
    let whole = files_of(&folder.path().join("start/data"), day(0));
    assert_eq!(whole.len(), 24);
    (folder, whole)
}

#[test]
fn an_archive_that_is_killed_between_any_two_steps_is_finished_by_the_next_one() {
    let (folder, whole) = prepared();
    let mut steps = 0;
    loop {
        let at = folder.path().join("at");
        copy_folder(&folder.path().join("start"), &at);
        let has_died = died_at(steps, &at, false);
        assert_is_whole_or_none(&at, steps);
        assert_is_somewhere(&at, &whole, steps);
        let report = archive(&archive_config(&at)).unwrap();
        assert_eq!(report.failures, [""; 0], "step {steps}");
        assert!(files_of(&at.join("data"), day(0)).is_empty(), "step {steps}: {:?}", files_of(&at.join("data"), day(0)).keys());
        assert!(verify(&at.join("data"), &[]).0, "step {steps}");
        assert_is_somewhere(&at, &whole, steps);
        fs::remove_dir_all(&at).unwrap();
        if !has_died {
            break;
        }
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps");
}

#[test]
fn a_restore_that_is_killed_between_any_two_steps_is_finished_by_the_next_one() {
    let (folder, whole) = prepared();
    let start = folder.path().join("start");
    assert_eq!(archive(&archive_config(&start)).unwrap().failures, [""; 0]);
    let mut steps = 0;
    loop {
        let at = folder.path().join("at");
        copy_folder(&start, &at);
        // What is known of the day names the archive by its path.
        let has_died = died_at(steps, &at, true);
        assert_is_whole_or_none(&at, steps);
        assert_is_somewhere(&at, &whole, steps);
        match restore(&restore_config(&at)) {
            Ok(report) => assert_eq!(report.failures, [""; 0], "step {steps}"),
            Err(error) => assert!(error.to_string().contains("nothing archived"), "step {steps}: {error}"),
        }
        assert_eq!(files_of(&at.join("data"), day(0)), whole, "step {steps}");
        assert!(verify(&at.join("data"), &[]).0, "step {steps}");
        fs::remove_dir_all(&at).unwrap();
        if !has_died {
            break;
        }
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps");
}

#[test]
fn kill_9_at_any_moment_leaves_every_day_somewhere() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 4, 300);
    let whole = files(&data);
    let mut seed = 11u64;
    for round in 0..8 {
        let command = if round % 2 == 0 { "archive" } else { "restore" };
        let args: &[&str] = if round % 2 == 0 { &["--older-than", "1d", "--apply", "--out", text(&out)] } else { &["--all"] };
        let mut child =
            coltape().arg(command).arg("--data-dir").arg(&data).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mark = if round % 2 == 0 { out.join("_coltape_archive") } else { data.join(format!("BTC-USD/MD/time.{}.bin.tmp", day(0))) };
        await_that("it is at work, or has ended", || mark.exists() || child.try_wait().unwrap().is_some());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (0..seed >> 42).for_each(|_| std::hint::spin_loop());
        let _ = child.kill();
        child.wait().unwrap();
        // Every day is here, or can be brought back.
        let look = folder.path().join("look");
        let output = super::run("restore", &data, &["--all", "--into", text(&look)]);
        let nothing = super::said(&output).contains("nothing archived");
        assert!(output.status.success() || nothing, "{}", super::said(&output));
        let (here, there) = (files(&data), files(&look));
        for (path, bytes) in &whole {
            assert!(here.get(path) == Some(bytes) || there.get(path) == Some(bytes), "round {round}: {} is nowhere", path.display());
        }
        let _ = fs::remove_dir_all(&look);
        done("archive", &data, &["--older-than", "1d", "--apply", "--out", text(&out)]);
        if round % 2 == 1 {
            done("restore", &data, &["--all"]);
            assert_eq!(files(&data), whole, "round {round}");
        }
    }
}

#[test]
fn a_full_disk_ends_it_and_every_day_stays_where_it_is() {
    let folder = memory_folder();
    let data = folder.path().join("data");
    tape(&data, 3, 3_000);
    let whole = files(&data);
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "3m") else { return };
    let room = |left: u64| {
        let filler = disk.0.join("filler");
        let _ = fs::remove_file(&filler);
        let free = rustix::fs::statfs(&disk.0).unwrap();
        let free = u64::try_from(free.f_bsize).unwrap() * free.f_bfree;
        fs::write(filler, vec![0; usize::try_from(free.saturating_sub(left)).unwrap()]).unwrap();
    };
    let out = disk.0.join("cold");
    let args = ["--older-than", "1d", "--apply", "--out", text(&out)];
    for left in [8 << 10, 40 << 10, 90 << 10, 150 << 10] {
        room(left);
        let said = refused("archive", &data, &args);
        assert!(said.contains("o space left"), "{left}: {said}");
        let here = files(&data);
        let missing: Vec<_> = whole.keys().filter(|path| !here.contains_key(*path)).collect();
        assert!(missing.is_empty(), "{left}: {missing:?}");
    }
    fs::remove_file(disk.0.join("filler")).unwrap();
    done("archive", &data, &args);
    // A restore wants room for the whole day before it begins.
    let small = disk.0.join("small");
    room(300 << 10);
    let said = refused("restore", &data, &["--all", "--into", text(&small)]);
    assert!(said.contains("no space left for"), "{said}");
    fs::remove_file(disk.0.join("filler")).unwrap();
    done("restore", &data, &["--all"]);
    assert_eq!(files(&data), whole);
}
