//! Chooses the columns to print: as asked, else those of the dataset, else those that fit the terminal.

use super::cell;
use super::config::{Format, QueryConfig};
use super::error::QuestionError;
use crate::schema::{Column, ColumnSet, Kind};

/// The width of a readable time with its gap, in characters.
const TIME_WIDTH: usize = 29;

/// Chooses the columns to print among the `stored` ones. `all` are those of the dataset.
///
/// # Errors
/// Where a column asked for does not exist, or is not stored.
pub(super) fn choose(
    config: &QueryConfig,
    stored: &'static [Column],
    all: &'static [Column],
) -> Result<Vec<&'static Column>, QuestionError> {
    if config.columns.is_empty() {
        return Ok(match (config.format, config.width) {
            (Format::Table, Some(width)) if !config.raw => fitting(stored, width),
            _ => stored.iter().collect(),
        });
    }
    let find = |name: &String| {
        let has_name = |column: &&Column| column.name == name;
        stored.iter().find(has_name).ok_or_else(|| {
            let has_core_alone = stored.iter().all(|column| column.set == ColumnSet::Core);
            if all.iter().any(|column| has_name(&column)) {
                let name = name.clone();
                if has_core_alone { QuestionError::ColumnNotStored { name } } else { QuestionError::ColumnAddedLater { name } }
            } else {
                QuestionError::UnknownColumn { name: name.clone(), known: stored.iter().map(|column| column.name).collect() }
            }
        })
    };
    config.columns.iter().map(find).collect()
}

/// Chooses the columns that fit a terminal beside the readable time: exact values instead of rounded ones, and order ids last.
fn fitting(stored: &'static [Column], width: usize) -> Vec<&'static Column> {
    let has_exact = |column: &&Column| stored.iter().any(|other| other.name.strip_suffix("_f64") == Some(column.name));
    let is_time = |column: &&Column| matches!(column.name, "time" | "nanos" | "trade_time" | "trade_nanos");
    let mut wanted: Vec<&Column> = stored.iter().filter(|column| !has_exact(column) && !is_time(column)).collect();
    wanted.sort_by_key(|column| match column.name {
        "sequence" | "trade_sequence" => 1,
        name if name.contains("recv") || name.contains("origin") => 3,
        _ if column.kind == Kind::Uuid => 2,
        _ => 0,
    });
    let mut left = width.saturating_sub(TIME_WIDTH);
    wanted.retain(|column| {
        let needed = 2 + usual_width(column).max(column.name.len());
        let fits = needed <= left;
        left = if fits { left - needed } else { 0 };
        fits
    });
    wanted
}

/// Gives how many characters most values of a column have.
fn usual_width(column: &Column) -> usize {
    match column.kind {
        _ if cell::is_side(column) => 4,
        Kind::U32 => 10,
        Kind::U64 if column.name.contains("nanos") => 19,
        Kind::U64 | Kind::F32 | Kind::F64 => 12,
        Kind::Uuid => 36,
    }
}
