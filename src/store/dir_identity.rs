//! [`DirIdentity`]: tells a data directory from a copy of it, and from another one at the same path.
//!
//! 1. A path stands for another directory once something is renamed, restored or mounted there, and on another box. The inode number and the time at which
//!    the directory was made stay with it when it is renamed. A copy has others.
//! 2. It is read from the file system each time. In a file of the directory a copy would have it, too.
//! 3. It does not tell a directory from the one in an image or a snapshot of its whole file system.

use std::fmt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};

/// Which directory it is, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirIdentity {
    inode: u64,
    /// When it was made: seconds since 1970, and nanoseconds.
    made: (i64, u32),
}

impl DirIdentity {
    /// Looks at a directory. `None` where it is not there, or its file system does not know when it was made.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let found = rustix::fs::statx(CWD, dir, AtFlags::empty(), wanted).ok()?;
        let made = (found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
        let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) && made != (0, 0);
        is_known.then_some(Self { inode: found.stx_ino, made })
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (inode, made) = text.split_once('@')?;
        let (seconds, nanos) = made.split_once('.')?;
        Some(Self { inode: inode.parse().ok()?, made: (seconds.parse().ok()?, nanos.parse().ok()?) })
    }
}

impl fmt::Display for DirIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}.{:09}", self.inode, self.made.0, self.made.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_identity_when_it_is_renamed_and_a_new_one_has_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        std::fs::create_dir(&old).expect("made");
        // A file system that does not say when a directory was made knows none.
        let Some(first) = DirIdentity::of(&old) else { return };
        std::fs::rename(&old, &new).expect("renamed");
        std::fs::create_dir(&old).expect("made");
        std::fs::write(new.join("file"), "written to").expect("written");
        assert_eq!(DirIdentity::of(&new), Some(first));
        assert_ne!(DirIdentity::of(&old), Some(first));
        assert_eq!(DirIdentity::of(&folder.path().join("none")), None);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is() {
        for written in [DirIdentity { inode: u64::MAX, made: (-1, 7) }, DirIdentity { inode: 0, made: (1_764_528_001, 999_999_999) }] {
            assert_eq!(DirIdentity::parse(&written.to_string()), Some(written));
        }
        for text in ["", "@", "1@2", "1@.", "x@1.2", "1@2.-3", "1.2"] {
            assert_eq!(DirIdentity::parse(text), None, "{text}");
        }
    }
}
