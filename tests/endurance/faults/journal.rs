//! What the capture's journal says was missing, held against what the ledger says was not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::truth::Truth;
use crate::stage;

/// How long before a connection's end what was sent may have been lost with it, in nanoseconds: it lay in a buffer, or the capture had left already.
const TORN_WITHIN: u64 = 3_000_000_000;

/// The ids that the journal names, product by product.
pub(crate) fn ids(data: &Path, event: &str) -> BTreeMap<String, BTreeSet<u64>> {
    let mut all: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for line in stage::journal(data, event) {
        let range = line["from_id"].as_u64().unwrap()..=line["to_id"].as_u64().unwrap();
        all.entry(line["product"].as_str().unwrap().to_owned()).or_default().extend(range);
    }
    all
}

/// What comparing the two came to.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Ids never sent live that the journal names as missing, and then as filled.
    pub(crate) told: u64,
    /// Ids never sent live that it does not name.
    pub(crate) untold: Vec<(String, u64)>,
    /// Ids named as missing and never as filled.
    pub(crate) unfilled: Vec<(String, u64)>,
    /// Ids named as missing for which no fault can be found.
    pub(crate) unexplained: Vec<(String, u64)>,
    /// Ids named as missing that were sent late: stalled, delayed, reordered.
    pub(crate) late: u64,
    /// Ids named as missing that were sent to a connection shortly before it ended.
    pub(crate) torn: u64,
}

/// Compares them one to one.
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
        let late: BTreeSet<u64> = ["stall", "delay", "reorder"].iter().flat_map(|label| truth.struck(label, product)).collect();
        for id in opened.iter().filter(|id| !truth.unsent(product).contains(id)) {
            let time = chain.made.get(id).map(|made| made.time_nanos);
            let is_torn = time
                .is_some_and(|time| truth.gone.iter().any(|gone| gone.saturating_sub(time) < TORN_WITHIN && *gone + 200_000_000 > time));
            if late.contains(id) {
                compared.late += 1;
            } else if chain.shown.contains(id) || is_torn {
                // Shown on subscribing, it was missing until then.
                compared.torn += 1;
            } else {
                compared.unexplained.push(name(id));
            }
        }
    }
    compared
}

impl Compared {
    /// Fails with the first of everything that is wrong.
    pub(crate) fn assert_clean(&self) {
        let first = |list: &[(String, u64)]| format!("{} ({:?}…)", list.len(), list.iter().take(5).collect::<Vec<_>>());
        assert!(
            self.untold.is_empty() && self.unfilled.is_empty() && self.unexplained.is_empty(),
            "never sent and not in the journal {}, told missing and never filled {}, told missing without a cause {}",
            first(&self.untold),
            first(&self.unfilled),
            first(&self.unexplained)
        );
    }
}
