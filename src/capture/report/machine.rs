//! What the kernel says about this process, its memory by kind and its CPU time, and about the memory of the box.
//!
//! Sources: `/proc/self/status`, `/proc/self/smaps_rollup`, `/proc/self/stat`, `/proc/meminfo` (proc(5), Linux). A figure that cannot be read is absent, not 0.

use std::fs;
use std::time::{Duration, Instant};

/// Memory of this process in bytes, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Private memory without a file: heap, stacks, queues.
    pub anonymous: u64,
    /// Locked memory.
    pub locked: u64,
    /// Mapped file pages that are not yet on disk.
    pub dirty_mapped: u64,
    /// Mapped file pages in memory, most of them page cache that the kernel can take back at once.
    pub mapped: u64,
}

impl Memory {
    /// Gives the memory that the limit of 2 GB is about: anonymous, locked and dirty mapped memory.
    #[must_use]
    pub(crate) const fn held(self) -> u64 {
        self.anonymous + self.locked + self.dirty_mapped
    }
}

/// The memory of the whole box, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxMemory {
    /// All of it.
    pub total: u64,
    /// What programs can still be given, page cache that can be taken back included.
    pub available: u64,
}

impl BoxMemory {
    /// Reads `/proc/meminfo`; nothing where the kernel does not give it.
    pub(crate) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self { total: field(text, "MemTotal")?, available: field(text, "MemAvailable")? })
    }
}

/// Gives a field of a file in `/proc`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Time from one count of the dirty pages to the next, as a multiple of the time that a count takes: counting uses 1/5000 of one processor.
const COUNT_PAUSE_FACTOR: u32 = 5000;

/// The same at least. Where little is mapped, even so few counts would cost as much as all else that is looked at once a second.
const LEAST_COUNT_PAUSE: Duration = Duration::from_secs(3);

/// Reads the memory of this process. To count dirty pages, the kernel walks over all pages; where there are many, they are counted less often.
#[derive(Debug, Default)]
pub(crate) struct MemoryProbe {
    dirty_mapped: u64,
    count_at: Option<Instant>,
}

impl MemoryProbe {
    /// Reads the memory, where the kernel gives it. The dirty pages may be those of the last count.
    pub(crate) fn read(&mut self) -> Option<Memory> {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        if self.count_at.is_none_or(|due| Instant::now() >= due) {
            self.count_dirty()?;
        }
        Some(Memory {
            anonymous: field(&text, "RssAnon")?,
            locked: field(&text, "VmLck")?,
            dirty_mapped: self.dirty_mapped,
            mapped: field(&text, "RssFile")? + field(&text, "RssShmem")?,
        })
    }

    /// Has the dirty pages counted with the next reading, however long that takes.
    pub(crate) fn count_soon(&mut self) {
        self.count_at = None;
    }

    fn count_dirty(&mut self) -> Option<()> {
        let began = Instant::now();
        self.dirty_mapped = dirty_mapped(&fs::read_to_string("/proc/self/smaps_rollup").ok()?)?;
        self.count_at = Some(began + (began.elapsed() * COUNT_PAUSE_FACTOR).max(LEAST_COUNT_PAUSE));
        Some(())
    }
}

/// Gives the dirty pages of files, in bytes. The kernel's dirty counts include anonymous pages.
fn dirty_mapped(smaps: &str) -> Option<u64> {
    let dirty = field(smaps, "Private_Dirty")? + field(smaps, "Shared_Dirty")?;
    Some(dirty.saturating_sub(field(smaps, "Anonymous")?))
}

/// Gives the CPU seconds this process has used, user and system.
#[must_use]
pub(crate) fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything: count the fields after it. utime and stime are fields 14 and 15, in clock ticks.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((f64::from(user) + f64::from(system)) / f64::from(ticks))
}

/// A sampled value.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_seconds: f64,
    value: f64,
}

/// Peak and slope of a figure that is sampled once a second, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct Trend {
    samples: Vec<Sample>,
    stride: u32,
    skipped: u32,
    peak: f64,
}

