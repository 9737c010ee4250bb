//! All connections of a capture: which connection subscribes to which product, and what changes with the list of products.
//!
//! 1. On each redundant line, one connection subscribes to a product. A connection subscribes to at most `products_per_connection` products.
//! 2. New products go to connections that have room; only then another connection is made.
//! 3. A change waits for no connection, however long its handshake takes.
//! 4. A product that is no longer wanted is unsubscribed from. Its writer seals its days when nothing has come for them for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::capture::config::CaptureConfig;
use crate::capture::context::CaptureContext;
use crate::capture::error::CaptureError;
use crate::capture::net::connection::{ConnectionHandle, ConnectionPlace};
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::report::connection_state::ConnectionOutage;
use crate::capture::write::registry::Registry;
use crate::product::ProductId;
use crate::store::event::Event;

struct Entry {
    handle: ConnectionHandle,
    products: BTreeSet<ProductId>,
}

/// How many products a change has added and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changed {
    /// Products that were added.
    pub added: usize,
    /// Products that were removed.
    pub removed: usize,
}

/// The connections of a capture.
pub(crate) struct Connections {
    settings: ConnectionSettings,
    registry: Arc<Registry>,
    context: Arc<CaptureContext>,
    per_connection: usize,
    /// The connections of each line.
    lines: Mutex<Vec<Vec<Entry>>>,
}

impl Connections {
    /// Makes a set of no connections.
    #[must_use]
    pub(crate) fn new(settings: ConnectionSettings, registry: Arc<Registry>, context: Arc<CaptureContext>, config: &CaptureConfig) -> Self {
        let lines = (0..config.lines.max(1)).map(|_| Vec::new()).collect();
        Self { settings, registry, context, per_connection: config.products_per_connection.max(1), lines: Mutex::new(lines) }
    }

    /// Changes the products to exactly these.
    ///
    /// # Errors
    /// Where a writer or a connection cannot be started. What was started before goes on.
    pub(crate) fn set_products(&self, wanted: &BTreeSet<ProductId>) -> Result<Changed, CaptureError> {
        let mut lines = self.lines.lock();
        let had: BTreeSet<ProductId> = lines.iter().flatten().flat_map(|entry| entry.products.iter().cloned()).collect();
        let (added, removed): (Vec<&ProductId>, Vec<&ProductId>) = (wanted.difference(&had).collect(), had.difference(wanted).collect());
        // Every writer is started before the first frame can arrive.
        for product in &added {
            let route = self.registry.route(product)?;
            route.metrics.subscription.want(Instant::now());
            drop(route);
            self.context.journal.write(Event::ProductAdded { product: (*product).clone() });
        }
        for product in &removed {
            self.registry.for_each(|route| {
                if route.product == **product {
                    route.metrics.subscription.unwant();
                    // It has its days sealed.
                    route.slot.wake_writer();
                }
            });
            self.context.journal.write(Event::ProductRemoved { product: (*product).clone() });
        }
        for (line, entries) in (0u8..).zip(lines.iter_mut()) {
            self.set_products_of_line(line, entries, wanted)?;
        }
        Ok(Changed { added: added.len(), removed: removed.len() })
    }

    fn set_products_of_line(&self, line: u8, entries: &mut Vec<Entry>, wanted: &BTreeSet<ProductId>) -> Result<(), CaptureError> {
        let before: Vec<BTreeSet<ProductId>> = entries.iter().map(|entry| entry.products.clone()).collect();
        for entry in entries.iter_mut() {
            entry.products.retain(|product| wanted.contains(product));
        }
        let had: BTreeSet<ProductId> = entries.iter().flat_map(|entry| entry.products.iter().cloned()).collect();
        let mut new: Vec<ProductId> = wanted.difference(&had).cloned().collect();
        for entry in entries.iter_mut() {
            let room = self.per_connection.saturating_sub(entry.products.len()).min(new.len());
            entry.products.extend(new.drain(..room));
        }
        for (entry, before) in entries.iter().zip(before).filter(|(entry, before)| entry.products != *before) {
            if before.is_empty() {
                entry.handle.metrics.state.wanted_again(Instant::now());
            }
            entry.handle.set_products(entry.products.clone());
        }
        let CaptureContext { journal, stop, .. } = &*self.context;
        for products in new.chunks(self.per_connection) {
            let place = ConnectionPlace { line, number: entries.len() };
            let handle = ConnectionHandle::start(place, products.to_vec(), &self.settings, &self.registry, journal, stop)?;
            entries.push(Entry { handle, products: products.iter().cloned().collect() });
        }
        Ok(())
    }

