//! Other ways to read the same messages into the same records: what the decoder is held against.

use coltape::internals::decimal::{self, Decimal};
use coltape::internals::record::{Means, OrderId, Origin, Side, Ticker, Trade};
use coltape::internals::time::{TimeCache, UnixNanos};
use serde::Deserialize;
use serde_json::Value;

/// The plain way: a JSON tree, conversions of the standard library, `hex`, a library's dates.
pub mod value {
    use super::*;

    fn decimal(text: &Value) -> Option<Decimal> {
        let text = text.as_str()?;
        Some(Decimal::new(text.parse().ok()?, text.parse().ok()?, true))
    }

    fn order(text: &Value) -> Option<OrderId> {
        Some(OrderId(hex::decode(text.as_str()?.replace('-', "")).ok()?.try_into().ok()?))
    }

    fn time(text: &Value) -> Option<UnixNanos> {
        let time: jiff::Timestamp = text.as_str()?.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok().map(UnixNanos)
    }

    fn side(text: &Value) -> Option<Side> {
        match text.as_str()? {
            "buy" | "BUY" => Some(Side::Buy),
            "sell" | "SELL" => Some(Side::Sell),
            _ => None,
        }
    }

    /// Reads a match; gives the product too.
    pub fn matched(frame: &[u8], recv: UnixNanos) -> Option<(String, Trade)> {
        let value: Value = serde_json::from_slice(frame).ok()?;
        if value["type"].as_str()? != "match" {
            return None;
        }
        let trade = Trade {
            trade_id: value["trade_id"].as_u64()?,
            time: time(&value["time"])?,
            price: decimal(&value["price"])?,
            size: decimal(&value["size"])?,
            side: side(&value["side"])?.turned(),
            maker_order_id: order(&value["maker_order_id"])?,
            taker_order_id: order(&value["taker_order_id"])?,
            sequence: value["sequence"].as_u64()?,
            recv,
            origin: Origin::new(Means::Live, 0, 0),
        };
        Some((value["product_id"].as_str()?.to_owned(), trade))
    }

    /// Reads a ticker.
    pub fn ticker(frame: &[u8], recv: UnixNanos) -> Option<Ticker> {
        let value: Value = serde_json::from_slice(frame).ok()?;
        Some(Ticker {
            time: time(&value["time"])?,
            recv,
            trade_id: value["trade_id"].as_u64()?,
            sequence: value["sequence"].as_u64()?,
            price: decimal(&value["price"])?,
            volume: decimal(&value["last_size"])?,
            best_bid: decimal(&value["best_bid"])?,
            best_ask: decimal(&value["best_ask"])?,
            best_bid_size: decimal(&value["best_bid_size"])?.as_f64,
            best_ask_size: decimal(&value["best_ask_size"])?.as_f64,
            side: side(&value["side"]),
        })
    }

    /// Reads an Advanced batch, oldest first.
    pub fn batch(frame: &[u8], recv: UnixNanos, mut take: impl FnMut(Trade)) -> Option<()> {
        let value: Value = serde_json::from_slice(frame).ok()?;
        for event in value["events"].as_array()? {
            for item in event["trades"].as_array()?.iter().rev() {
                take(Trade {
                    trade_id: item["trade_id"].as_str()?.parse().ok()?,
                    time: time(&item["time"])?,
                    price: decimal(&item["price"])?,
                    size: decimal(&item["size"])?,
                    side: side(&item["side"])?.turned(),
                    maker_order_id: OrderId::NIL,
                    taker_order_id: OrderId::NIL,
                    sequence: 0,
                    recv,
                    origin: Origin::new(Means::Live, 0, 1),
                });
            }
        }
        Some(())
    }
}

/// A match as serde reads it, borrowing its texts.
#[derive(Deserialize)]
pub struct TypedMatch<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    trade_id: u64,
    maker_order_id: &'a str,
    taker_order_id: &'a str,
    side: &'a str,
    size: &'a str,
    price: &'a str,
    /// The product.
    pub product_id: &'a str,
    sequence: u64,
    time: &'a str,
}

/// A ticker as serde reads it.
#[derive(Deserialize)]
pub struct TypedTicker<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence: u64,
    price: &'a str,
    best_bid: &'a str,
    best_bid_size: &'a str,
    best_ask: &'a str,
    best_ask_size: &'a str,
    side: &'a str,
    time: &'a str,
    trade_id: u64,
    last_size: &'a str,
}

