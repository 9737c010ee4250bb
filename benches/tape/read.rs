//! Records read back: a sum over a day's prices times sizes, record by record, column by column, and from files read into memory.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{DataDir, Day, Snapshot, StoreOptions};

use crate::corpus::{CORPUS, Maker, RECV, time_of};
use crate::rivals::value;
use crate::rounds::{Contest, Entrant, thread_cpu};
use crate::write::folder;

/// Records of the day.
const RECORDS: u64 = 1 << 19;

/// Whole records.
pub const ROWS: &str = "coltape: Snapshot::rows, whole records";
/// Two columns where they lie.
pub const COLUMNS: &str = "coltape: Snapshot::column_bytes, two columns";
/// Two files.
pub const FILES: &str = "the two files by std::fs::read";

fn column(name: &str) -> usize {
    Dataset::Trades.columns().iter().position(|column| column.name == name).unwrap()
}

fn sum(prices: &[u8], sizes: &[u8]) -> f64 {
    let (prices, sizes) = (prices.as_chunks::<8>().0, sizes.as_chunks::<8>().0);
    prices.iter().zip(sizes).map(|(price, size)| f64::from_le_bytes(*price) * f64::from_le_bytes(*size)).sum()
}

/// What the entrants share: the day stays open as it would be in a capture, and the folder goes with it.
struct Held {
    snapshot: Snapshot<Trades>,
    day: Day<Trades>,
    _folder: tempfile::TempDir,
}

fn recorded() -> Held {
    let folder = folder();
    let options = StoreOptions::default().force_fs(true);
    let dir = Arc::new(DataDir::open(folder.path(), options, "bench").unwrap());
    let product = ProductId::new("BTC-USD").unwrap();
    let mut day = Day::<Trades>::open(&dir, &product, RECV.day(), RECV).unwrap().0;
    let mut maker = Maker::new(5);
    let trades: Vec<Trade> =
        (0..CORPUS).map(|at| value::matched(maker.matched("BTC-USD", at as u64 + 1, time_of(at)).as_bytes(), RECV).unwrap().1).collect();
    for id in 0..RECORDS {
        if day.room() == 0 {
            day.commit();
            day.files().provision().unwrap();
        }
        day.insert(&Trade { trade_id: id + 1, ..trades[id as usize % CORPUS] }).unwrap();
    }
    day.commit();
    let snapshot = Snapshot::open(folder.path(), &product, RECV.day()).unwrap().unwrap();
    Held { snapshot, day, _folder: folder }
}

fn by_columns(held: &Held) -> f64 {
    sum(held.snapshot.column_bytes(column("trade_price_f64")), held.snapshot.column_bytes(column("trade_size_f64")))
}

/// The contest.
pub fn contest() -> Contest {
    let held = Rc::new(recorded());
    let expected = by_columns(&held);
    let entrant = |name, read: fn(&Held) -> f64| {
        let held = Rc::clone(&held);
        let run = move || {
            let began = thread_cpu();
            let found = black_box(read(&held));
            let took = thread_cpu() - began;
            assert!((found - expected).abs() <= expected * 1e-9, "{name}: {found} is not {expected}");
            took
        };
        Entrant { name, run: Box::new(run) }
    };
    let rows = |held: &Held| held.snapshot.rows().map(|trade| trade.price.as_f64 * trade.size.as_f64).sum();
    let files = |held: &Held| {
        let bytes = RECORDS as usize * 8;
        let read = |name| std::fs::read(held.day.files().column_path(name)).unwrap();
        sum(&read("trade_price_f64")[..bytes], &read("trade_size_f64")[..bytes])
    };
    let entrants = vec![entrant(ROWS, rows), entrant(COLUMNS, by_columns), entrant(FILES, files)];
    Contest { name: "read: price times size over half a million records", per: "ns CPU / record", elements: RECORDS, entrants }
}
