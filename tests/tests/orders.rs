//! Do the commands that ask a running broker show what it has, do what they say, and end with what
//! to try when they cannot?

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::http::Http;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::typed::{Said, tidewire, typed};
use tidewire_tests::wire::{Hello, Publish, Version, Wire};

/// A session that outlives its connection for an hour.
const LASTING: &[u8] = &[17, 0, 0, 14, 16];

/// A broker, and where its port is as `--url` wants it.
struct Site {
    broker: Broker,
    url: String,
}

impl Site {
    fn start() -> Self {
        Self::of(Broker::start_with(&["--http", "127.0.0.1:0"]))
    }

    fn of(broker: Broker) -> Self {
        let url = format!("http://{}", broker.http_address());
        Self { broker, url }
    }

    /// Types this, for this broker.
    fn typed(&self, words: &[&str]) -> Said {
        typed(&[words, &["--url", &self.url]].concat())
    }

    /// The rows that are shown, word by word, below the names of their columns.
    fn rows(&self, words: &[&str]) -> Vec<Vec<String>> {
        rows(&self.typed(words).well())
    }

    fn json(&self, words: &[&str]) -> Value {
        let said = self.typed(&[words, &["--json"]].concat()).well();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn lasting(&self, client_id: &str) -> Wire {
        let hello = Hello { clean: false, properties: LASTING, ..Hello::new(client_id) };
        Wire::greet(self.broker.address(), &hello).0
    }

    fn publish(&self, topic: &str, payload: &str, is_retained: bool) {
        let order = json!({ "topic": topic, "payload": payload, "retain": is_retained });
        let http = Http::new(self.broker.http_address());
        let _ = http.granted("POST", "/api/v1/publish", Some(&order));
    }

    /// Waits until this command shows this.
    fn await_shown(&self, words: &[&str], is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.typed(words);
            if is_there(&said.out) {
                return said.out;
            }
            assert!(Instant::now() < deadline, "{said:?}");
        }
    }
}

fn rows(shown: &str) -> Vec<Vec<String>> {
    let rows = shown.lines().skip(1);
    rows.map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The first word of each row.
fn firsts(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| &*row[0]).collect()
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port")
}

#[test]
fn health_is_an_exit_code_and_a_word() {
    let site = Site::start();
    assert_eq!(site.typed(&["health"]).well(), "ready\n");
    assert_eq!(site.typed(&["health", "--live"]).well(), "alive\n");
    assert_eq!(site.json(&["health"])["status"], "ready");
    // By the configuration, as in the container of a broker.
    let http = site.broker.http_address().to_string();
    assert_eq!(typed(&["health", "--http", &http]).well(), "ready\n");
    let nobody = format!("http://{}", nowhere());
    let said = typed(&["health", "--url", &nobody]).fails(1);
    assert!(said.contains("try: is a broker running there?"), "{said}");
    for words in [&["health", "--http", "off"][..], &["health", "--url", "nonsense"]] {
        assert!(typed(words).fails(1).starts_with("tidewire health: "), "{words:?}");
    }
    // What else answers there is none.
    let mqtt = format!("http://{}", site.broker.address());
    let _ = typed(&["health", "--url", &mqtt, "--timeout", "20s"]).fails(1);
}

