//! [`Registry`]: the products of a capture, each with its queue and its writer's thread.
//!
//! 1. A product has one writer, however many connections bring it.
//! 2. What comes under a label that was not asked for is stored under that label, and journaled once. At most [`MAX_UNASKED`] such labels are taken.
//! 3. When the registry is closed and every connection has ended, the queues end, and with them the writers.
//! 4. Until this capture holds the directory no writer is started: what comes waits in the queues ([`Registry::start_writers`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;

use crate::capture::context::CaptureContext;
use crate::capture::net::raw_frames::FrameRingWriter;
use crate::capture::report::metrics::ProductMetrics;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::delegate::Delegate;
use crate::capture::write::queue::{self, QueueSender};
use crate::capture::write::route_error::{MAX_UNASKED, RouteError};
use crate::capture::write::slot::WriterSlot;
use crate::capture::write::spill::{SPILL_MSGS, SpillBudget};
use crate::capture::write::step::StepTally;
use crate::capture::write::ticker_source::TickerSource;
use crate::capture::write::writer_thread::{self, WriterError};
use crate::feed::clock_check::MarketClock;
use crate::product::ProductId;
use crate::store::event::Event;

/// One product as a connection sees it.
#[derive(Clone)]
pub(crate) struct Route {
    /// The product.
    pub product: ProductId,
    /// Its queue.
    pub queue: QueueSender,
    /// Its writer.
    pub slot: Arc<WriterSlot>,
    /// Its figures.
    pub metrics: Arc<ProductMetrics>,
    /// Which line supplies its tickers, where one at a time does.
    pub ticker_source: Arc<TickerSource>,
}

/// One product's figures.
pub(crate) struct ProductFigures {
    /// The product.
    pub product: ProductId,
    /// Its figures.
    pub metrics: Arc<ProductMetrics>,
}

/// What a registry leaves behind.
#[derive(Default)]
pub(crate) struct Closed {
    /// Every product's figures, by name.
    pub products: Vec<ProductFigures>,
    /// Why writers failed.
    pub failures: Vec<String>,
}

#[derive(Default)]
struct Entries {
    routes: BTreeMap<ProductId, Route>,
    /// Whether writers are started; before that messages wait in the queues.
    is_writing: bool,
    writers: Vec<JoinHandle<Result<(), WriterError>>>,
    /// Messages that all queues hold together.
    capacity_msgs: usize,
    unasked: usize,
    is_closed: bool,
}

/// All products of a capture.
pub(crate) struct Registry {
    context: Arc<CaptureContext>,
    capacity_msgs: usize,
    /// What queues may spill until this capture holds the directory; nothing where it holds it from the start.
    spill: Option<Arc<SpillBudget>>,
    entries: Mutex<Entries>,
}

impl Registry {
    /// Makes a registry without products. Each queue will hold `capacity_msgs` messages, or fewer where memory for them runs out. Writers are started with
    /// their products where the directory is held already, else by [`Registry::start_writers`].
    #[must_use]
    pub(crate) fn new(context: Arc<CaptureContext>, capacity_msgs: usize) -> Self {
        let is_writing = context.storage.get().is_some();
        let spill = (!is_writing).then(|| Arc::new(SpillBudget::new(SPILL_MSGS)));
        Self { context, capacity_msgs, spill, entries: Mutex::new(Entries { is_writing, ..Entries::default() }) }
    }

