//! Messages of the Advanced Trade feed, in the recorded key order and spelling.
//!
//! 1. A message is kept in pieces until it is sent, because `sequence_num` is the connection's own and a connection gets only the products it asked
//!    for: [`Parts`] holds one piece of text a product, [`write_message`] puts envelope and chosen pieces together.
//! 2. Within a piece trades stand newest first; `side` is the maker's, in capitals; trade ids are strings; times are trimmed.
//! 3. Order ids, sequence numbers, and in tickers trade id, side, time and last size do not exist on this feed.

use super::archive::Past;
use super::exchange_feed::write_names;
use super::market::{Day, Quote};
use super::spelling::{Amount, TimeSpeller, integer};
use crate::product::ProductId;
use crate::record::Side;
use crate::time::UnixNanos;

/// The events of one message to come: a piece of text a product.
#[derive(Debug, Default)]
pub(super) struct Parts {
    text: Vec<u8>,
    marks: Vec<(usize, usize)>,
}

impl Parts {
    /// Forgets all pieces.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.marks.clear();
    }

    /// Adds a product's trades as they stand in a `trades` array.
    pub(super) fn push_trades(
        &mut self,
        times: &mut TimeSpeller,
        at: usize,
        product: &ProductId,
        newest_first: impl Iterator<Item = Past>,
    ) {
        for (place, past) in newest_first.enumerate() {
            if place > 0 {
                self.text.push(b',');
            }
            write_trade(&mut self.text, times, product, past);
        }
        self.marks.push((at, self.text.len()));
    }

    /// Adds a product's ticker as it stands in a `tickers` array.
    pub(super) fn push_ticker(&mut self, at: usize, product: &ProductId, price: Amount, quote: Quote, day: Day) {
        write_ticker(&mut self.text, product, price, quote, day);
        self.marks.push((at, self.text.len()));
    }

    /// Gives the places of the products that have a piece.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.marks.iter().map(|(place, _)| *place)
    }

    /// Gives each product's place in the configured list and its piece.
    fn pieces(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let starts = std::iter::once(0).chain(self.marks.iter().map(|(_, end)| *end));
        starts.zip(&self.marks).map(|(start, (product, end))| (*product, self.text.get(start..*end).unwrap_or_default()))
    }
}

/// What a message says around its pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    /// `market_trades` or `ticker`.
    pub(super) channel: &'static str,
    /// The name of the array in an event: `trades` or `tickers`.
    pub(super) array: &'static str,
    /// `snapshot` or `update`.
    pub(super) kind: &'static str,
    /// The envelope's time.
    pub(super) time: UnixNanos,
    /// Whether each product stands in an event of its own.
    pub(super) is_split: bool,
}

/// Writes the message with those pieces that `takes` lets through; writes nothing and says `false` where none is.
pub(super) fn write_message(
    out: &mut Vec<u8>,
    times: &mut TimeSpeller,
    envelope: Envelope,
    sequence_num: u64,
    parts: &Parts,
    takes: impl Fn(usize) -> bool,
) -> bool {
    let mut is_open = false;
    for (product, piece) in parts.pieces() {
        if !takes(product) {
            continue;
        }
        if !is_open {
            open(out, times, envelope.channel, envelope.time, sequence_num);
            open_event(out, envelope);
        } else if envelope.is_split {
            text(out, "]},");
            open_event(out, envelope);
        } else {
            out.push(b',');
        }
        is_open = true;
        out.extend_from_slice(piece);
    }
    if is_open {
        text(out, "]}]}");
    }
    is_open
}

/// Writes a `subscriptions` acknowledgement: the whole present set, which may be `{}`.
pub(super) fn write_subscriptions(
    out: &mut Vec<u8>,
    times: &mut TimeSpeller,
    time: UnixNanos,
    sequence_num: u64,
    channels: &[(&str, Vec<&str>)],
) {
    open(out, times, "subscriptions", time, sequence_num);
    text(out, "{\"subscriptions\":{");
    for (at, (name, products)) in channels.iter().enumerate() {
        text(out, if at > 0 { ",\"" } else { "\"" });
        text(out, name);
        text(out, "\":[");
        write_names(out, products);
        text(out, "]");
    }
    text(out, "}}]}");
}

