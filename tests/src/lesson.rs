//! A page as its reader follows it: what its blocks tell to type is typed, one block after the
//! other, in a folder of its own, with brokers on ports of the system's choice. Knows no page.
//!
//! A block says by its first line what becomes of it: ` ```sh test ` is typed and must end well;
//! ` ```text said ` behind it is what it said (`…` stands for anything); ` ```sh broker ` has one
//! broker in each line, which stays; ` ```sh stays ` is a command that stays until the end, and
//! has subscribed before the next is typed; ` ```sh member ` is one that stays, too; ` ```sh kill `
//! is typed by nobody: the brokers are killed, and those of the next block take over their data;
//! ` ```toml NAME ` and ` ```conf NAME ` are files of that name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::documents::{Block, TYPED, blocks};
use crate::places;
use crate::program::Program;

/// A port of a broker: its name in the configuration, and the address that the page says.
pub type Door = (&'static str, &'static str);

/// Where a broker listens of which nothing else is said.
pub const USUAL: &[Door] =
    &[("MQTT", "127.0.0.1:1883"), ("KAFKA", "127.0.0.1:9092"), ("HTTP", "127.0.0.1:18080")];

/// What stands before each block: who asks the broker goes to its ports instead of the usual ones.
const BEFORE: &str = r#"
set -euo pipefail
named() { for word; do case $word in --url*|-h|-p) return 0;; esac; done; return 1; }
tidewire() {
    case ${1-} in
        pub|sub|demo) named "$@" || set -- "$@" --url "mqtt://$MQTT_HOST:$MQTT_PORT";;
        clients|sessions|streams|groups|topics|retained|bridge|reload|health)
            named "$@" || set -- "$@" --http "$HTTP_ADDRESS";;
    esac
    command tidewire "$@"
}
mosquitto_pub() { mosquitto pub "$@"; }
mosquitto_sub() { mosquitto sub "$@"; }
pidof() { echo "$BROKER"; }
mosquitto() {
    local program=mosquitto_$1
    shift
    named "$@" || set -- -h "$MQTT_HOST" -p "$MQTT_PORT" "$@"
    command stdbuf -oL "$program" "$@"
}
"#;

/// A reader at work.
#[derive(Debug)]
pub struct Lesson {
    folder: TempDir,
    brokers: Vec<Program>,
    staying: Vec<Program>,
    /// Addresses that the page says, and where that is here.
    moved: Vec<(String, String)>,
    /// What was typed last said.
    said: Vec<String>,
}

impl Default for Lesson {
    fn default() -> Self {
        Self::new()
    }
}

