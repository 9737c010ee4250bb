//! [`of`]: which bytes of a body a `Range` asks for (RFC 9110, 14).
//!
//! 1. One range of bytes is answered. Several, another unit, or what is no range is passed over: the whole body is sent, as the standard allows.
//! 2. A suffix longer than the body, and an end behind it, are cut to the body. Readers of Parquet ask for the last 64 KiB of a file without knowing its length.
//! 3. A range that begins behind the body, and a suffix of 0 bytes, cannot be satisfied.

use std::ops::Range;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// No byte of the body is in the range.
    Nothing,
}

/// Reads the header `Range` for a body of `length` bytes.
pub(super) fn of(header: &str, length: u64) -> Wanted {
    let Some((unit, spec)) = header.split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = spec.trim_matches([' ', '\t']).split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes")) else {
        return Wanted::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

/// Reads digits. A number too large for the type lies behind every body.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_answered() {
        for (header, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=9-99", Wanted::Part(9..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-10", Wanted::Part(0..10)),
            ("bytes=-65536", Wanted::Part(0..10)),
            ("Bytes= 2-3 ", Wanted::Part(2..4)),
            ("bytes=0-99999999999999999999", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1 -2", Wanted::Whole),
            ("rows=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(of(header, 10), expected, "{header}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(of("bytes=-5", 0), Wanted::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_lies_in_the_body(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in any::<u64>()) {
            if let Wanted::Part(part) = of(&header, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
