//! Compares one record of the ledger with the stored ones: it is stored equal, altered, or not at all.
//!
//! 1. **Stored values** are compared, column by column of the table. So a wrong bit is reported with its column.
//! 2. An equal record anywhere goes before an altered one in the right place. Where only the time identifies a record, an altered one is told only when
//!    the whole ledger has been read. Until then it may be equal to another line of the ledger.
//! 3. What the ledger cannot know is not compared: receive time and origin. A trade that only REST or another tape supplied may be without order ids and
//!    without sequence.

use super::finding::{FindingKind, Findings, Location};
use super::index::{DatasetDays, IndexedBy, IndexedDays, Position, key_of_row};
use crate::product::ProductId;
use crate::record::{Means, Origin, Record};
use crate::schema::{Layout, Value, match_layout};
use crate::stored;
use crate::time::{UnixNanos, UtcDay};

/// What became of a record of the ledger.
pub(super) enum Match {
    /// It is stored, every field equal, in the file of this day.
    Equal { date: UtcDay, is_without_order_ids: bool },
    /// It is stored with other values in these columns.
    Altered { columns: Vec<String> },
    /// It is stored, but another line of the ledger has been matched with it.
    AlreadyMatched,
    /// It is not stored.
    None,
}

/// Finds the stored record of a record of the ledger and marks it as matched: an equal one, else one of its key.
pub(super) fn match_record<L: Layout>(
    days: &mut IndexedDays<L>,
    record: Record<'_>,
    expected: &mut Vec<Value>,
    found: &mut Vec<Value>,
) -> Match {
    let Some(row) = L::part_of(record) else { return Match::None };
    stored::of_row::<L>(row, expected);
    let (mut candidate, mut has_marked) = (None, false);
    let mut is_without_order_ids = false;
    // The days of a product may be indexed differently, after a change of the feed or of the columns. So each is asked for its own key.
    for at in days.days_from(L::time(row).day()) {
        let Some(day) = days.days.get_mut(at) else { continue };
        let by = day.indexed_by();
        let equal = day.find(key_of_row::<L>(by, row), |day, record| {
            if day.is_marked(record) {
                has_marked |= by != IndexedBy::Time;
                return false;
            }
            if !stored::load(&day.snapshot, record, found) {
                return false;
            }
            let columns = stored::columns_of(&day.snapshot);
            if difference::<L>(columns.len(), expected, found, &mut is_without_order_ids).is_empty() {
                return true;
            }
            if by != IndexedBy::Time && candidate.is_none() {
                candidate = Some(Position { day: at, record });
            }
            false
        });
        if let Some(record) = equal {
            day.mark(record);
            return Match::Equal { date: day.date, is_without_order_ids };
        }
    }
    match candidate {
        Some(position) => {
            days.load(position, found);
            days.mark(position);
            Match::Altered { columns: difference::<L>(found.len(), expected, found, &mut is_without_order_ids) }
        }
        None if has_marked => Match::AlreadyMatched,
        None => Match::None,
    }
}

/// Gives the columns in which a stored record is not what the ledger says, each with both values. Sets `is_without_order_ids` where order ids may be missing
/// and are.
fn difference<L: Layout>(columns: usize, expected: &[Value], found: &[Value], is_without_order_ids: &mut bool) -> Vec<String> {
    *is_without_order_ids = false;
    let mut differing = Vec::new();
    // Nearly every record is equal in all but receive time and origin, so names are looked at last.
    for (at, (expected, found_value)) in expected.iter().zip(found).take(columns).enumerate() {
        if stored::is_same(*expected, *found_value) {
            continue;
        }
        let name = L::COLUMNS.get(at).map_or("?", |column| column.name);
        match name {
            "trade_recv_nanos" | "recv_nanos" | "trade_origin" => {}
            "maker_order_id" | "taker_order_id" | "trade_sequence" if is_nothing(*found_value) && is_fetched::<L>(found) => {
                *is_without_order_ids |= name != "trade_sequence";
            }
            _ => differing.push(format!("{name} {found_value:?} is not {expected:?}")),
        }
    }
    differing
}

/// Tells whether a value is the one that is stored where the feed sends none.
fn is_nothing(value: Value) -> bool {
    matches!(value, Value::U64(0)) || value == Value::Uuid([0; 16])
}

/// Tells whether a trade was supplied by REST or another tape.
fn is_fetched<L: Layout>(values: &[Value]) -> bool {
    let at = L::COLUMNS.iter().position(|column| column.name == "trade_origin");
    match at.and_then(|at| values.get(at)) {
        Some(Value::U32(bits)) => matches!(Origin(*bits).means(), Some(Means::Rest | Means::Tape)),
        _ => false,
    }
}

