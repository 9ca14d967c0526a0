//! Do `tidewire pub` and `tidewire sub` do what they say, with this broker and in words?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::deaf::{Client, Deaf, WELCOME};
use tidewire_tests::pages::Pages;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::typed::{Said, tidewire, typed, typed_with};

fn url(broker: &Broker) -> String {
    format!("mqtt://{}", broker.address())
}

/// Types `tidewire pub` or `sub` with these words, for this broker.
fn to(broker: &Broker, words: &[&str]) -> Said {
    typed(&[words, &["--url", &url(broker)]].concat())
}

#[test]
fn what_is_published_is_shown_and_what_the_broker_answered_is_said() {
    let broker = Broker::start();
    for (qos, protocol) in [("1", "5"), ("2", "5"), ("1", "3.1.1"), ("2", "3.1.1")] {
        let same = ["-q", qos, "--protocol", protocol];
        let (topic, filter) = (format!("{qos}{protocol}/b"), format!("{qos}{protocol}/#"));
        let said = to(&broker, &[&["pub", &topic, "-21.5", "-r"][..], &same].concat()).well();
        assert_eq!(said, format!("{topic}: acknowledged\n"));
        let shown = to(&broker, &[&["sub", &filter, "-v", "-C", "1"][..], &same].concat()).well();
        assert_eq!(shown, format!("{topic} -21.5\n"));
    }
    let said = to(&broker, &["pub", "a/c", "x", "-q", "0"]).well();
    assert!(said.contains("at QoS 0 nobody says"), "{said}");
    assert_eq!(to(&broker, &["pub", "a/c", "x", "--quiet"]).well(), "");
}

