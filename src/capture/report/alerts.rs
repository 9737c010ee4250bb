//! Alerts: each is raised once when a condition begins, and cleared once when it ends.
//!
//! An alert is identified by its kind and its subject. While the condition lasts, nothing more is written: the journal gets one line when it begins and one
//! when it ends, however often the watch checks.

use std::collections::BTreeMap;

use crate::capture::service::journal::JournalHandle;
use crate::store::event::Event;

/// What alerts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlertKind {
    /// A product's queue is more than 80 % full.
    QueueFilling,
    /// A connection is down.
    ConnectionLost,
    /// A write, an allocation or a flush failed.
    WriteFailure,
    /// Anonymous, locked and dirty mapped memory is above 2 GB.
    Memory,
    /// A record was committed more than 1 s after it was read.
    Lag,
}

impl AlertKind {
    /// Gives the name in the journal.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::QueueFilling => "queue_above_80_percent",
            Self::ConnectionLost => "connection_lost",
            Self::WriteFailure => "write_failure",
            Self::Memory => "memory_above_2_gb",
            Self::Lag => "lag_above_1_s",
        }
    }
}

/// The beginning or the end of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its kind.
    pub kind: AlertKind,
    /// The product or connection; empty for the whole capture.
    pub subject: String,
    /// Whether it begins; otherwise it ends.
    pub is_raised: bool,
    /// What was found when it began, for people.
    pub text: String,
}

/// The alerts that have begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    active: BTreeMap<(AlertKind, String), String>,
    raised: u64,
}

impl Alerts {
    /// Takes a check into account: a text where the condition holds. Gives the beginning or end of an alert, if this is one.
    pub(crate) fn check(&mut self, kind: AlertKind, subject: &str, text: Option<String>) -> Option<Change> {
        let key = (kind, subject.to_owned());
        let change = |is_raised, text| Change { kind, subject: subject.to_owned(), is_raised, text };
        match (text, self.active.contains_key(&key)) {
            (Some(text), false) => {
                self.raised += 1;
                self.active.insert(key, text.clone());
                Some(change(true, text))
            }
            (None, true) => self.active.remove(&key).map(|text| change(false, text)),
            _ => None,
        }
    }

    /// Gives how many alerts were raised in all.
    #[must_use]
    pub(crate) const fn raised(&self) -> u64 {
        self.raised
    }
}

impl Change {
    /// Writes the change to the log and the journal.
    pub(crate) fn write(&self, journal: &JournalHandle) {
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
    fn an_alert_is_raised_once_and_cleared_once() {
        let mut alerts = Alerts::default();
        let bad = || Some("90 %".to_owned());
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", None).is_none());
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", bad()).is_some_and(|change| change.is_raised));
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", bad()).is_none());
        assert!(alerts.check(AlertKind::QueueFilling, "ETH-USD", bad()).is_some(), "another product is another alert");
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", None).is_some_and(|change| !change.is_raised));
        assert_eq!(alerts.raised(), 2);
    }
}
