//! Finds what a command names in a data directory: the tape itself, a product, the days of a range of time. Where it is not there, the error is one line
//! that says what is there instead and what to do.
//!
//! 1. Every command that reads asks here first, so that a mistake is told in the same words by all of them.
//! 2. Nothing is changed, and no column is read.

use std::path::{Path, PathBuf};

use crate::escape::Escaped;
use crate::names::{did_you_mean, listed};
use crate::product::ProductId;
use crate::schema::{Dataset, with_layout};
use crate::store::{OWN_FOLDER, Snapshot, StoreError, catalog};
use crate::time::{UnixNanos, UtcDay};

/// Why something that was named is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The directory is not one that a capture wrote.
    #[error(
        "{} is not a coltape data directory: {why}; --data-dir DIR or COLTAPE_DATA_DIR says where the tape is",
        Escaped(dir.display())
    )]
    NoTape {
        /// The directory.
        dir: PathBuf,
        /// What was found there.
        why: &'static str,
    },
    /// The directory has nothing of the product, or nothing of the dataset.
    #[error("no {} of {product} in {}, {}", dataset.folder(), Escaped(dir.display()), held(product, datasets, known))]
    NothingStored {
        /// The data directory.
        dir: PathBuf,
        /// The product asked for.
        product: ProductId,
        /// The dataset asked for.
        dataset: Dataset,
        /// The products that the directory holds.
        known: Vec<ProductId>,
        /// The datasets that it holds of the product.
        datasets: Vec<Dataset>,
    },
    /// The product has records of the dataset, but none on the days asked for.
    #[error("no {} of {product} {}{}", dataset.folder(), span(*from, *to), stored_instead(days.as_ref()))]
    NothingThen {
        /// The product.
        product: ProductId,
        /// The dataset.
        dataset: Dataset,
        /// The first event time asked for.
        from: Option<UnixNanos>,
        /// The event time to stop before.
        to: Option<UnixNanos>,
        /// The first and the last day that have records, if any has.
        days: Option<(UtcDay, UtcDay)>,
    },
    /// The range of time ends before it begins, or where it begins.
    #[error("--from {from} is not before --to {to}: --to is the first moment that is left out")]
    EmptyRange {
        /// The first event time asked for.
        from: UnixNanos,
        /// The event time to stop before.
        to: UnixNanos,
    },
    /// A folder cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that a range of time is not empty.
///
/// # Errors
/// [`LookupError::EmptyRange`].
pub(crate) fn check_range(from: Option<UnixNanos>, to: Option<UnixNanos>) -> Result<(), LookupError> {
    match (from, to) {
        (Some(from), Some(to)) if from >= to => Err(LookupError::EmptyRange { from, to }),
        _ => Ok(()),
    }
}

/// Checks that a directory is one that a capture wrote: it has a product's folder, or the folder of the journal.
///
/// # Errors
/// [`LookupError::NoTape`]; [`LookupError::Store`] where it cannot be read.
pub(crate) fn check_tape(dir: &Path) -> Result<(), LookupError> {
    let refused = |why| Err(LookupError::NoTape { dir: dir.to_owned(), why });
    match std::fs::metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return refused("there is no such directory"),
        Ok(found) if !found.is_dir() => return refused("it is a file"),
        _ => {}
    }
    if catalog::products(dir)?.is_empty() && !dir.join(OWN_FOLDER).is_dir() {
        return refused("no product is in it");
    }
    Ok(())
}

/// Lists the days of a product's dataset that may hold records of a range of time, in order. At least one of them has a record.
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
    check_tape(dir)?;
    let all = catalog::days(dir, product, dataset)?;
    if all.is_empty() {
        return Err(nothing_stored(dir, product, dataset)?);
    }
    let has_records = |date: &&UtcDay| has_records(dir, product, dataset, **date);
    let asked: Vec<UtcDay> = all.iter().copied().filter(|date| may_hold(*date, from, to)).collect();
    if asked.iter().any(|date| has_records(&date)) {
        return Ok(asked);
    }
    let days = all.iter().find(has_records).zip(all.iter().rfind(has_records)).map(|(first, last)| (*first, *last));
    Err(LookupError::NothingThen { product: product.clone(), dataset, from, to, days })
}

