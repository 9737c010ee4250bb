//! [`TickerSource`]: which of several redundant lines supply a product's tickers.
//!
//! 1. Where tickers carry no id by which copies are known, one line at a time supplies them, until its connection is lost.
//! 2. Else every line that is in step does, and the first copy counts. A ticker that is older than one that was stored counts as a copy. So a line whose
//!    connection is new must not be ahead of tickers that only others can bring. It keeps what it brings ([`Joining`]) until a ticker of its own is the newest
//!    that is stored: what it has kept behind that one is passed on, and it is in step. The same ticker has the same sequence on every line.
//! 3. It is in step at once where no other line is, or is left. [`PATIENCE`] ends the waiting where the others bring nothing.
//! 4. The connections' threads share it, one a product.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::record::Ticker;

/// How long a new connection keeps its tickers at most: as long as a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many it keeps at most. The oldest ones are left to the other lines then.
const MAX_KEPT: usize = 16 * 1024;

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
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Joining {
    /// Its connection has brought no ticker yet.
    #[default]
    New,
    /// It keeps its tickers until it is known which of them the others have brought.
    Waiting(Box<Kept>),
    /// It is in step.
    Done,
}

/// The tickers of a line that is not in step.
#[derive(Debug, PartialEq)]
pub(crate) struct Kept {
    tickers: VecDeque<Ticker>,
    since: Instant,
    /// A sequence that was stored and that this line has still to bring, or 0.
    awaited: u64,
}

/// What becomes of the tickers that a line has kept.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Released {
    /// How many are left to the other lines.
    pub left: u64,
    /// Those to be passed on, oldest first.
    pub passed_on: VecDeque<Ticker>,
}

impl Kept {
    /// Finds how many are up to the one that is the newest that is stored, or was while this line had still to bring it.
    fn up_to_stored(&mut self, stored: u64) -> Option<usize> {
        if stored == 0 {
            return None;
        }
        let newest = self.tickers.back().map_or(0, |ticker| ticker.sequence);
        if newest == self.awaited && newest != 0 {
            return Some(self.tickers.len());
        }
        let found = self.tickers.iter().rev().take_while(|ticker| ticker.sequence >= stored).position(|ticker| ticker.sequence == stored);
        if found.is_none() && stored > newest && self.awaited <= newest {
            self.awaited = stored;
        }
        found.map(|from_end| self.tickers.len() - from_end)
    }
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

    /// Takes what a line brings that is not in step, and tells what is to be done with it. `stored` is the sequence of the newest ticker that is stored, or 0.
    /// Without a ticker it is a look at whether the others have been lost.
    #[cold]
    pub(crate) fn join(&self, line: u8, joining: &mut Joining, ticker: Option<&Ticker>, stored: u64, now: Instant) -> Released {
        let mut kept = match (std::mem::take(joining), ticker) {
            (Joining::Waiting(kept), _) => kept,
            (Joining::New, Some(_)) => Box::new(Kept { tickers: VecDeque::new(), since: now, awaited: 0 }),
            (other, _) => {
                *joining = other;
                return Released::default();
            }
        };
        kept.tickers.extend(ticker);
        // Relaxed, as above. Where the other line is lost just now, the next look finds that out.
        let has_other = self.in_step.load(Relaxed) & !bit(line) != 0;
        let is_over = !has_other || now.saturating_duration_since(kept.since) >= PATIENCE;
        let left = match kept.up_to_stored(stored) {
            _ if is_over => 0,
            Some(left) => left,
            None => {
                let left = kept.tickers.len().saturating_sub(MAX_KEPT);
                kept.tickers.drain(..left);
                *joining = Joining::Waiting(kept);
                return Released { left: left as u64, passed_on: VecDeque::new() };
            }
        };
        kept.tickers.drain(..left);
        *joining = Joining::Done;
        self.in_step.fetch_or(bit(line), Relaxed);
        Released { left: left as u64, passed_on: kept.tickers }
    }

