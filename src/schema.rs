//! **The** table of datasets and columns. Everything that writes, reads, verifies, exports or documents a column goes through it.
//!
//! 1. Adding a column is one line of `columns!` below: name, stored type, set, meaning, and how its value is taken from a record and put back.
//! 2. The core columns come first and are fixed: their number per dataset is asserted. A new column is an extended one and goes last.
//! 3. So every folder holds a front of today's table: the core alone, or the core and as many extended columns as there were when its day began.
//!    Its commit page says how many. [`ColumnSet::front`] is the one function that cuts the table to them.
//! 4. The order of the lines is the order of `query`'s columns.
//! 5. The documentation of [`Trades`], [`Md`] and [`TickerTrades`] lists their columns and is made from the same lines.

mod column;
mod dataset;
mod datasets;
mod layout;

pub use column::{Column, ColumnSet, Kind};
pub(crate) use column::{Value, columns_of_version_1};
pub use dataset::Dataset;
pub use datasets::Datasets;
pub use layout::{Layout, Likeness, Sink, Source};

use column::has_fixed_core;

use crate::decimal::Decimal;
use crate::record::{OrderId, Origin, Record, SIDE_UNKNOWN, Side, Ticker, Trade};
use crate::time::UnixNanos;

/// Passes the layouts to a macro, before the other arguments. The list of the layouts is here and nowhere else: a new dataset is one word more.
macro_rules! for_layouts {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! { [Md TickerTrades Trades] $($arguments)* }
    };
}
pub(crate) use for_layouts;

/// Evaluates an expression with the layout of a dataset that is known only at run time, as in `with_layout!(dataset, L => L::COLUMNS)`.
macro_rules! with_layout {
    ([$($each:ident)+] $dataset:expr, $layout:ident => $body:expr) => {
        match $dataset {
            $( $crate::schema::Dataset::$each => {
                type $layout = $crate::schema::$each;
                $body
            } )+
        }
    };
    ($dataset:expr, $layout:ident => $body:expr) => {
        $crate::schema::for_layouts! { [$crate::schema::with_layout] $dataset, $layout => $body }
    };
}
pub(crate) use with_layout;

