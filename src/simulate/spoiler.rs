//! Between market and wire: what the dice do to single trades and tickers.
//!
//! 1. Everything that goes in comes out exactly once as [`Fate::Sent`] or [`Fate::Lost`], now or later; extras come out beside it.
//! 2. Without faults nothing is drawn and nothing is held.
//! 3. Trades that a stall holds come out in their order.

use super::faults::{Dice, Fault, FaultKind};
use super::market::Print;

/// What becomes of a trade or ticker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent.
    Sent,
    /// It is never sent.
    Lost,
    /// A second copy of it is sent.
    Copy,
    /// A copy with an id far ahead is sent.
    AbsurdId,
    /// A copy with a time of the year 1 is sent.
    AbsurdTime,
    /// Something meaningless is sent in its name.
    Junk,
}

/// One trade or ticker on its way to the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) print: Print,
    /// A trade rather than a ticker.
    pub(super) is_trade: bool,
    pub(super) fate: Fate,
}

/// How far ahead an absurd id lies.
pub(super) const ABSURD_AHEAD: u64 = 5_000_000_000;

/// Holds back what is to be late.
#[derive(Debug, Default)]
pub(super) struct Spoiler {
    held: Vec<(u64, Item)>,
    aside: Option<Item>,
    stall: Option<(usize, u64)>,
}

impl Spoiler {
    /// Begins to hold a product's trades until `until` on the event clock.
    pub(super) fn stall(&mut self, product: usize, until: u64) {
        self.stall = Some((product, until));
    }

    /// Lets out what was held until `offset`.
    pub(super) fn release(&mut self, offset: u64, out: &mut Vec<Item>) {
        self.stall = self.stall.filter(|(_, until)| *until > offset);
        // Stable, so that what waits for the same moment keeps its order.
        self.held.retain(|(until, item)| {
            let is_due = *until <= offset;
            if is_due {
                out.push(*item);
            }
            !is_due
        });
        out.extend(self.aside.take());
    }

    /// Decides over one item; a fault that concerns more than it is handed back as well.
    pub(super) fn pass(&mut self, item: Item, dice: &mut Dice, offset: u64, out: &mut Vec<Item>) -> Option<Fault> {
        if let Some((product, until)) = self.stall
            && item.is_trade
            && item.print.product == product
        {
            self.held.push((until, item));
            return None;
        }
        let aside = self.aside.take();
        let fault = if dice.is_empty() { None } else { dice.draw() };
        let with = |fate| Item { fate, ..item };
        match fault.map(|fault| (fault.kind, fault.length)) {
            Some((FaultKind::Drop, _)) => out.push(with(Fate::Lost)),
            Some((FaultKind::Duplicate, _)) => out.extend([item, with(Fate::Copy)]),
            Some((FaultKind::Reorder, _)) => self.aside = Some(item),
            Some((FaultKind::Delay, length)) => self.held.push((offset.saturating_add(super::nanos(length)), item)),
            Some((FaultKind::AbsurdId, _)) => out.extend([with(Fate::AbsurdId), item]),
            Some((FaultKind::AbsurdTime, _)) => out.extend([with(Fate::AbsurdTime), item]),
            Some((FaultKind::Junk, _)) => out.extend([with(Fate::Junk), item]),
            _ => out.push(item),
        }
        out.extend(aside);
        fault
    }
}

/// Gives text that means nothing, or nothing good; every `pick` another.
pub(super) fn junk(pick: usize) -> &'static str {
    const JUNK: [&str; 10] = [
        "not json at all",
        "",
        "[]",
        r#"{"type":"match","trade_id":"#,
        r#"{"type":"surprise","value":[1,2,{"x":null}]}"#,
        r#"{"channel":"market_trades","timestamp":"yesterday","sequence_num":"seven","events":{}}"#,
        r#"{"type":"match","trade_id":12,"maker_order_id":"not-a-uuid","taker_order_id":"00000000-0000-0000-0000-00000000000g","side":"sell","size":"1","price":"1","product_id":"BTC-USD","sequence":1,"time":"2025-01-01T00:00:00.000000Z"}"#,
        r#"{"type":"match","trade_id":-3,"side":"up","size":"NaN","price":"1e5","product_id":"../../etc","sequence":1.5,"time":"soon"}"#,
        r#"{"type":"ticker","product_id":"BTC-USD"}"#,
        r#"{"type":null}"#,
    ];
    JUNK.get(pick % JUNK.len()).copied().unwrap_or_default()
}

