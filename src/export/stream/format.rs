//! [`StreamFormat`]: in which format a stream is, and what HTTP calls it.

/// The format of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum StreamFormat {
    /// One JSON array of objects.
    Json,
    /// JSON Lines.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl StreamFormat {
    /// Every format.
    pub(crate) const ALL: [Self; 5] = [Self::Json, Self::Jsonl, Self::Csv, Self::Arrow, Self::Parquet];

    /// Names the format.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// Gives its media type.
    #[must_use]
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Finds the format of a media type without its parameters, in small letters.
    #[must_use]
    pub(crate) fn of_media_type(name: &str) -> Option<Self> {
        Some(match name {
            "application/json" | "text/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonl" | "application/jsonlines" => {
                Self::Jsonl
            }
            "text/csv" => Self::Csv,
            "application/vnd.apache.arrow.stream" => Self::Arrow,
            "application/vnd.apache.parquet" | "application/x-parquet" => Self::Parquet,
            _ => return None,
        })
    }

    /// Tells whether this build can write it.
    #[must_use]
    pub(crate) const fn is_built(self) -> bool {
        cfg!(feature = "export") || !matches!(self, Self::Arrow | Self::Parquet)
    }
}
