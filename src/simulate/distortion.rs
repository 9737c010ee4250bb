//! Faults of single trades and tickers. They take effect between the market and the frames.
//!
//! 1. Every update that goes in comes out exactly once as [`Variant::Original`] or [`Variant::Dropped`], now or later. Extra frames come out beside it.
//! 2. Without faults nothing is drawn and nothing is held back.
//! 3. Trades that a stall holds back come out in their order.
//! 4. A reordered update comes out after the next one of the same product and kind. An update of another product would be no disorder.
//!
//! The effect of each fault on a frame stands in [`Variant`]: the two feeds only apply it.

use fastrand::Rng;

use super::config::nanos;
use super::faults::{Fault, FaultKind};
use super::schedule::Schedule;
use super::trade::{Trade, UpdateKind};
use crate::ids::IdRange;

/// What is sent of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// The update itself.
    Original,
    /// Nothing: it is never sent.
    Dropped,
    /// The same once more.
    Duplicate,
    /// A copy with an id far ahead.
    AbsurdId,
    /// A copy with a time of the year 1.
    AbsurdTime,
    /// Text without meaning.
    Junk,
}

impl Variant {
    /// Tells whether this one stands for the update in the ledger and the totals. Each update has exactly one such variant.
    pub(super) fn is_accounted(self) -> bool {
        matches!(self, Self::Original | Self::Dropped)
    }

    /// Tells whether this one is sent as an extra frame that is not the update.
    pub(super) fn is_absurd(self) -> bool {
        matches!(self, Self::AbsurdId | Self::AbsurdTime | Self::Junk)
    }

    /// Gives the trade that the frame shows.
    pub(super) fn shown(self, trade: Trade, kind: UpdateKind) -> Trade {
        if self == Self::AbsurdId { with_absurd_id(trade, kind) } else { trade }
    }

    /// Gives the text that is sent in place of a frame, if there is one.
    pub(super) fn replacement(self, rng: &mut Rng) -> Option<&'static str> {
        (self == Self::Junk).then(|| junk(rng.usize(0..100)))
    }

    /// Changes the text of the frame.
    pub(super) fn distort(self, payload: &mut Vec<u8>) {
        if self == Self::AbsurdTime {
            *payload = with_absurd_time(payload);
        }
    }
}

/// One trade or ticker between the market and the frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    /// The trade, or the trade that the ticker shows.
    pub(super) trade: Trade,
    pub(super) kind: UpdateKind,
    pub(super) variant: Variant,
}

/// Least distance of an absurd id. What is added to it differs from trade to trade, so that two absurd ids never follow each other.
const ABSURD_AHEAD: u64 = 5_000_000_000;
/// Distance of the sequence of a ticker with an absurd id. With its own sequence the ticker would make the real one look like a copy.
const ABSURD_SEQUENCE_AHEAD: u64 = 1 << 50;
/// Longest that a reordered update waits for the next one, in nanoseconds of event time.
const REORDER_WITHIN_NANOS: u64 = 2_000_000_000;

/// Gives an id far ahead of `id`.
fn absurd(id: u64) -> u64 {
    id.saturating_add(ABSURD_AHEAD).saturating_add(id.wrapping_mul(7919) % 1_000_000_000)
}

/// Makes a copy of a trade with an id far ahead; of a ticker, with a sequence far ahead too.
fn with_absurd_id(mut trade: Trade, kind: UpdateKind) -> Trade {
    trade.trade_id = absurd(trade.trade_id);
    if kind == UpdateKind::Ticker {
        trade.sequence = trade.sequence.saturating_add(ABSURD_SEQUENCE_AHEAD);
    }
    trade
}

/// Gives text without meaning, or with a wrong one; each `pick` gives another.
fn junk(pick: usize) -> &'static str {
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
fn with_absurd_time(payload: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"time\":\"";
    let Some(start) = payload.windows(KEY.len()).rposition(|part| part == KEY).map(|at| at + KEY.len()) else { return payload.to_vec() };
    let (before, rest) = payload.split_at(start);
    let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    [before, b"0001-01-01T00:00:00Z", rest.get(end..).unwrap_or_default()].concat()
}

/// A product whose trades are held back or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) product: usize,
    /// Its end, in nanoseconds of the event clock.
    pub(super) until: u64,
    pub(super) effect: StallEffect,
    /// The trades so far.
    pub(super) ids: Option<IdRange>,
}

/// What becomes of the trades of a stalled product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StallEffect {
    /// They are sent when the stall is over.
    Late,
    /// They are never sent.
    Lost,
}

