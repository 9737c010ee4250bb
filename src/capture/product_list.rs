//! The list of products of `--products-file`: how it is read, and the signal on which it is read again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::product::{ProductId, ProductIdError};

/// Why a list of products cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProductListError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no product.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: ProductIdError,
    },
    /// Neither the list nor the command line names a product.
    #[error("{} names no product", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a list of products: one per line, a comment begins with `#`. Blank lines, carriage returns and byte-order marks are passed over.
///
/// # Errors
/// Names the file, and the line that is no product.
pub(crate) fn read_products(path: &Path) -> Result<Vec<ProductId>, ProductListError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProductListError::Read { path: path.to_owned(), source })?;
    text.lines()
        .zip(1..)
        .map(|(text, line)| (text.split('#').next().unwrap_or_default().trim_matches(is_blank), line))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, line)| {
            ProductId::from_feed(name.as_bytes()).map_err(|source| ProductListError::Line { path: path.to_owned(), line, source })
        })
        .collect()
}

/// Tells whether a character stands for nothing at the edge of a line. Windows' editors begin a file with a byte-order mark.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// Reads the list again, and adds the products that were named on the command line.
pub(super) fn read_again(path: &Path, named: &BTreeSet<ProductId>) -> Result<BTreeSet<ProductId>, ProductListError> {
    let wanted: BTreeSet<ProductId> = named.iter().cloned().chain(read_products(path)?).collect();
    if wanted.is_empty() {
        return Err(ProductListError::Empty { path: path.to_owned() });
    }
    Ok(wanted)
}

/// Remembers that a SIGHUP has arrived.
pub(super) struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Listens for SIGHUP if there is a list of products. Without this, SIGHUP ends the process.
    pub(super) fn listen(list: Option<&PathBuf>) -> Self {
        let has_arrived = Arc::new(AtomicBool::new(false));
        if list.is_some()
            && let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&has_arrived))
        {
            log::warn!("SIGHUP is not heard: {error}");
        }
        Self(has_arrived)
    }

    /// Gives whether a SIGHUP has arrived since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_list_may_hold_comments_and_an_error_names_the_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, "# watched\nBTC-USD\n\n ETH-USD # quiet\n").expect("writes");
        let names: Vec<_> = read_products(&path).expect("reads").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["BTC-USD", "ETH-USD"]);
        std::fs::write(&path, "BTC-USD\n../x\n").expect("writes");
        assert!(read_products(&path).is_err_and(|error| error.to_string().contains(":2:")));
        std::fs::write(&path, "# nothing\n").expect("writes");
        assert!(read_again(&path, &BTreeSet::new()).is_err_and(|error| error.to_string().ends_with("names no product")));
        let named = BTreeSet::from([ProductId::new("BTC-USD").expect("a product")]);
        assert_eq!(read_again(&path, &named).expect("reads"), named);
    }
}
