//! A column of a table: its name, type, set and meaning, and which columns of a table a folder holds.

/// The type of a stored value, always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 4 bytes, unsigned.
    U32,
    /// 8 bytes, unsigned.
    U64,
    /// 4 bytes, IEEE 754.
    F32,
    /// 8 bytes, IEEE 754.
    F64,
    /// 16 raw bytes.
    Uuid,
}

impl Kind {
    /// Gives the width of one value in bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::U32 | Self::F32 => 4,
            Self::U64 | Self::F64 => 8,
            Self::Uuid => 16,
        }
    }
}

/// One stored value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// See [`Kind::U32`].
    U32(u32),
    /// See [`Kind::U64`].
    U64(u64),
    /// See [`Kind::F32`].
    F32(f32),
    /// See [`Kind::F64`].
    F64(f64),
    /// See [`Kind::Uuid`].
    Uuid([u8; 16]),
}

/// One column file of a dataset.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// File name before `.{date}.bin`.
    pub name: &'static str,
    /// Type of a value.
    pub kind: Kind,
    /// Core or extended.
    pub set: ColumnSet,
    /// What the value means, with unit and clock.
    pub doc: &'static str,
}

/// Which columns a folder holds (`--columns`), and which set a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColumnSet {
    /// The fixed core alone; as a column's set: part of the core.
    Core,
    /// Core and extended; as a column's set: extended only.
    #[default]
    Full,
}

impl ColumnSet {
    /// Gives the columns of this set: the front of `table`, or all of it.
    #[must_use]
    pub fn of(self, table: &'static [Column]) -> &'static [Column] {
        match self {
            Self::Full => table,
            Self::Core => table.get(..core_columns(table)).unwrap_or(table),
        }
    }

    /// Gives the columns of a folder of this set that holds `count` columns; nothing where no version of the table had so many. Columns were added to
    /// the end of the table since the folder was made, so it holds the front of today's.
    #[must_use]
    pub fn front(self, table: &'static [Column], count: usize) -> Option<&'static [Column]> {
        let fewest = core_columns(table);
        let most = self.of(table).len();
        if (fewest..=most).contains(&count) { table.get(..count) } else { None }
    }
}

/// The last columns of the tables of version 1. No folder of the full set was ever made with fewer.
const LAST_OF_VERSION_1: [&str; 3] = ["best_ask_size_f64", "trade_spread", "trade_origin"];

/// Counts the columns that a table had in version 1.
pub(crate) fn columns_of_version_1(table: &[Column]) -> usize {
    table.iter().position(|column| LAST_OF_VERSION_1.contains(&column.name)).map_or(table.len(), |last| last + 1)
}

/// Counts the core columns at the front of a table.
const fn core_columns(table: &[Column]) -> usize {
    let mut rest = table;
    let mut count = 0;
    while let [Column { set: ColumnSet::Core, .. }, after @ ..] = rest {
        rest = after;
        count += 1;
    }
    count
}

/// Tells whether a table has `core` core columns, all of them at its front.
pub(super) const fn has_fixed_core(table: &[Column], core: usize) -> bool {
    let Some((_, mut extended)) = table.split_at_checked(core) else { return false };
    let is_core_in_front = core_columns(table) == core;
    while let [Column { set: ColumnSet::Full, .. }, after @ ..] = extended {
        extended = after;
    }
    is_core_in_front && extended.is_empty()
}
