//! [`Encoder`]: writes blocks of records, or of computed rows, in one of the formats.

use std::io::Write;

#[cfg(feature = "export")]
use super::arrow::ArrowEncoder;
use super::cells::CellColumn;
use super::error::StreamError;
use super::format::StreamFormat;
#[cfg(feature = "export")]
use super::parquet::ParquetEncoder;
use super::text::{ExactCells, TextEncoder};
use crate::export::block::Block;
use crate::export::stored_day::StoredDay;
use crate::export::table::ExportColumn;

/// Writes blocks of rows.
pub(super) enum Encoder<'w> {
    Text(TextEncoder<'w>),
    #[cfg(feature = "export")]
    Arrow(ArrowEncoder<'w>),
    #[cfg(feature = "export")]
    Parquet(ParquetEncoder<'w>),
}

impl<'w> Encoder<'w> {
    /// Begins a stream of these columns, with metadata where the format has a place for it.
    ///
    /// # Errors
    /// Where the output takes no bytes, or this build has no such format.
    pub(super) fn begin(
        format: StreamFormat,
        columns: &[ExportColumn],
        metadata: Vec<(String, String)>,
        out: &'w mut dyn Write,
    ) -> Result<Self, StreamError> {
        match format {
            StreamFormat::Json | StreamFormat::Jsonl | StreamFormat::Csv => Ok(Self::Text(TextEncoder::begin(format, columns, out)?)),
            #[cfg(feature = "export")]
            StreamFormat::Arrow => Ok(Self::Arrow(ArrowEncoder::begin(columns, metadata, out)?)),
            #[cfg(feature = "export")]
            StreamFormat::Parquet => Ok(Self::Parquet(ParquetEncoder::begin(columns, metadata, out)?)),
            #[cfg(not(feature = "export"))]
            StreamFormat::Arrow | StreamFormat::Parquet => {
                drop(metadata);
                Err(StreamError::Encoding(format!("this build has no {}", format.name())))
            }
        }
    }

    /// Gives how many rows a block should have.
    pub(super) const fn block_rows(&self) -> usize {
        match self {
            Self::Text(_) => 1 << 12,
            #[cfg(feature = "export")]
            Self::Arrow(_) => 1 << 14,
            // A row group: a column of it is kept until it is whole.
            #[cfg(feature = "export")]
            Self::Parquet(_) => 1 << 17,
        }
    }

    /// Tells whether the format has exact texts.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Writes a block of a day.
    ///
    /// # Errors
    /// Where the output takes no more, or a value does not fit.
    #[cfg_attr(not(feature = "export"), expect(unused_variables, reason = "text is made of the block alone"))]
    pub(super) fn write(&mut self, day: &StoredDay, block: &Block<'_>, exact: Option<&ExactCells<'_>>) -> Result<(), StreamError> {
        match self {
            Self::Text(text) => text.write(block, exact),
            #[cfg(feature = "export")]
            Self::Arrow(arrow) => arrow.write(day, block),
            #[cfg(feature = "export")]
            Self::Parquet(parquet) => parquet.write(block),
        }
    }

    /// Writes computed columns. Text is printed by the commands' own printer.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn write_cells(&mut self, columns: Vec<CellColumn>) -> Result<(), StreamError> {
        match self {
            Self::Text(_) => Err(StreamError::Encoding(format!("{} computed columns are no text", columns.len()))),
            #[cfg(feature = "export")]
            Self::Arrow(arrow) => arrow.write_cells(columns),
            #[cfg(feature = "export")]
            Self::Parquet(parquet) => parquet.write_cells(&columns),
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn finish(self) -> Result<(), StreamError> {
        match self {
            Self::Text(text) => text.finish(),
            #[cfg(feature = "export")]
            Self::Arrow(arrow) => arrow.finish(),
            #[cfg(feature = "export")]
            Self::Parquet(parquet) => parquet.finish(),
        }
    }
}