#[test]
fn clients_are_listed_shown_sent_away_and_shut_out() {
    let site = Site::start();
    let address = site.broker.address();
    let mut walker = Wire::clean(address, Version::V5, "walker");
    walker.subscribe(1, &[("a/#", 1)]);
    let _other = Wire::clean(address, Version::V5, "other");
    for words in [&["clients"][..], &["clients", "ls"]] {
        assert_eq!(firsts(&site.rows(words)), ["other", "walker"], "{words:?}");
    }
    let listed = site.rows(&["clients", "ls", "--contains", "walk"]);
    assert_eq!((&*listed[0][2], &*listed[0][5]), ("5", "1"), "{listed:?}");
    assert_eq!(site.json(&["clients", "ls", "--limit", "1"])["items"][0]["client_id"], "other");
    assert_eq!(site.json(&["clients", "ls", "--lag-over", "0"])["items"], json!([]));
    let shown = site.typed(&["clients", "show", "walker"]).well();
    assert!(shown.contains("client_id") && shown.contains("\na/#"), "{shown}");
    let kick = ["clients", "kick", "walker"];
    let said = site.typed(&[&kick[..], &["--dry-run"]].concat()).well();
    assert!(said.starts_with("would end the connection of \"walker\" from 127.0.0.1:"), "{said}");
    let said = site.typed(&kick).fails(2);
    assert!(said.contains("nothing was changed") && said.contains("try: --yes"), "{said}");
    assert_eq!(site.rows(&["clients"]).len(), 2, "nobody was sent away yet");
    let said = site.typed(&[&kick[..], &["--yes"]].concat()).well();
    assert_eq!(said, "\"walker\": 1 connection ended\n");
    walker.ended_for(0x98);
    let said = site.typed(&["clients", "kick", "nobody", "--yes"]).fails(1);
    assert!(said.ends_with("try: `tidewire clients ls`\n"), "{said}");
    let ban = ["clients", "ban", "walker", "--reason", "too loud"];
    let _ = site.typed(&[&ban[..], &["--dry-run"]].concat()).well();
    assert_eq!(site.rows(&["clients", "bans"]).len(), 0);
    let _ = site.typed(&[&ban[..], &["--for", "2h", "--yes"]].concat()).well();
    let bans = site.json(&["clients", "bans"]);
    assert!(bans["items"][0]["until"].is_string() && bans["items"][0]["reason"] == "too loud");
    let range = ["10.1.0.0/16", "--address"];
    let _ = site.typed(&[&["clients", "ban", "--yes"][..], &range].concat()).well();
    for target in [&["walker"][..], &range] {
        let _ = site.typed(&[&["clients", "unban"][..], target].concat()).well();
    }
    let said = site.typed(&["clients", "unban", "walker"]).fails(1);
    assert!(said.contains("is not shut out"), "{said}");
}

#[test]
fn sessions_are_listed_shown_and_ended_one_or_many() {
    let site = Site::start();
    for id in ["away-1", "away-2", "stays"] {
        let mut client = site.lasting(id);
        client.subscribe(1, &[("a/#", 1)]);
        client.disconnect();
    }
    let _here = site.lasting("here");
    for number in 0..3 {
        site.publish("a/b", &number.to_string(), false);
    }
    let all = ["away-1", "away-2", "here", "stays"];
    let away = |shown: &str| firsts(&rows(shown)) == ["away-1", "away-2", "stays"];
    let _ = site.await_shown(&["sessions", "ls", "--away"], away);
    assert_eq!(firsts(&site.rows(&["sessions"])), all);
    assert_eq!(firsts(&site.rows(&["sessions", "ls", "--connected"])), ["here"]);
    let behind = site.json(&["sessions", "ls", "--sort", "lag", "--limit", "1"]);
    assert_eq!(behind["items"][0]["lag"]["records"], 3, "{behind}");
    let shown = site.typed(&["sessions", "show", "stays"]).well();
    assert!(shown.contains("lag.records") && shown.contains("disconnected"), "{shown}");
    let prune = ["sessions", "prune", "--contains", "away"];
    let said = site.typed(&[&prune[..], &["--idle", "1h", "--dry-run"]].concat()).well();
    assert_eq!(said, "would end 0 sessions\n");
    let said = site.typed(&[&prune[..], &["--idle", "0s", "--dry-run"]].concat()).well();
    assert_eq!(said, "would end 2 sessions\n  away-1\n  away-2\n");
    let _ = site.typed(&[&prune[..], &["--idle", "0s"]].concat()).fails(2);
    assert_eq!(firsts(&site.rows(&["sessions"])), all);
    let said = site.typed(&[&prune[..], &["--idle", "0s", "--yes"]].concat()).well();
    assert_eq!(said, "2 sessions ended\n");
    let said = site.typed(&["sessions", "expire", "stays", "--dry-run"]).well();
    assert!(said.contains("3 records behind"), "{said}");
    let said = site.typed(&["sessions", "expire", "stays", "--yes"]).well();
    assert_eq!(said, "the session of \"stays\" is ended\n");
    assert_eq!(firsts(&site.rows(&["sessions"])), ["here"]);
    let said = site.typed(&["sessions", "expire", "stays", "--yes"]).fails(1);
    assert!(said.ends_with("try: `tidewire sessions ls`\n"), "{said}");
}

