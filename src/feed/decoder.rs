//! [`Decoder`]: turns one connection's frames into trades, tickers and control messages.
//!
//! 1. The type or channel is read from the frame's first bytes. A frame that is not captured is skipped without being parsed.
//! 2. Every frame ends in exactly one [`FrameFate`], whatever its bytes. A frame that cannot be used changes nothing for the next.
//! 3. After warm-up a used frame allocates nothing: the parser's and the batch's buffers are kept (bounded, see `json`).
//! 4. On the Advanced feed the `sequence_num` of every frame is checked, skipped ones included. A gap in it is reported at once.
//! 5. A frame is read as the feeds spell it. One that cannot be used so is respelled ([`super::spelling`]) and read again, before anything of it is rejected.
//! 6. A message of a shape that came before is read by it, any other by the parser ([`super::shapes`]). Both give the same.
//! 7. A frame with a time too far ahead of the exchange's clock is held back until what follows settles which of the two is wrong ([`super::clock_check`]).
//!    At most [`MAX_HELD_FRAMES`] and [`MAX_HELD_BYTES`] are; beyond that the oldest is refuted.
//!
//! A decoder belongs to one connection and one thread. It reads no clock: the time of receipt comes in.

use std::collections::VecDeque;
use std::sync::Arc;

use super::advanced::Elements;
use super::clock_check::{ClockCheck, FrameTimes, MarketClock, SETTLED_WITHIN_NANOS, Verdict};
use super::control::Control;
use super::fate::FrameFate;
use super::handler::{Handler, Item};
use super::head::Head;
use super::json::{Nodes, Parser};
use super::protocol::Feed;
use super::reject::RejectReason;
use super::text::{Shapes, Text, read_batch};
use super::{advanced, exchange, spelling};
use crate::decimal;
use crate::record::Means;
use crate::time::UnixNanos;

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
    shapes: Shapes,
    times: FrameTimes,
    clock: ClockCheck,
    unsorted: Vec<advanced::UnsortedTrade>,
    read_tickers: Vec<advanced::ReadTicker>,
    next_sequence: u64,
    /// Whether the sequence number of the present frame was checked.
    is_sequence_checked: bool,
    held: Held,
}

/// Most frames that are held back at once.
const MAX_HELD_FRAMES: usize = 1024;

/// Most bytes of frames that are held back at once.
const MAX_HELD_BYTES: usize = 4 << 20;

/// Frames whose times lie ahead, until it is settled whether they or the box's clock are wrong.
#[derive(Default)]
struct Held {
    frames: VecDeque<HeldFrame>,
    bytes: usize,
}

struct HeldFrame {
    bytes: Box<[u8]>,
    recv: UnixNanos,
}

impl Held {
    fn push(&mut self, frame: &[u8], recv: UnixNanos) {
        self.bytes += frame.len();
        self.frames.push_back(HeldFrame { bytes: frame.into(), recv });
    }

    fn pop(&mut self) -> Option<HeldFrame> {
        let held = self.frames.pop_front()?;
        self.bytes -= held.bytes.len();
        Some(held)
    }

    fn is_full(&self) -> bool {
        self.frames.len() > MAX_HELD_FRAMES || self.bytes > MAX_HELD_BYTES
    }
}

/// Whether a frame with a time too far ahead may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Waits,
    IsRejected,
}

impl Decoder {
    /// Makes a decoder of a feed for a connection of a line (0 to 15, stored with every trade).
    #[must_use]
    pub fn new(feed: Feed, line: u8) -> Self {
        Self::with_clock(feed, line, Arc::default())
    }

    /// Makes a decoder that shares what it learns of the exchange's clock.
    #[must_use]
    pub(crate) fn with_clock(feed: Feed, line: u8, clock: Arc<MarketClock>) -> Self {
        // A snapshot has the last hundred trades of a product.
        let (trades, tickers) = if feed == Feed::Advanced { (SNAPSHOT_TRADES, 64) } else { (0, 0) };
        Self {
            feed,
            line,
            parser: Parser::new(),
            shapes: Shapes::default(),
            times: FrameTimes::default(),
            clock: ClockCheck::new(clock),
            unsorted: Vec::with_capacity(trades),
            read_tickers: Vec::with_capacity(tickers),
            next_sequence: 0,
            is_sequence_checked: false,
            held: Held::default(),
        }
    }

    /// Leaves every message to the parser, to compare the two ways.
    pub fn read_without_shapes(&mut self) {
        self.shapes.are_used = false;
    }

