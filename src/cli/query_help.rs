//! The last part of `coltape query --help`.

/// Examples, the columns, the order of records, and the exit codes.
pub(super) const QUERY_HELP: &str = "\
Examples:
  coltape query BTC-USD --tail 10
  coltape query BTC-USD --from 2025-06-07T12:00:00Z --to 2025-06-07T13:00:00Z --format csv
  coltape query BTC-USD ETH-USD --from 90m --columns event_time,trade_price_f64,trade_size_f64
  coltape query ETH-USD --dataset md --columns time,best_bid_f64,best_ask_f64 --follow
  coltape query BTC-USD --order 27fff20b-af29-4f45-8744-56dd1ef57dc0 --format jsonl

Columns: a table begins with the event time as people read it, and on a terminal it leaves out columns that do not fit; stderr names them. CSV \
has one header line, and JSON Lines one object per record. Both have every column that is asked for or stored. Exact values (..._f64) are the \
decimals that the feed sent; f32 columns are rounded. What the feed did not send is empty in CSV and null in JSON. An order id of all zeros \
means that the feed sent none. For trades, time means event_time.

Order: trades by id and tickers as they arrived, also where the exchange's clock fell. With several products, the product whose next record has \
the earliest event time comes first. With --follow, new records are printed as they are found, late ones too.

A sealed day that is printed whole is checked against its checksums first. `coltape verify` checks everything.

Exit 0: done, whether or not a record matched. Exit 1: there is no such tape or product, no record on any of the days asked for, --from is not \
before --to, or a day cannot be read. Exit 2: the command line is wrong.";