/// Finds an unmatched stored record of the time of a record of the ledger and gives the columns in which it differs.
pub(super) fn find_altered<L: Layout>(
    days: &mut IndexedDays<L>,
    record: Record<'_>,
    expected: &mut Vec<Value>,
    found: &mut Vec<Value>,
) -> Option<Vec<String>> {
    let row = L::part_of(record)?;
    stored::of_row::<L>(row, expected);
    let at = days.days.iter().position(|day| day.indexed_by() == IndexedBy::Time && day.date == L::time(row).day())?;
    let key = key_of_row::<L>(IndexedBy::Time, row);
    let record = days.days.get_mut(at)?.find(key, |day, record| !day.is_marked(record))?;
    let position = Position { day: at, record };
    days.load(position, found);
    days.mark(position);
    Some(difference::<L>(found.len(), expected, found, &mut false))
}

/// Tells whether a stored record that has no id is equal to a record of the ledger and not matched yet. Marks nothing.
pub(super) fn finds_equal<L: Layout>(
    days: &mut IndexedDays<L>,
    record: Record<'_>,
    expected: &mut Vec<Value>,
    found: &mut Vec<Value>,
) -> bool {
    let Some(row) = L::part_of(record) else { return false };
    stored::of_row::<L>(row, expected);
    let of_time = days.days.iter_mut().filter(|day| day.indexed_by() == IndexedBy::Time);
    of_time.into_iter().any(|day| {
        day.find(key_of_row::<L>(IndexedBy::Time, row), |day, record| {
            !day.is_marked(record)
                && stored::load(&day.snapshot, record, found)
                && difference::<L>(stored::columns_of(&day.snapshot).len(), expected, found, &mut false).is_empty()
        })
        .is_some()
    })
}

/// Does what [`finds_equal`] does, whichever dataset the days are of.
pub(super) fn finds_equal_in(days: &mut DatasetDays, record: Record<'_>, expected: &mut Vec<Value>, found: &mut Vec<Value>) -> bool {
    match_layout!(DatasetDays, days, days => finds_equal(days, record, expected, found))
}

/// Does what [`match_record`] does, whichever dataset the days are of.
pub(super) fn match_in(days: &mut DatasetDays, record: Record<'_>, expected: &mut Vec<Value>, found: &mut Vec<Value>) -> Match {
    match_layout!(DatasetDays, days, days => match_record(days, record, expected, found))
}

/// Does what [`find_altered`] does, whichever dataset the days are of.
pub(super) fn find_altered_in(
    days: &mut DatasetDays,
    record: Record<'_>,
    expected: &mut Vec<Value>,
    found: &mut Vec<Value>,
) -> Option<Vec<String>> {
    match_layout!(DatasetDays, days, days => find_altered(days, record, expected, found))
}

/// Does what [`report_unmatched`] does, whichever dataset the days are of.
pub(super) fn report_unmatched_in(
    product: &ProductId,
    days: &mut DatasetDays,
    values: &mut Vec<Value>,
    others: &mut Vec<Value>,
    findings: &mut Findings,
) {
    match_layout!(DatasetDays, days, days => report_unmatched(product, days, values, others, findings))
}

/// Reports the stored records that no line of the ledger was matched with: those stored more than once, and those that the exchange never made.
pub(super) fn report_unmatched<L: Layout>(
    product: &ProductId,
    days: &mut IndexedDays<L>,
    values: &mut Vec<Value>,
    others: &mut Vec<Value>,
    findings: &mut Findings,
) {
    for at in 0..days.days.len() {
        let count = days.days.get(at).map_or(0, |day| day.snapshot.count());
        for record in 0..count {
            let Some(day) = days.days.get(at) else { break };
            if day.is_marked(record) {
                continue;
            }
            let (date, key, by) = (day.date, day.key(record), day.indexed_by());
            stored::load(&day.snapshot, record, values);
            let matched = days.find(key, date, |day, record| {
                let is_like = by != IndexedBy::Time
                    || (stored::load(&day.snapshot, record, others)
                        && values.iter().zip(others.iter()).all(|(a, b)| stored::is_same(*a, *b)));
                day.is_marked(record) && is_like
            });
            let kind = if matched.is_some() { FindingKind::Doubled } else { FindingKind::Invented };
            findings.add(kind, &Location::on(product, L::DATASET, date), || match by {
                IndexedBy::Column(_) => format!("record {record}, key {key}"),
                IndexedBy::Time => format!("record {record}, {}", UnixNanos(key)),
            });
        }
    }
}