    /// Counts the frames that were read by their shape. A held or respelled one counts each time it is read.
    #[must_use]
    pub fn read_by_shape(&self) -> u64 {
        self.shapes.found()
    }

    /// Starts over with a new connection, whose messages count from 0 again.
    pub fn begin_connection(&mut self) {
        self.next_sequence = 0;
    }

    /// Gives the handler what a frame holds. `recv` is the wall clock right after the frame was read.
    #[inline]
    pub fn decode<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> FrameFate {
        self.times.begin(recv, self.clock.market(recv));
        self.is_sequence_checked = false;
        let fate = match self.attempt(frame, Elements::All, handler) {
            Ok(fate) => fate,
            Err(why) => self.attempt_again(frame, why, Ahead::Waits, handler),
        };
        match self.clock.note(&self.times) {
            Verdict::Open => {}
            verdict => self.settle(verdict, handler),
        }
        fate
    }

    /// Gives up the frames that have waited too long for the clock to be settled. `now` is the wall clock. Called now and then.
    #[inline]
    pub fn expire<H: Handler>(&mut self, now: UnixNanos, handler: &mut H) {
        // A clock that was set meanwhile is no reason to wait on.
        if self.held.frames.front().is_some_and(|held| now.0.abs_diff(held.recv.0) >= SETTLED_WITHIN_NANOS) {
            self.finish(handler);
        }
    }

    /// Gives up the frames that wait for the clock to be settled, as nothing follows that could do it.
    pub fn finish<H: Handler>(&mut self, handler: &mut H) {
        self.clock.settle();
        self.settle(Verdict::Refuted, handler);
    }

    /// Gives the handler the frames that were held back, or rejects them.
    #[cold]
    fn settle<H: Handler>(&mut self, verdict: Verdict, handler: &mut H) {
        // A confirmed clock may still be too early for some of them. They are held again, and settled by what follows.
        let ahead = if verdict == Verdict::Confirmed { Ahead::Waits } else { Ahead::IsRejected };
        for _ in 0..self.held.frames.len() {
            let Some(held) = self.held.pop() else { break };
            self.release(&held, ahead, handler);
        }
    }

    fn release<H: Handler>(&mut self, held: &HeldFrame, ahead: Ahead, handler: &mut H) {
        self.times.begin(held.recv, self.clock.market(held.recv));
        self.is_sequence_checked = true;
        handler.begin_held(&held.bytes, held.recv);
        let fate = match self.attempt_cold(&held.bytes, Elements::All, handler) {
            Ok(fate) => fate,
            Err(why) => self.attempt_again(&held.bytes, why, ahead, handler),
        };
        if fate == FrameFate::Held {
            self.clock.remember(&self.times);
        }
        handler.end_held(&held.bytes, fate);
    }

    /// Reads a frame that could not be used as it is: holds it back, or respells it, or gives the handler as much of it as can be used.
    #[cold]
    fn attempt_again<H: Handler>(&mut self, frame: &[u8], why: RejectReason, ahead: Ahead, handler: &mut H) -> FrameFate {
        if why == RejectReason::Doubt && ahead == Ahead::Waits {
            return self.hold(frame, handler);
        }
        let Some(respelled) = spelling::respelled(frame) else { return FrameFate::Rejected(why) };
        match self.attempt_cold(&respelled, Elements::All, handler) {
            Ok(fate) => fate,
            Err(RejectReason::Doubt) if ahead == Ahead::Waits => self.hold(frame, handler),
            Err(_) => self.attempt_cold(&respelled, Elements::Any, handler).unwrap_or_else(FrameFate::Rejected),
        }
    }

    fn hold<H: Handler>(&mut self, frame: &[u8], handler: &mut H) -> FrameFate {
        let named = std::mem::take(&mut self.times);
        self.held.push(frame, named.recv);
        while self.held.is_full() {
            let Some(oldest) = self.held.pop() else { break };
            self.release(&oldest, Ahead::IsRejected, handler);
        }
        self.times = named;
        FrameFate::Held
    }

    /// Reads a frame off the hot path: a function of its own, so that the usual way stays short.
    #[cold]
    #[inline(never)]
    fn attempt_cold<H: Handler>(&mut self, frame: &[u8], wanted: Elements, handler: &mut H) -> Result<FrameFate, RejectReason> {
        self.attempt(frame, wanted, handler)
    }

    /// Reads a frame. With [`Elements::All`] the handler is not called where this fails, but for a gap in the sequence numbers, which is reported once.
    #[inline(always)]
    fn attempt<H: Handler>(&mut self, frame: &[u8], wanted: Elements, handler: &mut H) -> Result<FrameFate, RejectReason> {
        match self.feed {
            Feed::Exchange => self.exchange(frame, wanted, handler),
            Feed::Advanced => self.advanced(frame, wanted, handler),
        }
    }

