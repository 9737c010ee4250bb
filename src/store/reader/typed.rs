//! A column's values where they lie in the file, as a slice of their type: nothing is copied.
//!
//! The slices hold the records of the columns, without the late ones: [`Snapshot::runs`] says where those belong.

use super::Snapshot;
use crate::schema::{Kind, Layout};
use crate::store::map::Plain;

/// A type that a column's values have: `u32`, `u64`, `f32`, `f64`, and `[u8; 16]` for order ids.
pub trait ColumnValue: Plain {
    /// The stored type that it is.
    const KIND: Kind;
}

impl ColumnValue for u32 {
    const KIND: Kind = Kind::U32;
}
impl ColumnValue for u64 {
    const KIND: Kind = Kind::U64;
}
impl ColumnValue for f32 {
    const KIND: Kind = Kind::F32;
}
impl ColumnValue for f64 {
    const KIND: Kind = Kind::F64;
}
impl ColumnValue for [u8; 16] {
    const KIND: Kind = Kind::Uuid;
}

/// Why a day does not give a column as a slice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// No column of the dataset has that name.
    #[error("there is no column {name}; there are {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The dataset's columns.
        known: Vec<&'static str>,
    },
    /// The dataset has the column, this day does not.
    #[error("{name} is not stored: the day holds the columns {}", held.join(", "))]
    NotStored {
        /// The name asked for.
        name: String,
        /// The columns of the day.
        held: Vec<&'static str>,
    },
    /// The column's values have another type.
    #[error("{name} holds {stored:?}, not {asked:?}")]
    OtherType {
        /// The name asked for.
        name: String,
        /// The stored type.
        stored: Kind,
        /// The type asked for.
        asked: Kind,
    },
}

impl<L: Layout> Snapshot<L> {
    /// Gives a column's values as they lie in the file, without late records. The slice has [`Snapshot::base_count`] values.
    ///
    /// # Errors
    /// Where the day has no such column, or the column another type.
    pub fn column<T: ColumnValue>(&self, name: &str) -> Result<&[T], ColumnError> {
        let names = |columns: &[crate::schema::Column]| columns.iter().map(|column| column.name).collect();
        let held = self.columns();
        let Some(at) = held.iter().position(|column| column.name == name) else {
            let name = name.to_owned();
            let is_known = L::COLUMNS.iter().any(|column| column.name == name);
            let (known, held) = (names(L::COLUMNS), names(held));
            return Err(if is_known { ColumnError::NotStored { name, held } } else { ColumnError::Unknown { name, known } });
        };
        match self.values(at) {
            Some(values) => Ok(values),
            None => {
                let stored = held.get(at).map_or(T::KIND, |column| column.kind);
                Err(ColumnError::OtherType { name: name.to_owned(), stored, asked: T::KIND })
            }
        }
    }

    /// Gives the values of the column at a place of the dataset's table; nothing where the day does not have it, or it has another type.
    #[must_use]
    pub(crate) fn values<T: ColumnValue>(&self, column: usize) -> Option<&[T]> {
        let kind = self.view.table.get(column)?.kind;
        if kind == T::KIND { Some(self.view.columns.get(column)?.map.values()) } else { None }
    }
}
