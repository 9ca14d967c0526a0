//! The loads under which the released broker is counted: what brokers do most, by every way in.
//! Measures nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::output::{note, run as run_to_its_end};
use crate::processor::{CLIENT, SERVER};
use crate::servers::{Server, free_address};

/// How a load comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Tcp,
    Web,
    Tls,
    Kafka,
}

/// Each for so long, where it is not a number of messages.
const SECONDS: &[&str] = &["--warm-up", "0", "--seconds", "1"];

const LOADS: &[(Door, &[&str])] = &[
    (Door::Tcp, &["fan-in", "--qos", "0"]),
    (Door::Tcp, &["fan-in", "--qos", "1"]),
    (Door::Tcp, &["fan-in", "--qos", "2"]),
    (Door::Tcp, &["fan-in", "--qos", "1", "--protocol", "5"]),
    (Door::Tcp, &["fan-in", "--qos", "1", "--payload", "1000"]),
    (Door::Tcp, &["pairs", "--qos", "0", "--undelivered", "200"]),
    (Door::Tcp, &["pairs", "--qos", "1", "--undelivered", "200"]),
    (Door::Tcp, &["fan-out", "--qos", "0", "--undelivered", "50"]),
    (Door::Tcp, &["fan-out", "--qos", "1", "--undelivered", "50", "--protocol", "5"]),
    (Door::Tcp, &["shared", "--qos", "0"]),
    (Door::Tcp, &["shared", "--qos", "1"]),
    (Door::Tcp, &["shared", "--qos", "2"]),
    (Door::Tcp, &["fan-in", "--publishers", "1000", "--rate", "10000", "--qos", "0"]),
    (Door::Tcp, &["fan-in", "--publishers", "1000", "--rate", "10000", "--qos", "1"]),
    (Door::Tcp, &["fan-in", "--publishers", "200", "--inflight", "1", "--qos", "1"]),
    (Door::Tcp, &["retained", "--qos", "1"]),
    (Door::Tcp, &["offline", "--qos", "1", "--sessions", "10"]),
    (Door::Tcp, &["connect", "--subscribe", "--connections", "2000"]),
    (Door::Web, &["fan-in", "--qos", "1"]),
    (Door::Tls, &["fan-in", "--qos", "1"]),
    (Door::Tls, &["connect", "--connections", "200"]),
    (Door::Kafka, &["kafka", "--messages", "300000"]),
];

/// Once more with cores that hand over to each other, after a start on what lies there, and with
/// bridges beside.
const LOADS_OF_TWO: &[(Door, &[&str])] = &[
    (Door::Tcp, &["fan-in", "--qos", "1", "--rate", "100000"]),
    (Door::Tcp, &["pairs", "--qos", "1", "--undelivered", "200"]),
    (Door::Tcp, &["fan-out", "--qos", "0", "--undelivered", "50"]),
    (Door::Tcp, &["shared", "--qos", "1"]),
];

/// Broker and generator are both this program. It writes its counts when it ends.
pub(super) fn run(program: &Path, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let _ = fs::remove_dir_all(folder);
    let (first, second) = (folder.join("first"), folder.join("second"));
    for each in [&first, &second] {
        fs::create_dir_all(each).map_err(failed)?;
    }
    let done = train(program, folder, (&first, &second));
    fs::remove_dir_all(folder).map_err(failed)?;
    done
}

fn train(program: &Path, folder: &Path, (first, second): (&Path, &Path)) -> Result<(), String> {
    let certificates = folder.join("certificates");
    let mut certs = Command::new(program);
    certs.args(["certs", "server", "127.0.0.1", "--dir"]).arg(&certificates);
    run_to_its_end(certs.stdout(Stdio::null()))?;
    let doors = Doors { web: free_address()?, tls: free_address()? };
    let alone = Server::tidewire(program, first, &doors.settings(&certificates), SERVER)?;
    let authority = certificates.join("ca.pem");
    for (door, words) in LOADS {
        load(program, (*door, words), &doors.address(*door, &alone), &authority)?;
    }
    alone.stop()?;
    let neighbour = Server::tidewire(program, second, "", CLIENT)?;
    let two = Server::tidewire(program, first, &with_bridges(&neighbour), SERVER)?;
    for (door, words) in LOADS_OF_TWO {
        load(program, (*door, words), &doors.address(*door, &two), &authority)?;
    }
    two.stop()?;
    neighbour.stop()
}

fn load(
    program: &Path,
    (door, words): (Door, &[&str]),
    to: &str,
    authority: &Path,
) -> Result<(), String> {
    note(&format!("{} ({door:?})", words.join(" ")));
    let mut bench = Command::new("taskset");
    bench.args(["-c", &CLIENT.to_string()]).arg(program).arg("bench").args(words);
    bench.args(SECONDS).args(["--to", to]);
    if door == Door::Tls {
        bench.arg("--cafile").arg(authority);
    }
    run_to_its_end(bench.stdout(Stdio::null()))
}

/// Those that a `Server` does not have anyhow.
struct Doors {
    web: SocketAddr,
    tls: SocketAddr,
}

impl Doors {
    fn settings(&self, certificates: &Path) -> String {
        let (chain, key) =
            (certificates.join("127.0.0.1.pem"), certificates.join("127.0.0.1-key.pem"));
        format!(
            "[listener.websocket]\nbind = \"{}\"\n[listener.mqtts]\nbind = \"{}\"\n\
             [listener.mqtts.tls]\ncert_file = {chain:?}\nkey_file = {key:?}\n",
            self.web, self.tls,
        )
    }

    fn address(&self, door: Door, server: &Server) -> String {
        match door {
            Door::Tcp => server.mqtt.to_string(),
            Door::Web => format!("ws://{}/mqtt", self.web),
            Door::Tls => format!("mqtts://{}", self.tls),
            Door::Kafka => server.kafka.to_string(),
        }
    }
}

fn with_bridges(to: &Server) -> String {
    format!(
        "[threads]\ncores = 2\n\
         [[bridge.link]]\nname = \"link\"\naddresses = [\"{}\"]\n\
         rules = [{{ direction = \"out\", filter = \"#\", qos = 1 }}]\n\
         [[bridge.export]]\nname = \"export\"\ntopic = \"mqtt\"\n\
         cluster = {{ addresses = [\"{}\"] }}\n",
        to.mqtt, to.kafka,
    )
}
