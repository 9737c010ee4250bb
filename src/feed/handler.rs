//! [`Handler`]: what takes the elements of a frame from the decoder.
//!
//! 1. Every trade and ticker of a frame that is JSON leads to exactly one call: `trade`, `ticker` or `reject_item`.
//! 2. All calls but `control` and `inexact` are on the hot path.

use super::control::Control;
use super::reject::RejectReason;
use crate::record::{Ticker, Trade};
use crate::time::Timestamp;

/// Takes the elements of frames.
pub trait Handler {
    /// Takes a trade that has passed [`Trade::validate`]. The trades of one frame come in rising id.
    fn trade(&mut self, product: &[u8], trade: &Trade);

    /// Takes a ticker whose time is plausible and whose numbers are all 0 or above.
    fn ticker(&mut self, product: &[u8], ticker: &Ticker);

    /// Takes the newest trade id of a product, as the exchange states it.
    ///
    /// On the Advanced feed a heartbeat belongs to the connection: it has no product, id 0 and no time.
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>);

    /// Takes a decimal text that its f64 does not print back, after the record that holds the nearest f64.
    ///
    /// `column` is the name in the schema. `key` is the trade id; for a ticker its sequence, or the receive time in nanoseconds where it has none.
    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]);

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
