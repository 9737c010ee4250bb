//! [`Subscriptions`]: what a client has subscribed to.

use std::collections::BTreeSet;

use super::replay::Kind;
use super::request::{Channel, Protocol, Request};
use crate::product::ProductId;

/// What a client has subscribed to.
#[derive(Debug)]
pub(super) struct Subscriptions {
    protocol: Protocol,
    /// A channel of the connection has no product.
    all: BTreeSet<(Channel, Option<ProductId>)>,
}

/// What a request has added.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Records of products.
    pub(super) subjects: Vec<(ProductId, Kind)>,
    /// Products that had no such subscription, heartbeats included.
    pub(super) products: BTreeSet<ProductId>,
    pub(super) has_status: bool,
}

impl Subscriptions {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, all: BTreeSet::new() }
    }

    /// Adds what a request asks for.
    pub(super) fn add(&mut self, request: &Request) -> Added {
        let mut added = Added::default();
        for (channel, products) in &request.channels {
            if !channel.is_by_product(self.protocol) {
                added.has_status |= self.all.insert((*channel, None)) && *channel == Channel::Status;
                continue;
            }
            for product in products {
                if self.all.insert((*channel, Some(product.clone()))) {
                    added.subjects.extend(kind_of(*channel).map(|kind| (product.clone(), kind)));
                    added.products.insert(product.clone());
                }
            }
        }
        added
    }

    /// Removes what a request names; without a product, all of a channel. Gives the records that end.
    pub(super) fn remove(&mut self, request: &Request) -> Vec<(ProductId, Kind)> {
        let mut ended = Vec::new();
        for (channel, products) in &request.channels {
            let is_meant =
                |product: &Option<ProductId>| products.is_empty() || product.as_ref().is_some_and(|name| products.contains(name));
            self.all.retain(|(known, product)| {
                let ends = known == channel && is_meant(product);
                if ends {
                    ended.extend(kind_of(*channel).and_then(|kind| Some((product.clone()?, kind))));
                }
                !ends
            });
        }
        ended
    }

    /// Tells whether the client has subscribed to a channel of the connection.
    pub(super) fn has(&self, channel: Channel) -> bool {
        self.all.contains(&(channel, None))
    }

    /// Tells whether any channel has a product.
    pub(super) fn names(&self, product: &ProductId) -> bool {
        self.all.iter().any(|(_, name)| name.as_ref() == Some(product))
    }

    /// Lists the products of a channel.
    pub(super) fn products_of(&self, channel: Channel) -> impl Iterator<Item = &ProductId> {
        self.all.iter().filter(move |(known, _)| *known == channel).filter_map(|(_, product)| product.as_ref())
    }

    /// Lists all products.
    pub(super) fn products(&self) -> BTreeSet<ProductId> {
        self.all.iter().filter_map(|(_, product)| product.clone()).collect()
    }

    /// Lists each channel with its products, as the acknowledgement has them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        Channel::ALL.into_iter().filter_map(|channel| {
            let name = channel.name(self.protocol);
            let products: Vec<&str> = self.products_of(channel).map(ProductId::as_str).collect();
            match (products.is_empty(), self.has(channel), self.protocol) {
                (false, ..) => Some((name, products)),
                (true, true, Protocol::Exchange) => Some((name, Vec::new())),
                (true, true, Protocol::Advanced) => Some((name, vec![name])),
                (true, false, _) => None,
            }
        })
    }
}

/// Gives the records that a channel carries.
const fn kind_of(channel: Channel) -> Option<Kind> {
    match channel {
        Channel::Trades => Some(Kind::Trades),
        Channel::Tickers => Some(Kind::Tickers),
        Channel::Heartbeats | Channel::Status => None,
    }
}
