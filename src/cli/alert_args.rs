//! The options of `coltape capture` about its metrics and alerts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::values::{Span, positive_number, positive_span};
use crate::capture::AlertConfig;
use crate::capture::config::defaults;

/// The options about metrics and alerts. Every threshold of time, size or number is here, with its default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics and alerts")]
pub(crate) struct AlertArgs {
    /// Answer /metrics (for Prometheus), /healthz, /readyz and /status over HTTP; port 0 takes a free port. An address that other machines reach needs
    /// --token-file
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// A file with the token that each request to --listen has to carry
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
    /// Run this through the shell for each alert that is raised or cleared, with the alert as JSON on its stdin
    #[arg(long, value_name = "CMD")]
    pub alert_command: Option<String>,
    /// How long a condition must have been over before its alert is cleared
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::HOLD))]
    pub alert_hold: Span,
    /// How long a connection may take to deliver, and a product to be taken up
    #[arg(long, value_name = "D", default_value_t = Span(defaults::START_PATIENCE), value_parser = positive_span)]
    pub alert_start: Span,
    /// How long a connection that has delivered may be down
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::CONNECTION_GRACE))]
    pub alert_connection: Span,
    /// How full a queue may be, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = AlertConfig::QUEUE_PERCENT, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub alert_queue: u8,
    /// How long a busy product may be silent, at least
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::SILENCE), value_parser = positive_span)]
    pub alert_silence: Span,
    /// How many days the disk must last
    #[arg(long, value_name = "DAYS", default_value_t = AlertConfig::DISK_DAYS, value_parser = positive_number)]
    pub alert_disk: f64,
    /// Most anonymous, locked and dirty mapped memory; from three quarters of it on, flushes come early and page cache is given back
    #[arg(long, value_name = "SIZE", default_value_t = Size(AlertConfig::MEMORY_BYTES))]
    pub alert_memory: Size,
    /// How much of the box's memory must be left, in percent; below twice as much, likewise
    #[arg(long, value_name = "PERCENT", default_value_t = AlertConfig::BOX_MEMORY_PERCENT, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub alert_box_memory: u8,
    /// Longest time from the read of a frame to the commit of its records
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::LAG), value_parser = positive_span)]
    pub alert_lag: Span,
    /// How long trade ids may be missing
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::GAP))]
    pub alert_gap: Span,
    /// How long requests to REST for missing trades may fail
    #[arg(long, value_name = "D", default_value_t = Span(AlertConfig::REST))]
    pub alert_rest: Span,
    /// How many messages within ten seconds that cannot be used are an alert
    #[arg(long, value_name = "N", default_value_t = AlertConfig::REJECTS, value_parser = clap::value_parser!(u32).range(1..))]
    pub alert_rejects: u32,
}

impl AlertArgs {
    /// Gives the settings, but for [`AlertArgs::alert_start`].
    pub(crate) fn config(&self) -> AlertConfig {
        let mut config = AlertConfig::default();
        config.command.clone_from(&self.alert_command);
        config.hold = self.alert_hold.0;
        config.queue_percent = self.alert_queue;
        config.connection_grace = self.alert_connection.0;
        config.silence = self.alert_silence.0;
        config.disk_days = self.alert_disk;
        config.memory_bytes = self.alert_memory.0;
        config.box_memory_percent = self.alert_box_memory;
        config.lag = self.alert_lag.0;
        config.gap = self.alert_gap.0;
        config.rest = self.alert_rest.0;
        config.rejects = self.alert_rejects;
        config
    }

    /// Gives how long a connection may take to deliver, and a product to be taken up.
    pub(crate) fn start_patience(&self) -> Duration {
        self.alert_start.0
    }
}

/// A number of bytes with its unit: `512KiB`, `64MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

/// The units of a size, the largest first.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size (write 512KiB, 64MiB, 2GiB or 2GB)");
        let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = found.ok_or_else(wrong)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = Some(number).filter(|_| is_number).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        number.checked_mul(bytes).filter(|size| *size > 0).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = UNITS.into_iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_it_is_shown() {
        for (text, bytes) in [("2GB", 2_000_000_000), ("64MiB", 64 << 20), ("512KiB", 512 << 10), ("1TiB", 1 << 40), ("7kB", 7000)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for wrong in ["", "2", "GB", "-2GB", "2 GB", "2.5GB", "0MiB", "99999999999TiB", "2gb"] {
            assert!(wrong.parse::<Size>().is_err_and(|error| error.contains("64MiB")), "{wrong}");
        }
    }
}