    /// Starts the writers of the products that have none yet: the directory is held now.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub(crate) fn start_writers(&self) -> Result<(), RouteError> {
        let mut entries = self.entries.lock();
        if std::mem::replace(&mut entries.is_writing, true) {
            return Ok(());
        }
        if let Some(spill) = &self.spill {
            spill.close();
        }
        let routes: Vec<Route> = entries.routes.values().cloned().collect();
        routes.iter().try_for_each(|route| {
            let thread = self.start_writer(route)?;
            entries.writers.push(thread);
            Ok(())
        })
    }

    /// Tells whether tickers are kept.
    #[must_use]
    pub(crate) fn wants_tickers(&self) -> bool {
        self.context.datasets.wants_tickers()
    }

    /// Starts a connection's delegate.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub(crate) fn start_delegate(&self, name: &str) -> io::Result<Delegate> {
        let context = &self.context;
        Delegate::start(name, self.tally(), Arc::clone(&context.cores), context.spins, &context.stop)
    }

    /// Makes the figures of one thread that runs steps.
    #[must_use]
    pub(crate) fn tally(&self) -> StepTally {
        StepTally::new(Arc::clone(&self.context.metrics), self.context.clock.clone())
    }

    /// Gives what is known of the exchange's clock.
    pub(crate) fn market_clock(&self) -> Arc<MarketClock> {
        Arc::clone(&self.context.metrics.market)
    }

    /// Counts a trade that is stored although it breaks a rule of plausibility.
    pub(crate) fn note_flawed_trade(&self) {
        self.context.metrics.flawed_trades.one();
    }

    /// Makes another connection's store of raw frames.
    pub(crate) fn raw_frames(&self) -> FrameRingWriter {
        self.context.raw_frames.add()
    }

    /// Gives a product's route. Starts its writer where it has none.
    ///
    /// # Errors
    /// Where the machine has no thread left, or the capture is ending.
    pub(crate) fn route(&self, product: &ProductId) -> Result<Route, RouteError> {
        let mut entries = self.entries.lock();
        match entries.routes.get(product) {
            Some(route) => Ok(route.clone()),
            None => self.add(&mut entries, product),
        }
    }

    /// Gives the route of a label that was not asked for.
    ///
    /// # Errors
    /// As [`Registry::route`], and where [`MAX_UNASKED`] such labels have been taken.
    pub(crate) fn unasked_route(&self, product: &ProductId) -> Result<Route, RouteError> {
        let mut entries = self.entries.lock();
        if let Some(route) = entries.routes.get(product) {
            return Ok(route.clone());
        }
        if !entries.is_closed {
            if entries.unasked >= MAX_UNASKED {
                return Err(RouteError::TooManyUnasked);
            }
            entries.unasked += 1;
            log::warn!("{product} arrives though nobody asked for it; it is stored under that name");
            self.context.journal.write(Event::ProductUnasked { product: product.clone() });
        }
        self.add(&mut entries, product)
    }

    fn add(&self, entries: &mut Entries, product: &ProductId) -> Result<Route, RouteError> {
        if entries.is_closed {
            return Err(RouteError::Ending);
        }
        let capacity = queue::capacity_of_one_more(self.capacity_msgs, entries.routes.len(), entries.capacity_msgs);
        entries.capacity_msgs += capacity;
        let (sender, receiver) = queue::queue_that_spills(capacity, self.spill.as_ref());
        let route = Route {
            product: product.clone(),
            queue: sender,
            slot: Arc::new(WriterSlot::new(receiver)),
            metrics: Arc::default(),
            ticker_source: Arc::default(),
        };
        if entries.is_writing {
            let thread = self.start_writer(&route)?;
            entries.writers.push(thread);
        }
        entries.routes.insert(route.product.clone(), route.clone());
        Ok(route)
    }

    fn start_writer(&self, route: &Route) -> Result<JoinHandle<Result<(), WriterError>>, RouteError> {
        // Without the route's sender: the writer ends when every sender is gone.
        let (context, product, slot, metrics) =
            (Arc::clone(&self.context), route.product.clone(), Arc::clone(&route.slot), Arc::clone(&route.metrics));
        let work = move || {
            let result = writer_thread::run(&context, &product, &metrics, &slot);
            if let Err(error) = &result {
                context.stop.fail(error.to_string());
            }
            result
        };
        spawn(format!("write:{}", route.product), Stack::Small, &self.context.stop, work)
            .map_err(|source| RouteError::NoThread { product: route.product.clone(), source })
    }

    /// Notes that the exchange has acknowledged these products.
    pub(crate) fn note_acknowledged(&self, products: &BTreeSet<ProductId>) {
        let entries = self.entries.lock();
        let routes = products.iter().filter_map(|product| entries.routes.get(product));
        routes.for_each(|route| route.metrics.subscription.acknowledge());
    }

    /// Notes that the exchange has refused a product.
    pub(crate) fn note_refused(&self, product: &ProductId, why: &str) {
        if let Some(route) = self.entries.lock().routes.get(product) {
            route.metrics.subscription.refuse(why, Instant::now());
        }
    }

    /// Shows every product's route, by name. It gives no route away, since dropping one wakes its writer.
    pub(crate) fn for_each(&self, look: impl FnMut(&Route)) {
        self.entries.lock().routes.values().for_each(look);
    }

    /// Tells whether the writers are ending.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.entries.lock().is_closed
    }

    /// Lets the queues end once the connections have dropped theirs, and waits for the writers.
    pub(crate) fn close(&self) -> Closed {
        let (routes, writers) = {
            let mut entries = self.entries.lock();
            entries.is_closed = true;
            (std::mem::take(&mut entries.routes), std::mem::take(&mut entries.writers))
        };
        let products = routes.into_values().map(|Route { product, metrics, .. }| ProductFigures { product, metrics }).collect();
        let failures = writers
            .into_iter()
            .filter_map(|writer| match writer.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("a writer thread died".to_owned()),
            })
            .collect();
        Closed { products, failures }
    }
}
