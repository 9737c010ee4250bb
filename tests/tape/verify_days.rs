//! `verify` without a ledger: sealed and live days, core columns, flipped bits, late records, and what the journal explains.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{ColumnSet, Dataset, Trades};
use coltape::internals::store::event::{Event, SumCheck};
use coltape::internals::store::journal::{JOURNAL, JournalFile};
use coltape::internals::store::{Day, DayState, Inserted, OWN_FOLDER, Opening, StoreOptions, Syncer, seal};
use coltape::internals::time::{DateFormat, UnixNanos, UtcDay};
use coltape::internals::verify::{FindingKind, Report, Verdict, VerifyConfig, verify, write_json, write_table};

use crate::market::{self, FIRST_DAY, Print, column_path, data_dir, insert, prints, product, rewrite, store, store_all};

const SECOND: u64 = 1_000_000_000;

fn verified(dir: &Path) -> Report {
    let now = UnixNanos(FIRST_DAY.start().0 + 10 * 86_400 * SECOND);
    verify(&VerifyConfig::new(dir, now)).expect("verified")
}

fn kinds(report: &Report) -> Vec<(FindingKind, u64)> {
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

/// Copies a directory as it is, as to another machine.
fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let new = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_all(&path, &new);
        } else {
            std::fs::copy(&path, &new).expect("copied");
        }
    }
}

/// The files of the tape below a directory.
fn tape_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(OWN_FOLDER) => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// A directory with days sealed in every way: at once, after being opened again in place, and replaced because late records came.
fn sealed_in_every_way(dir: &Path) {
    store_all(dir, &prints(1, 12, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let data = data_dir(dir, StoreOptions::default());
    let all = trades(&prints(13, 12, noon(FIRST_DAY.next()), SECOND));
    let (in_time, late) = all.split_at(8);
    store::<Trades>(&data, &product(), in_time);
    // The same day is today's: sealed by a stop, opened again by a start.
    store::<Trades>(&data, &product(), late.get(2..).expect("some"));
    let (mut day, opening) = Day::<Trades>::open(&data, &product(), FIRST_DAY.next(), UnixNanos(u64::MAX)).expect("a day");
    assert_eq!(opening, Opening::Sealed { records: 10 });
    for trade in late.get(..2).expect("some") {
        assert_eq!(insert(&mut day, trade), Inserted::Late);
    }
    // Sealed and open for late records it is verified, too.
    day.commit();
    let report = verified(dir);
    assert_eq!((kinds(&report), report.days[1].dataset(Dataset::Trades).map(|kept| kept.late)), (vec![], Some(2)));
    let sealed = seal::seal(&data, vec![day.close()]).pop().expect("one").sealed.expect("sealed");
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (12, 2, 1));
}

/// Changes one bit and tells whether that was found.
fn is_found(dir: &Path, path: &Path, whole: &[u8], bit: usize) -> bool {
    let mut changed = whole.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(path, &changed).expect("written");
    !verified(dir).holds()
}

#[test]
fn a_changed_bit_anywhere_in_a_sealed_day_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    sealed_in_every_way(dir.path());
    assert_eq!(kinds(&verified(dir.path())), []);
    let seed = std::env::var("COLTAPE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("COLTAPE_SEED={seed}");
    let files = tape_files(dir.path());
    // Each dataset-day has its columns and a page; there are two days of trades.
    let columns: usize = Dataset::ALL.into_iter().map(|dataset| dataset.columns().len()).sum();
    assert_eq!(files.len(), columns + 3 + Dataset::Trades.columns().len() + 1, "{files:?}");
    // Each thread changes and verifies a copy of its own. A copy must hold wherever it is.
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let tried: usize = std::thread::scope(|scope| {
        let work = |worker: usize| {
            let copy = tempfile::tempdir().expect("a folder");
            copy_all(dir.path(), copy.path());
            assert_eq!(kinds(&verified(copy.path())), [], "a copied day holds");
            let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(worker as u64));
            let mut tried = 0;
            for path in files.iter().map(|path| copy.path().join(path.strip_prefix(dir.path()).expect("below"))) {
                let whole = std::fs::read(&path).expect("read");
                assert!(!whole.is_empty());
                // Every byte of the columns; of each page, whose every byte is tried by the sectors' own test, one of four.
                let step = if whole.len() == 4096 { 4 } else { 1 };
                for byte in (worker * step..whole.len()).step_by(workers * step) {
                    let bit = byte * 8 + rng.usize(..8 * step);
                    assert!(is_found(copy.path(), &path, &whole, bit), "seed {seed}: bit {bit} of {}", path.display());
                    tried += 1;
                }
                std::fs::write(&path, &whole).expect("written");
            }
            assert_eq!(kinds(&verified(copy.path())), []);
            tried
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().expect("done")).sum()
    });
    println!("{tried} bits");
    assert!(tried > 7000, "only {tried}");
}