/// An update that is sent later.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// When at the latest, in nanoseconds of the event clock.
    until: u64,
    update: Update,
}

/// Applies the faults of single updates, and holds back those that are to be late.
#[derive(Debug, Default)]
pub(super) struct Distortion {
    delayed: Vec<Held>,
    reordered: Vec<Held>,
    stalls: Vec<Stall>,
    ended: Vec<Stall>,
}

impl Distortion {
    /// Begins a stall of a product that is not stalled, until `until` on the event clock.
    pub(super) fn stall(&mut self, product: usize, until: u64, effect: StallEffect) {
        self.stalls.push(Stall { product, until, effect, ids: None });
    }

    /// Tells whether a product is stalled.
    pub(super) fn is_stalled(&self, product: usize) -> bool {
        self.stalls.iter().any(|stall| stall.product == product)
    }

    /// Appends to `out` what was held back until `offset` or earlier.
    pub(super) fn release(&mut self, offset: u64, out: &mut Vec<Update>) {
        let ended = self.stalls.extract_if(.., |stall| stall.until <= offset);
        self.ended.extend(ended);
        // In order of arrival, so that updates held until the same moment keep their order.
        for held in [&mut self.delayed, &mut self.reordered] {
            out.extend(held.extract_if(.., |held| held.until <= offset).map(|held| held.update));
        }
    }

