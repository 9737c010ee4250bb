//! Space on a disk: how much is free, and blocks taken ahead of need.
//!
//! 1. Blocks are taken with `fallocate(KEEP_SIZE)`: a store into a block that was never allocated on a full disk is SIGBUS, not an error.
//! 2. The last blocks are left alone ([`Space::reserve`]): file systems need some of their own to turn allocated blocks into written ones.
//! 3. Errors are the system's own; `filesystem.rs` and `error.rs` say which path they are about.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FallocateFlags;

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free for this program.
    pub free: u64,
    /// In all.
    pub total: u64,
    /// Taken. What the file system keeps for the superuser is neither free for this program nor taken.
    pub used: u64,
}

/// Most that is left free, in bytes.
const RESERVE_MAX: u64 = 1 << 30;

impl Space {
    /// Gives the bytes that are left alone: 1 % of the disk or 1 GiB, whichever is smaller.
    #[must_use]
    pub fn reserve(self) -> u64 {
        (self.total / 100).min(RESERVE_MAX)
    }

    /// Gives the bytes that may be taken.
    #[must_use]
    pub(crate) fn usable(self) -> u64 {
        self.free.saturating_sub(self.reserve())
    }
}

/// Gives the room of the file system that `path` lies on.
///
/// # Errors
/// Where the system does not say.
pub(crate) fn free_space(path: &Path) -> io::Result<Space> {
    Ok(of(&rustix::fs::statvfs(path)?))
}

/// Gives the room of the file system that an open file lies on.
///
/// # Errors
/// Where the system does not say.
pub(crate) fn free_space_of(file: &File) -> io::Result<Space> {
    Ok(of(&rustix::fs::fstatvfs(file)?))
}

fn of(found: &rustix::fs::StatVfs) -> Space {
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks), used: bytes(found.f_blocks.saturating_sub(found.f_bfree)) }
}

/// Allocates the blocks of a file's first `len` bytes without changing its length.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len)?)
}

/// Makes a file of `from` bytes `to` bytes long, with blocks for all that is new. Where the file is mapped for more than it holds this takes 2.5 µs, and
/// ftruncate(2) 12: that has the maps searched for pages behind the new end (measured: ext4, Linux 6.18, maps of 2 GB).
pub(crate) fn lengthen(file: &File, from: u64, to: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), from, to - from)?)
}

/// Gives the bytes that a file has blocks for, as far as its count of blocks says.
pub(crate) fn allocated(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(BLOCK))
}

/// Bytes in which the system counts a file's blocks.
pub(crate) const BLOCK: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_file_keeps_what_it_holds_and_has_blocks_for_the_rest() {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 5000]).expect("written");
        lengthen(&file, 5000, 40_000).expect("lengthened");
        assert_eq!(file.metadata().expect("looked at").len(), 40_000);
        assert!(allocated(&file).expect("looked at") >= 40_000);
        file.seek(SeekFrom::Start(0)).expect("sought");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).expect("read");
        assert!(bytes[..5000].iter().all(|byte| *byte == 7) && bytes[5000..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_reserve_of_a_small_disk_is_a_hundredth() {
        let small = Space { free: 0, total: 100 << 20, used: 0 };
        assert_eq!((small.reserve(), small.usable()), (1 << 20, 0));
        assert_eq!(Space { free: 3 << 30, total: 1 << 50, used: 0 }.reserve(), 1 << 30);
        assert_eq!(Space { free: 3 << 30, total: 1 << 50, used: 0 }.usable(), 2 << 30);
    }
}
