//! `coltape doctor`: prints what the doctor has found, a line for each check. The exit code says whether a line is red.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::data_dir::DataDirArg;
use super::outcome::{DONE, FAILED, Failure};
use super::values::{ALL_DATASETS, Span, positive_span};
use super::{output, proxy};
use crate::capture::CaptureConfig;
use crate::capture::config::defaults;
use crate::capture::product_list::read_products;
use crate::doctor::{Colour, DoctorConfig, Finding, examine, remembered_endpoint};
use crate::escape::Escaped;
use crate::feed::Feed;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};

/// The widest column of what was found; what is longer moves the next column.
const MAX_WIDTH: usize = 72;

/// `coltape doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape doctor BTC-USD ETH-USD --data-dir /mnt/md/data\n  coltape doctor --count 400 --data-dir /mnt/md/data\n  \
    coltape doctor --data-dir /mnt/md/data --json | jq -r 'select(.verdict == \"red\") | .change'\n\n\
    Give it the options that the capture has or will have. It can run before a capture and beside one; nothing is changed. Where no product is named, those \
    count that the directory holds. Where no endpoint is named, it is the one that the directory was begun with.\n\n\
    green: it is as it should be. yellow: a capture runs, but something would be better otherwise, or could not be found out. red: a capture does not run \
    here, or loses something.\n\n\
    Exit 0: no line is red. Exit 1: a line is red. Exit 2: the command line is wrong."
)]
pub(crate) struct DoctorArgs {
    /// Products to be recorded, as Coinbase spells them: BTC-USD
    #[arg(value_name = "PRODUCT")]
    pub products: Vec<ProductId>,
    /// A file with more products, one per line
    #[arg(long, value_name = "FILE")]
    pub products_file: Option<PathBuf>,
    /// Judge for so many products, without naming them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub count: Option<u32>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Which of Coinbase's feeds [default: the directory's, or exchange]
    #[arg(long, value_enum)]
    pub feed: Option<Feed>,
    /// WebSocket endpoint, wss:// or ws:// [default: the directory's, or the feed's]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// REST endpoint [default: Coinbase's public one, or none if another --url is used]
    #[arg(long, value_name = "URL")]
    pub rest_url: Option<String>,
    /// An extra root certificate to trust, for a test endpoint
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// Proxy for WebSocket and REST, http:// or socks5h:// [default: HTTPS_PROXY, else ALL_PROXY; hosts of NO_PROXY are left out]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Which datasets are kept
    #[arg(long, value_enum, value_delimiter = ',', default_value = ALL_DATASETS.as_str())]
    pub datasets: Vec<Dataset>,
    /// Which columns are kept
    #[arg(long, value_enum, default_value_t)]
    pub columns: ColumnSet,
    /// Redundant connections to the same feed
    #[arg(long, value_name = "N", default_value_t = defaults::LINES, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub lines: u8,
    /// Most products of one connection
    #[arg(long, value_name = "N", default_value_t = defaults::PRODUCTS_PER_CONNECTION, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub products_per_connection: u32,
    /// The capture writes to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
    /// Do not ask the endpoints
    #[arg(long)]
    pub offline: bool,
    /// How long one check may take
    #[arg(long, value_name = "D", default_value = "10s", value_parser = positive_span)]
    pub timeout: Span,
    /// Print one JSON object per line instead of the table: check, verdict, found, change
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] where a list or a proxy cannot be used, [`Failure::Failed`] where stdout takes no more.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let findings = examine(&config(args)?);
    let text: String = if args.json { findings.iter().map(|finding| finding.json() + "\n").collect() } else { table(&findings) };
    let mut out = io::stdout().lock();
    output::checked(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    Ok(if findings.iter().any(|finding| finding.colour == Colour::Red) { FAILED } else { DONE })
}

