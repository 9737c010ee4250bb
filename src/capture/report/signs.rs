//! [`signs`]: what the threads of a capture show of their work, for [`super::liveness`].

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::report::counter::Counter;
use crate::capture::report::liveness::Sign;
use crate::capture::write::registry::Registry;

/// Reads the signs of the flushes, of every connection and of every writer.
pub(crate) fn signs(context: &CaptureContext, registry: &Registry, connections: &Connections, sync_interval: Duration) -> Vec<Sign> {
    let cycles = context.metrics.sync_cycles.get();
    let mut signs = vec![Sign { thread: "sync".to_owned(), has_work: true, done: cycles, patience: sync_interval * 2 }];
    connections.for_each(|connection, _| {
        // One without a connection may wait for a name server or a handshake.
        let has_work = connection.metrics.is_connected.load(Relaxed);
        signs.push(Sign { thread: connection.name.clone(), has_work, done: connection.metrics.ticks.get(), patience: Duration::ZERO });
    });
    registry.for_each(|route| {
        let metrics = &route.metrics;
        // Where the disk is full, the queue waits for it.
        let has_work = !route.queue.is_empty() && !metrics.is_blocked.load(Relaxed);
        let (trades, tickers) = (&metrics.trades, &metrics.tickers);
        let done = [&trades.written, &trades.late, &trades.duplicate, &trades.conflict, &trades.rejected, &tickers.written, &tickers.late];
        let done = done.into_iter().chain([&tickers.stale, &tickers.rejected]).map(Counter::get).sum::<u64>();
        // A trade that waits for one before it, or for a confirmation, has left the queue.
        let done = done.wrapping_add(metrics.waiting.load(Relaxed));
        signs.push(Sign { thread: format!("write:{}", route.product), has_work, done, patience: Duration::ZERO });
    });
    signs
}
