//! Time as values: [`UnixNanos`], [`Timestamp`], [`UtcDay`], RFC 3339, and the [`Clock`] through which wall time comes in.
//!
//! 1. `SystemTime::now` stands in this file only. Elapsed time is monotonic and is measured where it is waited for.
//! 2. The exchange's times have 0 to 9 fraction digits, and it has sent the year 0001. Parsing gives a [`Timestamp`], which holds any such time.
//!    Only a plausible time becomes [`UnixNanos`].
//! 3. Every RFC 3339 spelling of a time is read. The spelling that the exchange sends is read first, and fast.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub(crate) const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Seconds in a UTC day.
pub(crate) const SECONDS_PER_DAY: u64 = 86_400;

/// A point in time, nanoseconds since the Unix epoch, UTC. Reaches the year 2554; 0 stands for *none*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// Composes a time from the two columns that store it.
    #[must_use]
    pub(crate) const fn from_parts(seconds: u32, nanos: u32) -> Self {
        Self(seconds as u64 * NANOS_PER_SECOND + nanos as u64)
    }

    /// Gives whole seconds since the epoch, at most those of the year 2106, where the column ends.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the branch above it")]
    pub const fn seconds(self) -> u32 {
        let seconds = self.0 / NANOS_PER_SECOND;
        if seconds > u32::MAX as u64 { u32::MAX } else { seconds as u32 }
    }

    /// Gives the nanoseconds within the second, 0 to 999 999 999.
    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        (self.0 % NANOS_PER_SECOND) as u32
    }

    /// Gives the UTC day the time falls in.
    #[must_use]
    pub const fn day(self) -> UtcDay {
        UtcDay((self.0 / NANOS_PER_SECOND / SECONDS_PER_DAY) as u32)
    }

    /// Gives a time that the file system shows; nothing where it lies before 1970.
    #[must_use]
    pub(crate) fn of_file(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok().map(Self)
    }

    /// Gives the nanoseconds from `earlier` to `self`, 0 where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixNanos {
    /// Prints RFC 3339 in UTC with nine fraction digits, as in `2025-06-07T00:00:00.000000001Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = u64::from(self.seconds()) % SECONDS_PER_DAY;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}.{:09}Z", self.day(), self.subsec_nanos())
    }
}

/// A point in time of any year 0000 to 9999, as parsed, not yet checked for being plausible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since the Unix epoch, negative before it.
    pub seconds: i64,
    /// Nanoseconds after that second, 0 to 999 999 999.
    pub nanos: u32,
}

impl Timestamp {
    /// Gives the time as nanoseconds since the epoch. `None` where it lies before the epoch, or after the year 2106, which the columns do not reach.
    #[must_use]
    pub fn to_unix(self) -> Option<UnixNanos> {
        let seconds = u32::try_from(self.seconds).ok()?;
        Some(UnixNanos::from_parts(seconds, self.nanos))
    }
}

/// A text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time such as 2025-06-07T12:34:56.123456Z")]
#[non_exhaustive]
pub struct TimeError;

/// Reads an RFC 3339 time in any of its spellings: `T`, `t` or a space before the hour, `Z`, `z` or an offset behind the second, any number of fraction
/// digits (`.77Z` is 770 ms). Digits behind the ninth are dropped, as a column holds nanoseconds. A leap second, 60, is read as 59, so that it stays in its
/// minute and day.
///
/// ```
/// use coltape::internals::time::parse_rfc3339;
/// let time = parse_rfc3339(b"2021-04-17T16:43:30.77Z").unwrap();
/// assert_eq!(time.nanos, 770_000_000);
/// assert_eq!(parse_rfc3339(b"2021-04-17 18:43:30.770+02:00"), Ok(time));
/// ```
///
/// # Errors
/// Where the text has another shape, or names a day or second that does not exist.
pub fn parse_rfc3339(text: &[u8]) -> Result<Timestamp, TimeError> {
    parse_usual(text).or_else(|_| parse_unusual(text))
}

/// Reads the spelling that the exchange sends: `T`, `Z`, 0 to 9 fraction digits.
fn parse_usual(text: &[u8]) -> Result<Timestamp, TimeError> {
    let (minute, rest) = text.split_first_chunk::<MINUTE_BYTES>().ok_or(TimeError)?;
    parse_within_minute(parse_minute(minute)?, rest)
}

