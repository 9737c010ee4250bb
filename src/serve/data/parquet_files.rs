//! [`ParquetFiles`]: the Parquet files that clients read piece by piece.

use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::serve::http::request::Request;

/// Most files that are kept.
const MAX_FILES: usize = 16;
/// How long a file that may have grown is used after it was read last.
const LIVE_FOR: Duration = Duration::from_secs(10);
/// How long a file of sealed days is kept after it was read last.
const SEALED_FOR: Duration = Duration::from_secs(300);

/// The files that are kept.
#[derive(Debug, Default)]
pub(crate) struct ParquetFiles(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    client: IpAddr,
    question: Vec<(String, String)>,
    path: String,
    /// The tag of an answer over sealed days.
    tag: Option<String>,
    used: Instant,
    file: Arc<File>,
    length: u64,
}

impl Kept {
    fn is_of(&self, request: &Request, tag: Option<&str>) -> bool {
        let is_same = self.path == request.path() && self.question == request.parameters();
        is_same && self.client == request.peer().ip() && self.tag.as_deref() == tag
    }

    fn is_old(&self) -> bool {
        self.used.elapsed() > if self.tag.is_some() { SEALED_FOR } else { LIVE_FOR }
    }
}

impl ParquetFiles {
    /// Finds the file that a client has been given for a request, with its length.
    pub(super) fn find(&self, request: &Request, tag: Option<&str>) -> Option<(Arc<File>, u64)> {
        let mut files = self.0.lock();
        files.retain(|kept| !kept.is_old());
        let kept = files.iter_mut().find(|kept| kept.is_of(request, tag))?;
        kept.used = Instant::now();
        Some((Arc::clone(&kept.file), kept.length))
    }

    /// Keeps a file for the client of a request. Gives nothing where as many are in use as may be.
    pub(super) fn keep(&self, request: &Request, tag: Option<&str>, file: File, length: u64) -> Option<(Arc<File>, u64)> {
        let mut files = self.0.lock();
        files.retain(|kept| !kept.is_old());
        if files.len() >= MAX_FILES {
            return None;
        }
        let file = Arc::new(file);
        files.push(Kept {
            client: request.peer().ip(),
            question: request.parameters().to_vec(),
            path: request.path().to_owned(),
            tag: tag.map(str::to_owned),
            used: Instant::now(),
            file: Arc::clone(&file),
            length,
        });
        Some((file, length))
    }
}
