//! The limits of the process (getrlimit(2)), compared with what the products need before anything is begun: a limit that is met in the middle of the work
//! would cost records, or the process.
//!
//! 1. Where a limit is too low, the error names the limit, what is needed, and how to raise it.
//! 2. Address space is the one thing that a capture can do with less of: the columns are then mapped for fewer records a day, at least [`LEAST_RECORDS`].
//! 3. The limit of processes counts those of other programs of the user as well. It is not looked at; where no thread can be started the error says
//!    how to raise it ([`super::threads`]).

use rustix::process::{Resource, getrlimit};

use crate::capture::alert_config::AlertConfig;
use crate::capture::config::CaptureConfig;
use crate::capture::error::CaptureError;
use crate::capture::maps::DAYS_BUDGETED;
use crate::store::{MAX_DAY_RECORDS, MapSpace};

/// Fewest records that a day is mapped for: nearly twice the busiest product's day.
const LEAST_RECORDS: u64 = 1 << 24;
/// Size that a file must be allowed to have: the widest column, 16 bytes, of so many records.
const FILE_BYTES: u64 = 16 * LEAST_RECORDS;
/// What a 64-bit program can address, less what the system itself takes (128 TiB, x86-64).
const ADDRESSABLE_BYTES: u64 = 120 << 40;
/// Address space of the program itself: its memory, its code, and the arenas that each thread's allocator reserves.
const PROGRAM_BYTES: u64 = 3 << 30;
/// Address space of a thread: its stack.
const THREAD_BYTES: u64 = 2 << 20;
/// Threads beside writers and connections.
const OTHER_THREADS: u64 = 16;
/// Descriptors beside those of connections and products: the journals, the locks, REST, what is open for a moment.
const OTHER_FILES: u64 = 128;
/// Descriptors of a connection.
const FILES_PER_CONNECTION: u64 = 4;
/// Descriptors of a product: a late file, and a column while it is grown.
const FILES_PER_PRODUCT: u64 = 2;

/// Compares the limits with what a capture's products need. Gives the records that a day can be mapped for.
///
/// # Errors
/// [`CaptureError::Limit`] where a limit is too low.
pub(crate) fn check(config: &CaptureConfig) -> Result<u64, CaptureError> {
    check_for(config, config.products.len())
}

/// Compares the limits with what so many products need. Gives the records that a day can be mapped for.
///
/// # Errors
/// [`CaptureError::Limit`] where a limit is too low.
pub(crate) fn check_for(config: &CaptureConfig, products: usize) -> Result<u64, CaptureError> {
    let need = Need::of(config, products);
    let files = limit(Resource::Nofile);
    if files < need.files() {
        return Err(too_low("open files", files, need.files(), &format!("ulimit -n {}, or LimitNOFILE= of systemd", need.files())));
    }
    let data = limit(Resource::Data);
    if data < AlertConfig::MEMORY_BYTES {
        return Err(too_low("bytes of data", data, AlertConfig::MEMORY_BYTES, "ulimit -d unlimited, or LimitDATA=infinity of systemd"));
    }
    let file = limit(Resource::Fsize);
    if file < FILE_BYTES {
        return Err(too_low("bytes in a file", file, FILE_BYTES, "ulimit -f unlimited, or LimitFSIZE=infinity of systemd"));
    }
    need.records_within(limit(Resource::As))
}

/// Gives the descriptors that so many products need.
#[must_use]
pub(crate) fn files_needed(config: &CaptureConfig, products: usize) -> u64 {
    Need::of(config, products).files()
}

/// Logs what the limits keep a capture from, though it can be begun.
pub(super) fn warn(products: usize, records: u64) {
    let file = limit(Resource::Fsize);
    if file < u64::MAX {
        log::warn!("no file may have more than {file} bytes (ulimit -f): a product whose column reaches that is not recorded on");
    }
    if records < MAX_DAY_RECORDS {
        log::info!("a day holds at most {records} records, so that the columns of {products} products fit into the address space");
    }
}

