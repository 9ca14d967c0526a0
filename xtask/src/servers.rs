//! Servers that are measured, or trained, each pinned to one processor with a folder of its own.
//! Measures nothing.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::processor;

const PATIENCE: Duration = Duration::from_secs(60);

/// Ended when it is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Where Kafka clients connect to.
    pub(crate) kafka: SocketAddr,
    /// Where MQTT clients do, if they can.
    pub(crate) mqtt: SocketAddr,
    child: Child,
}

impl Server {
    /// This broker as it comes, on what lies in the folder.
    pub(crate) fn tidewire(
        program: &Path,
        folder: &Path,
        settings: &str,
        processor: usize,
    ) -> Result<Self, String> {
        let (kafka, mqtt) = (free_address()?, free_address()?);
        let mut command = pinned(processor);
        command.arg(program).arg("--data").arg(folder.join("tidewire"));
        command.args(["--mqtt", &mqtt.to_string()]);
        command.env("TIDEWIRE_LISTENER__KAFKA__BIND", kafka.to_string());
        command.env("TIDEWIRE_LISTENER__HTTP__BIND", "off");
        let file = folder.join("tidewire.toml");
        fs::write(&file, settings).map_err(|error| error.to_string())?;
        command.arg("--config").arg(file);
        Self::start("tidewire", command, (kafka, mqtt))
    }

    /// One node that is controller and broker, with so much heap.
    pub(crate) fn apache(jars: &Path, folder: &Path, processor: usize) -> Result<Self, String> {
        let (kafka, controller) = (free_address()?, free_address()?);
        let settings = folder.join("server.properties");
        fs::write(&settings, apache_settings(kafka, controller, &folder.join("kafka")))
            .map_err(|error| error.to_string())?;
        let mut format = java(jars, &mut Command::new("java"));
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&settings);
        let format = format.stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
        if !format.success() {
            return Err(format!("Kafka's folder cannot be made: {format}"));
        }
        let mut command = pinned(processor);
        command.arg("java");
        let mut command = java(jars, &mut command);
        command.arg("kafka.Kafka").arg(&settings);
        Self::start("kafka", command, (kafka, controller))
    }

    fn start(
        name: &'static str,
        mut command: Command,
        (kafka, mqtt): (SocketAddr, SocketAddr),
    ) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("taskset: {error}"))?;
        let mut server = Self { name, kafka, mqtt, child };
        let since = Instant::now();
        while [kafka, mqtt].iter().any(|address| TcpStream::connect(address).is_err()) {
            let ended = server.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || since.elapsed() > PATIENCE {
                return Err(format!("{name} does not listen"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// What all of its threads took so far.
    pub(crate) fn processor_time(&self) -> Result<Duration, String> {
        processor::of_program(self.child.id())
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or("a program without a number")?;
        kill_process(id, Signal::TERM).map_err(|error| error.to_string())?;
        let ended = self.child.wait().map_err(|error| error.to_string())?;
        if ended.success() { Ok(()) } else { Err(format!("{}: {ended}", self.name)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `taskset` becomes the program, so that its number is the program's.
fn pinned(processor: usize) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]);
    command
}

/// One that nobody listens at: peers cannot be asked which port the system gave them.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|found| found.local_addr());
    found.map_err(|error| error.to_string())
}

/// A number as `StorageTool` wants it: the same one always, since the folder is new.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const HEAP: &str = "-Xmx512m";

fn java(jars: &Path, begun: &mut Command) -> Command {
    let mut command = Command::new(begun.get_program());
    command.args(begun.get_args()).args([HEAP, "-cp"]).arg(jars.join("*"));
    command
}

/// As it comes, but for what a single node needs.
fn apache_settings(kafka: SocketAddr, controller: SocketAddr, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://{kafka},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{kafka}\ncontroller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\nnum.partitions=4\noffsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        data.display(),
    )
}
