//! `coltape query`: makes a question of the arguments and prints the answer to stdout.

use std::io::{BufWriter, IsTerminal};

use clap::Args;

use super::data_dir::DataDirArg;
use super::outcome::{DONE, Failure};
use super::query_help::QUERY_HELP;
use super::{input, output, units};
use crate::product::ProductId;
use crate::query::{Format, QueryConfig, QueryError, QuestionError, query_with_notes};
use crate::record::OrderId;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// `coltape query`.
#[derive(Debug, Args)]
#[command(after_help = QUERY_HELP)]
pub(crate) struct QueryArgs {
    /// Which products. Records of several are printed in order of time, with a column `product` in front
    #[arg(value_name = "PRODUCT", required = true)]
    pub products: Vec<ProductId>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Which dataset
    #[arg(long, value_enum, default_value_t = QueryConfig::DEFAULT_DATASET)]
    pub dataset: Dataset,
    /// First event time: RFC 3339, a date (its midnight in UTC), now, or how long ago: 7d, 36h, 90m
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: Option<UnixNanos>,
    /// Event time to stop before
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    /// Columns to print, in this order; also event_time (RFC 3339) and product [default: the dataset's, core then extended]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Print at most this many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Print only the last N records
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    pub tail: Option<u64>,
    /// Keep printing records as they are captured, late ones when they come
    #[arg(long)]
    pub follow: bool,
    /// Only trades of this order, as maker or taker; any spelling of a UUID
    #[arg(long, value_name = "UUID")]
    pub order: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::default())]
    pub format: Format,
    /// Print the stored values: sides as codes, order ids as 32 hex digits, no exact texts
    #[arg(long)]
    pub raw: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] where the question makes no sense, [`Failure::Failed`] where a day cannot be read.
pub(crate) fn run(args: &QueryArgs) -> Result<u8, Failure> {
    let config = config(args)?;
    let stdout = std::io::stdout();
    let mut out = BufWriter::new(stdout.lock());
    // Following ends with the process, by a signal or by a reader that goes away.
    match query_with_notes(&config, &|| false, &mut out, &mut output::note) {
        Ok(_) => Ok(DONE),
        Err(QueryError::Question(why @ (QuestionError::NoOrder | QuestionError::NoOrderIds(_)))) => {
            Err(Failure::Usage(format!("--order: {why}")))
        }
        Err(QueryError::Question(why)) => Err(Failure::Usage(format!("--columns: {why}"))),
        Err(QueryError::Output(error)) => output::checked(Err(error)).map(|()| DONE),
        Err(QueryError::Store(error)) => Err(input::unreadable(&error, &config.dir)),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn config(args: &QueryArgs) -> Result<QueryConfig, Failure> {
    let order = args.order.as_deref().map(order_id).transpose()?;
    let stdout = std::io::stdout();
    let width = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col)));
    let mut products: Vec<ProductId> = Vec::new();
    for product in &args.products {
        if !products.contains(product) {
            products.push(product.clone());
        }
    }
    let Some(first) = products.first() else { return Err(Failure::Usage("which product?".to_owned())) };
    let mut config = QueryConfig::new(&args.data_dir.data_dir, first.clone());
    config.products = products;
    config.dataset = args.dataset;
    (config.from, config.to) = (args.from, args.to);
    config.columns.clone_from(&args.columns);
    (config.limit, config.tail, config.follow) = (args.limit, args.tail, args.follow);
    config.order = order;
    (config.format, config.raw) = (args.format, args.raw);
    config.width = width.filter(|width| *width > 0);
    Ok(config)
}

/// Reads a UUID in any of its spellings: with or without dashes, in small or capital letters, in braces, or as a URN.
fn order_id(text: &str) -> Result<OrderId, Failure> {
    let wrong = || Failure::Usage(format!("--order {text:?} is not an order id (write 27fff20b-af29-4f45-8744-56dd1ef57dc0)"));
    let plain = text.trim();
    let is_urn = plain.get(..URN.len()).is_some_and(|start| start.eq_ignore_ascii_case(URN));
    let plain = if is_urn { plain.get(URN.len()..).unwrap_or_default() } else { plain };
    let plain = plain.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(plain);
    let mut id = [0; 16];
    let digits: String = plain.chars().filter(|c| *c != '-').collect();
    let has_dashes_in_place = match plain.len() - digits.len() {
        0 => true,
        4 => DASHES.iter().all(|at| plain.as_bytes().get(*at) == Some(&b'-')),
        _ => false,
    };
    if !has_dashes_in_place {
        return Err(wrong());
    }
    hex::decode_to_slice(&digits, &mut id).map(|()| OrderId(id)).map_err(|_| wrong())
}

/// How a UUID begins that is written as a URN (RFC 9562).
const URN: &str = "urn:uuid:";
/// Where the dashes of a UUID stand.
const DASHES: [usize; 4] = [8, 13, 18, 23];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_is_read_in_every_spelling_of_a_uuid() {
        let want = "27fff20b-af29-4f45-8744-56dd1ef57dc0";
        let id = order_id(want).expect("an order id");
        assert_eq!(id.to_string(), want);
        for same in [
            "27FFF20B-AF29-4F45-8744-56DD1EF57DC0",
            "27fff20baf294f45874456dd1ef57dc0",
            "{27fff20b-af29-4f45-8744-56dd1ef57dc0}",
            "urn:uuid:27fff20b-af29-4f45-8744-56dd1ef57dc0",
            "URN:UUID:27FFF20B-AF29-4F45-8744-56DD1EF57DC0",
            " 27fff20b-af29-4f45-8744-56dd1ef57dc0\n",
        ] {
            assert_eq!(order_id(same).ok(), Some(id), "{same}");
        }
        for bad in [
            "",
            "27fff20b",
            "27fff20b-af29-4f45-8744-56dd1ef57dcx",
            "27ff-f20baf29-4f45-8744-56dd1ef57dc0",
            "{27fff20b-af29-4f45-8744-56dd1ef57dc0",
            "27fff20b-af29-4f45-8744-56dd1ef57dc00",
            "é",
        ] {
            assert!(matches!(order_id(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
