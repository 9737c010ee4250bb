//! A process that dies without a word between any two steps of opening, sealing and replacing loses nothing that was committed.
//!
//! The test runs itself again as a child, which aborts at the step it is told; readers and the next capture must then find every record.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::decimal::Decimal;
use coltape::product::ProductId;
use coltape::record::Trade;
use coltape::schema::{ColumnSet, Layout, Trades};
use coltape::store::probe::{Probe, Verdict};
use coltape::store::{DataDir, Day, InsertError, Opening, Snapshot, StoreOptions, seal};
use coltape::time::{UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);
const STEP: &str = "COLTAPE_TEST_DIE_AT";
const FOLDER: &str = "COLTAPE_TEST_FOLDER";
const LATE: &str = "COLTAPE_TEST_LATE";
/// How the child ends when there was no such step.
const LIVED: i32 = 42;

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(u16::try_from(id).unwrap().into());
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + id), price: number, size: number, ..Trades::EMPTY }
}

fn open_dir(folder: &Path, probe: Option<Probe>) -> Arc<DataDir> {
    let options = StoreOptions { columns: ColumnSet::Core, first_records: 32, probe, ..StoreOptions::default() };
    Arc::new(DataDir::open(folder, options, "test").unwrap())
}

fn open(dir: &Arc<DataDir>, now: UnixNanos) -> (Day<Trades>, Opening) {
    Day::open(dir, &product(), DAY, now).unwrap()
}

fn insert(day: &mut Day<Trades>, id: u64) {
    while let Err(InsertError::NoRoom) = day.insert(&trade(id)) {
        day.files().provision().unwrap();
    }
}

/// Ids of the first part, late ones and the second part.
const FIRST: std::ops::Range<u64> = 100..140;
const BEFORE: [u64; 3] = [90, 99, 7];
const SECOND: std::ops::Range<u64> = 140..190;

/// The child: opens a day that is sealed, appends, takes late records, seals; dies at the step it was told.
#[test]
fn child() {
    let (Ok(step), Ok(folder)) = (std::env::var(STEP), std::env::var(FOLDER)) else { return };
    let (step, seen): (u64, _) = (step.parse().unwrap(), AtomicU64::new(0));
    let probe = Probe::new(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == step {
            std::process::abort();
        }
        Verdict::Go
    });
    let dir = open_dir(Path::new(&folder), Some(probe));
    let (mut day, _) = open(&dir, DAY.start());
    SECOND.for_each(|id| insert(&mut day, id));
    if std::env::var(LATE).is_ok() {
        BEFORE.into_iter().for_each(|id| insert(&mut day, id));
    }
    day.commit();
    std::fs::write(Path::new(&folder).join("committed"), "").unwrap();
    let sealed = seal::seal(&dir, vec![day.close()]);
    assert!(sealed.iter().all(|(_, sealed)| sealed.is_ok()));
    std::process::exit(LIVED);
}

fn ids(day: &Snapshot<Trades>) -> Vec<u64> {
    day.rows().inspect(|row| assert_eq!(*row, trade(row.trade_id))).map(|row| row.trade_id).collect()
}

/// Lets a child die at `step` of its work. Tells whether it had so many.
fn die_at(step: u64, with_late: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let dir = open_dir(folder.path(), None);
    let (mut day, _) = open(&dir, DAY.start());
    FIRST.for_each(|id| insert(&mut day, id));
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|(_, sealed)| sealed.is_ok()));
    drop(dir);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child"]).env(STEP, step.to_string()).env(FOLDER, folder.path()).stdout(std::process::Stdio::null());
    if with_late {
        child.env(LATE, "1");
    }
    let ended = child.status().unwrap();
    let mut want: Vec<u64> = FIRST.collect();
    if folder.path().join("committed").exists() {
        want.extend(SECOND);
        want.extend(BEFORE.into_iter().filter(|_| with_late));
        want.sort_unstable();
    }
    let seen = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(ids(&seen), want, "a reader of what a death at step {step} left, late {with_late}");
    let dir = open_dir(folder.path(), None);
    let (mut day, opening) = open(&dir, DAY.start());
    assert!(!matches!(opening, Opening::Quarantined { .. } | Opening::Created), "step {step}: {opening:?}");
    insert(&mut day, 500);
    want.push(500);
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|(_, sealed)| sealed.is_ok()));
    let seen = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(ids(&seen), want, "after going on from step {step}, late {with_late}");
    assert_eq!(seen.check().unwrap(), []);
    ended.code() != Some(LIVED)
}

fn die_everywhere(with_late: bool) -> u64 {
    (0..1000).find(|step| !die_at(*step, with_late)).unwrap()
}

#[test]
fn a_death_between_any_two_steps_of_a_seal_loses_nothing() {
    let steps = die_everywhere(false);
    assert!(steps > 15, "only {steps} steps");
}

#[test]
fn a_death_between_any_two_steps_of_a_replacement_loses_nothing() {
    let steps = die_everywhere(true);
    assert!(steps > 30, "only {steps} steps");
}
