//! The days on which a capture found the clock of its machine to be wrong.

use crate::store::event::Event;
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// How much earlier than its line in the journal a wrong clock may have begun, and how much later it may have ended.
const NOTICED_WITHIN: u64 = 3600 * NANOS_PER_SECOND;

/// The days that a wrong clock may concern, by its own time and by the exchange's.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClockDays {
    /// First and last day of each stretch, in the order of the journal.
    stretches: Vec<(UtcDay, UtcDay)>,
    /// By how many seconds the clock is off at the line being read, and whether it is behind. Nothing where it is right.
    off: Option<(u64, bool)>,
}

impl ClockDays {
    /// Takes the next line of the journal.
    pub(super) fn take(&mut self, time: UnixNanos, event: &Event) {
        if matches!(event, Event::CaptureStarted { .. }) {
            self.off = None;
        }
        // While the clock is off each line is written by it.
        self.extend(time);
        match event {
            Event::ClockOff { off_s: 0, .. } | Event::CaptureStopped { .. } => self.off = None,
            Event::AlertCleared { alert, .. } if alert == "clock_off" => self.off = None,
            Event::ClockOff { off_s, is_behind } => self.begin(time, (*off_s, *is_behind)),
            // The line that says by how much comes behind it.
            Event::AlertRaised { alert, .. } if alert == "clock_off" && self.off.is_none() => self.begin(time, (0, false)),
            _ => {}
        }
    }

    fn begin(&mut self, time: UnixNanos, off: (u64, bool)) {
        if self.off.is_none() {
            self.stretches.push((time.day(), time.day()));
        }
        self.off = Some(off);
        self.extend(time);
    }

    /// Takes the days around a time into the stretch that goes on.
    fn extend(&mut self, time: UnixNanos) {
        let Some((off, (first, last))) = self.off.zip(self.stretches.last_mut()) else { return };
        let (seconds, is_behind) = off;
        let by = seconds.saturating_mul(NANOS_PER_SECOND);
        let of_exchange = if is_behind { time.0.saturating_add(by) } else { time.0.saturating_sub(by) };
        *first = (*first).min(UnixNanos(time.0.min(of_exchange).saturating_sub(NOTICED_WITHIN)).day());
        *last = (*last).max(UnixNanos(time.0.max(of_exchange).saturating_add(NOTICED_WITHIN)).day());
    }

    /// Tells whether the clock may have been off on a day; without a day, whether it ever was.
    #[must_use]
    pub(crate) fn concern(&self, date: Option<UtcDay>) -> bool {
        self.stretches.iter().any(|(first, last)| date.is_none_or(|date| (*first..=*last).contains(&date)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * NANOS_PER_SECOND;
    const DAY: u64 = 24 * HOUR;

    fn noon(day: u64) -> UnixNanos {
        UnixNanos((20_000 + day) * DAY + 12 * HOUR)
    }

    fn concerned(lines: &[(UnixNanos, Event)]) -> Vec<u32> {
        let mut days = ClockDays::default();
        lines.iter().for_each(|(time, event)| days.take(*time, event));
        assert_eq!(days.concern(None), (0..20).any(|day| days.concern(Some(UtcDay(20_000 + day)))));
        (0..20).filter(|day| days.concern(Some(UtcDay(20_000 + day)))).collect()
    }

    fn off(off_s: u64, is_behind: bool) -> Event {
        Event::ClockOff { off_s, is_behind }
    }

    #[test]
    fn only_the_days_are_concerned_from_the_line_that_says_so_until_the_one_that_takes_it_back() {
        assert!(concerned(&[]).is_empty() && concerned(&[(noon(1), off(0, false))]).is_empty());
        assert_eq!(concerned(&[(noon(3), off(40, true)), (noon(5), off(0, true)), (noon(9), off(0, true))]), [3, 4, 5]);
        // Nothing says that it is right again: until the last line.
        let lines_lost = Event::LinesLost { lines: 1 };
        assert_eq!(concerned(&[(noon(3), off(40, true)), (noon(4), lines_lost.clone())]), [3, 4]);
        // Two stretches.
        let lines = [(noon(1), off(40, true)), (noon(1), off(0, true)), (noon(8), off(40, true)), (noon(9), lines_lost)];
        assert_eq!(concerned(&lines), [1, 8, 9]);
    }

    #[test]
    fn the_days_by_the_exchanges_clock_are_concerned_too_and_those_within_an_hour_of_a_midnight() {
        assert_eq!(concerned(&[(noon(9), off(3 * 86_400, true))]), [9, 10, 11, 12]);
        assert_eq!(concerned(&[(noon(9), off(3 * 86_400, false))]), [6, 7, 8, 9]);
        let soon_after_midnight = UnixNanos(noon(9).0 - 12 * HOUR + HOUR / 2);
        assert_eq!(concerned(&[(soon_after_midnight, off(40, true))]), [8, 9]);
        let shortly_before_midnight = UnixNanos(noon(9).0 + 12 * HOUR - HOUR / 2);
        assert_eq!(concerned(&[(shortly_before_midnight, off(40, true))]), [9, 10]);
        assert_eq!(concerned(&[(UnixNanos(0), off(u64::MAX, false)), (noon(2), off(0, false))]), [0, 1, 2]);
    }
}
