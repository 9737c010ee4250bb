//! Product data: fetched by REST at the start and when the list of products grows, and written to `products.jsonl`.
//!
//! 1. A product gets a line at the first start and whenever its data has changed. Readers use the last line of a product.
//! 2. A series that begins (`BTC-USD~2`) gets a line, with the event that the journal has.
//! 3. A product that the exchange does not list is named in the log, with what may be meant.
//! 4. A capture works without this data. Where REST does not answer, there is a warning in the log and an event in the journal.
//!
//! Thread `products`: fetches once, with a few retries, and ends.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::config::CaptureConfig;
use crate::capture::product_listing::describe;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::feed::ProductInfo;
use crate::feed::connector::Connector;
use crate::feed::rest::{RestClient, RestError};
use crate::names::did_you_mean;
use crate::product::ProductId;
use crate::store::DataDir;
use crate::store::event::{Event, Line};
use crate::time::{Clock, UnixNanos};

/// Name of the file in the folder `_coltape`.
pub(crate) const FILE_NAME: &str = "products.jsonl";

/// How often REST is asked before the thread gives up.
const ATTEMPTS: u32 = 3;

/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no product data.
#[derive(Debug, thiserror::Error)]
enum ProductDataError {
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// Starts the thread `products`, which fetches the data of these products. Starts nothing where there is no REST endpoint.
///
/// # Errors
/// Where the system cannot start a thread.
pub(crate) fn start(
    config: &CaptureConfig,
    products: &BTreeSet<ProductId>,
    dir: &Arc<DataDir>,
    metrics: &Arc<Metrics>,
    journal: &JournalHandle,
    stop: &Stop,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(url) = config.rest_url.clone() else {
        log::info!("no REST endpoint: product data is not fetched");
        return Ok(None);
    };
    let path = dir.path().join("_coltape").join(FILE_NAME);
    let (products, connector, clock) = (products.clone(), config.connector(), config.clock.clone());
    let (metrics, journal, stop_asked) = (Arc::clone(metrics), journal.clone(), stop.clone());
    let thread = spawn("products", Stack::Standard, stop, move || {
        let outcome = fetch(&url, &connector, &stop_asked).and_then(|infos| {
            name_unlisted(&metrics, &products, &infos);
            keep(&path, &products, &infos, &url, &clock)
        });
        match outcome {
            Ok(changed) => journal.write(Event::ProductsFetched { changed, source: url }),
            Err(error) => {
                log::warn!("product data cannot be fetched from {url}: {error}");
                journal.write(Event::ProductsUnknown { source: url, error: error.to_string() });
            }
        }
    })?;
    Ok(Some(thread))
}

/// Names the products that the exchange does not list as trading. Whether it records them is its own decision: they are asked for all the same.
fn name_unlisted(metrics: &Metrics, products: &BTreeSet<ProductId>, infos: &[ProductInfo]) {
    let mut unlisted = metrics.unlisted.lock();
    for product in products {
        let advice = match infos.iter().find(|info| info.id == *product) {
            Some(info) if info.is_online() || info.status.is_empty() => {
                unlisted.remove(product);
                continue;
            }
            Some(info) if info.trading_disabled => "the exchange has disabled its trading".to_owned(),
            Some(info) => format!("the exchange lists it as {}", info.status),
            None => match did_you_mean(product.as_str(), infos.iter().map(|info| &info.id)) {
                Some(question) => format!("the exchange lists no such product; {question}"),
                None => "the exchange lists no such product".to_owned(),
            },
        };
        log::warn!("{product}: {advice}");
        unlisted.insert(product.clone(), advice);
    }
}

fn fetch(url: &str, connector: &Connector, stop: &Stop) -> Result<Vec<ProductInfo>, ProductDataError> {
    let mut client = RestClient::new(url, connector, TIMEOUT)?;
    let mut attempt = 1;
    loop {
        match client.products() {
            Ok(infos) => return Ok(infos),
            Err(error) if attempt == ATTEMPTS || stop.wait(PAUSE) => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    }
}

/// Appends a line for every product that is new or has changed. Gives the number of lines.
fn keep(path: &Path, products: &BTreeSet<ProductId>, infos: &[ProductInfo], source: &str, clock: &Clock) -> Result<u64, ProductDataError> {
    let failed = |source| ProductDataError::File { path: path.to_owned(), source };
    let known = known(path);
    let mut text = String::new();
    let mut changed = 0;
    for product in products {
        let event = match infos.iter().find(|info| info.id == *product) {
            Some(info) => describe(info, source),
            None => Event::ProductUnknown { product: product.clone(), status: "unknown to the exchange".into() },
        };
        if known.get(product) != Some(&event) {
            text.push_str(&event.line(clock.now()));
            text.push('\n');
            changed += 1;
        }
    }
    if changed > 0 {
        File::options().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    }
    Ok(changed)
}

/// Notes in `products.jsonl` that a product is stored as another series from now on. Called once a series, by the product's writer.
pub(crate) fn note_series(dir: &DataDir, event: &Event, now: UnixNanos) {
    let path = dir.path().join("_coltape").join(FILE_NAME);
    let line = event.line(now) + "\n";
    let written = File::options().append(true).create(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        // The journal says it, too.
        log::warn!("{}: {error}", path.display());
    }
}

/// Gives the last event of each product in the file that tells what it is.
fn known(path: &Path) -> HashMap<ProductId, Event> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let events = text.lines().filter_map(|line| Line::parse(line).ok()?.event);
    let told = events.filter(|event| matches!(event, Event::Product { .. } | Event::ProductUnknown { .. }));
    told.filter_map(|event| Some((event.product()?.clone(), event))).collect()
}
