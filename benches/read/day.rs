//! A sealed day of 50 million trades, made for the benches: column files alone.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use coltape::{Dataset, Layout, ProductId, Snapshot, Trades, UtcDay};

/// Trades of the day unless COLTAPE_BENCH_TRADES says otherwise.
const TRADES: u64 = 50_000_000;
const DATE: UtcDay = UtcDay(20_000);
const NANOS_PER_DAY: u64 = 86_400_000_000_000;
/// How far a trade may lie before the one in front of it.
const FALL_NANOS: u64 = 200_000;

/// The day and where it lies.
pub struct BenchDay {
    pub folder: tempfile::TempDir,
    pub product: ProductId,
    pub date: UtcDay,
    pub trades: u64,
}

/// Draws numbers that a compiler cannot foresee, the same in every run.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

impl BenchDay {
    /// Writes the day. Columns that no contest reads take no room: their files have a length and no blocks.
    pub fn make() -> Self {
        let trades = std::env::var("COLTAPE_BENCH_TRADES").map_or(TRADES, |text| text.parse().unwrap());
        let base = std::env::var_os("COLTAPE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = tempfile::Builder::new().prefix("coltape-bench.").tempdir_in(base).unwrap();
        let product = ProductId::new("BTC-USD").unwrap();
        let place = folder.path().join(product.as_str()).join(Dataset::Trades.folder());
        std::fs::create_dir_all(&place).unwrap();
        let create = |name: &str| File::create(place.join(format!("{name}.{DATE}.bin"))).unwrap();
        for column in Trades::COLUMNS {
            create(column.name).set_len(trades * column.kind.width() as u64).unwrap();
        }
        let open = |name: &str| BufWriter::with_capacity(1 << 20, create(name));
        let [mut ids, mut seconds, mut nanos, mut sides, mut prices, mut sizes] =
            ["trade_id", "trade_time", "trade_nanos", "trade_side", "trade_price_f64", "trade_size_f64"].map(open);
        let (mut draw, mut cents) = (Draw(0x9E37_79B9_7F4A_7C15), 10_000_000u64);
        for at in 0..trades {
            let drawn = draw.next();
            let behind = at as u128 * u128::from(NANOS_PER_DAY - FALL_NANOS) / u128::from(trades);
            let time = DATE.start().0 + behind as u64 + FALL_NANOS - drawn % FALL_NANOS;
            cents = cents + drawn / 7 % 3 - 1;
            ids.write_all(&(at + 1).to_le_bytes()).unwrap();
            seconds.write_all(&((time / 1_000_000_000) as u32).to_le_bytes()).unwrap();
            nanos.write_all(&((time % 1_000_000_000) as u32).to_le_bytes()).unwrap();
            sides.write_all(&((drawn >> 40) as u32 & 1).to_le_bytes()).unwrap();
            prices.write_all(&(cents as f64 / 100.0).to_le_bytes()).unwrap();
            sizes.write_all(&((drawn >> 32) as u32 as f64 / 1e8).to_le_bytes()).unwrap();
        }
        for mut column in [ids, seconds, nanos, sides, prices, sizes] {
            column.flush().unwrap();
        }
        Self { folder, product, date: DATE, trades }
    }

    /// Opens the day.
    pub fn open(&self) -> Snapshot<Trades> {
        Snapshot::open(self.folder.path(), &self.product, self.date).unwrap().unwrap()
    }
}
