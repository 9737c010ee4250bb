//! [`Silence`]: whether a busy product has been silent for unusually long.
//!
//! 1. A product is busy where its messages came at least six a minute, on average over the last ten minutes in which some came.
//! 2. Unusually long is [`TIMES_USUAL`] times the usual time between two messages, and at least the time that is set. Silence itself does not make a product
//!    less busy: its average changes only with messages.
//! 3. A product that was never busy is not judged, nor one whose connection is down: another alert says that.

use std::time::Duration;

use crate::capture::report::alerts::Condition;

/// How many times the usual time between two messages is unusually long.
const TIMES_USUAL: f64 = 30.0;

/// Messages after which the usual time is known.
const KNOWN_AFTER: u64 = 60;

/// Fewest messages a second of a busy product.
const BUSY_PER_S: f64 = 0.1;

/// Over how many seconds the average is taken.
const AVERAGED_S: f64 = 600.0;

/// What is known of one product.
#[derive(Debug)]
pub(crate) struct Silence {
    /// Messages that had come at the last look.
    seen: u64,
    /// When the first look was.
    began: Duration,
    /// When the last message was seen to have come.
    last: Duration,
    /// Messages since the first look.
    messages: u64,
    per_s: f64,
}

impl Silence {
    /// Begins with a count of messages.
    #[must_use]
    pub(crate) const fn new(seen: u64, now: Duration) -> Self {
        Self { seen, began: now, last: now, messages: 0, per_s: 0.0 }
    }

    /// Judges the silence since the last message. `seen` are all messages so far; `least` is the shortest silence that counts.
    pub(crate) fn look(&mut self, seen: u64, now: Duration, least: Duration) -> Condition {
        let new = seen.saturating_sub(self.seen);
        if new > 0 {
            self.note(new, now);
            self.seen = seen;
            return Condition::Good;
        }
        if self.messages < KNOWN_AFTER || self.per_s < BUSY_PER_S {
            return Condition::Good;
        }
        let quiet = now.saturating_sub(self.last);
        let usual = Duration::from_secs_f64(1.0 / self.per_s);
        let limit = least.max(usual.mul_f64(TIMES_USUAL));
        if quiet >= limit {
            Condition::Bad(format!("nothing for {} s, where {:.1} messages a second are usual", quiet.as_secs(), self.per_s))
        } else if quiet >= limit / 2 {
            Condition::Between
        } else {
            Condition::Good
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "messages of a look stay far below 2^53")]
    fn note(&mut self, new: u64, now: Duration) {
        let span = now.saturating_sub(self.last).as_secs_f64().max(0.001);
        let since_start = now.saturating_sub(self.began).as_secs_f64().max(span);
        // At first the plain average; from ten minutes on what came longer ago counts less and less.
        let weight = (span / since_start.min(AVERAGED_S)).min(1.0);
        self.per_s += weight * (new as f64 / span - self.per_s);
        self.messages = self.messages.saturating_add(new);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(60);

    /// Looks once a second at a product of which a message comes every so many seconds, until `until`. Then it is silent. Gives when that is an alert.
    fn alarmed_after(every_s: u64, until: u64) -> Option<u64> {
        let mut silence = Silence::new(0, Duration::ZERO);
        for second in 1..=until {
            let condition = silence.look(second / every_s, Duration::from_secs(second), LEAST);
            assert!(!matches!(condition, Condition::Bad(_)), "{second}");
        }
        (1..100_000).find(|quiet| {
            let condition = silence.look(until / every_s, Duration::from_secs(until + quiet), LEAST);
            matches!(condition, Condition::Bad(_))
        })
    }

    #[test]
    fn a_busy_product_is_silent_after_thirty_times_its_usual_pause_and_never_before_the_time_that_is_set() {
        assert_eq!(alarmed_after(1, 600), Some(60));
        let slower = alarmed_after(4, 1200).expect("it is busy");
        assert!((115..=125).contains(&slower), "{slower}");
        assert_eq!(alarmed_after(20, 6000), None, "three a minute are not busy");
        assert_eq!(alarmed_after(1, 50), None, "too little is known");
    }

    #[test]
    fn a_message_ends_it_and_a_quieter_night_is_learnt() {
        let mut silence = Silence::new(7, Duration::ZERO);
        let mut seen = 7;
        let mut at = 0;
        for _ in 0..1000 {
            (seen, at) = (seen + 10, at + 1);
            silence.look(seen, Duration::from_secs(at), LEAST);
        }
        at += 60;
        assert_eq!(
            silence.look(seen, Duration::from_secs(at), LEAST),
            Condition::Bad("nothing for 60 s, where 10.0 messages a second are usual".to_owned())
        );
        assert_eq!(silence.look(seen + 1, Duration::from_secs(at), LEAST), Condition::Good);
        seen += 1;
        // A message every five seconds, for two hours.
        for _ in 0..1440 {
            (seen, at) = (seen + 1, at + 5);
            silence.look(seen, Duration::from_secs(at), LEAST);
        }
        assert_eq!(silence.look(seen, Duration::from_secs(at + 100), LEAST), Condition::Between);
    }
}
