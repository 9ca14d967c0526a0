//! The real broker, started on a data folder. Never in this process: what it loses in a kill
//! must be really lost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::fuzz::{forget_peak, peak_bytes, resident_bytes};
use crate::places;
use crate::program::{PATIENCE, Program};

/// A running (or killed) broker and its data folder.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    address: SocketAddr,
    data: PathBuf,
    flags: Vec<String>,
    /// What the system lets it have open, if the test says.
    open_files: Option<u32>,
    /// The folder goes when the broker goes; `None` when the test owns it.
    _fresh: Option<TempDir>,
}

impl Broker {
    /// On a fresh data folder, listening on a port of the system's choice.
    ///
    /// # Panics
    /// When it does not come up; so do all that start one.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Like `start`, with more flags.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(flags: &[&str]) -> Self {
        let fresh = TempDir::new().expect("a folder for the data");
        let data = fresh.path().join("data");
        Self::launch(data, flags.iter().map(ToString::to_string).collect(), Some(fresh))
    }

    /// Like `start`, with a config file of this content.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_configured(toml: &str) -> Self {
        let fresh = TempDir::new().expect("a folder for the data");
        let (data, file) = (fresh.path().join("data"), fresh.path().join("config.toml"));
        std::fs::write(&file, toml).expect("the config file");
        let flags = vec!["--config".into(), file.display().to_string()];
        Self::launch(data, flags, Some(fresh))
    }

    /// Like `start`, where the system gives no more open files than that.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with_open_files(most: u32) -> Self {
        let fresh = TempDir::new().expect("a folder for the data");
        let data = fresh.path().join("data");
        let (program, address) = run(&data, &[], Some(most));
        let (flags, open_files) = (Vec::new(), Some(most));
        Self { program, address, data, flags, open_files, _fresh: Some(fresh) }
    }

    /// On a data folder that the test owns.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_in(data: &Path) -> Self {
        Self::launch(data.to_path_buf(), Vec::new(), None)
    }

    /// Where it speaks MQTT. Another one after each start.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it speaks MQTT over WebSocket.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn web_address(&self) -> SocketAddr {
        self.address_of("ws")
    }

    /// Where it speaks this, by the scheme in its banner: `mqtts`, `wss`.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn address_of(&self, scheme: &str) -> SocketAddr {
        let mark = format!(" {scheme}://");
        self.program.await_output(&mark);
        let output = self.program.output();
        let line = output.lines().find(|line| line.contains(&mark)).expect("just seen");
        address_in(line).expect("an address")
    }

    /// Where it serves Kafka clients.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn kafka_address(&self) -> SocketAddr {
        self.program.await_output("kafka://");
        let output = self.program.output();
        let line = output.lines().find(|line| line.contains("kafka://")).expect("just seen");
        address_in(line).expect("an address")
    }

    /// Where its HTTP port is, if it has one.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.program.await_output("/readyz");
        let output = self.program.output();
        let line = output.lines().find(|line| line.contains("/readyz")).expect("just seen");
        address_in(line).expect("an address")
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it holds in memory.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        resident_bytes(self.program.id()).expect("the broker runs")
    }

    /// The most that it held since `forget_memory_peak`.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn memory_peak_bytes(&self) -> u64 {
        peak_bytes(self.program.id()).expect("the broker runs")
    }

    /// From now on the peak is that from now on.
    pub fn forget_memory_peak(&self) {
        forget_peak(self.program.id());
    }

    /// From now on it may have so many files open more than it has, sockets among them.
    ///
    /// # Panics
    /// When it is not running.
    pub fn limit_files(&self, more: u64) {
        self.program.limit_files(more);
    }

    /// From now on it can open no file and take no connection, until `limit_files` grants it more.
    ///
    /// # Panics
    /// When it is not running.
    pub fn forbid_files(&self) {
        self.program.forbid_files();
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// SIGKILL, as the kernel does it when memory is short.
    pub fn kill9(&mut self) {
        self.program.kill9();
    }

    /// From now on the disk takes nothing more: every write fails.
    ///
    /// # Panics
    /// When it is not running.
    pub fn break_disk(&self) {
        self.program.forbid_writing();
    }

    /// SIGTERM, as an operator does it; the end must be a clean one.
    ///
    /// # Panics
    /// When it does not end by itself or says that something failed.
    pub fn stop(&mut self) {
        let status = self.program.terminate();
        assert!(status.success(), "SIGTERM ended in {status}\n{}", self.program.output());
    }

    /// SIGTERM, not waiting for the end.
    ///
    /// # Panics
    /// When it is not running.
    pub fn ask_to_end(&self) {
        self.program.ask_to_end();
    }

    /// Starts again on the same data folder; call it after `kill9` or `stop`.
    pub fn restart(&mut self) {
        (self.program, self.address) = run(&self.data, &self.flags, self.open_files);
    }

    /// All that this run of it has said.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn await_output(&self, text: &str) {
        self.program.await_output(text);
    }

    /// Waits until it has said this so many times.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn await_times(&self, text: &str, times: usize) {
        self.program.await_times(text, times);
    }

    /// SIGHUP: certificates are read anew.
    ///
    /// # Panics
    /// When it is not running.
    pub fn hang_up(&self) {
        self.program.hang_up();
    }

    fn launch(data: PathBuf, flags: Vec<String>, fresh: Option<TempDir>) -> Self {
        let (program, address) = run(&data, &flags, None);
        Self { program, address, data, flags, open_files: None, _fresh: fresh }
    }
}

