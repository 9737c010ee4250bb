//! `coltape plot`: draws a picture, and writes it to stdout or to a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::market::ProductRangeArgs;
use super::outcome::{DONE, Failure};
use super::values::USUAL_PARTS;
use super::{input, output};
use crate::escape::Escaped;
use crate::plot::{PlotConfig, PlotError, PlotPart, Theme, plot};
use crate::tape::TapeError;

/// `coltape plot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape plot BTC-USD --out btc.svg\n  coltape plot BTC-USD --from 2025-06-07 --to 2025-06-08 --theme dark > day.svg\n  \
    coltape plot ETH-USD --from 10m --what candles,volume --out eth.svg\n\n\
    Each dot is a trade: its colour is the side of the taker, its area the size. Where trade ids are missing, the picture is shaded, and the ids are named. \
    The verdict on the range of time stands in the title. However many trades there are, the file stays below 1 MB: it is thinned by pixel, and the highest, \
    the lowest and the largest trade are always drawn.\n\n\
    Exit 0: drawn. Exit 1: nothing is stored of what was asked for, a day cannot be read, or the file cannot be written. Exit 2: the command line is wrong."
)]
#[command(mut_arg("from", |arg| arg.help("First event time: a date, RFC 3339, now, or how long ago: 7d, 36h [default: an hour before the end]")))]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    pub range: ProductRangeArgs,
    /// The file to write [default: stdout]
    #[arg(long, value_name = "FILE.svg")]
    pub out: Option<PathBuf>,
    /// Width in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = PlotConfig::WIDTH)]
    pub width: u32,
    /// Height in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = PlotConfig::HEIGHT)]
    pub height: u32,
    /// The colours
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// What to draw
    #[arg(long, value_enum, value_delimiter = ',', default_value = USUAL_PARTS.as_str())]
    pub what: Vec<PlotPart>,
}

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
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        return Err(io::Error::other(format!("there is no folder {}; make it first", Escaped(folder.display()))));
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
