//! [`TradePage`]: the trades of one answer of REST, and the elements of it that cannot be used.
//!
//! 1. **An element that cannot be used costs itself alone.** Every other element of the page is used. The unusable one is kept with its raw text, and with
//!    its trade id where that can be read.
//! 2. A page whose text is not JSON as a whole is read element by element ([`elements`], [`objects`]). Where none of them shows a trade, it is no page.
//! 3. Elements may come in any order. One that stands twice with equal fields counts once. Where two tell a trade differently, neither is used: which one is
//!    right cannot be told.
//! 4. A trade that was not asked for, because its id is not below the one named, or because it is labelled with another product, is not used.
//!
//! No I/O. How a value is spelled is not decided here: the caller reads each element.

use super::super::json::{Nodes, Parser, ROOT};
use super::super::reject::RejectReason;
use crate::record::Trade;

/// Unusable elements that a page keeps. Beyond that they are counted.
const MAX_UNUSABLE: usize = 1000;

/// Longest raw text that is kept of an unusable element, in bytes.
const MAX_RAW_BYTES: usize = 4096;

/// A page of past trades.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TradePage {
    /// The trades in rising id, each id once. Ids that the exchange skipped are not in it.
    pub trades: Vec<Trade>,
    /// Prices and sizes whose text an f64 does not print back.
    pub inexact: Vec<InexactText>,
    /// Elements that cannot be used, at most a thousand.
    pub unusable: Vec<UnusableElement>,
    /// How many more cannot be used.
    pub unlisted: u64,
}

/// A decimal text of a page that its f64 does not print back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InexactText {
    /// The trade.
    pub trade_id: u64,
    /// The column's name in the schema.
    pub column: &'static str,
    /// The text as sent.
    pub text: String,
}

/// An element of a page that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableElement {
    /// Its trade id, where that can be read.
    pub trade_id: Option<u64>,
    /// What is wrong with it.
    pub fault: ElementFault,
    /// Its text as sent, cut where it is long.
    pub raw: String,
}

/// What is wrong with an element of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElementFault {
    /// A value cannot be read, or breaks a rule of every trade.
    #[error("{0}")]
    Rejected(#[from] RejectReason),
    /// It is labelled with another product.
    #[error("another product's trade")]
    OtherProduct,
    /// Its id is not below the one that was asked for.
    #[error("a trade that was not asked for")]
    NotAsked,
    /// The page tells its trade twice, with different fields.
    #[error("two reports of one trade that differ")]
    ToldTwice,
}

impl ElementFault {
    /// Gives the name that the file of rejects uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected(reason) => reason.name(),
            Self::OtherProduct => "other_product",
            Self::NotAsked => "not_asked_for",
            Self::ToldTwice => "told_twice",
        }
    }
}

/// What reading one element gave: the trade, or its id where that can be read, and what is wrong with it.
pub(super) type ReadElement = Result<Trade, (Option<u64>, ElementFault)>;

/// Reads a page of trades with ids below `after`. `read` reads the element at a place, and adds the texts that an f64 does not print back.
///
/// # Errors
/// Where the text is no list, or broken and without a trade.
pub(super) fn read_page(
    parser: &mut Parser,
    body: &[u8],
    after: Option<u64>,
    mut read: impl FnMut(Nodes<'_, '_>, usize, &mut Vec<InexactText>) -> ReadElement,
) -> Result<TradePage, RejectReason> {
    let mut page = TradePage::default();
    let whole = parser.parse(body, |nodes| {
        let places = nodes.elements(ROOT).ok_or(RejectReason::Shape)?;
        // The elements' texts are looked for only where one cannot be used.
        let mut texts: Option<Vec<&[u8]>> = None;
        for (at, place) in places.enumerate() {
            let element = read(nodes, place, &mut page.inexact);
            let raw = || texts.get_or_insert_with(|| elements(body).texts).get(at).map(|text| cut(text)).unwrap_or_default();
            page.take(element, after, raw);
        }
        Ok::<(), RejectReason>(())
    });
    match whole {
        Ok(read) => read?,
        Err(RejectReason::NotJson) => {
            page = salvage(parser, body, after, &mut read);
            let is_of_trades = !page.trades.is_empty() || page.unusable.iter().any(|element| element.raw.contains("trade_id"));
            if !is_of_trades {
                return Err(RejectReason::NotJson);
            }
        }
        Err(other) => return Err(other),
    }
    page.settle_copies();
    Ok(page)
}

/// Reads what can be read of a text that is not JSON as a whole.
#[cold]
fn salvage(
    parser: &mut Parser,
    body: &[u8],
    after: Option<u64>,
    read: &mut impl FnMut(Nodes<'_, '_>, usize, &mut Vec<InexactText>) -> ReadElement,
) -> TradePage {
    let mut page = TradePage::default();
    let Elements { texts, rest } = elements(body);
    for text in texts.into_iter().chain([rest]) {
        let text = text.trim_ascii();
        let is_list = text.starts_with(b"[");
        match parser.parse(text, |nodes| read(nodes, ROOT, &mut page.inexact)) {
            Ok(element) if !is_list => {
                page.take(element, after, || cut(text));
                continue;
            }
            _ if text.is_empty() => continue,
            _ => page.add_unusable(shown_id(text), RejectReason::NotJson.into(), || cut(text)),
        }
        // A quotation mark or a bracket too many or too few may have swallowed the elements behind it.
        for inner in objects(text) {
            if let Ok(Ok(trade)) = parser.parse(inner, |nodes| read(nodes, ROOT, &mut page.inexact)) {
                page.take(Ok(trade), after, || cut(inner));
            }
        }
    }
    page
}