    /// Takes note that a line does not bring the product any more, and tells what is to be done with the tickers that it has kept.
    pub(crate) fn leave(&self, line: u8, joining: &mut Joining) -> Released {
        let has_other = self.in_step.fetch_and(!bit(line), Relaxed) & !bit(line) != 0;
        match std::mem::take(joining) {
            Joining::Waiting(kept) if has_other => Released { left: kept.tickers.len() as u64, passed_on: VecDeque::new() },
            Joining::Waiting(kept) => Released { left: 0, passed_on: kept.tickers },
            Joining::New | Joining::Done => Released::default(),
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
    use crate::capture::write::fixture::ticker;

    #[test]
    fn a_line_is_in_step_when_one_of_its_tickers_is_the_newest_stored_and_at_once_where_there_is_no_other() {
        let (source, start) = (TickerSource::default(), Instant::now());
        let (mut first, mut second) = (Joining::New, Joining::New);
        let bring = |line, joining: &mut Joining, sequence, stored, after| {
            let released = source.join(line, joining, Some(&ticker(sequence)), stored, start + after);
            (released.left, released.passed_on.iter().map(|ticker| ticker.sequence).collect::<Vec<_>>())
        };
        let soon = Duration::from_secs(9);
        assert_eq!((bring(0, &mut first, 5, 0, Duration::ZERO), &first), ((0, vec![5]), &Joining::Done));
        // Ahead of the other one, however long it takes; a sequence that no line brings says nothing.
        assert_eq!(bring(1, &mut second, 8, 5, Duration::ZERO), (0, vec![]));
        assert_eq!(bring(1, &mut second, 9, 1 << 60, soon), (0, vec![]));
        assert_eq!(bring(1, &mut second, 11, 7, soon), (0, vec![]));
        assert_eq!((bring(1, &mut second, 12, 9, soon), &second), ((2, vec![11, 12]), &Joining::Done));
        // Behind it: what was stored comes here, too, later.
        source.leave(1, &mut second);
        assert_eq!(bring(1, &mut second, 20, 25, Duration::ZERO), (0, vec![]));
        assert_eq!(bring(1, &mut second, 22, 30, Duration::ZERO), (0, vec![]));
        assert_eq!((bring(1, &mut second, 25, 33, Duration::ZERO), &second), ((3, vec![]), &Joining::Done));
        // The other one brings nothing for too long.
        source.leave(1, &mut second);
        assert_eq!(bring(1, &mut second, 40, 33, Duration::ZERO), (0, vec![]));
        assert_eq!((bring(1, &mut second, 41, 33, PATIENCE), &second), ((0, vec![40, 41]), &Joining::Done));
    }

    #[test]
    fn what_a_line_has_kept_is_passed_on_where_the_other_one_is_lost() {
        let (source, now) = (TickerSource::default(), Instant::now());
        let (mut first, mut second, mut third) = (Joining::New, Joining::New, Joining::New);
        let sequences = |released: Released| released.passed_on.iter().map(|ticker| ticker.sequence).collect::<Vec<_>>();
        source.join(0, &mut first, Some(&ticker(1)), 0, now);
        source.join(1, &mut second, Some(&ticker(3)), 1, now);
        source.join(2, &mut third, Some(&ticker(4)), 1, now);
        assert_eq!(source.leave(2, &mut third), Released { left: 1, passed_on: VecDeque::new() }, "the first one brings it");
        assert_eq!(source.join(1, &mut second, None, 1, now), Released::default());
        source.leave(0, &mut first);
        assert_eq!(sequences(source.join(1, &mut second, None, 1, now)), [3], "without a further ticker");
        source.join(0, &mut first, Some(&ticker(7)), 3, now);
        source.leave(1, &mut second);
        assert_eq!(sequences(source.leave(0, &mut first)), [7]);
        assert_eq!(source.join(0, &mut first, None, 7, now), Released::default());
        assert_eq!(first, Joining::New);
    }

    #[test]
    fn a_line_keeps_so_many_tickers_at_most() {
        let (source, now) = (TickerSource::default(), Instant::now());
        let (mut first, mut second) = (Joining::New, Joining::New);
        source.join(0, &mut first, Some(&ticker(1)), 0, now);
        let most = MAX_KEPT as u64;
        for sequence in 2..2 + most {
            assert_eq!(source.join(1, &mut second, Some(&ticker(sequence)), 1, now), Released::default());
        }
        assert_eq!(source.join(1, &mut second, Some(&ticker(2 + most)), 1, now).left, 1);
        let released = source.join(1, &mut second, Some(&ticker(3 + most)), 3, now);
        assert_eq!((released.left, released.passed_on.len()), (1, MAX_KEPT), "of the one that is stored on");
    }
}
