//! The catalogue: what the products are, asked of REST at the start and when the list of products grows, written to `products.jsonl`.
//!
//! 1. A line per product at the first start and whenever something about it changed; a reader takes a product's last line.
//! 2. A capture without it is as good: where REST does not answer, that is a warning and a journal line.
//!
//! Thread `products`: asks once, with a few retries, and ends.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::CaptureConfig;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::feed::ProductInfo;
use crate::feed::rest::RestClient;
use crate::feed::tls::TlsRoots;
use crate::product::ProductId;
use crate::store::DataDir;
use crate::store::event::{Event, Line};
use crate::time::Clock;

/// File below `_coltape`.
pub const FILE_NAME: &str = "products.jsonl";

const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts the thread `products`, which asks about these products, or nothing where no REST endpoint is to be asked.
///
/// # Errors
/// Where the machine has no thread left.
pub fn start(
    config: &CaptureConfig,
    products: &BTreeSet<ProductId>,
    dir: &Arc<DataDir>,
    journal: &JournalHandle,
    stop: &Stop,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(url) = config.rest_url.clone() else {
        log::info!("no REST endpoint: product data is not fetched");
        return Ok(None);
    };
    let path = dir.path().join("_coltape").join(FILE_NAME);
    let (products, ca_file, clock) = (products.clone(), config.ca_file.clone(), config.clock.clone());
    let (journal, stop) = (journal.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("products".to_owned()).spawn(move || {
        let _on_panic = stop.on_panic();
        let outcome = fetch(&url, ca_file.as_deref(), &stop).and_then(|infos| keep(&path, &products, &infos, &url, &clock));
        match outcome {
            Ok(changed) => journal.write(Event::ProductsFetched { changed, source: url }),
            Err(reason) => {
                log::warn!("product data is not to be had: {reason}");
                journal.write(Event::ProductsUnknown { source: url, error: reason });
            }
        }
    })?;
    Ok(Some(thread))
}

fn fetch(url: &str, ca_file: Option<&Path>, stop: &Stop) -> Result<Vec<ProductInfo>, String> {
    let roots = TlsRoots { ca_file: ca_file.map(Path::to_owned) };
    let mut client = RestClient::new(url, &roots, TIMEOUT).map_err(|error| error.to_string())?;
    let mut reason = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 && stop.wait(PAUSE) {
            break;
        }
        match client.products() {
            Ok(infos) => return Ok(infos),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// Appends a line for every product that is new or has changed; gives how many.
fn keep(path: &Path, products: &BTreeSet<ProductId>, infos: &[ProductInfo], source: &str, clock: &Clock) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
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

/// Gives the event that describes a product.
fn describe(info: &ProductInfo, source: &str) -> Event {
    Event::Product {
        product: info.id.clone(),
        base_currency: info.base_currency.clone(),
        quote_currency: info.quote_currency.clone(),
        base_increment: info.base_increment.clone(),
        quote_increment: info.quote_increment.clone(),
        min_market_funds: info.min_market_funds.clone(),
        status: info.status.clone(),
        alias: info.alias.clone(),
        trading_disabled: info.trading_disabled,
        source: source.to_owned(),
    }
}

/// Gives each product's last event in the file.
fn known(path: &Path) -> HashMap<ProductId, Event> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let events = text.lines().filter_map(|line| Line::parse(line).ok()?.event);
    events.filter_map(|event| Some((event.product()?.clone(), event))).collect()
}
