//! Mosquitto's broker, as Debian has it: the other side of a link. Never one that is installed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::places;
use crate::program::{PATIENCE, Program};

/// A running broker.
#[derive(Debug)]
pub struct Mosquitto {
    _program: Program,
    address: SocketAddr,
    _folder: TempDir,
}

impl Mosquitto {
    /// With these settings beside those that every test wants.
    ///
    /// # Panics
    /// When it does not come up; so do all others here.
    #[must_use]
    pub fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let text = format!(
            "listener {} {}\npersistence true\npersistence_location {}/\nmax_queued_messages 0\n\
             max_inflight_messages 100\nset_tcp_nodelay true\nlog_dest stdout\nuser root\n\
             allow_anonymous {}\n{settings}\n",
            address.port(),
            address.ip(),
            folder.path().display(),
            !settings.contains("password_file"),
        );
        fs::write(folder.path().join("settings"), text).expect("written");
        let program = run(&folder, address);
        Self { _program: program, address, _folder: folder }
    }

    /// Where it speaks MQTT.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn run(folder: &TempDir, address: SocketAddr) -> Program {
    let unpacked = places::mosquitto();
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries: Vec<PathBuf> =
        ["usr/lib", "lib"].iter().map(|lib| unpacked.join(lib).join(&machine)).collect();
    let libraries = std::env::join_paths(libraries).expect("no colons");
    let mut command = Command::new(unpacked.join("usr/sbin/mosquitto"));
    command.arg("-c").arg(folder.path().join("settings")).env("LD_LIBRARY_PATH", libraries);
    let program = Program::start(&mut command);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "it does not listen\n{}", program.output());
        thread::yield_now();
    }
    program
}
