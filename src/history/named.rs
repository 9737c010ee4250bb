//! [`named_behind`]: trades that tickers name behind the last stored one: they happened, and are not there.
//!
//! Between stored trades such ids are missing anyway. Behind the last one nothing else shows them where the process was killed before it could journal them.
//!
//! 1. Only tickers of the capture count that received the last live trade of that day: another one may have left trades out on purpose. They were received
//!    before the first absence behind that trade. What REST or another tape supplied behind it changes nothing about that.
//! 2. No single message moves a mark. An id far ahead of those before it counts where [`CONFIRMATIONS`] tickers lie near each other there.
//! 3. A directory tells of its own captures only. So a tape that is joined with another one is looked at before that.

use super::product::History;
use crate::ids::IdRange;
use crate::record::{Means, Trade};
use crate::schema::{Md, Trades};
use crate::store::Snapshot;
use crate::time::UnixNanos;

/// Tickers that agree with each other and settle a doubt. A capture asks for as many messages.
const CONFIRMATIONS: usize = 3;

/// How far an id may lie ahead of the one before it without others that confirm it, as in a capture.
const AGREEMENT: u64 = 1000;

/// How near to each other the ids are that confirm each other.
const NEAR_IDS: u64 = 10_000;

/// Gives the ids that tickers name behind `last`, the highest stored id, and when the last of these tickers was received. `day` is the one that holds that
/// trade; `md` are the tickers of that day and of later ones.
#[must_use]
pub(crate) fn named_behind<'d>(
    history: &History,
    last: u64,
    day: &Snapshot<Trades>,
    md: impl IntoIterator<Item = &'d Snapshot<Md>>,
) -> Option<(IdRange, UnixNanos)> {
    let tickers = md.into_iter().filter(|day| names_any(day, last));
    let mut named: Vec<(u64, UnixNanos)> = Vec::new();
    for tickers in tickers {
        let behind = tickers.rows().filter(|ticker| ticker.trade_id > last && ticker.recv.0 > 0);
        named.extend(behind.map(|ticker| (ticker.trade_id, ticker.recv)));
    }
    if named.is_empty() {
        return None;
    }
    let live = newest_live(day)?;
    let absences = history.absences.iter().chain(&history.unrecorded);
    let end = absences.filter(|absence| absence.to > live.recv).map(|absence| absence.from).min();
    named.retain(|(_, recv)| end.is_none_or(|end| *recv <= end));
    named.sort_unstable();
    let highest = confirmed(last, &named)?;
    let time = named.iter().filter(|(id, _)| *id <= highest).map(|(_, recv)| *recv).max()?;
    Some((IdRange::new(last.checked_add(1)?, highest)?, time))
}

/// Tells whether a ticker of a day names a trade with a higher id. Nearly always none does, which is seen without a look at whole records.
fn names_any(day: &Snapshot<Md>, id: u64) -> bool {
    let ids: &[u64] = day.column("trade_id").unwrap_or_default();
    ids.iter().fold(0, |most, id| *id.max(&most)) > id || day.late().iter().any(|ticker| ticker.trade_id > id)
}

/// Gives the newest trade of a day that was received as it happened.
fn newest_live(day: &Snapshot<Trades>) -> Option<Trade> {
    day.rows().rev().find(|trade| trade.recv.0 > 0 && trade.origin.means() == Some(Means::Live))
}

/// Gives the highest id of those named that the ones before it, or beside it, confirm. They are in order.
fn confirmed(last: u64, named: &[(u64, UnixNanos)]) -> Option<u64> {
    let (mut highest, mut are_agreed) = (None, false);
    for (at, (id, _)) in named.iter().enumerate() {
        let is_near = id.saturating_sub(highest.unwrap_or(last)) <= if are_agreed { NEAR_IDS } else { AGREEMENT };
        let confirms = named.get(at + CONFIRMATIONS - 1).is_some_and(|(other, _)| other - id <= NEAR_IDS);
        if !is_near && !confirms {
            break;
        }
        are_agreed |= confirms;
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
        assert_eq!(highest(&[101, 104, 1_104]), Some(1_104));
        assert_eq!(highest(&[101, 1_102]), Some(101));
        assert_eq!(highest(&[1_101]), None);
        assert_eq!(highest(&[101, 4_000, 9_000]), Some(9_000));
        assert_eq!(highest(&[4_000, 9_000, 9_001]), Some(9_001));
        assert_eq!(highest(&[101, 1_000_000]), Some(101));
        assert_eq!(highest(&[1_000_000, 1_000_001]), None);
        assert_eq!(highest(&[1_000_000, 1_000_001, 1_000_009]), Some(1_000_009));
        assert_eq!(highest(&[u64::MAX - 1, u64::MAX, u64::MAX]), Some(u64::MAX));
    }
}
