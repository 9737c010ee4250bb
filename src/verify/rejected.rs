//! [`RejectedTrades`]: trades that a capture received and could not use, by the file of rejects.
//!
//! 1. A rejected message may be anything, so it proves little. It names missing trades only where its ids go on directly behind the stored ones, as those
//!    of a real chain do, or where nothing is stored and several go on from each other.
//! 2. A message rejected for its id, or as a doubt that was refuted, names nothing.

use std::collections::BTreeMap;
use std::path::Path;

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::coverage::DayIds;
use super::history::History;
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, REJECTS};
use crate::time::{UnixNanos, UtcDay};

/// Reasons that are about the id itself.
const NO_TRADE: [&str; 6] = ["id", "implausible_id", "doubt", "product", "duplicate_field", "shape"];
/// Ids that must go on from each other where nothing is stored.
const CONFIRMATIONS: u64 = 3;
/// Ranges of ids that are kept of a product.
const MAX_RANGES: usize = 100_000;

/// Gives the elements of a list; none where there is no list of that name.
fn list<'a, 'input>(value: &'a BorrowedValue<'input>, key: &str) -> &'a [BorrowedValue<'input>] {
    value.get_array(key).map_or(&[], |list| list.as_slice())
}

/// The ids of rejected trades, and when the last of them was rejected.
#[derive(Debug, Default)]
pub(super) struct RejectedTrades {
    products: BTreeMap<ProductId, (IdSet, UnixNanos)>,
}

impl RejectedTrades {
    /// Reads the files of rejects. Lines that cannot be read name nothing.
    #[must_use]
    pub(super) fn read(dir: &Path) -> Self {
        let mut rejected = Self::default();
        for line in journal::events(dir, REJECTS, UtcDay(0), UtcDay(u32::MAX)) {
            if let Ok(Line { time, event: Some(Event::Reject { reason, raw }), .. }) = line
                && !NO_TRADE.contains(&reason.as_ref())
            {
                rejected.take(time, raw.into_bytes());
            }
        }
        rejected
    }

    fn take(&mut self, time: UnixNanos, mut raw: Vec<u8>) {
        let Ok(message) = simd_json::to_borrowed_value(&mut raw) else { return };
        if matches!(message.get_str("type"), Some("match" | "last_match")) {
            self.note(time, &message);
        }
        for event in list(&message, "events") {
            for trade in list(event, "trades") {
                self.note(time, trade);
            }
        }
    }

    fn note(&mut self, time: UnixNanos, trade: &BorrowedValue<'_>) {
        let id = trade.get_u64("trade_id").or_else(|| trade.get_str("trade_id")?.parse().ok());
        let product = trade.get_str("product_id").and_then(|name| ProductId::new(name).ok());
        if let (Some(id), Some(product)) = (id.filter(|id| *id > 0), product) {
            let (ids, last) = self.products.entry(product).or_default();
            if ids.ranges().len() < MAX_RANGES {
                ids.insert(IdRange::one(id));
            }
            *last = time.max(*last);
        }
    }

    /// Gives the history with the trades added that were rejected and must have happened.
    #[must_use]
    pub(super) fn added_to(&self, history: &History, product: &ProductId, days: &[DayIds]) -> History {
        let mut added = history.clone();
        let Some((rejected, at)) = self.products.get(product) else { return added };
        let known: IdSet = days
            .iter()
            .flat_map(|day| day.runs.iter().flatten())
            .filter_map(|run| IdRange::new(run.first.id, run.last.id))
            .chain(history.named.iter())
            .collect();
        let follows = |range: IdRange| match known.last() {
            Some(last) => last.checked_add(1).is_some_and(|next| range.contains(next)),
            None => range.count() >= CONFIRMATIONS,
        };
        for range in rejected.iter().filter(|range| follows(*range)) {
            added.named.insert(range);
            added.named_at = added.named_at.max(*at);
        }
        added
    }
}
