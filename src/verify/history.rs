//! What the journal tells of a product: when nobody captured, what was lost and why, what was tried.
//!
//! 1. The journal explains, it never excuses: with one exception (an absence over midnight, see [`super::coverage`]) no verdict depends on it but for
//!    where trading began and ended.
//! 2. A capture that ended without saying so was there until its last line.
//! 3. Lines that cannot be read are counted and passed over; what is kept is bounded.
//!
//! Events used: `capture_started`, `capture_stopped`; `trading_began` with `first_id`, `trading_ended` with `last_id`; and as an explanation any event with
//! `from_id`/`to_id` or `first_trade_id`/`last_trade_id` of the product, any `day_opened` with `given_up`, and whatever befell a connection, the disk or
//! the capture around the hole. An event whose name begins with `backfill` counts as an attempt.

use std::collections::BTreeMap;
use std::path::Path;

use simd_json::prelude::*;

use crate::product::ProductId;
use crate::time::{NANOS_PER_SECOND, Timestamp, UnixNanos, UtcDay, parse_rfc3339};

/// Remarks kept a product, and for all products together.
const MAX_REMARKS: usize = 100_000;
/// How far outside a hole an event without ids may lie to explain it, in nanoseconds. A lost connection lies within it, between the trade before and the
/// one after; this is for two clocks that differ.
const NEAR_NANOS: u64 = 2 * NANOS_PER_SECOND;
/// Remarks shown of one hole.
const MAX_SHOWN: usize = 5;

/// A stretch in which no capture was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// Its beginning: the end of one capture, as far as it is known.
    pub from: UnixNanos,
    /// Its end: the start of the next.
    pub to: UnixNanos,
}

/// A journal line that may explain a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// When it was written.
    pub time: UnixNanos,
    /// What happened.
    pub event: String,
    /// The trade ids it speaks of.
    pub ids: Option<(u64, u64)>,
    /// Its own words.
    pub text: String,
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.event, self.time)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, " ({})", self.text) }
    }
}

/// What the journal tells of one product.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When nobody captured, in order.
    pub absences: Vec<Absence>,
    /// What may explain its holes, in order.
    pub remarks: Vec<Remark>,
    /// Id of its first trade ever, where known.
    pub began: Option<u64>,
    /// Id of its last trade ever, where known.
    pub ended: Option<u64>,
}

impl History {
    /// Tells whether no capture was running at a time.
    #[must_use]
    pub fn was_absent(&self, at: UnixNanos) -> bool {
        self.absences.iter().any(|absence| absence.from <= at && absence.to >= at)
    }

    /// Tells whether no capture was running at any of the midnights between two days, of which there is one.
    #[must_use]
    pub fn was_absent_between(&self, before: UtcDay, after: UtcDay) -> bool {
        before < after && (before.0 + 1..=after.0).all(|date| self.was_absent(UtcDay(date).start()))
    }

    /// Says why ids are missing between two times, and what was tried.
    #[must_use]
    pub fn explain(&self, from_id: u64, to_id: u64, from: UnixNanos, to: UnixNanos) -> String {
        let near = |time: UnixNanos| time.0 >= from.0.saturating_sub(NEAR_NANOS) && time.0 <= to.0.saturating_add(NEAR_NANOS);
        let concerns = |remark: &&Remark| match remark.ids {
            Some((first, last)) => first <= to_id && last >= from_id,
            None => near(remark.time),
        };
        let absences = self.absences.iter().filter(|absence| absence.from <= to && absence.to >= from);
        let mut said: Vec<String> = absences.map(|absence| absence.to_string()).collect();
        let (tried, mut seen): (Vec<&Remark>, Vec<&Remark>) =
            self.remarks.iter().filter(concerns).partition(|remark| remark.event.starts_with("backfill"));
        // What names the very ids says most.
        seen.sort_by_key(|remark| remark.ids.is_none());
        for remarks in [&seen, &tried] {
            said.extend(remarks.iter().take(MAX_SHOWN).map(ToString::to_string));
            if remarks.len() > MAX_SHOWN {
                said.push(format!("{} more such lines", remarks.len() - MAX_SHOWN));
            }
        }
        if said.is_empty() {
            said.push("the journal does not say why".to_owned());
        }
        if tried.is_empty() {
            said.push("no backfill tried".to_owned());
        }
        said.join("; ")
    }
}

