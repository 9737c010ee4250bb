//! [`contributions`]: what another box's tape can contribute to this one, day by day, without storing it. For the capture that holds the directory.

use std::path::Path;

use super::difference::{Difference, columns_that_differ, completed, from_tape};
use super::join::{Joined, join};
use super::restore::is_usable;
use super::tape::why_unusable;
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Trades};
use crate::store::{Snapshot, StoreError, catalog, gaps};
use crate::time::UnixNanos;

/// What another tape has at one id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Contribution {
    /// A trade that is missing here, or the stored trade with the order ids that it does not have here.
    Trade(Trade),
    /// A trade that the other tape records differently.
    Difference(Difference),
    /// A day of the other tape, or trades of it, of which nothing is used; in words.
    Unused(String),
}

/// Shows what another tape has of a product: the trades that are missing between the first and the last one stored in `dir`, the order ids that are
/// missing in `dir`, and the trades that differ. `now` is the wall clock.
///
/// # Errors
/// Where a day here cannot be read; those of `see`.
pub(crate) fn contributions<E: From<StoreError>>(
    dir: &Path,
    product: &ProductId,
    tape: &Path,
    now: UnixNanos,
    mut see: impl FnMut(Contribution) -> Result<(), E>,
) -> Result<(), E> {
    let missing = gaps(dir, product, None)?.missing;
    for date in catalog::days(tape, product, Dataset::Trades)? {
        let unused = |why: &str| Contribution::Unused(format!("{product}: {} {date} is not used: {why}", tape.display()));
        let opened = Snapshot::<Trades>::open(tape, product, date).and_then(|day| match day {
            Some(day) => Ok((why_unusable(&day)?, Some(day))),
            None => Ok((Some("its commit page is torn".to_owned()), None)),
        });
        let other = match opened {
            Ok((None, Some(other))) => other,
            Ok((why, _)) => {
                see(unused(&why.unwrap_or_default()))?;
                continue;
            }
            Err(error) => {
                see(unused(&error.to_string()))?;
                continue;
            }
        };
        let (mut received, mut unusable) = (now, 0u64);
        let stored = Snapshot::<Trades>::open(dir, product, date)?;
        let set = stored.as_ref().map_or(other.column_set(), Snapshot::column_set);
        join(stored.as_ref(), &other, |joined| match joined {
            Joined::OnlyOther(trade) if missing.contains(trade.trade_id) => {
                received = received.max(trade.recv);
                if trade.time.day() != date || !is_usable(&trade, received) {
                    unusable += 1;
                    return Ok(());
                }
                see(Contribution::Trade(from_tape(&trade)))
            }
            Joined::OnlyOther(_) => Ok(()),
            Joined::Both { stored, other } => {
                let columns = columns_that_differ(&stored, &other, set);
                if !columns.is_empty() {
                    let by = tape.display().to_string();
                    return see(Contribution::Difference(Difference { product: product.clone(), date, stored, other, by, columns }));
                }
                completed(&stored, &other).map_or(Ok(()), |trade| see(Contribution::Trade(trade)))
            }
        })?;
        if unusable > 0 {
            see(unused(&format!("{unusable} trades that are implausible or of another day")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Layout;
    use crate::store::{DataDir, Day, InsertError, StoreOptions, Syncer, seal};
    use crate::time::{NANOS_PER_SECOND, UtcDay};
    use std::sync::Arc;

    const DAY: UtcDay = UtcDay(20_000);

    fn product() -> ProductId {
        ProductId::new("BTC-USD").expect("a product")
    }

    /// A trade a second, each received half a second after it happened.
    fn trade(trade_id: u64) -> Trade {
        let price = crate::decimal::parse(b"1").expect("a price");
        let time = UnixNanos(DAY.start().0 + trade_id * NANOS_PER_SECOND);
        let recv = UnixNanos(time.0 + NANOS_PER_SECOND / 2);
        Trade { trade_id, time, price, size: price, recv, ..Trades::EMPTY }
    }

    fn store(path: &Path, ids: impl Iterator<Item = u64>) {
        let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
        let dir = Arc::new(DataDir::open(path, options, "exchange wss://test").expect("a data directory"));
        let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).expect("a day").0;
        for id in ids {
            while let Err(error) = day.insert(&trade(id)) {
                assert!(matches!(error, InsertError::NoRoom), "{error}");
                day.files().provision().expect("room");
            }
        }
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        let files = day.close();
        syncer.cycle().expect("synced");
        seal::seal(&dir, vec![files]).into_iter().for_each(|outcome| _ = outcome.sealed.expect("sealed"));
    }

    #[test]
    fn a_clock_that_is_behind_makes_no_trade_of_another_tape_implausible() {
        let folder = tempfile::tempdir().expect("a folder");
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        store(&own, (1..100).filter(|id| id % 10 != 5));
        store(&other, 1..100);
        let years = 400 * 86_400 * NANOS_PER_SECOND;
        for now in [DAY.next().start(), UnixNanos(DAY.start().0 - years)] {
            let mut found = Vec::new();
            contributions::<StoreError>(&own, &product(), &other, now, |contribution| {
                found.push(contribution);
                Ok(())
            })
            .expect("read");
            let want: Vec<Contribution> = (1..100).filter(|id| id % 10 == 5).map(|id| Contribution::Trade(from_tape(&trade(id)))).collect();
            assert_eq!(found, want, "at {now}");
        }
    }
}
