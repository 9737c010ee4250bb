//! [`CaptureView`]: what a running capture shows to another thread of the same program: its figures, and whether it is ready.
//!
//! 1. The view keeps nothing alive: threads of the capture end when nobody holds a handle to them any more.
//! 2. Who looks holds up nobody. Counters are read as they are; the lists of products and connections are locked for as long as they are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::look::Look;
use crate::capture::report::metrics_page;
use crate::capture::report::readiness;
use crate::capture::write::registry::Registry;
use crate::time::NANOS_PER_SECOND;

/// A view of a capture, before, while and after it runs. All clones show the same.
///
/// ```
/// let view = coltape::CaptureView::default();
/// // coltape::capture_with_view(&config, &stop, &view) runs meanwhile on another thread. Before that:
/// assert_eq!(view.not_ready(), ["the capture: it does not run"]);
/// assert!(view.metrics().contains("coltape_build_info"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct CaptureView(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shown: Mutex<Option<Shown>>,
    /// Processor time that pages of figures have taken, in nanoseconds.
    pages_nanos: AtomicU64,
}

/// What is shown, as long as it is there.
#[derive(Debug, Clone)]
struct Shown {
    context: Weak<CaptureContext>,
    registry: Weak<Registry>,
    connections: Weak<Connections>,
    sync_interval: Duration,
}

impl CaptureView {
    /// Gives the figures in the Prometheus text format 0.0.4. Of a capture that does not run that is the version alone.
    #[must_use]
    pub fn metrics(&self) -> String {
        let began = thread_cpu_nanos();
        let before = Duration::from_nanos(self.0.pages_nanos.load(Relaxed));
        let page = metrics_page::page(self.look().as_ref(), Instant::now(), before);
        self.0.pages_nanos.fetch_add(thread_cpu_nanos().saturating_sub(began), Relaxed);
        page
    }

    /// Lists what keeps the capture from being ready: connected, every product acknowledged, writing, and what is committed soon on disk. It is ready where
    /// the list is empty.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        match self.look() {
            Some(look) => readiness::not_ready(&look, Instant::now()),
            None => vec!["the capture: it does not run".to_owned()],
        }
    }

    /// Shows a capture that has started.
    pub(crate) fn show(&self, context: &Arc<CaptureContext>, registry: &Arc<Registry>, connections: &Arc<Connections>, sync: Duration) {
        *self.0.shown.lock() = Some(Shown {
            context: Arc::downgrade(context),
            registry: Arc::downgrade(registry),
            connections: Arc::downgrade(connections),
            sync_interval: sync,
        });
    }

    fn look(&self) -> Option<Look> {
        let shown = self.0.shown.lock().clone()?;
        Some(Look {
            context: shown.context.upgrade()?,
            registry: shown.registry.upgrade()?,
            connections: shown.connections.upgrade()?,
            sync_interval: shown.sync_interval,
        })
    }
}

/// Gives the processor time of this thread, in nanoseconds.
fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * NANOS_PER_SECOND + part(time.tv_nsec)
}
