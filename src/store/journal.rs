//! The JSON-lines files beside the tape: the journal of events, rejected messages, exact texts.
//!
//! 1. A line is an [`Event`] with its time, see [`super::event`].
//! 2. Space is allocated ahead with `fallocate(KEEP_SIZE)`, so that a full disk can still be journaled. The length of a file is always that of its lines.
//! 3. There is one file for each UTC day of writing. A line that a crash cut short is ended before the next one is written, and passed over when read.
//! 4. A capped file takes a fixed number of bytes a day. Lines beyond it are counted, and the count is written when the day ends or the file is closed.
//! 5. Before each line the file is compared with the one at its path. If somebody has removed, renamed or replaced it, a new one is begun; if somebody has
//!    cut it, the line goes to its end. [`JournalFile::take_news`] says so.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{At, StoreError};
use super::event::{Event, Line, LineError};
use super::filesystem;
use super::own_file::{self, FileId, Links};
use super::place::OWN_FOLDER;
use crate::time::{DateFormat, UnixNanos, UtcDay};

/// Name of the files that hold the journal's events.
pub const JOURNAL: &str = "journal";
/// Name of the files that hold [`Event::Reject`]: messages that could not be used.
pub(crate) const REJECTS: &str = "rejects";

/// Largest size of a day's rejects file, in bytes. Rejects beyond it are counted.
pub(crate) const REJECTS_CAP_BYTES: u64 = 64 << 20;
/// Name of the files that hold [`Event::Exact`]: decimal texts that no f64 gives back.
pub const EXACT_TEXTS: &str = "exact";

/// Name of the file in the folder `_coltape` that holds [`Event::Product`]: what the products are.
pub(crate) const PRODUCTS_FILE: &str = "products.jsonl";

/// Bytes allocated ahead of need.
const AHEAD: u64 = 1 << 20;

/// A JSON-lines file that is being written, one a day.
#[derive(Debug)]
pub struct JournalFile {
    dir: PathBuf,
    name: String,
    /// Most bytes a day.
    cap: u64,
    today: Option<Today>,
    news: Option<News>,
}

/// What somebody has done to a file that was being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The name of the file.
    pub(crate) file: String,
    /// What was done to it.
    pub(crate) what: &'static str,
}

#[derive(Debug)]
struct Today {
    date: UtcDay,
    path: PathBuf,
    file: File,
    id: FileId,
    length: u64,
    allocated: u64,
    excess: u64,
}

impl JournalFile {
    /// Begins files `{name}.{date}.jsonl` for the data directory `dir`, without a limit.
    #[must_use]
    pub fn new(dir: &Path, name: &str) -> Self {
        Self::capped(dir, name, u64::MAX)
    }

    /// Begins files that take at most `cap` bytes a day. Events beyond that are counted.
    #[must_use]
    pub(crate) fn capped(dir: &Path, name: &str, cap: u64) -> Self {
        Self { dir: dir.to_owned(), name: name.to_owned(), cap, today: None, news: None }
    }

    /// Appends an event that happened at `time` (wall clock) to the file of that day.
    ///
    /// # Errors
    /// Where the disk is full and the space allocated ahead is used up, or the system refuses the write.
    pub fn append(&mut self, time: UnixNanos, event: &Event) -> Result<(), StoreError> {
        self.append_line(time.day(), event.line(time))
    }

    /// Appends a line as it is to the file of a day.
    ///
    /// # Errors
    /// As [`JournalFile::append`].
    pub(crate) fn append_line(&mut self, date: UtcDay, mut line: String) -> Result<(), StoreError> {
        if self.today.as_ref().is_some_and(|today| today.date != date) {
            self.finish()?;
        }
        if let Some(today) = &mut self.today
            && let Some(what) = today.look()?
        {
            self.news = Some(News { file: today.file_name(), what });
            if what == REPLACED {
                self.today = None;
            }
        }
        let today = match &mut self.today {
            Some(today) => today,
            none => none.insert(Today::open(&self.dir, &self.name, date)?),
        };
        line.push('\n');
        if today.length + line.len() as u64 > self.cap {
            today.excess += 1;
            return Ok(());
        }
        today.write(line.as_bytes())
    }

