//! [`StreamedDay`]: a day that is sent, how it is told from the same day at another time, and how its bytes are checked.

use super::error::StreamError;
use crate::export::ExportError;
use crate::export::stored_day::StoredDay;
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, with_layout};
use crate::store::{DayKey, DayState, Snapshot, catalog, holder_of};
use crate::tape::Tape;
use crate::time::UtcDay;

/// How many bytes of tickers are compared with their checksums before an answer begins: some milliseconds. Those of trades all are, but for a day that is
/// large and does not grow: whoever judges the completeness of a day does so, and a [`Tape`] remembers it.
const CHECKED_BEFORE_BYTES: u64 = 24 << 20;

/// Records of a day that is large: to look at each of them, or at all of their bytes, may take a while.
const LARGE_DAY_RECORDS: u64 = 500_000;

/// Records of a column that are checked at once.
const CHECKED_RECORDS: usize = 1 << 17;

/// What is left of the bytes that are checked before an answer begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(CHECKED_BEFORE_BYTES)
    }
}

impl Budget {
    /// Takes bytes off, if there are so many left.
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Which bytes are compared with their checksums when a day is opened.
#[derive(Debug)]
pub(super) enum Checks<'b> {
    Nothing,
    /// Those of trades, but for a large day that does not grow, and those of other records within what is left.
    Within(&'b mut Budget),
    Everything,
}

/// What tells a day from the same day at another time: other records, other files, other bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DayIdentity {
    key: (String, &'static str, u32),
    /// The generation of a sealed day.
    generation: Option<u32>,
    may_grow: bool,
    records: u64,
    late: u64,
    checksums: Option<Vec<u32>>,
}

impl DayIdentity {
    fn of<L: Layout>(day: &Snapshot<L>) -> Self {
        let key = day.key();
        let generation = match day.state() {
            DayState::Sealed { generation } => Some(generation),
            DayState::Live | DayState::Bare => None,
        };
        Self {
            key: (key.product.as_str().to_owned(), key.dataset.name(), key.date.0),
            generation,
            may_grow: day.state() == DayState::Live,
            records: day.base_count() as u64,
            late: day.late().len() as u64,
            checksums: day.checksums(),
        }
    }

    /// Tells whether the day's files are final, until they are replaced.
    #[must_use]
    pub(crate) fn is_sealed(&self) -> bool {
        self.generation.is_some()
    }

    /// Gives the day.
    #[must_use]
    pub(crate) fn date(&self) -> UtcDay {
        UtcDay(self.key.2)
    }

    /// Tells whether the day may still get records.
    #[must_use]
    pub(crate) fn may_grow(&self) -> bool {
        self.may_grow
    }

    /// Tells whether the day is large.
    #[must_use]
    pub(crate) fn is_large(&self) -> bool {
        self.records() >= LARGE_DAY_RECORDS
    }

    /// Tells whether its bytes are compared with their checksums only when the answer has been sent, before its end is told: [`check`].
    #[must_use]
    pub(crate) fn is_checked_later(&self) -> bool {
        self.is_large() && !self.may_grow && self.key.1 == Dataset::Trades.name()
    }

