//! A dataset-day through its life: appended to, synced, opened again, sealed, replaced, and read back by a reader of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::{
    self, BootId, DataDir, Day, DayState, InsertError, Inserted, Opening, Snapshot, StoreError, StoreOptions, SyncError, Syncer, Trusted,
    seal,
};
use coltape::internals::time::{DateFormat, UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);

fn noon() -> UnixNanos {
    UnixNanos(DAY.start().0 + 43_200_000_000_000)
}

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64) -> Trade {
    let number = |text: String| decimal::parse(text.as_bytes()).unwrap();
    Trade {
        trade_id: id,
        time: UnixNanos(noon().0 + id * 1_000_003),
        price: number(format!("{}.{:02}", 100_000 + id % 50_000, id % 100)),
        size: number(format!("0.{:08}", id % 99_999_999 + 1)),
        side: if id.is_multiple_of(3) { Side::Buy } else { Side::Sell },
        maker_order_id: OrderId(id.to_be_bytes().repeat(2).try_into().unwrap()),
        taker_order_id: OrderId((!id).to_be_bytes().repeat(2).try_into().unwrap()),
        sequence: id * 7,
        recv: UnixNanos(noon().0 + id * 1_000_003 + 5_000),
        ..Trades::EMPTY
    }
}

fn ticker(sequence: u64) -> Ticker {
    let of = trade(sequence + 1);
    Ticker {
        time: of.time,
        recv: of.recv,
        trade_id: of.trade_id,
        sequence,
        price: of.price,
        volume: of.size,
        best_bid: of.price,
        best_ask: of.price,
        best_bid_size: 1.5,
        side: Some(of.side),
        ..Md::EMPTY
    }
}

fn dir_with(path: &Path, options: StoreOptions) -> Arc<DataDir> {
    crate::opened(path, options, "exchange wss://test")
}

fn dir(path: &Path) -> Arc<DataDir> {
    dir_with(path, StoreOptions::default())
}

fn open<L: Layout>(dir: &Arc<DataDir>) -> (Day<L>, Opening) {
    Day::open(dir, &product(), DAY, noon()).unwrap()
}

fn insert<L: Layout>(day: &mut Day<L>, row: &L::Row) -> Inserted<L::Row> {
    loop {
        match day.insert(row) {
            Ok(done) => return done,
            Err(InsertError::NoRoom) => day.files().provision().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn rows<L: Layout>(path: &Path) -> Vec<L::Row> {
    Snapshot::<L>::open(path, &product(), DAY).unwrap().map_or_else(Vec::new, |day| day.rows().collect())
}

fn seal_one<L: Layout>(dir: &Arc<DataDir>, day: Day<L>) -> store::Sealed {
    let mut sealed = seal::seal(dir, vec![day.close()]);
    sealed.pop().unwrap().sealed.unwrap()
}

fn faults<L: Layout>(path: &Path) -> Vec<store::Fault> {
    Snapshot::<L>::open(path, &product(), DAY).unwrap().unwrap().check().unwrap()
}

#[test]
fn nothing_is_visible_before_the_commit_and_everything_after() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, opening) = open::<Trades>(&dir);
    assert_eq!(opening, Opening::Created);
    let mut reader = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    for id in 1..=3 {
        assert_eq!(insert(&mut day, &trade(id)), Inserted::Appended);
    }
    assert!(!reader.refresh().unwrap());
    assert_eq!((reader.count(), day.count(), day.last_key()), (0, 3, 3));
    day.commit();
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.rows().collect::<Vec<_>>(), [trade(1), trade(2), trade(3)]);
    assert!(!reader.refresh().unwrap());
}

