//! `coltape completions` and `coltape man`: what shells and `man` know of the command line, made of the command line itself.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::Cli;
use super::outcome::{DONE, Failure};
use super::output;
use super::shell_args::{CompletionsArgs, ManArgs};

/// The name under which the program is installed.
const NAME: &str = "coltape";

/// Prints the completions of a shell.
///
/// # Errors
/// [`Failure::Failed`] where stdout takes no more.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print(&script)
}

/// Prints a man page, or writes all of them.
///
/// # Errors
/// [`Failure::Usage`] where there is no such command, [`Failure::Failed`] where a page cannot be written.
pub(crate) fn man(args: &ManArgs) -> Result<u8, Failure> {
    let program = program();
    if let Some(folder) = &args.out {
        return write_pages(&program, folder);
    }
    let asked = args.command.as_deref().unwrap_or(NAME);
    let found = commands(&program).find(|command| command.get_name() == asked);
    let Some(command) = found else {
        let names: Vec<&str> = commands(&program).map(Command::get_name).collect();
        return Err(Failure::Usage(format!("there is no command {asked}: name one of {}", names.join(", "))));
    };
    print(&page(command)?)
}

/// Gives the command line, complete. The command `help` needs no page: each command has its own.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

/// Lists the program and its commands.
fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    [program].into_iter().chain(program.get_subcommands())
}

fn write_pages(program: &Command, folder: &Path) -> Result<u8, Failure> {
    let failed = |path: &Path, error: io::Error| Failure::failed(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for command in commands(program) {
        let path = folder.join(manual(command).get_filename());
        fs::write(&path, page(command)?).map_err(|error| failed(&path, error))?;
    }
    Ok(DONE)
}

fn manual(command: &Command) -> Man {
    Man::new(command.clone()).source(concat!("coltape ", env!("CARGO_PKG_VERSION"))).manual(NAME)
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    manual(command).render(&mut page).map_err(Failure::failed)?;
    Ok(page)
}

/// Prints bytes that this program has made itself.
fn print(bytes: &[u8]) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    output::checked(out.write_all(bytes).and_then(|()| out.flush()))?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_options() {
        let program = program();
        let mut names = Vec::new();
        for command in commands(&program) {
            let page = String::from_utf8(page(command).expect("a page")).expect("text");
            names.push(manual(command).get_filename());
            let options = command.get_opts().filter(|option| !option.is_hide_set()).filter_map(|option| option.get_long());
            for option in options {
                let spelled = option.replace('-', r"\-");
                assert!(page.contains(&format!(r"\-\-{spelled}")), "{}: --{option}", command.get_name());
            }
        }
        assert!(names.contains(&"coltape.1".to_owned()) && names.contains(&"coltape-capture.1".to_owned()), "{names:?}");
        assert!(!names.contains(&"coltape-help.1".to_owned()));
    }
}
