//! Messages of the Exchange feed, made of stored records.
//!
//! 1. The keys are those of the feed, in its order. What the tape does not hold is left out, not invented: the orders and sequence of a trade that came from
//!    REST or the Advanced Trade feed, the trade of a ticker that carries none, the statistics of the day.
//! 2. A `match` shows the **maker's** side, a `ticker` the taker's.
//! 3. Every ticker has its stored time, also one that carries no trade: who records it again gets the same record, and knows it when it comes twice.

use super::record::{Row, Stored, Texts};
use super::spelling::{Number, PADDED_DECIMALS, Times, quoted, text};
use crate::digits::{push_u64, push_uuid};
use crate::product::ProductId;
use crate::record::{OrderId, Ticker, Trade};
use crate::time::UnixNanos;

/// Writes a record as the message that brings it.
pub(super) fn write_record(out: &mut Vec<u8>, times: &mut Times, texts: &Texts, stored: &Stored) {
    match &stored.row {
        Row::Trade(trade) => write_match(out, times, texts, stored, trade, "match"),
        Row::Ticker(ticker) => write_ticker(out, times, texts, stored, ticker),
    }
}

/// Writes a `match`, or the `last_match` that is sent on subscribing.
pub(super) fn write_match(out: &mut Vec<u8>, times: &mut Times, texts: &Texts, stored: &Stored, trade: &Trade, kind: &str) {
    let numbers = texts.of_trade(&stored.product, trade, stored.is_core);
    text(out, "{\"type\":\"");
    text(out, kind);
    text(out, "\",\"trade_id\":");
    push_u64(out, trade.trade_id);
    write_order(out, "maker_order_id", trade.maker_order_id);
    write_order(out, "taker_order_id", trade.taker_order_id);
    text(out, ",\"side\":\"");
    text(out, trade.side.turned().name());
    text(out, "\",\"size\":\"");
    numbers.size.write(out);
    text(out, "\",\"price\":\"");
    numbers.price.write(out);
    text(out, "\",\"product_id\":\"");
    text(out, stored.product.as_str());
    text(out, "\"");
    if trade.sequence != 0 {
        text(out, ",\"sequence\":");
        push_u64(out, trade.sequence);
    }
    text(out, ",\"time\":\"");
    times.micros(out, trade.time);
    text(out, "\"}");
}

fn write_order(out: &mut Vec<u8>, name: &str, order: OrderId) {
    if order.is_nil() {
        return;
    }
    text(out, ",\"");
    text(out, name);
    text(out, "\":\"");
    push_uuid(out, &order.0);
    text(out, "\"");
}

/// Writes a `ticker`.
pub(super) fn write_ticker(out: &mut Vec<u8>, times: &mut Times, texts: &Texts, stored: &Stored, ticker: &Ticker) {
    let numbers = texts.of_ticker(&stored.product, ticker, stored.is_core);
    let quote_decimals = texts.quote_decimals(&stored.product);
    text(out, "{\"type\":\"ticker\"");
    if ticker.sequence != 0 {
        text(out, ",\"sequence\":");
        push_u64(out, ticker.sequence);
    }
    text(out, ",\"product_id\":\"");
    text(out, stored.product.as_str());
    text(out, "\"");
    write_number(out, "price", numbers.price, 0);
    write_number(out, "best_bid", numbers.bid, quote_decimals);
    write_number(out, "best_bid_size", numbers.bid_size, PADDED_DECIMALS);
    write_number(out, "best_ask", numbers.ask, quote_decimals);
    write_number(out, "best_ask_size", numbers.ask_size, PADDED_DECIMALS);
    if let Some(side) = ticker.side {
        text(out, ",\"side\":\"");
        text(out, side.name());
        text(out, "\"");
    }
    text(out, ",\"time\":\"");
    times.micros(out, ticker.time);
    text(out, "\"");
    if ticker.trade_id != 0 {
        text(out, ",\"trade_id\":");
        push_u64(out, ticker.trade_id);
    }
    write_number(out, "last_size", numbers.volume, 0);
    text(out, "}");
}

/// Adds a number as a field with a text, if there is one.
fn write_number(out: &mut Vec<u8>, name: &str, number: Number<'_>, decimals: usize) {
    if number.is_none() {
        return;
    }
    text(out, ",\"");
    text(out, name);
    text(out, "\":\"");
    number.write_padded(out, decimals);
    text(out, "\"");
}

/// Writes a `heartbeat`: the product's newest trade at `now`.
pub(super) fn write_heartbeat(out: &mut Vec<u8>, times: &mut Times, product: &ProductId, newest: &Trade, now: UnixNanos) {
    text(out, "{\"type\":\"heartbeat\",\"last_trade_id\":");
    push_u64(out, newest.trade_id);
    text(out, ",\"product_id\":\"");
    text(out, product.as_str());
    text(out, "\"");
    if newest.sequence != 0 {
        text(out, ",\"sequence\":");
        push_u64(out, newest.sequence);
    }
    text(out, ",\"time\":\"");
    times.micros(out, now);
    text(out, "\"}");
}