#[test]
fn the_program_says_so_too_and_ends_with_1() {
    let dir = tempfile::tempdir().expect("a folder");
    sealed_in_every_way(dir.path());
    let said = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_coltape")).arg("verify").arg(dir.path()).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(said().0, Some(0), "{}", said().1);
    // A byte of a column, of the page's identity, its hot sector, a slot, the state, its spare, and of what is not used.
    let places =
        [("trade_price", 9), ("commit", 40), ("commit", 513), ("commit", 1030), ("commit", 2049), ("commit", 2570), ("commit", 4095)];
    for (name, byte) in places {
        let path = column_path(dir.path(), Dataset::Trades, name, FIRST_DAY);
        let whole = std::fs::read(&path).expect("read");
        let mut changed = whole.clone();
        changed[byte] ^= 0x10;
        std::fs::write(&path, &changed).expect("written");
        let (code, text) = said();
        assert!(code == Some(1) && text.contains("DOES NOT HOLD"), "{name} {byte}: {code:?} {text}");
        std::fs::write(&path, &whole).expect("written");
    }
    assert_eq!(said().0, Some(0), "{}", said().1);
}

#[test]
fn a_page_sealed_before_hot_sectors_were_cleared_is_read_and_cleared_when_it_is_sealed_again() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 12, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let path = column_path(dir.path(), Dataset::Trades, "commit", FIRST_DAY);
    let mut page = std::fs::read(&path).expect("read");
    assert!(page[512..1024].iter().all(|byte| *byte == 0), "the hot sector of a sealed day is zero");
    // As the version before wrote it: it says nothing of the hot sector, which holds what was left in it.
    page[512..1024].fill(0x5a);
    for sector in [4, 5].map(|at| at * 512) {
        page[sector + 504..sector + 508].fill(0);
        let crc = crc32c::crc32c(&page[sector..sector + 508]).to_le_bytes();
        page[sector + 508..sector + 512].copy_from_slice(&crc);
    }
    std::fs::write(&path, &page).expect("written");
    assert_eq!(kinds(&verified(dir.path())), []);
    let data = data_dir(dir.path(), StoreOptions::default());
    let (day, opening) = Day::<Trades>::open(&data, &product(), FIRST_DAY, UnixNanos(u64::MAX)).expect("a day");
    assert_eq!(opening, Opening::Sealed { records: 12 });
    // Died here, it would be sealed again at the next start: it is open for late records.
    assert_eq!(seal::unsealed(dir.path(), &product()).expect("listed").len(), 1);
    seal::seal(&data, vec![day.close()]).pop().expect("one").sealed.expect("sealed");
    assert_eq!(seal::unsealed(dir.path(), &product()).expect("listed"), []);
    assert!(std::fs::read(&path).expect("read")[512..1024].iter().all(|byte| *byte == 0));
    assert_eq!(kinds(&verified(dir.path())), []);
}

