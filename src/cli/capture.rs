//! `coltape capture`: from arguments to a [`CaptureConfig`], signals, and the closing report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{CaptureArgs, ColumnsArg, DatasetArg, DateFormatArg};
use super::{DONE, FAILED, Failure, report};
use crate::capture::context::Datasets;
use crate::capture::stop::Stop;
use crate::capture::{self, CaptureConfig};
use crate::feed::Feed;
use crate::feed::endpoint::Endpoint;
use crate::product::ProductId;
use crate::schema::ColumnSet;
use crate::time::{Clock, DateFormat};

/// Exit code of a process that a second signal made leave at once: 128 + SIGINT, as shells have it.
const LEFT_AT_ONCE: i32 = 130;

/// Carries the command out.
///
/// # Errors
/// Where the settings contradict each other or the capture could not start.
pub fn run(args: &CaptureArgs) -> Result<u8, Failure> {
    let config = config(args)?;
    let stop = Stop::default();
    stop_on_signals(&stop, config.products_file.is_some())?;
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let summary = capture::run(&config, &stop).map_err(Failure::failed)?;
    print!("{}", report::table(&summary));
    if let Some(path) = &args.report {
        std::fs::write(path, report::json_lines(&summary)).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    if let Some(reason) = &summary.failure {
        eprintln!("error: {reason}");
    }
    Ok(if summary.is_good() { DONE } else { FAILED })
}

fn config(args: &CaptureArgs) -> Result<CaptureConfig, Failure> {
    let feed = Feed::from(args.feed);
    let mut products: BTreeSet<ProductId> = args.products.iter().cloned().collect();
    if let Some(path) = &args.products_file {
        products.extend(capture::net::connections::read_products(path).map_err(Failure::Usage)?);
    }
    if products.is_empty() {
        return Err(Failure::Usage("no product to record".to_owned()));
    }
    if let Some(url) = &args.url {
        // Before the directory remembers it.
        Endpoint::parse(url).map_err(|error| Failure::Usage(error.to_string()))?;
        if args.backfill_from.is_some() && args.rest_url.is_none() {
            return Err(Failure::Usage(
                "--backfill-from with --url needs --rest-url, too: of an endpoint of your own none is known".to_owned(),
            ));
        }
    }
    let kept = |dataset| args.datasets.contains(&dataset);
    Ok(CaptureConfig {
        feed,
        url: args.url.clone().unwrap_or_else(|| feed.default_url().to_owned()),
        // A test endpoint's products are not production's: an endpoint of one's own has the REST one names, or none.
        rest_url: args.rest_url.clone().or_else(|| args.url.is_none().then(|| feed.default_rest_url().to_owned())),
        backfills: !args.no_backfill,
        rest_requests_per_s: args.rest_rate,
        backfill_from: args.backfill_from,
        gap_wait: args.gap_wait,
        lines: args.lines,
        spins: args.spin,
        pin: args.pin.clone().map(|numbers| numbers.0).unwrap_or_default(),
        ca_file: args.ca_file.clone(),
        named_products: args.products.iter().cloned().collect(),
        products,
        products_file: args.products_file.clone(),
        data_dir: args.data_dir.data_dir.clone(),
        datasets: Datasets { md: kept(DatasetArg::Md), ticker_trades: kept(DatasetArg::TickerTrades), trades: kept(DatasetArg::Trades) },
        columns: match args.columns {
            ColumnsArg::Full => ColumnSet::Full,
            ColumnsArg::Core => ColumnSet::Core,
        },
        date_format: match args.date_format {
            DateFormatArg::Iso => DateFormat::Iso,
            DateFormatArg::Dmy => DateFormat::Dmy,
        },
        force_fs: args.force_fs,
        products_per_connection: usize::try_from(args.products_per_connection).unwrap_or(usize::MAX),
        sync_interval: args.sync,
        queue_capacity_msgs: usize::try_from(args.queue_capacity).unwrap_or(usize::MAX),
        idle_timeout: args.idle_timeout,
        record: args.record.clone().map(|folder| (folder, args.record_keep)),
        duration: args.duration,
        clock: Clock::System,
    })
}

/// Has SIGINT and SIGTERM end the capture; SIGHUP too, where there is no list of products to be read again.
fn stop_on_signals(stop: &Stop, has_list: bool) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::failed(format!("signals: {error}"));
    let was_asked = Arc::new(AtomicBool::new(false));
    let heard = {
        let stop = stop.clone();
        move || {
            // Each signal is heard on a thread of its own: a second one need not wait for the first one's work.
            if was_asked.swap(true, Ordering::AcqRel) {
                eprintln!("leaving at once; the next start recovers what is not sealed");
                std::process::exit(LEFT_AT_ONCE);
            }
            stop.ask();
        }
    };
    let on_interrupt = heard.clone();
    ctrlc::set_handler(on_interrupt).map_err(|error| refused(&error))?;
    let ending: &[i32] = if has_list { &[SIGTERM] } else { &[SIGTERM, SIGHUP] };
    let mut signals = Signals::new(ending).map_err(|error| refused(&error))?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || signals.forever().for_each(|_| heard())).map(drop).map_err(|error| refused(&error))
}