impl TradePage {
    /// Takes an element: as a trade, or as one that cannot be used.
    fn take(&mut self, element: ReadElement, after: Option<u64>, raw: impl FnOnce() -> String) {
        match element {
            Ok(trade) if after.is_none_or(|after| trade.trade_id < after) => self.trades.push(trade),
            Ok(trade) => self.add_unusable(Some(trade.trade_id), ElementFault::NotAsked, raw),
            Err((trade_id, fault)) => self.add_unusable(trade_id, fault, raw),
        }
    }

    #[cold]
    fn add_unusable(&mut self, trade_id: Option<u64>, fault: ElementFault, raw: impl FnOnce() -> String) {
        if self.unusable.len() < MAX_UNUSABLE {
            self.unusable.push(UnusableElement { trade_id, fault, raw: raw() });
        } else {
            self.unlisted += 1;
        }
    }

    /// Puts the trades in rising order, and leaves each of them once. One that is told in two ways is left out.
    fn settle_copies(&mut self) {
        let is_in_order = self.trades.windows(2).all(|pair| matches!(pair, [a, b] if a.trade_id < b.trade_id));
        if !is_in_order {
            self.trades.sort_by_key(|trade| trade.trade_id);
            if self.trades.windows(2).any(|pair| matches!(pair, [a, b] if a.trade_id == b.trade_id)) {
                self.leave_out_copies();
            }
        }
        let Self { trades, inexact, .. } = self;
        inexact.retain(|text| trades.binary_search_by_key(&text.trade_id, |trade| trade.trade_id).is_ok());
    }

    #[cold]
    fn leave_out_copies(&mut self) {
        self.inexact.sort_by_key(|text| (text.trade_id, text.column));
        self.inexact.dedup_by_key(|text| (text.trade_id, text.column));
        let mut differing = Vec::new();
        for copies in std::mem::take(&mut self.trades).chunk_by(|a, b| a.trade_id == b.trade_id) {
            match copies {
                [first, others @ ..] if others.iter().all(|other| other == first) => self.trades.push(*first),
                copies => differing.extend_from_slice(copies),
            }
        }
        for trade in differing {
            self.add_unusable(Some(trade.trade_id), ElementFault::ToldTwice, || shown(&trade));
        }
    }
}

fn cut(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..MAX_RAW_BYTES).unwrap_or(text)).into_owned()
}

/// Gives the first trade id in a text that is not JSON.
fn shown_id(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("\"trade_id\":")?;
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Shows a trade as REST does, with the maker's side.
fn shown(trade: &Trade) -> String {
    let Trade { trade_id, time, price, size, side, .. } = trade;
    let (price, size, side) = (price.as_f64, size.as_f64, side.turned().name());
    format!("{{\"time\":\"{time}\",\"trade_id\":{trade_id},\"price\":\"{price}\",\"size\":\"{size}\",\"side\":\"{side}\"}}")
}

/// The texts of a list's elements.
struct Elements<'a> {
    texts: Vec<&'a [u8]>,
    /// What follows the end of the list.
    rest: &'a [u8],
}

/// Splits a list into its elements. The list may be broken: what follows a string or a bracket without an end belongs to the same element.
fn elements(list: &[u8]) -> Elements<'_> {
    let Some(inner) = list.trim_ascii().strip_prefix(b"[") else { return Elements { texts: Vec::new(), rest: &[] } };
    let (mut elements, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let (mut is_in_string, mut is_escaped) = (false, false);
    let end = inner.iter().enumerate().position(|(at, byte)| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            _ if is_in_string => {}
            b'[' | b'{' => depth += 1,
            b']' if depth == 0 => return true,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                elements.extend(inner.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        false
    });
    elements.extend(inner.get(start..end.unwrap_or(inner.len())).filter(|last| !last.trim_ascii().is_empty()));
    Elements { texts: elements, rest: end.and_then(|end| inner.get(end + 1..)).unwrap_or_default() }
}

/// Gives the texts of the objects in a broken text that hold no other object, and that are neither a field of one nor the first of a list: from a `{` at the
/// beginning or behind a comma to the next `}`. Strings are not looked at, as a quotation mark may be missing.
fn objects(text: &[u8]) -> Vec<&[u8]> {
    let mut objects = Vec::new();
    let mut begins_at = None;
    let mut before = b',';
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'{' => begins_at = (before == b',').then_some(at),
            b'}' => objects.extend(begins_at.take().and_then(|begin| text.get(begin..=at))),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = *byte;
        }
    }
    objects
}
