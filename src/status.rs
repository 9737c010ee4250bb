//! What a running capture says of itself: `_coltape/status.json`, which it replaces once a second, and [`look`], which judges what stands there.
//!
//! 1. The file's keys have one home, [`report`]. Who writes it and who reads it share that type.
//! 2. A file alone shows nothing: a capture that was killed leaves one that says *running*. A capture runs only where the directory is locked, and by the
//!    process that wrote the file ([`look`]). One that has not written for [`STALE_AFTER`] does not count as healthy.
//! 3. The file may be missing, cut, of another version or forged. Reading it never fails for that: what it does not say is not known. Texts are bounded when
//!    they are read, and escaped where they are shown.
//!
//! No thread of its own: the watch of a capture writes, a command reads.

mod file;
mod judge;
mod notice;
mod parse;
mod report;
mod screen;

pub(crate) use file::NAME;
pub use judge::{CaptureStatus, Health, StatusError, look};
pub(crate) use notice::Notice;
pub use report::{Disk, DownConnection, LagMillis, LastError, ProductStatus, Queue, RaisedAlert, RunState, StatusReport};
pub(crate) use screen::Screen;