/// Reads any spelling of RFC 3339, and offsets without a colon or without minutes.
#[cold]
fn parse_unusual(text: &[u8]) -> Result<Timestamp, TimeError> {
    let (date, rest) = text.split_first_chunk::<10>().ok_or(TimeError)?;
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, tail @ ..] = rest else { return Err(TimeError) };
    let (hour, minute, second) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?, two_digits(*s1, *s2)?);
    if hour > 23 || minute > 59 || second > LEAP_SECOND {
        return Err(TimeError);
    }
    let (nanos, zone) = match tail {
        [b'.', tail @ ..] => {
            let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = tail.split_at_checked(digits).filter(|(fraction, _)| !fraction.is_empty()).ok_or(TimeError)?;
            let scaled = fraction.iter().chain(std::iter::repeat(&b'0')).take(FRACTION_SCALES.len() - 1);
            (scaled.fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0')), zone)
        }
        zone => (0, zone),
    };
    let of_day = i64::from(hour * 3600 + minute * 60 + second.min(LEAP_SECOND - 1));
    Ok(Timestamp { seconds: parse_date(date)? * 86_400 + of_day - parse_offset(zone)?, nanos })
}

/// The number of a leap second within its minute.
const LEAP_SECOND: u32 = 60;

/// Reads what a time is ahead of UTC, in seconds: `Z`, `+02:00`, `+0200` or `+02`, and `-00:00` for UTC of an unknown place.
fn parse_offset(zone: &[u8]) -> Result<i64, TimeError> {
    let (sign, hours, minutes) = match zone {
        [b'Z' | b'z'] => return Ok(0),
        [sign, h1, h2] => (sign, two_digits(*h1, *h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, two_digits(*h1, *h2)?, two_digits(*m1, *m2)?),
        _ => return Err(TimeError),
    };
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        _ if hours > 23 || minutes > 59 => Err(TimeError),
        b'+' => Ok(seconds),
        b'-' => Ok(-seconds),
        _ => Err(TimeError),
    }
}

/// The bytes of `2025-06-07T12:34:`.
const MINUTE_BYTES: usize = 17;

/// Reads `2025-06-07T12:34:`, giving seconds since the epoch.
fn parse_minute(text: &[u8; MINUTE_BYTES]) -> Result<i64, TimeError> {
    let [date @ .., b'T', h1, h2, b':', m1, m2, b':'] = text else { return Err(TimeError) };
    let (hour, minute) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
    if hour > 23 || minute > 59 {
        return Err(TimeError);
    }
    Ok(parse_date(date)? * 86_400 + i64::from(hour * 3600 + minute * 60))
}

/// Reads `56.123456Z`, the part of a time that follows a minute which began at `minute`.
#[inline]
fn parse_within_minute(minute: i64, text: &[u8]) -> Result<Timestamp, TimeError> {
    let [s1, s2, tail @ ..] = text else { return Err(TimeError) };
    let second = two_digits(*s1, *s2)?;
    let nanos = match tail {
        // The form that the Exchange feed sends, without a loop.
        [b'.', a, b, c, d, e, f, b'Z'] => {
            let digits = [a, b, c, d, e, f].map(|byte| byte.wrapping_sub(b'0'));
            if digits.iter().any(|digit| *digit > 9) {
                return Err(TimeError);
            }
            digits.into_iter().fold(0, |sum, digit| sum * 10 + u32::from(digit)) * 1_000
        }
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] => {
            let scale = FRACTION_SCALES.get(fraction.len()).filter(|_| !fraction.is_empty()).ok_or(TimeError)?;
            fraction.iter().try_fold(0, |sum, byte| Ok(sum * 10 + digit(*byte)?))? * scale
        }
        _ => return Err(TimeError),
    };
    if second > 59 {
        return Err(TimeError);
    }
    Ok(Timestamp { seconds: minute + i64::from(second), nanos })
}

