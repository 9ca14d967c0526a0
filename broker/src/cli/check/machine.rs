//! What the machine has in store for a broker with this configuration: ports that others have,
//! room on the disk, certificates that run out. Opens no port and makes nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Socket, Type};
use tidewire_store::{Disk as _, RealDisk};

use super::{listeners, nearest_existing, open_tls};
use crate::cli::certs::SOON_DAYS;
use crate::cli::wording::size;
use crate::config::{Config, ListenerConfig};
use crate::http::free_bytes;
use crate::tls::{self, Facts};
use crate::wall_clock::wall_clock_ms;

const DAY_S: i64 = 86_400;
const LOCK: &str = "LOCK";

/// Ports that somebody has; of a broker that runs on this data folder they are its own.
pub(super) fn look_at_ports(config: &Config) -> Vec<String> {
    if is_running(&config.data.dir) {
        return Vec::new();
    }
    let taken = listeners(config).into_iter().filter_map(|row| {
        let address = row.bind.filter(|address| address.port() != 0)?;
        let why = unfree(address)?;
        let name = row.name;
        Some(format!(
            "listener.{name}.bind = {address} {why}: end who has it (`ss -ltnp`), or choose another"
        ))
    });
    taken.collect()
}

/// Nothing is made to find out.
fn is_running(data: &Path) -> bool {
    let is_there = data.join(LOCK).exists();
    let lock = || RealDisk::new(data).lock(LOCK);
    is_there && lock().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
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

/// Whether the log has room to begin, or to go on.
pub(super) fn look_at_space(config: &Config) -> Option<String> {
    let (dir, store) = (&config.data.dir, &config.store);
    // A log that is there has its files already, but for the next one.
    let (needed, setting) = match dir.exists() {
        true => (store.wal_file_bytes, "store.wal_file_bytes"),
        false => (store.wal_bytes_max, "store.wal_bytes_max"),
    };
    let free = free_bytes(&nearest_existing(dir))?;
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
pub(super) fn look_at_expiry(config: &ListenerConfig) -> Vec<String> {
    let open = open_tls(config).into_iter();
    let files = open
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

    use super::{Config, ListenerConfig, look_at_expiry, look_at_ports, look_at_space};
    use crate::cli::certs::make_server;

    #[test]
    fn a_port_that_somebody_has_is_warned_about() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.data.dir = folder.path().join("data");
        config.listener.kafka.bind = None;
        config.listener.http.bind = None;
        config.listener.mqtt.bind = taken.local_addr().ok();
        let told = look_at_ports(&config).concat();
        assert!(told.contains("listener.mqtt.bind") && told.contains("is in use"), "{told}");
        config.listener.mqtt.bind = Some(([127, 0, 0, 1], 0).into());
        assert_eq!(look_at_ports(&config), Vec::<String>::new(), "the system finds one");
    }

    #[test]
    fn a_disk_without_room_for_the_log_is_warned_about() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.data.dir = folder.path().into();
        config.store.wal_file_bytes = 1;
        assert_eq!(look_at_space(&config), None);
        config.store.wal_file_bytes = u64::MAX;
        assert!(look_at_space(&config).expect("no disk has that").contains("make room"));
    }

    #[test]
    fn a_certificate_that_runs_out_within_a_month_is_warned_about() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = ListenerConfig::default();
        config.mqtts.bind = Some(([127, 0, 0, 1], 8883).into());
        for (name, days, part) in [("long", 90, ""), ("short", 7, "days only")] {
            let (cert, _) = make_server(folder.path(), &[name.into()], days).expect("made");
            config.mqtts.tls.cert_file = Some(cert);
            let told = look_at_expiry(&config).concat();
            assert_eq!(told.is_empty(), part.is_empty(), "{told}");
            assert!(told.contains(part), "{told}");
        }
    }
}
