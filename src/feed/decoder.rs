//! [`Decoder`]: one connection's frames to trades, tickers and control messages.
//!
//! 1. The kind is read off the frame's first bytes; what is not captured is passed over without being parsed.
//! 2. Every frame ends in exactly one [`FrameFate`], whatever its bytes; a frame that cannot be used changes nothing for the next.
//! 3. After warm-up a used frame allocates nothing: parser, tape and batch buffers are kept (bounded, see `json`).
//! 4. On the Advanced feed every frame's `sequence_num` is watched, that of passed-over channels included: a hole is told at once.
//!
//! One decoder belongs to one connection and one thread. Time of receipt comes in; no clock is read.

use crate::feed::control::{self, Control};
use crate::feed::handler::{FrameFate, Handler, Item, RejectReason};
use crate::feed::head::Head;
use crate::feed::json::{Nodes, Parser};
use crate::feed::{Feed, advanced, exchange};
use crate::record::Means;
use crate::time::{TimeCache, UnixNanos};

/// Turns one connection's frames into calls of a [`Handler`].
///
/// ```
/// use coltape::feed::{Decoder, Feed, FrameFate, Handler, Item, RejectReason, Control};
/// use coltape::record::{Ticker, Trade};
/// use coltape::time::{Timestamp, UnixNanos};
///
/// struct Prices(Vec<f64>);
/// impl Handler for Prices {
///     fn trade(&mut self, _: &[u8], trade: &Trade) { self.0.push(trade.price.as_f64) }
///     fn ticker(&mut self, _: &[u8], _: &Ticker) {}
///     fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}
///     fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}
///     fn reject_item(&mut self, _: Item, _: RejectReason) {}
///     fn control(&mut self, _: Control) {}
/// }
///
/// let frame = br#"{"channel":"market_trades","timestamp":"2026-08-09T21:05:48Z","sequence_num":0,"events":[{"type":"update","trades":[
///     {"product_id":"BTC-USD","trade_id":"7","price":"65083.67","size":"0.01","time":"2026-08-09T21:05:48.1Z","side":"SELL"}]}]}"#;
/// let mut prices = Prices(Vec::new());
/// let recv = UnixNanos(1_786_309_548_629_000_000);
/// assert_eq!(Decoder::new(Feed::Advanced, 0).decode(frame, recv, &mut prices), FrameFate::Used);
/// assert_eq!(prices.0, [65083.67]);
/// ```
pub struct Decoder {
    feed: Feed,
    line: u8,
    parser: Parser,
    times: TimeCache,
    waiting: Vec<advanced::Waiting>,
    next_sequence: u64,
}

impl Decoder {
    /// Makes the decoder of a line (0 to 15, stored with every trade) of a feed.
    #[must_use]
    pub fn new(feed: Feed, line: u8) -> Self {
        // A snapshot brings the last hundred trades of a product.
        let waiting = Vec::with_capacity(if feed == Feed::Advanced { 1024 } else { 0 });
        Self { feed, line, parser: Parser::new(), times: TimeCache::default(), waiting, next_sequence: 0 }
    }

    /// Starts over with a new connection, whose messages count from 0 again.
    pub fn begin_connection(&mut self) {
        self.next_sequence = 0;
    }

    /// Hands over what a frame holds; `recv` is the wall clock right after it was read.
    #[inline]
    pub fn decode<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> FrameFate {
        let fate = match Head::scan(self.feed, frame) {
            Err(_) => Err(RejectReason::NotJson),
            Ok(head) => match self.feed {
                Feed::Exchange => self.exchange(head, frame, recv, handler),
                Feed::Advanced => self.advanced(head, frame, recv, handler),
            },
        };
        fate.unwrap_or_else(FrameFate::Rejected)
    }

