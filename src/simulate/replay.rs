//! Replay: the frames of a recording, verbatim, to every client that has asked for anything.
//!
//! A recording is a text file of one line a frame: receive time in nanoseconds, a tab, the frame's text. `capture --record` writes the same.
//!
//! 1. Each client gets the recording from its beginning, the frames unchanged and in order; what it asked for does not matter, and nothing is added.
//! 2. With a speed the gaps between the receive times are kept, divided by it; without, frames go as fast as the client reads, with at most
//!    [`AHEAD_BYTES`] waiting.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::exchange::Exchange;

/// Bytes that may wait for a client in a replay.
const AHEAD_BYTES: usize = 1 << 20;

/// What to replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// How many times faster than recorded; as fast as possible where there is none.
    pub speed: Option<f64>,
}

/// A recording in memory.
#[derive(Debug)]
pub(super) struct Recording {
    frames: Vec<(Duration, Vec<u8>)>,
    speed: Option<f64>,
    /// Whether some client has been handed all of it.
    pub(super) is_over: bool,
}

impl Recording {
    /// Reads a recording; times are kept relative to its first frame.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line is none of a recording.
    pub(super) fn open(replay: &Replay) -> std::io::Result<Self> {
        let text = std::fs::read(&replay.file).map_err(super::naming(&replay.file))?;
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
            frames.push((Duration::from_nanos(time.saturating_sub(first)), frame.get(1..).unwrap_or_default().to_vec()));
        }
        Ok(Self { frames, speed: replay.speed.filter(|speed| *speed > 0.0), is_over: false })
    }

    fn is_due(&self, at: usize, since: Duration) -> Option<&[u8]> {
        let (offset, frame) = self.frames.get(at)?;
        let is_due = self.speed.is_none_or(|speed| offset.as_secs_f64() / speed <= since.as_secs_f64());
        is_due.then_some(frame)
    }
}

impl Exchange {
    /// Begins the replay for a client that has asked for something.
    pub(super) fn begin_replay(&mut self, at: usize, now: Instant) {
        if let Some(client) = self.clients.get_mut(at) {
            client.has_asked = true;
            client.replay_from.get_or_insert(now);
        }
    }

    /// Sends every client the frames that are due.
    pub(super) fn replay(&mut self, now: Instant) {
        let Some(recording) = &mut self.recording else { return };
        for client in self.clients.iter_mut().filter(|client| !client.is_cut) {
            let Some(from) = client.replay_from else { continue };
            while client.backlog() < AHEAD_BYTES {
                let Some(frame) = recording.is_due(client.replayed, now.saturating_duration_since(from)) else { break };
                let _ = client.send(frame);
                client.replayed += 1;
            }
            client.flush();
            recording.is_over |= client.replayed == recording.frames.len();
        }
    }
}
