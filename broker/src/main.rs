//! The `tidewire` command.

use std::process::ExitCode;

use tidewire::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run(&Cli::from_command_line())
}
