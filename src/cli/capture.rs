//! `coltape capture`: turns arguments into a [`CaptureConfig`], handles signals, and prints the closing report.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGTERM, SIGXCPU};
use signal_hook::iterator::Signals;

use super::args::CaptureArgs;
use super::limits;
use super::listening::Listening;
use super::outcome::{DONE, FAILED, Failure};
use super::{output, proxy, report, targets};
use crate::capture::product_list::read_products;
use crate::capture::report::service_manager::{LEAST_WATCHDOG, ServiceManager};
use crate::capture::stop::Stop;
use crate::capture::threads::no_thread;
use crate::capture::{self, CaptureConfig, CaptureError, CaptureView, RecordConfig};
use crate::feed::endpoint::Endpoint;
use crate::feed::parse_check::CAN_CHECK;
use crate::feed::rest::RestError;
use crate::product::ProductId;

/// Exit code after a second signal: 128 + SIGINT, as shells give it.
const INTERRUPTED: i32 = 130;

/// Runs the command.
///
/// # Errors
/// Where the settings contradict each other or the capture could not start.
pub(crate) fn run(args: &CaptureArgs) -> Result<u8, Failure> {
    let config = config(args)?;
    if let Some(path) = &args.report {
        targets::file("--report", path)?;
    }
    if let Some(record) = &config.record {
        targets::folder("--record", &record.folder)?;
    }
    let stop = Stop::default();
    // Before any thread is started: where there is too little memory for threads, this can still be said.
    capture::limits::check(&config).map_err(Failure::failed)?;
    limits::leave_time_to_end()?;
    stop_on_signals(&stop, config.products_file.is_some())?;
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let view = CaptureView::default();
    let listening = Listening::start(args, &view)?;
    let ended = capture::run_with_view(&config, &stop, &view);
    listening.stop();
    let summary = ended.map_err(not_started)?;
    // The file first: it is written whether or not anyone reads the table.
    let written = args.report.as_ref().map_or(Ok(()), |path| {
        let text = report::json_lines(&summary);
        std::fs::write(path, text).map_err(|error| Failure::failed(format!("--report {}: {error}", path.display())))
    });
    output::print(&report::table(&summary))?;
    written?;
    if let Some(reason) = &summary.failure {
        output::note(&format!("error: {reason}"));
    }
    Ok(if summary.is_good() { DONE } else { FAILED })
}

/// Says why a capture could not start, with the option that is to blame.
fn not_started(error: CaptureError) -> Failure {
    match error {
        CaptureError::Rest(error @ RestError::Roots(_)) => Failure::Usage(format!("--ca-file: {error}")),
        CaptureError::Rest(error) => Failure::Usage(format!("--rest-url {error}")),
        CaptureError::Endpoint(error) => Failure::Usage(format!("--url {error}")),
        error @ (CaptureError::CaFile { .. } | CaptureError::Record { .. }) => Failure::Usage(error.to_string()),
        error => Failure::failed(error),
    }
}

