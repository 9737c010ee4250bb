//! Messages of the Advanced Trade feed, made of stored records.
//!
//! 1. Every message has an envelope with the connection's next `sequence_num`. A batch of trades is newest-first, its sides are the maker's, its ids texts.
//! 2. A ticker has no time but its envelope's. So each one has an envelope of its own, with the stored time.
//! 3. What the tape does not hold, as the statistics of the day, is left out.

use super::exchange::write_names;
use super::record::{Stored, Texts};
use super::spelling::{Number, Times, text};
use crate::digits::push_u64;
use crate::record::{Side, Ticker, Trade};
use crate::time::UnixNanos;

/// What a batch is: what was there before the subscription, or what has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Snapshot,
    Update,
}

impl EventKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Update => "update",
        }
    }
}

/// What an event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    Trades,
    Tickers,
}

impl Elements {
    const fn channel(self) -> &'static str {
        match self {
            Self::Trades => "market_trades",
            Self::Tickers => "ticker",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Tickers => "tickers",
        }
    }
}

/// Writes a trade as it stands in a batch.
pub(super) fn write_trade(out: &mut Vec<u8>, times: &mut Times, texts: &Texts, stored: &Stored, trade: &Trade) {
    let numbers = texts.of_trade(&stored.product, trade, stored.is_core);
    text(out, "{\"product_id\":\"");
    text(out, stored.product.as_str());
    text(out, "\",\"trade_id\":\"");
    push_u64(out, trade.trade_id);
    text(out, "\",\"price\":\"");
    numbers.price.write(out);
    text(out, "\",\"size\":\"");
    numbers.size.write(out);
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

/// Writes a ticker as it stands in an event.
pub(super) fn write_ticker(out: &mut Vec<u8>, texts: &Texts, stored: &Stored, ticker: &Ticker) {
    let numbers = texts.of_ticker(&stored.product, ticker, stored.is_core);
    text(out, "{\"type\":\"ticker\",\"product_id\":\"");
    text(out, stored.product.as_str());
    text(out, "\"");
    for (name, value) in [
        ("price", numbers.price),
        ("best_bid", numbers.bid),
        ("best_ask", numbers.ask),
        ("best_bid_quantity", numbers.bid_size),
        ("best_ask_quantity", numbers.ask_size),
    ] {
        write_number(out, name, value);
    }
    text(out, "}");
}

/// Writes a message of trades or tickers that are JSON already, in the order in which they are given.
pub(super) fn write_event<'a>(
    out: &mut Vec<u8>,
    times: &mut Times,
    (number, now): (u64, UnixNanos),
    kind: EventKind,
    elements: Elements,
    texts: impl Iterator<Item = &'a [u8]>,
) {
    open(out, times, elements.channel(), now, number);
    text(out, "{\"type\":\"");
    text(out, kind.name());
    text(out, "\",\"");
    text(out, elements.name());
    text(out, "\":[");
    for (at, element) in texts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(element);
    }
    text(out, "]}]}");
}

fn write_number(out: &mut Vec<u8>, name: &str, number: Number<'_>) {
    if number.is_none() {
        return;
    }
    text(out, ",\"");
    text(out, name);
    text(out, "\":\"");
    number.write(out);
    text(out, "\"");
}

/// Writes a `heartbeats` message. The seconds of the server's uptime are the counter.
pub(super) fn write_heartbeat(out: &mut Vec<u8>, times: &mut Times, number: u64, now: UnixNanos, uptime: UnixNanos) {
    open(out, times, "heartbeats", now, number);
    text(out, "{\"current_time\":\"");
    times.go(out, now, uptime);
    text(out, "\",\"heartbeat_counter\":");
    push_u64(out, u64::from(uptime.seconds()));
    text(out, "}]}");
}

/// Writes a `subscriptions` message: everything that the client has subscribed to, which may be `{}`.
pub(super) fn write_subscriptions<'a>(
    out: &mut Vec<u8>,
    times: &mut Times,
    number: u64,
    now: UnixNanos,
    channels: impl Iterator<Item = (&'a str, Vec<&'a str>)>,
) {
    open(out, times, "subscriptions", now, number);
    text(out, "{\"subscriptions\":{");
    for (at, (channel, products)) in channels.enumerate() {
        text(out, if at > 0 { ",\"" } else { "\"" });
        text(out, channel);
        text(out, "\":");
        write_names(out, &products);
    }
    text(out, "}}]}");
}

/// Writes a `status` message around products that are JSON already.
pub(super) fn write_status(out: &mut Vec<u8>, times: &mut Times, number: u64, now: UnixNanos, products: &[u8]) {
    open(out, times, "status", now, number);
    text(out, "{\"type\":\"snapshot\",\"products\":");
    out.extend_from_slice(products);
    text(out, "}]}");
}

fn open(out: &mut Vec<u8>, times: &mut Times, channel: &str, time: UnixNanos, number: u64) {
    text(out, "{\"channel\":\"");
    text(out, channel);
    text(out, "\",\"timestamp\":\"");
    times.trimmed(out, time);
    text(out, "\",\"sequence_num\":");
    push_u64(out, number);
    text(out, ",\"events\":[");
}