/// A port that hands on to the broker, and before the first request that begins so does something.
fn before(
    to: SocketAddr,
    beginning: &'static str,
    act: impl FnOnce() + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let mut act = Some(act);
        while let Ok((mut near, _)) = listener.accept() {
            let mut far = TcpStream::connect(to).expect("the broker listens");
            let (mut answers, mut back) =
                (far.try_clone().expect("a socket"), near.try_clone().expect("a socket"));
            thread::spawn(move || {
                let _ = io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = near.read(&mut chunk) {
                if chunk[..count].starts_with(beginning.as_bytes()) {
                    act.take().into_iter().for_each(|act| act());
                }
                far.write_all(&chunk[..count]).expect("the broker reads");
            }
            let _ = far.shutdown(Shutdown::Both);
        }
    });
    address
}

#[test]
fn prune_spares_a_session_whose_client_comes_back_meanwhile() {
    let site = Site::start();
    for id in ["away", "back"] {
        site.lasting(id).disconnect();
    }
    let is_away = |shown: &str| firsts(&rows(shown)) == ["away", "back"];
    let _ = site.await_shown(&["sessions", "ls", "--away"], is_away);
    let (address, (sender, came)) = (site.broker.address(), mpsc::channel());
    let near = before(site.broker.http_address(), "DELETE /api/v1/sessions/back", move || {
        let hello = Hello { clean: false, properties: LASTING, ..Hello::new("back") };
        sender.send(Wire::greet(address, &hello)).expect("the test waits for it");
    });
    let prune = ["sessions", "prune", "--idle", "0s", "--yes", "--url", &format!("http://{near}")];
    let said = typed(&prune).well();
    assert_eq!(said, "1 session ended, 1 spared: the client came back meanwhile\n");
    let (mut client, is_there) = came.recv_timeout(PATIENCE).expect("it came back");
    assert!(is_there, "its session goes on");
    client.publish_acknowledged(&Publish::new("a", "still here", 1, 1));
    assert_eq!(firsts(&site.rows(&["sessions"])), ["back"]);
}

#[test]
fn streams_tell_what_they_hold() {
    let site = Site::start();
    let mut client = Wire::clean(site.broker.address(), Version::V5, "writer");
    for number in 0..10 {
        client.publish_acknowledged(&Publish::new(&format!("t/{number}"), "x", 1, 1));
    }
    let listed = site.rows(&["streams"]);
    let mqtt = listed.iter().find(|row| row[0] == "mqtt").expect("the stream");
    assert_eq!((&*mqtt[1], &*mqtt[2]), ("4", "10"), "{listed:?}");
    let shown = site.typed(&["streams", "show", "mqtt"]).well();
    assert!(shown.starts_with("mqtt: acknowledged on disk; keeps "), "{shown}");
    assert_eq!(shown.lines().count(), 2 + 1 + 4, "{shown}");
    assert_eq!(site.json(&["streams", "show", "mqtt"])["records"], 10);
    let said = site.typed(&["streams", "show", "none"]).fails(1);
    assert!(said.contains("try: the verb `ls`"), "{said}");
}