#[test]
fn a_rotten_late_record_is_found_on_another_machine_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let all = trades(&prints(1, 12, noon(FIRST_DAY), SECOND));
    store::<Trades>(&data, &product(), &all[4..]);
    let (mut day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, UnixNanos(u64::MAX)).expect("a day");
    for trade in &all[..4] {
        assert_eq!(insert(&mut day, trade), Inserted::Late);
    }
    day.commit();
    let mut syncer = Syncer::new(Arc::clone(&data));
    syncer.watch(day.files());
    syncer.cycle().expect("synced");
    let copy = tempfile::tempdir().expect("a folder");
    copy_all(dir.path(), copy.path());
    assert_eq!(kinds(&verified(copy.path())), []);
    let path = column_path(copy.path(), Dataset::Trades, "late", FIRST_DAY);
    let mut bytes = std::fs::read(&path).expect("read");
    let third = bytes.len() / 2 + 9;
    bytes[third] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    assert_eq!(verified(copy.path()).findings.count(FindingKind::Checksum), 1);
}

#[test]
fn a_column_that_is_too_long_or_too_short_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 9, noon(FIRST_DAY), SECOND), StoreOptions::default());
    let path = column_path(dir.path(), Dataset::Trades, "trade_side", FIRST_DAY);
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, [whole.as_slice(), &[0; 4]].concat()).expect("written");
    assert_eq!(kinds(&verified(dir.path())), [(FindingKind::Checksum, 1)]);
    std::fs::write(&path, &whole[..32]).expect("written");
    let report = verified(dir.path());
    assert_eq!(kinds(&report), [(FindingKind::Unreadable, 1)]);
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
        [FindingKind::Side, FindingKind::Nanos, FindingKind::NotPositive, FindingKind::Time, FindingKind::WrongDay, FindingKind::IdOrder]
            .map(|kind| report.findings.count(kind));
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
    assert_eq!((kinds(&report), verdicts(&report)), (vec![(FindingKind::Missing, 5)], vec![Verdict::Open]));
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
    assert_eq!((report.findings.count(FindingKind::Checksum), report.findings.count(FindingKind::Rounding)), (1, 1));
}

#[test]
fn core_columns_are_verified_and_what_cannot_be_checked_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions::default().columns(ColumnSet::Core).date_format(DateFormat::Dmy);
    store_all(dir.path(), &prints(1, 30, noon(FIRST_DAY), SECOND), options);
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![], vec![Verdict::Partial]));
    assert_eq!(report.days[0].dataset(Dataset::Trades).and_then(|kept| kept.sums.rounded), None);
    assert_eq!((report.days[0].named, report.days[0].pairing.map(|pairing| pairing.unpaired)), (None, Some(0)));
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

fn stopped(sums: SumCheck) -> Event {
    Event::CaptureStopped {
        frames: 0,
        trades_received: 0,
        trades_fetched: 0,
        trades_written: 0,
        trades_late: 0,
        trades_duplicate: 0,
        trades_conflict: 0,
        trades_shed: 0,
        trades_rejected: 0,
        sums,
        failure: String::new(),
    }
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
    assert_eq!((kinds(&report), verdicts(&report)), (vec![(FindingKind::Missing, 22)], vec![Verdict::Open; 4]));
    let mut journal = JournalFile::new(dir.path(), JOURNAL);
    let started = || Event::CaptureStarted { endpoint: "exchange".to_owned(), products: 2, version: "0".into() };
    let sealed = |name: &str, date: UtcDay| {
        let day = coltape::DayKey { product: ProductId::new(name).expect("a product"), dataset: Dataset::Trades, date };
        Event::DaySealed { day, records: 9, late_merged: 0, generation: 0 }
    };
    let seals = ["BTC-USD", "ETH-USD"].map(|name| [FIRST_DAY, FIRST_DAY.next()].map(|date| (36, sealed(name, date))));
    let of_captures = [(11, started()), (13, stopped(SumCheck::Hold)), (35, started())];
    for (hours, event) in of_captures.into_iter().chain(seals.into_iter().flatten()).chain([(37, stopped(SumCheck::Hold))]) {
        let time = UnixNanos(FIRST_DAY.start().0 + hours * 3600 * SECOND);
        journal.append(time, &event).expect("written");
    }
    let report = verified(dir.path());
    assert_eq!((kinds(&report), verdicts(&report)), (vec![], vec![Verdict::Partial; 4]));
    assert!(table(&report).contains("no capture was running from 2025-06-07T13:00:00"), "{}", table(&report));
    let time = UnixNanos(FIRST_DAY.start().0 + 40 * 3600 * SECOND);
    journal.append(time, &stopped(SumCheck::DoNotHold)).expect("written");
    assert_eq!(kinds(&verified(dir.path())), [(FindingKind::Sums, 1)]);
}

