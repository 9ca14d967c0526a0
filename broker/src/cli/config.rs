//! `tidewire config`: what holds and who said so, what there is to say, and a configuration of
//! Mosquitto as one of ours. Changes no file.

mod limits;
mod mosquitto;
mod page;
mod reference;
mod schema;
mod show;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::config::{Config, ConfigErrors, Sources};
use mosquitto::{Fate, import};
use show::View;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show the configuration that holds, as a file that means the same.
    Show(Show),
    /// Print a JSON Schema of the configuration, for editors.
    Schema,
    /// Print the page of all settings, docs/configuration.md.
    Page {
        /// Print the table of all limits, the last part of docs/limits.md, instead.
        #[arg(long)]
        limits: bool,
    },
    /// Make a configuration of a mosquitto.conf, with a word on each of its lines.
    ImportMosquitto {
        /// The mosquitto.conf.
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct Show {
    /// The settings; the same as --config FILE.
    file: Option<PathBuf>,
    /// Say of each setting who said so: file and line, variable, flag, or nobody.
    #[arg(long)]
    origin: bool,
    /// Leave out what nobody said.
    #[arg(long)]
    changed: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Print every setting with its default and what it is for, instead.
    #[arg(long, conflicts_with_all = ["file", "origin", "changed", "json"])]
    defaults: bool,
}

impl ConfigCommand {
    /// The file of settings that it names.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Show(show) => show.file.as_deref(),
            _ => None,
        }
    }
}

/// What a command has to say.
pub(super) enum Said {
    /// This.
    Text(String),
    /// This, and a word on it for people.
    Noted(String, String),
    /// It cannot be said.
    Problem(String),
    /// The configuration is wrong.
    Mistakes(ConfigErrors),
}

/// Does what was asked.
pub(super) fn run(command: &ConfigCommand, sources: &Sources) -> Said {
    match command {
        ConfigCommand::Show(show) if show.defaults => {
            Said::Text(reference::TEXT.trim_end().to_owned())
        }
        ConfigCommand::Show(show) => shown(show, sources),
        ConfigCommand::Schema => Said::Text(format!("{:#}", schema::schema())),
        ConfigCommand::Page { limits } => {
            let page = if *limits { limits::table() } else { page::page() };
            Said::Text(page.trim_end().to_owned())
        }
        ConfigCommand::ImportMosquitto { file } => imported(file),
    }
}

fn shown(show: &Show, sources: &Sources) -> Said {
    let settings = match Config::explain(sources) {
        Ok(settings) => settings,
        Err(mistakes) => return Said::Mistakes(mistakes),
    };
    let view = View { has_origin: show.origin, is_changed_only: show.changed };
    Said::Text(match show.json {
        true => format!("{:#}", show::document(&settings, view)),
        false => show::toml(&settings, view),
    })
}

fn imported(file: &Path) -> Said {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return Said::Problem(format!("{} cannot be read: {error}", file.display())),
    };
    let imported = import(&text, &file.display().to_string());
    let count = |fate| imported.counts.get(&fate).copied().unwrap_or_default();
    let open = match count(Fate::Undecided) {
        0 => String::new(),
        open => format!(
            "{open} guard something that nothing here guards so, or are not known, ??: nothing \
             starts until each is decided and its decide_line deleted\n"
        ),
    };
    let note = format!(
        "{} lines taken over, {} need not be said, {} are not there: they are marked !! above \
         the settings\n{open}check what was made: tidewire check --config FILE",
        count(Fate::Taken),
        count(Fate::Always),
        count(Fate::Missing)
    );
    Said::Noted(imported.toml.trim_end().to_owned(), note)
}
