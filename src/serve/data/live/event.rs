//! [`EventId`]: the id of an event, and how an event is written.

/// The id of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventId {
    /// The trade id.
    Trade(u64),
    /// When the record was received, of a ticker that names no trade: `r` and nanoseconds since the epoch.
    Received(u64),
}

impl EventId {
    /// Chooses the id of a record.
    pub(super) fn of(trade_id: u64, received: u64) -> Self {
        if trade_id == 0 { Self::Received(received) } else { Self::Trade(trade_id) }
    }

    /// Reads an id as a client sends it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        match text.strip_prefix('r') {
            Some(received) => number(received).map(Self::Received),
            None => number(text).map(Self::Trade),
        }
    }

    /// Adds it to a text.
    pub(super) fn put(self, text: &mut Vec<u8>) {
        let number = match self {
            Self::Trade(id) => id,
            Self::Received(time) => {
                text.push(b'r');
                time
            }
        };
        crate::digits::push_u64(text, number);
    }
}

/// Adds an event to a text. The line has its line feed.
pub(super) fn put_event(text: &mut Vec<u8>, id: EventId, line: &[u8]) {
    text.extend_from_slice(b"id: ");
    id.put(text);
    text.extend_from_slice(b"\ndata: ");
    text.extend_from_slice(line);
    text.push(b'\n');
}