#[test]
fn a_trade_in_two_days_is_found_without_a_ledger() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    store::<Trades>(&data, &product(), &trades(&prints(1, 9, noon(FIRST_DAY), SECOND)));
    store::<Trades>(&data, &product(), &trades(&prints(8, 9, noon(FIRST_DAY.next()), SECOND)));
    assert_eq!(kinds(&verified(dir.path())), [(FindingKind::IdTwice, 2)]);
}

fn table(report: &Report) -> String {
    let mut out = Vec::new();
    write_table(report, &mut out).expect("written");
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
    write_json(&verified(dir.path()), &mut out).expect("written");
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named: Vec<&str> = lines.iter().filter_map(|line| line["line"].as_str()).collect();
    assert_eq!(named, ["day", "hole", "finding", "not_checked", "summary"]);
    assert_eq!((lines[0]["verdict"].as_str(), lines[0]["trades"]["records"].as_u64()), (Some("open"), Some(29)));
    assert_eq!((lines[1]["from_id"].as_u64(), lines[1]["to_id"].as_u64()), (Some(5), Some(5)));
    assert_eq!((lines[2]["kind"].as_str(), lines[2]["date"].as_str()), (Some("missing"), Some("2025-06-07")));
    // The fixture takes the commit page away: that is said by name.
    assert!(lines[3]["text"].as_str().is_some_and(|text| text.contains("BTC-USD TRADES 2025-06-07")));
    assert_eq!((lines[4]["holds"].as_bool(), lines[4]["findings"]["missing"].as_u64()), (Some(false), Some(1)));
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

fn program(arguments: &[&std::ffi::OsStr]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_coltape")).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_field_of_the_json_lines_is_in_the_help() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let all = prints(1, 30, noon(FIRST_DAY), SECOND);
    store_all(&data, &all, StoreOptions::default());
    rewrite(&data, Dataset::Trades, FIRST_DAY, |rows| {
        rows.remove(4);
    });
    let ledger = dir.path().join("ledger.jsonl");
    market::write_ledger(&ledger, &all);
    let (code, lines, _) = program(&["verify".as_ref(), data.as_ref(), "--json".as_ref(), "--ledger".as_ref(), ledger.as_ref()]);
    let (_, help, _) = program(&["verify".as_ref(), "--help".as_ref()]);
    let words: std::collections::BTreeSet<&str> = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    assert_eq!(code, Some(1));
    let mut kinds = std::collections::BTreeSet::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        kinds.insert(line["line"].as_str().expect("a kind").to_owned());
        for (key, value) in line.as_object().expect("an object") {
            let inner = value.as_object().into_iter().flatten().map(|(inner, _)| inner);
            for key in inner.chain([key]) {
                assert!(words.contains(key.as_str()), "{key} of {line}");
            }
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["day", "finding", "hole", "ledger", "not_checked", "summary"]);
}

#[test]
fn what_is_no_data_directory_is_called_that_and_never_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let (empty, file, missing, foreign) =
        (dir.path().join("empty"), dir.path().join("file"), dir.path().join("missing"), dir.path().join("foreign"));
    std::fs::create_dir(&empty).expect("made");
    std::fs::create_dir_all(foreign.join("ssl/certs")).expect("made");
    std::fs::write(&file, "x").expect("written");
    for path in [&empty, &file, &missing, &foreign, Path::new("/etc")] {
        let (code, out, error) = program(&["verify".as_ref(), path.as_os_str()]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("is not a coltape data directory") && error.contains(&path.display().to_string()), "{error}");
        assert_eq!(out, "");
    }
    // One that was begun and holds nothing is a data directory; that nothing was verified is said all the same.
    data_dir(&empty, StoreOptions::default());
    let (code, _, error) = program(&["verify".as_ref(), empty.as_os_str()]);
    assert!(code == Some(1) && error.contains("holds no day"), "{code:?} {error}");
}

