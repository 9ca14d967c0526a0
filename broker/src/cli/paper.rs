//! `tidewire completion` and `tidewire man`: what shells and `man` want to know of the commands.
//! Knows no command by name.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

#[derive(Clone, Debug, Args)]
pub(super) struct Completion {
    /// bash: `tidewire completion bash > /etc/bash_completion.d/tidewire`.
    shell: Shell,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Manual {
    /// The page of this command, such as `sub` or `log verify`; without it, of the program.
    command: Vec<String>,
}

/// The script that a shell reads.
pub(super) fn completion(asked: &Completion, mut program: Command) -> Result<String, String> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut program, "tidewire", &mut script);
    String::from_utf8(script).map_err(|error| error.to_string())
}

/// A page in roff: `tidewire man sub | man -l -`.
pub(super) fn manual(asked: &Manual, mut program: Command) -> Result<String, String> {
    program.build();
    let mut found = &program;
    for name in &asked.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
            format!("no command {name:?}; there are {}", known.join(", "))
        })?;
    }
    let mut page = Vec::new();
    Man::new(found.clone()).render(&mut page).map_err(|error| error.to_string())?;
    String::from_utf8(page).map_err(|error| error.to_string())
}
