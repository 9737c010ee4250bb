//! The `coltape` program; see the library's [`coltape::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    coltape::internals::cli::main()
}
