//! Which market a directory records: its REST endpoint, and whether another tape is of the same market.

use std::path::Path;

use super::config::RepairConfig;
use super::error::RepairError;
use crate::feed::Feed;
use crate::schema::Dataset;
use crate::store::{StoreError, catalog, endpoint_of};

/// Gives the REST endpoint of the feed with which the first of these directories was begun that remembers one: Coinbase's where the feed is Coinbase's own
/// or none is remembered, `None` where it is a test's.
///
/// # Errors
/// Where a file that names a feed cannot be read.
pub(crate) fn rest_url_of<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Result<Option<String>, StoreError> {
    for dir in dirs {
        if let Some(endpoint) = endpoint_of(dir)? {
            return Ok(coinbase_feed(&endpoint).map(|feed| feed.default_rest_url().to_owned()));
        }
    }
    Ok(Some(Feed::Exchange.default_rest_url().to_owned()))
}

/// Tells which of Coinbase's own feeds an endpoint is.
fn coinbase_feed(endpoint: &str) -> Option<Feed> {
    Feed::ALL.into_iter().find(|feed| endpoint == format!("{} {}", feed.name(), feed.default_url()))
}

/// Gives the endpoint of a directory, or the one that it will have: that of the first tape that has one.
///
/// # Errors
/// Where a file that names a feed cannot be read.
pub(crate) fn endpoint_to_be(config: &RepairConfig) -> Result<Option<String>, StoreError> {
    for dir in std::iter::once(&config.dir).chain(&config.from) {
        if let Some(endpoint) = endpoint_of(dir)? {
            return Ok(Some(endpoint));
        }
    }
    Ok(None)
}

fn holds_days(tape: &Path) -> Result<bool, StoreError> {
    for product in catalog::products(tape)? {
        for dataset in Dataset::ALL {
            if !catalog::days(tape, &product, dataset)?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Checks that another folder holds a tape, and one of the same market.
///
/// # Errors
/// Where it does not.
pub(super) fn check_tape(config: &RepairConfig, tape: &Path) -> Result<(), RepairError> {
    let refused = |why: String| Err(RepairError::Tape { tape: tape.to_owned(), why });
    let is_same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if is_same(tape, &config.dir) {
        return refused("is the directory that is to be repaired".to_owned());
    }
    if !tape.is_dir() {
        return refused("is no directory".to_owned());
    }
    if !holds_days(tape)? {
        return refused("holds no tape".to_owned());
    }
    // A new directory becomes one of the market of the first tape: the others must be of it, too.
    if let (Some(own), Some(other)) = (endpoint_to_be(config)?, endpoint_of(tape)?)
        && own != other
        && (coinbase_feed(&own).is_none() || coinbase_feed(&other).is_none())
        && !config.any_endpoint
    {
        return refused(format!("holds the tape of {other}, not of {own} (--any-endpoint takes from it all the same)"));
    }
    Ok(())
}
