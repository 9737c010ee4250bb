//! [`Filter`]: which records are asked for.

use crate::record::OrderId;
use crate::schema::{Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::{UnixNanos, UtcDay};

/// Which records are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    /// The first event time.
    pub from: Option<UnixNanos>,
    /// The event time to stop before.
    pub to: Option<UnixNanos>,
    /// Only trades in which this order was the maker's or the taker's.
    pub order: Option<OrderId>,
}

impl Filter {
    /// Tells whether a day may hold such a record. A day holds the records whose event time it is.
    #[must_use]
    pub(super) fn may_hold(&self, date: UtcDay) -> bool {
        self.from.is_none_or(|from| date >= from.day()) && self.to.is_none_or(|to| date.start() < to)
    }

    /// Tells whether record `number` of the merged order is asked for.
    #[must_use]
    pub(super) fn admits<L: Layout>(&self, snapshot: &Snapshot<L>, number: usize) -> bool {
        self.admits_time(snapshot, number) && self.admits_order(snapshot, number)
    }

    fn admits_time<L: Layout>(&self, snapshot: &Snapshot<L>, number: usize) -> bool {
        let date = snapshot.key().date;
        let is_within = self.from.is_none_or(|from| from <= date.start()) && self.to.is_none_or(|to| date.next().start() <= to);
        if is_within {
            return true;
        }
        if snapshot.late().is_empty() {
            // For nearly every record the seconds decide.
            let Some(seconds) = stored::chunk(snapshot.column_bytes(L::TIME), number).map(u32::from_le_bytes) else { return false };
            let is_before = self.from.is_some_and(|from| seconds < from.seconds());
            let is_after = self.to.is_some_and(|to| seconds > to.seconds());
            if is_before || is_after {
                return false;
            }
        }
        snapshot.row(number).is_some_and(|row| self.spans(L::time(&row)))
    }

    fn spans(&self, time: UnixNanos) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    /// Tells whether the record that has these values is asked for.
    #[must_use]
    pub(super) fn admits_values<L: Layout>(&self, time: UnixNanos, values: &[Value]) -> bool {
        self.spans(time) && self.order.is_none_or(|order| orders::<L>().any(|at| values.get(at) == Some(&Value::Uuid(order.0))))
    }

    fn admits_order<L: Layout>(&self, snapshot: &Snapshot<L>, number: usize) -> bool {
        let Some(order) = self.order else { return true };
        if snapshot.late().is_empty() {
            return orders::<L>().any(|at| stored::chunk(snapshot.column_bytes(at), number) == Some(order.0));
        }
        let mut values = Vec::new();
        stored::load(snapshot, number, &mut values);
        orders::<L>().any(|at| values.get(at) == Some(&Value::Uuid(order.0)))
    }
}

/// Gives the places of the columns that hold order ids.
fn orders<L: Layout>() -> impl Iterator<Item = usize> {
    L::COLUMNS.iter().enumerate().filter(|(_, column)| column.kind == Kind::Uuid).map(|(at, _)| at)
}
