//! [`Exposition`]: figures in the Prometheus text format 0.0.4. The capture and the server write theirs with it.
//!
//! The format is a few lines of text; the crates for it bring a registry of their own, which would have to be told of every figure that is counted already,
//! and write OpenMetrics, which `promtool check metrics` refuses.
//!
//! 1. Every name begins with `coltape_`. A family has its help and its type once, before its samples, and its samples stand together.
//! 2. Values of labels are escaped. Names of metrics and labels are the program's own.
//! 3. Nothing of a sample is made by itself: a page of thousands of samples is one text that grows.

use std::fmt::{Display, Write};

/// The content type of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The commit that the program was built from, as `scripts/commit.rs` has found it.
pub(crate) const COMMIT: &str = match option_env!("COLTAPE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What every name begins with.
const PREFIX: &str = "coltape_";

/// The kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    /// It only grows.
    Counter,
    /// It may fall.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl MetricKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of figures being written.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a page that will have about so many bytes.
    #[must_use]
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Adds the version that runs.
    pub(crate) fn build_info(&mut self) {
        self.family("build_info", MetricKind::Gauge, "The version that runs.");
        self.labelled("build_info", &[("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)], 1);
    }

    /// Begins a family. Its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        for part in ["# HELP ", PREFIX, name, " ", help, "\n# TYPE ", PREFIX, name, " ", kind.name(), "\n"] {
            self.text.push_str(part);
        }
    }

    /// Adds a sample without a label.
    fn plain(&mut self, name: &str, value: impl Display) {
        self.start(name);
        self.value(value);
    }

    /// Adds a sample with one label.
    pub(crate) fn sample(&mut self, name: &str, label: &str, of: &str, value: impl Display) {
        self.labelled(name, &[(label, of)], value);
    }

    /// Adds a sample with labels.
    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.start(name);
        self.labels(labels);
        self.value(value);
    }

    /// Adds a family of one sample.
    pub(crate) fn one(&mut self, name: &str, kind: MetricKind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.plain(name, value);
    }

    /// Adds a family of a histogram: the counts of buckets with these ends in microseconds, the last one without an end, and the sum in microseconds.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, ends_micros: &[u64], counts: &[u64], sum_micros: u64) {
        self.family(name, MetricKind::Histogram, help);
        let mut total = 0;
        let ends = ends_micros.iter().map(|end| seconds(*end).to_string()).chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(counts) {
            total += count;
            self.start(name);
            self.text.push_str("_bucket");
            self.labels(&[("le", &end)]);
            self.value(total);
        }
        self.start(name);
        self.text.push_str("_sum");
        self.value(seconds(sum_micros));
        self.start(name);
        self.text.push_str("_count");
        self.value(total);
    }

    /// Gives the page.
    #[must_use]
    pub(crate) fn done(self) -> String {
        self.text
    }

    fn start(&mut self, name: &str) {
        self.text.push_str(PREFIX);
        self.text.push_str(name);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let mut before = '{';
        for (label, of) in labels {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            for character in of.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    character => self.text.push(character),
                }
            }
            self.text.push('"');
            before = ',';
        }
        self.text.push('}');
    }

    fn value(&mut self, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, " {value}");
    }
}

/// Gives microseconds as seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sums of one run stay below 2^53 microseconds: 285 years")]
pub(crate) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_help_type_and_samples_of_each_family() {
        let mut page = Exposition::with_capacity(10);
        page.one("flushes_total", MetricKind::Counter, "Flushes.", 7);
        page.family("queue_depth_messages", MetricKind::Gauge, "Messages that wait.");
        page.sample("queue_depth_messages", "product", "A\"B\\C\nD", 3);
        page.histogram("flush_seconds", "Time of a flush.", &[50, 1_000_000], &[1, 2, 4], 2_500_000);
        assert_eq!(
            page.done(),
            "# HELP coltape_flushes_total Flushes.\n# TYPE coltape_flushes_total counter\ncoltape_flushes_total 7\n\
             # HELP coltape_queue_depth_messages Messages that wait.\n# TYPE coltape_queue_depth_messages gauge\n\
             coltape_queue_depth_messages{product=\"A\\\"B\\\\C\\nD\"} 3\n\
             # HELP coltape_flush_seconds Time of a flush.\n# TYPE coltape_flush_seconds histogram\n\
             coltape_flush_seconds_bucket{le=\"0.00005\"} 1\ncoltape_flush_seconds_bucket{le=\"1\"} 3\n\
             coltape_flush_seconds_bucket{le=\"+Inf\"} 7\ncoltape_flush_seconds_sum 2.5\ncoltape_flush_seconds_count 7\n"
        );
    }
}
