//! [`Sessions`]: which products each capture has recorded, and when.
//!
//! 1. A capture names each of its products when it begins with it (`product_added`) and when it ends with it (`product_removed`). One that names none is
//!    taken to record all.
//! 2. A product that a capture does not name, and that no other line of the capture names either, is not recorded by it. That is an absence of this product,
//!    as the time between two captures is one of all.
//! 3. A line that cannot be read may have named any product: of the capture that wrote it nothing is concluded.

use std::collections::{BTreeMap, BTreeSet};

use super::product::Absence;
use crate::product::ProductId;
use crate::store::event::Event;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Captures whose products are kept. Of later ones nothing is concluded.
const MAX_SESSIONS: usize = 10_000;
/// Between its first line and those that name its products a capture starts its threads: that is no absence.
const STARTING_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// One capture.
#[derive(Debug, Clone)]
struct Session {
    from: UnixNanos,
    /// Its end. Nothing while it runs.
    to: Option<UnixNanos>,
    /// When each product was added (`true`) and removed.
    changes: BTreeMap<ProductId, Vec<(UnixNanos, bool)>>,
    /// Products of which a line tells that neither adds nor removes them.
    named: BTreeSet<ProductId>,
    is_certain: bool,
}

/// The captures of a data directory, in the order of the journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    all: Vec<Session>,
    is_full: bool,
    /// The highest time of the lines that were read.
    highest: UnixNanos,
}

impl Sessions {
    /// Takes the next line.
    pub(super) fn take(&mut self, time: UnixNanos, event: &Event) {
        match event {
            Event::CaptureStarted { .. } => {
                self.end(self.highest);
                self.is_full |= self.all.len() >= MAX_SESSIONS;
                if !self.is_full {
                    let (changes, named) = (BTreeMap::new(), BTreeSet::new());
                    self.all.push(Session { from: time, to: None, changes, named, is_certain: true });
                }
            }
            Event::CaptureStopped { .. } => self.end(time),
            // Another command holds the directory.
            Event::RepairStarted { .. } | Event::BackfillStarted { .. } | Event::ArchiveStarted { .. } => self.end(self.highest),
            _ => self.note(time, event),
        }
        self.highest = self.highest.max(time);
    }

    /// Takes a line that cannot be read.
    pub(super) fn take_unread(&mut self) {
        if let Some(session) = self.all.last_mut() {
            session.is_certain = false;
        }
    }

    fn note(&mut self, time: UnixNanos, event: &Event) {
        let Some(session) = self.all.last_mut().filter(|session| session.to.is_none()) else { return };
        let Some(product) = event.product() else { return };
        let is_added = match event {
            Event::ProductAdded { .. } => true,
            Event::ProductRemoved { .. } => false,
            _ => {
                if !session.changes.contains_key(product) {
                    session.named.insert(product.clone());
                }
                return;
            }
        };
        session.changes.entry(product.clone()).or_default().push((time, is_added));
    }

    fn end(&mut self, time: UnixNanos) {
        if let Some(session) = self.all.last_mut() {
            session.to.get_or_insert(time);
        }
    }

    /// Gives the times in which captures ran that did not record a product.
    pub(super) fn without(&self, product: &ProductId) -> Vec<Absence> {
        let mut absences = Vec::new();
        for session in self.all.iter().filter(|session| session.is_certain && !session.named.contains(product)) {
            // One that names no product has no list of them.
            if !session.changes.values().flatten().any(|(_, is_added)| *is_added) {
                continue;
            }
            let mut from = Some(session.from);
            for (time, is_added) in session.changes.get(product).into_iter().flatten() {
                match (from, is_added) {
                    (Some(begun), true) => {
                        absences.push(Absence { from: begun, to: *time });
                        from = None;
                    }
                    (None, false) => from = Some(*time),
                    _ => {}
                }
            }
            absences.extend(from.map(|from| Absence { from, to: session.to.unwrap_or(self.highest) }));
        }
        absences.retain(|absence| absence.from.0.saturating_add(STARTING_NANOS) < absence.to.0);
        absences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * NANOS_PER_SECOND;

    fn product(name: &str) -> ProductId {
        ProductId::new(name).expect("a product")
    }

    fn started() -> Event {
        Event::CaptureStarted { endpoint: "exchange wss://test".to_owned(), products: 1, version: "0.1.0".into() }
    }

    fn added(name: &str) -> Event {
        Event::ProductAdded { product: product(name) }
    }

    fn removed(name: &str) -> Event {
        Event::ProductRemoved { product: product(name) }
    }

    fn shed(name: &str) -> Event {
        Event::ShedStarted { product: product(name) }
    }

    /// The hours in which a product was not recorded, by lines of one an hour.
    fn without(name: &str, lines: &[Event]) -> Vec<(u64, u64)> {
        let mut sessions = Sessions::default();
        lines.iter().zip(1..).for_each(|(event, hour)| sessions.take(UnixNanos(hour * HOUR), event));
        sessions.without(&product(name)).iter().map(|absence| (absence.from.0 / HOUR, absence.to.0 / HOUR)).collect()
    }

    #[test]
    fn a_product_is_absent_while_a_capture_runs_without_it() {
        let (btc, eth) = ("BTC-USD", "ETH-USD");
        let lines = [started(), added(btc), added(eth), removed(eth), shed(btc), added(eth), started(), added(btc), shed(btc)];
        assert_eq!(without(btc, &lines), [(1, 2), (7, 8)]);
        assert_eq!(without(eth, &lines), [(1, 3), (4, 6), (7, 9)]);
        assert_eq!(without("SOL-USD", &lines), [(1, 6), (7, 9)]);
        // A capture that names no product records all.
        assert!(without(eth, &[started(), shed(btc), shed(btc)]).is_empty());
        // Lines of a repair say nothing of what a capture records.
        let repair = Event::RepairStarted { from: String::new(), rest: true };
        assert_eq!(without(eth, &[started(), added(btc), shed(btc), repair, shed(eth)]), [(1, 3)]);
    }

    #[test]
    fn a_line_that_names_a_product_shows_that_it_was_recorded_and_one_that_cannot_be_read_may() {
        assert!(without("ETH-USD", &[started(), added("BTC-USD"), shed("ETH-USD"), shed("BTC-USD")]).is_empty());
        let mut sessions = Sessions::default();
        [started(), added("BTC-USD"), shed("BTC-USD")]
            .iter()
            .zip(1..)
            .for_each(|(event, hour)| sessions.take(UnixNanos(hour * HOUR), event));
        assert_eq!(sessions.without(&product("ETH-USD")).len(), 1);
        sessions.take_unread();
        assert!(sessions.without(&product("ETH-USD")).is_empty());
    }
}
