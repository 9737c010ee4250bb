//! What follows where a mapped file is cut behind its reader's back, or its device is lost: the access is SIGBUS.
//!
//! 1. A process that writes says which file it is, and ends: [`name_the_column_on_sigbus`]. Nothing else is safe for what it stores.
//! 2. One that only reads can go on: [`outlive_lost_pages`]. Zeros stand in the place of what is lost, so **whoever has read must ask before it believes what
//!    it has read**: of one day [`Snapshot::has_lost_pages`](super::Snapshot::has_lost_pages), of everything [`losses`]. A cut within a page is no signal:
//!    the kernel gives zeros for the rest of it. A look at the files' lengths shows that.
//! 3. The handler does what is async-signal-safe alone: it reads atomics, maps memory and writes to stderr.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::map::{column_at, handle_sigbus, put_zeros};
use super::mapping_table;

/// Whether the process goes on.
static OUTLIVES: AtomicBool = AtomicBool::new(false);

/// Installs a handler for SIGBUS that prints the name of the file at the faulting address, and ends the process as the signal would have.
///
/// # Errors
/// Where the handler cannot be installed.
pub fn name_the_column_on_sigbus() -> io::Result<()> {
    handle_sigbus(takes)
}

/// Installs a handler for SIGBUS that prints the name likewise, and puts zeros in the place of the pages that are lost. For a process that maps files only to
/// read them.
///
/// # Errors
/// As [`name_the_column_on_sigbus`].
pub(crate) fn outlive_lost_pages() -> io::Result<()> {
    // Its first call may have to ask the system, which a handler must not.
    let _ = rustix::param::page_size();
    OUTLIVES.store(true, Ordering::Release);
    handle_sigbus(takes)
}

/// Gives how often this process has lost pages of a mapped file.
pub(crate) fn losses() -> u64 {
    mapping_table::losses()
}

/// Takes a SIGBUS at an address. Tells whether the access can be tried again. Async-signal-safe.
fn takes(address: usize) -> bool {
    let name = column_at(address).unwrap_or(b"an unknown mapping");
    let lost = OUTLIVES.load(Ordering::Acquire).then(|| mapping_table::tear_at(address, rustix::param::page_size())).flatten();
    let is_taken = lost.is_some_and(|pages| put_zeros(pages).is_ok());
    let end: &[u8] = if is_taken {
        b" failed or its file was cut; what was read of it is not given\n"
    } else {
        b" failed or its file was cut; ending\n"
    };
    for part in [b"coltape: SIGBUS: the device behind ", name, end] {
        // Nothing can be done about a message that cannot be printed.
        let _ = rustix::io::write(std::io::stderr(), part);
    }
    is_taken
}
