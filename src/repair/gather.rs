//! Getting many missing ids in few pages.
//!
//! 1. Upwards, in windows of at most 1000 ids; gaps that lie close together share a window.
//! 2. Only ids that were asked for are handed on, in rising order within a window.
//! 3. An id that a page lacks is asked for again, [`ATTEMPTS`] times in all, before REST is said not to have it.

use crate::feed::rest::{InexactText, MAX_PAGE_TRADES};
use crate::product::ProductId;
use crate::record::Trade;
use crate::store::Hole;

use super::fetch::{Fetcher, GaveUp};

/// How often an id is asked for.
pub(super) const ATTEMPTS: u32 = 3;

/// What one window brought.
#[derive(Debug)]
pub(super) struct Brought {
    /// The trades that were asked for.
    pub(super) trades: Vec<Trade>,
    /// Their texts that do not print back.
    pub(super) inexact: Vec<InexactText>,
    /// The last id of the window: everything wanted up to it has been asked for.
    pub(super) upto: u64,
}

/// Why not everything was got.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Ids that REST does not have, asked for [`ATTEMPTS`] times.
    pub(super) lacks: Vec<Hole>,
    /// Ids that were not asked for, or in vain, and why.
    pub(super) failed: Option<(Vec<Hole>, GaveUp)>,
}

impl Lacking {
    /// Says why ids are missing still; nothing where they were not among those asked for.
    pub(super) fn why(&self, ids: Hole) -> Option<String> {
        let touches = |holes: &[Hole]| holes.get(holes.partition_point(|hole| hole.to < ids.from)).is_some_and(|hole| hole.from <= ids.to);
        match &self.failed {
            Some((holes, error)) if touches(holes) => Some(error.to_string()),
            _ if touches(&self.lacks) => Some(format!("REST does not have them (asked {ATTEMPTS} times)")),
            _ => None,
        }
    }
}

/// Gets the ids of `wanted` (disjoint, rising) and hands them on window by window.
///
/// # Errors
/// Those of `take`: nothing is asked for any more.
pub(super) fn gather<E>(
    fetcher: &mut Fetcher,
    product: &ProductId,
    wanted: &[Hole],
    mut take: impl FnMut(Brought) -> Result<(), E>,
) -> Result<Lacking, E> {
    let mut wanted = wanted.to_vec();
    for _ in 0..ATTEMPTS {
        let mut lacks = Vec::new();
        let mut cursor = Cursor { wanted: &wanted, at: 0, next: 0 };
        while let Some(window) = cursor.window() {
            let (from, upto) = (window.first().map_or(0, |hole| hole.from), window.last().map_or(0, |hole| hole.to));
            // A window is never longer than a page.
            let limit = u16::try_from(upto - from + 1).unwrap_or(MAX_PAGE_TRADES);
            let page = match fetcher.page(product, Some(upto.saturating_add(1)), limit) {
                Ok(page) => page,
                Err(error) => {
                    lacks.extend(window);
                    lacks.extend(cursor.rest());
                    return Ok(Lacking { lacks: Vec::new(), failed: Some((lacks, error)) });
                }
            };
            let is_wanted = |id: u64| window.iter().any(|hole| hole.from <= id && id <= hole.to);
            let trades: Vec<Trade> = page.trades.into_iter().filter(|trade| is_wanted(trade.trade_id)).collect();
            without(&window, trades.iter().map(|trade| trade.trade_id), &mut lacks);
            let inexact = page.inexact.into_iter().filter(|text| is_wanted(text.trade_id)).collect();
            take(Brought { trades, inexact, upto })?;
        }
        wanted = lacks;
        if wanted.is_empty() {
            break;
        }
    }
    Ok(Lacking { lacks: wanted, failed: None })
}

/// Puts what `holes` has and `ids` (rising, all of them in `holes`) do not fill behind `left`.
pub(super) fn without(holes: &[Hole], ids: impl IntoIterator<Item = u64>, left: &mut Vec<Hole>) {
    let mut ids = ids.into_iter().peekable();
    for hole in holes {
        let mut from = hole.from;
        while let Some(id) = ids.next_if(|id| *id <= hole.to) {
            if id > from {
                left.push(Hole { from, to: id - 1 });
            }
            from = id.saturating_add(1);
        }
        if from <= hole.to {
            left.push(Hole { from, to: hole.to });
        }
    }
}

/// Goes through holes window by window.
struct Cursor<'a> {
    wanted: &'a [Hole],
    /// The hole that comes next, and the first id of it that is still to come.
    at: usize,
    next: u64,
}

