//! [`Action`]: what a session asks of its connection's thread, and what it reports.

use std::time::Duration;

use crate::product::ProductId;

/// What the caller of a session has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect. Then tell the session whether that succeeded.
    Connect,
    /// Send a text. Where that fails, tell the session that the connection is lost.
    Send(String),
    /// Close the connection. The session knows that it is lost.
    Disconnect,
    /// Write to the journal; nothing else is to be done.
    Report(SessionReport),
}

/// What happened in a session, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionReport {
    /// A request to subscribe is about to be sent.
    Subscribing {
        /// How many products it names.
        products: usize,
    },
    /// The number of acknowledged products has changed.
    Subscribed {
        /// How many are acknowledged.
        products: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// The server sent an error.
    Error {
        /// Its message.
        message: String,
        /// Its reason.
        reason: String,
    },
    /// A product is refused. It is not requested for a while.
    Refused {
        /// The product.
        product: ProductId,
        /// What the server said, or that it said nothing.
        why: String,
        /// When it is requested again.
        again_in: Duration,
    },
    /// Products have vanished from the server's list. They are requested again.
    Dropped {
        /// Which.
        products: Vec<ProductId>,
    },
    /// The first used frame has come since something was acknowledged.
    Proven,
    /// No frame has come for the idle time-out.
    Silent,
    /// Nothing was acknowledged in time.
    Unacknowledged,
    /// A connection has ended.
    Ended {
        /// How long it lasted.
        lasted: Duration,
    },
    /// The next connection is tried after a wait.
    Backoff {
        /// How long.
        wait: Duration,
    },
}
