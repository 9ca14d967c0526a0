//! Pushes to an HTTP receiver that we did not write: whoever is killed, all that was published
//! arrives, what comes twice has the same id, and what is wrong is said in words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho};
use tidewire_tests::configured::Configured;
use tidewire_tests::places;
use tidewire_tests::program::Program;

/// Numbers that are published between two kills.
const WAVE: u64 = 200;
/// Every try soon: the tests wait for it.
const SOON: &str = "[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n";

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port")
}

/// A receiver there, with more arguments.
fn receiver(at: SocketAddr, file: &Path, more: &[&str]) -> Program {
    let mut command = Command::new(places::python());
    command.arg(places::client_script("http_receiver.py"));
    command.arg(at.port().to_string()).arg(file).args(more);
    let receiver = Program::start(&mut command);
    receiver.await_output("ready");
    receiver
}

/// A push of what is published under its name.
fn push(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[bridge.push]]\nname = {name:?}\nurl = {url:?}\nfilters = [\"{name}/#\"]\n\
         start = \"earliest\"\n{more}\n"
    )
}

fn messages(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("the receiver's file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(message: &'a Value, member: &str) -> &'a str {
    message[member].as_str().unwrap_or_else(|| panic!("{member} of {message}"))
}

#[test]
fn nothing_is_lost_and_repeats_keep_their_id_whoever_is_killed() {
    let (folder, there) = (TempDir::new().expect("a folder"), free());
    let file = folder.path().join("taken");
    let settings = "linger_ms = 0\nmessages_max = 7\ntimeout_ms = 20000";
    let url = format!("http://{there}/hook?x=y");
    // Its file is read again at each start.
    let configured = Configured::new(&format!("{SOON}{}", push("n", &url, settings)));
    let mut broker = configured.start();
    let mut receives = receiver(there, &file, &[]);
    for wave in 0..3 {
        let range = [(wave * WAVE).to_string(), ((wave + 1) * WAVE).to_string()];
        paho("publish_numbers.py", broker.address(), &[&range[0], &range[1], "n"]);
        // Somewhere in between: some were taken, and some are on their way.
        let some = wave * WAVE + WAVE / 10;
        receives.line_that(|line| has(line) >= some);
        match wave {
            0 => receives.kill9(),
            _ => broker.kill9(),
        }
        match wave {
            0 => receives = receiver(there, &file, &[]),
            _ => broker.restart(),
        }
    }
    receives.line_that(|line| has(line) >= 3 * WAVE);
    let mut payloads: BTreeMap<String, String> = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for message in messages(&file) {
        let (id, payload) = (text(&message, "id"), text(&message, "payload"));
        let known = payloads.insert(id.into(), payload.into());
        if known.is_none() {
            // What comes for the first time comes in order.
            let number: u64 = payload.parse().expect("a number");
            let before = last.insert(text(&message, "topic").into(), number);
            assert!(before.is_none_or(|before| before < number), "{before:?} before {number}");
        }
        assert!(known.is_none_or(|known| known == payload), "{id} is of two messages");
    }
    let numbers: BTreeSet<u64> = payloads.values().map(|it| it.parse().expect("n")).collect();
    assert!(numbers.into_iter().eq(0..3 * WAVE), "each of them");
    assert_eq!(payloads.len() as u64, 3 * WAVE, "each under one id");
}

/// How many different messages the receiver has, by what it says.
fn has(line: &str) -> u64 {
    line.strip_prefix("has ").and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn a_message_is_signed_and_has_all_that_it_was_published_with() {
    let (folder, there, authority) =
        (TempDir::new().expect("a folder"), free(), Authority::new("Test CA"));
    let (file, key) = (folder.path().join("taken"), folder.path().join("key"));
    std::fs::write(&key, "a secret\n").expect("written");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let (cert, its_key) = (server.cert.display().to_string(), server.key.display().to_string());
    let receives = receiver(there, &file, &["a secret", &cert, &its_key]);
    let settings =
        format!("ca_file = {:?}\nsecret_file = {key:?}\nbody = \"object\"", authority.path());
    let url = format!("https://localhost:{}/hook", there.port());
    let broker = Configured::new(&format!("{SOON}{}", push("seen", &url, &settings))).start();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    let more = ["-q", "1", "-D", "publish", "user-property", "unit", "C"];
    here.publish("seen/a", "21.5", &more);
    here.publish("other", "no", &["-q", "1"]);
    receives.line_that(|line| has(line) == 1);
    let [message] = &messages(&file)[..] else { panic!("one message") };
    let (topic, payload) = (text(message, "topic"), text(message, "payload"));
    assert_eq!((topic, payload, text(message, "stream")), ("seen/a", "21.5", "mqtt"));
    assert_eq!(message["properties"], serde_json::json!([["unit", "C"]]));
    let place = (&message["partition"], &message["offset"]);
    assert_eq!(text(message, "id"), format!("mqtt/{}/{}", place.0, place.1));
}

#[test]
fn pushes_begin_change_and_end_while_the_broker_runs_and_go_on_where_they_were() {
    let (folder, there) = (TempDir::new().expect("a folder"), free());
    let file = folder.path().join("taken");
    let receives = receiver(there, &file, &[]);
    let setup = Configured::new(SOON);
    let broker = setup.start();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    let reload = |text: &str, told: &str, times: usize| {
        setup.write(&format!("{SOON}{text}"));
        broker.hang_up();
        broker.await_times(&format!("reload: applied: bridge.push[p]{told}"), times);
    };
    let narrow = push("p", &format!("http://{there}/hook"), "linger_ms = 0");
    here.publish("p/0", "zero", &["-q", "1"]);
    reload(&narrow, ": new", 1);
    receives.line_that(|line| has(line) == 1);
    reload("", ": removed", 1);
    here.publish("p/1", "one", &["-q", "1"]);
    reload(&narrow, ": new", 2);
    receives.line_that(|line| has(line) == 2);
    here.publish("p/3", "three", &["-q", "1"]);
    receives.line_that(|line| has(line) == 3);
    reload(&narrow.replace("p/#", "#"), ".filters", 1);
    here.publish("q/4", "four", &["-q", "1"]);
    receives.line_that(|line| has(line) == 4);
    // What came last before a change may come again, under the same id.
    let taken: BTreeSet<String> =
        messages(&file).iter().map(|it| text(it, "payload").to_owned()).collect();
    assert_eq!(taken, ["four", "one", "three", "zero"].map(str::to_owned).into());
}

#[test]
fn what_the_receiver_will_never_take_gets_a_dead_letter_and_the_rest_goes_on() {
    let (folder, there) = (TempDir::new().expect("a folder"), free());
    let file = folder.path().join("taken");
    let url = format!("http://{there}/");
    let settings = "tries_max = 2\ntimeout_ms = 2000\nlinger_ms = 500";
    let broker = Configured::new(&format!("{SOON}{}", push("p", &url, settings))).start();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    let mut dead = here.subscribe("$dead/#", &["-q", "1", "-C", "2"]);
    for (number, payload) in
        ["a", "poison", "b", "busy", "broken", "c", "slow", "d"].into_iter().enumerate()
    {
        here.publish(&format!("p/{number}"), payload, &["-q", "1"]);
    }
    // Nobody was there so far.
    broker.await_output("cannot be reached");
    let receives = receiver(there, &file, &[]);
    receives.line_that(|line| has(line) == 6);
    let mut letters = dead.messages();
    letters.sort();
    assert_eq!(letters, ["1 0 $dead/p broken", "1 0 $dead/p poison"]);
    let taken: BTreeSet<String> =
        messages(&file).iter().map(|message| text(message, "payload").to_owned()).collect();
    let expected = ["a", "b", "busy", "c", "d", "slow"].map(str::to_owned);
    assert_eq!(taken, BTreeSet::from(expected));
    for words in [
        "answers 422: it cannot use what was sent (as it is told)",
        "answers 500: it failed",
        "answers 429: too many requests",
        "does not answer within 2000 ms",
    ] {
        broker.await_output(words);
    }
}

#[test]
fn a_wrong_certificate_is_said_in_words_and_others_go_on() {
    let (folder, there) = (TempDir::new().expect("a folder"), [free(), free()]);
    let files = ["secret", "plain"].map(|name| folder.path().join(name));
    let (authority, others) = (Authority::new("Test CA"), Authority::new("Another CA"));
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let (cert, key) = (server.cert.display().to_string(), server.key.display().to_string());
    let _secret = receiver(there[0], &files[0], &["-", &cert, &key]);
    let plain = receiver(there[1], &files[1], &[]);
    let strange = format!("ca_file = {:?}", others.path());
    let pushes = [
        push("strange", &format!("https://localhost:{}/", there[0].port()), &strange),
        push("plain", &format!("http://{}/", there[1]), ""),
    ];
    let broker = Configured::new(&format!("{SOON}{}", pushes.concat())).start();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    for name in ["strange", "plain"] {
        here.publish(&format!("{name}/1"), name, &["-q", "1"]);
    }
    broker.await_output("invalid peer certificate: UnknownIssuer");
    plain.line_that(|line| has(line) == 1);
    assert_eq!(std::fs::read_to_string(&files[0]).expect("its file"), "");
}

#[test]
fn a_receiver_that_is_away_costs_no_memory() {
    let url = format!("http://{}/", free());
    let store = "[store]\nrecent_bytes_max = \"1 MiB\"\n";
    let broker = Configured::new(&format!("{store}{SOON}{}", push("load", &url, ""))).start();
    fill(&broker);
    broker.await_output("cannot be reached");
    let first = broker.memory_bytes();
    (0..3).for_each(|_| fill(&broker));
    let later = broker.memory_bytes();
    assert!(later < first + (32 << 20), "{first} and then {later} bytes");
}

/// Publishes 30 MB that the push has to read.
fn fill(broker: &Broker) {
    let address = broker.address();
    let mut command = Command::new("sh");
    let script = "head -c 30000000 /dev/zero | tr '\\0' x | fold -w 20000 | \
                  exec mosquitto_pub -l -t load/1 -q 1 -h \"$0\" -p \"$1\"";
    command.args(["-c", script, &address.ip().to_string(), &address.port().to_string()]);
    let _ = Program::start(&mut command).succeeds();
}
