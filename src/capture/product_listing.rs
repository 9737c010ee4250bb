//! [`ProductListing`]: what the exchange says of its products, message by message, and which of them a capture of all products records. No I/O, no clock.
//!
//! 1. A product is recorded from the first message that says it is online.
//! 2. It is not recorded any more when a message says that it is delisted, or when [`ABSENCES`] messages in a row that list most products do not list it.
//!    A product that is offline for a while stays: its first trades afterwards may come before the message that says so.
//! 3. A product that shares the order book of another one that is recorded (an alias) has the same trades: it is left out.
//! 4. At most [`MAX_PRODUCTS`] are kept, so that a hostile server cannot fill the memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::feed::ProductInfo;
use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::time::UnixNanos;

/// Messages in a row that do not list a product before it counts as gone.
const ABSENCES: u32 = 3;

/// Most products of a listing: ten times as many as Coinbase has with all aliases.
const MAX_PRODUCTS: usize = 10_000;

/// A product of the listing.
#[derive(Debug, Clone)]
struct Listed {
    info: ProductInfo,
    /// Whether it was online and has not been delisted since.
    is_trading: bool,
    /// Messages in a row that did not list it.
    absences: u32,
}

/// What the exchange says of its products.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProductListing(BTreeMap<ProductId, Listed>);

impl ProductListing {
    /// Takes a message: all products, or those that have changed.
    pub(crate) fn take(&mut self, infos: Vec<ProductInfo>) {
        let listed: BTreeSet<ProductId> = infos.iter().map(|info| info.id.clone()).collect();
        // A message of a few products tells of changes. It does not say that the others are gone.
        let is_whole = listed.len() * 3 >= self.0.len() * 2;
        if is_whole {
            for (_, absent) in self.0.iter_mut().filter(|(product, _)| !listed.contains(*product)) {
                absent.absences = absent.absences.saturating_add(1);
            }
            self.0.retain(|_, listed| listed.absences < ABSENCES);
        }
        for info in infos {
            if !self.0.contains_key(&info.id) && self.0.len() >= MAX_PRODUCTS {
                continue;
            }
            let was_trading = self.0.get(&info.id).is_some_and(|known| known.is_trading);
            let is_trading = info.is_online() || was_trading && info.status != "delisted";
            self.0.insert(info.id.clone(), Listed { info, is_trading, absences: 0 });
        }
    }

    /// Gives the products to record: of these quote currencies, or of all where none is named.
    #[must_use]
    pub(crate) fn wanted(&self, quotes: &BTreeSet<String>) -> BTreeSet<ProductId> {
        let is_asked = |listed: &Listed| quotes.is_empty() || quotes.contains(quote_of(&listed.info));
        let trading: BTreeSet<&ProductId> =
            self.0.iter().filter(|(_, listed)| listed.is_trading && is_asked(listed)).map(|(product, _)| product).collect();
        let is_copy = |product: &ProductId| {
            let alias = self.0.get(product).map(|listed| listed.info.alias.as_str()).unwrap_or_default();
            alias != product.as_str() && trading.iter().any(|other| other.as_str() == alias)
        };
        trading.iter().filter(|product| !is_copy(product)).map(|product| (*product).clone()).collect()
    }

    /// Writes the listing as lines, as [`ProductListing::parse`] reads them.
    #[must_use]
    pub(crate) fn lines(&self, source: &str, now: UnixNanos) -> String {
        let trading = self.0.values().filter(|listed| listed.is_trading);
        trading.map(|listed| describe(&listed.info, source).line(now) + "\n").collect()
    }

    /// Reads lines that an earlier capture has left. A line that is something else is passed over.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        let events = text.lines().filter_map(|line| Line::parse(line).ok()?.event);
        for event in events {
            let Some(info) = info_of(event).filter(|_| listing.0.len() < MAX_PRODUCTS) else { continue };
            // Only those that were trading are written.
            listing.0.insert(info.id.clone(), Listed { info, is_trading: true, absences: 0 });
        }
        listing
    }
}

/// Gives a product's quote currency: as it is listed, else as its name has it.
fn quote_of(info: &ProductInfo) -> &str {
    let by_name = || info.id.as_str().rsplit_once('-').map_or("", |(_, quote)| quote);
    if info.quote_currency.is_empty() { by_name() } else { &info.quote_currency }
}

/// Gives the event that describes a product.
pub(super) fn describe(info: &ProductInfo, source: &str) -> Event {
    Event::Product {
        product: info.id.clone(),
        base_currency: info.base_currency.clone(),
        quote_currency: info.quote_currency.clone(),
        base_increment: info.base_increment.clone(),
        quote_increment: info.quote_increment.clone(),
        min_market_funds: info.min_market_funds.clone(),
        status: info.status.clone(),
        alias: info.alias.clone(),
        trading_disabled: info.trading_disabled,
        source: source.to_owned(),
    }
}

