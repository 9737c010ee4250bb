//! [`ProgressDisplay`]: shows how far a long command is: a bar on a terminal, else a line every ten seconds. All of it goes to stderr.
//!
//! 1. Work that is over within a second shows nothing.
//! 2. Whether stderr can be written to does not matter to the work.
//! 3. A log line takes the place of the bar, which is drawn again below it ([`make_room`]).

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::output;
use crate::escape::Escaped;
use crate::progress::{Observer, Step};

/// How long work goes on before a terminal shows a bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether a bar stands on the terminal.
static HAS_BAR: AtomicBool = AtomicBool::new(false);

/// Clears the bar's line, if a bar stands there, for a line that is written now.
pub(super) fn make_room(out: &mut impl Write) -> std::io::Result<()> {
    if HAS_BAR.load(Relaxed) { out.write_all(b"\r\x1b[K") } else { Ok(()) }
}

/// Shows progress until it is dropped.
pub(super) struct ProgressDisplay(Arc<Mutex<Shown>>);

struct Shown {
    begun: Instant,
    is_terminal: bool,
    bar: Option<ProgressBar>,
    lines: Lines,
}

impl ProgressDisplay {
    /// Shows nothing yet.
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self(Arc::new(Mutex::new(Shown { begun: Instant::now(), is_terminal, bar: None, lines: Lines::default() })))
    }

    /// Gives what is told of the work.
    pub(super) fn observer(&self) -> Observer {
        let shown = Arc::clone(&self.0);
        Observer::new(move |step| shown.lock().show(step))
    }

    /// Shows how far the work is.
    pub(super) fn show(&self, step: &Step) {
        self.0.lock().show(step);
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        if let Some(bar) = self.0.lock().bar.take() {
            bar.finish_and_clear();
            HAS_BAR.store(false, Relaxed);
        }
    }
}

impl Shown {
    fn show(&mut self, step: &Step) {
        let since = self.begun.elapsed();
        if !self.is_terminal {
            if let Some(line) = self.lines.line(since, step) {
                output::note(&line);
            }
            return;
        }
        if since < BAR_AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            HAS_BAR.store(true, Relaxed);
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{msg} [{wide_bar}] {percent} %, {eta} left");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
        });
        bar.set_length(step.of.max(step.done));
        bar.set_message(Escaped(format!("{}: {} of {} {}", step.what, step.done, step.of, step.unit)).to_string());
        bar.set_position(step.done);
    }
}

/// Decides when a line is due, and what it says. Times are since the beginning of the command.
#[derive(Debug, Default)]
struct Lines {
    /// When the last line was due.
    last: Duration,
    /// The piece of work that goes on: what is counted, of how many, and since when with how many done.
    piece: Option<(&'static str, u64, Duration, u64)>,
}

impl Lines {
    /// Gives the line that is due, if one is.
    fn line(&mut self, now: Duration, step: &Step) -> Option<String> {
        let is_same = self.piece.is_some_and(|(unit, of, _, done)| (unit, of) == (step.unit, step.of) && done <= step.done);
        if !is_same {
            self.piece = Some((step.unit, step.of, now, step.done));
        }
        if now.saturating_sub(self.last) < LINE_INTERVAL {
            return None;
        }
        self.last = now;
        let (_, _, since, before) = self.piece?;
        Some(describe(step, step.done.saturating_sub(before), now.saturating_sub(since)))
    }
}

/// Says how far the work is; with how fast it was and what is left of it where that can be told.
fn describe(step: &Step, done: u64, within: Duration) -> String {
    let Step { what, done: at, of, unit } = step;
    let mut line = match at.saturating_mul(100).checked_div(*of) {
        Some(percent) => format!("{what}: {at} of {of} {unit} ({} %)", percent.min(100)),
        None => format!("{what}: {at} {unit}"),
    };
    let rate = done as f64 / within.as_secs_f64();
    if rate.is_finite() && rate > 0.0 {
        line.push_str(&format!(", {rate:.0} {unit}/s"));
        if let Ok(left) = Duration::try_from_secs_f64(of.saturating_sub(*at) as f64 / rate)
            && at < of
        {
            line.push_str(&format!(", about {} left", spelled(left)));
        }
    }
    line
}

/// Spells a time in its two greatest units.
fn spelled(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &str, done: u64, of: u64) -> Step {
        Step::new(what.to_owned(), done, of, "records")
    }

    #[test]
    fn a_line_is_due_every_ten_seconds_and_none_before() {
        let mut lines = Lines::default();
        // A tenth of a second between two looks, for a minute.
        let due: Vec<u64> = (0..=600).filter(|at| lines.line(Duration::from_millis(at * 100), &step("it", *at, 1000)).is_some()).collect();
        assert_eq!(due, [100, 200, 300, 400, 500, 600]);
    }

    #[test]
    fn a_line_says_how_far_the_work_is_how_fast_it_was_and_what_is_left() {
        let mut lines = Lines::default();
        let mut at = |seconds, step: &Step| lines.line(Duration::from_secs(seconds), step);
        assert_eq!(at(1, &step("BTC-USD", 0, 90_000)), None);
        let line = at(11, &step("BTC-USD", 10_000, 90_000));
        assert_eq!(line.as_deref(), Some("BTC-USD: 10000 of 90000 records (11 %), 1000 records/s, about 1 min 20 s left"));
        // Another piece of work has a rate of its own.
        assert_eq!(at(20, &step("ETH-USD", 0, 500)), None);
        assert_eq!(at(22, &step("ETH-USD", 100, 500)).as_deref(), Some("ETH-USD: 100 of 500 records (20 %), 50 records/s, about 8 s left"));
        assert_eq!(at(32, &step("ETH-USD", 500, 500)).as_deref(), Some("ETH-USD: 500 of 500 records (100 %), 42 records/s"));
        assert_eq!(at(42, &step("REST", 7, 0)).as_deref(), Some("REST: 7 records"), "neither a total nor a rate is known");
    }

    #[test]
    fn no_number_makes_a_line_impossible() {
        for (done, of) in [(0, 0), (1, 0), (u64::MAX / 100, u64::MAX), (5, 3), (0, u64::MAX)] {
            for within in [0, 1, 1_000_000_000] {
                assert!(describe(&step("it", done, of), done, Duration::from_secs(within)).starts_with("it: "));
            }
        }
        assert_eq!(spelled(Duration::ZERO), "1 s");
        assert_eq!(spelled(Duration::from_secs(7322)), "2 h 2 min");
    }

    #[test]
    fn a_log_line_clears_the_line_of_a_bar_and_nothing_else() {
        let mut out = Vec::new();
        make_room(&mut out).expect("written");
        assert!(out.is_empty());
    }
}
