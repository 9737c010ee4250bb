//! [`retry_after`]: how long a server asks to wait, in every form of RFC 9110 (section 10.2.3).
//!
//! 1. A number of seconds, or a date in one of the three forms that a recipient has to accept (section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`,
//!    `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
//! 2. A date is held against the server's own `Date`, where it sent one: the clock of this machine may be wrong.
//! 3. No wait is longer than [`LONGEST_RETRY_AFTER`], whatever the server says. A moment that has passed is a wait of zero.
//!
//! No I/O, no clock. The weekday is not checked: it adds nothing to the date.

use std::time::Duration;

use crate::time::{DateFormat, Timestamp, UnixNanos, parse_rfc3339};

/// Wait where a server asks for one and does not say how long.
pub(crate) const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Longest wait that is accepted, so that a wrong one does not stop everything.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Years ahead from which a date with two digits for the year is one of the past (RFC 9110, section 5.6.7).
const YEARS_AHEAD: u32 = 50;

/// Names of the months, as HTTP spells them.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Gives the wait that the value of a `Retry-After` header asks for; `None` where it is neither a number of seconds nor a date. `date` is the value of the
/// answer's `Date` header, `now` the wall clock, which is used where that says nothing.
pub(crate) fn retry_after(value: &str, date: Option<&str>, now: UnixNanos) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|first: char| first.is_ascii_digit()) {
        return seconds(value);
    }
    let until = http_date(value, now)?;
    let from = date.and_then(|date| http_date(date.trim(), now)).map_or(i64::from(now.seconds()), |date| date.seconds);
    // One that has passed is negative, and no `u64`.
    let wait = u64::try_from(until.seconds.saturating_sub(from)).unwrap_or(0);
    Some(Duration::from_secs(wait).min(LONGEST_RETRY_AFTER))
}

/// Reads a number of seconds. A fraction is none of RFC 9110's forms, but is sent; it counts as a whole second.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a `u64` has are a very long wait.
    let seconds = whole.parse::<u64>().unwrap_or(u64::MAX);
    let rest = u64::from(fraction.bytes().any(|byte| byte != b'0'));
    Some(Duration::from_secs(seconds.saturating_add(rest)).min(LONGEST_RETRY_AFTER))
}

/// Reads a date in one of the three forms of HTTP. All of them are in UTC.
fn http_date(text: &str, now: UnixNanos) -> Option<Timestamp> {
    let (_, rest) = text.split_once(|separator: char| separator == ',' || separator.is_ascii_whitespace())?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    match words.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [day, month, year, time, zone] if is_utc(zone) => moment(year.parse().ok()?, month, day, time),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [date, time, zone] if is_utc(zone) => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            let year: u32 = if year.len() == 2 { full_year(year.parse().ok()?, now)? } else { year.parse().ok()? };
            moment(year, month, day, time)
        }
        // Sun Nov  6 08:49:37 1994
        [month, day, time, year] => moment(year.parse().ok()?, month, day, time),
        _ => None,
    }
}

fn is_utc(zone: &str) -> bool {
    ["GMT", "UTC", "Z"].iter().any(|name| zone.eq_ignore_ascii_case(name))
}

/// Gives the year that two digits stand for: one that would lie more than [`YEARS_AHEAD`] years ahead is of the century before.
fn full_year(two_digits: u32, now: UnixNanos) -> Option<u32> {
    let this_year: u32 = now.day().spelled(DateFormat::Iso).get(..4)?.parse().ok()?;
    let year = this_year / 100 * 100 + two_digits;
    // The last years of a century may mean the first ones of the next.
    let candidates = [year + 100, year, year.saturating_sub(100)];
    candidates.into_iter().find(|year| *year <= this_year + YEARS_AHEAD)
}

