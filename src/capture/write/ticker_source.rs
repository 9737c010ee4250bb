//! [`TickerSource`]: which of several redundant lines supplies a product's tickers, where tickers carry no id by which copies are known.
//!
//! 1. One line at a time supplies them, until its connection is lost.
//! 2. The connections' threads share it, one a product.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Which of several redundant lines a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinePlace {
    /// The line, from 0.
    pub number: u8,
    /// Whether one line at a time supplies tickers.
    pub shares_tickers: bool,
}

/// The line that supplies a product's tickers.
#[derive(Debug)]
pub(crate) struct TickerSource(AtomicU8);

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
        Self(AtomicU8::new(NO_LINE))
    }
}

impl TickerSource {
    /// Has a line supply the tickers, unless another one does.
    pub(crate) fn claim(&self, line: u8) -> Claim {
        // Relaxed: this decides which of two equal copies is kept, and orders nothing else.
        match self.0.load(Relaxed) {
            holder if holder == line => Claim::Held,
            NO_LINE if self.0.compare_exchange(NO_LINE, line, Relaxed, Relaxed).is_ok() => Claim::New,
            _ => Claim::Denied,
        }
    }

    /// Leaves the tickers to the line that claims them next, if this line supplies them.
    pub(crate) fn release(&self, line: u8) {
        let _ = self.0.compare_exchange(line, NO_LINE, Relaxed, Relaxed);
    }
}
