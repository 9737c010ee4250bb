//! What may happen to a tape and leaves it whole: `verify` says the same of it as before.

use std::path::Path;

use coltape::internals::store::OWN_FOLDER;
use coltape::internals::time::UtcDay;
use coltape::internals::verify::{Report, Verdict, VerifyConfig, verify};

use super::tape::{NOW, Spec, State};

/// What is done to a tape. Tells whether it could be.
type Oddity = fn(&Path, &Spec, &mut fastrand::Rng) -> bool;

/// Every kind, by name.
pub(crate) const ODDITIES: &[(&str, Oddity)] = &[
    ("a copy, file by file", copied),
    ("files of others", foreign_files),
    ("files with names of a later version", later_columns),
    ("folders without a record", empty_folders),
    ("a product on another disk", linked_product),
    ("a column on another disk", linked_column),
    ("temporary files of a replacement", temporary_files),
    ("a status that cannot be read", broken_status),
    ("blank lines in a journal", blank_lines),
    ("a journal of a later day, without a line", |dir, _, _| write(&dir.join(OWN_FOLDER).join("journal.2025-07-03.jsonl"), "")),
    ("journals that log rotation has copied", copied_journals),
    ("files in quarantine", quarantine),
    ("exact texts of records that were never stored", texts_of_none),
    ("an alert", |dir, _, _| line(dir, r#""event":"alert_raised","alert":"lag","subject":"","text":"3 s""#)),
    ("a capture that began and ended without a record", idle_capture),
    ("a capture that was killed before its first record", |dir, _, _| {
        line(dir, r#""event":"capture_started","endpoint":"exchange wss://test","products":1,"version":"0.1.0""#)
    }),
];

fn write(path: &Path, text: &str) -> bool {
    std::fs::write(path, text).expect("written");
    true
}

/// Adds a line to the journal of a day behind all others.
fn line(dir: &Path, fields: &str) -> bool {
    let line = format!("{{\"time\":\"2025-06-20T10:00:00Z\",{fields}}}\n");
    super::tape::append(&dir.join(OWN_FOLDER).join("journal.2025-06-20.jsonl"), &line);
    true
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("copied");
        }
    }
}

fn copied(dir: &Path, spec: &Spec, _: &mut fastrand::Rng) -> bool {
    // Of a day that is copied while it grows what was not on disk yet is lost.
    if spec.products.iter().flat_map(|product| &product.days).any(|day| day.state == State::LiveUnsynced) {
        return false;
    }
    let copy = dir.with_extension("copy");
    copy_all(dir, &copy);
    std::fs::remove_dir_all(dir).expect("removed");
    std::fs::rename(copy, dir).expect("renamed");
    true
}

/// The folders of the datasets.
fn folders(dir: &Path, spec: &Spec) -> Vec<std::path::PathBuf> {
    let of_product = |product: &super::tape::ProductSpec| {
        let folder = dir.join(product.product.as_str());
        spec.datasets.iter().map(move |dataset| folder.join(dataset.folder())).collect::<Vec<_>>()
    };
    spec.products.iter().flat_map(of_product).filter(|folder| folder.is_dir()).collect()
}

fn foreign_files(dir: &Path, spec: &Spec, _: &mut fastrand::Rng) -> bool {
    for folder in folders(dir, spec).iter().map(|folder| folder.as_path()).chain([dir, &dir.join(OWN_FOLDER)]) {
        for name in [".DS_Store", "README.txt", "trade_id.bin", "commit.2025-06-07.bin.bak", "2025-06-07.bin", "commit.yesterday.bin"] {
            write(&folder.join(name), "not ours");
        }
        std::fs::create_dir_all(folder.join("lost+found")).expect("made");
    }
    true
}

fn later_columns(dir: &Path, spec: &Spec, _: &mut fastrand::Rng) -> bool {
    folders(dir, spec).iter().all(|folder| write(&folder.join("moon_phase.2025-06-07.bin"), "12345678"))
}

fn empty_folders(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    for folder in ["DOGE-USD", "SOL-USD/TRADES", "SOL-USD/MD", "BTC-USD/ORDERS", "not a product"] {
        std::fs::create_dir_all(dir.join(folder)).expect("made");
    }
    true
}

fn linked_product(dir: &Path, spec: &Spec, _: &mut fastrand::Rng) -> bool {
    let name = spec.products[0].product.as_str();
    let (here, there) = (dir.join(name), dir.with_extension("disk"));
    std::fs::rename(&here, &there).expect("renamed");
    std::os::unix::fs::symlink(&there, &here).expect("linked");
    true
}

fn linked_column(dir: &Path, spec: &Spec, rng: &mut fastrand::Rng) -> bool {
    let folders = folders(dir, spec);
    let folder = rng.choice(&folders).expect("a folder");
    let files: Vec<_> = std::fs::read_dir(folder).expect("listed").flatten().map(|entry| entry.path()).collect();
    let here = rng.choice(&files).expect("a file");
    let there = dir.with_extension("file");
    std::fs::rename(here, &there).expect("renamed");
    std::os::unix::fs::symlink(&there, here).expect("linked");
    true
}

fn temporary_files(dir: &Path, spec: &Spec, _: &mut fastrand::Rng) -> bool {
    // Those of a replacement that is under way count.
    if spec.products.iter().flat_map(|product| &product.days).any(|day| matches!(day.state, State::Replacing { .. })) {
        return false;
    }
    for folder in folders(dir, spec) {
        let names: Vec<_> = std::fs::read_dir(&folder).expect("listed").flatten().map(|entry| entry.path()).collect();
        for path in names.iter().filter(|path| path.extension().is_some_and(|end| end == "bin")) {
            write(&path.with_extension("bin.tmp"), "half of a file");
        }
    }
    true
}

fn broken_status(dir: &Path, _: &Spec, rng: &mut fastrand::Rng) -> bool {
    let own = dir.join(OWN_FOLDER);
    write(&own.join("status.json.tmp"), "{");
    if rng.bool() { write(&own.join("status.json"), "\0\0{") } else { std::fs::create_dir(own.join("status.json")).is_ok() }
}

fn blank_lines(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    for (_, path) in journals(dir) {
        let text = std::fs::read_to_string(&path).expect("read");
        write(&path, &text.replace('\n', "\n\n"));
    }
    true
}

fn journals(dir: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = std::fs::read_dir(dir.join(OWN_FOLDER)).expect("listed").flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(name, _)| name.starts_with("journal.")).collect()
}

