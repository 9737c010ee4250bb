//! `verify` without a ledger: sealed and live days, core columns, flipped bits, late records, and what the journal explains.

#[path = "tape/market.rs"]
mod market;

use std::path::Path;
use std::sync::Arc;

use coltape::product::ProductId;
use coltape::record::Trade;
use coltape::schema::{ColumnSet, Dataset, Trades};
use coltape::store::journal::{Event, JournalFile};
use coltape::store::{Day, DayState, Inserted, OWN_FOLDER, StoreOptions, Syncer};
use coltape::time::{DateFormat, UnixNanos, UtcDay};
use coltape::verify::coverage::Verdict;
use coltape::verify::finding::Kind;
use coltape::verify::report::Report;
use coltape::verify::{VerifyConfig, report_text, verify};

use market::{FIRST_DAY, Print, column_path, data_dir, insert, prints, product, rewrite, store, store_all};

const SECOND: u64 = 1_000_000_000;

fn verified(dir: &Path) -> Report {
    let now = UnixNanos(FIRST_DAY.start().0 + 10 * 86_400 * SECOND);
    verify(&VerifyConfig { dir: dir.to_owned(), product: None, date: None, ledger: None, now }).expect("verified")
}

fn kinds(report: &Report) -> Vec<(Kind, u64)> {
    report.findings.counts().collect()
}

fn verdicts(report: &Report) -> Vec<Verdict> {
    report.days.iter().map(|day| day.coverage.verdict).collect()
}

fn noon(date: UtcDay) -> UnixNanos {
    UnixNanos(date.start().0 + 43_200 * SECOND)
}

fn trades(prints: &[Print]) -> Vec<Trade> {
    prints.iter().map(|print| print.trade).collect()
}

#[test]
fn a_flipped_bit_in_any_sealed_file_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 90, noon(FIRST_DAY), SECOND), StoreOptions::default());
    assert_eq!(kinds(&verified(dir.path())), []);
    let mut files = 0;
    for dataset in Dataset::ALL {
        for name in dataset.columns().iter().map(|column| column.name).chain(["commit"]) {
            let path = column_path(dir.path(), dataset, name, FIRST_DAY);
            let whole = std::fs::read(&path).expect("read");
            let bits = if name == "commit" {
                [3, 511, 2 * 512 + 9, 4 * 512 + 1].map(|byte| byte * 8)
            } else {
                [0, 77, whole.len() * 4, whole.len() * 8 - 1]
            };
            for bit in bits {
                let mut spoilt = whole.clone();
                spoilt[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &spoilt).expect("written");
                let report = verified(dir.path());
                let found = report.findings.count(Kind::Checksum) + report.findings.count(Kind::Unreadable);
                assert!(found > 0, "{} bit {bit}: {:?}", path.display(), report.findings);
            }
            std::fs::write(&path, &whole).expect("written");
            files += 1;
        }
    }
    assert_eq!(files, 13 + 16 + 6 + 3);
    assert_eq!(kinds(&verified(dir.path())), []);
}

#[test]
fn a_column_that_is_too_long_or_too_short_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 9, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let path = column_path(dir.path(), Dataset::Trades, "trade_side", FIRST_DAY);
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, [whole.as_slice(), &[0; 4]].concat()).expect("written");
    assert_eq!(kinds(&verified(dir.path())), [(Kind::Checksum, 1)]);
    std::fs::write(&path, &whole[..32]).expect("written");
    let report = verified(dir.path());
    assert_eq!(kinds(&report), [(Kind::Unreadable, 1)]);
    assert_eq!(verdicts(&report), [Verdict::Unverifiable]);
}

#[test]
fn codes_times_and_sizes_that_mean_nothing_are_found_by_their_columns() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 30, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let at = |name| market::column(Dataset::Trades, name);
    rewrite(dir.path(), Dataset::Trades, FIRST_DAY, |rows| {
        rows[3][at("trade_side")][0] = 2;
        rows[4][at("trade_nanos")] = 1_000_000_000_u32.to_le_bytes().to_vec();
        rows[5][at("trade_size")] = 0_f32.to_le_bytes().to_vec();
        rows[5][at("trade_size_f64")] = 0_f64.to_le_bytes().to_vec();
        rows[6][at("trade_time")] = 1_u32.to_le_bytes().to_vec();
        rows[7][at("trade_id")] = vec![0; 8];
    });
    let report = verified(dir.path());
    let counts =
        [Kind::Side, Kind::Nanos, Kind::NotPositive, Kind::Time, Kind::WrongDay, Kind::IdOrder].map(|kind| report.findings.count(kind));
    assert_eq!(counts, [1, 1, 2, 1, 1, 1], "{:?}", report.findings);
}

