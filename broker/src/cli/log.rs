//! `tidewire log`: looks at a data folder, and mends a stopped one. Opens the store never.

mod dump;
mod folder;
mod groups;
mod repair;
mod screen;
mod shares;
mod stats;
mod strip;
mod verify;

use std::path::Path;

use clap::Subcommand;

use self::dump::DumpArgs;
use self::repair::RepairArgs;

pub(super) use self::verify::finding;

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 damaged, 2 nothing looked at (usage, no folder).";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Check every byte of a data folder; a broker may be running on it.
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// One JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show the records of a data folder, or with --wal what is not checkpointed yet.
    Dump(DumpArgs),
    /// Count records, bytes, segments and rows.
    Stats {
        /// One JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Mend the data folder of a stopped broker: asks first, and keeps all that it takes away.
    #[command(after_help = EXIT_CODES)]
    Repair(RepairArgs),
}

/// Does what was asked; the answer is the exit code.
pub(super) fn run(command: &LogCommand, folder: &Path) -> u8 {
    let disk = match self::folder::open(folder) {
        Ok(disk) => disk,
        Err(problem) => return screen::refuse(&problem),
    };
    match command {
        LogCommand::Verify { json } => verify::run(&disk, folder, *json),
        LogCommand::Dump(arguments) => dump::run(&disk, arguments),
        LogCommand::Stats { json } => stats::run(&disk, folder, *json),
        LogCommand::Repair(arguments) => repair::run(disk, folder, arguments),
    }
}
