//! JSON-lines files beside the tape: the journal of events, rejected messages, exact texts, the products.
//!
//! 1. One line an event: `time` (RFC 3339, UTC) first, `event` second, then the fields in the order they were given.
//! 2. Space is taken ahead with `fallocate(KEEP_SIZE)`, so that a full disk can still be written down; the length is always that of the lines.
//! 3. One file a UTC day of writing. A line that a crash cut short is ended before the next one is written, and passed over when read.
//! 4. A capped file takes so many bytes a day; what is beyond is counted, and the count written when the day ends or the file is closed.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::{At, StoreError};
use super::filesystem;
use super::place::OWN_FOLDER;
use crate::product::ProductId;
use crate::time::{DateFormat, UnixNanos, UtcDay};

/// One event on its way to a line.
///
/// ```
/// use coltape::store::journal::Event;
/// use coltape::time::UnixNanos;
/// let line = Event::new("gap_opened").number("after_id", 17).text("why", "a \"hole\"").line(UnixNanos(1_000_000_000));
/// assert_eq!(line, r#"{"time":"1970-01-01T00:00:01.000000000Z","event":"gap_opened","after_id":17,"why":"a \"hole\""}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// All after the time.
    rest: String,
}

impl Event {
    /// Begins an event of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { rest: String::new() }.text("event", name)
    }

    /// Adds the product.
    #[must_use]
    pub fn product(self, product: &ProductId) -> Self {
        self.text("product", product.as_str())
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Self {
        self.raw(name, value)
    }

    /// Adds a fraction; one that is not finite is null.
    #[must_use]
    pub fn fraction(self, name: &str, value: f64) -> Self {
        if value.is_finite() { self.raw(name, value) } else { self.raw(name, "null") }
    }

    /// Adds a truth value.
    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.raw(name, value)
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.rest, value);
        self
    }

    /// Adds a text of bytes from outside; what is no UTF-8 is shown as such.
    #[must_use]
    pub fn bytes(self, name: &str, value: &[u8]) -> Self {
        self.text(name, &String::from_utf8_lossy(value))
    }

    fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.name(name);
        // Writing to a string does not fail.
        let _ = write!(self.rest, "{value}");
        self
    }

    fn name(&mut self, name: &str) {
        self.rest.push(',');
        quote(&mut self.rest, name);
        self.rest.push(':');
    }

    /// Gives the line, without its end.
    #[must_use]
    pub fn line(&self, time: UnixNanos) -> String {
        format!("{{\"time\":\"{time}\"{}}}", self.rest)
    }
}

/// Puts a JSON string behind `out`.
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

/// Bytes of space taken ahead.
const AHEAD: u64 = 1 << 20;

/// A JSON-lines file that is being written, one a day.
#[derive(Debug)]
pub struct JournalFile {
    folder: PathBuf,
    name: String,
    /// Most bytes a day.
    cap: u64,
    today: Option<Today>,
}

#[derive(Debug)]
struct Today {
    date: UtcDay,
    path: PathBuf,
    file: File,
    length: u64,
    allocated: u64,
    excess: u64,
}

impl JournalFile {
    /// Writes `{name}.{date}.jsonl` in the data directory `dir`, without a bound.
    #[must_use]
    pub fn new(dir: &Path, name: &str) -> Self {
        Self::capped(dir, name, u64::MAX)
    }

    /// Writes at most `cap` bytes a day, and counts what is beyond.
    #[must_use]
    pub fn capped(dir: &Path, name: &str, cap: u64) -> Self {
        Self { folder: dir.join(OWN_FOLDER), name: name.to_owned(), cap, today: None }
    }

    /// Writes an event that happened at `time`, in the file of that day.
    ///
    /// # Errors
    /// Where the disk is full beyond the space taken ahead, or the system refuses.
    pub fn append(&mut self, time: UnixNanos, event: &Event) -> Result<(), StoreError> {
        if self.today.as_ref().is_some_and(|today| today.date != time.day()) {
            self.finish()?;
        }
        let today = match &mut self.today {
            Some(today) => today,
            none => none.insert(Today::open(&self.folder, &self.name, time.day())?),
        };
        let mut line = event.line(time);
        line.push('\n');
        if today.length + line.len() as u64 > self.cap {
            today.excess += 1;
            return Ok(());
        }
        today.write(line.as_bytes())
    }

    /// Counts the events of the day that the cap kept out.
    #[must_use]
    pub fn excess(&self) -> u64 {
        self.today.as_ref().map_or(0, |today| today.excess)
    }

    /// Writes down the excess and closes the file.
    ///
    /// # Errors
    /// Where the line cannot be written.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        match self.today.take() {
            Some(mut today) if today.excess > 0 => {
                let mut line = Event::new("capped").number("excess", today.excess).line(UnixNanos(today.date.next().start().0 - 1));
                line.push('\n');
                today.write(line.as_bytes())
            }
            _ => Ok(()),
        }
    }
}

