//! The command line as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::units;
use crate::feed::Feed;
use crate::product::ProductId;
use crate::simulate::GRAMMAR;
use crate::time::UnixNanos;

/// Records the Coinbase tape, every trade and every ticker, and proves that nothing is missing.
#[derive(Debug, Parser)]
#[command(name = "coltape", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record a feed into daily column files until told to stop
    Capture(CaptureArgs),
    /// Prove what can be proved of a data directory, live or at rest
    Verify(VerifyArgs),
    /// Read records back as a table, CSV or JSON Lines
    Query(QueryArgs),
    /// Get the trades that are missing, from other boxes' tapes and REST
    Repair(RepairArgs),
    /// Fetch a product's past by REST
    Backfill(BackfillArgs),
    /// Be a local Coinbase: both feeds and REST, for tests, demos and load
    Simulate(SimulateArgs),
}

/// One of Coinbase's feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeedArg {
    /// ws-feed.exchange.coinbase.com: order ids and sequences with every trade
    Exchange,
    /// advanced-trade-ws.coinbase.com: trades in batches, no order ids
    Advanced,
}

impl From<FeedArg> for Feed {
    fn from(arg: FeedArg) -> Self {
        match arg {
            FeedArg::Exchange => Self::Exchange,
            FeedArg::Advanced => Self::Advanced,
        }
    }
}

/// The columns kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColumnsArg {
    /// Core and extended columns
    Full,
    /// The fixed core alone
    Core,
}

/// The spelling of dates in file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DateFormatArg {
    /// 2025-06-07
    Iso,
    /// 07.06.25
    Dmy,
}

/// A dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DatasetArg {
    /// One record a ticker message
    Md,
    /// The last trade as the ticker saw it
    #[value(name = "ticker_trades")]
    TickerTrades,
    /// One record a trade
    Trades,
}

/// The option every command that reads or writes data takes.
#[derive(Debug, Args)]
pub struct DataDirArg {
    /// Where the column files are
    #[arg(long, env = "COLTAPE_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `coltape capture`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coltape capture BTC-USD ETH-USD --data-dir /mnt/md/data\n\n\
    Ctrl-C or SIGTERM: drain, flush, seal, exit 0. A second one: leave at once; the next start recovers.")]
pub struct CaptureArgs {
    /// Products to record, as Coinbase spells them: BTC-USD
    #[arg(value_name = "PRODUCT", required_unless_present = "products_file")]
    pub products: Vec<ProductId>,
    /// More products, one a line, # begins a remark; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub products_file: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub data_dir: DataDirArg,
    /// Which of Coinbase's feeds
    #[arg(long, value_enum, default_value_t = FeedArg::Exchange)]
    pub feed: FeedArg,
    /// WebSocket endpoint, wss:// or ws:// [default: the feed's]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// REST endpoint for missing trades and product data [default: the public one; none for an --url of your own]
    #[arg(long, value_name = "URL")]
    pub rest_url: Option<String>,
    /// Fetch no missing trades by REST
    #[arg(long)]
    pub no_backfill: bool,
    /// Fetch the trades since then too, so that a first day can be whole: RFC 3339 or a date
    #[arg(long, value_name = "TIME", value_parser = units::time, conflicts_with = "no_backfill")]
    pub backfill_from: Option<UnixNanos>,
    /// Requests to REST a second, over all products; the public limit is 10 an address
    #[arg(long, value_name = "N", default_value_t = crate::feed::fetch_plan::USUAL_REQUESTS_PER_S, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rest_rate: u32,
    /// How long trades behind a gap wait for what is missing, to be written in order
    #[arg(long, value_name = "D", default_value = "2s", value_parser = units::duration)]
    pub gap_wait: Duration,
    /// Redundant connections to the same feed, merged by trade id
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub lines: u8,
    /// Connections that never sleep: a record is visible within microseconds, at the price of two busy processors a connection
    #[arg(long)]
    pub spin: bool,
    /// Keep connections, their hands and writers on these processors, in turns: 2,3 or 2-5
    #[arg(long, value_name = "CPUS", value_parser = units::numbers)]
    pub pin: Option<units::Numbers>,
    /// An extra trusted root certificate, for a test endpoint
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// What to keep; md alone subscribes to no trades
    #[arg(long, value_enum, value_delimiter = ',', default_value = "md,ticker_trades,trades")]
    pub datasets: Vec<DatasetArg>,
    /// Which columns to keep
    #[arg(long, value_enum, default_value_t = ColumnsArg::Full)]
    pub columns: ColumnsArg,
    /// How file names spell dates
    #[arg(long, value_enum, default_value_t = DateFormatArg::Iso)]
    pub date_format: DateFormatArg,
    /// Products are spread over connections of at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub products_per_connection: u32,
    /// The flush cycle; a power cut loses at most two
    #[arg(long, value_name = "D", default_value = "1s", value_parser = units::positive_duration)]
    pub sync: Duration,
    /// Messages a product's queue holds; lowered, with a log line, where all would pass the memory budget
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    pub queue_capacity: u32,
    /// A connection that says nothing for so long is replaced
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::positive_duration)]
    pub idle_timeout: Duration,
    /// Keep the frames as received, in hourly files that `simulate --replay` reads
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// How long --record keeps its files
    #[arg(long, value_name = "D", default_value = "24h", value_parser = units::positive_duration)]
    pub record_keep: Duration,
    /// Stop by itself after so long
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    pub duration: Option<Duration>,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
    /// Write the closing figures to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `coltape verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit 0: everything holds (partial days included). Exit 1: something is wrong or missing.")]
