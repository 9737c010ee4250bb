//! The order of the records of several products on one day.
//!
//! 1. The records of one product stay in their order: rising ids, even where the exchange's clock fell. Of the next records of all products the one with the
//!    earliest event time comes first; where times are equal, that of the product named first.
//! 2. A day holds the records whose event time it is. So each day is put in order by itself, and the days follow each other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use super::filter::{Filter, time_of};
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
    let asked_from = |day: &ProductDay<L>, from: usize| (from..day.records.count()).find(|number| filter.admits(&day.records, *number));
    if let [day] = days {
        return (0..day.records.count()).filter(|number| filter.admits(&day.records, *number)).try_for_each(|number| take(0, number));
    }
    let entry = |at: usize, number: usize| {
        let day = days.get(at)?;
        let number = asked_from(day, number)?;
        Some(Reverse((time_of(&day.records, number), at, number)))
    };
    let mut next: BinaryHeap<_> = (0..days.len()).filter_map(|at| entry(at, 0)).collect();
    while let Some(Reverse((_, at, number))) = next.pop() {
        take(at, number)?;
        next.extend(entry(at, number + 1));
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
        let asked = (0..day.records.count()).rev().filter(|number| filter.admits(&day.records, *number));
        asked.take(most).for_each(|number| found.push_front((0, number)));
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
