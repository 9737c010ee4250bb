//! **The** table of datasets and columns. Everything that writes, reads, verifies, exports or documents a column goes through it.
//!
//! 1. Adding a column is one line of `columns!` below: name, stored type, set, meaning, and how it is taken from and put into a record.
//! 2. Within a dataset core columns come first, so that a core-only folder is a prefix of the table.
//! 3. The order of the lines is the order of `query`'s and the exporter's columns.

use crate::decimal::Decimal;
use crate::record::{OrderId, Origin, SIDE_UNKNOWN, Side, Ticker, Trade};
use crate::time::UnixNanos;

/// A dataset: one folder of column files below a product's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dataset {
    /// One record a ticker message.
    Md,
    /// The last trade as the ticker saw it.
    TickerTrades,
    /// One record a trade.
    Trades,
}

impl Dataset {
    /// Every dataset.
    pub const ALL: [Self; 3] = [Self::Md, Self::TickerTrades, Self::Trades];

    /// Names the folder: `MD`, `TICKER_TRADES` or `TRADES`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Md => "MD",
            Self::TickerTrades => "TICKER_TRADES",
            Self::Trades => "TRADES",
        }
    }

    /// Names the dataset as the command line spells it: `md`, `ticker_trades` or `trades`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::TickerTrades => "ticker_trades",
            Self::Trades => "trades",
        }
    }

    /// Finds a dataset by [`Dataset::name`].
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dataset| dataset.name() == name)
    }

    /// Gives all its columns, core then extended.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Md => Md::COLUMNS,
            Self::TickerTrades => TickerTrades::COLUMNS,
            Self::Trades => Trades::COLUMNS,
        }
    }

    /// Gives the columns of a set.
    #[must_use]
    pub fn columns_of(self, set: ColumnSet) -> &'static [Column] {
        let all = self.columns();
        let core = all.iter().filter(|column| column.set == ColumnSet::Core).count();
        match set {
            ColumnSet::Full => all,
            ColumnSet::Core => all.get(..core).unwrap_or(all),
        }
    }

    /// Gives a number for file headers: 1 MD, 2 TICKER_TRADES, 3 TRADES.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Md => 1,
            Self::TickerTrades => 2,
            Self::Trades => 3,
        }
    }
}

/// Which columns a folder holds (`--columns`), and which set a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColumnSet {
    /// The fixed core alone; as a column's set: part of the core.
    Core,
    /// Core and extended; as a column's set: extended only.
    #[default]
    Full,
}

/// The type of a stored value, always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 4 bytes, unsigned.
    U32,
    /// 8 bytes, unsigned.
    U64,
    /// 4 bytes, IEEE 754.
    F32,
    /// 8 bytes, IEEE 754.
    F64,
    /// 16 raw bytes.
    Uuid,
}

impl Kind {
    /// Gives the width of one value in bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::U32 | Self::F32 => 4,
            Self::U64 | Self::F64 => 8,
            Self::Uuid => 16,
        }
    }
}

/// One stored value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// See [`Kind::U32`].
    U32(u32),
    /// See [`Kind::U64`].
    U64(u64),
    /// See [`Kind::F32`].
    F32(f32),
    /// See [`Kind::F64`].
    F64(f64),
    /// See [`Kind::Uuid`].
    Uuid([u8; 16]),
}

/// One column file of a dataset.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// File name before `.{date}.bin`.
    pub name: &'static str,
    /// Type of a value.
    pub kind: Kind,
    /// Core or extended.
    pub set: ColumnSet,
    /// What the value means, with unit and clock.
    pub doc: &'static str,
}

/// Takes a record's values, each with its column's index in the table. Meant to be inlined: the index is a constant at every call.
pub trait Sink {
    /// Takes a value of a U32 column.
    fn u32(&mut self, column: usize, value: u32);
    /// Takes a value of a U64 column.
    fn u64(&mut self, column: usize, value: u64);
    /// Takes a value of an F32 column.
    fn f32(&mut self, column: usize, value: f32);
    /// Takes a value of an F64 column.
    fn f64(&mut self, column: usize, value: f64);
    /// Takes a value of a Uuid column.
    fn uuid(&mut self, column: usize, value: [u8; 16]);
}

/// Gives a record's stored values by column index; nothing where the folder lacks the column.
pub trait Source {
    /// Gives a value of a U32 column.
    fn u32(&self, column: usize) -> Option<u32>;
    /// Gives a value of a U64 column.
    fn u64(&self, column: usize) -> Option<u64>;
    /// Gives a value of an F32 column.
    fn f32(&self, column: usize) -> Option<f32> {
        self.u32(column).map(f32::from_bits)
    }
    /// Gives a value of an F64 column.
    fn f64(&self, column: usize) -> Option<f64> {
        self.u64(column).map(f64::from_bits)
    }
    /// Gives a value of a Uuid column.
    fn uuid(&self, column: usize) -> Option<[u8; 16]>;
}

