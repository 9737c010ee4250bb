//! Records found by time and id, run by run and column by column, while a day grows, takes late records, is sealed and replaced; and what that costs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Layout, Md, Trades};
use coltape::internals::store::{BootId, DataDir, Day, InsertError, ReadCosts, Run, Snapshot, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::{ColumnError, DayState, TimeRange};
use proptest::prelude::*;

const DAY: UtcDay = UtcDay(20_000);
const SECOND: u64 = 1_000_000_000;

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64, nanos_of_day: u64) -> Trade {
    Trade {
        trade_id: id,
        time: UnixNanos(DAY.start().0 + nanos_of_day),
        price: Decimal::new(id as f64 + 0.25, id as f32 + 0.25, true),
        size: Decimal::new(0.5, 0.5, true),
        maker_order_id: OrderId((id + 1).to_be_bytes().repeat(2).try_into().unwrap()),
        sequence: id * 3,
        ..Trades::EMPTY
    }
}

fn ticker(sequence: u64, nanos_of_day: u64) -> Ticker {
    let time = UnixNanos(DAY.start().0 + nanos_of_day);
    Ticker { sequence, time, recv: time, best_bid_size: 1.0, best_ask_size: 2.0, ..Md::EMPTY }
}

/// A day that is written to.
struct Writer<L: Layout> {
    dir: Arc<DataDir>,
    syncer: Syncer,
    day: Option<Day<L>>,
}

impl<L: Layout> Writer<L> {
    fn begin(folder: &Path, options: StoreOptions) -> Self {
        let dir = crate::opened(folder, options, "test");
        let mut writer = Self { syncer: Syncer::new(Arc::clone(&dir)), dir, day: None };
        writer.open();
        writer
    }

    fn open(&mut self) {
        self.open_at(DAY.start());
    }

    fn open_at(&mut self, now: UnixNanos) {
        let (day, _) = Day::<L>::open(&self.dir, &product(), DAY, now).unwrap();
        self.syncer.watch(day.files());
        self.day = Some(day);
    }

    fn insert(&mut self, row: &L::Row) {
        let day = self.day.as_mut().unwrap();
        while let Err(InsertError::NoRoom) = day.insert(row) {
            day.files().provision().unwrap();
        }
    }

    fn commit(&mut self) {
        self.day.as_mut().unwrap().commit();
    }

    fn seal(&mut self) {
        let files = self.day.take().unwrap().close();
        let sealed = seal::seal(&self.dir, vec![files]);
        assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
    }
}

fn open<L: Layout>(folder: &Path) -> Snapshot<L> {
    Snapshot::open(folder, &product(), DAY).unwrap().unwrap()
}

/// The numbers of the records of a range, one by one.
fn filtered(times: &[UnixNanos], range: TimeRange) -> Vec<usize> {
    (0..times.len()).filter(|at| range.contains(times[*at])).collect()
}

/// The day answers every question about `range` and `part` as the list of its rows does.
fn answers_as<L: Layout>(day: &Snapshot<L>, rows: &[L::Row], range: TimeRange, part: Range<usize>) {
    let times: Vec<UnixNanos> = rows.iter().map(L::time).collect();
    let (pieces, want) = (day.time_pieces(range), filtered(&times, range));
    assert!(pieces.iter().flat_map(Clone::clone).eq(want.iter().copied()), "{pieces:?} for {range:?}");
    assert!(pieces.is_sorted_by(|one, next| one.end < next.start), "ranges that touch would be one: {pieces:?}");
    let hull = want.first().map_or(0..0, |first| *first..want[want.len() - 1] + 1);
    assert_eq!(day.time_range(range), hull);
    let part = part.start.min(rows.len())..part.end.min(rows.len());
    assert!(day.rows_in(part.clone()).eq(rows[part.clone()].iter().copied()));
    assert!(day.rows_in(part.clone()).rev().eq(rows[part.clone()].iter().rev().copied()));
    assert_eq!(day.rows_in(part.clone()).len(), part.len());
    assert_eq!(part.clone().map(|number| day.time_at(number).unwrap()).collect::<Vec<_>>(), times[part.clone()]);
    let by_runs = day.runs(part.clone()).flat_map(|run| match run {
        Run::Columns(records) => records.map(|record| day.base_row(record).unwrap()).collect(),
        Run::Late(row) => vec![*row],
    });
    assert!(by_runs.eq(rows[part].iter().copied()));
    assert_eq!((day.time_at(rows.len()), day.rows_in(rows.len()..usize::MAX).next()), (None, None));
}

