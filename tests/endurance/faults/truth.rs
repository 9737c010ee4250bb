//! The ledger as the truth of a run: every trade with its fields as text, whether it was sent, and which fault affected which ids.
//!
//! It is read with serde_json, std and jiff only, so that no code of the program can hide a mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// A trade as the exchange made it.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) time_nanos: u64,
    pub(crate) price: String,
    pub(crate) size: String,
    pub(crate) is_buy: bool,
    pub(crate) maker: Option<String>,
    pub(crate) taker: Option<String>,
    pub(crate) sequence: u64,
    pub(crate) is_sent: bool,
    pub(crate) is_history: bool,
}

/// One product's trades.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) made: BTreeMap<u64, Made>,
    /// Ids shown on subscribing.
    pub(crate) shown: BTreeSet<u64>,
    pub(crate) is_delisted: bool,
}

/// A fault that fired.
#[derive(Debug, Clone)]
pub(crate) struct Fired {
    /// The name, with the code of a close.
    pub(crate) label: String,
    pub(crate) time_nanos: u64,
    pub(crate) product: Option<String>,
    /// The trades that it affected by itself.
    pub(crate) ids: Option<(u64, u64)>,
    pub(crate) client: Option<u64>,
}

/// Trades that a lasting fault kept from one connection or from all.
#[derive(Debug, Clone)]
pub(crate) struct Missed {
    pub(crate) why: String,
    pub(crate) product: String,
    pub(crate) ids: (u64, u64),
    pub(crate) is_late: bool,
}

/// All of a ledger.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) products: BTreeMap<String, Chain>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) missed: Vec<Missed>,
    /// When connections ended, on the event clock.
    pub(crate) gone: Vec<u64>,
}

fn nanos(value: &Value) -> u64 {
    let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    u64::try_from(time.as_nanosecond()).unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Truth {
    /// Reads a ledger. Fails where `is_whole` and the last line is missing.
    pub(crate) fn read(path: &Path, is_whole: bool) -> Self {
        let mut truth = Self::default();
        let file = std::fs::read_to_string(path).unwrap();
        let mut has_end = false;
        // A ledger that is still being written may end in the middle of a line.
        let lines = file.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for line in lines.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            truth.add(&line);
            has_end |= line["kind"] == "end";
        }
        assert!(has_end || !is_whole, "the ledger has no last line");
        truth
    }

    fn add(&mut self, line: &Value) {
        let ids = || Some((line["first"].as_u64()?, line["last"].as_u64()?));
        let product = || line["product"].as_str().unwrap().to_owned();
        match line["kind"].as_str().unwrap() {
            "trade" => {
                let made = Made {
                    time_nanos: nanos(&line["time"]),
                    price: text(&line["price"]).unwrap(),
                    size: text(&line["size"]).unwrap(),
                    is_buy: line["side"] == "buy",
                    maker: text(&line["maker"]),
                    taker: text(&line["taker"]),
                    sequence: line["sequence"].as_u64().unwrap(),
                    is_sent: line["sent"] == true,
                    is_history: line["history"] == true,
                };
                let before = self.products.entry(product()).or_default().made.insert(line["trade_id"].as_u64().unwrap(), made);
                assert!(before.is_none(), "twice in the ledger: {line}");
            }
            "initial" if line["channel"] != "ticker" => {
                let (first, last) = ids().unwrap();
                self.products.entry(product()).or_default().shown.extend(first..=last);
            }
            "fault" => {
                let name = line["fault"].as_str().unwrap();
                if name == "delist" {
                    self.products.entry(product()).or_default().is_delisted = true;
                }
                let label = if name == "close" { format!("close:{}", line["code"]) } else { name.to_owned() };
                self.fired.push(Fired {
                    label,
                    time_nanos: nanos(&line["time"]),
                    product: text(&line["product"]),
                    ids: ids().filter(|_| line["of"] == "trade"),
                    client: line["client"].as_u64(),
                });
            }
            "missed" => self.missed.push(Missed {
                why: line["why"].as_str().unwrap().to_owned(),
                product: product(),
                ids: ids().unwrap(),
                is_late: line["late"] == true,
            }),
            "client" if line["open"] == false => self.gone.push(nanos(&line["time"])),
            _ => {}
        }
    }

    /// Gives the trades of a product that a capture must have: all from the first one that was shown or sent. Second, where the product was delisted, those
    /// after the last one that any client was told of: they may be missing, as nothing names them any more.
    pub(crate) fn expected(&self, product: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let Some(chain) = self.products.get(product) else { return Default::default() };
        let told = |(id, made): &(&u64, &Made)| made.is_sent || chain.shown.contains(*id);
        let (first, last) = (chain.made.iter().find(told), chain.made.iter().rev().find(told));
        let (Some((first, _)), Some((last, _))) = (first, last) else { return Default::default() };
        let all = chain.made.range(first..).map(|(id, _)| *id);
        all.partition(|id| id <= last || !chain.is_delisted)
    }

    /// Gives the live trades of a product that were neither sent when they happened nor shown on subscribing.
    pub(crate) fn unsent(&self, product: &str) -> BTreeSet<u64> {
        let chain = &self.products[product];
        let unsent = chain.made.iter().filter(|(id, made)| !made.is_sent && !made.is_history && !chain.shown.contains(id));
        unsent.map(|(id, _)| *id).collect()
    }

    /// Gives the ids of a product that a kind of fault affected by itself.
    pub(crate) fn affected(&self, label: &str, product: &str) -> BTreeSet<u64> {
        let by_fault = self.fired.iter().filter(|fired| fired.label == label && fired.product.as_deref() == Some(product));
        let by_lasting = self.missed.iter().filter(|missed| missed.why == label && missed.product == product);
        let ranges = by_fault.filter_map(|fired| fired.ids).chain(by_lasting.map(|missed| missed.ids));
        ranges.flat_map(|(first, last)| first..=last).collect()
    }

    /// Counts how often a kind fired.
    pub(crate) fn times(&self, label: &str) -> u64 {
        self.fired.iter().filter(|fired| fired.label == label).count() as u64
    }
}
