//! [`Checks`]: what a day is judged by beside its own records: its files, its place in the chain of ids, and the journal.
//!
//! `verify` looks at every record as well ([`super::product`]). An answer about a range of time does not ([`super::survey`]). What is here is the same for
//! both.

use std::collections::BTreeMap;

use super::config::VerifyConfig;
use super::coverage::{self, Coverage, DayCoverage, DayIds, Verdict};
use super::day::ClockOfNow;
use super::finding::{FindingKind, Findings, Location};
use super::report::{DatasetDay, ProductDay};
use super::sectors;
use super::sums::DaySums;
use crate::history::{History, Journal};
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout};
use crate::store::{DayState, Fault, Snapshot, StoreError};
use crate::time::{DateFormat, NANOS_PER_SECOND, UtcDay};

/// How long after the end of a day a trade of it may still arrive as it happens, in nanoseconds.
pub(super) const LAG_NANOS: u64 = 3600 * NANOS_PER_SECOND;

/// What every day of a product is checked with.
pub(super) struct Checks<'a> {
    pub config: &'a VerifyConfig,
    pub product: &'a ProductId,
    pub history: &'a History,
    pub clock: ClockOfNow<'a>,
}

impl Checks<'_> {
    /// Reports ids that are stored twice or in the wrong day, ids that are missing, and trades that came again with other fields.
    pub(super) fn report_chain(&self, coverage: &Coverage, ids: &[DayIds], findings: &mut Findings) {
        let Checks { config, product, history, .. } = *self;
        for overlap in coverage.overlaps.iter().filter(|overlap| config.covers(overlap.date, overlap.again_on)) {
            let location = Location::on(product, Dataset::Trades, overlap.again_on);
            findings.add_many(FindingKind::IdTwice, overlap.ids.count(), &location, || {
                format!("{} stored on {} too", overlap.ids, overlap.date)
            });
        }
        for stray in &coverage.strays {
            let dates = stray.beside.iter().copied().chain([stray.date]);
            if dates.clone().any(|date| config.covers(date, date)) {
                let location = Location::on(product, Dataset::Trades, stray.date);
                findings.add(FindingKind::TimeOrder, &location, || coverage::describe_stray(stray));
            }
        }
        for gap in coverage.gaps.iter().filter(|gap| !gap.is_absence && config.covers(gap.dates.0, gap.dates.1)) {
            let location = Location::on(product, Dataset::Trades, gap.dates.0);
            findings.add_many(FindingKind::Missing, gap.ids.count(), &location, || format!("{}: {}", gap.ids, gap.why));
        }
        let holds = |id: u64| {
            ids.iter().find(|day| day.runs.iter().flatten().any(|run| run.first.id <= id && id <= run.last.id)).map(|day| day.date)
        };
        for disputed in &history.disputed {
            let date = holds(disputed.id);
            if date.is_some_and(|date| !config.covers(date, date)) {
                continue;
            }
            let location = Location { date, ..Location::of(product, Dataset::Trades) };
            findings.add(FindingKind::Conflict, &location, || {
                format!("trade {} came again with other fields at {}: {}", disputed.id, disputed.time, disputed.text)
            });
        }
        if history.more_disputed > 0 {
            let location = Location::of(product, Dataset::Trades);
            findings.add_many(FindingKind::Conflict, history.more_disputed, &location, || {
                "more trades came again with other fields".to_owned()
            });
        }
    }

    /// Finds a day on which records were received and of which there is no journal.
    pub(super) fn report_lost_journal(&self, journal: &Journal, date: UtcDay, datasets: &[DatasetDay], findings: &mut Findings) {
        let was_received = datasets.iter().any(|kept| kept.sums.is_received_on_its_day);
        if journal.knows_days() && was_received && !journal.has_lines_of(date) && !self.clock.off.concern(Some(date)) {
            let location = Location { product: Some(self.product.clone()), dataset: None, date: Some(date) };
            findings.add(FindingKind::Journal, &location, || {
                format!("records were received on this day, and journal.{date}.jsonl is missing or says nothing")
            });
        }
    }

    /// Lowers the verdict of a day for all that was found or could not be checked. Names what could not be checked.
    pub(super) fn lower(&self, journal: &Journal, day: &mut ProductDay, findings: &Findings, not_checked: &mut Vec<String>) {
        let (product, date) = (self.product, day.date);
        for name in findings.datasets_of(product, date) {
            day.coverage.lower(Verdict::Unverifiable, format!("{name}: something is wrong, see the findings"));
        }
        for kept in &day.datasets {
            let name = kept.dataset.folder();
            if kept.state == Some(DayState::Bare) {
                not_checked.push(format!("{product} {name} {date}: there is no commit page, so that its checksums are not known"));
            } else if kept.unproven > 0 {
                not_checked.push(format!("{product} {name} {date}: the newest {} records have no checksum yet", kept.unproven));
            }
        }
        self.lower_for_unclear(journal, &day.datasets, &mut day.coverage);
    }

    /// Lowers the verdict of a day for all that could not be checked.
    pub(super) fn lower_for_unclear(&self, journal: &Journal, datasets: &[DatasetDay], coverage: &mut DayCoverage) {
        let mut unclear: BTreeMap<Verdict, Vec<String>> = BTreeMap::new();
        let mut tell = |verdict: Verdict, reason: String| unclear.entry(verdict).or_default().push(reason);
        for kept in datasets {
            let name = kept.dataset.folder();
            if kept.state == Some(DayState::Bare) {
                tell(
                    Verdict::Unverifiable,
                    format!("{name}: without its commit page nothing shows that its files are as they were written"),
                );
            } else if kept.unproven > 0 {
                tell(Verdict::Partial, format!("{name}: the newest {} records have no checksum yet", kept.unproven));
            }
        }
        for why in self.history.unknown_of(coverage.date) {
            tell(Verdict::Unverifiable, why.to_owned());
        }
        if !journal.is_there() {
            tell(Verdict::Unverifiable, "there is no journal: nobody knows of conflicts or of trades given up".to_owned());
        }
        // Reasons against a claim that is not made would only hide those that count.
        if coverage.verdict == Verdict::Whole {
            for (verdict, reasons) in unclear {
                reasons.into_iter().for_each(|reason| coverage.lower(verdict, reason));
            }
        }
    }

    /// Lowers the verdict of a day whose trades came as if they just happened, but only when the day was long over, while those of other days came in time.
    /// Where none came in time the machine's clock runs otherwise than the market's, and nothing follows from it.
    pub(super) fn lower_untimely(&self, datasets: &[DatasetDay], coverage: &mut DayCoverage) {
        let trades = datasets.iter().find(|kept| kept.dataset == Dataset::Trades);
        let is_untimely = trades.is_some_and(|kept| is_timely(coverage.date, &kept.sums) == Some(false));
        if is_untimely && !self.clock.off.concern(Some(coverage.date)) && coverage.verdict == Verdict::Whole {
            let reason = "its trades came as if they just happened, but when the day was long over: their times, or that clock, are wrong";
            coverage.lower(Verdict::Unverifiable, reason.to_owned());
        }
    }
}