/// Makes sure that more products fit into the address space, with days as they are mapped now.
///
/// # Errors
/// [`CaptureError::Limit`] where they do not.
pub(super) fn check_added(config: &CaptureConfig, products: usize, records: u64) -> Result<(), CaptureError> {
    let (need, allowed) = (Need::of(config, products), limit(Resource::As).min(ADDRESSABLE_BYTES));
    if need.address_space(records) > allowed {
        return Err(too_low_address_space(allowed, need.address_space(records)));
    }
    Ok(())
}

/// What a capture needs.
struct Need {
    products: u64,
    connections: u64,
    columns: MapSpace,
}

impl Need {
    fn of(config: &CaptureConfig, products: usize) -> Self {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let connections = count(products.div_ceil(config.products_per_connection.max(1))) * u64::from(config.lines);
        let columns = config.datasets.iter().flat_map(|dataset| dataset.columns_of(config.columns));
        Self { products: count(products), connections, columns: MapSpace::of(columns) }
    }

    fn files(&self) -> u64 {
        OTHER_FILES + FILES_PER_CONNECTION * self.connections + FILES_PER_PRODUCT * self.products
    }

    /// Gives the address space of maps of so many records.
    fn address_space(&self, records: u64) -> u64 {
        let threads = self.products.saturating_add(2 * self.connections).saturating_add(OTHER_THREADS);
        let maps = self.columns.bytes(records).saturating_mul(DAYS_BUDGETED).saturating_mul(self.products);
        maps.saturating_add(threads.saturating_mul(THREAD_BYTES)).saturating_add(PROGRAM_BYTES)
    }

    /// Gives the most records that a day can be mapped for.
    fn records_within(&self, limit: u64) -> Result<u64, CaptureError> {
        let allowed = limit.min(ADDRESSABLE_BYTES);
        let mut records = MAX_DAY_RECORDS;
        while self.address_space(records) > allowed {
            if records <= LEAST_RECORDS {
                return Err(too_low_address_space(allowed, self.address_space(records)));
            }
            records /= 2;
        }
        Ok(records)
    }
}

fn limit(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

fn too_low(what: &'static str, allowed: u64, needed: u64, remedy: &str) -> CaptureError {
    CaptureError::Limit { what, allowed, needed, remedy: remedy.to_owned() }
}

fn too_low_address_space(allowed: u64, needed: u64) -> CaptureError {
    too_low("bytes of address space", allowed, needed, "ulimit -v unlimited, or LimitAS=infinity of systemd, or fewer products")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Feed;
    use crate::product::ProductId;

    fn need(products: usize) -> Need {
        let product = ProductId::new("BTC-USD").expect("a product");
        Need::of(&CaptureConfig::new(Feed::Exchange, "ws://x", [product], "data".as_ref()), products)
    }

    #[test]
    fn days_shrink_with_the_address_space_and_are_refused_below_the_least() {
        for products in [1, 2, 100, 400, 1000, 2000] {
            let need = need(products);
            let mut last = MAX_DAY_RECORDS;
            for limit in (30..=63).rev().map(|power| 1u64 << power) {
                match need.records_within(limit) {
                    Ok(records) => {
                        assert!(need.address_space(records) <= limit && (LEAST_RECORDS..=last).contains(&records), "{products} {limit}");
                        assert!(records == MAX_DAY_RECORDS || need.address_space(records * 2) > limit.min(ADDRESSABLE_BYTES));
                        last = records;
                    }
                    Err(error) => {
                        assert!(need.address_space(LEAST_RECORDS) > limit.min(ADDRESSABLE_BYTES), "{products} {limit}");
                        let said = error.to_string();
                        assert!(said.contains("address space") && said.contains("ulimit -v"), "{said}");
                    }
                }
            }
        }
        assert_eq!(need(400).records_within(u64::MAX).expect("enough"), MAX_DAY_RECORDS);
        assert!(need(1000).records_within(u64::MAX).expect("enough") < MAX_DAY_RECORDS);
    }

    #[test]
    fn descriptors_grow_with_products_and_connections() {
        assert_eq!(need(1).files(), OTHER_FILES + FILES_PER_CONNECTION + FILES_PER_PRODUCT);
        assert_eq!(need(400).files(), OTHER_FILES + 4 * FILES_PER_CONNECTION + 400 * FILES_PER_PRODUCT);
    }
}
