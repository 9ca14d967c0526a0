//! The flags that set something, and which setting each stands for. Never reads their values.

use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};

use crate::config::{Flag, Sources};

#[derive(Debug, Default, Args)]
pub(super) struct Flags {
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep everything durable in this folder [data.dir].
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Serve MQTT at this address, or "off" [listener.mqtt.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Serve Kafka clients at this address, or "off" [listener.kafka.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    kafka: Option<String>,
    /// Serve health, metrics and the API at this address, or "off" [listener.http.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    http: Option<String>,
    /// Started by root, become this user, or user:group [system.run_as].
    #[arg(long, global = true, value_name = "USER")]
    run_as: Option<String>,
    /// What to log: a level or a list like info,tidewire_store=debug [log.filter].
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

/// Which flags mean something to a command; to one that is not named here all do. The others
/// are taken all the same: a line that worked goes on working.
const MEANT: &[(&[&str], &[&str])] = &[
    (&["log", "backup", "restore"], &["config", "data"]),
    (&["token", "acl"], &["config", "data"]),
    (&["clients", "sessions", "streams", "groups", "topics"], &["config", "http"]),
    (&["retained", "bridge", "reload", "health"], &["config", "http"]),
    (&["init", "passwd", "certs", "pub", "sub", "bench", "completion", "man"], &[]),
];

/// The same commands; none shows a flag that means nothing to it.
pub(super) fn quiet(program: Command) -> Command {
    let flags: Vec<Arg> =
        program.get_arguments().filter(|it| it.is_global_set()).cloned().collect();
    let all = MEANT.iter().flat_map(|(commands, meant)| commands.iter().map(move |it| (it, meant)));
    all.fold(program, |program, (command, meant)| {
        let unmeant = flags.iter().filter(|flag| !meant.contains(&flag.get_id().as_str()));
        // One that a command has already is not handed down to it.
        let hidden = unmeant.cloned().map(|flag| flag.hide(true));
        program.mut_subcommand(command, |command| command.args(hidden))
    })
}

impl Flags {
    /// All that settings are read from, with the real environment.
    pub(super) fn sources(&self) -> Sources {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        };
        Sources {
            file: self.config.clone(),
            variables: std::env::vars_os().map(text).collect(),
            flags: self.given(),
        }
    }

    /// The same for a command that may be told the file without `--config`, too.
    pub(super) fn sources_with(&self, file: Option<&Path>) -> Result<Sources, String> {
        let sources = self.sources();
        match (file, &sources.file) {
            (Some(file), Some(other)) if file != other => Err(format!(
                "{} and --config {} are two files, and one configuration is read\n  \
                 try: one of the two",
                file.display(),
                other.display()
            )),
            (Some(file), _) => Ok(Sources { file: Some(file.into()), ..sources }),
            (None, _) => Ok(sources),
        }
    }

    fn given(&self) -> Vec<Flag> {
        let all = [
            ("--data", "data.dir", &self.data),
            ("--mqtt", "listener.mqtt.bind", &self.mqtt),
            ("--kafka", "listener.kafka.bind", &self.kafka),
            ("--http", "listener.http.bind", &self.http),
            ("--run-as", "system.run_as", &self.run_as),
            ("--log", "log.filter", &self.log),
        ];
        let given = |(name, setting, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { name, setting, value })
        };
        all.into_iter().filter_map(given).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::quiet;
    use crate::cli::Cli;

    fn help_of(path: &[&str]) -> String {
        let mut program = quiet(Cli::command());
        program.build();
        let mut command = &mut program;
        for name in path {
            command = command.find_subcommand_mut(name).expect("there is such a command");
        }
        command.render_long_help().to_string()
    }

    #[test]
    fn a_command_shows_no_flag_that_means_nothing_to_it() {
        for path in [&["log"][..], &["log", "verify"], &["backup"]] {
            let help = help_of(path);
            assert!(help.contains("--data") && help.contains("--config"), "{help}");
            assert!(!help.contains("--kafka") && !help.contains("--run-as"), "{help}");
        }
        for path in [&["sessions"][..], &["sessions", "prune"], &["reload"]] {
            let help = help_of(path);
            assert!(help.contains("--http") && !help.contains("--mqtt "), "{help}");
        }
        for path in [&["pub"][..], &["certs", "check"], &["init"]] {
            assert!(!help_of(path).contains("--config"), "{path:?}");
        }
        for path in [&[][..], &["serve"], &["check"], &["demo"]] {
            assert!(help_of(path).contains("--run-as"), "{path:?}");
        }
    }

    #[test]
    fn a_flag_that_is_not_shown_is_taken_all_the_same() {
        for line in ["tidewire log verify --kafka off --data d", "tidewire --data d log verify"] {
            let matches = quiet(Cli::command()).try_get_matches_from(line.split(' '));
            let cli = Cli::from_arg_matches(&matches.expect("taken")).expect("read");
            assert_eq!(cli.flags.data.as_deref(), Some("d"), "{line}");
        }
    }
}
