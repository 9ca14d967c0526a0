//! `tidewire certs`: makes an authority and certificates for trying out, and looks at any. For
//! more than a test, use an authority that keeps its key elsewhere.

mod folder;
mod judge;
mod make;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use folder::Files;

pub(super) use judge::SOON_DAYS;

const DIR: &str = "certs";
const DAYS: u16 = 365;

const EXAMPLE: &str = "\
Example: tidewire certs server broker.example 192.168.1.7
         tidewire certs client press-7
makes certs/ca.pem, certs/broker.example.pem, certs/press-7.pem and a key beside each.
See docs/tls.md for the settings that name them.";

#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum CertsCommand {
    /// Make an authority; `server` and `client` make one too where there is none.
    Ca {
        #[command(flatten)]
        place: Place,
        /// Its name; none: one that no other has.
        #[arg(long)]
        name: Option<String>,
        /// How long it is good for.
        #[arg(long, value_name = "N", default_value_t = make::CA_DAYS)]
        days: u16,
    },
    /// Make a server's certificate for these host names and addresses.
    Server {
        #[command(flatten)]
        place: Place,
        /// How long it is good for.
        #[arg(long, value_name = "N", default_value_t = DAYS)]
        days: u16,
        /// Host names and addresses; its files are named after the first.
        #[arg(default_values = ["localhost", "127.0.0.1", "::1"])]
        names: Vec<String>,
    },
    /// Make a client's certificate.
    Client {
        #[command(flatten)]
        place: Place,
        /// How long it is good for.
        #[arg(long, value_name = "N", default_value_t = DAYS)]
        days: u16,
        /// Its common name, after which its files are named.
        name: String,
    },
    /// Put certificates on the list of the revoked, crl.pem.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// How long the list is good for.
        #[arg(long, value_name = "N", default_value_t = DAYS)]
        days: u16,
        /// The files of the certificates; none: an empty list is made, or the old one signed anew.
        certs: Vec<PathBuf>,
        /// Say what would be on the list, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what is in PEM files: certificates, lists of the revoked.
    Show {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// One JSON document instead of words.
        #[arg(long)]
        json: bool,
    },
    /// Check a certificate: its dates, chain, names, key.
    Check(Check),
}

/// Where files are.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// The folder; ca.pem and ca-key.pem in it are the authority.
    #[arg(long, default_value = DIR)]
    dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// The certificate, with those between it and the authority behind it.
    cert: PathBuf,
    /// Its key, as `key_file` will name it.
    #[arg(long)]
    key: Option<PathBuf>,
    /// The authority that clients, or the server, will trust.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// A list of the revoked.
    #[arg(long)]
    crl: Option<PathBuf>,
    /// A host name or address that clients will connect to; none: it is a client's certificate.
    #[arg(long)]
    name: Option<String>,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Makes a server's certificate, and an authority where there is none; where the certificate and
/// its key are.
pub(super) fn make_server(
    dir: &Path,
    names: &[String],
    days: u16,
) -> Result<(PathBuf, PathBuf), String> {
    make::server(dir, names, days)?;
    let Files { cert, key } = Files::named(dir, names.first().map_or("server", String::as_str));
    Ok((cert, key))
}

/// Does it; the answer is what to print, and whether all is well.
pub(super) fn run(command: &CertsCommand) -> Result<(String, bool), String> {
    match command {
        CertsCommand::Ca { place, name, days } => {
            make::authority(&place.dir, name.as_deref(), *days)
        }
        CertsCommand::Server { place, days, names } => make::server(&place.dir, names, *days),
        CertsCommand::Client { place, days, name } => make::client(&place.dir, name, *days),
        CertsCommand::Revoke { place, days, certs, dry_run } => {
            make::revoke(&place.dir, certs, *days, *dry_run)
        }
        CertsCommand::Show { files, json } => show::run(files, *json).map(|text| (text, true)),
        CertsCommand::Check(check) => {
            let Check { cert, key, ca, crl, name, json } = check;
            let asked = judge::Asked {
                key: key.as_deref(),
                ca: ca.as_deref(),
                crl: crl.as_deref(),
                name: name.as_deref(),
            };
            judge::run(cert, &asked, *json)
        }
    }
}