fn config(args: &CaptureArgs) -> Result<CaptureConfig, Failure> {
    let mut products: BTreeSet<ProductId> = args.products.iter().cloned().collect();
    if let Some(path) = &args.products_file {
        products.extend(read_products(path).map_err(|error| Failure::Usage(format!("--products-file {error}")))?);
    }
    if products.is_empty() && !args.all {
        return Err(Failure::Usage("no product to record: name one, as BTC-USD, or put one into the list of --products-file".to_owned()));
    }
    if let Some(url) = &args.url {
        // Checked before the endpoint is written into the directory.
        Endpoint::parse(url).map_err(|error| Failure::Usage(format!("--url {error}")))?;
        if args.backfill_from.is_some() && args.rest_url.is_none() {
            return Err(Failure::Usage(
                "--backfill-from with --url also needs --rest-url: the REST endpoint of a --url of your own is not known".to_owned(),
            ));
        }
    }
    let url = args.url.as_deref().unwrap_or(args.feed.default_url());
    if args.check_parse && !CAN_CHECK {
        return Err(Failure::Usage(
            "--check-parse: this is a release build, which cannot compare; take a debug build (`cargo build`)".to_owned(),
        ));
    }
    let mut config = CaptureConfig::new(args.feed, url, products, &args.data_dir.data_dir);
    config.checks_parse = args.check_parse;
    // A test endpoint does not have the products of the public one. So its REST endpoint must be named.
    config.rest_url = args.rest_url.clone().or_else(|| args.url.is_none().then(|| args.feed.default_rest_url().to_owned()));
    config.proxies =
        proxy::proxies(args.proxy.as_deref(), &[Some(url), config.rest_url.as_deref()].into_iter().flatten().collect::<Vec<_>>())?;
    config.backfills = !args.no_backfill;
    config.rest_requests_per_s = args.rest_rate;
    config.backfill_from = args.backfill_from;
    config.gap_wait = args.gap_wait.0;
    config.lines = args.lines;
    config.spins = args.spin;
    config.pin = args.pin.clone().map(|numbers| numbers.0).unwrap_or_default();
    config.ca_file.clone_from(&args.ca_file);
    config.named_products = args.products.iter().cloned().collect();
    config.products_file.clone_from(&args.products_file);
    config.all_products = args.all;
    config.quotes = args.quote.iter().cloned().collect();
    config.datasets = args.datasets.iter().copied().collect();
    config.columns = args.columns;
    config.date_format = args.date_format;
    config.force_fs = args.force_fs;
    config.takes_over = args.take_over;
    config.products_per_connection = usize::try_from(args.products_per_connection).unwrap_or(usize::MAX);
    config.sync_interval = args.sync.0;
    config.queue_capacity_msgs = usize::try_from(args.queue_capacity).unwrap_or(usize::MAX);
    config.idle_timeout = args.idle_timeout.0;
    config.record = args.record.clone().map(|folder| RecordConfig { folder, keep: args.record_keep.0 });
    config.duration = args.duration;
    (config.alerts, config.start_patience) = (args.alerts.config(), args.alerts.start_patience());
    config.service_manager = service_manager(|name| std::env::var_os(name));
    Ok(config)
}

/// Reads who has started the capture and wants to be told how it is, as sd_notify(3) and sd_watchdog_enabled(3) have it.
fn service_manager(variable: impl Fn(&str) -> Option<OsString>) -> Option<ServiceManager> {
    let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
    let mut manager = ServiceManager::new(variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?);
    // The watchdog may be meant for another process.
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    manager.watchdog = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
    if let Some(within) = manager.watchdog.filter(|within| *within < LEAST_WATCHDOG) {
        log::warn!("the watchdog waits for {} ms only: set WatchdogSec= to {} s or more", within.as_millis(), LEAST_WATCHDOG.as_secs());
    }
    Some(manager)
}

