//! CSV: the columns that `coltape query --format csv` prints, in the same order and with the same texts.
//!
//! 1. A header line, then one line a record. No text needs quotes.
//! 2. A number that no f64 gives back is printed as it came, digit by digit.

use std::io::Write;
use std::path::PathBuf;

use super::block::Block;
use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written, one_file_a_day, partition};
use super::output::Output;
use crate::digits::{push_f32, push_f64, push_u64, push_uuid};
use crate::product::ProductId;
use crate::query::ExactTexts;
use crate::record::{SIDE_UNKNOWN, Side};
use crate::schema::{Column, Kind};

/// Records of a block: their text stays in the processor's cache until it is written. Measured: two threads with blocks of their own are slower than one, as
/// more text than the cache holds waits to be written.
const BLOCK_ROWS: usize = 1 << 11;

/// The format.
pub(super) struct Csv;

impl FileFormat for Csv {
    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        Ok(one_file_a_day(product))
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        Ok(partition(file, "csv"))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        let Some(day) = file.days.first() else { return Ok(Written::default()) };
        let exact = ExactTexts::read(&file.config.dir, std::slice::from_ref(file.product), Some(file.planned.date));
        let names: Vec<&str> = day.columns().iter().map(|column| column.name).collect();
        let mut text = names.join(",").into_bytes();
        text.push(b'\n');
        out.write_all(&text).map_err(|error| out.failure(error))?;
        let mut rows = 0;
        for block in day.blocks(BLOCK_ROWS) {
            text.clear();
            print(&block, file.product, &exact, &mut text);
            out.write_all(&text).map_err(|error| out.failure(error))?;
            rows += block.rows() as u64;
            done(block.rows() as u64);
        }
        Ok(Written { rows, ..Written::default() })
    }
}

/// A column that is being printed.
struct Printed<'a> {
    name: &'static str,
    kind: Kind,
    is_side: bool,
    bytes: &'a [u8],
}

fn print(block: &Block<'_>, product: &ProductId, exact: &ExactTexts, text: &mut Vec<u8>) {
    let printed = |(column, bytes): (&'static Column, _)| Printed {
        name: column.name,
        kind: column.kind,
        is_side: matches!(column.name, "side" | "trade_side"),
        bytes,
    };
    let mut columns: Vec<Printed<'_>> = block.columns().map(printed).collect();
    let keys = if exact.is_empty() { Vec::new() } else { block.text_keys() };
    for row in 0..block.rows() {
        let key = keys.get(row).copied();
        for column in &mut columns {
            column.put_next(text, |name, value| exact.find(product, name, key?, value));
            text.push(b',');
        }
        // The comma behind the last value.
        text.pop();
        text.push(b'\n');
    }
}

impl Printed<'_> {
    /// Prints the next value. `sent` finds what the exchange sent for a column's value, where no f64 gives it back.
    #[inline]
    fn put_next<'t>(&mut self, text: &mut Vec<u8>, sent: impl Fn(&str, f64) -> Option<&'t str>) {
        match self.kind {
            Kind::U32 if self.is_side => put_side(text, u32::from_le_bytes(self.take())),
            Kind::U32 => push_u64(text, u64::from(u32::from_le_bytes(self.take()))),
            Kind::U64 => push_u64(text, u64::from_le_bytes(self.take())),
            Kind::F32 => {
                let value = f32::from_le_bytes(self.take());
                if value.is_finite() {
                    push_f32(text, value);
                }
            }
            Kind::F64 => {
                let value = f64::from_le_bytes(self.take());
                match sent(self.name, value) {
                    Some(sent) => text.extend_from_slice(sent.as_bytes()),
                    None if value.is_finite() => push_f64(text, value),
                    None => {}
                }
            }
            Kind::Uuid => push_uuid(text, &self.take()),
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.bytes = rest;
                *value
            }
            None => [0; N],
        }
    }
}

fn put_side(text: &mut Vec<u8>, code: u32) {
    match (Side::from_code(code), code) {
        (Some(side), _) => text.extend_from_slice(side.name().as_bytes()),
        (None, SIDE_UNKNOWN) => text.extend_from_slice(b"unknown"),
        (None, code) => push_u64(text, u64::from(code)),
    }
}