/// Tells whether the trades of a day came as they happened, as far as any did: nothing where none did.
pub(super) fn is_timely(date: UtcDay, sums: &DaySums) -> Option<bool> {
    sums.first_live.map(|first| first.0 <= date.next().start().0.saturating_add(LAG_NANOS))
}

/// Opens one dataset-day and looks at its page. Gives nothing of a day that is only just being made.
pub(super) fn open_day<L: Layout>(checks: &Checks<'_>, date: UtcDay, findings: &mut Findings) -> Option<(DatasetDay, Option<Snapshot<L>>)> {
    let location = Location::on(checks.product, L::DATASET, date);
    let mut day = DatasetDay {
        dataset: L::DATASET,
        state: None,
        set: ColumnSet::Full,
        late: 0,
        unproven: 0,
        sums: DaySums::default(),
        archive: None,
    };
    let snapshot = match Snapshot::<L>::open(&checks.config.dir, checks.product, date) {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            if is_empty(checks, L::DATASET, date) {
                return None;
            }
            findings.add(FindingKind::Unreadable, &location, || "its commit page is torn, and its columns alone are no day".to_owned());
            return Some((day, None));
        }
        Err(error) => {
            findings.add(FindingKind::Unreadable, &location, || error.to_string());
            return Some((day, None));
        }
    };
    day.state = Some(snapshot.state());
    day.set = snapshot.column_set();
    day.late = snapshot.late().len() as u64;
    day.unproven = snapshot.unproven();
    if let DayState::Sealed { .. } = snapshot.state() {
        check_page(checks, &location, findings);
    }
    if snapshot.state() == DayState::Bare && checks.history.days.contains_key(&(L::DATASET, date)) {
        findings.add(FindingKind::Gone, &location, || "its commit page is gone; the journal knows that it had one".to_owned());
    }
    Some((day, Some(snapshot)))
}

/// Adds what a check of a day's bytes has found.
pub(super) fn add_faults(found: Result<Vec<Fault>, StoreError>, location: &Location, findings: &mut Findings) {
    match found {
        Ok(faults) => {
            for fault in faults {
                findings.add(FindingKind::Checksum, location, || format!("{}: {}", fault.path.display(), fault.what));
            }
        }
        Err(error) => findings.add(FindingKind::Unreadable, location, || error.to_string()),
    }
}

/// Tells whether a day that cannot be opened holds no byte of a record: it is being made, or a crash left it so.
fn is_empty(checks: &Checks<'_>, dataset: Dataset, date: UtcDay) -> bool {
    let folder = checks.config.dir.join(checks.product.as_str()).join(dataset.folder());
    let names = dataset.columns().iter().map(|column| column.name).chain(["late"]);
    let mut paths = names.flat_map(|name| [DateFormat::Iso, DateFormat::Dmy].map(|format| format!("{name}.{}.bin", date.spelled(format))));
    paths.all(|name| std::fs::metadata(folder.join(name)).map_or(true, |found| found.len() == 0))
}

/// Checks the commit page of a sealed day, in whichever spelling of the date it is.
fn check_page(checks: &Checks<'_>, location: &Location, findings: &mut Findings) {
    let (Some(dataset), Some(date)) = (location.dataset, location.date) else { return };
    for format in [DateFormat::Iso, DateFormat::Dmy] {
        let folder = checks.config.dir.join(checks.product.as_str()).join(dataset.folder());
        let path = folder.join(format!("commit.{}.bin", date.spelled(format)));
        match sectors::faults(&path) {
            Ok(faults) => faults
                .into_iter()
                .for_each(|fault| findings.add(FindingKind::Checksum, location, || format!("{}: {fault}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.add(FindingKind::Unreadable, location, || format!("{}: {error}", path.display())),
        }
    }
}
