//! [`DaySums`]: what the records of a day add up to.

use crate::time::UnixNanos;

/// What the records of a day add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DaySums {
    /// Records, late ones included.
    pub records: u64,
    /// Records whose event time is before that of the record before them.
    pub regressions: u64,
    /// Trades with both order ids.
    pub with_order_ids: u64,
    /// Records with a receive time, that is, received live.
    pub with_recv: u64,
    /// Values that were checked against their exact ones. `None` where the day has no exact ones.
    pub rounded: Option<u64>,
    /// The event times of the first and the last record.
    pub times: Option<(UnixNanos, UnixNanos)>,
    /// Trades that break a rule of plausibility and are kept all the same.
    pub flagged: u64,
    /// Records whose receive time lies an hour or more before their event time, by the clock of the machine that received them.
    pub clock_behind: u64,
    /// The earliest time at which a record was received as it happened.
    pub first_live: Option<UnixNanos>,
    /// Whether records of the day were received on that day.
    pub is_received_on_its_day: bool,
}

impl DaySums {
    /// Adds what comes behind.
    pub(super) fn add(&mut self, behind: &Self) {
        self.records += behind.records;
        self.regressions += behind.regressions;
        self.with_order_ids += behind.with_order_ids;
        self.with_recv += behind.with_recv;
        self.rounded = self.rounded.map(|count| count + behind.rounded.unwrap_or(0));
        self.times = self.times.zip(behind.times).map(|((first, _), (_, last))| (first, last)).or(self.times).or(behind.times);
        self.first_live = self.first_live.into_iter().chain(behind.first_live).min();
        self.is_received_on_its_day |= behind.is_received_on_its_day;
    }
}
