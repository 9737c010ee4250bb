//! [`FrameFate`]: how a frame ended.

use super::reject::RejectReason;

/// How a frame ended. Every frame has exactly one fate: `frames = used + control + ignored + rejected`. One that is held back gets it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFate {
    /// The handler got at least one trade, one ticker or one product's heartbeat.
    Used,
    /// The handler got a message about the connection, or a heartbeat of the connection as a whole.
    Control,
    /// The type or channel is not captured, or the message holds no element.
    Ignored,
    /// The frame names a time too far ahead. Its fate waits until it is settled whether the box's clock is wrong, and comes by [`super::Handler::end_held`].
    Held,
    /// The frame cannot be used. Where it holds several elements, this is the reason of the last one.
    Rejected(RejectReason),
}
