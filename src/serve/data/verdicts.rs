//! [`Verdicts`]: how complete times are that were asked for, kept until something that it depends on has changed.
//!
//! To judge a day all its ids are looked at, which takes a tenth of a second for the busiest one. What was judged is the same as long as the number and the
//! ends of every day's trades are the same, the files of the range's days are, and the journal says the same. (The bytes of the days of an answer are
//! compared with their checksums in any case.)
//!
//! A range with a large day is judged at a glance first, so that its answer can begin. It is judged once more before the end of that answer is told, and the
//! answer is broken off where the two differ: [`Judged::is_to_be_confirmed`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::history::Knowledge;
use crate::market::{Coverage, CoveredDay};
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::own_file::FileStamp;
use crate::store::{DayKey, catalog, losses};
use crate::tape::{DayEnds, Tape, TapeError};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;

/// Most verdicts that are kept. Beyond it all are forgotten.
const MAX_KEPT: usize = 512;
/// From how many trades on days are judged at a glance first: fewer are judged within some milliseconds.
const LARGE_RECORDS: u64 = 500_000;

/// How complete a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// A checksum of what is missing and why.
    pub(super) known: u64,
    /// Whether not everything was looked at.
    pub(super) is_to_be_confirmed: bool,
}

/// What a verdict depends on.
struct Basis {
    /// The days that the range touches.
    days: Vec<(UtcDay, Option<DayEnds>)>,
    /// The days before it and behind it, with the end that is next to it.
    beside: Vec<(UtcDay, Option<(u64, UnixNanos)>)>,
    /// The files of the days that the range touches.
    files: Vec<FileStamp>,
    knowledge: Arc<Knowledge>,
}

impl Basis {
    fn of(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        let (mut days, mut beside) = (Vec::new(), Vec::new());
        for date in tape.days(product, Dataset::Trades)? {
            // A day that cannot be read has no ends, which is told apart.
            let ends = tape.ends_of_day(product, date).ok().flatten();
            if range.overlaps_day(date) {
                days.push((date, ends));
            } else {
                let is_before = range.from.is_some_and(|from| date < from.day());
                beside.push((date, ends.and_then(|ends| ends.ends).map(|[first, last]| if is_before { last } else { first })));
            }
        }
        let mut files = Vec::new();
        for dataset in Dataset::ALL {
            for date in tape.days(product, dataset)?.into_iter().filter(|date| range.overlaps_day(*date)) {
                files.extend(catalog::stamps(tape.dir(), &DayKey { product: product.clone(), dataset, date }));
            }
        }
        Ok(Self { days, beside, files, knowledge: tape.knowledge() })
    }

    /// Counts the trades of the range's days.
    fn records(&self) -> u64 {
        self.days.iter().filter_map(|(_, ends)| ends.map(|ends| ends.count)).fold(0, u64::saturating_add)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.days == other.days
            && self.beside == other.beside
            && self.files == other.files
            && Arc::ptr_eq(&self.knowledge, &other.knowledge)
    }
}

struct Kept {
    product: ProductId,
    range: TimeRange,
    basis: Basis,
    judged: Judged,
}

/// The days of a product before the first one that may still change.
struct SettledDays {
    product: ProductId,
    basis: Basis,
    range: TimeRange,
    days: Vec<CoveredDay>,
}

/// The days of a product, judged.
pub(super) struct JudgedDays {
    pub(super) days: Vec<CoveredDay>,
    /// Whether not everything was looked at.
    pub(super) is_glance: bool,
    /// A checksum of what their files are.
    pub(super) files: u64,
}

/// What was judged.
#[derive(Default)]
pub(crate) struct Verdicts {
    ranges: Mutex<Vec<Kept>>,
    settled: Mutex<Vec<SettledDays>>,
    /// What a glance has misjudged before.
    misjudged: Mutex<Vec<(ProductId, TimeRange)>>,
}

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdicts").finish_non_exhaustive()
    }
}

impl Verdicts {
    /// Judges a range of time of a product's trades. What is said of days that still grow is not kept: it depends on what is durable, too.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn of(&self, tape: &Tape, product: &ProductId, range: TimeRange, may_grow: bool) -> Result<Judged, TapeError> {
        if may_grow {
            return Ok(judged(&Coverage::of(tape, product, range)?));
        }
        // Looked at before it is judged: what changes meanwhile is judged again the next time.
        let (basis, before) = (Basis::of(tape, product, range)?, losses());
        let is_it = |kept: &Kept| &kept.product == product && kept.range == range;
        if let Some(kept) = self.kept(product, range, &basis) {
            return Ok(kept);
        }
        let judged = judged(&Coverage::of(tape, product, range)?);
        if losses() != before {
            // It was judged by zeros in the place of what a device has lost.
            return Ok(judged);
        }
        let mut kept = self.ranges.lock();
        kept.retain(|kept| !is_it(kept));
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.push(Kept { product: product.clone(), range, basis, judged });
        Ok(judged)
    }

    /// Judges a range of days that do not grow at a glance. What was judged before is what it was.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn at_a_glance(&self, tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Judged, TapeError> {
        let basis = Basis::of(tape, product, range)?;
        if let Some(kept) = self.kept(product, range, &basis) {
            return Ok(kept);
        }
        let glance = judged(&Coverage::at_a_glance(tape, product, range)?);
        Ok(Judged { is_to_be_confirmed: true, ..glance })
    }

    fn kept(&self, product: &ProductId, range: TimeRange, basis: &Basis) -> Option<Judged> {
        let ranges = self.ranges.lock();
        let is_it = |kept: &&Kept| &kept.product == product && kept.range == range && kept.basis.is_same(basis);
        ranges.iter().find(is_it).map(|kept| kept.judged)
    }
}

