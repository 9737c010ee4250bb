//! `coltape serve`: starts the server from the arguments, prints its endpoints, and stops it on a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::data_dir::DataDirArg;
use super::outcome::{DONE, Failure};
use super::output;
use super::values::{Span, positive_span};
use crate::capture::stop::Stop;
use crate::capture::threads::no_thread;
use crate::escape::Escaped;
use crate::serve::{ServeConfig, ServeError, Serving};

/// Time between two looks at whether the server has ended by itself.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Most bytes of a file with a token.
const MAX_TOKEN_FILE_BYTES: u64 = 4096;

/// `coltape serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape serve /mnt/md/data\n  coltape serve --listen 0.0.0.0:8080 --token-file /etc/coltape/token --host box.example\n  \
    curl 'http://127.0.0.1:8080/v1/products'\n\n\
    Prints its addresses as one JSON line when it is ready. It only reads: a capture that writes to the directory is not disturbed.\n\n\
    Requests are answered that name the address listened on, localhost or a --host. With --token-file each has to carry the token: \
    Authorization: Bearer TOKEN, or ?token=TOKEN. /healthz, /readyz and /metrics are answered even when there are too many clients.\n\n\
    SIGINT or SIGTERM: answers in flight end, WebSockets get close 1001, exit 0 within 5 s. Exit 1: the directory is no tape, or the address \
    cannot be listened on. Exit 2: the command line is wrong."
)]
pub(crate) struct ServeArgs {
    /// The data directory [default: as --data-dir]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Address to listen on; port 0 takes a free port. One that other machines reach needs --token-file
    #[arg(long, value_name = "ADDR", default_value_t = ServeConfig::LISTEN)]
    pub listen: SocketAddr,
    /// A file with the token that each request has to carry
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A name by which requests may reach the server, beside localhost and its addresses; may be given again
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// An origin whose pages may read the answers, as https://box.example; may be given again
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Most clients that are answered at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_clients: u32,
    /// A client that takes nothing of its answer for this long, or less than 16 KiB/s over this long, is cut off
    #[arg(long, value_name = "D", default_value_t = Span(ServeConfig::SEND_TIMEOUT), value_parser = positive_span)]
    pub send_timeout: Span,
    /// Most days that one request may cover
    #[arg(long, value_name = "N", default_value_t = ServeConfig::MAX_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_days: u32,
}

/// Runs the command until a signal comes.
///
/// # Errors
/// An argument is wrong, the directory is no tape, the address cannot be listened on, or the server ends by itself.
pub(crate) fn run(args: &ServeArgs) -> Result<u8, Failure> {
    let config = config(args)?;
    // A file that is cut while it is read must not end the other answers.
    crate::store::outlive_lost_pages().map_err(Failure::failed)?;
    let stop = Stop::default();
    let asked = stop.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::failed)?;
    let listening = std::thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(|_| asked.ask()));
    listening.map_err(|error| Failure::failed(no_thread(&error)))?;
    let serving = Serving::start(config).map_err(refused)?;
    output::print_lines([serving.endpoints_json().as_str()])?;
    while !stop.wait(CHECK_EVERY) && !serving.is_over() {}
    serving.stop().map_err(refused)?;
    if stop.is_asked() { Ok(DONE) } else { Err(refused(ServeError::Ended)) }
}

/// Says why a server does not start, with the option that is to blame.
pub(super) fn refused(error: ServeError) -> Failure {
    match error {
        ServeError::NoToken { .. } => Failure::Usage(format!("--listen {error}")),
        ServeError::Name { .. } => Failure::Usage(error.to_string()),
        ServeError::Token => Failure::Usage(format!("--token-file: {error}")),
        error => Failure::failed(Escaped(error)),
    }
}

fn config(args: &ServeArgs) -> Result<ServeConfig, Failure> {
    let mut config = ServeConfig::new(args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone()));
    config.listen = args.listen;
    config.token = args.token_file.as_deref().map(token).transpose()?;
    config.hosts.clone_from(&args.host);
    config.allow_origins.clone_from(&args.allow_origin);
    config.max_clients = usize::try_from(args.max_clients).unwrap_or(ServeConfig::MAX_CLIENTS);
    config.send_timeout = args.send_timeout.0;
    config.max_days = args.max_days;
    Ok(config)
}

/// Reads the token: what the file holds, without the white space around it.
///
/// # Errors
/// Where the file cannot be read, is empty, or is too large.
pub(super) fn token(path: &Path) -> Result<String, Failure> {
    let shown = Escaped(path.display());
    let failed = |why: &dyn std::fmt::Display| Failure::Usage(format!("--token-file {shown}: {why}"));
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > MAX_TOKEN_FILE_BYTES {
        return Err(failed(&"it is too large for a token: give a file with one line"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    match text.trim() {
        "" => Err(failed(&"it is empty: give a file with one line")),
        token => Ok(token.to_owned()),
    }
}
