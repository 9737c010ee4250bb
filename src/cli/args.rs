//! The command line as it is typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::alert_args::AlertArgs;
use super::archive::{ArchiveArgs, RestoreArgs};
use super::candles::CandlesArgs;
use super::capture_help::capture_help;
use super::data_dir::DataDirArg;
use super::doctor::DoctorArgs;
use super::export_help::EXPORT_HELP;
use super::orders::OrdersArgs;
use super::plot::PlotArgs;
use super::query::QueryArgs;
use super::serve::ServeArgs;
use super::shell_args::{CompletionsArgs, ManArgs};
use super::stats::StatsArgs;
use super::units;
use super::values::{ALL_DATASETS, EXPORT_DATASETS, Span, VERSION_AND_COMMIT, currency, positive_span, threads};
use super::verify_help::VERIFY_HELP;
use crate::capture::config::defaults;
use crate::export::{ExportCompression, ExportEncoding, ExportFormat, ExportTypes};
use crate::feed::Feed;
use crate::feed::parse_check::CAN_CHECK;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::simulate::GRAMMAR;
use crate::time::{DateFormat, UnixNanos};

/// Records the Coinbase tape, every trade and every ticker, and proves that nothing is missing.
#[derive(Debug, Parser)]
#[command(name = "coltape", version, long_version = VERSION_AND_COMMIT.as_str(), max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record a feed into daily column files until it is stopped
    Capture(Box<CaptureArgs>),
    /// Check everything that can be proved about a data directory, live or at rest
    Verify(VerifyArgs),
    /// Read records back as a table, CSV or JSON Lines
    Query(QueryArgs),
    /// Add trades up in buckets of time: open, high, low, close, volume, VWAP
    Candles(CandlesArgs),
    /// Show a range of time in figures, and its significant trades
    Stats(StatsArgs),
    /// Put the fills of takers' orders together, with the quotes before and after them
    Orders(OrdersArgs),
    /// Fetch missing trades from the tapes of other machines and from REST
    Repair(RepairArgs),
    /// Fetch a product's past trades by REST
    Backfill(BackfillArgs),
    /// Draw trades, quotes and volume as an SVG picture
    Plot(PlotArgs),
    /// Show whether a capture runs, and what it is doing
    Status(StatusArgs),
    /// Write days as Parquet, Arrow or CSV files that other programs read, and keep them up to date
    Export(ExportArgs),
    /// Serve a data directory over HTTP and WebSocket
    Serve(ServeArgs),
    /// Move old days into a Parquet data set that can be brought back, and free their space
    Archive(ArchiveArgs),
    /// Bring archived days back, equal byte for byte
    Restore(RestoreArgs),
    /// Run a local Coinbase, with both feeds and REST, for tests, demos and load
    Simulate(SimulateArgs),
    /// Check a box before a capture runs and while one does, and say what to change
    Doctor(DoctorArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print a man page, or write all of them
    Man(ManArgs),
}