#[derive(Debug, Clone)]
enum Op {
    /// A number of trades that follow, this far from each other in time, in nanoseconds.
    Append(u16, u64),
    /// The exchange's clock is set back, by seconds.
    SetBack(u16),
    /// Ids are left out, to come late.
    Leave(u8),
    /// Some of the ids left out come, at their own times.
    Late(u8),
    Commit,
    Sync,
    /// The day is sealed, with its late records in their place, and opened again.
    Seal,
    /// A reader looks.
    Look,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1u16..600, prop_oneof![Just(0), Just(1), 1u64..3_000_000, Just(SECOND)]).prop_map(|(count, step)| Op::Append(count, step)),
        1 => (0u16..3600).prop_map(Op::SetBack),
        2 => (1u8..20).prop_map(Op::Leave),
        3 => (1u8..20).prop_map(Op::Late),
        4 => Just(Op::Commit),
        1 => Just(Op::Sync),
        1 => Just(Op::Seal),
        4 => Just(Op::Look),
    ]
}

struct World {
    folder: tempfile::TempDir,
    writer: Writer<Trades>,
    next_id: u64,
    now: u64,
    left: Vec<(u64, u64)>,
    inserted: BTreeMap<u64, Trade>,
    committed: BTreeMap<u64, Trade>,
    reader: Snapshot<Trades>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::begin(folder.path(), StoreOptions::default().first_records(1024));
        let reader = open(folder.path());
        let (inserted, committed) = (BTreeMap::new(), BTreeMap::new());
        Self { folder, writer, next_id: 1, now: 7200 * SECOND, left: Vec::new(), inserted, committed, reader }
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Append(count, step) => {
                for _ in 0..count {
                    let row = trade(self.next_id, self.now);
                    self.writer.insert(&row);
                    self.inserted.insert(self.next_id, row);
                    (self.next_id, self.now) = (self.next_id + 1, self.now + step);
                }
            }
            Op::SetBack(seconds) => self.now -= (u64::from(seconds) * SECOND).min(self.now),
            Op::Leave(count) => {
                for _ in 0..count {
                    self.left.push((self.next_id, self.now));
                    (self.next_id, self.now) = (self.next_id + 1, self.now + 1);
                }
            }
            Op::Late(count) => {
                for (id, time) in self.left.drain(..usize::from(count).min(self.left.len())).collect::<Vec<_>>() {
                    let row = trade(id, time);
                    self.writer.insert(&row);
                    self.inserted.insert(id, row);
                }
            }
            Op::Commit => self.commit(),
            Op::Sync => drop(self.writer.syncer.cycle().unwrap()),
            Op::Seal => {
                self.commit();
                self.writer.seal();
                self.look();
                self.writer.open();
            }
            Op::Look => self.look(),
        }
    }

    fn commit(&mut self) {
        self.writer.commit();
        self.committed = self.inserted.clone();
    }

    fn look(&mut self) {
        self.reader.refresh().unwrap();
        assert!(!self.reader.refresh().unwrap(), "nothing is new after a look");
    }

    fn compare(&self, range: TimeRange, part: Range<usize>) {
        let rows: Vec<Trade> = self.committed.values().copied().collect();
        let fresh = open(self.folder.path());
        for day in [&self.reader, &fresh] {
            answers_as(day, &rows, range, part.clone());
            let ids: Vec<u64> = day.column("trade_id").unwrap().to_vec();
            assert_eq!(ids, (0..day.base_count()).map(|record| day.base_row(record).unwrap().trade_id).collect::<Vec<_>>());
            for id in [0, 1, part.start as u64, part.end as u64, self.next_id, u64::MAX] {
                assert_eq!(day.number_of_id(id), rows.iter().position(|row| row.trade_id == id), "{id}");
            }
            let ids = part.start as u64..=part.end as u64;
            let want: Vec<usize> = (0..rows.len()).filter(|at| ids.contains(&rows[*at].trade_id)).collect();
            assert!(day.id_range(ids).eq(want));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn trades_are_found_as_in_a_list_while_the_day_grows_and_is_replaced(
        ops in prop::collection::vec(op(), 1..40),
        ranges in prop::collection::vec((0u64..20_000, 0u64..4000, 0u64..4_000_000_000), 4),
    ) {
        let mut world = World::new();
        for (at, op) in ops.iter().chain([&Op::Commit, &Op::Look]).enumerate() {
            world.act(op);
            if matches!(op, Op::Look | Op::Seal) {
                let (from, len, nanos) = ranges[at % ranges.len()];
                let from = UnixNanos(DAY.start().0 + from * SECOND + nanos % SECOND);
                let range = TimeRange::new(from, UnixNanos(from.0 + len * SECOND + nanos));
                let part = len as usize..(len + nanos % 5000) as usize;
                // What is not committed, the reader does not show.
                world.compare(range, part.clone());
                world.compare(TimeRange { from: Some(from), to: None }, part.clone());
                world.compare(TimeRange::ALL, part);
            }
        }
    }

    #[test]
    fn late_tickers_are_found_behind_all_others(times in prop::collection::vec(0u64..50, 1..60), late in prop::collection::vec(0u64..50, 0..8), from in 0u64..50, len in 0u64..30) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::<Md>::begin(folder.path(), StoreOptions::default().first_records(64));
        let mut reader = open::<Md>(folder.path());
        let mut rows = Vec::new();
        for (at, time) in times.iter().enumerate() {
            rows.push(ticker(at as u64 + 100, *time));
            writer.insert(&rows[at]);
            if at % 7 == 0 {
                writer.commit();
                reader.refresh().unwrap();
            }
        }
        // Of a day that is over, whatever comes is late.
        writer.seal();
        writer.open_at(DAY.next().start());
        for (at, time) in late.iter().enumerate() {
            let row = ticker(at as u64 + 1000, *time);
            writer.insert(&row);
            rows.push(row);
            writer.commit();
            reader.refresh().unwrap();
        }
        writer.commit();
        reader.refresh().unwrap();
        prop_assert_eq!(reader.late().len(), late.len());
        let start = DAY.start().0 + from;
        for day in [&reader, &open::<Md>(folder.path())] {
            for range in [TimeRange::ALL, TimeRange::new(UnixNanos(start), UnixNanos(start + len))] {
                // A ticker has values that are no numbers, so rows are compared by what tells them apart.
                let times: Vec<UnixNanos> = rows.iter().map(|row| row.time).collect();
                prop_assert_eq!(day.rows().map(|row| (row.sequence, row.time)).collect::<Vec<_>>(), rows.iter().map(|row| (row.sequence, row.time)).collect::<Vec<_>>());
                prop_assert_eq!(day.time_pieces(range).into_iter().flatten().collect::<Vec<_>>(), filtered(&times, range));
            }
        }
    }
}

