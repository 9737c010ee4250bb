//! [`Filter`]: which records are asked for.

use crate::record::OrderId;
use crate::schema::{Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::{UnixNanos, UtcDay};
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
    /// Tells whether a day may hold such a record.
    #[must_use]
    pub(super) fn may_hold(&self, date: UtcDay) -> bool {
        self.range.overlaps_day(date)
    }

    /// Tells whether every record of a day is asked for.
    #[must_use]
    pub(super) fn is_whole(&self, date: UtcDay) -> bool {
        self.order.is_none() && self.range.covers_day(date)
    }

    /// Tells whether record `number` of the merged order is asked for.
    #[must_use]
    pub(super) fn admits<L: Layout>(&self, day: &Snapshot<L>, number: usize) -> bool {
        self.admits_time(day, number) && self.admits_order(day, number)
    }

    fn admits_time<L: Layout>(&self, day: &Snapshot<L>, number: usize) -> bool {
        if self.range.covers_day(day.key().date) {
            return true;
        }
        if stored::is_in_columns(day, number) {
            // For nearly every record the seconds decide.
            let Some(seconds) = stored::chunk(day.column_bytes(L::TIME), number).map(u32::from_le_bytes) else { return false };
            let is_before = self.range.from.is_some_and(|from| seconds < from.seconds());
            let is_after = self.range.to.is_some_and(|to| seconds > to.seconds());
            if is_before || is_after {
                return false;
            }
        }
        self.range.contains(time_of(day, number))
    }

    /// Tells whether the record that has these values is asked for.
    #[must_use]
    pub(super) fn admits_values<L: Layout>(&self, values: &[Value]) -> bool {
        let part = |place| stored::u32_at(values, place).unwrap_or(0);
        // In every dataset the nanoseconds come behind the seconds.
        self.range.contains(UnixNanos::from_parts(part(L::TIME), part(L::TIME + 1)))
            && self.order.is_none_or(|order| orders::<L>().any(|at| values.get(at) == Some(&Value::Uuid(order.0))))
    }

    fn admits_order<L: Layout>(&self, day: &Snapshot<L>, number: usize) -> bool {
        let Some(order) = self.order else { return true };
        if stored::is_in_columns(day, number) {
            return orders::<L>().any(|at| stored::chunk(day.column_bytes(at), number) == Some(order.0));
        }
        let mut values = Vec::new();
        stored::load(day, number, &mut values);
        orders::<L>().any(|at| values.get(at) == Some(&Value::Uuid(order.0)))
    }
}

/// Gives the event time of record `number` of the merged order.
#[must_use]
pub(super) fn time_of<L: Layout>(day: &Snapshot<L>, number: usize) -> UnixNanos {
    if stored::is_in_columns(day, number) {
        let part = |place| stored::chunk(day.column_bytes(place), number).map_or(0, u32::from_le_bytes);
        return UnixNanos::from_parts(part(L::TIME), part(L::TIME + 1));
    }
    day.row(number).map_or(UnixNanos(0), |row| L::time(&row))
}

/// Gives the places of the columns that hold order ids.
fn orders<L: Layout>() -> impl Iterator<Item = usize> {
    L::COLUMNS.iter().enumerate().filter(|(_, column)| column.kind == Kind::Uuid).map(|(at, _)| at)
}