/// `coltape capture`.
#[derive(Debug, Args)]
#[command(after_help = capture_help())]
pub(crate) struct CaptureArgs {
    /// Products to record, as Coinbase spells them: BTC-USD
    #[arg(value_name = "PRODUCT", required_unless_present_any = ["products_file", "all"])]
    pub products: Vec<ProductId>,
    /// Record every online product that the exchange's `status` channel lists, new listings included. What is delisted is given up and sealed
    #[arg(long)]
    pub all: bool,
    /// Only those that are quoted in these currencies: USD,EUR
    #[arg(long, value_name = "CURRENCIES", value_delimiter = ',', value_parser = currency, requires = "all")]
    pub quote: Vec<String>,
    /// A file with more products, one per line; # begins a comment. It is read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub products_file: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Which of Coinbase's feeds
    #[arg(long, value_enum, default_value_t)]
    pub feed: Feed,
    /// WebSocket endpoint, wss:// or ws:// [default: the feed's]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// REST endpoint for missing trades and product data [default: Coinbase's public one, or none if --url is given]
    #[arg(long, value_name = "URL")]
    pub rest_url: Option<String>,
    /// Do not fetch missing trades by REST
    #[arg(long)]
    pub no_backfill: bool,
    /// Also fetch the trades since this time, so that a first day can be whole: RFC 3339, a date, or how long ago: 7d
    #[arg(long, value_name = "TIME", value_parser = units::time, conflicts_with = "no_backfill")]
    pub backfill_from: Option<UnixNanos>,
    /// REST requests per second, over all products; the public limit is 10 per address
    #[arg(long, value_name = "N", default_value_t = defaults::REST_REQUESTS_PER_S, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rest_rate: u32,
    /// How long trades behind a gap wait for the missing ones, so that all are written in order
    #[arg(long, value_name = "D", default_value_t = Span(defaults::GAP_WAIT))]
    pub gap_wait: Span,
    /// Redundant connections to the same feed, merged by trade id
    #[arg(long, value_name = "N", default_value_t = defaults::LINES, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub lines: u8,
    /// Let connections poll instead of sleeping. A record is visible within microseconds; each connection keeps two processors busy
    #[arg(long)]
    pub spin: bool,
    /// Run connections and writers on these processors, used in turn: 2,3 or 2-5
    #[arg(long, value_name = "CPUS", value_parser = units::numbers)]
    pub pin: Option<units::Numbers>,
    /// An extra root certificate to trust, for a test endpoint
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// Proxy for WebSocket and REST, http:// or socks5h:// [default: HTTPS_PROXY, else ALL_PROXY; hosts of NO_PROXY are left out]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Which datasets to keep; with md alone, trades are not subscribed to
    #[arg(long, value_enum, value_delimiter = ',', default_value = ALL_DATASETS.as_str())]
    pub datasets: Vec<Dataset>,
    /// Which columns to keep
    #[arg(long, value_enum, default_value_t)]
    pub columns: ColumnSet,
    /// How file names spell dates
    #[arg(long, value_enum, default_value_t)]
    pub date_format: DateFormat,
    /// Most products of one connection; more products get more connections
    #[arg(long, value_name = "N", default_value_t = defaults::PRODUCTS_PER_CONNECTION, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub products_per_connection: u32,
    /// Time between two flushes, nearly twice as long where little comes; a power cut loses at most twice as much
    #[arg(long, value_name = "D", default_value_t = Span(defaults::SYNC_INTERVAL), value_parser = positive_span)]
    pub sync: Span,
    /// Most messages in the queue of one product; lowered, with a log line, where all queues would exceed the memory budget
    #[arg(long, value_name = "N", default_value_t = defaults::QUEUE_CAPACITY_MSGS, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    pub queue_capacity: u32,
    /// Replace a connection that is silent for this long
    #[arg(long, value_name = "D", default_value_t = Span(defaults::IDLE_TIMEOUT), value_parser = positive_span)]
    pub idle_timeout: Span,
    /// Record the frames as received, in hourly files that `simulate --replay` reads
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// How long --record keeps a file
    #[arg(long, value_name = "D", default_value_t = Span(defaults::RECORD_KEEP), value_parser = positive_span)]
    pub record_keep: Span,
    /// Stop after this time
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    pub duration: Option<Duration>,
    /// Read each message by its shape and by the parser alone, and compare: exit 1 if they differ. For tests; debug builds only
    #[arg(long, hide = !CAN_CHECK)]
    pub check_parse: bool,
    /// If a capture holds the directory, replace it: connect first, ask it to end, go on where it has stopped. If it does not end within 30 s, it is left
    /// as it is, and this one exits with 1
    #[arg(long)]
    pub take_over: bool,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
    /// Write the closing figures to a file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub alerts: AlertArgs,
}

/// `coltape verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct VerifyArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Only this product
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<ProductId>,
    /// Only this day
    #[arg(long, value_name = "DATE", value_parser = units::time)]
    pub date: Option<UnixNanos>,
    /// Compare every field with a simulator's ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Print one JSON object per line instead of the table
    #[arg(long)]
    pub json: bool,
}

