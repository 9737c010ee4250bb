//! Salvage: a live day whose last flush failed is copied into new files when it is opened again, if the cache still holds it whole.
//!
//! 1. The page's witness says what the day held when it was closed. Only bytes that fit its checksums are copied. If any do not, only what is durable
//!    counts.
//! 2. The files are new because a file system may keep losing what is stored to blocks that it failed to write once.
//! 3. They are flushed, and read back past the cache, before they take the old files' names. The durable records are in both, so a crash between two
//!    renames may leave old and new files side by side.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use super::commit::DurableSlot;
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::filesystem;
use super::late::{Payloads, record_bytes};
use super::place::Place;
use super::probe::{Step, Why};
use super::replace;
use crate::schema::Column;

/// Bytes copied and compared at once.
const CHUNK: usize = 1 << 20;

/// Copies a day as its witness describes it. Tells whether the cache still had it.
pub(crate) fn salvage(dir: &DataDir, place: &Place, table: &[Column], witness: &DurableSlot) -> Result<bool, StoreError> {
    let copied = copy_all(place, table, witness);
    if !matches!(copied, Ok(true)) {
        discard(place, table);
        return copied;
    }
    dir.step(Step::Changed("salvage written"));
    dir.flush_for(Why::Recovered).inspect_err(|_| discard(place, table))?;
    for name in names(table, witness) {
        if !is_on_device(&place.replacement(name))? {
            discard(place, table);
            return Err(dir.flush_failed(std::io::Error::other(format!("the device does not hold the new {name}"))));
        }
    }
    replace::rename(dir, place, table)?;
    if witness.late > 0 {
        let new = place.replacement(LATE);
        std::fs::rename(&new, place.late()).at("rename", &new)?;
    }
    dir.flush_for(Why::Names)?;
    Ok(true)
}

/// The late file's name among those of the columns.
const LATE: &str = "late";

fn names<'a>(table: &'a [Column], witness: &DurableSlot) -> impl Iterator<Item = &'a str> {
    table.iter().map(|column| column.name).chain((witness.late > 0).then_some(LATE))
}

fn copy_all(place: &Place, table: &[Column], witness: &DurableSlot) -> Result<bool, StoreError> {
    for (column, crc) in table.iter().zip(&witness.extent.crcs) {
        let len = witness.extent.records.saturating_mul(column.kind.width() as u64);
        if copy(&place.column(column.name), &place.replacement(column.name), len)? != Some(*crc) {
            return Ok(false);
        }
    }
    if witness.late == 0 {
        return Ok(true);
    }
    // Each late record has a checksum of its own.
    let late = Payloads::read(&place.late(), table, witness.generation, witness.late.into())?;
    let len = u64::from(witness.late).saturating_mul(record_bytes(table) as u64);
    Ok(u32::try_from(late.len()) == Ok(witness.late) && copy(&place.late(), &place.replacement(LATE), len)?.is_some())
}

/// Copies a file's first `len` bytes and gives their checksum; nothing where it is shorter or cannot be read.
fn copy(from: &Path, to: &Path, len: u64) -> Result<Option<u32>, StoreError> {
    let mut out = BufWriter::with_capacity(CHUNK, File::create(to).at("make", to)?);
    let Ok(file) = File::open(from) else { return Ok(None) };
    let (mut file, mut buffer, mut crc, mut done) = (file.take(len), vec![0; CHUNK], 0, 0);
    loop {
        let Ok(read) = file.read(&mut buffer) else { return Ok(None) };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        crc = crc32c::crc32c_append(crc, bytes);
        done += read as u64;
        out.write_all(bytes).at("write", to)?;
    }
    out.flush().at("write", to)?;
    Ok((done == len).then_some(crc))
}

/// Tells whether the device holds a file as the cache has it.
fn is_on_device(path: &Path) -> Result<bool, StoreError> {
    let mut file = File::open(path).at("open", path)?;
    let (mut buffer, mut at) = (vec![0; CHUNK], 0);
    loop {
        let read = file.read(&mut buffer).at("read", path)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(true);
        }
        if !filesystem::device_holds(path, at, bytes).at("read back", path)? {
            return Ok(false);
        }
        at += read as u64;
    }
}

fn discard(place: &Place, table: &[Column]) {
    replace::discard(place, table);
    // A file that cannot be removed is void: no late record is ever read from it.
    let _ = std::fs::remove_file(place.replacement(LATE));
}