/// Gives the product that an event describes.
fn info_of(event: Event) -> Option<ProductInfo> {
    let Event::Product {
        product,
        base_currency,
        quote_currency,
        base_increment,
        quote_increment,
        min_market_funds,
        status,
        alias,
        trading_disabled,
        source: _,
    } = event
    else {
        return None;
    };
    Some(ProductInfo {
        id: product,
        base_currency,
        quote_currency,
        base_increment,
        quote_increment,
        min_market_funds,
        status,
        alias,
        trading_disabled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, status: &str) -> ProductInfo {
        ProductInfo {
            id: ProductId::new(name).expect("a product"),
            base_currency: String::new(),
            quote_currency: String::new(),
            base_increment: String::new(),
            quote_increment: String::new(),
            min_market_funds: String::new(),
            status: status.to_owned(),
            alias: String::new(),
            trading_disabled: false,
        }
    }

    fn infos(names: &[&str]) -> Vec<ProductInfo> {
        names.iter().map(|name| info(name, "online")).collect()
    }

    fn wanted(listing: &ProductListing, quotes: &[&str]) -> Vec<String> {
        listing.wanted(&quotes.iter().map(|quote| (*quote).to_owned()).collect()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_online_is_recorded_until_it_is_delisted_and_a_pause_changes_nothing() {
        let mut listing = ProductListing::default();
        listing.take([infos(&["A-USD", "B-EUR", "C-USD"]), vec![info("D-USD", "offline"), info("E-USD", "internal")]].concat());
        assert_eq!(wanted(&listing, &[]), ["A-USD", "B-EUR", "C-USD"]);
        assert_eq!(wanted(&listing, &["USD"]), ["A-USD", "C-USD"]);
        assert_eq!(wanted(&listing, &["GBP"]), Vec::<String>::new());
        // One message tells of changes alone.
        listing.take(vec![info("A-USD", "offline"), info("D-USD", "online")]);
        assert_eq!(wanted(&listing, &[]), ["A-USD", "B-EUR", "C-USD", "D-USD"]);
        listing.take(vec![info("A-USD", "delisted"), ProductInfo { trading_disabled: true, ..info("B-EUR", "online") }]);
        assert_eq!(wanted(&listing, &[]), ["B-EUR", "C-USD", "D-USD"]);
        listing.take(vec![info("A-USD", "online")]);
        assert_eq!(wanted(&listing, &["USD"]), ["A-USD", "C-USD", "D-USD"], "it is listed again");
    }

    #[test]
    fn a_product_that_is_not_listed_is_gone_after_the_third_whole_message_only() {
        let mut listing = ProductListing::default();
        listing.take(infos(&["A-USD", "B-USD", "C-USD"]));
        let without = infos(&["A-USD", "B-USD"]);
        listing.take(without.clone());
        listing.take(without.clone());
        listing.take(infos(&["A-USD", "B-USD", "C-USD"]));
        listing.take(without.clone());
        listing.take(without.clone());
        (0..9).for_each(|_| listing.take(infos(&["A-USD"])));
        assert_eq!(wanted(&listing, &[]), ["A-USD", "B-USD", "C-USD"]);
        listing.take(without);
        assert_eq!(wanted(&listing, &[]), ["A-USD", "B-USD"]);
    }

    #[test]
    fn an_alias_is_left_out_where_its_product_is_recorded() {
        let mut listing = ProductListing::default();
        let alias = |name: &str, of: &str| ProductInfo { alias: of.to_owned(), ..info(name, "online") };
        listing.take(vec![info("BTC-USD", "online"), alias("BTC-USDC", "BTC-USD"), alias("X-USDC", "X-USD"), alias("Y-USD", "Y-USD")]);
        assert_eq!(wanted(&listing, &[]), ["BTC-USD", "X-USDC", "Y-USD"]);
        assert_eq!(wanted(&listing, &["USDC"]), ["BTC-USDC", "X-USDC"]);
    }

    #[test]
    fn lines_give_back_what_was_trading_and_other_lines_are_passed_over() {
        let mut listing = ProductListing::default();
        listing.take([infos(&["A-USD", "B-EUR"]), vec![info("C-USD", "delisted")]].concat());
        let text = listing.lines("wss://feed", UnixNanos(1_000_000_000));
        let read = ProductListing::parse(&format!("{{}}\nnothing\n{text}{{\"time\":"));
        assert_eq!(wanted(&read, &[]), ["A-USD", "B-EUR"]);
        assert_eq!(wanted(&ProductListing::parse(""), &[]), Vec::<String>::new());
    }

    #[test]
    fn a_hostile_listing_fills_no_memory() {
        let mut listing = ProductListing::default();
        for round in 0..3 {
            listing.take((0..MAX_PRODUCTS).map(|number| info(&format!("P{number}-{round}"), "online")).collect());
        }
        assert_eq!(listing.wanted(&BTreeSet::new()).len(), MAX_PRODUCTS);
    }
}
