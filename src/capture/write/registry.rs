//! The registry: which product has which queue, and the writer threads behind them.
//!
//! 1. A product has one writer, however many connections bring it.
//! 2. What arrives under a label that nobody asked for is stored under that label, journaled once; at most [`MAX_UNASKED`] such labels are taken.
//! 3. When the registry is closed and every connection has ended, the queues end, and with them the writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::capture::context::CaptureContext;
use crate::capture::net::raw_frames::FrameRingWriter;
use crate::capture::report::metrics::ProductMetrics;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::delegate::Delegate;
use crate::capture::write::queue::{self, QueueSender};
use crate::capture::write::slot::{StepTally, WriterSlot};
use crate::capture::write::ticker_source::TickerSource;
use crate::capture::write::writer;
use crate::product::ProductId;
use crate::store::event::Event;

/// Labels taken that were not asked for.
pub const MAX_UNASKED: usize = 64;

/// One product as a connection sees it.
#[derive(Clone)]
pub struct Route {
    /// The product.
    pub product: ProductId,
    /// Its queue.
    pub queue: QueueSender,
    /// Where its queue is drained.
    pub slot: Arc<WriterSlot>,
    /// Its figures.
    pub metrics: Arc<ProductMetrics>,
    /// Which line supplies its tickers, where lines take turns.
    pub ticker_source: Arc<TickerSource>,
}

#[derive(Default)]
struct Entries {
    routes: BTreeMap<ProductId, Route>,
    writers: Vec<JoinHandle<Result<(), String>>>,
    /// Messages that all queues hold together.
    slots: usize,
    unasked: usize,
    is_closed: bool,
}

/// All products of a capture.
pub struct Registry {
    context: Arc<CaptureContext>,
    capacity_msgs: usize,
    entries: Mutex<Entries>,
}

impl Registry {
    /// Makes a registry without products; their queues will hold `capacity_msgs` messages each, fewer where memory for them runs out.
    #[must_use]
    pub fn new(context: Arc<CaptureContext>, capacity_msgs: usize) -> Self {
        Self { context, capacity_msgs, entries: Mutex::default() }
    }

    /// Tells whether tickers are kept.
    #[must_use]
    pub fn wants_tickers(&self) -> bool {
        self.context.datasets.wants_tickers()
    }

    /// Starts a connection's hand.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub fn delegate(&self, name: &str) -> std::io::Result<Delegate> {
        let context = &self.context;
        Delegate::start(
            name,
            StepTally::new(Arc::clone(&context.metrics), context.clock.clone()),
            Arc::clone(&context.cores),
            context.spins,
            &context.stop,
        )
    }

    /// Makes a connection's figures of what it puts into the columns itself.
    #[must_use]
    pub fn tally(&self) -> StepTally {
        StepTally::new(Arc::clone(&self.context.metrics), self.context.clock.clone())
    }

    /// Makes another connection's echo.
    pub fn raw_frames(&self) -> FrameRingWriter {
        self.context.raw_frames.add()
    }

    /// Gives a product's route, starting its writer where it has none.
    ///
    /// # Errors
    /// Where the machine has no thread left, or the capture is ending.
    pub fn route(&self, product: &ProductId) -> Result<Route, String> {
        self.find_or_start(product, true)
    }

    /// Gives the route of a label that was not asked for.
    ///
    /// # Errors
    /// As [`Registry::route`], and where [`MAX_UNASKED`] such labels have been taken.
    pub fn unasked_route(&self, product: &ProductId) -> Result<Route, String> {
        self.find_or_start(product, false)
    }

    fn find_or_start(&self, product: &ProductId, is_asked: bool) -> Result<Route, String> {
        let mut entries = self.entries.lock();
        if let Some(route) = entries.routes.get(product) {
            return Ok(route.clone());
        }
        if entries.is_closed {
            return Err("the capture is ending".to_owned());
        }
        if !is_asked {
            if entries.unasked >= MAX_UNASKED {
                return Err(format!("{MAX_UNASKED} products that nobody asked for are recorded already"));
            }
            entries.unasked += 1;
            log::warn!("{product} arrives though nobody asked for it; it is stored under that name");
            self.context.journal.write(Event::ProductUnasked { product: product.clone() });
        }
        let capacity = queue::capacity_of_one_more(self.capacity_msgs, entries.routes.len(), entries.slots);
        entries.slots += capacity;
        let (sender, receiver) = queue::queue(capacity);
        let metrics = Arc::new(ProductMetrics::default());
        let slot = Arc::new(WriterSlot::new(receiver));
        let (context, name, counts, place) = (Arc::clone(&self.context), product.clone(), Arc::clone(&metrics), Arc::clone(&slot));
        let work = move || {
            let result = writer::run(&context, &name, &counts, &place);
            if let Err(reason) = &result {
                context.stop.fail(reason.clone());
            }
            result
        };
        let thread = spawn(format!("write:{product}"), Stack::Small, &self.context.stop, work)
            .map_err(|error| format!("{product}: no thread for its writer: {error}"))?;
        entries.writers.push(thread);
        let route = Route { product: product.clone(), queue: sender, slot, metrics, ticker_source: Arc::default() };
        entries.routes.insert(product.clone(), route.clone());
        Ok(route)
    }

    /// Shows every product's figures and queue, by name. Routes are not handed out: dropping one wakes its writer.
    pub fn for_each(&self, look: impl FnMut(&Route)) {
        self.entries.lock().routes.values().for_each(look);
    }

    /// Lets the queues end once the connections have dropped theirs, and waits for the writers. Gives each product's figures.
    pub fn close(&self) -> (Vec<(ProductId, Arc<ProductMetrics>)>, Vec<String>) {
        let (routes, writers) = {
            let mut entries = self.entries.lock();
            entries.is_closed = true;
            (std::mem::take(&mut entries.routes), std::mem::take(&mut entries.writers))
        };
        let figures = routes.into_values().map(|route| (route.product, route.metrics)).collect();
        let failures = writers
            .into_iter()
            .filter_map(|writer| match writer.join() {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some(reason),
                Err(_) => Some("a writer thread died".to_owned()),
            })
            .collect();
        (figures, failures)
    }
}
