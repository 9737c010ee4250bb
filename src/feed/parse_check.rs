//! [`ConnectionDecoder`]: the decoder of a connection, and with `--check-parse` a second one that reads every message by the parser alone.
//!
//! 1. Both decoders get the same frames, times and clock, and each carries along what it learns. Whatever they give is compared: fates, trades, tickers,
//!    heartbeats, exact texts, rejected elements, messages about the connection, in their order.
//! 2. What is stored is what the first decoder gives, as in a capture that compares nothing.
//! 3. Only debug builds compare. In a release build the second decoder does not exist, and a frame costs nothing more.
//!
//! Belongs to one connection and its thread. Comparing allocates: it is for tests, not for the hot path.

use std::fmt::Debug;
use std::sync::Arc;

use super::clock_check::MarketClock;
use super::control::Control;
use super::decoder::Decoder;
use super::fate::FrameFate;
use super::handler::{Handler, Item};
use super::protocol::Feed;
use super::reject::RejectReason;
use crate::record::{Ticker, Trade};
use crate::time::{Timestamp, UnixNanos};

/// Whether this build can compare the two ways of reading.
pub(crate) const CAN_CHECK: bool = cfg!(debug_assertions);

/// The decoder of a connection.
pub(crate) struct ConnectionDecoder {
    decoder: Decoder,
    check: Option<Box<ParseCheck>>,
}

/// The second decoder, and what was found.
struct ParseCheck {
    parsed: Decoder,
    clocks: Clocks,
    difference: Option<ParseDifference>,
}

/// What all connections know of the exchange's clock, and a copy for each decoder: another connection must not change it between the two.
struct Clocks {
    shared: Arc<MarketClock>,
    by_shape: Arc<MarketClock>,
    parsed: Arc<MarketClock>,
}

/// What the two ways give differently of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseDifference {
    /// The first thing that differs, as it was read by the shape; empty where nothing more came.
    pub(crate) by_shape: String,
    /// The same as the parser reads it.
    pub(crate) parsed: String,
}

impl ConnectionDecoder {
    /// Makes the decoder of a connection. With `is_checked` each frame is read both ways, if this build can do so.
    #[must_use]
    pub(crate) fn new(feed: Feed, line: u8, clock: Arc<MarketClock>, is_checked: bool) -> Self {
        if !is_checked || !CAN_CHECK {
            return Self { decoder: Decoder::with_clock(feed, line, clock), check: None };
        }
        let clocks = Clocks { shared: clock, by_shape: Arc::default(), parsed: Arc::default() };
        // Another line is another origin of each trade.
        #[cfg(test)]
        let other_line = line + u8::from(planted::take());
        #[cfg(not(test))]
        let other_line = line;
        let mut parsed = Decoder::with_clock(feed, other_line, Arc::clone(&clocks.parsed));
        parsed.read_without_shapes();
        let decoder = Decoder::with_clock(feed, line, Arc::clone(&clocks.by_shape));
        Self { decoder, check: Some(Box::new(ParseCheck { parsed, clocks, difference: None })) }
    }

    /// Starts over with a new connection.
    pub(crate) fn begin_connection(&mut self) {
        self.decoder.begin_connection();
        if let Some(check) = &mut self.check {
            check.parsed.begin_connection();
        }
    }

    /// Gives the handler what a frame holds; see [`Decoder::decode`].
    #[inline]
    pub(crate) fn decode<H: Handler>(&mut self, frame: &[u8], recv: UnixNanos, handler: &mut H) -> FrameFate {
        match &mut self.check {
            Some(check) if CAN_CHECK => check.compare(&mut self.decoder, handler, |decoder, tee| decoder.decode(frame, recv, tee)),
            _ => self.decoder.decode(frame, recv, handler),
        }
    }

    /// Gives up the frames that have waited too long for the clock to be settled; see [`Decoder::expire`].
    #[inline]
    pub(crate) fn expire<H: Handler>(&mut self, now: UnixNanos, handler: &mut H) {
        match &mut self.check {
            Some(check) if CAN_CHECK => check.compare(&mut self.decoder, handler, |decoder, tee| decoder.expire(now, tee)),
            _ => self.decoder.expire(now, handler),
        }
    }