    /// Counts the day's records.
    #[must_use]
    pub(super) fn records(&self) -> u64 {
        self.records + self.late
    }
}

/// Looks at a day: what it is, and within the budget whether its bytes are what was written. Gives nothing where the day is only just being made.
///
/// # Errors
/// Where the day cannot be read, or is damaged.
pub(crate) fn look(tape: &Tape, key: &DayKey, budget: &mut Budget) -> Result<Option<DayIdentity>, ExportError> {
    with_layout!(key.dataset, L => Ok(open::<L>(tape, key, Checks::Within(budget))?.map(|day| DayIdentity::of(&day))))
}

/// Compares the bytes of a day that was sent with their checksums.
///
/// # Errors
/// Where the day cannot be read or is damaged, and where it is another one by now, or gone: nothing shows then that what was sent was right.
pub(crate) fn check(tape: &Tape, key: &DayKey, sent: &DayIdentity) -> Result<(), StreamError> {
    with_layout!(key.dataset, L => {
        let day = Snapshot::<L>::open(tape.dir(), &key.product, key.date).map_err(ExportError::from)?;
        let day = day.filter(|day| DayIdentity::of(day) == *sent).ok_or_else(|| StreamError::replaced(key))?;
        Ok(tape.check_bytes(&day).map_err(ExportError::from)?)
    })
}

/// Looks whether a day that an answer was made of is there still, and a sealed one as it was.
///
/// # Errors
/// Where it is not, or cannot be opened.
pub(crate) fn check_still_there(tape: &Tape, product: &ProductId, seen: &DayIdentity) -> Result<(), StreamError> {
    let Some(dataset) = Dataset::ALL.into_iter().find(|dataset| dataset.name() == seen.key.1) else { return Ok(()) };
    let key = DayKey { product: product.clone(), dataset, date: seen.date() };
    with_layout!(dataset, L => {
        let day = Snapshot::<L>::open(tape.dir(), product, key.date).map_err(ExportError::from)?;
        let is_same = day.is_some_and(|day| !seen.is_sealed() || DayIdentity::of(&day) == *seen);
        if is_same { Ok(()) } else { Err(StreamError::replaced(&key)) }
    })
}

/// Counts the records of a day, without a look at its bytes.
///
/// # Errors
/// Where the day cannot be read.
pub(crate) fn count_records(tape: &Tape, key: &DayKey) -> Result<u64, ExportError> {
    with_layout!(key.dataset, L => Ok(open::<L>(tape, key, Checks::Nothing)?.map_or(0, |day| day.count() as u64)))
}

/// Opens a day, and checks it.
fn open<L: Layout>(tape: &Tape, key: &DayKey, checks: Checks<'_>) -> Result<Option<Snapshot<L>>, ExportError> {
    let Some(day) = Snapshot::<L>::open(tape.dir(), &key.product, key.date)? else {
        // Files that are being made have no record yet. Files that nobody makes and that cannot be opened must not be passed over if they have some.
        if holder_of(tape.dir())?.is_none() {
            catalog::must_be_empty(tape.dir(), key)?;
        }
        return Ok(None);
    };
    let width: usize = day.columns().iter().map(|column| column.kind.width()).sum();
    let bytes = (day.base_count() as u64).saturating_mul(width as u64);
    let is_checked = match checks {
        Checks::Nothing => false,
        Checks::Everything => true,
        Checks::Within(_) if L::DATASET == Dataset::Trades => !DayIdentity::of(&day).is_checked_later(),
        Checks::Within(budget) => budget.take(bytes),
    };
    if is_checked {
        tape.check_bytes(&day)?;
    }
    Ok(Some(day))
}

/// A day that is sent.
pub(super) struct StreamedDay {
    pub(super) stored: StoredDay,
    pub(super) identity: DayIdentity,
    /// The checksums of the columns of a sealed day.
    checksums: Option<Vec<u32>>,
}

impl StreamedDay {
    /// Opens a day, and checks it. Gives nothing where it is only just being made.
    ///
    /// # Errors
    /// Where the day cannot be read, or is damaged.
    pub(super) fn open(tape: &Tape, key: &DayKey, checks: Checks<'_>) -> Result<Option<Self>, ExportError> {
        with_layout!(key.dataset, L => {
            let Some(day) = open::<L>(tape, key, checks)? else { return Ok(None) };
            let identity = DayIdentity::of(&day);
            let checksums = identity.checksums.clone();
            Ok(Some(Self { stored: StoredDay::of_unchecked(day), identity, checksums }))
        })
    }

    /// Compares columns of a sealed day with their checksums. `which` has a bit for each of them.
    ///
    /// # Errors
    /// Where the bytes are not what was written.
    pub(super) fn check(&self, which: u32) -> Result<(), ExportError> {
        // Trades were checked before, or will be: see DayIdentity::is_checked_later.
        let Some(checksums) = self.checksums.as_ref().filter(|_| self.stored.dataset() != Dataset::Trades) else { return Ok(()) };
        for (at, (column, crc)) in self.stored.columns().iter().zip(checksums).enumerate() {
            let is_asked = u32::try_from(at).ok().and_then(|at| which.checked_shr(at)).is_some_and(|bits| bits & 1 == 1);
            if is_asked && self.checksum(at, column.kind.width()) != *crc {
                let key = self.stored.key();
                let what = format!("{} {} {}: the checksum of {} is another", key.product, key.dataset.folder(), key.date, column.name);
                return Err(ExportError::DamagedDay { what });
            }
        }
        Ok(())
    }

    /// Computes the checksum of a column, and gives its memory back part by part.
    fn checksum(&self, column: usize, width: usize) -> u32 {
        let parts = self.stored.column_bytes(column).chunks(CHECKED_RECORDS * width).enumerate();
        parts.fold(0, |crc, (part, bytes)| {
            let crc = crc32c::crc32c_append(crc, bytes);
            self.stored.release(part * CHECKED_RECORDS..(part + 1) * CHECKED_RECORDS);
            crc
        })
    }
}
