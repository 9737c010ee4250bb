//! `coltape plot`: draws a picture, and writes it to stdout or to a file.

use std::io::{self, Write};
use std::path::Path;

use super::args::PlotArgs;
use super::outcome::{DONE, Failure};
use super::{input, output};
use crate::escape::Escaped;
use crate::plot::{PlotConfig, PlotError, plot};
use crate::tape::TapeError;

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where nothing is stored of what was asked for, a day cannot be read, or the picture cannot be written.
pub(crate) fn run(args: &PlotArgs) -> Result<u8, Failure> {
    let asked = &args.range;
    let mut config = PlotConfig::new(&asked.data_dir.data_dir, asked.product.clone());
    (config.from, config.to) = (asked.from, asked.to);
    (config.width, config.height, config.theme) = (args.width, args.height, args.theme);
    config.parts.clone_from(&args.what);
    // Drawn before anything is written: a picture that fails leaves the old one.
    let mut picture = Vec::new();
    match plot(&config, &mut picture) {
        Ok(()) => {}
        Err(PlotError::Tape(TapeError::Store(error))) => return Err(input::unreadable(&error, &config.dir)),
        Err(error @ (PlotError::Size { .. } | PlotError::NoParts)) => return Err(Failure::Usage(error.to_string())),
        Err(error) => return Err(Failure::failed(error)),
    }
    match &args.out {
        None => {
            let mut stdout = io::stdout().lock();
            output::checked(stdout.write_all(&picture).and_then(|()| stdout.flush()))?;
        }
        Some(path) => replace(path, &picture).map_err(|error| Failure::failed(format!("--out {}: {error}", Escaped(path.display()))))?,
    }
    Ok(DONE)
}

/// Writes a file: under another name first, so that whoever looks at the picture sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::other("it is a directory; give the name of a file in it"));
    }
    // A pipe or a device is written to as it is.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, bytes);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let new = path.with_file_name(name);
    let written = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}
