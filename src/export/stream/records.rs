//! [`RecordStream`]: the stored records that are asked for, as a stream.

use std::collections::BTreeMap;
use std::io::Write;

use super::chosen::{Chosen, Order};
use super::day::{Budget, Checks, DayIdentity, StreamedDay, check};
use super::encoder::Encoder;
use super::error::StreamError;
use super::format::StreamFormat;
use super::text::ExactCells;
use crate::export::ExportError;
use crate::export::block::Block;
use crate::export::table::{self, ExportColumn};
use crate::product::ProductId;
use crate::query::ExactTexts;
use crate::schema::Dataset;
use crate::store::DayKey;
use crate::tape::Tape;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Gives the names of a dataset's exported columns, in order.
pub(crate) fn column_names(dataset: Dataset) -> impl Iterator<Item = &'static str> {
    table::columns(dataset).iter().map(|column| column.name)
}

/// The columns that are asked for, in order.
#[derive(Clone)]
pub(crate) struct ColumnChoice(Vec<ExportColumn>);

impl ColumnChoice {
    /// Chooses all columns of a dataset.
    #[must_use]
    pub(crate) fn all(dataset: Dataset) -> Self {
        Self(table::columns(dataset).to_vec())
    }

    /// Chooses columns by their names.
    ///
    /// # Errors
    /// The name that no column has, or that stands there twice.
    pub(crate) fn of<'n>(dataset: Dataset, names: impl IntoIterator<Item = &'n str>) -> Result<Self, &'n str> {
        let mut chosen: Vec<ExportColumn> = Vec::new();
        for name in names {
            let found = table::columns(dataset).iter().find(|column| column.name == name);
            match found {
                Some(column) if chosen.iter().all(|other| other.name != name) => chosen.push(*column),
                _ => return Err(name),
            }
        }
        Ok(Self(chosen))
    }
}

/// Which records are asked for.
#[derive(Clone)]
pub(crate) struct Records {
    /// The tape.
    pub(crate) tape: Tape,
    /// The product.
    pub(crate) product: ProductId,
    /// The dataset.
    pub(crate) dataset: Dataset,
    /// The days that may hold them, in order.
    pub(crate) dates: Vec<UtcDay>,
    /// Their event times.
    pub(crate) range: TimeRange,
    /// Only those with a higher trade id.
    pub(crate) after_id: Option<u64>,
    /// Most of them.
    pub(crate) limit: Option<u64>,
    /// In which order.
    pub(crate) order: Order,
    /// Which columns.
    pub(crate) columns: ColumnChoice,
}

/// The records that are asked for, with the days as they are at one moment.
pub(crate) struct RecordStream {
    asked: Records,
    /// What each day was when it was looked at.
    identities: BTreeMap<UtcDay, DayIdentity>,
    /// The days that still grow.
    live: BTreeMap<UtcDay, StreamedDay>,
    /// Whether a day that was replaced meanwhile ends the stream.
    is_promised: bool,
}

impl RecordStream {
    /// Looks at the days, and keeps open those that still grow.
    ///
    /// # Errors
    /// Where a day cannot be read, or is found to be damaged.
    pub(crate) fn open(asked: Records) -> Result<Self, ExportError> {
        let (mut identities, mut live, mut budget) = (BTreeMap::new(), BTreeMap::new(), Budget::default());
        for date in &asked.dates {
            let Some(day) = StreamedDay::open(&asked.tape, &key(&asked, *date), Checks::Within(&mut budget))? else { continue };
            identities.insert(*date, day.identity.clone());
            if !day.identity.is_sealed() {
                live.insert(*date, day);
            }
        }
        Ok(Self { asked, identities, live, is_promised: false })
    }

