//! The command line: what was asked, and with which settings. Does no work of its own.

mod acl;
mod bench;
mod certs;
mod check;
mod edit_file;
mod flags;
mod init;
mod log;
mod passwd;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::error::StopError;
use crate::serve::{self, ServeError};
use crate::telemetry;

use acl::AclCommand;
use bench::Bench;
use certs::CertsCommand;
use flags::Flags;
use init::Init;
use log::LogCommand;
use passwd::Passwd;

/// Failed while running: exit code 1.
const FAILED: u8 = 1;
/// After a panic, "internal software error": exit code 70.
const PANICKED: u8 = 70;
/// Wrong usage or configuration, nothing was started: exit code 2 (also clap's).
const REFUSED: u8 = 2;

const AFTER_HELP: &str = "\
Settings: defaults, then --config FILE, then TIDEWIRE_SECTION__KEY variables, then flags.
Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration (nothing started).";

/// An MQTT broker whose storage is a persistent log that Kafka clients can read.
#[derive(Debug, Parser)]
#[command(name = "tidewire", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the broker (what `tidewire` alone does, too).
    Serve,
    /// Check the configuration without starting: prints what would be served, or every mistake.
    Check,
    /// Make a folder with a configuration, a user, rules and certificates, and say what to do next.
    Init(Init),
    /// Edit or check the password file; make a line for the file of SCRAM.
    Passwd(Passwd),
    /// Ask the access rules of the configuration.
    Acl {
        #[command(subcommand)]
        command: AclCommand,
    },
    /// Make certificates for trying out, show what is in files of them, check that they are good.
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Put load on an MQTT broker, this one or another, and measure it.
    Bench(Bench),
    /// Look at a data folder: verify, dump, stats; and repair one whose broker is stopped.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
}

/// Does what was asked. The exit code is 0, 1 (failed while running) or 2 (refused to start).
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    // These need no configuration.
    match &cli.command {
        Some(Command::Init(init)) => return tell(init::run(init), "tidewire init"),
        Some(Command::Passwd(passwd)) => return tell(passwd::run(passwd), "tidewire"),
        Some(Command::Certs { command }) => return tell(certs::run(command), "tidewire certs"),
        Some(Command::Bench(bench)) => return measure(bench),
        _ => (),
    }
    let config = match Config::load(&cli.flags.sources()) {
        Ok(config) => config,
        Err(errors) => return complain(&errors, REFUSED),
    };
    match &cli.command {
        Some(Command::Check) => check(&config),
        Some(Command::Acl { command }) => tell(acl::run(command, &config), "tidewire acl"),
        Some(Command::Log { command }) => ExitCode::from(log::run(command, &config.data.dir)),
        _ => serve(&config),
    }
}

/// What a command has to say, and whether all is well.
fn tell(done: Result<(String, bool), String>, name: &str) -> ExitCode {
    match done {
        Ok((report, is_good)) => {
            say(std::io::stdout(), &report);
            if is_good { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(problem) => {
            say(std::io::stderr(), &format!("{name}: {problem}"));
            ExitCode::from(REFUSED)
        }
    }
}

fn measure(bench: &Bench) -> ExitCode {
    match bench::run(bench) {
        Ok((report, is_whole)) => {
            say(std::io::stdout(), &report);
            if is_whole { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(problem) => {
            say(std::io::stderr(), &format!("tidewire bench: {problem}"));
            ExitCode::from(FAILED)
        }
    }
}

fn serve(config: &Config) -> ExitCode {
    telemetry::init(&config.log);
    let data = config.data.dir.display();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %data, "Starting.");
    match serve::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Stop(StopError::Panicked)) => complain(&error, PANICKED),
        Err(error) => complain(&error, FAILED),
    }
}

fn check(config: &Config) -> ExitCode {
    let findings = check::look(config);
    for warning in &findings.warnings {
        say(std::io::stderr(), &format!("warning: {warning}"));
    }
    if findings.problems.is_empty() {
        say(std::io::stdout(), check::summary(config).trim_end());
        return ExitCode::SUCCESS;
    }
    for problem in &findings.problems {
        say(std::io::stderr(), &format!("tidewire: {problem}"));
    }
    ExitCode::from(REFUSED)
}

/// The error with all its causes, in one line each.
fn complain(error: &dyn Error, code: u8) -> ExitCode {
    let mut text = format!("tidewire: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    say(std::io::stderr(), &text);
    ExitCode::from(code)
}

/// A reader that went away is no reason to fail.
fn say(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