#[test]
fn a_message_has_the_properties_that_were_said() {
    let broker = Broker::start();
    let words = ["pub", "a", "{\"t\":1}", "-r", "-P", "site=north", "-P", "site=south"];
    let more = ["--content-type", "application/json", "--correlation", "7", "--expiry", "1h"];
    let _ = to(&broker, &[&words[..], &more].concat()).well();
    let shown = to(&broker, &["sub", "a", "--json", "-C", "1"]).well();
    for part in [
        "\"payload\":\"{\\\"t\\\":1}\"",
        "\"user_properties\":[[\"site\",\"north\"],[\"site\",\"south\"]]",
        "\"content_type\":\"application/json\"",
        "\"correlation_base64\":\"Nw==\"",
        "\"expiry_s\":3",
        "\"retain\":true",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let format = ["sub", "a", "-F", "%t|%q|%r|%l|%p|%x", "-C", "1"];
    assert_eq!(to(&broker, &format).well(), "a|1|1|7|{\"t\":1}|7b2274223a317d\n");
}

#[test]
fn the_past_is_shown_to_its_end_and_again() {
    let broker = Broker::start();
    let words = ["pub", "line/1", "{{seq}}", "--count", "500"];
    let said = to(&broker, &words).well();
    assert!(said.starts_with("500 messages in ") && said.contains("500 acknowledged"), "{said}");
    let expected: String = (1..=500).map(|n| format!("{n}\n")).collect();
    for filter in ["line/#", "#", "line/+"] {
        let words = ["sub", filter, "--from", "earliest", "--until-end"];
        assert_eq!(to(&broker, &words).well(), expected, "{filter}");
    }
    let words = ["sub", "line/#", "--from", "1h", "--until-end", "-C", "3"];
    assert_eq!(to(&broker, &words).well(), "1\n2\n3\n");
    let words = ["sub", "line/#", "--from", "2099-01-01", "--until-end"];
    assert_eq!(to(&broker, &words).well(), "");
}

#[test]
fn until_the_end_of_what_is_retained() {
    let broker = Broker::start();
    for number in 0..50 {
        let _ = to(&broker, &["pub", &format!("state/{number}"), "on", "-r"]).well();
    }
    let _ = to(&broker, &["pub", "state/7", "-n", "-r"]).well();
    let shown = to(&broker, &["sub", "state/+", "--retained-only", "--until-end"]).well();
    assert_eq!(shown, "on\n".repeat(49));
    let words = ["sub", "state/+", "-R", "--until-end"];
    assert_eq!(to(&broker, &words).well(), "");
}

#[test]
fn lines_files_and_bytes_are_published_as_they_are() {
    let broker = Broker::start();
    let url = url(&broker);
    let typed_to = |words: &[&str], input: &[u8]| {
        typed_with(&[words, &["--url", &url]].concat(), input).well()
    };
    let said = typed_to(&["pub", "lines", "--lines"], b"one {{seq}}\r\ntwo\nthree");
    assert!(said.starts_with("3 messages in "), "{said}");
    let shown = to(&broker, &["sub", "lines", "--from", "earliest", "--until-end"]).well();
    assert_eq!(shown, "one {{seq}}\ntwo\nthree\n");

    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let _ = typed_to(&["pub", "raw", "--stdin"], &bytes);
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("raw");
    std::fs::write(&file, &bytes).expect("written");
    let _ = to(&broker, &["pub", "raw", "--file", file.to_str().expect("UTF-8")]).well();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let words = ["sub", "raw", "--from", "earliest", "--until-end", "-F", "%x"];
    assert_eq!(to(&broker, &words).well(), format!("{hex}\n{hex}\n"));
}

#[test]
fn who_names_the_same_group_shares_the_messages() {
    let broker = Broker::start();
    let url = url(&broker);
    let members = ["ann", "bob"].map(|id| {
        let words = ["sub", "jobs/#", "--group", "workers", "--id", id, "--url", &url];
        Program::start(&mut tidewire(&words))
    });
    // Each of them has a part of many when both are there.
    let (mut sent, mut shown) = (0, [false; 2]);
    let deadline = Instant::now() + PATIENCE;
    while shown != [true; 2] {
        assert!(Instant::now() < deadline, "after {sent} messages: {shown:?}");
        sent += 1;
        let _ = to(&broker, &["pub", "jobs/1", &sent.to_string()]).well();
        for (member, shown) in members.iter().zip(&mut shown) {
            *shown |= !member.output().is_empty();
        }
    }
}

#[test]
fn a_session_that_is_kept_goes_on_where_it_was() {
    let broker = Broker::start();
    let reader = ["sub", "a", "--id", "reader", "--keep", "1h"];
    let _ = to(&broker, &["pub", "a", "first", "-r"]).well();
    assert_eq!(to(&broker, &[&reader[..], &["-C", "1"]].concat()).well(), "first\n");
    let said = to(&broker, &["pub", "a", "second"]).well();
    assert_eq!(said, "a: acknowledged\n", "the session subscribes");
    let words = [&reader[..], &["-C", "1", "--no-retained"]].concat();
    assert_eq!(to(&broker, &words).well(), "second\n");
    let _ = to(&broker, &["pub", "a", "third"]).well();
    let words = [&reader[..], &["--until-end", "--no-retained"]].concat();
    assert_eq!(to(&broker, &words).well(), "third\n");
    assert_eq!(to(&broker, &words).well(), "");
}

/// `tidewire sub`, which a broker that hears all lets in and grants what it asks for.
fn subscriber(words: &[&str], welcome: &[u8], granted: &[u8]) -> (Program, Client) {
    let deaf = Deaf::open();
    let url = deaf.url();
    let words = [&["sub"], words, &["--url", &url]].concat();
    let program = Program::start(&mut tidewire(&words));
    let mut client = deaf.client();
    client.say(welcome);
    let _ = client.hears(8);
    client.say(granted);
    (program, client)
}

#[test]
fn a_session_that_is_kept_is_left_without_the_subscription_that_says_that_all_is_read() {
    let words = ["a", "--id", "reader", "--keep", "1h", "--until-end"];
    let granted = [0x90, 5, 0, 1, 0, 1, 1];
    let (mut program, mut client) = subscriber(&words, WELCOME, &granted);
    let mark = client.hears(3);
    client.say(&mark);
    let forgotten = client.hears(10);
    assert!(String::from_utf8_lossy(&forgotten).contains("$until-end/"), "{forgotten:?}");
    client.say(&[0xb0, 4, 0, 3, 0, 0]);
    assert_eq!(program.succeeds(), [""; 0]);
}

#[test]
fn what_is_cut_off_before_its_end_is_no_success() {
    for (words, ends_by_itself) in [(&["--wait", "1s"][..], true), (&[][..], false)] {
        let words = [&["a", "--from", "earliest", "--until-end"], words].concat();
        let granted = [0x90, 5, 0, 1, 0, 1, 1];
        let (mut program, mut client) = subscriber(&words, WELCOME, &granted);
        let _ = client.hears(3);
        let status = if ends_by_itself { program.rest().0 } else { program.interrupted() };
        assert_eq!(status.code(), Some(1), "{words:?}: {}", program.output());
        program.await_output("before the end");
    }
}

#[test]
fn before_mqtt_5_a_broker_that_drops_the_message_for_the_end_is_not_waited_for() {
    let words = ["a", "--until-end", "--protocol", "3.1.1"];
    let (mut program, mut client) = subscriber(&words, &[0x20, 2, 0, 0], &[0x90, 4, 0, 1, 1, 1]);
    let _ = client.hears(3);
    client.say(&[0x40, 2, 0, 2]);
    let (status, _) = program.rest();
    assert_eq!(status.code(), Some(1));
    program.await_output("and does not send it");
}

#[test]
fn a_client_is_heard_of_as_often_as_the_broker_wants() {
    for words in [
        &["sub", "a"][..],
        &["pub", "a", "x", "--interval", "1h"],
        &["demo", "--devices", "1", "--interval", "1h"],
    ] {
        let deaf = Deaf::open();
        let url = deaf.url();
        let words = [words, &["--url", &url]].concat();
        let _program = Program::start(&mut tidewire(&words));
        let mut client = deaf.client();
        let begun = Instant::now();
        // Server Keep Alive: 1 s. By itself it would come after 30 s.
        client.say(&[0x20, 6, 0, 0, 3, 0x13, 0, 1]);
        let _ = client.hears(12);
        assert!(begun.elapsed() < Duration::from_secs(25), "{words:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn ctrl_c_ends_a_publisher_that_nobody_answers() {
    for words in [&["pub", "a", "x"][..], &["pub", "a", "x", "--interval", "1ms"]] {
        let deaf = Deaf::open();
        let url = deaf.url();
        let words = [words, &["--url", &url]].concat();
        let mut program = Program::start(&mut tidewire(&words));
        let mut client = deaf.client();
        client.say(WELCOME);
        let _ = client.hears(3);
        let status = program.interrupted();
        assert_eq!(status.code(), Some(1), "{words:?}");
        program.await_output("not answered");
    }
}

#[test]
fn numbers_become_a_picture_as_wide_as_the_terminal() {
    let broker = Broker::start();
    for payload in ["{{seq}}", "{\"motor\": {\"rpm\": {{seq}}}}"] {
        let topic = if payload.starts_with("{\"") { "b" } else { "a" };
        let _ = to(&broker, &["pub", topic, payload, "--count", "40"]).well();
    }
    let picture = |words: &[&str]| {
        let url = url(&broker);
        let mut command = tidewire(&[words, &["--from", "earliest", "--url", &url]].concat());
        let output = command.arg("--until-end").env("COLUMNS", "30").output().expect("built");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    for text in [picture(&["sub", "a", "--graph"]), picture(&["sub", "b", "--graph=motor.rpm"])] {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 9, "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 30), "{text}");
        assert!(lines[1].starts_with("       40 ┤"), "{text}");
        assert!(lines[8].starts_with("       22 ┤▁"), "{text}");
    }
    let text = picture(&["sub", "+", "--graph"]);
    assert!(text.contains("40 messages without a number"), "{text}");
}

/// PUBLISH of MQTT 5 at QoS 1 on topic `a`, with a number of one digit.
fn reading(number: u8) -> [u8; 9] {
    [0x32, 7, 0, 1, b'a', 0, number, 0, b'0' + number]
}

#[test]
fn a_picture_in_a_pipe_is_there_when_the_command_is_told_to_end() {
    for is_interrupt in [true, false] {
        let granted = [0x90, 4, 0, 1, 0, 1];
        let (mut program, mut client) = subscriber(&["a", "--graph"], WELCOME, &granted);
        for number in [3, 7] {
            client.say(&reading(number));
            let _ = client.hears(4);
        }
        if is_interrupt {
            program.interrupt()
        } else {
            program.ask_to_end()
        }
        let lines = program.succeeds();
        assert!(lines.contains(&"a  now 7  2 messages".to_owned()), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
    }
}

#[test]
fn a_picture_in_a_pipe_is_there_again_and_again_while_something_comes() {
    let granted = [0x90, 4, 0, 1, 0, 1];
    let (mut program, mut client) = subscriber(&["a", "--graph"], WELCOME, &granted);
    for (number, came) in [(3, "1 message"), (7, "2 messages")] {
        client.say(&reading(number));
        program.await_output(&format!("a  now {number}  {came}"));
    }
    drop(client);
    let (status, lines) = program.rest();
    assert_eq!(status.code(), Some(1), "the broker is gone: {lines:?}");
    assert!(lines.contains(&String::new()), "one is parted from the next: {lines:?}");
}

#[test]
fn tls_and_a_password_by_files() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let client = authority.sign("client", Use::Client, &["press-7"]);
    let users = authority.file("users");
    let users = users.to_str().expect("UTF-8");
    let _ = typed_with(&["passwd", "add", users, "ann"], b"pencil\n").well();
    let text = format!(
        "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n\
         cert_file = {:?}\nkey_file = {:?}\nclient_auth = \"required\"\nclient_ca_file = {:?}\n\
         [auth]\npassword_file = {users:?}\n",
        server.cert,
        server.key,
        authority.path()
    );
    let broker = Configured::new(&text).start();
    let url = format!("mqtts://localhost:{}", broker.address_of("mqtts").port());
    let password = authority.file("password");
    std::fs::write(&password, "pencil\n").expect("written");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (ca, cert, key) = (text(&authority.path()), text(&client.cert), text(&client.key));
    let (file, base) = (text(&password), ["pub", "a", "1", "--url", &url]);
    let all = ["--cafile", &ca, "--cert", &cert, "--key", &key, "--user", "ann", "--password-file"];

    let _ = typed(&[&base[..], &all, &[&file]].concat()).well();
    let said = typed(&base).fails(1);
    assert!(said.contains("UnknownIssuer") && said.contains("try: --cafile FILE"), "{said}");
    std::fs::write(&password, "pen\n").expect("written");
    let said = typed(&[&base[..], &all, &[&file]].concat()).fails(1);
    assert!(said.contains("it refuses the connection: "), "{said}");
    assert!(said.contains("try: --user NAME --password-file FILE"), "{said}");
}

#[test]
fn within_websocket_with_tls_and_without() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let text = format!(
        "[listener.websocket]\nbind = \"127.0.0.1:0\"\n[listener.wss]\nbind = \"127.0.0.1:0\"\n\
         [listener.wss.tls]\ncert_file = {:?}\nkey_file = {:?}\n",
        server.cert, server.key
    );
    let broker = Configured::new(&text).start();
    let ca = authority.path();
    let ca = ca.to_str().expect("UTF-8");
    for (scheme, more) in [("ws", &[][..]), ("wss", &["--cafile", ca])] {
        let web = format!("{scheme}://localhost:{}/mqtt", broker.address_of(scheme).port());
        let large = format!("{scheme} {}", "x".repeat(300_000));
        for protocol in ["5", "3.1.1"] {
            let url = ["--url", &web, "--protocol", protocol];
            let topic = format!("{scheme}/{protocol}");
            let words = [&["pub", &topic, "--stdin", "--retain"][..], &url, more].concat();
            assert_eq!(
                typed_with(&words, large.as_bytes()).well(),
                format!("{topic}: acknowledged\n")
            );
            let shown = typed(&[&["sub", &topic, "-C", "1"][..], &url, more].concat()).well();
            assert_eq!(shown.trim_end(), large);
        }
    }
    // A port that speaks MQTT alone grants no WebSocket.
    let plain = format!("ws://{}", broker.address());
    let said = typed(&["pub", "a", "b", "--url", &plain]).fails(1);
    assert!(said.contains("try: --url ws://HOST:PORT/PATH"), "{said}");
}

#[test]
fn an_error_ends_with_what_to_try() {
    let rules = TempDir::new().expect("a folder");
    let file = rules.path().join("rules");
    std::fs::write(&file, "allow anonymous any open/#\n").expect("written");
    let text = format!("[access]\nrules_file = {file:?}\n");
    let broker = Configured::new(&text).start();
    // Nobody is given this port.
    let nobody = "mqtt://127.0.0.1:1";
    let here = url(&broker);
    let expect = |words: &[&str], url: &str, code: i32, parts: &[&str]| {
        let said = typed(&[words, &["--url", url]].concat()).fails(code);
        parts.iter().for_each(|part| assert!(said.contains(part), "{words:?}: {said}"));
    };
    expect(&["pub", "a", "b"], nobody, 1, &["refused", "try: is a broker running there?"]);
    expect(&["pub", "a/+", "b"], &here, 1, &["no topic to publish to", "try: a topic without"]);
    expect(&["sub", "a/#/b"], &here, 1, &["is no filter", "try: "]);
    expect(&["sub", "closed/#"], &here, 1, &["subscription to closed/#: ", "acl check"]);
    expect(&["pub", "closed", "b"], &here, 1, &["closed: the broker refuses it", "acl check"]);
    let past = ["sub", "open/#", "--from", "earliest", "--until-end"];
    expect(&past, &here, 1, &["may not", "--wait TIME"]);
    expect(&["pub", "a", "b", "--expiry", "1h", "--protocol", "3.1.1"], &here, 1, &["MQTT 5"]);
    expect(&["sub", "open/#", "-W", "1ms"], &here, 1, &["nothing came", "--from earliest"]);
    expect(&["sub", "a", "--from", "now"], &here, 2, &["earliest, latest, 2h"]);
    expect(&["pub", "a"], &here, 2, &["required"]);
    expect(&["sub", "a"], "http://127.0.0.1", 2, &["mqtt://", "ws://"]);
    let http = Pages::serve(BTreeMap::new());
    let web = format!("ws://127.0.0.1:{}/mqtt", http.port());
    expect(&["pub", "a", "b"], &web, 1, &["404 Not Found", "try: --url ws://HOST:PORT/PATH"]);
}
