//! [`Checks`]: what alerts are about, looked at once a second. One function for each subject: a product, a connection, the whole capture.
//!
//! Counters and states of others are read here and judged by the thresholds of [`AlertConfig`]; nothing is changed but what this remembers from one look to
//! the next. Each condition has two thresholds or a time, so that a figure that swings around one raises one alert ([`Condition`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::capture::alert_config::AlertConfig;
use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::alert_kind::AlertKind;
use crate::capture::report::alerts::{Alerts, Change, Condition};
use crate::capture::report::connection_state::Down;
use crate::capture::report::machine::{BoxMemory, Memory};
use crate::capture::report::metrics::ProductMetrics;
use crate::capture::report::relief::{Relief, Verdict};
use crate::capture::report::silence::Silence;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::write::registry::{Registry, Route};
use crate::product::ProductId;
use crate::status::Disk;

/// Over how long rejected messages are counted.
const REJECTS_SPAN: Duration = Duration::from_secs(10);

/// How much longer than a day's need the disk must last before its alert is over.
const DISK_EASE: f64 = 1.25;

/// How long a run must have been going on before its pace is taken as it is: what comes at the start, as from REST, does not go on like that.
const SETTLED: Duration = Duration::from_secs(600);

/// What is looked at.
pub(crate) struct Subjects<'a> {
    pub context: &'a CaptureContext,
    pub registry: &'a Registry,
    pub connections: &'a Connections,
    /// How long a connection may take to deliver, and a product to be taken up.
    pub start_patience: Duration,
}

/// What the watch has measured for this look.
pub(crate) struct Measured {
    /// Monotonic time since the start of the watch.
    pub now: Duration,
    /// The memory of the process.
    pub memory: Option<Memory>,
    /// The memory of the box.
    pub of_box: Option<BoxMemory>,
    /// The disk with the least room.
    pub disk: Option<Disk>,
    /// Longest lag since the last look, in microseconds.
    pub lag_micros: u64,
}

/// What is remembered of a product.
struct ProductMemory {
    silence: Silence,
    conflicts: u64,
}

/// What is remembered from one look to the next.
pub(crate) struct Checks {
    config: AlertConfig,
    products: BTreeMap<ProductId, ProductMemory>,
    write_failures: u64,
    /// Rejects so far, at the looks of the last [`REJECTS_SPAN`] and at one before them.
    rejects: VecDeque<(Duration, u64)>,
    relief: Relief,
}

impl Checks {
    /// Begins with nothing looked at.
    #[must_use]
    pub(crate) fn new(config: AlertConfig) -> Self {
        // What is rejected before the first look counts, too.
        let rejects = VecDeque::from([(Duration::ZERO, 0)]);
        Self { config, products: BTreeMap::new(), write_failures: 0, rejects, relief: Relief::default() }
    }

    /// Looks at everything. Gives the alerts that begin or end, and what is to be done about memory.
    pub(crate) fn look(&mut self, subjects: &Subjects<'_>, measured: &Measured, alerts: &mut Alerts) -> (Vec<Change>, Verdict) {
        let mut changes = Vec::new();
        // When the capture ends, connections end because they should: what stood before goes on to stand.
        let is_ending = subjects.context.stop.is_asked();
        let (mut is_any_blocked, mut is_any_down) = (false, false);
        if !is_ending {
            is_any_down = self.look_at_connections(subjects, alerts, &mut changes);
        }
        subjects.registry.for_each(|route| {
            is_any_blocked |= route.metrics.is_blocked.load(Relaxed);
            let findings = self.look_at_product(subjects, route, measured.now, is_any_down || is_ending);
            changes.extend(findings.into_iter().filter_map(|(kind, condition)| alerts.check(kind, route.product.as_str(), condition)));
        });
        let verdict = self.relief.look(measured.memory, measured.of_box, &self.config, measured.now);
        let (held, left) = (verdict.held.clone(), verdict.left.clone());
        for (kind, condition) in [
            (AlertKind::WriteFailure, self.write_failure(subjects.context, is_any_blocked)),
            (AlertKind::DiskLow, self.disk(measured.disk, measured.now)),
            (AlertKind::Memory, held),
            (AlertKind::BoxMemory, left),
            (AlertKind::Lag, self.lag(measured.lag_micros)),
            (AlertKind::RestFailing, self.rest(subjects.context.backfill.as_ref())),
            (AlertKind::RejectsRising, self.rejects(subjects.context, measured.now)),
        ] {
            changes.extend(alerts.check(kind, "", condition));
        }
        (changes, verdict)
    }

