//! What the machine says of this process: memory by kind, CPU time, descriptors, maps.
//!
//! Sources: `/proc/self/status`, `/proc/self/smaps_rollup`, `/proc/self/stat` (proc(5), Linux). A figure that cannot be read is absent, not 0.

use std::fs;
use std::time::Instant;

/// Memory of this process in bytes, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Private memory with no file behind it: heap, stacks, queues.
    pub anonymous: u64,
    /// Locked memory.
    pub locked: u64,
    /// Mapped file pages that are not yet on disk.
    pub dirty_mapped: u64,
    /// Mapped file pages present in all, most of them page cache that can be given back at once.
    pub mapped: u64,
}

impl Memory {
    /// Gives what the 2 GB limit is held against: anonymous, locked and dirty mapped memory.
    #[must_use]
    pub const fn held(self) -> u64 {
        self.anonymous + self.locked + self.dirty_mapped
    }
}

/// Gives a field of a file of `/proc` in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// How rarely the dirty pages are counted: so many times as long as that takes, so that it uses a five-thousandth of one processor.
const COUNT_RARELY: u32 = 5000;

/// Reads this process' memory. What takes a walk over all its pages, the dirty ones among the mapped, is counted less often where there are many.
#[derive(Debug, Default)]
pub struct MemoryProbe {
    dirty_mapped: u64,
    count_at: Option<Instant>,
}

impl MemoryProbe {
    /// Reads the memory, or nothing where the kernel does not say. The dirty pages may be those of the last count.
    pub fn read(&mut self) -> Option<Memory> {
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

    fn count_dirty(&mut self) -> Option<()> {
        let began = Instant::now();
        self.dirty_mapped = dirty_mapped(&fs::read_to_string("/proc/self/smaps_rollup").ok()?)?;
        self.count_at = Some(began + began.elapsed() * COUNT_RARELY);
        Some(())
    }
}

/// Gives the dirty pages of files. The dirty counts take anonymous pages in.
fn dirty_mapped(smaps: &str) -> Option<u64> {
    let dirty = field(smaps, "Private_Dirty")? + field(smaps, "Shared_Dirty")?;
    Some(dirty.saturating_sub(field(smaps, "Anonymous")?))
}

/// Gives the CPU seconds this process has used, user and system.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything: count from behind it. utime and stime are fields 14 and 15, in clock ticks.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((f64::from(user) + f64::from(system)) / f64::from(ticks))
}

/// Peak and slope of a figure sampled once a second, in bounded memory.
#[derive(Debug, Default)]
pub struct Trend {
    samples: Vec<(f64, f64)>,
    stride: u32,
    skipped: u32,
    peak: f64,
}

/// Samples kept; when they are full every other one is dropped.
const MAX_SAMPLES: usize = 4096;

impl Trend {
    /// Takes a sample: seconds since the start, value.
    pub fn add(&mut self, at_seconds: f64, value: f64) {
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
        self.samples.push((at_seconds, value));
    }

    /// Gives the largest value.
    #[must_use]
    pub const fn peak(&self) -> f64 {
        self.peak
    }

    /// Gives the least-squares slope, per second, over the last 80 % of the run; nothing with fewer than three samples there.
    #[must_use]
    pub fn slope(&self) -> Option<f64> {
        let end = self.samples.last()?.0;
        let late: Vec<_> = self.samples.iter().filter(|(at, _)| *at >= end * 0.2).collect();
        if late.len() < 3 {
            return None;
        }
        let count = f64::from(u32::try_from(late.len()).ok()?);
        let mean = |part: fn(&(f64, f64)) -> f64| late.iter().map(|sample| part(sample)).sum::<f64>() / count;
        let (mean_at, mean_value) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let spread: f64 = late.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        let joint: f64 = late.iter().map(|(at, value)| (at - mean_at) * (value - mean_value)).sum();
        (spread > 0.0).then(|| joint / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_kind() {
        let text = "5-7 ---p 0 0 0 [rollup]\nRss: 100 kB\nShared_Dirty: 10 kB\nPrivate_Dirty: 30 kB\nAnonymous: 24 kB\nLocked: 4 kB\n";
        assert_eq!(dirty_mapped(text), Some(16 << 10));
        assert_eq!(dirty_mapped("Rss: 100 kB\n"), None, "a figure that is not told is not 0");
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
    fn cpu_time_is_known() {
        assert!(cpu_seconds().is_some());
    }

    #[test]
    fn a_slope_is_that_of_the_last_four_fifths() {
        let mut trend = Trend::default();
        for second in 0..100_000u32 {
            let at = f64::from(second);
            // A steep start that must not count, then 2 a second.
            trend.add(at, if at < 10_000.0 { at * 50.0 } else { 480_000.0 + at * 2.0 });
        }
        let slope = trend.slope().expect("enough samples");
        assert!((slope - 2.0).abs() < 1e-6, "{slope}");
        assert!((trend.peak() - 679_998.0).abs() < 1e-6 && trend.samples.len() <= MAX_SAMPLES);
        assert_eq!(Trend::default().slope(), None);
    }
}
