//! [`unpack`]: makes the files of an archived dataset-day again, from the exported file and the rest.
//!
//! The checksum of each file is compared with the one that it had. A file that comes out as another one ends it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use zstd::stream::read::Decoder;

use super::error::{ArchiveError, At};
use super::parquet_day::ParquetDay;
use super::rebuilt::Source;
use crate::schema::Column;
use crate::store::archived::{ArchivedDay, KnownFile};
use crate::store::removal;

/// Bytes that are read and written at once.
const CHUNK: usize = 1 << 18;

/// Where the files are written to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// Nowhere: they are only compared.
    Nowhere,
    /// Under temporary names in the folders of a data directory. They are on disk when all is done.
    Folders(&'a Path),
}

/// Unpacks a day.
///
/// # Errors
/// Where a file of the archive cannot be read, or gives something else than what was archived. Where a file cannot be written.
pub(super) fn unpack(archive: &Path, day: &ArchivedDay, target: Target<'_>) -> Result<(), ArchiveError> {
    let path = archive.join(&day.rest.name);
    let rest = File::open(&path).at("open", &path)?;
    let mut rest = Decoder::with_buffer(BufReader::with_capacity(CHUNK, rest)).at("read", &path)?;
    let data = day.data.as_ref().map(|data| ParquetDay::open(&archive.join(&data.name))).transpose()?;
    for file in &day.files {
        let mut out = Out::new(day, file, target)?;
        match day.key.dataset.columns().iter().find(|column| column.name == file.name) {
            Some(column) => unpack_column(column, data.as_ref(), &mut rest, &path, &mut out)?,
            None => unpack_plain(file.bytes, &mut rest, &path, &mut out)?,
        }
        out.finish(day, file)?;
    }
    Ok(())
}

fn unpack_column(column: &Column, data: Option<&ParquetDay>, rest: &mut impl Read, path: &Path, out: &mut Out) -> Result<(), ArchiveError> {
    let Some(data) = data else { return Ok(()) };
    let source = Source::of(column);
    let mut difference = vec![0; CHUNK];
    for group in 0..data.groups() {
        let mut bytes = source.rebuild(data, group, column.kind)?;
        for part in bytes.chunks_mut(CHUNK) {
            let difference = difference.get_mut(..part.len()).unwrap_or_default();
            rest.read_exact(difference).at("read", path)?;
            part.iter_mut().zip(difference).for_each(|(byte, other)| *byte ^= *other);
        }
        out.write(&bytes)?;
    }
    Ok(())
}

fn unpack_plain(bytes: u64, rest: &mut impl Read, path: &Path, out: &mut Out) -> Result<(), ArchiveError> {
    let (mut left, mut part) = (bytes, vec![0; CHUNK]);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let part = part.get_mut(..length).unwrap_or_default();
        rest.read_exact(part).at("read", path)?;
        out.write(part)?;
        left -= length as u64;
    }
    Ok(())
}

/// A file that is being made.
struct Out {
    file: Option<(BufWriter<File>, std::path::PathBuf)>,
    bytes: u64,
    crc: u32,
}

impl Out {
    fn new(day: &ArchivedDay, file: &KnownFile, target: Target<'_>) -> Result<Self, ArchiveError> {
        let file = match target {
            Target::Nowhere => None,
            Target::Folders(dir) => {
                let path = removal::temporary(dir, day, file);
                Some((BufWriter::with_capacity(CHUNK, File::create(&path).at("make", &path)?), path))
            }
        };
        Ok(Self { file, bytes: 0, crc: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.bytes += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        match &mut self.file {
            Some((file, path)) => file.write_all(bytes).at("write", path),
            None => Ok(()),
        }
    }

    /// Compares the file with what it was, and brings it to disk.
    fn finish(self, day: &ArchivedDay, file: &KnownFile) -> Result<(), ArchiveError> {
        if (self.bytes, self.crc) != (file.bytes, file.crc) {
            let why = "the archive gives another file back than the one that was archived".to_owned();
            return Err(ArchiveError::Differs { what: format!("{} {}", day.key, file.name), why });
        }
        let Some((written, path)) = self.file else { return Ok(()) };
        let written = written.into_inner().map_err(io::IntoInnerError::into_error).at("write", &path)?;
        written.sync_all().at("flush", &path)
    }
}
