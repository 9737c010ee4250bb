//! Trades that tickers name behind the last stored one: they happened, and are not there.
//!
//! Between stored trades such ids are missing anyway. Behind the last one nothing else shows them: no trade, and no line of the journal where the process was
//! killed or the trades of the product stopped coming.
//!
//! 1. Only tickers of the capture count that received the last stored trade as it happened: another one may have left trades out on purpose. They were
//!    received before the first absence behind that trade.
//! 2. While a process holds the directory nothing is concluded: tickers are read after the trades, and both grow.
//! 3. No single message moves a mark. An id far ahead of those before it counts where [`CONFIRMATIONS`] tickers lie near each other there.

use std::borrow::Cow;

use super::chain::Link;
use super::coverage::DayIds;
use super::index::IndexedDays;
use super::order::CONFIRMATIONS;
use crate::history::History;
use crate::history::product::{Explanation, Role};
use crate::ids::IdRange;
use crate::record::Means;
use crate::schema::{Md, Trades};
use crate::time::UnixNanos;

/// How far an id may lie ahead of the one before it without others that confirm it.
const NEAR_IDS: u64 = 10_000;

/// Gives the history with the trades added that tickers name behind the stored trade with the highest id.
pub(super) fn added_to<'h>(
    history: Cow<'h, History>,
    ids: &[DayIds],
    trades: &IndexedDays<Trades>,
    md: &IndexedDays<Md>,
) -> Cow<'h, History> {
    let links = ids.iter().flat_map(|day| day.runs.iter().flatten()).map(|run| run.last);
    let Some(last) = links.max_by_key(|link| link.id).filter(|last| is_live(*last, trades)) else { return history };
    let absences = history.absences.iter().chain(&history.unrecorded);
    let end = absences.filter(|absence| absence.to > last.time).map(|absence| absence.from).min();
    let is_of_capture = |recv: UnixNanos| recv.0 > 0 && end.is_none_or(|end| recv <= end);
    let mut named: Vec<(u64, UnixNanos)> = md
        .days
        .iter()
        .filter(|day| day.date >= last.date)
        .flat_map(|day| day.snapshot.rows())
        .filter(|ticker| ticker.trade_id > last.id && is_of_capture(ticker.recv))
        .map(|ticker| (ticker.trade_id, ticker.recv))
        .collect();
    named.sort();
    let Some(highest) = confirmed(last.id, &named) else { return history };
    let Some(ids) = IdRange::new(last.id + 1, highest) else { return history };
    let time = named.iter().filter(|(id, _)| *id <= highest).map(|(_, recv)| *recv).max().unwrap_or(last.time);
    let mut history = history.into_owned();
    let text = format!("received {time}, behind the last stored trade");
    history.explanations.push(Explanation { time, event: "a ticker", role: Role::Cause, ids: Some(ids), text });
    history.named.insert(ids);
    history.named_at = history.named_at.max(time);
    Cow::Owned(history)
}

/// Tells whether a trade was received as it happened.
fn is_live(last: Link, trades: &IndexedDays<Trades>) -> bool {
    let day = trades.day(last.date);
    let rows = day.into_iter().flat_map(|day| day.snapshot.rows().rev());
    let found = rows.into_iter().find(|trade| trade.trade_id == last.id);
    found.is_some_and(|trade| trade.recv.0 > 0 && trade.origin.means() == Some(Means::Live))
}

/// Gives the highest id of those named that the ones before it, or beside it, confirm. They are in order.
fn confirmed(last: u64, named: &[(u64, UnixNanos)]) -> Option<u64> {
    let mut highest = None;
    for (at, (id, _)) in named.iter().enumerate() {
        let is_near = id.saturating_sub(highest.unwrap_or(last)) <= NEAR_IDS;
        let confirms = named.get(at + CONFIRMATIONS - 1).is_some_and(|(other, _)| other - id <= NEAR_IDS);
        if !is_near && !confirms {
            break;
        }
        highest = Some(*id);
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_far_ahead_counts_only_where_others_are_near_it() {
        let highest = |ids: &[u64]| confirmed(100, &ids.iter().map(|id| (*id, UnixNanos(1))).collect::<Vec<_>>());
        assert_eq!(highest(&[]), None);
        assert_eq!(highest(&[101, 104, 9_000]), Some(9_000));
        assert_eq!(highest(&[101, 1_000_000]), Some(101));
        assert_eq!(highest(&[1_000_000, 1_000_001]), None);
        assert_eq!(highest(&[1_000_000, 1_000_001, 1_000_009]), Some(1_000_009));
        assert_eq!(highest(&[u64::MAX - 1, u64::MAX, u64::MAX]), Some(u64::MAX));
    }
}