/// Texts from outside with every kind of character that steers a terminal, in every place of a tape from which `verify` shows text.
#[test]
fn nothing_from_outside_reaches_the_output_raw() {
    let hostile = "\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\u{202e}drow\u{2028}\r\u{0}\u{7f}";
    let outer = tempfile::tempdir().expect("a folder");
    let data = outer.path().join("a\u{1b}[31m\nb\u{202e}");
    let all = prints(1, 30, noon(FIRST_DAY), SECOND);
    store_all(&data, &all, StoreOptions::default());
    rewrite(&data, Dataset::Trades, FIRST_DAY, |rows| drop(rows.remove(4)));
    // A page that is there and torn, so that its path is shown.
    std::fs::write(column_path(&data, Dataset::Md, "commit", FIRST_DAY), vec![7; 4096]).expect("written");
    std::fs::write(column_path(&data, Dataset::TickerTrades, "trade_price", FIRST_DAY), "").expect("written");
    let mut journal = JournalFile::new(&data, JOURNAL);
    let range = || coltape::IdRange::between(4, 6).expect("an id");
    let said = || hostile.to_owned();
    let time = noon(FIRST_DAY);
    for event in [
        Event::GapOpened { product: product(), ids: range(), why: said().into() },
        Event::BackfillFailed { product: product(), ids: range(), failures: None, error: said() },
        Event::ConnectionLost { line: said(), why: said() },
        Event::Conflict {
            product: product(),
            trade_id: 7,
            stored: Some(said()),
            sent: Some(said()),
            by: Some(said()),
            columns: Some(said()),
            text: Some(said()),
            raw: Some(said()),
        },
    ] {
        journal.append(time, &event).expect("written");
    }
    let path = data.join(OWN_FOLDER).join(format!("journal.{FIRST_DAY}.jsonl"));
    let mut text = std::fs::read(&path).expect("read");
    text.extend(format!("{{\"time\":\"{time}\",\"event\":\"\\u001b[31m{hostile}\"}}\n").bytes());
    text.extend(format!("{{\"time\":\"{time}\",\"event\":\"gap_left\",\"product\":\"\\u001b\\u202e\"}}\n").bytes());
    std::fs::write(&path, text).expect("written");
    for arguments in [vec!["verify"], vec!["verify", "--json"], vec!["verify", "--ledger", "no\u{1b}[31m such\n"]] {
        let mut arguments: Vec<&std::ffi::OsStr> = arguments.into_iter().map(std::ffi::OsStr::new).collect();
        arguments.push(data.as_os_str());
        let (code, out, error) = program(&arguments);
        assert_eq!(code, Some(1), "{out}{error}");
        let is_raw = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}');
        for (name, text) in [("stdout", &out), ("stderr", &error)] {
            assert!(!text.chars().any(is_raw), "{name} of {arguments:?}: {text:?}");
        }
    }
    let (_, out, _) = program(&["verify".as_ref(), data.as_os_str()]);
    assert!(out.contains(r"\u{1b}[31mred") && out.contains(r"a\u{1b}[31m\nb"), "{out}");
}
