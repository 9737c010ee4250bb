//! Alerts: each is raised once when a condition begins, repeated once a minute while it lasts, and cleared once when it ends.
//!
//! An alert is identified by its kind and its subject. The journal gets one line when it begins and one when it ends, however often the watch checks. The log
//! is reminded of what stands.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::capture::service::journal::JournalHandle;
use crate::names::listed;
use crate::store::event::Event;

/// Time after which an alert that still stands is logged again.
pub(crate) const REMIND: Duration = Duration::from_secs(60);

/// Declares the kinds of alerts: a row is the kind, its name in the journal, and what it means, for people.
macro_rules! alert_kinds {
    ($( $kind:ident $name:literal $meaning:literal; )+) => {
        /// What alerts are about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum AlertKind {
            $( #[doc = $meaning] $kind, )+
        }

        impl AlertKind {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$( Self::$kind, )+];

            /// Gives the name in the journal and the log.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $( Self::$kind => $name, )+
                }
            }

            /// Says what it means.
            #[must_use]
            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $( Self::$kind => $meaning, )+
                }
            }
        }
    };
}

alert_kinds! {
    QueueFilling "queue_above_80_percent" "a product's queue is more than 80 % full";
    NeverConnected "never_connected" "a connection has not delivered anything since its start: 30 s without an acknowledged subscription";
    ConnectionLost "connection_lost" "a connection that delivered is down";
    ProductRefused "product_refused" "the exchange has refused a product for 30 s";
    WriteFailure "write_failure" "a write, an allocation or a flush failed";
    Memory "memory_above_2_gb" "anonymous, locked and dirty mapped memory is above 2 GB";
    Lag "lag_above_1_s" "a record was committed more than 1 s after it was read";
    RestFailing "rest_failing" "missing trades wait because no request to REST has succeeded for 10 s";
    ClockOff "clock_off" "the box's clock is off by 30 s or more, as all messages say";
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

/// An alert that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandingAlert {
    /// Its name, as the journal has it.
    pub alert: &'static str,
    /// The product or connection; empty for the whole capture.
    pub subject: String,
    /// What was found last, for people.
    pub text: String,
    /// For how long it has stood.
    pub lasts: Duration,
}

/// Most alerts of one kind that have a line each.
const MAX_LINES_OF_A_KIND: usize = 3;

/// Words alerts that stand: a line for each, or one for all of a kind where they are many.
#[must_use]
pub(crate) fn lines(standing: &[StandingAlert]) -> Vec<String> {
    let mut lines = Vec::new();
    for of_kind in standing.chunk_by(|one, other| one.alert == other.alert) {
        let line = |subject: &str, lasts: Duration, text: &str| {
            format!("ALERT {} has stood for {} s: {text}", title(of_kind.first().map_or("", |one| one.alert), subject), lasts.as_secs())
        };
        if of_kind.len() <= MAX_LINES_OF_A_KIND {
            lines.extend(of_kind.iter().map(|one| line(&one.subject, one.lasts, &one.text)));
        } else if let Some(longest) = of_kind.iter().max_by_key(|one| one.lasts) {
            let subjects: Vec<&str> = of_kind.iter().map(|one| one.subject.as_str()).collect();
            lines.push(line(
                &listed(&subjects),
                longest.lasts,
                &format!("{} of them, as {}: {}", of_kind.len(), longest.subject, longest.text),
            ));
        }
    }
    lines
}

#[derive(Debug)]
struct Standing {
    /// What was found when it began.
    began_with: String,
    /// What was found last.
    text: String,
    since: Duration,
    logged: Duration,
}

/// The alerts that have begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    active: BTreeMap<(AlertKind, String), Standing>,
    raised: u64,
    now: Duration,
}

