//! HTTP/1.1 without async: heads are read and checked here, answers are written here. It knows nothing of tapes.
//!
//! ```text
//! listener ─▶ waiter (poll): heads that are not whole yet, idle and closing connections
//!                 │ a whole head                    ▲ answered: idle again, or closing
//!                 ▼                                 │
//!            one thread for each client that is being answered ── Handler::answer
//! ```
//!
//! 1. A connection costs a thread only while it is answered. One that sends its head slowly, or sends none, costs a descriptor, and the oldest of these is
//!    closed where there are too many. So a slow client takes no other client's place.
//! 2. At most [`Limits::max_clients`] are answered at once, and [`RESERVED`](accept::RESERVED) more that ask for health. Another request waits for a moment for one
//!    of them to end, and gets 429 then; one for health that needs no file is answered at once, whatever else goes on.
//! 3. What is ambiguous is refused, and its connection closed: see [`head`].
//! 4. A write waits at most [`Limits::send_timeout`], and a client that takes less than [`LEAST_BYTES_PER_S`](pace::LEAST_BYTES_PER_S) is cut off: [`pace`].
//! 5. A body whose length is not known is chunked. If it fails, there is no last chunk: [`body`].
//! 6. No byte from the network panics. A handler that panics costs its own answer: 500, or a body that is broken off.
//!
//! Threads: `serve:wait`, and `serve:N` for the client that is being answered. They end when [`Stopping`] is asked for.

pub(crate) mod accept;
mod answer;
pub(crate) mod body;
pub(crate) mod handler;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod limits;
pub(crate) mod pace;
pub(crate) mod range;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod socket;
pub(crate) mod stopping;
pub(crate) mod target;
pub(crate) mod traffic;
pub(crate) mod upgrade;
mod waiting;
