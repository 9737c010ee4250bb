//! Trades that tickers name behind the last stored one ([`named_behind`]): they happened, and are not there.
//!
//! While a process holds the directory nothing is concluded: tickers are read after the trades, and both grow.

use std::borrow::Cow;
use std::path::Path;

use super::chain::Link;
use super::coverage::DayIds;
use crate::history::History;
use crate::history::named::named_behind;
use crate::schema::{Md, Trades};
use crate::store::{Snapshot, holder_of};

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
    let Some((ids, time)) = named_behind(&history, last.id, day, md) else { return history };
    let mut history = history.into_owned();
    history.note_ticker(time, ids);
    Cow::Owned(history)
}
