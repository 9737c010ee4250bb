//! All lines of a capture: which connection brings which product, and what changes when the list of products does.
//!
//! 1. On each of the redundant lines a product is brought by one connection; a connection brings at most `products_per_connection` of them.
//! 2. New products fill up the connections there are before another one is made; products that are not wanted any more are unsubscribed from,
//!    and their files are sealed like everyone's when their day is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::capture::net::connection::{ConnectionHandle, ConnectionSettings};
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::write::registry::Registry;
use crate::product::ProductId;
use crate::store::event::Event;

struct Entry {
    handle: ConnectionHandle,
    products: BTreeSet<ProductId>,
}

/// The connections.
pub struct Lines {
    settings: ConnectionSettings,
    registry: Arc<Registry>,
    journal: JournalHandle,
    stop: Stop,
    per_connection: usize,
    /// The connections of each line.
    entries: Mutex<Vec<Vec<Entry>>>,
}

impl Lines {
    /// Makes a capture without connections.
    #[must_use]
    pub fn new(
        settings: ConnectionSettings,
        registry: Arc<Registry>,
        journal: JournalHandle,
        stop: Stop,
        lines: u8,
        per_connection: usize,
    ) -> Self {
        let entries = (0..lines.max(1)).map(|_| Vec::new()).collect();
        Self { settings, registry, journal, stop, per_connection: per_connection.max(1), entries: Mutex::new(entries) }
    }

    /// Has exactly these products brought from now on. Gives how many came and how many went.
    ///
    /// # Errors
    /// Where a writer or a line cannot be started; what has been started goes on.
    pub fn bring(&self, wanted: &BTreeSet<ProductId>) -> Result<(usize, usize), String> {
        let mut lines = self.entries.lock();
        let had: BTreeSet<ProductId> = lines.iter().flatten().flat_map(|entry| entry.products.iter().cloned()).collect();
        let (came, gone): (Vec<&ProductId>, Vec<&ProductId>) = (wanted.difference(&had).collect(), had.difference(wanted).collect());
        // Every writer stands before the first frame can come.
        for product in &came {
            drop(self.registry.route(product)?);
            self.journal.write(Event::ProductAdded { product: (*product).clone() });
        }
        gone.iter().for_each(|product| self.journal.write(Event::ProductRemoved { product: (*product).clone() }));
        for (line, entries) in (0u8..).zip(lines.iter_mut()) {
            self.bring_on(line, entries, wanted)?;
        }
        Ok((came.len(), gone.len()))
    }

    fn bring_on(&self, line: u8, entries: &mut Vec<Entry>, wanted: &BTreeSet<ProductId>) -> Result<(), String> {
        let mut removals = Vec::new();
        for entry in entries.iter_mut() {
            removals.push(entry.products.difference(wanted).cloned().collect::<Vec<_>>());
            entry.products.retain(|product| wanted.contains(product));
        }
        let had: BTreeSet<ProductId> = entries.iter().flat_map(|entry| entry.products.iter().cloned()).collect();
        let mut new: Vec<ProductId> = wanted.difference(&had).cloned().collect();
        for entry in entries.iter_mut() {
            let room = self.per_connection.saturating_sub(entry.products.len()).min(new.len());
            let taken: Vec<ProductId> = new.drain(..room).collect();
            if !taken.is_empty() {
                entry.products.extend(taken.iter().cloned());
                entry.handle.add(taken);
            }
        }
        // After the additions: a connection that has nothing to bring is given up.
        for (entry, unwanted) in entries.iter().zip(removals).filter(|(_, unwanted)| !unwanted.is_empty()) {
            entry.handle.remove(unwanted);
        }
        for products in new.chunks(self.per_connection) {
            let connection = entries.len();
            let handle =
                ConnectionHandle::start((line, connection), products.to_vec(), &self.settings, &self.registry, &self.journal, &self.stop)?;
            entries.push(Entry { handle, products: products.iter().cloned().collect() });
        }
        Ok(())
    }

    /// Shows every line.
    pub fn for_each(&self, mut look: impl FnMut(&ConnectionHandle)) {
        self.entries.lock().iter().flatten().for_each(|entry| look(&entry.handle));
    }

    /// Waits for the end of every line; gives the reasons where they failed.
    pub fn join(&self) -> Vec<String> {
        self.entries.lock().iter_mut().flatten().filter_map(|entry| entry.handle.join()).collect()
    }
}

/// Reads a list of products: one a line, `#` begins a remark.
///
/// # Errors
/// Names the file, and the line that is no product.
pub fn read_products(path: &Path) -> Result<Vec<ProductId>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, name)| !name.is_empty())
        .map(|(at, name)| ProductId::new(name).map_err(|error| format!("{}:{at}: {error}", path.display())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_list_may_hold_remarks_and_names_its_bad_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, "# watched\nBTC-USD\n\n ETH-USD # quiet\n").expect("writes");
        let names: Vec<_> = read_products(&path).expect("reads").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["BTC-USD", "ETH-USD"]);
        std::fs::write(&path, "BTC-USD\n../x\n").expect("writes");
        assert!(read_products(&path).is_err_and(|error| error.contains(":2:")));
    }
}