#[test]
fn the_id_rule_tells_new_late_duplicate_conflict_and_better() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    let from_rest = Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, recv: UnixNanos(0), ..trade(5) };
    assert_eq!(insert(&mut day, &trade(2)), Inserted::Appended);
    assert_eq!(insert(&mut day, &from_rest), Inserted::Appended);
    assert_eq!(insert(&mut day, &trade(9)), Inserted::Appended);
    assert_eq!(insert(&mut day, &trade(2)), Inserted::Duplicate, "not even committed yet");
    assert_eq!(
        insert(&mut day, &Trade { recv: UnixNanos(1), sequence: 0, ..trade(9) }),
        Inserted::Duplicate,
        "what the exchange decides is equal"
    );
    let other = Trade { size: decimal::parse(b"7").unwrap(), ..trade(9) };
    assert_eq!(insert(&mut day, &other), Inserted::Conflict(trade(9)));
    assert_eq!(insert(&mut day, &trade(1)), Inserted::Late);
    assert_eq!(insert(&mut day, &trade(1)), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &Trade { side: Side::Buy, ..trade(1) }), Inserted::Conflict(trade(1)));
    assert_eq!(insert(&mut day, &trade(5)), Inserted::Late, "it brings the order ids");
    assert_eq!(insert(&mut day, &from_rest), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &trade(5)), Inserted::Duplicate);
    assert_eq!((day.find(5), day.find(4), day.find(9)), (Some(trade(5)), None, Some(trade(9))));
    assert_eq!(rows::<Trades>(folder.path()), [], "late records wait for the commit too");
    day.commit();
    assert_eq!(rows::<Trades>(folder.path()), [trade(1), trade(2), trade(5), trade(9)]);
    drop(day);
    let (mut day, _) = open::<Trades>(&dir);
    assert_eq!((day.count(), day.late_count()), (3, 2));
    assert_eq!(insert(&mut day, &trade(1)), Inserted::Duplicate, "also after opening again");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (4, 2, 1));
    assert_eq!(rows::<Trades>(folder.path()), [trade(1), trade(2), trade(5), trade(9)]);
    assert_eq!(faults::<Trades>(folder.path()), []);
}

#[test]
fn tickers_come_in_order_stale_ones_are_dropped_and_those_without_a_sequence_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir_with(folder.path(), StoreOptions::default().columns(ColumnSet::Core));
    let (mut day, _) = open::<TickerTrades>(&dir);
    assert_eq!(insert(&mut day, &ticker(40)), Inserted::Appended);
    assert_eq!(insert(&mut day, &ticker(40)), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &ticker(39)), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &ticker(0)), Inserted::Appended);
    assert_eq!(insert(&mut day, &ticker(0)), Inserted::Appended);
    assert_eq!(insert(&mut day, &ticker(41)), Inserted::Appended);
    let files = day.close();
    assert_eq!(files.committed(), 4);
    drop(files);
    let (mut day, _) = open::<TickerTrades>(&dir);
    assert_eq!(day.last_key(), 41, "no column holds the sequence: the page does");
    assert_eq!(insert(&mut day, &ticker(41)), Inserted::Duplicate);
    seal_one(&dir, day);
    let (mut day, opening) = open::<TickerTrades>(&dir);
    assert_eq!((opening, day.last_key()), (Opening::Reopened { records: 4 }, 41));
    assert_eq!(insert(&mut day, &ticker(41)), Inserted::Duplicate);
}

#[test]
fn room_is_asked_for_by_what_growing_counts() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().first_records(64).force_fs(true);
    let dir = dir_with(folder.path(), options);
    let (mut day, _) = open::<Trades>(&dir);
    assert_eq!((day.room(), day.needs_room()), (64, false));
    (1..=60).for_each(|id| assert_eq!(day.insert(&trade(id)).unwrap(), Inserted::Appended));
    assert!(!day.needs_room(), "growing would find nothing committed, and add nothing");
    day.commit();
    assert!(day.needs_room());
    day.files().provision().unwrap();
    assert!(!day.needs_room());
    let room = 60 + day.room();
    assert!(room >= 124 && day.seen_room() == room, "{room}");
    (61..=room).for_each(|id| assert_eq!(day.insert(&trade(id)).unwrap(), Inserted::Appended));
    assert!(matches!(day.insert(&trade(room + 1)), Err(InsertError::NoRoom)) && day.needs_room(), "wanted in vain");
    day.files().provision().unwrap();
    day.insert(&trade(room + 1)).unwrap();
}

