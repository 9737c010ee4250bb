//! A small made-up market: its trades and tickers with their texts. It can be stored, and written as a ledger.
#![allow(dead_code, clippy::indexing_slicing, reason = "each test binary uses a part, and a test may panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{JOURNAL, JournalFile};
use coltape::internals::store::{DataDir, Day, InsertError, Inserted, StoreError, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

/// 2025-06-07, a Saturday.
pub(crate) const FIRST_DAY: UtcDay = UtcDay(20_246);

/// A print of the tape: one trade with its texts, and the quote after it.
#[derive(Clone)]
pub(crate) struct Print {
    pub(crate) trade: Trade,
    pub(crate) price: String,
    pub(crate) size: String,
    pub(crate) bid: String,
    pub(crate) ask: String,
    pub(crate) has_ticker: bool,
    pub(crate) sent: bool,
}

pub(crate) fn product() -> ProductId {
    ProductId::new("BTC-USD").expect("a product")
}

/// Makes `count` trades from `first_id` on. The first is at `start`; they are `step` nanoseconds apart on average, and three at a time share one time.
pub(crate) fn prints(first_id: u64, count: u64, start: UnixNanos, step: u64) -> Vec<Print> {
    (0..count)
        .map(|at| {
            let id = first_id + at;
            let price = format!("{}.{:02}", 131_000 + id % 997, id % 100);
            let size = format!("{}.{:08}", id % 7, id * 7919 % 99_999_999 + 1);
            let time = UnixNanos(start.0 + at / 3 * 3 * step);
            let number = |text: &str| decimal::parse(text.as_bytes()).expect("a decimal");
            let trade = Trade {
                trade_id: id,
                time,
                price: number(&price),
                size: number(&size),
                side: if id % 5 < 2 { Side::Buy } else { Side::Sell },
                maker_order_id: OrderId((u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1).to_be_bytes()),
                taker_order_id: OrderId((u128::from(id / 3) << 64 | 7).to_be_bytes()),
                sequence: 10_000 + id * 3,
                recv: UnixNanos(time.0 + 1_000_000),
                ..Trades::EMPTY
            };
            let bid = format!("{}.{:02}", 130_999 + id % 997, id % 100);
            Print { trade, bid, ask: price.clone(), price, size, has_ticker: !id.is_multiple_of(4), sent: true }
        })
        .collect()
}

/// Makes the ticker of a trade.
pub(crate) fn ticker(print: &Print) -> Ticker {
    let number = |text: &str| decimal::parse(text.as_bytes()).expect("a decimal");
    let trade = &print.trade;
    Ticker {
        time: trade.time,
        recv: UnixNanos(trade.time.0 + 2_000_000),
        trade_id: trade.trade_id,
        sequence: trade.sequence,
        price: trade.price,
        volume: trade.size,
        best_bid: number(&print.bid),
        best_ask: number(&print.ask),
        best_bid_size: 1.5,
        best_ask_size: 0.25,
        side: Some(trade.side),
    }
}

pub(crate) fn data_dir(path: &Path, options: StoreOptions) -> Arc<DataDir> {
    // A child that another test has just made holds a copy of every lock of this process until it runs its own program.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match DataDir::open(path, options.clone(), "exchange wss://test") {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            opened => return Arc::new(opened.expect("a data directory")),
        }
    }
}

