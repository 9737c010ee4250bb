//! The recorder (`--record`): writes frames as they were received into hourly files, which `simulate --replay` reads.
//!
//! 1. It never slows the capture down. A connection's thread copies a frame into a bounded channel; if that is full, the frame is counted as not recorded.
//! 2. A line is the receive time in ns since the epoch, a tab, and the frame's text. A frame with a line break in it is counted as not recorded.
//! 3. A file holds whole lines. If a file cannot be written, the frames that waited for it are counted as not recorded, and the recording goes on when
//!    there is space again.
//! 4. One recorder at a time writes a file, and holds a lock on it. Where another capture still has the file of the hour, as the one that is taken over from,
//!    the recorder writes a second file beside it.
//! 5. Files older than `--record-keep` are removed when a new hour begins.
//!
//! Thread `record`: owns the file; ends when every handle is dropped.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::fs::FlockOperation;

use crate::capture::config::RecordConfig;
use crate::capture::error::CaptureError;
use crate::capture::report::metrics::Metrics;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Frames that may wait for the recorder.
const WAITING_FRAMES: usize = 16_384;

/// Bytes of all frames that may wait for the recorder.
const WAITING_BYTES: usize = 64 << 20;

/// Lines are written when this many bytes of them wait.
const WRITE_BYTES: usize = 256 << 10;

/// Lines are written after this time, however few they are.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Recorders that write files of the same hour into one folder at most.
const MAX_RECORDERS: u32 = 16;

struct Frame {
    recv: UnixNanos,
    text: Box<[u8]>,
}

/// The recorder's thread. It gives the error of its last write.
pub(crate) type RecorderThread = JoinHandle<std::io::Result<()>>;

/// A connection's handle to the recorder.
#[derive(Clone)]
pub(crate) struct Recorder {
    frames: Sender<Frame>,
    waiting_bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Starts the thread `record`.
    ///
    /// # Errors
    /// Where the folder cannot be made or the system cannot start a thread.
    pub(crate) fn start(config: &RecordConfig, metrics: Arc<Metrics>, stop: &Stop) -> Result<(Self, RecorderThread), CaptureError> {
        fs::create_dir_all(&config.folder).map_err(|source| CaptureError::Record { folder: config.folder.clone(), source })?;
        let (sender, receiver) = bounded(WAITING_FRAMES);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let recorder = Self { frames: sender, waiting_bytes: Arc::clone(&waiting_bytes), metrics: Arc::clone(&metrics) };
        let RecordConfig { folder, keep } = config.clone();
        let thread = spawn("record", Stack::Small, stop, move || write_frames(&folder, keep, &receiver, &waiting_bytes, &metrics))
            .map_err(|source| CaptureError::Thread { name: "record".to_owned(), source })?;
        Ok((recorder, thread))
    }