impl Lesson {
    /// In an empty folder.
    ///
    /// # Panics
    /// When there is none; so do all others here.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let programs = folder.path().join(".programs");
        fs::create_dir(&programs).expect("a folder");
        symlink(places::built_program("tidewire"), programs.join("tidewire")).expect("a link");
        let (brokers, staying) = (Vec::new(), Vec::new());
        Self { folder, brokers, staying, moved: Vec::new(), said: Vec::new() }
    }

    /// In a folder with the files of one of the source tree.
    ///
    /// # Panics
    /// When there is no such folder.
    #[must_use]
    pub fn beside(files: &str) -> Self {
        let lesson = Self::new();
        let entries = fs::read_dir(places::source_root().join(files)).expect("a folder");
        for file in entries.map_while(Result::ok).filter(|entry| entry.path().is_file()) {
            fs::copy(file.path(), lesson.folder.path().join(file.file_name())).expect("copied");
        }
        lesson
    }

    /// With a broker that is there before the page begins, at the usual place.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn with_broker() -> Self {
        let mut lesson = Self::new();
        lesson.start("tidewire", USUAL);
        lesson
    }

    /// Follows the page, whose brokers have these doors, in the order in which they start.
    ///
    /// # Panics
    /// When something is not as the page says.
    pub fn follow(&mut self, page: &str, doors: &[&[Door]]) {
        let text = fs::read_to_string(places::source_root().join(page)).expect("the page");
        let mut doors = doors.iter();
        let mut typed = 0;
        for block in blocks(&text) {
            match block.kind.as_str() {
                "sh test" => self.type_in(&block),
                "sh stays" => {
                    self.leave_running(&block);
                    // On a terminal the command says so.
                    self.staying.iter().for_each(|it| it.await_output("subscribed to "));
                }
                "sh member" => self.leave_running(&block),
                "sh kill" => self.brokers.iter_mut().for_each(Program::kill9),
                "sh broker" => {
                    for line in block.text.lines() {
                        self.start(line, doors.next().expect("as many as the page starts"));
                    }
                }
                "text said" => self.compare(page, &block),
                kind => match kind.split_once(' ') {
                    Some(("toml" | "conf", name)) => self.write(name, &block.text),
                    _ => continue,
                },
            }
            typed += 1;
        }
        assert!(typed > 0, "{page} has no blocks to type");
        assert!(doors.next().is_none(), "{page} starts fewer brokers");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn type_in(&mut self, block: &Block) {
        eprintln!("line {}: {}", block.line, block.text);
        let script = self.script(block);
        let mut command = self.command("bash");
        self.said = Program::start(command.arg(script)).succeeds();
    }

    fn leave_running(&mut self, block: &Block) {
        let script = self.script(block);
        // Whatever it starts ends with its terminal.
        let mut command = self.command("script");
        let line = format!("exec bash {}", script.display());
        self.staying.push(Program::start(command.args(["-qefc", &line, "/dev/null"])));
    }

    /// The commands that stay, in their order.
    #[must_use]
    pub fn staying(&self) -> &[Program] {
        &self.staying
    }

    /// Starts a broker by the line that says how.
    fn start(&mut self, line: &str, doors: &[Door]) {
        self.move_files();
        let line = line.split(" #").next().unwrap_or(line);
        let mut command = self.command("bash");
        command.args(["-c", &format!("exec {line}")]);
        for (name, _) in doors {
            command.env(format!("TIDEWIRE_LISTENER__{name}__BIND"), "127.0.0.1:0");
        }
        let broker = Program::start(&mut command);
        for (name, said) in doors {
            let scheme = format!(" {}://", name.to_lowercase());
            broker.await_output(&scheme);
            let output = broker.output();
            let behind = output.split(&scheme).nth(1).expect("just seen");
            let here = behind.split_whitespace().next().expect("an address");
            self.moved.retain(|(address, _)| address != said);
            self.moved.push(((*said).to_owned(), here.to_owned()));
        }
        self.brokers.push(broker);
    }

    fn compare(&self, page: &str, block: &Block) {
        let expected: Vec<&str> = block.text.lines().collect();
        let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
        let text = said.join("\n");
        assert!(fits(&expected, &said), "{page}:{}: it says\n{text}", block.line);
    }

    /// A file with what is typed, addresses as they are here.
    fn script(&self, block: &Block) -> PathBuf {
        let file = self.folder.path().join(format!(".block-{}", block.line));
        let text = format!("{BEFORE}{}", self.here(&block.text));
        fs::write(&file, text).expect("written");
        file
    }

    /// Configurations name addresses too.
    fn move_files(&self) {
        for entry in fs::read_dir(self.folder.path()).expect("ours").map_while(Result::ok) {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "toml") {
                let text = fs::read_to_string(&path).expect("a text");
                fs::write(&path, self.here(&text)).expect("written");
            }
        }
    }

    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (said, here) in &self.moved {
            text = text.replace(said, here);
            let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
            let (said, here) = (port(said), port(here));
            for before in ["localhost:", "localhost ", "-p "] {
                text = text.replace(&format!("{before}{said}"), &format!("{before}{here}"));
            }
        }
        text
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let python = places::python();
        let clients = python.parent().expect("in a folder").display().to_string();
        let ours = self.folder.path().join(".programs").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{ours}:{clients}:{path}"));
        command.env("NODE_PATH", places::node_modules());
        command.current_dir(self.folder.path());
        if let Some(broker) = self.brokers.last() {
            command.env("BROKER", broker.id().to_string());
        }
        let usual = self.moved.iter().find(|(said, _)| said == USUAL[0].1);
        if let Some((_, here)) = self.moved.iter().find(|(said, _)| said == USUAL[2].1) {
            command.env("HTTP_ADDRESS", here);
        }
        if let Some((host, port)) = usual.and_then(|(_, here)| here.rsplit_once(':')) {
            command.env("MQTT_HOST", host).env("MQTT_PORT", port);
        }
        command
    }
}

/// Whether it was said so; `…` alone stands for any lines, within a line for anything.
fn fits(expected: &[&str], said: &[&str]) -> bool {
    match (expected, said) {
        ([], []) => true,
        (["…", rest @ ..], said) => (0..=said.len()).any(|skipped| fits(rest, &said[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => line_fits(line, first) && fits(rest, others),
        _ => false,
    }
}

fn line_fits(expected: &str, said: &str) -> bool {
    let Some((head, tail)) = expected.split_once('…') else { return expected == said };
    let Some(mut rest) = said.strip_prefix(head) else { return false };
    let parts: Vec<&str> = tail.split('…').collect();
    let (last, between) = parts.split_last().expect("a split has one part");
    for part in between {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

impl Drop for Lesson {
    fn drop(&mut self) {
        // Who is connected goes first, so that a broker does not wait for it.
        self.staying.clear();
        self.brokers.clear();
    }
}

/// Whether a page is one that is followed: it has blocks to type.
#[must_use]
pub fn is_followed(page: &Path) -> bool {
    let text = fs::read_to_string(places::source_root().join(page)).expect("a page");
    blocks(&text).iter().any(|block| TYPED.contains(&&*block.kind))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn what_was_said_may_be_left_out_where_the_page_says_so() {
        let said = ["one two three", "four", "five"];
        for (expected, is_right) in [
            (&["one two three", "four", "five"][..], true),
            (&["one … three", "…", "five"], true),
            (&["…"], true),
            (&["…ne tw…thr…", "four", "f…"], true),
            (&["one two three", "four"], false),
            (&["one … two", "…"], false),
            (&["one two three", "five", "…"], false),
            (&["…", "six"], false),
        ] {
            assert_eq!(fits(expected, &said), is_right, "{expected:?}");
        }
    }
}
