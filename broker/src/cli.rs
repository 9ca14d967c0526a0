//! The command line: what was asked, and with which settings. Does no work of its own.

mod acl;
mod backup;
mod beginning;
mod bench;
mod certs;
mod check;
mod config;
mod connection;
mod demo;
mod edit_file;
mod flags;
mod flight;
mod init;
mod log;
mod orders;
mod paper;
mod passwd;
mod progress;
mod publish;
mod remote;
mod span;
mod subscribe;
mod token;
mod wording;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Config, Sources};
use crate::error::StopError;
use crate::serve::{self, ServeError};
use crate::telemetry;

use acl::AclCommand;
use backup::{Backup, Restore};
use bench::Bench;
use certs::CertsCommand;
use check::Check;
use config::ConfigCommand;
use demo::Demo;
use flags::Flags;
use init::Init;
use log::LogCommand;
use orders::Order;
use paper::{Completion, Manual};
use passwd::Passwd;
use progress::Line;
use publish::Publish;
use remote::Trouble;
use subscribe::Subscribe;
use token::TokenCommand;

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

impl Cli {
    /// What the command line of this process asks for. Ends the process when it cannot be read.
    #[must_use]
    pub fn from_command_line() -> Self {
        let matches = flags::quiet(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the broker (what `tidewire` alone does, too).
    Serve,
    /// Check the configuration without starting: prints what would be served, or every mistake.
    Check(Check),
    /// Show what holds and who said so; import a mosquitto.conf; a schema for editors.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make a folder with configuration, user, token, rules, certificates, and say what to do next.
    Init(Init),
    /// Edit or check the password file; make a line for the file of SCRAM.
    Passwd(Passwd),
    /// Make, list and remove tokens for the HTTP port.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
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
    /// Publish to a broker, this one or another, and say what it answers.
    Pub(Box<Publish>),
    /// Subscribe to what a broker has, and show it: live, from the past, or as a picture.
    Sub(Box<Subscribe>),
    /// Have devices that are not there publish telemetry, so that there is something to look at.
    Demo(Box<Demo>),
    /// Put load on an MQTT broker, this one or another, and measure it.
    Bench(Bench),
    /// Copy the data folder, also of a broker that runs: all that it acknowledged before is in it.
    Backup(Backup),
    /// Make the data folder of a backup, and check every byte of it.
    Restore(Restore),
    #[command(flatten)]
    Order(Order),
    /// Print what a shell needs to complete commands.
    Completion(Completion),
    /// Print a page of the manual.
    Man(Manual),
    /// Look at a data folder: verify, dump, stats; and repair one whose broker is stopped.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
}

/// Does what was asked. The exit code is 0, 1 (failed while running) or 2 (refused to start).
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    // These need no configuration, or ask for it in their own way.
    match &cli.command {
        Some(Command::Init(init)) => return tell(init::run(init), "tidewire init"),
        Some(Command::Passwd(passwd)) => return tell(passwd::run(passwd), "tidewire"),
        Some(Command::Certs { command }) => return tell(certs::run(command), "tidewire certs"),
        Some(Command::Bench(bench)) => return work(bench::run(bench), "tidewire bench"),
        Some(Command::Config { command }) => return configure(command, &cli.flags),
        Some(Command::Check(asked)) => return check(asked, &cli.flags),
        Some(Command::Completion(asked)) => return paper(paper::completion(asked, all())),
        Some(Command::Man(asked)) => return paper(paper::manual(asked, all())),
        Some(Command::Pub(publish)) => return work(publish::run(publish), "tidewire pub"),
        Some(Command::Sub(subscribe)) => return work(subscribe::run(subscribe), "tidewire sub"),
        Some(Command::Order(order)) => return ask(order, &cli.flags),
        Some(Command::Demo(demo)) if !demo.serve => return work(demo::run(demo), "tidewire demo"),
        _ => (),
    }
    let sources = cli.flags.sources();
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(errors) => return complain(&errors, REFUSED),
    };
    match &cli.command {
        Some(Command::Token { command }) => tell(token::run(command, &config), "tidewire token"),
        Some(Command::Acl { command }) => tell(acl::run(command, &config), "tidewire acl"),
        Some(Command::Backup(backup)) => {
            judged(backup::back_up(backup, &config.data.dir), "tidewire backup")
        }
        Some(Command::Restore(restore)) => {
            judged(backup::restore(restore, &config.data.dir), "tidewire restore")
        }
        Some(Command::Log { command }) => ExitCode::from(log::run(command, &config.data.dir)),
        Some(Command::Demo(demo)) => {
            telemetry::init(&config.log);
            work(demo::run_with_broker(demo, &config), "tidewire demo")
        }
        _ => serve(&config, sources),
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

/// All commands, as their help shows them.
fn all() -> clap::Command {
    flags::quiet(Cli::command())
}

fn paper(text: Result<String, String>) -> ExitCode {
    tell(text.map(|text| (text, true)), "tidewire")
}

fn configure(command: &ConfigCommand, flags: &Flags) -> ExitCode {
    let sources = match flags.sources_with(command.file()) {
        Ok(sources) => sources,
        Err(problem) => return tell(Err(problem), "tidewire config"),
    };
    match config::run(command, &sources) {
        config::Said::Text(text) => say(std::io::stdout(), &text),
        config::Said::Noted(text, note) => {
            say(std::io::stdout(), &text);
            say(std::io::stderr(), &note);
        }
        config::Said::Problem(problem) => return tell(Err(problem), "tidewire config"),
        config::Said::Mistakes(mistakes) => return complain(&mistakes, REFUSED),
    }
    ExitCode::SUCCESS
}

/// The same of what is done with a broker: what goes wrong there is no wrong usage.
fn work(done: Result<(String, bool), String>, name: &str) -> ExitCode {
    match done {
        // It has said all that there is.
        Ok((report, true)) if report.is_empty() => ExitCode::SUCCESS,
        Ok(done) => tell(Ok(done), name),
        Err(problem) => {
            say(std::io::stderr(), &format!("{name}: {problem}"));
            ExitCode::from(FAILED)
        }
    }
}

/// The same of what a running broker is asked.
fn ask(order: &Order, flags: &Flags) -> ExitCode {
    judged(orders::run(order, &flags.sources()), orders::name(order))
}

/// The same of what knows whether it was asked wrongly, or failed.
fn judged(done: Result<(String, bool), Trouble>, name: &str) -> ExitCode {
    match done {
        Err(trouble) if trouble.is_usage => tell(Err(trouble.words), name),
        done => work(done.map_err(|trouble| trouble.words), name),
    }
}

fn serve(config: &Config, sources: Sources) -> ExitCode {
    telemetry::init(&config.log);
    let data = config.data.dir.display();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %data, "Starting.");
    let mut line = Line::new("reading the log again", wording::size);
    match serve::run(config, sources, Box::new(move |progress| line.show(progress))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Stop(StopError::Panicked)) => complain(&error, PANICKED),
        Err(error) => complain(&error, FAILED),
    }
}

fn check(asked: &Check, flags: &Flags) -> ExitCode {
    let sources = match flags.sources_with(asked.file.as_deref()) {
        Ok(sources) => sources,
        Err(problem) => return tell(Err(problem), "tidewire check"),
    };
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(errors) if asked.json => {
            say(std::io::stdout(), &check::mistakes(&errors.lines()));
            return ExitCode::from(REFUSED);
        }
        Err(errors) => return complain(&errors, REFUSED),
    };
    let findings = check::look(&config);
    if asked.json {
        say(std::io::stdout(), &check::document(&config, &findings));
        let is_good = findings.problems.is_empty();
        return if is_good { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) };
    }
    for warning in &findings.warnings {
        say(std::io::stderr(), &format!("warning: {warning}"));
    }
    if findings.problems.is_empty() {
        say(std::io::stdout(), check::summary(&config).trim_end());
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
