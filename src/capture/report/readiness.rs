//! [`not_ready`]: what keeps a capture from being ready.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::capture::report::look::Look;
use crate::names::listed;

/// How much older than two flush cycles what is on disk may be.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Lists what is not ready. Empty where the capture is connected, every product is acknowledged, its files take records, and what is committed is soon on disk.
pub(crate) fn not_ready(look: &Look, now: Instant) -> Vec<String> {
    let mut missing = Vec::new();
    if look.context.stop.is_asked() {
        missing.push("the capture: it stops".to_owned());
    }
    look.connections.for_each(|connection, products| {
        if let Some(down) = connection.down(now).filter(|_| products > 0) {
            missing.push(format!("{}: {}", connection.name, down.cause));
        }
    });
    let (mut unacknowledged, mut blocked) = (Vec::new(), Vec::new());
    look.registry.for_each(|route| {
        let subscription = route.metrics.subscription.look(now);
        if subscription.wanted_for.is_some() && (!subscription.was_acknowledged || subscription.refusal.is_some()) {
            unacknowledged.push(route.product.to_string());
        }
        if route.metrics.is_blocked.load(Relaxed) {
            blocked.push(route.product.to_string());
        }
    });
    let mut list = |what: &str, products: &[String]| {
        if !products.is_empty() {
            missing.push(format!("{what}: {}", listed(&products.iter().map(String::as_str).collect::<Vec<_>>())));
        }
    };
    list("not acknowledged by the exchange", &unacknowledged);
    list("files that take no records", &blocked);
    if let Some(age) = look.context.metrics.durable.age(now).filter(|age| *age > look.sync_interval * 2 + FLUSH_PATIENCE) {
        missing.push(format!("the disk: nothing has been flushed for {} s", age.as_secs()));
    }
    missing
}
