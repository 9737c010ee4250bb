//! [`TickerSource`]: which of several redundant lines supply a product's tickers.
//!
//! 1. Where tickers carry no id by which copies are known, one line at a time supplies them, until its connection is lost.
//! 2. Else every line that is in step does, and the first copy counts. A ticker that is older than one that was stored counts as a copy. So a line whose
//!    connection is new must not be ahead of tickers that only others can bring. It keeps what it brings ([`Joining`]) until a ticker of its own is the newest
//!    that is stored: what it has kept behind that one is passed on, and it is in step. The same ticker has the same sequence on every line.
//! 3. Where no line is in step, the one whose tickers go back furthest is next, without waiting. One that has brought nothing yet is not
//!    waited for. [`PATIENCE`] ends the waiting where the others bring nothing.
//! 4. A line that is lost leaves its place when what it has brought is in the columns or the queue. The one that takes it goes by the queue, behind that.
//! 5. The connections' threads share it, one a product.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::capture::report::metrics::MAX_LINES;
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
    /// How the lines stand to each other. Only a line that joins or leaves takes the lock.
    places: Mutex<[Place; MAX_LINES]>,
}

/// How a line stands to the others, as these see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// It brings nothing.
    #[default]
    Away,
    /// It keeps its tickers, from this sequence on.
    Waiting(u64),
    /// It is in step.
    InStep,
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
    /// When the others last brought something.
    since: Instant,
    /// The sequence of the newest ticker that was stored then, or 0.
    stored: u64,
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
    /// Whether they go behind what a line that was lost has left in the queue.
    pub is_behind_queue: bool,
}

impl Kept {
    /// Gives the sequence that they begin with.
    fn first(&self) -> u64 {
        self.tickers.front().map_or(u64::MAX, |ticker| ticker.sequence)
    }

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
        Self { holder: AtomicU8::new(NO_LINE), places: Mutex::default() }
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
            (Joining::New, Some(_)) => Box::new(Kept { tickers: VecDeque::new(), since: now, stored, awaited: 0 }),
            (other, _) => {
                *joining = other;
                return Released::default();
            }
        };
        kept.tickers.extend(ticker);
        if std::mem::replace(&mut kept.stored, stored) != stored {
            kept.since = now;
        }
        let mut places = self.places.lock();
        let is_behind_queue = is_next(&places, line, kept.first()) || now.saturating_duration_since(kept.since) >= PATIENCE;
        let left = match kept.up_to_stored(stored) {
            _ if is_behind_queue => 0,
            Some(left) => left,
            None => {
                let left = kept.tickers.len().saturating_sub(MAX_KEPT);
                kept.tickers.drain(..left);
                set(&mut places, line, Place::Waiting(kept.first()));
                *joining = Joining::Waiting(kept);
                return Released { left: left as u64, ..Released::default() };
            }
        };
        kept.tickers.drain(..left);
        *joining = Joining::Done;
        set(&mut places, line, Place::InStep);
        Released { left: left as u64, passed_on: kept.tickers, is_behind_queue }
    }

    /// Tells what is to be done with the tickers of a line that does not bring the product any more. [`TickerSource::leave`] follows when that is done.
    pub(crate) fn give_up(&self, line: u8, joining: &mut Joining) -> Released {
        let has_other = others(&self.places.lock(), line).any(|(_, place)| place == Place::InStep);
        match std::mem::take(joining) {
            Joining::Waiting(kept) if has_other => Released { left: kept.tickers.len() as u64, ..Released::default() },
            Joining::Waiting(kept) => Released { left: 0, passed_on: kept.tickers, is_behind_queue: true },
            Joining::New | Joining::Done => Released::default(),
        }
    }

    /// Takes note that all that a line has brought is in the columns or the queue, and no more comes.
    pub(crate) fn leave(&self, line: u8) {
        set(&mut self.places.lock(), line, Place::Away);
    }

    /// Leaves the tickers to the line that claims them next, if this line supplies them.
    pub(crate) fn release(&self, line: u8) {
        let _ = self.holder.compare_exchange(line, NO_LINE, Relaxed, Relaxed);
    }
}

