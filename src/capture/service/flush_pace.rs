//! [`Pace`]: when the next flush begins, and whether its durable slots are flushed with it.
//!
//! 1. Under load a flush begins as soon as writing what waits would take [`LONGEST_CYCLE`], as the cycles so far have shown, and at the latest after the
//!    interval. Its slots reach the disk with the next flush. Where so many days have changed that an early flush would hardly be shorter ([`OF_A_DAY`]), there
//!    is none.
//! 2. Where little comes in all ([`FEW_BYTES`]), a flush costs more than what it writes: afterwards the first store to each page waits for the system. So
//!    flushes come nearly half as often, and each is followed by one of its slots, which are few pages.
//! 3. Either way what was committed right after a flush began is on disk, with the slot that says so, two intervals later. A disk that takes longer than that
//!    leaves room for is given less to do ([`Pace::spares_time`]).
//!
//! Plain arithmetic: no clock, no I/O. Belongs to the sync thread.

use std::time::Duration;

/// Unflushed bytes at which a flush begins before its interval is over, however fast the disk is.
pub(crate) const EAGER_BYTES: u64 = 64 << 20;

/// Fewer unflushed bytes never begin a flush before its interval is over: to begin one costs more than to write them.
const FEW_BYTES: u64 = 512 << 10;

/// How long a cycle should take at most: half of what a write may take. Measured: with 40 ms the longest of a minute is a fifth shorter, for an eighth more of
/// the processor.
const LONGEST_CYCLE: Duration = Duration::from_millis(50);

/// What a flush takes for each dataset-day that has changed, however little of it is new: a page of each of its files. Measured: 60 to 85 ms for 400 of nine
/// files. Without this there were three flushes in two seconds where 400 products have 10 000 messages/s.
const OF_A_DAY: Duration = Duration::from_micros(150);

/// How often the thread looks at the unflushed bytes under load. Otherwise it looks five times less often.
const LOOK: Duration = Duration::from_millis(100);

/// How many times longer than a cycle took the next one waits at least, so that a slow disk has time for what others want of it.
const REST_OF_CYCLES: u32 = 2;

/// When the durable slots of a cycle are flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotFlush {
    /// By the next cycle.
    WithNext,
    /// By a flush of their own, at once.
    AtOnce,
}

/// A cycle that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    /// Bytes of the records that it wrote.
    pub(super) bytes: u64,
    /// Dataset-days that had changed.
    pub(super) days: u64,
    /// How long it took until these were on disk.
    pub(super) of_records: Duration,
    /// How long it took in all.
    pub(super) took: Duration,
    /// When its slots were flushed, or will be.
    pub(super) slots: SlotFlush,
}

/// When to flush, as measured by the cycles so far.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// So many bytes take about [`LONGEST_CYCLE`].
    eager_bytes: u64,
    /// Whether a cycle has shown that.
    is_learned: bool,
    /// The last cycle.
    last: Cycle,
    /// The longest of the last cycles; each later one takes a part off.
    longest: Duration,
}

impl Pace {
    /// Begins without a cycle, and so with a guess of how long one takes.
    pub(super) fn new(interval: Duration) -> Self {
        let last = Cycle { bytes: 0, days: 0, of_records: Duration::ZERO, took: Duration::ZERO, slots: SlotFlush::AtOnce };
        Self { interval, eager_bytes: EAGER_BYTES, is_learned: false, last, longest: interval / 8 }
    }

    /// Gives how long to wait before looking again; `since` is the time since the last cycle began.
    pub(super) fn look(&self, unflushed: u64, since: Duration) -> Duration {
        let is_loaded = self.last.bytes.max(unflushed) >= self.eager_bytes() / 8;
        let look = if is_loaded { LOOK } else { LOOK * 5 };
        // The end of the interval is a moment of its own: there may be more than a few bytes by then.
        let next = if since < self.interval { self.interval } else { self.quiet_wait() };
        look.min(next.saturating_sub(since))
    }

    /// Tells whether to flush now.
    pub(super) fn is_time(&self, unflushed: u64, since: Duration) -> bool {
        let wait = if unflushed < FEW_BYTES { self.quiet_wait() } else { self.interval };
        let is_eager = unflushed >= self.eager_bytes() && since >= self.last.took * (1 + REST_OF_CYCLES);
        since >= wait || unflushed >= EAGER_BYTES || is_eager
    }

