//! [`text`]: the counts of the server for Prometheus. Every name but that of the version begins with `coltape_serve_`, units are base units.

use super::counters::LAG_BUCKETS_US;
use super::http::traffic::CutOff;
use super::server::Server;
use crate::exposition::{Exposition, MetricKind};

/// Gives all metrics.
pub(super) fn text(server: &Server) -> String {
    use MetricKind::{Counter, Gauge};
    let (traffic, counters) = (server.traffic(), server.counters());
    let mut out = Exposition::default();
    out.build_info();
    out.one("serve_connections", Gauge, "Connections that are open.", traffic.open());
    out.one("serve_connections_total", Counter, "Connections that were accepted.", traffic.connections());
    out.one("serve_clients", Gauge, "Clients that are being answered.", traffic.answering());
    out.one("serve_clients_limit", Gauge, "Most clients that are answered at once.", server.config().max_clients);
    out.one("serve_followers", Gauge, "Clients that follow the tape live.", counters.followers());
    out.family("serve_answers_total", Counter, "Answers by status.");
    for (status, count) in traffic.answers() {
        out.sample("serve_answers_total", "status", &status.to_string(), count);
    }
    out.one("serve_sent_bytes_total", Counter, "Bytes that were sent, heads included.", traffic.bytes_sent());
    out.one("serve_sent_rows_total", Counter, "Records that were sent.", counters.rows());
    out.family("serve_cut_off_total", Counter, "Connections that were ended before their time.");
    for reason in CutOff::ALL {
        out.sample("serve_cut_off_total", "reason", reason.name(), traffic.cut_off_for(reason));
    }
    out.one("serve_broken_off_total", Counter, "Answers that were broken off because what they were made of failed.", traffic.broken_off());
    out.one("serve_panics_total", Counter, "Faults of the server's own while it made an answer.", traffic.panics());
    let (buckets, sum_us) = counters.lag();
    let help = "How long live records had been seen as committed when they were sent.";
    out.histogram("serve_lag_seconds", help, &LAG_BUCKETS_US, &buckets, sum_us);
    out.done()
}
