//! [`Choice`]: the columns to print: as asked, else those of the dataset, else those that fit the terminal.
//!
//! 1. Two columns are not stored and can be asked for in every dataset: `product`, and `event_time`, the time as people read it. Where a dataset has no
//!    column `time`, that name means the event time, too.
//! 2. The records of several products begin with the product.
//! 3. A table shows the event time as people read it wherever one of the columns of the time is asked for. On a terminal it stands in their place.
//! 4. No stored column is left out in silence: [`Choice::hidden`] names those that a terminal has no room for.

use super::cell;
use super::config::{Format, QueryConfig};
use super::error::QuestionError;
use crate::schema::{Column, ColumnSet, Kind};

/// The name of the column that holds the product.
const PRODUCT: &str = "product";
/// The name of the readable event time.
const EVENT_TIME: &str = "event_time";
/// The width of a readable time with its gap, in characters.
const TIME_WIDTH: usize = 29;

/// A column of the output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// The product.
    Product,
    /// The event time with as many digits as it needs, in front of a table.
    ReadableTime,
    /// The event time with nine digits of a second, under this name.
    EventTime(&'static str),
    /// A stored column, and its place in the dataset's table.
    Stored(&'static Column, usize),
}

impl Shown {
    /// Gives the name of the column.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Product => PRODUCT,
            Self::ReadableTime => "event time",
            Self::EventTime(name) => name,
            Self::Stored(column, _) => column.name,
        }
    }

    /// Tells whether its values are numbers.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Stored(column, _) if column.kind != Kind::Uuid && !cell::is_side(column))
    }
}

/// The columns to print.
#[derive(Debug)]
pub(super) struct Choice {
    /// In this order.
    pub(super) columns: Vec<Shown>,
    /// The stored columns that a terminal has no room for.
    pub(super) hidden: Vec<&'static str>,
}

impl Choice {
    /// Chooses the columns to print among the `stored` ones. `all` are those of the dataset.
    ///
    /// # Errors
    /// Where a column asked for does not exist, or is not stored.
    pub(super) fn of(config: &QueryConfig, stored: &'static [Column], all: &'static [Column]) -> Result<Self, QuestionError> {
        if config.columns.is_empty() {
            return Ok(Self::usual(config, stored));
        }
        let has_time_column = all.iter().any(|column| column.name == "time");
        let event_time = |name: &str| match name {
            EVENT_TIME => Some(EVENT_TIME),
            "time" if !has_time_column => Some("time"),
            _ => None,
        };
        let is_table = config.format == Format::Table;
        let leads_with_time = is_table && config.columns.iter().any(|name| event_time(name).is_some() || (!config.raw && is_time(name)));
        let mut columns = Vec::new();
        if config.products.len() > 1 && !config.columns.iter().any(|name| name == PRODUCT) {
            columns.push(Shown::Product);
        }
        if leads_with_time {
            columns.push(Shown::ReadableTime);
        }
        for name in &config.columns {
            let shown = match (name.as_str(), event_time(name)) {
                (PRODUCT, _) => Shown::Product,
                (_, Some(_)) if is_table => continue,
                (_, Some(name)) => Shown::EventTime(name),
                (name, None) => find(name, stored, all)?,
            };
            // On a terminal the readable time stands for the columns of the time.
            if !(leads_with_time && config.width.is_some() && is_time(shown.name())) {
                columns.push(shown);
            }
        }
        Ok(Self { columns, hidden: Vec::new() })
    }

    /// Chooses where no columns are asked for.
    fn usual(config: &QueryConfig, stored: &'static [Column]) -> Self {
        let mut columns = Vec::new();
        let mut used = 0;
        if config.products.len() > 1 {
            columns.push(Shown::Product);
            used += 2 + config.products.iter().map(|product| product.as_str().len()).max().unwrap_or(0).max(PRODUCT.len());
        }
        if config.format == Format::Table {
            columns.push(Shown::ReadableTime);
            used += TIME_WIDTH;
        }
        let Some(width) = config.width.filter(|_| config.format == Format::Table && !config.raw) else {
            columns.extend(stored.iter().enumerate().map(|(place, column)| Shown::Stored(column, place)));
            return Self { columns, hidden: Vec::new() };
        };
        let fitting = fitting(stored, width.saturating_sub(used));
        let is_shown = |column: &Column| is_time(column.name) || fitting.iter().any(|shown| shown.name() == column.name);
        let hidden = stored.iter().filter(|column| !is_shown(column)).map(|column| column.name).collect();
        columns.extend(fitting);
        Self { columns, hidden }
    }
}

fn find(name: &str, stored: &'static [Column], all: &'static [Column]) -> Result<Shown, QuestionError> {
    if let Some((place, column)) = stored.iter().enumerate().find(|(_, column)| column.name == name) {
        return Ok(Shown::Stored(column, place));
    }
    let name = name.to_owned();
    Err(if !all.iter().any(|column| column.name == name) {
        QuestionError::UnknownColumn { name, known: stored.iter().map(|column| column.name).chain([EVENT_TIME, PRODUCT]).collect() }
    } else if stored.iter().all(|column| column.set == ColumnSet::Core) {
        QuestionError::ColumnNotStored { name }
    } else {
        QuestionError::ColumnAddedLater { name }
    })
}

/// Tells whether a column is a part of the event time.
fn is_time(name: &str) -> bool {
    matches!(name, "time" | "nanos" | "trade_time" | "trade_nanos")
}

/// Chooses the columns that fit into a width: exact values instead of rounded ones, and order ids last.
fn fitting(stored: &'static [Column], width: usize) -> Vec<Shown> {
    let has_exact = |column: &Column| stored.iter().any(|other| other.name.strip_suffix("_f64") == Some(column.name));
    let mut wanted: Vec<(usize, &Column)> =
        stored.iter().enumerate().filter(|(_, column)| !has_exact(column) && !is_time(column.name)).collect();
    wanted.sort_by_key(|(_, column)| match column.name {
        "sequence" | "trade_sequence" => 1,
        name if name.contains("recv") || name.contains("origin") => 3,
        _ if column.kind == Kind::Uuid => 2,
        _ => 0,
    });
    let mut left = width;
    wanted.retain(|(_, column)| {
        let needed = 2 + usual_width(column).max(column.name.len());
        let fits = needed <= left;
        left = if fits { left - needed } else { 0 };
        fits
    });
    wanted.into_iter().map(|(place, column)| Shown::Stored(column, place)).collect()
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
