//! The tray: what a connection has brought and not handed over yet, a pile a product, each in the order of the wire.
//!
//! 1. It holds what a few reads brought, and lies in the cache. A queue's slots come round once in thousands of messages: every touch of one waits for
//!    memory, so that only what somebody else has to see to goes there.
//! 2. Every pile is taken off before the tray is cleared: put into the columns, or pushed into the product's queue.
//!
//! Lives on a connection's thread; allocates nothing after it was made.

use crate::record::MarketMessage;

/// Messages a tray holds.
pub const TRAY_MSGS: usize = 1024;

/// No message.
const NONE: u32 = u32::MAX;

struct Laid {
    message: MarketMessage,
    /// The next one of the same pile.
    next: u32,
}

/// One product's messages on a tray.
#[derive(Debug, Clone, Copy)]
pub struct Pile {
    first: u32,
    last: u32,
}

impl Default for Pile {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Pile {
    /// Tells whether nothing of the product lies there.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// Messages of one connection.
pub struct Tray {
    laid: Vec<Laid>,
}

impl Default for Tray {
    fn default() -> Self {
        Self { laid: Vec::with_capacity(TRAY_MSGS) }
    }
}

impl Tray {
    /// Tells whether it has to be cleared before anything more is laid on it.
    #[inline]
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.laid.len() >= TRAY_MSGS
    }

    /// Lays a message on a product's pile, behind those that lie there.
    #[inline]
    pub fn lay(&mut self, pile: &mut Pile, message: MarketMessage) {
        #[expect(clippy::cast_possible_truncation, reason = "at most TRAY_MSGS")]
        let at = self.laid.len() as u32;
        self.laid.push(Laid { message, next: NONE });
        match self.laid.get_mut(pile.last as usize) {
            Some(last) if !pile.is_empty() => last.next = at,
            _ => pile.first = at,
        }
        pile.last = at;
    }

    /// Takes all messages off, whose piles are empty by now.
    #[inline]
    pub fn clear(&mut self) {
        self.laid.clear();
    }
}

/// One product's pile, to be taken off from its first message on.
pub struct Brought<'a> {
    tray: &'a Tray,
    pile: &'a mut Pile,
}

impl<'a> Brought<'a> {
    /// Lends a pile of a tray.
    #[inline]
    #[must_use]
    pub const fn new(tray: &'a Tray, pile: &'a mut Pile) -> Self {
        Self { tray, pile }
    }

    /// Shows the message whose turn it is; nothing where all are taken.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<&'a MarketMessage> {
        self.tray.laid.get(self.pile.first as usize).map(|laid| &laid.message)
    }

    /// Takes that message off.
    #[inline]
    pub fn pass(&mut self) {
        self.pile.first = self.tray.laid.get(self.pile.first as usize).map_or(NONE, |laid| laid.next);
    }
}

impl Iterator for Brought<'_> {
    type Item = MarketMessage;

    #[inline]
    fn next(&mut self) -> Option<MarketMessage> {
        let message = *self.first()?;
        self.pass();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    fn message(id: u64) -> MarketMessage {
        MarketMessage::Heartbeat { last_trade_id: id, recv: UnixNanos(0) }
    }

    fn ids(tray: &Tray, pile: &mut Pile) -> Vec<u64> {
        let id = |message| match message {
            MarketMessage::Heartbeat { last_trade_id, .. } => last_trade_id,
            _ => 0,
        };
        Brought::new(tray, pile).map(id).collect()
    }

    #[test]
    fn piles_keep_their_order_whatever_lies_between() {
        let mut tray = Tray::default();
        let mut piles = [Pile::default(); 3];
        for round in 0..2 {
            for (pile, id) in [(0, 10), (1, 20), (0, 11), (0, 12), (1, 21), (0, 13)] {
                tray.lay(&mut piles[pile], message(id + round));
            }
            let mut first = Brought::new(&tray, &mut piles[0]);
            assert_eq!(first.first(), Some(&message(10 + round)));
            first.pass();
            assert_eq!(ids(&tray, &mut piles[0]), [11, 12, 13].map(|id| id + round), "what is left of a pile");
            assert_eq!(ids(&tray, &mut piles[1]), [20, 21].map(|id| id + round));
            assert!(piles.iter().all(Pile::is_empty) && Brought::new(&tray, &mut piles[2]).next().is_none());
            tray.clear();
        }
        (0..TRAY_MSGS as u64).for_each(|id| tray.lay(&mut piles[2], message(id)));
        assert!(tray.is_full());
        assert_eq!(ids(&tray, &mut piles[2]).len(), TRAY_MSGS);
    }
}
