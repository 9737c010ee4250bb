//! [`Chunk`]: a column chunk of order ids or of names, made from many values at once.
//!
//! The column writers of the `parquet` crate take such values one by one, each with its own reference count, and look each name up. That took half of the
//! time of an export. Here order ids go into the pages as they lie in the columns, and names as their places in a dictionary.
//!
//! 1. Pages have as many rows as those of the crate's writers, so that the pages of all columns begin at the same rows.
//! 2. Each page has its smallest and largest value and its number of nulls in the column index, and the chunk has those of all.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::properties::{DEFAULT_BLOOM_FILTER_FPP, DEFAULT_DATA_PAGE_ROW_COUNT_LIMIT};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::hybrid;
use crate::export::table::Present;

/// Rows of a page.
const PAGE_ROWS: usize = DEFAULT_DATA_PAGE_ROW_COUNT_LIMIT;

/// A column chunk that is ready to be written: its bytes, and what the file has to say of it.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// How a chunk is written.
pub(super) struct ChunkSettings {
    pub(super) column: ColumnDescPtr,
    pub(super) compression: Compression,
    pub(super) has_bloom: bool,
}

impl Chunk {
    /// Makes a chunk of order ids, one for each row. Those of rows without a value are left out.
    ///
    /// # Errors
    /// Where the bytes cannot be compressed.
    pub(super) fn of_ids(settings: ChunkSettings, ids: &[[u8; 16]], present: &Present) -> Result<Self, ParquetError> {
        let bloom = || Sbbf::new_with_ndv_fpp(ids.len() as u64, DEFAULT_BLOOM_FILTER_FPP);
        let mut bloom = if settings.has_bloom { Some(bloom()?) } else { None };
        let mut pages = Pages::begin(settings)?;
        let mut kept = Vec::new();
        for (number, ids) in ids.chunks(PAGE_ROWS).enumerate() {
            let rows = Rows::of(present, number * PAGE_ROWS, ids.len());
            let values = rows.filled(ids, &mut kept);
            pages.begin_page(&rows);
            pages.page.extend_from_slice(values.as_flattened());
            let extremes = values
                .iter()
                .map(|id| u128::from_be_bytes(*id))
                .fold(None, |all: Option<(u128, u128)>, id| Some(all.map_or((id, id), |(least, most)| (least.min(id), most.max(id)))));
            let extremes = extremes.map(|(least, most)| (least.to_be_bytes().to_vec(), most.to_be_bytes().to_vec()));
            pages.end_page(Encoding::PLAIN, &rows, extremes, None)?;
            if let Some(bloom) = &mut bloom {
                values.iter().for_each(|id| bloom.insert(id.as_slice()));
            }
        }
        if let Some(bloom) = &mut bloom {
            bloom.fold_to_target_fpp(DEFAULT_BLOOM_FILTER_FPP);
        }
        pages.finish(bloom)
    }

    /// Makes a chunk of names: for each row the place of its name in a list. Those of rows without a value are left out.
    ///
    /// # Errors
    /// Where the bytes cannot be compressed.
    pub(super) fn of_names(settings: ChunkSettings, places: &[u8], names: &[&str], present: &Present) -> Result<Self, ParquetError> {
        let mut pages = Pages::begin(settings)?;
        pages.write_dictionary(names)?;
        let width = (u8::BITS - u8::try_from(names.len().saturating_sub(1)).unwrap_or(u8::MAX).leading_zeros()).max(1);
        let mut kept = Vec::new();
        for (number, places) in places.chunks(PAGE_ROWS).enumerate() {
            let rows = Rows::of(present, number * PAGE_ROWS, places.len());
            let values = rows.filled(places, &mut kept);
            pages.begin_page(&rows);
            pages.page.extend(u8::try_from(width));
            hybrid::put(&mut pages.page, values, width);
            let mut counts = [0i64; 256];
            values.iter().for_each(|place| counts.get_mut(usize::from(*place)).into_iter().for_each(|count| *count += 1));
            let used = || names.iter().zip(counts).filter(|(_, count)| *count > 0);
            let bytes = used().map(|(name, count)| name.len() as i64 * count).sum();
            let least = used().map(|(name, _)| name.as_bytes().to_vec()).min();
            let most = used().map(|(name, _)| name.as_bytes().to_vec()).max();
            pages.end_page(Encoding::RLE_DICTIONARY, &rows, least.zip(most), Some(bytes))?;
        }
        pages.finish(None)
    }
}