/// What two reports of the same event are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Equal in every field that the exchange decides.
    Same,
    /// Equal, and the newer one brings order ids that the stored one lacks.
    Better,
    /// Different: the first is kept, the other journaled.
    Conflict,
}

/// A dataset's records and how they lie in its columns.
pub trait Layout: Send + Sync + 'static {
    /// The record.
    type Row: Copy + Send + Sync + PartialEq + std::fmt::Debug + 'static;
    /// Which dataset.
    const DATASET: Dataset;
    /// Its columns, core then extended.
    const COLUMNS: &'static [Column];
    /// Index of the column that is stored last: seconds of the event time.
    const TIME: usize;
    /// A row of nothing, to be filled by [`Layout::load`].
    const EMPTY: Self::Row;
    /// Gives a record's values to `sink`, column by column.
    fn store(row: &Self::Row, sink: &mut impl Sink);
    /// Fills `row` with what `source` has.
    fn load(source: &impl Source, row: &mut Self::Row);
    /// Gives what orders the records and tells duplicates: trade id for trades, exchange sequence for tickers (0 = none).
    fn key(row: &Self::Row) -> u64;
    /// Gives the event time.
    fn time(row: &Self::Row) -> UnixNanos;
    /// Holds a new report against the stored one of the same key.
    fn compare(stored: &Self::Row, new: &Self::Row) -> Likeness;
}

macro_rules! columns {
    (
        $(#[$doc:meta])* $layout:ident: $row:ty = $dataset:expr, empty $empty:expr, key $key:expr, time $time_of:expr, compare $compare:expr;
        $( $index:literal $name:ident: $kind:ident $method:ident $set:ident, $meaning:literal, |$r:ident| $get:expr, |$w:ident, $v:ident| $put:expr; )+
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $layout;

        impl Layout for $layout {
            type Row = $row;
            const DATASET: Dataset = $dataset;
            const COLUMNS: &'static [Column] = &[
                $( Column { name: stringify!($name), kind: Kind::$kind, set: ColumnSet::$set, doc: $meaning }, )+
            ];
            const TIME: usize = {
                let mut found = usize::MAX;
                $( if matches!(stringify!($name).as_bytes(), b"trade_time" | b"time") { found = $index; } )+
                assert!(found != usize::MAX, "a dataset needs its time column");
                found
            };
            const EMPTY: $row = $empty;

            #[inline(always)]
            fn store(row: &$row, sink: &mut impl Sink) {
                $( { let $r = row; sink.$method($index, $get); } )+
            }

            #[inline]
            fn load(source: &impl Source, row: &mut $row) {
                $( if let Some($v) = source.$method($index) { let $w = &mut *row; $put; } )+
            }

            #[inline]
            fn key(row: &$row) -> u64 { let key: fn(&$row) -> u64 = $key; key(row) }
            #[inline]
            fn time(row: &$row) -> UnixNanos { let time: fn(&$row) -> UnixNanos = $time_of; time(row) }
            fn compare(stored: &$row, new: &$row) -> Likeness { let compare: fn(&$row, &$row) -> Likeness = $compare; compare(stored, new) }
        }
    };
}

const NO_TRADE: Trade = Trade {
    trade_id: 0,
    time: UnixNanos(0),
    price: Decimal::NONE,
    size: Decimal::NONE,
    side: Side::Sell,
    maker_order_id: OrderId::NIL,
    taker_order_id: OrderId::NIL,
    sequence: 0,
    recv: UnixNanos(0),
    origin: Origin(0),
};

const NO_TICKER: Ticker = Ticker {
    time: UnixNanos(0),
    recv: UnixNanos(0),
    trade_id: 0,
    sequence: 0,
    price: Decimal::NONE,
    volume: Decimal::NONE,
    best_bid: Decimal::NONE,
    best_ask: Decimal::NONE,
    best_bid_size: f64::NAN,
    best_ask_size: f64::NAN,
    side: None,
};

