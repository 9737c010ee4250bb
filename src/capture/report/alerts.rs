//! Alerts: what is raised once when it begins, and cleared once when it has ended.
//!
//! An alert is known by its kind and what it speaks of. Raising one that stands, or clearing one that does not, says nothing:
//! the journal gets one line each way, however often the watch looks.

use std::collections::BTreeMap;

use crate::capture::service::journal::JournalHandle;
use crate::store::event::Event;

/// What alerts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    /// A product's queue holds more than 80 % of what it can.
    QueueFilling,
    /// A connection is down.
    ConnectionLost,
    /// Files would not take records, or a flush failed.
    WriteFailure,
    /// Anonymous, locked and dirty mapped memory is above 2 GB.
    Memory,
    /// A record took more than 1 s from being read to being committed.
    Lag,
}

impl AlertKind {
    /// Names the kind as the journal spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFilling => "queue_above_80_percent",
            Self::ConnectionLost => "connection_lost",
            Self::WriteFailure => "write_failure",
            Self::Memory => "memory_above_2_gb",
            Self::Lag => "lag_above_1_s",
        }
    }
}

/// A change that has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub kind: AlertKind,
    /// Which product or connection; empty where it is the whole capture.
    pub subject: String,
    /// Whether it began (or ended).
    pub is_raised: bool,
    /// The figure, for people.
    pub text: String,
}

/// The alerts that stand.
#[derive(Debug, Default)]
pub struct Alerts {
    standing: BTreeMap<(AlertKind, String), String>,
    raised: u64,
}

impl Alerts {
    /// Takes a look into account, and gives the change it means, if any.
    pub fn look(&mut self, kind: AlertKind, subject: &str, text: Option<String>) -> Option<Change> {
        let key = (kind, subject.to_owned());
        let change = |is_raised, text| Change { kind, subject: subject.to_owned(), is_raised, text };
        match (text, self.standing.contains_key(&key)) {
            (Some(text), false) => {
                self.raised += 1;
                self.standing.insert(key, text.clone());
                Some(change(true, text))
            }
            (None, true) => self.standing.remove(&key).map(|text| change(false, text)),
            _ => None,
        }
    }

    /// Gives how many were raised in all.
    #[must_use]
    pub const fn raised(&self) -> u64 {
        self.raised
    }
}

impl Change {
    /// Tells the log and the journal.
    pub fn tell(&self, journal: &JournalHandle) {
        let (name, subject, text) = (self.kind.name(), &self.subject, &self.text);
        if self.is_raised {
            log::warn!("ALERT {name} {subject}: {text}");
        } else {
            log::info!("cleared {name} {subject}");
        }
        let (alert, subject, text) = (name.into(), subject.clone(), text.clone());
        journal.write(match self.is_raised {
            true => Event::AlertRaised { alert, subject, text },
            false => Event::AlertCleared { alert, subject, text },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_told_once_each_way() {
        let mut alerts = Alerts::default();
        let bad = || Some("90 %".to_owned());
        assert!(alerts.look(AlertKind::QueueFilling, "BTC-USD", None).is_none());
        assert!(alerts.look(AlertKind::QueueFilling, "BTC-USD", bad()).is_some_and(|change| change.is_raised));
        assert!(alerts.look(AlertKind::QueueFilling, "BTC-USD", bad()).is_none());
        assert!(alerts.look(AlertKind::QueueFilling, "ETH-USD", bad()).is_some(), "another product is another alert");
        assert!(alerts.look(AlertKind::QueueFilling, "BTC-USD", None).is_some_and(|change| !change.is_raised));
        assert_eq!(alerts.raised(), 2);
    }
}
