//! [`ProductId`]: a product's name, checked once and safe as a path component.
//!
//! Only the command line and the decoders handle product names as text; all other code has a [`ProductId`].
//!
//! The name of a folder may also be that of a later *series* of a product: when its trade ids begin anew, what follows is stored under `BTC-USD~2`, then
//! `BTC-USD~3`. No exchange sends such a name: [`ProductId::from_feed`] refuses it.

use std::fmt;
use std::sync::Arc;

/// Longest product name accepted, in bytes.
pub(crate) const MAX_PRODUCT_ID_BYTES: usize = 64;

/// A Coinbase product id such as `BTC-USD`: 1 to 64 ASCII letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
///
/// A stored series may have its number behind the name, as in `BTC-USD~2`: `~` and 2 to 9999. Because of these rules a name is a safe path component: no
/// separator, no `..`, no hidden file, no `_coltape`.
/// Cloning is cheap (a reference count).
///
/// ```
/// use coltape::ProductId;
/// assert_eq!(ProductId::new("BTC-USD").unwrap().as_str(), "BTC-USD");
/// assert!(ProductId::new("../../x").is_err());
/// let second = ProductId::new("BTC-USD~2").unwrap();
/// assert_eq!((second.series(), second.feed_name()), (2, "BTC-USD"));
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

/// The bytes for which [`is_plain_byte`] says yes. To look each of them up takes no branch, which the processor could not foresee: names differ.
const PLAIN_BYTES: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0u8);
    loop {
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        {
            plain[byte as usize] = is_plain_byte(byte);
        }
        if byte == u8::MAX {
            break plain;
        }
        byte += 1;
    }
};

/// Tells whether a text is the number of a later series, as a folder's name has it.
fn is_series_number(text: &str) -> bool {
    !text.starts_with('0') && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|n| n >= 2)
}

fn refused(name: &[u8]) -> ProductIdError {
    ProductIdError { shown: String::from_utf8_lossy(name).chars().take(80).collect() }
}

impl ProductId {
    /// Checks a name, as it is typed or as a folder has it: that of a product, or of one of its series.
    ///
    /// # Errors
    /// Where the name breaks the rule above.
    pub fn new(name: &str) -> Result<Self, ProductIdError> {
        let (feed_name, number) = name.split_once('~').map_or((name, None), |(feed_name, number)| (feed_name, Some(number)));
        let is_good = Self::is_plain(feed_name.as_bytes()) && name.len() <= MAX_PRODUCT_ID_BYTES && number.is_none_or(is_series_number);
        if is_good { Ok(Self(Arc::from(name))) } else { Err(refused(name.as_bytes())) }
    }

    /// Checks a name that an exchange sent or that is to be sent to one: no series has such a name.
    ///
    /// # Errors
    /// Where the name breaks the rule above, or is that of a later series.
    pub(crate) fn from_feed(name: &[u8]) -> Result<Self, ProductIdError> {
        match std::str::from_utf8(name) {
            Ok(text) if Self::is_plain(name) => Ok(Self(Arc::from(text))),
            _ => Err(refused(name)),
        }
    }

    /// Gives the product's name as the exchange spells it, without the number of a series.
    #[must_use]
    pub fn feed_name(&self) -> &str {
        self.0.split('~').next().unwrap_or_default()
    }

    /// Gives the number of the series that is stored under this name: 1 under the plain name.
    #[must_use]
    pub fn series(&self) -> u32 {
        self.0.split_once('~').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
    }

    /// Gives the name of the series after this one. Nothing where no name is left for it: a number above 9999, or too long a name.
    #[must_use]
    pub(crate) fn next_series(&self) -> Option<Self> {
        Self::new(&format!("{}~{}", self.feed_name(), self.series() + 1)).ok()
    }

    /// Tells whether two names are those of series of one product.
    #[must_use]
    pub(crate) fn is_series_of(&self, other: &Self) -> bool {
        self.feed_name() == other.feed_name()
    }

    /// Tells whether a name keeps the rule above. Makes no value.
    #[must_use]
    #[inline]
    pub(crate) fn is_plain(name: &[u8]) -> bool {
        let is_bounded = (1..=MAX_PRODUCT_ID_BYTES).contains(&name.len()) && name.first().is_some_and(u8::is_ascii_alphanumeric);
        let is_plain = |byte: &u8| PLAIN_BYTES.get(usize::from(*byte)) == Some(&true);
        // Only the names of tests have dots; they take the slow path.
        is_bounded && (name.iter().fold(true, |all, byte| all & is_plain(byte)) || Self::is_plain_with_dots(name))
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

    /// Shows the name as its folder has it: as Coinbase spells it, with the number of a later series behind it.
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
            assert!(ProductId::from_feed(good.as_bytes()).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_series_has_a_number_that_no_exchange_can_send() {
        for bad in [
            "BTC-USD~",
            "BTC-USD~0",
            "BTC-USD~1",
            "BTC-USD~02",
            "BTC-USD~2~3",
            "BTC-USD~-2",
            "BTC-USD~10000",
            "~2",
            &format!("{}~2", "A".repeat(63)),
        ] {
            assert!(ProductId::new(bad).is_err(), "{bad:?}");
        }
        let first = ProductId::new("BTC-USD").expect("a product");
        assert_eq!((first.series(), first.feed_name()), (1, "BTC-USD"));
        let mut series = first.clone();
        for number in 2..=9999 {
            series = series.next_series().expect("another series");
            assert_eq!((series.as_str(), series.series(), series.feed_name()), (format!("BTC-USD~{number}").as_str(), number, "BTC-USD"));
            assert!(series.is_series_of(&first) && ProductId::from_feed(series.as_str().as_bytes()).is_err());
        }
        assert_eq!(series.next_series(), None);
        assert_eq!(ProductId::new(&"A".repeat(63)).expect("a product").next_series(), None);
        assert!(!ProductId::new("BTC-USDC").expect("a product").is_series_of(&first));
    }
}
