//! Lengths and checksums of files that may be missing.

use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{At, StoreError};
use super::own_file::open_plain;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// Gives a file's length, 0 where it is missing.
pub(crate) fn length(path: &Path) -> Result<u64, StoreError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).at("look at", path),
    }
}

/// Gives the CRC32C of a file's first `len` bytes; nothing where it is shorter or missing.
pub(crate) fn checksum(path: &Path, len: u64) -> Result<Option<u32>, StoreError> {
    if len == 0 {
        return Ok(Some(0));
    }
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("open", path),
    };
    let mut buffer = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
    let (mut at, mut crc) = (0, 0);
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
        let read = buffer.get_mut(..want).map_or(Ok(0), |room| file.read_at(room, at)).at("read", path)?;
        if read == 0 {
            return Ok(None);
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(Some(crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_too_short_has_no_checksum() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        assert_eq!(
            (length(&path).expect("looked"), checksum(&path, 1).expect("looked"), checksum(&path, 0).expect("looked")),
            (0, None, Some(0))
        );
        let bytes: Vec<u8> = (0..CHUNK + 10).map(|at| u8::try_from(at % 251).expect("small")).collect();
        std::fs::write(&path, &bytes).expect("written");
        let len = bytes.len() as u64;
        assert_eq!(length(&path).expect("looked"), len);
        assert_eq!(checksum(&path, len).expect("read"), Some(crc32c::crc32c(&bytes)));
        assert_eq!(checksum(&path, len - 10).expect("read"), Some(crc32c::crc32c(&bytes[..CHUNK])));
        assert_eq!(checksum(&path, len + 1).expect("read"), None);
    }
}
