//! [`without_folder`]: messages for clients do not name the server's folder.

use std::fmt::Display;
use std::path::Path;

use crate::tape::{Tape, TapeError};

/// Leaves the folder out of the paths of a message. It is an absolute path, so that no other words of the message are met.
#[must_use]
pub(super) fn without_folder(dir: &Path, text: &str) -> String {
    text.replace(&format!("{}/", dir.display()), "").replace(&dir.display().to_string(), "the data directory")
}

/// Says why something of the data directory cannot be read, without its path. Where the directory itself has gone away, that is why, whatever was met first.
#[must_use]
pub(super) fn why_unreadable(dir: &Path, error: impl Display) -> String {
    let gone = Tape::open(dir).err().filter(|gone| matches!(gone, TapeError::NoTape { .. }));
    without_folder(dir, &gone.map_or_else(|| error.to_string(), |gone| gone.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_from_the_folder_on() {
        let hidden = |text: &str| without_folder(Path::new("/mnt/md/data"), text);
        assert_eq!(hidden("/mnt/md/data/BTC-USD/TRADES: gone. See data/x"), "BTC-USD/TRADES: gone. See data/x");
        assert_eq!(hidden("/mnt/md/data does not exist"), "the data directory does not exist");
    }

    #[test]
    fn a_directory_that_has_gone_away_is_why_nothing_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, away) = (folder.path().join("data"), folder.path().join("away"));
        crate::internals::sample::tape(&dir).unwrap();
        let told = || why_unreadable(&dir, format!("list {}: No such file or directory (os error 2)", dir.display()));
        assert_eq!(told(), "list the data directory: No such file or directory (os error 2)");
        std::fs::rename(&dir, &away).unwrap();
        assert_eq!(told(), "the data directory does not exist: give the directory that a capture writes to (--data-dir)");
    }
}
