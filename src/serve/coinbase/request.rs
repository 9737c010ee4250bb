//! What clients of the two WebSocket feeds ask for.
//!
//! 1. Exchange: `{"type":"subscribe","product_ids":[…],"channels":["ticker",{"name":"matches","product_ids":[…]}]}`. Advanced Trade:
//!    `{"type":"subscribe","product_ids":[…],"channel":"market_trades"}`. Either form is read on either feed.
//! 2. A client may send anything. A text that nests deep, or names more than [`MAX_NAMES`] products, is refused.
//! 3. The Exchange feed refuses the whole request for one bad product or channel. The Advanced Trade feed leaves a product out that it does not know.

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::products::Products;
use crate::json::is_shallow;
use crate::product::ProductId;

/// How deep a request nests: an object, a list, an object, a list.
const MAX_DEPTH: usize = 6;
/// Most names of products in a request, over all its channels.
const MAX_NAMES: usize = 20_000;

/// Which feed's protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `/ws`
    Exchange,
    /// `/ws-advanced`
    Advanced,
}

/// What a client can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    Trades,
    Tickers,
    /// Of each product on the Exchange feed, of the connection on the Advanced Trade feed.
    Heartbeats,
    Status,
}

impl Channel {
    /// Every channel.
    pub(super) const ALL: [Self; 4] = [Self::Trades, Self::Tickers, Self::Heartbeats, Self::Status];

    /// Gives its name on a feed.
    pub(super) const fn name(self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::Trades, Protocol::Exchange) => "matches",
            (Self::Trades, Protocol::Advanced) => "market_trades",
            (Self::Tickers, _) => "ticker",
            (Self::Heartbeats, Protocol::Exchange) => "heartbeat",
            (Self::Heartbeats, Protocol::Advanced) => "heartbeats",
            (Self::Status, _) => "status",
        }
    }

    /// Tells whether it is subscribed to product by product.
    pub(super) const fn is_by_product(self, protocol: Protocol) -> bool {
        match self {
            Self::Trades | Self::Tickers => true,
            Self::Heartbeats => matches!(protocol, Protocol::Exchange),
            Self::Status => false,
        }
    }

    fn find(name: &str, protocol: Protocol) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name(protocol) == name)
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

/// A request that can be carried out: each channel with its products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) verb: Verb,
    pub(super) channels: Vec<(Channel, Vec<ProductId>)>,
}

/// Why a request is refused, in the words of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: &'static str,
    pub(super) reason: Option<String>,
}

impl Refusal {
    const fn of(message: &'static str) -> Self {
        Self { message, reason: None }
    }

    fn because(reason: impl Into<String>) -> Self {
        Self { message: "Failed to subscribe", reason: Some(reason.into()) }
    }
}

/// What the exchange answers to a channel that needs a login.
const NEEDS_LOGIN: &str =
    "level2, level3, and full channels now require authentication. https://docs.cloud.coinbase.com/exchange/docs/websocket-auth";

impl Request {
    /// Reads a request for products of a tape.
    pub(super) fn parse(text: &str, protocol: Protocol, products: &Products) -> Result<Self, Refusal> {
        let mut bytes = text.as_bytes().to_vec();
        if !is_shallow(&bytes, MAX_DEPTH) {
            return Err(Refusal::of("Malformed JSON"));
        }
        let Ok(value) = simd_json::to_borrowed_value(&mut bytes) else { return Err(Refusal::of("Malformed JSON")) };
        let verb = match value.get_str("type") {
            Some("subscribe") => Verb::Subscribe,
            Some("unsubscribe") => Verb::Unsubscribe,
            _ => return Err(Refusal::of("Type has to be either subscribe or unsubscribe")),
        };
        let asked = asked_channels(&value);
        if asked.is_empty() {
            return Err(Refusal::because("No channels provided"));
        }
        if asked.iter().map(|(_, names)| names.len()).sum::<usize>() > MAX_NAMES {
            return Err(Refusal::because("too many products in one request"));
        }
        let mut channels = Vec::with_capacity(asked.len());
        for (name, names) in asked {
            let Some(channel) = Channel::find(name, protocol) else { return Err(unknown_channel(name, protocol)) };
            let found = find_products(&names, protocol, products)?;
            // What ends a subscription may name no product: it ends all of the channel.
            if found.is_empty() && channel.is_by_product(protocol) && verb == Verb::Subscribe && protocol == Protocol::Exchange {
                return Err(Refusal::because("No products provided"));
            }
            channels.push((channel, found));
        }
        Ok(Self { verb, channels })
    }
}

fn asked_channels<'v>(value: &'v BorrowedValue<'v>) -> Vec<(&'v str, Vec<&'v str>)> {
    let common = strings(value.get("product_ids"));
    let one = value.get_str("channel").map(|channel| (channel, common.clone()));
    let many = value.get_array("channels").into_iter().flatten().filter_map(|channel| match channel.as_str() {
        Some(name) => Some((name, common.clone())),
        None => {
            let own = strings(channel.get("product_ids"));
            Some((channel.get_str("name")?, if own.is_empty() { common.clone() } else { own }))
        }
    });
    one.into_iter().chain(many).take(MAX_NAMES).collect()
}

fn strings<'v>(value: Option<&'v BorrowedValue<'v>>) -> Vec<&'v str> {
    value.and_then(|value| value.as_array()).into_iter().flatten().filter_map(|item| item.as_str()).collect()
}

fn find_products(names: &[&str], protocol: Protocol, products: &Products) -> Result<Vec<ProductId>, Refusal> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match products.find(name) {
            Some(product) => found.push(product.clone()),
            None if protocol == Protocol::Advanced => {}
            None => {
                let shown: String = name.chars().take(80).collect();
                return Err(Refusal::because(format!("{shown} is not a valid product")));
            }
        }
    }
    Ok(found)
}

fn unknown_channel(name: &str, protocol: Protocol) -> Refusal {
    match (protocol, name) {
        (Protocol::Advanced, _) => Refusal::of("authentication failure"),
        (_, "full" | "level2" | "level3" | "level2_batch" | "user") => Refusal::because(NEEDS_LOGIN),
        _ => {
            let shown: String = name.chars().take(80).collect();
            Refusal::because(format!("{shown} is not a valid channel"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_send_anything() {
        let products = Products::default();
        for protocol in [Protocol::Exchange, Protocol::Advanced] {
            for text in [
                "",
                "null",
                "7",
                "[]",
                "{}",
                r#"{"type":7}"#,
                r#"{"type":"subscribe","channels":7,"product_ids":7}"#,
                r#"{"type":"subscribe","channels":[7,{"name":7},{"name":"ticker","product_ids":[7,null]}]}"#,
                r#"{"type":"subscribe","channels":["ticker"],"product_ids":["\ud800"]}"#,
                &format!("{{\"type\":\"subscribe\",\"channels\":[{}\"ticker\"]}}", "\"ticker\",".repeat(30_000)),
            ] {
                // Refused, or of nothing. It must not panic.
                if let Ok(request) = Request::parse(text, protocol, &products) {
                    assert!(request.channels.iter().all(|(_, products)| products.is_empty()), "{text:.80}");
                }
            }
        }
    }
}
