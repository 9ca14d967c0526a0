//! What the machine has in store for a broker with this configuration: ports that others have,
//! room on the disk, certificates that run out. Opens no port and makes nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Socket, Type};
use tidewire_store::{Disk as _, RealDisk};

use crate::cli::certs::SOON_DAYS;
use crate::cli::wording::size;
use crate::config::{StoreConfig, TlsConfig};
use crate::http::free_bytes;
use crate::tls::{self, Facts};
use crate::wall_clock::wall_clock_ms;

const DAY_S: i64 = 86_400;
const LOCK: &str = "LOCK";

/// Ports that somebody has; of a broker that runs on this data folder they are its own.
pub(super) fn look_at_ports(
    listeners: impl Iterator<Item = (&'static str, SocketAddr)>,
    data: &Path,
) -> Vec<String> {
    if is_running(data) {
        return Vec::new();
    }
    let taken = listeners.filter(|(_, address)| address.port() != 0);
    let taken = taken.filter_map(|(name, address)| {
        let why = unfree(address)?;
        Some(format!(
            "listener.{name}.bind = {address} {why}: end who has it (`ss -ltnp`), or choose another"
        ))
    });
    taken.collect()
}

/// Or may be, as far as we are let see. Nothing is made to find out.
fn is_running(data: &Path) -> bool {
    match data.join(LOCK).try_exists() {
        Ok(false) => false,
        Ok(true) => RealDisk::new(data).lock(LOCK).is_err(),
        Err(_) => true,
    }
}

/// Why nobody can listen there. The port is not opened: nobody can connect to it meanwhile.
fn unfree(address: SocketAddr) -> Option<&'static str> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    // As a listener does: what is left of earlier connections keeps nobody out.
    socket.set_reuse_address(true).ok()?;
    match socket.bind(&address.into()).err()?.kind() {
        ErrorKind::AddrInUse => Some("is in use"),
        ErrorKind::AddrNotAvailable => Some("is no address of this machine"),
        _ => None,
    }
}

/// Whether the log has room to begin, or to go on. `here`: the folder, or where it will be made.
pub(super) fn look_at_space(store: &StoreConfig, dir: &Path, here: &Path) -> Option<String> {
    // A log that is there has its files already, but for the next one.
    let (needed, setting) = match dir.exists() {
        true => (store.wal_file_bytes, "store.wal_file_bytes"),
        false => (store.wal_bytes_max, "store.wal_bytes_max"),
    };
    let free = free_bytes(here)?;
    (free < needed).then(|| {
        format!(
            "{} are free on the disk of {}, fewer than the write-ahead log may take ({setting} = \
             {}): make room, or choose another folder (--data DIR)",
            size(free),
            dir.display(),
            size(needed)
        )
    })
}

/// Certificates of ours that run out soon, or have.
pub(super) fn look_at_expiry(open: &[&TlsConfig]) -> Vec<String> {
    let files = open
        .iter()
        .flat_map(|tls| tls.cert_file.iter().chain(tls.more.iter().map(|pair| &pair.cert_file)));
    let mut told: Vec<String> = files.filter_map(|file| runs_out(file)).collect();
    // Several listeners may show one.
    told.dedup();
    told
}

/// The first of those in a file that run out; what cannot be read is told of elsewhere.
fn runs_out(file: &Path) -> Option<String> {
    let facts = tls::certificates(file).ok()?.into_iter().filter_map(|cert| Facts::of(&cert).ok());
    let first = facts.min_by_key(|facts| facts.not_after_s)?;
    let days = (first.not_after_s - wall_clock_ms() / 1000).div_euclid(DAY_S);
    let (file, subject) = (file.display(), &first.subject);
    match days {
        ..0 => Some(format!("{file}: {subject} has run out: put a new certificate there")),
        0..SOON_DAYS => Some(format!(
            "{file}: {subject} is good for {days} days only: put a new certificate there, a broker \
             that runs takes it over by itself"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{StoreConfig, TlsConfig, look_at_expiry, look_at_ports, look_at_space};
    use crate::cli::certs::make_server;

    #[test]
    fn a_port_that_somebody_has_is_warned_about() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let look = |address| look_at_ports([("mqtt", address)].into_iter(), folder.path());
        let told = look(taken.local_addr().expect("bound")).concat();
        assert!(told.contains("listener.mqtt.bind") && told.contains("is in use"), "{told}");
        let any = look(([127, 0, 0, 1], 0).into());
        assert_eq!(any, Vec::<String>::new(), "the system finds one");
    }

    #[test]
    fn a_disk_without_room_for_the_log_is_warned_about() {
        let folder = tempfile::tempdir().expect("a folder");
        let look = |wal_file_bytes| {
            let store = StoreConfig { wal_file_bytes, ..StoreConfig::default() };
            look_at_space(&store, folder.path(), folder.path())
        };
        assert_eq!(look(1), None);
        assert!(look(u64::MAX).expect("no disk has that").contains("make room"));
    }

    #[test]
    fn a_certificate_that_runs_out_within_a_month_is_warned_about() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, days, part) in [("long", 90, ""), ("short", 7, "days only")] {
            let (cert, _) = make_server(folder.path(), &[name.into()], days).expect("made");
            let tls = TlsConfig { cert_file: Some(cert), ..TlsConfig::default() };
            let told = look_at_expiry(&[&tls]).concat();
            assert_eq!(told.is_empty(), part.is_empty(), "{told}");
            assert!(told.contains(part), "{told}");
        }
    }
}