/// Replaces the time of the (only) trade in a payload by one of the year 1, which Coinbase has sent.
pub(super) fn with_absurd_time(payload: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"time\":\"";
    let Some(start) = payload.windows(KEY.len()).rposition(|part| part == KEY).map(|at| at + KEY.len()) else { return payload.to_vec() };
    let (before, rest) = payload.split_at(start);
    let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    [before, b"0001-01-01T00:00:00Z", rest.get(end..).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::products;
    use super::super::faults::Faults;
    use super::super::market::Market;
    use super::*;
    use crate::time::UnixNanos;

    fn pass_all(script: &str, count: u64) -> Vec<(u64, Fate)> {
        let names = products(1).expect("names");
        let mut prints = Vec::new();
        Market::new(&names, 1.0, 1, UnixNanos(1_750_000_000_000_000_000)).history(count, &mut prints);
        let first = prints[0].trade_id;
        let mut dice = Dice::for_frames(&Faults::parse(script).expect("a script"), 1);
        let (mut spoiler, mut out) = (Spoiler::default(), Vec::new());
        for (at, print) in prints.into_iter().enumerate() {
            spoiler.release(at as u64 * 100_000_000, &mut Vec::new());
            spoiler.pass(Item { print, is_trade: true, fate: Fate::Sent }, &mut dice, at as u64 * 100_000_000, &mut out);
        }
        spoiler.release(u64::MAX, &mut out);
        out.iter().map(|item| (item.print.trade_id - first, item.fate)).collect()
    }

    #[test]
    fn each_fault_does_what_its_name_says_to_one_item() {
        use Fate::{AbsurdId, Copy, Lost, Sent};
        assert_eq!(pass_all("", 2), [(0, Sent), (1, Sent)]);
        assert_eq!(pass_all("drop", 2), [(0, Lost), (1, Sent)]);
        assert_eq!(pass_all("duplicate", 2), [(0, Sent), (0, Copy), (1, Sent)]);
        assert_eq!(pass_all("absurd-id", 2), [(0, AbsurdId), (0, Sent), (1, Sent)]);
    }

    #[test]
    fn whatever_the_dice_do_each_trade_comes_out_exactly_once() {
        let names = products(1).expect("names");
        let mut prints = Vec::new();
        Market::new(&names, 1.0, 1, UnixNanos(1_750_000_000_000_000_000)).history(2000, &mut prints);
        let script = "drop=0.1,duplicate=0.1,reorder=0.1,delay=0.1,junk=0.1,absurd-id=0.1,absurd-time=0.1";
        let mut dice = Dice::for_frames(&Faults::parse(script).expect("a script"), 5);
        let (mut spoiler, mut out) = (Spoiler::default(), Vec::new());
        for (at, print) in prints.iter().enumerate() {
            let offset = at as u64 * 1_000_000;
            if at == 500 {
                spoiler.stall(0, offset + 100_000_000);
            }
            spoiler.release(offset, &mut out);
            spoiler.pass(Item { print: *print, is_trade: true, fate: Fate::Sent }, &mut dice, offset, &mut out);
        }
        spoiler.release(u64::MAX, &mut out);
        let mut ids: Vec<u64> =
            out.iter().filter(|item| matches!(item.fate, Fate::Sent | Fate::Lost)).map(|item| item.print.trade_id).collect();
        assert!(ids.windows(2).any(|pair| pair[0] > pair[1]), "something was late");
        ids.sort_unstable();
        assert_eq!(ids, prints.iter().map(|print| print.trade_id).collect::<Vec<_>>());
    }

    #[test]
    fn the_year_one_replaces_the_time_and_nothing_else() {
        assert_eq!(with_absurd_time(b"{\"time\":\"x\",\"a\":1}"), b"{\"time\":\"0001-01-01T00:00:00Z\",\"a\":1}");
        assert_eq!(with_absurd_time(b"{}"), b"{}");
    }
}
