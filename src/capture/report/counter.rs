//! [`Counter`] and [`Peak`]: numbers that one thread writes and any thread reads; and the macro by which a new one is one line.
//!
//! All of them are relaxed atomics: they order nothing. Sums are compared only when the threads that write them have ended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds 1.
    #[inline]
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Adds `count`.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Adds 1, where one thread at a time writes the number: see [`Counter::add_as_owner`].
    #[inline]
    pub(crate) fn one_as_owner(&self) {
        self.add_as_owner(1);
    }

    /// Adds `count`, where one thread at a time writes the number: the thread that it belongs to, or those that take turns under a lock. For the counters of
    /// each message: an addition that several threads may make at once waits until all stores before it have reached the cache.
    #[inline]
    pub(crate) fn add_as_owner(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn gather(&self, total: &mut u64) {
        *total += self.get();
    }
}

/// The largest value seen.
#[derive(Debug, Default)]
pub(crate) struct Peak(AtomicU64);

impl Peak {
    /// Takes a value into account.
    #[inline]
    pub(crate) fn see(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.fetch_max(value, Relaxed);
        }
    }

    /// Reads the largest.
    #[must_use]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Reads the largest value since the last call, and starts again from 0.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }

    pub(super) fn gather(&self, total: &mut u64) {
        *total = (*total).max(self.get());
    }
}

/// The part of the closing report in which a number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Requests to REST.
    Rest,
    /// Connections and their frames.
    Connections,
    /// How long things took.
    Latency,
    /// Flushes.
    Flush,
    /// What went wrong or was kept beside the columns.
    Loss,
}

/// A number as the closing report shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Its name; the unit is last where it is not a count.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

/// Declares a struct of counters and a struct of their totals at the end.
///
/// A row is `name: Counter` or `name: Peak`. Behind `=>` stand the section of the closing report and the name of the figure, with a divisor where the report
/// has another unit. A row without them is not in the report. What is not a counter stands in `beside`, with its initial value.
macro_rules! counters {
    (
        $(#[$live_doc:meta])* $live:ident
        $(#[$total_doc:meta])* $total:ident {
            $( $(#[$doc:meta])* $name:ident: $kind:ident $(=> $section:ident $figure:literal $(/ $divisor:literal)?)?, )*
        }
        beside { $( $(#[$beside_doc:meta])* $beside:ident: $type:ty = $initial:expr, )* }
    ) => {
        $(#[$live_doc])*
        #[derive(Debug)]
        pub(crate) struct $live {
            $( $(#[$doc])* pub $name: $kind, )*
            $( $(#[$beside_doc])* pub $beside: $type, )*
        }

        impl Default for $live {
            fn default() -> Self {
                Self { $( $name: $kind::default(), )* $( $beside: $initial, )* }
            }
        }

        $(#[$total_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $total {
            $( $(#[$doc])* pub $name: u64, )*
        }

        impl $total {
            /// Adds what was counted: sums of counters, the larger of two peaks.
            pub(crate) fn gather(&mut self, live: &$live) {
                $( live.$name.gather(&mut self.$name); )*
            }

            /// Gives the figures of a section of the closing report, in order.
            #[must_use]
            #[expect(clippy::cast_precision_loss, reason = "counts of one run stay below 2^53")]
            pub(crate) fn figures(&self, section: $crate::capture::report::counter::Section) -> Vec<$crate::capture::report::counter::Figure> {
                use $crate::capture::report::counter::{Figure, Section};
                let mut found = Vec::new();
                $( $(
                    if section == Section::$section {
                        found.push(Figure { name: $figure, value: self.$name as f64 / (1.0 $(* $divisor)?) });
                    }
                )? )*
                found
            }
        }
    };
}
pub(super) use counters;
