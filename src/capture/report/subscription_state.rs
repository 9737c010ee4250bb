//! [`SubscriptionState`]: whether the exchange has taken up a product, and what it said where it has not.
//!
//! 1. Connections write it when the exchange acknowledges or refuses; the watch and the summary read it. No message of the market touches it.
//! 2. With several lines, one that has the product is enough.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Whether the exchange has taken up a product.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionState {
    state: Mutex<State>,
    /// Whether the product was asked for once and is not any more.
    is_given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Since when the product has been asked for; `None` where nobody asks for it.
    wanted_since: Option<Instant>,
    was_acknowledged: bool,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    since: Instant,
    why: String,
}

/// A product that the exchange refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For how long it has refused it.
    pub lasts: Duration,
    /// What it says.
    pub why: String,
}

/// A product's subscription at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SubscriptionLook {
    /// For how long it has been asked for; `None` where nobody asks for it.
    pub wanted_for: Option<Duration>,
    /// Whether the exchange ever acknowledged it.
    pub was_acknowledged: bool,
    /// The refusal that stands.
    pub refusal: Option<Refusal>,
}

impl SubscriptionState {
    /// Notes that the product is asked for from now on.
    pub(crate) fn want(&self, now: Instant) {
        self.state.lock().wanted_since.get_or_insert(now);
        self.is_given_up.store(false, Relaxed);
    }

    /// Notes that nobody asks for the product any more.
    pub(crate) fn unwant(&self) {
        *self.state.lock() = State::default();
        self.is_given_up.store(true, Relaxed);
    }

    /// Tells whether the product was asked for once and is not any more.
    #[must_use]
    pub(crate) fn is_given_up(&self) -> bool {
        // Relaxed: nothing else is read because of it.
        self.is_given_up.load(Relaxed)
    }

    /// Notes that the exchange has acknowledged the product.
    pub(crate) fn acknowledge(&self) {
        let mut state = self.state.lock();
        (state.was_acknowledged, state.refused) = (true, None);
    }

    /// Notes that the exchange has refused the product, or said nothing when it was asked for it alone.
    pub(crate) fn refuse(&self, why: &str, now: Instant) {
        let mut state = self.state.lock();
        match &mut state.refused {
            Some(refused) => why.clone_into(&mut refused.why),
            None => state.refused = Some(Refused { since: now, why: why.to_owned() }),
        }
    }

    /// Reads it.
    #[must_use]
    pub(crate) fn look(&self, now: Instant) -> SubscriptionLook {
        let state = self.state.lock();
        let refusal =
            state.refused.as_ref().map(|Refused { since, why }| Refusal { lasts: now.saturating_duration_since(*since), why: why.clone() });
        SubscriptionLook {
            wanted_for: state.wanted_since.map(|since| now.saturating_duration_since(since)),
            was_acknowledged: state.was_acknowledged,
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_from_its_first_word_until_the_product_is_acknowledged() {
        let (state, start) = (SubscriptionState::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(state.look(start), SubscriptionLook::default());
        state.want(start);
        state.refuse("not a valid product", after(1));
        state.refuse("is delisted", after(9));
        let look = state.look(after(11));
        assert_eq!(look.wanted_for, Some(Duration::from_secs(11)));
        assert_eq!(look.refusal, Some(Refusal { lasts: Duration::from_secs(10), why: "is delisted".to_owned() }));
        state.acknowledge();
        let look = state.look(after(12));
        assert!(look.was_acknowledged && look.refusal.is_none());
        assert!(!state.is_given_up());
        state.unwant();
        assert_eq!(state.look(after(13)), SubscriptionLook::default());
        assert!(state.is_given_up());
        state.want(after(14));
        assert!(!state.is_given_up());
    }
}
