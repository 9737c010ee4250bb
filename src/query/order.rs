//! The order of the records of several products on one day.
//!
//! 1. The records of one product stay in their order: rising ids, even where the exchange's clock fell. Of the next records of all products the one with the
//!    earliest event time comes first; where times are equal, that of the product named first.
//! 2. A day holds the records whose event time it is. So each day is put in order by itself, and the days follow each other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::filter::Filter;
use crate::schema::Layout;
use crate::store::Snapshot;

/// A product's records of one day.
pub(super) struct ProductDay<L: Layout> {
    /// The number of the product.
    pub(super) product: usize,
    pub(super) records: Snapshot<L>,
}

/// Gives each record of some products' day that is asked for to `take`, in order: the place of the product's day in `days`, and the record's number.
/// Ends early where `take` says so.
pub(super) fn for_each<L: Layout, B>(
    days: &[ProductDay<L>],
    filter: &Filter,
    mut take: impl FnMut(usize, usize) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if let [day] = days {
        return filter.numbers(&day.records).try_for_each(|number| take(0, number));
    }
    let mut numbers: Vec<_> = days.iter().map(|day| filter.numbers(&day.records)).collect();
    let mut entry = |at: usize| {
        let number = numbers.get_mut(at)?.next()?;
        Some(Reverse((days.get(at)?.records.time_at(number), at, number)))
    };
    let mut next: BinaryHeap<_> = (0..days.len()).filter_map(&mut entry).collect();
    while let Some(Reverse((_, at, number))) = next.pop() {
        take(at, number)?;
        next.extend(entry(at));
    }
    ControlFlow::Continue(())
}

/// Gives the last `most` records of some products' day that are asked for, in order.
pub(super) fn last<L: Layout>(days: &[ProductDay<L>], filter: &Filter, most: usize) -> VecDeque<(usize, usize)> {
    let mut found = VecDeque::new();
    if most == 0 {
        return found;
    }
    if let [day] = days {
        filter.numbers(&day.records).rev().take(most).for_each(|number| found.push_front((0, number)));
        return found;
    }
    let _: ControlFlow<()> = for_each(days, filter, |at, number| {
        if found.len() == most {
            found.pop_front();
        }
        found.push_back((at, number));
        ControlFlow::Continue(())
    });
    found
}