#[test]
fn whoever_finds_room_short_and_asks_for_more_gets_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut draw = fastrand::Rng::with_seed(19);
    for date in 0..30 {
        let options = StoreOptions::default().first_records(draw.u64(1..=64)).force_fs(true);
        let dir = dir_with(folder.path(), options);
        let (mut day, _) = Day::<Trades>::open(&dir, &product(), UtcDay(DAY.0 + date), noon()).unwrap();
        let mut id = 0;
        while id < 4_000 {
            match draw.u8(0..10) {
                0 => day.commit(),
                1..4 if day.room() > 0 => {
                    // To the last record, now and then, and committed or not.
                    let count = if draw.bool() { day.room() } else { draw.u64(1..=day.room()) };
                    (0..count).for_each(|_| {
                        id += 1;
                        day.insert(&trade(id)).unwrap();
                    });
                }
                _ => {}
            }
            if day.needs_room() {
                let seen = day.seen_room();
                day.files().provision().unwrap();
                assert!(day.room() + day.count() > seen, "{} records, room for {seen}: asked for more in vain", day.count());
            }
        }
    }
}

#[test]
fn room_that_is_made_while_a_day_is_written_takes_no_record_away() {
    const RECORDS: u64 = 300_000;
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    let (files, is_over) = (Arc::clone(day.files()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Room is made by another thread all the time, and the pages of a busy day are made present with it.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                files.provision().unwrap();
            }
        });
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                syncer.cycle().unwrap();
            }
        });
        for id in 1..=RECORDS {
            while matches!(day.insert(&trade(id)), Err(InsertError::NoRoom)) {
                day.commit();
            }
            if id % 100 == 0 {
                day.commit();
            }
        }
        is_over.store(true, Relaxed);
    });
    day.commit();
    assert!(rows::<Trades>(folder.path()).into_iter().eq((1..=RECORDS).map(trade)));
    for column in Dataset::Trades.columns() {
        let bytes = std::fs::read(day.files().column_path(column.name)).unwrap();
        let behind = &bytes[usize::try_from(RECORDS).unwrap() * column.kind.width()..];
        assert!(!behind.is_empty() && behind.iter().all(|byte| *byte == 0), "{}: nothing lies behind the records", column.name);
    }
}

#[test]
fn a_day_grows_far_beyond_its_first_room_and_a_seal_leaves_bare_columns() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    const RECORDS: u64 = 40_000;
    for id in 1..=RECORDS {
        insert(&mut day, &trade(id));
        if id % 777 == 0 {
            day.commit();
            if day.files().needs_room() {
                day.files().provision().unwrap();
            }
        }
        if id % 9999 == 0 {
            syncer.cycle().unwrap();
        }
    }
    let length = std::fs::metadata(day.files().column_path("trade_id")).unwrap().len() / 8;
    assert!((RECORDS..=RECORDS + 2 * store::MAX_LEAD).contains(&length), "the length stays near the records: {length}");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (RECORDS, 0, 0));
    for column in Dataset::Trades.columns() {
        let path = folder.path().join(format!("BTC-USD/TRADES/{}.{DAY}.bin", column.name));
        assert_eq!(std::fs::metadata(path).unwrap().len(), RECORDS * column.kind.width() as u64, "{}", column.name);
    }
    assert_eq!(faults::<Trades>(folder.path()), []);
    let page = folder.path().join(format!("BTC-USD/TRADES/commit.{DAY}.bin"));
    std::fs::remove_file(page).unwrap();
    let bare = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!((bare.state(), bare.count(), bare.row(RECORDS as usize - 1)), (DayState::Bare, RECORDS as usize, Some(trade(RECORDS))));
}

