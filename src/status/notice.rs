//! [`Notice`]: an alert as the command of `--alert-command` reads it.

use std::path::Path;

use crate::json::Object;
use crate::time::UnixNanos;

/// An alert that was raised or cleared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    /// When, by the box's clock.
    pub time: UnixNanos,
    /// Whether it was raised; otherwise it was cleared.
    pub is_raised: bool,
    /// Its name.
    pub alert: &'a str,
    /// The product or connection; empty for the whole capture.
    pub subject: &'a str,
    /// What was found, for people.
    pub text: &'a str,
    /// What alerts of its kind mean.
    pub meaning: &'a str,
    /// What to do about it.
    pub remedy: &'a str,
    /// The data directory.
    pub directory: &'a Path,
}

impl Notice<'_> {
    /// Gives the notice as a line of JSON, with its line feed.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        let mut line = Object::default()
            .text("time", &self.time.to_string())
            .text("event", if self.is_raised { "alert_raised" } else { "alert_cleared" })
            .text("alert", self.alert)
            .text("subject", self.subject)
            .text("text", self.text)
            .text("meaning", self.meaning)
            .text("remedy", self.remedy)
            .text("directory", &self.directory.to_string_lossy())
            .done();
        line.push('\n');
        line
    }
}
