//! How far a thread may go to store a record ([`Effort`]), and what came of it ([`Outcome`]).
//!
//! The rule of where a record goes is written once, in the writer and in its open days. The writer's own thread and the threads that it delegates to
//! (see [`super::queue`]) follow the same rule and differ in their effort alone.

/// What a thread may wait for while it stores a record. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// For nothing: the day is open and has room, and no flush has made its pages read-only. A connection's own thread goes no further.
    OnlyIfReady,
    /// For a page that a flush has made read-only. A connection's delegate goes no further.
    PageWait,
    /// For everything: files are opened, duplicates are looked up, late records are written. Only the writer's own thread goes so far.
    Any,
}

/// What came of a record.
///
/// With an effort below [`Effort::Any`] a record that cannot simply be appended gives [`Outcome::NeedsPage`] or [`Outcome::NeedsWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It stands at the end of its day, in every dataset that it belongs to. The next commit makes it visible.
    Written,
    /// It stands beside the columns. It is put in its place when the day is sealed.
    Late,
    /// It is stored already.
    Duplicate,
    /// Another trade is stored under its id. The first one is kept.
    Conflict,
    /// It belongs to no dataset that is kept.
    NotKept,
    /// Nothing was stored: a page would have to be waited for.
    NeedsPage,
    /// Nothing was stored: only the writer's own thread can do it.
    NeedsWriter,
    /// Nothing was stored: the files have no room, or cannot be opened now.
    Blocked,
}