fn config(args: &DoctorArgs) -> Result<DoctorConfig, Failure> {
    let mut products: BTreeSet<ProductId> = args.products.iter().cloned().collect();
    if let Some(path) = &args.products_file {
        products.extend(read_products(path).map_err(|error| Failure::Usage(format!("--products-file {error}")))?);
    }
    let remembered = remembered_endpoint(&args.data_dir.data_dir, args.timeout.0);
    let (feed, url) = endpoint(args, remembered.as_deref());
    let mut capture = CaptureConfig::new(feed, &url, products, &args.data_dir.data_dir);
    capture.rest_url = args.rest_url.clone().or_else(|| (url == feed.default_url()).then(|| feed.default_rest_url().to_owned()));
    let urls: Vec<&str> = [Some(url.as_str()), capture.rest_url.as_deref()].into_iter().flatten().collect();
    capture.proxies = proxy::proxies(args.proxy.as_deref(), &urls)?;
    capture.ca_file.clone_from(&args.ca_file);
    capture.datasets = args.datasets.iter().copied().collect();
    capture.columns = args.columns;
    capture.lines = args.lines;
    capture.products_per_connection = usize::try_from(args.products_per_connection).unwrap_or(usize::MAX);
    capture.force_fs = args.force_fs;
    let count = args.count.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(DoctorConfig { capture, count, asks_network: !args.offline, timeout: args.timeout.0 })
}

/// Chooses the endpoint: the one that is named, else the one that the directory was begun with, else the feed's.
fn endpoint(args: &DoctorArgs, remembered: Option<&str>) -> (Feed, String) {
    let read = |text: &str| {
        let (name, url) = text.split_once(' ')?;
        Some((Feed::ALL.into_iter().find(|feed| feed.name() == name)?, url.to_owned()))
    };
    let remembered = remembered.and_then(read).filter(|(feed, _)| args.feed.is_none_or(|asked| asked == *feed));
    let feed = args.feed.or(remembered.as_ref().map(|(feed, _)| *feed)).unwrap_or_default();
    let url = args.url.clone().or(remembered.map(|(_, url)| url));
    (feed, url.unwrap_or_else(|| feed.default_url().to_owned()))
}

fn table(findings: &[Finding]) -> String {
    let shown: Vec<[String; 4]> = findings
        .iter()
        .map(|finding| [finding.check, finding.colour.name(), &finding.found, &finding.change].map(|text| Escaped(text).to_string()))
        .collect();
    let head = ["check", "verdict", "found", "what to change"].map(str::to_owned);
    let rows: Vec<&[String; 4]> = [&head].into_iter().chain(&shown).collect();
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count());
        widths.filter(|width| *width <= MAX_WIDTH).max().unwrap_or(0)
    };
    let (first, second, third) = (width(0), width(1), width(2));
    let line = |[check, verdict, found, change]: &[String; 4]| {
        format!("{check:first$}  {verdict:second$}  {found:third$}  {change}").trim_end().to_owned() + "\n"
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::*;

    fn args(words: &[&str]) -> DoctorArgs {
        match Cli::try_parse_from([&["coltape", "doctor"], words].concat()).expect("a command line").command {
            Command::Doctor(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_endpoint_is_the_named_one_then_the_directorys_then_the_feeds() {
        let of = |words: &[&str], remembered| endpoint(&args(words), remembered);
        let exchange = Feed::Exchange.default_url().to_owned();
        assert_eq!(of(&[], None), (Feed::Exchange, exchange.clone()));
        assert_eq!(of(&[], Some("advanced ws://a")), (Feed::Advanced, "ws://a".to_owned()));
        assert_eq!(of(&["--url", "ws://b"], Some("advanced ws://a")), (Feed::Advanced, "ws://b".to_owned()));
        assert_eq!(of(&["--feed", "exchange"], Some("advanced ws://a")), (Feed::Exchange, exchange.clone()));
        assert_eq!(of(&["--feed", "advanced"], None), (Feed::Advanced, Feed::Advanced.default_url().to_owned()));
        assert_eq!(of(&[], Some("nonsense")), (Feed::Exchange, exchange));
    }

    #[test]
    fn a_table_has_a_line_for_each_finding_and_escapes_what_came_from_outside() {
        let findings = [
            Finding::green("kernel", "Linux"),
            Finding::red("name", "a\n\u{1b}[31m", "check it"),
            Finding::yellow("space", "x".repeat(200), "free some"),
        ];
        let text = table(&findings);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r"a\n\u{1b}[31m") && !text.contains('\u{1b}'), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')) && text.starts_with("check   verdict  found"), "{text}");
    }
}
