//! [`Text`] and [`read_batch`]: a message of the market, read by the shape of an earlier one or else parsed.
//!
//! What follows is the same either way: `exchange` and `advanced` are shown the values by their places.

use super::fate::FrameFate;
use super::json::Parser;
use super::reject::RejectReason;
use super::shapes::{BatchShapes, MessageShapes};
use super::values::{ReadValues, Value};
use super::{advanced, exchange};

/// The shapes of the messages that came before.
pub(super) struct Shapes {
    /// Whether messages are read by them. Without it the parser reads every message.
    pub(super) are_used: bool,
    pub(super) matches: MessageShapes,
    pub(super) tickers: MessageShapes,
    pub(super) heartbeats: MessageShapes,
    pub(super) trade_batches: BatchShapes,
    pub(super) ticker_batches: BatchShapes,
}

impl Default for Shapes {
    fn default() -> Self {
        Self {
            are_used: true,
            matches: MessageShapes::default(),
            tickers: MessageShapes::default(),
            heartbeats: MessageShapes::default(),
            trade_batches: BatchShapes::new(),
            ticker_batches: BatchShapes::new(),
        }
    }
}

impl Shapes {
    /// Counts the messages that were read by their shape.
    pub(super) const fn found(&self) -> u64 {
        let Self { are_used: _, matches, tickers, heartbeats, trade_batches, ticker_batches } = self;
        matches.found() + tickers.found() + heartbeats.found() + trade_batches.found() + ticker_batches.found()
    }
}

/// An Exchange message.
#[derive(Clone, Copy)]
pub(super) struct Text<'f> {
    /// All of it.
    pub(super) frame: &'f [u8],
    /// What follows its type where that comes first, as it always does.
    pub(super) body: Option<&'f [u8]>,
    /// Whether it may be read by its shape.
    pub(super) are_shapes_used: bool,
}

impl Text<'_> {
    /// Reads it by its shape, or parses it: what follows its type where that comes first, otherwise all of it. `F` is one more than there are names.
    #[inline(always)]
    pub(super) fn read<const F: usize>(
        self,
        parser: &mut Parser,
        shapes: &mut MessageShapes,
        names: &[&str],
        walk: impl FnOnce(exchange::Message<'_, '_>) -> Result<(), RejectReason>,
    ) -> Result<Result<(), RejectReason>, RejectReason> {
        let text = self.body.unwrap_or(self.frame);
        if self.are_shapes_used {
            debug_assert_eq!(names.len() + 1, F, "a place for each name, and before them that of what is absent");
            let mut fields = [Value::Absent; F];
            if shapes.read(text, &mut fields) {
                return Ok(walk(exchange::Message::ByShape(ReadValues(&fields))));
            }
        }
        let result = match self.body {
            Some(body) => parser.parse_rest(body, |nodes| walk(exchange::Message::AfterType(nodes)))?,
            None => parser.parse(self.frame, |nodes| walk(exchange::Message::Whole(nodes)))?,
        };
        if result.is_ok() && self.are_shapes_used {
            shapes.learn(text, names);
        }
        Ok(result)
    }
}

/// Reads an Advanced message by its shape, or parses it.
#[inline(always)]
pub(super) fn read_batch<const N: usize>(
    frame: &[u8],
    parser: &mut Parser,
    shapes: Option<&mut BatchShapes>,
    list: &str,
    names: [&str; N],
    walk: impl FnOnce(advanced::Message<'_, '_>) -> Result<FrameFate, RejectReason>,
) -> Result<FrameFate, RejectReason> {
    let Some(shapes) = shapes else { return parser.parse(frame, |nodes| walk(advanced::Message::Parsed(nodes)))? };
    if let Some(values) = shapes.read::<N>(frame) {
        let result = walk(advanced::Message::ByShape(values.batch()));
        shapes.reuse(values);
        return result;
    }
    let result = parser.parse(frame, |nodes| walk(advanced::Message::Parsed(nodes)))?;
    if result == Ok(FrameFate::Used) {
        shapes.learn(frame, list, &names);
    }
    result
}
