//! Reading the fields that both feeds and REST spell alike. Each field that cannot be used has its own reason.
//!
//! 1. Product, price, size, side and time are JSON strings. Another type is rejected for the same reason as a wrong text; where a number stands for a string,
//!    the caller has the text respelled and reads it again ([`super::spelling`]).
//! 2. Sides are given as they are. The caller, who knows whether it is the maker's, inverts it.
//! 3. Any spelling of one value is that value. The usual one is looked for first; the others are read in cold functions.

use super::reject::RejectReason;
use super::uuid;
use super::values::Values;
use crate::decimal::{self, Decimal};
use crate::product::ProductId;
use crate::record::{Implausible, OrderId, Side, Trade};
use crate::time::{TimeCache, Timestamp, UnixNanos};

/// Reads a product id. Only a plain one is used, as it becomes a path.
pub(super) fn product<'i>(values: impl Values<'i>, place: usize) -> Result<&'i [u8], RejectReason> {
    let name = values.string(place).ok_or(RejectReason::Product)?;
    // A number that was respelled is no name. Names that begin with a digit are rare.
    let is_number = name.first().is_some_and(u8::is_ascii_digit) && decimal::parse(name).is_ok();
    if ProductId::is_plain(name) && !is_number { Ok(name) } else { Err(RejectReason::Product) }
}

/// Reads a trade id or sequence.
#[inline(always)]
pub(super) fn id<'i>(values: impl Values<'i>, place: usize) -> Result<u64, RejectReason> {
    values.whole(place).ok_or(RejectReason::Id)
}

/// Reads a trade id or sequence that may be absent: 0 where it is.
pub(super) fn id_or_none<'i>(values: impl Values<'i>, place: usize) -> Result<u64, RejectReason> {
    if values.is_absent(place) { Ok(0) } else { id(values, place) }
}

/// Reads a decimal; `otherwise` is the reason where it is none.
#[inline(always)]
pub(super) fn number<'i>(values: impl Values<'i>, place: usize, otherwise: RejectReason) -> Result<Decimal, RejectReason> {
    let text = values.string(place).ok_or(otherwise)?;
    decimal::parse(text).map_err(|_| otherwise)
}

/// Reads a decimal of a ticker that may be absent. It must be 0 or above, and finite as an f32.
pub(super) fn number_or_none<'i>(values: impl Values<'i>, place: usize, otherwise: RejectReason) -> Result<Decimal, RejectReason> {
    if values.is_absent(place) {
        return Ok(Decimal::NONE);
    }
    let value = number(values, place, otherwise)?;
    if value.as_f64 >= 0.0 && value.as_f32.is_finite() { Ok(value) } else { Err(otherwise) }
}

/// Reads a side in either feed's spelling.
#[inline(always)]
pub(super) fn side<'i>(values: impl Values<'i>, place: usize) -> Result<Side, RejectReason> {
    match values.string(place) {
        Some(b"buy" | b"BUY") => Ok(Side::Buy),
        Some(b"sell" | b"SELL") => Ok(Side::Sell),
        other => unusual_side(other),
    }
}

#[cold]
fn unusual_side(text: Option<&[u8]>) -> Result<Side, RejectReason> {
    match text {
        Some(text) if text.eq_ignore_ascii_case(b"buy") => Ok(Side::Buy),
        Some(text) if text.eq_ignore_ascii_case(b"sell") => Ok(Side::Sell),
        _ => Err(RejectReason::Side),
    }
}

/// Checks a trade against the exchange's time when it was read. One that breaks a rule which is not its identity is marked, and the rule given.
///
/// # Errors
/// The rule of identity that is broken; [`RejectReason::Doubt`] for a time that lies too far ahead.
#[inline(always)]
pub(super) fn check(trade: &mut Trade, now: UnixNanos) -> Result<Option<RejectReason>, RejectReason> {
    match trade.validate(now) {
        Ok(()) => Ok(None),
        Err(rule) => judge(trade, rule, now).map(Some),
    }
}

#[cold]
fn judge(trade: &mut Trade, rule: Implausible, now: UnixNanos) -> Result<RejectReason, RejectReason> {
    match rule {
        Implausible::Time if trade.time > now => Err(RejectReason::Doubt),
        rule if rule.is_of_identity() => Err(rule.into()),
        rule => {
            trade.origin = trade.origin.flawed();
            Ok(rule.into())
        }
    }
}

/// Reads a time of any year.
#[inline(always)]
pub(super) fn timestamp<'i>(values: impl Values<'i>, place: usize, times: &mut TimeCache) -> Result<Timestamp, RejectReason> {
    let text = values.string(place).ok_or(RejectReason::Time)?;
    times.parse(text).map_err(|_| RejectReason::Time)
}

/// Reads a time that the columns can hold.
#[inline(always)]
pub(super) fn time<'i>(values: impl Values<'i>, place: usize, times: &mut TimeCache) -> Result<UnixNanos, RejectReason> {
    timestamp(values, place, times)?.to_unix().ok_or(RejectReason::Implausible(Implausible::Time))
}

/// Reads an order id.
///
/// # Errors
/// The flaw that a trade without it has. It is a trade all the same.
#[inline(always)]
pub(super) fn order_id<'i>(values: impl Values<'i>, place: usize) -> Result<OrderId, RejectReason> {
    match values.string(place).and_then(uuid::decode) {
        Some(id) => Ok(id),
        None => unusual_order_id(values, place),
    }
}

#[cold]
fn unusual_order_id<'i>(values: impl Values<'i>, place: usize) -> Result<OrderId, RejectReason> {
    if values.is_absent(place) {
        return Err(RejectReason::Implausible(Implausible::Orders));
    }
    values.string(place).and_then(uuid::decode_unusual).ok_or(RejectReason::OrderId)
}

/// A decimal of a record, with its column's name and the place of its text.
pub(super) struct Source {
    pub(super) column: &'static str,
    pub(super) value: Decimal,
    pub(super) place: usize,
}

/// Names the column and the place of a decimal.
#[inline(always)]
pub(super) const fn source(column: &'static str, value: Decimal, place: usize) -> Source {
    Source { column, value, place }
}

/// Calls `inexact` with column and text of each decimal that its f64 does not print back.
#[inline]
pub(super) fn each_inexact<'i, const N: usize>(
    values: impl Values<'i>,
    sources: [Source; N],
    mut inexact: impl FnMut(&'static str, &[u8]),
) {
    for Source { column, value, place } in sources {
        if !value.is_exact() {
            inexact(column, values.string(place).unwrap_or_default());
        }
    }
}
