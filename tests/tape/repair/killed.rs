//! A repair that dies between any two steps of the store loses nothing and is made good by the next one.
//!
//! The test runs itself again as a child, which aborts at the step it is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::internals::record::Trade;
use coltape::internals::repair::repair;
use coltape::internals::schema::{Layout, Md, TickerTrades, Trades};
use coltape::internals::store::probe::{Probe, Verdict};
use coltape::internals::store::{Snapshot, StoreOptions, catalog};
use coltape::internals::time::Clock;
use coltape::internals::verify::{VerifyConfig, verify};

use super::tape::{as_rest, config, market, memory_folder, repaired, sealed, stored, told, trades};
use crate::market::{product, store_all};

const STEP: &str = "COLTAPE_TEST_DIE_AT";
const FOLDER: &str = "COLTAPE_TEST_FOLDER";
/// How the child ends when there was no such step.
const LIVED: i32 = 42;

/// The child: repairs, and dies at the step it was told.
#[test]
fn child_of_a_killed_repair() {
    let (Ok(step), Ok(folder)) = (std::env::var(STEP), std::env::var(FOLDER)) else { return };
    let (step, seen): (u64, _) = (step.parse().unwrap(), AtomicU64::new(0));
    let probe = Probe::new(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == step {
            std::process::abort();
        }
        Verdict::Go
    });
    let folder = Path::new(&folder);
    let mut config = config(&folder.join("own"), &[&folder.join("other")]);
    config.probe = Some(probe);
    let report = repair(&config).unwrap();
    assert!(report.is_whole());
    std::process::exit(LIVED);
}

/// Runs a repair of `own` from `other` in a child that dies at `step`. Tells whether it had so many.
fn died_at(step: u64, folder: &Path) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "repair::killed::child_of_a_killed_repair"]).env(STEP, step.to_string()).env(FOLDER, folder);
    child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code() != Some(LIVED)
}

/// The bytes of every dataset-day that a tape shows, without the origins of trades.
fn days(path: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    fn of<L: Layout>(path: &Path, found: &mut BTreeMap<String, Vec<Vec<u8>>>) {
        for date in catalog::days(path, &product(), L::DATASET).unwrap() {
            let day = Snapshot::<L>::open(path, &product(), date).unwrap().unwrap();
            if day.count() > 0 {
                let columns = day.columns().iter().enumerate().filter(|(_, column)| column.name != "trade_origin");
                found.insert(format!("{} {date}", L::DATASET.folder()), columns.map(|(at, _)| day.column_bytes(at).to_vec()).collect());
            }
        }
    }
    let mut found = BTreeMap::new();
    of::<Trades>(path, &mut found);
    of::<Md>(path, &mut found);
    of::<TickerTrades>(path, &mut found);
    found
}

#[test]
fn a_restore_that_is_killed_between_any_two_steps_is_finished_by_the_next_one() {
    let prints = market(60);
    let folder = memory_folder();
    let other = folder.path().join("other");
    store_all(&other, &prints, StoreOptions::default());
    let (whole, own) = (days(&other), folder.path().join("own"));
    assert_eq!(whole.len(), 6);
    let mut steps = 0;
    loop {
        let has_died = died_at(steps, folder.path());
        let left = if own.is_dir() { days(&own) } else { BTreeMap::new() };
        assert!(left.iter().all(|(day, bytes)| whole.get(day) == Some(bytes)), "step {steps}: a day is there as a whole or not at all");
        let report = repaired(&own, &[&other]);
        assert!(report.is_whole(), "step {steps}: {:#?}", report.lines());
        assert_eq!(days(&own), whole, "after a death at step {steps}");
        let proof = verify(&VerifyConfig::new(&own, Clock::System.now())).unwrap();
        assert!(proof.holds(), "step {steps}: {:#?}", proof.findings.listed());
        std::fs::remove_dir_all(&own).unwrap();
        if !has_died {
            break;
        }
        steps += 1;
    }
    assert!(steps > 100, "only {steps} steps");
}

/// Lets a repair die at `step`. Tells whether it had so many.
fn die_at(step: u64, whole: &[Trade], own: &[Trade]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    sealed(&folder.path().join("own"), own);
    sealed(&folder.path().join("other"), whole);
    // A text of a trade that is not here, in the tape that has it.
    let missing = whole.iter().find(|trade| !own.iter().any(|own| own.trade_id == trade.trade_id)).unwrap();
    let (name, key) = (format!("_coltape/exact.{}.jsonl", missing.time.day()), missing.trade_id);
    let text = format!(
        r#"{{"time":"{}","event":"exact","product":"BTC-USD","column":"trade_size_f64","key":{key},"text":"0.12345678901234567890"}}"#,
        missing.time
    );
    std::fs::write(folder.path().join("other").join(&name), format!("{text}\n")).unwrap();
    let has_died = died_at(step, folder.path());
    let dir = folder.path().join("own");
    let left = stored(&dir);
    assert!(left.windows(2).all(|pair| pair[0].trade_id < pair[1].trade_id), "step {step}: nothing twice");
    let has = |trade: &Trade| left.binary_search_by_key(&trade.trade_id, |left| left.trade_id);
    for trade in own {
        let at = has(trade).unwrap_or_else(|_| panic!("step {step}: {} is lost", trade.trade_id));
        let full = Trade { origin: left[at].origin, ..whole[(trade.trade_id - whole[0].trade_id) as usize] };
        assert!(left[at] == *trade || left[at] == full, "step {step}: {:?}", left[at]);
    }
    let report = repaired(&dir, &[&folder.path().join("other")]);
    assert!(report.is_whole(), "step {step}: {:#?}", report.lines());
    assert_eq!(told(&stored(&dir)), whole, "after a death at step {step}");
    let kept = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
    assert_eq!(kept.lines().collect::<Vec<_>>(), [text], "the text comes with its trade, after a death at step {step}");
    has_died
}

#[test]
fn a_repair_that_is_killed_between_any_two_steps_loses_nothing() {
    let prints = market(300);
    let whole = trades(&prints);
    let own: Vec<Trade> = whole
        .iter()
        .filter(|trade| !trade.trade_id.is_multiple_of(7))
        .map(|trade| if trade.trade_id.is_multiple_of(11) { as_rest(trade) } else { *trade })
        .collect();
    let steps = (0..1000).find(|step| !die_at(*step, &whole, &own)).unwrap();
    assert!(steps > 60, "only {steps} steps");
}
