//! Numbers and times as a picture shows them.

use crate::time::{NANOS_PER_SECOND, SECONDS_PER_DAY, UnixNanos, UtcDay};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Most decimals that are shown.
const MAX_DECIMALS: usize = 20;

/// Spells a number with this many decimals, its whole part in groups of three.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    grouped(&format!("{value:.decimals$}", decimals = decimals.min(MAX_DECIMALS)))
}

/// Spells a number with the fewest digits that give it back, its whole part in groups of three. One that has more digits than any price is rounded.
pub(super) fn exact(value: f64) -> String {
    grouped(&shortest(value))
}

/// Most digits of a price or size.
const MAX_DIGITS: usize = 12;

fn shortest(value: f64) -> String {
    let text = value.to_string();
    let digits = text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    let Some((whole, decimals)) = text.split_once('.').filter(|_| digits > MAX_DIGITS) else { return text };
    let kept = decimals.len().saturating_sub(digits - MAX_DIGITS);
    let text = format!("{value:.kept$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { whole.to_owned() }
}

/// Spells a number with about four digits.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let decimals = decimals_for(value.abs() / 1000.0).min(12);
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// Spells a count in groups of three.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Says how many there are of something.
pub(super) fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// Gives the decimals that a step of this size needs.
pub(super) fn decimals_for(step: f64) -> usize {
    let mut decimals = 0;
    let mut scaled = step;
    while scaled < 1.0 - 1e-9 && decimals < MAX_DECIMALS && scaled > 0.0 {
        scaled *= 10.0;
        decimals += 1;
    }
    decimals
}

/// Gives the decimals of a number, spelled as short as possible.
pub(super) fn decimals_of(value: f64) -> usize {
    shortest(value).split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, rest) = digits.find('.').map_or((digits, ""), |point| digits.split_at(point));
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    out.push_str(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(rest);
    out
}

/// Spells a date: `Sat 7 Jun 2025`.
pub(super) fn date(day: UtcDay) -> String {
    let weekday = WEEKDAYS.get(day.0 as usize % 7).copied().unwrap_or_default();
    format!("{weekday} {} {}", short_date(day), day.to_string().split('-').next().unwrap_or_default())
}

/// Spells a date without its year: `7 Jun`.
pub(super) fn short_date(day: UtcDay) -> String {
    let text = day.to_string();
    let mut parts = text.split('-').skip(1).map(|part| part.parse::<usize>().unwrap_or(1));
    let (month, day) = (parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    format!("{day} {}", MONTHS.get(month - 1).copied().unwrap_or_default())
}

/// Spells the time of day as exactly as a step needs: `12:30`, `12:30:15`, `12:30:15.250`.
pub(super) fn clock(time: UnixNanos, step: u64) -> String {
    let of_day = u64::from(time.seconds()) % SECONDS_PER_DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    if step.is_multiple_of(60 * NANOS_PER_SECOND) {
        return format!("{hour:02}:{minute:02}");
    }
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if !step.is_multiple_of(NANOS_PER_SECOND) {
        let digits = (1..=9).find(|digits| step.is_multiple_of(10_u64.pow(9 - digits))).unwrap_or(9);
        let fraction = format!("{:09}", time.subsec_nanos());
        text.push('.');
        text.push_str(fraction.get(..digits as usize).unwrap_or_default());
    }
    text
}

/// Spells a moment for a tooltip, with as many digits of the second as it has.
pub(super) fn moment(time: UnixNanos) -> String {
    let nanos = u64::from(time.subsec_nanos());
    let step = [NANOS_PER_SECOND, 1_000_000, 1000].into_iter().find(|step| nanos.is_multiple_of(*step)).unwrap_or(1);
    clock(time, step)
}

/// Spells a span of time: `30 s`, `5 min`, `1 h`, `1 d`.
pub(super) fn span(nanos: u64) -> String {
    let units = [(86_400 * NANOS_PER_SECOND, "d"), (3600 * NANOS_PER_SECOND, "h"), (60 * NANOS_PER_SECOND, "min"), (NANOS_PER_SECOND, "s")];
    let found = units.into_iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    found.map_or_else(|| format!("{} ms", nanos / 1_000_000), |(unit, name)| format!("{} {name}", nanos / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_for_people() {
        let fixed: Vec<String> =
            [(67_123.456, 2), (-1_234_567.0, 0), (0.000_000_51, 8), (999.0, 1)].map(|(value, decimals)| fixed(value, decimals)).into();
        assert_eq!(fixed, ["67,123.46", "-1,234,567", "0.00000051", "999.0"]);
        assert_eq!(
            [exact(0.000_000_51), exact(1e15), exact(64_841.44)],
            ["0.00000051", "1,000,000,000,000,000", "64,841.44"].map(str::to_owned)
        );
        let short: Vec<String> = [1234.5678, 12.345_678, 0.001_234_56, 5e-9, 0.0, 1e9].map(short).into();
        assert_eq!(short, ["1,235", "12.35", "0.001235", "0.000000005", "0", "1,000,000,000"]);
        assert_eq!([decimals_for(0.25), decimals_for(0.1), decimals_for(1.0), decimals_for(0.0), decimals_for(1e-8)], [1, 1, 0, 0, 8]);
        assert_eq!([decimals_of(0.000_000_51), decimals_of(5.0), decimals_of(0.1 + 0.2)], [8, 0, 1]);
        assert_eq!(
            [exact(70_183.100_000_000_01), exact(0.1 + 0.2), exact(123_456_789_012.75)],
            ["70,183.1", "0.3", "123,456,789,013"].map(str::to_owned)
        );
    }

    #[test]
    fn times_are_spelled_as_exactly_as_their_step() {
        let time = UnixNanos(1_749_299_415_250_001_000);
        let clock: Vec<String> =
            [3600 * NANOS_PER_SECOND, 15 * NANOS_PER_SECOND, 250_000_000, 1000, 1].map(|step| clock(time, step)).into();
        assert_eq!(clock, ["12:30", "12:30:15", "12:30:15.25", "12:30:15.250001", "12:30:15.250001000"]);
        assert_eq!(
            (moment(time), date(time.day()), short_date(time.day())),
            ("12:30:15.250001".into(), "Sat 7 Jun 2025".into(), "7 Jun".into())
        );
        let spans: Vec<String> = [60, 300, 3600, 86_400, 1].map(|seconds| span(seconds * NANOS_PER_SECOND)).into();
        assert_eq!((spans, span(250_000_000)), (["1 min", "5 min", "1 h", "1 d", "1 s"].map(str::to_owned).into(), "250 ms".to_owned()));
    }
}
