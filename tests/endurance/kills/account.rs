//! The account at the end: the bare column files of the sealed days held against the exchange's ledger, without the program's reader.
//!
//! Every trade of the ledger from the first stored one on is there once, in order, with every field; every ticker that is missing passed while a capture
//! was dead, or was sent out of turn.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use coltape::product::ProductId;
use coltape::time::UtcDay;
use serde_json::Value;

/// What the ledger says, by product.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) trades: BTreeMap<String, BTreeMap<u64, Value>>,
    /// Sequences of tickers that were sent.
    tickers: BTreeMap<String, BTreeSet<u64>>,
    /// Trades and tickers that were sent out of turn.
    out_of_turn: usize,
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
                "fault" if line["fault"] == "reorder" || line["fault"] == "delay" => ledger.out_of_turn += 1,
                _ => {}
            }
        }
        ledger
    }

    /// The newest trade of a product.
    pub(crate) fn last(&self, product: &ProductId) -> Option<u64> {
        self.trades.get(product.as_str())?.keys().next_back().copied()
    }
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums {
    /// Trades stored, every field equal.
    pub(crate) trades: u64,
    /// Trades that the exchange made before a product's first stored one.
    pub(crate) before: u64,
    /// Of those stored, supplied by REST and without order ids.
    pub(crate) from_rest: u64,
    /// Tickers stored.
    pub(crate) tickers: u64,
    /// Tickers sent while a capture was dead or dying.
    pub(crate) tickers_missed: u64,
}

fn column<const N: usize>(folder: &Path, name: &str, dates: [UtcDay; 2]) -> Vec<[u8; N]> {
    let files = dates.map(|date| std::fs::read(folder.join(format!("{name}.{date}.bin"))).unwrap_or_default());
    assert!(files.iter().all(|bytes| bytes.len().is_multiple_of(N)), "{name} in {}", folder.display());
    files.iter().flat_map(|bytes| bytes.chunks(N).map(|value| value.try_into().unwrap())).collect()
}

const REST: u32 = 2;

/// Holds the sealed days of all products against the ledger. `ends` are the newest tickers' sequences that each kill left.
pub(crate) fn settle(
    data: &Path,
    products: &[ProductId],
    dates: [UtcDay; 2],
    ledger: &Ledger,
    lines: u8,
    ends: &BTreeMap<ProductId, BTreeSet<u64>>,
) -> Result<Sums, String> {
    let mut sums = Sums::default();
    let mut out_of_turn = 0;
    for product in products {
        let nothing = BTreeMap::new();
        let made = ledger.trades.get(product.as_str()).unwrap_or(&nothing);
        sums.add_trades(&data.join(product.as_str()).join("TRADES"), dates, made).map_err(|what| format!("{product}: {what}"))?;
        let stored: BTreeSet<u64> =
            column::<8>(&data.join(product.as_str()).join("MD"), "sequence", dates).into_iter().map(u64::from_le_bytes).collect();
        sums.tickers += stored.len() as u64;
        let ends = ends.get(product);
        for sequence in ledger.tickers.get(product.as_str()).into_iter().flatten().filter(|sequence| !stored.contains(sequence)) {
            // A ticker that passed while nobody listened lies right behind the last one that a killed capture had stored.
            match stored.range(..sequence).next_back() {
                Some(before) if !ends.is_some_and(|ends| ends.contains(before)) => out_of_turn += 1,
                _ => sums.tickers_missed += 1,
            }
        }
    }
    // Of two lines that start one after the other the second may overtake the first, whose tickers are stale then.
    if lines == 1 && out_of_turn > ledger.out_of_turn {
        return Err(format!(
            "{out_of_turn} tickers are missing that were sent while a capture stood; only {} were out of turn",
            ledger.out_of_turn
        ));
    }
    Ok(sums)
}

impl Sums {
    fn add_trades(&mut self, folder: &Path, dates: [UtcDay; 2], made: &BTreeMap<u64, Value>) -> Result<(), String> {
        let ids: Vec<u64> = column::<8>(folder, "trade_id", dates).into_iter().map(u64::from_le_bytes).collect();
        let first = *ids.first().ok_or("no trade is stored")?;
        let want: Vec<u64> = made.range(first..).map(|(id, _)| *id).collect();
        if ids != want {
            let (stored, made): (BTreeSet<u64>, BTreeSet<u64>) = (ids.iter().copied().collect(), want.iter().copied().collect());
            let lost: Vec<_> = made.difference(&stored).take(5).collect();
            let invented: Vec<_> = stored.difference(&made).take(5).collect();
            return Err(format!(
                "{} trades stored ({} different), {} made since the first; lost {lost:?}…, invented {invented:?}…",
                ids.len(),
                stored.len(),
                want.len()
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
            let lacks_orders = is_rest && (makers[at], takers[at], sequences[at]) == ([0; 16], [0; 16], 0);
            let is_equal = (seconds[at], nanos[at]) == (second, u32::try_from(time.subsec_nanosecond()).unwrap())
                && f32::from_le_bytes(prices[at]).to_bits() == text("price").parse::<f32>().unwrap().to_bits()
                && f32::from_le_bytes(sizes[at]).to_bits() == text("size").parse::<f32>().unwrap().to_bits()
                && exact_prices[at].to_bits() == text("price").parse::<f64>().unwrap().to_bits()
                && exact_sizes[at].to_bits() == text("size").parse::<f64>().unwrap().to_bits()
                && sides[at] == u32::from(text("side") == "buy")
                && dates[usize::from(time.as_second() >= i64::from(dates[1].0) * 86_400)] == UtcDay(second / 86_400)
                && (has_orders || lacks_orders);
            if !is_equal {
                return Err(format!("trade {id} (record {at}, origin {:#x}) is not what the ledger says: {said}", origins[at]));
            }
            self.from_rest += u64::from(lacks_orders);
        }
        self.trades += ids.len() as u64;
        self.before += made.range(..first).count() as u64;
        Ok(())
    }
}
