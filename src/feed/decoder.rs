//! [`Decoder`]: turns one connection's frames into trades, tickers and control messages.
//!
//! 1. The type or channel is read from the frame's first bytes. A frame that is not captured is skipped without being parsed.
//! 2. Every frame ends in exactly one [`FrameFate`], whatever its bytes. A frame that cannot be used changes nothing for the next.
//! 3. After warm-up a used frame allocates nothing: the parser's and the batch's buffers are kept (bounded, see `json`).
//! 4. On the Advanced feed the `sequence_num` of every frame is checked, skipped ones included. A gap in it is reported at once.
//!
//! A decoder belongs to one connection and one thread. It reads no clock: the time of receipt comes in.

use super::control::Control;
use super::fate::FrameFate;
use super::handler::{Handler, Item};
use super::head::Head;
use super::json::{Nodes, Parser};
use super::protocol::Feed;
use super::reject::RejectReason;
use super::{advanced, exchange};
use crate::record::Means;
use crate::time::{TimeCache, UnixNanos};

/// Trades for which the Advanced feed's decoder has room at first: several snapshots, each of the last hundred trades of a product.
const SNAPSHOT_TRADES: usize = 1024;

/// Most trades for which it keeps room, some 10 MiB.
const KEPT_TRADES: usize = 1 << 16;

/// Turns one connection's frames into calls of a [`Handler`].
///
/// ```
/// use coltape::internals::feed::{Decoder, Feed, FrameFate, Handler, Item, RejectReason, Control};
/// use coltape::{Ticker, Trade};
/// use coltape::internals::time::{Timestamp, UnixNanos};
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
    unsorted: Vec<advanced::UnsortedTrade>,
    next_sequence: u64,
}

impl Decoder {
    /// Makes a decoder of a feed for a connection of a line (0 to 15, stored with every trade).
    #[must_use]
    pub fn new(feed: Feed, line: u8) -> Self {
        // A snapshot has the last hundred trades of a product.
        let unsorted = Vec::with_capacity(if feed == Feed::Advanced { SNAPSHOT_TRADES } else { 0 });
        Self { feed, line, parser: Parser::new(), times: TimeCache::default(), unsorted, next_sequence: 0 }
    }

    /// Starts over with a new connection, whose messages count from 0 again.
    pub fn begin_connection(&mut self) {
        self.next_sequence = 0;
    }

    /// Gives the handler what a frame holds. `recv` is the wall clock right after the frame was read.
    #[inline]
    pub fn decode<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> FrameFate {
        let fate = match self.feed {
            Feed::Exchange => self.exchange(frame, recv, handler),
            Feed::Advanced => self.advanced(frame, recv, handler),
        };
        fate.unwrap_or_else(FrameFate::Rejected)
    }

    fn exchange<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> Result<FrameFate, RejectReason> {
        let head = Head::scan_type(frame)?;
        let (line, times) = (self.line, &mut self.times);
        let (item, used) = match plain(head.kind)? {
            kind @ (b"match" | b"last_match") => {
                let means = if kind == b"match" { Means::Live } else { Means::Snapshot };
                let walk = |message: exchange::Message<'_, '_>| exchange::trade(message, times, recv, line, means, handler);
                (Item::Trade, parse(&mut self.parser, head.body, frame, walk)?)
            }
            b"ticker" => {
                let walk = |message: exchange::Message<'_, '_>| exchange::ticker(message, times, recv, handler);
                (Item::Ticker, parse(&mut self.parser, head.body, frame, walk)?)
            }
            b"heartbeat" => {
                parse(&mut self.parser, head.body, frame, |message| exchange::heartbeat(message, times, handler))??;
                return Ok(FrameFate::Used);
            }
            b"subscriptions" => return self.control(frame, handler, exchange::subscriptions),
            b"error" => return self.control(frame, handler, Control::read_error),
            b"status" => return self.control(frame, handler, exchange::status),
            _ => return Ok(FrameFate::Ignored),
        };
        if let Err(why) = used {
            handler.reject_item(item, why);
            return Err(why);
        }
        Ok(FrameFate::Used)
    }

    fn advanced<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> Result<FrameFate, RejectReason> {
        if self.unsorted.capacity() > KEPT_TRADES {
            // What one huge message needed is given back with the next one.
            self.unsorted = Vec::with_capacity(SNAPSHOT_TRADES);
        }
        let head = Head::scan_envelope(frame)?;
        if let Some(got) = head.sequence {
            let expected = std::mem::replace(&mut self.next_sequence, got.wrapping_add(1));
            if got != expected {
                handler.control(Control::SequenceGap { expected, got });
            }
        }
        if head.channel.is_none() {
            // Only errors come without an envelope.
            let is_error = plain(head.kind)? == b"error";
            return if is_error { self.control(frame, handler, Control::read_error) } else { Ok(FrameFate::Ignored) };
        }
        let (line, times, unsorted) = (self.line, &mut self.times, &mut self.unsorted);
        match plain(head.channel)? {
            b"market_trades" => self.parser.parse(frame, |nodes| advanced::trades(nodes, times, unsorted, recv, line, handler))?,
            b"ticker" => self.parser.parse(frame, |nodes| advanced::tickers(nodes, times, recv, handler))?,
            b"heartbeats" => {
                // Its own time is in Go's format, and nothing depends on it.
                handler.heartbeat(None, 0, None);
                Ok(FrameFate::Control)
            }
            b"subscriptions" => self.control(frame, handler, advanced::subscriptions),
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

/// Parses an Exchange message: what follows its type where that comes first, as it always does; otherwise all of it.
#[inline(always)]
fn parse<R>(
    parser: &mut Parser,
    body: Option<&[u8]>,
    frame: &[u8],
    walk: impl FnOnce(exchange::Message<'_, '_>) -> R,
) -> Result<R, RejectReason> {
    match body {
        Some(body) => parser.parse_rest(body, |nodes| walk(exchange::Message::AfterType(nodes))),
        None => parser.parse(frame, |nodes| walk(exchange::Message::Whole(nodes))),
    }
}

/// Rejects a type or channel that is missing or spelled with escapes, so that no trade can hide in it.
fn plain(kind: Option<&[u8]>) -> Result<&[u8], RejectReason> {
    kind.filter(|kind| !kind.contains(&b'\\')).ok_or(RejectReason::NoKind)
}
