//! The catalogue: what the products are, asked of REST at the start and when the list of products grows, written to `products.jsonl`.
//!
//! 1. A line per product at the first start and whenever something about it changed; a reader takes a product's last line.
//! 2. A capture without it is as good: where REST does not answer, that is a warning and a journal line.
//!
//! Thread `products`: asks once, with a few retries, and ends.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
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
use crate::store::journal::Event;
use crate::time::{Clock, UnixNanos};

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
            Ok(changed) => journal.write(Event::new("products_fetched").number("changed", changed).text("source", &url)),
            Err(reason) => {
                log::warn!("product data is not to be had: {reason}");
                journal.write(Event::new("products_unknown").text("source", &url).text("error", &reason));
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
    let known = known_lines(path);
    let mut text = String::new();
    let mut changed = 0;
    for product in products {
        let line = match infos.iter().find(|info| info.id == *product) {
            Some(info) => describe(info, source),
            None => format!("\"event\":\"product\",\"product\":\"{product}\",\"status\":\"unknown to the exchange\""),
        };
        if known.get(product.as_str()) != Some(&line) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{{\"time\":\"{}\",{line}}}", clock.now());
            changed += 1;
        }
    }
    if changed > 0 {
        File::options().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    }
    Ok(changed)
}

/// Shows a product as the fields of its line, time apart.
fn describe(info: &ProductInfo, source: &str) -> String {
    let line = Event::new("product")
        .product(&info.id)
        .text("base_currency", &info.base_currency)
        .text("quote_currency", &info.quote_currency)
        .text("base_increment", &info.base_increment)
        .text("quote_increment", &info.quote_increment)
        .text("min_market_funds", &info.min_market_funds)
        .text("status", &info.status)
        .text("alias", &info.alias)
        .flag("trading_disabled", info.trading_disabled)
        .text("source", source)
        .line(UnixNanos(0));
    without_time(&line).unwrap_or_default().to_owned()
}

/// Gives the fields of a line behind its time.
fn without_time(line: &str) -> Option<&str> {
    line.split_once("Z\",")?.1.strip_suffix('}')
}

/// Gives each product's last line, without its time, by name.
fn known_lines(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut known = HashMap::new();
    for line in text.lines() {
        let Some(rest) = without_time(line) else { continue };
        if let Some(name) = rest.split_once("\"product\":\"").and_then(|(_, tail)| tail.split('"').next()) {
            known.insert(name.to_owned(), rest.to_owned());
        }
    }
    known
}
