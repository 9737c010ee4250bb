//! [`text`]: the counts of the server in the Prometheus text format 0.0.4. Every name but that of the version begins with `coltape_serve_`, units are base units.

use std::fmt::{Display, Write};

use super::counters::LAG_BUCKETS_US;
use super::http::traffic::CutOff;
use super::server::Server;

/// Microseconds in a second.
const MICROS: f64 = 1e6;

/// Gives all metrics.
pub(super) fn text(server: &Server) -> String {
    let (traffic, counters) = (server.traffic(), server.counters());
    let mut out = Exposition::default();
    out.build_info();
    out.one("connections", "gauge", "Connections that are open", traffic.open());
    out.one("connections_total", "counter", "Connections that were accepted", traffic.connections());
    out.one("clients", "gauge", "Clients that are being answered", traffic.answering());
    out.one("clients_limit", "gauge", "Most clients that are answered at once", server.config().max_clients);
    out.one("followers", "gauge", "Clients that follow the tape live", counters.followers());
    out.family("answers_total", "counter", "Answers by status");
    for (status, count) in traffic.answers() {
        out.sample("answers_total", &format!("{{status=\"{status}\"}}"), count);
    }
    out.one("sent_bytes_total", "counter", "Bytes that were sent, heads included", traffic.bytes_sent());
    out.one("sent_rows_total", "counter", "Records that were sent", counters.rows());
    out.family("cut_off_total", "counter", "Connections that were ended before their time");
    for reason in CutOff::ALL {
        out.sample("cut_off_total", &format!("{{reason=\"{}\"}}", reason.name()), traffic.cut_off_for(reason));
    }
    out.one("broken_off_total", "counter", "Answers that were broken off because what they were made of failed", traffic.broken_off());
    out.one("panics_total", "counter", "Faults of the server's own while it made an answer", traffic.panics());
    lag(&mut out, server);
    out.0
}

fn lag(out: &mut Exposition, server: &Server) {
    let (buckets, sum_us) = server.counters().lag();
    out.family("lag_seconds", "histogram", "How long live records had been seen as committed when they were sent");
    let ends = LAG_BUCKETS_US.iter().map(|end| format!("{}", *end as f64 / MICROS)).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (end, bucket) in ends.zip(buckets) {
        count += bucket;
        out.sample("lag_seconds_bucket", &format!("{{le=\"{end}\"}}"), count);
    }
    out.sample("lag_seconds_sum", "", sum_us as f64 / MICROS);
    out.sample("lag_seconds_count", "", count);
}

/// Text being written.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// The version has the name that a capture gives it too.
    fn build_info(&mut self) {
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(self.0, "# HELP coltape_build_info The version that runs.\n# TYPE coltape_build_info gauge");
        let _ = writeln!(self.0, "coltape_build_info{{version=\"{version}\"}} 1");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP coltape_serve_{name} {help}.\n# TYPE coltape_serve_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "coltape_serve_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }
}
