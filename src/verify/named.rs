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
use std::path::Path;

use super::chain::Link;
use super::coverage::DayIds;
use super::order::CONFIRMATIONS;
use crate::history::History;
use crate::history::product::{Explanation, Role};
use crate::ids::IdRange;
use crate::record::Means;
use crate::schema::{Md, Trades};
use crate::store::{Snapshot, holder_of};
use crate::time::UnixNanos;

/// How far an id may lie ahead of the one before it without others that confirm it.
const NEAR_IDS: u64 = 10_000;

/// Tells whether a process holds a data directory. Where that cannot be found out, one may.
pub(super) fn is_held(dir: &Path) -> bool {
    holder_of(dir).map_or(true, |holder| holder.is_some())
}

/// Gives the stored trade with the highest id.
pub(super) fn last_of(ids: &[DayIds]) -> Option<Link> {
    ids.iter().flat_map(|day| day.runs.iter().flatten()).map(|run| run.last).max_by_key(|link| link.id)
}

/// Gives the history with the trades added that tickers name behind `last`, the stored trade with the highest id. `day` is the one that holds it; `md` are the
/// tickers of that day and of later ones.
pub(super) fn added_to<'h, 'd>(
    history: Cow<'h, History>,
    last: Link,
    day: &Snapshot<Trades>,
    md: impl IntoIterator<Item = &'d Snapshot<Md>>,
) -> Cow<'h, History> {
    let absences = history.absences.iter().chain(&history.unrecorded);
    let end = absences.filter(|absence| absence.to > last.time).map(|absence| absence.from).min();
    let is_of_capture = |recv: UnixNanos| recv.0 > 0 && end.is_none_or(|end| recv <= end);
    let mut named: Vec<(u64, UnixNanos)> = Vec::new();
    for day in md.into_iter().filter(|day| names_any(day, last.id)) {
        let behind = day.rows().filter(|ticker| ticker.trade_id > last.id && is_of_capture(ticker.recv));
        named.extend(behind.map(|ticker| (ticker.trade_id, ticker.recv)));
    }
    if named.is_empty() || !is_live(day, last.id) {
        return history;
    }
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

/// Tells whether a ticker of a day names a trade with a higher id. Nearly always none does, which is seen without a look at whole records.
fn names_any(day: &Snapshot<Md>, id: u64) -> bool {
    let ids: &[u64] = day.column("trade_id").unwrap_or_default();
    ids.iter().fold(0, |most, id| *id.max(&most)) > id || day.late().iter().any(|ticker| ticker.trade_id > id)
}

/// Tells whether the trade with an id was received as it happened.
fn is_live(day: &Snapshot<Trades>, id: u64) -> bool {
    let found = day.rows().rev().find(|trade| trade.trade_id == id);
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
