//! Alerts: each is raised once when a condition begins, repeated once a minute while it lasts, and cleared once when it is over.
//!
//! 1. An alert is identified by its kind and its subject. The journal gets one line when it begins and one when it ends, however often the watch checks. The
//!    log is reminded of what stands.
//! 2. It is over when its condition has not held for the hold time without a break. A figure between its two thresholds is no break of either kind: it lets
//!    an alert that stands go on, and raises none ([`Condition::Between`]). So a condition that comes and goes is one alert.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::capture::report::alert_kind::AlertKind;
use crate::capture::service::journal::JournalHandle;
use crate::names::listed;
use crate::store::event::Event;

/// Time after which an alert that still stands is logged again.
pub(crate) const REMIND: Duration = Duration::from_secs(60);

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The condition holds. The text says what was found, for people.
    Bad(String),
    /// Neither: the figure lies between the two thresholds, or nothing can be said now. What stands goes on to stand.
    Between,
    /// The condition does not hold.
    Good,
}

impl Condition {
    /// Judges a figure by two thresholds: it is bad above `limit`, and good up to `over`. `text` says what was found.
    pub(crate) fn of<T: PartialOrd>(figure: T, limit: T, over: T, text: impl FnOnce() -> String) -> Self {
        if figure > limit {
            Self::Bad(text())
        } else if figure > over {
            Self::Between
        } else {
            Self::Good
        }
    }

    /// Is bad where there is a text, and good otherwise.
    pub(crate) fn bad_if(text: Option<String>) -> Self {
        text.map_or(Self::Good, Self::Bad)
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
    /// What to do about it.
    pub remedy: &'static str,
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
    /// Since when its condition has not held.
    over_since: Option<Duration>,
}

/// The alerts that have begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    active: BTreeMap<AlertKind, BTreeMap<String, Standing>>,
    raised: u64,
    now: Duration,
    hold: Duration,
}

impl Alerts {
    /// Begins without alerts. One is cleared when its condition has been over for `hold`.
    #[must_use]
    pub(crate) fn new(hold: Duration) -> Self {
        Self { hold, ..Self::default() }
    }

    /// Begins a round of checks. `now` is monotonic time since any fixed moment.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.now = now;
    }

    /// Takes a check into account. Gives the beginning or end of an alert, if this is one.
    pub(crate) fn check(&mut self, kind: AlertKind, subject: &str, condition: Condition) -> Option<Change> {
        let (now, hold) = (self.now, self.hold);
        let of_kind = self.active.entry(kind).or_default();
        let change = |is_raised, text| Change { kind, subject: subject.to_owned(), is_raised, text };
        match (condition, of_kind.get_mut(subject)) {
            (Condition::Bad(text), None) => {
                self.raised += 1;
                let standing = Standing { began_with: text.clone(), text: text.clone(), since: now, logged: now, over_since: None };
                of_kind.insert(subject.to_owned(), standing);
                Some(change(true, text))
            }
            (Condition::Bad(text), Some(standing)) => {
                (standing.text, standing.over_since) = (text, None);
                None
            }
            (Condition::Between, Some(standing)) => {
                standing.over_since = None;
                None
            }
            (Condition::Good, Some(standing)) => {
                let over_since = *standing.over_since.get_or_insert(now);
                if now.saturating_sub(over_since) < hold {
                    return None;
                }
                of_kind.remove(subject).map(|standing| change(false, standing.began_with))
            }
            (Condition::Between | Condition::Good, None) => None,
        }
    }

    /// Gives the alerts that have stood for a minute since they were logged last. They count as logged.
    pub(crate) fn due_again(&mut self) -> Vec<StandingAlert> {
        let now = self.now;
        let mut due = Vec::new();
        for (kind, of_kind) in &mut self.active {
            for (subject, standing) in of_kind {
                if now.saturating_sub(standing.logged) >= REMIND {
                    standing.logged = now;
                    due.push(standing.alert(*kind, subject, now));
                }
            }
        }
        due
    }

    /// Gives all alerts that stand.
    #[must_use]
    pub(crate) fn standing(&self) -> Vec<StandingAlert> {
        let all = self.active.iter().flat_map(|(kind, of_kind)| of_kind.iter().map(move |(subject, standing)| (*kind, subject, standing)));
        all.map(|(kind, subject, standing)| standing.alert(kind, subject, self.now)).collect()
    }

    /// Gives how many alerts of a kind stand.
    #[must_use]
    pub(crate) fn standing_of(&self, kind: AlertKind) -> usize {
        self.active.get(&kind).map_or(0, BTreeMap::len)
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
        StandingAlert { alert: kind.name(), subject: subject.to_owned(), text: self.text.clone(), lasts, remedy: kind.remedy() }
    }
}

