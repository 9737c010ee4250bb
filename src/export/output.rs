//! [`Output`]: a file that is being written, with its length and checksum so far.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::ExportError;

/// A temporary file that takes the place of `path` when it is whole.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    path: PathBuf,
    bytes: u64,
    crc: u32,
    failed: Option<io::Error>,
}

impl Output {
    /// Begins an empty file.
    pub(super) fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), bytes: 0, crc: 0, failed: None }
    }

    /// Gives what a writer's failure means: the I/O error that was behind it, if one was.
    pub(super) fn failure(&mut self, said: impl Display) -> ExportError {
        match self.failed.take() {
            Some(error) => ExportError::io("write", &self.path, error),
            None => ExportError::Encoding { path: self.path.clone(), why: said.to_string() },
        }
    }

    /// Ends the file: its bytes are on disk from then on. Gives its length, its checksum, and when it was written.
    ///
    /// # Errors
    /// Where the bytes cannot be brought to disk.
    pub(super) fn finish(self) -> Result<(u64, u32, i64), ExportError> {
        let ended = self.file.sync_all().and_then(|()| self.file.metadata());
        let found = ended.map_err(|error| ExportError::io("flush", &self.path, error))?;
        Ok((self.bytes, self.crc, modified(&found)))
    }
}

/// Gives when a file was written, in nanoseconds since the epoch.
pub(super) fn modified(found: &std::fs::Metadata) -> i64 {
    found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(written) => {
                self.crc = crc32c::crc32c_append(self.crc, bytes.get(..written).unwrap_or_default());
                self.bytes += written as u64;
                Ok(written)
            }
            Err(error) => {
                self.failed = Some(io::Error::from(error.kind()));
                self.failed = error.raw_os_error().map(io::Error::from_raw_os_error).or(self.failed.take());
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