impl Alerts {
    /// Begins a round of checks. `now` is monotonic time since any fixed moment.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.now = now;
    }

    /// Takes a check into account: a text where the condition holds. Gives the beginning or end of an alert, if this is one.
    pub(crate) fn check(&mut self, kind: AlertKind, subject: &str, text: Option<String>) -> Option<Change> {
        let key = (kind, subject.to_owned());
        let change = |is_raised, text| Change { kind, subject: subject.to_owned(), is_raised, text };
        match (text, self.active.get_mut(&key)) {
            (Some(text), None) => {
                self.raised += 1;
                let standing = Standing { began_with: text.clone(), text: text.clone(), since: self.now, logged: self.now };
                self.active.insert(key, standing);
                Some(change(true, text))
            }
            (Some(text), Some(standing)) => {
                standing.text = text;
                None
            }
            (None, Some(_)) => self.active.remove(&key).map(|standing| change(false, standing.began_with)),
            (None, None) => None,
        }
    }

    /// Gives the alerts that have stood for a minute since they were logged last. They count as logged.
    pub(crate) fn due_again(&mut self) -> Vec<StandingAlert> {
        let now = self.now;
        let mut due = Vec::new();
        for ((kind, subject), standing) in &mut self.active {
            if now.saturating_sub(standing.logged) >= REMIND {
                standing.logged = now;
                due.push(standing.alert(*kind, subject, now));
            }
        }
        due
    }

    /// Gives all alerts that stand.
    #[must_use]
    pub(crate) fn standing(&self) -> Vec<StandingAlert> {
        self.active.iter().map(|((kind, subject), standing)| standing.alert(*kind, subject, self.now)).collect()
    }

    /// Gives how many alerts were raised in all.
    #[must_use]
    pub(crate) const fn raised(&self) -> u64 {
        self.raised
    }
}

impl Standing {
    fn alert(&self, kind: AlertKind, subject: &str, now: Duration) -> StandingAlert {
        let lasts = now.saturating_sub(self.since);
        StandingAlert { alert: kind.name(), subject: subject.to_owned(), text: self.text.clone(), lasts }
    }
}

impl Change {
    /// Writes the change to the log and the journal.
    pub(crate) fn write(&self, journal: &JournalHandle) {
        let title = title(self.kind.name(), &self.subject);
        if self.is_raised {
            log::warn!("ALERT {title}: {}", self.text);
        } else {
            log::info!("cleared {title}");
        }
        let (alert, subject, text) = (self.kind.name().into(), self.subject.clone(), self.text.clone());
        journal.write(match self.is_raised {
            true => Event::AlertRaised { alert, subject, text },
            false => Event::AlertCleared { alert, subject, text },
        });
    }
}

/// Gives an alert's name with its subject, where it has one.
fn title(name: &str, subject: &str) -> String {
    if subject.is_empty() { name.to_owned() } else { format!("{name} {subject}") }
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

    #[test]
    fn an_alert_that_stands_is_due_again_once_a_minute_with_what_was_found_last() {
        let mut alerts = Alerts::default();
        let second = Duration::from_secs;
        let mut logged = Vec::new();
        for at in 0..200 {
            alerts.begin(second(at));
            let text = (10..190).contains(&at).then(|| format!("{at} ids"));
            if let Some(change) = alerts.check(AlertKind::ConnectionLost, "line:0.0", text) {
                logged.push((at, change.text));
            }
            logged.extend(alerts.due_again().into_iter().map(|alert| (alert.lasts.as_secs() + 10, alert.text)));
        }
        let expected = [(10, "10 ids"), (70, "70 ids"), (130, "130 ids"), (190, "10 ids")].map(|(at, text)| (at, text.to_owned()));
        assert_eq!(logged, expected, "raised, twice repeated, cleared");
        assert!(alerts.standing().is_empty());
    }

    #[test]
    fn many_alerts_of_a_kind_take_one_line() {
        let alert = |at: u64| StandingAlert {
            alert: "write_failure",
            subject: format!("P{at}"),
            text: "no space".to_owned(),
            lasts: Duration::from_secs(at),
        };
        let other = StandingAlert { alert: "lag_above_1_s", subject: String::new(), text: "2 s".to_owned(), lasts: Duration::from_secs(5) };
        let few: Vec<StandingAlert> = (1..=3).map(alert).chain([other.clone()]).collect();
        let said = lines(&few);
        assert_eq!((said.len(), said.last().map(String::as_str)), (4, Some("ALERT lag_above_1_s has stood for 5 s: 2 s")));
        let many: Vec<StandingAlert> = (1..=400).map(alert).chain([other]).collect();
        let said = lines(&many);
        assert!(said.len() == 2 && said.iter().all(|line| line.len() < 300), "{said:?}");
        assert!(said.iter().any(|line| line.contains("P10 and 390 more has stood for 400 s: 400 of them, as P400: no space")), "{said:?}");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_and_a_meaning() {
        let names: std::collections::BTreeSet<_> = AlertKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), AlertKind::ALL.len());
        assert!(AlertKind::ALL.iter().all(|kind| !kind.meaning().is_empty()));
        assert_eq!(
            (title("lag_above_1_s", ""), title("connection_lost", "line:0.0")),
            ("lag_above_1_s".into(), "connection_lost line:0.0".into())
        );
    }
}
