//! The ticker turn: which of redundant lines supplies a product's tickers, where they carry no id by which copies are known.
//!
//! 1. One line at a time has it; it keeps it until its connection is lost.
//! 2. Used by the connections' threads; a product's turn is shared by all lines.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Which of several redundant lines a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub struct LinePlace {
    /// The line, from 0.
    pub number: u8,
    /// Whether the lines take turns in supplying tickers.
    pub shares_tickers: bool,
}

/// The line that supplies a product's tickers, where lines take turns.
#[derive(Debug)]
pub struct TickerSource(AtomicU8);

/// No line supplies tickers.
const NOBODY: u8 = u8::MAX;

impl Default for TickerSource {
    fn default() -> Self {
        Self(AtomicU8::new(NOBODY))
    }
}

impl TickerSource {
    /// Takes the turn where nobody has it. Tells whether the line has it now, and whether it has just taken it.
    pub fn take(&self, line: u8) -> (bool, bool) {
        // Relaxed: a decision about which of two equal copies is kept; nothing else is handed over by it.
        match self.0.load(Relaxed) {
            holder if holder == line => (true, false),
            NOBODY => {
                let taken = self.0.compare_exchange(NOBODY, line, Relaxed, Relaxed).is_ok();
                (taken, taken)
            }
            _ => (false, false),
        }
    }

    /// Leaves the turn to whoever takes it next; tells whether this line had it.
    pub fn let_go(&self, line: u8) -> bool {
        self.0.compare_exchange(line, NOBODY, Relaxed, Relaxed).is_ok()
    }
}
