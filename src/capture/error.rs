//! [`CaptureError`]: why a capture could not start.

use std::io;
use std::path::PathBuf;

use crate::capture::net::connection_error::ConnectionError;
use crate::capture::product_list::ProductListError;
use crate::capture::write::route_error::RouteError;
use crate::feed::endpoint::EndpointError;
use crate::feed::rest::RestError;
use crate::product::ProductId;
use crate::store::StoreError;

/// What a user can do where memory maps are too few.
pub(super) const MAPS_ADVICE: &str = "raise vm.max_map_count (sysctl) or record fewer products";

/// Why a capture, or a part of it, could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system could not start a thread.
    #[error("thread {name}: {source}")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of `--record` cannot be made.
    #[error("--record {}: {source}", folder.display())]
    Record {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The WebSocket endpoint is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The extra root certificate is not there.
    #[error("--ca-file {}: no such file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
    },
    /// The system allows too few memory maps for so many products.
    #[error("{needed} memory maps are needed, {allowed} are allowed: {MAPS_ADVICE}")]
    Maps {
        /// Maps of one day.
        needed: u64,
        /// Maps that a process may have (`vm.max_map_count`).
        allowed: u64,
    },
    /// A limit of the process is too low for what is asked.
    #[error("{needed} {what} are needed, {allowed} are allowed: {remedy}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How many the process may have.
        allowed: u64,
        /// How many it may need.
        needed: u64,
        /// How the limit is raised.
        remedy: String,
    },
    /// A series is named in place of its product.
    #[error("{series} is a later series of {product}: name {product}, and its newest series is continued", product = .series.feed_name())]
    Series {
        /// The name.
        series: ProductId,
    },
    /// All products are to be recorded, and there is no list of them.
    #[error("--all: there is no list of the exchange's products: {why}; try again, or name the products")]
    NoListing {
        /// Why not.
        why: String,
    },
    /// The list of products cannot be used.
    #[error(transparent)]
    ProductList(#[from] ProductListError),
    /// The REST client cannot be set up.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Another capture holds the directory and could not be taken over from. It is left as it is.
    #[error("{} was not taken over from process {pid}, which is left as it is: {why}", path.display())]
    TakeOver {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, or a question mark.
        pid: String,
        /// Why not, and what can be done.
        why: String,
    },
    /// A product's writer could not be started.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A connection could not be started.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}