#[test]
fn a_cycle_makes_durable_what_was_committed_and_then_rests() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    let (mut md, _) = open::<Md>(&dir);
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    syncer.watch(md.files());
    assert!(!syncer.cycle().unwrap().flushed, "nothing has changed");
    for id in 5..=10 {
        insert(&mut day, &trade(id));
    }
    day.commit();
    insert(&mut day, &trade(2));
    insert(&mut md, &ticker(1));
    let report = syncer.cycle().unwrap();
    assert_eq!((report.records_of(Dataset::Trades), report.records.iter().sum::<u64>()), (6, 6));
    assert_eq!((report.days, report.flushed), (1, true));
    assert_eq!((day.files().durable(), md.files().durable()), (6, 0));
    day.commit();
    md.commit();
    let report = syncer.cycle().unwrap();
    assert_eq!((report.records_of(Dataset::Md), report.records_of(Dataset::Trades)), (1, 1), "the late trade counts");
    let report = syncer.cycle().unwrap();
    assert_eq!((report.flushed, report.days), (true, 0), "the slots have to reach the disk as well");
    assert!(!syncer.cycle().unwrap().flushed);
    drop((day, md));
    assert!(!syncer.cycle().unwrap().flushed, "days that are gone are forgotten");
}

#[test]
fn after_a_restart_of_the_machine_only_what_was_durable_counts() {
    let folder = tempfile::tempdir().unwrap();
    let boot = |number| StoreOptions::default().boot_id(Some(BootId([number; 16])));
    let first = dir_with(folder.path(), boot(1));
    let (mut day, _) = open::<Trades>(&first);
    let mut syncer = Syncer::new(Arc::clone(&first));
    syncer.watch(day.files());
    for id in 1..=10 {
        insert(&mut day, &trade(id));
    }
    day.commit();
    syncer.cycle().unwrap();
    for id in 11..=15 {
        insert(&mut day, &trade(id));
    }
    day.commit();
    drop((day, syncer, first));
    let same = dir_with(folder.path(), boot(1));
    let (day, opening) = open::<Trades>(&same);
    assert_eq!(opening, Opening::Continued { records: 15, given_up: 0, trusted: Trusted::Committed });
    drop((day, same));
    let other = Snapshot::<Trades>::open_on(Some(BootId([2; 16])), folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(other.count(), 10, "a reader on another boot trusts no more");
    let second = dir_with(folder.path(), boot(2));
    let (mut day, opening) = open::<Trades>(&second);
    assert_eq!(opening, Opening::Continued { records: 10, given_up: 5, trusted: Trusted::Durable });
    assert_eq!(day.last_key(), 10);
    let column = std::fs::read(day.files().column_path("trade_time")).unwrap();
    assert!(column[40..].iter().all(|byte| *byte == 0), "what lies behind is zeroed");
    for id in 11..=15 {
        assert_eq!(insert(&mut day, &trade(id)), Inserted::Appended);
    }
    drop((day, second));
    let without = dir_with(folder.path(), StoreOptions::default().boot_id(None));
    let (_, opening) = open::<Trades>(&without);
    assert!(matches!(opening, Opening::Continued { records: 10, trusted: Trusted::Durable, .. }), "{opening:?}");
}

#[test]
fn todays_seal_is_opened_again_in_place_and_an_older_one_takes_late_records_only() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    for id in 1..=5 {
        insert(&mut day, &trade(id * 10));
    }
    seal_one(&dir, day);
    let mut reader = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(reader.state(), DayState::Sealed { generation: 0 });
    let (mut day, opening) = open::<Trades>(&dir);
    assert_eq!(opening, Opening::Reopened { records: 5 });
    insert(&mut day, &trade(60));
    day.commit();
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.state(), reader.count()), (DayState::Live, 6));
    seal_one(&dir, day);
    let tomorrow = DAY.next().start();
    let (mut day, opening) = Day::<Trades>::open(&dir, &product(), DAY, tomorrow).unwrap();
    assert_eq!(opening, Opening::Sealed { records: 6 });
    assert!(day.files().is_sealed() && !day.files().needs_room());
    assert_eq!(insert(&mut day, &trade(60)), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &trade(70)), Inserted::Late);
    assert_eq!(insert(&mut day, &trade(15)), Inserted::Late);
    day.commit();
    let merged = [10, 15, 20, 30, 40, 50, 60, 70].map(trade);
    assert_eq!(rows::<Trades>(folder.path()), merged);
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.count(), reader.base_count(), reader.late()), (8, 6, [trade(70), trade(15)].as_slice()));
    drop(day);
    let waiting = seal::unsealed(folder.path(), &product()).unwrap();
    assert_eq!(waiting.iter().map(|key| (key.dataset, key.date)).collect::<Vec<_>>(), [(Dataset::Trades, DAY)]);
    let sealed = seal::seal_at_rest(&dir, &waiting[0]).unwrap();
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (8, 2, 1));
    assert_eq!(reader.rows().collect::<Vec<_>>(), merged, "a snapshot of the old files stands still");
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.state(), reader.late().len()), (DayState::Sealed { generation: 1 }, 0));
    assert_eq!(reader.rows().collect::<Vec<_>>(), merged);
    assert_eq!(seal::unsealed(folder.path(), &product()).unwrap(), []);
    assert!(!folder.path().join(format!("BTC-USD/TRADES/late.{DAY}.bin")).exists());
    assert_eq!(faults::<Trades>(folder.path()), []);
}

