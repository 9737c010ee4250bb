//! [`Running`]: the capture that runs in the directory, if one does, and what the directory holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::bounded::within;
use super::config::DoctorConfig;
use super::finding::Finding;
use crate::capture::CaptureConfig;
use crate::product::ProductId;
use crate::status::{CaptureStatus, Health, RunState, look};
use crate::store::{catalog, endpoint_of};
use crate::time::UnixNanos;

/// Problems that are named.
const MAX_PROBLEMS: usize = 4;

/// What is known of the directory and of who writes to it.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// What a capture says of itself; nothing where the directory is none of a capture.
    status: Option<CaptureStatus>,
    /// The products that it records, and those that are stored.
    products: BTreeSet<ProductId>,
    /// The endpoint that the directory was begun with.
    endpoint: Option<String>,
    /// Whether the directory could be looked at in time.
    has_answered: bool,
}

impl Running {
    /// Looks at the directory.
    pub(super) fn look(config: &DoctorConfig) -> Self {
        let (dir, now) = (config.capture.data_dir.clone(), config.capture.clock.now());
        within(config.timeout, move || Self::look_at(&dir, now)).unwrap_or_default()
    }

    fn look_at(dir: &Path, now: UnixNanos) -> Self {
        let status = look(dir, now).ok();
        let mut products: BTreeSet<ProductId> = catalog::products(dir).unwrap_or_default().into_iter().collect();
        if let Some(report) = status.as_ref().filter(|status| status.health != Health::NoCapture).and_then(|status| status.report.as_ref())
        {
            products.extend(report.products.iter().filter_map(|product| ProductId::new(&product.product).ok()));
        }
        Self { status, products, endpoint: endpoint_of(dir).ok().flatten(), has_answered: true }
    }

    /// Gives the products that are recorded or stored.
    pub(super) const fn products(&self) -> &BTreeSet<ProductId> {
        &self.products
    }

    /// Gives how many products the box is judged for: as many as asked for, named, recorded or stored; at least one.
    pub(super) fn product_count(&self, config: &DoctorConfig) -> usize {
        config.count.unwrap_or(0).max(config.capture.products.len()).max(self.products.len()).max(1)
    }

    /// Gives what the capture says of itself, where one runs.
    pub(super) fn report(&self) -> Option<&crate::status::StatusReport> {
        self.status.as_ref().filter(|status| status.health != Health::NoCapture)?.report.as_ref()
    }

    /// Gives the id of the capture's process, where one runs.
    pub(super) fn pid(&self) -> Option<u32> {
        let holder = self.status.as_ref().filter(|status| status.health != Health::NoCapture)?.holder.as_ref()?;
        holder.parse().ok()
    }

    /// Judges the capture.
    pub(super) fn judge(&self, config: &DoctorConfig) -> Finding {
        let dir = config.capture.data_dir.display().to_string();
        if !self.has_answered {
            let found = format!("{dir} does not answer within {} s", config.timeout.as_secs());
            return Finding::red(
                "capture",
                found,
                "look at the disk: dmesg; a network file system whose server is gone does not answer either",
            );
        }
        judge(&dir, self.status.as_ref(), other_endpoint(&config.capture, self.endpoint.as_deref()))
    }
}

/// Gives the endpoint that a directory was begun with, if it says so in time.
#[must_use]
pub(crate) fn remembered_endpoint(dir: &Path, limit: Duration) -> Option<String> {
    let dir = dir.to_owned();
    within(limit, move || endpoint_of(&dir).ok().flatten()).flatten()
}

/// Gives the endpoint that a directory was begun with, where it is another one than the capture's.
fn other_endpoint<'e>(capture: &CaptureConfig, remembered: Option<&'e str>) -> Option<&'e str> {
    let asked = format!("{} {}", capture.feed.name(), capture.url);
    remembered.filter(|remembered| *remembered != asked)
}

