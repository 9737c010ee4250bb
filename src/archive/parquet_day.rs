//! [`ParquetDay`]: reads an exported file back, column by column, one row group at a time. It shares nothing with the writer but the names of columns.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::error::{ArchiveError, At};

/// Most rows of a row group that are read. An export has fewer.
const MAX_GROUP_ROWS: usize = 1 << 24;

/// An exported file.
pub(super) struct ParquetDay {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    columns: BTreeMap<String, usize>,
}

impl ParquetDay {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).at("open", path)?;
        let failed = |error: ParquetError| ArchiveError::Parquet { path: path.to_owned(), why: error.to_string() };
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        let described = reader.metadata().file_metadata().schema_descr();
        let columns = described.columns().iter().enumerate().map(|(at, column)| (column.name().to_owned(), at)).collect();
        Ok(Self { path: path.to_owned(), reader, columns })
    }

    fn failed(&self, why: impl ToString) -> ArchiveError {
        ArchiveError::Parquet { path: self.path.clone(), why: why.to_string() }
    }

    /// Counts the row groups.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Counts the rows of a row group.
    ///
    /// # Errors
    /// Where there are more than any export writes.
    pub(super) fn rows(&self, group: usize) -> Result<usize, ArchiveError> {
        let metadata = self.reader.metadata();
        let rows = metadata.row_groups().get(group).map_or(0, |group| group.num_rows());
        usize::try_from(rows).ok().filter(|rows| *rows <= MAX_GROUP_ROWS).ok_or_else(|| self.failed("a row group has too many rows"))
    }

    /// Counts all rows.
    ///
    /// # Errors
    /// As [`ParquetDay::rows`].
    pub(super) fn all_rows(&self) -> Result<u64, ArchiveError> {
        (0..self.groups()).try_fold(0, |sum, group| Ok(sum + self.rows(group)? as u64))
    }

    /// Reads the integers of a column.
    ///
    /// # Errors
    /// Where there is no such column, or it cannot be read.
    pub(super) fn int64s(&self, group: usize, name: &str) -> Result<Vec<Option<i64>>, ArchiveError> {
        self.values::<Int64Type>(group, name)
    }

    /// Reads the small integers of a column.
    ///
    /// # Errors
    /// As [`ParquetDay::int64s`].
    pub(super) fn int32s(&self, group: usize, name: &str) -> Result<Vec<Option<i32>>, ArchiveError> {
        self.values::<Int32Type>(group, name)
    }

    /// Reads the doubles of a column.
    ///
    /// # Errors
    /// As [`ParquetDay::int64s`].
    pub(super) fn doubles(&self, group: usize, name: &str) -> Result<Vec<Option<f64>>, ArchiveError> {
        self.values::<DoubleType>(group, name)
    }

    /// Reads the values of a column, in the type that the file has them in. A row without a value is `None`.
    ///
    /// # Errors
    /// As [`ParquetDay::int64s`].
    pub(super) fn values<T: DataType>(&self, group: usize, name: &str) -> Result<Vec<Option<T::T>>, ArchiveError> {
        let at = *self.columns.get(name).ok_or_else(|| self.failed(format!("it has no column {name}")))?;
        let rows = self.rows(group)?;
        let found = self.reader.get_row_group(group).map_err(|error| self.failed(error))?;
        let described = found.metadata().column(at).column_descr_ptr();
        if described.physical_type() != T::get_physical_type() {
            return Err(self.failed(format!("its column {name} has another type")));
        }
        let mut reader = get_typed_column_reader::<T>(found.get_column_reader(at).map_err(|error| self.failed(error))?);
        let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::new());
        let mut read = 0;
        while read < rows {
            let (records, ..) =
                reader.read_records(rows - read, Some(&mut levels), None, &mut values).map_err(|error| self.failed(error))?;
            if records == 0 {
                return Err(self.failed(format!("its column {name} ends early")));
            }
            read += records;
        }
        if described.max_def_level() == 0 {
            return Ok(values.into_iter().map(Some).collect());
        }
        let present = levels.iter().filter(|level| **level == 1).count();
        if levels.len() != rows || present != values.len() {
            return Err(self.failed(format!("its column {name} has another number of values than rows")));
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
    }
}
