//! Between market and wire: what the dice do to single trades and tickers.
//!
//! 1. Everything that goes in comes out exactly once as [`Fate::Sent`] or [`Fate::Lost`], now or later; extras come out beside it.
//! 2. Without faults nothing is drawn and nothing is held.
//! 3. Trades that a stall holds come out in their order.
//! 4. What is sent after the one behind it goes after the next of the same product and kind: another product's would be no disorder.

use super::faults::{Fault, FaultKind};
use super::market::Print;
use super::schedule::Schedule;

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

/// How far ahead an absurd id lies at least; what is added differs from trade to trade, so that two absurd ids never follow each other.
const ABSURD_AHEAD: u64 = 5_000_000_000;
/// How far ahead the sequence of a ticker with an absurd id lies: its own id must not make the real one look like a copy.
const ABSURD_SEQUENCE_AHEAD: u64 = 1 << 50;
/// How long something waits for the one behind it, in nanoseconds of event time.
const REORDER_WITHIN: u64 = 2_000_000_000;

/// Gives an id far ahead of `id`.
pub(super) fn absurd(id: u64) -> u64 {
    id.saturating_add(ABSURD_AHEAD).saturating_add(id.wrapping_mul(7919) % 1_000_000_000)
}

/// Makes a copy of a print whose id, and sequence where it is a ticker's, lie far ahead.
pub(super) fn with_absurd_id(mut print: Print, is_trade: bool) -> Print {
    print.trade_id = absurd(print.trade_id);
    if !is_trade {
        print.sequence = print.sequence.saturating_add(ABSURD_SEQUENCE_AHEAD);
    }
    print
}

/// A product whose trades are held back, or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) product: usize,
    /// Until when, on the event clock.
    pub(super) until: u64,
    /// Whether its trades never come.
    pub(super) is_lost: bool,
    /// First and last trade id so far.
    pub(super) ids: Option<(u64, u64)>,
}

/// Holds back what is to be late.
#[derive(Debug, Default)]
pub(super) struct Distortion {
    held: Vec<(u64, Item)>,
    aside: Vec<(u64, Item)>,
    stalls: Vec<Stall>,
    ended: Vec<Stall>,
}

impl Distortion {
    /// Begins to hold back, or lose, the trades of a product that is not stalled, until `until` on the event clock.
    pub(super) fn stall(&mut self, product: usize, until: u64, is_lost: bool) {
        self.stalls.push(Stall { product, until, is_lost, ids: None });
    }

    /// Whether a product's trades are held back, or lost.
    pub(super) fn is_stalled(&self, product: usize) -> bool {
        self.stalls.iter().any(|stall| stall.product == product)
    }

    /// Lets out what was held until `offset`.
    pub(super) fn release(&mut self, offset: u64, out: &mut Vec<Item>) {
        let ended = self.stalls.extract_if(.., |stall| stall.until <= offset);
        self.ended.extend(ended);
        // Stable, so that what waits for the same moment keeps its order.
        for waiting in [&mut self.held, &mut self.aside] {
            out.extend(waiting.extract_if(.., |(until, _)| *until <= offset).map(|(_, item)| item));
        }
    }

