//! [`Verdict`]: what can be said of the completeness of a day, or of a range of time.

/// What can be said of the completeness of a day, or of a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every trade is there.
    Whole,
    /// Every trade of a part of the time is there. Nothing is claimed of the rest.
    Partial,
    /// Trades are known to be missing.
    Open,
    /// Nothing can be shown.
    Unverifiable,
}

impl Verdict {
    /// Gives the verdict's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Open => "open",
            Self::Unverifiable => "unverifiable",
        }
    }
}