impl Today {
    fn open(folder: &Path, name: &str, date: UtcDay) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).at("make", folder)?;
        let path = folder.join(format!("{name}.{date}.jsonl"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let length = file.metadata().at("look at", &path)?.len();
        let mut today = Self { date, path, file, length, allocated: 0, excess: 0 };
        if length > 0 {
            today.file.seek(SeekFrom::End(-1)).at("read", &today.path)?;
            let mut last = [0];
            today.file.read_exact(&mut last).at("read", &today.path)?;
            if last != *b"\n" {
                today.write(b"\n")?;
            }
        }
        Ok(today)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let end = self.length + line.len() as u64;
        if end > self.allocated {
            let ahead = (end + AHEAD).next_multiple_of(AHEAD);
            // A disk that has no room for the next stretch may still have some for the line: that is what the reserve is for.
            if filesystem::allocate_beside_reserve(&self.file, self.length, ahead, &self.path).is_ok() {
                self.allocated = ahead;
            }
        }
        self.file.seek(SeekFrom::Start(self.length)).at("write", &self.path)?;
        self.file.write_all(line).at("write", &self.path)?;
        self.length = end;
        Ok(())
    }
}

/// Goes through the lines of the days `from` to `to` (both included) in order. Lines that a crash cut short are passed over.
pub fn read(dir: &Path, name: &str, from: UtcDay, to: UtcDay) -> impl Iterator<Item = String> {
    let folder = dir.join(OWN_FOLDER);
    let prefix = format!("{name}.");
    let dates = std::fs::read_dir(&folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        UtcDay::parse(name.to_str()?.strip_prefix(&prefix)?.strip_suffix(".jsonl")?).ok()
    });
    let mut dates: Vec<UtcDay> = dates.filter(|date| (from..=to).contains(date)).collect();
    dates.sort();
    let files =
        dates.into_iter().filter_map(move |date| File::open(folder.join(format!("{prefix}{}.jsonl", date.spelled(DateFormat::Iso)))).ok());
    let lines = files.flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok));
    lines.filter_map(|line| String::from_utf8(line).ok()).filter(|line| line.starts_with('{') && line.ends_with('}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(day: u32, nanos: u64) -> UnixNanos {
        UnixNanos(UtcDay(day).start().0 + nanos)
    }

    #[test]
    fn lines_go_to_the_day_they_happened_on_and_come_back_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut journal = JournalFile::new(dir.path(), "journal");
        for (day, name) in [(100, "a"), (100, "b"), (101, "c")] {
            journal
                .append(at(day, 5), &Event::new(name).flag("yes", true).fraction("share", 0.5).fraction("none", f64::NAN))
                .expect("written");
        }
        let lines: Vec<String> = read(dir.path(), "journal", UtcDay(0), UtcDay(200)).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], r#"{"time":"1970-04-11T00:00:00.000000005Z","event":"b","yes":true,"share":0.5,"none":null}"#);
        assert_eq!(read(dir.path(), "journal", UtcDay(101), UtcDay(101)).count(), 1);
        assert_eq!(read(dir.path(), "other", UtcDay(0), UtcDay(200)).count(), 0);
    }

    #[test]
    fn a_line_cut_short_is_passed_over_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(OWN_FOLDER).join("journal.1970-04-11.jsonl");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, b"{\"time\":\"x\"}\n{\"time\":\"cut").expect("written");
        JournalFile::new(dir.path(), "journal").append(at(100, 0), &Event::new("next")).expect("written");
        let lines: Vec<String> = read(dir.path(), "journal", UtcDay(100), UtcDay(100)).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("next"));
    }

    #[test]
    fn what_is_beyond_the_cap_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut rejects = JournalFile::capped(dir.path(), "rejects", 200);
        for _ in 0..10 {
            rejects.append(at(100, 0), &Event::new("reject").bytes("raw", b"\xff{")).expect("written");
        }
        let kept = read(dir.path(), "rejects", UtcDay(100), UtcDay(100)).count() as u64;
        assert!(kept > 0 && kept + rejects.excess() == 10);
        let excess = rejects.excess();
        rejects.append(at(101, 0), &Event::new("reject")).expect("written");
        assert_eq!(rejects.excess(), 0);
        let last = read(dir.path(), "rejects", UtcDay(100), UtcDay(100)).last().expect("a line");
        assert!(last.contains(&format!("\"excess\":{excess}")), "{last}");
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_of_json(name in "[a-z]{1,8}", text: String) {
            let line = Event::new("e").text(&name, &text).line(UnixNanos(7));
            prop_assert!(!line.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if name != "event" && name != "time" {
                prop_assert_eq!(read[&name].as_str(), Some(text.as_str()));
            }
        }
    }
}
