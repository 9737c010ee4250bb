//! The limits of the process and of the system: descriptors, memory maps, and the rest of getrlimit(2).

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::config::DoctorConfig;
use super::finding::Finding;
use super::running::{Running, limit_of};
use crate::capture::limits::{check_for, files_needed};
use crate::capture::maps::{DAYS_BUDGETED, budget};
use crate::capture::{CaptureConfig, CaptureError};

/// What `vm.max_map_count` is raised to at least: enough for a thousand products.
const USUAL_MAPS: u64 = 262_144;
/// What it is raised by.
const MAPS_STEP: u64 = 65_536;

/// Looks at the limits.
pub(super) fn examine(config: &DoctorConfig, running: &Running, products: usize) -> Vec<Finding> {
    let capture = &config.capture;
    let of_process = running.pid().and_then(|pid| Some((pid, limit_of(pid, "Max open files")?)));
    let own = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let used = of_process.and_then(|(pid, _)| Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()));
    let files =
        judge_files(of_process.map_or(own, |(_, limit)| limit), files_needed(capture, products), used, of_process.map(|(pid, _)| pid));
    let (needed, allowed) = budget(capture, products);
    vec![files, judge_maps(needed, allowed, products), other_limits(capture, products)]
}

fn judge_files(allowed: u64, needed: u64, used: Option<usize>, pid: Option<u32>) -> Finding {
    const CHECK: &str = "open files";
    let whose = pid.map_or_else(String::new, |pid| format!(" to process {pid}"));
    let in_use = used.map_or_else(String::new, |used| format!(", {used} are open"));
    let allowed_text = if allowed == u64::MAX { "unlimited".to_owned() } else { allowed.to_string() };
    let found = format!("{allowed_text} allowed{whose}, {needed} needed{in_use}");
    let change = format!("ulimit -n {}, or LimitNOFILE= of systemd", needed.max(65_536));
    let is_nearly_used_up = used.is_some_and(|used| u64::try_from(used).unwrap_or(u64::MAX).saturating_mul(5) > allowed.saturating_mul(4));
    if allowed < needed {
        Finding::red(CHECK, found, change)
    } else if is_nearly_used_up {
        Finding::yellow(CHECK, found, change)
    } else {
        Finding::green(CHECK, found)
    }
}

fn judge_maps(needed: u64, allowed: u64, products: usize) -> Finding {
    const CHECK: &str = "memory maps";
    let found =
        format!("{allowed} allowed, {needed} needed around midnight for {products} product{}", if products == 1 { "" } else { "s" });
    let raised = needed.saturating_mul(5) / 4 / MAPS_STEP * MAPS_STEP + MAPS_STEP;
    let change = format!("sysctl -w vm.max_map_count={0}, and that in /etc/sysctl.d/90-coltape.conf", raised.max(USUAL_MAPS));
    if needed / DAYS_BUDGETED > allowed {
        Finding::red(CHECK, found, change)
    } else if needed > allowed {
        Finding::yellow(CHECK, found, change)
    } else {
        Finding::green(CHECK, found)
    }
}

/// Looks at the limits of memory, file size and CPU time. Descriptors have a finding of their own.
fn other_limits(capture: &CaptureConfig, products: usize) -> Finding {
    let too_low = match check_for(capture, products) {
        Err(CaptureError::Limit { what, allowed, needed, remedy }) if what != "open files" => {
            Some((format!("{allowed} {what} are allowed, {needed} are needed"), remedy))
        }
        _ => None,
    };
    judge_limits(too_low, getrlimit(Resource::Cpu).maximum)
}

fn judge_limits(too_low: Option<(String, String)>, cpu_seconds: Option<u64>) -> Finding {
    const CHECK: &str = "limits";
    match (too_low, cpu_seconds) {
        (Some((found, change)), _) => Finding::red(CHECK, found, change),
        (None, Some(seconds)) => Finding::red(
            CHECK,
            format!("a capture ends after {seconds} s of CPU time"),
            "ulimit -t unlimited, or LimitCPU=infinity of systemd",
        ),
        (None, None) => Finding::green(CHECK, "memory, file size and CPU time suffice"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Colour::{Green, Red, Yellow};
    use super::*;

    #[test]
    fn descriptors_that_do_not_suffice_are_red_and_ones_that_run_out_yellow() {
        assert_eq!(judge_files(1024, 1025, None, None).colour, Red);
        assert_eq!(judge_files(1024, 1024, None, None).colour, Green);
        assert_eq!(judge_files(1000, 140, Some(800), Some(7)).colour, Green);
        let nearly = judge_files(1000, 140, Some(801), Some(7));
        assert!(nearly.colour == Yellow && nearly.found.contains("process 7") && nearly.found.contains("801 are open"), "{nearly:?}");
        assert!(judge_files(64, 140, None, None).change.contains("ulimit -n 65536"));
        assert_eq!(judge_files(u64::MAX, 140, Some(9), None).colour, Green);
    }

    #[test]
    fn maps_are_red_where_not_even_a_day_fits_and_what_is_advised_suffices() {
        for (needed, allowed, colour) in
            [(114, 64_506, Green), (64_506, 64_506, Green), (64_507, 64_506, Yellow), (193_520, 64_506, Yellow), (193_521, 64_506, Red)]
        {
            let found = judge_maps(needed, allowed, 2);
            assert_eq!(found.colour, colour, "{needed}");
            if colour != Green {
                let advised: u64 = found.change.split(['=', ',']).nth(1).and_then(|number| number.parse().ok()).expect("a number");
                assert!(advised > needed + 1024, "{found:?}");
            }
        }
    }

    #[test]
    fn any_other_limit_that_is_too_low_is_red() {
        assert_eq!(judge_limits(None, None).colour, Green);
        assert_eq!(judge_limits(None, Some(3600)).colour, Red);
        let low = judge_limits(Some(("1 bytes in a file are allowed".to_owned(), "ulimit -f unlimited".to_owned())), None);
        assert!(low.colour == Red && low.change == "ulimit -f unlimited", "{low:?}");
    }
}
