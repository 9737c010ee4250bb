//! One record of the ledger against the records stored: found equal, altered, or not at all.
//!
//! 1. Equality is that of **stored values**, column by column as the table has them: a wrong bit is named by its column.
//! 2. An equal record anywhere goes before an altered one in the right place. Where nothing but the time names a record, altered ones are told only
//!    when the whole ledger has been read: until then they may be another line's equal.
//! 3. What the ledger cannot know is not compared: receive time and origin. A trade that only REST or another tape supplied may lack order ids and
//!    sequence.

use super::filed::{By, Filed, Spot, key_in};
use super::finding::{Findings, Kind, Place};
use crate::product::ProductId;
use crate::record::{Means, Origin, Ticker};
use crate::schema::{Layout, Value};
use crate::stored;
use crate::time::{UnixNanos, UtcDay};

/// What became of a ledger's record.
pub(super) enum Match {
    /// Stored, every field equal, in this day's file.
    Equal { date: UtcDay, lacks_order_ids: bool },
    /// Stored with other values in these columns.
    Altered { columns: Vec<String> },
    /// Stored, but another line of the ledger has been matched with it.
    Again,
    /// Not stored.
    None,
}

/// Finds the stored record of a ledger's and marks it as matched: an equal one, else one of its key.
pub(super) fn match_row<L: Layout>(files: &mut Filed<L>, row: &L::Row, expected: &[Value], found: &mut Vec<Value>) -> Match {
    let date = L::time(row).day();
    let (mut candidate, mut has_marked) = (None, false);
    let mut lacks_order_ids = false;
    // Days of one product agree in what they are looked up by, but for a change of feed or columns: each is asked for its own key.
    let mut equal = None;
    let mut order: Vec<usize> = (0..files.days.len()).collect();
    order.sort_by_key(|at| files.days.get(*at).is_none_or(|day| day.date != date));
    for at in order {
        let Some(day) = files.days.get_mut(at) else { continue };
        let by = day.by();
        day.each(key_in::<L>(by, row), |day, record| {
            if day.is_marked(record) {
                has_marked |= by != By::Time;
                return false;
            }
            if !stored::load(&day.snapshot, record, found) {
                return false;
            }
            let columns = stored::columns_of(&day.snapshot);
            if difference::<L>(columns.len(), expected, found, &mut lacks_order_ids).is_empty() {
                equal = Some(Spot { day: at, record });
                return true;
            }
            if by != By::Time && candidate.is_none() {
                candidate = Some(Spot { day: at, record });
            }
            false
        });
        if equal.is_some() {
            break;
        }
    }
    if let Some(date) = equal.and_then(|spot| files.mark(spot)) {
        return Match::Equal { date, lacks_order_ids };
    }
    match candidate {
        Some(spot) => {
            files.load(spot, found);
            files.mark(spot);
            Match::Altered { columns: difference::<L>(found.len(), expected, found, &mut lacks_order_ids) }
        }
        None if has_marked => Match::Again,
        None => Match::None,
    }
}

/// Names the columns in which a stored record is not what the ledger says, with both values.
fn difference<L: Layout>(columns: usize, expected: &[Value], found: &[Value], lacks_order_ids: &mut bool) -> Vec<String> {
    *lacks_order_ids = false;
    let mut differing = Vec::new();
    // Nearly every record is equal but for its receive time and origin, so names are looked at last.
    for (at, (expected, found_value)) in expected.iter().zip(found).take(columns).enumerate() {
        if stored::is_same(*expected, *found_value) {
            continue;
        }
        let name = L::COLUMNS.get(at).map_or("?", |column| column.name);
        match name {
            "trade_recv_nanos" | "recv_nanos" | "trade_origin" => {}
            "maker_order_id" | "taker_order_id" | "trade_sequence" if is_nothing(*found_value) && is_fetched::<L>(found) => {
                *lacks_order_ids |= name != "trade_sequence";
            }
            _ => differing.push(format!("{name} {found_value:?} is not {expected:?}")),
        }
    }
    differing
}

/// Tells whether a value is what a feed that sends none leaves.
fn is_nothing(value: Value) -> bool {
    matches!(value, Value::U64(0)) || value == Value::Uuid([0; 16])
}

/// Tells whether a trade was supplied by REST or another tape.
fn is_fetched<L: Layout>(values: &[Value]) -> bool {
    let place = L::COLUMNS.iter().position(|column| column.name == "trade_origin");
    match place.and_then(|at| values.get(at)) {
        Some(Value::U32(bits)) => matches!(Origin(*bits).means(), Some(Means::Rest | Means::Tape)),
        _ => false,
    }
}

/// Finds an unmatched record of a ticker's time and names the columns in which it differs.
pub(super) fn take_altered<L: Layout<Row = Ticker>>(
    files: &mut Filed<L>,
    ticker: &Ticker,
    expected: &mut Vec<Value>,
    found: &mut Vec<Value>,
) -> Option<Vec<String>> {
    stored::of_row::<L>(ticker, expected);
    let day = files.days.iter().position(|day| day.by() == By::Time && day.date == ticker.time.day())?;
    let spot = {
        let day_files = files.days.get_mut(day)?;
        let mut spot = None;
        day_files.each(key_in::<L>(By::Time, ticker), |day_files, record| {
            spot = (!day_files.is_marked(record)).then_some(Spot { day, record });
            spot.is_some()
        });
        spot?
    };
    files.load(spot, found);
    files.mark(spot);
    Some(difference::<L>(found.len(), expected, found, &mut false))
}

/// Looks for stored records that no line of the ledger was matched with.
pub(super) fn strangers<L: Layout>(
    product: &ProductId,
    files: &mut Filed<L>,
    values: &mut Vec<Value>,
    others: &mut Vec<Value>,
    findings: &mut Findings,
) {
    for at in 0..files.days.len() {
        let count = files.days.get(at).map_or(0, |day| day.snapshot.count());
        for record in 0..count {
            let Some(day) = files.days.get(at) else { break };
            if day.is_marked(record) {
                continue;
            }
            let (date, key, by) = (day.date, day.key(record), day.by());
            stored::load(&day.snapshot, record, values);
            let is_known = files.find(key, date, |day, record| {
                let is_like = by != By::Time
                    || (stored::load(&day.snapshot, record, others)
                        && values.iter().zip(others.iter()).all(|(a, b)| stored::is_same(*a, *b)));
                day.is_marked(record) && is_like
            });
            let kind = if is_known.is_some() { Kind::Doubled } else { Kind::Invented };
            let place = Place::on(product, L::DATASET, date);
            findings.add(kind, &place, || match by {
                By::Column(_) => format!("record {record}, key {key}"),
                By::Time => format!("record {record}, {}", UnixNanos(key)),
            });
        }
    }
}
