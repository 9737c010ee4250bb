//! coltape records the Coinbase tape, every trade and every ticker update, into memory-mapped daily column files that other programs read while they are
//! written. For each product and day it says what is stored, what is missing, and how it knows.
//!
//! # Where to go from here
//!
//! | you want to | read |
//! |---|---|
//! | read days that are being written, or that are over | [`guide::reading`], [`Tape`], [`Snapshot`] |
//! | record, from the shell | [`guide::operating`], or the README |
//! | record, query, verify or repair from a program | [`guide::library`] |
//! | export days for other programs | [`guide::export`] |
//! | give the tape to others over HTTP | [`guide::serving`] |
//! | see trades and gaps in a picture | [`plot`](fn@plot), [`PlotConfig`] |
//! | have clients of the exchange work on a tape | [`guide::exchange`] |
//! | know whether a capture is well | [`guide::operating`], [`capture_status`] |
//! | serve a tape over HTTP and WebSocket | [`Serving`], [`ServeConfig`] |
//! | move old days out of the way, and bring them back | [`guide::archive`], [`archive`](fn@archive) |
//! | record on several boxes | [`guide::scaling`] |
//! | have a Coinbase of your own for tests | [`Simulation`], [`guide::library`] |
//! | read the files without this library | [`guide::format`] |
//! | know what it costs | [`guide::figures`] |
//!
//! # A tape in one program
//!
//! A local Coinbase makes a market of one product, a capture records it, and a snapshot reads it back:
//!
//! ```
//! use coltape::{CaptureConfig, Feed, SimulateConfig, Simulation, Snapshot, Stop, Trades, VerifyConfig};
//! use std::time::Duration;
//!
//! let folder = tempfile::tempdir()?;
//! let mut config = SimulateConfig::default();
//! config.duration = Some(Duration::from_millis(200));
//! config.rate_per_product = 100.0;
//! let exchange = Simulation::start(config)?;
//!
//! let product = coltape::ProductId::new("BTC-USD")?;
//! let mut config = CaptureConfig::new(Feed::Exchange, &exchange.endpoints().websocket_url, [product.clone()], folder.path());
//! config.duration = Some(Duration::from_secs(1));
//! let summary = coltape::capture(&config, &Stop::default())?;
//! assert!(summary.balances());
//!
//! let date = coltape::dates(folder.path(), &product, coltape::Dataset::Trades)?[0];
//! let day = Snapshot::<Trades>::open(folder.path(), &product, date)?.ok_or("no such day")?;
//! assert!(day.rows().all(|trade| trade.price.as_f64 > 0.0));
//! # exchange.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Architecture
//!
//! A layer uses only the layers that its row names, which stand above it; `feed` and `store` never see each other; nobody uses `cli`. `tests/tidy` reads
//! this table and checks it.
//!
//! | layer | modules | uses | what is in it |
//! |---|---|---|---|
//! | words | `product`, `time`, `time_range`, `swar`, `decimal`, `record`, `ids`, `escape`, `names`, `progress`, `digits`, `verdict`, `exposition` | words | plain values: no I/O, no threads |
//! | layout | `schema` | words | **the** table of datasets and columns |
//! | store | `store` | words, layout | files and maps: a writable day, a read-only snapshot, the journal. Knows no JSON of Coinbase's and no socket |
//! | feed | `feed` | words, layout | Coinbase: frames in, market messages out; sessions, continuity, REST. Knows no file |
//! | reading | `stored`, `json`, `rows`, `history`, `tape`, `lookup` | words, layout, store, reading | a directory as a reader sees it, what its journal tells, stored records value by value, and JSON lines of output: what the tools share |
//! | proof | `verify` | words, layout, store, reading | what can be proved of a directory, its days and ranges of time |
//! | market | `market` | words, layout, store, reading, proof | which part of a time is known, exact sums, the quote before and after a trade |
//! | tools | `query`, `candles`, `stats`, `orders`, `plot`, `export` | words, layout, store, reading, proof, market, tools | the read side |
//! | archive | `archive` | words, layout, store, reading, proof, tools | days moved into a Parquet data set, and brought back |
//! | repair | `repair` | words, layout, store, feed, reading | missing trades from other tapes and REST |
//! | status | `status` | words, store, reading | what a running capture says of itself, in a file |
//! | capture | `capture` | words, layout, store, feed, status, repair | the threads; feed and store meet here |
//! | doctor | `doctor` | words, layout, store, feed, reading, status, capture | checks of a box, before a capture runs and while one does |
//! | server | `serve` | words, layout, store, reading, proof, market, tools, status, capture | the tape over HTTP and WebSocket, and the figures of a capture; shares no code with `feed` and `simulate` |
//! | simulator | `simulate` | words | a local Coinbase; shares no parser with `feed` |
//! | shell | `cli` | words, layout, store, feed, reading, proof, market, status, tools, archive, repair, capture, doctor, server, simulator | what was typed → checked settings → one call; prints, picks exit codes |
//! | tests | `internals` | words, layout, store, feed, reading, proof, tools, repair, capture, simulator, shell | what the tests reach beyond the library |
//! | pages | `guide` | | documentation only |
//!
//! # The threads of a capture
//!
//! | thread | owns | reads from | stops when |
//! |---|---|---|---|
//! | `line:l.n` | connection n of redundant line l, its decoder, its way to the queues | the socket | a stop is asked for |
//! | `delegate:l.n` | nothing: it appends for writers that sleep | the queues that its connection names | its connection has ended |
//! | `write:BTC-USD` | the product's open days and its chain of ids | its queue | its queue has ended and is empty |
//! | `fetch:n` | a REST client | the gaps of writers, in turns | the last writer is gone |
//! | `repair` | what `coltape repair`, `archive` and `restore` ask for | request files | a stop is asked for |
//! | `sync` | what is durable | each day's `committed` | the last writer is gone, after a last flush |
//! | `provision` | allocations, tomorrow's files, seals | requests of writers | the last writer is gone, after the last seal |
//! | `journal` | journal, rejects, exact texts | a bounded channel | every other thread is gone |
//! | `record` | the file of frames (`--record`) | a bounded channel | the last line is gone |
//! | `watch` | alerts, the memory trend, the status file | all counters | the writers are gone |
//! | `alert` | the process of `--alert-command` | a bounded channel; alerts that find it full are counted | the watch is over |
//! | `log` | stderr's log lines (`cli`) | a bounded channel; lines that find it full are counted | the process ends |
//! | `signals` | the request to end (`cli`) | SIGTERM, SIGHUP | the process ends |
//! | `listing` | the list of the exchange's products (`--all`) | a connection of its own, else REST | a stop is asked for |
//! | `doctor` | a check of `coltape doctor` that may wait for a disk or a server | nothing | it has its answer, or the process ends |
//! | `products` | `products.jsonl` | REST, at the start and when the list grows | it has its answer |
//!
//! # The threads of a server
//!
//! A capture with `--listen` has the first two as well.
//!
//! | thread | owns | reads from | stops when |
//! |---|---|---|---|
//! | `serve:wait` | connections that wait: heads that are not whole, idle and closing ones | the listener, those connections, a bounded channel of clients that were answered | a stop is asked for, and nobody is being answered |
//! | `serve:N` | a client, while it is answered | its socket, snapshots of the tape | the answer is over |
//! | `live:BTC-USD` | the newest events of a product and dataset, for event streams | the tape, as it grows | the server stops, or ten minutes without a client |
//! | `serve:live` | the newest messages of all products, for WebSockets | the tape, as it grows | the server ends |