    /// Whether nothing is held back and no stall under way.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.aside.is_empty() && self.stalls.is_empty() && self.ended.is_empty()
    }

    /// Gives a stall that has ended.
    pub(super) fn take_ended(&mut self) -> Option<Stall> {
        self.ended.pop()
    }

    /// Lets an item pass without a draw; holds it, or has it lost, where its product is stalled.
    pub(super) fn pass_by(&mut self, item: Item) -> Option<Item> {
        let Some(stall) = self.stalls.iter_mut().find(|stall| item.is_trade && stall.product == item.print.product) else {
            return Some(item);
        };
        let id = item.print.trade_id;
        stall.ids = Some((stall.ids.map_or(id, |(first, _)| first), id));
        if stall.is_lost {
            return Some(Item { fate: Fate::Lost, ..item });
        }
        self.held.push((stall.until, item));
        None
    }

    /// Decides over one item; a fault that fires is handed back.
    pub(super) fn pass(&mut self, item: Item, schedule: &mut Schedule, offset: u64, out: &mut Vec<Item>) -> Option<Fault> {
        let item = self.pass_by(item)?;
        if item.fate == Fate::Lost {
            out.push(item);
            return None;
        }
        let product = item.print.product;
        let is_next = |(_, aside): &(u64, Item)| aside.print.product == product && aside.is_trade == item.is_trade;
        let aside = self.aside.iter().position(is_next).map(|at| self.aside.remove(at).1);
        let fault = if schedule.is_empty() { None } else { schedule.draw() };
        let with = |fate| Item { fate, ..item };
        match fault.map(|fault| (fault.kind, fault.length)) {
            Some((FaultKind::Drop, _)) => out.push(with(Fate::Lost)),
            Some((FaultKind::Duplicate, _)) => out.extend([item, with(Fate::Copy)]),
            Some((FaultKind::Reorder, _)) => self.aside.push((offset.saturating_add(REORDER_WITHIN), item)),
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
        let mut schedule = Schedule::for_frames(&Faults::parse(script).expect("a script"), 1);
        let (mut distortion, mut out) = (Distortion::default(), Vec::new());
        for (at, print) in prints.into_iter().enumerate() {
            distortion.release(at as u64 * 100_000_000, &mut out);
            distortion.pass(Item { print, is_trade: true, fate: Fate::Sent }, &mut schedule, at as u64 * 100_000_000, &mut out);
        }
        distortion.release(u64::MAX, &mut out);
        out.iter().map(|item| (item.print.trade_id - first, item.fate)).collect()
    }

    #[test]
    fn each_fault_does_what_its_name_says_to_one_item() {
        use Fate::{AbsurdId, Copy, Lost, Sent};
        assert_eq!(pass_all("", 2), [(0, Sent), (1, Sent)]);
        assert_eq!(pass_all("drop", 2), [(0, Lost), (1, Sent)]);
        assert_eq!(pass_all("duplicate", 2), [(0, Sent), (0, Copy), (1, Sent)]);
        assert_eq!(pass_all("absurd-id", 2), [(0, AbsurdId), (0, Sent), (1, Sent)]);
        assert_eq!(pass_all("reorder", 3), [(1, Sent), (0, Sent), (2, Sent)]);
        assert_eq!(pass_all("reorder*2", 3), [(0, Sent), (2, Sent), (1, Sent)]);
        assert_eq!(pass_all("delay:150ms", 4), [(1, Sent), (0, Sent), (2, Sent), (3, Sent)]);
    }

    #[test]
    fn absurd_ids_lie_far_ahead_and_never_follow_each_other() {
        for id in [1, 2, 464_692_352, 464_692_353] {
            assert!(absurd(id) > id + 4_000_000_000 && absurd(id).abs_diff(absurd(id + 1)) > 1);
        }
    }

    #[test]
    fn whatever_the_dice_do_each_trade_comes_out_exactly_once() {
        let names = products(1).expect("names");
        let mut prints = Vec::new();
        Market::new(&names, 1.0, 1, UnixNanos(1_750_000_000_000_000_000)).history(2000, &mut prints);
        let script = "drop=0.1,duplicate=0.1,reorder=0.1,delay=0.1,junk=0.1,absurd-id=0.1,absurd-time=0.1";
        let mut schedule = Schedule::for_frames(&Faults::parse(script).expect("a script"), 5);
        let (mut distortion, mut out) = (Distortion::default(), Vec::new());
        for (at, print) in prints.iter().enumerate() {
            let offset = at as u64 * 1_000_000;
            if at == 500 {
                distortion.stall(0, offset + 100_000_000, false);
                assert!(distortion.is_stalled(0) && !distortion.is_stalled(1));
            }
            if at == 900 {
                assert!(!distortion.is_stalled(0));
                distortion.stall(0, offset + 50_000_000, true);
            }
            distortion.release(offset, &mut out);
            distortion.pass(Item { print: *print, is_trade: true, fate: Fate::Sent }, &mut schedule, offset, &mut out);
        }
        distortion.release(u64::MAX, &mut out);
        let mut ids: Vec<u64> =
            out.iter().filter(|item| matches!(item.fate, Fate::Sent | Fate::Lost)).map(|item| item.print.trade_id).collect();
        assert!(ids.windows(2).any(|pair| pair[0] > pair[1]), "something was late");
        ids.sort_unstable();
        let ended = [distortion.take_ended(), distortion.take_ended(), distortion.take_ended()];
        let first = prints[0].trade_id;
        let shown = ended.map(|stall| stall.and_then(|stall| stall.ids).map(|(from, to)| (from - first, to - first)));
        assert_eq!(shown, [Some((900, 949)), Some((500, 599)), None]);
        assert_eq!(ids, prints.iter().map(|print| print.trade_id).collect::<Vec<_>>());
    }

    #[test]
    fn the_year_one_replaces_the_time_and_nothing_else() {
        assert_eq!(with_absurd_time(b"{\"time\":\"x\",\"a\":1}"), b"{\"time\":\"0001-01-01T00:00:00Z\",\"a\":1}");
        assert_eq!(with_absurd_time(b"{}"), b"{}");
    }
}
