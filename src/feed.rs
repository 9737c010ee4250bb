//! Coinbase: frames come in, trades and tickers go out.
//!
//! ```text
//!  Socket ──frame──▶ Decoder ──▶ Handler::{trade, ticker, heartbeat}     hot: no allocation, no lock, no system call but the read
//!    ▲                     └───▶ Handler::control ──▶ Session            cold: subscriptions, errors, the list of products
//!    └── connect, send, close ◀── actions ◀──────────────┘
//! ```
//!
//! Before a writer stores trades it puts them in order (`sequencer`), and so knows which trade ids are missing (`continuity`). Missing trades are requested
//! from [`rest`].
//!
//! 1. No bytes from the network cause a panic. A frame ends in exactly one [`FrameFate`], an element of a frame in exactly one call of the [`Handler`].
//! 2. A [`Handler`] gets the **taker's** side, trades in rising id within a frame, and only trades that break no rule of identity of
//!    [`Trade::validate`](crate::record::Trade::validate). Any spelling of a value is that value.
//! 3. [`Session`](session::Session), `Sequencer` and `Backoff` do no I/O and read no clock: an event and the time come in, actions go out.
//! 4. The layer knows no file and starts no thread. Between two frames it keeps only buffers and the connection's sequence number.
//!
//! The connections of both, WebSocket and REST, are made by [`connector`]: addresses, proxies, TLS, time.
//!
//! Only four places depend on which feed it is: [`Feed`], the file that reads the feed's messages, the [`Decoder`] that calls it, and the requests that
//! subscribe.

pub(crate) mod action;
pub(crate) mod awake;
pub(crate) mod backoff;
pub(crate) mod clock_check;
pub(crate) mod connector;
pub(crate) mod continuity;
pub(crate) mod control;
pub(crate) mod decoder;
pub(crate) mod doubts;
pub(crate) mod endpoint;
pub(crate) mod fetch_plan;
pub(crate) mod gap_event;
pub(crate) mod handler;
pub(crate) mod parse_check;
pub(crate) mod proxy;
pub(crate) mod rest;
pub(crate) mod retry_after;
pub(crate) mod sequencer;
pub(crate) mod session;
pub(crate) mod session_config;
pub(crate) mod socket;
pub(crate) mod socket_error;
pub(crate) mod ticker_marks;
pub(crate) mod timeouts;
pub(crate) mod tls;
pub(crate) mod trade_marks;

mod advanced;
mod event_time;
mod exchange;
mod fate;
mod field;
mod head;
mod http;
mod http_body;
mod json;
mod learned;
mod next_frame;
mod product_info;
mod protocol;
mod redirect;
mod reject;
mod reorder;
mod request;
mod response_head;
mod rest_clock;
mod shapes;
mod spelling;
mod subscription;
mod tcp_race;
mod template;
mod text;
mod transport;
mod tunnel;
mod upgrade;
mod user_agent;
mod uuid;
mod values;

pub use control::Control;
pub use decoder::Decoder;
pub use fate::FrameFate;
pub use handler::{Handler, Item};
pub(crate) use product_info::ProductInfo;
pub use protocol::Feed;
pub use reject::RejectReason;
