//! [`ConnectionState`]: whether a connection works, since when it does not, and why.
//!
//! 1. The connection's thread writes it when something about the connection changes; the watch and the summary read it. No message of the market touches it.
//! 2. A connection works once the exchange has acknowledged something on it. One that is open and acknowledged nothing does not record anything.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Whether a connection works.
#[derive(Debug)]
pub(crate) struct ConnectionState(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since when it does not work; `None` while it does.
    down_since: Option<Instant>,
    /// Whether a connection has been tried: connections begin one after the other.
    is_begun: bool,
    has_worked: bool,
    is_open: bool,
    cause: Option<String>,
    /// When its thread ended.
    ended: Option<Instant>,
}

/// Why a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LossCause {
    /// The socket failed.
    #[default]
    Failed,
    /// The server closed it.
    Closed,
    /// It said nothing for too long.
    Silent,
    /// The exchange acknowledged nothing in time.
    Unacknowledged,
    /// No product is wanted of it any more.
    Unwanted,
}

impl LossCause {
    /// Every cause.
    pub(crate) const ALL: [Self; 5] = [Self::Failed, Self::Closed, Self::Silent, Self::Unacknowledged, Self::Unwanted];

    /// Gives the cause of a connection that this side ends: where nothing else is known, it is that nothing is wanted of it.
    #[must_use]
    pub(crate) const fn or_unwanted(self) -> Self {
        if matches!(self, Self::Failed) { Self::Unwanted } else { self }
    }

    /// Says why this side ended the connection.
    #[must_use]
    pub(crate) const fn of_disconnection(self) -> &'static str {
        if matches!(self, Self::Unwanted) { "no product is wanted of it any more" } else { "replaced" }
    }

    /// Gives how the log tells of it: a connection of which nothing is wanted is no loss.
    #[must_use]
    pub(crate) const fn told(self) -> (log::Level, &'static str) {
        if matches!(self, Self::Unwanted) { (log::Level::Info, "closed") } else { (log::Level::Warn, "connection lost") }
    }

    /// Gives its name in the metrics.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unacknowledged => "unacknowledged",
            Self::Unwanted => "unwanted",
        }
    }
}

/// A connection that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Down {
    /// For how long.
    pub lasts: Duration,
    /// Why, as far as it is known.
    pub cause: String,
    /// Whether it worked before.
    pub has_worked: bool,
    /// Whether it is open, and nothing has been acknowledged on it.
    pub is_open: bool,
}

/// A connection that did not work at the end, and whose products no other connection has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionOutage {
    /// The connection, as the log names it. Of several redundant ones it is the one that worked last.
    pub connection: String,
    /// How many products it has.
    pub products: usize,
    /// For how long it had not worked.
    pub lasts: Duration,
    /// Why, as far as it is known.
    pub cause: String,
}

impl Default for ConnectionState {
    /// A connection that has not been tried yet.
    fn default() -> Self {
        let down_since = Some(Instant::now());
        Self(Mutex::new(State { down_since, is_begun: false, has_worked: false, is_open: false, cause: None, ended: None }))
    }
}

impl ConnectionState {
    /// Notes that the connection is tried from now on.
    pub(crate) fn begun(&self, now: Instant) {
        let mut state = self.0.lock();
        if !std::mem::replace(&mut state.is_begun, true) {
            state.down_since = Some(now);
        }
    }

    /// Notes that products are wanted of the connection again, after a time without any. It did not work then because it need not.
    pub(crate) fn wanted_again(&self, now: Instant) {
        let mut state = self.0.lock();
        if state.down_since.is_some() {
            (state.down_since, state.cause) = (Some(now), None);
        }
    }

    /// Notes that the connection is open. Whether it works is not known yet.
    pub(crate) fn opened(&self) {
        self.0.lock().is_open = true;
    }

    /// Notes that the exchange has acknowledged something.
    pub(crate) fn acknowledged(&self) {
        let mut state = self.0.lock();
        (state.down_since, state.has_worked, state.cause) = (None, true, None);
    }

    /// Notes that the connection could not be opened, or is lost.
    pub(crate) fn failed(&self, cause: &str, now: Instant) {
        let mut state = self.0.lock();
        state.is_open = false;
        state.down_since.get_or_insert(now);
        // What the exchange said tells more than that it closed the connection afterwards.
        let has_said = !state.has_worked && state.cause.as_ref().is_some_and(|cause| cause.starts_with(SAYS));
        if !has_said {
            state.cause = Some(cause.to_owned());
        }
    }

    /// Keeps an error that the exchange sent.
    pub(crate) fn said(&self, error: &str) {
        let mut state = self.0.lock();
        if state.down_since.is_some() {
            state.cause = Some(format!("{SAYS}{error}"));
        }
    }

    /// Notes that the connection's thread ends, as the capture does.
    pub(crate) fn ended(&self, now: Instant) {
        self.0.lock().ended.get_or_insert(now);
    }

    /// Gives since when and why it does not work, if it does not.
    #[must_use]
    pub(crate) fn down(&self, now: Instant) -> Option<Down> {
        let state = self.0.lock();
        let since = state.down_since?;
        let lasts = if state.is_begun { state.ended.unwrap_or(now).saturating_duration_since(since) } else { Duration::ZERO };
        let cause = state.cause.clone().unwrap_or_else(|| {
            let cause = if state.is_open { "it is open, and nothing was acknowledged" } else { "no connection has been made yet" };
            cause.to_owned()
        });
        Some(Down { lasts, cause, has_worked: state.has_worked, is_open: state.is_open })
    }
}

/// How a cause begins that is the exchange's own word.
const SAYS: &str = "the exchange says: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_down_until_something_is_acknowledged_and_keeps_the_word_that_tells_most() {
        let (state, start) = (ConnectionState::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(state.down(after(500)).map(|down| down.lasts), Some(Duration::ZERO), "other connections come first");
        state.begun(after(1));
        state.failed("refused", after(2));
        state.begun(after(2));
        assert_eq!(state.down(after(4)).map(|down| down.lasts), Some(Duration::from_secs(3)), "from the first attempt on");
        state.opened();
        assert_eq!(state.down(after(2)).map(|down| (down.cause, down.has_worked)), Some(("refused".to_owned(), false)));
        state.said("unknown channel");
        state.failed("closed 1000", after(3));
        assert_eq!(state.down(after(4)).map(|down| down.cause).as_deref(), Some("the exchange says: unknown channel"));
        state.acknowledged();
        assert_eq!(state.down(after(5)), None);
        state.said("something else");
        state.failed("reset", after(6));
        state.failed("refused", after(8));
        state.ended(after(16));
        let down = state.down(after(99));
        assert_eq!(down, Some(Down { lasts: Duration::from_secs(10), cause: "refused".to_owned(), has_worked: true, is_open: false }));
    }

    #[test]
    fn a_time_without_products_is_no_outage() {
        let (state, start) = (ConnectionState::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        state.begun(after(0));
        state.acknowledged();
        state.failed("no product is wanted of it any more", after(10));
        state.wanted_again(after(1000));
        state.begun(after(1001));
        let down = state.down(after(1002)).expect("nothing is acknowledged yet");
        assert_eq!((down.lasts, down.cause.as_str()), (Duration::from_secs(2), "no connection has been made yet"));
        state.acknowledged();
        state.wanted_again(after(1003));
        assert_eq!(state.down(after(1004)), None, "one that works goes on to work");
    }
}