    /// Looks at a product. `is_excused`: connections are down or end, which explains that it is not taken up, or silent.
    fn look_at_product(&mut self, subjects: &Subjects<'_>, route: &Route, now: Duration, is_excused: bool) -> [(AlertKind, Condition); 7] {
        let (metrics, config) = (&*route.metrics, &self.config);
        let received = metrics.trades.received.get() + metrics.tickers.received.get();
        let conflicts = metrics.trades.conflict.get();
        let remembered = match self.products.get_mut(&route.product) {
            Some(remembered) => remembered,
            None => {
                let remembered = ProductMemory { silence: Silence::new(received, now), conflicts: 0 };
                self.products.entry(route.product.clone()).or_insert(remembered)
            }
        };
        let new_conflicts = conflicts.saturating_sub(std::mem::replace(&mut remembered.conflicts, conflicts));
        let silence = remembered.silence.look(received, now, config.silence);
        let subscription = metrics.subscription.look(Instant::now());
        let is_wanted = subscription.wanted_for.is_some();
        let excused = |condition: Condition| match condition {
            Condition::Bad(_) if is_excused => Condition::Between,
            condition => condition,
        };
        let refused = match &subscription.refusal {
            Some(refusal) if refusal.lasts >= subjects.start_patience => {
                Condition::Bad(subjects.context.metrics.why_refused(&route.product, &refusal.why))
            }
            Some(_) => Condition::Between,
            None => Condition::Good,
        };
        let waited = subscription.wanted_for.filter(|_| !subscription.was_acknowledged && subscription.refusal.is_none());
        let unacknowledged = waited.filter(|waited| *waited >= subjects.start_patience && received == 0);
        let unacknowledged =
            unacknowledged.map(|waited| format!("asked for {} s ago, and neither acknowledged nor refused", waited.as_secs()));
        let conflict = (new_conflicts > 0).then(|| format!("{new_conflicts} trades came again with other fields, {conflicts} in this run"));
        [
            (AlertKind::QueueFilling, queue(route, config.queue_percent)),
            (AlertKind::ProductRefused, refused),
            (AlertKind::ProductUnacknowledged, excused(Condition::bad_if(unacknowledged))),
            (AlertKind::ProductSilent, if is_wanted { excused(silence) } else { Condition::Good }),
            (AlertKind::WriteFailure, Condition::bad_if(blocked(subjects.context, route))),
            (AlertKind::GapOpen, gap(metrics, config.gap)),
            (AlertKind::Conflict, Condition::bad_if(conflict)),
        ]
    }

    /// Looks at the connections that have something to record. Tells whether one of them is down.
    fn look_at_connections(&self, subjects: &Subjects<'_>, alerts: &mut Alerts, changes: &mut Vec<Change>) -> bool {
        let (connections, now) = (subjects.connections, Instant::now());
        let (mut is_any_down, refused) = (false, connections.refused(now));
        connections.for_each(|connection, products| {
            let down = connection.down(now).filter(|_| products > 0);
            is_any_down |= down.is_some();
            let text = |down: &Down| format!("{}: {}", connections.endpoint(), down.cause);
            let judge = |down: Option<&Down>, patience: Duration| match down {
                Some(down) if down.lasts >= patience => Condition::Bad(text(down)),
                Some(_) => Condition::Between,
                None => Condition::Good,
            };
            let has_delivered = |down: &&Down| down.has_worked || connection.metrics.used.get() > 0;
            let never = down.as_ref().filter(|down| !has_delivered(down));
            changes.extend(alerts.check(AlertKind::NeverConnected, &connection.name, judge(never, subjects.start_patience)));
            let lost = down.as_ref().filter(has_delivered).filter(|_| !refused.contains(&connection.name));
            changes.extend(alerts.check(AlertKind::ConnectionLost, &connection.name, judge(lost, self.config.connection_grace)));
        });
        is_any_down
    }