/// Runs in the folder above the data, so that no config file of ours is found by chance; and
/// with SIGXFSZ ignored, so that a forbidden write is an error to it and not its end.
fn run(data: &Path, flags: &[String], open_files: Option<u32>) -> (Program, SocketAddr) {
    let mut command = Command::new("sh");
    let limit = open_files.map_or_else(String::new, |most| format!("ulimit -n {most}; "));
    command.args(["-c", &format!("{limit}trap '' XFSZ; exec \"$0\" \"$@\"")]);
    command.arg(places::built_program("tidewire"));
    command.arg("--data").arg(data).args(["--mqtt", "127.0.0.1:0"]);
    // A test that restarts the broker under its clients names a port.
    if !flags.iter().any(|flag| flag == "--kafka") {
        command.args(["--kafka", "127.0.0.1:0"]);
    }
    // One address for all of them would be one too few.
    if !names_http(flags) {
        command.args(["--http", "off"]);
    }
    command.args(flags);
    if let Some(above) = data.parent() {
        command.current_dir(above);
    }
    let began = Instant::now();
    loop {
        let program = Program::start(&mut command);
        let line = program.line_before_its_end(|line| mqtt_address(line).is_some());
        if let Some(line) = line {
            let address = mqtt_address(&line).expect("the line was chosen for it");
            return (program, address);
        }
        // While a broker is down its port is free for whoever is given it: a client that asks for
        // the broker there may even come from that port, and be connected to itself.
        program.await_output("Address already in use");
        assert!(began.elapsed() < PATIENCE, "{}", program.output());
    }
}

/// Whether a flag or the configuration file says where the HTTP port is.
fn names_http(flags: &[String]) -> bool {
    let file = flags.iter().skip_while(|flag| *flag != "--config").nth(1);
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.contains("[listener.http]") || flags.iter().any(|flag| flag == "--http")
}

/// The address in the banner's line `mqtt  mqtt://127.0.0.1:38211  …`.
fn mqtt_address(line: &str) -> Option<SocketAddr> {
    if !line.trim_start().starts_with("mqtt") {
        return None;
    }
    address_in(line)
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let from = line.find("127.0.0.1:")?;
    let address = line.get(from..)?;
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    let end = address.find(|c| !is_part(c)).unwrap_or(address.len());
    address.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::mqtt_address;

    #[test]
    fn the_address_is_read_from_the_banner() {
        for (line, port) in [
            ("  mqtt       127.0.0.1:38211", Some(38_211)),
            ("  mqtt    mqtt://127.0.0.1:41883   MQTT 5, 3.1.1, 3.1", Some(41_883)),
            ("mqtt 127.0.0.1:1883 (MQTT 5 and 3.1.1)", Some(1883)),
            ("  data       127.0.0.1:1", None),
            ("mqtt off", None),
            ("", None),
        ] {
            assert_eq!(mqtt_address(line).map(|found| found.port()), port, "{line}");
        }
    }
}