#[test]
fn a_live_day_is_verified_with_its_late_records_in_their_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let all = trades(&prints(1, 60, noon(FIRST_DAY), SECOND));
    let (mut day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon(FIRST_DAY)).expect("a day");
    for trade in all.iter().filter(|trade| !(20..25).contains(&trade.trade_id)) {
        insert(&mut day, trade);
    }
    day.commit();
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![(Kind::Missing, 5)], vec![Verdict::Open]));
    for trade in all.iter().filter(|trade| (20..25).contains(&trade.trade_id)) {
        assert_eq!(insert(&mut day, trade), Inserted::Late);
    }
    day.commit();
    let mut syncer = Syncer::new(Arc::clone(&data));
    syncer.watch(day.files());
    syncer.cycle().expect("synced");
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![], vec![Verdict::Partial]));
    let kept = report.days[0].dataset(Dataset::Trades).expect("kept");
    assert_eq!((kept.state, kept.late, kept.sums.records, kept.sums.regressions), (Some(DayState::Live), 5, 60, 0));
    // A durable byte that changed under a live day is found by its slot.
    let path = column_path(dir.path(), Dataset::Trades, "trade_price", FIRST_DAY);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[9] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let report = verified(dir.path());
    assert_eq!((report.findings.count(Kind::Checksum), report.findings.count(Kind::Rounding)), (1, 1));
}

#[test]
fn core_columns_are_verified_and_what_cannot_be_checked_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions { columns: ColumnSet::Core, date_format: DateFormat::Dmy, ..StoreOptions::default() };
    store_all(dir.path(), &prints(1, 30, noon(FIRST_DAY), SECOND), options);
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![], vec![Verdict::Partial]));
    assert_eq!(report.days[0].dataset(Dataset::Trades).and_then(|kept| kept.sums.rounded), None);
    assert_eq!((report.days[0].named, report.days[0].paired.map(|paired| paired.alone)), (None, Some(0)));
    assert!(table(&report).contains("f32 = rounded exact value: not checkable in 2 dataset-days"), "{}", table(&report));
}

#[test]
fn times_that_fall_are_counted_and_no_fault() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = trades(&prints(1, 30, noon(FIRST_DAY), SECOND));
    all[9].time = UnixNanos(all[9].time.0 - 5 * SECOND);
    store::<Trades>(&data_dir(dir.path(), StoreOptions::default()), &product(), &all);
    let report = verified(dir.path());
    assert_eq!(kinds(&report), []);
    assert_eq!(report.days[0].dataset(Dataset::Trades).map(|kept| kept.sums.regressions), Some(1));
}

#[test]
fn the_journal_tells_an_absence_over_midnight_from_a_loss() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let other = ProductId::new("ETH-USD").expect("a product");
    for product in [product(), other] {
        store::<Trades>(&data, &product, &trades(&prints(1, 9, noon(FIRST_DAY), SECOND)));
        store::<Trades>(&data, &product, &trades(&prints(21, 9, noon(FIRST_DAY.next()), SECOND)));
    }
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![(Kind::Missing, 22)], vec![Verdict::Open; 4]));
    let mut journal = JournalFile::new(dir.path(), "journal");
    for (hours, event) in [(11, "capture_started"), (13, "capture_stopped"), (35, "capture_started"), (37, "capture_stopped")] {
        let time = UnixNanos(FIRST_DAY.start().0 + hours * 3600 * SECOND);
        journal.append(time, &Event::new(event).text("sums", "hold")).expect("written");
    }
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![], vec![Verdict::Partial; 4]));
    assert!(table(&report).contains("no capture was running from 2025-06-07T13:00:00"), "{}", table(&report));
    let time = UnixNanos(FIRST_DAY.start().0 + 40 * 3600 * SECOND);
    journal.append(time, &Event::new("capture_stopped").text("sums", "do not hold")).expect("written");
    assert_eq!(kinds(&verified(dir.path())), [(Kind::Sums, 1)]);
}

#[test]
fn a_trade_in_two_days_is_found_without_a_ledger() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    store::<Trades>(&data, &product(), &trades(&prints(1, 9, noon(FIRST_DAY), SECOND)));
    store::<Trades>(&data, &product(), &trades(&prints(8, 9, noon(FIRST_DAY.next()), SECOND)));
    assert_eq!(kinds(&verified(dir.path())), [(Kind::IdTwice, 2)]);
}

fn table(report: &Report) -> String {
    let mut out = Vec::new();
    report_text::write_table(report, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn every_json_line_is_json_and_the_last_one_is_the_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 30, noon(FIRST_DAY), SECOND), StoreOptions::default());
    rewrite(dir.path(), Dataset::Trades, FIRST_DAY, |rows| {
        rows.remove(4);
    });
    let mut out = Vec::new();
    report_text::write_json(&verified(dir.path()), &mut out).expect("written");
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named: Vec<&str> = lines.iter().filter_map(|line| line["line"].as_str()).collect();
    assert_eq!(named, ["day", "hole", "finding", "summary"]);
    assert_eq!((lines[0]["verdict"].as_str(), lines[0]["trades"]["records"].as_u64()), (Some("open"), Some(29)));
    assert_eq!((lines[1]["from_id"].as_u64(), lines[1]["to_id"].as_u64()), (Some(5), Some(5)));
    assert_eq!((lines[2]["kind"].as_str(), lines[2]["date"].as_str()), (Some("missing"), Some("2025-06-07")));
    assert_eq!((lines[3]["holds"].as_bool(), lines[3]["findings"]["missing"].as_u64()), (Some(false), Some(1)));
}

#[test]
fn verifying_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 30, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let listing = || {
        let mut found = Vec::new();
        let mut folders = vec![dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("listed") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { found.push((path.clone(), std::fs::read(path).expect("read"))) }
            }
        }
        found.sort();
        found
    };
    let before = listing();
    assert!(before.iter().any(|(path, _)| path.ends_with(format!("{OWN_FOLDER}/lock"))));
    verified(dir.path());
    assert!(before == listing());
}
