//! [`LineMaker`]: single records as lines of JSON, for events that are sent one by one. The lines are those of JSON Lines.

use std::path::Path;

use super::chosen::{Chosen, Order};
use super::day::{Checks, StreamedDay};
use super::error::StreamError;
use super::format::StreamFormat;
use super::text::{ExactCells, TextEncoder};
use crate::export::ExportError;
use crate::export::block::Block;
use crate::export::stored_day::put;
use crate::export::table::{self, ExportColumn};
use crate::product::ProductId;
use crate::query::ExactTexts;
use crate::schema::{Column, Dataset, Layout, Value};
use crate::store::{DayKey, Snapshot};
use crate::stored;
use crate::tape::Tape;
use crate::tape::follow::Arrival;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Records that are made into lines at once.
pub(crate) const BATCH_RECORDS: usize = 1 << 12;

/// Lines of some records.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The trade id of each record; 0 where it has none.
    pub(crate) ids: Vec<u64>,
    /// When this machine read each record, in nanoseconds since the epoch; 0 where that is not known.
    pub(crate) received: Vec<u64>,
    /// The lines, each with its line feed.
    pub(crate) text: Vec<u8>,
}

/// Makes lines of records.
#[derive(Debug)]
pub(crate) struct LineMaker {
    product: ProductId,
    dataset: Dataset,
    exact: ExactTexts,
}

impl LineMaker {
    /// Prepares to make lines of a product's records from a day on.
    pub(crate) fn new(dir: &Path, product: &ProductId, dataset: Dataset, first: UtcDay) -> Self {
        let exact = ExactTexts::read(dir, std::slice::from_ref(product), Some(first));
        Self { product: product.clone(), dataset, exact }
    }

    /// Takes in what has been stored since, of numbers that no f64 gives back.
    pub(crate) fn refresh(&mut self) {
        self.exact.refresh();
    }

    /// Makes lines of records that have come.
    ///
    /// # Errors
    /// Where a value does not fit.
    pub(crate) fn of_arrivals<'a, L: Layout>(
        &self,
        columns: &'static [Column],
        records: impl Iterator<Item = Arrival<'a, L>>,
    ) -> Result<Lines, StreamError> {
        let mut block = BlockBuilder::new(columns);
        let mut values = Vec::new();
        for record in records {
            if record.load(&mut values) {
                block.add(&values);
            }
        }
        self.of_block(&block.finish(self.dataset))
    }

    /// Makes lines of records of a day, by their numbers in its merged order.
    ///
    /// # Errors
    /// Where a value does not fit.
    pub(crate) fn of_numbers<L: Layout>(&self, day: &Snapshot<L>, numbers: impl Iterator<Item = usize>) -> Result<Lines, StreamError> {
        let mut block = BlockBuilder::new(day.columns());
        let mut values = Vec::new();
        for number in numbers {
            if stored::load(day, number, &mut values) {
                block.add(&values);
            }
        }
        day.check_lengths().map_err(ExportError::from)?;
        self.of_block(&block.finish(self.dataset))
    }

    /// Makes lines of all trades of some days behind an id, in batches. Each day is compared with its checksums before.
    ///
    /// # Errors
    /// Where a day cannot be read, and where `take` fails.
    pub(crate) fn each_behind(
        &self,
        tape: &Tape,
        dates: &[UtcDay],
        after: u64,
        mut take: impl FnMut(Lines) -> Result<(), StreamError>,
    ) -> Result<(), StreamError> {
        for date in dates {
            let key = DayKey { product: self.product.clone(), dataset: self.dataset, date: *date };
            let Some(day) = StreamedDay::open(tape, &key, Checks::Everything)? else { continue };
            let mut chosen = Chosen::new(&day, TimeRange::ALL, Some(after), Order::Ascending);
            while let Some(block) = chosen.next_block(BATCH_RECORDS, &|| true) {
                let lines = self.of_block(&block)?;
                day.stored.check_not_cut(false)?;
                take(lines)?;
            }
            day.stored.check_not_cut(true)?;
        }
        Ok(())
    }

    fn of_block(&self, block: &Block<'_>) -> Result<Lines, StreamError> {
        let columns: &[ExportColumn] = table::columns(self.dataset);
        let exact = (!self.exact.is_empty()).then(|| ExactCells {
            texts: &self.exact,
            product: &self.product,
            dataset: self.dataset,
            keys: block.text_keys(),
        });
        let mut text = Vec::new();
        let mut encoder = TextEncoder::begin(StreamFormat::Jsonl, columns, &mut text)?;
        encoder.write(block, exact.as_ref())?;
        encoder.finish()?;
        let numbers = |names: [&str; 2]| {
            let column = names.into_iter().find_map(|name| block.u64s(name).map(Iterator::collect::<Vec<u64>>));
            column.unwrap_or_else(|| vec![0; block.rows()])
        };
        Ok(Lines { ids: numbers(["trade_id", "trade_id"]), received: numbers(["trade_recv_nanos", "recv_nanos"]), text })
    }
}

/// Puts values of records together.
struct BlockBuilder {
    table: &'static [Column],
    columns: Vec<Vec<u8>>,
    rows: usize,
}

impl BlockBuilder {
    fn new(table: &'static [Column]) -> Self {
        Self { table, columns: vec![Vec::new(); table.len()], rows: 0 }
    }

    fn add(&mut self, values: &[Value]) {
        self.columns.iter_mut().zip(values).for_each(|(column, value)| put(column, *value));
        self.rows += 1;
    }

    fn finish(self, dataset: Dataset) -> Block<'static> {
        Block::new(dataset, self.table, self.columns.into_iter().map(Into::into).collect(), self.rows)
    }
}
