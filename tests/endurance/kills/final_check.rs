//! The check at the end: the column files of the sealed days are compared with the exchange's ledger, without the program's reader.
//!
//! Every trade of the ledger from the first stored one on is there once, in order, with every field. Every ticker that is missing was sent while no capture
//! ran, or was sent out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use coltape::internals::product::ProductId;
use coltape::internals::time::UtcDay;
use serde_json::Value;

/// The ledger, by product.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) trades: BTreeMap<String, BTreeMap<u64, Value>>,
    /// The sequences of the tickers that were sent.
    tickers: BTreeMap<String, BTreeSet<u64>>,
    /// Trades and tickers that were sent out of order.
    out_of_order: usize,
}

impl Ledger {
    pub(crate) fn read(path: &Path) -> Self {
        let mut ledger = Self::default();
        for line in BufReader::new(std::fs::File::open(path).unwrap()).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let product = line["product"].as_str().unwrap_or_default().to_owned();
            match line["kind"].as_str().unwrap() {
                "trade" => {
                    let id = line["trade_id"].as_u64().unwrap();
                    assert!(ledger.trades.entry(product).or_default().insert(id, line).is_none(), "trade {id} is twice in the ledger");
                }
                "ticker" if line["sent"] == true => {
                    ledger.tickers.entry(product).or_default().insert(line["sequence"].as_u64().unwrap());
                }
                "fault" if line["fault"] == "reorder" || line["fault"] == "delay" => ledger.out_of_order += 1,
                _ => {}
            }
        }
        ledger
    }

    /// Gives the id of a product's newest trade.
    pub(crate) fn last(&self, product: &ProductId) -> Option<u64> {
        self.trades.get(product.as_str())?.keys().next_back().copied()
    }
}

/// The counts of the check.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    /// Trades stored, with every field equal.
    pub(crate) trades: u64,
    /// Trades that the exchange made before a product's first stored one.
    pub(crate) before: u64,
    /// Of those stored, trades from REST without order ids.
    pub(crate) from_rest: u64,
    /// Tickers stored.
    pub(crate) tickers: u64,
    /// Tickers that were sent while no capture ran, or while one was being killed.
    pub(crate) tickers_missed: u64,
}

fn column<const N: usize>(folder: &Path, name: &str, dates: [UtcDay; 2]) -> Vec<[u8; N]> {
    let files = dates.map(|date| std::fs::read(folder.join(format!("{name}.{date}.bin"))).unwrap_or_default());
    assert!(files.iter().all(|bytes| bytes.len().is_multiple_of(N)), "{name} in {}", folder.display());
    files.iter().flat_map(|bytes| bytes.chunks(N).map(|value| value.try_into().unwrap())).collect()
}

const REST: u32 = 2;

/// Compares the sealed days of all products with the ledger. `ends` are the sequences of the newest tickers that each kill left.
pub(crate) fn check(
    data: &Path,
    products: &[ProductId],
    dates: [UtcDay; 2],
    ledger: &Ledger,
    lines: u8,
    ends: &BTreeMap<ProductId, BTreeSet<u64>>,
) -> Result<Sums, String> {
    let mut sums = Sums::default();
    let mut out_of_order = 0;
    for product in products {
        let nothing = BTreeMap::new();
        let made = ledger.trades.get(product.as_str()).unwrap_or(&nothing);
        sums.add_trades(&data.join(product.as_str()).join("TRADES"), dates, made).map_err(|what| format!("{product}: {what}"))?;
        let stored: BTreeSet<u64> =
            column::<8>(&data.join(product.as_str()).join("MD"), "sequence", dates).into_iter().map(u64::from_le_bytes).collect();
        sums.tickers += stored.len() as u64;
        let ends = ends.get(product);
        for sequence in ledger.tickers.get(product.as_str()).into_iter().flatten().filter(|sequence| !stored.contains(sequence)) {
            // A ticker that was sent while no capture ran comes right after the last one that a killed capture had stored.
            match stored.range(..sequence).next_back() {
                Some(before) if !ends.is_some_and(|ends| ends.contains(before)) => out_of_order += 1,
                _ => sums.tickers_missed += 1,
            }
        }
    }
    // With two lines, the one that starts second may be ahead of the first, whose tickers are stale then.
    if lines == 1 && out_of_order > ledger.out_of_order {
        return Err(format!(
            "{out_of_order} tickers are missing that were sent while a capture ran; only {} were out of order",
            ledger.out_of_order
        ));
    }
    Ok(sums)
}