/// Makes the error that says what a directory holds instead of a product's dataset.
///
/// # Errors
/// Where a folder cannot be read.
pub(crate) fn nothing_stored(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<LookupError, StoreError> {
    let known = catalog::products(dir)?;
    let mut datasets = Vec::new();
    for dataset in Dataset::ALL {
        if !catalog::days(dir, product, dataset)?.is_empty() {
            datasets.push(dataset);
        }
    }
    Ok(LookupError::NothingStored { dir: dir.to_owned(), product: product.clone(), dataset, known, datasets })
}

/// Tells whether a day may hold a record of a range of time. A day holds the records whose event time it is.
#[must_use]
pub(crate) fn may_hold(date: UtcDay, from: Option<UnixNanos>, to: Option<UnixNanos>) -> bool {
    from.is_none_or(|from| date >= from.day()) && to.is_none_or(|to| date.start() < to)
}

/// Tells whether a day has a record. One that cannot be opened counts: whoever reads it says why it cannot.
fn has_records(dir: &Path, product: &ProductId, dataset: Dataset, date: UtcDay) -> bool {
    with_layout!(dataset, L => match Snapshot::<L>::open(dir, product, date) {
        Ok(Some(day)) => day.count() > 0,
        Ok(None) => catalog::must_be_empty(dir, &crate::store::DayKey { product: product.clone(), dataset, date }).is_err(),
        Err(_) => true,
    })
}

/// Says what a directory holds instead of what was asked for.
fn held(product: &ProductId, datasets: &[Dataset], known: &[ProductId]) -> String {
    if !datasets.is_empty() {
        let folders: Vec<&str> = datasets.iter().map(|dataset| dataset.folder()).collect();
        let options: Vec<String> = datasets.iter().map(|dataset| format!("--dataset {}", dataset.name())).collect();
        return format!("which holds {} of it: ask with {}", folders.join(" and "), options.join(" or "));
    }
    let names: Vec<&str> = known.iter().map(ProductId::as_str).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { listed(&names) };
    match did_you_mean(product.as_str(), known.iter()) {
        Some(question) => format!("which holds {names}; {question}"),
        None => format!("which holds {names}"),
    }
}

/// Words a range of time.
fn span(from: Option<UnixNanos>, to: Option<UnixNanos>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("before {to}"),
        (None, None) => "yet".to_owned(),
    }
}

/// Says which days have records.
fn stored_instead(days: Option<&(UtcDay, UtcDay)>) -> String {
    match days {
        Some((first, last)) if first == last => format!(": the only day stored is {first}"),
        Some((first, last)) => format!(": the days stored lie between {first} and {last}"),
        None => ": its days are empty; `coltape capture` fills them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Trades;
    use crate::store::{DataDir, Day, StoreOptions};

    fn day(text: &str) -> UtcDay {
        UtcDay::parse(text).expect("a day")
    }

    /// A tape with a trade on one day, and the empty files of the day after.
    fn tape() -> (tempfile::TempDir, ProductId) {
        let dir = tempfile::tempdir().expect("a folder");
        let product = ProductId::new("BTC-USD").expect("a product");
        let data = DataDir::open(dir.path(), StoreOptions::default()).expect("a directory");
        let noon = UnixNanos(day("2025-06-07").start().0 + 43_200_000_000_000);
        let (mut written, _) = Day::<Trades>::open(&data, &product, day("2025-06-07"), noon).expect("a day");
        let mut trade = Trades::EMPTY;
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
            (said(&dir.join("none"), "BTC-USD", trades, None, None), "there is no such directory"),
            (said(&file, "BTC-USD", trades, None, None), "it is a file"),
            (said(empty.path(), "BTC-USD", trades, None, None), "no product is in it"),
            (said(dir, "BTCUSD", trades, None, None), "which holds BTC-USD; did you mean BTC-USD?"),
            (said(dir, "ETH-EUR", trades, None, None), "which holds BTC-USD"),
            (said(dir, "BTC-USD", Dataset::Md, None, None), "ask with --dataset trades"),
            (said(dir, "BTC-USD", trades, Some("2025-06-08"), Some("2025-06-07")), "is not before --to 2025-06-07T"),
            (said(dir, "BTC-USD", trades, Some("2025-06-07"), Some("2025-06-07")), "is not before"),
            (said(dir, "BTC-USD", trades, Some("2025-06-08"), None), "the only day stored is 2025-06-07"),
            (said(dir, "BTC-USD", trades, None, Some("2025-06-07")), "before 2025-06-07T"),
        ];
        for (text, want) in cases {
            assert!(text.contains(want) && !text.contains('\n'), "{text}");
        }
    }
}
