//! Apache Kafka, one node that is controller and broker, with a folder of its own. Killed and
//! started again it is at the same address.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::places;
use crate::program::Program;

/// How long it may take to come up on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// A number as `StorageTool` wants it: the same one always, since the folder is new.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const HEAP: &str = "-Xmx320m";

/// A running (or killed) Kafka.
#[derive(Debug)]
pub struct Apache {
    program: Program,
    address: SocketAddr,
    settings: PathBuf,
    _folder: TempDir,
}

impl Apache {
    /// A new one.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let settings = folder.path().join("server.properties");
        let (address, controller) = (free(), free());
        let text = properties(address, controller, &folder.path().join("data"));
        std::fs::write(&settings, text).expect("written");
        let mut format = java();
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&settings);
        let _ = Program::start(&mut format).succeeds();
        let program = launch(&settings, address);
        Self { program, address, settings, _folder: folder }
    }

    /// Where clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_topic(&self, name: &str, partitions: u32, settings: &[&str]) {
        let mut command = java();
        command.arg("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &self.address.to_string(), "--create"]);
        command.args(["--topic", name, "--partitions", &partitions.to_string()]);
        for setting in settings {
            command.args(["--config", setting]);
        }
        let _ = Program::start(&mut command).succeeds();
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.program.kill9();
    }

    /// SIGSTOP: it hangs, and its connections stand.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pause(&self) {
        self.program.pause();
    }

    /// It hangs no more.
    ///
    /// # Panics
    /// When it is not running.
    pub fn go_on(&self) {
        self.program.go_on();
    }

    /// Starts again where it was; call it after `kill9`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.program = launch(&self.settings, self.address);
    }
}

fn launch(settings: &Path, address: SocketAddr) -> Program {
    let mut program = Program::start(java().arg("kafka.Kafka").arg(settings));
    let deadline = Instant::now() + PATIENCE;
    // It says nothing when it is ready: who can connect is served.
    while TcpStream::connect(address).is_err() {
        assert!(program.is_running(), "Kafka ended\n{}", program.output());
        assert!(Instant::now() < deadline, "Kafka does not listen\n{}", program.output());
        let _ = program.line_within(Duration::from_millis(50));
    }
    program
}

fn java() -> Command {
    let mut command = Command::new("java");
    command.args([HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(places::apache_kafka().join("*"));
    command
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port")
}

/// As it comes, but for what a single node needs.
fn properties(address: SocketAddr, controller: SocketAddr, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{address}\ncontroller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\nnum.partitions=4\noffsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\ntransaction.state.log.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nbroker.session.timeout.ms=3000\n\
         broker.heartbeat.interval.ms=500\n",
        data.display(),
    )
}
