//! [`Layout`]: how a dataset's records get into its columns and back, without knowing where the columns are.

use super::column::Column;
use super::dataset::Dataset;
use crate::record::Record;
use crate::time::UnixNanos;

/// Takes a record's values, each with its column's index in the table. Implementations are inlined: the index is a constant at every call.
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

/// Gives a record's stored values by column index; nothing where the folder does not have the column.
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
    /// Equal, and the newer one has order ids that the stored one does not have.
    Better,
    /// Different: the first is kept, the other is journaled.
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
    /// A row without values, filled by [`Layout::load`].
    const EMPTY: Self::Row;
    /// Gives what of a record the dataset stores; nothing where it stores nothing of it.
    fn part_of(record: Record<'_>) -> Option<&Self::Row>;
    /// Gives a record's values to `sink`, column by column, in the order of the table.
    fn store(row: &Self::Row, sink: &mut impl Sink);
    /// Fills `row` with the values that `source` has; the others stay as they are.
    fn load(source: &impl Source, row: &mut Self::Row);
    /// Gives the key that orders records and identifies copies: trade id for trades, exchange sequence for tickers (0 = none).
    fn key(row: &Self::Row) -> u64;
    /// Gives the event time.
    fn time(row: &Self::Row) -> UnixNanos;
    /// Compares a new report with the stored one of the same key.
    fn compare(stored: &Self::Row, new: &Self::Row) -> Likeness;
}