fn judge(dir: &str, status: Option<&CaptureStatus>, other_endpoint: Option<&str>) -> Finding {
    const CHECK: &str = "capture";
    if let Some(endpoint) = other_endpoint {
        return Finding::red(
            CHECK,
            format!("{dir} holds the tape of {endpoint}"),
            "give that --feed and --url, or another --data-dir: a capture refuses to mix endpoints",
        );
    }
    let Some(status) = status else { return Finding::green(CHECK, format!("none has written to {dir} yet")) };
    let problems = status.problems.iter().take(MAX_PROBLEMS).cloned().collect::<Vec<_>>().join("; ");
    let state = status.report.as_ref().map(|report| report.state);
    match (status.health, state) {
        (Health::NoCapture, None | Some(RunState::Stopped)) => Finding::green(CHECK, format!("none runs in {dir}")),
        (Health::NoCapture, Some(_)) if status.holder.is_some() => Finding::green(CHECK, problems),
        (Health::NoCapture, Some(_)) => {
            Finding::yellow(CHECK, problems, "start it: it recovers what is stored, and fetches the trades that it missed")
        }
        (Health::Healthy, _) => {
            let since = status.report.as_ref().map_or_else(String::new, |report| format!(" since {}", report.started));
            Finding::green(CHECK, format!("process {} runs{since}, and is healthy", status.holder.as_deref().unwrap_or("?")))
        }
        (Health::NotHealthy, Some(RunState::Starting | RunState::Stopping)) => Finding::yellow(CHECK, problems, "look again in a minute"),
        (Health::NotHealthy, _) => {
            Finding::red(CHECK, problems, format!("`coltape status {dir}` shows all; the guide to operating says what helps"))
        }
    }
}

/// Gives the limit of a running process, as `/proc` has it: `u64::MAX` where there is none.
pub(super) fn limit_of(pid: u32, name: &str) -> Option<u64> {
    soft_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?, name)
}

fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Colour;
    use super::*;
    use crate::feed::Feed;
    use crate::status::StatusReport;

    fn status(health: Health, state: Option<RunState>, problem: &str) -> CaptureStatus {
        let report = state.map(|state| StatusReport { state, ..StatusReport::default() });
        let problems = if problem.is_empty() { Vec::new() } else { vec![problem.to_owned()] };
        let holder = (health != Health::NoCapture).then(|| "77".to_owned());
        CaptureStatus { health, problems, report, age_nanos: None, holder }
    }

    #[test]
    fn a_capture_is_green_where_it_is_well_and_red_where_it_is_not() {
        let of = |status: &CaptureStatus| judge("/data", Some(status), None);
        assert_eq!(judge("/data", None, None).colour, Colour::Green);
        assert_eq!(of(&status(Health::NoCapture, None, "x")).colour, Colour::Green);
        assert_eq!(of(&status(Health::NoCapture, Some(RunState::Stopped), "it ended")).colour, Colour::Green);
        assert_eq!(of(&status(Health::NoCapture, Some(RunState::Running), "it died")).colour, Colour::Yellow);
        let well = of(&status(Health::Healthy, Some(RunState::Running), ""));
        assert!(well.colour == Colour::Green && well.found.contains("77"), "{well:?}");
        assert_eq!(of(&status(Health::NotHealthy, Some(RunState::Starting), "it starts")).colour, Colour::Yellow);
        let ill = of(&status(Health::NotHealthy, Some(RunState::Running), "3 trade ids are missing"));
        assert!(ill.colour == Colour::Red && ill.found.contains("3 trade ids") && ill.change.contains("coltape status /data"), "{ill:?}");
        assert_eq!(of(&status(Health::NotHealthy, None, "its status cannot be read")).colour, Colour::Red);
    }

    #[test]
    fn a_directory_of_another_endpoint_is_red() {
        let product = ProductId::new("BTC-USD").expect("a product");
        let capture = CaptureConfig::new(Feed::Exchange, "ws://a", [product], "data".as_ref());
        assert_eq!(other_endpoint(&capture, Some("exchange ws://a")), None);
        assert_eq!(other_endpoint(&capture, None), None);
        for other in ["exchange ws://b", "advanced ws://a"] {
            let found = judge("/data", None, other_endpoint(&capture, Some(other)));
            assert!(found.colour == Colour::Red && found.found.contains(other), "{found:?}");
        }
    }

    #[test]
    fn a_limit_is_read_as_proc_shows_it() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text, "Max open files"), Some(1024));
        assert_eq!(soft_limit(text, "Max cpu time"), Some(u64::MAX));
        assert_eq!((soft_limit(text, "Max locks"), soft_limit("", "Max open files")), (None, None));
        assert!(limit_of(std::process::id(), "Max open files").is_some_and(|limit| limit > 0));
    }
}