fn moment(year: u32, month: &str, day: &str, time: &str) -> Option<Timestamp> {
    let month = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name))? + 1;
    let day: u32 = day.parse().ok()?;
    parse_rfc3339(format!("{year:04}-{month:02}-{day:02}T{time}Z").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1994-11-06 08:49:37 UTC, the moment of RFC 9110's samples.
    const SAMPLE: u64 = 784_111_777;

    const fn at(seconds: u64) -> UnixNanos {
        UnixNanos(seconds * 1_000_000_000)
    }

    fn seconds_of(value: &str, now: u64) -> Option<u64> {
        retry_after(value, None, at(now)).map(|wait| wait.as_secs())
    }

    /// Spells a moment in the three forms of HTTP, as the oracle sees it.
    fn spelled(seconds: u64) -> [String; 3] {
        let moment =
            jiff::Timestamp::from_second(i64::try_from(seconds).expect("small")).expect("in range").to_zoned(jiff::tz::TimeZone::UTC);
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].map(|form| moment.strftime(form).to_string())
    }

    #[test]
    fn the_samples_of_the_standard_are_read() {
        for sample in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(seconds_of(sample, SAMPLE - 90), Some(90), "{sample}");
            assert_eq!(seconds_of(sample, SAMPLE + 90), Some(0), "{sample} has passed");
            assert_eq!(seconds_of(&sample.to_lowercase(), SAMPLE - 9), Some(9), "{sample}");
        }
        assert_eq!(seconds_of("120", SAMPLE), Some(120));
        assert_eq!(seconds_of(" 0 ", SAMPLE), Some(0));
    }

    #[test]
    fn no_wait_is_longer_than_the_longest() {
        for long in ["301", "4294967296", "18446744073709551615", "99999999999999999999999999", "1e9999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            let wait = retry_after(long, None, at(SAMPLE));
            assert!(wait.is_none_or(|wait| wait == LONGEST_RETRY_AFTER), "{long} {wait:?}");
            assert_eq!(wait.is_none(), long == "1e9999", "{long}");
        }
        assert_eq!(retry_after("300", None, at(0)), Some(LONGEST_RETRY_AFTER));
        assert_eq!((seconds_of("1.0", 0), seconds_of("1.5", 0)), (Some(1), Some(2)));
    }

    #[test]
    fn what_is_neither_a_number_nor_a_date_says_nothing() {
        let texts = [
            "",
            " ",
            "-1",
            "+1",
            "1.",
            ".5",
            "1,5",
            "1 s",
            "soon",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 2020 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Sunday, 06-Nov-94-1 08:49:37 GMT",
            "\u{7f}\u{e9}, \u{e9}",
            ",,,",
            "\u{2003}",
        ];
        for text in texts {
            assert_eq!(retry_after(text, None, at(SAMPLE)), None, "{text:?}");
        }
    }

    #[test]
    fn a_date_is_held_against_the_servers_own_clock() {
        let wrong = at(SAMPLE + 7200);
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:27 GMT"), wrong),
            Some(Duration::from_secs(10))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", Some("yesterday"), at(SAMPLE - 5)), Some(Duration::from_secs(5)));
    }

    proptest! {
        #[test]
        fn every_moment_is_read_in_all_three_forms(now in 0u64..4_000_000_000, wait in 0u64..1000, is_past in any::<bool>()) {
            let (until, want) = if is_past { (now.saturating_sub(wait), 0) } else { (now + wait, wait.min(LONGEST_RETRY_AFTER.as_secs())) };
            for text in spelled(until) {
                prop_assert_eq!(seconds_of(&text, now), Some(want), "{}", text);
                prop_assert_eq!(retry_after(&text, Some(&spelled(now)[0]), at(0)).is_some(), true, "{}", text);
            }
        }

        #[test]
        fn no_text_panics_and_no_wait_is_above_the_longest(text in "\\PC{0,40}", date in prop::option::of("\\PC{0,40}"), now in any::<u64>()) {
            let wait = retry_after(&text, date.as_deref(), UnixNanos(now));
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }

        #[test]
        fn no_altered_date_panics(seconds in 0u64..4_000_000_000, form in 0usize..3, place in 0usize..32, byte in any::<char>()) {
            let mut text: Vec<char> = spelled(seconds)[form].chars().collect();
            let place = place % text.len();
            text[place] = byte;
            let text: String = text.into_iter().collect();
            prop_assert!(retry_after(&text, None, at(seconds)).is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }
    }
}
