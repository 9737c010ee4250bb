//! The commit page's bytes: what each 512-byte sector holds and how it is checked.
//!
//! 1. Little-endian, fixed offsets, no padding that means anything; the last four bytes of a sector are the CRC32C of the others.
//! 2. Decoding trusts nothing: a wrong CRC, magic, version or code gives *nothing*, not an error and not a panic.
//! 3. The hot sector (1) has no CRC: it changes with every commit, and a disk writes a sector whole. It counts only on the boot that wrote it.
//! 4. A new version of the format changes [`VERSION`]; older ones are then read by their own decoder. A new column is no new version: the identity
//!    says how many columns the folder holds, and they are the front of the table.

use std::path::Path;

use super::error::StoreError;
use super::map::SECTOR;
use super::place::DayKey;
use crate::product::{MAX_PRODUCT_ID_BYTES, ProductId};
use crate::schema::{self, Column, ColumnSet, Dataset};
use crate::time::UtcDay;

/// Bytes of the page.
pub(crate) const PAGE: usize = 4096;
/// Version of the format.
pub(crate) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"COLTAPE\0";

/// Sector of the [`Identity`].
pub(crate) const IDENTITY_SECTOR: usize = 0;
/// The hot sector.
pub(crate) const HOT_SECTOR: usize = 1;
/// Sectors of the two [`DurableSlot`]s.
pub(crate) const SLOT_SECTORS: [usize; 2] = [2, 3];
/// Sectors of the [`State`]: the one that counts, and its spare that counts where the first is torn.
pub(crate) const STATE_SECTORS: [usize; 2] = [4, 5];

/// Sector of the witness: what a day held when it was closed after a failed flush, in the form of a slot.
pub(crate) const WITNESS_SECTOR: usize = 6;

/// Most columns that a page has room for.
pub(crate) const MAX_PAGE_COLUMNS: usize = 64;

const CRC_AT: usize = SECTOR - 4;
/// Where a state says what its page's hot sector holds.
const HOT_AT: usize = CRC_AT - 4;

const _: () = assert!(28 + 4 * MAX_PAGE_COLUMNS <= HOT_AT, "a state has room for its columns' checksums");
const _: () = assert!(schema::MAX_COLUMNS <= MAX_PAGE_COLUMNS, "a page has room for every dataset's columns");

type Sector = [u8; SECTOR];

/// Which dataset-day a page belongs to, and which columns its folder holds. Written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) key: DayKey,
    pub(crate) set: ColumnSet,
    /// How many columns the folder holds: the front of the table of the version that began the day.
    pub(crate) columns: usize,
}

impl Identity {
    /// Gives the folder's columns out of today's `table`.
    pub(crate) fn columns(&self, table: &'static [Column], page: &Path) -> Result<&'static [Column], StoreError> {
        self.set.front(table, self.columns).ok_or_else(|| {
            let known = self.set.of(table).len();
            StoreError::damaged(page, format!("its folder holds {} columns; this version knows {known}", self.columns))
        })
    }

    pub(crate) fn encode(&self) -> Sector {
        let mut sector = SectorWriter::new();
        sector.put(&MAGIC);
        sector.u32(VERSION);
        sector.u32(self.key.dataset.code());
        sector.u32(match self.set {
            ColumnSet::Core => 0,
            ColumnSet::Full => 1,
        });
        sector.u32(self.key.date.0);
        let symbol = self.key.product.as_str().as_bytes();
        sector.u32(u32::try_from(symbol.len()).unwrap_or(u32::MAX));
        let mut padded = [0; MAX_PRODUCT_ID_BYTES];
        for (to, from) in padded.iter_mut().zip(symbol) {
            *to = *from;
        }
        sector.put(&padded);
        sector.u32(u32::try_from(self.columns).unwrap_or(u32::MAX));
        sector.finish()
    }

    /// Gives the version of the format, where it is not this one.
    pub(crate) fn other_version(sector: &Sector) -> Option<u32> {
        let mut sector = SectorReader::checked(sector)?;
        if sector.take()? != MAGIC {
            return None;
        }
        sector.u32().filter(|version| *version != VERSION)
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        let mut sector = SectorReader::checked(sector)?;
        if sector.take()? != MAGIC || sector.u32()? != VERSION {
            return None;
        }
        let code = sector.u32()?;
        let dataset = Dataset::ALL.into_iter().find(|dataset| dataset.code() == code)?;
        let set = match sector.u32()? {
            0 => ColumnSet::Core,
            1 => ColumnSet::Full,
            _ => return None,
        };
        let date = UtcDay(sector.u32()?);
        let length = usize::try_from(sector.u32()?).ok()?;
        let symbol: [u8; MAX_PRODUCT_ID_BYTES] = sector.take()?;
        let product = ProductId::new(std::str::from_utf8(symbol.get(..length)?).ok()?).ok()?;
        let columns = usize::try_from(sector.u32()?).ok()?;
        Some(Self { key: DayKey { product, dataset, date }, set, columns })
    }
}

/// Records at the front of every column, and their checksums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// How many.
    pub(crate) records: u64,
    /// Key of the last record that has one.
    pub(crate) last_key: u64,
    /// CRC32C of each column's bytes of these records.
    pub(crate) crcs: Vec<u32>,
}

