//! [`Session`]: one line's life — connect, subscribe, be proven, be lost, and again — as a state machine without I/O or clock.
//!
//! ```text
//!   Waiting ──Connect──▶ Connecting ──Connected──▶ Up ──┐
//!      ▲                     │ ConnectFailed            │ Lost · silent · nothing acknowledged
//!      └──────── back-off ◀──┴──────────────────────────┘
//! ```
//!
//! 1. A loss is a loss, whatever the close code: 1000 and 1001 lead to a new connection like a reset.
//! 2. Every connection begins with its subscriptions; nothing is taken over from the one before but who was refused.
//! 3. The back-off starts over only when a used frame has come after an acknowledgement.
//! 4. A connection that says nothing for the idle time-out is replaced.
//! 5. Every action is one the caller carries out in order; a note is for the journal and asks for nothing.

use crate::feed::Feed;
use crate::feed::backoff::Backoff;
use crate::feed::control::Control;
use crate::feed::handler::FrameFate;
use crate::feed::subscription::{Subscription, Verdict};
use crate::product::ProductId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a line captures.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The products to begin with.
    pub products: Vec<ProductId>,
    /// Whether individual trades are asked for; otherwise tickers alone.
    pub trades: bool,
    /// Whether the list of all products is asked for (Exchange only).
    pub status: bool,
    /// A connection that says nothing for so long is replaced.
    pub idle_timeout: Duration,
    /// From which the jitter follows.
    pub seed: u64,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
pub enum SessionEvent<'e> {
    /// Time passes. Due at least every 100 ms or so.
    Tick,
    /// The connection asked for stands.
    Connected,
    /// The connection asked for did not come about.
    ConnectFailed,
    /// The connection is gone: closed with whatever code, reset, or broken.
    Lost,
    /// A frame was decoded.
    Frame(FrameFate),
    /// A frame brought a message about the connection.
    Control(&'e Control),
    /// More products are wanted.
    Add(&'e [ProductId]),
    /// Some products are not wanted any more.
    Remove(&'e [ProductId]),
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect, then say [`SessionEvent::Connected`] or [`SessionEvent::ConnectFailed`].
    Connect,
    /// Send a text. Where that fails, say [`SessionEvent::Lost`].
    Send(String),
    /// Give up the connection. [`SessionEvent::Lost`] need not be said.
    Disconnect,
    /// Write down.
    Note(Note),
}

/// What is worth the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Products were asked for.
    Asked {
        /// How many.
        products: usize,
    },
    /// The number of acknowledged products has changed.
    Acknowledged {
        /// How many are acknowledged.
        products: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// The server refused something.
    Error {
        /// Its message.
        message: String,
        /// Its reason.
        reason: String,
    },
    /// A product is refused and left alone for a while.
    Refused {
        /// The product.
        product: ProductId,
        /// The server's words, or that it had none.
        why: String,
        /// When it is asked for again.
        again_in: Duration,
    },
    /// Products have vanished from the server's list and are asked for again.
    Dropped {
        /// Which.
        products: Vec<ProductId>,
    },
    /// The first used frame after an acknowledgement.
    Proven,
    /// Nothing was heard for the idle time-out.
    Silent,
    /// Nothing was acknowledged in time.
    Unacknowledged,
    /// A connection has ended.
    Lost {
        /// How long it stood.
        lived: Duration,
    },
    /// The next connection is tried after a while.
    Backoff {
        /// How long.
        wait: Duration,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting { until: Duration },
    Connecting,
    Up { since: Duration, heard: Duration, proven: bool },
}

/// One line's life.
#[derive(Debug)]
pub struct Session {
    state: State,
    idle_timeout: Duration,
    backoff: Backoff,
    subscription: Subscription,
}

impl Session {
    /// Makes a session that asks to connect at its first tick.
    #[must_use]
    pub fn new(feed: Feed, plan: &Plan) -> Self {
        Self {
            state: State::Waiting { until: Duration::ZERO },
            idle_timeout: plan.idle_timeout,
            backoff: Backoff::new(plan.seed),
            subscription: Subscription::new(feed, plan),
        }
    }

    /// Tells whether a connection stands.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Gives the products that the present connection has acknowledged in all their channels.
    #[must_use]
    pub fn acknowledged(&self) -> &BTreeSet<ProductId> {
        self.subscription.acknowledged()
    }

    /// Takes an event; `now` is monotonic time since any fixed moment. Allocates only where there is something to do.
    pub fn on(&mut self, event: SessionEvent<'_>, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            SessionEvent::Frame(fate) => self.heard(fate, now, &mut actions),
            SessionEvent::Tick => self.tick(now, &mut actions),
            SessionEvent::Connected => {
                self.state = State::Up { since: now, heard: now, proven: false };
                self.subscription.begin(now, &mut actions);
            }
            SessionEvent::ConnectFailed => self.wait(now, &mut actions),
            SessionEvent::Lost => self.lost(now, &mut actions),
            SessionEvent::Control(Control::Subscriptions(listed)) => self.subscription.list(listed, &mut actions),
            SessionEvent::Control(Control::Error { message, reason }) => {
                actions.push(Action::Note(Note::Error { message: message.clone(), reason: reason.clone() }));
                self.subscription.refuse(message, reason, now);
            }
            SessionEvent::Control(Control::Status(_) | Control::SequenceHole { .. }) => {}
            SessionEvent::Add(products) => {
                self.subscription.add(products);
                self.tick(now, &mut actions);
            }
            SessionEvent::Remove(products) => {
                self.subscription.remove(products);
                self.tick(now, &mut actions);
            }
        }
        actions
    }

    #[inline]
    fn heard(&mut self, fate: FrameFate, now: Duration, actions: &mut Vec<Action>) {
        let State::Up { heard, proven, .. } = &mut self.state else { return };
        *heard = now;
        if fate == FrameFate::Used && !*proven && self.subscription.has_any() {
            *proven = true;
            self.backoff.reset();
            actions.push(Action::Note(Note::Proven));
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.state {
            State::Waiting { until } if now >= until && self.subscription.is_wanted() => {
                self.state = State::Connecting;
                actions.push(Action::Connect);
            }
            State::Waiting { .. } | State::Connecting => {}
            State::Up { heard, .. } => {
                if now.saturating_sub(heard) >= self.idle_timeout {
                    self.replace(Note::Silent, now, actions);
                } else if !self.subscription.is_wanted() {
                    actions.push(Action::Disconnect);
                    self.lost(now, actions);
                } else if self.subscription.tick(now, actions) == Verdict::Replace {
                    self.replace(Note::Unacknowledged, now, actions);
                }
            }
        }
    }

    fn replace(&mut self, why: Note, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Note(why));
        actions.push(Action::Disconnect);
        self.lost(now, actions);
    }

    fn lost(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let State::Up { since, .. } = self.state {
            actions.push(Action::Note(Note::Lost { lived: now.saturating_sub(since) }));
            self.subscription.end(now, actions);
        }
        self.wait(now, actions);
    }

    fn wait(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // A loss told twice is still one loss.
        if matches!(self.state, State::Waiting { .. }) {
            return;
        }
        let wait = self.backoff.wait();
        self.state = State::Waiting { until: now + wait };
        actions.push(Action::Note(Note::Backoff { wait }));
    }
}