/// `coltape status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape status /mnt/md/data\n  coltape status /mnt/md/data --watch\n  coltape status --json | jq .missing_ids\n\n\
    A running capture writes _coltape/status.json once a second; no port is needed. Its file counts only while the capture holds the directory and goes on \
    writing. The guide to operating lists the keys.\n\n\
    Exit 0: a capture runs and is healthy. Exit 1: a capture runs and something is wrong: an alert stands, a connection is down, trade ids are missing, it \
    is starting or stopping, or it has said nothing for 10 s; or DIR is no data directory. Exit 3: no capture runs. Exit 2: the command line is wrong."
)]
pub(crate) struct StatusArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Print one JSON object instead of the screen
    #[arg(long)]
    pub json: bool,
    /// Show it again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// `coltape export`.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// The folder of the data set: new, empty, or one of an earlier export
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The format of the files
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Only these products [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub products: Vec<ProductId>,
    /// First event time, a date or RFC 3339; where files are by day of receipt, first time of receipt
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: Option<UnixNanos>,
    /// Event time to stop before, likewise
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    /// Which datasets
    #[arg(long, value_enum, value_delimiter = ',', default_value = EXPORT_DATASETS.as_str())]
    pub dataset: Vec<Dataset>,
    /// The types of the columns of Parquet and Arrow files
    #[arg(long, value_enum, default_value_t)]
    pub types: ExportTypes,
    /// The encoding of Parquet columns
    #[arg(long, value_enum, default_value_t)]
    pub encoding: ExportEncoding,
    /// The compression of Parquet pages
    #[arg(long, value_enum, default_value_t)]
    pub compression: ExportCompression,
    /// Add Bloom filters of the order ids to Parquet files. Not for DuckDB 1.5, which reads such filters wrongly and then finds no order; 2.0 does
    #[arg(long)]
    pub bloom: bool,
    /// Also export days that still grow, as far as they go
    #[arg(long)]
    pub live: bool,
    /// How many threads work [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub jobs: Option<NonZeroUsize>,
}

/// The options of the commands that fetch by REST.
#[derive(Debug, Args)]
pub(crate) struct RestArgs {
    /// REST endpoint [default: Coinbase's public one, if the directory was begun with Coinbase's own feed]
    #[arg(long, value_name = "URL")]
    pub rest_url: Option<String>,
    /// Requests per second, retries included; the public limit is 10 per address
    #[arg(long, value_name = "R", default_value_t = 8.0)]
    pub rest_rate: f64,
    /// An extra root certificate to trust, for a test endpoint
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// Proxy for REST, http:// or socks5h:// [default: HTTPS_PROXY, else ALL_PROXY; hosts of NO_PROXY are left out]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
}

/// `coltape repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coltape repair /mnt/md/data --from /mnt/box2/data\n  coltape repair /mnt/md/data --dry-run\n\n\
    Missing trades are taken from the other tapes first, which have order ids, then from REST. Stored trades without order ids get them from another \
    tape. Late trades are put in their place. Where two tapes disagree, the difference is reported and never merged. Other tapes are only read; they \
    may be live. If a capture holds the directory, it is asked to do the work.\n\n\
    Products and days that only another tape has are brought whole, tickers too, with what its journal says of them. So a lost directory is restored: \
    DIR need not exist. A day whose checksums do not hold there is named and not brought. Tickers of a day that is here are never merged: not all \
    feeds send ids with them, so it is not known which are missing.\n\n\
    Exit 0: no id is missing between the first and the last, nothing disagrees, and all that another tape has is here. Exit 1: an id is missing, \
    something disagrees, a day could not be brought, or the repair failed.")]