impl Extent {
    /// Gives the extent of no records in so many columns.
    pub(crate) fn empty(columns: usize) -> Self {
        Self { records: 0, last_key: 0, crcs: vec![0; columns] }
    }

    fn encode(&self, sector: &mut SectorWriter) {
        assert!(self.crcs.len() <= MAX_PAGE_COLUMNS, "the page has room for so many columns");
        sector.u64(self.records);
        sector.u64(self.last_key);
        sector.u32(u32::try_from(self.crcs.len()).unwrap_or(u32::MAX));
        for crc in &self.crcs {
            sector.u32(*crc);
        }
    }

    fn decode(sector: &mut SectorReader<'_>) -> Option<Self> {
        let (records, last_key, columns) = (sector.u64()?, sector.u64()?, usize::try_from(sector.u32()?).ok()?);
        if columns > MAX_PAGE_COLUMNS {
            return None;
        }
        let crcs = (0..columns).map(|_| sector.u32()).collect::<Option<_>>()?;
        Some(Self { records, last_key, crcs })
    }
}

/// Records and late records of a day that are on disk, or will be once the flush that follows has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) extent: Extent,
    /// Late records.
    pub(crate) late: u32,
}

/// What was on disk when the slot was written. There are two, written in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableSlot {
    /// Rises by one with every slot written; 0 means that none was.
    pub(crate) sequence: u64,
    /// The generation of the files that the slot describes.
    pub(crate) generation: u32,
    /// Late records on disk.
    pub(crate) late: u32,
    /// Records on disk.
    pub(crate) extent: Extent,
}

impl DurableSlot {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = SectorWriter::new();
        sector.u64(self.sequence);
        sector.u32(self.generation);
        sector.u32(self.late);
        self.extent.encode(&mut sector);
        sector.finish()
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        let mut sector = SectorReader::checked(sector)?;
        let (sequence, generation, late) = (sector.u64()?, sector.u32()?, sector.u32()?);
        let extent = Extent::decode(&mut sector)?;
        (sequence > 0).then_some(Self { sequence, generation, late, extent })
    }
}

/// The phase of a dataset-day's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It grows.
    Live,
    /// Its files are cut to their length and final.
    Sealed,
    /// New files are taking the place of the old ones.
    Replacing,
}

/// What a state says of its page's hot sector, which has no checksum of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hot {
    /// It is in use, or holds old values: its bytes may be anything.
    Used,
    /// The day is sealed and open for late records: on the boot that wrote it the sector counts.
    TakesLate,
    /// It holds zeroes. They were on disk before the state was stored.
    Clear,
}

/// The state of a dataset-day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// What is known of the hot sector.
    pub(crate) hot: Hot,
    /// Generation of the files; while replacing, of the old ones.
    pub(crate) generation: u32,
    /// Live: the records that the day grew from (none, or those of the seal it was opened again from). Sealed: the records that it holds.
    /// Replacing: the records that the new files hold.
    pub(crate) extent: Extent,
}

impl State {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = SectorWriter::new();
        sector.u32(match self.phase {
            Phase::Live => 1,
            Phase::Sealed => 2,
            Phase::Replacing => 3,
        });
        sector.u32(self.generation);
        self.extent.encode(&mut sector);
        sector.at = HOT_AT;
        sector.u32(match self.hot {
            Hot::Used => 0,
            Hot::Clear => 1,
            Hot::TakesLate => 2,
        });
        sector.finish()
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        let hot = sector.get(HOT_AT..CRC_AT).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
        let mut sector = SectorReader::checked(sector)?;
        let phase = match sector.u32()? {
            1 => Phase::Live,
            2 => Phase::Sealed,
            3 => Phase::Replacing,
            _ => return None,
        };
        let generation = sector.u32()?;
        let hot = match hot? {
            // Pages that are older than this field have a zero here.
            0 => Hot::Used,
            1 => Hot::Clear,
            2 => Hot::TakesLate,
            _ => return None,
        };
        Some(Self { phase, hot, generation, extent: Extent::decode(&mut sector)? })
    }
}

