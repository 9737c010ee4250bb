//! The writer's tickers: merged by sequence where there is one, older ones passed over, an absurd one doubted.

use super::Writer;
use crate::capture::write::queue::QueueReceiver;
use crate::record::Ticker;
use crate::store::Inserted;

/// Jump of the ticker's sequence beyond which a single message is not believed: 2^40, years of the busiest product.
const ABSURD_SEQUENCE_JUMP: u64 = 1 << 40;

impl Writer {
    pub(super) fn take_ticker(&mut self, queue: &QueueReceiver, ticker: Ticker) {
        let sequence = ticker.sequence;
        if sequence != 0 && sequence <= self.last_sequence {
            self.metrics.tickers.stale.one();
            return;
        }
        let is_absurd = self.is_absurd(sequence);
        let doubted = if sequence == 0 { None } else { self.doubted_ticker.take() };
        if let Some(doubted) = doubted {
            // Two messages that far ahead agree with each other: the first was right. Otherwise it was absurd.
            if is_absurd && sequence > doubted.sequence && sequence - doubted.sequence <= ABSURD_SEQUENCE_JUMP {
                self.put_ticker(queue, &doubted);
                self.put_ticker(queue, &ticker);
                return;
            }
            self.reject_ticker(&doubted);
        }
        if is_absurd {
            self.doubted_ticker = Some(ticker);
        } else {
            self.put_ticker(queue, &ticker);
        }
    }

    /// Tells whether a sequence lies too far ahead to be believed at once.
    pub(super) const fn is_absurd(&self, sequence: u64) -> bool {
        sequence.saturating_sub(self.last_sequence) > ABSURD_SEQUENCE_JUMP
    }

    pub(super) fn reject_ticker(&self, ticker: &Ticker) {
        self.metrics.tickers.rejected.one();
        let raw = format!("{} ticker sequence {} trade {}", self.product, ticker.sequence, ticker.trade_id);
        self.context.journal.reject("ticker sequence too far ahead, never confirmed", raw.as_bytes());
    }

    fn put_ticker(&mut self, queue: &QueueReceiver, ticker: &Ticker) {
        let inserted = self.patiently(queue, |open_days| open_days.insert_ticker(ticker));
        let counts = &self.metrics.tickers;
        match inserted {
            None => counts.shed.one(),
            Some(Inserted::Duplicate | Inserted::Conflict(_)) => counts.stale.one(),
            Some(Inserted::Appended) => counts.written.one(),
            Some(Inserted::Late) => counts.late.one(),
        }
        if inserted.is_some() {
            self.last_sequence = self.last_sequence.max(ticker.sequence);
            self.note_received(ticker.recv);
        }
    }
}