    /// Gives up the frames that wait for the clock to be settled; see [`Decoder::finish`].
    pub(crate) fn finish<H: Handler>(&mut self, handler: &mut H) {
        match &mut self.check {
            Some(check) if CAN_CHECK => check.compare(&mut self.decoder, handler, |decoder, tee| decoder.finish(tee)),
            _ => self.decoder.finish(handler),
        }
    }

    /// Tells whether the two ways are compared.
    #[inline]
    #[must_use]
    pub(crate) fn is_checked(&self) -> bool {
        CAN_CHECK && self.check.is_some()
    }

    /// Takes what was found different since the last call, the first such thing.
    pub(crate) fn take_difference(&mut self) -> Option<ParseDifference> {
        self.check.as_mut()?.difference.take()
    }
}

impl ParseCheck {
    /// Has both decoders do the same, and compares all that they give.
    #[cold]
    fn compare<H: Handler, R: Debug>(
        &mut self,
        decoder: &mut Decoder,
        handler: &mut H,
        read: impl Fn(&mut Decoder, &mut Tee<'_, H>) -> R,
    ) -> R {
        let offset = self.clocks.shared.offset();
        self.clocks.by_shape.take_over(offset);
        self.clocks.parsed.take_over(offset);
        let (mut by_shape, mut parsed) = (Tee { told: Vec::new(), handler: Some(handler) }, Tee { told: Vec::new(), handler: None });
        let ended = read(decoder, &mut by_shape);
        by_shape.told.push(format!("{ended:?}"));
        let ended_parsed = read(&mut self.parsed, &mut parsed);
        parsed.told.push(format!("{ended_parsed:?}"));
        let found = self.clocks.by_shape.offset();
        if found != offset {
            self.clocks.shared.take_over(found);
        }
        if by_shape.told != parsed.told {
            self.difference.get_or_insert_with(|| ParseDifference::between(by_shape.told, parsed.told));
        }
        ended
    }
}

impl ParseDifference {
    /// Gives the first thing that differs.
    fn between(by_shape: Vec<String>, parsed: Vec<String>) -> Self {
        let same = by_shape.iter().zip(&parsed).take_while(|(one, other)| one == other).count();
        let nth = |told: Vec<String>| told.into_iter().nth(same).unwrap_or_default();
        Self { by_shape: nth(by_shape), parsed: nth(parsed) }
    }
}

/// Writes down what a decoder gives, and passes it on where there is somebody.
struct Tee<'h, H> {
    told: Vec<String>,
    handler: Option<&'h mut H>,
}

impl<H: Handler> Tee<'_, H> {
    fn tell(&mut self, text: String, pass_on: impl FnOnce(&mut H)) {
        self.told.push(text);
        if let Some(handler) = &mut self.handler {
            pass_on(handler);
        }
    }
}

impl<H: Handler> Handler for Tee<'_, H> {
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        self.tell(format!("{} {trade:?}", product.escape_ascii()), |handler| handler.trade(product, trade));
    }

    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        self.tell(format!("{} {ticker:?}", product.escape_ascii()), |handler| handler.ticker(product, ticker));
    }

    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>) {
        let name = product.unwrap_or_default().escape_ascii();
        self.tell(format!("heartbeat {name} {last_trade_id} {time:?}"), |handler| handler.heartbeat(product, last_trade_id, time));
    }

    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]) {
        let said = format!("{} {column} of {key}: {}", product.escape_ascii(), text.escape_ascii());
        self.tell(said, |handler| handler.inexact(product, column, key, text));
    }

    fn flaw(&mut self, why: RejectReason) {
        self.tell(format!("flaw: {why:?}"), |handler| handler.flaw(why));
    }

    fn begin_held(&mut self, frame: &[u8], recv: UnixNanos) {
        self.tell(format!("held {recv:?} {}", frame.escape_ascii()), |handler| handler.begin_held(frame, recv));
    }

    fn end_held(&mut self, frame: &[u8], fate: FrameFate) {
        self.tell(format!("{fate:?} {}", frame.escape_ascii()), |handler| handler.end_held(frame, fate));
    }

    fn reject_item(&mut self, item: Item, why: RejectReason) {
        self.tell(format!("{item:?} rejected: {why:?}"), |handler| handler.reject_item(item, why));
    }

    fn control(&mut self, control: Control) {
        self.tell(format!("{control:?}"), |handler| handler.control(control));
    }
}

/// A fault that a test plans: the calling thread's next decoder that is checked reads differently.
#[cfg(test)]
pub(crate) mod planted {
    use std::cell::Cell;

