//! Clients that we did not write: mosquitto's, paho, MQTT.js. Each is a program; none is
//! linked in.

use std::net::SocketAddr;
use std::process::Command;

use crate::places;
use crate::program::Program;

/// How a received message is printed: its level, retain flag and topic before the payload.
const FORMAT: &str = "MSG %q %r %t %p";

/// The mosquitto clients, speaking one version to one broker.
#[derive(Clone, Copy, Debug)]
pub struct Mosquitto {
    broker: SocketAddr,
    version: &'static str,
}

impl Mosquitto {
    /// What `-V` takes.
    pub const VERSIONS: [&'static str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

    /// `version` is one of `VERSIONS`.
    #[must_use]
    pub const fn new(broker: SocketAddr, version: &'static str) -> Self {
        Self { broker, version }
    }

    /// Publishes one message and waits for the end of its exchange.
    pub fn publish(&self, topic: &str, payload: &str, flags: &[&str]) {
        let mut command = self.command("mosquitto_pub", topic, flags);
        command.args(["-m", payload]);
        let _ = Program::start(&mut command).succeeds();
    }

    /// Publishes an empty message.
    pub fn publish_empty(&self, topic: &str, flags: &[&str]) {
        let mut command = self.command("mosquitto_pub", topic, flags);
        command.arg("-n");
        let _ = Program::start(&mut command).succeeds();
    }

    /// Subscribes; comes back when the broker has said SUBACK.
    #[must_use]
    pub fn subscribe(&self, filter: &str, flags: &[&str]) -> Subscriber {
        self.subscribe_formatted(filter, FORMAT, flags)
    }

    /// Like `subscribe`, with a format of mosquitto's own; it must begin with `MSG `.
    #[must_use]
    pub fn subscribe_formatted(&self, filter: &str, format: &str, flags: &[&str]) -> Subscriber {
        let subscriber = self.subscriber(filter, format, flags);
        subscriber.program.line_that(|line| line.contains("received SUBACK"));
        subscriber
    }

    /// For a session that has messages waiting: they may come before SUBACK, so nothing is
    /// awaited here.
    #[must_use]
    pub fn resume(&self, filter: &str, flags: &[&str]) -> Subscriber {
        self.subscriber(filter, FORMAT, flags)
    }

    /// Asks on one topic, and prints what is answered on the other.
    #[must_use]
    pub fn request(&self, topic: &str, answer: &str, payload: &str) -> Program {
        let flags = ["-e", answer, "-m", payload, "-q", "1", "-W", "120"];
        Program::start(&mut self.command("mosquitto_rr", topic, &flags))
    }

    fn subscriber(&self, filter: &str, format: &str, flags: &[&str]) -> Subscriber {
        let mut command = self.command("mosquitto_sub", filter, flags);
        // -W: no message in time is an end with an error, not a hang.
        command.args(["-d", "-W", "120", "-F", format]);
        Subscriber { program: Program::start(&mut command) }
    }

    /// Line-buffered, or the pipe would hold the lines back until the end.
    fn command(&self, program: &str, topic: &str, flags: &[&str]) -> Command {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-V", self.version, "-t", topic]);
        command.args(["-h", &self.broker.ip().to_string()]);
        command.args(["-p", &self.broker.port().to_string()]).args(flags);
        command
    }
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub struct Subscriber {
    program: Program,
}

impl Subscriber {
    /// The next message, as the format shows it, without its mark.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn message(&self) -> String {
        let line = self.program.line_that(|line| line.starts_with("MSG "));
        line.trim_start_matches("MSG ").to_owned()
    }

    /// All messages until it ends by itself (`-C`).
    pub fn messages(&mut self) -> Vec<String> {
        let lines = self.program.succeeds();
        let messages = lines.iter().filter_map(|line| line.strip_prefix("MSG "));
        messages.map(str::to_owned).collect()
    }

    /// Ends it with no DISCONNECT.
    pub fn kill9(&mut self) {
        self.program.kill9();
    }
}

/// Runs a script of ours with the Python clients; it gets the address before the arguments.
///
/// # Panics
/// When the script says that something is wrong.
pub fn paho(script: &str, broker: SocketAddr, arguments: &[&str]) {
    let mut command = Command::new(places::python());
    command.arg(places::client_script(script));
    command.args([broker.ip().to_string(), broker.port().to_string()]).args(arguments);
    let _ = Program::start(&mut command).succeeds();
}

/// Runs a script of ours with the npm clients; it gets the address before the arguments.
///
/// # Panics
/// When the script says that something is wrong.
pub fn mqtt_js(script: &str, broker: SocketAddr, arguments: &[&str]) {
    let mut command = Command::new("node");
    command.arg(places::client_script("node").join(script));
    command.env("NODE_PATH", places::node_modules());
    command.args([broker.ip().to_string(), broker.port().to_string()]).args(arguments);
    let _ = Program::start(&mut command).succeeds();
}