columns! {
    /// `TRADES`: one record a trade, in rising id order.
    Trades: Trade = Dataset::Trades, empty NO_TRADE, key |row| row.trade_id, time |row| row.time,
    compare |stored, new| if !stored.agrees_with(new) { Likeness::Conflict } else if new.completes(stored) { Likeness::Better } else { Likeness::Same };

    0 trade_id: U64 u64 Core, "Coinbase's trade id, unique and rising per product", |t| t.trade_id, |t, v| t.trade_id = v;
    1 trade_time: U32 u32 Core, "event time, seconds since the Unix epoch (exchange's clock)", |t| t.time.seconds(), |t, v| t.time = with_seconds(t.time, v);
    2 trade_nanos: U32 u32 Core, "event time, nanoseconds within the second, 0 to 999999999", |t| t.time.subsec_nanos(), |t, v| t.time = with_nanos(t.time, v);
    3 trade_price: F32 f32 Core, "price in the quote currency, the f32 nearest to the decimal text", |t| t.price.as_f32, |t, v| t.price = Decimal::from_f32(v);
    4 trade_size: F32 f32 Core, "size in the base currency, the f32 nearest to the decimal text", |t| t.size.as_f32, |t, v| t.size = Decimal::from_f32(v);
    5 trade_side: U32 u32 Core, "the taker's side: 1 = buy, 0 = sell", |t| t.side.code(), |t, v| t.side = Side::from_code(v).unwrap_or(Side::Sell);
    6 maker_order_id: Uuid uuid Core, "resting order, the UUID's 16 bytes in text order; all zero = the feed sent none", |t| t.maker_order_id.0, |t, v| t.maker_order_id = OrderId(v);
    7 taker_order_id: Uuid uuid Core, "aggressing order, likewise", |t| t.taker_order_id.0, |t, v| t.taker_order_id = OrderId(v);
    8 trade_price_f64: F64 f64 Full, "price, the f64 nearest to the decimal text", |t| t.price.as_f64, |t, v| t.price.as_f64 = v;
    9 trade_size_f64: F64 f64 Full, "size, the f64 nearest to the decimal text", |t| t.size.as_f64, |t, v| t.size.as_f64 = v;
    10 trade_sequence: U64 u64 Full, "the exchange's sequence number for the product; 0 = none sent", |t| t.sequence, |t, v| t.sequence = v;
    11 trade_recv_nanos: U64 u64 Full, "wall clock when the frame was read, ns since the epoch; 0 = not received live", |t| t.recv.0, |t, v| t.recv = UnixNanos(v);
    12 trade_origin: U32 u32 Full, "bits 0-3: 0 live, 1 last_match or snapshot, 2 REST, 3 another box's tape; bits 4-7: line; bit 8: feed (0 Exchange, 1 Advanced)", |t| t.origin.0, |t, v| t.origin = Origin(v);
}

columns! {
    /// `MD`: one record a ticker message, in arrival order, rising `sequence` where there is one.
    Md: Ticker = Dataset::Md, empty NO_TICKER, key |row| row.sequence, time |row| row.time,
    compare |_, _| Likeness::Same;

    0 time: U32 u32 Core, "event time, seconds since the Unix epoch (exchange's clock)", |t| t.time.seconds(), |t, v| t.time = with_seconds(t.time, v);
    1 nanos: U32 u32 Core, "event time, nanoseconds within the second, 0 to 999999999", |t| t.time.subsec_nanos(), |t, v| t.time = with_nanos(t.time, v);
    2 price: F32 f32 Core, "last trade's price in the quote currency", |t| t.price.as_f32, |t, v| t.price = Decimal::from_f32(v);
    3 volume: F32 f32 Core, "last trade's size in the base currency; NaN = none sent", |t| t.volume.as_f32, |t, v| t.volume = Decimal::from_f32(v);
    4 side: U32 u32 Core, "last trade's taker side: 1 = buy, 0 = sell, 2 = unknown", |t| side_code(t.side), |t, v| t.side = Side::from_code(v);
    5 best_bid: F32 f32 Core, "best bid after that trade", |t| t.best_bid.as_f32, |t, v| t.best_bid = Decimal::from_f32(v);
    6 best_ask: F32 f32 Core, "best ask after that trade", |t| t.best_ask.as_f32, |t, v| t.best_ask = Decimal::from_f32(v);
    7 trade_id: U64 u64 Full, "last trade's id, joins TRADES; 0 = none sent", |t| t.trade_id, |t, v| t.trade_id = v;
    8 sequence: U64 u64 Full, "the exchange's sequence number for the product; 0 = none sent", |t| t.sequence, |t, v| t.sequence = v;
    9 recv_nanos: U64 u64 Full, "wall clock when the frame was read, ns since the epoch", |t| t.recv.0, |t, v| t.recv = UnixNanos(v);
    10 price_f64: F64 f64 Full, "price, the f64 nearest to the decimal text", |t| t.price.as_f64, |t, v| t.price.as_f64 = v;
    11 volume_f64: F64 f64 Full, "volume, likewise; NaN = none sent", |t| t.volume.as_f64, |t, v| t.volume.as_f64 = v;
    12 best_bid_f64: F64 f64 Full, "best bid, likewise; NaN = none sent", |t| t.best_bid.as_f64, |t, v| t.best_bid.as_f64 = v;
    13 best_ask_f64: F64 f64 Full, "best ask, likewise; NaN = none sent", |t| t.best_ask.as_f64, |t, v| t.best_ask.as_f64 = v;
    14 best_bid_size_f64: F64 f64 Full, "size at the best bid; NaN = none sent", |t| t.best_bid_size, |t, v| t.best_bid_size = v;
    15 best_ask_size_f64: F64 f64 Full, "size at the best ask; NaN = none sent", |t| t.best_ask_size, |t, v| t.best_ask_size = v;
}

