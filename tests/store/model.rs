//! A day against a model of it: whatever is inserted, committed, synced, closed, sealed, crashed and opened again, the day's answers and
//! what a reader sees are those of a map from id to trade.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Trade};
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::{BootId, DataDir, Day, InsertError, Inserted, Opening, Snapshot, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};
use proptest::prelude::*;

const DAY: UtcDay = UtcDay(20_000);

#[derive(Debug, Clone)]
enum Op {
    /// Id, one of three sizes, with order ids or without.
    Insert(u64, u8, bool),
    Commit,
    Sync,
    /// The process ends, committed or not, and starts again.
    Restart,
    /// The machine does.
    Reboot,
    Seal,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (1u64..120, 0u8..3, any::<bool>()).prop_map(|(id, size, named)| Op::Insert(id, size, named)),
        4 => Just(Op::Commit),
        2 => Just(Op::Sync),
        1 => Just(Op::Restart),
        1 => Just(Op::Reboot),
        1 => Just(Op::Seal),
    ]
}

fn trade(id: u64, size: u8, named: bool) -> Trade {
    let order = |number: u64| if named { OrderId(number.to_be_bytes().repeat(2).try_into().unwrap()) } else { OrderId::NIL };
    let (price, size) = (decimal::parse(b"106999.99").unwrap(), decimal::parse(format!("0.{}1", size + 1).as_bytes()).unwrap());
    Trade {
        trade_id: id,
        time: UnixNanos(DAY.start().0 + id),
        price,
        size,
        maker_order_id: order(id + 1),
        taker_order_id: order(id + 2),
        ..Trades::EMPTY
    }
}

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

struct World {
    folder: tempfile::TempDir,
    boot: u8,
    dir: Option<Arc<DataDir>>,
    day: Option<Day<Trades>>,
    syncer: Option<Syncer>,
    /// What was inserted, what of it is committed, and what of that was committed at the last cycle.
    inserted: BTreeMap<u64, Trade>,
    committed: BTreeMap<u64, Trade>,
    durable: BTreeMap<u64, Trade>,
    /// Late records survive a restart of the machine as far as they are whole, which in a test's cache they all are.
    late: BTreeMap<u64, Trade>,
    /// Those of them that were committed: an older copy comes back where a better one was not.
    late_committed: BTreeMap<u64, Trade>,
    /// A reader that has had the day open since the machine started.
    reader: Option<Snapshot<Trades>>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let empty = BTreeMap::new;
        let mut world = Self {
            folder,
            boot: 1,
            dir: None,
            day: None,
            syncer: None,
            inserted: empty(),
            committed: empty(),
            durable: empty(),
            late: empty(),
            late_committed: empty(),
            reader: None,
        };
        world.start();
        world
    }

    fn start(&mut self) -> Opening {
        let options = StoreOptions::default().first_records(16).boot_id(Some(BootId([self.boot; 16])));
        let dir = crate::opened(self.folder.path(), options, "model");
        let (day, opening) = Day::open(&dir, &product(), DAY, DAY.start()).unwrap();
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        (self.dir, self.day, self.syncer) = (Some(dir), Some(day), Some(syncer));
        opening
    }

    fn stop(&mut self) {
        (self.day, self.syncer, self.dir) = (None, None, None);
    }

    fn insert(&mut self, row: Trade) {
        let day = self.day.as_mut().unwrap();
        let last = day.last_key();
        let done = loop {
            match day.insert(&row) {
                Err(InsertError::NoRoom) => day.files().provision().unwrap(),
                done => break done.unwrap(),
            }
        };
        let id = row.trade_id;
        let want = match self.inserted.get(&id) {
            None if id > last => Inserted::Appended,
            None => Inserted::Late,
            Some(stored) if !stored.agrees_with(&row) => Inserted::Conflict(*stored),
            Some(stored) if row.completes(stored) => Inserted::Late,
            Some(_) => Inserted::Duplicate,
        };
        assert_eq!(done, want);
        if matches!(done, Inserted::Appended | Inserted::Late) {
            self.inserted.insert(id, row);
        }
        if done == Inserted::Late {
            self.late.insert(id, row);
        }
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Insert(id, size, named) => self.insert(trade(id, size, named)),
            Op::Commit => {
                self.day.as_mut().unwrap().commit();
                self.committed = self.inserted.clone();
                self.late_committed = self.late.clone();
            }
            Op::Sync => {
                self.syncer.as_mut().unwrap().cycle().unwrap();
                self.durable = self.committed.clone();
            }
            Op::Restart => {
                self.stop();
                let opening = self.start();
                assert!(matches!(opening, Opening::Continued { given_up: 0, .. }), "{opening:?}");
                self.inserted = self.committed.clone();
                self.late = self.late_committed.clone();
            }
            Op::Reboot => {
                self.stop();
                self.boot += 1;
                self.reader = None;
                let opening = self.start();
                assert!(matches!(opening, Opening::Continued { .. }), "{opening:?}");
                self.durable.extend(self.late.clone());
                self.late_committed = self.late.clone();
                self.inserted = self.durable.clone();
                self.committed = self.durable.clone();
            }
            Op::Seal => {
                let files = self.day.take().unwrap().close();
                let sealed = seal::seal(self.dir.as_ref().unwrap(), vec![files]);
                assert!(
                    sealed.iter().all(|outcome| outcome.sealed.as_ref().is_ok_and(|sealed| sealed.records == self.inserted.len() as u64)),
                    "{sealed:?}"
                );
                self.committed = self.inserted.clone();
                self.durable = self.inserted.clone();
                self.late.clear();
                self.late_committed.clear();
                self.stop();
                assert_eq!(self.check(self.folder.path()), []);
                assert_eq!(self.start(), Opening::Reopened { records: self.inserted.len() as u64 });
            }
        }
    }

    fn check(&self, folder: &Path) -> Vec<coltape::internals::store::Fault> {
        Snapshot::<Trades>::open(folder, &product(), DAY).unwrap().unwrap().check().unwrap()
    }

    /// Holds what a reader sees against the model: one that opens the day now, and one that has had it open and looks again.
    fn compare(&mut self) {
        let seen = Snapshot::<Trades>::open_on(Some(BootId([self.boot; 16])), self.folder.path(), &product(), DAY).unwrap().unwrap();
        let rows: Vec<Trade> = seen.rows().collect();
        assert_eq!(rows, self.committed.values().copied().collect::<Vec<_>>());
        assert_eq!(seen.check().unwrap(), []);
        let reader = self
            .reader
            .get_or_insert_with(|| Snapshot::open_on(Some(BootId([self.boot; 16])), self.folder.path(), &product(), DAY).unwrap().unwrap());
        reader.refresh().unwrap();
        assert!(!reader.refresh().unwrap(), "nothing is new after a look");
        assert_eq!(reader.rows().collect::<Vec<_>>(), rows);
        assert_eq!((reader.state(), reader.base_count(), reader.late()), (seen.state(), seen.base_count(), seen.late()));
    }
}

#[test]
fn an_older_late_copy_comes_back_where_a_better_one_was_not_committed() {
    let mut world = World::new();
    let ops = [Op::Insert(43, 0, false), Op::Insert(42, 2, false), Op::Commit, Op::Insert(42, 2, true), Op::Restart, Op::Reboot];
    for op in ops {
        world.act(&op);
        world.compare();
    }
    assert!(world.committed.keys().eq(&[42]), "43 was not on disk yet, 42 was");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_day_answers_as_a_map_would(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in &ops {
            world.act(op);
            world.compare();
        }
    }
}
