//! [`ReplacedFile`]: a JSON file of one's own that is replaced again and again, on a full disk too.
//!
//! 1. Where there is room, it is written under another name and renamed ([`own_file::replace`]): a reader that has the old file open keeps it.
//! 2. Two spare files beside it have their blocks already. Where the disk is full, a spare is written in place and put at the path. The file that was there
//!    becomes the spare, which is written at the replacement after the next: so long a reader has that opened it.
//! 3. A spare file keeps its length, so that it keeps its blocks. Spaces follow what is written; they mean nothing in JSON.
//! 4. It is not flushed. After a power cut it may be empty or gone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

use super::error::{At, StoreError};
use super::own_file::{self, Links, clear_way, make_own_folder};

/// Spare files. While the disk is full, one is at the path and one is written.
const SPARES: [&str; 2] = ["spare-1", "spare-2"];

/// Least and most length of a spare file, in bytes.
const LEAST_BYTES: usize = 64 << 10;
const MOST_BYTES: usize = 8 << 20;

/// A file in `_coltape` that is replaced again and again.
#[derive(Debug)]
pub(crate) struct ReplacedFile {
    name: &'static str,
    /// Whether a spare file is at the path.
    is_spare: bool,
}

impl ReplacedFile {
    /// Begins with what is there.
    #[must_use]
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, is_spare: false }
    }

    /// Replaces the file. A reader sees the old text or the new one.
    ///
    /// # Errors
    /// Where the system refuses, and where the disk is full and there is no spare file that is long enough. The old file stays.
    pub(crate) fn replace(&mut self, dir: &Path, json: &str) -> Result<(), StoreError> {
        let Err(error) = own_file::replace(dir, self.name, json.as_bytes()) else {
            self.is_spare = false;
            self.keep_spares(dir, json.len());
            return Ok(());
        };
        if !is_full(&error) {
            return Err(error);
        }
        // Why the spare file did not help does not matter: what has to be mended is the disk.
        self.put_spare(dir, json).map_err(|_| error)
    }

    /// Makes the spare files that are missing or too short. Where that fails, it is tried again after the next replacement.
    fn keep_spares(&self, dir: &Path, length: usize) {
        if length > MOST_BYTES {
            return;
        }
        for path in self.spares(dir) {
            let has_room = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() >= length as u64);
            // Twice as long, so that a report that grows a little does not have them made anew each time.
            let wanted = (length * 2).clamp(LEAST_BYTES, MOST_BYTES);
            if !has_room && make_spare(&path, wanted).is_err() {
                // A part of one takes room and is of no use.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    fn spares(&self, dir: &Path) -> [PathBuf; 2] {
        SPARES.map(|spare| dir.join(super::OWN_FOLDER).join(format!("{}.{spare}", self.name)))
    }

    /// Writes a spare file and puts it at the path.
    fn put_spare(&mut self, dir: &Path, json: &str) -> Result<(), StoreError> {
        let path = make_own_folder(dir)?.join(self.name);
        let [first, second] = self.spares(dir);
        let spare = if self.is_spare { &second } else { &first };
        overwrite(spare, json).at("write", spare)?;
        if self.is_spare {
            renameat_with(CWD, spare, CWD, &path, RenameFlags::EXCHANGE).at("exchange", spare)?;
        } else {
            // What is there has only the blocks that it needs.
            clear_way(&path, Links::InTheWay)?;
            std::fs::rename(spare, &path).at("rename", spare)?;
            self.is_spare = true;
        }
        Ok(())
    }
}

fn is_full(error: &StoreError) -> bool {
    match error {
        StoreError::NoSpace { .. } => true,
        StoreError::Limit { source, .. } => source.kind() == io::ErrorKind::QuotaExceeded,
        _ => false,
    }
}

/// Makes a spare file. Its blocks are written, so that writing them again needs nothing of the file system.
fn make_spare(path: &Path, bytes: usize) -> Result<(), StoreError> {
    clear_way(path, Links::InTheWay)?;
    std::fs::write(path, vec![b' '; bytes]).at("write", path)?;
    // Some file systems choose blocks when they write, not before.
    File::open(path).and_then(|file| file.sync_data()).at("flush", path)
}