    /// Judges failures that belong to no product which is blocked: that one has an alert of its own.
    fn write_failure(&mut self, context: &CaptureContext, is_any_blocked: bool) -> Condition {
        let failures = context.metrics.write_failures.get();
        let is_new = failures > std::mem::replace(&mut self.write_failures, failures);
        let text = || {
            let failures = context.metrics.last_write_failures.lock();
            failures.iter().map(|(subject, why)| format!("{subject}: {why}")).collect::<Vec<_>>().join("; ")
        };
        Condition::bad_if((is_new && !is_any_blocked).then(text))
    }

    fn disk(&self, disk: Option<Disk>, now: Duration) -> Condition {
        let Some(disk) = disk else { return Condition::Between };
        let limit = self.config.disk_days;
        // Until then the pace counts as if the time had passed already.
        let settling = (SETTLED.as_secs_f64() / now.as_secs_f64().max(1.0)).max(1.0);
        let text = |days: f64| format!("{} MB are left, which last {:.1} hours", disk.free_bytes / 1_000_000, days * 24.0);
        match disk.days_until_full.map(|days| days * settling) {
            Some(days) if days < limit => Condition::Bad(text(days)),
            Some(days) if days < limit * DISK_EASE => Condition::Between,
            // Nothing is known while nothing was stored.
            Some(_) | None => Condition::Good,
        }
    }

    fn lag(&self, lag_micros: u64) -> Condition {
        let limit = u64::try_from(self.config.lag.as_micros()).unwrap_or(u64::MAX);
        Condition::of(lag_micros, limit, limit / 2, || format!("{} ms", lag_micros / 1000))
    }

    fn rest(&self, backfill: Option<&RestFetch>) -> Condition {
        match backfill.and_then(RestFetch::standstill) {
            Some(standstill) if standstill.lasts >= self.config.rest => Condition::Bad(standstill.text),
            Some(_) => Condition::Between,
            None => Condition::Good,
        }
    }

    fn rejects(&mut self, context: &CaptureContext, now: Duration) -> Condition {
        let (total, by_reason) = {
            let rejects = context.metrics.rejects.lock();
            (rejects.values().sum::<u64>(), rejects.clone())
        };
        self.rejects.push_back((now, total));
        while self.rejects.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= REJECTS_SPAN) {
            self.rejects.pop_front();
        }
        let new = total.saturating_sub(self.rejects.front().map_or(0, |(_, before)| *before));
        let limit = u64::from(self.config.rejects).saturating_sub(1);
        Condition::of(new, limit, limit / 2, || {
            let most = by_reason.iter().max_by_key(|(_, count)| **count);
            let reason = most.map_or_else(String::new, |(reason, count)| format!("; most of this run: {reason}, {count}"));
            format!("{new} messages could not be used within {} s{reason}", REJECTS_SPAN.as_secs())
        })
    }
}

fn queue(route: &Route, percent: u8) -> Condition {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let capacity = count(route.queue.capacity());
    route.metrics.note_queue(count(route.queue.len()));
    let waiting = route.metrics.recent_queue_msgs.take();
    let share = capacity * u64::from(percent);
    Condition::of(waiting * 100, share, share / 4 * 3, || format!("{waiting} of {capacity} messages wait"))
}

