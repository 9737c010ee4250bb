//! [`Waiting`]: says what a simulator waits for before its market begins. Without it, a name that nobody subscribes to would keep it silent for ever.

use std::time::{Duration, Instant};

use crate::names::listed;
use crate::product::ProductId;

/// Time without a word before the first one.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// Time between two words.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When a word is due.
#[derive(Debug)]
pub(super) struct Waiting {
    due: Instant,
    has_spoken: bool,
}

impl Waiting {
    /// Begins to wait.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now + FIRST_AFTER, has_spoken: false }
    }

    /// Tells whether a word is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Tells whether a word is due, and takes it as said. The next one is due in a minute.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        if is_due {
            (self.due, self.has_spoken) = (now + AGAIN_AFTER, true);
        }
        is_due
    }

    /// Tells whether anything was said.
    pub(super) const fn has_spoken(&self) -> bool {
        self.has_spoken
    }
}

/// Says what the market waits for. `unwanted` are the products that nobody subscribes to, of `products` in all.
pub(super) fn text(clients: usize, unwanted: &[&ProductId], products: usize) -> String {
    let connected = match clients {
        0 => "no client is connected".to_owned(),
        1 => "1 client is connected".to_owned(),
        more => format!("{more} clients are connected"),
    };
    let names: Vec<&str> = unwanted.iter().map(|product| product.as_str()).collect();
    format!(
        "the market waits: {connected}, and nobody subscribes to {} of {products} products: {}; it begins when all of them are subscribed to",
        unwanted.len(),
        listed(&names)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_comes_after_seconds_and_then_one_a_minute() {
        let start = Instant::now();
        let mut waiting = Waiting::new(start);
        let spoken: Vec<u64> = (0..200).filter(|second| waiting.take_due(start + Duration::from_secs(*second))).collect();
        assert_eq!(spoken, [5, 65, 125, 185]);
        assert!(waiting.has_spoken() && !Waiting::new(start).has_spoken());
    }

    #[test]
    fn the_products_that_nobody_wants_are_named_up_to_a_number() {
        let products: Vec<ProductId> = (0..13).map(|at| ProductId::new(&format!("P{at}-USD")).expect("a product")).collect();
        let all: Vec<&ProductId> = products.iter().collect();
        let said = text(1, all.get(..2).expect("two"), 3);
        assert!(said.contains("1 client is connected") && said.contains("2 of 3 products: P0-USD, P1-USD;"), "{said}");
        assert!(text(0, &all, 13).contains("P9-USD and 3 more;"), "{}", text(0, &all, 13));
    }
}