impl Verdicts {
    /// Judges the days of a product that a range touches. Those before the first one that may still change are judged once. Large ones of them that were not
    /// judged yet are judged at a glance where that may be.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn product_days(
        &self,
        tape: &Tape,
        product: &ProductId,
        range: TimeRange,
        may_glance: bool,
    ) -> Result<JudgedDays, TapeError> {
        let dates = tape.days(product, Dataset::Trades)?.into_iter().filter(|date| range.overlaps_day(*date));
        let is_open = |date: &UtcDay| {
            let key = DayKey { product: product.clone(), dataset: Dataset::Trades, date: *date };
            catalog::is_unsealed(tape.dir(), &key).unwrap_or(true)
        };
        let open = dates.into_iter().find(is_open).map(UtcDay::start);
        let Some(open) = open else { return self.settled(tape, product, range, may_glance) };
        let (before, behind) = (TimeRange { to: Some(open), ..range }, TimeRange { from: range.from.max(Some(open)), ..range });
        let none = JudgedDays { days: Vec::new(), is_glance: false, files: 0 };
        let mut judged = if before.is_empty() { none } else { self.settled(tape, product, before, may_glance)? };
        judged.days.extend(CoveredDay::of_range(tape, product, behind)?);
        Ok(judged)
    }

    /// Has a range judged as a whole from now on: what a glance shows of it is not what is there.
    pub(in crate::serve) fn never_glance(&self, product: &ProductId, range: TimeRange) {
        let mut misjudged = self.misjudged.lock();
        if misjudged.len() >= MAX_KEPT {
            misjudged.clear();
        }
        misjudged.push((product.clone(), range));
    }

    /// Tells whether a glance at a range has not misjudged it yet.
    pub(in crate::serve) fn may_glance(&self, product: &ProductId, range: TimeRange) -> bool {
        !self.misjudged.lock().iter().any(|(known, asked)| known == product && *asked == range)
    }

    fn settled(&self, tape: &Tape, product: &ProductId, range: TimeRange, may_glance: bool) -> Result<JudgedDays, TapeError> {
        let basis = Basis::of(tape, product, range)?;
        let mut hasher = DefaultHasher::new();
        basis.files.hash(&mut hasher);
        let files = hasher.finish();
        let is_it = |kept: &SettledDays| &kept.product == product && kept.range == range;
        let known = || self.settled.lock().iter().find(|kept| is_it(kept) && kept.basis.is_same(&basis)).map(|kept| kept.days.clone());
        let judged = |days: Vec<CoveredDay>| JudgedDays { days, is_glance: false, files };
        if may_glance && basis.records() >= LARGE_RECORDS && known().is_none() && self.may_glance(product, range) {
            return Ok(JudgedDays { days: CoveredDay::at_a_glance(tape, product, range)?, is_glance: true, files });
        }
        if !basis.days.iter().all(|(date, _)| has_its_bytes(tape, product, *date)) {
            return CoveredDay::of_range(tape, product, range).map(judged);
        }
        if let Some(days) = known() {
            return Ok(judged(days));
        }
        let before = losses();
        let days = CoveredDay::of_range(tape, product, range)?;
        if losses() != before {
            return Ok(judged(days));
        }
        let mut kept = self.settled.lock();
        kept.retain(|kept| !is_it(kept));
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.push(SettledDays { product: product.clone(), basis, range, days: days.clone() });
        Ok(judged(days))
    }
}

/// Tells whether a day's bytes are what was written.
fn has_its_bytes(tape: &Tape, product: &ProductId, date: UtcDay) -> bool {
    let checked =
        tape.day::<Trades>(product, date).map(|day| day.is_none_or(|day| tape.check_day(&day).is_ok_and(|faults| faults.is_empty())));
    checked.unwrap_or(false)
}

fn judged(coverage: &Coverage) -> Judged {
    let mut hasher = DefaultHasher::new();
    coverage.shortcoming().hash(&mut hasher);
    for gap in &coverage.gaps {
        (gap.ids.first(), gap.ids.last(), gap.times(), &gap.why, gap.is_absence).hash(&mut hasher);
    }
    for doubt in &coverage.doubts {
        (doubt.date, doubt.verdict.name(), &doubt.why).hash(&mut hasher);
    }
    Judged { verdict: coverage.verdict(), known: hasher.finish(), is_to_be_confirmed: false }
}
