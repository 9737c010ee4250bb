//! [`Handler`]: what takes the elements of a frame from the decoder.
//!
//! 1. Every trade and ticker of a frame that is JSON leads to exactly one call: `trade`, `ticker` or `reject_item`.
//! 2. All calls but `control`, `inexact`, `flaw`, `snapshot` and those about held frames are on the hot path.

use super::control::Control;
use super::fate::FrameFate;
use super::reject::RejectReason;
use crate::record::{Ticker, Trade};
use crate::time::{Timestamp, UnixNanos};

/// Takes the elements of frames.
pub trait Handler {
    /// Takes a trade that breaks no rule of identity of [`Trade::validate`]. The trades of one frame come in rising id.
    fn trade(&mut self, product: &[u8], trade: &Trade);

    /// Takes a ticker whose time is plausible and whose numbers are all 0 or above.
    fn ticker(&mut self, product: &[u8], ticker: &Ticker);

    /// Takes the newest trade id of a product, as the exchange states it.
    ///
    /// On the Advanced feed a heartbeat belongs to the connection: it has no product, id 0 and no time.
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>);

    /// Takes a decimal text that its f64 does not print back, **before** the record that holds the nearest f64: so it can be kept before its record is.
    ///
    /// `column` is the name in the schema. `key` is the trade id; for a ticker its sequence, or the receive time in nanoseconds where it has none.
    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]);

    /// Takes note of a rule that the trade given next breaks, though it is a trade all the same. Does nothing unless implemented.
    fn flaw(&mut self, why: RejectReason) {
        let _ = why;
    }

    /// Takes note that the ticker given next was sent on subscribing: it says how the product stood then, and was sent to this connection alone. Does nothing
    /// unless implemented.
    fn snapshot(&mut self) {}

    /// Begins a frame that was held back since `recv` because its times contradict the clock. What it holds follows, then [`Handler::end_held`]. Does nothing
    /// unless implemented.
    fn begin_held(&mut self, frame: &[u8], recv: UnixNanos) {
        let _ = (frame, recv);
    }

    /// Ends a frame that was held back: now it has its fate. Does nothing unless implemented.
    fn end_held(&mut self, frame: &[u8], fate: FrameFate) {
        let _ = (frame, fate);
    }

    /// Takes note of one trade or ticker that cannot be used.
    fn reject_item(&mut self, item: Item, why: RejectReason);

    /// Takes a message about the connection.
    fn control(&mut self, control: Control);
}

/// The kinds of element that a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// One execution.
    Trade,
    /// One ticker update.
    Ticker,
}
