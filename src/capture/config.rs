//! [`CaptureConfig`]: what a capture has to know, checked and derived, and [`defaults`]: the one place where a default is written.
//!
//! The command line takes its defaults from here, and so does [`CaptureConfig::new`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::alert_config::AlertConfig;
use crate::capture::report::service_manager::ServiceManager;
use crate::feed::Feed;
use crate::feed::connector::Connector;
use crate::feed::endpoint::Endpoint;
use crate::feed::proxy::Proxies;
use crate::feed::tls::TlsRoots;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Datasets};
use crate::time::{Clock, DateFormat, UnixNanos};

/// The defaults of the settings.
pub(crate) mod defaults {
    use std::time::Duration;

    pub(crate) use crate::feed::fetch_plan::USUAL_REQUESTS_PER_S as REST_REQUESTS_PER_S;

    /// How long trades behind a gap wait for the missing ones.
    pub(crate) const GAP_WAIT: Duration = Duration::from_secs(2);
    /// Redundant connections to the same feed.
    pub(crate) const LINES: u8 = 1;
    /// Most products of one connection.
    pub(crate) const PRODUCTS_PER_CONNECTION: u32 = 100;
    /// Time between two flushes.
    pub(crate) const SYNC_INTERVAL: Duration = Duration::from_secs(1);
    /// Messages that the queue of one product holds.
    pub(crate) const QUEUE_CAPACITY_MSGS: u32 = 50_000;
    /// How long a connection may be silent.
    pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection may take to deliver, and a product to be taken up, before that is an alert.
    pub(crate) const START_PATIENCE: Duration = Duration::from_secs(30);
    /// How long a capture that is taken over from may take to take the request, and then to end.
    pub(crate) const END_PATIENCE: Duration = Duration::from_secs(30);
    /// How long recorded frames are kept.
    pub(crate) const RECORD_KEEP: Duration = Duration::from_secs(24 * 3600);
}

/// Where frames are recorded as they were received, and for how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordConfig {
    /// The folder of the hourly files.
    pub folder: PathBuf,
    /// How long a file is kept.
    pub keep: Duration,
}

impl RecordConfig {
    /// Records into a folder, and keeps files as long as the command line does by default.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder, keep: defaults::RECORD_KEEP }
    }
}

/// What a capture has to know.
///
/// ```
/// use coltape::{CaptureConfig, Feed, ProductId};
/// let product = ProductId::new("BTC-USD").unwrap();
/// let mut config = CaptureConfig::new(Feed::Exchange, Feed::Exchange.default_url(), [product], "data".as_ref());
/// config.duration = Some(std::time::Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CaptureConfig {
    /// Which feed.
    pub feed: Feed,
    /// WebSocket endpoint, `ws://` or `wss://`.
    pub url: String,
    /// REST endpoint for product data and missing trades. REST is not used without one.
    pub rest_url: Option<String>,
    /// Whether missing trades are fetched by REST.
    pub backfills: bool,
    /// REST requests per second, over all products.
    pub rest_requests_per_s: u32,
    /// Trades since this time are fetched too, so that a first day can be whole.
    pub backfill_from: Option<UnixNanos>,
    /// How long trades behind a gap wait for the missing ones, so that all are written in order.
    pub gap_wait: Duration,
    /// Redundant connections to the same feed, whose trades are merged: 1 to 4.
    pub lines: u8,
    /// Whether the threads of a connection poll instead of sleeping.
    pub spins: bool,
    /// Processors for connections and writers, used in turn. If there is none, the system chooses.
    pub pin: Vec<usize>,
    /// A root certificate to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxies of WebSocket and REST.
    pub proxies: Proxies,
    /// The products to record: those that were named and those of the file.
    pub products: BTreeSet<ProductId>,
    /// The products that were named. They stay when the file changes.
    pub named_products: BTreeSet<ProductId>,
    /// A list of products, one per line, which is read again on SIGHUP.
    pub products_file: Option<PathBuf>,
    /// Whether every product is recorded that the exchange lists as online, as long as the capture runs.
    pub all_products: bool,
    /// The quote currencies of those products; empty for all.
    pub quotes: BTreeSet<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The datasets to keep.
    pub datasets: Datasets,
    /// The columns to keep.
    pub columns: ColumnSet,
    /// How file names spell dates.
    pub date_format: DateFormat,
    /// Whether to write to a file system that is not known to survive a full disk.
    pub force_fs: bool,
    /// Whether to take over from a capture that holds the directory: this one connects first, then asks that one to end.
    pub takes_over: bool,
    /// How long that capture may take to take the request, and then to end, before it is left as it is.
    pub end_patience: Duration,
    /// Most products of one connection.
    pub products_per_connection: usize,
    /// Time between two flushes.
    pub sync_interval: Duration,
    /// Most messages in the queue of one product.
    pub queue_capacity_msgs: usize,
    /// A connection that is silent for this long is replaced.
    pub idle_timeout: Duration,
    /// How long a connection may take to deliver, and a product to be taken up, before that is an alert.
    pub start_patience: Duration,
    /// From which figures on alerts are raised, and whom they are told.
    pub alerts: AlertConfig,
    /// Where frames are recorded as they were received, if they are.
    pub record: Option<RecordConfig>,
    /// Whether each message is read by its shape and by the parser alone, and the two are compared: for tests, and in debug builds only.
    pub checks_parse: bool,
    /// How long the capture runs. Without it, the capture runs until it is stopped.
    pub duration: Option<Duration>,
    /// Who is told that the capture is ready and well, if it was started by a service manager.
    pub service_manager: Option<ServiceManager>,
    /// The wall clock.
    pub clock: Clock,
}