fn set(places: &mut [Place; MAX_LINES], line: u8, to: Place) {
    if let Some(place) = places.get_mut(usize::from(line)) {
        *place = to;
    }
}

/// Gives the other lines and how they stand.
fn others(places: &[Place; MAX_LINES], line: u8) -> impl Iterator<Item = (u8, Place)> {
    (0..).zip(places.iter().copied()).filter(move |(other, _)| *other != line)
}

/// Tells whether a line that keeps tickers from `first` on is the next in step: no other one is, and none goes back further.
fn is_next(places: &[Place; MAX_LINES], line: u8, first: u64) -> bool {
    others(places, line).all(|(other, place)| match place {
        Place::Away => true,
        Place::Waiting(from) => (first, line) < (from, other),
        Place::InStep => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::write::fixture::ticker;

    fn leave(source: &TickerSource, line: u8, joining: &mut Joining) -> Released {
        let released = source.give_up(line, joining);
        source.leave(line);
        released
    }

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
        leave(&source, 1, &mut second);
        assert_eq!(bring(1, &mut second, 20, 25, Duration::ZERO), (0, vec![]));
        assert_eq!(bring(1, &mut second, 22, 30, Duration::ZERO), (0, vec![]));
        assert_eq!((bring(1, &mut second, 25, 33, Duration::ZERO), &second), ((3, vec![]), &Joining::Done));
        // The other one brings nothing for too long.
        leave(&source, 1, &mut second);
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
        assert_eq!(leave(&source, 2, &mut third), Released { left: 1, ..Released::default() }, "the first one brings it");
        assert_eq!(source.join(1, &mut second, None, 1, now), Released::default());
        leave(&source, 0, &mut first);
        assert_eq!(sequences(source.join(1, &mut second, None, 1, now)), [3], "without a further ticker");
        source.join(0, &mut first, Some(&ticker(7)), 3, now);
        leave(&source, 1, &mut second);
        assert_eq!(sequences(leave(&source, 0, &mut first)), [7]);
        assert_eq!(source.join(0, &mut first, None, 7, now), Released::default());
        assert_eq!(first, Joining::New);
    }

    #[test]
    fn where_no_line_is_in_step_the_one_that_goes_back_furthest_is_next() {
        let (source, now) = (TickerSource::default(), Instant::now());
        let (mut first, mut second, mut third) = (Joining::New, Joining::New, Joining::New);
        let sequences = |released: Released| released.passed_on.iter().map(|ticker| ticker.sequence).collect::<Vec<_>>();
        source.join(0, &mut first, Some(&ticker(1)), 0, now);
        source.join(1, &mut second, Some(&ticker(4)), 1, now);
        source.join(2, &mut third, Some(&ticker(3)), 1, now);
        leave(&source, 0, &mut first);
        // One that comes anew is ahead of what both have kept.
        assert_eq!(sequences(source.join(0, &mut first, Some(&ticker(6)), 1, now)), Vec::<u64>::new());
        assert_eq!(sequences(source.join(1, &mut second, Some(&ticker(5)), 1, now)), Vec::<u64>::new());
        let released = source.join(2, &mut third, None, 1, now);
        assert!(released.is_behind_queue, "what the first one has left there is older");
        assert_eq!(sequences(released), [3]);
        assert_eq!(sequences(source.join(1, &mut second, None, 3, now)), Vec::<u64>::new());
        let released = source.join(1, &mut second, None, 4, now);
        assert!(!released.is_behind_queue);
        assert_eq!(sequences(released), [5]);
        assert_eq!(leave(&source, 0, &mut first).left, 1);
    }

    #[test]
    fn a_line_waits_as_long_as_the_others_bring_something() {
        let (source, start) = (TickerSource::default(), Instant::now());
        let (mut first, mut second) = (Joining::New, Joining::New);
        source.join(0, &mut first, Some(&ticker(1)), 0, start);
        for step in 1..=5 {
            let released = source.join(1, &mut second, Some(&ticker(100 + u64::from(step))), u64::from(step), start + PATIENCE * step);
            assert_eq!(released, Released::default(), "{step}");
        }
        assert_eq!(source.join(1, &mut second, None, 5, start + PATIENCE * 6).passed_on.len(), 5);
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
