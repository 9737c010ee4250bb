//! How the capture starts a thread: with a name, with a stack of a stated size, and so that the capture fails if the thread panics.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::capture::stop::Stop;

/// Stack of a thread that does little, in bytes: there can be hundreds of them.
const SMALL_STACK_BYTES: usize = 256 << 10;

/// How large a thread's stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    /// 256 KiB, for a thread that does little.
    Small,
    /// What the standard library gives: 2 MiB.
    Standard,
}

/// Starts a thread. If it panics, the capture fails and names it.
pub(super) fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    stack: Stack,
    stop: &Stop,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(test)]
    planted::fail_if_planned()?;
    let builder = Builder::new().name(name.into());
    let builder = match stack {
        Stack::Small => builder.stack_size(SMALL_STACK_BYTES),
        Stack::Standard => builder,
    };
    let stop = stop.clone();
    let spawned = builder.spawn(move || {
        let _on_panic = stop.on_panic();
        work()
    });
    spawned.map_err(|error| no_thread(&error))
}

/// Adds to the error of a thread that could not be started how that is mended.
pub(crate) fn no_thread(error: &io::Error) -> io::Error {
    let remedy = "raise the number of processes (`ulimit -u`, TasksMax= of systemd, pids.max of the control group)";
    io::Error::new(error.kind(), format!("{error}: {remedy}"))
}

/// Failures that a test plans: the calling thread fails to start one of its threads.
#[cfg(test)]
pub(super) mod planted {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// How many threads can still be started before one cannot; none = all can.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Makes the calling thread fail when it starts its thread number `at`, counted from 0.
    pub(in crate::capture) fn fail_at(at: usize) {
        LEFT.set(Some(at));
    }

    /// Cancels the planned failure. Gives whether it has happened.
    pub(in crate::capture) fn cancel() -> bool {
        LEFT.replace(None).is_none()
    }

    pub(super) fn fail_if_planned() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                Err(io::Error::from(io::ErrorKind::WouldBlock))
            }
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}