impl CaptureConfig {
    /// Records these products of an endpoint into a directory. Every other setting has the default of the command line, except that REST is not used.
    #[must_use]
    pub fn new(feed: Feed, url: &str, products: impl IntoIterator<Item = ProductId>, data_dir: &Path) -> Self {
        let products: BTreeSet<ProductId> = products.into_iter().collect();
        Self {
            feed,
            url: url.to_owned(),
            rest_url: None,
            backfills: true,
            rest_requests_per_s: defaults::REST_REQUESTS_PER_S,
            backfill_from: None,
            gap_wait: defaults::GAP_WAIT,
            lines: defaults::LINES,
            spins: false,
            pin: Vec::new(),
            ca_file: None,
            proxies: Proxies::default(),
            named_products: products.clone(),
            products,
            products_file: None,
            all_products: false,
            quotes: BTreeSet::new(),
            data_dir: data_dir.to_owned(),
            datasets: Datasets::ALL,
            columns: ColumnSet::default(),
            date_format: DateFormat::default(),
            force_fs: false,
            takes_over: false,
            end_patience: defaults::END_PATIENCE,
            products_per_connection: defaults::PRODUCTS_PER_CONNECTION as usize,
            sync_interval: defaults::SYNC_INTERVAL,
            queue_capacity_msgs: defaults::QUEUE_CAPACITY_MSGS as usize,
            idle_timeout: defaults::IDLE_TIMEOUT,
            start_patience: defaults::START_PATIENCE,
            alerts: AlertConfig::default(),
            record: None,
            checks_parse: false,
            duration: None,
            service_manager: None,
            clock: Clock::System,
        }
    }

    /// Makes what the connections of the WebSocket and of REST are made by.
    pub(crate) fn connector(&self) -> Connector {
        Connector::new(TlsRoots { ca_file: self.ca_file.clone() }, self.proxies.clone())
    }

    /// Gives the command that fetches what is missing, as it is typed.
    #[must_use]
    pub(crate) fn repair_command(&self) -> String {
        let mut command = format!("coltape repair {}", shell_word(&self.data_dir.to_string_lossy()));
        if self.url != self.feed.default_url() {
            // The REST endpoint of an endpoint of one's own is not known to `repair`.
            let url = self.rest_url.as_deref().map_or_else(|| "URL".to_owned(), shell_word);
            command.push_str(&format!(" --rest-url {url}"));
        }
        if let Some(path) = &self.ca_file {
            command.push_str(&format!(" --ca-file {}", shell_word(&path.to_string_lossy())));
        }
        if let Some(proxy) = self.rest_proxy() {
            command.push_str(&format!(" --proxy {}", shell_word(&proxy)));
        }
        command
    }

    /// Gives the address of the proxy that REST goes through, or would: where the shell of the repair has another environment, only the option names it.
    fn rest_proxy(&self) -> Option<String> {
        let rest = self.rest_url.as_deref().and_then(|url| Endpoint::parse_http(url).ok());
        let endpoint = rest.or_else(|| Endpoint::parse(&self.url).ok())?;
        let proxy = self.proxies.for_host(endpoint.is_tls(), endpoint.host(), endpoint.port())?;
        Some(proxy.as_typed())
    }

    /// Gives the command that checks what is stored, as it is typed.
    #[must_use]
    pub(crate) fn verify_command(&self) -> String {
        format!("coltape verify {}", shell_word(&self.data_dir.to_string_lossy()))
    }
}

/// Gives a text as a word of a shell's command line.
fn shell_word(text: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b':' | b'@' | b'%' | b'+' | b',' | b'=');
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::proxy::{NoProxy, Proxy};

    #[test]
    fn a_command_that_is_shown_can_be_typed() {
        let product = ProductId::new("BTC-USD").expect("a product");
        let mut config = CaptureConfig::new(Feed::Exchange, Feed::Exchange.default_url(), [product], "/mnt/md/data".as_ref());
        assert_eq!(
            (config.repair_command(), config.verify_command()),
            ("coltape repair /mnt/md/data".into(), "coltape verify /mnt/md/data".into())
        );
        config.data_dir = "it's here".into();
        config.url = "wss://localhost:1".to_owned();
        assert_eq!(config.repair_command(), r"coltape repair 'it'\''s here' --rest-url URL");
        (config.rest_url, config.ca_file) = (Some("https://localhost:2".to_owned()), Some("a b.pem".into()));
        assert_eq!(config.repair_command(), r"coltape repair 'it'\''s here' --rest-url https://localhost:2 --ca-file 'a b.pem'");
    }

    #[test]
    fn a_command_that_is_shown_names_the_proxy_that_rest_goes_through_without_its_password() {
        let product = ProductId::new("BTC-USD").expect("a product");
        let mut config = CaptureConfig::new(Feed::Exchange, Feed::Exchange.default_url(), [product], "data".as_ref());
        let proxy = |url: &str| Proxy::parse(url).expect("a proxy");
        config.proxies = Proxies::all(proxy("proxy.example:3128"));
        assert_eq!(config.repair_command(), "coltape repair data --proxy http://proxy.example:3128");
        config.proxies = Proxies::all(proxy("socks5h://me:secret@[::1]:9"));
        assert_eq!(config.repair_command(), "coltape repair data --proxy 'socks5h://USER:PASSWORD@[::1]:9'");
        // Of two proxies the one of REST; and none where REST is left out.
        config.rest_url = Some("http://rest.example".to_owned());
        config.proxies = Proxies::by_scheme(Some(proxy("a:1")), Some(proxy("b:2")));
        assert_eq!(config.repair_command(), "coltape repair data --proxy http://b:2");
        config.proxies = config.proxies.except(NoProxy::parse("rest.example"));
        assert_eq!(config.repair_command(), "coltape repair data");
    }
}
