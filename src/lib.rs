//! coltape records the Coinbase tape — every individual trade and every ticker update — into memory-mapped daily column files
//! that other programs read while they are written, and proves what it has.
//!
//! # The house
//!
//! A layer uses only the ones above it; `feed` and `store` never see each other; nobody uses `cli`. `tests/tidy.rs` checks it.
//!
//! | layer | room | what lives there |
//! |---|---|---|
//! | words | [`product`], [`time`], [`decimal`], [`record`], [`ids`] | plain values: no I/O, no threads |
//! | layout | [`schema`] | **the** table of datasets and columns |
//! | store | [`store`] | files and maps: a writable day, a read-only snapshot, the journal. Knows no JSON of Coinbase's and no socket |
//! | feed | [`feed`] | Coinbase: frames in, market messages out; sessions, continuity, REST. Knows no file |
//! | capture | [`capture`] | the threads; where feed and store meet |
//! | repair | [`repair`] | missing trades from other tapes and REST; the other place where feed and store meet |
//! | reading | [`stored`], [`json`] | records as they are stored, value by value; JSON lines of output: what the tools share |
//! | tools | [`query`], [`verify`] | the read side: store and words only |
//! | simulator | [`simulate`] | a local Coinbase; words only, shares no parser with `feed` |
//! | shell | [`cli`] | what was typed → checked settings → one call; prints, picks exit codes |
//!
//! # The threads of a capture
//!
//! | thread | owns | reads from | stops when |
//! |---|---|---|---|
//! | `line:l.n` | connection n of redundant line l, its decoder, its way to the queues | the socket | a stop is asked for |
//! | `hand:l.n` | nothing: it appends for writers that sleep | the queues that its connection calls it to | its connection has ended |
//! | `write:BTC-USD` | the product's open days and its chain of ids | its queue | its queue has ended and is empty |
//! | `fetch:n` | a REST client | what writers miss, in turns | the last writer is gone |
//! | `mend` | repairs asked for by `coltape repair` | request files | a stop is asked for |
//! | `sync` | what is durable | each day's `committed` | the last writer is gone, after a last flush |
//! | `provision` | allocations, tomorrow's files, seals | requests of writers | the last writer is gone, after the last seal |
//! | `journal` | journal, rejects, exact texts | a bounded channel | every other thread is gone |
//! | `record` | the frames' file (`--record`) | a bounded channel | the last line is gone |
//! | `watch` | alerts, the memory trend | all counters | the writers are gone |
//! | `log` | stderr's log lines (`cli`) | a bounded channel; what finds it full is counted | the process ends |
//! | `signals` | the wish to end (`cli`) | SIGTERM, SIGHUP | the process ends |
//! | `products` | `products.jsonl` | REST, at the start and when the list grows | it has its answer |
//!
//! # The files
//!
//! See [`store`], whose documentation is the format.

pub mod capture;
pub mod cli;
pub mod decimal;
pub mod feed;
pub mod ids;
pub mod json;
pub mod product;
pub mod query;
pub mod record;
pub mod repair;
pub mod schema;
pub mod simulate;
pub mod store;
pub mod stored;
pub mod time;
pub mod verify;

/// Holds the README's samples against the library.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