/// Lets SIGINT and SIGTERM end the capture. SIGHUP ends it too, unless there is a list of products to read again.
fn stop_on_signals(stop: &Stop, has_list: bool) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::failed(format!("signals: {error}"));
    let was_asked = Arc::new(AtomicBool::new(false));
    let heard = {
        let stop = stop.clone();
        move || {
            // SIGINT and SIGTERM are handled on two threads, so a second signal does not wait for the first.
            if was_asked.swap(true, Ordering::AcqRel) {
                output::note("exiting at once; the next start recovers what is not sealed");
                std::process::exit(INTERRUPTED);
            }
            stop.ask();
        }
    };
    let on_interrupt = heard.clone();
    ctrlc::set_handler(on_interrupt).map_err(|error| refused(&error))?;
    let ending: &[i32] = if has_list { &[SIGTERM, SIGXCPU] } else { &[SIGTERM, SIGXCPU, SIGHUP] };
    let mut signals = Signals::new(ending).map_err(|error| refused(&error))?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let out_of_time = stop.clone();
    let listen = move || {
        for signal in signals.forever() {
            if signal == SIGXCPU {
                // The signal comes again every second.
                if !out_of_time.is_asked() {
                    out_of_time
                        .fail("the CPU time of this process is over: ulimit -t unlimited, or LimitCPU=infinity of systemd".to_owned());
                }
            } else {
                heard();
            }
        }
    };
    thread.spawn(listen).map(drop).map_err(|error| refused(&no_thread(&error)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::feed::parse_check::planted;
    use crate::simulate::{Faults, SimulateConfig, SimulatedFeed, Simulation};

    /// Runs a capture with `--check-parse` of a short market, with messages among its own that cannot be used. Gives what it came to, if this build can check.
    fn checked(feed: SimulatedFeed, is_planted: bool) -> Option<capture::report::summary::Summary> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut market = SimulateConfig::default();
        (market.feed, market.rate_per_product, market.duration) = (feed, 400.0, Some(Duration::from_millis(700)));
        market.faults = Faults::parse("junk*3,duplicate*3").expect("a script");
        let exchange = Simulation::start(market).expect("started");
        let (data, url) = (folder.path().join("data"), exchange.endpoints().websocket_url.clone());
        let data = data.to_string_lossy();
        let typed =
            ["coltape", "capture", "BTC-USD", "--feed", feed.name(), "--url", &url, "--data-dir", &data, "--check-parse", "--force-fs"];
        let Command::Capture(args) = Cli::try_parse_from(typed).expect("a command line").command else { panic!("another command") };
        let config = match config(&args) {
            Ok(config) if CAN_CHECK => config,
            Ok(_) => panic!("a release build refuses the option"),
            Err(Failure::Usage(text)) if !CAN_CHECK && text.contains("release build") => return None,
            Err(failure) => panic!("{failure:?}"),
        };
        if is_planted {
            planted::plan();
        }
        let stop = Stop::default();
        let summary = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !exchange.is_over() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                stop.ask();
            });
            capture::run(&config, &stop).expect("started")
        });
        exchange.stop().expect("stopped");
        Some(summary)
    }

    #[test]
    fn check_parse_finds_both_ways_equal_on_both_feeds() {
        for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
            let Some(summary) = checked(feed, false) else { return };
            let found = summary.connections;
            // Of that feed, junk may be of a channel that is not captured.
            let has_junk = found.rejected > 0 || feed == SimulatedFeed::Advanced;
            assert!(summary.is_good() && has_junk && found.used > 10, "{feed:?}: {:?}", summary.shortcomings());
            assert_eq!((found.parse_checked, found.parse_differences), (found.frames, 0), "{feed:?}");
            assert!(report::table(&summary).contains(" messages read both ways, 0 differently"));
        }
    }

    #[test]
    fn check_parse_ends_with_a_failure_where_the_two_ways_differ() {
        let Some(summary) = checked(SimulatedFeed::Exchange, true) else { return };
        let (differences, trades) = (summary.connections.parse_differences, summary.trades().received);
        assert!(!summary.is_good() && summary.balances(), "{:?}", summary.shortcomings());
        assert!(trades > 100 && differences >= trades, "each of {trades} trades differs: {differences}");
        let table = report::table(&summary);
        assert!(table.contains(&format!("{differences} messages are read differently")), "{table}");
    }

    fn manager(variables: &[(&str, &str)]) -> Option<ServiceManager> {
        service_manager(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn a_watchdog_counts_only_where_there_is_a_socket_and_it_is_meant_for_this_process() {
        let own = std::process::id().to_string();
        let watchdog = |variables: &[(&str, &str)]| manager(variables).expect("a socket").watchdog;
        assert_eq!(manager(&[]), None);
        assert_eq!(manager(&[("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "9000000")]), None);
        assert_eq!(watchdog(&[("NOTIFY_SOCKET", "/x")]), None);
        assert_eq!(watchdog(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", "9000000")]), Some(Duration::from_secs(9)));
        assert_eq!(
            watchdog(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", "9000000"), ("WATCHDOG_PID", &own)]),
            Some(Duration::from_secs(9))
        );
        for (usec, pid) in [("9000000", "1"), ("0", own.as_str()), ("soon", own.as_str())] {
            assert_eq!(watchdog(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)]), None, "{usec} {pid}");
        }
    }
}