/// Writes into a spare file, whose length stays.
fn overwrite(path: &Path, json: &str) -> io::Result<()> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().write(true).custom_flags(no_follow).open(path)?;
    let found = file.metadata()?;
    let json = json.trim_end().as_bytes();
    // One for the line feed.
    let rest = usize::try_from(found.len()).ok().filter(|_| found.is_file()).and_then(|length| length.checked_sub(json.len() + 1));
    let rest = rest.ok_or_else(|| io::Error::other("too short"))?;
    let mut text = Vec::with_capacity(json.len() + rest + 1);
    text.extend_from_slice(json);
    text.resize(json.len() + rest, b' ');
    text.push(b'\n');
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;

    use super::*;

    const NAME: &str = "status.json";

    fn read(dir: &Path) -> String {
        std::fs::read_to_string(dir.join(super::super::OWN_FOLDER).join(NAME)).expect("read")
    }

    #[test]
    fn a_spare_file_at_the_path_has_what_was_written_and_a_reader_keeps_its_own_until_the_replacement_after_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let mut file = ReplacedFile::new(NAME);
        file.replace(dir, "{\"at\":0}\n").expect("replaced");
        let mut opened: Option<(File, String)> = None;
        for at in 1..9 {
            let (before, json) = (read(dir), format!("{{\"at\":{at}}}\n"));
            file.put_spare(dir, &json).expect("put");
            assert_eq!(read(dir).trim_end(), json.trim_end(), "{at}");
            assert!(read(dir).len() == LEAST_BYTES && read(dir).ends_with(" \n"), "{at}");
            if let Some((mut old, text)) = opened.take() {
                let mut still = String::new();
                old.read_to_string(&mut still).expect("read");
                assert!(still == text && still == before, "one replacement later it is as it was: {at}");
            }
            let path = dir.join(super::super::OWN_FOLDER).join(NAME);
            opened = Some((File::open(path).expect("opened"), read(dir)));
        }
        file.replace(dir, "{\"at\":9}\n").expect("replaced");
        assert_eq!(read(dir), "{\"at\":9}\n");
        assert!(file.spares(dir).iter().all(|spare| spare.metadata().is_ok_and(|found| found.len() == LEAST_BYTES as u64)), "made again");
    }

    #[test]
    fn a_spare_file_that_is_too_short_gone_or_a_link_is_not_written_and_made_anew_where_there_is_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, mut file) = (folder.path(), ReplacedFile::new(NAME));
        file.replace(dir, "{}\n").expect("replaced");
        let [first, _] = file.spares(dir);
        let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(LEAST_BYTES));
        assert!(file.put_spare(dir, &long).is_err());
        assert_eq!(read(dir), "{}\n", "the old one stays");
        file.replace(dir, &long).expect("replaced");
        file.put_spare(dir, &long).expect("long enough now");
        file.replace(dir, "{}\n").expect("replaced");
        let target = dir.join("target");
        std::fs::write(&target, vec![b'k'; 2 * LEAST_BYTES]).expect("written");
        std::fs::remove_file(&first).expect("removed");
        std::os::unix::fs::symlink(&target, &first).expect("linked");
        assert!(file.put_spare(dir, "{}\n").is_err());
        file.replace(dir, "{}\n").expect("replaced");
        file.put_spare(dir, "{\"a\":1}\n").expect("a file again");
        assert!(std::fs::read(&target).expect("read").iter().all(|byte| *byte == b'k'), "nothing is written through a link");
    }

    #[test]
    fn on_a_full_disk_it_is_replaced_again_and_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            let _ = writeln!(io::stderr(), "skipped: nothing can be mounted here");
            return;
        }
        let (dir, mut file) = (folder.path(), ReplacedFile::new(NAME));
        let json = |at: usize| format!("{{\"at\":{at},\"text\":\"{}\"}}\n", "x".repeat(5_000 * at.min(10)));
        file.replace(dir, &json(0)).expect("replaced");
        // To the last page.
        let filled = std::fs::write(dir.join("ballast"), vec![0; 2 << 20]);
        let mut is_whole = filled.is_err();
        for at in 1..30 {
            is_whole &= file.replace(dir, &json(at)).is_ok() && read(dir).trim_end() == json(at).trim_end();
        }
        let is_longer_refused = matches!(file.replace(dir, &"x".repeat(LEAST_BYTES + 1)), Err(StoreError::NoSpace { .. }));
        let kept = read(dir);
        let _ = std::fs::remove_file(dir.join("ballast"));
        let is_usual_again = file.replace(dir, "{}\n").is_ok() && read(dir) == "{}\n";
        let unmounted = Command::new("umount").arg("-l").arg(folder.path()).status();
        assert!(is_whole && unmounted.is_ok_and(|done| done.success()));
        assert!(is_longer_refused && kept.trim_end() == json(29).trim_end(), "what does not fit changes nothing");
        assert!(is_usual_again);
    }
}
