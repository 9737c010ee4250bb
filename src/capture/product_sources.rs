//! [`ProductSources`]: where the products of a capture come from, and what is wanted when one of the sources changes.
//!
//! 1. Wanted is what was named, what the file lists, and what the exchange lists, together.
//! 2. The file is read again on SIGHUP. A file that cannot be used changes nothing.
//! 3. The last list of the exchange is kept in the data directory. It serves where the exchange has none to give, as on a day of maintenance.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::config::CaptureConfig;
use crate::capture::error::CaptureError;
use crate::capture::net::connection_settings::ConnectionSettings;
use crate::capture::net::listing::Listing;
use crate::capture::product_list::{Reload, read_again};
use crate::capture::stop::Stop;
use crate::product::ProductId;
use crate::store::{OWN_FOLDER, own_file};
use crate::time::Clock;

/// Name of the file in the folder `_coltape` that keeps the last list of the exchange.
const FILE_NAME: &str = "listing.jsonl";

/// Most bytes of it that are read.
const MAX_BYTES: u64 = 32 << 20;

/// How long a capture waits for the list before it uses the last one.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// Where the products come from.
pub(super) struct ProductSources {
    reload: Reload,
    named: BTreeSet<ProductId>,
    file: Option<PathBuf>,
    /// The products that were named and those of the file.
    chosen: BTreeSet<ProductId>,
    listing: Option<Listing>,
    /// The products of the exchange's list.
    listed: BTreeSet<ProductId>,
    source: String,
}

impl ProductSources {
    /// Begins with the sources of a configuration. Listens for SIGHUP from now on where there is a file.
    pub(super) fn new(config: &CaptureConfig) -> Self {
        Self {
            reload: Reload::listen(config.products_file.as_ref()),
            named: config.named_products.clone(),
            file: config.products_file.clone(),
            chosen: config.products.clone(),
            listing: None,
            listed: BTreeSet::new(),
            source: config.url.clone(),
        }
    }

    /// Asks the exchange which products there are, where all are wanted. Gives the products of the capture, and the settings that further connections share
    /// with that of the list.
    ///
    /// # Errors
    /// Where the exchange gives no list, the last one is not known either, and no product is named.
    pub(super) fn find(
        &mut self,
        config: &CaptureConfig,
        stop: &Stop,
    ) -> Result<(BTreeSet<ProductId>, Option<ConnectionSettings>), CaptureError> {
        if !config.all_products {
            return Ok((self.chosen.clone(), None));
        }
        let settings = ConnectionSettings::new(config, None, std::sync::Arc::default())?;
        let thread = |source| CaptureError::Thread { name: "listing".to_owned(), source };
        let listing = self.listing.insert(Listing::start(config, settings.clone(), stop).map_err(thread)?);
        let last = listing.wanted_of(&read_last(&config.data_dir));
        self.listed = match listing.wait_first(FIRST_WITHIN.min(config.start_patience), !last.is_empty(), stop) {
            Ok(listed) => listed,
            Err(why) => {
                if last.is_empty() && self.chosen.is_empty() {
                    return Err(CaptureError::NoListing { why: why.to_string() });
                }
                log::warn!("the exchange's list of products: {why}; recording the {} products of the last one", last.len());
                last
            }
        };
        Ok((self.wanted(), Some(settings)))
    }

    fn wanted(&self) -> BTreeSet<ProductId> {
        self.chosen.union(&self.listed).cloned().collect()
    }

    /// Gives the products that are wanted from now on, where a source has changed, and what has changed.
    pub(super) fn take_news(&mut self) -> Option<(BTreeSet<ProductId>, String)> {
        if self.reload.take()
            && let Some(path) = &self.file
        {
            match read_again(path, &self.named) {
                Ok(chosen) => self.chosen = chosen,
                Err(error) => {
                    log::error!("the list of products is not changed: {error}");
                    return None;
                }
            }
            return Some((self.wanted(), path.display().to_string()));
        }
        // A list without a product that is online is no reason to end every recording.
        let listed = self.listing.as_mut()?.take_news().filter(|listed| !listed.is_empty() && *listed != self.listed)?;
        self.listed = listed;
        Some((self.wanted(), "the exchange's list".to_owned()))
    }

    /// Keeps the exchange's list in the directory, where there is one. A failure is logged: the list is written again when it changes.
    pub(super) fn keep(&self, dir: &Path, clock: &Clock) {
        let Some(listing) = &self.listing else { return };
        let lines = listing.lines(&self.source, clock.now());
        if lines.is_empty() {
            return;
        }
        if let Err(error) = own_file::replace(dir, FILE_NAME, lines.as_bytes()) {
            log::warn!("the exchange's list of products is not kept: {error}");
        }
    }

    /// Ends the thread that keeps the list.
    pub(super) fn end(&mut self, stop: &Stop) {
        if let Some(listing) = &mut self.listing {
            stop.ask();
            listing.join();
        }
    }
}

/// Reads the list that an earlier capture has left; empty where there is none.
fn read_last(dir: &Path) -> String {
    let path = dir.join(OWN_FOLDER).join(FILE_NAME);
    let mut bytes = Vec::new();
    // Opening a pipe would wait.
    let is_file = std::fs::metadata(&path).is_ok_and(|found| found.is_file());
    let read = is_file.then(|| File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)));
    if let Some(Err(error)) = read {
        log::warn!("{}: {error}", path.display());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