/// Appends trades behind the one with this id, and leaves one of a thousand out.
fn append(writer: &mut Writer<Trades>, id: &mut u64, count: u64) {
    for _ in 0..count {
        *id += 1;
        if *id % 1000 != 500 {
            writer.insert(&trade(*id, *id * 1000));
        }
    }
    writer.commit();
}

/// What a refresh costs is counted: files opened, maps moved, late records read, times looked at.
#[test]
fn a_refresh_costs_what_has_come_and_not_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path(), StoreOptions::default().first_records(1024));
    let (many, few) = (70_000, 20u64);
    let mut id = 0;
    append(&mut writer, &mut id, many);
    let mut reader = open::<Trades>(folder.path());
    assert_eq!(reader.time_range(TimeRange::ALL).len(), reader.count());
    let before = reader.costs();
    assert_eq!(before, ReadCosts { opened: 1, times_indexed: reader.count() as u64, ..ReadCosts::default() });
    let rounds = 100;
    for round in 0..rounds {
        append(&mut writer, &mut id, few);
        if round % 10 == 0 {
            let left_out = round * 100 + 500;
            writer.insert(&trade(left_out, left_out * 1000));
            writer.commit();
        }
        assert!(reader.refresh().unwrap());
    }
    assert_eq!(reader.late().len(), 10);
    let costs = reader.costs();
    assert_eq!((costs.opened, costs.moved_maps, costs.late_read), (1, 0, 10));
    let looked_at = costs.times_indexed - before.times_indexed;
    assert!(looked_at <= rounds * (few + 1024), "{looked_at} times were looked at for {} new records", rounds * few);
    // Past the address space that was mapped at first: every map is moved once.
    append(&mut writer, &mut id, 80_000);
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.costs().opened, reader.costs().moved_maps), (1, Trades::COLUMNS.len() as u64));
    assert!(reader.rows().map(|row| row.trade_id).eq(open::<Trades>(folder.path()).rows().map(|row| row.trade_id)));
    assert_eq!(reader.base_row(reader.base_count() - 1).unwrap(), trade(id, id * 1000));
    // Nothing new, and a seal without late records, open nothing either; a replacement opens the new files.
    assert!(!reader.refresh().unwrap());
    writer.seal();
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.state(), reader.opened()), (DayState::Sealed { generation: 1 }, 2), "it had late records");
    assert!(!reader.refresh().unwrap());
    writer.open();
    append(&mut writer, &mut id, few);
    writer.seal();
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.state(), reader.opened()), (DayState::Sealed { generation: 1 }, 2), "it grew, and was cut to its length");
    assert_eq!(reader.base_row(reader.base_count() - 1).unwrap(), trade(id, id * 1000));
}

