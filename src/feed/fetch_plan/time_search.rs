//! [`TimeSearch`]: finds a product's first trade since a time, by bisection over its ids. No I/O, no clock.
//!
//! The search asks one question again and again: which is the newest trade up to this id? [`FetchPlan`](super::FetchPlan) puts it to REST.
//!
//! 1. Times do not fall while ids rise, so about 30 answers are enough.
//! 2. One empty answer proves nothing. Only the second one to the same question does.
//! 3. The result is proved, whatever the bisection was told: the trade before the first one must be older than the time. Where it is not, the search goes
//!    on below it, at most [`MAX_ROUNDS`] times.
//! 4. Only id 1 is the beginning of a product's trading. That REST has nothing below another id is the limit of what it keeps.
//! 5. An answer of which nothing can be used proves nothing. More trades are asked for, and then older ones; what lies between counts as older than the time,
//!    and so belongs to the ids of the result.

use crate::feed::rest::MAX_PAGE_TRADES;
use crate::ids::IdRange;
use crate::time::UnixNanos;

/// How often a search is begun that contradicts itself.
const MAX_ROUNDS: u32 = 3;

/// Pages without a usable trade that one question goes through.
const MAX_OBSCURED_PAGES: u64 = 16;

/// A trade as far as a search looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PastTrade {
    /// Its id.
    pub(crate) trade_id: u64,
    /// Its event time.
    pub(crate) time: UnixNanos,
}

/// Where the trades since a time begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TradesSince {
    /// The first trade at or after the time. Where all trades below the highest id of the search are older, it is that id.
    pub(crate) first: u64,
    /// The trade before it; `None` where REST has none.
    pub(crate) before: Option<u64>,
}

/// The id of every product's first trade.
const FIRST_ID: u64 = 1;

impl TradesSince {
    /// Gives the id with which the product's trading began, where the search came upon it.
    #[must_use]
    pub(crate) const fn began(self) -> Option<u64> {
        if self.before.is_none() && self.first == FIRST_ID { Some(self.first) } else { None }
    }

    /// Gives the lowest id that REST has, where it has no older trades although there were some.
    #[must_use]
    pub(crate) const fn lowest_kept(self) -> Option<u64> {
        if self.before.is_none() && self.first != FIRST_ID { Some(self.first) } else { None }
    }

    /// Gives the ids from the trade before the first one to the one below `below`. The trade before shows that nothing is missing at the start.
    #[must_use]
    pub(crate) fn ids_below(self, below: u64) -> Option<IdRange> {
        IdRange::new(self.before.unwrap_or(self.first), below.checked_sub(1)?)
    }
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchEnd {
    /// It is proved where the trades begin.
    Found(TradesSince),
    /// The answers contradict each other.
    Contradiction,
}

/// A search that is under way.
#[derive(Debug, Clone)]
pub(super) struct TimeSearch {
    time: UnixNanos,
    /// Every trade up to this id is older than `time`, as far as the answers say.
    low: u64,
    /// A trade with this id exists, and it is taken to be of `time` or later.
    high: u64,
    /// Whether the present question has been answered with nothing once.
    is_empty_once: bool,
    /// Pages for the present question of which nothing could be used.
    obscured_pages: u64,
    rounds: u32,
}

impl TimeSearch {
    /// Searches the ids up to `highest`, which is known to exist.
    pub(super) fn new(time: UnixNanos, highest: u64) -> Self {
        Self { time, low: 0, high: highest.max(1), is_empty_once: false, obscured_pages: 0, rounds: 0 }
    }

    /// Gives the id up to which the newest trade is asked for.
    pub(super) fn question(&self) -> u64 {
        // The first such page is asked for again, with more trades.
        let skipped = self.obscured_pages.saturating_sub(1).saturating_mul(u64::from(MAX_PAGE_TRADES));
        self.bisected().saturating_sub(skipped)
    }

    /// Gives how many trades are asked for.
    pub(super) const fn limit(&self) -> u16 {
        if self.obscured_pages == 0 { 1 } else { MAX_PAGE_TRADES }
    }

    fn bisected(&self) -> u64 {
        if self.is_bisecting() { self.low + (self.high - self.low) / 2 } else { (self.high - 1).max(1) }
    }

    const fn is_bisecting(&self) -> bool {
        self.high - self.low > 1
    }

    /// Takes the newest trade up to the id asked for. Gives the end of the search, if this is it.
    pub(super) fn answer(&mut self, newest: Option<PastTrade>) -> Option<SearchEnd> {
        let asked = self.question();
        let newest = newest.filter(|trade| trade.trade_id <= asked);
        if newest.is_none() && !self.is_empty_once {
            self.is_empty_once = true;
            return None;
        }
        if newest.is_none() && self.obscured_pages > 0 {
            // There are trades, and none of them can be used.
            return Some(SearchEnd::Contradiction);
        }
        self.is_empty_once = false;
        let question = self.bisected();
        self.obscured_pages = 0;
        let since = newest.filter(|trade| trade.time >= self.time);
        if !self.is_bisecting() && self.high > 1 {
            let Some(since) = since else {
                return Some(SearchEnd::Found(TradesSince { first: self.high, before: newest.map(|trade| trade.trade_id) }));
            };
            self.rounds += 1;
            if self.rounds >= MAX_ROUNDS {
                return Some(SearchEnd::Contradiction);
            }
            (self.low, self.high) = (0, since.trade_id);
        } else {
            match since {
                Some(since) if since.trade_id > self.low => self.high = since.trade_id,
                _ => self.low = question,
            }
        }
        (self.high <= 1).then_some(SearchEnd::Found(TradesSince { first: 1, before: None }))
    }

