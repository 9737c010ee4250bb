//! [`Screen`]: a capture's status as a page of text.
//!
//! What stands there came from a file, and its line feeds would forge lines: every value is escaped before it becomes part of a line.

use std::fmt::Write as _;
use std::path::Path;

use super::judge::{CaptureStatus, Health};
use super::report::{ProductStatus, RunState, StatusReport};
use crate::escape::Escaped;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Products that are shown where nothing says how many there is room for.
const PRODUCTS: usize = 40;
/// Lines above the products.
const HEAD_LINES: usize = 16;
/// Problems, alerts or connections that have a line each.
const MAX_LINES: usize = 8;

/// A page of text.
#[derive(Debug)]
pub(crate) struct Screen {
    text: String,
}

impl Screen {
    /// Lays out a status. `rows` is the height of the terminal, where there is one.
    #[must_use]
    pub(crate) fn new(dir: &Path, status: &CaptureStatus, rows: Option<usize>) -> Self {
        let mut screen = Self { text: String::new() };
        screen.head(dir, status);
        if let Some(report) = &status.report {
            screen.figures(report, status.health);
            let taken = screen.problems(status) + HEAD_LINES;
            screen.products(report, status, rows.map_or(PRODUCTS, |rows| rows.saturating_sub(taken).max(3)));
        } else {
            screen.problems(status);
        }
        screen
    }

    /// Gives the lines.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}", format!("{name:12} {}", Escaped(value)).trim_end());
    }

    fn head(&mut self, dir: &Path, status: &CaptureStatus) {
        let health = match status.health {
            Health::Healthy => "healthy",
            Health::NotHealthy => "NOT HEALTHY",
            Health::NoCapture => "NO CAPTURE RUNS",
        };
        self.line("health", health);
        self.line("directory", &dir.display().to_string());
        let Some(report) = &status.report else { return };
        let (state, age) = (report.state, status.age_nanos.unwrap_or(0));
        let lasted = duration(report.written.since(report.started) / NANOS_PER_SECOND);
        let word = match (status.health, state) {
            (Health::NoCapture, RunState::Stopped) => {
                format!("ended {}, {} ago, after {lasted}", seconds(report.written), duration(age / NANOS_PER_SECOND))
            }
            (Health::NoCapture, _) => format!("died after {}, {} ago", seconds(report.written), duration(age / NANOS_PER_SECOND)),
            (_, state) => format!("{} since {} ({lasted}), process {}", state.name(), seconds(report.started), report.pid),
        };
        self.line("capture", &format!("{word}, {}", report.program));
        self.line("endpoint", &report.endpoint);
    }

    fn figures(&mut self, report: &StatusReport, health: Health) {
        let now = health != Health::NoCapture;
        if now {
            self.line("connections", &format!("{} of {} work", report.connections_up, report.connections));
            let rates = [report.messages_per_s, report.trades_per_s, report.tickers_per_s].map(rate);
            self.line("rates", &format!("{} messages/s, {} trades/s, {} tickers/s", rates[0], rates[1], rates[2]));
            let lag = report.lag_ms.map_or_else(
                || "-".to_owned(),
                |lag| format!("median {:.2} ms, p99 {:.2} ms, worst {:.2} ms", lag.p50, lag.p99, lag.worst),
            );
            self.line("lag", &lag);
            let whose = if report.queue.product.is_empty() { String::new() } else { format!(" ({})", report.queue.product) };
            self.line("queue", &format!("{} of {} messages{whose}", report.queue.waiting, report.queue.capacity));
        }
        self.line(
            "total",
            &format!(
                "{} trades, {} tickers, {} rejected, {} shed, {} conflicts",
                report.trades, report.tickers, report.rejected, report.shed, report.conflicts
            ),
        );
        self.line("missing ids", &report.missing_ids.to_string());
        if let Some(disk) = report.disk.filter(|_| now) {
            let until = disk
                .days_until_full
                .map_or_else(|| "not known yet when it is full".to_owned(), |days| format!("full in {} days", days_text(days)));
            self.line("disk", &format!("{} left, {until}", bytes(disk.free_bytes)));
        }
        let error = report.last_error.as_ref().map_or_else(|| "none".to_owned(), |error| format!("{} {}", seconds(error.time), error.text));
        self.line("last error", &error);
    }

    /// Writes the problems, alerts among them. Gives how many lines they took.
    fn problems(&mut self, status: &CaptureStatus) -> usize {
        let alerts = status.report.as_ref().map_or(0, |report| report.alerts.len());
        if status.health != Health::NoCapture {
            self.line("alerts", &if alerts == 0 { "none".to_owned() } else { format!("{alerts} stand") });
        }
        let shown = status.problems.len().min(MAX_LINES);
        for problem in status.problems.iter().take(shown) {
            self.line("!", problem);
        }
        if status.problems.len() > shown {
            self.line("!", &format!("and {} more (--json has all)", status.problems.len() - shown));
        }
        shown
    }

    fn products(&mut self, report: &StatusReport, status: &CaptureStatus, room: usize) {
        let mut products: Vec<&ProductStatus> = report.products.iter().collect();
        let is_wrong = |product: &ProductStatus| product.missing_ids > 0 || product.state != "recorded";
        // Those that need somebody first, then the busiest.
        products.sort_by(|one, other| {
            is_wrong(other).cmp(&is_wrong(one)).then(other.trades_per_s.total_cmp(&one.trades_per_s)).then(one.product.cmp(&other.product))
        });
        if products.is_empty() {
            return;
        }
        let width = products.iter().take(room).map(|product| product.product.chars().count()).max().unwrap_or(0).clamp(7, 24);
        let _ = writeln!(
            self.text,
            "\n{:width$}  {:9} {:>9}  {:>14}  {:20}  {:>8} {:>9} {:>7}",
            "product", "state", "trades/s", "last trade", "at", "age", "missing", "queue"
        );
        let older = status.age_nanos.map_or(0.0, |age| float(age) / 1e9);
        for product in products.iter().take(room) {
            let age = product.last_trade_age_s.map_or_else(|| "-".to_owned(), |age| age_text(age + older));
            let at = product.last_trade.map_or_else(|| "-".to_owned(), seconds);
            let id = product.last_trade_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let name: String = Escaped(&product.product).to_string().chars().take(24).collect();
            let _ = writeln!(
                self.text,
                "{name:width$}  {:9} {:>9}  {id:>14}  {at:20}  {age:>8} {:>9} {:>7}",
                Escaped(&product.state),
                if status.health == Health::NoCapture { "-".to_owned() } else { rate(product.trades_per_s) },
                product.missing_ids,
                product.queue
            );
        }
        if products.len() > room {
            let _ = writeln!(self.text, "and {} more (--json has all)", products.len() - room);
        }
    }
}

