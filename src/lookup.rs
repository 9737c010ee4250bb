//! Finds what a command names in a data directory: the tape, a product, its days of a range of time that have a record.
//!
//! Every command that reads asks here first. So a mistake is told by all of them in the same words, in one line that says what is there instead and what to
//! do. Nothing is changed, and no record is read.

use std::path::Path;

use crate::product::ProductId;
use crate::schema::{Dataset, with_layout};
use crate::store::{DayKey, Snapshot, catalog};
use crate::tape::Tape;
pub(crate) use crate::tape::TapeError as LookupError;
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Checks that a range of time is not empty.
///
/// # Errors
/// [`LookupError::EmptyRange`].
pub(crate) fn check_range(from: Option<UnixNanos>, to: Option<UnixNanos>) -> Result<(), LookupError> {
    let range = TimeRange { from, to };
    if range.is_empty() { Err(LookupError::EmptyRange { range }) } else { Ok(()) }
}

/// Checks that a directory is one that a capture wrote.
///
/// # Errors
/// [`LookupError::NoTape`]; [`LookupError::Store`] where it cannot be read.
pub(crate) fn check_tape(dir: &Path) -> Result<(), LookupError> {
    Tape::open(dir).map(drop)
}

/// Checks that a directory is one that a capture wrote, and has a product.
///
/// # Errors
/// As [`check_tape`]; [`LookupError::NoProduct`].
pub(crate) fn check_product(dir: &Path, product: &ProductId) -> Result<(), LookupError> {
    let known = Tape::open(dir)?.products()?;
    if known.contains(product) {
        return Ok(());
    }
    Err(LookupError::NoProduct { path: dir.to_owned(), product: product.clone(), known })
}

/// Lists the days of a product's dataset that a range of time touches, in order. At least one of them has a record.
///
/// # Errors
/// Where the range is empty, the directory is no tape, or it has no such records. See [`LookupError`].
pub(crate) fn days(
    dir: &Path,
    product: &ProductId,
    dataset: Dataset,
    from: Option<UnixNanos>,
    to: Option<UnixNanos>,
) -> Result<Vec<UtcDay>, LookupError> {
    check_range(from, to)?;
    let days = Tape::open(dir)?.days_in(product, dataset, TimeRange { from, to })?;
    if days.iter().any(|date| has_records(dir, product, dataset, *date)) {
        return Ok(days);
    }
    Err(LookupError::EmptyDays { product: product.clone(), dataset })
}

/// Makes the error that says what a directory holds instead of records of a product's dataset.
///
/// # Errors
/// Where the directory is no tape, or a folder cannot be read.
pub(crate) fn nothing_stored(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<LookupError, LookupError> {
    let tape = Tape::open(dir)?;
    let (known, datasets) = (tape.products()?, tape.datasets(product)?);
    if datasets.contains(&dataset) {
        return Ok(LookupError::EmptyDays { product: product.clone(), dataset });
    }
    Ok(LookupError::NothingStored { path: dir.to_owned(), product: product.clone(), dataset, known, datasets })
}

/// Tells whether a day has a record. One that cannot be opened counts: whoever reads it says why it cannot.
fn has_records(dir: &Path, product: &ProductId, dataset: Dataset, date: UtcDay) -> bool {
    with_layout!(dataset, L => match Snapshot::<L>::open(dir, product, date) {
        Ok(Some(day)) => day.count() > 0,
        Ok(None) => catalog::must_be_empty(dir, &DayKey { product: product.clone(), dataset, date }).is_err(),
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::schema::{Layout, Trades};
    use crate::store::{DataDir, Day, StoreOptions};

    fn day(text: &str) -> UtcDay {
        UtcDay::parse(text).expect("a day")
    }

    /// A tape with a trade on one day, and the empty files of the day after.
    fn tape() -> (tempfile::TempDir, ProductId) {
        let dir = tempfile::tempdir().expect("a folder");
        let product = ProductId::new("BTC-USD").expect("a product");
        let data = Arc::new(DataDir::open(dir.path(), StoreOptions::default(), "").expect("a directory"));
        let noon = UnixNanos(day("2025-06-07").start().0 + 43_200_000_000_000);
        let (mut written, _) = Day::<Trades>::open(&data, &product, day("2025-06-07"), noon).expect("a day");
        let mut trade = <Trades as Layout>::EMPTY;
        (trade.trade_id, trade.time) = (1, noon);
        written.insert(&trade).expect("stored");
        written.commit();
        Day::<Trades>::prepare(&data, &product, day("2025-06-08"), 16).expect("made ahead");
        (dir, product)
    }

    fn said(dir: &Path, product: &str, dataset: Dataset, from: Option<&str>, to: Option<&str>) -> String {
        let at = |text: Option<&str>| text.map(|text| day(text).start());
        let product = ProductId::new(product).expect("a product");
        days(dir, &product, dataset, at(from), at(to)).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_not_there_is_told_in_one_line_with_what_is() {
        let (tape, product) = tape();
        let dir = tape.path();
        let found = days(dir, &product, Dataset::Trades, None, None).expect("found");
        assert_eq!(found, [day("2025-06-07"), day("2025-06-08")]);
        let empty = tempfile::tempdir().expect("a folder");
        let file = empty.path().join("file");
        std::fs::write(&file, "").expect("written");
        let trades = Dataset::Trades;
        let cases = [
            (said(&dir.join("none"), "BTC-USD", trades, None, None), "does not exist: give the directory that a capture writes to"),
            (said(&file, "BTC-USD", trades, None, None), "is not a directory"),
            (said(empty.path(), "BTC-USD", trades, None, None), "is no tape"),
            (said(dir, "BTCUSD", trades, None, None), "which holds BTC-USD; did you mean BTC-USD?"),
            (said(dir, "ETH-EUR", trades, None, None), "which holds BTC-USD"),
            (said(dir, "BTC-USD", Dataset::Md, None, None), "ask with --dataset trades"),
            (
                said(dir, "BTC-USD", trades, Some("2025-06-08"), Some("2025-06-07")),
                "2025-06-07T00:00:00.000000000Z, must lie after the first one, 2025-06-08T",
            ),
            (said(dir, "BTC-USD", trades, Some("2025-06-07"), Some("2025-06-07")), "must lie after"),
            (said(dir, "BTC-USD", trades, Some("2025-06-08"), None), "its days of that time are empty"),
            (said(dir, "BTC-USD", trades, None, Some("2025-06-07")), "there are days from 2025-06-07 to 2025-06-08"),
        ];
        for (text, want) in cases {
            assert!(text.contains(want) && !text.contains('\n'), "{text}");
        }
    }
}
