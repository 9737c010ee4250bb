//! [`Flow`]: the trades of a day in blocks of columns, with their prices and sizes as exact integers where they are decimals of few digits.
//!
//! 1. A block holds trades that follow each other in the merged order. A late trade is a block of its own. Without late trades there are few blocks more
//!    than the columns are long.
//! 2. Values are taken from the columns where they lie. A folder with core columns alone has no f64: there each f32 stands for its shortest decimal.
//! 3. All trades of a block have their integers in the same units. Where that cannot be done, the block has none, and its sums are made value by value.

use std::ops::Range;

use super::sum::{scale_of, shortest_f64, to_units};
use crate::decimal::Decimal;
use crate::record::{Side, Trade};
use crate::schema::Trades;
use crate::store::{Run, Snapshot};
use crate::time::UnixNanos;

/// Trades of a block: few enough that their integers stay in the cache nearest to the processor.
const BLOCK_TRADES: usize = 1024;

/// The stored code of a taker who bought.
pub(crate) const BUY: u32 = Side::Buy.code();

/// Prices and sizes as integers, in units of 10^-scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units<'a> {
    /// The prices.
    pub prices: &'a [i64],
    /// The sizes.
    pub sizes: &'a [i64],
    /// The digits behind the point of a price.
    pub price_scale: u32,
    /// The digits behind the point of a size.
    pub size_scale: u32,
}

/// Trades that follow each other. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Their ids.
    pub ids: &'a [u64],
    /// Their event times: seconds.
    pub seconds: &'a [u32],
    /// Their event times: nanoseconds within the second.
    pub nanos: &'a [u32],
    /// Their prices.
    pub prices: &'a [f64],
    /// Their sizes.
    pub sizes: &'a [f64],
    /// Their takers' sides, as stored.
    pub sides: &'a [u32],
    /// Prices and sizes as integers.
    pub units: Option<Units<'a>>,
}

impl Block<'_> {
    /// Gives the event time of a trade.
    #[must_use]
    pub(crate) fn time(&self, at: usize) -> UnixNanos {
        let part = |column: &[u32]| column.get(at).copied().unwrap_or(0);
        UnixNanos::from_parts(part(self.seconds), part(self.nanos))
    }
}

/// What a day's columns are read with. Its memory is that of one block.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    prices: Vec<f64>,
    sizes: Vec<f64>,
    price_units: Vec<i64>,
    size_units: Vec<i64>,
    /// The scales of the last block. The next one has them nearly always.
    price_scale: u32,
    size_scale: u32,
    has_narrow: bool,
}

/// A column of prices or sizes.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    Wide(&'a [f64]),
    Narrow(&'a [f32]),
}

impl<'a> Numbers<'a> {
    fn of(day: &'a Snapshot<Trades>, wide: &str, narrow: &str) -> Self {
        day.column(wide).map_or_else(|_| Self::Narrow(day.column(narrow).unwrap_or_default()), Self::Wide)
    }

    /// Gives some of its values, from the column itself or by way of `buffer`.
    fn get<'b>(self, range: Range<usize>, buffer: &'b mut Vec<f64>) -> &'b [f64]
    where
        'a: 'b,
    {
        match self {
            Self::Wide(column) => column.get(range).unwrap_or_default(),
            Self::Narrow(column) => {
                buffer.clear();
                buffer.extend(column.get(range).unwrap_or_default().iter().map(|value| shortest_f64(*value)));
                buffer
            }
        }
    }
}

impl Flow {
    /// Goes through the trades of a day with these numbers in its merged order, block by block, until `visit` fails.
    ///
    /// # Errors
    /// As `visit`.
    pub(crate) fn read<E>(
        &mut self,
        day: &Snapshot<Trades>,
        numbers: Range<usize>,
        mut visit: impl FnMut(&Block<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let ids = day.column::<u64>("trade_id").unwrap_or_default();
        let whole = |name| day.column::<u32>(name).unwrap_or_default();
        let (seconds, nanos, sides) = (whole("trade_time"), whole("trade_nanos"), whole("trade_side"));
        let prices = Numbers::of(day, "trade_price_f64", "trade_price");
        let sizes = Numbers::of(day, "trade_size_f64", "trade_size");
        self.has_narrow |= matches!(prices, Numbers::Narrow(column) if !column.is_empty());
        for run in day.runs(numbers) {
            let records = match run {
                Run::Late(trade) => {
                    let of = |numbers: Numbers<'_>, value: Decimal| match numbers {
                        Numbers::Wide(_) => value.as_f64,
                        Numbers::Narrow(_) => shortest_f64(value.as_f32),
                    };
                    self.read_one(trade, of(prices, trade.price), of(sizes, trade.size), &mut visit)?;
                    continue;
                }
                Run::Columns(records) => records,
            };
            let mut from = records.start;
            while from < records.end {
                let part = from..records.end.min(from + BLOCK_TRADES);
                from = part.end;
                let (mut price_buffer, mut size_buffer) = (std::mem::take(&mut self.prices), std::mem::take(&mut self.sizes));
                let mut block = Block {
                    ids: ids.get(part.clone()).unwrap_or_default(),
                    seconds: seconds.get(part.clone()).unwrap_or_default(),
                    nanos: nanos.get(part.clone()).unwrap_or_default(),
                    sides: sides.get(part.clone()).unwrap_or_default(),
                    prices: prices.get(part.clone(), &mut price_buffer),
                    sizes: sizes.get(part, &mut size_buffer),
                    units: None,
                };
                block.units = self.units(block.prices, block.sizes);
                let visited = visit(&block);
                (self.prices, self.sizes) = (price_buffer, size_buffer);
                visited?;
            }
        }
        Ok(())
    }

    fn read_one<E>(&mut self, trade: &Trade, price: f64, size: f64, visit: &mut impl FnMut(&Block<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut block = Block {
            ids: &[trade.trade_id],
            seconds: &[trade.time.seconds()],
            nanos: &[trade.time.subsec_nanos()],
            prices: &[price],
            sizes: &[size],
            sides: &[trade.side.code()],
            units: None,
        };
        block.units = self.units(block.prices, block.sizes);
        visit(&block)
    }

    /// Tells whether a day was read that has no f64 columns.
    #[must_use]
    pub(crate) const fn has_narrow(&self) -> bool {
        self.has_narrow
    }

    fn units(&mut self, prices: &[f64], sizes: &[f64]) -> Option<Units<'_>> {
        self.price_scale = fill(prices, self.price_scale, &mut self.price_units)?;
        self.size_scale = fill(sizes, self.size_scale, &mut self.size_units)?;
        let (price_scale, size_scale) = (self.price_scale, self.size_scale);
        Some(Units { prices: &self.price_units, sizes: &self.size_units, price_scale, size_scale })
    }
}

/// Fills `units` with the values as integers and gives their scale: the one given, if that will do.
fn fill(values: &[f64], scale: u32, units: &mut Vec<i64>) -> Option<u32> {
    units.resize(values.len(), 0);
    if to_units(values, scale, units) {
        return Some(scale);
    }
    let scale = scale_of(values)?;
    to_units(values, scale, units).then_some(scale)
}
