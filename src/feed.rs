//! Coinbase: frames in, trades and tickers out.
//!
//! ```text
//!  Socket ──frame──▶ Decoder ──▶ Handler::{trade, ticker, heartbeat}     hot: no allocation, no lock, no system call but the read
//!    ▲                     └───▶ Handler::control ──▶ Session            cold: subscriptions, errors, the list of products
//!    └── connect, send, close ◀── actions ◀──────────────┘
//! ```
//!
//! 1. Nothing that comes over the wire panics: a frame ends in exactly one [`FrameFate`], an element of a frame in one handler call.
//! 2. What a [`Handler`] gets speaks of the **taker's** side, in rising trade id within a frame, already held against [`Trade::validate`](crate::record::Trade::validate).
//! 3. [`Session`](session::Session) and [`Backoff`](backoff::Backoff) do no I/O and read no clock: (event, now) in, action out.
//! 4. The room knows no file, starts no thread, and keeps nothing between frames but buffers and the connection's sequence number.

pub mod backfill;
pub mod backoff;
pub mod continuity;
pub mod control;
pub mod decoder;
pub mod endpoint;
pub mod gap;
pub mod handler;
pub mod quarantine;
pub mod reorder;
pub mod rest;
pub mod sequencer;
pub mod session;
pub mod socket;
pub mod tls;

mod advanced;
mod exchange;
mod field;
mod head;
mod json;
mod request;
mod subscription;
mod uuid;
mod wire;

pub use control::{Control, ProductInfo};
pub use decoder::Decoder;
pub use handler::{FrameFate, Handler, Item, RejectReason};

/// Which of Coinbase's two public feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Feed {
    /// The Exchange feed: `ticker`, `matches`, `heartbeat`, `status`.
    #[default]
    Exchange,
    /// The Advanced Trade feed: `ticker`, `market_trades`, `heartbeats`.
    Advanced,
}

impl Feed {
    /// Names the feed as the command line and the journal spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Advanced => "advanced",
        }
    }

    /// Gives the public WebSocket endpoint.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        match self {
            Self::Exchange => "wss://ws-feed.exchange.coinbase.com",
            Self::Advanced => "wss://advanced-trade-ws.coinbase.com",
        }
    }

    /// Gives the REST endpoint that fills gaps: both feeds share the trade ids of this one.
    #[must_use]
    pub const fn default_rest_url(self) -> &'static str {
        "https://api.exchange.coinbase.com"
    }

    /// Names the channel that carries individual trades.
    #[must_use]
    pub const fn trade_channel(self) -> &'static str {
        match self {
            Self::Exchange => "matches",
            Self::Advanced => "market_trades",
        }
    }

    /// Names the channel that proves that the connection lives.
    #[must_use]
    pub const fn heartbeat_channel(self) -> &'static str {
        match self {
            Self::Exchange => "heartbeat",
            Self::Advanced => "heartbeats",
        }
    }
}