/// Seals a day of tickers, adds a late one, and closes the day in one of three ways; the same ticker is a copy then, whichever columns there are.
fn late_ticker_is_known_again<L: Layout<Row = Ticker>>(columns: ColumnSet) {
    let day_after = UnixNanos(noon().0 + 86_400_000_000_000);
    for (is_empty, how) in [true, false].into_iter().flat_map(|is_empty| ["sealed", "left", "on another boot"].map(|how| (is_empty, how))) {
        let folder = tempfile::tempdir().unwrap();
        let options = |boot: u8| StoreOptions::default().columns(columns).boot_id(Some(BootId([boot; 16])));
        let dir = dir_with(folder.path(), options(1));
        let (mut day, _) = Day::<L>::open(&dir, &product(), DAY, noon()).unwrap();
        if !is_empty {
            insert(&mut day, &ticker(3));
        }
        seal_one(&dir, day);
        let (mut day, _) = Day::<L>::open(&dir, &product(), DAY, day_after).unwrap();
        assert_eq!(insert(&mut day, &ticker(8)), Inserted::Late);
        day.commit();
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        assert_eq!(syncer.cycle().unwrap().records.into_iter().sum::<u64>(), 1);
        if how == "sealed" {
            seal_one(&dir, day);
        } else {
            drop(day);
        }
        drop((syncer, dir));
        let dir = dir_with(folder.path(), options(if how == "on another boot" { 2 } else { 1 }));
        let last = || store::catalog::last_key(folder.path(), &product(), L::DATASET).unwrap();
        assert_eq!(last(), Some(8), "{how}");
        let (mut day, _) = Day::<L>::open(&dir, &product(), DAY, day_after).unwrap();
        assert_eq!(insert(&mut day, &ticker(8)), Inserted::Duplicate, "{how}, {}, {columns:?}, empty {is_empty}", L::DATASET.name());
        assert_eq!(insert(&mut day, &ticker(9)), Inserted::Late);
        day.commit();
        assert_eq!(day.last_key(), 9);
        seal_one(&dir, day);
        assert_eq!((last(), rows::<L>(folder.path()).len()), (Some(9), 3 - usize::from(is_empty)));
    }
}

#[test]
fn a_late_ticker_that_comes_again_is_a_copy_also_of_a_day_that_was_sealed_or_left_since() {
    for columns in [ColumnSet::Full, ColumnSet::Core] {
        late_ticker_is_known_again::<Md>(columns);
        late_ticker_is_known_again::<TickerTrades>(columns);
    }
}

