//! Compares the stored trades with the ledger, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, Side, Trade};
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{Snapshot, catalog};

use super::truth::{Made, Truth};

/// The result of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) equal: u64,
    pub(crate) by_rest: u64,
    pub(crate) missing: Vec<(String, u64)>,
    pub(crate) duplicated: Vec<(String, u64)>,
    pub(crate) altered: Vec<String>,
    pub(crate) invented: Vec<(String, u64)>,
    /// Trades of delisted products after the last one that any client was told of, and not stored.
    pub(crate) unannounced: u64,
    /// The source of each stored trade.
    pub(crate) means: BTreeMap<(String, u64), Means>,
}

impl Verdict {
    /// Fails where anything is wrong, and shows the first of each.
    pub(crate) fn assert_clean(&self) {
        let first = |list: &[(String, u64)]| format!("{} ({:?}…)", list.len(), list.iter().take(5).collect::<Vec<_>>());
        assert!(
            self.missing.is_empty() && self.duplicated.is_empty() && self.altered.is_empty() && self.invented.is_empty(),
            "missing {}, stored twice {}, invented {}, altered {} ({:#?}…)",
            first(&self.missing),
            first(&self.duplicated),
            first(&self.invented),
            self.altered.len(),
            self.altered.iter().take(5).collect::<Vec<_>>()
        );
        assert!(self.equal > 0, "no trade was compared");
    }
}

/// Gives all stored trades of a product, day by day, with late ones in their place.
pub(crate) fn stored(data: &Path, product: &str) -> Vec<Trade> {
    let product = ProductId::new(product).unwrap();
    let days = catalog::days(data, &product, Dataset::Trades).unwrap_or_default();
    let open = |date| Snapshot::<Trades>::open(data, &product, date).unwrap();
    days.into_iter().filter_map(open).flat_map(|day| day.rows().collect::<Vec<_>>()).collect()
}

/// Gives the first and the last id stored of a product, and the number of trades.
pub(crate) fn span(data: &Path, product: &str) -> Option<(u64, u64, u64)> {
    let product = ProductId::new(product).unwrap();
    let days = catalog::days(data, &product, Dataset::Trades).unwrap_or_default();
    let open = |date| Snapshot::<Trades>::open(data, &product, date).ok().flatten();
    let days: Vec<_> = days.into_iter().filter_map(open).filter(|day| day.count() > 0).collect();
    let first = days.first()?.row(0)?.trade_id;
    let last = days.last().and_then(|day| day.row(day.count() - 1))?.trade_id;
    Some((first, last, days.iter().map(|day| day.count() as u64).sum()))
}

/// Counts the stored trades of a product.
pub(crate) fn count(data: &Path, product: &str) -> usize {
    let product = ProductId::new(product).unwrap();
    let days = catalog::days(data, &product, Dataset::Trades).unwrap_or_default();
    // A day that is just being made or replaced counts at the next look.
    days.into_iter().filter_map(|date| Snapshot::<Trades>::open(data, &product, date).ok().flatten()).map(|day| day.count()).sum()
}

/// Compares everything that is stored with the ledger.
pub(crate) fn compare(data: &Path, truth: &Truth) -> Verdict {
    let mut verdict = Verdict::default();
    for (product, chain) in &truth.products {
        let (expected, unannounced) = truth.expected(product);
        let mut seen = BTreeSet::new();
        for trade in stored(data, product) {
            let key = (product.clone(), trade.trade_id);
            if !seen.insert(trade.trade_id) {
                verdict.duplicated.push(key);
                continue;
            }
            let Some(made) = chain.made.get(&trade.trade_id) else {
                verdict.invented.push(key);
                continue;
            };
            let wrong = differences(&trade, made);
            if wrong.is_empty() {
                verdict.equal += 1;
            } else {
                verdict.altered.push(format!("{product} {}: {wrong:?}", trade.trade_id));
            }
            let means = trade.origin.means().unwrap();
            verdict.by_rest += u64::from(means == Means::Rest);
            verdict.means.insert(key, means);
        }
        verdict.missing.extend(expected.difference(&seen).map(|id| (product.clone(), *id)));
        verdict.unannounced += unannounced.difference(&seen).count() as u64;
    }
    verdict
}

/// Gives the fields of a stored trade that differ from what the exchange made. A trade from REST may be without order ids and sequence, but only without all
/// of them.
fn differences(trade: &Trade, made: &Made) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |name: &str, is_right: bool, found: &dyn std::fmt::Debug| {
        if !is_right {
            wrong.push(format!("{name} is {found:?}"));
        }
    };
    check("time", trade.time.0 == made.time_nanos, &trade.time);
    for (name, stored, text) in [("price", trade.price, &made.price), ("size", trade.size, &made.size)] {
        check(name, stored.as_f64.to_bits() == text.parse::<f64>().unwrap().to_bits(), &stored);
        check(name, stored.as_f32.to_bits() == text.parse::<f32>().unwrap().to_bits(), &stored);
    }
    check("side", (trade.side == Side::Buy) == made.is_buy, &trade.side);
    let means = trade.origin.means();
    let is_live = means != Some(Means::Rest);
    let is_bare = trade.maker_order_id.is_nil() && trade.taker_order_id.is_nil() && trade.sequence == 0;
    if is_live || !is_bare {
        let order = |id: &Option<String>| id.clone().unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
        check("maker", trade.maker_order_id.to_string() == order(&made.maker), &trade.maker_order_id);
        check("taker", trade.taker_order_id.to_string() == order(&made.taker), &trade.taker_order_id);
        check("sequence", trade.sequence == made.sequence, &trade.sequence);
    }
    check("recv", (trade.recv.0 > 0) == is_live, &trade.recv);
    wrong
}

/// Checks in the files of the sealed days that each id is greater than the one before, without the program's reader. Gives their number.
pub(crate) fn assert_sealed_in_order(data: &Path, product: &str) -> usize {
    let mut last = 0;
    let mut count = 0;
    let folder = data.join(product).join("TRADES");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("trade_id.")) {
        for bytes in std::fs::read(file).unwrap().chunks_exact(8) {
            let id = u64::from_le_bytes(bytes.try_into().unwrap());
            assert!(id > last, "{product}: {id} after {last}");
            last = id;
            count += 1;
        }
    }
    count
}