    #[inline(always)]
    fn exchange<H: Handler>(&mut self, frame: &[u8], wanted: Elements, handler: &mut H) -> Result<FrameFate, RejectReason> {
        let head = Head::scan_type(frame)?;
        let (line, times, shapes, parser) = (self.line, &mut self.times, &mut self.shapes, &mut self.parser);
        let text = Text { frame, body: head.body, are_shapes_used: shapes.are_used };
        let (item, used) = match plain(head.kind)? {
            kind @ (b"match" | b"last_match") => {
                let means = if kind == b"match" { Means::Live } else { Means::Snapshot };
                let walk = |message: exchange::Message<'_, '_>| exchange::trade(message, times, line, means, wanted, handler);
                (Item::Trade, text.read::<10>(parser, &mut shapes.matches, exchange::match_names(), walk)?)
            }
            b"ticker" => {
                let walk = |message: exchange::Message<'_, '_>| exchange::ticker(message, times, handler);
                (Item::Ticker, text.read::<17>(parser, &mut shapes.tickers, exchange::ticker_names(), walk)?)
            }
            b"heartbeat" => {
                let walk = |message: exchange::Message<'_, '_>| exchange::heartbeat(message, times, handler);
                text.read::<5>(parser, &mut shapes.heartbeats, exchange::heartbeat_names(), walk)??;
                return Ok(FrameFate::Used);
            }
            b"subscriptions" => return self.control(frame, handler, exchange::subscriptions),
            b"error" => return self.control(frame, handler, Control::read_error),
            b"status" => return self.control(frame, handler, exchange::status),
            _ => return Ok(FrameFate::Ignored),
        };
        if let Err(why) = used {
            if wanted == Elements::Any {
                handler.reject_item(item, why);
            }
            return Err(why);
        }
        Ok(FrameFate::Used)
    }

    fn advanced<H: Handler>(&mut self, frame: &[u8], wanted: Elements, handler: &mut H) -> Result<FrameFate, RejectReason> {
        if self.unsorted.capacity() > KEPT_TRADES {
            // What one huge message needed is given back with the next one.
            self.unsorted = Vec::with_capacity(SNAPSHOT_TRADES);
        }
        let head = Head::scan_envelope(frame)?;
        if let Some(got) = head.sequence.filter(|_| !self.is_sequence_checked) {
            self.is_sequence_checked = true;
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
        let (line, times, unsorted, read) = (self.line, &mut self.times, &mut self.unsorted, &mut self.read_tickers);
        match plain(head.channel)? {
            b"market_trades" => {
                let walk = |message: advanced::Message<'_, '_>| advanced::trades(message, times, unsorted, line, wanted, handler);
                let names = advanced::trade_names();
                read_batch(
                    frame,
                    &mut self.parser,
                    self.shapes.are_used.then_some(&mut self.shapes.trade_batches),
                    advanced::TRADES,
                    names,
                    walk,
                )
            }
            b"ticker" => {
                let walk = |message: advanced::Message<'_, '_>| advanced::tickers(message, times, read, wanted, handler);
                let names = advanced::ticker_names();
                read_batch(
                    frame,
                    &mut self.parser,
                    self.shapes.are_used.then_some(&mut self.shapes.ticker_batches),
                    advanced::TICKERS,
                    names,
                    walk,
                )
            }
            b"heartbeats" => {
                // Its own time is in Go's format; the envelope's says the same.
                let sent = head.timestamp.and_then(|text| times.cache.parse(text).ok()?.to_unix());
                times.note_present(sent.unwrap_or_default());
                handler.heartbeat(None, 0, None);
                Ok(FrameFate::Control)
            }
            b"subscriptions" => self.control(frame, handler, advanced::subscriptions),
            b"status" => self.control(frame, handler, advanced::status),
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

/// Tells whether a kind is a number that was respelled, and no name.
#[inline]
fn is_number(kind: &[u8]) -> bool {
    matches!(kind.first(), Some(b'-' | b'0'..=b'9')) && decimal::parse(kind).is_ok()
}

/// Gives the type or channel, unless it is missing or spelled with escapes: then the frame is respelled, so that no trade can hide in it.
fn plain(kind: Option<&[u8]>) -> Result<&[u8], RejectReason> {
    kind.filter(|kind| !kind.contains(&b'\\') && !is_number(kind)).ok_or(RejectReason::NoKind)
}
