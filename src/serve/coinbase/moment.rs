//! [`parse`]: a time as clients send it.

use crate::time::{NANOS_PER_SECOND, Timestamp, UnixNanos, UtcDay, parse_rfc3339};

/// Reads a time: RFC 3339, also without a zone, which then is UTC; a date, which is its first moment; or a count since the epoch, of seconds, milliseconds,
/// microseconds or nanoseconds, told apart by its size.
pub(super) fn parse(text: &str) -> Option<UnixNanos> {
    if let Ok(count) = text.parse::<u64>() {
        let per_unit = match count {
            0..100_000_000_000 => NANOS_PER_SECOND,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        return count.checked_mul(per_unit).map(UnixNanos);
    }
    if let Ok(date) = UtcDay::parse(text) {
        return Some(date.start());
    }
    // In a query a plus sign that is not escaped is a space.
    let text = text.trim().replace(' ', if text.contains('T') { "+" } else { "T" });
    let read = parse_rfc3339(text.as_bytes()).or_else(|_| parse_rfc3339(format!("{text}Z").as_bytes()));
    read.ok().and_then(Timestamp::to_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_read() {
        let noon = Some(UnixNanos(1_749_297_600_000_000_000));
        for text in [
            "2025-06-07T12:00:00Z",
            "2025-06-07T12:00:00.000Z",
            "2025-06-07T14:00:00+02:00",
            "2025-06-07T14:00:00 02:00",
            "2025-06-07T12:00:00",
            "2025-06-07 12:00:00",
            "1749297600",
            "1749297600000",
            "1749297600000000",
            "1749297600000000000",
        ] {
            assert_eq!(parse(text), noon, "{text}");
        }
        assert_eq!(parse("2025-06-07"), Some(UnixNanos(1_749_254_400_000_000_000)));
        for bad in ["", "yesterday", "-1", "2025-13-01", "2025-06-07T25:00:00Z", "99999999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