/// Which rows of a page have a value.
struct Rows<'a> {
    count: usize,
    /// Nothing where all of them do, or none.
    marks: Option<&'a [bool]>,
    values: usize,
}

impl<'a> Rows<'a> {
    fn of(present: &'a Present, first: usize, count: usize) -> Self {
        match present {
            Present::All => Self { count, marks: None, values: count },
            Present::None => Self { count, marks: None, values: 0 },
            Present::Some(marks) => {
                let marks = marks.get(first..first + count).unwrap_or_default();
                Self { count, marks: Some(marks), values: marks.iter().filter(|mark| **mark).count() }
            }
        }
    }

    fn nulls(&self) -> usize {
        self.count - self.values
    }

    /// Leaves out what stands in rows without a value.
    fn filled<'v, T: Copy>(&self, all: &'v [T], kept: &'v mut Vec<T>) -> &'v [T] {
        match self.marks {
            _ if self.values == all.len() => all,
            _ if self.values == 0 => &[],
            None => &[],
            Some(marks) => {
                kept.clear();
                kept.extend(all.iter().zip(marks).filter(|(_, mark)| **mark).map(|(value, _)| *value));
                kept
            }
        }
    }
}

/// Compresses pages.
enum Compressor {
    None,
    Snappy(Box<snap::raw::Encoder>),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Compressor {
    fn of(compression: Compression) -> Result<Self, ParquetError> {
        match compression {
            Compression::UNCOMPRESSED => Ok(Self::None),
            Compression::SNAPPY => Ok(Self::Snappy(Box::new(snap::raw::Encoder::new()))),
            Compression::ZSTD(level) => Ok(Self::Zstd(Box::new(zstd::bulk::Compressor::new(level.compression_level())?))),
            other => Err(ParquetError::NYI(format!("compression by {other}"))),
        }
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ParquetError> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Snappy(encoder) => encoder.compress_vec(bytes).map_err(|error| ParquetError::External(Box::new(error))),
            Self::Zstd(compressor) => Ok(compressor.compress(bytes)?),
        }
    }
}

/// What is known of the pages so far.
#[derive(Default)]
struct Sums {
    rows: usize,
    nulls: usize,
    /// The smallest and the largest value.
    extremes: Option<(Vec<u8>, Vec<u8>)>,
    /// Bytes of texts before they became places.
    text_bytes: Option<i64>,
    compressed: usize,
    uncompressed: usize,
    encodings: Vec<PageEncodingStats>,
    dictionary_at: Option<i64>,
    data_at: Option<i64>,
}

/// The pages of a chunk, one after the other.
struct Pages {
    settings: ChunkSettings,
    compressor: Compressor,
    sink: TrackedWrite<Vec<u8>>,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    sums: Sums,
    /// The page that is being made.
    page: Vec<u8>,
    levels: Vec<u8>,
}

impl Pages {
    fn begin(settings: ChunkSettings) -> Result<Self, ParquetError> {
        Ok(Self {
            compressor: Compressor::of(settings.compression)?,
            sink: TrackedWrite::new(Vec::new()),
            index: ColumnIndexBuilder::new(settings.column.physical_type()),
            offsets: OffsetIndexBuilder::new(),
            sums: Sums::default(),
            page: Vec::new(),
            levels: Vec::new(),
            settings,
        })
    }

