//! A recording of a feed, in memory.
//!
//! A recording is a text file with one line per frame: the receive time in nanoseconds, a tab, the frame's text. `capture --record` writes such files.

use std::path::PathBuf;
use std::time::Duration;

use super::error::with_path;

/// A recording to serve in place of a market.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// How many times faster than recorded; `None` for as fast as possible.
    pub speed: Option<f64>,
}

#[derive(Debug)]
struct RecordedFrame {
    /// Time since the first frame.
    offset: Duration,
    text: Vec<u8>,
}

/// A recording in memory.
#[derive(Debug)]
pub(super) struct Recording {
    frames: Vec<RecordedFrame>,
    speed: Option<f64>,
    /// Whether some client has been sent all of it.
    pub(super) is_over: bool,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not one of a recording.
    pub(super) fn open(replay: &Replay) -> std::io::Result<Self> {
        let text = std::fs::read(&replay.file).map_err(with_path(&replay.file))?;
        let wrong = |number: usize| {
            let text = format!("{}, line {}: no receive time and tab before the frame", replay.file.display(), number + 1);
            std::io::Error::new(std::io::ErrorKind::InvalidData, text)
        };
        let mut frames = Vec::new();
        let mut first = None;
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(|| wrong(number))?;
            let (time, frame) = line.split_at(tab);
            let time: u64 = std::str::from_utf8(time).ok().and_then(|time| time.parse().ok()).ok_or_else(|| wrong(number))?;
            let first = *first.get_or_insert(time);
            let offset = Duration::from_nanos(time.saturating_sub(first));
            frames.push(RecordedFrame { offset, text: frame.get(1..).unwrap_or_default().to_vec() });
        }
        Ok(Self { frames, speed: replay.speed.filter(|speed| *speed > 0.0), is_over: false })
    }

    /// Counts the frames.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Gives frame number `at` where it is due `elapsed` after the replay's begin.
    pub(super) fn due_frame(&self, at: usize, elapsed: Duration) -> Option<&[u8]> {
        let frame = self.frames.get(at)?;
        let is_due = self.speed.is_none_or(|speed| frame.offset.as_secs_f64() / speed <= elapsed.as_secs_f64());
        is_due.then_some(frame.text.as_slice())
    }
}
