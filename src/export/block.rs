//! [`Block`]: some consecutive records of a day, column by column, as they are stored.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::schema::{Column, Dataset, Layout, with_layout};
use crate::time::UnixNanos;

/// Records of one dataset-day.
pub(super) struct Block<'a> {
    dataset: Dataset,
    table: &'static [Column],
    columns: Vec<Cow<'a, [u8]>>,
    rows: usize,
    /// The number of the first record in the mapped columns, where the block is a part of these.
    mapped: Option<usize>,
    /// The columns whose values were taken, a bit each.
    taken: AtomicU32,
}

/// A column of a block, as it lies there.
#[cfg_attr(not(feature = "export"), allow(dead_code, reason = "where it lies is asked by formats that this build does not have"))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    /// Its place in the dataset's table.
    pub column: usize,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The number of the first record in the day's mapped column, where the bytes are a part of that.
    pub first: Option<usize>,
}

impl<'a> Stored<'a> {
    /// Gives the values, each as its bytes.
    pub(super) fn values<const N: usize>(self) -> &'a [[u8; N]] {
        self.bytes.as_chunks().0
    }
}

impl<'a> Block<'a> {
    /// Puts columns together. Each has `rows` values.
    pub(super) fn new(dataset: Dataset, table: &'static [Column], columns: Vec<Cow<'a, [u8]>>, rows: usize) -> Self {
        Self { dataset, table, columns, rows, mapped: None, taken: AtomicU32::new(0) }
    }

    /// Says that the columns are parts of the mapped ones, from this record on.
    pub(super) fn mapped_from(self, first: usize) -> Self {
        Self { mapped: Some(first), ..self }
    }

    /// Gives the dataset.
    pub(super) fn dataset(&self) -> Dataset {
        self.dataset
    }

    /// Counts the records.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Gives the same records in the opposite order.
    pub(super) fn reversed(&self) -> Block<'static> {
        let turned = self.columns().map(|(column, bytes)| {
            let values = bytes.chunks_exact(column.kind.width()).rev();
            Cow::Owned(values.flatten().copied().collect())
        });
        Block::new(self.dataset, self.table, turned.collect(), self.rows)
    }

    /// Tells which columns' values were taken, a bit each in the order of the table.
    pub(super) fn taken(&self) -> u32 {
        // Relaxed, as below: whoever asks has taken the values itself, or joined the threads that have.
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, column: usize) {
        let bit = u32::try_from(column).ok().and_then(|column| 1_u32.checked_shl(column)).unwrap_or(0);
        self.taken.fetch_or(bit, Ordering::Relaxed);
    }

    /// Gives a column's values, each as its bytes. Nothing where the day has no such column of this width.
    pub(super) fn values<const N: usize>(&self, name: &str) -> Option<&[[u8; N]]> {
        let at = self.table.iter().position(|column| column.name == name && column.kind.width() == N)?;
        self.take(at);
        let (values, _) = self.columns.get(at)?.as_chunks::<N>();
        (values.len() == self.rows).then_some(values)
    }

    /// Gives a column as it lies there. Nothing where the day has no such column of this width.
    pub(super) fn stored<const N: usize>(&self, name: &str) -> Option<Stored<'_>> {
        let at = self.table.iter().position(|column| column.name == name && column.kind.width() == N)?;
        self.take(at);
        let bytes = self.columns.get(at)?;
        let first = self.mapped.filter(|_| matches!(bytes, Cow::Borrowed(_)));
        (bytes.len() == self.rows * N).then_some(Stored { column: at, bytes, first })
    }

    /// Gives the values of a u32 column.
    pub(super) fn u32s(&self, name: &str) -> Option<impl ExactSizeIterator<Item = u32>> {
        Some(self.values(name)?.iter().map(|bytes| u32::from_le_bytes(*bytes)))
    }

    /// Gives the values of a u64 column.
    pub(super) fn u64s(&self, name: &str) -> Option<impl ExactSizeIterator<Item = u64>> {
        Some(self.values(name)?.iter().map(|bytes| u64::from_le_bytes(*bytes)))
    }

    /// Gives the values of an f64 column.
    pub(super) fn f64s(&self, name: &str) -> Option<impl ExactSizeIterator<Item = f64>> {
        Some(self.values(name)?.iter().map(|bytes| f64::from_le_bytes(*bytes)))
    }

    /// Gives the values of an f32 column.
    pub(super) fn f32s(&self, name: &str) -> Option<impl ExactSizeIterator<Item = f32>> {
        Some(self.values(name)?.iter().map(|bytes| f32::from_le_bytes(*bytes)))
    }

    /// Gives the numbers that are stored as f64 in one column and as f32 in another: the f64 where the day has them, else the numbers that the f32 are the
    /// shortest texts of. Nothing where the day has neither.
    pub(super) fn numbers(&self, exact: &str, rounded: &str) -> Option<Vec<f64>> {
        match self.f64s(exact) {
            Some(values) => Some(values.collect()),
            None => Some(self.f32s(rounded)?.map(as_written).collect()),
        }
    }

    /// Gives the event times as they are stored: seconds, and nanoseconds within them.
    pub(super) fn clock_columns(&self) -> impl Iterator<Item = (u32, u32)> {
        // The column of the nanoseconds is the next one: the reader asserts it.
        let seconds = with_layout!(self.dataset, L => L::TIME);
        let name = |at: usize| self.dataset.columns().get(at).map_or("", |column| column.name);
        let values = |at: usize| self.values::<4>(name(at)).unwrap_or_default().iter().map(|bytes| u32::from_le_bytes(*bytes));
        values(seconds).zip(values(seconds + 1))
    }

    /// Gives the event times.
    pub(super) fn times(&self) -> impl Iterator<Item = UnixNanos> {
        self.clock_columns().map(|(seconds, nanos)| UnixNanos::from_parts(seconds, nanos))
    }

    /// Gives each column with its bytes.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static Column, &[u8])> {
        self.table.iter().zip(&self.columns).map(|(column, bytes)| (column, bytes.as_ref()))
    }

    /// Gives the key by which the exact text of a record's values is known: the trade id, the sequence of a ticker, or its receive time.
    pub(super) fn text_keys(&self) -> Vec<u64> {
        let column = |name: &str| self.u64s(name).map(Iterator::collect::<Vec<u64>>);
        if !self.dataset.is_of_tickers() {
            return column("trade_id").unwrap_or_default();
        }
        let (sequences, received) = (column("sequence").unwrap_or_default(), column("recv_nanos").unwrap_or_default());
        let key = |(sequence, received): (u64, u64)| if sequence == 0 { received } else { sequence };
        sequences.into_iter().zip(received).map(key).collect()
    }
}

/// Gives the number whose shortest text an f32 has: 64841.44, not 64841.44140625.
pub(super) fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_f32_is_the_number_that_was_sent_as_far_as_it_can_be_told() {
        assert_eq!(as_written(64841.44), 64841.44);
        assert_eq!(as_written(1e-8), 1e-8);
        assert!(as_written(f32::NAN).is_nan());
    }
}