    /// Begins a page with the marks of the rows that have a value.
    fn begin_page(&mut self, rows: &Rows<'_>) {
        self.page.clear();
        if self.settings.column.max_def_level() == 0 {
            return;
        }
        self.levels.clear();
        match rows.marks {
            Some(marks) if rows.nulls() > 0 && rows.values > 0 => {
                let marks: Vec<u8> = marks.iter().map(|mark| u8::from(*mark)).collect();
                hybrid::put(&mut self.levels, &marks, 1);
            }
            _ => hybrid::put_run(&mut self.levels, u8::from(rows.values > 0), rows.count),
        }
        // A page has a few thousand rows.
        self.page.extend(u32::try_from(self.levels.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.page.append(&mut self.levels);
    }

    fn end_page(
        &mut self,
        encoding: Encoding,
        rows: &Rows<'_>,
        extremes: Option<(Vec<u8>, Vec<u8>)>,
        text_bytes: Option<i64>,
    ) -> Result<(), ParquetError> {
        let (least, most) = extremes.clone().unwrap_or_default();
        self.index.append(extremes.is_none(), least, most, counted(rows.nulls()), None);
        self.offsets.append_row_count(counted(rows.count));
        self.offsets.append_unencoded_byte_array_data_bytes(text_bytes);
        self.sums.rows += rows.count;
        self.sums.nulls += rows.nulls();
        self.sums.text_bytes = self.sums.text_bytes.or(text_bytes.map(|_| 0)).zip(text_bytes).map(|(sum, bytes)| sum + bytes);
        if let Some((least, most)) = extremes {
            let all = self.sums.extremes.take().unwrap_or_else(|| (least.clone(), most.clone()));
            self.sums.extremes = Some((all.0.min(least), all.1.max(most)));
        }
        let page = Page::DataPage {
            buf: self.compressor.compress(&self.page)?.into(),
            num_values: u32::try_from(rows.count).unwrap_or(u32::MAX),
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.write(page)
    }

    fn write_dictionary(&mut self, names: &[&str]) -> Result<(), ParquetError> {
        self.page.clear();
        for name in names {
            self.page.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.page.extend_from_slice(name.as_bytes());
        }
        let page = Page::DictionaryPage {
            buf: self.compressor.compress(&self.page)?.into(),
            num_values: u32::try_from(names.len()).unwrap_or(u32::MAX),
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.write(page)
    }

    fn write(&mut self, page: Page) -> Result<(), ParquetError> {
        let (page_type, encoding) = (page.page_type(), page.encoding());
        match self.sums.encodings.last_mut().filter(|last| last.page_type == page_type && last.encoding == encoding) {
            Some(last) => last.count += 1,
            None => self.sums.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
        let written = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, self.page.len()))?;
        self.sums.compressed += written.compressed_size;
        self.sums.uncompressed += written.uncompressed_size;
        let at = written.offset.cast_signed();
        if page_type == PageType::DICTIONARY_PAGE {
            self.sums.dictionary_at = Some(at);
        } else {
            self.sums.data_at.get_or_insert(at);
            self.offsets.append_offset_and_size(at, i32::try_from(written.compressed_size).unwrap_or(i32::MAX));
        }
        Ok(())
    }

    fn finish(mut self, bloom_filter: Option<Sbbf>) -> Result<Chunk, ParquetError> {
        let sums = self.sums;
        let encodings = sums.encodings.iter().map(|pages| pages.encoding).chain([Encoding::RLE]).collect::<Vec<_>>();
        let metadata = ColumnChunkMetaData::builder(self.settings.column.clone())
            .set_compression(self.settings.compression)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(sums.encodings)
            .set_total_compressed_size(counted(sums.compressed))
            .set_total_uncompressed_size(counted(sums.uncompressed))
            .set_num_values(counted(sums.rows))
            .set_data_page_offset(sums.data_at.unwrap_or(0))
            .set_dictionary_page_offset(sums.dictionary_at)
            .set_unencoded_byte_array_data_bytes(sums.text_bytes)
            .set_statistics(statistics(self.settings.column.physical_type(), sums.extremes, sums.nulls as u64))
            .build()?;
        self.index.set_boundary_order(BoundaryOrder::UNORDERED);
        let bytes_written = self.sink.bytes_written() as u64;
        let close = ColumnCloseResult {
            bytes_written,
            rows_written: sums.rows as u64,
            metadata,
            bloom_filter,
            column_index: Some(self.index.build()?),
            offset_index: Some(self.offsets.build()),
        };
        Ok(Chunk { bytes: self.sink.into_inner()?.into(), close })
    }
}

fn statistics(physical: Type, extremes: Option<(Vec<u8>, Vec<u8>)>, nulls: u64) -> Statistics {
    let (least, most) = extremes.unzip();
    if physical == Type::FIXED_LEN_BYTE_ARRAY {
        return Statistics::fixed_len_byte_array(
            least.map(FixedLenByteArray::from),
            most.map(FixedLenByteArray::from),
            None,
            Some(nulls),
            false,
        );
    }
    Statistics::byte_array(least.map(ByteArray::from), most.map(ByteArray::from), None, Some(nulls), false)
}

/// Gives a count as the format has it.
fn counted(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
