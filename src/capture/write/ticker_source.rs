//! [`TickerSource`]: which of several redundant lines supply a product's tickers.
//!
//! 1. Where tickers carry no id by which copies are known, one line at a time supplies them, until its connection is lost.
//! 2. Else every line that is in step does, and the first copy counts. A ticker that is older than one that was stored counts as a copy. So a line whose
//!    connection is new must not be ahead of tickers that only others can bring: it is in step [`JOIN_TIME`] after another line has come as far as its first
//!    ticker, or at once where no other line is in step. [`PATIENCE`] ends that where the others bring nothing.
//! 3. The connections' threads share it, one a product.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long the tickers of a new connection are left to the lines that are in step when one of these has come as far as it: what that one has brought is stored
/// by then.
const JOIN_TIME: Duration = Duration::from_millis(500);

/// How long they are left to lines that do not come as far: as long as a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The highest sequence that one of these has brought.
    reached: AtomicU64,
}

/// How a line stands to the others of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Its connection has brought no ticker yet.
    New,
    /// Its tickers are left to the other lines, which have not come as far as its first one.
    Ahead { first: u64, since: Instant },
    /// One of them has, at that time.
    Met(Instant),
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
        Self { holder: AtomicU8::new(NO_LINE), in_step: AtomicU8::new(0), reached: AtomicU64::new(0) }
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

    /// Tells how a line whose connection is new stands to the others when it brings a ticker of this sequence.
    #[cold]
    pub(crate) fn join(&self, line: u8, joining: Joining, sequence: u64, now: Instant) -> Joining {
        let is_over = |since: Instant, time| now.saturating_duration_since(since) >= time;
        // Relaxed, as above. Where the other line is lost just now, the next ticker finds that out.
        let has_other = self.in_step.load(Relaxed) & !bit(line) != 0;
        let joining = match joining {
            Joining::New => Joining::Ahead { first: sequence, since: now },
            joining => joining,
        };
        let next = match joining {
            _ if !has_other => Joining::Done,
            Joining::Ahead { since, .. } if is_over(since, PATIENCE) => Joining::Done,
            Joining::Ahead { first, .. } if self.reached.load(Relaxed) >= first => Joining::Met(now),
            Joining::Met(at) if is_over(at, JOIN_TIME) => Joining::Done,
            joining => joining,
        };
        if next == Joining::Done {
            self.in_step.fetch_or(bit(line), Relaxed);
        }
        next
    }

    /// Takes note of a ticker that a line has brought that is in step.
    #[inline]
    pub(crate) fn note(&self, sequence: u64) {
        // Two lines bring the same ones: most of the time the other one has noted it.
        if sequence > self.reached.load(Relaxed) {
            self.reached.fetch_max(sequence, Relaxed);
        }
    }

    /// Takes note that a line does not bring the product any more.
    pub(crate) fn leave(&self, line: u8) {
        if self.in_step.fetch_and(!bit(line), Relaxed) & !bit(line) == 0 {
            // Whoever comes next begins anew: sequences may, too.
            self.reached.store(0, Relaxed);
        }
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
    fn a_line_is_in_step_when_another_one_has_come_as_far_and_at_once_where_there_is_none() {
        let (source, start) = (TickerSource::default(), Instant::now());
        let late = start + Duration::from_secs(9);
        assert_eq!(source.join(0, Joining::New, 5, start), Joining::Done);
        source.note(5);
        let ahead = source.join(1, Joining::New, 8, start);
        assert_eq!(ahead, Joining::Ahead { first: 8, since: start });
        source.note(7);
        assert_eq!(source.join(1, ahead, 20, late), ahead, "however long it takes");
        source.note(8);
        let met = source.join(1, ahead, 21, late);
        assert_eq!(met, Joining::Met(late));
        assert_eq!(source.join(1, met, 22, late + JOIN_TIME - Duration::from_nanos(1)), met);
        assert_eq!(source.join(1, met, 23, late + JOIN_TIME), Joining::Done);
        // The first one is lost and comes again: the second one is in step.
        source.leave(0);
        assert_eq!(source.join(0, Joining::New, 30, start), Joining::Ahead { first: 30, since: start });
        assert_eq!(source.join(0, ahead, 31, start + PATIENCE), Joining::Done, "the other one brings nothing");
        source.leave(0);
        source.leave(1);
        assert_eq!(source.join(0, ahead, 32, start), Joining::Done);
        // A line alone is never held up by itself.
        assert_eq!(source.join(0, Joining::New, 1, start), Joining::Done);
    }
}