fn copied_journals(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    for (name, path) in journals(dir) {
        for end in ["1", "gz", "aside-1"] {
            std::fs::copy(&path, path.with_file_name(format!("{name}.{end}"))).expect("copied");
        }
    }
    true
}

fn quarantine(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    let folder = dir.join(OWN_FOLDER).join("quarantine/BTC-USD/TRADES");
    std::fs::create_dir_all(&folder).expect("made");
    write(&folder.join("trade_id.2025-06-07.bin"), "12345678")
}

fn texts_of_none(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    let text = r#"{"time":"2025-06-07T10:00:00Z","event":"exact","product":"ETH-USD","column":"trade_price_f64","key":0,"text":"0.12345678901234567890123"}"#;
    super::tape::append(&dir.join(OWN_FOLDER).join("exact.2025-06-07.jsonl"), &format!("{text}\n"));
    true
}

fn idle_capture(dir: &Path, _: &Spec, _: &mut fastrand::Rng) -> bool {
    line(dir, r#""event":"capture_started","endpoint":"exchange wss://test","products":1,"version":"0.1.0""#);
    line(
        dir,
        r#""event":"capture_stopped","frames":0,"trades_received":0,"trades_fetched":0,"trades_written":0,"trades_late":0,"trades_duplicate":0,"trades_conflict":0,"trades_shed":0,"trades_rejected":0,"sums":"hold","failure":"""#,
    )
}

fn verdicts(report: &Report) -> Vec<(String, UtcDay, Verdict)> {
    report.days.iter().map(|day| (day.product.to_string(), day.date, day.coverage.verdict)).collect()
}

/// Does something to a tape that leaves it whole. Gives what it was and what `verify` says otherwise than before, by the whole and by the day.
pub(crate) fn changed(dir: &Path, spec: &Spec, before: &Report, kind: usize, rng: &mut fastrand::Rng) -> Option<(String, Report)> {
    let (name, act) = ODDITIES[kind % ODDITIES.len()];
    if !act(dir, spec, rng) {
        return None;
    }
    let report = super::tape::verified(dir);
    if !report.holds() || verdicts(&report) != verdicts(before) {
        return Some((name.to_owned(), report));
    }
    let day = rng.choice(&before.days)?;
    let mut config = VerifyConfig::new(dir, NOW);
    config.date = Some(day.date);
    config.product = rng.bool().then(|| day.product.clone());
    let of_day = verify(&config).expect("verified");
    let mut expected = verdicts(before);
    expected.retain(|(product, date, _)| *date == day.date && config.product.as_ref().is_none_or(|only| only.as_str() == product));
    (!of_day.holds() || verdicts(&of_day) != expected)
        .then(|| (format!("{name}, and {:?} {:?} asked for", config.product, config.date), of_day))
}