#[test]
fn groups_are_described_as_kafkas_tool_does_it_and_put_elsewhere() {
    let site = Site::start();
    for number in 0..8 {
        site.publish(&format!("t/{number}"), "x", false);
    }
    let reset = ["groups", "reset", "readers", "--to", "earliest", "--stream", "mqtt"];
    let tried = site.typed(&[&reset[..], &["--dry-run"]].concat()).well();
    assert!(tried.starts_with("GROUP") && tried.ends_with("--dry-run\n"), "{tried}");
    assert_eq!(site.rows(&["groups"]).len(), 0, "it was tried only");
    let _ = site.typed(&reset).fails(2);
    assert_eq!(site.rows(&["groups"]).len(), 0, "it was asked only");
    let done = site.rows(&[&reset[..], &["--yes"]].concat());
    assert_eq!(done.len(), 4);
    // A member that commits nothing before it leaves, and is missed after minutes.
    let mut member = Command::new("kcat");
    member.args(["-b", &site.broker.kafka_address().to_string(), "-u", "-f", "%o\\n"]);
    member.args(["-X", "client.id=laptop", "-X", "enable.auto.commit=false"]);
    member.args(["-X", "session.timeout.ms=300000"]);
    let mut member = Program::start(member.args(["-G", "readers", "mqtt"]));
    for _ in 0..8 {
        let _ = member.line();
    }
    let shown = site.typed(&["groups", "describe", "readers"]).well();
    assert!(shown.starts_with("readers (classic): Stable, 1 member; 8 behind, "), "{shown}");
    let table: Vec<Vec<&str>> =
        shown.lines().skip(2).map(|row| row.split_whitespace().collect()).collect();
    let names = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST \
                 CLIENT-ID TIME-LAG LOSS-IN";
    assert_eq!(table[0].join(" "), names);
    assert_eq!(table.len(), 5, "{shown}");
    for (partition, row) in table[1..].iter().enumerate() {
        assert_eq!(row[..4], ["readers", "mqtt", &partition.to_string(), "0"], "{shown}");
        assert!(row[4] == row[5] && row[8] == "laptop" && row[6].len() > 8, "{shown}");
    }
    let said = site.typed(&[&reset[..], &["--yes"]].concat()).fails(1);
    assert!(said.contains("the group has members") && said.contains("try: stop"), "{said}");
    assert!(member.terminate().success());
    let empty = |shown: &str| rows(shown).iter().any(|row| row[2] == "Empty" && row[3] == "0");
    let _ = site.await_shown(&["groups", "ls", "--sort", "lag"], empty);
    let _ = site.typed(&["groups", "reset", "readers", "--to", "latest", "--yes"]).well();
    assert_eq!(site.json(&["groups", "describe", "readers"])["lag"]["records"], 0);
    let said = site.typed(&["groups", "delete", "readers", "--dry-run"]).well();
    assert_eq!(said, "would forget group \"readers\" and its offsets\n");
    let _ = site.typed(&["groups", "delete", "readers", "--yes"]).well();
    let said = site.typed(&["groups", "delete", "readers", "--yes"]).fails(1);
    assert!(said.ends_with("try: `tidewire groups ls`\n"), "{said}");
}

#[test]
fn share_groups_stand_beside_consumer_groups_and_without_a_kafka_port() {
    for flags in [&["--http", "127.0.0.1:0"][..], &["--http", "127.0.0.1:0", "--kafka", "off"]] {
        let site = Site::of(Broker::start_with(flags));
        let mut worker = site.lasting("worker");
        worker.subscribe(1, &[("$share/crew/jobs/#", 1)]);
        worker.disconnect();
        let listed = site.rows(&["groups"]);
        assert_eq!(listed[0][..4], ["$share/crew/jobs/#", "share", "Stable", "1"], "{flags:?}");
        let shown = site.rows(&["groups", "describe", "$share/crew/jobs/#"]);
        assert_eq!(shown[0][..3], ["$share/crew/jobs/#", "1", "0"], "{flags:?}");
        let _ = site.typed(&["groups", "describe", "$share/none/a"]).fails(1);
        let said = site.typed(&["groups", "delete", "$share/crew/jobs/#", "--yes"]).fails(2);
        assert!(said.contains("try: `tidewire sessions expire"), "{said}");
    }
}

#[test]
fn retained_messages_are_listed_shown_and_cleared() {
    let site = Site::start();
    for topic in ["a/1", "a/2", "b"] {
        site.publish(topic, &format!("at {topic}"), true);
    }
    assert_eq!(firsts(&site.rows(&["retained"])), ["a/1", "a/2", "b"]);
    assert_eq!(firsts(&site.rows(&["retained", "ls", "a/#"])), ["a/1", "a/2"]);
    assert_eq!(site.rows(&["retained", "ls", "--limit", "1"]).len(), 1);
    // As it was published, and nothing behind it.
    assert_eq!(site.typed(&["retained", "get", "a/1"]).well(), "at a/1");
    assert_eq!(site.json(&["retained", "get", "b"])["payload"], "at b");
    let said = site.typed(&["retained", "rm", "--filter", "a/#", "--dry-run"]).well();
    assert_eq!(said, "would clear 2 retained messages\n  a/1\n  a/2\n");
    let _ = site.typed(&["retained", "rm", "--filter", "a/#"]).fails(2);
    assert_eq!(site.rows(&["retained"]).len(), 3);
    let said = site.typed(&["retained", "rm", "--filter", "a/#", "--yes"]).well();
    assert_eq!(said, "2 retained messages cleared\n");
    let _ = site.typed(&["retained", "rm", "b", "--yes"]).well();
    assert_eq!(site.rows(&["retained"]).len(), 0);
    let said = site.typed(&["retained", "rm", "b", "--yes"]).fails(1);
    assert!(said.ends_with("try: `tidewire retained ls`\n"), "{said}");
    let _ = site.typed(&["retained", "rm"]).fails(2);
}