/// Most samples. When there are so many, every second one is dropped.
const MAX_SAMPLES: usize = 4096;

impl Trend {
    /// Adds a sample: seconds since the start, and the value.
    pub(crate) fn add(&mut self, at_seconds: f64, value: f64) {
        self.peak = self.peak.max(value);
        self.skipped += 1;
        if self.skipped <= self.stride {
            return;
        }
        self.skipped = 0;
        if self.samples.len() >= MAX_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = self.stride * 2 + 1;
        }
        self.samples.push(Sample { at_seconds, value });
    }

    /// Gives the largest value.
    #[must_use]
    pub(crate) const fn peak(&self) -> f64 {
        self.peak
    }

    /// Gives the least-squares slope per second over the last 80 % of the run, where there are at least three samples.
    #[must_use]
    pub(crate) fn slope(&self) -> Option<f64> {
        let end = self.samples.last()?.at_seconds;
        let late: Vec<_> = self.samples.iter().filter(|sample| sample.at_seconds >= end * 0.2).collect();
        if late.len() < 3 {
            return None;
        }
        let count = f64::from(u32::try_from(late.len()).ok()?);
        let mean = |part: fn(&Sample) -> f64| late.iter().map(|sample| part(sample)).sum::<f64>() / count;
        let (mean_at, mean_value) = (mean(|sample| sample.at_seconds), mean(|sample| sample.value));
        let variance: f64 = late.iter().map(|sample| (sample.at_seconds - mean_at).powi(2)).sum();
        let covariance: f64 = late.iter().map(|sample| (sample.at_seconds - mean_at) * (sample.value - mean_value)).sum();
        (variance > 0.0).then(|| covariance / variance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_kind() {
        let text = "5-7 ---p 0 0 0 [rollup]\nRss: 100 kB\nShared_Dirty: 10 kB\nPrivate_Dirty: 30 kB\nAnonymous: 24 kB\nLocked: 4 kB\n";
        assert_eq!(dirty_mapped(text), Some(16 << 10));
        assert_eq!(dirty_mapped("Rss: 100 kB\n"), None, "a figure that is absent is not 0");
        let mut probe = MemoryProbe::default();
        let (first, due) = (probe.read().expect("known"), probe.count_at);
        assert!(first.anonymous > 0 && first.mapped > 0 && due.is_some());
        assert_eq!(first.held(), first.anonymous + first.locked + first.dirty_mapped);
        probe.count_at = Some(Instant::now() + std::time::Duration::from_secs(3600));
        probe.dirty_mapped = 7;
        assert_eq!(probe.read().expect("known").dirty_mapped, 7, "the last count holds until the next is due");
        probe.count_at = Some(Instant::now());
        assert_ne!(probe.read().expect("known").dirty_mapped, 7);
    }

    #[test]
    fn the_memory_of_the_box_is_read() {
        let text = "MemTotal:       24000 kB\nMemFree:  1 kB\nMemAvailable:    6000 kB\n";
        assert_eq!(BoxMemory::parse(text), Some(BoxMemory { total: 24_000 << 10, available: 6_000 << 10 }));
        assert_eq!(BoxMemory::parse("MemTotal: 1 kB\n"), None);
        assert!(BoxMemory::read().is_some_and(|memory| memory.available > 0 && memory.available < memory.total));
    }

    #[test]
    fn cpu_time_is_known() {
        assert!(cpu_seconds().is_some());
    }

    #[test]
    fn a_slope_is_that_of_the_last_four_fifths() {
        let mut trend = Trend::default();
        for second in 0..100_000u32 {
            let at = f64::from(second);
            // A steep start, which must not count, then 2 per second.
            trend.add(at, if at < 10_000.0 { at * 50.0 } else { 480_000.0 + at * 2.0 });
        }
        let slope = trend.slope().expect("enough samples");
        assert!((slope - 2.0).abs() < 1e-6, "{slope}");
        assert!((trend.peak() - 679_998.0).abs() < 1e-6 && trend.samples.len() <= MAX_SAMPLES);
        assert_eq!(Trend::default().slope(), None);
    }
}
