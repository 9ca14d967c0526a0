//! Who takes part in a load: brokers, with certificates and without. Starts none.

use std::path::PathBuf;
use std::process::Command;

use crate::output::run;
use crate::places::Places;

use super::peers::Peer;
use super::workloads::Load;

/// The host that the certificate is for, and what its files are named after.
const HOST: &str = "127.0.0.1";

/// One broker, in one way.
#[derive(Debug)]
pub(super) struct Contender<'a> {
    pub(super) name: String,
    pub(super) peer: &'a Peer,
    /// Only what is shown these is listened to.
    pub(super) certificates: Option<&'a Certificates>,
}

/// This broker is the first.
pub(super) fn of<'a>(
    load: &Load,
    peers: &'a [Peer],
    certificates: &'a Certificates,
) -> Vec<Contender<'a>> {
    let plain = |peer: &'a Peer| {
        let name = peer.name().to_owned();
        Contender { name, peer, certificates: None }
    };
    if !load.is_secure {
        return peers.iter().map(plain).collect();
    }
    let secure = |peer: &'a Peer| Contender { certificates: Some(certificates), ..plain(peer) };
    let (ours, theirs): (Vec<_>, Vec<_>) =
        peers.iter().partition(|peer| matches!(peer, Peer::Tidewire));
    let theirs = theirs.into_iter().filter(|peer| matches!(peer, Peer::Mosquitto { .. }));
    let without =
        ours.iter().map(|peer| Contender { name: "without TLS".to_owned(), ..plain(peer) });
    ours.iter().map(|peer| secure(peer)).chain(without).chain(theirs.map(secure)).collect()
}

/// A server's, its key and the authority, as `tidewire certs` makes them.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Each time anew: they run out.
    pub(super) fn make(places: &Places) -> Result<Self, String> {
        let folder = places.tools().join("compare-certificates");
        let _ = std::fs::remove_dir_all(&folder);
        let mut certs = Command::new(places.released_broker());
        run(certs.args(["certs", "server", HOST, "--dir"]).arg(&folder))?;
        Ok(Self { folder })
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(super) fn chain(&self) -> PathBuf {
        self.folder.join(format!("{HOST}.pem"))
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join(format!("{HOST}-key.pem"))
    }
}
