//! [`Finding`]: what one check has found, and what to change.

use crate::json::Object;

/// How well a capture can do with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Colour {
    /// It is as it should be.
    Green,
    /// A capture runs, but something would be better otherwise, or could not be found out.
    Yellow,
    /// A capture does not run here, or loses something.
    Red,
}

impl Colour {
    /// Gives the word for it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// The judgement.
    pub colour: Colour,
    /// What was found.
    pub found: String,
    /// What to change; empty where nothing is to be changed.
    pub change: String,
}

impl Finding {
    /// Makes a finding with which nothing is wrong.
    #[must_use]
    pub(crate) fn green(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, colour: Colour::Green, found: found.into(), change: String::new() }
    }

    /// Makes a finding that a capture can do with.
    #[must_use]
    pub(crate) fn yellow(check: &'static str, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self { check, colour: Colour::Yellow, found: found.into(), change: change.into() }
    }

    /// Makes a finding that has to be changed.
    #[must_use]
    pub(crate) fn red(check: &'static str, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self { check, colour: Colour::Red, found: found.into(), change: change.into() }
    }

    /// Gives the finding as a JSON object.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        Object::default()
            .text("check", self.check)
            .text("verdict", self.colour.name())
            .text("found", &self.found)
            .text("change", &self.change)
            .done()
    }
}
