//! [`Filter`]: which records are asked for.

use std::ops::Range;

use crate::record::OrderId;
use crate::schema::{Column, Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Which records are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    /// The event times.
    pub range: TimeRange,
    /// Only trades in which this order was the maker's or the taker's.
    pub order: Option<OrderId>,
}

impl Filter {
    /// Tells whether every record of a day is asked for.
    #[must_use]
    pub(super) fn is_whole(&self, date: UtcDay) -> bool {
        self.order.is_none() && self.range.covers_day(date)
    }

    /// Gives the numbers of a day's records that are asked for, in the merged order.
    pub(super) fn numbers<'d, L: Layout>(&self, day: &'d Snapshot<L>) -> impl DoubleEndedIterator<Item = usize> + use<'d, L> {
        let whole = || std::iter::once(0..day.count()).collect();
        let pieces: Vec<Range<usize>> = if self.range.covers_day(day.key().date) { whole() } else { day.time_pieces(self.range) };
        let order = self.order;
        pieces.into_iter().flatten().filter(move |number| order.is_none_or(|order| is_of(order, day, *number)))
    }

    /// Tells whether a record of the right time that has these values is asked for.
    #[must_use]
    pub(super) fn admits_values(&self, columns: &[Column], values: &[Value]) -> bool {
        self.order.is_none_or(|order| orders(columns).any(|at| values.get(at) == Some(&Value::Uuid(order.0))))
    }
}

/// Tells whether a record names an order.
fn is_of<L: Layout>(order: OrderId, day: &Snapshot<L>, number: usize) -> bool {
    if stored::is_in_columns(day, number) {
        return orders(L::COLUMNS).any(|at| stored::chunk(day.column_bytes(at), number) == Some(order.0));
    }
    let mut values = Vec::new();
    stored::load(day, number, &mut values);
    orders(L::COLUMNS).any(|at| values.get(at) == Some(&Value::Uuid(order.0)))
}

/// Gives the places of the columns that hold order ids.
fn orders(columns: &[Column]) -> impl Iterator<Item = usize> {
    columns.iter().enumerate().filter(|(_, column)| column.kind == Kind::Uuid).map(|(at, _)| at)
}
