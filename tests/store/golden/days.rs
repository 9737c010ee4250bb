//! The golden days: what was stored in them, and copies of them that a test may write to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coltape::internals::decimal::{self, Decimal};
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{Column, ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::{self, BootId, DataDir, Day, InsertError, Inserted, Opening, Sealed, Snapshot, StoreOptions, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

pub(crate) const DAY: UtcDay = UtcDay(20_246);
/// The boot that the days were written on.
pub(crate) const BOOT: BootId = BootId([1; 16]);

pub(crate) fn noon() -> UnixNanos {
    UnixNanos(DAY.start().0 + 43_200_000_000_000)
}

pub(crate) fn tomorrow() -> UnixNanos {
    DAY.next().start()
}

fn number(text: &str) -> Decimal {
    decimal::parse(text.as_bytes()).unwrap()
}

pub(crate) fn trade(id: u64) -> Trade {
    Trade {
        trade_id: id,
        time: UnixNanos(noon().0 + id * 1_000_000_007),
        price: number(&format!("{}.{:02}", 131_072 + id * 3, id % 100)),
        size: number(&format!("{}.{:08}", id % 7, id * 7919 + 1)),
        side: if id.is_multiple_of(3) { Side::Buy } else { Side::Sell },
        maker_order_id: OrderId((u128::from(id) << 64 | 0xa11ce).to_be_bytes()),
        taker_order_id: OrderId((u128::from(id) << 64 | 0xb0b).to_be_bytes()),
        sequence: 50_000 + id * 7,
        recv: UnixNanos(noon().0 + id * 1_000_000_007 + 5_000),
        ..Trades::EMPTY
    }
}

pub(crate) fn ticker(sequence: u64) -> Ticker {
    let of = trade(sequence);
    Ticker {
        time: of.time,
        recv: of.recv,
        trade_id: of.trade_id,
        sequence,
        price: of.price,
        volume: of.size,
        best_bid: number(&format!("{}.25", 131_000 + sequence)),
        best_ask: number(&format!("{}.75", 131_000 + sequence)),
        best_bid_size: 1.5,
        best_ask_size: 0.25,
        side: Some(of.side),
    }
}

/// The columns that version 1 of the format had.
pub(crate) fn columns_of_version_1(dataset: Dataset, set: ColumnSet) -> &'static [Column] {
    let (core, full) = match dataset {
        Dataset::Trades => (8, 13),
        Dataset::Md => (7, 16),
        Dataset::TickerTrades => (6, 6),
    };
    set.front(dataset.columns(), if set == ColumnSet::Core { core } else { full }).unwrap()
}

/// The datasets' rows, as they were given to the store and as a folder gives them back.
pub(crate) trait Rows: Layout {
    fn make(key: u64) -> Self::Row;
    fn core(row: Self::Row) -> Self::Row;
}

fn rounded(value: Decimal) -> Decimal {
    Decimal::from_f32(value.as_f32)
}

impl Rows for Trades {
    fn make(key: u64) -> Trade {
        trade(key)
    }

    fn core(row: Trade) -> Trade {
        Trade { price: rounded(row.price), size: rounded(row.size), sequence: 0, recv: UnixNanos(0), ..row }
    }
}

impl Rows for Md {
    fn make(key: u64) -> Ticker {
        ticker(key)
    }

    fn core(row: Ticker) -> Ticker {
        Ticker {
            time: row.time,
            price: rounded(row.price),
            volume: rounded(row.volume),
            best_bid: rounded(row.best_bid),
            best_ask: rounded(row.best_ask),
            side: row.side,
            ..Md::EMPTY
        }
    }
}

impl Rows for TickerTrades {
    fn make(key: u64) -> Ticker {
        ticker(key)
    }

    fn core(row: Ticker) -> Ticker {
        Ticker { time: row.time, price: rounded(row.price), volume: rounded(row.volume), side: row.side, ..Md::EMPTY }
    }
}

/// Rows in a form that compares null with null.
pub(crate) fn shown<R: std::fmt::Debug>(rows: impl IntoIterator<Item = R>) -> Vec<String> {
    rows.into_iter().map(|row| format!("{row:?}")).collect()
}

/// The rows of these keys, as a folder of the set gives them back.
pub(crate) fn expected<L: Rows>(keys: impl IntoIterator<Item = u64>, set: ColumnSet) -> Vec<String> {
    let has_core_alone = set == ColumnSet::Core || L::DATASET == Dataset::TickerTrades;
    shown(keys.into_iter().map(L::make).map(|row| if has_core_alone { L::core(row) } else { row }))
}

pub(crate) fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1")
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            // By its bytes: a copy can be written to, whatever the rights of the original.
            std::fs::write(target, std::fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// A copy of one product's golden days, in a data directory of its own.
pub(crate) struct Copied {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) product: ProductId,
}

impl Copied {
    /// Copies the days as to another machine: only what was durable counts.
    pub(crate) fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(&golden().join(name), &dir.path().join(name));
        Self { dir, product: ProductId::new(name).unwrap() }
    }

    /// Copies the days and makes the pages say that they were written in the copied files: what was committed counts, too.
    pub(crate) fn as_on_the_same_boot(name: &str) -> Self {
        let copied = Self::of(name);
        for dataset in Dataset::ALL {
            let path = copied.path(dataset, "commit");
            let Ok(found) = std::fs::metadata(&path) else { continue };
            let (device, inode) = (std::os::unix::fs::MetadataExt::dev(&found), std::os::unix::fs::MetadataExt::ino(&found));
            let mut page = std::fs::read(&path).unwrap();
            page[576..584].copy_from_slice(&device.to_le_bytes());
            page[584..592].copy_from_slice(&inode.to_le_bytes());
            std::fs::write(&path, page).unwrap();
        }
        copied
    }

    pub(crate) fn path(&self, dataset: Dataset, column: &str) -> PathBuf {
        self.dir.path().join(self.product.as_str()).join(dataset.folder()).join(format!("{column}.{DAY}.bin"))
    }

    pub(crate) fn files(&self, dataset: Dataset) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join(self.product.as_str()).join(dataset.folder())).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn data_dir(&self) -> Arc<DataDir> {
        let options = StoreOptions::default().first_records(24).boot_id(Some(BOOT));
        crate::opened(self.dir.path(), options, "exchange wss://golden")
    }

    pub(crate) fn snapshot<L: Layout>(&self) -> Snapshot<L> {
        Snapshot::open_on(Some(BOOT), self.dir.path(), &self.product, DAY).unwrap().unwrap()
    }

    pub(crate) fn rows<L: Layout>(&self) -> Vec<String> {
        shown(self.snapshot::<L>().rows())
    }

    pub(crate) fn faults<L: Layout>(&self) -> Vec<store::Fault> {
        self.snapshot::<L>().check().unwrap()
    }

    pub(crate) fn open<L: Layout>(&self, dir: &Arc<DataDir>, now: UnixNanos) -> (Day<L>, Opening) {
        Day::open(dir, &self.product, DAY, now).unwrap()
    }
}

pub(crate) fn insert<L: Layout>(day: &mut Day<L>, row: &L::Row) -> Inserted<L::Row> {
    loop {
        match day.insert(row) {
            Err(InsertError::NoRoom) => day.files().provision().unwrap(),
            other => return other.unwrap(),
        }
    }
}

pub(crate) fn seal_one<L: Layout>(dir: &Arc<DataDir>, day: Day<L>) -> Sealed {
    seal::seal(dir, vec![day.close()]).pop().unwrap().sealed.unwrap()
}
