//! A tape that is kept open remembers the journal and which checksums were right. It must see all the same whatever changes.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{Day, Inserted, OWN_FOLDER, StoreOptions, Syncer};
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::{Coverage, CoveredDay, Tape, TimeRange, Verdict};

use crate::market::{FIRST_DAY, column_path, data_dir, insert, prints, product, store};

const SECOND: u64 = 1_000_000_000;

fn date(day: u32) -> UtcDay {
    UtcDay(FIRST_DAY.0 + day)
}

fn trades(day: u32, first_id: u64, count: u64) -> Vec<coltape::Trade> {
    prints(first_id, count, UnixNanos(date(day).start().0 + 3600 * SECOND), SECOND).iter().map(|print| print.trade).collect()
}

/// What is said of the second day, by a tape that is kept and by one that is opened just now.
fn said(kept: &Tape, range: TimeRange) -> Coverage {
    let coverage = Coverage::of(kept, &product(), range).unwrap();
    let fresh = Coverage::of(&Tape::open(kept.dir()).unwrap(), &product(), range).unwrap();
    assert_eq!(coverage, fresh);
    let judged = |tape: &Tape| CoveredDay::of_range(tape, &product(), range).unwrap();
    assert_eq!(judged(kept), judged(&Tape::open(kept.dir()).unwrap()));
    coverage
}

fn append(dir: &Path, line: &str) {
    let path = dir.join(OWN_FOLDER).join(format!("journal.{}.jsonl", date(1)));
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

/// Flips a bit, in place: the file has the same inode and length afterwards.
fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 16], at).unwrap();
}

#[test]
fn a_kept_tape_sees_what_changes_in_the_files_and_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    let all: Vec<_> = (0..3).flat_map(|day| trades(day, 1 + u64::from(day) * 50, 50)).collect();
    store::<Trades>(&dir, &product(), &all);
    let (tape, range) = (Tape::open(folder.path()).unwrap(), TimeRange::day(date(1)));
    assert_eq!(said(&tape, range).shortcoming(), None);
    // A byte, and back.
    let path = column_path(folder.path(), Dataset::Trades, "maker_order_id", date(1));
    flip(&path, 77);
    let coverage = said(&tape, range);
    assert_eq!(coverage.verdict(), Verdict::Unverifiable);
    assert!(coverage.shortcoming().unwrap().contains("maker_order_id"), "{coverage:?}");
    flip(&path, 77);
    assert_eq!(said(&tape, range).shortcoming(), None);
    // Another day's does not matter, unless that day is asked for.
    let other = column_path(folder.path(), Dataset::Trades, "trade_price", date(0));
    flip(&other, 3);
    assert_eq!(said(&tape, range).shortcoming(), None);
    assert_eq!(said(&tape, TimeRange::day(date(0))).verdict(), Verdict::Unverifiable);
    flip(&other, 3);
    // The journal grows.
    append(folder.path(), &format!(r#"{{"time":"{}","event":"conflict","product":"BTC-USD","trade_id":60}}"#, date(1).start()));
    let coverage = said(&tape, range);
    assert!(coverage.shortcoming().unwrap().contains("trade 60 came again with other fields"), "{coverage:?}");
    assert_eq!(said(&tape, TimeRange::day(date(0))).shortcoming(), None, "it is of another day");
    append(folder.path(), &format!(r#"{{"time":"{}","event":"conflict","product":"BTC-USD","trade_id":999}}"#, date(1).start()));
    assert_eq!(said(&tape, TimeRange::day(date(0))).verdict(), Verdict::Unverifiable, "nobody knows where trade 999 belongs");
    // A day goes.
    std::fs::remove_file(folder.path().join(OWN_FOLDER).join(format!("journal.{}.jsonl", date(1)))).unwrap();
    assert_eq!(said(&tape, range).shortcoming(), None);
    std::fs::remove_dir_all(folder.path().join("BTC-USD/TRADES")).unwrap();
    assert!(!said(&tape, range).is_whole());
}

#[test]
fn of_a_live_day_only_what_is_new_is_compared_with_its_checksums_and_a_wrong_byte_in_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    store::<Trades>(&dir, &product(), &trades(0, 1, 50));
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), date(1), date(1).start()).unwrap();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    let tape = Tape::open(folder.path()).unwrap();
    let rows = trades(1, 51, 300);
    let mut grow = |records: std::ops::Range<usize>| {
        rows[records].iter().for_each(|row| assert_eq!(insert(&mut day, row), Inserted::Appended));
        day.commit();
        for _ in 0..2 {
            syncer.cycle().unwrap();
        }
    };
    let before = |record: usize| TimeRange { from: None, to: Some(rows[record].time) };
    for end in (30..=240).step_by(30) {
        grow(end - 30..end);
        assert_eq!(said(&tape, before(end - 1)).shortcoming(), None, "{end}");
    }
    grow(240..300);
    flip(&column_path(folder.path(), Dataset::Trades, "taker_order_id", date(1)), 16 * 250);
    let coverage = said(&tape, before(299));
    assert!(coverage.shortcoming().unwrap().contains("taker_order_id"), "{coverage:?}");
}
