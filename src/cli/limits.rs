//! The limits of the process (getrlimit(2)) that the program itself sets or answers to.
//!
//! 1. The soft limits of open files and of the main thread's stack are raised as far as the hard ones allow.
//! 2. A file that would grow beyond `ulimit -f` is an error and not SIGXFSZ, which ends the process without a word.
//! 3. The end of the CPU time (`ulimit -t`) comes as SIGXCPU a few seconds before the kernel ends the process, so that a capture can end in order.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;

use super::outcome::Failure;

/// Stack that the main thread needs to read the command line, in bytes.
const LEAST_STACK_BYTES: u64 = 1 << 20;
/// Stack that the main thread usually has, in bytes.
const USUAL_STACK_BYTES: u64 = 8 << 20;
/// Descriptors without which no command can do anything: those of the log, the signals and a few files.
const LEAST_FILES: u64 = 32;
/// CPU seconds that are left for an end in order.
const CPU_SECONDS_TO_END: u64 = 5;

/// Prepares the process, before anything else is done.
///
/// # Errors
/// Where the stack is too small, or there are too few descriptors, to go on.
pub(super) fn prepare() -> Result<(), Failure> {
    let stack = raise(Resource::Stack, USUAL_STACK_BYTES);
    if stack < LEAST_STACK_BYTES {
        let needed = LEAST_STACK_BYTES >> 10;
        return Err(Failure::failed(format!(
            "{needed} KiB of stack are needed, {} are allowed: ulimit -s unlimited, or LimitSTACK=infinity of systemd",
            stack >> 10
        )));
    }
    let files = raise(Resource::Nofile, u64::MAX);
    if files < LEAST_FILES {
        return Err(Failure::failed(format!(
            "{LEAST_FILES} open files are needed, {files} are allowed: ulimit -n 1024, or LimitNOFILE= of systemd"
        )));
    }
    // The flag is of no use: with any handler in place the system call fails with EFBIG, and that is reported with the file's name.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    Ok(())
}

/// Has SIGXCPU sent a few seconds before the CPU time ends for good, and not before.
///
/// # Errors
/// Where there is too little of it to begin.
pub(super) fn leave_time_to_end() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Cpu);
    let Some(most) = limit.maximum else {
        let _ = setrlimit(Resource::Cpu, Rlimit { current: None, maximum: None });
        return Ok(());
    };
    if most < 2 * CPU_SECONDS_TO_END {
        let needed = 2 * CPU_SECONDS_TO_END;
        return Err(Failure::failed(format!(
            "{needed} s of CPU time are needed, {most} are allowed: ulimit -t unlimited, or LimitCPU=infinity of systemd"
        )));
    }
    log::warn!("this capture ends after {} s of CPU time (ulimit -t)", most - CPU_SECONDS_TO_END);
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(most - CPU_SECONDS_TO_END), maximum: Some(most) });
    Ok(())
}

/// Raises a soft limit towards `wanted`, as far as the hard limit allows. Gives the soft limit of then.
fn raise(resource: Resource, wanted: u64) -> u64 {
    let limit = getrlimit(resource);
    let (current, most) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let target = wanted.min(most);
    if current >= target {
        return current;
    }
    let raised = Rlimit { current: (target < u64::MAX).then_some(target), maximum: limit.maximum };
    if setrlimit(resource, raised).is_ok() { target } else { current }
}
