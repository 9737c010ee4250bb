//! [`Field`]: how the fields of an event are written into a JSON line and read back.
//!
//! 1. The type of a field decides how it is spelled. Some types are several fields of a line: a dataset-day, a range of ids, what an opening found.
//! 2. What is `None` is left out of the line. Only an `Option` may be missing when a line is read.
//! 3. Control characters are escaped, so that an event is one line whatever its texts hold.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::place::DayKey;
use crate::store::recovery::{Opening, Trusted};
use crate::time::{Timestamp, UnixNanos, UtcDay, parse_rfc3339};

/// A line being written.
pub(super) struct LineText(String);

impl LineText {
    /// Begins with the time and the name of the event.
    pub(super) fn new(time: UnixNanos, event: &str) -> Self {
        let mut line = Self(format!("{{\"time\":\"{time}\""));
        line.text("event", event);
        line
    }

    /// Gives the whole line.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(&mut self.0, value);
    }

    /// Adds a number or a truth value.
    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{value}");
    }

    fn key(&mut self, key: &str) {
        self.0.push(',');
        quote(&mut self.0, key);
        self.0.push(':');
    }
}

/// Adds a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The fields of a line being read.
pub(super) struct Fields<'a>(BorrowedValue<'a>);

impl<'a> Fields<'a> {
    /// Reads a line; nothing where it is not a JSON object.
    pub(super) fn parse(line: &'a mut [u8]) -> Option<Self> {
        simd_json::to_borrowed_value(line).ok().filter(|value| value.is_object()).map(Self)
    }

    /// Gives a text; nothing where there is none of that key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get_str(key)
    }

    /// Gives the whole numbers whose keys end so.
    pub(super) fn numbers_ending_with(&self, end: &str) -> impl Iterator<Item = u64> {
        let fields = self.0.as_object().into_iter().flat_map(|object| object.iter());
        fields.filter(move |(key, _)| key.ends_with(end)).filter_map(|(_, value)| value.as_u64())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0.get_u64(key)
    }
}

/// The key of a field that a line does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing(pub(super) &'static str);

/// A value that an event may have.
pub(super) trait Field: Sized {
    /// Adds the value to a line.
    fn write(&self, key: &'static str, line: &mut LineText);
    /// Reads the value of a line.
    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing>;
    /// Gives the product that the value names.
    fn product(&self) -> Option<&ProductId> {
        None
    }
}

impl Field for u64 {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.plain(key, self);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.number(key).ok_or(Missing(key))
    }
}

impl Field for bool {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.plain(key, self);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.0.get_bool(key).ok_or(Missing(key))
    }
}

impl Field for String {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, self);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.text(key).map(str::to_owned).ok_or(Missing(key))
    }
}

impl Field for Cow<'static, str> {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, self);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        String::read(key, fields).map(Self::Owned)
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, key: &'static str, line: &mut LineText) {
        if let Some(value) = self {
            value.write(key, line);
        }
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        Ok(T::read(key, fields).ok())
    }

    fn product(&self) -> Option<&ProductId> {
        self.as_ref().and_then(T::product)
    }
}

impl Field for ProductId {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, self.as_str());
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.text(key).and_then(|name| Self::new(name).ok()).ok_or(Missing(key))
    }

    fn product(&self) -> Option<&ProductId> {
        Some(self)
    }
}

impl Field for Dataset {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, self.name());
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.text(key).and_then(Self::by_name).ok_or(Missing(key))
    }
}

impl Field for UtcDay {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, &self.to_string());
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        fields.text(key).and_then(|date| Self::parse(date).ok()).ok_or(Missing(key))
    }
}

impl Field for UnixNanos {
    fn write(&self, key: &'static str, line: &mut LineText) {
        line.text(key, &self.to_string());
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        let time = fields.text(key).and_then(|time| parse_rfc3339(time.as_bytes()).ok());
        time.and_then(Timestamp::to_unix).ok_or(Missing(key))
    }
}

