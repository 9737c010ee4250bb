//! `coltape.py` on a live day while 100 000 records a second come in, through growth, late records, seals and replacements: nothing torn, lost or beyond
//! the committed records. With a writer that announces records before it has stored them the same reader must say so.
//!
//! `scripts/readers.sh` runs the second half: what readers cost the writer.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::internals::decimal::Decimal;
use coltape::internals::record::{OrderId, Side, Trade};
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::{DataDir, Day, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

use super::script;
use crate::market::{data_dir, insert, product};

pub(super) const DAY: UtcDay = UtcDay(20_000);
const RECORDS: u64 = 200_000;
/// How the reader ends when it has seen something that never was.
const TORN: i32 = 43;

/// Every column follows from the id, and none of it is zero.
pub(super) fn trade(id: u64) -> Trade {
    let order = |salt: u64| OrderId((id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt | 1).to_be_bytes().repeat(2).try_into().unwrap());
    Trade {
        trade_id: id,
        time: UnixNanos(DAY.start().0 + 1_000_000_000 + id * 300_001),
        price: Decimal::new(id as f64 + 0.25, id as f32 + 0.25, true),
        size: Decimal::new(id as f64 + 0.5, id as f32 + 0.5, true),
        side: Side::Buy,
        maker_order_id: order(0x1234),
        taker_order_id: order(0xABCD),
        sequence: id * 3,
        recv: UnixNanos(id * 5),
        ..Trades::EMPTY
    }
}

pub(super) fn start_reader(folder: &Path, pause: &str) -> Child {
    let mut reader = script("live_reader.py");
    reader.arg(folder).args(["BTC-USD", &DAY.to_string(), pause]).stdout(Stdio::piped()).stderr(Stdio::piped());
    reader.spawn().unwrap()
}

pub(super) struct Writer {
    dir: Arc<DataDir>,
    pub(super) syncer: Syncer,
    pub(super) day: Day<Trades>,
}

impl Writer {
    pub(super) fn begin(folder: &Path) -> Self {
        Self::open(data_dir(folder, StoreOptions::default()))
    }

    fn open(dir: Arc<DataDir>) -> Self {
        let (day, _) = Day::open(&dir, &product(), DAY, DAY.start()).unwrap();
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        Self { dir, syncer, day }
    }

    fn seal_and_open_again(self) -> Self {
        let sealed = seal::seal(&self.dir, vec![self.day.close()]);
        assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
        Self::open(self.dir)
    }
}

#[test]
fn a_reader_sees_whole_committed_records_only_while_100_000_a_second_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path());
    let mut reader = start_reader(folder.path(), "0");
    let began = Instant::now();
    let mut missing = Vec::new();
    for id in 1..=RECORDS {
        // Some come late: at times before a seal, which then replaces the day, at times in its midst.
        if id % 5003 == 0 {
            missing.push(id);
        } else {
            insert(&mut writer.day, &trade(id));
        }
        if id % 50 == 0 {
            writer.day.commit();
            // Not faster than 100 000 a second: the reader is to see many states.
            while began.elapsed() < Duration::from_micros(id * 10) {
                std::hint::spin_loop();
            }
        }
        if id % 8000 == 0 {
            writer.syncer.cycle().unwrap();
        }
        if id % 20_000 == 0 {
            for late in missing.drain(..) {
                insert(&mut writer.day, &trade(late));
            }
        }
        if id % 30_000 == 0 || id == RECORDS {
            writer = writer.seal_and_open_again();
        }
        assert!(id % 1000 != 0 || reader.try_wait().unwrap().is_none(), "the reader gave up after {id} records");
    }
    writer.day.commit();
    std::fs::write(folder.path().join("stop"), "").unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let [looks, records, generations] = said.split_whitespace().map(|word| word.parse().unwrap()).collect::<Vec<u64>>()[..] else {
        panic!("{said}")
    };
    assert_eq!(records, RECORDS);
    assert!(looks > 20 && generations > 2, "{looks} looks, {generations} states: it must have seen seals and replacements");
}

#[test]
fn a_commit_before_the_columns_is_noticed_by_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path());
    let mut reader = start_reader(folder.path(), "0");
    let (began, mut id) = (Instant::now(), 0);
    let code = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "the planted bug was not noticed");
        writer.day.files().provision().unwrap();
        writer.day.plant_early_commit(writer.day.count() + 100);
        for _ in 0..100 {
            id += 1;
            insert(&mut writer.day, &trade(id));
        }
        writer.day.commit();
        if let Some(status) = reader.try_wait().unwrap() {
            break status.code();
        }
    };
    assert_eq!(code, Some(TORN));
}
