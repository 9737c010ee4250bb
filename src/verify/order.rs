//! Whether the ids of a product's days and their dates agree: who has the higher id happened later.
//!
//! Ids that adjoin prove nothing while a trade lies in the file of a day on which it did not happen: the trade is missing in its own day, and makes a day
//! of one record look complete.
//!
//! 1. A *stretch* is a part of the chain, in order of ids, that lies in the file of one day.
//! 2. The stretches whose dates rise and that hold the most trades are taken for right. Every other one is a *stray*.
//! 3. A stray within [`CLOCK_FALL_NANOS`] of both its neighbours is the exchange's clock around midnight, and is right, too. Of at least [`CONFIRMATIONS`]
//!    trades, it may lie [`CONFIRMED_FALL_NANOS`] away.
//! 4. A stray makes its own day doubtful and the days of the right stretches beside it, where its trades may belong.

use super::chain::{Link, Run};
use crate::ids::IdRange;
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// How far the exchange's clock may fall from one trade to the next. Coinbase's matching engine has never been seen to set its clock back within a
/// product; this is what a correction of a clock takes at the most.
pub(super) const CLOCK_FALL_NANOS: u64 = 60 * NANOS_PER_SECOND;
/// How far it may where several trades in a row agree on it: what an event time may fall by without being doubted when it is received.
pub(super) const CONFIRMED_FALL_NANOS: u64 = 3600 * NANOS_PER_SECOND;
/// Trades in a row that agree on the time: then it is the exchange's clock.
pub(super) const CONFIRMATIONS: usize = 3;

/// Trades that lie in the file of a day to which their ids do not belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stray {
    /// Their ids, from the first to the last.
    pub ids: IdRange,
    /// The day whose file holds them.
    pub date: UtcDay,
    /// The days that the trades before and behind them lie in.
    pub beside: Vec<UtcDay>,
}

/// A part of the chain in the file of one day.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: Link,
    last: Link,
    trades: u64,
}

/// Tells whether a time lies more than `most` nanoseconds before another.
#[must_use]
pub(super) const fn falls_by(from: UnixNanos, to: UnixNanos, most: u64) -> bool {
    to.0.saturating_add(most) < from.0
}

/// Finds the strays of a chain, given in order of ids.
#[must_use]
pub(super) fn strays(chain: &[Run]) -> Vec<Stray> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for run in chain {
        // Of a damaged day the ids may fall.
        let trades = run.last.id.abs_diff(run.first.id).saturating_add(1);
        match stretches.last_mut() {
            Some(stretch) if stretch.last.date == run.first.date => {
                stretch.last = run.last;
                stretch.trades = stretch.trades.saturating_add(trades);
            }
            _ => stretches.push(Stretch { first: run.first, last: run.last, trades }),
        }
    }
    let is_right = heaviest_rising(&stretches);
    let mut strays = Vec::new();
    for (at, stretch) in stretches.iter().enumerate().filter(|(at, _)| is_right.get(*at) == Some(&false)) {
        let right = |(at, stretch): (usize, &Stretch)| (is_right.get(at) == Some(&true)).then_some(*stretch);
        let before = stretches.iter().enumerate().take(at).rev().find_map(right);
        let behind = stretches.iter().enumerate().skip(at + 1).find_map(right);
        // Right ones are in order, so it is enough to look at those nearest to it.
        let most = if stretch.trades >= CONFIRMATIONS as u64 { CONFIRMED_FALL_NANOS } else { CLOCK_FALL_NANOS };
        let falls = |from, to| falls_by(from, to, most);
        let is_clock = before
            .is_none_or(|before| !falls(before.last.time, stretch.first.time) && !falls(stretch.first.time, stretch.last.time))
            && behind.is_none_or(|behind| !falls(stretch.last.time, behind.first.time));
        if !is_clock {
            let ids = IdRange::one(stretch.first.id).span(IdRange::one(stretch.last.id));
            let beside = before.into_iter().chain(behind).map(|stretch| stretch.first.date).collect();
            strays.push(Stray { ids, date: stretch.first.date, beside });
        }
    }
    strays
}