pub(crate) fn insert<L: Layout>(day: &mut Day<L>, row: &L::Row) -> Inserted<L::Row> {
    loop {
        match day.insert(row) {
            Ok(done) => return done,
            Err(InsertError::NoRoom) => day.files().provision().expect("room"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Stores rows of one dataset, day by day, and seals the days.
pub(crate) fn store<L: Layout>(dir: &Arc<DataDir>, product: &ProductId, rows: &[L::Row]) {
    let mut dates: Vec<UtcDay> = rows.iter().map(|row| L::time(row).day()).collect();
    dates.sort();
    dates.dedup();
    let mut syncer = Syncer::new(Arc::clone(dir));
    let mut closed = Vec::new();
    for date in dates {
        let (mut day, _) = Day::<L>::open(dir, product, date, date.start()).expect("a day");
        syncer.watch(day.files());
        for row in rows.iter().filter(|row| L::time(row).day() == date) {
            insert(&mut day, row);
        }
        closed.push(day.close());
    }
    syncer.cycle().expect("synced");
    // Something of a journal, as every writer leaves it.
    let mut journal = JournalFile::new(dir.path(), JOURNAL);
    for seal::SealOutcome { key, sealed } in seal::seal(dir, closed) {
        sealed.unwrap_or_else(|error| panic!("{key}: {error}"));
        journal.append(key.date.start(), &Event::FlushRecovered).expect("written");
    }
}

/// Stores the trades and tickers of the market.
pub(crate) fn store_all(path: &Path, prints: &[Print], options: StoreOptions) {
    let dir = data_dir(path, options);
    let trades: Vec<Trade> = prints.iter().map(|print| print.trade).collect();
    let tickers: Vec<Ticker> = prints.iter().filter(|print| print.has_ticker).map(ticker).collect();
    store::<Trades>(&dir, &product(), &trades);
    store::<Md>(&dir, &product(), &tickers);
    store::<TickerTrades>(&dir, &product(), &tickers);
}

/// Writes the market's ledger.
pub(crate) fn write_ledger(path: &Path, prints: &[Print]) {
    std::fs::write(path, ledger(&product(), prints)).expect("written");
}

pub(crate) fn ledger(product: &ProductId, prints: &[Print]) -> String {
    let mut out = String::from("{\"kind\":\"head\",\"feed\":\"exchange\",\"seed\":1}\n");
    for print in prints {
        let Trade { trade_id, time, side, maker_order_id, taker_order_id, sequence, .. } = print.trade;
        let Print { price, size, bid, ask, sent, .. } = print;
        let side = side.name();
        writeln!(
            out,
            r#"{{"kind":"trade","product":"{product}","trade_id":{trade_id},"time":"{time}","price":"{price}","size":"{size}","side":"{side}","maker":"{maker_order_id}","taker":"{taker_order_id}","sequence":{sequence},"sent":{sent}}}"#
        )
        .expect("written");
        if print.has_ticker {
            writeln!(
                out,
                r#"{{"kind":"ticker","product":"{product}","trade_id":{trade_id},"sequence":{sequence},"time":"{time}","price":"{price}","last_size":"{size}","side":"{side}","best_bid":"{bid}","best_bid_size":"1.5","best_ask":"{ask}","best_ask_size":"0.25","sent":{sent}}}"#
            )
            .expect("written");
        }
    }
    out.push_str("{\"kind\":\"end\",\"totals\":{}}\n");
    out
}

/// Gives the path of a column file.
pub(crate) fn column_path(dir: &Path, dataset: Dataset, column: &str, date: UtcDay) -> PathBuf {
    dir.join(product().as_str()).join(dataset.folder()).join(format!("{column}.{date}.bin"))
}

/// The bytes of one record, column by column.
pub(crate) type Bytes = Vec<Vec<u8>>;

/// Changes the records of a sealed day without the store. The commit page is removed, so that only the contents can show the change.
pub(crate) fn rewrite(dir: &Path, dataset: Dataset, date: UtcDay, change: impl FnOnce(&mut Vec<Bytes>)) {
    let _ = std::fs::remove_file(column_path(dir, dataset, "commit", date));
    let columns: Vec<(PathBuf, usize)> =
        dataset.columns().iter().map(|column| (column_path(dir, dataset, column.name, date), column.kind.width())).collect();
    let files: Vec<Vec<u8>> = columns.iter().map(|(path, _)| std::fs::read(path).expect("read")).collect();
    let count = files[0].len() / columns[0].1;
    let mut rows: Vec<Bytes> = (0..count)
        .map(|record| files.iter().zip(&columns).map(|(file, (_, width))| file[record * width..(record + 1) * width].to_vec()).collect())
        .collect();
    change(&mut rows);
    for (at, (path, _)) in columns.iter().enumerate() {
        let bytes: Vec<u8> = rows.iter().flat_map(|row| row[at].iter().copied()).collect();
        std::fs::write(path, bytes).expect("written");
    }
}

/// Gives the index of a column in its dataset.
pub(crate) fn column(dataset: Dataset, name: &str) -> usize {
    dataset.columns().iter().position(|column| column.name == name).expect("a column")
}