impl Cursor<'_> {
    fn current(&self) -> Option<Hole> {
        self.wanted.get(self.at).map(|hole| Hole { from: hole.from.max(self.next), to: hole.to })
    }

    /// Gives the holes, whole or in part, of the next window.
    fn window(&mut self) -> Option<Vec<Hole>> {
        let end = self.current()?.from.saturating_add(u64::from(MAX_PAGE_TRADES) - 1);
        let mut window = Vec::new();
        while let Some(hole) = self.current().filter(|hole| hole.from <= end) {
            window.push(Hole { from: hole.from, to: hole.to.min(end) });
            if hole.to <= end {
                self.at += 1;
            } else {
                self.next = end + 1;
                break;
            }
        }
        Some(window)
    }

    /// Gives what is left.
    fn rest(&self) -> impl Iterator<Item = Hole> {
        self.current().into_iter().chain(self.wanted.iter().skip(self.at + 1).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::{Pages, Timer};
    use super::*;
    use crate::feed::rest::{RestError, TradePage};
    use crate::schema::{Layout, Trades};
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;
    use std::time::Duration;

    struct NoTime;

    impl Timer for NoTime {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) {}
    }

    /// An exchange that has these ids, forgets every n-th trade of its first pages, and fails from a request on.
    struct Exchange {
        has: BTreeSet<u64>,
        forgets: usize,
        fails_from: usize,
        asked: Rc<RefCell<Vec<(u64, u16)>>>,
    }

    impl Pages for Exchange {
        fn page(&mut self, _: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError> {
            let after = after.expect("an id");
            self.asked.borrow_mut().push((after, limit));
            if self.asked.borrow().len() > self.fails_from {
                return Err(RestError::Refused { what: "it".to_owned(), status: 404 });
            }
            let mut ids: Vec<u64> = self.has.range(..after).rev().take(usize::from(limit)).copied().collect();
            if self.forgets > 0 && ids.len() > 2 {
                self.forgets -= 1;
                ids.remove(ids.len() / 2);
            }
            ids.reverse();
            Ok(TradePage { trades: ids.into_iter().map(|trade_id| Trade { trade_id, ..Trades::EMPTY }).collect(), inexact: Vec::new() })
        }
    }

    type Asked = Rc<RefCell<Vec<(u64, u16)>>>;

    fn exchange(has: BTreeSet<u64>, forgets: usize, fails_from: usize) -> (Fetcher, Asked) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let pages = Exchange { has, forgets, fails_from, asked: Rc::clone(&asked) };
        (Fetcher::over(Box::new(pages), Box::new(NoTime), 8.0, 1), asked)
    }

    fn get(fetcher: &mut Fetcher, wanted: &[Hole]) -> (Vec<u64>, Lacking) {
        let mut got = Vec::new();
        let product = ProductId::new("BTC-USD").expect("a product");
        let take = |brought: Brought| {
            assert!(brought.trades.windows(2).all(|pair| pair[0].trade_id < pair[1].trade_id && pair[1].trade_id <= brought.upto));
            got.extend(brought.trades.iter().map(|trade| trade.trade_id));
            Ok::<(), std::convert::Infallible>(())
        };
        let lacking = gather(fetcher, &product, wanted, take).unwrap_or_default();
        (got, lacking)
    }

    fn hole(from: u64, to: u64) -> Hole {
        Hole { from, to }
    }

    #[test]
    fn gaps_close_together_share_a_page_and_long_ones_are_cut() {
        let (mut fetcher, asked) = exchange((1..10_000).collect(), 0, 99);
        let (got, lacking) = get(&mut fetcher, &[hole(10, 10), hole(500, 600), hole(1009, 1010), hole(3000, 4500)]);
        let want: Vec<u64> = [10..=10, 500..=600, 1009..=1010, 3000..=4500].into_iter().flatten().collect();
        assert_eq!((got, lacking.lacks), (want, vec![]));
        // after = the window's last id + 1, and as many as lie between: no trade below the window is asked for.
        assert_eq!(asked.borrow().as_slice(), [(1010, 1000), (1011, 1), (4000, 1000), (4501, 501)]);
    }

    #[test]
    fn a_trade_that_a_page_lacks_is_asked_for_again() {
        let (mut fetcher, asked) = exchange((1..100).collect(), 1, 99);
        let (mut got, lacking) = get(&mut fetcher, &[hole(20, 40)]);
        got.sort_unstable();
        assert_eq!((got, lacking.lacks), ((20..=40).collect(), vec![]));
        assert_eq!(asked.borrow().as_slice(), [(41, 21), (31, 1)]);
    }

    #[test]
    fn what_rest_does_not_have_is_said_and_what_failed_too() {
        let has: BTreeSet<u64> = (1..100).filter(|id| !(30..=35).contains(id)).collect();
        let (mut fetcher, asked) = exchange(has.clone(), 0, 99);
        let (got, lacking) = get(&mut fetcher, &[hole(20, 40)]);
        assert_eq!((got.len(), lacking.lacks, asked.borrow().len()), (15, vec![hole(30, 35)], 3));
        let (mut fetcher, _) = exchange((1..5000).collect(), 0, 1);
        let (got, lacking) = get(&mut fetcher, &[hole(20, 1500), hole(4000, 4000)]);
        let (failed, gave_up) = lacking.failed.expect("failed");
        assert_eq!((got.len(), failed, gave_up.tries), (1000, vec![hole(1020, 1500), hole(4000, 4000)], 1));
    }

    proptest! {
        #[test]
        fn everything_wanted_is_got_or_named(steps in prop::collection::vec((1u64..700, 1u64..1500), 1..12), has_not in prop::collection::btree_set(0u64..9000, 0..40)) {
            let (mut holes, mut at) = (Vec::new(), 0);
            for (gap, length) in steps {
                holes.push(hole(at + gap, at + gap + length - 1));
                at += gap + length;
            }
            let has: BTreeSet<u64> = (1..at + 2000).filter(|id| !has_not.contains(id)).collect();
            let (mut fetcher, asked) = exchange(has.clone(), 0, usize::MAX);
            let (got, lacking) = get(&mut fetcher, &holes);
            let wanted = |id: &u64| holes.iter().any(|hole| hole.from <= *id && *id <= hole.to);
            prop_assert_eq!(got, has.iter().copied().filter(wanted).collect::<Vec<_>>());
            let named: Vec<u64> = lacking.lacks.iter().flat_map(|hole| hole.from..=hole.to).collect();
            prop_assert_eq!(named, has_not.iter().copied().filter(wanted).collect::<Vec<_>>());
            prop_assert!(asked.borrow().iter().all(|(_, limit)| *limit >= 1 && *limit <= 1000));
        }
    }
}