    /// Gives what somebody has done to the file since the last call.
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// Gives how many events of the day the cap has kept out.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn excess(&self) -> u64 {
        self.today.as_ref().map_or(0, |today| today.excess)
    }

    /// Writes how many events the cap has kept out, if any, and closes the file.
    ///
    /// # Errors
    /// Where that line cannot be written.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        if let Some(today) = &self.today {
            // Gives back what was allocated ahead. Where that is refused it costs room and nothing else.
            let _ = today.file.set_len(today.length);
        }
        match self.today.take() {
            Some(mut today) if today.excess > 0 => {
                let mut line = Event::Capped { excess: today.excess }.line(UnixNanos(today.date.next().start().0 - 1));
                line.push('\n');
                today.write(line.as_bytes())
            }
            _ => Ok(()),
        }
    }
}

/// What was done to a file that another one, or none, lies in the place of.
const REPLACED: &str = "it was removed, renamed or replaced while it was being written, and was begun anew";
/// What was done to a file that is shorter than what was written to it.
const CUT: &str = "it was cut while it was being written";

impl Today {
    fn open(dir: &Path, name: &str, date: UtcDay) -> Result<Self, StoreError> {
        let (file, path) = own_file::open(dir, &format!("{name}.{date}.jsonl"), Links::Followed)?;
        let id = FileId::of_file(&file).at("look at", &path)?;
        let mut today = Self { date, path, file, id, length: 0, allocated: 0, excess: 0 };
        today.find_end()?;
        Ok(today)
    }

    fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Goes to the end of the file, and ends a line that was cut short.
    fn find_end(&mut self) -> Result<(), StoreError> {
        self.length = self.file.metadata().at("look at", &self.path)?.len();
        self.allocated = 0;
        if self.length > 0 {
            let mut last = [0];
            self.file.read_exact_at(&mut last, self.length - 1).at("read", &self.path)?;
            if last != *b"\n" {
                self.write(b"\n")?;
            }
        }
        Ok(())
    }

    /// Looks whether the file is as it was left. Tells what somebody has done to it.
    fn look(&mut self) -> Result<Option<&'static str>, StoreError> {
        let Ok(found) = std::fs::metadata(&self.path) else { return Ok(Some(REPLACED)) };
        if FileId::of(&found) != self.id {
            return Ok(Some(REPLACED));
        }
        let is_cut = found.len() < self.length;
        if found.len() != self.length {
            // Behind what somebody has added, too.
            self.find_end()?;
        }
        Ok(is_cut.then_some(CUT))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let end = self.length + line.len() as u64;
        if end > self.allocated {
            let ahead = (end + AHEAD).next_multiple_of(AHEAD);
            // A disk without room for all of this may still have room for the line: that is what the reserve is for.
            if filesystem::allocate_beside_reserve(&self.file, self.length, ahead, &self.path).is_ok() {
                self.allocated = ahead;
            }
        }
        if let Err(error) = self.file.write_all_at(line, self.length) {
            // Without this half of the line would stay, and a shorter one be written over it.
            let _ = self.file.set_len(self.length);
            return Err(error).at("write", &self.path);
        }
        self.length = end;
        Ok(())
    }
}

/// Gives the events of the days `from` to `to` (both included) in order, as [`read`] gives the lines.
pub(crate) fn events(dir: &Path, name: &str, from: UtcDay, to: UtcDay) -> impl Iterator<Item = Result<Line, LineError>> {
    read(dir, name, from, to).map(Line::parse)
}

/// Gives the lines of a file in the folder `_coltape` that is not one a day; nothing where there is none.
pub(crate) fn lines_of(dir: &Path, file: &str) -> Vec<String> {
    let text = own_file::read_plain(&dir.join(OWN_FOLDER).join(file)).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter(|line| line.starts_with('{') && line.ends_with('}')).map(str::to_owned).collect()
}

/// Appends lines to such a file. A line there that a crash cut short is ended first.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn append_lines(dir: &Path, file: &str, lines: &[String]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let path = dir.join(OWN_FOLDER).join(file);
    let mut out = OpenOptions::new().read(true).append(true).create(true).open(&path).at("open", &path)?;
    let mut text = String::new();
    let mut last = [b'\n'];
    if out.seek(SeekFrom::End(0)).at("read", &path)? > 0 {
        out.seek(SeekFrom::End(-1)).at("read", &path)?;
        out.read_exact(&mut last).at("read", &path)?;
    }
    if last != *b"\n" {
        text.push('\n');
    }
    lines.iter().for_each(|line| {
        text.push_str(line);
        text.push('\n');
    });
    out.write_all(text.as_bytes()).at("write", &path)
}