/// An Advanced envelope as serde reads it.
#[derive(Deserialize)]
pub struct TypedEnvelope<'a> {
    channel: &'a str,
    #[serde(borrow)]
    events: Vec<TypedEvent<'a>>,
}

#[derive(Deserialize)]
struct TypedEvent<'a> {
    #[serde(borrow)]
    trades: Vec<TypedTrade<'a>>,
}

#[derive(Deserialize)]
struct TypedTrade<'a> {
    trade_id: &'a str,
    price: &'a str,
    size: &'a str,
    time: &'a str,
    side: &'a str,
}

/// The program's own conversions, for those who parse otherwise.
mod fast {
    use super::*;

    pub(super) fn decimal(text: &str) -> Option<Decimal> {
        decimal::parse(text.as_bytes()).ok()
    }

    const NONE: u8 = 0xff;

    const DIGITS: [u8; 256] = {
        let mut table = [NONE; 256];
        let mut value = 0;
        while value < 16 {
            table[b"0123456789abcdef"[value as usize] as usize] = value;
            table[b"0123456789ABCDEF"[value as usize] as usize] = value;
            value += 1;
        }
        table
    };

    /// The table decoder, as in the program.
    pub(super) fn order(text: &str) -> Option<OrderId> {
        const STARTS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        let (mut bytes, mut seen) = ([0; 16], 0);
        for (byte, start) in bytes.iter_mut().zip(STARTS) {
            let (high, low) = (DIGITS[text[start] as usize], DIGITS[text[start + 1] as usize]);
            seen |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        let dashed = text[8] == b'-' && text[13] == b'-' && text[18] == b'-' && text[23] == b'-';
        (seen < 16 && dashed).then_some(OrderId(bytes))
    }

    pub(super) fn time(text: &str, times: &mut TimeCache) -> Option<UnixNanos> {
        times.parse(text.as_bytes()).ok()?.to_unix()
    }

    pub(super) fn side(text: &str) -> Option<Side> {
        match text {
            "buy" | "BUY" => Some(Side::Buy),
            "sell" | "SELL" => Some(Side::Sell),
            _ => None,
        }
    }
}

impl TypedMatch<'_> {
    /// Converts with the program's own conversions.
    pub fn to_trade(&self, recv: UnixNanos, times: &mut TimeCache) -> Option<Trade> {
        if self.kind != "match" {
            return None;
        }
        let trade = Trade {
            trade_id: self.trade_id,
            time: fast::time(self.time, times)?,
            price: fast::decimal(self.price)?,
            size: fast::decimal(self.size)?,
            side: fast::side(self.side)?.turned(),
            maker_order_id: fast::order(self.maker_order_id)?,
            taker_order_id: fast::order(self.taker_order_id)?,
            sequence: self.sequence,
            recv,
            origin: Origin::new(Means::Live, 0, 0),
        };
        trade.validate(recv).ok()?;
        Some(trade)
    }
}

impl TypedTicker<'_> {
    /// Converts with the program's own conversions.
    pub fn to_ticker(&self, recv: UnixNanos, times: &mut TimeCache) -> Option<Ticker> {
        if self.kind != "ticker" {
            return None;
        }
        Some(Ticker {
            time: fast::time(self.time, times)?,
            recv,
            trade_id: self.trade_id,
            sequence: self.sequence,
            price: fast::decimal(self.price)?,
            volume: fast::decimal(self.last_size)?,
            best_bid: fast::decimal(self.best_bid)?,
            best_ask: fast::decimal(self.best_ask)?,
            best_bid_size: fast::decimal(self.best_bid_size)?.as_f64,
            best_ask_size: fast::decimal(self.best_ask_size)?.as_f64,
            side: fast::side(self.side),
        })
    }
}

impl TypedEnvelope<'_> {
    /// Converts with the program's own conversions, oldest first.
    pub fn for_each_trade(&self, recv: UnixNanos, times: &mut TimeCache, mut take: impl FnMut(Trade)) -> Option<()> {
        if self.channel != "market_trades" {
            return None;
        }
        for item in self.events.iter().flat_map(|event| event.trades.iter().rev()) {
            let trade = Trade {
                trade_id: item.trade_id.parse().ok()?,
                time: fast::time(item.time, times)?,
                price: fast::decimal(item.price)?,
                size: fast::decimal(item.size)?,
                side: fast::side(item.side)?.turned(),
                maker_order_id: OrderId::NIL,
                taker_order_id: OrderId::NIL,
                sequence: 0,
                recv,
                origin: Origin::new(Means::Live, 0, 1),
            };
            trade.validate(recv).ok()?;
            take(trade);
        }
        Some(())
    }
}
