//! A Parquet answer as a file, for clients that read it piece by piece: `HEAD` gives its length, `Range` its parts. Polars, DuckDB and pyarrow do so.
//!
//! 1. The file has no name: it is gone when the last one that reads it has closed it, or the server ends.
//! 2. The requests of one reader belong together, and must see the same bytes. So a file is kept for the client's address and the whole request. One of days
//!    that still grow is used again while it is being read; after that it is made anew. One of sealed days is used as long as they are the same.
//! 3. Files are bounded in number and in bytes. Where all are in use, the client is told to ask again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::{Refusal, of_unmade};
use crate::export::stream::{StreamError, StreamFormat};
use crate::serve::http::request::Request;
use crate::serve::http::response::Response;
use crate::serve::server::Server;
use crate::store::losses;

/// Most bytes of a file.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Tells whether a request asks for the length, or for a part.
pub(super) fn is_wanted(request: &Request) -> bool {
    request.is_head() || request.header("range").is_some()
}

/// Answers with a file: one that is kept, or a new one that `write` writes. An answer over sealed days has a tag.
///
/// # Errors
/// Where it cannot be written, or as many are in use as may be.
pub(super) fn answer(
    server: &Server,
    request: &Request,
    tag: Option<&str>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), StreamError>,
) -> Result<Response, Refusal> {
    let files = server.parquet_files();
    let (file, length) = match files.find(request, tag) {
        Some(kept) => kept,
        None => {
            let (file, length) = made(server, write)?;
            let kept = files.keep(request, tag, file, length);
            kept.ok_or_else(|| Refusal::new(503, "too many Parquet files are being read", "ask again in some seconds, or without Range"))?
        }
    };
    let own = reopened(&file).map_err(|error| unwritable(&error))?;
    Ok(Response::file(StreamFormat::Parquet.content_type(), own, length))
}

/// Makes a file.
fn made(server: &Server, write: impl FnOnce(&mut dyn Write) -> Result<(), StreamError>) -> Result<(File, u64), Refusal> {
    let file = nameless().map_err(|error| unwritable(&error))?;
    let mut out = BufWriter::with_capacity(1 << 20, Bounded { file, left: MAX_FILE_BYTES });
    let before = losses();
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    match written {
        Ok(()) if losses() != before => return Err(Refusal::new(500, "a file of the tape was cut while it was read", "ask again")),
        Ok(()) => {}
        Err(StreamError::Output(error)) => return Err(unwritable(&error)),
        Err(error) => return Err(of_unmade(server, &error)),
    }
    let Bounded { mut file, .. } = out.into_inner().map_err(|error| unwritable(error.error()))?;
    let length = file.seek(SeekFrom::End(0)).and_then(|length| file.seek(SeekFrom::Start(0)).map(|_| length));
    Ok((file, length.map_err(|error| unwritable(&error))?))
}

fn unwritable(error: &io::Error) -> Refusal {
    Refusal::new(500, format!("a temporary file cannot be written: {error}"), "ask without Range, or for a shorter time")
}

/// Opens a new file, and takes its name away.
fn nameless() -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // Relaxed: it orders nothing else.
    let name = format!("coltape-{}-{}.parquet", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Opens a file once more, with a place of its own in it.
fn reopened(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A file that takes so many bytes more.
struct Bounded {
    file: File,
    left: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it would be larger than the server keeps"));
        };
        self.left = left;
        self.file.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
