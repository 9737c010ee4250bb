//! [`PlotConfig`]: what is drawn, and how large. [`PlotError`]: why nothing is.

use std::io;
use std::path::{Path, PathBuf};

use crate::escape::Escaped;
use crate::product::ProductId;
use crate::store::StoreError;
use crate::tape::TapeError;
use crate::time::UnixNanos;

/// The colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on a dark ground.
    Dark,
}

/// Something that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlotPart {
    /// Trades as dots: the colour is the taker's side, the area the size.
    Trades,
    /// Best bid and best ask as lines.
    Quotes,
    /// Open, high, low and close of spans of time.
    Candles,
    /// Volume of spans of time: bought above the line, sold below it.
    Volume,
}

impl PlotPart {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Trades, Self::Quotes, Self::Candles, Self::Volume];

    /// Gives the name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Quotes => "quotes",
            Self::Candles => "candles",
            Self::Volume => "volume",
        }
    }
}

/// What is drawn.
///
/// ```
/// use coltape::{PlotConfig, ProductId, Theme};
/// let mut config = PlotConfig::new("data", ProductId::new("BTC-USD").unwrap());
/// config.theme = Theme::Dark;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlotConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose trades.
    pub product: ProductId,
    /// The first event time; an hour before the end where none is given.
    pub from: Option<UnixNanos>,
    /// The event time to stop before; behind the last record where none is given.
    pub to: Option<UnixNanos>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The colours.
    pub theme: Theme,
    /// What is drawn.
    pub parts: Vec<PlotPart>,
}

impl PlotConfig {
    /// The usual width, in pixels.
    pub const WIDTH: u32 = 1200;
    /// The usual height, in pixels.
    pub const HEIGHT: u32 = 700;
    /// What is drawn usually.
    pub const PARTS: [PlotPart; 3] = [PlotPart::Trades, PlotPart::Quotes, PlotPart::Volume];
    /// Smallest and largest width.
    pub const WIDTHS: (u32, u32) = (480, 4000);
    /// Smallest and largest height.
    pub const HEIGHTS: (u32, u32) = (320, 3000);

    /// Draws the last hour that there is of a product, in the usual size.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>, product: ProductId) -> Self {
        Self {
            dir: dir.as_ref().to_owned(),
            product,
            from: None,
            to: None,
            width: Self::WIDTH,
            height: Self::HEIGHT,
            theme: Theme::default(),
            parts: Self::PARTS.to_vec(),
        }
    }

    /// Tells whether a part is drawn.
    pub(super) fn shows(&self, part: PlotPart) -> bool {
        self.parts.contains(&part)
    }
}

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The directory, the product or the time is not there, or the tape cannot be read.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A day cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No record lies in the range of time.
    #[error("no {what} of {product} from {from} to {to} in {}{}", Escaped(dir.display()), stored(held.as_ref()))]
    Nothing {
        /// What was asked for.
        what: &'static str,
        /// The product.
        product: ProductId,
        /// The data directory.
        dir: PathBuf,
        /// The first event time.
        from: UnixNanos,
        /// The event time to stop before.
        to: UnixNanos,
        /// The first and the last event time that there is.
        held: Option<(UnixNanos, UnixNanos)>,
    },
    /// The picture would be too small or too large.
    #[error("a picture of {width} by {height} pixels cannot be drawn: the width must lie between {} and {}, the height between {} and {}",
        PlotConfig::WIDTHS.0, PlotConfig::WIDTHS.1, PlotConfig::HEIGHTS.0, PlotConfig::HEIGHTS.1)]
    Size {
        /// The width.
        width: u32,
        /// The height.
        height: u32,
    },
    /// Nothing is to be drawn.
    #[error("nothing is to be drawn: name trades, quotes, candles or volume")]
    NoParts,
    /// The output cannot be written to.
    #[error("output: {0}")]
    Output(io::Error),
}

fn stored(held: Option<&(UnixNanos, UnixNanos)>) -> String {
    held.map_or_else(String::new, |(first, last)| format!("; it has records from {first} to {last}"))
}