    fn exchange<H: Handler>(&mut self, head: Head<'_>, frame: &[u8], recv: UnixNanos, handler: &mut H) -> Result<FrameFate, RejectReason> {
        let (line, times) = (self.line, &mut self.times);
        let (item, handed_over) = match plain(head.kind)? {
            kind @ (b"match" | b"last_match") => {
                let means = if kind == b"match" { Means::Live } else { Means::Snapshot };
                let walk = |nodes: Nodes<'_, '_>, tape| exchange::trade((nodes, tape), times, recv, (line, means), handler);
                (Item::Trade, parse(&mut self.parser, head.body, frame, walk)?)
            }
            b"ticker" => {
                let walk = |nodes: Nodes<'_, '_>, tape| exchange::ticker((nodes, tape), times, recv, handler);
                (Item::Ticker, parse(&mut self.parser, head.body, frame, walk)?)
            }
            b"heartbeat" => {
                parse(&mut self.parser, head.body, frame, |nodes, tape| exchange::heartbeat((nodes, tape), times, handler))??;
                return Ok(FrameFate::Used);
            }
            b"subscriptions" => return self.control(frame, handler, control::exchange_subscriptions),
            b"error" => return self.control(frame, handler, control::error),
            b"status" => return self.control(frame, handler, control::status),
            _ => return Ok(FrameFate::Ignored),
        };
        if let Err(why) = handed_over {
            handler.reject_item(item, why);
            return Err(why);
        }
        Ok(FrameFate::Used)
    }

    fn advanced<H: Handler>(&mut self, head: Head<'_>, frame: &[u8], recv: UnixNanos, handler: &mut H) -> Result<FrameFate, RejectReason> {
        if let Some(got) = head.sequence {
            let expected = std::mem::replace(&mut self.next_sequence, got.wrapping_add(1));
            if got != expected {
                handler.control(Control::SequenceHole { expected, got });
            }
        }
        if head.channel.is_none() {
            // Only errors come without an envelope.
            return if plain(head.kind)? == b"error" { self.control(frame, handler, control::error) } else { Ok(FrameFate::Ignored) };
        }
        let (line, times, waiting) = (self.line, &mut self.times, &mut self.waiting);
        match plain(head.channel)? {
            b"market_trades" => self.parser.parse(frame, |nodes| advanced::trades(nodes, times, waiting, recv, line, handler))?,
            b"ticker" => self.parser.parse(frame, |nodes| advanced::tickers(nodes, times, recv, handler))?,
            b"heartbeats" => {
                // Its own time is in Go's format, and nothing depends on it.
                handler.heartbeat(None, 0, None);
                Ok(FrameFate::Control)
            }
            b"subscriptions" => self.control(frame, handler, control::advanced_subscriptions),
            _ => Ok(FrameFate::Ignored),
        }
    }

    #[cold]
    fn control<H: Handler>(
        &mut self,
        frame: &[u8],
        handler: &mut H,
        read: impl FnOnce(Nodes<'_, '_>) -> Result<Control, RejectReason>,
    ) -> Result<FrameFate, RejectReason> {
        let control = self.parser.parse(frame, read)??;
        handler.control(control);
        Ok(FrameFate::Control)
    }
}

/// Parses an Exchange message: what follows its type where that stands first, as it always does, else all of it.
#[inline(always)]
fn parse<R>(
    parser: &mut Parser,
    body: Option<&[u8]>,
    frame: &[u8],
    walk: impl FnOnce(Nodes<'_, '_>, exchange::Tape) -> R,
) -> Result<R, RejectReason> {
    match body {
        Some(body) => parser.parse_rest(body, |nodes| walk(nodes, exchange::Tape::Rest)),
        None => parser.parse(frame, |nodes| walk(nodes, exchange::Tape::Whole)),
    }
}

/// Refuses a kind that is missing or spelled with escapes, so that no trade hides behind one.
fn plain(kind: Option<&[u8]>) -> Result<&[u8], RejectReason> {
    kind.filter(|kind| !kind.contains(&b'\\')).ok_or(RejectReason::NoKind)
}
