//! [`latest_now`]: the exchange's time as a page of trades shows it, for a box whose clock is behind.
//!
//! A page has one reading time for all its trades, so [`super::clock_check`] has nothing to compare. But its ids rise, and so do its times: where most of the
//! trades from some id on lie ahead of the box's clock, that clock is wrong and not they.

use super::clock_check::CONFIRMATIONS;
use super::json::{Nodes, ROOT};
use super::values::Values;
use crate::record::LATEST_AHEAD_NANOS;
use crate::time::{UnixNanos, parse_rfc3339};

/// Gives the time by which the trades of a page are checked: `now`, or what the page shows to be later.
pub(super) fn latest_now(nodes: Nodes<'_, '_>, now: UnixNanos) -> UnixNanos {
    let is_ahead = |time: UnixNanos| time.0 > now.0.saturating_add(LATEST_AHEAD_NANOS);
    let read = |place: usize| {
        let [time, trade_id] = nodes.pick(place, &["time", "trade_id"]).ok()?;
        let time = parse_rfc3339(nodes.text(time)?.as_bytes()).ok()?.to_unix()?;
        Some((nodes.whole(trade_id)?, time))
    };
    let mut trades: Vec<(u64, UnixNanos)> = nodes.elements(ROOT).into_iter().flatten().filter_map(read).collect();
    trades.sort_unstable();
    let from = trades.iter().position(|(_, time)| is_ahead(*time)).unwrap_or(trades.len());
    let newest = trades.get(from..).unwrap_or_default();
    let mut ahead: Vec<UnixNanos> = newest.iter().map(|(_, time)| *time).filter(|time| is_ahead(*time)).collect();
    if ahead.len() < CONFIRMATIONS || ahead.len() * 2 <= newest.len() {
        return now;
    }
    if !ahead.is_sorted() {
        // Not all of them are true. Those that agree with most are.
        ahead.sort_unstable();
        ahead.truncate(ahead.len() + 1 - CONFIRMATIONS);
    }
    ahead.last().copied().unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::super::json::Parser;
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;
    const NOW: UnixNanos = UnixNanos(1_786_309_548_000_000_000);

    #[expect(clippy::cast_possible_truncation, reason = "a few hours in nanoseconds")]
    fn found(hours: &[f64]) -> f64 {
        let trade = |(id, hours): (usize, &f64)| {
            let time = UnixNanos(NOW.0.saturating_add_signed((hours * HOUR as f64) as i64));
            format!(r#"{{"time":"{time}","trade_id":{id}}}"#)
        };
        let page: Vec<String> = hours.iter().enumerate().map(trade).rev().collect();
        let page = format!("[{}]", page.join(","));
        let found = Parser::new().parse(page.as_bytes(), |nodes| latest_now(nodes, NOW)).unwrap();
        (found.0.cast_signed() - NOW.0.cast_signed()) as f64 / HOUR as f64
    }

    #[test]
    fn a_page_that_lies_ahead_shows_the_clock_to_be_behind_and_single_trades_do_not() {
        for (hours, expected) in [
            (&[][..], 0.0),
            (&[-3.0, -2.0, -1.0], 0.0),
            (&[0.5, 0.9, 0.99], 0.0),
            (&[1.5, 1.75, 2.0], 2.0),
            (&[-5.0, 0.0, 1.5, 1.75, 2.0], 2.0),
            (&[87_600.0, 87_601.0, 87_602.0], 87_602.0),
            // One absurd trade, and two.
            (&[0.0, 87_600.0, 0.0, 0.0], 0.0),
            (&[-1.0, -1.0, 87_600.0, 43_800.0], 0.0),
            // A clock that is behind, and two absurd trades.
            (&[1.5, 1.6, 87_600.0, 43_800.0, 1.9, 2.0], 2.0),
            // Three that lie ahead among many that do not.
            (&[0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0], 0.0),
        ] {
            assert!((found(hours) - expected).abs() < 1e-6, "{hours:?}: {}", found(hours));
        }
    }
}