    /// Calls `look` with every connection and the number of its products.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&ConnectionHandle, usize)) {
        self.lines.lock().iter().flatten().for_each(|entry| look(&entry.handle, entry.products.len()));
    }

    /// Names the connections all of whose products the exchange refuses. Such a one delivers nothing, and nothing is wrong with it.
    #[must_use]
    pub(crate) fn refused(&self, now: Instant) -> BTreeSet<String> {
        let lines = self.lines.lock();
        let refused = self.refused_products(now);
        let entries = lines.iter().flatten().filter(|entry| !entry.products.is_empty() && entry.products.is_subset(&refused));
        entries.map(|entry| entry.handle.name.clone()).collect()
    }

    fn refused_products(&self, now: Instant) -> BTreeSet<ProductId> {
        let mut refused = BTreeSet::new();
        self.registry.for_each(|route| {
            if route.metrics.subscription.look(now).refusal.is_some() {
                refused.insert(route.product.clone());
            }
        });
        refused
    }

    /// Gives the address that they connect to.
    pub(crate) fn endpoint(&self) -> String {
        self.settings.endpoint()
    }

    /// Finds the connections that do not work and whose products no line has, but for products that the exchange refuses. Of the connections of a product,
    /// the one that worked last counts. Asks the registry what is refused, which must not be closed yet.
    fn outages(&self, now: Instant) -> Vec<ConnectionOutage> {
        let lines = self.lines.lock();
        let refused = self.refused_products(now);
        let mut found: BTreeMap<&str, ConnectionOutage> = BTreeMap::new();
        let products = lines.first().into_iter().flatten().flat_map(|entry| &entry.products);
        for product in products.filter(|product| !refused.contains(*product)) {
            let having = lines.iter().flatten().filter(|entry| entry.products.contains(product)).map(|entry| &entry.handle);
            let downs: Option<Vec<_>> = having.map(|handle| Some((handle, handle.down(now)?))).collect();
            let Some((handle, down)) = downs.and_then(|downs| downs.into_iter().min_by_key(|(_, down)| down.lasts)) else { continue };
            let outage = found.entry(&handle.name).or_insert_with(|| ConnectionOutage {
                connection: handle.name.clone(),
                products: 0,
                lasts: down.lasts,
                cause: down.cause.clone(),
            });
            outage.products += 1;
        }
        found.into_values().collect()
    }

    /// Waits for the end of every connection. Called before the registry is closed: afterwards nobody knows which products the exchange refuses.
    pub(crate) fn join(&self) -> EndedConnections {
        let failures = self.lines.lock().iter_mut().flatten().filter_map(|entry| entry.handle.join()).collect();
        EndedConnections { failures, outages: self.outages(Instant::now()) }
    }
}

/// What the connections of a capture leave behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EndedConnections {
    /// Why connections failed.
    pub(crate) failures: Vec<String>,
    /// The connections that did not work at the end.
    pub(crate) outages: Vec<ConnectionOutage>,
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::capture::cores::Cores;
    use crate::capture::write::fixture::WriterFixture;
    use crate::feed::Feed;

    fn set(names: &[&str]) -> BTreeSet<ProductId> {
        names.iter().map(|name| ProductId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_connection_that_is_stuck_in_its_handshake_holds_up_no_change_of_the_products() {
        let fixture = WriterFixture::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        // Accepts, and never answers. It notices when the connection is given up.
        let (is_reached, is_given_up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (reached, given_up) = (Arc::clone(&is_reached), Arc::clone(&is_given_up));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            reached.store(true, Ordering::SeqCst);
            let mut bytes = [0; 1024];
            while matches!(stream.read(&mut bytes), Ok(count) if count > 0) {}
            given_up.store(true, Ordering::SeqCst);
        });
        let config = CaptureConfig::new(Feed::Exchange, &url, [], fixture.folder.path());
        let settings = ConnectionSettings::new(&config, None, Arc::new(Cores::default())).unwrap();
        let connections = Connections::new(settings, Arc::clone(&fixture.registry), Arc::clone(&fixture.context), &config);
        connections.set_products(&set(&["BTC-USD"])).unwrap();
        crate::capture::write::fixture::until("the handshake has begun", || is_reached.load(Ordering::SeqCst));
        for _ in 0..100 {
            assert_eq!(connections.set_products(&set(&["BTC-USD", "ETH-USD"])).unwrap(), Changed { added: 1, removed: 0 });
            assert_eq!(connections.set_products(&set(&["ETH-USD"])).unwrap(), Changed { added: 0, removed: 1 });
            assert_eq!(connections.set_products(&set(&["BTC-USD"])).unwrap(), Changed { added: 1, removed: 1 });
        }
        assert!(!is_given_up.load(Ordering::SeqCst), "300 changes have waited for the connection");
        fixture.context.stop.ask();
        assert_eq!(connections.join().failures, Vec::<String>::new());
    }

    #[test]
    fn a_connection_whose_products_the_exchange_refuses_is_no_outage() {
        let fixture = WriterFixture::new();
        let mut config = CaptureConfig::new(Feed::Exchange, "ws://127.0.0.1:1", [], fixture.folder.path());
        config.products_per_connection = 2;
        let settings = ConnectionSettings::new(&config, None, Arc::new(Cores::default())).unwrap();
        let connections = Connections::new(settings, Arc::clone(&fixture.registry), Arc::clone(&fixture.context), &config);
        connections.set_products(&set(&["BTC-USD", "ETH-USD", "SOL-USD"])).unwrap();
        let refuse = |name: &str| {
            fixture.registry.for_each(|route| {
                if route.product.as_str() == name {
                    route.metrics.subscription.refuse("delisted", Instant::now());
                }
            });
        };
        let down =
            || connections.outages(Instant::now()).into_iter().map(|outage| (outage.connection, outage.products)).collect::<Vec<_>>();
        let refused = || connections.refused(Instant::now()).into_iter().collect::<Vec<_>>();
        assert_eq!((down(), refused()), (vec![("line:0.0".to_owned(), 2), ("line:0.1".to_owned(), 1)], vec![]));
        refuse("BTC-USD");
        assert_eq!((down(), refused()), (vec![("line:0.0".to_owned(), 1), ("line:0.1".to_owned(), 1)], vec![]));
        refuse("ETH-USD");
        assert_eq!((down(), refused()), (vec![("line:0.1".to_owned(), 1)], vec!["line:0.0".to_owned()]));
        fixture.context.stop.ask();
        let ended = connections.join();
        assert_eq!(ended.failures, Vec::<String>::new());
        let names: Vec<(&str, usize)> = ended.outages.iter().map(|outage| (outage.connection.as_str(), outage.products)).collect();
        assert_eq!(names, [("line:0.1", 1)], "what the summary gets");
    }
}