#[test]
fn a_damaged_day_moves_to_quarantine_and_an_empty_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let boot = |number| StoreOptions::default().boot_id(Some(BootId([number; 16])));
    let first = dir_with(folder.path(), boot(1));
    let (mut day, _) = open::<Trades>(&first);
    let mut syncer = Syncer::new(Arc::clone(&first));
    syncer.watch(day.files());
    for id in 1..=10 {
        insert(&mut day, &trade(id));
    }
    day.commit();
    syncer.cycle().unwrap();
    let column = day.files().column_path("trade_price");
    drop((day, syncer, first));
    let mut bytes = std::fs::read(&column).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&column, &bytes).unwrap();
    let second = dir_with(folder.path(), boot(2));
    let (day, opening) = open::<Trades>(&second);
    let Opening::Quarantined { why, moved_to } = opening else { panic!("{opening:?}") };
    assert!(why.contains("10 records"), "{why}");
    assert_eq!(day.count(), 0);
    let kept = std::fs::read(moved_to.join(column.file_name().unwrap())).unwrap();
    assert_eq!(kept[..40], bytes[..40], "nothing is lost");
}

#[test]
fn a_spare_state_that_a_crash_left_behind_is_made_new_when_the_day_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let (mut day, _) = open::<Trades>(&dir);
    insert(&mut day, &trade(1));
    let page = folder.path().join(format!("BTC-USD/TRADES/commit.{DAY}.bin"));
    let (state, spare) = (2048..2560, 2560..3072);
    let live = std::fs::read(&page).unwrap()[state.clone()].to_vec();
    seal_one(&dir, day);
    let mut bytes = std::fs::read(&page).unwrap();
    assert!(bytes[state.clone()] == bytes[spare.clone()] && bytes[state.clone()] != live);
    bytes[spare.clone()].copy_from_slice(&live);
    std::fs::write(&page, &bytes).unwrap();
    let (_, opening) = Day::<Trades>::open(&dir, &product(), DAY, DAY.next().start()).unwrap();
    assert_eq!(opening, Opening::Sealed { records: 1 });
    let bytes = std::fs::read(&page).unwrap();
    assert!(bytes[state] == bytes[spare], "torn now, the state would be read from a stale spare");
}

#[test]
fn prepared_files_have_their_blocks_and_are_taken_over_by_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    Day::<Trades>::prepare(&dir, &product(), DAY, 100_000).unwrap();
    let path = folder.path().join(format!("BTC-USD/TRADES/trade_id.{DAY}.bin"));
    let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap()) * 512;
    assert!(blocks(&path) >= 800_000 && std::fs::metadata(&path).unwrap().len() == store::FIRST_RECORDS * 8);
    let (mut day, opening) = open::<Trades>(&dir);
    assert_eq!(opening, Opening::Continued { records: 0, given_up: 0, trusted: Trusted::Committed });
    insert(&mut day, &trade(1));
    Day::<Trades>::prepare(&dir, &product(), DAY, 1).unwrap();
    day.commit();
    seal_one(&dir, day);
    assert!(blocks(&path) < 10_000, "the seal gives back what was allocated ahead");
}

#[test]
fn a_day_that_is_made_ahead_while_it_is_opened_keeps_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir(folder.path());
    let both = std::sync::Barrier::new(2);
    for date in (DAY.0..DAY.0 + 100).map(UtcDay) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                Day::<Trades>::prepare(&dir, &product(), date, 100).unwrap();
            });
            both.wait();
            let (mut day, _) = Day::<Trades>::open(&dir, &product(), date, date.start()).unwrap();
            insert(&mut day, &Trade { time: date.start(), ..trade(1) });
            day.commit();
        });
        let day = Snapshot::<Trades>::open(folder.path(), &product(), date).unwrap().unwrap();
        assert_eq!(day.count(), 1, "{date}");
    }
    assert!(!folder.path().join("_coltape/quarantine").exists());
}

