//! Chooses the columns to print: as asked, else those of the dataset, else those that fit the terminal.
//!
//! A table shows the event time as people read it wherever one of the columns of the time is printed. On a terminal it stands in their place.

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
    let mut chosen: Vec<&Column> = config.columns.iter().map(find).collect::<Result<_, _>>()?;
    if config.width.is_some() && shows_time(config) {
        chosen.retain(|column| !is_time(column.name));
    }
    Ok(chosen)
}

/// Tells whether a readable time stands before the columns.
#[must_use]
pub(super) fn shows_time(config: &QueryConfig) -> bool {
    let is_asked = config.columns.is_empty() || (!config.raw && config.columns.iter().any(|name| is_time(name)));
    config.format == Format::Table && is_asked
}

/// Names the stored columns that are not printed. The readable time stands for those of the time.
#[must_use]
pub(super) fn hidden(config: &QueryConfig, stored: &'static [Column], chosen: &[&'static Column]) -> Vec<&'static str> {
    if !config.columns.is_empty() {
        return Vec::new();
    }
    let is_shown = |column: &Column| chosen.iter().any(|other| other.name == column.name) || (shows_time(config) && is_time(column.name));
    stored.iter().filter(|column| !is_shown(column)).map(|column| column.name).collect()
}

/// Tells whether a column is a part of the event time.
fn is_time(name: &str) -> bool {
    matches!(name, "time" | "nanos" | "trade_time" | "trade_nanos")
}

/// Chooses the columns that fit a terminal beside the readable time: exact values instead of rounded ones, and order ids last.
fn fitting(stored: &'static [Column], width: usize) -> Vec<&'static Column> {
    let has_exact = |column: &&Column| stored.iter().any(|other| other.name.strip_suffix("_f64") == Some(column.name));
    let mut wanted: Vec<&Column> = stored.iter().filter(|column| !has_exact(column) && !is_time(column.name)).collect();
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