    /// Tells when the slots of a cycle are flushed that begins now.
    pub(super) fn slots(&self, unflushed: u64, since: Duration) -> SlotFlush {
        let is_late = since > self.interval + self.interval / 16;
        if is_late || (unflushed < FEW_BYTES && self.spares_time()) { SlotFlush::AtOnce } else { SlotFlush::WithNext }
    }

    /// Gives at how many bytes a flush begins before its interval is over: at the most where half of the time would go to the days that the last one found
    /// changed, not to what is new in them.
    fn eager_bytes(&self) -> u64 {
        let of_days = OF_A_DAY * u32::try_from(self.last.days).unwrap_or(u32::MAX / 1000);
        if of_days > LONGEST_CYCLE / 2 { EAGER_BYTES } else { self.eager_bytes }
    }

    /// Gives how long a cycle may wait where little comes. What it flushes, and its slots, are on disk within two intervals of the last cycle's beginning.
    fn quiet_wait(&self) -> Duration {
        if self.last.slots == SlotFlush::WithNext || !self.spares_time() { self.interval } else { self.longest_wait() }
    }

    /// Leaves more time than a cycle takes, as one may take longer than those before.
    fn longest_wait(&self) -> Duration {
        (self.interval * 2).saturating_sub(self.longest + self.longest / 4 + self.interval / 16)
    }

    /// Tells whether waiting longer than the interval is worth a flush of the slots.
    fn spares_time(&self) -> bool {
        self.longest_wait() >= self.interval + self.interval / 4
    }