#[test]
fn both_spellings_of_a_date_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let dmy = dir_with(folder.path(), StoreOptions::default().date_format(DateFormat::Dmy).columns(ColumnSet::Core));
    let (mut day, _) = open::<TickerTrades>(&dmy);
    insert(&mut day, &ticker(3));
    seal_one(&dmy, day);
    drop(dmy);
    assert!(folder.path().join(format!("BTC-USD/TICKER_TRADES/trade_time.{}.bin", DAY.spelled(DateFormat::Dmy))).exists());
    assert_eq!(store::catalog::products(folder.path()).unwrap(), [product()]);
    assert_eq!(store::catalog::days(folder.path(), &product(), Dataset::TickerTrades).unwrap(), [DAY]);
    assert_eq!(rows::<TickerTrades>(folder.path()).len(), 1);
    let iso = dir(folder.path());
    let (_, opening) = open::<TickerTrades>(&iso);
    assert_eq!(opening, Opening::Reopened { records: 1 }, "the day keeps its spelling");
}

#[test]
fn a_second_writer_another_endpoint_and_an_unsafe_file_system_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let held = dir(folder.path());
    match DataDir::open(folder.path(), StoreOptions::default(), "exchange wss://test") {
        Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    assert_eq!(store::holder_of(folder.path()).unwrap(), Some(std::process::id().to_string()));
    drop(held);
    assert_eq!(store::holder_of(folder.path()).unwrap(), None);
    let refused = DataDir::open(folder.path(), StoreOptions::default(), "exchange wss://sandbox").unwrap_err();
    assert!(matches!(&refused, StoreError::OtherEndpoint { remembered, .. } if remembered == "exchange wss://test"), "{refused}");
    assert!(store::filesystem::refuse_unsafe(Path::new("/proc")).is_err());
}

#[test]
fn a_lock_is_held_whatever_becomes_of_its_file_and_folder() {
    use std::fs;
    use std::os::unix::fs::symlink;
    type Deed = fn(&Path);
    let deeds: [(&str, Deed); 7] = [
        ("nothing", |_| {}),
        ("the file is removed", |dir| fs::remove_file(dir.join("_coltape/lock")).unwrap()),
        ("the file is renamed", |dir| fs::rename(dir.join("_coltape/lock"), dir.join("_coltape/old")).unwrap()),
        ("the file is replaced", |dir| {
            fs::write(dir.join("_coltape/new"), "1\n").unwrap();
            fs::rename(dir.join("_coltape/new"), dir.join("_coltape/lock")).unwrap();
        }),
        ("the file is a link", |dir| {
            fs::rename(dir.join("_coltape/lock"), dir.join("_coltape/old")).unwrap();
            symlink("/dev/null", dir.join("_coltape/lock")).unwrap();
        }),
        ("the folder is renamed", |dir| fs::rename(dir.join("_coltape"), dir.join("old")).unwrap()),
        ("the folder is removed", |dir| fs::remove_dir_all(dir.join("_coltape")).unwrap()),
    ];
    for (what, act) in deeds {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let data = folder.path().join("data");
        let held = dir(&data);
        symlink(&data, &link).unwrap();
        act(&data);
        for path in [&data, &link] {
            match DataDir::open(path, StoreOptions::default(), "exchange wss://test") {
                Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, std::process::id().to_string(), "{what}"),
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(store::holder_of(path).unwrap(), Some(std::process::id().to_string()), "{what}");
        }
        drop(held);
        assert_eq!(store::holder_of(&data).unwrap(), None, "{what}");
        drop(dir(&data));
    }
}

#[test]
fn a_directory_that_an_earlier_version_holds_by_its_file_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(dir(folder.path()));
    let file = std::fs::File::open(folder.path().join("_coltape/lock")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(matches!(DataDir::open(folder.path(), StoreOptions::default(), "exchange wss://test"), Err(StoreError::Locked { .. })));
    assert!(store::holder_of(folder.path()).unwrap().is_some());
}

