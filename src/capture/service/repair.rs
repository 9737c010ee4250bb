//! Repairs asked for by `coltape repair` while this capture holds the directory.
//!
//! What other tapes have goes to the writers as deliveries; what is missing then, however old, is wanted of REST. Nobody but the asker waits.
//!
//! Thread `mend`: owns nothing; reads request files; ends when a stop is asked for.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::context::CaptureContext;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::deliveries::{Deliveries, Delivery};
use crate::feed::backfill::Found;
use crate::feed::gap::Gap;
use crate::product::ProductId;
use crate::record::Trade;
use crate::repair::offer::{Offer, offers};
use crate::store::event::Event;
use crate::store::request::{RepairAnswer, RepairRequest};
use crate::store::{StoreError, catalog, holes};

/// Between two looks for a request.
const LOOK: Duration = Duration::from_secs(1);

/// Trades handed over at once.
const PAGE_TRADES: usize = 1000;

/// How long a writer may take nothing before a repair gives up, and how long REST has for what is missing then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks whether a writer has taken something.
const PAUSE: Duration = Duration::from_millis(5);

/// Lines of an answer about differences, a product.
const MOST_DIFFERENCES: u64 = 100;

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

/// Starts the thread `mend`.
///
/// # Errors
/// Where the machine has no thread left.
pub fn start(context: &Arc<CaptureContext>) -> std::io::Result<JoinHandle<()>> {
    let stop = context.stop.clone();
    let context = Arc::clone(context);
    spawn("repair", Stack::Standard, &stop, move || {
        while !context.stop.wait(LOOK) {
            let request = match RepairRequest::take(context.dir.path()) {
                Ok(None) => continue,
                Ok(Some(request)) => request,
                Err(error) => {
                    log::error!("repair: {error}");
                    continue;
                }
            };
            let answer = LiveRepair { context: &context, request: &request, lines: Vec::new(), is_whole: true }.answer();
            if let Err(error) = answer.write(context.dir.path()) {
                log::error!("repair: {error}");
            }
        }
    })
}

struct LiveRepair<'a> {
    context: &'a CaptureContext,
    request: &'a RepairRequest,
    lines: Vec<String>,
    is_whole: bool,
}

