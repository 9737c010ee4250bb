//! Repairs that `coltape repair` asks for while this capture holds the directory.
//!
//! Missing trades that other tapes have are delivered to the writers. Ids that are still missing then, however old, are fetched by REST where the request
//! says so. Only whoever asked waits for it.
//!
//! Thread `repair`: owns nothing; reads request files, those of archives too ([`super::archive`]); ends when a stop is asked for.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::archive;
use crate::capture::context::CaptureContext;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::deliveries::Delivery;
use crate::product::ProductId;
use crate::record::Trade;
use crate::repair::contribution::{Contribution, contributions};
use crate::repair::facts::trade_texts;
use crate::repair::plan::days_only_elsewhere;
use crate::store::event::Event;
use crate::store::request::{RepairAnswer, RepairRequest};
use crate::store::{StoreError, catalog, gaps};

/// Time between two looks for a request.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// Trades in one delivery.
const DELIVERY_TRADES: usize = 1000;

/// How long a writer may leave its deliveries before a repair gives up, and how long REST has for what is missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two tries to deliver.
const DELIVERY_INTERVAL: Duration = Duration::from_millis(5);

/// Time between two looks at what is still missing.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Differences of a product that an answer lists one by one.
const MAX_DIFFERENCES: u64 = 100;

/// Why a product was not repaired.
#[derive(Debug, thiserror::Error)]
enum LiveRepairError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its writer takes nothing")]
    Blocked,
    #[error("the capture is ending")]
    Ending,
}

/// What one tape contributed to a product.
#[derive(Debug, Default)]
struct Contributed {
    trades: usize,
    differences: u64,
}

/// Starts the thread `repair`.
///
/// # Errors
/// Where the machine has no thread left.
pub(crate) fn start(context: &Arc<CaptureContext>) -> std::io::Result<JoinHandle<()>> {
    let stop = context.stop.clone();
    let context = Arc::clone(context);
    spawn("repair", Stack::Standard, &stop, move || {
        while !context.stop.wait(REQUEST_INTERVAL) {
            if let Err(error) = answer_request(&context) {
                log::error!("repair: {error}");
            }
            if let Err(error) = archive::answer_request(&context) {
                log::error!("archive: {error}");
            }
        }
    })
}

/// Takes the request that waits, if one does, and answers it.
fn answer_request(context: &CaptureContext) -> Result<(), StoreError> {
    let Some(request) = RepairRequest::take(context.dir().path())? else { return Ok(()) };
    LiveRepair { context, request: &request, lines: Vec::new(), is_whole: true }.run().write(context.dir().path())
}

/// One request and what has come of it.
struct LiveRepair<'a> {
    context: &'a CaptureContext,
    request: &'a RepairRequest,
    lines: Vec<String>,
    is_whole: bool,
}