    /// Gives what each day was when it was looked at.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &DayIdentity> {
        self.identities.values()
    }

    /// Promises that the days are those that were looked at: one that was replaced meanwhile ends the stream.
    pub(crate) fn promise(&mut self) {
        self.is_promised = true;
    }

    /// Writes the records. Gives how many there were.
    ///
    /// # Errors
    /// Where a day cannot be read, is damaged, was replaced or is gone; where the output takes no more; where `goes_on` says no.
    pub(crate) fn write(
        mut self,
        format: StreamFormat,
        metadata: Vec<(String, String)>,
        out: &mut dyn Write,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<u64, StreamError> {
        let mut encoder = Encoder::begin(format, &self.asked.columns.0, metadata, out)?;
        let first = self.identities.keys().next().copied().filter(|_| encoder.is_text());
        let exact = ExactTexts::read(self.asked.tape.dir(), std::slice::from_ref(&self.asked.product), first);
        let mut dates: Vec<UtcDay> = self.identities.keys().copied().collect();
        if self.asked.order == Order::Descending {
            dates.reverse();
        }
        let mut left = self.asked.limit.unwrap_or(u64::MAX);
        for date in dates {
            if left == 0 {
                break;
            }
            let day = self.day(date)?;
            left -= self.write_day(&day, left, &exact, &mut encoder, goes_on)?;
        }
        encoder.finish()?;
        Ok(self.asked.limit.unwrap_or(u64::MAX) - left)
    }

    /// Gives a day that was looked at.
    fn day(&mut self, date: UtcDay) -> Result<StreamedDay, StreamError> {
        if let Some(day) = self.live.remove(&date) {
            return Ok(day);
        }
        let key = key(&self.asked, date);
        let day = StreamedDay::open(&self.asked.tape, &key, Checks::Nothing)?;
        // A day that is gone was moved away or removed meanwhile: without it the answer would be short, and look whole.
        let day = day.ok_or_else(|| StreamError::replaced(&key))?;
        if self.is_promised && Some(&day.identity) != self.identities.get(&date) {
            return Err(StreamError::replaced(&key));
        }
        Ok(day)
    }

    fn write_day(
        &self,
        day: &StreamedDay,
        most: u64,
        exact: &ExactTexts,
        encoder: &mut Encoder<'_>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<u64, StreamError> {
        let Records { range, after_id, order, .. } = self.asked;
        let mut chosen = Chosen::new(day, range, after_id, order);
        let (mut written, mut taken) = (0, 0);
        while written < most {
            let room = usize::try_from(most - written).unwrap_or(usize::MAX).min(encoder.block_rows());
            let Some(block) = chosen.next_block(room, goes_on) else { break };
            if !goes_on() {
                return Err(StreamError::Stopped);
            }
            self.write_block(day, &block, exact, encoder)?;
            day.stored.check_not_cut(false)?;
            taken |= block.taken();
            written += block.rows() as u64;
            chosen.release();
        }
        if !goes_on() {
            return Err(StreamError::Stopped);
        }
        day.stored.check_not_cut(true)?;
        if written == day.identity.records() && Chosen::is_whole(day, range, after_id) {
            day.check(taken)?;
        } else if self.asked.dataset != Dataset::Trades && day.identity.is_sealed() {
            // Those of trades were compared before, or will be. A part of a day has no checksum of its own, so all of the day is compared, once.
            check(&self.asked.tape, &key(&self.asked, day.identity.date()), &day.identity)?;
        }
        Ok(written)
    }

    fn write_block(&self, day: &StreamedDay, block: &Block<'_>, exact: &ExactTexts, encoder: &mut Encoder<'_>) -> Result<(), StreamError> {
        let Records { product, dataset, .. } = &self.asked;
        let exact = (!exact.is_empty() && encoder.is_text()).then(|| ExactCells {
            texts: exact,
            product,
            dataset: *dataset,
            keys: block.text_keys(),
        });
        encoder.write(&day.stored, block, exact.as_ref())
    }
}

fn key(asked: &Records, date: UtcDay) -> DayKey {
    DayKey { product: asked.product.clone(), dataset: asked.dataset, date }
}