/// Tells of each stretch whether it belongs to those whose dates rise and that hold the most trades together.
fn heaviest_rising(stretches: &[Stretch]) -> Vec<bool> {
    let mut dates: Vec<UtcDay> = stretches.iter().map(|stretch| stretch.first.date).collect();
    dates.sort();
    dates.dedup();
    // A Fenwick tree over the dates: the heaviest chain that ends at a date up to there, with the stretch that it ends with.
    let mut best: Vec<(u64, Option<usize>)> = vec![(0, None); dates.len() + 1];
    let mut before: Vec<Option<usize>> = Vec::with_capacity(stretches.len());
    for (at, stretch) in stretches.iter().enumerate() {
        let rank = dates.partition_point(|date| *date <= stretch.first.date);
        let (mut heaviest, mut node) = ((0, None), rank);
        while node > 0 {
            heaviest = heaviest.max(best.get(node).copied().unwrap_or_default());
            node &= node - 1;
        }
        before.push(heaviest.1);
        let (own, mut node) = ((heaviest.0.saturating_add(stretch.trades), Some(at)), rank);
        while let Some(entry) = best.get_mut(node) {
            *entry = (*entry).max(own);
            node += node & node.wrapping_neg();
        }
    }
    let mut is_right = vec![false; stretches.len()];
    let mut next = best.iter().copied().max().and_then(|(_, last)| last);
    while let Some(at) = next {
        if let Some(right) = is_right.get_mut(at) {
            *right = true;
        }
        next = before.get(at).copied().flatten();
    }
    is_right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECONDS_PER_DAY;
    use proptest::prelude::*;

    /// A run of ids on a day, the first of them at a second of it, one a second.
    fn run(date: u32, second: u64, first: u64, last: u64) -> Run {
        let time = |id: u64| UnixNanos((u64::from(date) * SECONDS_PER_DAY + second + id - first) * NANOS_PER_SECOND);
        let link = |id| Link { date: UtcDay(date), id, time: time(id) };
        Run { first: link(first), last: link(last) }
    }

    fn found(chain: &[Run]) -> Vec<(u64, u64, u32, Vec<u32>)> {
        let plain = |stray: Stray| (stray.ids.first(), stray.ids.last(), stray.date.0, stray.beside.iter().map(|date| date.0).collect());
        strays(chain).into_iter().map(plain).collect()
    }

    #[test]
    fn a_trade_of_another_day_within_a_days_ids_is_a_stray_and_the_days_behind_are_right() {
        let none: Vec<(u64, u64, u32, Vec<u32>)> = Vec::new();
        assert_eq!(found(&[run(9, 0, 1, 50), run(10, 0, 51, 99), run(12, 0, 100, 101)]), none);
        // Long ago, the day before, and in times to come.
        assert_eq!(found(&[run(9, 0, 1, 49), run(2, 0, 50, 50), run(9, 60, 51, 99), run(10, 0, 100, 200)]), [(50, 50, 2, vec![9, 9])]);
        assert_eq!(found(&[run(8, 0, 1, 30), run(9, 0, 31, 49), run(8, 900, 50, 50), run(9, 60, 51, 99)]), [(50, 50, 8, vec![9, 9])]);
        assert_eq!(found(&[run(9, 0, 1, 49), run(12, 0, 50, 50), run(9, 60, 51, 99), run(10, 0, 100, 200)]), [(50, 50, 12, vec![9, 9])]);
        // Two in a row, on two days.
        assert_eq!(
            found(&[run(9, 0, 1, 49), run(2, 0, 50, 50), run(8, 0, 51, 51), run(9, 60, 52, 99)]),
            [(50, 50, 2, vec![9, 9]), (51, 51, 8, vec![9, 9])]
        );
        // A whole day whose ids lie behind those of the next.
        assert_eq!(found(&[run(10, 0, 1, 50), run(9, 0, 51, 80), run(11, 0, 81, 90)]), [(51, 80, 9, vec![10, 11])]);
    }

    #[test]
    fn days_that_interleave_at_midnight_are_right_as_far_as_a_clock_may_fall() {
        let last = SECONDS_PER_DAY - 10;
        assert_eq!(found(&[run(9, last, 1, 7), run(10, 0, 8, 8), run(9, last + 8, 9, 9), run(10, 1, 10, 12)]).len(), 0);
        assert_eq!(found(&[run(9, last, 1, 7), run(10, 0, 8, 8), run(9, last - 60, 9, 9), run(10, 1, 10, 12)]).len(), 1);
        // Three that agree may be further away.
        assert_eq!(found(&[run(9, last, 1, 7), run(10, 0, 8, 10), run(9, last - 60, 11, 13), run(10, 1, 14, 20)]).len(), 0);
        assert_eq!(found(&[run(9, last, 1, 7), run(10, 0, 8, 10), run(9, last - 3700, 11, 13), run(10, 1, 14, 20)]).len(), 1);
    }

    proptest! {
        #[test]
        fn stretches_in_order_have_no_stray_and_one_that_is_moved_is_found(
            lengths in proptest::collection::vec(1_u64..50, 1..12),
            at in any::<proptest::sample::Index>(),
            to in 0_u32..40,
        ) {
            let mut chain = Vec::new();
            let mut id = 1;
            for (date, length) in (10..).zip(&lengths) {
                chain.push(run(date, 40_000, id, id + length - 1));
                id += length;
            }
            prop_assert_eq!(strays(&chain), vec![]);
            let at = at.index(chain.len());
            let own = chain[at];
            chain[at] = run(to, 40_000, own.first.id, own.last.id);
            let is_in_order = chain.windows(2).all(|pair| pair[0].first.date <= pair[1].first.date);
            prop_assert_eq!(strays(&chain).is_empty(), is_in_order);
        }
    }
}
