//! Mosquitto's broker, as Debian has it: the other side of a link. Never one that is installed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::places;
use crate::program::{PATIENCE, Program};

/// A running broker.
#[derive(Debug)]
pub struct Mosquitto {
    program: Program,
    address: SocketAddr,
    folder: TempDir,
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
             max_inflight_messages 20000\nset_tcp_nodelay true\nlog_dest stdout\nuser root\n\
             allow_anonymous {}\n{settings}\n",
            address.port(),
            address.ip(),
            folder.path().display(),
            !settings.contains("password_file"),
        );
        fs::write(folder.path().join("settings"), text).expect("written");
        let program = run(&folder, address);
        Self { program, address, folder }
    }

    /// Where it speaks MQTT.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGTERM: it writes what it holds to its file, and ends.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        let _ = self.program.terminate();
    }

    /// SIGKILL. It has forgotten what it acknowledged since it wrote its file, by itself or because
    /// of [`save`](Self::save).
    pub fn kill9(&mut self) {
        self.program.kill9();
    }

    /// Has it write its file, and waits until it has: it is another file then.
    ///
    /// # Panics
    /// When it does not.
    pub fn save(&self) {
        let before = self.saved();
        self.program.poke();
        let deadline = Instant::now() + PATIENCE;
        while self.saved() == before {
            assert!(Instant::now() < deadline, "it does not save\n{}", self.program.output());
            thread::yield_now();
        }
    }

    /// Which file it has written last.
    fn saved(&self) -> Option<(u64, i64)> {
        let file = fs::metadata(self.folder.path().join("mosquitto.db")).ok()?;
        Some((file.ino(), file.ctime_nsec()))
    }

    /// Starts again where it was; call it after `stop` or `kill9`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.program = run(&self.folder, self.address);
    }
}

/// Writes a file of passwords with one user, as `password_file` wants it.
///
/// # Panics
/// When Mosquitto's own program for it fails.
pub fn write_password(file: &Path, user: &str, password: &str) {
    let mut command = unpacked("usr/bin/mosquitto_passwd");
    let _ = Program::start(command.args(["-b", "-c"]).arg(file).args([user, password])).succeeds();
}

/// One of its programs, with its libraries.
fn unpacked(program: &str) -> Command {
    let unpacked = places::mosquitto();
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries: Vec<PathBuf> =
        ["usr/lib", "lib"].iter().map(|lib| unpacked.join(lib).join(&machine)).collect();
    let libraries = std::env::join_paths(libraries).expect("no colons");
    let mut command = Command::new(unpacked.join(program));
    command.env("LD_LIBRARY_PATH", libraries);
    command
}

fn run(folder: &TempDir, address: SocketAddr) -> Program {
    let mut command = unpacked("usr/sbin/mosquitto");
    command.arg("-c").arg(folder.path().join("settings"));
    let program = Program::start(&mut command);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "it does not listen\n{}", program.output());
        thread::yield_now();
    }
    program
}
