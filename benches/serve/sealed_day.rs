//! A day of 50 million trades as a capture leaves it: every column, sealed, with its checksums.

use std::path::PathBuf;
use std::sync::Arc;

use coltape::internals::decimal::parse;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, OrderId, Origin, Side, Trade};
use coltape::internals::schema::Trades;
use coltape::internals::store::seal::seal;
use coltape::internals::store::{DataDir, Day, InsertError, StoreOptions, Syncer};
use coltape::internals::time::{UnixNanos, UtcDay};

/// Trades of the day unless COLTAPE_BENCH_TRADES says otherwise.
const TRADES: u64 = 50_000_000;
const DATE: UtcDay = UtcDay(20_000);
const NANOS_PER_DAY: u64 = 86_400_000_000_000;
/// Trades between two commits.
const BATCH: u64 = 4_096;

/// The day and where it lies.
pub struct SealedDay {
    pub folder: tempfile::TempDir,
    pub trades: u64,
}

impl SealedDay {
    pub fn make() -> Self {
        let trades = std::env::var("COLTAPE_BENCH_TRADES").map_or(TRADES, |text| text.parse().unwrap());
        let base = std::env::var_os("COLTAPE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = tempfile::Builder::new().prefix("coltape-bench.").tempdir_in(base).unwrap();
        let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default().force_fs(true), "bench").unwrap());
        let (mut day, _) = Day::<Trades>::open(&dir, &ProductId::new("BTC-USD").unwrap(), DATE, DATE.start()).unwrap();
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        let prices: Vec<_> = (0..97).map(|step| parse(format!("{}.{step:02}", 100_000 + step / 7).as_bytes()).unwrap()).collect();
        let sizes: Vec<_> = (1..89).map(|step| parse(format!("0.{:08}", step * 1_234_577 % 100_000_000).as_bytes()).unwrap()).collect();
        // As random as those of the exchange: what repeats would be a small file of Parquet.
        let mut random = fastrand::Rng::with_seed(1);
        let mut order = move || OrderId((random.u128(..) | 1).to_be_bytes());
        let mut taker = order();
        for at in 0..trades {
            if at % 3 == 0 {
                taker = order();
            }
            let time = UnixNanos(DATE.start().0 + at * (NANOS_PER_DAY / trades));
            let id = at + 1;
            let trade = Trade {
                trade_id: id,
                time,
                recv: UnixNanos(time.0 + 2_000_000),
                price: prices[at as usize % prices.len()],
                size: sizes[at as usize % sizes.len()],
                side: if at / 3 % 2 == 0 { Side::Buy } else { Side::Sell },
                sequence: 7 * id,
                maker_order_id: order(),
                taker_order_id: taker,
                origin: Origin::new(Means::Live, 0, 0),
            };
            while let Err(error) = day.insert(&trade) {
                assert!(matches!(error, InsertError::NoRoom), "{error}");
                day.files().provision().unwrap();
            }
            if id % BATCH == 0 {
                day.commit();
            }
        }
        let files = day.close();
        syncer.cycle().unwrap();
        for outcome in seal(&dir, vec![files]) {
            outcome.sealed.unwrap();
        }
        Self { folder, trades }
    }
}
