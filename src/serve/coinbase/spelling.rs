//! Numbers and times as Coinbase spells them.
//!
//! 1. A number is the text that was received where the tape keeps it; else the shortest decimal that reads back as the stored value. A day of core columns
//!    alone has f32, so the shortest decimal of that.
//! 2. Prices and sizes of trades have no zeros at their end. Quotes are padded to the product's increment, sizes at the quote and everything in REST to 8
//!    decimals. All of this was measured in recorded sessions; the numbers are the same either way.
//! 3. A time has six digits (Exchange) or as many as it needs (Advanced Trade). No digit of a stored time is dropped.

use crate::decimal::Decimal;
use crate::digits;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Decimals that sizes at the quote and the numbers of REST are padded to.
pub(super) const PADDED_DECIMALS: usize = 8;

/// A stored number, and how it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    /// The stored value.
    pub(super) value: Decimal,
    /// Whether the day holds the f32 alone.
    pub(super) is_core: bool,
    /// The text as it was received, where the value does not give it back.
    pub(super) exact: Option<&'a str>,
}

impl Number<'_> {
    /// Tells whether the feed sent none.
    pub(super) fn is_none(self) -> bool {
        self.value.as_f64.is_nan()
    }

    /// Writes it without zeros at its end.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self.exact {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None if self.is_core => digits::push_f32(out, self.value.as_f32),
            None => digits::push_f64(out, self.value.as_f64),
        }
    }

    /// Writes it with at least `decimals` digits behind the point.
    pub(super) fn write_padded(self, out: &mut Vec<u8>, decimals: usize) {
        let from = out.len();
        self.write(out);
        let written = out.get(from..).unwrap_or_default();
        if written.is_empty() || decimals == 0 {
            return;
        }
        let have = match written.iter().position(|byte| *byte == b'.') {
            Some(point) => written.len() - point - 1,
            None => {
                out.push(b'.');
                0
            }
        };
        out.extend(std::iter::repeat_n(b'0', decimals.saturating_sub(have)));
    }
}

/// Adds a text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Adds a text as a JSON string.
pub(super) fn quoted(out: &mut Vec<u8>, value: &str) {
    text(out, &crate::json::quoted(value));
}

