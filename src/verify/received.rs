//! When the records of a day were received, and how many have order ids: by the columns, without a look at whole records.

use std::ops::Range;

use super::checks::LAG_NANOS;
use super::stretches::Depth;
use crate::record::{Means, Origin, Trade};
use crate::schema::{Layout, Trades};
use crate::store::Snapshot;
use crate::time::{UnixNanos, UtcDay};

/// Tells whether a record of a day was received on that day, and when the first was that came as it happened: nothing earlier is looked for once it is
/// early enough. `late` are the times of the late records, and whether these came so.
pub(super) fn received<L: Layout>(
    day: &Snapshot<L>,
    column: &str,
    date: UtcDay,
    depth: Depth,
    late: impl IntoIterator<Item = (UnixNanos, bool)>,
) -> (bool, Option<UnixNanos>) {
    let none: &[u32] = &[];
    let times = day.column::<u64>(column).unwrap_or_default();
    let origins = day.column("trade_origin").unwrap_or(none);
    let is_live = |at: usize| origins.get(at).is_none_or(|origin| Origin(*origin).means() == Some(Means::Live));
    // Of trades of the past alone none has a receive time: then nothing is looked at one by one.
    let is_any = |part: &Range<usize>| times.get(part.clone()).is_some_and(|times| times.iter().fold(0, |all, time| all | time) != 0);
    let parts = depth.parts(times.len()).filter(is_any).flatten();
    let stored = parts.filter_map(|at| Some((UnixNanos(*times.get(at)?), is_live(at))));
    let early = date.next().start().0.saturating_add(LAG_NANOS);
    let (mut is_on_its_day, mut first_live) = (false, None::<UnixNanos>);
    for (time, is_live) in stored.chain(late).filter(|(time, _)| time.0 > 0) {
        is_on_its_day |= time.day() == date;
        if is_live {
            first_live = Some(first_live.map_or(time, |first| first.min(time)));
        }
        if is_on_its_day && first_live.is_some_and(|first| first.0 <= early) {
            break;
        }
    }
    (is_on_its_day, first_live)
}

/// Counts the trades of a day that have both order ids, and those with a receive time.
pub(super) fn shares(day: &Snapshot<Trades>) -> (u64, u64) {
    let none: &[[u8; 16]] = &[];
    let [makers, takers] = ["maker_order_id", "taker_order_id"].map(|name| day.column(name).unwrap_or(none));
    let named = makers.iter().zip(takers).filter(|(maker, taker)| **maker != [0; 16] && **taker != [0; 16]).count();
    let received = day.column::<u64>("trade_recv_nanos").unwrap_or_default().iter().filter(|time| **time != 0).count();
    let late = |has: fn(&Trade) -> bool| day.late().iter().filter(|trade| has(trade)).count();
    let named = named + late(|trade| !trade.maker_order_id.is_nil() && !trade.taker_order_id.is_nil());
    (named as u64, (received + late(|trade| trade.recv.0 != 0)) as u64)
}
