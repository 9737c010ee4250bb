//! [`Session`]: the life of one connection as a state machine without I/O or clock: connect, subscribe, be proven good, be lost, connect again.
//!
//! ```text
//!   Waiting ──Connect──▶ Connecting ──Connected──▶ Connected ──┐
//!      ▲                     │ ConnectFailed                   │ lost · silent · nothing acknowledged
//!      └──────── back-off ◀──┴─────────────────────────────────┘
//! ```
//!
//! 1. A loss is a loss, whatever the close code: 1000 and 1001 lead to a new connection as a reset does.
//! 2. Every connection begins with its subscriptions. From the connection before it takes over only which products were refused.
//! 3. The back-off starts over only when a used frame has come after an acknowledgement.
//! 4. A connection on which no frame comes for the idle time-out is replaced. What has been received and not read yet, and bytes of a message that is still
//!    under way, are no silence; but no message may take more than [`LONGEST_MESSAGE_IDLE_TIMES`] idle time-outs.
//! 5. The peer is judged by the time that this process was awake ([`AwakeTime`]): its own pauses are no silence of the peer's.
//! 6. The caller carries out the actions in their order. A report asks for nothing but a line in the journal.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::{Action, SessionReport};
use super::awake::AwakeTime;
use super::backoff::Backoff;
use super::control::Control;
use super::fate::FrameFate;
use super::protocol::Feed;
use super::session_config::SessionConfig;
use super::subscription::{Subscription, Verdict};
use crate::product::ProductId;