pub(crate) struct RepairArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Data directory of another machine to take trades from; may be given several times, the first is used first
    #[arg(long, value_name = "DIR")]
    pub from: Vec<PathBuf>,
    /// Only this product
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<ProductId>,
    /// Print what would be done; change nothing, ask no server
    #[arg(long)]
    pub dry_run: bool,
    /// Do not use REST
    #[arg(long, alias = "no-backfill")]
    pub no_rest: bool,
    #[command(flatten)]
    pub rest: RestArgs,
    /// Also take trades from tapes that were begun with another endpoint
    #[arg(long)]
    pub any_endpoint: bool,
    /// How long to wait for the answer of a capture that holds the directory
    #[arg(long, value_name = "D", default_value = "10m", value_parser = units::positive_duration)]
    pub answer_wait: Duration,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
}

/// `coltape backfill`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coltape backfill BTC-USD --from 2025-06-01 --to 2025-06-08 --data-dir /mnt/md/data\n\n\
    The last trade before --from and the first one at or after --to are fetched too: with them `verify` can show that the days between are whole. \
    Trades that are stored are not fetched again, so a backfill that was interrupted goes on where it stopped. REST has no order ids and no receive \
    times; these trades are marked as from REST. Past tickers cannot be fetched.\n\n\
    Exit 0: everything asked for is stored. Exit 1: REST does not have some of it, something disagrees with what was stored, or the backfill failed.")]
pub(crate) struct BackfillArgs {
    /// Which product
    #[arg(value_name = "PRODUCT")]
    pub product: ProductId,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// First event time: RFC 3339, a date (its midnight in UTC), or how long ago: 7d, 36h
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: UnixNanos,
    /// Event time to stop before [default: now]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    #[command(flatten)]
    pub rest: RestArgs,
    /// The feed that a new directory is for
    #[arg(long, value_enum, default_value_t)]
    pub feed: Feed,
    /// Which columns new days get [default: those of the product's newest day, or full]
    #[arg(long, value_enum)]
    pub columns: Option<ColumnSet>,
    /// How file names of new days spell dates [default: as those of the product's newest day, or iso]
    #[arg(long, value_enum)]
    pub date_format: Option<DateFormat>,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
}

/// `coltape simulate`.
#[derive(Debug, Args)]
#[command(after_help = format!("Prints its endpoints as one JSON line when it is ready, and its totals as another when the market is over.\n\n\
    {GRAMMAR}\n\nExample:\n  coltape simulate --products 3 --rate 50 --duration 10s --ledger /tmp/ledger.jsonl"))]
pub(crate) struct SimulateArgs {
    /// Which feed to simulate
    #[arg(long, value_enum, default_value_t)]
    pub feed: Feed,
    /// Address of the WebSocket server; port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Address of the REST server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub rest_listen: std::net::SocketAddr,
    /// A number of products, or their names: 3 or BTC-USD,ETH-USD
    #[arg(long, value_name = "N|A,B", default_value = "1")]
    pub products: String,
    /// Trades per second and product
    #[arg(long, value_name = "R", default_value_t = 10.0)]
    pub rate: f64,
    /// Spread the trades of each product evenly over time, and the products over the second, each trade with its ticker: no bursts
    #[arg(long, conflicts_with = "replay")]
    pub spread: bool,
    /// Send no tickers
    #[arg(long)]
    pub no_tickers: bool,
    /// End the market after this time, counted from when everything is subscribed
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    pub duration: Option<Duration>,
    /// How long to keep connections and REST open after that
    #[arg(long, value_name = "D", default_value = "300ms", value_parser = units::duration)]
    pub linger: Duration,
    /// Seed of prices, sizes and faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// First event time [default: now]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub start: Option<UnixNanos>,
    /// REST requests per second, over all clients; more are answered with 429 [default: no limit]
    #[arg(long, value_name = "N")]
    pub rest_limit: Option<u32>,
    /// Faults to inject; see below
    #[arg(long, value_name = "SPEC", default_value = "")]
    pub faults: String,
    /// Write every trade, ticker and fault to a file, sent or not
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Replay a recorded session instead of simulating a market
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Speed of --replay, 1 is as recorded [default: as fast as possible]
    #[arg(long, value_name = "X", requires = "replay")]
    pub speed: Option<f64>,
    /// Use TLS, with a certificate made for this run
    #[arg(long)]
    pub tls: bool,
}
