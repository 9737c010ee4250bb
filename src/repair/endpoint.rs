//! Which market a directory records: its REST endpoint, and whether another tape is of the same market.

use std::path::Path;

use super::config::RepairConfig;
use super::error::RepairError;
use crate::feed::Feed;
use crate::store::{StoreError, catalog, endpoint_of};

/// Gives the REST endpoint of the feed with which a directory was begun: Coinbase's where the feed is Coinbase's own, `None` where it is a test's.
///
/// # Errors
/// Where the file that names the feed cannot be read.
pub(crate) fn rest_url_of(dir: &Path) -> Result<Option<String>, StoreError> {
    Ok(match endpoint_of(dir)? {
        Some(endpoint) => coinbase_feed(&endpoint).map(|feed| feed.default_rest_url().to_owned()),
        None => Some(Feed::Exchange.default_rest_url().to_owned()),
    })
}

/// Tells which of Coinbase's own feeds an endpoint is.
fn coinbase_feed(endpoint: &str) -> Option<Feed> {
    Feed::ALL.into_iter().find(|feed| endpoint == format!("{} {}", feed.name(), feed.default_url()))
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
    if catalog::products(tape)?.is_empty() {
        return refused("holds no tape".to_owned());
    }
    if let (Some(own), Some(other)) = (endpoint_of(&config.dir)?, endpoint_of(tape)?)
        && own != other
        && (coinbase_feed(&own).is_none() || coinbase_feed(&other).is_none())
        && !config.any_endpoint
    {
        return refused(format!("holds the tape of {other}, not of {own} (--any-endpoint takes from it all the same)"));
    }
    Ok(())
}
