//! [`Journal`]: the journal of a data directory, read line by line: what it says of each product, and what is wrong with it.
//!
//! 1. A capture that ended without saying so was running until its last line.
//! 2. Every line shows that somebody was there to write it, also one that cannot be read as far as its time is whole.
//! 3. Every line is accounted for: read, of an event that this version does not know, cut off where a crash may have cut it, or damaged. A line that is cut
//!    off or not known may have said anything: nothing is called whole that it may have been about. A damaged one is a finding.
//!    Killing a process cuts its last line off. A power cut may leave zeroes further up, too, and then the process says no more that it has ended.
//! 4. A line beside which another line says more must have it: see [`super::stop_figures`].
//! 5. Lines may come in any order where a clock was set back: such a stretch shows no absence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::clock_days::ClockDays;
use super::damaged_lines::{DamagedLines, LINES_BESIDE};
use super::product::{Absence, History};
use super::sessions::Sessions;
use super::stop_figures::{NamedLosses, StopFigures};
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::store::OWN_FOLDER;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, JOURNAL, REJECTS};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// How far the time of a line may lie before that of an earlier one: threads write in turn.
const UNORDERED_NANOS: u64 = 60 * NANOS_PER_SECOND;
/// Captures that run at once at most.
const TAKE_OVER: u8 = 2;
/// Faults that are kept with their words.
const MAX_FAULTS: usize = 1000;

/// Something wrong with the journal itself, or told by it of the whole capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalFault {
    /// The product, where it is about one.
    pub product: Option<ProductId>,
    /// Whether a capture accuses itself, and not the journal is damaged.
    pub is_of_sums: bool,
    /// What is wrong.
    pub text: String,
}

/// The journal of a data directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    /// What concerns every product.
    shared: History,
    products: BTreeMap<ProductId, History>,
    /// The last line of a running capture.
    newest: Option<UnixNanos>,
    /// The highest time of any line.
    highest: UnixNanos,
    /// Captures that run: one, or two while one takes over from another, and over a midnight its first line stands before the other's last one.
    running: u8,
    /// When the capture started that is running at the line being read.
    started: UnixNanos,
    /// What its lines have named since then as lost to the tape.
    losses: NamedLosses,
    /// Whether it has said that lines were not written.
    has_lost_lines: bool,
    /// Losses that no line names, of captures of whose products some are not named: start, end, and which.
    unnamed: Vec<(UnixNanos, UnixNanos, String)>,
    /// Whether a repair has taken something from another tape.
    has_taken: bool,
    /// Captures that have rejected something: start, end, and how much.
    rejecting: Vec<(UnixNanos, UnixNanos, u64)>,
    /// Which products each capture has recorded.
    sessions: Sessions,
    /// Stretches in which the clock was set back.
    set_back: Vec<(UnixNanos, UnixNanos)>,
    /// Lines with zeroes: of a crash, unless their process ends in order.
    zeroed: Vec<(UtcDay, Cut)>,
    /// The days that have a line of their own.
    written: BTreeSet<UtcDay>,
    /// Whether files are there that only something with a journal writes.
    has_traces: bool,
    /// Whether a capture has begun or ended by it: then it knows every day that was made since.
    has_capture: bool,
    /// The days on which a capture found the clock of its machine to be wrong.
    pub clock_off: ClockDays,
    /// Lines that are damaged.
    pub unreadable: u64,
    /// Lines that were cut off.
    pub torn: u64,
    /// Lines of events that this version does not know.
    pub unknown: u64,
    /// What is wrong.
    pub faults: Vec<JournalFault>,
    /// Faults beyond those kept.
    pub more_faults: u64,
}

impl Journal {
    /// Reads the journals of a data directory, oldest first. It is empty where there are none.
    #[must_use]
    pub(crate) fn read(dir: &Path) -> Self {
        let mut journal = Self::default();
        for (date, path) in journal::files(dir, JOURNAL) {
            journal.read_day(date, &path);
        }
        let beside = LINES_BESIDE.into_iter().flat_map(|name| journal::files(dir, name).into_iter().map(move |file| (name, file)));
        let beside: Vec<DamagedLines> = beside.map(|(name, (date, path))| DamagedLines::read(name, date, &path)).collect();
        journal.finish(dir, &beside)
    }