impl LiveRepair<'_> {
    fn run(mut self) -> RepairAnswer {
        let tapes: Vec<String> = self.request.from.iter().map(|tape| tape.display().to_string()).collect();
        self.context.journal.write(Event::RepairAsked { from: tapes.join(", "), rest: self.request.rest });
        let recorded = self.context.deliveries.products();
        let is_asked = |product: &ProductId| self.request.product.as_ref().is_none_or(|asked| asked == product);
        let products: Vec<ProductId> = recorded.into_iter().filter(is_asked).collect();
        let error = match &self.request.product {
            Some(product) if products.is_empty() => {
                Some(format!("{product} is not recorded now; it can be repaired when the capture has stopped"))
            }
            _ => None,
        };
        for product in &products {
            if let Err(error) = self.repair(product) {
                self.report_failure(product, &error.to_string());
            }
        }
        if self.request.rest && self.context.backfill.is_none() {
            self.lines.push("this capture asks no REST".to_owned());
        }
        for product in &products {
            self.await_result(product);
        }
        if self.request.product.is_none() {
            self.report_others(&products);
        }
        self.report_days_elsewhere();
        let is_whole = self.is_whole && error.is_none();
        self.context.journal.write(Event::RepairAnswered { whole: is_whole });
        RepairAnswer { id: self.request.id, whole: is_whole, error, lines: self.lines }
    }

    fn report_failure(&mut self, product: &ProductId, why: &str) {
        self.is_whole = false;
        self.lines.push(format!("{product}: {why}"));
    }

    fn repair(&mut self, product: &ProductId) -> Result<(), LiveRepairError> {
        for tape in &self.request.from {
            let Contributed { trades, differences } = self.take_from(product, tape)?;
            self.lines.push(format!("{product}: {trades} trades and order ids from {}", tape.display()));
            if differences > MAX_DIFFERENCES {
                self.lines.push(format!("{product}: {} more trades differ", differences - MAX_DIFFERENCES));
            }
        }
        if self.request.rest {
            for ids in gaps(self.context.dir().path(), product, None)?.missing {
                deliver(self.context, product, Delivery::Missing(ids))?;
            }
        }
        Ok(())
    }

    /// Delivers what another tape has, and reports what it records differently.
    fn take_from(&mut self, product: &ProductId, tape: &Path) -> Result<Contributed, LiveRepairError> {
        let (mut trades, mut contributed): (Vec<Trade>, Contributed) = (Vec::new(), Contributed::default());
        let (context, lines, is_whole) = (self.context, &mut self.lines, &mut self.is_whole);
        let mut texts = trade_texts(tape, product);
        contributions(context.dir().path(), product, tape, context.clock.now(), |contribution| {
            match contribution {
                Contribution::Unused(text) => lines.push(text),
                Contribution::Trade(trade) => {
                    for (column, text) in texts.remove(&trade.trade_id).unwrap_or_default() {
                        context.journal.exact(trade.time, product, column, trade.trade_id, text.as_bytes());
                    }
                    trades.push(trade);
                    contributed.trades += 1;
                    if trades.len() == DELIVERY_TRADES {
                        deliver(context, product, Delivery::Trades(std::mem::take(&mut trades)))?;
                    }
                }
                Contribution::Difference(difference) => {
                    *is_whole = false;
                    contributed.differences += 1;
                    if contributed.differences <= MAX_DIFFERENCES {
                        lines.push(difference.to_string());
                        context.journal.write(Event::Conflict {
                            product: product.clone(),
                            trade_id: difference.stored.trade_id,
                            stored: None,
                            sent: None,
                            by: Some(difference.by.clone()),
                            columns: None,
                            text: Some(difference.to_string()),
                            raw: None,
                        });
                    }
                }
            }
            Ok::<(), LiveRepairError>(())
        })?;
        if !trades.is_empty() {
            deliver(context, product, Delivery::Trades(trades))?;
        }
        Ok(contributed)
    }

    /// Waits until the writer has taken everything and, where REST is asked, a while for what is missing. Reports what still is.
    fn await_result(&mut self, product: &ProductId) {
        let asks_rest = self.request.rest && self.context.backfill.is_some();
        let start = Instant::now();
        loop {
            let missing = gaps(self.context.dir().path(), product, None).map(|stored| stored.missing.count());
            let is_settled = self.context.deliveries.are_taken(product) && (!asks_rest || matches!(missing, Ok(0)));
            // What was taken last is stored within one look.
            let is_over = (is_settled && start.elapsed() >= LOOK_INTERVAL) || start.elapsed() >= PATIENCE;
            if is_over || self.context.stop.wait(LOOK_INTERVAL) {
                match missing {
                    Ok(0) => {}
                    Ok(missing) => self.report_failure(product, &format!("{missing} ids are still missing")),
                    Err(error) => self.report_failure(product, &error.to_string()),
                }
                return;
            }
        }
    }

    /// Reports the days that only other tapes have. They are no gap of a chain that a writer could fill.
    fn report_days_elsewhere(&mut self) {
        match days_only_elsewhere(self.context.dir().path(), &self.request.from, self.request.product.as_ref()) {
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => {
                self.is_whole = false;
                self.lines.extend(lines);
                self.lines.push("they are brought when the capture has stopped: run the same command again then".to_owned());
            }
            Err(error) => {
                self.is_whole = false;
                self.lines.push(error.to_string());
            }
        }
    }

    /// Reports what is missing of the products that the directory holds and this capture does not record.
    fn report_others(&mut self, recorded: &[ProductId]) {
        let dir = self.context.dir().path();
        let others = match catalog::products(dir) {
            Ok(all) => all.into_iter().filter(|product| !recorded.contains(product)),
            Err(error) => {
                self.is_whole = false;
                self.lines.push(error.to_string());
                return;
            }
        };
        for product in others {
            let state = match gaps(dir, &product, None).map(|stored| stored.missing.count()) {
                Ok(0) if self.request.from.is_empty() => continue,
                Ok(0) => "nothing was taken for it".to_owned(),
                Ok(missing) => {
                    self.is_whole = false;
                    format!("{missing} ids are missing")
                }
                Err(error) => {
                    self.is_whole = false;
                    error.to_string()
                }
            };
            self.lines.push(format!("{product}: {state}; it is not recorded now and can be repaired when the capture has stopped"));
        }
    }
}

/// Delivers something to a product's writer. Waits while its channel is full.
fn deliver(context: &CaptureContext, product: &ProductId, delivery: Delivery) -> Result<(), LiveRepairError> {
    let start = Instant::now();
    let mut delivery = delivery;
    while let Err(refused) = context.deliveries.send(product, delivery) {
        delivery = refused.into_inner();
        if start.elapsed() >= PATIENCE {
            return Err(LiveRepairError::Blocked);
        }
        if context.stop.wait(DELIVERY_INTERVAL) {
            return Err(LiveRepairError::Ending);
        }
    }
    Ok(())
}
