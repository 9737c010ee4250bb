//! Reading the fields that both feeds and REST spell alike. Each field that cannot be used has its own reason.
//!
//! 1. Product, price, size, side and time are JSON strings. Another type is rejected for the same reason as a wrong text; where a number stands for a string,
//!    the caller has the text respelled and reads it again ([`super::spelling`]).
//! 2. Sides are given as they are. The caller, who knows whether it is the maker's, inverts it.
//! 3. Any spelling of one value is that value. The usual one is looked for first; the others are read in cold functions.

use super::json::Nodes;
use super::reject::RejectReason;
use super::uuid;
use crate::decimal::{self, Decimal};
use crate::product::ProductId;
use crate::record::{Implausible, OrderId, Side, Trade};
use crate::time::{TimeCache, Timestamp, UnixNanos};

/// Reads a product id. Only a plain one is used, as it becomes a path.
pub(super) fn product<'i>(nodes: Nodes<'_, 'i>, place: usize) -> Result<&'i [u8], RejectReason> {
    let name = nodes.text(place).ok_or(RejectReason::Product)?.as_bytes();
    // A number that was respelled is no name. Names that begin with a digit are rare.
    let is_number = name.first().is_some_and(u8::is_ascii_digit) && decimal::parse(name).is_ok();
    if ProductId::is_plain(name) && !is_number { Ok(name) } else { Err(RejectReason::Product) }
}

/// Reads a trade id or sequence.
#[inline(always)]
pub(super) fn id(nodes: Nodes<'_, '_>, place: usize) -> Result<u64, RejectReason> {
    nodes.whole(place).ok_or(RejectReason::Id)
}

/// Reads a trade id or sequence that may be absent: 0 where it is.
pub(super) fn id_or_none(nodes: Nodes<'_, '_>, place: usize) -> Result<u64, RejectReason> {
    if nodes.is_absent(place) { Ok(0) } else { id(nodes, place) }
}

/// Reads a decimal; `otherwise` is the reason where it is none.
#[inline(always)]
pub(super) fn number(nodes: Nodes<'_, '_>, place: usize, otherwise: RejectReason) -> Result<Decimal, RejectReason> {
    let text = nodes.text(place).ok_or(otherwise)?;
    decimal::parse(text.as_bytes()).map_err(|_| otherwise)
}

/// Reads a decimal of a ticker that may be absent. It must be 0 or above, and finite as an f32.
pub(super) fn number_or_none(nodes: Nodes<'_, '_>, place: usize, otherwise: RejectReason) -> Result<Decimal, RejectReason> {
    if nodes.is_absent(place) {
        return Ok(Decimal::NONE);
    }
    let value = number(nodes, place, otherwise)?;
    if value.as_f64 >= 0.0 && value.as_f32.is_finite() { Ok(value) } else { Err(otherwise) }
}

/// Reads a side in either feed's spelling.
#[inline(always)]
pub(super) fn side(nodes: Nodes<'_, '_>, place: usize) -> Result<Side, RejectReason> {
    match nodes.text(place) {
        Some("buy" | "BUY") => Ok(Side::Buy),
        Some("sell" | "SELL") => Ok(Side::Sell),
        other => unusual_side(other),
    }
}

#[cold]
fn unusual_side(text: Option<&str>) -> Result<Side, RejectReason> {
    match text {
        Some(text) if text.eq_ignore_ascii_case("buy") => Ok(Side::Buy),
        Some(text) if text.eq_ignore_ascii_case("sell") => Ok(Side::Sell),
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
pub(super) fn timestamp(nodes: Nodes<'_, '_>, place: usize, times: &mut TimeCache) -> Result<Timestamp, RejectReason> {
    let text = nodes.text(place).ok_or(RejectReason::Time)?;
    times.parse(text.as_bytes()).map_err(|_| RejectReason::Time)
}

/// Reads a time that the columns can hold.
#[inline(always)]
pub(super) fn time(nodes: Nodes<'_, '_>, place: usize, times: &mut TimeCache) -> Result<UnixNanos, RejectReason> {
    timestamp(nodes, place, times)?.to_unix().ok_or(RejectReason::Implausible(Implausible::Time))
}

/// Reads an order id.
///
/// # Errors
/// The flaw that a trade without it has. It is a trade all the same.
#[inline(always)]
pub(super) fn order_id(nodes: Nodes<'_, '_>, place: usize) -> Result<OrderId, RejectReason> {
    match nodes.text(place).and_then(|text| uuid::decode(text.as_bytes())) {
        Some(id) => Ok(id),
        None => unusual_order_id(nodes, place),
    }
}

#[cold]
fn unusual_order_id(nodes: Nodes<'_, '_>, place: usize) -> Result<OrderId, RejectReason> {
    if nodes.is_absent(place) {
        return Err(RejectReason::Implausible(Implausible::Orders));
    }
    nodes.text(place).and_then(|text| uuid::decode_unusual(text.as_bytes())).ok_or(RejectReason::OrderId)
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
pub(super) fn each_inexact<const N: usize>(nodes: Nodes<'_, '_>, sources: [Source; N], mut inexact: impl FnMut(&'static str, &[u8])) {
    for Source { column, value, place } in sources {
        if !value.is_exact() {
            inexact(column, nodes.text(place).unwrap_or_default().as_bytes());
        }
    }
}
