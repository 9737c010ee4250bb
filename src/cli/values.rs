//! How the command line spells the values of the library's types.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::units;
use crate::export::{ExportCompression, ExportConfig, ExportEncoding, ExportFormat, ExportTypes};
use crate::exposition::COMMIT;
use crate::feed::Feed;
use crate::plot::{PlotConfig, PlotPart, Theme};
use crate::query::Format;
use crate::schema::{ColumnSet, Dataset};
use crate::time::DateFormat;

/// Longest name of a currency, in bytes.
const MAX_CURRENCY_BYTES: usize = 16;

/// A duration with its unit: `500ms`, `2s`, `10m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        units::duration(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit_millis, unit) = [(3_600_000, "h"), (60_000, "m"), (1000, "s")]
            .into_iter()
            .find(|(unit_millis, _)| millis > 0 && millis.is_multiple_of(*unit_millis))
            .unwrap_or((1, "ms"));
        write!(f, "{}{unit}", millis / unit_millis)
    }
}

/// What `--version` says: the commit tells builds of one version apart.
pub(crate) static VERSION_AND_COMMIT: LazyLock<String> = LazyLock::new(|| format!("{} ({COMMIT})", env!("CARGO_PKG_VERSION")));

/// Every dataset, as a list on the command line.
pub(crate) static ALL_DATASETS: LazyLock<String> = LazyLock::new(|| Dataset::ALL.map(Dataset::name).join(","));

/// What a plot shows usually, as a list on the command line.
pub(crate) static USUAL_PARTS: LazyLock<String> = LazyLock::new(|| PlotConfig::PARTS.map(PlotPart::name).join(","));

/// The datasets that are exported by default, likewise.
pub(crate) static EXPORT_DATASETS: LazyLock<String> = LazyLock::new(|| ExportConfig::DEFAULT_DATASETS.map(Dataset::name).join(","));

/// Reads a [`Span`] above zero.
///
/// # Errors
/// As [`units::positive_duration`].
pub(crate) fn positive_span(text: &str) -> Result<Span, String> {
    units::positive_duration(text).map(Span)
}

/// Reads the name of a currency, in capitals or not.
///
/// # Errors
/// Says what a currency looks like.
pub(crate) fn currency(text: &str) -> Result<String, String> {
    let is_name = (1..=MAX_CURRENCY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_name { Ok(text.to_ascii_uppercase()) } else { Err(format!("{text:?} is not a currency (want letters and digits, as in USD)")) }
}

/// Reads a number above zero.
///
/// # Errors
/// The text says what is wanted.
pub(crate) fn positive_number(text: &str) -> Result<f64, String> {
    let number = crate::decimal::parse(text.as_bytes()).ok().map(|decimal| decimal.as_f64).filter(|number| *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number above 0"))
}

/// Reads a number of threads.
///
/// # Errors
/// The text says what is wanted.
pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of threads (write 1 or more)"))
}

impl ValueEnum for Feed {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.summary()))
    }
}

impl ValueEnum for Dataset {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.summary()))
    }
}

impl ValueEnum for ColumnSet {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Full, Self::Core]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Full => PossibleValue::new("full").help("Core and extended columns"),
            Self::Core => PossibleValue::new("core").help("Core columns only"),
        })
    }
}

impl ValueEnum for DateFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Iso, Self::Dmy]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Iso => PossibleValue::new("iso").help("2025-06-07"),
            Self::Dmy => PossibleValue::new("dmy").help("07.06.25"),
        })
    }
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Csv, Self::Jsonl]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Table => PossibleValue::new("table").help("Aligned, for people"),
            Self::Csv => PossibleValue::new("csv").help("Comma-separated, with a header line"),
            Self::Jsonl => PossibleValue::new("jsonl").help("One JSON object per line"),
        })
    }
}

impl ValueEnum for Theme {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Light, Self::Dark]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Light => PossibleValue::new("light").help("Dark on white"),
            Self::Dark => PossibleValue::new("dark").help("Light on a dark ground"),
        })
    }
}

impl ValueEnum for PlotPart {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Trades => "Trades as dots",
            Self::Quotes => "Best bid and best ask as lines",
            Self::Candles => "Open, high, low and close",
            Self::Volume => "Volume bought and sold",
        }))
    }
}

impl ValueEnum for ExportFormat {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.summary()))
    }
}

impl ValueEnum for ExportTypes {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Safe, Self::Rich]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Safe => "What every engine reads: times in microseconds, beside integers in nanoseconds",
            Self::Rich => "Times in nanoseconds, order ids annotated as UUIDs; Spark 4.3 refuses both",
        }))
    }
}

impl ValueEnum for ExportEncoding {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Best, Self::Plain]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Best => "Differences of integers, doubles split by byte: the smallest files",
            Self::Plain => "Plain values, for readers that know nothing else",
        }))
    }
}

impl ValueEnum for ExportCompression {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Zstd, Self::Snappy, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Zstd => "Zstandard, level 1",
            Self::Snappy => "Snappy",
            Self::None => "No compression",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_shown_as_it_is_written() {
        for text in ["0ms", "500ms", "2s", "90s", "10m", "24h", "1500ms"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
        assert!("2".parse::<Span>().is_err() && positive_span("0s").is_err());
    }
}
