//! Whether the event time of a message fits those before it. The one rule of it, for trades and tickers.
//!
//! What lies outside 2012-01-01 to an hour behind the receive time is refused when a message is read ([`crate::record`]). This is about the times between.

use crate::time::UnixNanos;

/// How far an event time may fall behind that of an earlier message, or lie ahead of its receipt, without being doubted: 1 h, in nanoseconds. Within a
/// product the exchange's times do not fall; what it sends late may be minutes old.
pub(crate) const TIME_SLACK_NANOS: u64 = 3_600_000_000_000;

/// Tells whether a message may have happened at `time`, where `newest` is the newest event time of its series before it. `recv` is the wall clock at its
/// receipt, corrected where it is known to be wrong ([`super::clock_check`]); 0 where it was not received live.
#[inline]
#[must_use]
pub(crate) fn fits(time: UnixNanos, newest: UnixNanos, recv: UnixNanos) -> bool {
    let is_fallen = time.0.saturating_add(TIME_SLACK_NANOS) < newest.0;
    // A wrong clock of this machine makes every message lie ahead. They agree with each other.
    let is_ahead = recv.0 != 0 && time.0 > newest.0.max(recv.0).saturating_add(TIME_SLACK_NANOS);
    !is_fallen && !is_ahead
}

/// Tells whether two event times may be of messages close to each other.
#[must_use]
pub(crate) fn are_near(one: UnixNanos, other: UnixNanos) -> bool {
    one.0.abs_diff(other.0) <= TIME_SLACK_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000_000;

    #[test]
    fn a_time_fits_between_a_slack_below_the_newest_and_one_above_the_receipt() {
        let fits_at = |time: u64, newest: u64, recv: u64| fits(UnixNanos(time), UnixNanos(newest), UnixNanos(recv));
        for (time, newest, recv, want) in [
            (NOW, NOW, NOW, true),
            (NOW - TIME_SLACK_NANOS, NOW, NOW, true),
            (NOW - TIME_SLACK_NANOS - 1, NOW, NOW, false),
            (NOW + TIME_SLACK_NANOS, NOW - 5, NOW, true),
            (NOW + TIME_SLACK_NANOS + 1, NOW - 5, NOW, false),
            (NOW, 0, NOW, true),
            (NOW + 1_000 * TIME_SLACK_NANOS, NOW, 0, true),
            (u64::MAX, u64::MAX, u64::MAX, true),
            (0, u64::MAX, 1, false),
        ] {
            assert_eq!(fits_at(time, newest, recv), want, "{time} {newest} {recv}");
        }
        // This machine's clock is two hours slow: after one message the others fit.
        assert!(fits_at(NOW + 5, NOW, NOW - 7_200_000_000_000));
    }
}
