//! `coltape repair` and `coltape backfill`: lost days and missing trades are taken from another box's tape, and missing trades are fetched from REST.
//!
//! ```text
//!   days that are not here ──▶ plan ──▶ facts     journal lines, texts and product data of the other tape
//!                                  └──▶ restore   the days as they are, sealed
//!   missing ids ──▶ tape    another tape, joined with this one: missing trades, missing order ids, differences
//!              └──▶ fetch   REST, as the plan says
//!                     └──▶ day writer   into their days; days sealed again, through the store's own crash-safe steps
//! ```
//!
//! 1. What is stored is never changed. Trades are added, and order ids where there were none. What differs is reported.
//! 2. Only what was looked at is claimed. What could not be fetched is missing, and the report says why.
//! 3. The directory's lock is held. Where a capture holds it, that capture is asked ([`crate::store::request`]).
//! 4. Ids are missing between stored ones, and outside of these where the journal or tickers name them (`known`).
//! 5. Tickers come in whole days only. They have no ids that could be missing, and nobody serves past ones.
//!
//! The capture uses `contribution`. Nothing here uses the capture.

pub(crate) mod backfill;
pub(crate) mod difference;
pub(crate) mod report;

pub(crate) mod contribution;

mod config;
mod day_index;
mod day_writer;
mod directory;
mod endpoint;
mod error;
pub(crate) mod facts;
mod fetch;
mod holder;
mod join;
mod journal;
mod known;
pub(crate) mod plan;
mod product_repair;
mod restore;
mod tape;

pub use config::{RepairConfig, RestConfig};
pub use directory::repair;
pub(crate) use endpoint::rest_url_of;
pub use error::{GaveUp, RepairError};
pub(crate) use holder::{Outcome, repair_or_ask};
