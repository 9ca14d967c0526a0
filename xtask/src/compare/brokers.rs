//! A broker that runs for one measurement, on a processor of its own, with an empty folder.
//! Measures nothing.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::places::Places;
use crate::processor::SERVER;
use crate::servers::free_address;

use super::contenders::{Certificates, Contender};
use super::peers::Peer;

const PATIENCE: Duration = Duration::from_secs(20);

/// Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Running {
    /// Starts this broker as it comes, and waits until it listens.
    pub(crate) fn start_ours(places: &Places) -> Result<Self, String> {
        Self::start(places, &Peer::Tidewire, None, &[])
    }

    /// Starts it, and waits until it listens.
    pub(super) fn start_contender(
        places: &Places,
        contender: &Contender<'_>,
    ) -> Result<Self, String> {
        let Contender { peer, certificates, environment, .. } = *contender;
        Self::start(places, peer, certificates, environment)
    }

    /// For TLS alone where there are certificates.
    fn start(
        places: &Places,
        peer: &Peer,
        certificates: Option<&Certificates>,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let folder = places.tools().join("compare");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let address = free_address()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &SERVER.to_string()]).envs(environment.iter().copied());
        match certificates {
            None => tell(&mut command, places, peer, address, &folder)?,
            Some(certificates) => {
                tell_secure(&mut command, places, peer, address, (&folder, certificates))?;
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("taskset: {error}"))?;
        let mut running = Self { child, address, folder };
        running.await_listener().map_err(|problem| format!("{}: {problem}", peer.name()))?;
        Ok(running)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of the process: `taskset` became it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.end();
        fs::remove_dir_all(&self.folder).map_err(|error| error.to_string())
    }

    fn await_listener(&mut self) -> Result<(), String> {
        let since = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || since.elapsed() > PATIENCE {
                return Err("it does not listen".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn tell(
    command: &mut Command,
    places: &Places,
    peer: &Peer,
    address: SocketAddr,
    folder: &Path,
) -> Result<(), String> {
    // rumqttd takes the format from the ending of the name.
    let file = folder.join("settings.toml");
    let settings = match peer {
        Peer::Tidewire => {
            command.arg(places.released_broker()).arg("--data").arg(folder.join("data"));
            command.args(["--mqtt", &address.to_string(), "--http", "off"]);
            return Ok(());
        }
        Peer::Mosquitto { folder: program } => {
            tell_mosquitto(command, program, &file);
            mosquitto_settings(address, folder)
        }
        Peer::Rumqttd { program } => {
            command.arg(program).arg("--config").arg(&file);
            rumqttd_settings(address)
        }
    };
    fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))
}

/// The same, by TLS and nothing else.
fn tell_secure(
    command: &mut Command,
    places: &Places,
    peer: &Peer,
    address: SocketAddr,
    (folder, certificates): (&Path, &Certificates),
) -> Result<(), String> {
    let file = folder.join("settings.toml");
    let (chain, key) = (certificates.chain(), certificates.key());
    let settings = match peer {
        Peer::Tidewire => {
            command.arg(places.released_broker()).arg("--data").arg(folder.join("data"));
            command.args(["--mqtt", "off", "--http", "off", "--config"]).arg(&file);
            let tls = format!("cert_file = {chain:?}\nkey_file = {key:?}\n");
            format!("[listener.mqtts]\nbind = \"{address}\"\n[listener.mqtts.tls]\n{tls}")
        }
        Peer::Mosquitto { folder: program } => {
            tell_mosquitto(command, program, &file);
            let plain = mosquitto_settings(address, folder);
            format!("{plain}certfile {}\nkeyfile {}\n", chain.display(), key.display())
        }
        Peer::Rumqttd { .. } => return Err("rumqttd is not measured over TLS".to_owned()),
    };
    fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))
}

fn tell_mosquitto(command: &mut Command, program: &Path, settings: &Path) {
    let libraries = ["usr/lib", "lib"].map(|lib| program.join(lib).join(libraries()));
    let libraries = libraries.map(|path| path.display().to_string()).join(":");
    command.arg("env").arg(format!("LD_LIBRARY_PATH={libraries}"));
    command.arg(program.join("usr/sbin/mosquitto")).arg("-c").arg(settings);
}

fn libraries() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// Nothing is dropped, and packets leave at once; otherwise as it comes.
fn mosquitto_settings(address: SocketAddr, folder: &Path) -> String {
    format!(
        "listener {} {}\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
         max_queued_messages 0\nmax_inflight_messages 1000\nset_tcp_nodelay true\nlog_dest none\n\
         user root\n",
        address.port(),
        address.ip(),
        folder.display(),
    )
}

/// Room for the loads, and connections as fast as it takes them.
fn rumqttd_settings(address: SocketAddr) -> String {
    format!(
        "id = 0\n\n[router]\nid = 0\nmax_connections = 20010\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n\n[v4.1]\nname = \"v4\"\n\
         listen = \"{address}\"\nnext_connection_delay_ms = 1\n\n[v4.1.connections]\n\
         connection_timeout_ms = 60000\nmax_payload_size = 1048576\nmax_inflight_count = 1000\n\
         dynamic_filters = true\n"
    )
}
