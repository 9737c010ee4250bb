//! The file `status.json`: replaced as a whole, and read with a bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::report::StatusReport;
use crate::store::OWN_FOLDER;
use crate::time::UnixNanos;

/// The file's name in `_coltape`.
pub(crate) const NAME: &str = "status.json";

/// Most bytes that are read: twenty thousand products need fewer.
const MAX_BYTES: u64 = 8 << 20;

/// Replaces the file, as a test does.
#[cfg(test)]
pub(super) fn replace(dir: &Path, report: &StatusReport) -> Result<(), crate::store::StoreError> {
    crate::store::own_file::replace(dir, NAME, report.json().as_bytes())
}

/// What the file holds.
pub(super) enum Found {
    /// There is no file.
    Nothing,
    /// It cannot be read as a report, and why.
    Unusable(String),
    /// A report, and when the file was changed last.
    Report(Box<StatusReport>, Option<UnixNanos>),
}

/// Reads the file.
pub(super) fn read(dir: &Path) -> Found {
    let path = dir.join(OWN_FOLDER).join(NAME);
    match read_bounded(&path) {
        Ok((text, changed)) => match StatusReport::parse(&text) {
            Some(report) => Found::Report(Box::new(report), changed),
            None => Found::Unusable("it holds something else".to_owned()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unusable(error.to_string()),
    }
}

fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, Option<UnixNanos>)> {
    // Opening a pipe would wait.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let file = File::open(path)?;
    let changed = file.metadata()?.modified().ok().and_then(UnixNanos::of_file);
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    Ok((text, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole_and_whatever_lies_in_its_way_is_kept_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(matches!(read(dir.path()), Found::Nothing));
        let report = StatusReport { pid: 7, ..StatusReport::default() };
        replace(dir.path(), &report).expect("written");
        let path = dir.path().join(OWN_FOLDER).join(NAME);
        let old = File::open(&path).expect("opened");
        replace(dir.path(), &StatusReport { pid: 8, ..report.clone() }).expect("written again");
        let mut text = Vec::new();
        { old }.read_to_end(&mut text).expect("read");
        assert_eq!(StatusReport::parse(&text).map(|report| report.pid), Some(7), "whoever has it open keeps a whole one");
        assert!(matches!(read(dir.path()), Found::Report(report, Some(_)) if report.pid == 8));
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        assert!(matches!(read(dir.path()), Found::Unusable(_)));
        replace(dir.path(), &report).expect("written");
        assert!(matches!(read(dir.path()), Found::Report(..)));
        // Nothing is written through a link.
        let target = dir.path().join("target");
        std::fs::write(&target, "kept").expect("written");
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&target, &path).expect("linked");
        replace(dir.path(), &report).expect("written");
        assert_eq!(std::fs::read_to_string(&target).expect("read"), "kept");
        std::fs::write(&path, vec![b' '; 9 << 20]).expect("written");
        assert!(matches!(read(dir.path()), Found::Unusable(why) if why.contains("too large")));
    }
}