columns! {
    /// `TICKER_TRADES`: the last trade as the ticker saw it, one record a ticker message that carries one.
    TickerTrades: Ticker = Dataset::TickerTrades, empty NO_TICKER, key |row| row.sequence, time |row| row.time,
    compare |_, _| Likeness::Same;

    0 trade_time: U32 u32 Core, "event time, seconds since the Unix epoch (exchange's clock)", |t| t.time.seconds(), |t, v| t.time = with_seconds(t.time, v);
    1 trade_nanos: U32 u32 Core, "event time, nanoseconds within the second, 0 to 999999999", |t| t.time.subsec_nanos(), |t, v| t.time = with_nanos(t.time, v);
    2 trade_price: F32 f32 Core, "price in the quote currency", |t| t.price.as_f32, |t, v| t.price = Decimal::from_f32(v);
    3 trade_volume: F32 f32 Core, "size in the base currency", |t| t.volume.as_f32, |t, v| t.volume = Decimal::from_f32(v);
    4 trade_side: U32 u32 Core, "the taker's side: 1 = buy, 0 = sell", |t| side_code(t.side), |t, v| t.side = Side::from_code(v);
    5 trade_spread: F32 f32 Core, "best ask - best bid after the trade, computed in f64, then rounded", |t| t.spread(), |_t, _v| { let _: f32 = _v; };
}

fn side_code(side: Option<Side>) -> u32 {
    side.map_or(SIDE_UNKNOWN, Side::code)
}

fn with_seconds(time: UnixNanos, seconds: u32) -> UnixNanos {
    UnixNanos::from_parts(seconds, time.subsec_nanos())
}

fn with_nanos(time: UnixNanos, nanos: u32) -> UnixNanos {
    UnixNanos::from_parts(time.seconds(), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_columns_are_a_prefix_and_have_the_fixed_widths() {
        for (dataset, core_bytes, full_bytes) in [(Dataset::Trades, 60, 96), (Dataset::Md, 28, 100), (Dataset::TickerTrades, 24, 24)] {
            let core = dataset.columns_of(ColumnSet::Core);
            assert!(core.iter().all(|column| column.set == ColumnSet::Core));
            assert!(dataset.columns().iter().skip(core.len()).all(|column| column.set == ColumnSet::Full));
            assert_eq!(core.iter().map(|column| column.kind.width()).sum::<usize>(), core_bytes);
            assert_eq!(dataset.columns().iter().map(|column| column.kind.width()).sum::<usize>(), full_bytes);
        }
    }

    #[test]
    fn indexes_in_the_table_are_positions_in_it() {
        struct Order(usize);
        impl Sink for Order {
            fn u32(&mut self, column: usize, _: u32) {
                self.next(column);
            }
            fn u64(&mut self, column: usize, _: u64) {
                self.next(column);
            }
            fn f32(&mut self, column: usize, _: f32) {
                self.next(column);
            }
            fn f64(&mut self, column: usize, _: f64) {
                self.next(column);
            }
            fn uuid(&mut self, column: usize, _: [u8; 16]) {
                self.next(column);
            }
        }
        impl Order {
            fn next(&mut self, column: usize) {
                assert_eq!(column, self.0);
                self.0 += 1;
            }
        }
        let mut order = Order(0);
        Trades::store(&Trades::EMPTY, &mut order);
        assert_eq!(order.0, Trades::COLUMNS.len());
        let mut order = Order(0);
        Md::store(&Md::EMPTY, &mut order);
        assert_eq!(order.0, Md::COLUMNS.len());
        let mut order = Order(0);
        TickerTrades::store(&TickerTrades::EMPTY, &mut order);
        assert_eq!(order.0, TickerTrades::COLUMNS.len());
        assert_eq!((Trades::TIME, Md::TIME, TickerTrades::TIME), (1, 0, 0));
    }
}
