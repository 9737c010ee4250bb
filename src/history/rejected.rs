//! [`RejectedTrades`]: trades that a capture received and could not use, by the file of rejects.
//!
//! 1. A rejected message may be anything, so it proves little. It names missing trades only where its ids go on directly behind the stored ones, as those
//!    of a real chain do, or where nothing is stored and several go on from each other.
//! 2. A message rejected for its id, or as a doubt that was refuted, names nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::product::History;
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, REJECTS};
use crate::time::UnixNanos;

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
#[derive(Debug, Clone, Default)]
pub(crate) struct RejectedTrades {
    products: BTreeMap<ProductId, (IdSet, UnixNanos)>,
}

impl RejectedTrades {
    /// Reads the files of rejects. Lines that cannot be read name nothing.
    #[must_use]
    pub(crate) fn read(dir: &Path) -> Self {
        let files: Vec<Self> = journal::files(dir, REJECTS).iter().map(|(_, path)| Self::read_day(path)).collect();
        Self::joined(&files)
    }

    /// Reads one file of rejects.
    #[must_use]
    pub(crate) fn read_day(path: &Path) -> Self {
        let mut rejected = Self::default();
        let read = journal::read_raw(path, |line| {
            if let Ok(Line { time, event: Some(Event::Reject { reason, raw }), .. }) = Line::parse(line)
                && !NO_TRADE.contains(&reason.as_ref())
            {
                rejected.take(time, raw.into_bytes());
            }
        });
        // A file that cannot be read is a fault of the journal already.
        drop(read);
        rejected
    }

    /// Puts together what several files name.
    #[must_use]
    pub(crate) fn joined<'a>(files: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for (product, (ids, last)) in files.into_iter().flat_map(|file| &file.products) {
            let (known, newest) = all.products.entry(product.clone()).or_default();
            for range in ids {
                if known.ranges().len() < MAX_RANGES {
                    known.insert(range);
                }
            }
            *newest = (*newest).max(*last);
        }
        all
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

    /// Gives the history with the trades added that were rejected and must have happened. `stored` are the ids that the product's days hold.
    #[must_use]
    pub(crate) fn added_to<'h>(
        &self,
        history: &'h History,
        product: &ProductId,
        stored: impl IntoIterator<Item = IdRange>,
    ) -> Cow<'h, History> {
        let mut added = Cow::Borrowed(history);
        let Some((rejected, at)) = self.products.get(product) else { return added };
        let known: IdSet = stored.into_iter().chain(history.named.iter()).collect();
        let follows = |range: IdRange| match known.last() {
            Some(last) => last.checked_add(1).is_some_and(|next| range.contains(next)),
            None => range.count() >= CONFIRMATIONS,
        };
        for range in rejected.iter().filter(|range| follows(*range)) {
            let added = added.to_mut();
            added.named.insert(range);
            added.named_at = added.named_at.max(*at);
        }
        added
    }
}
