//! [`Feed`]: which of Coinbase's two public feeds, and what differs between them apart from the form of their messages.

/// One of Coinbase's two public feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Feed {
    /// The Exchange feed: `ticker`, `matches`, `heartbeat`, `status`.
    #[default]
    Exchange,
    /// The Advanced Trade feed: `ticker`, `market_trades`, `heartbeats`, `status`.
    Advanced,
}

impl Feed {
    /// All feeds.
    pub const ALL: [Self; 2] = [Self::Exchange, Self::Advanced];

    /// Gives the name that the command line and the journal use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Advanced => "advanced",
        }
    }

    /// Says in a line what it is, for help texts.
    #[must_use]
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Exchange => "ws-feed.exchange.coinbase.com: order ids and sequences with every trade",
            Self::Advanced => "advanced-trade-ws.coinbase.com: trades in batches, no order ids",
        }
    }

    /// Gives the number that the `trade_origin` column stores.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Exchange => 0,
            Self::Advanced => 1,
        }
    }

    /// Gives the public WebSocket endpoint.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        match self {
            Self::Exchange => "wss://ws-feed.exchange.coinbase.com",
            Self::Advanced => "wss://advanced-trade-ws.coinbase.com",
        }
    }

    /// Gives the REST endpoint that has past trades. It serves both feeds, which share its trade ids.
    #[must_use]
    pub const fn default_rest_url(self) -> &'static str {
        "https://api.exchange.coinbase.com"
    }

    /// Gives the channel that carries tickers.
    #[must_use]
    pub(crate) const fn ticker_channel(self) -> &'static str {
        match self {
            Self::Exchange | Self::Advanced => "ticker",
        }
    }

    /// Gives the channel that carries individual trades.
    #[must_use]
    pub const fn trade_channel(self) -> &'static str {
        match self {
            Self::Exchange => "matches",
            Self::Advanced => "market_trades",
        }
    }

    /// Gives the channel that shows that the connection is alive.
    #[must_use]
    pub const fn heartbeat_channel(self) -> &'static str {
        match self {
            Self::Exchange => "heartbeat",
            Self::Advanced => "heartbeats",
        }
    }

    /// Tells whether heartbeats are subscribed to per product. Otherwise they are the connection's, and name no product.
    #[must_use]
    pub(crate) const fn has_product_heartbeats(self) -> bool {
        matches!(self, Self::Exchange)
    }

    /// Gives the channel that lists all products.
    #[must_use]
    pub(crate) const fn status_channel(self) -> &'static str {
        match self {
            Self::Exchange | Self::Advanced => "status",
        }
    }

    /// Tells whether one request may subscribe to several channels. Otherwise each channel takes a request of its own, in another form.
    #[must_use]
    pub(crate) const fn has_requests_for_many_channels(self) -> bool {
        matches!(self, Self::Exchange)
    }

    /// Tells whether a ticker carries the product's sequence, by which the tickers of several connections can be merged.
    #[must_use]
    pub(crate) const fn has_ticker_sequence(self) -> bool {
        matches!(self, Self::Exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Means, Origin};

    #[test]
    fn the_origin_of_a_trade_tells_its_feed_and_knows_its_name() {
        for feed in Feed::ALL {
            let origin = Origin::new(Means::Live, 15, feed.number()).flawed();
            assert_eq!(origin.feed(), feed.number());
            assert_eq!(Origin::FEEDS.get(usize::from(origin.feed())).copied(), Some(feed.name()));
        }
        assert_eq!(Feed::ALL.len(), Origin::FEEDS.len());
    }
}