// They panic where a stream is closed or full. `cli::output` writes instead.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod archive;
mod candles;
mod capture;
mod cli;
mod decimal;
mod digits;
mod doctor;
mod escape;
mod export;
mod exposition;
mod feed;
pub mod guide;
mod history;
mod ids;
#[doc(hidden)]
pub mod internals;
mod json;
mod lookup;
mod market;
mod names;
mod orders;
mod plot;
mod product;
mod progress;
mod query;
mod record;
mod repair;
mod rows;
mod schema;
mod serve;
mod simulate;
mod stats;
mod status;
mod store;
mod stored;
mod swar;
mod tape;
mod time;
mod time_range;
mod verdict;
mod verify;

pub use archive::{ArchiveConfig, ArchiveError, ArchiveReport, MovedDay, RestoreConfig, Shortfall, archive, restore};
pub use candles::print_candles;
pub use capture::report::alerts::StandingAlert;
pub use capture::report::connection_state::ConnectionOutage;
pub use capture::report::shortcoming::Shortcoming;
pub use capture::report::summary::Summary;
pub use capture::run as capture;
pub use capture::run_with_view as capture_with_view;
pub use capture::stop::Stop;
pub use capture::{AlertConfig, CaptureConfig, CaptureError, CaptureView, RecordConfig, ServiceManager};
pub use decimal::Decimal;
pub use export::{
    ExportCompression, ExportConfig, ExportEncoding, ExportError, ExportFailure, ExportFormat, ExportTypes, Exported, export,
};
pub use feed::Feed;
pub use feed::proxy::{NoProxy, Proxies, Proxy, ProxyUrlError};
pub use feed::tls::TlsRoots;
pub use ids::{IdRange, IdSet};
pub use market::{
    Basis, Candle, Candles, Coverage, CoveredDay, Doubt, Fill, Interval, LargeTrade, MarketError, MissingIds, Order, Orders, OrdersBasis,
    Quote, Significant, Stats, StatsOf, StoredTrade,
};
pub use orders::print_orders;
pub use plot::{PlotConfig, PlotError, PlotPart, Theme, plot};
pub use product::ProductId;
pub use progress::{Observer, Step};
pub use query::{Format, QueryConfig, QueryError, QuestionError, query};
pub use record::{Means, OrderId, Origin, Record, Side, Ticker, Trade};
pub use repair::backfill::{BackfillConfig, Backfilled, Progress, backfill};
pub use repair::report::{BroughtDay, DayWork, Report as RepairReport};
pub use repair::{GaveUp, RepairConfig, RepairError, RestConfig, repair};
pub use schema::{Column, ColumnSet, Dataset, Datasets, Kind, Layout, Md, TickerTrades, Trades};
pub use serve::{Monitoring, ServeConfig, ServeError, Serving};
pub use simulate::{Cut, Endpoints, Faults, FaultsError, Replay, SimulateConfig, SimulateError, SimulatedFeed, Simulation, Totals};
pub use stats::print_stats;
pub use status::{
    CaptureStatus, Disk, DownConnection, Health, LagMillis, LastError, ProductStatus, Queue, RaisedAlert, RunState, StatusError,
    StatusReport, look as capture_status,
};
pub use store::catalog::{days as dates, products};
pub use store::{ColumnError, ColumnValue, DayKey, DayState, Fault as DayFault, Rows, Run, Snapshot, StoreError};
pub use tape::follow::{Arrival, Arrivals, Follow};
pub use tape::{ArchivedSpan, DayPart, DayParts, Tape, TapeError};
pub use time::{Clock, DateFormat, UnixNanos, UtcDay};
pub use time_range::TimeRange;
pub use verdict::Verdict;
pub use verify::{
    DatasetDay, DayCoverage, DaySums, Finding, FindingKind, Findings, Gap, LedgerError, LedgerLineError, LedgerSums, Link, Location,
    Pairing, ProductDay, Report as VerifyReport, VerifyConfig, VerifyError, verify,
};

/// Runs the README's samples as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