    /// Takes a cycle into account: all of what the first one shows of the disk, half of what each later one does, so that a single slow one counts little. What
    /// few bytes take says nothing about many.
    pub(super) fn learn(&mut self, cycle: Cycle) {
        self.last = cycle;
        self.longest = cycle.took.max(self.longest - self.longest / 4);
        if cycle.bytes >= FEW_BYTES / 2 {
            let of_this = u128::from(cycle.bytes) * LONGEST_CYCLE.as_micros() / cycle.of_records.as_micros().max(1);
            let of_this = u64::try_from(of_this).unwrap_or(EAGER_BYTES).min(EAGER_BYTES);
            let known = if std::mem::replace(&mut self.is_learned, true) { self.eager_bytes } else { of_this };
            self.eager_bytes = u64::midpoint(known, of_this).clamp(FEW_BYTES, EAGER_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A disk that takes so long for each flush and each MiB.
    #[derive(Clone, Copy)]
    struct Disk {
        of_flush: Duration,
        of_mib: Duration,
        /// Days that change between two flushes.
        days: u64,
    }

    /// What a run of cycles came to.
    #[derive(Debug)]
    struct Run {
        /// The longest of those behind the first three seconds.
        longest: Duration,
        /// Flushes of records a second, of the later ones.
        per_second: f64,
        /// The longest time from a commit until the slot that covers it was on disk.
        oldest: Duration,
    }

    /// Runs cycles for a minute. `rate` gives the bytes a second at a time.
    fn run(disk: Disk, rate: impl Fn(Duration) -> u64) -> Run {
        let (mut pace, mut now, mut unflushed) = (Pace::new(SECOND), Duration::ZERO, 0);
        let (mut begun, mut cycles) = (Duration::ZERO, Vec::new());
        // Since when records wait for the next flush of records, and for that of their slots.
        let (mut oldest, mut slots_since) = (Duration::ZERO, None::<Duration>);
        let mut records_since = Duration::ZERO;
        let bytes =
            |from: Duration, to: Duration| u64::try_from(u128::from(rate(from)) * (to - from).as_micros() / 1_000_000).expect("few");
        while now < Duration::from_secs(60) {
            let waited = pace.look(unflushed, now - begun).max(Duration::from_millis(1));
            unflushed += bytes(now, now + waited);
            now += waited;
            let since = now - begun;
            if !pace.is_time(unflushed, since) {
                continue;
            }
            let slots = pace.slots(unflushed, since);
            let start = now;
            let of_records = disk.of_flush + disk.of_mib.mul_f64(unflushed as f64 / f64::from(1 << 20));
            // The slots of the cycle before are on disk with this flush.
            oldest = slots_since.take().map_or(oldest, |waits: Duration| oldest.max(start + of_records - waits));
            let took = of_records + if slots == SlotFlush::AtOnce { disk.of_flush } else { Duration::ZERO };
            match slots {
                SlotFlush::AtOnce => oldest = oldest.max(start + took - records_since),
                SlotFlush::WithNext => slots_since = Some(records_since),
            }
            pace.learn(Cycle { bytes: unflushed, days: disk.days, of_records, took, slots });
            unflushed = bytes(now, now + took);
            now += took;
            (begun, records_since) = (start, start);
            cycles.push((now, took));
        }
        cycles.retain(|(at, _)| *at > Duration::from_secs(3));
        let longest = cycles.iter().map(|(_, took)| *took).max().expect("cycles");
        cycles.retain(|(at, _)| *at > Duration::from_secs(20));
        Run { longest, per_second: cycles.len() as f64 / 40.0, oldest }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn under_load_a_cycle_stays_short_and_a_slow_disk_is_not_asked_all_the_time() {
        let loaded = |of_flush, of_mib| run(Disk { of_flush: ms(of_flush), of_mib: ms(of_mib), days: 60 }, |_| 6_000_000);
        // As measured: 6 MB/s took 66 ms every 500 ms, and about 110 ms every second.
        let found = loaded(20, 15);
        assert!(found.longest <= ms(60) && (2.0..6.0).contains(&found.per_second), "{found:?}");
        // A disk on which nothing is fast.
        let found = loaded(150, 15);
        assert!(found.per_second <= 2.5, "{found:?}");
        // A fast one: the interval is enough.
        let found = loaded(2, 1);
        assert!(found.longest <= ms(60) && found.per_second <= 1.1, "{found:?}");
    }

    #[test]
    fn on_a_quiet_box_flushes_come_nearly_half_as_often_and_nothing_is_older_than_two_intervals() {
        for (of_flush, most) in [(1, 0.55), (20, 0.57), (100, 0.72)] {
            let found = run(Disk { of_flush: ms(of_flush), of_mib: ms(15), days: 36 }, |_| 40_000);
            assert!(found.per_second <= most && found.oldest <= SECOND * 2, "{of_flush} ms a flush: {found:?}");
        }
        // A disk that is too slow for a second flush has no more of them than before.
        let found = run(Disk { of_flush: ms(400), of_mib: ms(15), days: 36 }, |_| 40_000);
        assert!(found.per_second <= 1.1 && found.oldest <= SECOND * 2 + ms(700), "{found:?}");
    }

    #[test]
    fn what_is_little_for_each_of_many_files_is_flushed_no_sooner() {
        // 400 products at 10 000 messages/s: what a flush takes is that of 13 600 files, however early it begins.
        for of_flush in [50, 100, 200, 300] {
            let found = run(Disk { of_flush: ms(of_flush), of_mib: ms(10), days: 800 }, |_| 1_400_000);
            let oldest = SECOND * 2 + ms(2 * of_flush + 50);
            assert!(found.per_second <= 1.03 && found.oldest <= oldest, "{of_flush} ms a flush: {found:?}");
        }
    }

    #[test]
    fn nothing_gets_older_where_load_comes_and_goes() {
        for seed in 0..500u64 {
            // Each stretch of a third of a second to three seconds is quiet or busy.
            let stretch = ms(333 + seed * 7 % 2700);
            let rate = move |at: Duration| {
                let number = u64::try_from(at.as_millis() / stretch.as_millis()).expect("few");
                let is_busy = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0;
                if is_busy { 1_000_000 + seed * 10_000 } else { 1000 }
            };
            let found = run(Disk { of_flush: ms(2 + seed % 30), of_mib: ms(5), days: seed % 300 }, rate);
            // The slots of a cycle under load wait for the next one: two intervals, and the two flushes.
            assert!(found.oldest <= SECOND * 2 + ms(150), "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn a_single_slow_cycle_changes_little_and_one_of_few_bytes_nothing() {
        let cycle =
            |bytes| Cycle { bytes, days: 0, of_records: Duration::from_secs(5), took: Duration::from_secs(5), slots: SlotFlush::WithNext };
        let mut pace = Pace { eager_bytes: 8 << 20, is_learned: true, ..Pace::new(SECOND) };
        pace.learn(cycle(8 << 20));
        assert!(pace.eager_bytes >= 4 << 20);
        let before = pace.eager_bytes;
        pace.learn(cycle(1000));
        assert_eq!(pace.eager_bytes, before);
        assert!(pace.is_time(EAGER_BYTES, Duration::ZERO) && !pace.is_time(before, ms(999)));
        assert!(pace.is_time(0, SECOND), "no cycle waits longer where the disk is slow");
    }
}