/// Nanoseconds in one unit of the last digit, by the number of fraction digits.
const FRACTION_SCALES: [u32; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// Reads times like [`parse_rfc3339`] and remembers the minute of the last one. Most times of a feed fall into the same minute.
#[derive(Debug, Clone, Default)]
pub struct TimeCache {
    text: [u8; MINUTE_BYTES],
    minute: i64,
}

impl TimeCache {
    /// Reads an RFC 3339 time.
    ///
    /// # Errors
    /// For the same texts as [`parse_rfc3339`].
    #[inline]
    pub fn parse(&mut self, text: &[u8]) -> Result<Timestamp, TimeError> {
        match self.parse_usual(text) {
            Ok(time) => Ok(time),
            Err(TimeError) => parse_unusual(text),
        }
    }

    #[inline]
    fn parse_usual(&mut self, text: &[u8]) -> Result<Timestamp, TimeError> {
        let (minute, rest) = text.split_first_chunk::<MINUTE_BYTES>().ok_or(TimeError)?;
        // The empty cache holds NULs, which no time contains.
        if self.text != *minute || self.text == [0; MINUTE_BYTES] {
            self.minute = parse_minute(minute)?;
            self.text = *minute;
        }
        parse_within_minute(self.minute, rest)
    }
}

fn two_digits(tens: u8, ones: u8) -> Result<u32, TimeError> {
    Ok(digit(tens)? * 10 + digit(ones)?)
}

fn digit(byte: u8) -> Result<u32, TimeError> {
    if byte.is_ascii_digit() { Ok(u32::from(byte - b'0')) } else { Err(TimeError) }
}

/// Reads `YYYY-MM-DD`, giving days since the epoch.
fn parse_date(text: &[u8]) -> Result<i64, TimeError> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return Err(TimeError) };
    let number = |bytes: &[u8]| bytes.iter().try_fold(0u32, |sum, byte| Ok(sum * 10 + digit(*byte)?));
    let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    days_from_civil(year, month, day).ok_or(TimeError)
}

/// Gives days since the epoch of a date in the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > longest {
        return None;
    }
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// How dates are spelled in file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateFormat {
    /// `2025-06-07`
    #[default]
    Iso,
    /// `07.06.25`
    Dmy,
}

/// A UTC day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcDay(pub u32);

impl UtcDay {
    /// Reads a date in either spelling of [`DateFormat`]; two-digit years are of this century.
    ///
    /// # Errors
    /// Where the text has neither spelling, or the day does not exist or lies before 1970.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let days = match text.as_bytes() {
            [d1, d2, b'.', m1, m2, b'.', y1, y2] => parse_date(&[b'2', b'0', *y1, *y2, b'-', *m1, *m2, b'-', *d1, *d2])?,
            iso => parse_date(iso)?,
        };
        u32::try_from(days).map(Self).map_err(|_| TimeError)
    }

    /// Spells the day as file names have it.
    #[must_use]
    pub fn spelled(self, format: DateFormat) -> String {
        let (year, month, day) = self.civil();
        match format {
            DateFormat::Iso => format!("{year:04}-{month:02}-{day:02}"),
            DateFormat::Dmy => format!("{day:02}.{month:02}.{:02}", year % 100),
        }
    }

    /// Gives the first nanosecond of the day, the last one that there is for a day after the year 2554.
    #[must_use]
    pub const fn start(self) -> UnixNanos {
        // The name of a file may be any date.
        UnixNanos((self.0 as u64 * SECONDS_PER_DAY).saturating_mul(NANOS_PER_SECOND))
    }

    /// Gives the day after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    fn civil(self) -> (u32, u32, u32) {
        // The inverse of `days_from_civil`, for days since 1970 only: all terms are positive.
        let z = self.0 + 719_468;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u32::from(month <= 2);
        (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
    }
}

impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.spelled(DateFormat::Iso))
    }
}

/// The wall clock, real or set by a test.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands where it was set, in nanoseconds since the epoch.
    Manual(Arc<AtomicU64>),
    /// A clock that goes faster than the machine's, so that a test sees a day in an hour. Two processes that have the same one agree.
    Fast {
        /// What it showed at `since`.
        from: UnixNanos,
        /// When that was, by the machine's clock.
        since: UnixNanos,
        /// Seconds that it goes on by in each second of the machine's clock.
        pace: u32,
    },
}