/// Writes a `heartbeats` message; `uptime` is the server's, and its seconds are the counter.
pub(super) fn write_heartbeat(out: &mut Vec<u8>, times: &mut TimeSpeller, time: UnixNanos, sequence_num: u64, uptime: UnixNanos) {
    open(out, times, "heartbeats", time, sequence_num);
    text(out, "{\"current_time\":\"");
    times.go(out, time, uptime);
    text(out, "\",\"heartbeat_counter\":");
    integer(out, u64::from(uptime.seconds()));
    text(out, "}]}");
}

/// Writes a `status` message of every product.
pub(super) fn write_status(out: &mut Vec<u8>, times: &mut TimeSpeller, time: UnixNanos, sequence_num: u64, products: &[(ProductId, bool)]) {
    open(out, times, "status", time, sequence_num);
    text(out, "{\"type\":\"snapshot\",\"products\":[");
    for (at, (product, is_online)) in products.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        super::exchange_feed::write_product(out, product, *is_online);
    }
    text(out, "]}]}");
}

/// Writes the error that any request gets which the feed does not know.
pub(super) fn write_error(out: &mut Vec<u8>) {
    text(out, "{\"type\":\"error\",\"message\":\"authentication failure\"}");
}

fn open(out: &mut Vec<u8>, times: &mut TimeSpeller, channel: &str, time: UnixNanos, sequence_num: u64) {
    text(out, "{\"channel\":\"");
    text(out, channel);
    text(out, "\",\"timestamp\":\"");
    times.trimmed(out, time);
    text(out, "\",\"sequence_num\":");
    integer(out, sequence_num);
    text(out, ",\"events\":[");
}

fn open_event(out: &mut Vec<u8>, envelope: Envelope) {
    text(out, "{\"type\":\"");
    text(out, envelope.kind);
    text(out, "\",\"");
    text(out, envelope.array);
    text(out, "\":[");
}

fn write_trade(out: &mut Vec<u8>, times: &mut TimeSpeller, product: &ProductId, past: Past) {
    text(out, "{\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"trade_id\":\"");
    integer(out, past.trade_id);
    text(out, "\",\"price\":\"");
    past.price.trimmed(out);
    text(out, "\",\"size\":\"");
    past.size.trimmed(out);
    text(out, "\",\"time\":\"");
    times.trimmed(out, past.time);
    text(
        out,
        match past.side.turned() {
            Side::Buy => "\",\"side\":\"BUY\"}",
            Side::Sell => "\",\"side\":\"SELL\"}",
        },
    );
}

fn write_ticker(out: &mut Vec<u8>, product: &ProductId, price: Amount, quote: Quote, day: Day) {
    text(out, "{\"type\":\"ticker\",\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"price\":\"");
    price.trimmed(out);
    text(out, "\",\"volume_24_h\":\"");
    day.volume.trimmed(out);
    for (name, value) in [("low_24_h", day.low), ("high_24_h", day.high), ("low_52_w", day.low), ("high_52_w", day.high)] {
        text(out, "\",\"");
        text(out, name);
        text(out, "\":\"");
        value.trimmed(out);
    }
    text(out, "\",\"price_percent_chg_24_h\":\"");
    // Rising or falling by the price's distance from the open, in hundred-millionths of a percent.
    let (above, below) = (price.units.saturating_sub(day.open.units), day.open.units.saturating_sub(price.units));
    if below > 0 {
        out.push(b'-');
    }
    let percent = u128::from(above.max(below)) * 10_000_000_000 / u128::from(day.open.units.max(1));
    Amount { units: u64::try_from(percent).unwrap_or(u64::MAX), decimals: 8 }.trimmed(out);
    for (name, value) in
        [("best_bid", quote.bid), ("best_ask", quote.ask), ("best_bid_quantity", quote.bid_size), ("best_ask_quantity", quote.ask_size)]
    {
        text(out, "\",\"");
        text(out, name);
        text(out, "\":\"");
        value.trimmed(out);
    }
    text(out, "\"}");
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
