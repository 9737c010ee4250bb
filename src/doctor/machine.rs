//! The machine: kernel, processors, memory, clocks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::bounded::within;
use super::finding::Finding;
use super::running::Running;

/// The first kernel whose `syncfs` reports that a write to the disk failed (man page syncfs(2)). With an older one nothing shows that records are lost.
const LEAST_KERNEL: (u32, u32) = (5, 8);
/// The first kernel with `MADV_POPULATE_WRITE` (madvise(2)), by which pages are made before they are needed.
const GOOD_KERNEL: (u32, u32) = (5, 14);
/// Memory without which a capture cannot be expected to stay alive, in bytes: its queues and four times as much for everything else.
const LEAST_MEMORY: u64 = 640 << 20;
/// Memory that a capture may hold before it raises an alert, in bytes.
const GOOD_MEMORY: u64 = crate::capture::AlertConfig::MEMORY_BYTES;
/// Clock sources that are read without a system call (vDSO), on the processors that are in use.
const FAST_CLOCKS: [&str; 6] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "timebase", "riscv_clocksource"];
/// How long `timedatectl` may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The file by which systemd-timesyncd shows that it has set the clock (systemd-timesyncd.service(8)).
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";

/// Looks at the machine.
pub(super) fn examine(running: &Running) -> Vec<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let processors = std::thread::available_parallelism().ok().map(std::num::NonZero::get);
    // What a running capture holds it does not need again.
    let held = running.report().and_then(|report| report.memory_bytes).unwrap_or(0);
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_memory(&text)).map(|bytes| bytes + held);
    let source = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource").ok();
    vec![
        judge_kernel(&release),
        judge_processors(processors),
        judge_memory(available),
        judge_clock_source(source.as_deref().map(str::trim)),
        judge_discipline(discipline()),
    ]
}

fn judge_kernel(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    let found = format!("Linux {release}");
    let upgrade = format!("use Linux {}.{} or newer", GOOD_KERNEL.0, GOOD_KERNEL.1);
    match version(release) {
        None => Finding::yellow(CHECK, format!("{found}: its version cannot be read"), upgrade),
        Some(version) if version < LEAST_KERNEL => {
            Finding::red(CHECK, format!("{found}: it does not report every write to the disk that fails"), upgrade)
        }
        Some(version) if version < GOOD_KERNEL => Finding::yellow(CHECK, format!("{found}: pages cannot be made in advance"), upgrade),
        Some(_) => Finding::green(CHECK, found),
    }
}

/// Reads the first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn judge_processors(count: Option<usize>) -> Finding {
    const CHECK: &str = "processors";
    match count {
        None => Finding::yellow(CHECK, "their number is not known", "have two or more"),
        Some(0 | 1) => Finding::yellow(CHECK, "one", "have two or more: reading the socket and flushing then do not wait for each other"),
        Some(count) => Finding::green(CHECK, count.to_string()),
    }
}

/// Gives the available memory of `/proc/meminfo`, in bytes.
fn available_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn judge_memory(available: Option<u64>) -> Finding {
    const CHECK: &str = "memory";
    let Some(available) = available else { return Finding::yellow(CHECK, "not known", "have 2 GB free") };
    let found = format!("{} MB available", available / 1_000_000);
    if available < LEAST_MEMORY {
        Finding::red(CHECK, found, format!("free {} MB, and 2 GB for hundreds of products", LEAST_MEMORY / 1_000_000))
    } else if available < GOOD_MEMORY {
        Finding::yellow(CHECK, found, "free 2 GB for hundreds of products")
    } else {
        Finding::green(CHECK, found)
    }
}

fn judge_clock_source(source: Option<&str>) -> Finding {
    const CHECK: &str = "clock source";
    match source {
        None => Finding::yellow(CHECK, "not known", "have a processor whose time stamp counter can be used (tsc)"),
        Some(source) if FAST_CLOCKS.contains(&source) => Finding::green(CHECK, source),
        Some(source) => Finding::yellow(
            CHECK,
            format!("{source}, which is slow to read"),
            "find out why the kernel does not use tsc: dmesg | grep -i -E 'tsc|clocksource'",
        ),
    }
}

/// Whether something keeps the clock right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discipline {
    Synchronised,
    NotSynchronised,
    Unknown,
}

/// Asks systemd whether the kernel's clock is kept right.
fn discipline() -> Discipline {
    if Path::new(TIMESYNC_MARK).exists() {
        return Discipline::Synchronised;
    }
    let answer = within(ANSWER_WITHIN, || {
        let mut command = Command::new("timedatectl");
        command.args(["show", "-p", "NTPSynchronized", "--value"]).stdin(Stdio::null());
        command.output().ok().filter(|done| done.status.success()).map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    });
    match answer.flatten().as_deref() {
        Some("yes") => Discipline::Synchronised,
        Some("no") => Discipline::NotSynchronised,
        _ => Discipline::Unknown,
    }
}

fn judge_discipline(discipline: Discipline) -> Finding {
    const CHECK: &str = "clock";
    const CHANGE: &str = "run chrony or systemd-timesyncd; receive times are this clock's";
    match discipline {
        Discipline::Synchronised => Finding::green(CHECK, "synchronised"),
        Discipline::NotSynchronised => Finding::yellow(CHECK, "not synchronised: nothing keeps it right", CHANGE),
        Discipline::Unknown => Finding::yellow(CHECK, "not known whether it is synchronised", CHANGE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Colour::{Green, Red, Yellow};
    use super::*;

    #[test]
    fn a_kernel_that_hides_failed_writes_is_red() {
        for (release, colour) in [
            ("6.18.44-fc-v782", Green),
            ("5.14.0-503.el9.x86_64", Green),
            ("10.0", Green),
            ("5.13.9", Yellow),
            ("5.8.0", Yellow),
            ("5.7.19", Red),
            ("4.18.0-553.el8", Red),
            ("", Yellow),
            ("next", Yellow),
        ] {
            assert_eq!(judge_kernel(release).colour, colour, "{release}");
        }
    }

    #[test]
    fn too_little_memory_is_red_and_memory_that_is_not_known_is_not_green() {
        for (bytes, colour) in [
            (None, Yellow),
            (Some(0), Red),
            (Some(LEAST_MEMORY - 1), Red),
            (Some(LEAST_MEMORY), Yellow),
            (Some(GOOD_MEMORY - 1), Yellow),
            (Some(GOOD_MEMORY), Green),
        ] {
            assert_eq!(judge_memory(bytes).colour, colour, "{bytes:?}");
        }
        assert_eq!(available_memory("MemTotal:  9 kB\nMemAvailable:    1024 kB\n"), Some(1 << 20));
        assert_eq!((available_memory("MemTotal: 9 kB\n"), available_memory("MemAvailable: x kB\n")), (None, None));
    }

    #[test]
    fn processors_and_clocks_that_are_slow_or_left_alone_are_yellow() {
        assert_eq!([None, Some(1), Some(2)].map(|count| judge_processors(count).colour), [Yellow, Yellow, Green]);
        assert_eq!([None, Some("hpet"), Some("tsc")].map(|source| judge_clock_source(source).colour), [Yellow, Yellow, Green]);
        let all = [Discipline::Unknown, Discipline::NotSynchronised, Discipline::Synchronised];
        assert_eq!(all.map(|discipline| judge_discipline(discipline).colour), [Yellow, Yellow, Green]);
    }
}
