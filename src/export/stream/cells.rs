//! [`CellColumn`]: a column of rows that were computed.

use crate::export::table::Kind;
use crate::rows::{Cell, Format};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Nanoseconds of a microsecond.
const NANOS_PER_MICRO: u64 = 1000;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// Texts.
    Text,
    /// Whole numbers.
    Count,
    /// Numbers.
    Number,
    /// Times.
    Time,
}

impl CellKind {
    /// Gives the exported type.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Name,
            Self::Count => Kind::Int64,
            Self::Number => Kind::Double,
            Self::Time => Kind::Time,
        }
    }
}

/// The values of a column, one for each row. What stands in a row without a value means nothing.
#[derive(Debug)]
pub(super) enum CellValues {
    Texts(Vec<String>),
    Counts(Vec<i64>),
    Numbers(Vec<f64>),
    /// Times in microseconds since the epoch.
    Micros(Vec<i64>),
}

/// A column of computed rows.
#[derive(Debug)]
pub(super) struct CellColumn {
    pub(super) values: CellValues,
    /// Which rows have a value.
    pub(super) marks: Vec<bool>,
}

impl CellColumn {
    /// Makes a column of its cells.
    pub(super) fn of<'c>(kind: CellKind, cells: impl Iterator<Item = &'c Cell>) -> Self {
        match kind {
            CellKind::Text => apart(CellValues::Texts, cells, |cell| match cell {
                Cell::None => None,
                cell => Some(cell.shown(Format::Jsonl)),
            }),
            CellKind::Count => apart(CellValues::Counts, cells, |cell| match cell {
                Cell::Count(count) => i64::try_from(*count).ok(),
                _ => None,
            }),
            CellKind::Number => apart(CellValues::Numbers, cells, |cell| match cell {
                Cell::Number(value) | Cell::Computed(value) if !value.is_nan() => Some(*value),
                _ => None,
            }),
            CellKind::Time => apart(CellValues::Micros, cells, |cell| match cell {
                Cell::Time(time) => micros(*time),
                Cell::Second(time) => micros(UnixNanos(time.0 / NANOS_PER_SECOND * NANOS_PER_SECOND)),
                _ => None,
            }),
        }
    }
}

fn micros(time: UnixNanos) -> Option<i64> {
    i64::try_from(time.0 / NANOS_PER_MICRO).ok()
}

/// Tells values from the rows that have one.
fn apart<'c, V: Default>(
    make: impl Fn(Vec<V>) -> CellValues,
    cells: impl Iterator<Item = &'c Cell>,
    value: impl Fn(&Cell) -> Option<V>,
) -> CellColumn {
    let (marks, values) = cells.map(value).map(|value| (value.is_some(), value.unwrap_or_default())).unzip();
    CellColumn { values: make(values), marks }
}
