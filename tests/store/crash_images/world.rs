//! What was done to a day, and what must therefore be found after a crash.

use coltape::internals::decimal::Decimal;
use coltape::internals::record::{OrderId, Side, Ticker, Trade};
use coltape::internals::schema::{Layout, Md, TickerTrades, Trades};
use coltape::internals::time::{UnixNanos, UtcDay};

/// The day of all crashes.
pub(crate) const DAY: UtcDay = UtcDay(20_000);

/// A dataset under test: makes rows that even the core columns hold exactly, and signs them.
pub(crate) trait Subject: Layout {
    /// Makes the row of a key; another salt gives another row.
    fn make(key: u64, salt: u64) -> Self::Row;
    /// Takes from a row what REST does not give.
    fn bare(row: Self::Row) -> Self::Row;
    /// Sums up a row as it was stored.
    fn sign(row: &Self::Row) -> [u64; 4];
    /// Whether late records are to be tried.
    const LATE: bool;
}

fn time(key: u64) -> UnixNanos {
    UnixNanos(DAY.start().0 + key * 1_000_000_007)
}

fn half(value: u64) -> Decimal {
    Decimal::from_f32(u16::try_from(value % 60_000).unwrap().into())
}

impl Subject for Trades {
    const LATE: bool = true;

    fn make(key: u64, salt: u64) -> Trade {
        let order = |number: u64| OrderId(number.to_be_bytes().repeat(2).try_into().unwrap());
        let side = if salt.is_multiple_of(2) { Side::Buy } else { Side::Sell };
        Trade {
            trade_id: key,
            time: time(key),
            price: half(salt + 1),
            size: half(key + 1),
            side,
            maker_order_id: order(key ^ salt),
            taker_order_id: order(!key),
            ..Trades::EMPTY
        }
    }

    fn bare(row: Trade) -> Trade {
        Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, ..row }
    }

    fn sign(row: &Trade) -> [u64; 4] {
        let order = |id: OrderId| {
            u64::from_be_bytes(id.0[..8].try_into().unwrap()) ^ u64::from_be_bytes(id.0[8..].try_into().unwrap()).rotate_left(9)
        };
        let values = u64::from(row.price.as_f32.to_bits()) << 32 | u64::from(row.size.as_f32.to_bits());
        [
            row.trade_id,
            row.time.0,
            values ^ u64::from(row.side.code()),
            order(row.maker_order_id) ^ order(row.taker_order_id).rotate_left(5),
        ]
    }
}

impl Subject for TickerTrades {
    const LATE: bool = false;

    fn make(key: u64, salt: u64) -> Ticker {
        Ticker {
            time: time(key),
            trade_id: key,
            sequence: key,
            price: half(salt + 1),
            volume: half(key + 1),
            side: Some(Side::Buy),
            best_bid: half(3),
            best_ask: half(salt + 4),
            ..Md::EMPTY
        }
    }

    fn bare(row: Ticker) -> Ticker {
        row
    }

    fn sign(row: &Ticker) -> [u64; 4] {
        [row.time.0, row.price.as_f32.to_bits().into(), row.volume.as_f32.to_bits().into(), row.side.map_or(9, Side::code).into()]
    }
}

/// What a generation of the files has been given.
#[derive(Clone, Default, Debug)]
pub(crate) struct Era {
    /// Records in the columns, in order; the first `least` came with the replacement that began the era.
    pub(crate) base: Vec<[u64; 4]>,
    pub(crate) least: usize,
    /// Late records.
    pub(crate) late: Vec<[u64; 4]>,
}

/// How much must be found: of which era, so many records and late records.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Promise {
    pub(crate) era: usize,
    pub(crate) base: usize,
    pub(crate) late: usize,
}

/// What was done so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct World {
    pub(crate) eras: Vec<Era>,
    /// The era of the files as they are; one that is being written may follow it.
    pub(crate) current: usize,
    /// Records and late records of that era that are committed.
    pub(crate) committed: (usize, usize),
    /// What slots that are written, but not flushed, promise.
    pub(crate) pending: Promise,
    /// What the disk holds.
    pub(crate) promise: Promise,
}

impl World {
    /// Begins with a day as it was recovered.
    pub(crate) fn of(base: Vec<[u64; 4]>, late: Vec<[u64; 4]>) -> Self {
        let promise = Promise::default();
        let committed = (base.len(), late.len());
        Self { eras: vec![Era { base, least: 0, late }], current: 0, committed, pending: promise, promise }
    }

    pub(crate) fn era(&mut self) -> &mut Era {
        self.eras.last_mut().unwrap()
    }

    /// A slot has been written that names all that is committed.
    pub(crate) fn slot_written(&mut self) {
        let (base, late) = self.committed;
        self.pending = Promise { era: self.current, base, late };
    }

    /// All that was given is committed.
    pub(crate) fn commit(&mut self) {
        let era = &self.eras[self.current];
        self.committed = (era.base.len(), era.late.len());
    }

    /// The era that was announced has begun.
    pub(crate) fn era_begun(&mut self) {
        self.current = self.eras.len() - 1;
        self.commit();
        self.slot_written();
    }

    /// A replacement has been written from all that was given: an era begins.
    pub(crate) fn replaced(&mut self) {
        let last = self.eras.last().unwrap();
        let mut base = last.base.clone();
        for late in &last.late {
            match base.binary_search_by_key(&late[0], |row| row[0]) {
                Ok(at) => base[at] = *late,
                Err(at) => base.insert(at, *late),
            }
        }
        self.eras.push(Era { least: base.len(), base, late: Vec::new() });
    }

    /// Says what is wrong with what was found.
    pub(crate) fn judge(&self, base: &[[u64; 4]], late: &[[u64; 4]]) -> Result<(), String> {
        let fits = self.eras.iter().enumerate().any(|(number, era)| {
            let enough = match number.cmp(&self.promise.era) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => base.len() >= self.promise.base.max(era.least) && late.len() >= self.promise.late,
                std::cmp::Ordering::Greater => base.len() >= era.least,
            };
            enough && era.base.get(..base.len()) == Some(base) && era.late.get(..late.len()) == Some(late)
        });
        if fits {
            return Ok(());
        }
        let given: Vec<_> = self.eras.iter().map(|era| (era.base.len(), era.late.len())).collect();
        Err(format!("found {} records and {} late ones; given {given:?}, promised {:?}", base.len(), late.len(), self.promise))
    }
}
