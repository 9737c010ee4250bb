//! The option of every command that reads or writes data.

use std::path::PathBuf;

use clap::Args;

/// The option of every command that reads or writes data.
#[derive(Debug, Args)]
pub(crate) struct DataDirArg {
    /// Where the column files are
    #[arg(long, env = "COLTAPE_DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}