/// Lists the days for which there is such a file, in order.
pub(crate) fn dates(dir: &Path, name: &str) -> Vec<UtcDay> {
    files(dir, name).into_iter().map(|(date, _)| date).collect()
}

/// Gives the lines of the days `from` to `to` (both included) in order. Passes over lines that a crash cut short, and over files that cannot be read.
pub fn read(dir: &Path, name: &str, from: UtcDay, to: UtcDay) -> impl Iterator<Item = String> {
    let files = files(dir, name).into_iter().filter(move |(date, _)| (from..=to).contains(date));
    let lines = files
        .filter_map(|(_, path)| own_file::open_plain(&path).ok())
        .flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok));
    lines.filter_map(|line| String::from_utf8(line).ok()).filter(|line| line.starts_with('{') && line.ends_with('}'))
}

/// Lists the files of a name in order of their days.
#[must_use]
pub(crate) fn files(dir: &Path, name: &str) -> Vec<(UtcDay, PathBuf)> {
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(dir.join(OWN_FOLDER)).into_iter().flatten().flatten();
    let mut files: Vec<(UtcDay, PathBuf)> = entries
        .filter_map(|entry| {
            let (name, path) = (entry.file_name(), entry.path());
            let spelled = name.to_str()?.strip_prefix(&prefix)?.strip_suffix(".jsonl")?;
            let date = UtcDay::parse(spelled).ok()?;
            (date.spelled(DateFormat::Iso) == spelled).then_some((date, path))
        })
        .collect();
    files.sort();
    files
}