impl Clock {
    /// Gives how many seconds the clock goes on by in a second.
    #[must_use]
    pub const fn pace(&self) -> u32 {
        match self {
            Self::Fast { pace, .. } => *pace,
            Self::System | Self::Manual(_) => 1,
        }
    }

    /// Reads the clock.
    #[must_use]
    pub fn now(&self) -> UnixNanos {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixNanos(since.as_secs() * NANOS_PER_SECOND + u64::from(since.subsec_nanos()))
            }
            // Relaxed: a test's clock orders nothing else.
            Self::Manual(at) => UnixNanos(at.load(Ordering::Relaxed)),
            Self::Fast { from, since, pace } => {
                let elapsed = Self::System.now().since(*since).saturating_mul(u64::from(*pace));
                UnixNanos(from.0.saturating_add(elapsed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fast_clock_goes_on_by_its_pace_from_where_it_was_set() {
        let since = UnixNanos(Clock::System.now().0 - 10 * NANOS_PER_SECOND);
        let clock = Clock::Fast { from: UnixNanos(1_000), since, pace: 24 };
        let before = Clock::System.now().since(since);
        let shown = clock.now().0 - 1_000;
        let after = Clock::System.now().since(since);
        assert!((24 * before..=24 * after).contains(&shown), "{before} {shown} {after}");
        assert_eq!((clock.pace(), Clock::System.pace()), (24, 1));
    }

    #[test]
    fn fractions_of_every_length_are_read() {
        let nanos = |text: &[u8]| parse_rfc3339(text).map(|time| time.nanos);
        assert_eq!(nanos(b"2025-06-07T00:00:00Z"), Ok(0));
        assert_eq!(nanos(b"2025-06-07T00:00:00.7Z"), Ok(700_000_000));
        assert_eq!(nanos(b"2025-06-07T00:00:00.000000001Z"), Ok(1));
        for digits in 1..=9usize {
            let text = format!("2025-06-07T00:00:00.{}Z", &"987654321"[..digits]);
            let whole = format!("{:0<9}", &"987654321"[..digits]).parse().expect("digits");
            assert_eq!(nanos(text.as_bytes()), Ok(whole), "{text}");
            for place in 20..20 + digits {
                let mut bad = text.clone().into_bytes();
                bad[place] = b':';
                assert_eq!(nanos(&bad), Err(TimeError), "{text} {place}");
            }
        }
        for bad in [
            "2025-06-07T00:00:00.Z",
            "2025-06-07T00:00:00,5Z",
            "2025-02-29T00:00:00Z",
            "",
            "2025-06-07T24:00:00Z",
            "2025-06-07T00:60:00Z",
            "2025-06-07T00:00:61Z",
            "2025-06-07T00:00:00",
            "2025-06-07T00:00:00+24:00",
            "2025-06-07T00:00:00+00:60",
            "2025-06-07T00:00:00*00:00",
            "2025-06-07T00:00:00Z ",
            "2025-06-07_00:00:00Z",
        ] {
            assert_eq!(nanos(bad.as_bytes()), Err(TimeError), "{bad}");
        }
    }

    /// Every RFC 3339 spelling of a local time at an offset: the text, and the same instant in the one spelling that every reader knows.
    fn spelled_time() -> impl Strategy<Value = (String, jiff::Timestamp)> {
        let parts = (0i64..4_000_000_000, 0u32..1_000_000_000, 0usize..=20, -23i64..=23, 0i64..60, 0usize..3, 0usize..3, any::<bool>());
        parts.prop_map(|(seconds, nanos, digits, hours, minutes, letter, zone, is_leap)| {
            let ahead = hours * 3600 + hours.signum() * minutes * 60;
            let local = jiff::Timestamp::from_second(seconds + ahead).expect("in range").to_string();
            let local = if is_leap { format!("{}60Z", &local[..17]) } else { local };
            let fraction: String = format!("{nanos:09}12345678901").chars().take(digits).collect();
            let point = if digits > 0 { "." } else { "" };
            let zone = match zone {
                0 if ahead == 0 => "Z".to_owned(),
                1 if ahead == 0 => "z".to_owned(),
                _ if ahead == 0 => "-00:00".to_owned(),
                _ => format!("{}{:02}:{:02}", if ahead < 0 { '-' } else { '+' }, hours.abs(), minutes),
            };
            let text = format!("{}{}{}{point}{fraction}{zone}", &local[..10], ["T", "t", " "][letter], &local[11..19]);
            // The oracle takes at most nine digits of a fraction.
            let nine: String = fraction.chars().take(9).collect();
            let oracle = format!("{}T{}{point}{nine}{zone}", &local[..10], &local[11..19]);
            (text, oracle.parse().unwrap_or_else(|error| panic!("{oracle}: {error}")))
        })
    }

    #[test]
    fn an_empty_cache_knows_no_minute() {
        assert_eq!(TimeCache::default().parse(&[&[0u8; 17][..], b"00Z"].concat()), Err(TimeError));
    }

    #[test]
    fn a_cached_minute_serves_only_the_very_same_minute() {
        let good = b"2025-06-07T12:34:56Z";
        for place in 0..MINUTE_BYTES {
            for byte in [b'0', b'1', b'9', b'x'] {
                let mut cache = TimeCache::default();
                assert_eq!(cache.parse(good), parse_rfc3339(good));
                let mut other = *good;
                other[place] = byte;
                assert_eq!(cache.parse(&other), parse_rfc3339(&other), "{place} {byte}");
            }
        }
    }

    #[test]
    fn year_one_is_a_time_but_no_stored_one() {
        let first = parse_rfc3339(b"0001-01-01T00:00:00Z").expect("parses");
        assert_eq!(first.seconds, -62_135_596_800);
        assert_eq!(first.to_unix(), None);
    }

    #[test]
    fn midnight_belongs_to_the_day_it_begins() {
        let day = UtcDay::parse("2025-06-07").expect("a day");
        assert_eq!(day.start().day(), day);
        assert_eq!(UnixNanos(day.start().0 - 1).day().next(), day);
        assert_eq!(UtcDay::parse("07.06.25"), Ok(day));
        assert_eq!(day.spelled(DateFormat::Dmy), "07.06.25");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn every_spelling_of_a_time_is_that_time((text, oracle) in spelled_time()) {
            let read = parse_rfc3339(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
            prop_assert_eq!(i128::from(read.seconds) * 1_000_000_000 + i128::from(read.nanos), oracle.as_nanosecond(), "{}", text);
            prop_assert_eq!(TimeCache::default().parse(text.as_bytes()), Ok(read), "{}", text);
        }
    }

    proptest! {
        #[test]
        fn days_agree_with_the_oracle(days in 0u32..100_000) {
            let oracle = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(i64::from(days))).expect("in range");
            prop_assert_eq!(UtcDay(days).to_string(), oracle.to_string());
            prop_assert_eq!(UtcDay::parse(&oracle.to_string()), Ok(UtcDay(days)));
        }

        #[test]
        fn times_agree_with_the_oracle(seconds in -62_135_596_800i64..4_294_967_295, nanos in 0u32..1_000_000_000) {
            let oracle = jiff::Timestamp::new(seconds, i32::try_from(nanos).expect("small")).expect("in range");
            // The oracle writes no fraction of zero and trims nothing else we would not read.
            let read = parse_rfc3339(oracle.to_string().as_bytes()).expect("parses");
            // A negative instant with a fraction is normalised differently by the oracle; hold the instants against each other.
            prop_assert_eq!(i128::from(read.seconds) * 1_000_000_000 + i128::from(read.nanos), oracle.as_nanosecond());
            if let Some(unix) = read.to_unix() {
                prop_assert_eq!(parse_rfc3339(unix.to_string().as_bytes()), Ok(read));
            }
        }

        #[test]
        fn a_cached_minute_changes_nothing(
            texts in proptest::collection::vec("2025-0[67]-0[0-9]T1[0-2]:0[0-9]:[0-9]{2}(\\.[0-9]{0,10})?Z?|[0-9TZ:.\0-]{0,30}", 1..30)
        ) {
            let mut cache = TimeCache::default();
            for text in texts.iter().flat_map(|text| [text, text]) {
                prop_assert_eq!(cache.parse(text.as_bytes()), parse_rfc3339(text.as_bytes()), "{}", text);
            }
        }
    }
}
