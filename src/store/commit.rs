//! The commit page's bytes: what each 512-byte sector holds and how it is checked.
//!
//! 1. Little-endian, fixed offsets, no padding that means anything; the last four bytes of a sector are the CRC32C of the others.
//! 2. Decoding never trusts: a wrong CRC, magic, version or code is *nothing*, not an error and not a panic.
//! 3. The hot sector (1) has no CRC: it changes with every commit, and a disk writes a sector whole. It counts only on the boot that wrote it.
//! 4. A new version of the format changes [`VERSION`]; older ones are then read by their own decoder.

use super::map::SECTOR;
use super::place::DayKey;
use crate::product::{MAX_PRODUCT_ID_BYTES, ProductId};
use crate::schema::{ColumnSet, Dataset};
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
/// Sectors of the [`State`]: the one that counts, and its spare for when that one is torn.
pub(crate) const STATE_SECTORS: [usize; 2] = [4, 5];

/// Sector of the witness: what a day holds whose last flush failed, in the form of a slot.
pub(crate) const WITNESS_SECTOR: usize = 6;

/// Most columns a page has room for.
pub(crate) const MAX_COLUMNS: usize = 64;

const CRC_AT: usize = SECTOR - 4;
/// Where a state says what its page's hot sector holds.
const HOT_AT: usize = CRC_AT - 4;

const _: () = assert!(28 + 4 * MAX_COLUMNS <= HOT_AT, "a state has room for its columns' checksums");

type Sector = [u8; SECTOR];

/// Which dataset-day a page belongs to. Written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) key: DayKey,
    pub(crate) set: ColumnSet,
}

impl Identity {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = Writer::new();
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
        sector.u32(u32::try_from(self.key.dataset.columns_of(self.set).len()).unwrap_or(u32::MAX));
        sector.finish()
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        let mut sector = Reader::checked(sector)?;
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
        let product = ProductId::from_bytes(symbol.get(..length)?).ok()?;
        if usize::try_from(sector.u32()?).ok()? != dataset.columns_of(set).len() {
            return None;
        }
        Some(Self { key: DayKey { product, dataset, date }, set })
    }
}

/// Records at the front of every column, and what they add up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// How many.
    pub(crate) records: u64,
    /// Key of the last one that has any.
    pub(crate) last_key: u64,
    /// CRC32C of each column's bytes of these records.
    pub(crate) crcs: Vec<u32>,
}

impl Extent {
    /// Gives the extent of no records in so many columns.
    pub(crate) fn empty(columns: usize) -> Self {
        Self { records: 0, last_key: 0, crcs: vec![0; columns] }
    }

    fn encode(&self, sector: &mut Writer) {
        assert!(self.crcs.len() <= MAX_COLUMNS, "the page has room for so many columns");
        sector.u64(self.records);
        sector.u64(self.last_key);
        sector.u32(u32::try_from(self.crcs.len()).unwrap_or(u32::MAX));
        for crc in &self.crcs {
            sector.u32(*crc);
        }
    }

    fn decode(sector: &mut Reader<'_>) -> Option<Self> {
        let (records, last_key, columns) = (sector.u64()?, sector.u64()?, usize::try_from(sector.u32()?).ok()?);
        if columns > MAX_COLUMNS {
            return None;
        }
        let crcs = (0..columns).map(|_| sector.u32()).collect::<Option<_>>()?;
        Some(Self { records, last_key, crcs })
    }
}

/// What the sync thread knows to be on disk. Two of them, written in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableSlot {
    /// Rises by one with every slot written; 0 is none.
    pub(crate) sequence: u64,
    /// The generation of the files it speaks of.
    pub(crate) generation: u32,
    /// Late records on disk.
    pub(crate) late: u32,
    /// Records on disk.
    pub(crate) extent: Extent,
}

impl DurableSlot {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = Writer::new();
        sector.u64(self.sequence);
        sector.u32(self.generation);
        sector.u32(self.late);
        self.extent.encode(&mut sector);
        sector.finish()
    }

    pub(crate) fn decode(sector: &Sector) -> Option<Self> {
        let mut sector = Reader::checked(sector)?;
        let (sequence, generation, late) = (sector.u64()?, sector.u32()?, sector.u32()?);
        let extent = Extent::decode(&mut sector)?;
        (sequence > 0).then_some(Self { sequence, generation, late, extent })
    }
}

/// Where a dataset-day is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It grows.
    Live,
    /// Its files are cut to their length and final.
    Sealed,
    /// New files are being put in the place of the old ones.
    Replacing,
}

/// What a sealed page says of its hot sector, which has no checksum of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hot {
    /// It is used, or holds what was left in it: nothing can be said of its bytes.
    Used,
    /// The day is sealed and open for late records: what it holds counts on this boot.
    TakesLate,
    /// It holds zeroes. They were on disk before this was said.
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
    /// Live: what it grew from (nothing, or the seal it was opened again from). Sealed: what it holds. Replacing: what the new files hold.
    pub(crate) extent: Extent,
}

impl State {
    pub(crate) fn encode(&self) -> Sector {
        let mut sector = Writer::new();
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
        let mut sector = Reader::checked(sector)?;
        let phase = match sector.u32()? {
            1 => Phase::Live,
            2 => Phase::Sealed,
            3 => Phase::Replacing,
            _ => return None,
        };
        let generation = sector.u32()?;
        let hot = match hot? {
            // Pages of before this was said have a zero here.
            0 => Hot::Used,
            1 => Hot::Clear,
            2 => Hot::TakesLate,
            _ => return None,
        };
        Some(Self { phase, hot, generation, extent: Extent::decode(&mut sector)? })
    }
}

/// Puts values into a sector one after the other, then its CRC.
struct Writer {
    sector: Sector,
    at: usize,
}

impl Writer {
    fn new() -> Self {
        Self { sector: [0; SECTOR], at: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        assert!(end <= CRC_AT, "a sector has room for what it holds");
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
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
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
        Identity { key, set: ColumnSet::Full }
    }

    #[test]
    fn the_identity_lies_where_the_format_says() {
        let sector = identity().encode();
        assert_eq!(sector[..8], *b"COLTAPE\0");
        assert_eq!(sector[8..32], [1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0x20, 0x4e, 0, 0, 7, 0, 0, 0, b'B', b'T', b'C', b'-']);
        assert_eq!(Identity::decode(&sector), Some(identity()));
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
        let extent = Extent { records: u64::MAX, last_key: u64::MAX, crcs: vec![u32::MAX; MAX_COLUMNS] };
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
