//! The format of numbers, times and ids on Coinbase's feeds. Text is written into reused buffers, without `format!`.
//!
//! 1. Nothing here allocates once the buffer has grown.
//! 2. A number is an [`Amount`]: whole units of its last decimal. It is written *trimmed* (`67.021`) or *padded* (`67.0210`); the recordings show both
//!    in one message.
//! 3. A time is written with six padded digits (Exchange) or trimmed (Advanced: up to six in a trade, up to nine in an envelope).
//! 4. [`TimeFormatter`] keeps the text of the second that it wrote last. Under load nearly every frame falls into the same second.

use crate::record::OrderId;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// A decimal number as whole units of its last decimal: `67.021` is 67021 units of 3 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    /// The number without its point.
    pub(super) units: u64,
    /// How many of its digits stand after the decimal point, 0 to 18.
    pub(super) decimals: u8,
}

impl Amount {
    /// Writes the number without trailing zeros.
    pub(super) fn trimmed(self, out: &mut Vec<u8>) {
        let Self { mut units, mut decimals } = self;
        while decimals > 0 && units.is_multiple_of(10) {
            units /= 10;
            decimals -= 1;
        }
        Self { units, decimals }.padded(out, decimals);
    }

    /// Writes the number with at least `width` digits after the decimal point.
    pub(super) fn padded(self, out: &mut Vec<u8>, width: u8) {
        let scale = 10u64.pow(u32::from(self.decimals));
        integer(out, self.units / scale);
        if width.max(self.decimals) == 0 {
            return;
        }
        out.push(b'.');
        if self.decimals > 0 {
            digits(out, self.units % scale, usize::from(self.decimals));
        }
        out.extend(std::iter::repeat_n(b'0', usize::from(width.saturating_sub(self.decimals))));
    }
}

/// Writes text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes a whole number.
pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    let width = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    digits(out, value, width);
}

/// Writes the last `width` digits of a number (at most 20), with leading zeros.
pub(super) fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut text = [b'0'; 20];
    for slot in text.iter_mut().rev().take(width) {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(text.get(20usize.saturating_sub(width)..).unwrap_or_default());
}

/// Writes an order id as its UUID.
pub(super) fn order_id(out: &mut Vec<u8>, id: OrderId) {
    let mut text = [0; 32];
    // This fails only where the buffer is not twice the id's length, and it is.
    let _ = hex::encode_to_slice(id.0, &mut text);
    let (first, rest) = text.split_at(8);
    out.extend_from_slice(first);
    let mut rest = rest;
    for width in [4, 4, 4, 12] {
        let (part, after) = rest.split_at(width);
        out.push(b'-');
        out.extend_from_slice(part);
        rest = after;
    }
}

