//! The machine that the program runs on: which boot it is, how many maps its kernel allows, and what address space they take.

use crate::schema::Column;

/// Bytes of address space between two mappings, so that a record's places in its columns do not lie whole gigabytes apart. AMD's first-level cache
/// distinguishes lines of a set by a hash of the address bits 12 to 27 (Lipp et al., *Take A Way*, 2020), and keeps only one of those with the same
/// hash. Without the gap a record of 13 columns takes 98 ns there, with it 13.
pub(crate) const STAGGER_BYTES: usize = 2 << 20;

/// The id that the kernel draws at every boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Reads the running kernel's id; nothing where it cannot be read.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

/// Maps that a run needs and the kernel allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapBudget {
    /// Maps for these products, three days each (yesterday, today and tomorrow may be open at once).
    pub needed: u64,
    /// `vm.max_map_count`, less the maps of the program itself.
    pub allowed: u64,
}

/// Maps that the program needs for itself: code, stacks, heaps.
const MAPS_OF_THE_PROGRAM: u64 = 1024;
/// The kernel's usual limit, for where it cannot be read.
const USUAL_MAP_LIMIT: u64 = 65_530;

/// Counts the maps that `products` products need, each with `columns` columns and one page per dataset, against `vm.max_map_count`.
#[must_use]
pub(crate) fn map_budget(products: u64, datasets: u64, columns: u64) -> MapBudget {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    MapBudget {
        needed: products.saturating_mul(datasets.saturating_add(columns)).saturating_mul(3),
        allowed: limit.unwrap_or(USUAL_MAP_LIMIT).saturating_sub(MAPS_OF_THE_PROGRAM),
    }
}

/// Address space that the columns of one product-day take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MapSpace {
    /// Columns.
    count: u64,
    /// Bytes of a record in all of them.
    width: u64,
}

impl MapSpace {
    /// Counts these columns.
    pub(crate) fn of<'a>(columns: impl Iterator<Item = &'a Column>) -> Self {
        columns.fold(Self::default(), |all, column| Self { count: all.count + 1, width: all.width + column.kind.width() as u64 })
    }

    /// Gives the bytes of address space for so many records.
    pub(crate) fn bytes(self, records: u64) -> u64 {
        records.saturating_mul(self.width).saturating_add(self.count * STAGGER_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_has_an_id_and_keeps_it() {
        assert!(BootId::read().is_some());
        assert_eq!(BootId::read(), BootId::read());
    }

    #[test]
    fn every_product_needs_its_columns_and_pages_three_times() {
        assert_eq!(map_budget(2, 3, 35).needed, 2 * 38 * 3);
        assert_eq!(map_budget(u64::MAX, 3, 35).needed, u64::MAX);
    }
}