/// Idle time-outs that one message may take, from its first byte to its last.
const LONGEST_MESSAGE_IDLE_TIMES: u32 = 6;

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
pub enum SessionEvent<'e> {
    /// Time has passed. To be sent at least every 100 ms or so.
    Tick,
    /// The connection was made.
    Connected,
    /// The connection could not be made.
    ConnectFailed,
    /// The connection could not be made, and the server asks to wait before the next.
    ConnectRefused {
        /// For how long.
        retry_after: Duration,
    },
    /// Bytes have come that are no whole message yet, or wait to be read.
    Heard,
    /// The connection is lost: closed with any code, reset, or broken.
    Lost,
    /// A frame was decoded.
    Frame(FrameFate),
    /// A frame held a message about the connection.
    Control(&'e Control),
    /// More products are to be subscribed to.
    Add(&'e [ProductId]),
    /// Some products are not to be subscribed to any more.
    Remove(&'e [ProductId]),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting {
        until: Duration,
    },
    Connecting,
    /// `since` is the caller's time, the others are times awake.
    Connected {
        since: Duration,
        last_frame: Duration,
        last_bytes: Duration,
        is_proven: bool,
    },
}

/// The life of one connection after the other.
#[derive(Debug)]
pub struct Session {
    state: State,
    time: AwakeTime,
    idle_timeout: Duration,
    backoff: Backoff,
    subscription: Subscription,
}

impl Session {
    /// Makes a session that asks to connect at its first tick.
    #[must_use]
    pub fn new(feed: Feed, config: &SessionConfig) -> Self {
        Self {
            state: State::Waiting { until: Duration::ZERO },
            time: AwakeTime::default(),
            idle_timeout: config.idle_timeout,
            backoff: Backoff::new(config.seed),
            subscription: Subscription::new(feed, config),
        }
    }

    /// Tells whether there is a connection.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// Gives the products that the present connection has acknowledged in all their channels.
    #[must_use]
    pub fn acknowledged(&self) -> &BTreeSet<ProductId> {
        self.subscription.acknowledged()
    }

    /// Takes an event. Gives what the caller has to do. `now` is monotonic time since any fixed moment. Allocates only where there is something to do.
    pub fn on(&mut self, event: SessionEvent<'_>, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        let awake = self.time.look(now);
        match event {
            SessionEvent::Frame(fate) => self.take_frame(fate, awake, &mut actions),
            SessionEvent::Heard => {
                if let State::Connected { last_bytes, .. } = &mut self.state {
                    *last_bytes = awake;
                }
            }
            SessionEvent::Tick => self.tick(now, awake, &mut actions),
            SessionEvent::Connected => {
                self.state = State::Connected { since: now, last_frame: awake, last_bytes: awake, is_proven: false };
                self.subscription.begin(awake, &mut actions);
            }
            SessionEvent::ConnectFailed => self.wait(now, Duration::ZERO, &mut actions),
            SessionEvent::ConnectRefused { retry_after } => self.wait(now, retry_after, &mut actions),
            SessionEvent::Lost => self.lost(now, awake, &mut actions),
            SessionEvent::Control(Control::Subscriptions(listed)) => self.subscription.list(listed, &mut actions),
            SessionEvent::Control(Control::Error { message, reason }) => {
                actions.push(Action::Report(SessionReport::Error { message: message.clone(), reason: reason.clone() }));
                self.subscription.refuse(message, reason, awake);
            }
            SessionEvent::Control(Control::Status(_) | Control::SequenceGap { .. }) => {}
            SessionEvent::Add(products) => {
                self.subscription.add(products);
                self.tick(now, awake, &mut actions);
            }
            SessionEvent::Remove(products) => {
                self.subscription.remove(products);
                self.tick(now, awake, &mut actions);
            }
        }
        actions
    }

    #[inline]
    fn take_frame(&mut self, fate: FrameFate, awake: Duration, actions: &mut Vec<Action>) {
        let State::Connected { last_frame, is_proven, .. } = &mut self.state else { return };
        *last_frame = awake;
        if fate == FrameFate::Used && !*is_proven && self.subscription.has_acknowledgement() {
            *is_proven = true;
            self.backoff.reset();
            actions.push(Action::Report(SessionReport::Proven));
        }
    }

    fn tick(&mut self, now: Duration, awake: Duration, actions: &mut Vec<Action>) {
        match self.state {
            State::Waiting { until } if now >= until && self.subscription.is_wanted() => {
                self.state = State::Connecting;
                actions.push(Action::Connect);
            }
            State::Waiting { .. } | State::Connecting => {}
            State::Connected { last_frame, last_bytes, .. } => {
                let silent_for = awake.saturating_sub(last_frame.max(last_bytes));
                let without_frame_for = awake.saturating_sub(last_frame);
                if silent_for >= self.idle_timeout || without_frame_for >= self.idle_timeout.saturating_mul(LONGEST_MESSAGE_IDLE_TIMES) {
                    self.replace(SessionReport::Silent, now, awake, actions);
                } else if !self.subscription.is_wanted() {
                    actions.push(Action::Disconnect);
                    self.lost(now, awake, actions);
                } else if self.subscription.tick(awake, actions) == Verdict::Replace {
                    self.replace(SessionReport::Unacknowledged, now, awake, actions);
                }
            }
        }
    }

    fn replace(&mut self, why: SessionReport, now: Duration, awake: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Report(why));
        actions.push(Action::Disconnect);
        self.lost(now, awake, actions);
    }

    fn lost(&mut self, now: Duration, awake: Duration, actions: &mut Vec<Action>) {
        if let State::Connected { since, .. } = self.state {
            actions.push(Action::Report(SessionReport::Ended { lasted: now.saturating_sub(since) }));
            self.subscription.end(awake, actions);
        }
        self.wait(now, Duration::ZERO, actions);
    }

    /// Waits for the back-off, or for as long as the server asks where that is longer.
    fn wait(&mut self, now: Duration, at_least: Duration, actions: &mut Vec<Action>) {
        // A loss that is reported twice is still one loss.
        if matches!(self.state, State::Waiting { .. }) {
            return;
        }
        let wait = self.backoff.wait().max(at_least);
        self.state = State::Waiting { until: now + wait };
        // Without a product there is nothing to connect for.
        if self.subscription.is_wanted() {
            actions.push(Action::Report(SessionReport::Backoff { wait }));
        }
    }
}