impl Change {
    /// Writes the change to the log and the journal.
    pub(crate) fn write(&self, journal: &JournalHandle) {
        let title = title(self.kind.name(), &self.subject);
        if self.is_raised {
            log::warn!("ALERT {title}: {}. What to do: {}", self.text, self.kind.remedy());
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

    fn bad(text: &str) -> Condition {
        Condition::Bad(text.to_owned())
    }

    #[test]
    fn an_alert_is_raised_once_and_cleared_once() {
        let mut alerts = Alerts::default();
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", Condition::Good).is_none());
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", Condition::Between).is_none(), "between two thresholds nothing begins");
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", bad("90 %")).is_some_and(|change| change.is_raised));
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", bad("90 %")).is_none());
        assert!(alerts.check(AlertKind::QueueFilling, "ETH-USD", bad("90 %")).is_some(), "another product is another alert");
        assert_eq!(alerts.standing_of(AlertKind::QueueFilling), 2);
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", Condition::Between).is_none(), "and nothing ends");
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", Condition::Good).is_some_and(|change| !change.is_raised));
        assert!(alerts.check(AlertKind::QueueFilling, "BTC-USD", Condition::Good).is_none());
        assert_eq!((alerts.raised(), alerts.standing_of(AlertKind::QueueFilling)), (2, 1));
    }

    #[test]
    fn a_condition_that_comes_and_goes_is_one_alert_until_it_has_been_over_for_the_hold_time() {
        let mut alerts = Alerts::new(Duration::from_secs(30));
        let mut changes = Vec::new();
        for at in 0..300 {
            alerts.begin(Duration::from_secs(at));
            // Bad for a second, good for nine, until 200; and once between the thresholds while it should be getting over.
            let condition = match at {
                0..200 if at % 10 == 0 => bad("1200 ms"),
                210 => Condition::Between,
                _ => Condition::Good,
            };
            changes.extend(alerts.check(AlertKind::Lag, "", condition).map(|change| (at, change.is_raised)));
        }
        assert_eq!(changes, [(0, true), (241, false)]);
        assert_eq!(alerts.raised(), 1);
    }

    #[test]
    fn a_figure_is_judged_by_two_thresholds() {
        let judge = |figure: u64| Condition::of(figure, 80, 60, || figure.to_string());
        assert_eq!([60, 61, 80, 81].map(judge), [Condition::Good, Condition::Between, Condition::Between, bad("81")]);
    }

    #[test]
    fn an_alert_that_stands_is_due_again_once_a_minute_with_what_was_found_last() {
        let mut alerts = Alerts::default();
        let second = Duration::from_secs;
        let mut logged = Vec::new();
        for at in 0..200 {
            alerts.begin(second(at));
            let text = (10..190).contains(&at).then(|| format!("{at} ids"));
            if let Some(change) = alerts.check(AlertKind::ConnectionLost, "line:0.0", Condition::bad_if(text)) {
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
            remedy: "free space",
        };
        let other = StandingAlert { alert: "lag_above_1_s", subject: String::new(), text: "2 s".to_owned(), ..alert(5) };
        let few: Vec<StandingAlert> = (1..=3).map(alert).chain([other.clone()]).collect();
        let said = lines(&few);
        assert_eq!((said.len(), said.last().map(String::as_str)), (4, Some("ALERT lag_above_1_s has stood for 5 s: 2 s")));
        let many: Vec<StandingAlert> = (1..=400).map(alert).chain([other]).collect();
        let said = lines(&many);
        assert!(said.len() == 2 && said.iter().all(|line| line.len() < 300), "{said:?}");
        assert!(said.iter().any(|line| line.contains("P10 and 390 more has stood for 400 s: 400 of them, as P400: no space")), "{said:?}");
    }

    #[test]
    fn a_title_names_the_subject_where_there_is_one() {
        assert_eq!(
            (title("lag_above_1_s", ""), title("connection_lost", "line:0.0")),
            ("lag_above_1_s".into(), "connection_lost line:0.0".into())
        );
    }
}