fn blocked(context: &CaptureContext, route: &Route) -> Option<String> {
    route.metrics.is_blocked.load(Relaxed).then(|| {
        let why = context.metrics.last_write_failures.lock().get(route.product.as_str()).cloned();
        why.map_or_else(|| "its files take no records".to_owned(), |why| format!("its files take no records: {why}"))
    })
}

fn gap(metrics: &ProductMetrics, patience: Duration) -> Condition {
    let missing = metrics.missing_ids.load(Relaxed);
    match metrics.oldest_gap.age(Instant::now()).filter(|_| missing > 0) {
        Some(age) if age >= patience => Condition::Bad(format!("{missing} trade ids are missing, the oldest gap for {} s", age.as_secs())),
        Some(_) => Condition::Between,
        None => Condition::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::write::fixture::WriterFixture;

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    #[test]
    fn a_disk_that_lasts_less_than_a_day_is_an_alert_until_it_lasts_a_quarter_longer() {
        let checks = Checks::new(AlertConfig::default());
        let lasts_after = |seconds, days_until_full| {
            let mut disk = Disk::default();
            (disk.free_bytes, disk.days_until_full) = (5_000_000, days_until_full);
            checks.disk(Some(disk), second(seconds))
        };
        let lasts = |days| lasts_after(600, days);
        assert_eq!(lasts(Some(0.5)), Condition::Bad("5 MB are left, which last 12.0 hours".to_owned()));
        assert_eq!([Some(1.0), Some(1.3), None].map(lasts), [Condition::Between, Condition::Good, Condition::Good]);
        assert_eq!(checks.disk(None, second(600)), Condition::Between, "what the system does not say changes nothing");
        assert_eq!(lasts_after(1, Some(0.01)), Condition::Good, "the first second may bring what ten minutes do not");
        assert!(matches!(lasts_after(1, Some(0.0)), Condition::Bad(_)), "a full disk is one at once");
    }

    #[test]
    fn rejects_count_while_they_come_and_no_longer() {
        let fixture = WriterFixture::new();
        (0..10).for_each(|_| fixture.context.metrics.count_reject("json"));
        let before_the_first_look = Checks::new(AlertConfig::default()).rejects(&fixture.context, second(1));
        assert!(matches!(before_the_first_look, Condition::Bad(text) if text.starts_with("10 messages")));
        let fixture = WriterFixture::new();
        let mut checks = Checks::new(AlertConfig::default());
        let mut at = |seconds, rejects: u32| {
            (0..rejects).for_each(|_| fixture.context.metrics.count_reject("json"));
            checks.rejects(&fixture.context, second(seconds))
        };
        assert_eq!(at(0, 0), Condition::Good);
        assert_eq!(at(1, 9), Condition::Between);
        assert!(matches!(at(2, 1), Condition::Bad(text) if text.starts_with("10 messages") && text.ends_with("json, 10")));
        assert_eq!(at(10, 0), Condition::Bad("10 messages could not be used within 10 s; most of this run: json, 10".to_owned()));
        assert_eq!(at(11, 0), Condition::Good);
    }

    #[test]
    fn a_lag_and_a_failed_write_are_judged_by_what_is_new() {
        let fixture = WriterFixture::new();
        let mut checks = Checks::new(AlertConfig::default());
        assert_eq!(
            [1_000_001, 1_000_000, 500_000].map(|lag| checks.lag(lag)),
            [Condition::Bad("1000 ms".to_owned()), Condition::Between, Condition::Good]
        );
        fixture.context.metrics.note_write_failure("BTC-USD", &"no space");
        assert_eq!(checks.write_failure(&fixture.context, false), Condition::Bad("BTC-USD: no space".to_owned()));
        assert_eq!(checks.write_failure(&fixture.context, false), Condition::Good);
        fixture.context.metrics.note_write_failure("BTC-USD", &"no space");
        assert_eq!(checks.write_failure(&fixture.context, true), Condition::Good, "the product says it itself");
    }
}
