//! What `coltape export --help` says below the options.

/// Examples, what is written, what a second export does, exit codes.
pub(crate) const EXPORT_HELP: &str = "Examples:
  coltape export --data-dir /mnt/md/data --out /mnt/export
  coltape export --out /mnt/export --products BTC-USD,ETH-USD --from 2025-06-01 --to 2025-06-08
  duckdb -c \"select product, sum(size) from read_parquet('/mnt/export/dataset=trades/**/*.parquet') group by 1\"

One file for each dataset, product and day, as in dataset=trades/product=BTC-USD/date=2025-06-07/part-0.parquet. DuckDB, Polars, \
pyarrow, Spark and ClickHouse read dataset, product and date from the path. Open one dataset at a time: trades and md have other columns.

A second export into the same folder writes only files whose records, verdict or options have changed, and touches no other. Each file is \
replaced as a whole: a reader, a kill or a full disk meets the old file or the new one. A day that lies in --from and --to in part is \
exported in part; it never replaces more of the same day. Days that are gone from the data directory stay in the export.

_coltape_export.json lists the files with their records, checksums, verdicts (as `coltape verify` gives them), ids and missing ids.

Exit 0: all that was asked for is in the folder. Exit 1: a day could not be exported, there is nothing to export, or the folder holds \
something else. Exit 2: the command line is wrong.";
