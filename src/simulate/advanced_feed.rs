//! Messages of the Advanced Trade feed, with the recorded order of keys and format of values.
//!
//! 1. A message is kept in parts until it is sent: each connection has its own `sequence_num` and gets only the products that it asked for. [`Parts`]
//!    holds the text of each product; [`write_message`] writes the envelope and the parts for one connection.
//! 2. Within a part the newest trade comes first. `side` is the maker's, in capitals; trade ids are strings; times are trimmed.
//! 3. This feed has no order ids and no sequences. Its tickers have no trade id, side, time or last size.

use super::archive::PublicTrade;
use super::exchange_feed::{ProductStatus, Subscribed, write_names, write_product};
use super::format::{Amount, TimeFormatter, integer, text};
use super::trade::{Summary, UpdateKind};
use crate::product::ProductId;
use crate::record::Side;
use crate::time::UnixNanos;

/// The events of one message before it is sent: the text of each product.
#[derive(Debug, Default)]
pub(super) struct Parts {
    text: Vec<u8>,
    ends: Vec<PartEnd>,
}

/// Where the text of a product ends; it begins where the one before ends.
#[derive(Debug, Clone, Copy)]
struct PartEnd {
    /// Index of the product.
    product: usize,
    end: usize,
}

impl Parts {
    /// Removes all parts.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a product's trades, as in a `trades` array. `index` is the product's index in the configured list.
    pub(super) fn push_trades(
        &mut self,
        times: &mut TimeFormatter,
        index: usize,
        product: &ProductId,
        newest_first: impl Iterator<Item = PublicTrade>,
    ) {
        for (at, trade) in newest_first.enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            write_trade(&mut self.text, times, product, trade);
        }
        self.ends.push(PartEnd { product: index, end: self.text.len() });
    }

    /// Adds a product's ticker, as in a `tickers` array.
    pub(super) fn push_ticker(&mut self, index: usize, product: &ProductId, summary: Summary) {
        write_ticker(&mut self.text, product, summary);
        self.ends.push(PartEnd { product: index, end: self.text.len() });
    }

    /// Gives the indexes of the products that have a part.
    pub(super) fn products(&self) -> impl Iterator<Item = usize> {
        self.ends.iter().map(|part| part.product)
    }

    /// Gives the index of each product and its text.
    fn texts(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|part| part.end));
        starts.zip(&self.ends).map(|(start, part)| (part.product, self.text.get(start..part.end).unwrap_or_default()))
    }
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// What was there before the subscription.
    Snapshot,
    /// What has happened since the last message.
    Update,
}

/// What a message has around its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    /// What its parts are.
    pub(super) update: UpdateKind,
    pub(super) event: EventKind,
    /// The envelope's time.
    pub(super) time: UnixNanos,
    /// Each product has an event of its own.
    pub(super) is_split: bool,
}

/// Writes a message with the parts of the products for which `takes` is true. Writes nothing where there is none. Tells whether it has written.
pub(super) fn write_message(
    out: &mut Vec<u8>,
    times: &mut TimeFormatter,
    envelope: Envelope,
    sequence_num: u64,
    parts: &Parts,
    takes: impl Fn(usize) -> bool,
) -> bool {
    let mut is_open = false;
    for (product, part) in parts.texts() {
        if !takes(product) {
            continue;
        }
        if !is_open {
            let channel = match envelope.update {
                UpdateKind::Trade => "market_trades",
                UpdateKind::Ticker => "ticker",
            };
            open(out, times, channel, envelope.time, sequence_num);
            open_event(out, envelope);
        } else if envelope.is_split {
            text(out, "]},");
            open_event(out, envelope);
        } else {
            out.push(b',');
        }
        is_open = true;
        out.extend_from_slice(part);
    }
    if is_open {
        text(out, "]}]}");
    }
    is_open
}

/// Writes a `subscriptions` acknowledgement: everything that the client has subscribed to, which may be `{}`.
pub(super) fn write_subscriptions(
    out: &mut Vec<u8>,
    times: &mut TimeFormatter,
    time: UnixNanos,
    sequence_num: u64,
    channels: &[Subscribed<'_>],
) {
    open(out, times, "subscriptions", time, sequence_num);
    text(out, "{\"subscriptions\":{");
    for (at, Subscribed { channel, names }) in channels.iter().enumerate() {
        text(out, if at > 0 { ",\"" } else { "\"" });
        text(out, channel);
        text(out, "\":[");
        write_names(out, names);
        text(out, "]");
    }
    text(out, "}}]}");
}

/// Writes a `heartbeats` message. `uptime` is the server's; its seconds are the counter.
pub(super) fn write_heartbeat(out: &mut Vec<u8>, times: &mut TimeFormatter, time: UnixNanos, sequence_num: u64, uptime: UnixNanos) {
    open(out, times, "heartbeats", time, sequence_num);
    text(out, "{\"current_time\":\"");
    times.go(out, time, uptime);
    text(out, "\",\"heartbeat_counter\":");
    integer(out, u64::from(uptime.seconds()));
    text(out, "}]}");
}

/// Writes a `status` message of every product.
pub(super) fn write_status(out: &mut Vec<u8>, times: &mut TimeFormatter, time: UnixNanos, sequence_num: u64, products: &[ProductStatus]) {
    open(out, times, "status", time, sequence_num);
    text(out, "{\"type\":\"snapshot\",\"products\":[");
    for (at, status) in products.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_product(out, &status.product, status.is_online);
    }
    text(out, "]}]}");
}

/// Writes the error that answers any request which the feed does not know.
pub(super) fn write_error(out: &mut Vec<u8>) {
    text(out, "{\"type\":\"error\",\"message\":\"authentication failure\"}");
}

fn open(out: &mut Vec<u8>, times: &mut TimeFormatter, channel: &str, time: UnixNanos, sequence_num: u64) {
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
    text(
        out,
        match envelope.event {
            EventKind::Snapshot => "snapshot",
            EventKind::Update => "update",
        },
    );
    text(out, "\",\"");
    text(
        out,
        match envelope.update {
            UpdateKind::Trade => "trades",
            UpdateKind::Ticker => "tickers",
        },
    );
    text(out, "\":[");
}

fn write_trade(out: &mut Vec<u8>, times: &mut TimeFormatter, product: &ProductId, trade: PublicTrade) {
    text(out, "{\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"trade_id\":\"");
    integer(out, trade.trade_id);
    text(out, "\",\"price\":\"");
    trade.price.trimmed(out);
    text(out, "\",\"size\":\"");
    trade.size.trimmed(out);
    text(out, "\",\"time\":\"");
    times.trimmed(out, trade.time);
    text(
        out,
        match trade.side.turned() {
            Side::Buy => "\",\"side\":\"BUY\"}",
            Side::Sell => "\",\"side\":\"SELL\"}",
        },
    );
}

fn write_ticker(out: &mut Vec<u8>, product: &ProductId, summary: Summary) {
    let Summary { price, quote, day } = summary;
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
    // The price's distance from the open, in hundred-millionths of a percent.
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
