//! `coltape status`: prints what a capture says of itself. The exit code says whether one runs and is well.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use super::args::StatusArgs;
use super::outcome::{DONE, FAILED, Failure};
use super::output;
use crate::escape::Escaped;
use crate::status::{CaptureStatus, Health, Screen, look};
use crate::time::Clock;

/// Exit code where no capture runs.
const NO_CAPTURE: u8 = 3;
/// Time between two looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves the cursor of a terminal to its upper left corner and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where it is no data directory, or stdout takes no more.
pub(crate) fn run(args: &StatusArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone());
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    loop {
        let status = look(&dir, Clock::System.now()).map_err(Failure::failed)?;
        let text = if args.json { format!("{}\n", status.json()) } else { screen(&dir, &status, is_terminal) };
        let clear = if args.watch && is_terminal && !args.json { CLEAR } else { "" };
        if let Err(error) = print(&mut stdout.lock(), clear, &text) {
            // A reader that goes away ends the watch.
            output::checked(Err(error))?;
            return Ok(exit_code(&status));
        }
        if !args.watch {
            return Ok(exit_code(&status));
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn exit_code(status: &CaptureStatus) -> u8 {
    match status.health {
        Health::Healthy => DONE,
        Health::NotHealthy => FAILED,
        Health::NoCapture => NO_CAPTURE,
    }
}

fn screen(dir: &Path, status: &CaptureStatus, is_terminal: bool) -> String {
    let size = is_terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
    let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
    Screen::new(dir, status, rows).text().to_owned()
}

/// Prints text after a control sequence. Control characters of the text itself are escaped.
fn print(out: &mut impl Write, clear: &str, text: &str) -> io::Result<()> {
    write!(out, "{clear}")?;
    for line in text.lines() {
        writeln!(out, "{}", Escaped(line))?;
    }
    out.flush()
}