    /// Reads the journal of a day. Those before it have been read.
    pub(crate) fn read_day(&mut self, date: UtcDay, path: &Path) {
        let mut torn = None;
        let mut number = 0_u64;
        let read = journal::read_raw(path, |line| {
            number += 1;
            self.take_raw(date, number, line, &mut torn);
        });
        if let Some(cut) = torn.take() {
            self.note_torn(date, &cut);
        }
        if let Err(error) = read {
            self.fault(date, None, error.to_string());
        }
    }

    /// Decides what was open until the last line. `beside` is what is wrong with the other files of lines.
    #[must_use]
    pub(crate) fn finish<'a>(mut self, dir: &Path, beside: impl IntoIterator<Item = &'a DamagedLines>) -> Self {
        self.has_traces = has_traces(dir);
        self.settle_zeroed(true);
        self.settle_unnamed();
        self.settle_rejects(dir);
        for damage in beside {
            self.torn += u64::from(damage.is_torn);
            for (place, why) in &damage.lines {
                self.note_damaged(damage.date, None, place, why);
            }
            self.unreadable += damage.more;
            self.more_faults += damage.more;
            if let Some(error) = &damage.error {
                self.fault(damage.date, None, error.clone());
            }
        }
        let mut absences = std::mem::take(&mut self.shared.absences);
        absences.retain(|absence| self.is_believed(absence));
        self.shared.absences = absences;
        self
    }

    /// Tells whether no clock was set back around an absence.
    fn is_believed(&self, absence: &Absence) -> bool {
        !self.set_back.iter().any(|(from, to)| absence.from <= *to && *from <= absence.to)
    }

    /// Tells whether there is a journal.
    #[must_use]
    pub(crate) fn is_there(&self) -> bool {
        !self.written.is_empty()
    }

    /// Tells whether there is none although something has written one.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        !self.is_there() && self.has_traces
    }

    /// Tells whether a capture has begun or ended by it: then it knows every day.
    #[must_use]
    pub(crate) const fn knows_days(&self) -> bool {
        self.has_capture
    }

    /// Tells whether a line was written on a day.
    #[must_use]
    pub(crate) fn has_lines_of(&self, date: UtcDay) -> bool {
        self.written.contains(&date)
    }

    /// Lists the products that it names.
    pub(crate) fn products(&self) -> impl Iterator<Item = &ProductId> {
        self.products.keys()
    }

    /// Gives what is known of a product.
    #[must_use]
    pub(crate) fn of(&self, product: &ProductId) -> History {
        let mut history = self.products.get(product).cloned().unwrap_or_default();
        history.absences.clone_from(&self.shared.absences);
        history.unrecorded = self.sessions.without(product);
        history.unrecorded.retain(|absence| self.is_believed(absence));
        history.unknown.extend(self.shared.unknown.iter().cloned());
        history.explanations.extend(self.shared.explanations.iter().cloned());
        history.explanations.sort_by_key(|explanation| explanation.time);
        history
    }

    /// Takes a line as it lies in the file of a day. `torn` is a line before it that was cut off.
    fn take_raw(&mut self, date: UtcDay, number: u64, line: &[u8], torn: &mut Option<Cut>) {
        if line.is_empty() {
            return;
        }
        let place = || format!("line {number} of journal.{date}.jsonl");
        let parsed = Line::parse(line);
        if let Some(cut) = torn.take() {
            let begins = parsed.as_ref().is_ok_and(|line| line.event.as_ref().is_some_and(begins_a_process));
            if begins { self.note_torn(date, &cut) } else { self.note_damaged(date, cut.time, &cut.place, "cut off") }
        }
        match parsed {
            Ok(Line { time, event, product, fault }) => {
                if time.day() != date {
                    self.fault(date, product.clone(), format!("{} is of {}", place(), time.day()));
                }
                self.written.insert(date);
                self.note_presence(time, event.as_ref());
                match (event, fault) {
                    (Some(event), _) => self.take(time, &event),
                    (None, Some(fault)) => {
                        self.unreadable += 1;
                        self.sessions.take_unread();
                        self.fault(date, product, format!("{}: {fault}", place()));
                    }
                    (None, None) => {
                        self.unknown += 1;
                        self.sessions.take_unread();
                        self.history_of(product.as_ref()).note_unknown(
                            date,
                            date,
                            format!("{} is of an event that this version does not know", place()),
                        );
                    }
                }
            }
            Err(error) => {
                let time = Line::time_of_a_part(line);
                if let Some(time) = time {
                    self.written.insert(date);
                    self.note_presence(time, None);
                }
                if line.contains(&0) {
                    self.zeroed.push((date, Cut { time, place: place() }));
                } else if line.last() != Some(&b'}') {
                    *torn = Some(Cut { time, place: place() });
                } else {
                    self.note_damaged(date, time, &place(), &error.to_string());
                }
            }
        }
    }

    /// Decides what lines with zeroes are, by how their process ended.
    fn settle_zeroed(&mut self, has_crashed: bool) {
        for (date, cut) in std::mem::take(&mut self.zeroed) {
            if has_crashed { self.note_torn(date, &cut) } else { self.note_damaged(date, cut.time, &cut.place, "zeroes") }
        }
    }

    fn note_torn(&mut self, date: UtcDay, cut: &Cut) {
        self.torn += 1;
        self.sessions.take_unread();
        self.shared.note_unknown(date, date, format!("{} is cut off", cut.place));
    }

    fn note_damaged(&mut self, date: UtcDay, time: Option<UnixNanos>, place: &str, why: &str) {
        self.unreadable += 1;
        self.sessions.take_unread();
        let when = time.map(|time| format!(" (of {time})")).unwrap_or_default();
        self.fault(date, None, format!("{place}{when}: {why}"));
    }

    /// Notes that something is wrong with the journal of a day.
    fn fault(&mut self, date: UtcDay, product: Option<ProductId>, text: String) {
        self.history_of(product.as_ref()).note_unknown(date, date, text.clone());
        self.note_fault(JournalFault { product, is_of_sums: false, text });
    }

    fn note_fault(&mut self, fault: JournalFault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    fn history_of(&mut self, product: Option<&ProductId>) -> &mut History {
        match product {
            Some(product) => self.products.entry(product.clone()).or_default(),
            None => &mut self.shared,
        }
    }

    fn take(&mut self, time: UnixNanos, event: &Event) {
        if begins_a_process(event) {
            self.settle_zeroed(true);
        }
        match event {
            Event::CaptureStarted { .. } => {
                self.has_capture = true;
                (self.started, self.has_lost_lines) = (time, false);
            }
            Event::RepairStarted { from, .. } => self.has_taken |= !from.is_empty(),
            Event::LinesLost { lines } => {
                self.has_lost_lines = true;
                let why = format!("{lines} lines of the journal, of rejects or of exact texts were not written until {time}");
                self.shared.note_unknown(self.started.day(), time.day(), why);
            }
            Event::CaptureStopped { .. } => {
                self.has_capture = true;
                self.settle_zeroed(false);
                self.take_stop(time, event);
            }
            _ => {}
        }
        self.losses.take(event);
        self.sessions.take(time, event);
        self.clock_off.take(time, event);
        self.history_of(event.product()).take(time, event);
        // The last trade of the one series is there, and the first of the other.
        if let Event::SeriesRestarted { before, series, last_id, first_id, .. } = event {
            self.history_of(Some(before)).note_named(time, IdRange::one(*last_id));
            self.history_of(Some(series)).note_named(time, IdRange::one(*first_id));
        }
    }

    /// Takes what a capture says of itself at its end.
    fn take_stop(&mut self, time: UnixNanos, event: &Event) {
        let Some(figures) = StopFigures::of(event) else { return };
        for said in figures.faults() {
            self.accuse(self.started, time, &said);
        }
        for said in figures.unnamed(self.losses) {
            if self.losses.is_of_some_products() {
                self.unnamed.push((self.started, time, said));
            } else {
                self.accuse(self.started, time, &said);
            }
        }
        // Lines that were never written are named, and cost those days their claims already.
        if figures.rejected > 0 && !self.has_lost_lines && self.rejecting.len() < MAX_FAULTS {
            self.rejecting.push((self.started, time, figures.rejected));
        }
    }

    /// Notes what speaks against a capture that ran from one time to another.
    fn accuse(&mut self, started: UnixNanos, stopped: UnixNanos, what: &str) {
        let text = format!("the capture that stopped at {stopped} {what}");
        self.shared.note_unknown(started.day(), stopped.day(), text.clone());
        self.note_fault(JournalFault { product: None, is_of_sums: true, text });
    }

    /// Decides about losses that no line names, where some products may have been left out: `repair` copies the lines of one product alone if it is asked to.
    fn settle_unnamed(&mut self) {
        let unnamed = std::mem::take(&mut self.unnamed);
        if !self.has_taken {
            unnamed.iter().for_each(|(started, stopped, said)| self.accuse(*started, *stopped, said));
        }
    }

    /// Finds captures that have rejected trades, and whose files of rejects are gone: nobody knows which trades these were.
    fn settle_rejects(&mut self, dir: &Path) {
        let dates = journal::dates(dir, REJECTS);
        for (started, stopped, rejected) in std::mem::take(&mut self.rejecting) {
            if !dates.iter().any(|date| (started.day()..=stopped.day()).contains(date)) {
                self.accuse(started, stopped, &format!("rejected {rejected} trades or messages, and its file of rejects is gone"));
            }
        }
    }

    /// Takes into account what a line shows about when a capture was running.
    fn note_presence(&mut self, time: UnixNanos, event: Option<&Event>) {
        if time.0.saturating_add(UNORDERED_NANOS) < self.highest.0 {
            self.set_back.push((time, self.highest));
        }
        self.highest = self.highest.max(time);
        match event {
            Some(Event::CaptureStarted { .. }) => {
                // Before the first capture ever nothing was captured. One that took over had started before the other one ended.
                let from = self.newest.unwrap_or_default();
                if from < time {
                    self.shared.absences.push(Absence { from, to: time });
                }
                self.running = self.running.saturating_add(1).min(TAKE_OVER);
            }
            // Another command holds the directory. A capture that has not said that it stopped was killed before.
            Some(Event::RepairStarted { .. } | Event::BackfillStarted { .. } | Event::ArchiveStarted { .. }) => self.running = 0,
            Some(Event::CaptureStopped { .. }) => self.running = self.running.saturating_sub(1),
            _ => {}
        }
        // Lines behind a capture's end, a repair's for example, do not show a capture.
        if self.running > 0 || matches!(event, Some(Event::CaptureStopped { .. })) {
            self.newest = self.newest.max(Some(time));
        }
    }
}

/// A line that was cut off, or has zeroes in it.
#[derive(Debug, Clone)]
struct Cut {
    time: Option<UnixNanos>,
    place: String,
}

/// Tells whether an event is the first that a process writes.
fn begins_a_process(event: &Event) -> bool {
    use Event::{ArchiveStarted, BackfillStarted, CaptureStarted, RepairStarted};
    matches!(event, CaptureStarted { .. } | RepairStarted { .. } | BackfillStarted { .. } | ArchiveStarted { .. })
}

/// Tells whether there are files that only something with a journal writes.
fn has_traces(dir: &Path) -> bool {
    dir.join(OWN_FOLDER).join("products.jsonl").exists() || LINES_BESIDE.into_iter().any(|name| !journal::files(dir, name).is_empty())
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
