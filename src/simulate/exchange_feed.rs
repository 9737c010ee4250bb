//! Messages of the Exchange feed, with the recorded order of keys and format of values.
//!
//! 1. A `match` shows the **maker's** side, a `ticker` the taker's. Prices and sizes of trades are trimmed, quotes are padded to the increment, day volumes
//!    to 8 decimals, times to 6 digits. All of this was measured in the recordings.
//! 2. `best_bid_size` and `best_ask_size` are always sent; the feed has them since 2022.
//! 3. The functions write payloads only. The sender adds the frame's header.

use super::catalogue::{currencies, shape_of};
use super::format::{Amount, TimeFormatter, integer, order_id, quoted, text};
use super::trade::Trade;
use crate::product::ProductId;
use crate::time::UnixNanos;

/// Decimals that the volumes of a day are padded to.
const VOLUME_DECIMALS: u8 = 8;
/// `volume_30d` shows the day's volume this many times.
const MONTH_DAYS: u64 = 30;

/// Writes a `match`, or a `last_match` as it is sent on subscribing.
pub(super) fn write_match(out: &mut Vec<u8>, times: &mut TimeFormatter, product: &ProductId, trade: &Trade, kind: &str) {
    text(out, "{\"type\":\"");
    text(out, kind);
    text(out, "\",\"trade_id\":");
    integer(out, trade.trade_id);
    text(out, ",\"maker_order_id\":\"");
    order_id(out, trade.maker);
    text(out, "\",\"taker_order_id\":\"");
    order_id(out, trade.taker);
    text(out, "\",\"side\":\"");
    text(out, trade.side.turned().name());
    text(out, "\",\"size\":\"");
    trade.size.trimmed(out);
    text(out, "\",\"price\":\"");
    trade.price.trimmed(out);
    text(out, "\",\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"sequence\":");
    integer(out, trade.sequence);
    text(out, ",\"time\":\"");
    times.micros(out, trade.time);
    text(out, "\"}");
}

/// Writes a `ticker`.
pub(super) fn write_ticker(out: &mut Vec<u8>, times: &mut TimeFormatter, product: &ProductId, trade: &Trade) {
    let (quote, day) = (trade.quote, trade.day);
    text(out, "{\"type\":\"ticker\",\"sequence\":");
    integer(out, trade.sequence);
    text(out, ",\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"price\":\"");
    trade.price.trimmed(out);
    text(out, "\",\"open_24h\":\"");
    day.open.trimmed(out);
    text(out, "\",\"volume_24h\":\"");
    day.volume.padded(out, VOLUME_DECIMALS);
    text(out, "\",\"low_24h\":\"");
    day.low.trimmed(out);
    text(out, "\",\"high_24h\":\"");
    day.high.trimmed(out);
    text(out, "\",\"volume_30d\":\"");
    Amount { units: day.volume.units.saturating_mul(MONTH_DAYS), ..day.volume }.padded(out, VOLUME_DECIMALS);
    text(out, "\",\"best_bid\":\"");
    quote.bid.padded(out, 0);
    text(out, "\",\"best_bid_size\":\"");
    quote.bid_size.padded(out, VOLUME_DECIMALS);
    text(out, "\",\"best_ask\":\"");
    quote.ask.padded(out, 0);
    text(out, "\",\"best_ask_size\":\"");
    quote.ask_size.padded(out, VOLUME_DECIMALS);
    text(out, "\",\"side\":\"");
    text(out, trade.side.name());
    text(out, "\",\"time\":\"");
    times.micros(out, trade.time);
    text(out, "\",\"trade_id\":");
    integer(out, trade.trade_id);
    text(out, ",\"last_size\":\"");
    trade.size.trimmed(out);
    text(out, "\"}");
}

/// Writes a `heartbeat`: the product's newest trade at `now`.
pub(super) fn write_heartbeat(out: &mut Vec<u8>, times: &mut TimeFormatter, product: &ProductId, newest: &Trade, now: UnixNanos) {
    text(out, "{\"type\":\"heartbeat\",\"last_trade_id\":");
    integer(out, newest.trade_id);
    text(out, ",\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\",\"sequence\":");
    integer(out, newest.sequence);
    text(out, ",\"time\":\"");
    times.micros(out, now);
    text(out, "\"}");
}