    /// Records a frame if there is room for it. Counts it as not recorded if there is not.
    pub(crate) fn keep(&self, recv: UnixNanos, text: &[u8]) {
        let is_kept = !text.contains(&b'\n') && self.waiting_bytes.load(Relaxed) + text.len() <= WAITING_BYTES && {
            // Relaxed: the sum only bounds the memory, it orders nothing.
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
    waiting_bytes: &AtomicUsize,
    metrics: &Metrics,
) -> std::io::Result<()> {
    let mut open: Option<Hour> = None;
    let mut is_failing = false;
    loop {
        let outcome = match frames.recv_timeout(FLUSH_INTERVAL) {
            Ok(frame) => {
                waiting_bytes.fetch_sub(frame.text.len(), Relaxed);
                write_frame(folder, keep, &mut open, &frame)
            }
            Err(RecvTimeoutError::Timeout) => open.as_mut().map_or(Ok(false), Hour::write),
            Err(RecvTimeoutError::Disconnected) => {
                return open.as_mut().map_or(Ok(()), |hour| hour.write().map(|_| ()).map_err(|lost| lost.count(metrics)));
            }
        };
        match outcome {
            Ok(is_written) => {
                if is_written && std::mem::take(&mut is_failing) {
                    log::warn!("record: {}: frames are kept again", folder.display());
                }
            }
            Err(lost) => {
                let error = lost.count(metrics);
                open = None;
                if !std::mem::replace(&mut is_failing, true) {
                    log::error!("record: {}: {error}", folder.display());
                }
            }
        }
    }
}

/// Adds a frame to the file of its hour. Gives whether anything was written to a file.
fn write_frame(folder: &Path, keep: Duration, open: &mut Option<Hour>, frame: &Frame) -> Result<bool, Lost> {
    let number = frame.recv.0 / (3600 * NANOS_PER_SECOND);
    let hour = match open {
        Some(hour) if hour.number == number => hour,
        _ => {
            if let Some(mut previous) = open.take() {
                previous.write().map_err(|lost| lost.and_one())?;
            }
            remove_old(folder, keep, frame.recv);
            let hour = Hour::open_free(folder, frame.recv, number).map_err(|error| Lost { frames: 1, error })?;
            open.insert(hour)
        }
    };
    hour.take(frame);
    if hour.lines.len() >= WRITE_BYTES || hour.last_written.elapsed() >= FLUSH_INTERVAL { hour.write() } else { Ok(false) }
}

/// Frames that could not be written, and why.
struct Lost {
    frames: u64,
    error: std::io::Error,
}

impl Lost {
    fn and_one(self) -> Self {
        Self { frames: self.frames + 1, ..self }
    }

    fn count(self, metrics: &Metrics) -> std::io::Error {
        metrics.unrecorded_frames.add(self.frames);
        self.error
    }
}

/// The file of an hour, and the lines that are not written to it yet.
struct Hour {
    number: u64,
    file: File,
    /// Length of the file in bytes: whole lines.
    length: u64,
    lines: Vec<u8>,
    frames: u64,
    last_written: Instant,
}

impl Hour {
    /// Opens the first file of the hour that no other recorder writes.
    fn open_free(folder: &Path, at: UnixNanos, number: u64) -> std::io::Result<Self> {
        for recorder in 1..MAX_RECORDERS {
            match Self::open(&folder.join(file_name(at, recorder)), number) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                opened => return opened,
            }
        }
        Self::open(&folder.join(file_name(at, MAX_RECORDERS)), number)
    }

    /// Opens the file, and locks it until it is closed. Cuts off a line that an earlier recorder did not finish.
    fn open(path: &Path, number: u64) -> std::io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // A file system without locks is no reason to record nothing.
            Ok(()) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOLCK) => {}
            Err(error) => return Err(error.into()),
        }
        let (found, length) = (file.metadata()?.len(), end_of_lines(&mut file)?);
        if length < found {
            file.set_len(length)?;
        }
        Ok(Self { number, file, length, lines: Vec::with_capacity(2 * WRITE_BYTES), frames: 0, last_written: Instant::now() })
    }

    fn take(&mut self, frame: &Frame) {
        self.lines.extend_from_slice(frame.recv.0.to_string().as_bytes());
        self.lines.push(b'\t');
        self.lines.extend_from_slice(&frame.text);
        self.lines.push(b'\n');
        self.frames += 1;
    }

    /// Writes the lines that wait. Gives whether there were any.
    fn write(&mut self) -> Result<bool, Lost> {
        self.last_written = Instant::now();
        if self.lines.is_empty() {
            return Ok(false);
        }
        if let Err(error) = self.file.write_all(&self.lines) {
            // The file may now end in the middle of a line. If that cannot be cut off here, it is cut off when the file is opened next.
            let _ = self.file.set_len(self.length);
            return Err(Lost { frames: self.frames, error });
        }
        self.length += self.lines.len() as u64;
        self.lines.clear();
        // The memory of one long frame is given back.
        self.lines.shrink_to(2 * WRITE_BYTES);
        self.frames = 0;
        Ok(true)
    }
}

