//! `tidewire passwd`: makes a line for the file of credentials. Writes no file.

use std::io::{self, BufRead};

use clap::Args;
use tidewire_proto::scram::{ITERATIONS_MAX, ITERATIONS_MIN};

use crate::users::{self, ITERATIONS};

#[derive(Clone, Debug, Args)]
pub(super) struct Passwd {
    /// Make a SCRAM-SHA-256 line for this user, for the file that auth.scram_file names.
    #[arg(long, value_name = "USER")]
    scram: String,
    /// How often the password is hashed: more makes guessing dearer, and signing in as well.
    #[arg(long, value_name = "N", default_value_t = ITERATIONS)]
    #[arg(value_parser = clap::value_parser!(u32)
        .range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

/// The line for the password in the first line of the standard input.
pub(super) fn run(passwd: &Passwd) -> Result<String, String> {
    let mut password = String::new();
    let read = io::stdin().lock().read_line(&mut password);
    read.map_err(|error| format!("the password cannot be read from the standard input: {error}"))?;
    let password = password.trim_end_matches(['\r', '\n']);
    users::line(&passwd.scram, password, passwd.iterations).map_err(|error| error.to_string())
}
