//! Records, and rows that were computed, as one stream of bytes in one of several formats: what a server answers with.
//!
//! ```text
//!   days ──▶ day: open, identity, checks ──▶ chosen: which records, in which order ──▶ block ──▶ table ──▶ encoder: text | Arrow | Parquet ──▶ out
//!   rows of cells ─────────────────────────────────────────────────────────────────────────────────────────▲ rows
//! ```
//!
//! 1. The columns are those of [`super::table`], in every format. In text a time has six digits of a second, an order id is a UUID, and a number that no f64
//!    gives back is printed as it came.
//! 2. What is kept at once is a block of records, however long the answer is. A day is opened when its turn comes; one that still grows is opened at the
//!    beginning, so that all of it is of one moment.
//! 3. Days of trades are compared with their checksums before the first byte, once as long as their files stay the same. So are small days of tickers; a
//!    large one is compared before the next one begins, and before the stream ends. A large day of trades that does not grow is left to the caller,
//!    who has to [`check`] it before the end is told. So a stream that ends well has no altered byte.

#[cfg(feature = "export")]
mod arrow;
#[cfg_attr(not(feature = "export"), allow(dead_code, reason = "computed rows are columns in the formats that this build does not have"))]
mod cells;
mod chosen;
mod day;
mod encoder;
mod error;
mod format;
mod lines;
#[cfg(feature = "export")]
mod parquet;
mod records;
mod rows;
mod text;

pub(crate) use cells::CellKind;
pub(crate) use chosen::Order;
pub(crate) use day::{Budget, DayIdentity, check, check_still_there, count_records, look};
pub(crate) use error::StreamError;
pub(crate) use format::StreamFormat;
pub(crate) use lines::{BATCH_RECORDS, LineMaker, Lines};
pub(crate) use records::{ColumnChoice, RecordStream, Records, column_names};
pub(crate) use rows::{RowStream, write_empty, write_lines};
