//! How durations, times and lists of numbers are written on the command line.

use std::sync::OnceLock;
use std::time::Duration;

use crate::time::{Clock, UnixNanos, UtcDay, parse_rfc3339};
use crate::verdict::Verdict;

/// Reads a duration: `500ms`, `2s`, `10m`, `24h`, `7d`.
///
/// # Errors
/// The text says how to write a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration (write 500ms, 2s, 10m, 24h or 7d)");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// Reads a size: `500MB`, `64MiB`, `200GiB`, `1TB`, or a number of bytes.
///
/// # Errors
/// The text says how to write a size.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size (write 64MiB, 200GiB, 500GB or a number of bytes)");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Reads a date.
///
/// # Errors
/// The text says how to write a date.
pub(crate) fn day(text: &str) -> Result<UtcDay, String> {
    UtcDay::parse(text).ok().filter(|day| *day <= LAST_DAY).ok_or_else(|| format!("{text:?} is not a date (write 2025-06-07)"))
}

/// Reads the name of a verdict.
///
/// # Errors
/// The text says which there are.
pub(crate) fn verdict(text: &str) -> Result<Verdict, String> {
    let all = [Verdict::Whole, Verdict::Partial, Verdict::Open, Verdict::Unverifiable];
    all.into_iter()
        .find(|verdict| verdict.name() == text)
        .ok_or_else(|| format!("{text:?} is no verdict (write partial, open or unverifiable)"))
}

/// Reads a duration above zero.
///
/// # Errors
/// As [`duration`], and for zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        some => Ok(some),
    }
}

/// The last day whose seconds since the epoch fit into a u32.
const LAST_DAY: UtcDay = UtcDay(u32::MAX / 86_400);

/// Reads a time: RFC 3339, a date, which is its midnight in UTC, `now`, or a time ago such as `7d`, `36h` or `90m`.
///
/// # Errors
/// The text says how to write a time.
pub(crate) fn time(text: &str) -> Result<UnixNanos, String> {
    // Read once, so that all times of one command line count from the same moment.
    static NOW: OnceLock<UnixNanos> = OnceLock::new();
    time_at(text, *NOW.get_or_init(|| Clock::System.now()))
}

/// Reads a time as at the moment `now`.
fn time_at(text: &str, now: UnixNanos) -> Result<UnixNanos, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Ok(day) = UtcDay::parse(text) {
        return if day <= LAST_DAY {
            Ok(day.start())
        } else {
            Err(format!("{text:?} is after {LAST_DAY}, the last day that the files can hold"))
        };
    }
    if let Ok(ago) = duration(text) {
        let ago = u64::try_from(ago.as_nanos()).ok().filter(|ago| *ago <= now.0);
        return ago.map(|ago| UnixNanos(now.0 - ago)).ok_or_else(|| format!("{text:?} ago is before 1970"));
    }
    let parsed = parse_rfc3339(text.as_bytes()).ok().and_then(crate::time::Timestamp::to_unix);
    parsed.ok_or_else(|| format!("{text:?} is not a time (write 2025-06-07, 2025-06-07T12:34:56.789Z, now, or how long ago: 7d, 36h, 90m)"))
}

/// A list of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers(pub Vec<usize>);

/// Highest number in a list. Linux is built for at most 8192 processors.
const HIGHEST_NUMBER: usize = 8191;

/// Reads a list of numbers and ranges: `0,2-3`.
///
/// # Errors
/// The text says how to write a list.
pub(crate) fn numbers(text: &str) -> Result<Numbers, String> {
    let wrong = || format!("{text:?} is not a list of processors (write 2,3 or 2-5)");
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last || last > HIGHEST_NUMBER {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    Ok(Numbers(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("1kB", 1_000), ("64MiB", 64 << 20), ("2GB", 2_000_000_000), ("1TiB", 1 << 40)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "1.5GB", "-1", "1 GB", "99999999999TB", "1XB"] {
            assert!(size(text).is_err_and(|why| why.contains("is not a size")), "{text}");
        }
    }

    #[test]
    fn a_list_of_numbers_may_have_ranges() {
        assert_eq!(numbers("0,2-4"), Ok(Numbers(vec![0, 2, 3, 4])));
        for bad in ["", "a", "3-2", "1,", "-1", "0-99999"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "5", "s", "1.5s", "-1s", "5 s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(time("2025-06-07"), time("2025-06-07T00:00:00Z"));
        assert!(time("yesterday").is_err());
        assert!(time("2106-02-07").is_ok() && time("2106-02-08").is_err() && time("2600-01-01").is_err());
    }

    #[test]
    fn a_time_may_be_an_offset_from_utc_or_how_long_ago_it_was() {
        let now = time("2026-11-29T12:00:00.5Z").expect("a time");
        let at = |text: &str| time_at(text, now);
        assert_eq!((at("now"), at("0s")), (Ok(now), Ok(now)));
        assert_eq!(at("7d"), time("2026-11-22T12:00:00.5Z"));
        assert_eq!(at("36h"), time("2026-11-28T00:00:00.5Z"));
        assert_eq!(at("90m"), time("2026-11-29T10:30:00.5Z"));
        assert_eq!(at("250ms"), time("2026-11-29T12:00:00.25Z"));
        assert_eq!(at("2026-11-29T14:00:00+02:00"), time("2026-11-29T12:00:00Z"));
        for bad in ["", "7", "-7d", "7 d", "7D", "1w", "Now", "tomorrow", "99999d", "18446744073709551615ms", "2026-11-29T12:00"] {
            assert!(at(bad).is_err(), "{bad}");
        }
        assert_eq!(time("1h"), time("60m"), "all times of a command line count from one moment");
    }
}
