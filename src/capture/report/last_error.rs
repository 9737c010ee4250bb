//! [`LastErrorNote`]: the last thing that went wrong in a capture, for its status.
//!
//! Every error is an event of the journal, so whoever sends an event there notes it here. No message of the market touches it.

use parking_lot::Mutex;

use crate::store::event::Event;
use crate::time::UnixNanos;

/// Characters that are kept of an error.
const MAX_CHARS: usize = 300;

/// The last error.
#[derive(Debug, Default)]
pub(crate) struct LastErrorNote(Mutex<Option<(UnixNanos, String)>>);

impl LastErrorNote {
    /// Notes an event, if it tells of something that went wrong.
    pub(crate) fn note(&self, at: UnixNanos, event: &Event) {
        if let Some(text) = describe(event) {
            *self.0.lock() = Some((at, text.chars().take(MAX_CHARS).collect()));
        }
    }

    /// Gives the last one, and when it was.
    #[must_use]
    pub(crate) fn get(&self) -> Option<(UnixNanos, String)> {
        self.0.lock().clone()
    }
}

fn describe(event: &Event) -> Option<String> {
    let name = event.name();
    Some(match event {
        Event::ConnectFailed { line, error } => format!("{name} {line}: {error}"),
        Event::ConnectionLost { line, why } => format!("{name} {line}: {why}"),
        Event::ConnectionSilent { line } | Event::NothingAcknowledged { line } => format!("{name} {line}"),
        Event::ExchangeError { line, message, reason } => format!("{name} {line}: {message} {reason}"),
        Event::ProductRefused { product, why, .. } => format!("{name} {product}: {why}"),
        Event::WriterRestarted { product } => format!("{name} {product}"),
        Event::Conflict { product, trade_id, .. } => format!("{name} {product}: trade {trade_id} came again with other fields"),
        Event::ShedStarted { product } => format!("{name} {product}"),
        Event::DayFilesGone { day } => format!("{name} {day}"),
        Event::SealFailed { day, error } | Event::AllocationFailed { day, error } => format!("{name} {day}: {error}"),
        Event::WriteFailed { product, error, .. } | Event::BackfillFailed { product, error, .. } => format!("{name} {product}: {error}"),
        Event::SyncFailed { error } => format!("{name}: {error}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_stays_until_another_one_comes() {
        let note = LastErrorNote::default();
        let line = || "line:0.0".to_owned();
        note.note(UnixNanos(1), &Event::Connected { line: line() });
        assert_eq!(note.get(), None);
        note.note(UnixNanos(2), &Event::ConnectFailed { line: line(), error: "refused".to_owned() });
        note.note(UnixNanos(3), &Event::Connected { line: line() });
        assert_eq!(note.get(), Some((UnixNanos(2), "connect_failed line:0.0: refused".to_owned())));
        note.note(UnixNanos(4), &Event::SyncFailed { error: "é".repeat(999) });
        assert!(note.get().is_some_and(|(at, text)| at == UnixNanos(4) && text.chars().count() == MAX_CHARS));
    }
}
