//! Holding a day's bytes against what its commit page says of them.
//!
//! 1. A sealed day is checked whole, a live one as far as it is durable: behind that nothing has been promised.
//! 2. Faults are found and named, never mended.

use std::path::PathBuf;

use super::error::{At, StoreError};
use super::reader::{DayState, Snapshot};
use crate::schema::Layout;

/// What a check found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub path: PathBuf,
    /// What.
    pub what: String,
}

impl<L: Layout> Snapshot<L> {
    /// Holds the day's bytes against its checksums: a sealed day's all, a live day's durable ones.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let view = &self.view;
        let mut faults = Vec::new();
        let lengths = view.table.iter().map(|column| {
            let path = view.place.column(column.name);
            let found = std::fs::metadata(&path).at("look at", &path)?.len();
            Ok((path, found, column.kind.width() as u64))
        });
        let lengths = lengths.collect::<Result<Vec<_>, StoreError>>()?;
        if view.state != DayState::Live {
            let unequal = lengths.into_iter().filter(|(_, found, width)| *found != view.records as u64 * width);
            faults.extend(
                unequal
                    .map(|(path, found, width)| Fault { path, what: format!("{found} bytes are not {} records of {width}", view.records) }),
            );
        }
        let Some(page) = &view.page else { return Ok(faults) };
        let newest = page.slots().into_iter().map(|(_, slot)| slot).next();
        let extent = match (view.state, page.state()) {
            (DayState::Live, Some(state)) => newest.filter(|slot| slot.generation == state.generation).map(|slot| slot.extent),
            (_, Some(state)) => Some(state.extent),
            (_, None) => None,
        };
        for (at, crc) in extent.iter().flat_map(|extent| extent.crcs.iter().enumerate()) {
            let (Some(extent), Some(column)) = (&extent, view.table.get(at)) else { continue };
            let len = usize::try_from(extent.records).unwrap_or(usize::MAX).saturating_mul(column.kind.width());
            // A live day may have gone on since; what is not in view is not checked.
            let Some(bytes) = self.column_bytes(at).get(..len) else { continue };
            if crc32c::crc32c(bytes) != *crc {
                faults.push(Fault {
                    path: view.place.column(column.name),
                    what: format!("the checksum of its first {} records is another", extent.records),
                });
            }
        }
        // On another boot, or another machine, the hot sector promises nothing; what a slot says was on disk still is.
        let durable_late = page.slots().into_iter().map(|(_, slot)| slot).next();
        let durable_late = durable_late.filter(|slot| page.state().is_some_and(|state| slot.generation == state.generation));
        let late_promised = view.late_promised.max(durable_late.map_or(0, |slot| slot.late));
        if u32::try_from(view.late.len()).is_ok_and(|found| found < late_promised) {
            let what = format!("{} late records are whole, {late_promised} were committed", view.late.len());
            faults.push(Fault { path: view.place.late(), what });
        }
        Ok(faults)
    }
}
