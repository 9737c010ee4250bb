//! The subscription requests of clients, in the form of either feed.
//!
//! Exchange: `{"type":"subscribe","product_ids":[…],"channels":["ticker",{"name":"matches","product_ids":[…]}]}`. Advanced:
//! `{"type":"subscribe","product_ids":[…],"channel":"market_trades"}`. Both forms are read the same way. `subscriptions` checks whether a channel exists.

use simd_json::BorrowedValue;
use simd_json::prelude::*;

/// One requested channel, with its products as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelRequest {
    pub(super) channel: String,
    pub(super) products: Vec<String>,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestAction {
    /// Adds channels and products.
    Subscribe,
    /// Removes them.
    Unsubscribe,
}

/// A `subscribe` or `unsubscribe` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) action: RequestAction,
    pub(super) channels: Vec<ChannelRequest>,
}

impl Request {
    /// Reads a request; `None` where the text is not one.
    pub(super) fn parse(text: &mut [u8]) -> Option<Self> {
        let value = simd_json::to_borrowed_value(text).ok()?;
        let action = match value.get_str("type")? {
            "subscribe" => RequestAction::Subscribe,
            "unsubscribe" => RequestAction::Unsubscribe,
            _ => return None,
        };
        let common = strings(value.get("product_ids"));
        let one = value.get_str("channel").map(|channel| ChannelRequest { channel: channel.to_owned(), products: common.clone() });
        let many = value.get_array("channels").into_iter().flatten().filter_map(|channel| match channel.as_str() {
            Some(name) => Some(ChannelRequest { channel: name.to_owned(), products: common.clone() }),
            None => {
                let own = strings(channel.get("product_ids"));
                let products = if own.is_empty() { common.clone() } else { own };
                Some(ChannelRequest { channel: channel.get_str("name")?.to_owned(), products })
            }
        });
        let channels = one.into_iter().chain(many).collect();
        Some(Self { action, channels })
    }
}

fn strings(value: Option<&BorrowedValue<'_>>) -> Vec<String> {
    value.and_then(|value| value.as_array()).into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_both_feeds_are_read() {
        let read = |text: &str| Request::parse(&mut text.as_bytes().to_vec());
        let asked = |channel: &str, products: &[&str]| ChannelRequest {
            channel: channel.to_owned(),
            products: products.iter().map(|product| (*product).to_owned()).collect(),
        };
        let exchange = r#"{"type":"subscribe","product_ids":["A-B"],"channels":["ticker",{"name":"matches","product_ids":["C-D","E-F"]}]}"#;
        let channels = vec![asked("ticker", &["A-B"]), asked("matches", &["C-D", "E-F"])];
        assert_eq!(read(exchange), Some(Request { action: RequestAction::Subscribe, channels }));
        let advanced = r#"{"type":"unsubscribe","channel":"heartbeats"}"#;
        assert_eq!(read(advanced), Some(Request { action: RequestAction::Unsubscribe, channels: vec![asked("heartbeats", &[])] }));
        for bad in ["", "[]", "{}", r#"{"type":7}"#, r#"{"type":"hello"}"#, "\u{0}"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