#[test]
fn many_days_are_sealed_with_as_few_flushes_as_one() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let flushes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&flushes);
    let probe = store::probe::Probe::new(move |step| {
        if matches!(step, store::probe::Step::Flushed(_)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        store::probe::Verdict::Go
    });
    let folder = tempfile::tempdir().unwrap();
    let dir = dir_with(folder.path(), StoreOptions::default().probe(Some(probe)));
    let mut days = Vec::new();
    for number in 0..60u64 {
        let product = ProductId::new(&format!("P{number}-USD")).unwrap();
        let (mut day, _) = Day::<Trades>::open(&dir, &product, DAY, noon()).unwrap();
        insert(&mut day, &trade(7));
        if number % 2 == 0 {
            insert(&mut day, &trade(3));
        }
        days.push(day.close());
    }
    let sealed = seal::seal(&dir, days);
    assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()));
    assert_eq!(sealed.iter().filter(|outcome| outcome.sealed.as_ref().is_ok_and(|sealed| sealed.records == 2)).count(), 30);
    assert_eq!(flushes.load(Ordering::Relaxed), 5);
}

#[test]
fn a_failed_flush_is_repaired_once_and_a_second_one_stops() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use store::probe::{Probe, Step, Verdict, Why};
    let failing = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&failing);
    let probe = Probe::new(move |step| match step {
        Step::Flush(Why::Sync) if seen.load(Ordering::Relaxed) >= 1 => Verdict::Fail,
        Step::Flush(Why::Again) if seen.load(Ordering::Relaxed) >= 2 => Verdict::Fail,
        _ => Verdict::Go,
    });
    let folder = tempfile::tempdir().unwrap();
    let dir = dir_with(folder.path(), StoreOptions::default().probe(Some(probe)));
    let (mut day, _) = open::<Trades>(&dir);
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    insert(&mut day, &trade(5));
    insert(&mut day, &trade(1));
    day.commit();
    failing.store(1, Ordering::Relaxed);
    let report = syncer.cycle().unwrap();
    assert!(report.recovered && day.files().durable() == 1);
    insert(&mut day, &trade(6));
    day.commit();
    failing.store(2, Ordering::Relaxed);
    let stopped = syncer.cycle().unwrap_err();
    assert!(matches!(&stopped, SyncError::Disk { then, .. } if matches!(**then, StoreError::Flush { .. })), "{stopped}");
    assert_eq!(day.files().durable(), 1, "what failed is not called durable");
    drop((day, syncer, dir));
    let dir = self::dir(folder.path());
    let (_, opening) = open::<Trades>(&dir);
    assert_eq!(
        opening,
        Opening::Continued { records: 1, given_up: 1, trusted: Trusted::Durable },
        "on the same boot, but a flush has failed"
    );
}

#[test]
fn bare_columns_of_somebody_else_are_set_aside_and_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let columns = folder.path().join("BTC-USD/TRADES");
    std::fs::create_dir_all(&columns).unwrap();
    let name = format!("trade_id.{DAY}.bin");
    std::fs::write(columns.join(&name), 17u64.to_le_bytes()).unwrap();
    let dir = dir(folder.path());
    let (mut day, opening) = open::<Trades>(&dir);
    assert_eq!(opening, Opening::Created);
    assert_eq!(day.insert(&trade(1)).unwrap(), Inserted::Appended);
    let aside = folder.path().join("_coltape/quarantine/BTC-USD/TRADES").join(format!("{DAY}-1")).join(name);
    assert_eq!(std::fs::read(aside).unwrap(), 17u64.to_le_bytes());
}

#[test]
fn a_copy_of_a_trade_is_a_duplicate_where_only_the_core_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = dir_with(folder.path(), StoreOptions::default().columns(ColumnSet::Core));
    let (mut day, _) = open::<Trades>(&dir);
    let from_rest = Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, ..trade(7) };
    insert(&mut day, &from_rest);
    insert(&mut day, &trade(9));
    // The cents and the eighth decimal are not stored, so that they cannot differ either.
    assert_eq!(insert(&mut day, &trade(9)), Inserted::Duplicate);
    assert_eq!(insert(&mut day, &trade(7)), Inserted::Late, "it brings the order ids");
    assert_eq!(insert(&mut day, &trade(7)), Inserted::Duplicate);
    let other = Trade { size: decimal::parse(b"7").unwrap(), ..trade(9) };
    assert!(matches!(insert(&mut day, &other), Inserted::Conflict(_)));
}