#[test]
fn a_day_that_was_begun_anew_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default());
    for id in 1..=50 {
        writer.insert(&trade(id, id));
    }
    writer.commit();
    let mut reader = open::<Trades>(folder.path());
    drop(writer);
    let place = folder.path().join("BTC-USD/TRADES");
    std::fs::rename(&place, folder.path().join("moved")).unwrap();
    assert!(!reader.refresh().unwrap(), "somebody has moved the day away: what was shown still is");
    assert_eq!(reader.count(), 50);
    let mut writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default());
    writer.insert(&trade(7, 70));
    writer.commit();
    assert!(reader.refresh().unwrap());
    assert_eq!((reader.rows().map(|row| row.trade_id).collect::<Vec<_>>(), reader.opened()), (vec![7], 2));
}

/// A reader that has not looked since the machine crashed is an unlikely one. Its index of times would be that of the records given up.
#[test]
fn records_that_were_given_up_and_replaced_by_others_are_not_taken_for_those_shown() {
    let (folder, boots) = (tempfile::tempdir().unwrap(), [1, 2].map(|boot| Some(BootId([boot; 16]))));
    let mut writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default().boot_id(boots[0]));
    for id in 1..=3000 {
        writer.insert(&trade(id, id * SECOND));
        if id == 50 {
            writer.commit();
            writer.syncer.cycle().unwrap();
            writer.syncer.cycle().unwrap();
        }
    }
    writer.commit();
    let mut reader = Snapshot::<Trades>::open_on(boots[0], folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(reader.time_range(TimeRange::ALL), 0..3000);
    drop(writer);
    let mut writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default().boot_id(boots[1]));
    assert_eq!(writer.day.as_ref().unwrap().count(), 50, "the others were not on disk");
    for id in 10_001..=14_000 {
        writer.insert(&trade(id, id * SECOND));
    }
    writer.commit();
    writer.syncer.cycle().unwrap();
    writer.syncer.cycle().unwrap();
    assert!(reader.refresh().unwrap());
    let rows: Vec<Trade> = (1..=50).chain(10_001..=14_000).map(|id| trade(id, id * SECOND)).collect();
    for second in [40, 100, 3000, 10_010] {
        let from = DAY.start().0 + second * SECOND;
        answers_as(&reader, &rows, TimeRange::new(UnixNanos(from), UnixNanos(from + 1000 * SECOND)), 40..70);
    }
}

#[test]
fn columns_are_slices_of_their_type() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default());
    for id in 1..=100 {
        writer.insert(&trade(id, id));
    }
    writer.commit();
    let day = open::<Trades>(folder.path());
    let rows: Vec<Trade> = day.rows().collect();
    assert!(day.column::<u64>("trade_id").unwrap().iter().copied().eq(rows.iter().map(|row| row.trade_id)));
    assert!(day.column::<u32>("trade_nanos").unwrap().iter().copied().eq(rows.iter().map(|row| row.time.subsec_nanos())));
    assert!(day.column::<f32>("trade_price").unwrap().iter().copied().eq(rows.iter().map(|row| row.price.as_f32)));
    assert!(day.column::<f64>("trade_price_f64").unwrap().iter().copied().eq(rows.iter().map(|row| row.price.as_f64)));
    assert!(day.column::<[u8; 16]>("maker_order_id").unwrap().iter().copied().eq(rows.iter().map(|row| row.maker_order_id.0)));
    let error = day.column::<f32>("trade_price_f64").unwrap_err();
    assert_eq!(error.to_string(), "trade_price_f64 holds F64, not F32");
    assert!(day.column::<u64>("trade_price_f64").is_err() && day.column::<u32>("trade_price").is_err(), "as wide, and another type");
    let error = day.column::<f64>("price").unwrap_err();
    assert!(matches!(&error, ColumnError::Unknown { known, .. } if known.len() == Trades::COLUMNS.len()), "{error}");
    drop(writer);

    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::<Trades>::begin(folder.path(), StoreOptions::default().columns(ColumnSet::Core));
    let day = open::<Trades>(folder.path());
    assert_eq!(day.column::<f32>("trade_price"), Ok([].as_slice()));
    let error = day.column::<f64>("trade_price_f64").unwrap_err();
    assert!(matches!(&error, ColumnError::NotStored { held, .. } if held.len() == 8), "{error}");
    drop(writer);
}