/// Writes text from a client as a JSON string, with quotes and escapes.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push(b'\\');
                out.push(character as u8);
            }
            control if control < ' ' => {
                out.extend_from_slice(b"\\u");
                digits(out, 0, 2);
                let mut text = [0; 2];
                let _ = hex::encode_to_slice([control as u8], &mut text);
                out.extend_from_slice(&text);
            }
            plain => {
                let mut text = [0; 4];
                out.extend_from_slice(plain.encode_utf8(&mut text).as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Writes times. Keeps the text of the second that it wrote last.
#[derive(Debug, Default)]
pub(super) struct TimeFormatter {
    second: Option<u64>,
    text: Vec<u8>,
}

impl TimeFormatter {
    /// Writes `2021-04-17T16:43:37.531550Z`: always six digits; the rest is cut off.
    pub(super) fn micros(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        self.write_second(out, time, b'T');
        out.push(b'.');
        digits(out, u64::from(time.subsec_nanos()) / 1000, 6);
        out.push(b'Z');
    }

    /// Writes `2026-08-09T21:05:38.50436Z`: up to nine digits, trailing zeros trimmed.
    pub(super) fn trimmed(&mut self, out: &mut Vec<u8>, time: UnixNanos) {
        self.write_second(out, time, b'T');
        fraction(out, time);
        out.push(b'Z');
    }

    /// Writes `2026-09-05 22:10:30.25788961 +0000 UTC m=+139651.27`, the format of Go; the last part is the server's uptime in seconds.
    pub(super) fn go(&mut self, out: &mut Vec<u8>, time: UnixNanos, uptime: UnixNanos) {
        self.write_second(out, time, b' ');
        fraction(out, time);
        out.extend_from_slice(b" +0000 UTC m=+");
        integer(out, u64::from(uptime.seconds()));
        out.push(b'.');
        digits(out, u64::from(uptime.subsec_nanos()), 9);
    }

    fn write_second(&mut self, out: &mut Vec<u8>, time: UnixNanos, between: u8) {
        let second = time.0 / NANOS_PER_SECOND;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            self.text.extend_from_slice(time.to_string().as_bytes());
            self.text.truncate("2021-04-17T16:43:37".len());
        }
        let (date, clock) = self.text.split_at("2021-04-17".len());
        out.extend_from_slice(date);
        out.push(between);
        out.extend_from_slice(clock.get(1..).unwrap_or_default());
    }
}

fn fraction(out: &mut Vec<u8>, time: UnixNanos) {
    let nanos = u64::from(time.subsec_nanos());
    if nanos > 0 {
        out.push(b'.');
        let start = out.len();
        digits(out, nanos, 9);
        while out.len() > start && out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn amounts_are_trimmed_or_padded_as_recorded() {
        for (units, decimals, trimmed, padded) in [
            (670_210, 4, "67.021", "67.0210"),
            (1, 8, "0.00000001", "0.00000001"),
            (450, 0, "450", "450"),
            (4500, 1, "450", "450.0"),
            (0, 2, "0", "0.00"),
            (u64::MAX, 8, "184467440737.09551615", "184467440737.09551615"),
        ] {
            let amount = Amount { units, decimals };
            assert_eq!(written(|out| amount.trimmed(out)), trimmed);
            assert_eq!(written(|out| amount.padded(out, decimals)), padded);
        }
        assert_eq!(written(|out| Amount { units: 7, decimals: 1 }.padded(out, 8)), "0.70000000");
        assert_eq!(written(|out| Amount { units: 7, decimals: 0 }.padded(out, 2)), "7.00");
    }

    #[test]
    fn times_are_cut_padded_and_trimmed_as_recorded() {
        let mut times = TimeFormatter::default();
        let time = |nanos: u64| UnixNanos(1_618_677_817_000_000_000 + nanos);
        assert_eq!(written(|out| times.micros(out, time(531_550_999))), "2021-04-17T16:43:37.531550Z");
        assert_eq!(written(|out| times.trimmed(out, time(504_360_000))), "2021-04-17T16:43:37.50436Z");
        assert_eq!(written(|out| times.trimmed(out, time(1))), "2021-04-17T16:43:37.000000001Z");
        assert_eq!(written(|out| times.trimmed(out, time(0))), "2021-04-17T16:43:37Z");
        assert_eq!(written(|out| times.micros(out, time(1_000_000_000))), "2021-04-17T16:43:38.000000Z");
        let shown = written(|out| times.go(out, time(257_889_610), UnixNanos(41_691_260_485_341)));
        assert_eq!(shown, "2021-04-17 16:43:37.25788961 +0000 UTC m=+41691.260485341");
    }

    #[test]
    fn order_ids_and_integers_agree_with_std() {
        let id = OrderId([0x27, 0xff, 0xf2, 0x0b, 0xaf, 0x29, 0x4f, 0x45, 0x87, 0x44, 0x56, 0xdd, 0x1e, 0xf5, 0x7d, 0xc0]);
        assert_eq!(written(|out| order_id(out, id)), id.to_string());
        for value in [0, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(written(|out| integer(out, value)), value.to_string());
        }
    }

    #[test]
    fn what_a_client_said_cannot_break_out_of_its_string() {
        assert_eq!(written(|out| quoted(out, "a\"b\\c\né")), r#""a\"b\\c\u000aé""#);
    }
}