impl LiveRepair<'_> {
    fn answer(mut self) -> RepairAnswer {
        let tapes: Vec<String> = self.request.from.iter().map(|tape| tape.display().to_string()).collect();
        self.context.journal.write(Event::RepairAsked { from: tapes.join(", "), rest: self.request.rest });
        let recorded = self.context.deliveries.products();
        let wanted: Vec<ProductId> =
            recorded.into_iter().filter(|known| self.request.product.as_ref().is_none_or(|asked| asked == known)).collect();
        let error = match &self.request.product {
            Some(product) if wanted.is_empty() => {
                Some(format!("{product} is not recorded now; it can be repaired when the capture has stopped"))
            }
            _ => None,
        };
        for product in &wanted {
            if let Err(error) = self.mend(product) {
                self.is_whole = false;
                self.lines.push(format!("{product}: {error}"));
            }
        }
        if self.request.rest && self.context.backfill.is_none() {
            self.lines.push("this capture asks no REST".to_owned());
        }
        for product in &wanted {
            self.conclude(product);
        }
        if self.request.product.is_none() {
            self.tell_of_others(&wanted);
        }
        self.context.journal.write(Event::RepairAnswered { whole: self.is_whole && error.is_none() });
        RepairAnswer { id: self.request.id, whole: self.is_whole && error.is_none(), error, lines: self.lines }
    }

    fn mend(&mut self, product: &ProductId) -> Result<(), LiveRepairError> {
        for tape in &self.request.from {
            let (incoming, differing) = self.take_from(product, tape)?;
            self.lines.push(format!("{product}: {incoming} trades and order ids from {}", tape.display()));
            if differing > MOST_DIFFERENCES {
                self.lines.push(format!("{product}: {} more trades differ", differing - MOST_DIFFERENCES));
            }
        }
        if self.request.rest {
            for hole in holes::holes(self.context.dir.path(), product, None)?.gaps {
                let found = Found { gap: Some(Gap { from: hole.from, to: hole.to }), began: None };
                self.deliver(product, Delivery::Found(found))?;
            }
        }
        Ok(())
    }

    /// Tells what is missing of the products that the directory holds and this capture does not record.
    fn tell_of_others(&mut self, recorded: &[ProductId]) {
        let dir = self.context.dir.path();
        let missing = |product: &ProductId| holes::holes(dir, product, None).map(|found| found.missing());
        let others = catalog::products(dir).map(|all| all.into_iter().filter(|product| !recorded.contains(product)).collect::<Vec<_>>());
        let others = match others {
            Ok(others) => others,
            Err(error) => {
                self.is_whole = false;
                self.lines.push(error.to_string());
                return;
            }
        };
        for product in others {
            let said = match missing(&product) {
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
            self.lines.push(format!("{product}: {said}; it is not recorded now and can be repaired when the capture has stopped"));
        }
    }

    fn take_from(&mut self, product: &ProductId, tape: &Path) -> Result<(usize, u64), LiveRepairError> {
        let (mut page, mut incoming, mut differing): (Vec<Trade>, usize, u64) = (Vec::new(), 0, 0);
        let (context, lines, is_whole) = (self.context, &mut self.lines, &mut self.is_whole);
        offers(context.dir.path(), product, tape, |offer| {
            match offer {
                Offer::Trade(trade) => {
                    page.push(trade);
                    incoming += 1;
                    if page.len() == PAGE_TRADES {
                        deliver(context, product, Delivery::Trades(std::mem::take(&mut page)))?;
                    }
                }
                Offer::Difference(difference) => {
                    *is_whole = false;
                    differing += 1;
                    if differing <= MOST_DIFFERENCES {
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
        if !page.is_empty() {
            self.deliver(product, Delivery::Trades(page))?;
        }
        Ok((incoming, differing))
    }

    fn deliver(&self, product: &ProductId, delivery: Delivery) -> Result<(), LiveRepairError> {
        deliver(self.context, product, delivery)
    }

    /// Waits until everything has been taken and, where REST is asked, a while for what is missing; then tells what still is.
    fn conclude(&mut self, product: &ProductId) {
        let asks_rest = self.request.rest && self.context.backfill.is_some();
        let start = Instant::now();
        loop {
            let missing = holes::holes(self.context.dir.path(), product, None).map(|found| found.missing());
            let is_settled = self.context.deliveries.are_taken(product) && (!asks_rest || matches!(missing, Ok(0)));
            if (is_settled && start.elapsed() >= PAUSE * 20) || start.elapsed() >= PATIENCE || self.context.stop.wait(PAUSE * 20) {
                match missing {
                    Ok(0) => {}
                    Ok(missing) => {
                        self.is_whole = false;
                        self.lines.push(format!("{product}: {missing} ids are still missing"));
                    }
                    Err(error) => {
                        self.is_whole = false;
                        self.lines.push(format!("{product}: {error}"));
                    }
                }
                return;
            }
        }
    }
}

/// Hands something to a product's writer, waiting while it has no room.
fn deliver(context: &CaptureContext, product: &ProductId, delivery: Delivery) -> Result<(), LiveRepairError> {
    let start = Instant::now();
    let mut delivery = delivery;
    let deliveries: &Deliveries = &context.deliveries;
    while let Err(refused) = deliveries.send(product, delivery) {
        delivery = refused;
        if start.elapsed() >= PATIENCE {
            return Err(LiveRepairError::Blocked);
        }
        if context.stop.wait(PAUSE) {
            return Err(LiveRepairError::Ending);
        }
    }
    Ok(())
}
