//! [`Products`]: the products of a tape under the names that the exchange gives them, and their conditions.
//!
//! 1. A later series of a product (`BTC-USD~2`) is no product of the exchange: it is served under the product's own name.
//! 2. The conditions are those of the last line about a product in `_coltape/products.jsonl`. What no line says is left out; only the two currencies are
//!    told from the name.
//! 3. The order of the fields is that of the exchange.

use std::collections::{BTreeMap, BTreeSet};

use super::spelling::{decimals_of, quoted, text};
use crate::product::ProductId;
use crate::store::catalog;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, PRODUCTS_FILE};
use crate::tape::{Tape, TapeError};

/// What the exchange said of a product. Texts are empty where it did not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    base_currency: String,
    quote_currency: String,
    base_increment: String,
    quote_increment: String,
    min_market_funds: String,
    status: String,
    is_disabled: bool,
}

/// The products of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Products {
    by_name: BTreeMap<ProductId, Conditions>,
}

impl Products {
    /// Reads what a tape has.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn read(tape: &Tape) -> Result<Self, TapeError> {
        let mut by_name: BTreeMap<ProductId, Conditions> =
            tape.products()?.iter().filter_map(|product| Some((feed_name(product)?, Conditions::default()))).collect();
        for line in journal::lines_of(tape.dir(), PRODUCTS_FILE) {
            let Ok(Line {
                event:
                    Some(Event::Product {
                        product,
                        base_currency,
                        quote_currency,
                        base_increment,
                        quote_increment,
                        min_market_funds,
                        status,
                        trading_disabled,
                        ..
                    }),
                ..
            }) = Line::parse(line)
            else {
                continue;
            };
            let Some(known) = feed_name(&product).and_then(|name| by_name.get_mut(&name)) else { continue };
            *known = Conditions {
                base_currency,
                quote_currency,
                base_increment,
                quote_increment,
                min_market_funds,
                status,
                is_disabled: trading_disabled,
            };
        }
        Ok(Self { by_name })
    }

    /// Finds a product by the text that a client sent. Only a product that the tape has is found.
    pub(super) fn find(&self, name: &str) -> Option<&ProductId> {
        let asked = ProductId::from_feed(name.as_bytes()).ok()?;
        self.by_name.get_key_value(&asked).map(|(product, _)| product)
    }

    /// Lists the names.
    pub(super) fn names(&self) -> impl Iterator<Item = &ProductId> {
        self.by_name.keys()
    }

    /// Counts the decimals of a product's quotes; 0 where the increment is not known.
    pub(super) fn quote_decimals(&self, product: &ProductId) -> usize {
        self.by_name.get(product).map_or(0, |conditions| decimals_of(&conditions.quote_increment))
    }

    /// Writes all products as a JSON array.
    pub(super) fn write_all(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, (product, conditions)) in self.by_name.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            conditions.write(out, product);
        }
        out.push(b']');
    }

    /// Writes one product as a JSON object.
    pub(super) fn write_one(&self, out: &mut Vec<u8>, product: &ProductId) {
        if let Some(conditions) = self.by_name.get(product) {
            conditions.write(out, product);
        }
    }

    /// Writes the currencies of all products as a JSON array.
    pub(super) fn write_currencies(&self, out: &mut Vec<u8>) {
        let mut names = BTreeSet::new();
        for (product, conditions) in &self.by_name {
            names.extend(conditions.currencies(product).map(str::to_owned));
        }
        out.push(b'[');
        for (at, name) in names.iter().filter(|name| !name.is_empty()).enumerate() {
            text(out, if at > 0 { ",{\"id\":" } else { "{\"id\":" });
            quoted(out, name);
            text(out, ",\"name\":");
            quoted(out, name);
            text(out, ",\"status\":\"online\"}");
        }
        out.push(b']');
    }
}

impl Conditions {
    /// Gives the currency that is traded and the currency of the price.
    fn currencies<'a>(&'a self, product: &'a ProductId) -> [&'a str; 2] {
        let (base, quote) = product.as_str().rsplit_once('-').unwrap_or((product.as_str(), ""));
        let known = |said: &'a str, named: &'a str| if said.is_empty() { named } else { said };
        [known(&self.base_currency, base), known(&self.quote_currency, quote)]
    }

    fn write(&self, out: &mut Vec<u8>, product: &ProductId) {
        let [base, quote] = self.currencies(product);
        text(out, "{\"id\":");
        quoted(out, product.as_str());
        let display = format!("{base}/{quote}");
        let status = if self.status.is_empty() { "online" } else { &self.status };
        for (name, value) in [
            ("base_currency", base),
            ("quote_currency", quote),
            ("quote_increment", &self.quote_increment),
            ("base_increment", &self.base_increment),
            ("display_name", &display),
            ("min_market_funds", &self.min_market_funds),
            ("status", status),
        ] {
            if !value.is_empty() {
                text(out, ",\"");
                text(out, name);
                text(out, "\":");
                quoted(out, value);
            }
        }
        text(out, if self.is_disabled { ",\"trading_disabled\":true}" } else { ",\"trading_disabled\":false}" });
    }
}

/// Gives the name under which a stored product is served.
pub(super) fn feed_name(product: &ProductId) -> Option<ProductId> {
    if product.series() == 1 { Some(product.clone()) } else { ProductId::new(product.feed_name()).ok() }
}

/// Lists the stored series of a product, the newest one last.
///
/// # Errors
/// Where the directory cannot be read.
pub(super) fn series(tape: &Tape, product: &ProductId) -> Result<Vec<ProductId>, TapeError> {
    Ok(catalog::series(tape.dir(), product)?)
}

/// Gives the name under which a series of a product is stored.
pub(super) fn stored_name(product: &ProductId, series: u32) -> Option<ProductId> {
    if series == 1 { Some(product.clone()) } else { ProductId::new(&format!("{product}~{series}")).ok() }
}