#[test]
fn bridges_are_listed_and_told_what_to_do() {
    let config = format!(
        "[[bridge.link]]\nname = \"cloud\"\naddresses = [\"{}\"]\n\
         rules = [{{ direction = \"out\", filter = \"a/#\" }}]\n\
         [listener.http]\nbind = \"127.0.0.1:0\"\n",
        nowhere()
    );
    let site = Site::of(Broker::start_configured(&config));
    assert_eq!(firsts(&site.rows(&["bridge"])), ["cloud"]);
    let _ = site.typed(&["bridge", "pause", "cloud"]).well();
    let paused = |shown: &str| rows(shown)[0][2] == "paused";
    let _ = site.await_shown(&["bridge", "ls"], paused);
    let said = site.typed(&["bridge", "stop", "cloud", "--dry-run"]).well();
    assert!(said.starts_with("would stop bridge \"cloud\""), "{said}");
    let _ = site.typed(&["bridge", "stop", "cloud"]).fails(2);
    assert_eq!(site.json(&["bridge", "show", "cloud"])["state"], "paused");
    let rewind = ["bridge", "rewind", "cloud", "--to"];
    let _ = site.typed(&[&rewind[..], &["earliest", "--yes"]].concat()).well();
    let _ = site.typed(&[&rewind[..], &["whenever", "--yes"]].concat()).fails(2);
    let said = site.typed(&["bridge", "test", "cloud"]).fails(1);
    assert!(said.contains("try: `tidewire bridge show"), "{said}");
    let _ = site.typed(&["bridge", "stop", "cloud", "--yes"]).well();
    let _ = site.typed(&["bridge", "resume", "cloud"]).well();
    let said = site.typed(&["bridge", "pause", "none"]).fails(1);
    assert!(said.contains("try: the verb `ls`"), "{said}");
}

#[test]
fn who_asks_is_said_by_a_token_from_a_file_or_the_environment() {
    let folder = TempDir::new().expect("a folder");
    let tokens = folder.path().join("tokens").display().to_string();
    let [viewer, admin] = ["viewer", "admin"].map(|role| {
        let words = ["token", "create", "--role", role, "--name", role, "--file", &tokens];
        let token = typed(&words).well();
        let file = folder.path().join(role);
        std::fs::write(&file, &token).expect("written");
        (token.trim().to_owned(), file.display().to_string())
    });
    let config = format!("[listener.http]\nbind = \"127.0.0.1:0\"\ntoken_file = {tokens:?}\n");
    let site = Site::of(Broker::start_configured(&config));
    let _walker = Wire::clean(site.broker.address(), Version::V5, "walker");
    let said = site.typed(&["clients"]).fails(1);
    assert!(said.contains("try: --token-file FILE"), "{said}");
    // The broker's own file has no tokens in it.
    let said = site.typed(&["clients", "--token-file", &tokens]).fails(2);
    assert!(said.contains("begins with no token"), "{said}");
    assert_eq!(site.rows(&["clients", "--token-file", &viewer.1]).len(), 1);
    let mut command = tidewire(&["clients", "ls", "--url", &site.url]);
    let output = command.env("TIDEWIRE_TOKEN", &viewer.0).output().expect("it was built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kick = ["clients", "kick", "walker", "--yes", "--token-file"];
    let said = site.typed(&[&kick[..], &[&viewer.1]].concat()).fails(1);
    assert!(said.contains("try: a token of that role"), "{said}");
    assert!(!said.contains(&viewer.0), "a token is shown nowhere: {said}");
    let _ = site.typed(&[&kick[..], &[&admin.1]].concat()).well();
    // Whether it is healthy anybody may ask.
    assert_eq!(site.typed(&["health"]).well(), "ready\n");
}
