//! [`compose`]: the texts of subscribe and unsubscribe requests.
//!
//! Product ids are plain and channel names are constants, so that nothing has to be escaped.

use super::protocol::Feed;
use crate::product::ProductId;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

/// Composes the requests for channels of some products, and for channels without products.
///
/// The Exchange feed takes all channels in one request, the Advanced Trade feed one channel per request.
pub(super) fn compose(feed: Feed, verb: Verb, channels: &[&str], products: &[ProductId], bare: &[&str]) -> Vec<String> {
    let verb = match verb {
        Verb::Subscribe => "subscribe",
        Verb::Unsubscribe => "unsubscribe",
    };
    let names: Vec<String> = products.iter().map(|product| format!("\"{product}\"")).collect();
    let (names, channels) = (names.join(","), if products.is_empty() { &[] } else { channels });
    if feed.has_requests_for_many_channels() {
        let full = channels.iter().map(|channel| format!(r#"{{"name":"{channel}","product_ids":[{names}]}}"#));
        let all: Vec<String> = full.chain(bare.iter().map(|channel| format!(r#"{{"name":"{channel}"}}"#))).collect();
        if all.is_empty() { Vec::new() } else { vec![format!(r#"{{"type":"{verb}","channels":[{}]}}"#, all.join(","))] }
    } else {
        let full = channels.iter().map(|channel| format!(r#"{{"type":"{verb}","product_ids":[{names}],"channel":"{channel}"}}"#));
        full.chain(bare.iter().map(|channel| format!(r#"{{"type":"{verb}","channel":"{channel}"}}"#))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(names: &[&str]) -> Vec<ProductId> {
        names.iter().map(|name| ProductId::new(name).unwrap()).collect()
    }

    #[test]
    fn exchange_asks_for_everything_in_one_request() {
        let asked = compose(Feed::Exchange, Verb::Subscribe, &["ticker", "matches"], &products(&["BTC-USD", "ETH-USD"]), &["status"]);
        let ids = r#""product_ids":["BTC-USD","ETH-USD"]"#;
        assert_eq!(
            asked,
            [format!(r#"{{"type":"subscribe","channels":[{{"name":"ticker",{ids}}},{{"name":"matches",{ids}}},{{"name":"status"}}]}}"#)]
        );
    }

    #[test]
    fn advanced_asks_for_one_channel_a_request() {
        let asked = compose(Feed::Advanced, Verb::Unsubscribe, &["ticker", "market_trades"], &products(&["BTC-USD"]), &["heartbeats"]);
        assert_eq!(
            asked,
            [
                r#"{"type":"unsubscribe","product_ids":["BTC-USD"],"channel":"ticker"}"#,
                r#"{"type":"unsubscribe","product_ids":["BTC-USD"],"channel":"market_trades"}"#,
                r#"{"type":"unsubscribe","channel":"heartbeats"}"#,
            ]
        );
    }

    #[test]
    fn nothing_is_asked_for_nothing() {
        for feed in Feed::ALL {
            assert!(compose(feed, Verb::Subscribe, &["ticker"], &[], &[]).is_empty());
        }
    }
}
