//! `coltape query`: makes a question of the arguments and prints the answer to stdout.

use std::io::{BufWriter, IsTerminal};

use super::args::QueryArgs;
use super::outcome::{DONE, Failure};
use super::output;
use crate::query::{QueryConfig, QueryError, QuestionError, query_with_notes};
use crate::record::OrderId;

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
        Err(QueryError::Question(why @ (QuestionError::EmptyRange | QuestionError::NoOrderIds(_)))) => Err(Failure::Usage(why.to_string())),
        Err(QueryError::Question(why)) => Err(Failure::Usage(format!("--columns: {why}"))),
        Err(QueryError::Output(error)) => output::checked(Err(error)).map(|()| DONE),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn config(args: &QueryArgs) -> Result<QueryConfig, Failure> {
    let order = args.order.as_deref().map(order_id).transpose()?;
    let stdout = std::io::stdout();
    let width = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col)));
    let mut config = QueryConfig::new(&args.data_dir.data_dir, args.product.clone());
    config.dataset = args.dataset;
    (config.from, config.to) = (args.from, args.to);
    config.columns.clone_from(&args.columns);
    (config.limit, config.tail, config.follow) = (args.limit, args.tail, args.follow);
    config.order = order;
    (config.format, config.raw) = (args.format, args.raw);
    config.width = width.filter(|width| *width > 0);
    Ok(config)
}

/// Reads a UUID, with or without its dashes.
fn order_id(text: &str) -> Result<OrderId, Failure> {
    let mut id = [0; 16];
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    match hex::decode_to_slice(&digits, &mut id) {
        Ok(()) => Ok(OrderId(id)),
        Err(_) => Err(Failure::Usage(format!("--order {text:?} is not an order id (write 27fff20b-af29-4f45-8744-56dd1ef57dc0)"))),
    }
}
