//! [`Cores`]: on which processors connections and writers run (`--pin`).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::thread::{CpuSet, sched_setaffinity};

/// The processors for connections and writers, used in turn. If there is none, the system chooses.
#[derive(Debug, Default)]
pub(crate) struct Cores {
    numbers: Vec<usize>,
    next: AtomicUsize,
}

impl Cores {
    /// Uses these processors.
    #[must_use]
    pub(crate) const fn new(numbers: Vec<usize>) -> Self {
        Self { numbers, next: AtomicUsize::new(0) }
    }

    /// Binds the calling thread to the next processor.
    pub(crate) fn settle(&self) {
        let turn = self.next.fetch_add(1, Relaxed);
        let Some(number) = turn.checked_rem(self.numbers.len()).and_then(|at| self.numbers.get(at).copied()) else { return };
        let mut set = CpuSet::new();
        set.set(number);
        if let Err(error) = sched_setaffinity(None, &set) {
            log::warn!("--pin: processor {number}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::sched_getaffinity;

    #[test]
    fn threads_use_the_processors_in_turn() {
        let allowed = sched_getaffinity(None).expect("known");
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).take(2).collect();
        let cores = std::sync::Arc::new(Cores::new(numbers.clone()));
        for turn in 0..4 {
            let cores = std::sync::Arc::clone(&cores);
            let on = std::thread::spawn(move || {
                cores.settle();
                let set = sched_getaffinity(None).expect("known");
                (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect::<Vec<_>>()
            });
            assert_eq!(on.join().expect("joins"), [numbers[turn % numbers.len()]]);
        }
        Cores::default().settle();
    }
}
