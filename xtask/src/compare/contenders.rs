//! Who takes part in a load: brokers, with certificates and without. Starts none.

use std::path::PathBuf;
use std::process::Command;

use crate::output::run;
use crate::places::Places;

use super::peers::Peer;
use super::workloads::{Load, Way};

/// The host that the certificate is for, and what its files are named after.
const HOST: &str = "127.0.0.1";

/// One broker, in one way.
#[derive(Debug)]
pub(super) struct Contender<'a> {
    pub(super) name: String,
    pub(super) peer: &'a Peer,
    /// Only what is shown these is listened to.
    pub(super) certificates: Option<&'a Certificates>,
    /// What is otherwise in its settings than as it comes.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// What `tidewire bench` is told.
    pub(super) words: &'static [&'static str],
}

/// The cores of this broker stay awake for longer than it is from one message to the next.
const AWAKE: &[(&str, &str)] = &[("TIDEWIRE_THREADS__AWAKE_US", "250")];

/// This broker is the first.
pub(super) fn of<'a>(
    load: &Load,
    peers: &'a [Peer],
    certificates: &'a Certificates,
) -> Vec<Contender<'a>> {
    let plain = |peer: &'a Peer| Contender {
        name: peer.name().to_owned(),
        peer,
        certificates: None,
        environment: &[],
        words: load.words,
    };
    let secure = |peer: &'a Peer| Contender { certificates: Some(certificates), ..plain(peer) };
    let (ours, theirs): (Vec<_>, Vec<_>) =
        peers.iter().partition(|peer| matches!(peer, Peer::Tidewire));
    let ours = || ours.iter().copied();
    let theirs = theirs.into_iter();
    match load.way {
        Way::Plain => ours().chain(theirs).map(plain).collect(),
        Way::Awake => {
            let awake = |peer| Contender { environment: AWAKE, ..named("awake", plain(peer)) };
            let as_it_comes = ours().map(|peer| named("as it comes", plain(peer)));
            let mosquitto = theirs.filter(|peer| matches!(peer, Peer::Mosquitto { .. }));
            ours().map(awake).chain(as_it_comes).chain(mosquitto.map(plain)).collect()
        }
        Way::Secure => {
            let theirs = theirs.filter(|peer| matches!(peer, Peer::Mosquitto { .. }));
            let without = ours().map(|peer| named("without TLS", plain(peer)));
            ours().map(secure).chain(without).chain(theirs.map(secure)).collect()
        }
        Way::BesideItself(name, words) => {
            let beside = ours().map(|peer| named(name, Contender { words, ..plain(peer) }));
            ours().map(plain).chain(beside).collect()
        }
    }
}

fn named<'a>(name: &str, contender: Contender<'a>) -> Contender<'a> {
    Contender { name: name.to_owned(), ..contender }
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
