//! A process that is killed between any two steps of opening, sealing and replacing loses nothing that was committed.
//!
//! The test runs itself again as a child, which aborts at the step it is told; readers and the next capture must then find every record. Where the next
//! one dies as well, that is unwound in the test's own process; a reader looks between any two of its steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{ColumnSet, Layout, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict};
use coltape::internals::store::{DataDir, Day, InsertError, Opening, Snapshot, StoreOptions, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

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
    let options = StoreOptions::default().columns(ColumnSet::Core).first_records(32).probe(probe);
    crate::opened(folder, options, "test")
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

/// The child: opens a day that is sealed, appends, takes late records, seals; aborts at the step it was told.
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
    assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()));
    std::process::exit(LIVED);
}

fn ids(day: &Snapshot<Trades>) -> Vec<u64> {
    day.rows().inspect(|row| assert_eq!(*row, trade(row.trade_id))).map(|row| row.trade_id).collect()
}

/// Lets a child die at `step` of its work. Tells whether it had so many.
fn crash_at(step: u64, with_late: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let dir = open_dir(folder.path(), None);
    let (mut day, _) = open(&dir, DAY.start());
    FIRST.for_each(|id| insert(&mut day, id));
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    drop(dir);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "kill::child"]).env(STEP, step.to_string()).env(FOLDER, folder.path()).stdout(std::process::Stdio::null());
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
    assert_eq!(ids(&seen), want, "a reader of what a crash at step {step} left, late {with_late}");
    let dir = open_dir(folder.path(), None);
    let (mut day, opening) = open(&dir, DAY.start());
    assert!(!matches!(opening, Opening::Quarantined { .. } | Opening::Created), "step {step}: {opening:?}");
    insert(&mut day, 500);
    want.push(500);
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    let seen = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(ids(&seen), want, "after going on from step {step}, late {with_late}");
    assert_eq!(seen.check().unwrap(), []);
    ended.code() != Some(LIVED)
}

fn crash_everywhere(with_late: bool) -> u64 {
    (0..1000).find(|step| !crash_at(*step, with_late)).unwrap()
}

#[test]
fn a_crash_between_any_two_steps_of_a_seal_loses_nothing() {
    let steps = crash_everywhere(false);
    assert!(steps > 15, "only {steps} steps");
}

#[test]
fn a_crash_between_any_two_steps_of_a_replacement_loses_nothing() {
    let steps = crash_everywhere(true);
    assert!(steps > 30, "only {steps} steps");
}

/// Unwinds a capture that crashes.
struct Crashed;

/// Lets a capture do its work until it dies at `step`, with a reader who looks before each of its steps and must find the trades that are certainly
/// there. Nothing is flushed: a process that dies takes nothing from the cache. Tells whether it died.
fn crashes(folder: &Path, step: u64, there: &[u64], work: impl FnOnce(&Arc<DataDir>)) -> bool {
    let (path, there, seen) = (folder.to_owned(), there.to_vec(), AtomicU64::new(0));
    let probe = Probe::new(move |what| {
        let number = seen.fetch_add(1, Ordering::Relaxed);
        if !there.is_empty() {
            let found = ids(&Snapshot::<Trades>::open(&path, &product(), DAY).unwrap().unwrap());
            let gone = there.iter().find(|id| !found.contains(id));
            assert_eq!(gone, None, "at step {number}, {what:?}, a reader finds {} trades of {}", found.len(), there.len());
        }
        if number == step {
            resume_unwind(Box::new(Crashed));
        }
        if matches!(what, Step::Flush(_)) { Verdict::Skip } else { Verdict::Go }
    });
    let dir = open_dir(folder, Some(probe));
    match catch_unwind(AssertUnwindSafe(|| work(&dir))) {
        Ok(()) => false,
        Err(with) if with.is::<Crashed>() => true,
        Err(other) => resume_unwind(other),
    }
}

fn close(dir: &Arc<DataDir>, day: Day<Trades>) {
    assert!(seal::seal(dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
}

/// One capture crashes at a step of a replacement, the next at a step of recovering from that, and the third goes on. Tells whether the first two had so many steps.
fn crash_twice(first: u64, second: u64) -> (bool, bool) {
    const NEVER: u64 = u64::MAX;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crashes(path, NEVER, &[], |dir| {
        let (mut day, _) = open(dir, DAY.start());
        FIRST.for_each(|id| insert(&mut day, id));
        close(dir, day);
    });
    let (mut there, mut is_committed): (Vec<u64>, _) = (FIRST.collect(), false);
    let has_first = crashes(path, first, &there.clone(), |dir| {
        let (mut day, _) = open(dir, DAY.start());
        SECOND.chain(BEFORE).for_each(|id| insert(&mut day, id));
        day.commit();
        is_committed = true;
        close(dir, day);
    });
    there.extend(SECOND.chain(BEFORE).filter(|_| is_committed));
    let go_on = |dir: &Arc<DataDir>, id| {
        let (mut day, opening) = open(dir, DAY.start());
        assert!(!matches!(opening, Opening::Quarantined { .. } | Opening::Created), "steps {first} and {second}: {opening:?}");
        insert(&mut day, id);
        close(dir, day);
    };
    let has_second = crashes(path, second, &there, |dir| go_on(dir, 500));
    crashes(path, NEVER, &there, |dir| go_on(dir, 600));
    let day = Snapshot::<Trades>::open(path, &product(), DAY).unwrap().unwrap();
    let mut found = ids(&day);
    found.retain(|id| !matches!(id, 500 | 600));
    there.sort_unstable();
    assert_eq!(found, there, "after steps {first} and {second}");
    assert_eq!(day.check().unwrap(), []);
    (has_first, has_second)
}

#[test]
fn a_crash_while_another_is_recovered_loses_nothing_and_hides_nothing_from_a_reader() {
    let deaths: Vec<u64> = (0..).take_while(|first| crash_twice(*first, 1000).0).collect();
    assert!(deaths.len() > 25, "only {} steps", deaths.len());
    let all_after = |first: &u64| (0..).find(|second| !crash_twice(*first, *second).1).unwrap();
    let (odd, even): (Vec<u64>, Vec<u64>) = deaths.into_iter().partition(|first| first % 2 == 1);
    let pairs: u64 = std::thread::scope(|scope| {
        let half = scope.spawn(|| odd.iter().map(all_after).sum::<u64>());
        even.iter().map(all_after).sum::<u64>() + half.join().unwrap()
    });
    println!("{pairs} pairs of steps");
    assert!(pairs > 500, "only {pairs} pairs of steps");
}
