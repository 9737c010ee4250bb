//! [`AGENT`]: the program's name in requests.

/// The program's name in requests.
pub(super) const AGENT: &str = concat!("coltape/", env!("CARGO_PKG_VERSION"));
