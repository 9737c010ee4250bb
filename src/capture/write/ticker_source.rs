//! [`TickerSource`]: which of several redundant lines supply a product's tickers.
//!
//! 1. Where tickers carry no id by which copies are known, one line at a time supplies them, until its connection is lost.
//! 2. Else every line that is in step does, and the first copy counts. A line whose connection is new is in step at once where no other line is, else after
//!    [`JOIN_TIME`]. A ticker that is older than one that was stored counts as a copy: without that time the tickers that other lines have not brought yet
//!    would be passed over because the new one is ahead of them.
//! 3. The connections' threads share it, one a product.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long the tickers of a new connection are left to the lines that are in step: longer than one line is behind another.
const JOIN_TIME: Duration = Duration::from_secs(1);

/// Which of several redundant lines a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinePlace {
    /// The line, from 0.
    pub number: u8,
    /// How it supplies tickers.
    pub tickers: TickerSharing,
}

/// How the redundant lines of a capture share the supply of tickers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickerSharing {
    /// There is one line.
    Alone,
    /// One line at a time supplies them.
    InTurn,
    /// All lines that are in step supply them.
    Together,
}

/// The line that supplies a product's tickers.
#[derive(Debug)]
pub(crate) struct TickerSource {
    /// The line that supplies them, where one at a time does.
    holder: AtomicU8,
    /// The lines that are in step, a bit each.
    in_step: AtomicU8,
}

/// How a line stands to the others of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Its connection has brought no ticker yet.
    New,
    /// Its tickers are left to the other lines, since then.
    Since(Instant),
    /// It is in step.
    Done,
}

/// Whether a line supplies a product's tickers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It does.
    Held,
    /// It does since just now.
    New,
    /// Another line does.
    Denied,
}

/// No line supplies tickers.
const NO_LINE: u8 = u8::MAX;

impl Default for TickerSource {
    fn default() -> Self {
        Self { holder: AtomicU8::new(NO_LINE), in_step: AtomicU8::new(0) }
    }
}

impl TickerSource {
    /// Has a line supply the tickers, unless another one does.
    pub(crate) fn claim(&self, line: u8) -> Claim {
        // Relaxed: this decides which of two equal copies is kept, and orders nothing else.
        match self.holder.load(Relaxed) {
            holder if holder == line => Claim::Held,
            NO_LINE if self.holder.compare_exchange(NO_LINE, line, Relaxed, Relaxed).is_ok() => Claim::New,
            _ => Claim::Denied,
        }
    }

    /// Tells how a line whose connection is new stands to the others when it brings a ticker.
    #[cold]
    pub(crate) fn join(&self, line: u8, joining: Joining, now: Instant) -> Joining {
        let since = if let Joining::Since(since) = joining { since } else { now };
        // Relaxed, as above. Where the other line is lost just now, the next ticker finds that out.
        let has_other = self.in_step.load(Relaxed) & !bit(line) != 0;
        if has_other && now.saturating_duration_since(since) < JOIN_TIME {
            return Joining::Since(since);
        }
        self.in_step.fetch_or(bit(line), Relaxed);
        Joining::Done
    }

    /// Takes note that a line does not bring the product any more.
    pub(crate) fn leave(&self, line: u8) {
        self.in_step.fetch_and(!bit(line), Relaxed);
    }

    /// Leaves the tickers to the line that claims them next, if this line supplies them.
    pub(crate) fn release(&self, line: u8) {
        let _ = self.holder.compare_exchange(line, NO_LINE, Relaxed, Relaxed);
    }
}

/// The bit of a line. There are at most four.
const fn bit(line: u8) -> u8 {
    1 << (line & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_step_at_once_where_no_other_is_and_else_after_a_while() {
        let (source, start) = (TickerSource::default(), Instant::now());
        assert_eq!(source.join(0, Joining::New, start), Joining::Done);
        let joining = source.join(1, Joining::New, start);
        assert_eq!(joining, Joining::Since(start));
        let before = start + JOIN_TIME - Duration::from_nanos(1);
        assert_eq!(source.join(1, joining, before), joining);
        assert_eq!(source.join(1, joining, start + JOIN_TIME), Joining::Done);
        // The first one is lost and comes again: the second one is in step.
        source.leave(0);
        assert_eq!(source.join(0, Joining::New, start), Joining::Since(start));
        source.leave(1);
        assert_eq!(source.join(0, Joining::Since(start), start), Joining::Done);
        // A line alone is never held up by itself.
        assert_eq!(source.join(0, Joining::New, start), Joining::Done);
    }
}