pub struct VerifyArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub data_dir: DataDirArg,
    /// Only this product
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<ProductId>,
    /// Only this day
    #[arg(long, value_name = "DATE", value_parser = units::time)]
    pub date: Option<UnixNanos>,
    /// Hold every field against a simulator's ledger
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// One JSON object a line instead of the table
    #[arg(long)]
    pub json: bool,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Aligned, for people
    Table,
    /// Comma-separated, one header line
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// `coltape query`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape query BTC-USD --tail 10\n  coltape query BTC-USD --from 2025-06-07T12:00:00Z --to 2025-06-07T13:00:00Z --format csv\n  \
    coltape query ETH-USD --dataset md --columns time,best_bid_f64,best_ask_f64 --follow"
)]
pub struct QueryArgs {
    /// Which product
    #[arg(value_name = "PRODUCT")]
    pub product: ProductId,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub data_dir: DataDirArg,
    /// Which dataset
    #[arg(long, value_enum, default_value_t = DatasetArg::Trades)]
    pub dataset: DatasetArg,
    /// First event time, a date or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: Option<UnixNanos>,
    /// Event time to stop before
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    /// Columns to print, in this order [default: the dataset's, core then extended]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Print at most so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Print the last so many records
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    pub tail: Option<u64>,
    /// Go on with what is captured from now on
    #[arg(long)]
    pub follow: bool,
    /// Only trades that this order made or took
    #[arg(long, value_name = "UUID")]
    pub order: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// Print stored values: f32 as they are, order ids as hex
    #[arg(long)]
    pub raw: bool,
}

/// How REST is asked.
#[derive(Debug, Args)]
pub struct RestArgs {
    /// REST endpoint [default: Coinbase's own, where the directory was begun with Coinbase's own feed]
    #[arg(long, value_name = "URL")]
    pub rest_url: Option<String>,
    /// Requests per second, retries included; the public limit is 10 per address
    #[arg(long, value_name = "R", default_value_t = 8.0)]
    pub rest_rate: f64,
    /// An extra trusted root certificate, for a test endpoint
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
}

/// `coltape repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coltape repair /mnt/md/data --from /mnt/box2/data\n  coltape repair /mnt/md/data --dry-run\n\n\
    Trades that are missing are taken from the other tapes first (they have order ids), then from REST. Stored trades without order ids get those that \
    another tape knows. Late trades are put in their place. What two tapes tell differently is reported and never merged. Other tapes are only read; \
    they may be live. Where a capture holds the directory, it is asked to do the work.\n\n\
    Tickers cannot be repaired: they have no ids to tell what is missing by, and nobody serves past ones.\n\n\
    Exit 0: no id is missing between the first and the last, nothing disagrees. Exit 1: something does, or it failed.")]