    /// Tells whether nothing is held back and no stall is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.delayed.is_empty() && self.reordered.is_empty() && self.stalls.is_empty() && self.ended.is_empty()
    }

    /// Removes a stall that has ended, and gives it.
    pub(super) fn take_ended(&mut self) -> Option<Stall> {
        self.ended.pop()
    }

    /// Applies a stall of the update's product, if there is one, and draws nothing. Gives the update where it is not held back.
    pub(super) fn apply_stall(&mut self, update: Update) -> Option<Update> {
        let is_stalled = |stall: &&mut Stall| update.kind == UpdateKind::Trade && stall.product == update.trade.product;
        let Some(stall) = self.stalls.iter_mut().find(is_stalled) else { return Some(update) };
        let id = IdRange::one(update.trade.trade_id);
        stall.ids = Some(stall.ids.map_or(id, |ids| ids.span(id)));
        match stall.effect {
            StallEffect::Lost => Some(Update { variant: Variant::Dropped, ..update }),
            StallEffect::Late => {
                self.delayed.push(Held { until: stall.until, update });
                None
            }
        }
    }

    /// Draws a fault for one update, and appends to `out` what is sent of it now. `offset` is the event clock, in nanoseconds after its start.
    ///
    /// Gives the fault that has fired. One of another scope than [`Scope::Update`](super::faults::Scope::Update) has had no effect yet.
    pub(super) fn apply(&mut self, update: Update, schedule: &mut Schedule, offset: u64, out: &mut Vec<Update>) -> Option<Fault> {
        let update = self.apply_stall(update)?;
        if update.variant == Variant::Dropped {
            out.push(update);
            return None;
        }
        let product = update.trade.product;
        let is_before = |held: &Held| held.update.trade.product == product && held.update.kind == update.kind;
        let reordered = self.reordered.iter().position(is_before).map(|at| self.reordered.remove(at).update);
        let fault = if schedule.is_empty() { None } else { schedule.draw() };
        let variant = |variant| Update { variant, ..update };
        match fault.map(|fault| fault.kind) {
            Some(FaultKind::Drop) => out.push(variant(Variant::Dropped)),
            Some(FaultKind::Duplicate) => out.extend([update, variant(Variant::Duplicate)]),
            Some(FaultKind::Reorder) => self.reordered.push(Held { until: offset.saturating_add(REORDER_WITHIN_NANOS), update }),
            Some(FaultKind::Delay) => {
                let length = fault.map_or(0, |fault| nanos(fault.length()));
                self.delayed.push(Held { until: offset.saturating_add(length), update });
            }
            Some(FaultKind::AbsurdId) => out.extend([variant(Variant::AbsurdId), update]),
            Some(FaultKind::AbsurdTime) => out.extend([variant(Variant::AbsurdTime), update]),
            Some(FaultKind::Junk) => out.extend([variant(Variant::Junk), update]),
            _ => out.push(update),
        }
        out.extend(reordered);
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::Arrivals;
    use super::super::catalogue::products;
    use super::super::faults::Faults;
    use super::super::market::Market;
    use super::*;
    use crate::time::UnixNanos;

    fn trades(count: u64) -> Vec<Trade> {
        let mut trades = Vec::new();
        Market::new(&products(1).expect("names"), 1.0, Arrivals::Bursts, 1, UnixNanos(1_750_000_000_000_000_000))
            .history(count, &mut trades);
        trades
    }

    fn original(trade: Trade) -> Update {
        Update { trade, kind: UpdateKind::Trade, variant: Variant::Original }
    }

    fn apply_all(script: &str, count: u64) -> Vec<(u64, Variant)> {
        let trades = trades(count);
        let first = trades[0].trade_id;
        let mut schedule = Schedule::for_frames(&Faults::parse(script).expect("a script"), 1);
        let (mut distortion, mut out) = (Distortion::default(), Vec::new());
        for (at, trade) in trades.into_iter().enumerate() {
            let offset = at as u64 * 100_000_000;
            distortion.release(offset, &mut out);
            distortion.apply(original(trade), &mut schedule, offset, &mut out);
        }
        distortion.release(u64::MAX, &mut out);
        out.iter().map(|update| (update.trade.trade_id - first, update.variant)).collect()
    }

    #[test]
    fn each_fault_does_what_its_name_says_to_one_update() {
        use Variant::{AbsurdId, Dropped, Duplicate, Original};
        assert_eq!(apply_all("", 2), [(0, Original), (1, Original)]);
        assert_eq!(apply_all("drop", 2), [(0, Dropped), (1, Original)]);
        assert_eq!(apply_all("duplicate", 2), [(0, Original), (0, Duplicate), (1, Original)]);
        assert_eq!(apply_all("absurd-id", 2), [(0, AbsurdId), (0, Original), (1, Original)]);
        assert_eq!(apply_all("reorder", 3), [(1, Original), (0, Original), (2, Original)]);
        assert_eq!(apply_all("reorder*2", 3), [(0, Original), (2, Original), (1, Original)]);
        assert_eq!(apply_all("delay:150ms", 4), [(1, Original), (0, Original), (2, Original), (3, Original)]);
    }

    #[test]
    fn absurd_ids_lie_far_ahead_and_never_follow_each_other() {
        for id in [1, 2, 464_692_352, 464_692_353] {
            assert!(absurd(id) > id + 4_000_000_000 && absurd(id).abs_diff(absurd(id + 1)) > 1);
        }
    }

    #[test]
    fn each_trade_comes_out_exactly_once_whatever_is_drawn() {
        let trades = trades(2000);
        let script = "drop=0.1,duplicate=0.1,reorder=0.1,delay=0.1,junk=0.1,absurd-id=0.1,absurd-time=0.1";
        let mut schedule = Schedule::for_frames(&Faults::parse(script).expect("a script"), 5);
        let (mut distortion, mut out) = (Distortion::default(), Vec::new());
        for (at, trade) in trades.iter().enumerate() {
            let offset = at as u64 * 1_000_000;
            if at == 500 {
                distortion.stall(0, offset + 100_000_000, StallEffect::Late);
                assert!(distortion.is_stalled(0) && !distortion.is_stalled(1));
            }
            if at == 900 {
                assert!(!distortion.is_stalled(0));
                distortion.stall(0, offset + 50_000_000, StallEffect::Lost);
            }
            distortion.release(offset, &mut out);
            distortion.apply(original(*trade), &mut schedule, offset, &mut out);
        }
        distortion.release(u64::MAX, &mut out);
        let mut ids: Vec<u64> = out.iter().filter(|update| update.variant.is_accounted()).map(|update| update.trade.trade_id).collect();
        assert!(ids.windows(2).any(|pair| pair[0] > pair[1]), "something was late");
        ids.sort_unstable();
        let ended = [distortion.take_ended(), distortion.take_ended(), distortion.take_ended()];
        let first = trades[0].trade_id;
        let shown = ended.map(|stall| stall.and_then(|stall| stall.ids).map(|ids| (ids.first() - first, ids.last() - first)));
        assert_eq!(shown, [Some((900, 949)), Some((500, 599)), None]);
        assert_eq!(ids, trades.iter().map(|trade| trade.trade_id).collect::<Vec<_>>());
    }

    #[test]
    fn the_year_one_replaces_the_time_and_nothing_else() {
        assert_eq!(with_absurd_time(b"{\"time\":\"x\",\"a\":1}"), b"{\"time\":\"0001-01-01T00:00:00Z\",\"a\":1}");
        assert_eq!(with_absurd_time(b"{}"), b"{}");
    }
}