/// `from_id` and `to_id`, both included.
impl Field for IdRange {
    fn write(&self, _key: &'static str, line: &mut LineText) {
        line.plain("from_id", self.first());
        line.plain("to_id", self.last());
    }

    fn read(_key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        Self::new(u64::read("from_id", fields)?, u64::read("to_id", fields)?).ok_or(Missing("to_id"))
    }
}

/// `product`, `dataset` and `date`.
impl Field for DayKey {
    fn write(&self, _key: &'static str, line: &mut LineText) {
        self.product.write("product", line);
        self.dataset.write("dataset", line);
        self.date.write("date", line);
    }

    fn read(_key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        let (product, dataset) = (Field::read("product", fields)?, Field::read("dataset", fields)?);
        Ok(Self { product, dataset, date: Field::read("date", fields)? })
    }

    fn product(&self) -> Option<&ProductId> {
        Some(&self.product)
    }
}

/// `how`, and by that `records`, `given_up` and `believed`, or `why` and `moved_to`.
impl Field for Opening {
    fn write(&self, _key: &'static str, line: &mut LineText) {
        match self {
            Self::Created => line.text("how", "created"),
            Self::Reopened { records } => {
                line.text("how", "reopened");
                line.plain("records", records);
            }
            Self::Sealed { records } => {
                line.text("how", "for late records");
                line.plain("records", records);
            }
            Self::Continued { records, given_up, trusted } => {
                line.text("how", "continued");
                line.plain("records", records);
                line.plain("given_up", given_up);
                line.text("believed", if *trusted == Trusted::Committed { "committed" } else { "durable" });
            }
            Self::Quarantined { why, moved_to } => {
                line.text("how", "quarantined");
                line.text("why", why);
                line.text("moved_to", &moved_to.display().to_string());
            }
        }
    }

    fn read(_key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        let records = || u64::read("records", fields);
        Ok(match fields.text("how") {
            Some("created") => Self::Created,
            Some("reopened") => Self::Reopened { records: records()? },
            Some("for late records") => Self::Sealed { records: records()? },
            Some("continued") => {
                let trusted = match fields.text("believed") {
                    Some("committed") => Trusted::Committed,
                    Some("durable") => Trusted::Durable,
                    _ => return Err(Missing("believed")),
                };
                Self::Continued { records: records()?, given_up: u64::read("given_up", fields)?, trusted }
            }
            Some("quarantined") => {
                Self::Quarantined { why: String::read("why", fields)?, moved_to: String::read("moved_to", fields).map(PathBuf::from)? }
            }
            _ => return Err(Missing("how")),
        })
    }
}

/// Whether what a capture received is the sum of what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumCheck {
    /// It is.
    Hold,
    /// It is not: something was lost or invented.
    DoNotHold,
}

impl Field for SumCheck {
    fn write(&self, key: &'static str, line: &mut LineText) {
        let words = match self {
            Self::Hold => "hold",
            Self::DoNotHold => "do not hold",
        };
        line.text(key, words);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        // Whatever else stands there does not say that they hold.
        fields.text(key).map(|words| if words == "hold" { Self::Hold } else { Self::DoNotHold }).ok_or(Missing(key))
    }
}

/// Where trades came from that fill a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapFiller {
    /// Another connection, or the same one later.
    Line,
    /// REST.
    Rest,
    /// Another machine's tape.
    Tape,
}

impl Field for GapFiller {
    fn write(&self, key: &'static str, line: &mut LineText) {
        let name = match self {
            Self::Line => "line",
            Self::Rest => "rest",
            Self::Tape => "tape",
        };
        line.text(key, name);
    }

    fn read(key: &'static str, fields: &Fields<'_>) -> Result<Self, Missing> {
        match fields.text(key) {
            Some("line") => Ok(Self::Line),
            Some("rest") => Ok(Self::Rest),
            Some("tape") => Ok(Self::Tape),
            _ => Err(Missing(key)),
        }
    }
}
