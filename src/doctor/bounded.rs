//! [`within`]: work that may wait for a disk or a server, given up after a time.
//!
//! A call of the system that does not return cannot be ended. Its thread stays behind and ends with the process; a doctor is a process of seconds.

use std::time::Duration;

use crossbeam_channel::bounded;

/// Runs work on a thread of its own. Gives what it came to; nothing where it takes longer than `limit`, or where no thread can be started.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = bounded(1);
    let thread = std::thread::Builder::new().name("doctor".to_owned()).spawn(move || {
        // Where nobody waits any more, nobody needs it.
        let _ = sender.send(work());
    });
    thread.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_given_up_and_other_work_is_not() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (held, wait) = bounded::<()>(0);
        assert_eq!(within(Duration::from_millis(1), move || wait.recv().is_ok()), None);
        drop(held);
    }
}
