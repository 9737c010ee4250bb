//! Checks the commit page of a sealed day, sector by sector.
//!
//! A reader needs one good state and does without the rest. So a flipped bit elsewhere on the page would never be seen. It is looked for here.
//!
//! 1. Sectors 0 (identity), 2 and 3 (durable slots), 4 and 5 (state and its spare) and 6 (witness) end in the CRC32C of the bytes before it. A slot or a
//!    witness of zeroes was never written.
//! 2. Sector 1 (hot) has no checksum. It is zero where the state says so, as it does once a day is sealed and closed. All bytes behind sector 6 are zero.
//! 3. A capture may open the day again while the page is read. So a fault counts only if two reads found the same page.

use std::path::Path;

use crate::store::own_file::read_plain;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors with a checksum of their own, and whether they may be zero instead.
const CHECKED: [(usize, &str, bool); 6] = [
    (0, "identity", false),
    (2, "durable slot", true),
    (3, "durable slot", true),
    (4, "state", false),
    (5, "spare state", false),
    (6, "witness", true),
];
/// The sector that changes with every commit.
const HOT: usize = 1;
/// The sector of the state, and where it says what is in the hot sector.
const STATE: usize = 4;
const HOT_SAID_AT: usize = STATE * SECTOR + 504;
/// What it says where the hot sector is zero.
const CLEAR: [u8; 4] = 1u32.to_le_bytes();
/// The first sector that is not used.
const UNUSED: usize = 7;
/// How often a page is read that changes meanwhile.
const MAX_READS: usize = 8;

/// Reads a page and says what is wrong with it.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn faults(path: &Path) -> std::io::Result<Vec<String>> {
    let mut seen = read_plain(path)?;
    for _ in 0..MAX_READS {
        let faults = faults_of(&seen);
        if faults.is_empty() {
            return Ok(faults);
        }
        let again = read_plain(path)?;
        if again == seen {
            return Ok(faults);
        }
        seen = again;
    }
    // It changes all the time: by now it is the page of a live day, which is not judged.
    Ok(Vec::new())
}

fn faults_of(page: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    if page.len() != 8 * SECTOR {
        faults.push(format!("a commit page has 4096 bytes, this one {}", page.len()));
        return faults;
    }
    let is_zero = |sectors: std::ops::Range<usize>| {
        page.get(sectors.start * SECTOR..sectors.end * SECTOR).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    for (at, name, may_be_zero) in CHECKED {
        let sector = page.get(at * SECTOR..(at + 1) * SECTOR).unwrap_or_default();
        let is_good = sector.split_last_chunk::<4>().is_some_and(|(body, crc)| crc32c::crc32c(body) == u32::from_le_bytes(*crc));
        let is_fine = is_good || (may_be_zero && is_zero(at..at + 1));
        if !is_fine {
            faults.push(format!("the checksum of sector {at} ({name}) is another"));
        }
    }
    if page.get(HOT_SAID_AT..HOT_SAID_AT + CLEAR.len()) == Some(&CLEAR) && !is_zero(HOT..HOT + 1) {
        faults.push(format!("sector {HOT} (hot) is not zero, as sector {STATE} (state) says"));
    }
    if !is_zero(UNUSED..8) {
        faults.push("bytes behind the last sector are not zero".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(hot: u8) -> Vec<u8> {
        let mut page = vec![0; 8 * SECTOR];
        page[HOT_SAID_AT] = hot;
        page[HOT_SAID_AT + SECTOR] = hot;
        for at in [0, 2, 4, 5] {
            page[at * SECTOR] = 7;
            let crc = crc32c::crc32c(&page[at * SECTOR..(at + 1) * SECTOR - 4]).to_le_bytes();
            page[(at + 1) * SECTOR - 4..(at + 1) * SECTOR].copy_from_slice(&crc);
        }
        page
    }

    /// The bytes of a page whose change is not found.
    fn unnoticed(page: &[u8]) -> Vec<usize> {
        assert_eq!(faults_of(page), Vec::<String>::new());
        let is_noticed = |at: usize| {
            let mut page = page.to_vec();
            (1..=u8::MAX).all(|change| {
                page[at] ^= change;
                let found = !faults_of(&page).is_empty();
                page[at] ^= change;
                found
            })
        };
        (0..page.len()).filter(|at| !is_noticed(*at)).collect()
    }

    #[test]
    fn any_changed_byte_of_a_page_is_found_and_in_use_any_but_in_the_hot_sector() {
        assert_eq!(unnoticed(&page(1)), Vec::<usize>::new());
        for in_use in [0, 2] {
            assert_eq!(unnoticed(&page(in_use)), (SECTOR..2 * SECTOR).collect::<Vec<_>>());
        }
        assert_eq!(faults_of(&page(1)[1..]).len(), 1);
    }

    #[test]
    fn a_sector_that_was_lost_is_found() {
        for at in [0, 4, 5] {
            let mut page = page(1);
            page[at * SECTOR..(at + 1) * SECTOR].fill(0);
            assert_eq!(faults_of(&page).len(), 1, "sector {at}");
        }
    }
}
