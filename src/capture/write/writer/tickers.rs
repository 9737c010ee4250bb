//! The writer's tickers: merged by sequence where there is one. An older ticker is passed over; one that lies absurdly far ahead is doubted.

use super::Writer;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::step::Remaining;
use crate::record::{Record, Ticker};

/// Jump of the ticker's sequence beyond which a single message is not believed: 2^40, years of the busiest product.
const ABSURD_SEQUENCE_JUMP: u64 = 1 << 40;

/// Where a ticker's sequence stands to the last one stored.
enum Position {
    /// Above it, or the ticker has none.
    Newer,
    /// Not above it.
    Stale,
    /// Too far above it to be believed at once.
    Absurd,
}

impl Writer {
    const fn sequence_position(&self, sequence: u64) -> Position {
        if sequence.saturating_sub(self.last_sequence) > ABSURD_SEQUENCE_JUMP {
            Position::Absurd
        } else if sequence == 0 || sequence > self.last_sequence {
            Position::Newer
        } else {
            Position::Stale
        }
    }

    /// Stores a ticker. With less effort than [`Effort::Any`] only a newer one is stored.
    #[inline]
    pub(super) fn take_ticker(&mut self, ticker: &Ticker, effort: Effort) -> Remaining {
        match self.sequence_position(ticker.sequence) {
            Position::Newer => {
                if self.doubted_ticker.is_some() && ticker.sequence != 0 {
                    self.refute_doubted_ticker();
                }
                self.write_ticker(ticker, effort)
            }
            _ if effort < Effort::Any => Remaining::NeedsWriter,
            Position::Stale => {
                self.metrics.tickers.stale.one();
                Remaining::Nothing
            }
            Position::Absurd => {
                self.doubt_ticker(ticker);
                Remaining::Nothing
            }
        }
    }

    /// Believes two tickers that lie far ahead and agree with each other; doubts one that comes alone.
    #[cold]
    fn doubt_ticker(&mut self, ticker: &Ticker) {
        if let Some(doubted) = self.doubted_ticker.take() {
            if ticker.sequence > doubted.sequence && ticker.sequence - doubted.sequence <= ABSURD_SEQUENCE_JUMP {
                self.write_ticker(&doubted, Effort::Any);
                self.write_ticker(ticker, Effort::Any);
                return;
            }
            self.reject_ticker(&doubted);
        }
        self.doubted_ticker = Some(*ticker);
    }

    #[cold]
    fn refute_doubted_ticker(&mut self) {
        if let Some(doubted) = self.doubted_ticker.take() {
            self.reject_ticker(&doubted);
        }
    }

    pub(super) fn reject_ticker(&self, ticker: &Ticker) {
        self.metrics.tickers.rejected.one();
        let raw = format!("{} ticker sequence {} trade {}", self.product, ticker.sequence, ticker.trade_id);
        self.context.journal.reject("ticker sequence too far ahead, never confirmed", raw.as_bytes());
    }

    #[inline]
    fn write_ticker(&mut self, ticker: &Ticker, effort: Effort) -> Remaining {
        let outcome = self.write(Record::Ticker(ticker), effort);
        let counts = &self.metrics.tickers;
        match outcome {
            Outcome::NeedsPage => return Remaining::NeedsPage,
            Outcome::NeedsWriter => return Remaining::NeedsWriter,
            Outcome::Written => counts.written.one(),
            Outcome::Late => counts.late.one(),
            Outcome::Duplicate | Outcome::Conflict | Outcome::NotKept => counts.stale.one(),
            Outcome::Blocked => {
                counts.shed.one();
                return Remaining::Nothing;
            }
        }
        self.last_sequence = self.last_sequence.max(ticker.sequence);
        if matches!(outcome, Outcome::Written | Outcome::Late) {
            self.note_received(ticker.recv, effort);
        }
        Remaining::Nothing
    }
}