/// Puts values into a sector one after the other, then its CRC.
struct SectorWriter {
    sector: Sector,
    at: usize,
}

impl SectorWriter {
    fn new() -> Self {
        Self { sector: [0; SECTOR], at: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        assert!(end <= CRC_AT, "a sector has room for its values");
        if let Some(room) = self.sector.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
        }
        self.at = end;
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    fn finish(mut self) -> Sector {
        if let Some((body, end)) = self.sector.split_last_chunk_mut::<4>() {
            *end = crc32c::crc32c(body).to_le_bytes();
        }
        self.sector
    }
}

/// Takes values from a sector whose CRC fits.
struct SectorReader<'a> {
    rest: &'a [u8],
}

impl<'a> SectorReader<'a> {
    fn checked(sector: &'a Sector) -> Option<Self> {
        let (body, crc) = sector.split_last_chunk::<4>()?;
        (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(Self { rest: body })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        let key = DayKey { product: ProductId::new("BTC-USD").expect("a product"), dataset: Dataset::Trades, date: UtcDay(20_000) };
        Identity { key, set: ColumnSet::Full, columns: 13 }
    }

    #[test]
    fn the_identity_lies_where_the_format_says() {
        let sector = identity().encode();
        assert_eq!(sector[..8], *b"COLTAPE\0");
        assert_eq!(sector[8..32], [1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0x20, 0x4e, 0, 0, 7, 0, 0, 0, b'B', b'T', b'C', b'-']);
        assert_eq!(sector[92..96], [13, 0, 0, 0]);
        assert_eq!(Identity::decode(&sector), Some(identity()));
    }

    #[test]
    fn the_identity_names_a_front_of_the_table_or_is_refused() {
        let table = Dataset::Trades.columns();
        let held = |set, columns| Identity { set, columns, ..identity() }.columns(table, Path::new("page")).map(<[Column]>::len);
        assert_eq!(held(ColumnSet::Full, 13).ok(), Some(13));
        assert_eq!(held(ColumnSet::Full, 12).ok(), Some(12), "the table has grown since");
        assert_eq!(held(ColumnSet::Core, 8).ok(), Some(8));
        let newer = held(ColumnSet::Full, table.len() + 1).expect_err("a later version's").to_string();
        assert!(newer.contains(&format!("holds {} columns; this version knows {}", table.len() + 1, table.len())), "{newer}");
        assert!(held(ColumnSet::Full, 7).is_err() && held(ColumnSet::Core, 9).is_err() && held(ColumnSet::Full, usize::MAX).is_err());
    }

    #[test]
    fn a_page_of_zeroes_says_nothing() {
        let zeroes = [0; SECTOR];
        assert_eq!(Identity::decode(&zeroes), None);
        assert_eq!(DurableSlot::decode(&zeroes), None);
        assert_eq!(State::decode(&zeroes), None);
    }

    #[test]
    fn the_most_columns_fit_a_sector() {
        let extent = Extent { records: u64::MAX, last_key: u64::MAX, crcs: vec![u32::MAX; MAX_PAGE_COLUMNS] };
        let slot = DurableSlot { sequence: 1, generation: 2, late: 3, extent };
        assert_eq!(DurableSlot::decode(&slot.encode()), Some(slot));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_makes_a_sector_nothing(records: u64, last_key: u64, crcs in prop::collection::vec(any::<u32>(), 0..20), bit in 0usize..SECTOR * 8) {
            let extent = Extent { records, last_key, crcs };
            let state = State { phase: Phase::Replacing, hot: Hot::TakesLate, generation: 9, extent: extent.clone() };
            let slot = DurableSlot { sequence: 5, generation: 9, late: 1, extent };
            prop_assert_eq!(State::decode(&state.encode()), Some(state.clone()));
            prop_assert_eq!(DurableSlot::decode(&slot.encode()), Some(slot.clone()));
            for mut sector in [state.encode(), slot.encode()] {
                sector[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(State::decode(&sector), None);
                prop_assert_eq!(DurableSlot::decode(&sector), None);
            }
        }

        #[test]
        fn any_bytes_with_a_good_crc_are_decoded_without_a_panic(mut sector in prop::collection::vec(any::<u8>(), SECTOR)) {
            let crc = crc32c::crc32c(&sector[..CRC_AT]).to_le_bytes();
            sector[CRC_AT..].copy_from_slice(&crc);
            let sector: Sector = sector.try_into().expect("a sector");
            let _ = (Identity::decode(&sector), DurableSlot::decode(&sector), State::decode(&sector));
        }
    }
}