/// Takes away the beginning of a line at the end of a day's file, if `is_copied` tells that the whole line will be written again.
///
/// # Errors
/// Where the file cannot be read or cut.
pub(crate) fn drop_torn_copy(dir: &Path, name: &str, date: UtcDay, is_copied: impl FnOnce(&[u8]) -> bool) -> Result<(), StoreError> {
    let path = dir.join(OWN_FOLDER).join(format!("{name}.{date}.jsonl"));
    let Ok(bytes) = own_file::read_plain(&path) else { return Ok(()) };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = bytes.get(whole..).unwrap_or_default();
    if torn.is_empty() || !is_copied(torn) {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(&path).at("open", &path)?;
    file.set_len(whole as u64).at("cut", &path)
}

/// The longest line that is read. None that is written comes near it.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Shows every line of a file to `take` as it lies there, without its line feed and whatever it is; the last one also where it has none.
///
/// # Errors
/// Where the file cannot be read, or is no file of lines.
pub(crate) fn read_raw(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), StoreError> {
    let mut reader = BufReader::with_capacity(1 << 16, own_file::open_plain(path).at("open", path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).at("read", path)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read as u64 == MAX_LINE_BYTES {
            return Err(StoreError::damaged(path, "it is no file of lines"));
        }
        take(&line);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ids::IdRange;
    use crate::product::ProductId;

    fn at(day: u32, nanos: u64) -> UnixNanos {
        UnixNanos(UtcDay(day).start().0 + nanos)
    }

    fn gap(id: u64) -> Event {
        let product = ProductId::new("BTC-USD").expect("a product");
        Event::GapLeft { product, ids: IdRange::one(id) }
    }

    #[test]
    fn lines_go_to_the_day_they_happened_on_and_come_back_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut journal = JournalFile::new(dir.path(), JOURNAL);
        for (day, id) in [(100, 1), (100, 2), (101, 3)] {
            journal.append(at(day, 5), &gap(id)).expect("written");
        }
        let lines: Vec<String> = read(dir.path(), JOURNAL, UtcDay(0), UtcDay(200)).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], r#"{"time":"1970-04-11T00:00:00.000000005Z","event":"gap_left","product":"BTC-USD","from_id":2,"to_id":2}"#);
        let events: Vec<Line> = events(dir.path(), JOURNAL, UtcDay(0), UtcDay(200)).map(|line| line.expect("a line")).collect();
        assert_eq!(events[2], Line::of(at(101, 5), gap(3)));
        assert_eq!(read(dir.path(), JOURNAL, UtcDay(101), UtcDay(101)).count(), 1);
        assert_eq!(read(dir.path(), "other", UtcDay(0), UtcDay(200)).count(), 0);
    }

    #[test]
    fn a_line_cut_short_is_passed_over_and_the_next_one_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(OWN_FOLDER).join("journal.1970-04-11.jsonl");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, b"{\"time\":\"x\"}\n{\"time\":\"cut").expect("written");
        JournalFile::new(dir.path(), JOURNAL).append(at(100, 0), &gap(7)).expect("written");
        let lines: Vec<String> = read(dir.path(), JOURNAL, UtcDay(100), UtcDay(100)).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("gap_left"));
    }

    /// What somebody may do to a file that is being written, and whether what was in it is gone then.
    type Deed = (&'static str, fn(&Path, &Path), bool);

    const DEEDS: [Deed; 12] = [
        ("removed", |path, _| std::fs::remove_file(path).expect("removed"), true),
        ("renamed", |path, other| std::fs::rename(path, other).expect("renamed"), true),
        ("emptied", |path, _| std::fs::write(path, "").expect("emptied"), true),
        ("cut inside a line", |path, _| File::options().write(true).open(path).and_then(|file| file.set_len(7)).expect("cut"), true),
        ("added to", |path, _| std::fs::write(path, std::fs::read_to_string(path).expect("read") + "# half a line").expect("added"), false),
        (
            "replaced by a copy",
            |path, other| std::fs::copy(path, other).and_then(|_| std::fs::rename(other, path)).expect("replaced"),
            false,
        ),
        ("moved and linked", |path, other| std::fs::rename(path, other).and_then(|()| symlink(other, path)).expect("linked"), false),
        ("linked to nothing", |path, _| std::fs::remove_file(path).and_then(|()| symlink("/nowhere/at/all", path)).expect("linked"), true),
        ("linked to /dev/null", |path, _| std::fs::remove_file(path).and_then(|()| symlink("/dev/null", path)).expect("linked"), true),
        ("made a folder", |path, _| std::fs::remove_file(path).and_then(|()| std::fs::create_dir(path)).expect("made"), true),
        ("removed with its folder", |path, _| std::fs::remove_dir_all(path.parent().expect("a folder")).expect("removed"), true),
        (
            "moved with its folder, a file in its place",
            |path, other| {
                let own = path.parent().expect("a folder");
                std::fs::rename(own, other.with_extension("folder")).and_then(|()| std::fs::write(own, "")).expect("replaced");
            },
            true,
        ),
    ];

    #[test]
    fn whatever_is_done_to_a_file_the_next_line_is_in_it_and_the_deed_is_said() {
        for (what, deed, is_gone) in DEEDS {
            let dir = tempfile::tempdir().expect("a folder");
            let mut journal = JournalFile::new(dir.path(), JOURNAL);
            journal.append(at(100, 0), &gap(1)).expect("written");
            deed(&dir.path().join(OWN_FOLDER).join("journal.1970-04-11.jsonl"), &dir.path().join("other"));
            for id in 2..=3 {
                journal.append(at(100, 0), &gap(id)).expect(what);
            }
            let events: Vec<Event> = events(dir.path(), JOURNAL, UtcDay(0), UtcDay(200)).filter_map(|line| line.ok()?.event).collect();
            let first = if is_gone { 2 } else { 1 };
            assert_eq!(events, (first..=3).map(gap).collect::<Vec<_>>(), "{what}");
            let is_said = journal.take_news().is_some();
            assert_eq!(is_said, !["added to", "moved and linked"].contains(&what), "{what}");
        }
    }

    #[test]
    fn events_beyond_the_cap_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut rejects = JournalFile::capped(dir.path(), REJECTS, 200);
        let reject = Event::Reject { reason: "not_json".into(), raw: "{".to_owned() };
        for _ in 0..10 {
            rejects.append(at(100, 0), &reject).expect("written");
        }
        let kept = read(dir.path(), REJECTS, UtcDay(100), UtcDay(100)).count() as u64;
        assert!(kept > 0 && kept + rejects.excess() == 10);
        let excess = rejects.excess();
        rejects.append(at(101, 0), &reject).expect("written");
        assert_eq!(rejects.excess(), 0);
        let last = read(dir.path(), REJECTS, UtcDay(100), UtcDay(100)).last().expect("a line");
        assert!(last.contains(&format!("\"excess\":{excess}")), "{last}");
    }
}
