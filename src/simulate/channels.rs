//! The channels that clients subscribe to, on both feeds.

use super::config::SimulatedFeed;
use super::trade::UpdateKind;

/// A set of channels, as bits. A client has one such set for each product, and one for the connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Channels(u8);

impl Channels {
    /// `matches` or `market_trades`.
    pub(super) const TRADES: Self = Self(1);
    /// `ticker`.
    pub(super) const TICKER: Self = Self(2);
    /// `heartbeat`, or the connection's `heartbeats`.
    pub(super) const HEARTBEAT: Self = Self(4);
    /// `status`.
    pub(super) const STATUS: Self = Self(8);

    /// Gives the channel of trades or of tickers.
    pub(super) const fn of(kind: UpdateKind) -> Self {
        match kind {
            UpdateKind::Trade => Self::TRADES,
            UpdateKind::Ticker => Self::TICKER,
        }
    }

    /// Tells whether any channel of `other` is in the set.
    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds the channels of `other`.
    pub(super) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Removes the channels of `other`.
    pub(super) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// A channel as one of the feeds names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelSpec {
    pub(super) name: &'static str,
    pub(super) channel: Channels,
    /// A client names the products it wants; otherwise the channel belongs to the connection.
    pub(super) is_by_product: bool,
}

const fn by_product(name: &'static str, channel: Channels) -> ChannelSpec {
    ChannelSpec { name, channel, is_by_product: true }
}

const fn by_connection(name: &'static str, channel: Channels) -> ChannelSpec {
    ChannelSpec { name, channel, is_by_product: false }
}

const EXCHANGE: [ChannelSpec; 4] = [
    by_product("matches", Channels::TRADES),
    by_product("ticker", Channels::TICKER),
    by_product("heartbeat", Channels::HEARTBEAT),
    by_connection("status", Channels::STATUS),
];

const ADVANCED: [ChannelSpec; 4] = [
    by_product("market_trades", Channels::TRADES),
    by_product("ticker", Channels::TICKER),
    by_connection("heartbeats", Channels::HEARTBEAT),
    by_connection("status", Channels::STATUS),
];

/// Gives the channels of a feed.
pub(super) const fn of_feed(feed: SimulatedFeed) -> &'static [ChannelSpec] {
    match feed {
        SimulatedFeed::Exchange => &EXCHANGE,
        SimulatedFeed::Advanced => &ADVANCED,
    }
}