/// Declares an enum with a variant for each dataset, as in `layout_enum! { enum OpenDataset of Open }`: its variant `Md` holds an `Open<Md>`, and so on.
macro_rules! layout_enum {
    ([$($each:ident)+] $(#[$attribute:meta])* $visibility:vis enum $name:ident of $of:ident) => {
        $(#[$attribute])*
        $visibility enum $name {
            $(
                #[doc = concat!("Of [`", stringify!($each), "`](crate::schema::", stringify!($each), ").")]
                $each($of<$crate::schema::$each>),
            )+
        }

        $( impl From<$of<$crate::schema::$each>> for $name {
            #[inline]
            fn from(of: $of<$crate::schema::$each>) -> Self { Self::$each(of) }
        } )+
    };
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident of $of:ident) => {
        $crate::schema::for_layouts! { [$crate::schema::layout_enum] $(#[$attribute])* $visibility enum $name of $of }
    };
}
pub(crate) use layout_enum;

/// Evaluates an expression with what a variant of a [`layout_enum!`] holds, as in `match_layout!(OpenDataset, self, open => open.commit())`.
macro_rules! match_layout {
    ([$($each:ident)+] $name:ident, $value:expr, $held:ident => $body:expr) => {
        match $value {
            $( $name::$each($held) => $body, )+
        }
    };
    ($name:ident, $value:expr, $held:ident => $body:expr) => {
        $crate::schema::for_layouts! { [$crate::schema::match_layout] $name, $value, $held => $body }
    };
}
pub(crate) use match_layout;

impl Dataset {
    /// Gives all its columns, core then extended.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        with_layout!(self, L => L::COLUMNS)
    }

    /// Tells whether the dataset stores something of this record.
    #[inline]
    #[must_use]
    pub fn stores(self, record: Record<'_>) -> bool {
        with_layout!(self, L => L::part_of(record).is_some())
    }

    /// Gives the columns that a new folder of this set gets.
    #[must_use]
    pub fn columns_of(self, set: ColumnSet) -> &'static [Column] {
        set.of(self.columns())
    }

    /// Gives the index of the column whose values rise from record to record and are unique; nothing where records are kept in the order they came.
    #[must_use]
    pub(crate) fn key_column(self) -> Option<usize> {
        match self {
            Self::Trades => self.columns().iter().position(|column| column.name == "trade_id"),
            Self::Md | Self::TickerTrades => None,
        }
    }
}

const _: () = assert!(has_fixed_core(Trades::COLUMNS, 8), "the core of TRADES is fixed: a new column is extended and goes last");
const _: () = assert!(has_fixed_core(Md::COLUMNS, 7), "the core of MD is fixed: a new column is extended and goes last");
const _: () =
    assert!(has_fixed_core(TickerTrades::COLUMNS, 6), "the core of TICKER_TRADES is fixed: a new column is extended and goes last");

/// Most columns that a dataset has.
pub(crate) const MAX_COLUMNS: usize = {
    let (mut most, mut rest) = (0, Dataset::ALL.as_slice());
    while let [dataset, after @ ..] = rest {
        let count = dataset.columns().len();
        most = if count > most { count } else { most };
        rest = after;
    }
    most
};

/// Spells a column's type for the documentation, as two cells of a table: bytes and type.
macro_rules! kind_cells {
    (U32) => {
        "4 | u32"
    };
    (U64) => {
        "8 | u64"
    };
    (F32) => {
        "4 | f32"
    };
    (F64) => {
        "8 | f64"
    };
    (Uuid) => {
        "16 | bytes"
    };
}

/// Spells a column's set for the documentation.
macro_rules! set_cell {
    (Core) => {
        "core"
    };
    (Full) => {
        "extended"
    };
}

macro_rules! columns {
    (
        $(#[$doc:meta])* $layout:ident: $row:ty = $dataset:expr, of $of:expr, empty $empty:expr, key $key:expr, time $time_of:expr, compare $compare:expr;
        $( $index:literal $name:ident: $kind:ident $method:ident $set:ident, $meaning:literal, |$r:ident| $get:expr, |$w:ident, $v:ident| $put:expr; )+
    ) => {
        $(#[$doc])*
        ///
        /// | file | bytes | type | set | meaning |
        /// |---|---|---|---|---|
        $( #[doc = concat!("| `", stringify!($name), "` | ", kind_cells!($kind), " | ", set_cell!($set), " | ", $meaning, " |")] )+
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
            fn part_of(record: Record<'_>) -> Option<&$row> { let of: fn(Record<'_>) -> Option<&$row> = $of; of(record) }

            #[inline(always)]
            fn store(row: &$row, sink: &mut impl Sink) {
                $( { let $r = row; sink.$method($index, $get); } )+
            }

            // So that whoever uses a few of the values loads no others.
            #[inline(always)]
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
    Trades: Trade = Dataset::Trades,
    of |record| if let Record::Trade(trade) = record { Some(trade) } else { None },
    empty NO_TRADE, key |row| row.trade_id, time |row| row.time,
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
    12 trade_origin: U32 u32 Full, "bits 0-3: 0 live, 1 last_match or snapshot, 2 REST, 3 another box's tape; bits 4-7: line; bit 8: feed (0 Exchange, 1 Advanced); bit 9: breaks a rule of plausibility that is not its identity", |t| t.origin.0, |t, v| t.origin = Origin(v);
}

columns! {
    /// `MD`: one record a ticker message, in arrival order, rising `sequence` where there is one, until the exchange's sequence begins anew.
    Md: Ticker = Dataset::Md,
    of |record| if let Record::Ticker(ticker) = record { Some(ticker) } else { None },
    empty NO_TICKER, key |row| row.sequence, time |row| row.time,
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
    TickerTrades: Ticker = Dataset::TickerTrades,
    of |record| match record { Record::Ticker(ticker) if ticker.carries_trade() => Some(ticker), _ => None },
    empty NO_TICKER, key |row| row.sequence, time |row| row.time,
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
        // The columns that version 1 of the format began with, and the bytes of a record of them.
        let began_with = [(Dataset::Trades, 60, 13, 96), (Dataset::Md, 28, 16, 100), (Dataset::TickerTrades, 24, 6, 24)];
        for (dataset, core_bytes, columns, full_bytes) in began_with {
            let core = dataset.columns_of(ColumnSet::Core);
            let bytes = |columns: &[Column]| columns.iter().map(|column| column.kind.width()).sum::<usize>();
            assert!(core.iter().all(|column| column.set == ColumnSet::Core));
            assert!(dataset.columns().iter().skip(core.len()).all(|column| column.set == ColumnSet::Full));
            assert_eq!(bytes(core), core_bytes);
            assert_eq!(ColumnSet::Full.front(dataset.columns(), columns).map(bytes), Some(full_bytes));
        }
    }

    #[test]
    fn a_folder_holds_a_front_of_the_table_that_has_the_core() {
        for dataset in Dataset::ALL {
            let table = dataset.columns();
            let (core, all) = (dataset.columns_of(ColumnSet::Core).len(), table.len());
            for count in [0, core - 1, core, core + 1, all - 1, all, all + 1] {
                let front = |set: ColumnSet| set.front(table, count).map(<[Column]>::len);
                assert_eq!(front(ColumnSet::Full), (core..=all).contains(&count).then_some(count), "{}", dataset.folder());
                assert_eq!(front(ColumnSet::Core), (count == core).then_some(count), "{}", dataset.folder());
            }
        }
    }

    #[test]
    fn a_table_whose_core_is_not_in_front_or_of_another_size_is_refused() {
        let [core, extended] = [Trades::COLUMNS[0], Trades::COLUMNS[8]];
        assert!(has_fixed_core(&[core, core], 2) && has_fixed_core(&[core, extended], 1));
        assert!(!has_fixed_core(&[core, core], 1) && !has_fixed_core(&[core], 2));
        assert!(!has_fixed_core(&[core, extended, core], 2) && !has_fixed_core(&[core, extended, core], 1));
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
