//! What the commands that answer questions about a market share: which part of a time is known, exact sums, and the quote before and after a trade.
//!
//! ```text
//!   tape ──▶ coverage   which ids of a range of time are missing, whether the tape reaches its ends, and what the journal knows
//!        ├─▶ flow       trades of a day, column by column ──▶ tally: open, high, low, close, exact sums
//!        └─▶ quotes     the ticker before a trade, and the one after it
//! ```
//!
//! 1. Nothing here prints, and nothing is written.
//! 2. A snapshot is opened once and not refreshed, so that all that is said in one answer is of one moment.
//! 3. A value that the feed did not send is `None`, never 0.

pub(crate) mod basis;
pub(crate) mod candles;
pub(crate) mod coverage;
pub(crate) mod covered_day;
mod days;
pub(crate) mod error;
pub(crate) mod flow;
pub(crate) mod orders;
pub(crate) mod quantile;
pub(crate) mod quotes;
pub(crate) mod stats;
pub(crate) mod sum;
pub(crate) mod tally;

pub(crate) use crate::verdict::Verdict;
pub use basis::Basis;
pub use candles::{Candle, Candles, Fill, Interval};
pub use coverage::{Coverage, Doubt, MissingIds, StoredTrade};
pub use covered_day::CoveredDay;
pub use error::MarketError;
pub use orders::{Order, Orders, OrdersBasis};
pub use quotes::Quote;
pub use stats::{LargeTrade, Significant, Stats, StatsOf};