/// Writes a `subscriptions` message: everything that the client has subscribed to.
pub(super) fn write_subscriptions<'a>(out: &mut Vec<u8>, channels: impl Iterator<Item = (&'a str, Vec<&'a str>)>) {
    text(out, "{\"type\":\"subscriptions\",\"channels\":[");
    for (at, (channel, products)) in channels.enumerate() {
        text(out, if at > 0 { ",{\"name\":\"" } else { "{\"name\":\"" });
        text(out, channel);
        text(out, "\",\"product_ids\":");
        write_names(out, &products);
        text(out, ",\"account_ids\":null}");
    }
    text(out, "]}");
}

/// Writes names as a JSON array.
pub(super) fn write_names(out: &mut Vec<u8>, names: &[&str]) {
    out.push(b'[');
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        quoted(out, name);
    }
    out.push(b']');
}

/// Writes an `error`.
pub(super) fn write_error(out: &mut Vec<u8>, message: &str, reason: Option<&str>) {
    text(out, "{\"type\":\"error\",\"message\":");
    quoted(out, message);
    if let Some(reason) = reason {
        text(out, ",\"reason\":");
        quoted(out, reason);
    }
    text(out, "}");
}

/// Writes a `status` around products and currencies that are JSON already.
pub(super) fn write_status(out: &mut Vec<u8>, products: &[u8], currencies: &[u8]) {
    text(out, "{\"type\":\"status\",\"products\":");
    out.extend_from_slice(products);
    text(out, ",\"currencies\":");
    out.extend_from_slice(currencies);
    text(out, "}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::{Decimal, parse};
    use crate::record::{Origin, Side};
    use crate::schema::{Layout, Md, Trades};
    use crate::serve::coinbase::products::Products;
    use crate::tape::Tape;
    use crate::time::UtcDay;

    fn shown(row: Row, is_core: bool) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("BTC-USD/TRADES")).expect("made");
        let tape = Tape::open(folder.path()).expect("a tape");
        let product = ProductId::new("BTC-USD").expect("a product");
        let texts = Texts::read(&tape, &Products::default(), std::slice::from_ref(&product), UtcDay(0));
        let mut out = Vec::new();
        write_record(&mut out, &mut Times::default(), &texts, &Stored { product, series: 1, row, is_core });
        String::from_utf8(out).expect("text")
    }

    fn number(text: &str) -> Decimal {
        parse(text.as_bytes()).expect("a decimal")
    }

    #[test]
    fn what_a_trade_of_rest_has_not_is_left_out() {
        let trade = Trade {
            trade_id: 881_613,
            time: UnixNanos(1_618_677_810_244_075_000),
            price: number("14.7775"),
            size: number("0.04"),
            side: Side::Buy,
            origin: Origin(2),
            ..Trades::EMPTY
        };
        assert_eq!(
            shown(Row::Trade(trade), false),
            r#"{"type":"match","trade_id":881613,"side":"sell","size":"0.04","price":"14.7775","product_id":"BTC-USD","time":"2021-04-17T16:43:30.244075Z"}"#
        );
        let (maker_order_id, taker_order_id) = (OrderId([0x27; 16]), OrderId([0x1d; 16]));
        assert_eq!(
            shown(Row::Trade(Trade { maker_order_id, taker_order_id, sequence: 333_938_798, ..trade }), false),
            concat!(
                r#"{"type":"match","trade_id":881613,"maker_order_id":"27272727-2727-2727-2727-272727272727","#,
                r#""taker_order_id":"1d1d1d1d-1d1d-1d1d-1d1d-1d1d1d1d1d1d","side":"sell","size":"0.04","price":"14.7775","#,
                r#""product_id":"BTC-USD","sequence":333938798,"time":"2021-04-17T16:43:30.244075Z"}"#
            )
        );
        let core = Trade { price: Decimal::from_f32(14.7775), size: Decimal::from_f32(0.04), ..trade };
        assert!(shown(Row::Trade(core), true).contains(r#""size":"0.04","price":"14.7775""#), "an f32 is not widened");
    }

    #[test]
    fn a_ticker_without_a_trade_has_its_time_and_its_quote() {
        let ticker = Ticker {
            time: UnixNanos(1_786_309_548_229_198_328),
            price: number("65086.18"),
            best_bid: number("65083.66"),
            best_ask: number("65083.67"),
            best_bid_size: 0.20371215,
            best_ask_size: 2.0,
            ..Md::EMPTY
        };
        assert_eq!(
            shown(Row::Ticker(ticker), false),
            concat!(
                r#"{"type":"ticker","product_id":"BTC-USD","price":"65086.18","best_bid":"65083.66","best_bid_size":"0.20371215","#,
                r#""best_ask":"65083.67","best_ask_size":"2.00000000","time":"2026-08-09T21:05:48.229198328Z"}"#
            )
        );
    }
}
