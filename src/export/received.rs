//! [`ReceivedTrade`], [`ReceivedQuote`]: records as the formats of other programs have them, which order a day by the time of receipt.
//!
//! 1. A record that was not received live has no time of receipt. Its event time stands in for it, and it is counted.
//! 2. A day is that of the receipt: it may hold records whose event falls in a neighbouring day, or in any earlier one (the last trade of a quiet product).
//! 3. Records are ordered by the time of receipt; those of one time stay in the order of the tape.

use super::block::Block;
use super::format::{OpenFile, Written};
use crate::record::Side;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// A trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ReceivedTrade {
    /// When it was received, or its event time.
    pub local: UnixNanos,
    /// Event time.
    pub event: UnixNanos,
    /// Coinbase's trade id.
    pub trade_id: u64,
    /// The taker's side; `None` where the stored code is that of no side.
    pub side: Option<Side>,
    /// Whether it was received live.
    pub is_live: bool,
    /// Price; NaN where it is no number.
    pub price: f64,
    /// Size; NaN where it is no number.
    pub size: f64,
}

/// The top of the book after a trade, from a ticker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ReceivedQuote {
    /// When it was received, or its event time.
    pub local: UnixNanos,
    /// Event time.
    pub event: UnixNanos,
    /// Whether the time of receipt is known.
    pub is_live: bool,
    /// Best bid; NaN where the feed sent none. So are the others.
    pub bid: f64,
    /// Best ask.
    pub ask: f64,
    /// Size at the best bid.
    pub bid_size: f64,
    /// Size at the best ask.
    pub ask_size: f64,
}

/// A record that has a time of receipt.
pub(super) trait Received: Sized {
    /// Where it is stored.
    const DATASET: Dataset;
    /// Gives when it was received, or its event time.
    fn local(&self) -> UnixNanos;
    /// Gives its event time.
    fn event(&self) -> UnixNanos;
    /// Tells whether the time of receipt is known.
    fn is_live(&self) -> bool;
    /// Reads the records of a block.
    fn read(block: &Block<'_>, take: impl FnMut(Self));
}

/// The members that both records have.
macro_rules! times {
    () => {
        fn local(&self) -> UnixNanos {
            self.local
        }

        fn event(&self) -> UnixNanos {
            self.event
        }

        fn is_live(&self) -> bool {
            self.is_live
        }
    };
}

impl Received for ReceivedTrade {
    const DATASET: Dataset = Dataset::Trades;

    times!();

    fn read(block: &Block<'_>, mut take: impl FnMut(Self)) {
        let (prices, sizes) = (block.numbers("trade_price_f64", "trade_price"), block.numbers("trade_size_f64", "trade_size"));
        let (Some(ids), Some(sides), Some(prices), Some(sizes)) = (block.u64s("trade_id"), block.u32s("trade_side"), prices, sizes) else {
            return;
        };
        let values = ids.zip(sides).zip(prices.into_iter().zip(sizes));
        for ((local, event, is_live), ((trade_id, side), (price, size))) in local_times(block).zip(values) {
            take(Self { local, event, trade_id, side: Side::from_code(side), is_live, price, size });
        }
    }
}

impl Received for ReceivedQuote {
    const DATASET: Dataset = Dataset::Md;

    times!();

    fn read(block: &Block<'_>, mut take: impl FnMut(Self)) {
        let numbers = |exact, rounded| block.numbers(exact, rounded).unwrap_or_else(|| vec![f64::NAN; block.rows()]);
        let prices = numbers("best_bid_f64", "best_bid").into_iter().zip(numbers("best_ask_f64", "best_ask"));
        let sizes = numbers("best_bid_size_f64", "").into_iter().zip(numbers("best_ask_size_f64", ""));
        for ((local, event, is_live), ((bid, ask), (bid_size, ask_size))) in local_times(block).zip(prices.zip(sizes)) {
            take(Self { local, event, is_live, bid, ask, bid_size, ask_size });
        }
    }
}

/// Records that are read together.
pub(super) const BLOCK_ROWS: usize = 1 << 16;

/// Gives of each record the time by which it is ordered, its event time, and whether the first is that of receipt.
pub(super) fn local_times(block: &Block<'_>) -> impl Iterator<Item = (UnixNanos, UnixNanos, bool)> {
    let name = if block.dataset() == Dataset::Trades { "trade_recv_nanos" } else { "recv_nanos" };
    let received = block.values::<8>(name).unwrap_or_default().iter().map(|bytes| u64::from_le_bytes(*bytes));
    // A folder of the core alone has no such column.
    block.times().zip(received.chain(std::iter::repeat(0))).map(|(event, received)| {
        let (local, is_live) = local_time(UnixNanos(received), event);
        (local, event, is_live)
    })
}

/// Gives the time by which a record is ordered: that of receipt, or the event's where there is none.
#[must_use]
fn local_time(received: UnixNanos, event: UnixNanos) -> (UnixNanos, bool) {
    if received.0 == 0 { (event, false) } else { (received, true) }
}

/// Counts records that were written, and those of them about which something is to be said.
pub(super) fn written<R: Received>(records: &[R]) -> Written {
    let count = |is_such: fn(&&R) -> bool| records.iter().filter(is_such).count() as u64;
    let (untimed, early) = (count(|record| !record.is_live()), count(|record| record.local() < record.event()));
    Written { rows: records.len() as u64, untimed, early, unfit: 0 }
}

/// Reads the records of a file: those of its stored days that were received on its day, and in the part of it that is asked for. In the order of receipt.
pub(super) fn read<R: Received>(file: &OpenFile<'_>) -> Vec<R> {
    let (day, mut records) = (file.planned.date, Vec::new());
    for stored in file.days.iter().filter(|stored| stored.dataset() == R::DATASET) {
        for block in stored.blocks(BLOCK_ROWS) {
            R::read(&block, |record| {
                if record.local().day() == day && file.part.contains(record.local()) {
                    records.push(record);
                }
            });
        }
    }
    order(&mut records);
    records
}

/// Puts records into the order of their receipt. Those of one time stay as they are.
fn order<R: Received>(records: &mut [R]) {
    records.sort_by_key(Received::local);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(trade_id: u64, local: u64, event: u64) -> ReceivedTrade {
        let (local, is_live) = local_time(UnixNanos(local), UnixNanos(event));
        ReceivedTrade { local, event: UnixNanos(event), trade_id, side: Some(Side::Buy), is_live, price: 1.0, size: 1.0 }
    }

    #[test]
    fn records_stand_in_the_order_of_receipt_and_those_of_one_time_in_that_of_the_tape() {
        let mut records = vec![trade(1, 9, 8), trade(2, 15, 9), trade(3, 0, 13), trade(4, 15, 14), trade(5, 10, 14)];
        order(&mut records);
        assert_eq!(records.iter().map(|record| record.trade_id).collect::<Vec<_>>(), [1, 5, 3, 2, 4]);
        assert_eq!(written(&records), Written { rows: 5, untimed: 1, early: 1, unfit: 0 });
    }
}
