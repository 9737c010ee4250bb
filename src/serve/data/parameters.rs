//! [`Parameters`]: what a request asks for, checked. Each refusal names the parameter and the values that are allowed.

use std::str::FromStr;

use super::refusal::{Refusal, of_tape};
use crate::export::stream::StreamFormat;
use crate::product::ProductId;
use crate::serve::http::request::Request;
use crate::serve::server::Server;
use crate::tape::Tape;
use crate::time::{Clock, Timestamp, UnixNanos, UtcDay, parse_rfc3339};
use crate::time_range::TimeRange;

/// How a time is written.
const TIMES: &str =
    "write a date (2025-06-07), a time (2025-06-07T12:34:56.789Z), nanoseconds since 1970, now, or how long ago: 7d, 36h, 90m, 30s";

/// The parameters of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'r> {
    request: &'r Request,
}

impl<'r> Parameters<'r> {
    /// Checks that a request has no other parameters than these, and each of them once.
    ///
    /// # Errors
    /// Where it has.
    pub(super) fn of(request: &'r Request, known: &[&str]) -> Result<Self, Refusal> {
        for (at, (name, value)) in request.parameters().iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "there is none here".to_owned() } else { format!("there are {}", known.join(", ")) };
                return Err(Refusal::new(400, format!("there is no parameter {}", crate::escape::Escaped(name)), known));
            }
            if request.parameters().iter().take(at).any(|(other, _)| other == name) {
                return Err(Refusal::parameter(name, value, format!("give {name} once")));
            }
        }
        Ok(Self { request })
    }

    /// Gives the value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&'r str> {
        self.request.parameter(name)
    }

    /// Gives the product that is asked for.
    ///
    /// # Errors
    /// Where there is none, or the tape does not have it.
    pub(super) fn product(&self, server: &Server, tape: &Tape) -> Result<ProductId, Refusal> {
        let known = tape.products().map_err(|error| of_tape(server, &error))?;
        let Some(name) = self.get("product") else {
            return Err(Refusal::product("", &known).reworded(400, "product is missing"));
        };
        known.iter().find(|product| product.as_str() == name).cloned().ok_or_else(|| Refusal::product(name, &known))
    }

    /// Gives the range of event times that is asked for.
    ///
    /// # Errors
    /// Where a time is none, or the range is empty.
    pub(super) fn range(&self) -> Result<TimeRange, Refusal> {
        let now = Clock::System.now();
        let time = |name: &str| self.get(name).map(|text| time(name, text, now)).transpose();
        let range = TimeRange { from: time("from")?, to: time("to")? };
        if range.is_empty() {
            let value = self.get("to").unwrap_or_default();
            return Err(Refusal::parameter("to", value, "to is the time to stop before: it must lie after from"));
        }
        Ok(range)
    }

    /// Gives a whole number.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.parsed(name, "a whole number from 0")
    }

    /// Gives a number above 0.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let number: Option<f64> = self.parsed(name, "a number above 0")?;
        match number.filter(|number| !(number.is_finite() && *number > 0.0)) {
            Some(_) => Err(Refusal::parameter(name, self.get(name).unwrap_or_default(), format!("{name} is a number above 0"))),
            None => Ok(number),
        }
    }

    fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        // The standard library reads a sign and an exponent too.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match text.parse() {
            Ok(value) if is_plain => Ok(Some(value)),
            _ => Err(Refusal::parameter(name, text, format!("{name} is {what}"))),
        }
    }

    /// Gives one of a few values.
    ///
    /// # Errors
    /// Where it is none of them.
    pub(super) fn one_of<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = values.iter().find(|(value, _)| *value == text).map(|(_, value)| *value);
        let all: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
        found.map(Some).ok_or_else(|| Refusal::parameter(name, text, format!("{name} is one of {}", all.join(", "))))
    }

    /// Gives the format that is asked for: by name, else by the `Accept` of the request, else JSON Lines.
    ///
    /// # Errors
    /// Where there is no such format, or this build does not have it.
    pub(super) fn format(&self) -> Result<StreamFormat, Refusal> {
        let built: Vec<(&str, StreamFormat)> =
            StreamFormat::ALL.into_iter().filter(|format| format.is_built()).map(|format| (format.name(), format)).collect();
        match self.one_of("format", &built)? {
            Some(format) => Ok(format),
            None => Ok(accepted(self.request.header_list("accept")).unwrap_or(StreamFormat::Jsonl)),
        }
    }
}

/// Finds the format that a list of media types wants most. `*/*` wants none.
fn accepted<'a>(list: impl Iterator<Item = &'a str>) -> Option<StreamFormat> {
    let mut best: Option<(StreamFormat, f32)> = None;
    for element in list {
        let mut parts = element.split(';').map(str::trim);
        let Some(format) = StreamFormat::of_media_type(&parts.next().unwrap_or_default().to_ascii_lowercase()) else { continue };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality: f32 = quality.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        if format.is_built() && quality > 0.0 && best.is_none_or(|(_, found)| quality > found) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format)
}

/// Reads a time.
///
/// # Errors
/// Where the text is none, or lies outside of what the files can hold.
fn time(name: &str, text: &str, now: UnixNanos) -> Result<UnixNanos, Refusal> {
    let refused = || Refusal::parameter(name, text, TIMES);
    if text == "now" {
        return Ok(now);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(UnixNanos).map_err(|_| refused());
    }
    if let Ok(day) = UtcDay::parse(text) {
        return Ok(day.start());
    }
    if let Some(ago) = ago(text) {
        return now.0.checked_sub(ago).map(UnixNanos).ok_or_else(refused);
    }
    // The plus of an offset is a space where somebody has not encoded it.
    let text = text.replace(' ', "+");
    parse_rfc3339(text.as_bytes()).ok().and_then(Timestamp::to_unix).ok_or_else(refused)
}

/// Reads how long ago something was, in nanoseconds.
fn ago(text: &str) -> Option<u64> {
    let at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(crate::time::NANOS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_spelling_and_a_number_is_nanoseconds() {
        let now = UnixNanos(1_749_300_000_000_000_000);
        let read = |text: &str| time("from", text, now).map(|time| time.0).ok();
        let day = 1_749_254_400_000_000_000;
        for (text, want) in [
            ("2025-06-07", Some(day)),
            ("2025-06-07T00:00:00Z", Some(day)),
            ("2025-06-07T00:00:00.000000001Z", Some(day + 1)),
            ("2025-06-07T02:00:00+02:00", Some(day)),
            ("2025-06-07T02:00:00 02:00", Some(day)),
            ("1749254400000000000", Some(day)),
            ("0", Some(0)),
            ("now", Some(now.0)),
            ("1h", Some(now.0 - 3_600_000_000_000)),
            ("1749254400", Some(1_749_254_400)),
            ("", None),
            ("yesterday", None),
            ("-1", None),
            ("99999999999999999999999", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        for (list, want) in [
            ("*/*", None),
            ("text/html, */*;q=0.8", None),
            ("application/json", Some(StreamFormat::Json)),
            ("text/csv;q=0.5, application/json", Some(StreamFormat::Json)),
            ("TEXT/CSV; charset=utf-8", Some(StreamFormat::Csv)),
            ("application/json;q=0, text/csv;q=0.1", Some(StreamFormat::Csv)),
            ("application/x-ndjson", Some(StreamFormat::Jsonl)),
        ] {
            assert_eq!(accepted(list.split(',').map(str::trim)), want, "{list}");
        }
    }
}
