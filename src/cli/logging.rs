//! Logging that blocks no thread: a thread of its own writes to stderr. When too many lines wait, further lines are counted instead.
//!
//! Otherwise a paused terminal, or a pipe that nobody reads, would block every thread that logs, and stop the capture.
//!
//! A message is one line: control characters in it are escaped, since many messages quote servers and files.
//!
//! Thread `log`: owns the log lines of stderr; ends with the process. [`LogEnd::finish`] waits for the lines that are left.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use env_logger::{Builder, Env, Target, WriteStyle};

use super::progress;
use crate::escape::Escaped;

/// Lines that may wait to be written.
const WAITING_LINES: usize = 4096;

/// How long the end of the program waits for the lines that are left.
const PATIENCE: Duration = Duration::from_secs(1);

enum Line {
    Text(Box<[u8]>),
    /// Reports that every line before it is written.
    End(Sender<()>),
}

/// What the logger writes to.
struct Pipe {
    lines: Sender<Line>,
    lost: Arc<AtomicU64>,
}

impl Write for Pipe {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        if self.lines.try_send(Line::Text(text.into())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Ends the log.
pub(super) struct LogEnd(Sender<Line>);

impl LogEnd {
    /// Waits until all lines are written, but at most a second.
    pub(super) fn finish(self) {
        let (done, is_done) = bounded(1);
        if self.0.send_timeout(Line::End(done), PATIENCE).is_ok() {
            // The program ends now, whether all lines are written or not.
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }
}

/// Sets logging up by `RUST_LOG`; the default is `info`.
///
/// # Errors
/// Where the system cannot start a thread.
pub(super) fn start() -> std::io::Result<LogEnd> {
    let (lines, waiting) = bounded(WAITING_LINES);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, &counted, &mut std::io::stderr()))?;
    let mut builder = Builder::new();
    builder.format(|out, record| {
        let (level, style) = (record.level(), out.default_level_style(record.level()));
        writeln!(out, "[{} {style}{level:<5}{style:#}] {}", out.timestamp(), Escaped(record.args()))
    });
    builder.write_style(if std::io::stderr().is_terminal() { WriteStyle::Always } else { WriteStyle::Never });
    builder.parse_env(Env::default().default_filter_or("info"));
    builder.target(Target::Pipe(Box::new(Pipe { lines: lines.clone(), lost }))).init();
    Ok(LogEnd(lines))
}

fn write_lines(lines: &Receiver<Line>, lost: &AtomicU64, out: &mut impl Write) {
    for line in lines {
        // If stderr cannot be written to, there is no place to report it.
        let _ = match line {
            Line::Text(text) => progress::make_room(out).and_then(|()| out.write_all(&text)),
            Line::End(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        let lost = lost.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "{lost} log lines were lost: they came faster than they could be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_room_is_counted_and_blocks_nobody() {
        let (lines, waiting) = bounded(2);
        let lost = Arc::new(AtomicU64::new(0));
        let mut pipe = Pipe { lines, lost: Arc::clone(&lost) };
        for text in ["one\n", "two\n", "three\n", "four\n"] {
            pipe.write_all(text.as_bytes()).expect("takes it");
        }
        drop(pipe);
        let mut out = Vec::new();
        write_lines(&waiting, &lost, &mut out);
        let out = String::from_utf8(out).expect("text");
        assert!(
            out.starts_with("one\n") && out.contains("two\n") && !out.contains("three") && out.contains("2 log lines were lost"),
            "{out}"
        );
    }
}
