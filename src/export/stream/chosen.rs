//! [`Chosen`]: the records of a day that are asked for, block by block, found while they are sent.
//!
//! 1. A record is chosen by its own time, as times may fall a little. Nothing is looked at ahead: the first block comes when its records are found.
//! 2. Trades behind an id are found by a binary search, as their ids rise. Other records are compared one by one.

use std::collections::VecDeque;
use std::ops::Range;

use super::day::StreamedDay;
use crate::export::block::Block;
use crate::export::stored_day::{Run, run_rows};
use crate::schema::Dataset;
use crate::time_range::TimeRange;

/// Records whose times are compared before it is looked whether the server stops.
const COMPARED_RECORDS: usize = 1 << 16;

/// Records after which their memory is given back: some 10 MB.
const RELEASED_RECORDS: usize = 1 << 17;

/// In which order records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Order {
    /// As they are stored.
    #[default]
    Ascending,
    /// The last one first.
    Descending,
}

/// The chosen records of a day.
pub(super) struct Chosen<'a> {
    day: &'a StreamedDay,
    /// Records that have not been looked at, in the order in which they are sent.
    left: VecDeque<Run>,
    /// Records that were chosen and not yet sent, likewise.
    ready: VecDeque<Run>,
    /// The times asked for; nothing where the day lies in them.
    range: Option<TimeRange>,
    /// Records of other datasets than trades must have a higher trade id.
    after_id: Option<u64>,
    order: Order,
    /// Records of the columns that were looked at, and whose memory was not given back.
    touched: Range<usize>,
}

impl<'a> Chosen<'a> {
    /// Begins with no record looked at.
    pub(super) fn new(day: &'a StreamedDay, range: TimeRange, after_id: Option<u64>, order: Order) -> Self {
        let stored = &day.stored;
        let has_ids = stored.dataset() == Dataset::Trades;
        let cut = |run: &Run| match after_id.filter(|_| has_ids) {
            Some(after) => behind(day, run, after),
            None => Some(run.clone()),
        };
        let mut left: VecDeque<Run> = stored.runs().iter().filter_map(cut).collect();
        if order == Order::Descending {
            left.make_contiguous().reverse();
        }
        let range = Some(range).filter(|range| !range.covers_day(stored.key().date));
        Self { day, left, ready: VecDeque::new(), range, after_id: after_id.filter(|_| !has_ids), order, touched: 0..0 }
    }

    /// Tells whether every record of the day is asked for.
    pub(super) fn is_whole(day: &StreamedDay, range: TimeRange, after_id: Option<u64>) -> bool {
        after_id.is_none() && range.covers_day(day.stored.key().date)
    }

    /// Gives the next records, at most `most`. `goes_on` is asked now and then while none are found.
    pub(super) fn next_block(&mut self, most: usize, goes_on: &dyn Fn() -> bool) -> Option<Block<'a>> {
        let mut runs = Vec::new();
        let mut room = most;
        while room > 0 {
            match self.ready.pop_front() {
                Some(run) => {
                    let (now, later) = self.split(run, room);
                    room -= run_rows(&now);
                    runs.push(now);
                    later.into_iter().for_each(|later| self.ready.push_front(later));
                }
                None if goes_on() && self.look_further() => {}
                None => break,
            }
        }
        if runs.is_empty() {
            return None;
        }
        runs.iter().for_each(|run| self.touch(run));
        Some(match self.order {
            Order::Ascending => self.day.stored.block_of(&runs),
            Order::Descending => {
                runs.reverse();
                self.day.stored.block_of(&runs).reversed()
            }
        })
    }

    /// Gives the memory of what was looked at back, where it is much. The blocks given until now are not looked at again.
    pub(super) fn release(&mut self) {
        if self.touched.len() >= RELEASED_RECORDS {
            self.day.stored.release(std::mem::take(&mut self.touched));
        }
    }

    fn touch(&mut self, run: &Run) {
        if let Run::Columns(records) = run {
            let touched = &mut self.touched;
            *touched =
                if touched.start >= touched.end { records.clone() } else { touched.start.min(records.start)..touched.end.max(records.end) };
        }
    }

    /// Looks at the next records. Tells whether there were any.
    fn look_further(&mut self) -> bool {
        let Some(run) = self.left.pop_front() else { return false };
        if self.range.is_none() && self.after_id.is_none() {
            self.ready.push_back(run);
            return true;
        }
        let (now, later) = self.split(run, COMPARED_RECORDS);
        later.into_iter().for_each(|later| self.left.push_front(later));
        self.touch(&now);
        self.release();
        let mut found = self.matching(&now);
        if self.order == Order::Descending {
            found.reverse();
        }
        self.ready.extend(found);
        true
    }

    /// Gives the parts of a run that are asked for, in stored order.
    fn matching(&self, run: &Run) -> Vec<Run> {
        let block = self.day.stored.block_of(std::slice::from_ref(run));
        let mut is_in: Vec<bool> = match self.range {
            Some(range) => block.times().map(|time| range.contains(time)).collect(),
            None => vec![true; block.rows()],
        };
        if let Some(after) = self.after_id {
            let ids: Vec<u64> = block.u64s("trade_id").map(Iterator::collect).unwrap_or_default();
            is_in.iter_mut().enumerate().for_each(|(at, is_in)| *is_in &= ids.get(at).is_some_and(|id| *id > after));
        }
        match run {
            Run::Late(number) => is_in.first().filter(|is_in| **is_in).map(|_| Run::Late(*number)).into_iter().collect(),
            Run::Columns(records) => {
                let mut at = records.start;
                let parts = is_in.chunk_by(|left, right| left == right).map(|same| {
                    let part = at..at + same.len();
                    at = part.end;
                    (part, same.first() == Some(&true))
                });
                parts.filter(|(_, is_in)| *is_in).map(|(part, _)| Run::Columns(part)).collect()
            }
        }
    }

    /// Cuts a run into the records that come first, at most `most`, and the others.
    fn split(&self, run: Run, most: usize) -> (Run, Option<Run>) {
        match run {
            Run::Columns(records) if records.len() > most => {
                let (now, later): (Range<usize>, Range<usize>) = match self.order {
                    Order::Ascending => (records.start..records.start + most, records.start + most..records.end),
                    Order::Descending => (records.end - most..records.end, records.start..records.end - most),
                };
                (Run::Columns(now), Some(Run::Columns(later)))
            }
            other => (other, None),
        }
    }
}

/// Gives the part of a run of trades whose ids are above `after`.
fn behind(day: &StreamedDay, run: &Run, after: u64) -> Option<Run> {
    match run {
        Run::Columns(records) => {
            let at = day.stored.columns().iter().position(|column| column.name == "trade_id")?;
            let (ids, _) = day.stored.column_bytes(at).as_chunks::<8>();
            let ids = ids.get(records.clone())?;
            let first = records.start + ids.partition_point(|id| u64::from_le_bytes(*id) <= after);
            (first < records.end).then_some(Run::Columns(first..records.end))
        }
        Run::Late(_) => {
            let block = day.stored.block_of(std::slice::from_ref(run));
            block.u64s("trade_id")?.next().filter(|id| *id > after).map(|_| run.clone())
        }
    }
}
