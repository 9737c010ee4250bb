//! [`RecordTexts`]: the exact texts of the record that a connection is about to take. They are written before it is passed on.

use crate::capture::service::journal::JournalHandle;
use crate::product::ProductId;
use crate::time::UnixNanos;

/// A decimal text that its f64 does not print back.
struct ExactText {
    column: &'static str,
    key: u64,
    text: Box<[u8]>,
}

/// Texts of the record that comes next. As a rule there are none.
#[derive(Default)]
pub(super) struct RecordTexts(Vec<ExactText>);

impl RecordTexts {
    /// Tells whether there are none.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    #[cold]
    pub(super) fn add(&mut self, column: &'static str, key: u64, text: &[u8]) {
        self.0.push(ExactText { column, key, text: text.into() });
    }

    /// Forgets them: their record is not passed on.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes them. Their record happened at `time`.
    #[cold]
    pub(super) fn keep(&mut self, journal: &JournalHandle, product: &ProductId, time: UnixNanos) {
        for ExactText { column, key, text } in self.0.drain(..) {
            journal.exact(time, product, column, key, &text);
        }
    }
}