/// Gives the length of the whole lines of a file, in bytes.
fn end_of_lines(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = vec![0; WRITE_BYTES];
    while end > 0 {
        let from = end.saturating_sub(WRITE_BYTES as u64);
        let part = chunk.get_mut(..usize::try_from(end - from).unwrap_or(0)).unwrap_or_default();
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// Names the file of the hour of a time: `frames-2025-06-07T13.tsv`, and `frames-2025-06-07T13_2.tsv` for a second recorder.
fn file_name(at: UnixNanos, recorder: u32) -> PathBuf {
    let number = if recorder == 1 { String::new() } else { format!("_{recorder}") };
    PathBuf::from(format!("frames-{}T{:02}{number}.tsv", at.day(), at.0 / (3600 * NANOS_PER_SECOND) % 24))
}

fn remove_old(folder: &Path, keep: Duration, now: UnixNanos) {
    let oldest = file_name(UnixNanos(now.0.saturating_sub(u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX))), 1);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = PathBuf::from(entry.file_name());
        let text = name.to_string_lossy();
        // Names sort like their hours, and those of a second recorder behind the first.
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

    fn an_hour(folder: &Path) -> RecordConfig {
        RecordConfig { folder: folder.to_owned(), keep: Duration::from_secs(3600) }
    }

    #[test]
    fn frames_go_to_the_file_of_their_hour_and_old_files_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let (recorder, thread) = Recorder::start(&an_hour(folder.path()), Arc::clone(&metrics), &Stop::default()).expect("starts");
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

    #[test]
    fn a_full_disk_loses_the_frames_that_waited_and_the_recording_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let (recorder, thread) = Recorder::start(&an_hour(folder.path()), Arc::clone(&metrics), &Stop::default()).expect("starts");
        let full = folder.path().join("frames-2025-06-07T10.tsv");
        std::os::unix::fs::symlink("/dev/full", &full).expect("a full file");
        recorder.keep(at("2025-06-07T10:00:00Z"), b"{\"a\":1}");
        recorder.keep(at("2025-06-07T10:00:01Z"), b"{\"b\":2}");
        let start = Instant::now();
        while metrics.unrecorded_frames.get() < 2 && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(metrics.unrecorded_frames.get(), 2);
        fs::remove_file(&full).expect("space again");
        recorder.keep(at("2025-06-07T10:00:02Z"), b"{\"c\":3}");
        drop(recorder);
        thread.join().expect("joins").expect("writes");
        assert_eq!(fs::read_to_string(&full).expect("reads"), "1749290402000000000\t{\"c\":3}\n");
        assert_eq!(metrics.unrecorded_frames.get(), 2);
    }

    #[test]
    fn two_recorders_of_one_folder_write_a_file_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let start = || Recorder::start(&an_hour(folder.path()), Arc::clone(&metrics), &Stop::default()).expect("starts");
        let path = |name: &str| folder.path().join(name);
        let until_there = |name: &str| {
            let start = Instant::now();
            while fs::metadata(path(name)).map_or(0, |found| found.len()) == 0 {
                assert!(start.elapsed() < Duration::from_secs(60), "{name}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let (old, old_thread) = start();
        old.keep(at("2025-06-07T10:00:00Z"), b"{\"old\":1}");
        until_there("frames-2025-06-07T10.tsv");
        let (new, new_thread) = start();
        new.keep(at("2025-06-07T10:00:01Z"), b"{\"new\":1}");
        until_there("frames-2025-06-07T10_2.tsv");
        old.keep(at("2025-06-07T10:00:02Z"), b"{\"old\":2}");
        drop(old);
        old_thread.join().expect("joins").expect("writes");
        new.keep(at("2025-06-07T10:00:03Z"), b"{\"new\":2}");
        // Both files are of an hour that is kept.
        new.keep(at("2025-06-07T11:00:00Z"), b"{\"new\":3}");
        drop(new);
        new_thread.join().expect("joins").expect("writes");
        let texts = ["T10", "T10_2", "T11"].map(|hour| fs::read_to_string(path(&format!("frames-2025-06-07{hour}.tsv"))).expect("reads"));
        let values = texts.map(|text| text.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_owned())).collect::<Vec<_>>());
        let shown = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(values, [shown(&["{\"old\":1}", "{\"old\":2}"]), shown(&["{\"new\":1}", "{\"new\":2}"]), shown(&["{\"new\":3}"])]);
        assert_eq!(metrics.unrecorded_frames.get(), 0);
    }

    #[test]
    fn a_half_written_line_of_a_killed_recorder_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("frames");
        for (left, lines) in [("", 0), ("1\ta\n", 4), ("1\ta\n2\tb", 4), ("1\ta", 0)] {
            fs::write(&path, left).expect("writes");
            assert_eq!(Hour::open(&path, 0).expect("opens").length, lines);
            assert_eq!(fs::read(&path).expect("reads"), left.as_bytes().get(..usize::try_from(lines).expect("small")).expect("a prefix"));
        }
        let long = format!("1\ta\n{}", "x".repeat(3 * WRITE_BYTES));
        fs::write(&path, long).expect("writes");
        assert_eq!(Hour::open(&path, 0).expect("opens").length, 4);
    }
}
