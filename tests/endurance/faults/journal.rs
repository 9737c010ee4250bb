//! Compares what the capture's journal says was missing with what the ledger says was not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::truth::Truth;
use crate::programs;

/// Trades that were sent in this time before a connection's end may be lost, in nanoseconds: they lay in a buffer, or the capture had left already.
const CUT_OFF_WITHIN: u64 = 3_000_000_000;

/// Gives the ids that the journal names in an event, by product.
pub(crate) fn ids(data: &Path, event: &str) -> BTreeMap<String, BTreeSet<u64>> {
    let mut all: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for line in programs::journal(data, event) {
        let range = line["from_id"].as_u64().unwrap()..=line["to_id"].as_u64().unwrap();
        all.entry(line["product"].as_str().unwrap().to_owned()).or_default().extend(range);
    }
    all
}

/// The result of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Ids that were never sent live, and that the journal names as missing and then as filled.
    pub(crate) told: u64,
    /// Ids that were never sent live, and that the journal does not name.
    pub(crate) untold: Vec<(String, u64)>,
    /// Ids that the journal names as missing and never as filled.
    pub(crate) unfilled: Vec<(String, u64)>,
    /// Ids that the journal names as missing although no fault explains it.
    pub(crate) unexplained: Vec<(String, u64)>,
    /// Ids named as missing that were sent late: stalled, delayed or reordered.
    pub(crate) late: u64,
    /// Ids named as missing that were sent to a connection shortly before it ended.
    pub(crate) cut_off: u64,
}

/// Compares them id by id.
pub(crate) fn compare(data: &Path, truth: &Truth) -> Compared {
    let (opened, filled) = (ids(data, "gap_opened"), ids(data, "gap_filled"));
    let none = BTreeSet::new();
    let mut compared = Compared::default();
    for (product, chain) in &truth.products {
        let (opened, filled) = (opened.get(product).unwrap_or(&none), filled.get(product).unwrap_or(&none));
        let (expected, _) = truth.expected(product);
        let unsent: BTreeSet<u64> = truth.unsent(product).intersection(&expected).copied().collect();
        let name = |id: &u64| (product.clone(), *id);
        compared.told += unsent.iter().filter(|id| opened.contains(id) && filled.contains(id)).count() as u64;
        compared.untold.extend(unsent.difference(opened).map(name));
        compared.unfilled.extend(opened.difference(filled).filter(|id| expected.contains(id)).map(name));
        let late: BTreeSet<u64> = ["stall", "delay", "reorder"].iter().flat_map(|label| truth.affected(label, product)).collect();
        for id in opened.iter().filter(|id| !truth.unsent(product).contains(id)) {
            let time = chain.made.get(id).map(|made| made.time_nanos);
            let is_cut_off = time
                .is_some_and(|time| truth.gone.iter().any(|gone| gone.saturating_sub(time) < CUT_OFF_WITHIN && *gone + 200_000_000 > time));
            if late.contains(id) {
                compared.late += 1;
            } else if chain.shown.contains(id) || is_cut_off {
                // A trade that was shown on subscribing was missing until then.
                compared.cut_off += 1;
            } else {
                compared.unexplained.push(name(id));
            }
        }
    }
    compared
}

impl Compared {
    /// Fails where anything is wrong, and shows the first ids.
    pub(crate) fn assert_clean(&self) {
        let first = |list: &[(String, u64)]| format!("{} ({:?}…)", list.len(), list.iter().take(5).collect::<Vec<_>>());
        assert!(
            self.untold.is_empty() && self.unfilled.is_empty() && self.unexplained.is_empty(),
            "never sent and not in the journal {}, named as missing and never as filled {}, named as missing without a cause {}",
            first(&self.untold),
            first(&self.unfilled),
            first(&self.unexplained)
        );
    }
}