/// Counts the digits behind the point of an increment such as `0.0100`, zeros at the end counted; 0 for a text that is no decimal.
pub(super) fn decimals_of(increment: &str) -> usize {
    match increment.split_once('.') {
        Some((_, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => fraction.len().min(PADDED_DECIMALS * 3),
        _ => 0,
    }
}

/// Writes times. Keeps the text of the second that it wrote last.
#[derive(Debug, Default)]
pub(super) struct Times {
    second: Option<u64>,
    text: String,
}

impl Times {
    /// Writes `2021-04-17T16:43:37.531550Z`: six digits, or nine where six do not give the time back.
    pub(super) fn micros(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        let digits = if time.subsec_nanos().is_multiple_of(1000) { 6 } else { 9 };
        self.write(out, time, 'T', digits);
        out.push(b'Z');
    }

    /// Writes `2026-08-09T21:05:38.50436Z`: up to nine digits, without zeros at their end.
    pub(super) fn trimmed(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        self.write(out, time, 'T', trimmed_digits(time));
        out.push(b'Z');
    }

    /// Writes `2026-09-05 22:10:30.25788961 +0000 UTC m=+139651.257889610`, as Go does. The last part is how long the server has run.
    pub(super) fn go(&mut self, out: &mut Vec<u8>, time: UnixNanos, uptime: UnixNanos) {
        self.write(out, time, ' ', trimmed_digits(time));
        text(out, &format!(" +0000 UTC m=+{}.{:09}", uptime.seconds(), uptime.subsec_nanos()));
    }

    /// Writes `2024-02-29T23:59:59.998Z`: three digits, or six where the microseconds are not 0, as JavaScript with microseconds does.
    pub(super) fn script(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        let digits = if (time.subsec_nanos() / 1000).is_multiple_of(1000) { 3 } else { 6 };
        self.write(out, time, 'T', digits);
        out.push(b'Z');
    }

    /// Writes `2019-06-01T00:00:00.8551000Z`: seven digits.
    pub(super) fn ticks(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        self.write(out, time, 'T', 7);
        out.push(b'Z');
    }

    fn write(&mut self, out: &mut Vec<u8>, time: UnixNanos, between: char, digits: usize) {
        let second = time.0 / NANOS_PER_SECOND;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = time.to_string();
            self.text.truncate("2021-04-17T16:43:37".len());
        }
        let (date, clock) = self.text.split_once('T').unwrap_or_default();
        text(out, date);
        out.push(if between == ' ' { b' ' } else { b'T' });
        text(out, clock);
        if digits > 0 {
            let nanos = format!("{:09}", time.subsec_nanos());
            out.push(b'.');
            text(out, nanos.get(..digits).unwrap_or_default());
        }
    }
}

/// Counts the digits that a fraction of a second needs.
fn trimmed_digits(time: UnixNanos) -> usize {
    let (mut nanos, mut digits) = (time.subsec_nanos(), 9);
    while digits > 0 && nanos.is_multiple_of(10) {
        (nanos, digits) = (nanos / 10, digits - 1);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    fn number(text: &str) -> Number<'_> {
        Number { value: crate::decimal::parse(text.as_bytes()).expect("a decimal"), is_core: false, exact: None }
    }

    #[test]
    fn a_number_is_trimmed_or_padded_and_never_loses_a_digit() {
        for (text, trimmed, padded) in [
            ("14.7550", "14.755", "14.7550"),
            ("15", "15", "15.0000"),
            ("0.00001303", "0.00001303", "0.00001303"),
            ("0", "0", "0.0000"),
            ("1e-8", "0.00000001", "0.00000001"),
        ] {
            assert_eq!(shown(|out| number(text).write(out)), trimmed);
            assert_eq!(shown(|out| number(text).write_padded(out, 4)), padded);
        }
        let long = Number { exact: Some("1234567890.123456789012"), ..number("1234567890.123456789012") };
        assert_eq!(shown(|out| long.write(out)), "1234567890.123456789012");
        let narrow = Number { value: Decimal::from_f32(0.1), is_core: true, exact: None };
        assert_eq!(shown(|out| narrow.write(out)), "0.1", "an f32 is not widened");
        let none = Number { value: Decimal::NONE, is_core: false, exact: None };
        assert!(none.is_none() && shown(|out| none.write_padded(out, 8)).is_empty());
    }

    #[test]
    fn increments_say_how_many_decimals_a_quote_has() {
        for (increment, decimals) in [("0.01", 2), ("0.0100", 4), ("1", 0), ("", 0), ("1e-8", 0), ("0.x", 0)] {
            assert_eq!(decimals_of(increment), decimals, "{increment}");
        }
    }

    #[test]
    fn a_time_has_the_digits_of_its_feed() {
        let at = |nanos: u64| UnixNanos(1_618_677_817_000_000_000 + nanos);
        let mut times = Times::default();
        let mut all = |time| {
            (
                shown(|out| times.micros(out, time)),
                shown(|out| times.trimmed(out, time)),
                shown(|out| times.script(out, time)),
                shown(|out| times.ticks(out, time)),
            )
        };
        let own = |texts: [&str; 4]| texts.map(|text| format!("2021-04-17T16:43:37{text}Z")).into();
        assert_eq!(all(at(531_550_000)), own([".531550", ".53155", ".531550", ".5315500"]));
        assert_eq!(all(at(0)), own([".000000", "", ".000", ".0000000"]));
        assert_eq!(all(at(770_000_000)), own([".770000", ".77", ".770", ".7700000"]));
        assert_eq!(all(at(228_568_804)), own([".228568804", ".228568804", ".228568", ".2285688"]));
        let go = shown(|out| times.go(out, at(854_840_045), UnixNanos(41_691_260_485_341)));
        assert_eq!(go, "2021-04-17 16:43:37.854840045 +0000 UTC m=+41691.260485341");
    }
}
