//! Tapes that lost something, and what to hold a repaired one against.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::internals::record::{OrderId, Trade};
use coltape::internals::repair::report::Report;
use coltape::internals::repair::{RepairConfig, repair};
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{BootId, Day, Snapshot, StoreOptions, Syncer, catalog};
use coltape::internals::time::UnixNanos;

use crate::market::{FIRST_DAY, Print, data_dir, insert, prints, product, store};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Nanoseconds between two trades of the market.
pub(crate) const STEP: u64 = 50_000_000;

/// Makes a folder in memory where there is one: flushes cost nothing there.
pub(crate) fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a folder and all below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// `count` trades, the first half of them before a midnight.
pub(crate) fn market(count: u64) -> Vec<Print> {
    prints(1000, count, UnixNanos(FIRST_DAY.next().start().0 - count / 2 * STEP), STEP)
}

pub(crate) fn trades(prints: &[Print]) -> Vec<Trade> {
    prints.iter().map(|print| print.trade).collect()
}

/// Stores trades and seals their days.
pub(crate) fn sealed(path: &Path, trades: &[Trade]) {
    store::<Trades>(&data_dir(path, StoreOptions::default()), &product(), trades);
}

/// Stores trades as a box does whose machine went down: `durable` of them are on disk, the others had only been visible.
pub(crate) fn killed(path: &Path, trades: &[Trade], durable: usize) {
    let dir = data_dir(path, StoreOptions::default().boot_id(Some(BootId([7; 16]))));
    let mut days: Vec<Day<Trades>> = Vec::new();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    for (at, trade) in trades.iter().enumerate() {
        if at == durable {
            days.iter_mut().for_each(Day::commit);
            syncer.cycle().unwrap();
        }
        let date = trade.time.day();
        if days.last().is_none_or(|day| day.date() != date) {
            days.push(Day::open(&dir, &product(), date, date.start()).unwrap().0);
            syncer.watch(days.last().unwrap().files());
        }
        insert(days.last_mut().unwrap(), trade);
    }
    days.iter_mut().for_each(Day::commit);
    if durable >= trades.len() {
        syncer.cycle().unwrap();
    }
}

/// What is stored, over all days, in the order of the days' files.
pub(crate) fn stored(path: &Path) -> Vec<Trade> {
    let days = catalog::days(path, &product(), Dataset::Trades).unwrap();
    days.iter().flat_map(|date| Snapshot::<Trades>::open(path, &product(), *date).unwrap().unwrap().rows().collect::<Vec<_>>()).collect()
}

/// How much is stored of a tape that is being written: a day that is just being made is not there yet.
pub(crate) fn count(path: &Path) -> usize {
    let days = catalog::days(path, &product(), Dataset::Trades).unwrap_or_default();
    days.iter().filter_map(|date| Snapshot::<Trades>::open(path, &product(), *date).ok()?).map(|day| day.count()).sum()
}

/// Without what tells how a trade came here.
pub(crate) fn told(trades: &[Trade]) -> Vec<Trade> {
    trades.iter().map(|trade| Trade { origin: Default::default(), ..*trade }).collect()
}

/// A trade as REST tells it.
pub(crate) fn as_rest(trade: &Trade) -> Trade {
    use coltape::internals::record::{Means, Origin};
    let origin = Origin::new(Means::Rest, 0, 0);
    Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, sequence: 0, recv: UnixNanos(0), origin, ..*trade }
}

pub(crate) fn config(dir: &Path, from: &[&Path]) -> RepairConfig {
    let mut config = RepairConfig::new(dir);
    config.from = from.iter().map(PathBuf::from).collect();
    config
}

/// A dry run of the same.
pub(crate) fn dry_config(dir: &Path, from: &[&Path]) -> RepairConfig {
    let mut config = config(dir, from);
    config.is_dry = true;
    config
}

pub(crate) fn repaired(dir: &Path, from: &[&Path]) -> Report {
    let report = repair(&config(dir, from)).unwrap();
    assert_eq!(report.failures, [""; 0]);
    report
}

/// Every file below a folder with its bytes.
pub(crate) fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The journal's lines with this event.
pub(crate) fn journal(dir: &Path, event: &str) -> Vec<serde_json::Value> {
    use coltape::internals::time::UtcDay;
    let lines = coltape::internals::store::journal::read(dir, "journal", UtcDay(0), UtcDay(u32::MAX));
    lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap()).filter(|line| line["event"] == event).collect()
}

/// The ids that the journal says were filled by someone.
pub(crate) fn filled_by(dir: &Path, by: &str) -> Vec<u64> {
    let lines = journal(dir, "gap_filled").into_iter().filter(|line| line["by"] == by);
    let mut ids: Vec<u64> = lines.flat_map(|line| line["from_id"].as_u64().unwrap()..=line["to_id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn coltape(command: &str) -> Command {
    let mut coltape = Command::new(env!("CARGO_BIN_EXE_coltape"));
    coltape.arg(command).env_remove("COLTAPE_DATA_DIR").env("RUST_LOG", "info");
    coltape
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}\n{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until `holds`, or panics with what was waited for.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