/// Spells a time to the second.
fn seconds(time: UnixNanos) -> String {
    let text = time.to_string();
    text.split('.').next().map_or_else(String::new, |text| format!("{}Z", text.replace('T', " ")))
}

/// Spells a duration in its two largest units.
#[must_use]
fn duration(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown: Vec<String> = parts.iter().skip(first).take(2).map(|(count, unit)| format!("{count} {unit}")).collect();
    shown.join(" ")
}

fn age_text(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1} s") } else { whole(seconds).map_or_else(|| "-".to_owned(), duration) }
}

fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

fn days_text(days: f64) -> String {
    if days < 10.0 {
        format!("{days:.1}")
    } else if days < 36_500.0 {
        format!("{days:.0}")
    } else {
        "more than 36500".to_owned()
    }
}

fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (float(count), "B");
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    format!("{value:.1} {unit}")
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e15")]
fn whole(number: f64) -> Option<u64> {
    (0.0..1e15).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(name: &str, rate: f64, missing: u64) -> ProductStatus {
        ProductStatus {
            product: name.to_owned(),
            state: "recorded".to_owned(),
            trades_per_s: rate,
            missing_ids: missing,
            last_trade_age_s: Some(1.5),
            ..ProductStatus::default()
        }
    }

    #[test]
    fn a_screen_has_what_needs_somebody_first_and_fits_its_rows() {
        let mut report = StatusReport { pid: 7, state: RunState::Running, ..StatusReport::default() };
        report.products = (0..400).map(|number| product(&format!("P{number}-USD"), f64::from(number), u64::from(number == 5))).collect();
        let problems = vec!["1 trade id of P5-USD is missing".to_owned()];
        let status =
            CaptureStatus { health: Health::NotHealthy, problems, report: Some(report), age_nanos: Some(500_000_000), holder: None };
        let text = Screen::new(Path::new("/data"), &status, Some(40)).text().to_owned();
        assert!(text.lines().count() <= 40, "{text}");
        let first = text.lines().skip_while(|line| !line.starts_with("product")).nth(1).expect("a product");
        assert!(first.starts_with("P5-USD ") && first.contains("2.0 s"), "the age of the report is added: {text}");
        assert!(text.contains("NOT HEALTHY") && text.contains("P399-USD") && text.contains("more (--json has all)"), "{text}");
        assert!(Screen::new(Path::new("/data"), &status, Some(0)).text().contains("P399-USD"), "some products always");
    }

    #[test]
    fn figures_are_spelled_for_people() {
        let spelled: Vec<String> = [0, 59, 61, 3_599, 90_000, 864_000].map(duration).into();
        assert_eq!(spelled, ["0 s", "59 s", "1 min 1 s", "59 min 59 s", "1 d 1 h", "10 d 0 h"]);
        assert_eq!([bytes(0), bytes(999), bytes(1_500), bytes(u64::MAX)], ["0.0 B", "999.0 B", "1.5 kB", "18446.7 PB"].map(str::to_owned));
        assert_eq!(
            [age_text(0.04), age_text(99.94), age_text(3600.0), age_text(f64::INFINITY)],
            ["0.0 s", "99.9 s", "1 h 0 min", "-"].map(str::to_owned)
        );
    }
}
