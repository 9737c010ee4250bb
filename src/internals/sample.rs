//! A small data directory for the samples of the documentation, which run as tests.

use std::path::Path;
use std::sync::Arc;

use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{Side, Ticker, Trade};
use crate::schema::{Layout, Md, Trades};
use crate::store::{DataDir, Day, StoreError, StoreOptions};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Trades of a day, one an hour.
const TRADES: u16 = 24;

/// Writes two days of BTC-USD, 2025-06-07 and 2025-06-08: a trade of half a coin and a ticker an hour. The ids are 1 to 48, the prices 100 001 to 100 048.
///
/// # Errors
/// Where the files cannot be written.
pub fn tape(folder: &Path) -> Result<(), StoreError> {
    let dir = Arc::new(DataDir::open(folder, StoreOptions::default().force_fs(true), "sample")?);
    for (number, date) in [UtcDay(20_246), UtcDay(20_247)].into_iter().enumerate() {
        let first = if number == 0 { 1 } else { TRADES + 1 };
        write_day::<Trades>(&dir, date, first, trade)?;
        write_day::<Md>(&dir, date, first, ticker)?;
    }
    Ok(())
}

fn write_day<L: Layout>(dir: &Arc<DataDir>, date: UtcDay, first: u16, row: fn(u16, UnixNanos) -> L::Row) -> Result<(), StoreError> {
    let product = ProductId::new("BTC-USD").map_err(|error| StoreError::damaged(dir.path(), error.to_string()))?;
    let (mut day, _) = Day::<L>::open(dir, &product, date, date.start())?;
    day.files().provision()?;
    for hour in 0..TRADES {
        let time = UnixNanos(date.start().0 + u64::from(hour) * 3600 * NANOS_PER_SECOND);
        day.insert(&row(first + hour, time)).map_err(|error| StoreError::damaged(dir.path(), error.to_string()))?;
    }
    day.commit();
    Ok(())
}

fn price(id: u16) -> Decimal {
    let value = f32::from(id) + 100_000.0;
    Decimal::new(f64::from(value), value, true)
}

fn trade(id: u16, time: UnixNanos) -> Trade {
    let size = Decimal::new(0.5, 0.5, true);
    Trade { trade_id: id.into(), time, price: price(id), size, side: Side::Buy, sequence: u64::from(id) * 2, recv: time, ..Trades::EMPTY }
}

fn ticker(id: u16, time: UnixNanos) -> Ticker {
    let (best_bid, best_ask) = (price(id - 1), price(id));
    let of_trade = trade(id, time);
    Ticker {
        time,
        recv: time,
        trade_id: of_trade.trade_id,
        sequence: of_trade.sequence,
        price: of_trade.price,
        volume: of_trade.size,
        side: Some(Side::Buy),
        best_bid,
        best_ask,
        ..Md::EMPTY
    }
}