pub struct RepairArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub data_dir: DataDirArg,
    /// Another box's data directory to take from; may be given several times, the first is asked first
    #[arg(long, value_name = "DIR")]
    pub from: Vec<PathBuf>,
    /// Only this product
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<ProductId>,
    /// Say what would be done; change nothing, ask nobody
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask REST
    #[arg(long, alias = "no-backfill")]
    pub no_rest: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub rest: RestArgs,
    /// Take from tapes that were begun with another endpoint, too
    #[arg(long)]
    pub any_endpoint: bool,
    /// How long a capture that holds the directory may take to answer
    #[arg(long, value_name = "D", default_value = "10m", value_parser = units::positive_duration)]
    pub answer_wait: Duration,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
}

/// `coltape backfill`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coltape backfill BTC-USD --from 2025-06-01 --to 2025-06-08 --data-dir /mnt/md/data\n\n\
    The trade before --from and the first one at or after --to are fetched too: with them `verify` can show the days between to be whole. What is stored \
    is not fetched again, so a backfill that was cut short goes on where it stopped. REST knows no order ids and no receive times; these trades are \
    marked as REST's. Tickers have no past that could be fetched.\n\n\
    Exit 0: everything asked for is stored. Exit 1: REST lacks some of it, something disagrees with what was stored, or it failed.")]
pub struct BackfillArgs {
    /// Which product
    #[arg(value_name = "PRODUCT")]
    pub product: ProductId,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub data_dir: DataDirArg,
    /// First event time, a date or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: UnixNanos,
    /// Event time to stop before [default: now]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "shown by its own type")]
    pub rest: RestArgs,
    /// The feed that a new directory will be captured from
    #[arg(long, value_enum, default_value_t = FeedArg::Exchange)]
    pub feed: FeedArg,
    /// Which columns new days get [default: as the product's newest day, else full]
    #[arg(long, value_enum)]
    pub columns: Option<ColumnsArg>,
    /// How file names of new days spell dates [default: as the product's newest day, else iso]
    #[arg(long, value_enum)]
    pub date_format: Option<DateFormatArg>,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
}

/// `coltape simulate`.
#[derive(Debug, Args)]
#[command(after_help = format!("Prints its endpoints as one JSON line when it is ready, and its totals as another when the market is over.\n\n\
    {GRAMMAR}\n\nExample:\n  coltape simulate --products 3 --rate 50 --duration 10s --ledger /tmp/ledger.jsonl"))]
pub struct SimulateArgs {
    /// Which feed to speak
    #[arg(long, value_enum, default_value_t = FeedArg::Exchange)]
    pub feed: FeedArg,
    /// Where the WebSocket listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Where REST listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub rest_listen: std::net::SocketAddr,
    /// A number of products, or their names: 3 or BTC-USD,ETH-USD
    #[arg(long, value_name = "N|A,B", default_value = "1")]
    pub products: String,
    /// Trades per second and product
    #[arg(long, value_name = "R", default_value_t = 10.0)]
    pub rate: f64,
    /// Send no tickers
    #[arg(long)]
    pub no_tickers: bool,
    /// Stop after so long, counted from when everything is subscribed
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    pub duration: Option<Duration>,
    /// How long to keep connections and REST open after that
    #[arg(long, value_name = "D", default_value = "300ms", value_parser = units::duration)]
    pub linger: Duration,
    /// Seed of prices, sizes and faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Where the event clock begins [default: now]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub start: Option<UnixNanos>,
    /// REST requests a second, over all clients, beyond which one is answered by 429 [default: no limit]
    #[arg(long, value_name = "N")]
    pub rest_limit: Option<u32>,
    /// Faults to make; see below
    #[arg(long, value_name = "SPEC", default_value = "")]
    pub faults: String,
    /// Write down every trade, ticker and fault, sent or not
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Serve a recorded session instead of a made-up market
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Pace of --replay, 1 being as recorded [default: as fast as possible]
    #[arg(long, value_name = "X", requires = "replay")]
    pub speed: Option<f64>,
    /// Speak TLS, with a certificate made for the run
    #[arg(long)]
    pub tls: bool,
}
