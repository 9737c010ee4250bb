//! `coltape simulate`: starts a simulator from the arguments, prints its endpoints, and prints its totals at the end.

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::SimulateArgs;
use super::outcome::{DONE, Failure};
use super::{output, targets};
use crate::capture::stop::Stop;
use crate::feed::Feed;
use crate::product::ProductId;
use crate::simulate::{Faults, Replay, SimulateConfig, SimulatedFeed, Simulation, products};

/// Time between two checks whether the market is over.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// Runs the command. Prints the totals when the market is over; the ledger is complete when the process has ended.
///
/// # Errors
/// An argument is wrong, or [`Simulation::start`] or [`Simulation::stop`] fails.
pub(crate) fn run(args: &SimulateArgs) -> Result<u8, Failure> {
    let config = config(args)?;
    let names: Vec<String> = config.products.iter().map(|product| format!("\"{product}\"")).collect();
    let stop = Stop::default();
    let asked = stop.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::failed)?;
    std::thread::spawn(move || signals.forever().for_each(|_| asked.ask()));
    if let Some(path) = &args.ledger {
        targets::file("--ledger", path)?;
    }
    if let Some(path) = &args.replay {
        targets::source("--replay", path)?;
    }
    let simulation = Simulation::start(config).map_err(Failure::failed)?;
    let endpoints = simulation.endpoints().to_json();
    let opened = endpoints.strip_suffix('}').unwrap_or(&endpoints);
    output::print_lines([format!("{opened},\"products\":[{}]}}", names.join(",")).as_str()])?;
    while !stop.wait(CHECK_EVERY) && !simulation.is_over() {}
    output::print_lines([simulation.totals().to_json().as_str()])?;
    // The servers go on: clients read what is on the way, and fetch what they miss.
    let _ = stop.wait(args.linger);
    simulation.stop().map_err(Failure::failed)?;
    Ok(DONE)
}

fn config(args: &SimulateArgs) -> Result<SimulateConfig, Failure> {
    if !(args.rate > 0.0 && args.rate <= 1e6) {
        return Err(Failure::Usage("--rate: between 0 and 1000000".to_owned()));
    }
    let tls = args.tls.then(|| std::env::temp_dir().join(format!("coltape-simulate-{}", std::process::id())));
    Ok(SimulateConfig {
        feed: match args.feed {
            Feed::Exchange => SimulatedFeed::Exchange,
            Feed::Advanced => SimulatedFeed::Advanced,
        },
        listen: args.listen,
        rest_listen: Some(args.rest_listen),
        products: named_products(&args.products)?,
        rate_per_product: args.rate,
        tickers: !args.no_tickers,
        spread: args.spread,
        duration: args.duration,
        seed: args.seed,
        start: args.start,
        faults: Faults::parse(&args.faults).map_err(|error| Failure::Usage(format!("--faults: {error}")))?,
        ledger: args.ledger.clone(),
        replay: args.replay.clone().map(|file| Replay { file, speed: args.speed }),
        tls,
        rest_limit: args.rest_limit,
        ..SimulateConfig::default()
    })
}

fn named_products(text: &str) -> Result<Vec<ProductId>, Failure> {
    let named = match text.parse::<usize>() {
        Ok(count @ 1..=10_000) => products(count),
        Ok(_) => return Err(Failure::Usage("--products: between 1 and 10000".to_owned())),
        Err(_) => text.split(',').map(|name| ProductId::new(name.trim())).collect(),
    };
    named.map_err(|error| Failure::Usage(format!("--products: {error}")))
}
