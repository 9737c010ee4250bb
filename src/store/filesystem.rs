//! What the store knows of file systems, and asks of them: which are safe, blocks beside the reserve, the cache, what the device holds.
//!
//! 1. A file system is safe where a full disk is an error and not a signal. To add one is one line of `KNOWN`.
//! 2. Reading back *past the cache* is the only way to learn what a failed flush left on the device.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{ALLOCATE, At, StoreError};
use super::space;

/// A file system that is known.
struct FileSystem {
    /// Its number in `statfs`.
    number: u64,
    name: &'static str,
    on_full_disk: OnFullDisk,
}

/// What a store into a mapped file does on a full disk, although its blocks were allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFullDisk {
    /// It succeeds: taking the blocks has failed before, with an error.
    Safe,
    /// It may end the process with SIGBUS.
    Signal,
}

const fn known(number: u64, name: &'static str, on_full_disk: OnFullDisk) -> FileSystem {
    FileSystem { number, name, on_full_disk }
}

const KNOWN: [FileSystem; 9] = [
    known(0xEF53, "ext4", OnFullDisk::Safe),
    known(0x5846_5342, "xfs", OnFullDisk::Safe),
    known(0x0102_1994, "tmpfs", OnFullDisk::Safe),
    known(0x9123_683E, "btrfs", OnFullDisk::Signal),
    known(0x2FC1_2FC1, "zfs", OnFullDisk::Signal),
    known(0x6969, "nfs", OnFullDisk::Signal),
    known(0xFF53_4D42, "cifs", OnFullDisk::Signal),
    known(0x6573_5546, "fuse", OnFullDisk::Signal),
    known(0x794C_7630, "overlayfs", OnFullDisk::Signal),
];

/// Refuses a directory whose file system is not known to be safe.
///
/// # Errors
/// [`StoreError::UnsafeFileSystem`] with the file system's name, or number where it is unknown.
pub fn refuse_unsafe(path: &Path) -> Result<(), StoreError> {
    refuse_unsafe_at(&File::open(path).at("open", path)?, path)
}

/// Does the same with a folder that is open.
pub(crate) fn refuse_unsafe_at(handle: &File, path: &Path) -> Result<(), StoreError> {
    let found = rustix::fs::fstatfs(handle).at("look at the file system of", path)?;
    #[expect(clippy::cast_sign_loss, reason = "a magic number, signed only in the system's interface")]
    match unsafe_name(found.f_type as u64) {
        None => Ok(()),
        Some(name) => Err(StoreError::UnsafeFileSystem { path: path.to_owned(), name }),
    }
}

/// Names a file system that is not known to be safe; nothing where it is.
fn unsafe_name(number: u64) -> Option<String> {
    match KNOWN.iter().find(|known| known.number == number & 0xFFFF_FFFF) {
        Some(FileSystem { on_full_disk: OnFullDisk::Safe, .. }) => None,
        Some(FileSystem { on_full_disk: OnFullDisk::Signal, name, .. }) => Some((*name).to_owned()),
        None => Some(format!("a file system of unknown kind {number:#x}")),
    }
}

/// Asks the system to drop a part of a file from its cache, as far as that part is on disk and nobody has it mapped.
pub(crate) fn drop_cache(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let Some(len) = NonZeroU64::new(len) else { return Ok(()) };
    Ok(rustix::fs::fadvise(file, offset, Some(len), rustix::fs::Advice::DontNeed)?)
}

/// Bytes that are zeroed at a time. Measured (ext4, Linux 6.18): the system takes one folio for them, 0.8 µs for each page of it; in steps of one page it
/// takes 2.9 µs, and in larger ones each later store to a page that was flushed takes longer.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Writes zeroes over a part of a file that holds nothing yet, so that its pages are in the cache.
pub(crate) fn write_zeroes(file: &File, part: Range<u64>) -> io::Result<()> {
    let (mut start, step) = (part.start, ZEROES.len() as u64);
    while start < part.end {
        let length = (step - start % step).min(part.end - start);
        let zeroes = usize::try_from(length).ok().and_then(|length| ZEROES.get(..length)).unwrap_or_default();
        file.write_all_at(zeroes, start)?;
        start += length;
    }
    Ok(())
}

/// Allocates the blocks of a file's first `len` bytes, of which it has `allocated`, unless that would leave the disk with less than its reserve.
pub(crate) fn allocate_beside_reserve(file: &File, allocated: u64, len: u64, path: &Path) -> Result<(), StoreError> {
    let space = space::free_space(path.parent().unwrap_or(path)).at("ask for the room of", path)?;
    let needed = len.saturating_sub(allocated);
    if needed > space.usable() {
        return Err(StoreError::NoSpace { path: path.to_owned(), needed, free: space.free });
    }
    space::allocate(file, len).at(ALLOCATE, path)
}

/// Flushes a folder: the names of new files in it are on disk afterwards.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).at("open", path)?.sync_all().at("flush", path)
}

/// Bytes that a read past the cache is aligned to.
const DIRECT: usize = 4096;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Tells whether the device, asked past the cache, holds `expected` at `offset` of a file.
pub(crate) fn device_holds(path: &Path, offset: u64, expected: &[u8]) -> io::Result<bool> {
    #[expect(clippy::cast_possible_wrap, reason = "a flag in the system's own type")]
    let direct = OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path);
    // A file system of memory has no device behind it: then the cache is what there is.
    let file = direct.or_else(|_| File::open(path))?;
    let mut room = vec![0; CHUNK + DIRECT];
    let skip = room.as_ptr().align_offset(DIRECT);
    let buffer = room.get_mut(skip..skip + CHUNK).ok_or(io::ErrorKind::OutOfMemory)?;
    let mut at = offset;
    let end = offset + expected.len() as u64;
    while at < end {
        let start = at - at % DIRECT as u64;
        let read = file.read_at(buffer, start)? as u64;
        let upto = end.min(start + read);
        if upto <= at {
            return Ok(false);
        }
        let on_device = range(buffer, start, at, upto).ok_or(io::ErrorKind::UnexpectedEof)?;
        if range(expected, offset, at, upto) != Some(on_device) {
            return Ok(false);
        }
        at = upto;
    }
    Ok(true)
}

/// Gives the part `from..to` of bytes that begin at file offset `base`.
fn range(bytes: &[u8], base: u64, from: u64, to: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(from - base).ok()?..usize::try_from(to - base).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_known_to_survive_a_full_disk_are_written_to() {
        for known in KNOWN {
            assert_eq!(unsafe_name(known.number).is_none(), known.on_full_disk == OnFullDisk::Safe, "{}", known.name);
        }
        assert!(unsafe_name(0x1234).is_some());
        assert!(refuse_unsafe(Path::new("/proc")).is_err());
    }

    #[test]
    fn the_device_is_compared_byte_by_byte_from_any_offset() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).expect("written");
        file.as_file().sync_all().expect("flushed");
        for (from, to) in [(0, 10_000), (1, 2), (4095, 4097), (9999, 10_000), (5000, 5000)] {
            assert!(device_holds(file.path(), from as u64, &bytes[from..to]).expect("read"));
        }
        let mut other = bytes.clone();
        other[7000] ^= 1;
        assert!(!device_holds(file.path(), 0, &other).expect("read"));
        other.push(0);
        assert!(!device_holds(file.path(), 9000, &[bytes[9000..].to_vec(), vec![0]].concat()).expect("read"), "a shorter file");
    }
}
