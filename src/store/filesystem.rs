//! What the store asks of the operating system: which file system this is, how much is free, space ahead of need, flushes, the boot's id.
//!
//! 1. Space is taken with `fallocate(KEEP_SIZE)`: a store into a block that was never allocated on a full disk is SIGBUS, not an error.
//! 2. The last blocks are left alone: file systems need some of their own to turn allocated blocks into written ones.
//! 3. Reading back *past the cache* is the only way to learn what a failed flush left on the device.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags};

use super::error::{At, StoreError};

const EXT4: u64 = 0xEF53;
const XFS: u64 = 0x5846_5342;
const TMPFS: u64 = 0x0102_1994;

/// File systems that are known, by their number in `statfs`: whether a full disk is an error there (safe) or a signal.
const KNOWN: [(u64, &str, bool); 9] = [
    (EXT4, "ext4", true),
    (XFS, "xfs", true),
    (TMPFS, "tmpfs", true),
    (0x9123_683E, "btrfs", false),
    (0x2FC1_2FC1, "zfs", false),
    (0x6969, "nfs", false),
    (0xFF53_4D42, "cifs", false),
    (0x6573_5546, "fuse", false),
    (0x794C_7630, "overlayfs", false),
];

/// Refuses a directory whose file system is not known to be safe.
///
/// # Errors
/// [`StoreError::UnsafeFileSystem`] with the file system's name, or number where it is unknown.
pub fn refuse_unsafe(path: &Path) -> Result<(), StoreError> {
    let found = rustix::fs::statfs(path).at("look at the file system of", path)?;
    #[expect(clippy::cast_sign_loss, reason = "a magic number, signed only by an old habit of the interface")]
    judge(found.f_type as u64).map_err(|name| StoreError::UnsafeFileSystem { path: path.to_owned(), name })
}

fn judge(number: u64) -> Result<(), String> {
    match KNOWN.iter().find(|(known, ..)| *known == number & 0xFFFF_FFFF) {
        Some((_, _, true)) => Ok(()),
        Some((_, name, false)) => Err((*name).to_owned()),
        None => Err(format!("a file system of unknown kind {number:#x}")),
    }
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free for us.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// Most that is left free, in bytes.
const RESERVE_MAX: u64 = 1 << 30;

impl Space {
    /// Gives what is left alone: 1 % or 1 GiB, whichever is smaller.
    #[must_use]
    pub fn reserve(self) -> u64 {
        (self.total / 100).min(RESERVE_MAX)
    }
}

/// Tells how much room there is where `path` lies.
///
/// # Errors
/// Where the system does not say.
pub fn free_space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space { free: found.f_bavail.saturating_mul(found.f_frsize), total: found.f_blocks.saturating_mul(found.f_frsize) })
}

/// Has the system drop a part of a file from its cache, as far as that is on disk and nobody has it mapped.
pub(crate) fn drop_cache(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let Some(len) = NonZeroU64::new(len) else { return Ok(()) };
    Ok(rustix::fs::fadvise(file, offset, Some(len), rustix::fs::Advice::DontNeed)?)
}

/// Allocates the blocks of a file's first `len` bytes without changing its length.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, len)?)
}

/// Allocates the blocks of a file's first `len` bytes, of which it has `allocated`, unless that would leave the disk with less than its reserve.
pub(crate) fn allocate_beside_reserve(file: &File, allocated: u64, len: u64, path: &Path) -> Result<(), StoreError> {
    let space = free_space(path.parent().unwrap_or(path)).at("ask for the room of", path)?;
    let needed = len.saturating_sub(allocated);
    if needed > space.free.saturating_sub(space.reserve()) {
        return Err(StoreError::NoSpace { path: path.to_owned(), needed, free: space.free });
    }
    allocate(file, len).at("allocate", path)
}

/// Gives the bytes that a file has blocks for, as far as its count of blocks says.
pub(crate) fn allocated(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(BLOCK))
}

/// Bytes in which the system counts a file's blocks.
const BLOCK: u64 = 512;

/// The id that the kernel draws at every boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Reads the running kernel's; nothing where it cannot be read.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

/// Flushes a new folder's entry: the folder above it has to reach the disk.
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

/// Maps that a run needs and the kernel allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapBudget {
    /// Mappings for these products, three days each (yesterday, today and tomorrow may be open at once).
    pub needed: u64,
    /// `vm.max_map_count`, less what the program itself maps.
    pub allowed: u64,
}

/// Mappings that the program needs for itself: code, stacks, heaps.
const MAPS_OF_THE_PROGRAM: u64 = 1024;

/// Counts the maps that `products` products need, with `columns` columns (and so many pages as datasets) each, against `vm.max_map_count`.
#[must_use]
pub fn map_budget(products: u64, datasets: u64, columns: u64) -> MapBudget {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    MapBudget {
        needed: products.saturating_mul(datasets.saturating_add(columns)).saturating_mul(3),
        allowed: limit.unwrap_or(65_530u64).saturating_sub(MAPS_OF_THE_PROGRAM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_known_to_survive_a_full_disk_are_written_to() {
        for (number, name, safe) in KNOWN {
            assert_eq!(judge(number).is_ok(), safe, "{name}");
        }
        assert!(judge(0x1234).is_err());
        assert!(refuse_unsafe(Path::new("/proc")).is_err());
    }

    #[test]
    fn the_boot_has_an_id_and_keeps_it() {
        assert!(BootId::read().is_some());
        assert_eq!(BootId::read(), BootId::read());
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

    #[test]
    fn the_reserve_of_a_small_disk_is_a_hundredth() {
        assert_eq!(Space { free: 0, total: 100 << 20 }.reserve(), 1 << 20);
        assert_eq!(Space { free: 0, total: 1 << 50 }.reserve(), 1 << 30);
    }
}