    thread_local! {
        static IS_PLANNED: Cell<bool> = const { Cell::new(false) };
    }

    /// Plans it.
    pub(crate) fn plan() {
        IS_PLANNED.set(true);
    }

    pub(super) fn take() -> bool {
        IS_PLANNED.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything, and counts the trades and tickers.
    #[derive(Default)]
    struct Count {
        trades: usize,
        tickers: usize,
    }

    impl Handler for Count {
        fn trade(&mut self, _: &[u8], _: &Trade) {
            self.trades += 1;
        }
        fn ticker(&mut self, _: &[u8], _: &Ticker) {
            self.tickers += 1;
        }
        fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {}
        fn inexact(&mut self, _: &[u8], _: &'static str, _: u64, _: &[u8]) {}
        fn reject_item(&mut self, _: Item, _: RejectReason) {}
        fn control(&mut self, _: Control) {}
    }

    const RECV: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

    fn trade(id: u64) -> Vec<u8> {
        format!(
            r#"{{"type":"match","trade_id":{id},"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","side":"sell","size":"0.5","price":"65083.67","product_id":"BTC-USD","sequence":{},"time":"2026-08-09T21:05:48.629000Z"}}"#,
            id * 3
        )
        .into_bytes()
    }

    /// Has messages of many kinds read, useless ones among them. Gives the differences.
    fn read_all(decoder: &mut ConnectionDecoder, count: &mut Count) -> Vec<ParseDifference> {
        let mut found = Vec::new();
        let mut frames: Vec<Vec<u8>> = (1..200).map(trade).collect();
        frames.insert(7, br#"{"type":"match","trade_id":1}"#.to_vec());
        frames.insert(90, b"no JSON".to_vec());
        frames.insert(100, trade(101).to_ascii_lowercase());
        // A time far ahead: the frame is held back, and given up at the end.
        frames.insert(150, String::from_utf8_lossy(&trade(1000)).replace("2026-08-09", "2027-08-09").into_bytes());
        for frame in &frames {
            decoder.decode(frame, RECV, count);
            found.extend(decoder.take_difference());
        }
        decoder.expire(UnixNanos(RECV.0 + 60_000_000_000), count);
        decoder.finish(count);
        found.extend(decoder.take_difference());
        found
    }

    #[test]
    fn both_ways_give_the_same_and_the_handler_gets_it_once() {
        let clock = Arc::<MarketClock>::default();
        let mut decoder = ConnectionDecoder::new(Feed::Exchange, 1, Arc::clone(&clock), true);
        let (mut checked, mut plain) = (Count::default(), Count::default());
        assert_eq!(read_all(&mut decoder, &mut checked), []);
        assert_eq!(decoder.is_checked(), CAN_CHECK);
        assert!(decoder.decoder.read_by_shape() > 100, "most messages were read by their shape");
        let mut alone = ConnectionDecoder::new(Feed::Exchange, 1, Arc::default(), false);
        assert_eq!((read_all(&mut alone, &mut plain), alone.is_checked()), (vec![], false));
        assert_eq!((checked.trades, checked.tickers), (plain.trades, plain.tickers));
        assert!(checked.trades > 190 && clock.offset().is_some(), "what a connection learns of the clock, all learn");
    }

    #[test]
    fn a_difference_is_found_and_named() {
        planted::plan();
        let mut decoder = ConnectionDecoder::new(Feed::Exchange, 1, Arc::default(), true);
        let found = read_all(&mut decoder, &mut Count::default());
        assert_eq!(found.len() > 190, CAN_CHECK, "each trade differs");
        if let Some(ParseDifference { by_shape, parsed }) = found.first() {
            assert!(by_shape != parsed && by_shape.contains("BTC-USD Trade") && parsed.contains("BTC-USD Trade"), "{by_shape} {parsed}");
        }
    }

    #[test]
    fn the_first_thing_that_differs_is_given() {
        let told = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let between = |one: &[&str], other: &[&str]| {
            let ParseDifference { by_shape, parsed } = ParseDifference::between(told(one), told(other));
            format!("{by_shape}|{parsed}")
        };
        assert_eq!(between(&["a", "b", "end"], &["a", "c", "end"]), "b|c");
        assert_eq!(between(&["a"], &["a", "b"]), "|b");
        assert_eq!(between(&["end"], &["a", "end"]), "end|a");
    }
}
