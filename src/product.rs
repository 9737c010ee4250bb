//! [`ProductId`]: a product's name, checked once and safe as a path component.
//!
//! Only the command line and the decoders handle product names as text; all other code has a [`ProductId`].

use std::fmt;
use std::sync::Arc;

/// Longest product name accepted, in bytes.
pub(crate) const MAX_PRODUCT_ID_BYTES: usize = 64;

/// A Coinbase product id such as `BTC-USD`: 1 to 64 ASCII letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
///
/// Because of that rule it is a safe path component: no separator, no `..`, no hidden file, no `_coltape`.
/// Cloning is cheap (a reference count).
///
/// ```
/// use coltape::ProductId;
/// assert_eq!(ProductId::new("BTC-USD").unwrap().as_str(), "BTC-USD");
/// assert!(ProductId::new("../../x").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductId(Arc<str>);

/// A name is no product id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not a product id (want up to 64 letters, digits, '-', '_' or '.', as in BTC-USD)")]
#[non_exhaustive]
pub struct ProductIdError {
    shown: String,
}

/// Tells whether a byte may stand in a name behind the first place.
const fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl ProductId {
    /// Checks a name.
    ///
    /// # Errors
    /// Where the name breaks the rule above.
    pub fn new(name: &str) -> Result<Self, ProductIdError> {
        Self::from_bytes(name.as_bytes())
    }

    /// Checks a name that came as bytes from the network or the disk.
    ///
    /// # Errors
    /// Where the name breaks the rule above.
    pub(crate) fn from_bytes(name: &[u8]) -> Result<Self, ProductIdError> {
        let refused = || ProductIdError { shown: String::from_utf8_lossy(name).chars().take(80).collect() };
        let text = std::str::from_utf8(name).map_err(|_| refused())?;
        if Self::is_plain(name) { Ok(Self(Arc::from(text))) } else { Err(refused()) }
    }

    /// Tells whether a name keeps the rule above. Makes no value.
    #[must_use]
    #[inline]
    pub(crate) fn is_plain(name: &[u8]) -> bool {
        let is_bounded = (1..=MAX_PRODUCT_ID_BYTES).contains(&name.len()) && name.first().is_some_and(u8::is_ascii_alphanumeric);
        // Only the names of tests have dots; they take the slow path.
        is_bounded && (name.iter().all(|byte| is_plain_byte(*byte)) || Self::is_plain_with_dots(name))
    }

    #[cold]
    fn is_plain_with_dots(name: &[u8]) -> bool {
        let mut before = b'.';
        name.iter().all(|byte| {
            let good = is_plain_byte(*byte) || (before != b'.' && *byte == b'.');
            before = *byte;
            good
        })
    }

    /// Shows the name as Coinbase spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ProductId {
    type Err = ProductIdError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a..b", "_coltape", "-rf", "a b", "a\0b", "é", &"A".repeat(65)] {
            assert!(ProductId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["BTC-USD", "00-USD", "BTC-PERP-INTX", "A", &"A".repeat(64)] {
            assert!(ProductId::new(good).is_ok(), "{good:?}");
        }
    }
}
