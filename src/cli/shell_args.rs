//! The arguments of `coltape completions` and `coltape man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `coltape completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coltape completions bash > /usr/share/bash-completion/completions/coltape\n  \
    coltape completions zsh > /usr/share/zsh/vendor-completions/_coltape\n  \
    coltape completions fish > /usr/share/fish/vendor_completions.d/coltape.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// `coltape man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coltape man capture | man -l -\n  coltape man --out /usr/share/man/man1")]
pub(crate) struct ManArgs {
    /// The command that the page is of [default: the program]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Option<String>,
    /// Write the pages of the program and of all commands into a folder: coltape.1, coltape-capture.1
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