    /// Takes an answer of which nothing can be used. Gives the end of the search, if this is it.
    pub(super) fn answer_obscured(&mut self) -> Option<SearchEnd> {
        self.is_empty_once = false;
        self.obscured_pages += 1;
        let is_end = self.obscured_pages > MAX_OBSCURED_PAGES || self.question() == 0;
        is_end.then_some(SearchEnd::Contradiction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Trade `id` happened `id` seconds after the epoch.
    fn trade(id: u64) -> PastTrade {
        PastTrade { trade_id: id, time: UnixNanos(id * 1_000_000_000) }
    }

    /// Searches an exchange that has these ids and leaves the answers with these numbers empty.
    fn search(has: &BTreeSet<u64>, second: u64, highest: u64, empty_answers: &BTreeSet<usize>) -> (SearchEnd, usize) {
        let mut search = TimeSearch::new(trade(second).time, highest);
        for number in 0..400 {
            let newest = has.range(..=search.question()).next_back().filter(|_| !empty_answers.contains(&number));
            if let Some(end) = search.answer(newest.copied().map(trade)) {
                return (end, number + 1);
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn the_first_trade_since_a_time_is_found_with_the_one_before_it() {
        // Ids below 40 never were, and 60 to 69 were skipped.
        let has: BTreeSet<u64> = (40..1000).filter(|id| !(60..70).contains(id)).collect();
        for (second, first, before) in
            [(500, 500, Some(499)), (1, 40, None), (899, 899, Some(898)), (5000, 900, Some(899)), (65, 70, Some(59)), (40, 40, None)]
        {
            let (end, questions) = search(&has, second, 900, &BTreeSet::new());
            assert_eq!(end, SearchEnd::Found(TradesSince { first, before }), "since {second}");
            assert!(questions < 30, "{questions} questions");
        }
        assert_eq!(TradesSince { first: 70, before: Some(59) }.ids_below(900), IdRange::new(59, 899));
        assert_eq!(TradesSince { first: 40, before: None }.ids_below(40), None);
    }

    #[test]
    fn trading_that_began_with_id_1_is_known_without_a_second_empty_answer() {
        let has: BTreeSet<u64> = (1..100).collect();
        for highest in [0, 1, 2, 3, 99] {
            let (end, _) = search(&has, 0, highest, &BTreeSet::new());
            assert_eq!(end, SearchEnd::Found(TradesSince { first: 1, before: None }), "up to {highest}");
        }
    }

    #[test]
    fn one_empty_answer_proves_nothing() {
        let has: BTreeSet<u64> = (1..1000).collect();
        for number in 0..20 {
            let (end, _) = search(&has, 500, 999, &[number].into());
            assert_eq!(end, SearchEnd::Found(TradesSince { first: 500, before: Some(499) }), "answer {number} was empty");
        }
    }

    #[test]
    fn a_bisection_that_was_told_nonsense_goes_on_below_its_result() {
        let has: BTreeSet<u64> = (1..1000).collect();
        // The first question stays unanswered twice, so that the bisection takes the upper half.
        let (end, _) = search(&has, 100, 999, &[0, 1].into());
        assert_eq!(end, SearchEnd::Found(TradesSince { first: 100, before: Some(99) }));
    }

    #[test]
    fn an_exchange_that_contradicts_itself_again_and_again_is_not_believed() {
        let mut search = TimeSearch::new(trade(100).time, 1 << 20);
        let mut questions = 0;
        let end = loop {
            questions += 1;
            // While it bisects nothing is of that time; when it asks for the proof everything is.
            let newest = if search.is_bisecting() { None } else { Some(PastTrade { time: trade(500).time, ..trade(search.question()) }) };
            if let Some(end) = search.answer(newest) {
                break end;
            }
        };
        assert_eq!(end, SearchEnd::Contradiction);
        assert!(questions < 200, "{questions} questions");
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_scan_finds(has in prop::collection::btree_set(1u64..300, 1..60), second in 0u64..320) {
            let newest = *has.last().expect("not empty");
            let (end, _) = search(&has, second, newest, &BTreeSet::new());
            let first = has.range(second..).next().copied().unwrap_or(newest);
            let before = has.range(..first).next_back().copied();
            prop_assert_eq!(end, SearchEnd::Found(TradesSince { first, before }));
        }

        #[test]
        fn any_answers_end_the_search(answers in prop::collection::vec(prop::option::of((0u64..200, 0u64..200)), 400), highest in 0u64..150) {
            let mut search = TimeSearch::new(trade(50).time, highest);
            let ended = answers.into_iter().find_map(|answer| {
                search.answer(answer.map(|(id, second)| PastTrade { trade_id: id, time: trade(second).time }))
            });
            prop_assert!(ended.is_some());
        }
    }
}
