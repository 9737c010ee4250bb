//! [`AlertConfig`]: from which figures on a capture raises its alerts, and whom it tells. The command line takes its defaults from here.

use std::time::Duration;

/// From which figures on a capture raises its alerts.
///
/// Every alert is cleared once its condition has been over for [`AlertConfig::hold`]. A figure is over when it is well below its threshold, so that one that
/// swings around the threshold raises one alert, not many.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlertConfig {
    /// A command that is run through the shell for each alert that is raised or cleared, with the alert as JSON on its stdin.
    pub command: Option<String>,
    /// How long a condition must have been over before its alert is cleared.
    pub hold: Duration,
    /// How full a queue may be, in percent.
    pub queue_percent: u8,
    /// How long a connection that has delivered may be down.
    pub connection_grace: Duration,
    /// How long a busy product may be silent, at least.
    pub silence: Duration,
    /// How many days the disk must last.
    pub disk_days: f64,
    /// Most anonymous, locked and dirty mapped memory, in bytes. From three quarters of it on, flushes come early and give page cache back.
    pub memory_bytes: u64,
    /// Least share of the box's memory that must be left, in percent. Below twice this share, likewise.
    pub box_memory_percent: u8,
    /// Longest time from the read of a frame to the commit of its records.
    pub lag: Duration,
    /// How long trade ids may be missing.
    pub gap: Duration,
    /// How long requests to REST for missing trades may fail.
    pub rest: Duration,
    /// How many messages that cannot be used may come within ten seconds, less one.
    pub rejects: u32,
}

impl AlertConfig {
    /// How long a condition must have been over, unless it is set.
    pub const HOLD: Duration = Duration::from_secs(30);
    /// How full a queue may be, unless it is set.
    pub const QUEUE_PERCENT: u8 = 80;
    /// How long a connection may be down, unless it is set.
    pub const CONNECTION_GRACE: Duration = Duration::from_secs(10);
    /// How long a busy product may be silent, unless it is set.
    pub const SILENCE: Duration = Duration::from_secs(60);
    /// How many days the disk must last, unless it is set.
    pub const DISK_DAYS: f64 = 1.0;
    /// Most memory, unless it is set: 2 GB.
    pub const MEMORY_BYTES: u64 = 2_000_000_000;
    /// Least share of the box's memory, unless it is set.
    pub const BOX_MEMORY_PERCENT: u8 = 5;
    /// Longest lag, unless it is set.
    pub const LAG: Duration = Duration::from_secs(1);
    /// How long trade ids may be missing, unless it is set.
    pub const GAP: Duration = Duration::from_secs(60);
    /// How long requests to REST may fail, unless it is set. What passes sooner is in the journal.
    pub const REST: Duration = Duration::from_secs(10);
    /// How many messages may be rejected, unless it is set.
    pub const REJECTS: u32 = 10;
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            command: None,
            hold: Self::HOLD,
            queue_percent: Self::QUEUE_PERCENT,
            connection_grace: Self::CONNECTION_GRACE,
            silence: Self::SILENCE,
            disk_days: Self::DISK_DAYS,
            memory_bytes: Self::MEMORY_BYTES,
            box_memory_percent: Self::BOX_MEMORY_PERCENT,
            lag: Self::LAG,
            gap: Self::GAP,
            rest: Self::REST,
            rejects: Self::REJECTS,
        }
    }
}
