//! Made the days in this folder, once, with version 1 of the format (commit 3927ba2). It is kept to show how; no test runs it.
//!
//! To run it again: check out that commit, copy this file to `tests/golden_make.rs`, then
//! `COLTAPE_GOLDEN_OUT=/some/folder cargo test --test golden_make`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict, Why};
use coltape::internals::store::{BootId, DataDir, Day, InsertError, StoreOptions, Syncer, seal};
use coltape::internals::time::{DateFormat, UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_246);

fn noon() -> UnixNanos {
    UnixNanos(DAY.start().0 + 43_200_000_000_000)
}

fn trade(id: u64) -> Trade {
    let number = |text: String| decimal::parse(text.as_bytes()).unwrap();
    Trade {
        trade_id: id,
        time: UnixNanos(noon().0 + id * 1_000_000_007),
        price: number(format!("{}.{:02}", 131_072 + id * 3, id % 100)),
        size: number(format!("{}.{:08}", id % 7, id * 7919 + 1)),
        side: if id.is_multiple_of(3) { Side::Buy } else { Side::Sell },
        maker_order_id: OrderId((u128::from(id) << 64 | 0xa11ce).to_be_bytes()),
        taker_order_id: OrderId((u128::from(id) << 64 | 0xb0b).to_be_bytes()),
        sequence: 50_000 + id * 7,
        recv: UnixNanos(noon().0 + id * 1_000_000_007 + 5_000),
        ..Trades::EMPTY
    }
}

/// As REST gives it.
fn without_order_ids(id: u64) -> Trade {
    Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, recv: UnixNanos(0), ..trade(id) }
}

fn ticker(sequence: u64) -> Ticker {
    let of = trade(sequence);
    let number = |text: String| decimal::parse(text.as_bytes()).unwrap();
    Ticker {
        time: of.time,
        recv: of.recv,
        trade_id: of.trade_id,
        sequence,
        price: of.price,
        volume: of.size,
        best_bid: number(format!("{}.25", 131_000 + sequence)),
        best_ask: number(format!("{}.75", 131_000 + sequence)),
        best_bid_size: 1.5,
        best_ask_size: 0.25,
        side: Some(of.side),
    }
}

trait Rows: Layout {
    fn make(key: u64) -> Self::Row;
}

impl Rows for Trades {
    fn make(key: u64) -> Trade {
        trade(key)
    }
}

impl Rows for Md {
    fn make(key: u64) -> Ticker {
        ticker(key)
    }
}

impl Rows for TickerTrades {
    fn make(key: u64) -> Ticker {
        ticker(key)
    }
}

fn options() -> StoreOptions {
    StoreOptions { first_records: 24, boot_id: Some(BootId([1; 16])), ..StoreOptions::default() }
}

fn open_dir(path: &Path, options: StoreOptions) -> Arc<DataDir> {
    Arc::new(DataDir::open(path, options, "exchange wss://golden").unwrap())
}