/// The channels that a client has subscribed to, and the products of each.
#[derive(Debug)]
pub(super) struct Subscribed<'a> {
    pub(super) channel: &'static str,
    pub(super) names: Vec<&'a str>,
}

/// A product and whether it trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProductStatus {
    pub(super) product: ProductId,
    pub(super) is_online: bool,
}

/// Writes a `subscriptions` acknowledgement: everything that the client has subscribed to. `with_accounts` adds `"account_ids":null`, which newer servers
/// send.
pub(super) fn write_subscriptions(out: &mut Vec<u8>, channels: &[Subscribed<'_>], with_accounts: bool) {
    text(out, "{\"type\":\"subscriptions\",\"channels\":[");
    for (at, Subscribed { channel, names }) in channels.iter().enumerate() {
        text(out, if at > 0 { ",{\"name\":\"" } else { "{\"name\":\"" });
        text(out, channel);
        text(out, "\",\"product_ids\":[");
        write_names(out, names);
        text(out, if with_accounts { "],\"account_ids\":null}" } else { "]}" });
    }
    text(out, "]}");
}

/// Writes an `error`. Its keys come in either order.
pub(super) fn write_error(out: &mut Vec<u8>, message: &str, reason: Option<&str>, type_first: bool) {
    text(out, if type_first { "{\"type\":\"error\",\"message\":" } else { "{\"message\":" });
    quoted(out, message);
    if let Some(reason) = reason {
        text(out, ",\"reason\":");
        quoted(out, reason);
    }
    text(out, if type_first { "}" } else { ",\"type\":\"error\"}" });
}

/// Writes a `status`: every product and every currency.
pub(super) fn write_status(out: &mut Vec<u8>, products: &[ProductStatus]) {
    text(out, "{\"type\":\"status\",\"products\":[");
    for (at, status) in products.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_product(out, &status.product, status.is_online);
    }
    text(out, "],\"currencies\":[");
    let mut names: Vec<&str> = products.iter().flat_map(|status| <[&str; 2]>::from(currencies(&status.product))).collect();
    names.sort_unstable();
    names.dedup();
    for (at, name) in names.iter().enumerate() {
        text(out, if at > 0 { ",{\"id\":\"" } else { "{\"id\":\"" });
        text(out, name);
        text(out, "\",\"name\":\"");
        text(out, name);
        text(
            out,
            "\",\"min_size\":\"0.00000001\",\"status\":\"online\",\"status_message\":\"\",\"max_precision\":\"0.00000001\",\"convertible_to\":[]}",
        );
    }
    text(out, "]}");
}

/// Writes one product, as in `status` and `GET /products`.
pub(super) fn write_product(out: &mut Vec<u8>, product: &ProductId, is_online: bool) {
    let (base, quote) = currencies(product);
    let shape = shape_of(product);
    text(out, "{\"id\":\"");
    text(out, product.as_str());
    text(out, "\",\"base_currency\":\"");
    text(out, base);
    text(out, "\",\"quote_currency\":\"");
    text(out, quote);
    text(out, "\",\"quote_increment\":\"");
    shape.price(1).padded(out, 0);
    text(out, "\",\"base_increment\":\"");
    shape.size(1).padded(out, 0);
    text(out, "\",\"display_name\":\"");
    text(out, base);
    out.push(b'/');
    text(out, quote);
    text(
        out,
        "\",\"min_market_funds\":\"1\",\"margin_enabled\":false,\"post_only\":false,\"limit_only\":false,\"cancel_only\":false,\"status\":\"",
    );
    text(out, if is_online { "online" } else { "delisted" });
    text(out, "\",\"status_message\":\"\",\"trading_disabled\":");
    text(out, if is_online { "false" } else { "true" });
    text(out, ",\"fx_stablecoin\":false,\"max_slippage_percentage\":\"0.02\",\"auction_mode\":false,\"high_bid_limit_percentage\":\"\"}");
}

/// Writes product names as the elements of a JSON array.
pub(super) fn write_names(out: &mut Vec<u8>, names: &[&str]) {
    for (at, name) in names.iter().enumerate() {
        text(out, if at > 0 { ",\"" } else { "\"" });
        text(out, name);
        out.push(b'"');
    }
}
