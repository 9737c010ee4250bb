//! The commit page of a sealed day held against its own checksums, sector by sector.
//!
//! A reader needs one good state and gets on without the rest, so a flipped bit there would stay unseen; here it is looked for.
//!
//! 1. Sectors 0 (identity), 2 and 3 (durable slots), 4 and 5 (state and its spare) end in the CRC32C of the bytes before; one of zeroes was never written.
//! 2. Sector 1, hot, has no checksum and does not count on a sealed day. What lies behind sector 5 is zero.

use std::path::Path;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors with a checksum of their own.
const CHECKED: [(usize, &str); 5] = [(0, "identity"), (2, "durable slot"), (3, "durable slot"), (4, "state"), (5, "spare state")];
/// The first sector that means nothing.
const UNUSED: usize = 6;

/// Reads a page and names what does not fit.
///
/// # Errors
/// Where the file cannot be read.
pub fn faults(path: &Path) -> std::io::Result<Vec<String>> {
    Ok(faults_of(&std::fs::read(path)?))
}

fn faults_of(page: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    if page.len() != 8 * SECTOR {
        faults.push(format!("a commit page has 4096 bytes, this one {}", page.len()));
        return faults;
    }
    for (at, name) in CHECKED {
        let sector = page.get(at * SECTOR..(at + 1) * SECTOR).unwrap_or_default();
        let is_written = sector.iter().any(|byte| *byte != 0);
        let is_good = sector.split_last_chunk::<4>().is_some_and(|(body, crc)| crc32c::crc32c(body) == u32::from_le_bytes(*crc));
        if is_written && !is_good {
            faults.push(format!("the checksum of sector {at} ({name}) is another"));
        }
    }
    if page.get(UNUSED * SECTOR..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        faults.push("bytes behind the last sector are not zero".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Vec<u8> {
        let mut page = vec![0; 8 * SECTOR];
        for at in [0, 2, 4] {
            page[at * SECTOR] = 7;
            let crc = crc32c::crc32c(&page[at * SECTOR..(at + 1) * SECTOR - 4]).to_le_bytes();
            page[(at + 1) * SECTOR - 4..(at + 1) * SECTOR].copy_from_slice(&crc);
        }
        page
    }

    #[test]
    fn any_flipped_bit_but_in_the_hot_sector_is_found() {
        assert_eq!(faults_of(&page()), Vec::<String>::new());
        for byte in 0..8 * SECTOR {
            let mut page = page();
            page[byte] ^= 1 << (byte % 8);
            assert_eq!(faults_of(&page).is_empty(), (SECTOR..2 * SECTOR).contains(&byte), "byte {byte}");
        }
        assert_eq!(faults_of(&page()[1..]).len(), 1);
    }
}
