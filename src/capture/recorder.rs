//! The recorder (`--record`): the frames as received, in hourly files that `simulate --replay` reads.
//!
//! 1. It never slows the capture: a connection's thread copies a frame into a spare buffer if there is one, and otherwise the frame is counted as not kept.
//! 2. A line is `receive time in ns`, a tab, the frame's text. A frame that holds a line break cannot stand on a line: it is counted as not kept.
//! 3. Files older than `--record-keep` are removed when a new hour begins.
//!
//! Thread `record`: owns the file; ends when every handle is gone.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::metrics::Metrics;
use super::stop::Stop;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Frames that may wait for the recorder.
const WAITING_FRAMES: usize = 16_384;

/// Bytes that frames waiting for the recorder may hold together.
const WAITING_BYTES: usize = 64 << 20;

struct Frame {
    recv: UnixNanos,
    text: Box<[u8]>,
}

/// A connection's handle to the recorder.
#[derive(Clone)]
pub struct Recorder {
    frames: Sender<Frame>,
    waiting_bytes: Arc<std::sync::atomic::AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Starts the thread `record`, which writes into `folder` and keeps hourly files for `keep`.
    ///
    /// # Errors
    /// Where the folder cannot be made or the machine has no thread left.
    pub fn start(
        folder: &Path,
        keep: Duration,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> std::io::Result<(Self, JoinHandle<std::io::Result<()>>)> {
        fs::create_dir_all(folder)?;
        let (sender, receiver) = bounded(WAITING_FRAMES);
        let waiting_bytes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let recorder = Self { frames: sender, waiting_bytes: Arc::clone(&waiting_bytes), metrics: Arc::clone(&metrics) };
        let folder = folder.to_owned();
        let thread = std::thread::Builder::new().name("record".to_owned()).stack_size(super::SMALL_STACK_BYTES).spawn(move || {
            let _on_panic = stop.on_panic();
            write_frames(&folder, keep, &receiver, &waiting_bytes, &metrics)
        })?;
        Ok((recorder, thread))
    }

    /// Keeps a frame if the recorder can.
    pub fn keep(&self, recv: UnixNanos, text: &[u8]) {
        use std::sync::atomic::Ordering::Relaxed;
        let is_kept = !text.contains(&b'\n') && self.waiting_bytes.load(Relaxed) + text.len() <= WAITING_BYTES && {
            // Relaxed: a bound on memory, no order.
            self.waiting_bytes.fetch_add(text.len(), Relaxed);
            let is_sent = self.frames.try_send(Frame { recv, text: text.into() }).is_ok();
            if !is_sent {
                self.waiting_bytes.fetch_sub(text.len(), Relaxed);
            }
            is_sent
        };
        if !is_kept {
            self.metrics.unrecorded_frames.one();
        }
    }
}

fn write_frames(
    folder: &Path,
    keep: Duration,
    frames: &Receiver<Frame>,
    waiting_bytes: &std::sync::atomic::AtomicUsize,
    metrics: &Metrics,
) -> std::io::Result<()> {
    let mut open: Option<(u64, BufWriter<File>)> = None;
    let mut told = false;
    loop {
        let frame = match frames.recv_timeout(Duration::from_secs(1)) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => {
                if let Some((_, file)) = &mut open {
                    file.flush()?;
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        waiting_bytes.fetch_sub(frame.text.len(), std::sync::atomic::Ordering::Relaxed);
        if let Err(error) = write_frame(folder, keep, &mut open, &frame) {
            metrics.unrecorded_frames.one();
            open = None;
            if !told {
                told = true;
                log::error!("record: {}: {error}", folder.display());
            }
        }
    }
    match open {
        Some((_, mut file)) => file.flush(),
        None => Ok(()),
    }
}

fn write_frame(folder: &Path, keep: Duration, open: &mut Option<(u64, BufWriter<File>)>, frame: &Frame) -> std::io::Result<()> {
    let hour = frame.recv.0 / (3600 * NANOS_PER_SECOND);
    let file = match open {
        Some((of, file)) if *of == hour => file,
        _ => {
            if let Some((_, mut over)) = open.take() {
                over.flush()?;
            }
            remove_old(folder, keep, frame.recv);
            let file = File::options().append(true).create(true).open(folder.join(file_name(frame.recv)))?;
            &mut open.insert((hour, BufWriter::with_capacity(256 << 10, file))).1
        }
    };
    write!(file, "{}\t", frame.recv.0)?;
    file.write_all(&frame.text)?;
    file.write_all(b"\n")
}

/// Names the file of the hour that `at` lies in: `frames-2025-06-07T13.tsv`.
fn file_name(at: UnixNanos) -> PathBuf {
    PathBuf::from(format!("frames-{}T{:02}.tsv", at.day(), at.0 / (3600 * NANOS_PER_SECOND) % 24))
}

fn remove_old(folder: &Path, keep: Duration, now: UnixNanos) {
    let oldest = file_name(UnixNanos(now.0.saturating_sub(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX))));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = PathBuf::from(entry.file_name());
        let text = name.to_string_lossy();
        // The names sort as their hours do.
        if text.starts_with("frames-") && text.ends_with(".tsv") && name < oldest && fs::remove_file(entry.path()).is_err() {
            log::warn!("record: cannot remove {}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_rfc3339;

    fn at(text: &str) -> UnixNanos {
        parse_rfc3339(text.as_bytes()).expect("a time").to_unix().expect("after 1970")
    }

    #[test]
    fn frames_go_to_the_file_of_their_hour_and_old_hours_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let (recorder, thread) =
            Recorder::start(folder.path(), Duration::from_secs(3600), Arc::clone(&metrics), Stop::default()).expect("starts");
        recorder.keep(at("2025-06-07T10:59:59.999999999Z"), b"{\"a\":1}");
        recorder.keep(at("2025-06-07T11:00:00Z"), b"{\"b\":2}");
        recorder.keep(at("2025-06-07T11:00:00Z"), b"two\nlines");
        recorder.keep(at("2025-06-07T12:30:00Z"), b"{\"c\":3}");
        drop(recorder);
        thread.join().expect("joins").expect("writes");
        let mut names: Vec<_> = fs::read_dir(folder.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["frames-2025-06-07T11.tsv", "frames-2025-06-07T12.tsv"]);
        let text = fs::read_to_string(folder.path().join("frames-2025-06-07T11.tsv")).expect("reads");
        assert_eq!(text, "1749294000000000000\t{\"b\":2}\n");
        assert_eq!(metrics.unrecorded_frames.get(), 1);
    }
}