fn product(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

fn open<L: Layout>(dir: &Arc<DataDir>, name: &str, now: UnixNanos) -> Day<L> {
    Day::<L>::open(dir, &product(name), DAY, now).unwrap().0
}

fn insert<L: Layout>(day: &mut Day<L>, row: &L::Row) {
    loop {
        match day.insert(row) {
            Err(InsertError::NoRoom) => day.files().provision().unwrap(),
            other => {
                other.unwrap();
                return;
            }
        }
    }
}

fn sync(dir: &Arc<DataDir>, files: &Arc<coltape::internals::store::DayFiles>) {
    let mut syncer = Syncer::new(Arc::clone(dir));
    syncer.watch(files);
    syncer.cycle().unwrap();
    syncer.cycle().unwrap();
}

fn seal_one<L: Layout>(dir: &Arc<DataDir>, day: Day<L>) {
    seal::seal(dir, vec![day.close()]).pop().unwrap().1.unwrap();
}

/// Ten records durable, five more committed, two stored behind the mark; then the process dies.
fn live<L: Rows>(dir: &Arc<DataDir>, name: &str) {
    let mut day = open::<L>(dir, name, noon());
    (1..=10).for_each(|key| insert(&mut day, &L::make(key)));
    day.commit();
    sync(dir, day.files());
    (11..=15).for_each(|key| insert(&mut day, &L::make(key)));
    day.commit();
    (16..=17).for_each(|key| insert(&mut day, &L::make(key)));
}

fn sealed<L: Rows>(dir: &Arc<DataDir>, name: &str) {
    let mut day = open::<L>(dir, name, noon());
    (1..=12).for_each(|key| insert(&mut day, &L::make(key)));
    seal_one(dir, day);
}

/// Sealed, and then opened for a late record after midnight, and left so.
fn sealed_and_late<L: Rows>(dir: &Arc<DataDir>, name: &str) {
    let mut day = open::<L>(dir, name, noon());
    (1..=9).filter(|key| *key != 4).for_each(|key| insert(&mut day, &L::make(key)));
    seal_one(dir, day);
    let mut day = open::<L>(dir, name, DAY.next().start());
    insert(&mut day, &L::make(12));
    day.commit();
    sync(dir, day.files());
}

/// Trades: 8 records, one of them from REST; its better copy and an older trade came late, one of the two is durable.
fn live_and_late(dir: &Arc<DataDir>, name: &str) {
    let mut day = open::<Trades>(dir, name, noon());
    (1..=9).filter(|id| *id != 4).for_each(|id| insert(&mut day, &if id == 6 { without_order_ids(6) } else { trade(id) }));
    day.commit();
    insert(&mut day, &trade(4));
    day.commit();
    sync(dir, day.files());
    insert(&mut day, &trade(6));
    day.commit();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// The files as they lie between the sixth rename of a replacement and the next.
fn replacing(folder: &Path, name: &str, out: &Path) {
    let renames = AtomicUsize::new(0);
    let (from, to) = (folder.join(name), out.join(name));
    let probe = Probe::new(move |step| {
        if step == Step::Changed("renamed") && renames.fetch_add(1, Ordering::Relaxed) == 5 {
            copy(&from, &to);
        }
        Verdict::Go
    });
    let dir = open_dir(folder, StoreOptions { probe: Some(probe), ..options() });
    let mut day = open::<Trades>(&dir, name, noon());
    (1..=9).filter(|id| *id != 4).for_each(|id| insert(&mut day, &if id == 6 { without_order_ids(6) } else { trade(id) }));
    day.commit();
    insert(&mut day, &trade(4));
    insert(&mut day, &trade(6));
    seal_one(&dir, day);
}

/// Ten records durable, a flush that fails twice, and 14 records with a late one when the day is closed.
fn witness(folder: &Path, name: &str) {
    let is_on = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&is_on);
    let probe = Probe::new(move |step| match step {
        Step::Flush(Why::Sync | Why::Again) if fails.load(Ordering::Relaxed) => Verdict::Fail,
        _ => Verdict::Go,
    });
    let dir = open_dir(folder, StoreOptions { probe: Some(probe), ..options() });
    let mut day = open::<Trades>(&dir, name, noon());
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    (2..=11).for_each(|id| insert(&mut day, &trade(id)));
    day.commit();
    syncer.cycle().unwrap();
    syncer.cycle().unwrap();
    (12..=13).for_each(|id| insert(&mut day, &trade(id)));
    day.commit();
    is_on.store(true, Ordering::Relaxed);
    syncer.cycle().unwrap_err();
    (14..=15).for_each(|id| insert(&mut day, &trade(id)));
    insert(&mut day, &trade(1));
    day.commit();
    seal::seal(&dir, vec![day.close()]).pop().unwrap().1.unwrap_err();
}

fn change(path: PathBuf, act: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(&path).unwrap();
    act(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn make() {
    let out = PathBuf::from(std::env::var_os("COLTAPE_GOLDEN_OUT").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (full, core, dmy) = (folder.path().join("full"), folder.path().join("core"), folder.path().join("dmy"));
    let dir = open_dir(&full, options());
    live::<Trades>(&dir, "LIVE");
    live::<Md>(&dir, "LIVE");
    live::<TickerTrades>(&dir, "LIVE");
    sealed::<Trades>(&dir, "SEALED");
    sealed::<Md>(&dir, "SEALED");
    sealed::<TickerTrades>(&dir, "SEALED");
    sealed_and_late::<Trades>(&dir, "SEALED-LATE");
    sealed_and_late::<Md>(&dir, "SEALED-LATE");
    sealed_and_late::<TickerTrades>(&dir, "SEALED-LATE");
    live_and_late(&dir, "LIVE-LATE");
    for name in ["DAMAGED-BYTE", "DAMAGED-PAGE"] {
        live::<Trades>(&dir, name);
    }
    sealed::<Trades>(&dir, "DAMAGED-LENGTH");
    drop(dir);
    let dir = open_dir(&core, StoreOptions { columns: ColumnSet::Core, ..options() });
    live::<Trades>(&dir, "CORE-LIVE");
    live::<Md>(&dir, "CORE-LIVE");
    live::<TickerTrades>(&dir, "CORE-LIVE");
    sealed::<Trades>(&dir, "CORE-SEALED");
    sealed::<Md>(&dir, "CORE-SEALED");
    sealed::<TickerTrades>(&dir, "CORE-SEALED");
    drop(dir);
    let dir = open_dir(&dmy, StoreOptions { date_format: DateFormat::Dmy, ..options() });
    live::<Trades>(&dir, "DMY");
    sealed::<TickerTrades>(&dir, "DMY");
    drop(dir);
    let failed = folder.path().join("failed");
    witness(&failed, "WITNESS");
    for from in [&full, &core, &dmy, &failed] {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_owned();
            if name != "_coltape" {
                copy(&path, &out.join(name));
            }
        }
    }
    replacing(&folder.path().join("replacing"), "REPLACING", &out);
    // Byte 3 of the third price; one record less in a column; state, spare and identity unreadable.
    change(out.join(format!("DAMAGED-BYTE/TRADES/trade_price.{DAY}.bin")), |bytes| bytes[11] ^= 1);
    change(out.join(format!("DAMAGED-LENGTH/TRADES/trade_id.{DAY}.bin")), |bytes| bytes.truncate(11 * 8));
    change(out.join(format!("DAMAGED-PAGE/TRADES/commit.{DAY}.bin")), |bytes| {
        for at in [100, 4 * 512 + 100, 5 * 512 + 100] {
            bytes[at] ^= 0xff;
        }
    });
}
