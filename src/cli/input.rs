//! What commands that read have in common: checking what they were given, and saying what to do where a tape cannot be read.
//!
//! 1. What is not there, and what makes no range of time, is told by [`crate::lookup`], in one line and with exit code 1.
//! 2. A day that cannot be read is told with the commands that help.

use std::path::Path;

use super::outcome::Failure;
use crate::escape::Escaped;
use crate::lookup;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::StoreError;
use crate::time::UnixNanos;

/// Checks that a directory is a tape with records of a product on the days asked for.
///
/// # Errors
/// [`Failure::Failed`] with one line that says what is there instead, and what to do.
pub(super) fn check(
    dir: &Path,
    product: &ProductId,
    dataset: Dataset,
    from: Option<UnixNanos>,
    to: Option<UnixNanos>,
) -> Result<(), Failure> {
    lookup::days(dir, product, dataset, from, to).map(drop).map_err(Failure::failed)
}

/// Makes a failure of what keeps a day from being read.
pub(super) fn unreadable(error: &StoreError, dir: &Path) -> Failure {
    let dir = Escaped(dir.display());
    let is_day = matches!(error, StoreError::Damaged { .. } | StoreError::Io { .. });
    let help = if is_day {
        format!(
            "; coltape verify {dir} says what else is wrong; move that day's files away, and coltape repair {dir} --from OTHER_DIR brings them from \
            another box's tape"
        )
    } else {
        String::new()
    };
    Failure::failed(format!("{error}{help}"))
}