impl std::fmt::Display for Absence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no capture was running from {} to {}", self.from, self.to)
    }
}

/// The whole journal of a data directory.
#[derive(Debug, Default)]
pub struct Journal {
    shared: History,
    products: BTreeMap<ProductId, History>,
    newest: Option<UnixNanos>,
    is_running: bool,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// When captures stopped whose sums did not hold.
    pub unbalanced: Vec<UnixNanos>,
}

impl Journal {
    /// Reads the journals of a data directory, oldest first. Where there are none nothing is known.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let mut journal = Self::default();
        for line in crate::store::journal::read(dir, "journal", UtcDay(0), UtcDay(u32::MAX)) {
            journal.take_line(&mut line.into_bytes());
        }
        journal
    }

    /// Gives what is known of a product.
    #[must_use]
    pub fn of(&self, product: &ProductId) -> History {
        let mut history = self.products.get(product).cloned().unwrap_or_default();
        history.absences.clone_from(&self.shared.absences);
        history.remarks.extend(self.shared.remarks.iter().cloned());
        history.remarks.sort_by_key(|remark| remark.time);
        history
    }

    fn take_line(&mut self, line: &mut [u8]) {
        let Ok(value) = simd_json::to_borrowed_value(line) else {
            self.unreadable += 1;
            return;
        };
        let time = value.get_str("time").and_then(|time| parse_rfc3339(time.as_bytes()).ok()).and_then(Timestamp::to_unix);
        let (Some(time), Some(event)) = (time, value.get_str("event")) else {
            self.unreadable += 1;
            return;
        };
        self.note_presence(event, time);
        if event == "capture_stopped" && value.get_str("sums").is_some_and(|sums| sums != "hold") {
            self.unbalanced.push(time);
        }
        let product = value.get_str("product").and_then(|product| ProductId::new(product).ok());
        let ids = [("from_id", "to_id"), ("first_trade_id", "last_trade_id")];
        let ids = ids.into_iter().find_map(|(first, last)| value.get_u64(first).zip(value.get_u64(last)));
        let given_up = value.get_u64("given_up").filter(|given_up| *given_up > 0);
        let words = ["text", "why", "reason", "error"].into_iter().filter_map(|key| value.get_str(key)).filter(|words| !words.is_empty());
        let mut text = words.collect::<Vec<_>>().join(", ");
        if let Some(given_up) = given_up {
            text = format!("{given_up} records given up");
        }
        let befell =
            ["connection", "line_", "shed", "sync_failed", "write_failed", "allocation_failed", "writer_restarted", "flush", "lines_lost"];
        let is_remark =
            ids.is_some() || given_up.is_some() || event.starts_with("backfill") || befell.iter().any(|prefix| event.starts_with(prefix));
        let history = match product {
            Some(product) => self.products.entry(product).or_default(),
            None => &mut self.shared,
        };
        match event {
            "trading_began" => history.began = value.get_u64("first_id"),
            "trading_ended" => history.ended = value.get_u64("last_id"),
            _ if is_remark && history.remarks.len() < MAX_REMARKS => {
                history.remarks.push(Remark { time, event: event.to_owned(), ids, text });
            }
            _ => {}
        }
    }

    fn note_presence(&mut self, event: &str, time: UnixNanos) {
        match event {
            "capture_started" => {
                // The first capture ever: nobody captured before.
                let from = self.newest.unwrap_or_default();
                self.shared.absences.push(Absence { from, to: time });
                self.is_running = true;
            }
            // Who repairs or backfills holds the directory: a capture that did not say that it stopped was killed before that.
            "capture_stopped" | "repair_started" | "backfill_started" => self.is_running = false,
            _ => {}
        }
        // What is written after a capture's end (a repair's lines) is no sign of a capture.
        if self.is_running || event == "capture_stopped" {
            self.newest = Some(self.newest.map_or(time, |newest| newest.max(time)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(lines: &[&str]) -> Journal {
        let dir = tempfile::tempdir().expect("a folder");
        let own = dir.path().join(crate::store::OWN_FOLDER);
        std::fs::create_dir(&own).expect("made");
        // Two files, so that the order of days is shown to count.
        let (first, second) = lines.split_at(lines.len() / 2);
        std::fs::write(own.join("journal.2025-06-08.jsonl"), second.join("\n")).expect("written");
        std::fs::write(own.join("journal.2025-06-07.jsonl"), first.join("\n") + "\n").expect("written");
        Journal::read(dir.path())
    }

    fn moment(text: &str) -> UnixNanos {
        parse_rfc3339(text.as_bytes()).ok().and_then(Timestamp::to_unix).expect("a time")
    }

    #[test]
    fn between_a_stop_and_the_next_start_nobody_captured() {
        let read = journal(&[
            r#"{"time":"2025-06-07T10:00:00Z","event":"capture_started"}"#,
            r#"{"time":"2025-06-07T12:00:00Z","event":"capture_stopped"}"#,
            r#"{"time":"2025-06-07T13:00:00Z","event":"repaired"}"#,
            r#"{"time":"2025-06-08T09:00:00Z","event":"capture_started"}"#,
            r#"{"time":"2025-06-08T11:00:00Z","event":"alert_raised"}"#,
            r#"{"time":"2025-06-08T13:00:00Z","event":"repair_started"}"#,
            r#"{"time":"2025-06-08T13:01:00Z","event":"repaired"}"#,
            r#"{"time":"2025-06-08T15:00:00Z","event":"capture_started"}"#,
        ]);
        let absences = read.of(&ProductId::new("BTC-USD").expect("a product")).absences;
        let ends: Vec<(UnixNanos, UnixNanos)> = absences.iter().map(|absence| (absence.from, absence.to)).collect();
        assert_eq!(
            ends,
            [
                (UnixNanos(0), moment("2025-06-07T10:00:00Z")),
                (moment("2025-06-07T12:00:00Z"), moment("2025-06-08T09:00:00Z")),
                // It died without a word; its last line was at eleven.
                (moment("2025-06-08T11:00:00Z"), moment("2025-06-08T15:00:00Z")),
            ]
        );
    }

    #[test]
    fn a_product_hears_of_its_own_ids_and_of_what_befell_everyone() {
        let read = journal(&[
            r#"{"time":"2025-06-07T10:00:00Z","event":"gap_opened","product":"BTC-USD","from_id":5,"to_id":9}"#,
            r#"{"time":"2025-06-07T10:00:00Z","event":"gap_opened","product":"ETH-USD","from_id":5,"to_id":9}"#,
            r#"{"time":"2025-06-07T10:00:01Z","event":"connection_lost","reason":"reset by peer"}"#,
            r#"{"time":"2025-06-07T10:00:01Z","event":}"#,
            r#"{"time":"2025-06-07T10:00:02Z","event":"trading_ended","product":"BTC-USD","last_id":77}"#,
            r#"{"time":"2025-06-07T10:00:02Z","event":"capture_started"}"#,
        ]);
        let history = read.of(&ProductId::new("BTC-USD").expect("a product"));
        assert_eq!((history.remarks.len(), history.ended, read.unreadable), (2, Some(77), 1));
        let why = history.explain(9, 12, moment("2025-06-07T10:00:00Z"), moment("2025-06-07T10:00:00Z"));
        assert!(why.contains("gap_opened") && why.contains("reset by peer"), "{why}");
        let far = history.explain(10, 12, moment("2025-06-07T11:00:00Z"), moment("2025-06-07T11:00:01Z"));
        assert!(far.contains("does not say why") && far.contains("no backfill tried"), "{far}");
    }
}