impl Sums {
    fn add_trades(&mut self, folder: &Path, dates: [UtcDay; 2], made: &BTreeMap<u64, Value>) -> Result<(), String> {
        let ids: Vec<u64> = column::<8>(folder, "trade_id", dates).into_iter().map(u64::from_le_bytes).collect();
        let first = *ids.first().ok_or("no trade is stored")?;
        let wanted: Vec<u64> = made.range(first..).map(|(id, _)| *id).collect();
        if ids != wanted {
            let (stored, made): (BTreeSet<u64>, BTreeSet<u64>) = (ids.iter().copied().collect(), wanted.iter().copied().collect());
            let lost: Vec<_> = made.difference(&stored).take(5).collect();
            let invented: Vec<_> = stored.difference(&made).take(5).collect();
            return Err(format!(
                "{} trades stored ({} different), {} made since the first; lost {lost:?}…, invented {invented:?}…",
                ids.len(),
                stored.len(),
                wanted.len()
            ));
        }
        let u32s = |name| column::<4>(folder, name, dates).into_iter().map(u32::from_le_bytes).collect::<Vec<_>>();
        let f64s = |name| column::<8>(folder, name, dates).into_iter().map(f64::from_le_bytes).collect::<Vec<_>>();
        let (seconds, nanos, sides, origins) = (u32s("trade_time"), u32s("trade_nanos"), u32s("trade_side"), u32s("trade_origin"));
        let (prices, sizes) = (column::<4>(folder, "trade_price", dates), column::<4>(folder, "trade_size", dates));
        let (exact_prices, exact_sizes) = (f64s("trade_price_f64"), f64s("trade_size_f64"));
        let (makers, takers) = (column::<16>(folder, "maker_order_id", dates), column::<16>(folder, "taker_order_id", dates));
        let sequences: Vec<u64> = column::<8>(folder, "trade_sequence", dates).into_iter().map(u64::from_le_bytes).collect();
        for (at, id) in ids.iter().enumerate() {
            let said = &made[id];
            let text = |key: &str| said[key].as_str().unwrap_or_default();
            let time: jiff::Timestamp = text("time").parse().unwrap();
            let second = u32::try_from(time.as_second()).unwrap();
            let uuid = |key: &str| u128::from_str_radix(&text(key).replace('-', ""), 16).unwrap().to_be_bytes();
            let is_rest = origins[at] & 0xf == REST;
            let has_orders = (makers[at], takers[at], sequences[at]) == (uuid("maker"), uuid("taker"), said["sequence"].as_u64().unwrap());
            let has_no_orders = is_rest && (makers[at], takers[at], sequences[at]) == ([0; 16], [0; 16], 0);
            let is_equal = (seconds[at], nanos[at]) == (second, u32::try_from(time.subsec_nanosecond()).unwrap())
                && f32::from_le_bytes(prices[at]).to_bits() == text("price").parse::<f32>().unwrap().to_bits()
                && f32::from_le_bytes(sizes[at]).to_bits() == text("size").parse::<f32>().unwrap().to_bits()
                && exact_prices[at].to_bits() == text("price").parse::<f64>().unwrap().to_bits()
                && exact_sizes[at].to_bits() == text("size").parse::<f64>().unwrap().to_bits()
                && sides[at] == u32::from(text("side") == "buy")
                && dates[usize::from(time.as_second() >= i64::from(dates[1].0) * 86_400)] == UtcDay(second / 86_400)
                && (has_orders || has_no_orders);
            if !is_equal {
                return Err(format!("trade {id} (record {at}, origin {:#x}) is not what the ledger says: {said}", origins[at]));
            }
            self.from_rest += u64::from(has_no_orders);
        }
        self.trades += ids.len() as u64;
        self.before += made.range(..first).count() as u64;
        Ok(())
    }
}
