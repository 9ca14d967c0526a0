//! Do the rules hold on every way to a topic, for everybody, and from the moment they change?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::doors::connect_from;
use tidewire_tests::places;
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, connect, frame, kind, property, subscribe,
};

const NOT_AUTHORIZED: u8 = 0x87;
const SUCCESS: u8 = 0;

/// A broker with users ann, bob and eve, whose passwords are their names.
struct Setup {
    broker: Broker,
    rules: PathBuf,
    folder: TempDir,
}

fn setup(rules: &str, more: &str) -> Setup {
    setup_with("rules_file", rules, more)
}

fn setup_with(key: &str, rules: &str, more: &str) -> Setup {
    let folder = TempDir::new().expect("a folder");
    let (users, file) = (folder.path().join("users"), folder.path().join("rules"));
    std::fs::write(&file, rules).expect("written");
    let mut command = Command::new(places::built_program("tidewire"));
    command.args(["passwd", "add", "--batch"]).arg(&users);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("built");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"ann:ann\nbob:bob\neve:eve\n").expect("it reads");
    drop(input);
    assert!(child.wait().expect("our child").success());
    let config = format!(
        "[auth]\npassword_file = {:?}\n[listener.mqtt]\nanonymous = \"allow\"\n\
         [threads]\ncores = 1\n[access]\n{key} = {:?}\n{more}",
        users.display().to_string(),
        file.display().to_string()
    );
    let text = folder.path().join("config.toml");
    std::fs::write(&text, config).expect("written");
    let broker = Broker::start_with(&["--config", text.to_str().expect("UTF-8")]);
    Setup { broker, rules: file, folder }
}

impl Setup {
    /// Other rules, in force when this returns.
    fn change(&self, rules: &str) {
        let told = "access rules hold for all sessions";
        let times = self.broker.output().matches(told).count();
        std::fs::write(&self.rules, rules).expect("written");
        self.broker.hang_up();
        self.broker.await_times(told, times + 1);
    }

    fn client(&self, user: &str) -> Wire {
        self.client_called(user, user)
    }

    /// A session that stays, of this user; without a name, of nobody.
    fn client_called(&self, client_id: &str, user: &str) -> Wire {
        let expiry = property::session_expiry(3600);
        let hello = Hello {
            clean: false,
            properties: &expiry,
            login: login(user),
            ..Hello::new(client_id)
        };
        Wire::greet(self.broker.address(), &hello).0
    }

    fn refused(&self, hello: &Hello<'_>) -> u8 {
        let mut wire = Wire::open(self.broker.address(), Version::V5);
        wire.send(&hello.bytes());
        wire.packet_of(kind::CONNACK).body()[1]
    }
}

fn login(user: &str) -> Option<(&str, &str)> {
    (!user.is_empty()).then_some((user, user))
}

/// The code of PUBACK or PUBREC.
fn published(wire: &mut Wire, topic: &str, qos: u8, is_retained: bool) -> u8 {
    let message = Publish::new(topic, "x", qos, 7);
    wire.publish(&if is_retained { message.retained() } else { message });
    let answer = if qos == 1 { kind::PUBACK } else { kind::PUBREC };
    let code = wire.packet_of(answer).body().get(2).copied().unwrap_or(SUCCESS);
    if qos == 2 && code == SUCCESS {
        wire.acknowledge(kind::PUBREL, 7);
        wire.answered(kind::PUBCOMP, 7);
    }
    code
}

/// The codes of SUBACK.
fn subscribed(wire: &mut Wire, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 1)).collect();
    wire.send(&subscribe(Version::V5, 9, &filters));
    let suback = wire.packet_of(kind::SUBACK);
    let body = suback.body();
    body[body.len() - filters.len()..].to_vec()
}

const RULES: &str = "
group staff = ann
allow group=staff any #
allow user=bob publish,subscribe home/bob/#
deny  user=bob retained home/bob/raw
deny  user=bob replay home/bob/#
deny  user=bob shared home/bob/own
allow client=dev-* publish,subscribe dev/%c/#
allow anonymous subscribe public/+
";

#[test]
fn each_way_to_publish_asks_the_rules() {
    let setup = setup(RULES, "");
    let (mut ann, mut bob) = (setup.client("ann"), setup.client("bob"));
    for qos in [1, 2] {
        for (topic, is_retained, code) in [
            ("home/bob/x", false, SUCCESS),
            ("home/bob/x", true, SUCCESS),
            ("home/bob/raw", false, SUCCESS),
            ("home/bob/raw", true, NOT_AUTHORIZED),
            ("home/ann/x", false, NOT_AUTHORIZED),
            ("home", false, NOT_AUTHORIZED),
            ("$delayed/0/home/bob/x", false, SUCCESS),
            ("$delayed/0/home/ann/x", false, NOT_AUTHORIZED),
            ("$SYS/x", false, NOT_AUTHORIZED),
        ] {
            assert_eq!(published(&mut bob, topic, qos, is_retained), code, "{topic} {is_retained}");
        }
    }
    assert_eq!(subscribed(&mut ann, &["home/#"]), [1]);
    bob.publish(&Publish::new("home/ann/x", "forbidden", 0, 0));
    bob.publish(&Publish::new("home/bob/x", "allowed", 1, 1));
    while ann.packet_of(kind::PUBLISH).payload_text() != "allowed" {}
}

#[test]
fn an_alias_and_a_rewritten_topic_are_asked_for_by_what_they_stand_for() {
    let rewrite = "[topics]\nrewrite = [{ on = \"both\", from = \"old/#\", to = \"home/$1\" }]\n";
    let setup = setup("allow user=bob any home/bob/#\nallow user=bob any old/#\n", rewrite);
    let mut bob = setup.client("bob");
    assert_eq!(published(&mut bob, "old/bob/x", 1, false), SUCCESS);
    assert_eq!(published(&mut bob, "old/ann/x", 1, false), NOT_AUTHORIZED);
    assert_eq!(subscribed(&mut bob, &["old/bob/x", "old/#"]), [1, NOT_AUTHORIZED]);
    // An alias that was set by a message that was refused stands for its topic all the same.
    let alias = |topic: &str, id: u8| {
        let mut body = vec![0, u8::try_from(topic.len()).expect("short")];
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&[0, id, 3, 0x23, 0, 1, b'x']);
        frame(0x32, &body)
    };
    for (topic, id) in [("home/ann/x", 1), ("", 2)] {
        bob.send(&alias(topic, id));
        assert_eq!(bob.packet_of(kind::PUBACK).body().get(2), Some(&NOT_AUTHORIZED), "{topic}");
    }
}

#[test]
fn each_way_to_subscribe_asks_the_rules_for_each_filter() {
    let setup = setup(RULES, "");
    let mut bob = setup.client("bob");
    let no = NOT_AUTHORIZED;
    for (filters, codes) in [
        (&["home/bob/#", "home/ann/#", "home/bob/x"][..], &[1, no, 1][..]),
        (&["#"], &[no]),
        (&["+/bob/#"], &[no]),
        (&["$share/g/home/bob/x"], &[1]),
        (&["$share/g/home/bob/own", "$share/g/#", "$share/home/bob/x/y"], &[no, no, no]),
        (&["$queue/home/ann/x"], &[no]),
        (&["$exclusive/home/bob/e", "$exclusive/home/ann/e"], &[1, no]),
        (&["$s/earliest/home/bob/x", "$s/earliest/home/ann/x"], &[no, no]),
        (&["$SYS/#", "$delayed/1/home/bob/x"], &[no, no]),
    ] {
        assert_eq!(subscribed(&mut bob, filters), codes, "{filters:?}");
    }
    let mut old = Wire::open(setup.broker.address(), Version::V4);
    old.send(&connect(Version::V4, "nobody", true, 60, None));
    assert!(!old.connected());
    old.send(&subscribe(Version::V4, 1, &[("public/a", 1), ("public/#", 1), ("x", 0)]));
    assert!(old.packet_of(kind::SUBACK).body().ends_with(&[1, 0x80, 0x80]));
}

#[test]
fn no_client_id_and_no_user_makes_a_pattern_wider() {
    let setup = setup("allow everyone any dev/%c/%u\nallow everyone any of/%c\n", "");
    for client_id in ["+", "#", "dev-1/x", "$SYS"] {
        let mut wire = setup.client_called(client_id, "bob");
        for topic in ["dev/other/bob", "of/other", "dev/dev-1/x"] {
            assert_eq!(published(&mut wire, topic, 1, false), NOT_AUTHORIZED, "{client_id}");
        }
        let filters = ["dev/+/bob", "dev/#", "of/+", "of/#", "#", "$SYS/#"];
        assert_eq!(subscribed(&mut wire, &filters), [NOT_AUTHORIZED; 6], "{client_id}");
    }
    let mut plain = setup.client_called("mine", "bob");
    assert_eq!(published(&mut plain, "dev/mine/bob", 1, false), SUCCESS);
    assert_eq!(published(&mut plain, "dev/mine/ann", 1, false), NOT_AUTHORIZED);
    let mut nobody = setup.client_called("mine2", "");
    assert_eq!(published(&mut nobody, "dev/mine2/", 1, false), NOT_AUTHORIZED);
    assert_eq!(published(&mut nobody, "of/mine2", 1, false), SUCCESS);
}

#[test]
fn rules_that_name_a_listener_or_an_address_hold_for_who_comes_there() {
    let rules = "allow everyone publish #\n\
                 deny listener=mqtt publish not/by/mqtt\n\
                 deny listener=websocket publish not/by/web\n\
                 deny address=127.0.0.2 publish not/from/there\n\
                 deny address=127.0.0.1/32 publish not/from/here\n";
    let setup = setup(rules, "");
    let from = |last| {
        let stream = connect_from([127, 0, 0, last].into(), setup.broker.address());
        let mut wire = Wire::on(stream, Version::V5);
        wire.send(&Hello::new(&format!("from-{last}")).bytes());
        let _ = wire.packet_of(kind::CONNACK);
        wire
    };
    let (mut here, mut there) = (from(1), from(2));
    for (topic, of_here, of_there) in [
        ("not/by/mqtt", NOT_AUTHORIZED, NOT_AUTHORIZED),
        ("not/by/web", SUCCESS, SUCCESS),
        ("not/from/there", SUCCESS, NOT_AUTHORIZED),
        ("not/from/here", NOT_AUTHORIZED, SUCCESS),
    ] {
        let said = [&mut here, &mut there].map(|wire| {
            let code = published(wire, topic, 1, false);
            // "No matching subscribers" is no refusal.
            if code < 0x80 { SUCCESS } else { code }
        });
        assert_eq!(said, [of_here, of_there], "{topic}");
    }
}

#[test]
fn a_will_is_asked_for_at_connect_and_again_when_it_is_sent() {
    let setup = setup(RULES, "");
    for (topic, is_retained, code) in [
        ("home/bob/will", false, SUCCESS),
        ("home/ann/will", false, NOT_AUTHORIZED),
        ("home/bob/raw", true, NOT_AUTHORIZED),
        ("$SYS/will", false, NOT_AUTHORIZED),
    ] {
        let will = Some(LastWill { retain: is_retained, ..LastWill::new(topic, "gone") });
        let hello = Hello { will, login: login("bob"), ..Hello::new("wills") };
        assert_eq!(setup.refused(&hello), code, "{topic}");
    }
    let mut ann = setup.client("ann");
    assert_eq!(subscribed(&mut ann, &["home/bob/last", "end"]), [1, 1]);
    let expiry = property::session_expiry(3600);
    let delay = property::will_delay(1);
    let last =
        |delay| Some(LastWill { properties: delay, ..LastWill::new("home/bob/last", "boo") });
    let [now, late] = [last(&[]), last(&delay)].map(|will| Hello {
        will,
        properties: &expiry,
        login: login("bob"),
        ..Hello::new("lost")
    });
    let (lost, _) = Wire::greet(setup.broker.address(), &now);
    lost.vanish();
    let _ = ann.receive("boo");
    // One whose connection is open when the right is lost, and one who is away.
    let (lost, _) = Wire::greet(setup.broker.address(), &now);
    let (away, _) = Wire::greet(setup.broker.address(), &Hello { client_id: "away", ..late });
    away.vanish();
    setup.change("allow user=ann any #\n");
    lost.vanish();
    setup.broker.await_times("a will may not be sent any more", 2);
    ann.publish_acknowledged(&Publish::new("end", "end", 1, 5));
    let next = ann.packet_of(kind::PUBLISH);
    assert_eq!(next.payload_text(), "end");
}

#[test]
fn what_may_not_be_received_any_more_is_not_delivered_on_any_way() {
    let all = "allow user=ann any #\nallow user=bob subscribe #\n";
    let less = "allow user=ann any #\nallow user=bob subscribe open/#\n";
    let setup = setup(all, "");
    let (mut ann, mut bob) = (setup.client("ann"), setup.client("bob"));
    assert_eq!(subscribed(&mut bob, &["#", "$share/g/closed/s"]), [1, 1]);
    assert_eq!(published(&mut ann, "closed/kept", 1, true), SUCCESS);
    let first = bob.packet_of(kind::PUBLISH);
    assert_eq!(first.topic(), "closed/kept");
    bob.vanish();
    // What waits for bob, in the log and retained, and what was sent and not acknowledged.
    assert_eq!(published(&mut ann, "closed/waits", 1, false), SUCCESS);
    setup.change(less);
    let mut bob = setup.client("bob");
    for topic in ["closed/live", "closed/s", "open/live"] {
        assert_eq!(published(&mut ann, topic, 1, false), SUCCESS);
    }
    let next = bob.packet_of(kind::PUBLISH);
    assert_eq!(next.topic(), "open/live", "all others are kept from bob");
    assert_eq!(subscribed(&mut bob, &["closed/kept", "open/#"]), [NOT_AUTHORIZED, 1]);
    // And with a connection that is open when the rules change.
    setup.change(all);
    bob.acknowledge(kind::PUBACK, next.id());
    assert_eq!(published(&mut ann, "closed/again", 1, false), SUCCESS);
    let again = bob.packet_of(kind::PUBLISH);
    assert_eq!(again.topic(), "closed/again");
    bob.acknowledge(kind::PUBACK, again.id());
    setup.change(less);
    for topic in ["closed/no", "open/yes"] {
        assert_eq!(published(&mut ann, topic, 1, false), SUCCESS);
    }
    assert_eq!(bob.packet_of(kind::PUBLISH).topic(), "open/yes");
}

/// What is retained is of now, however long ago it was published.
#[test]
fn a_retained_message_is_not_of_the_past_while_something_else_is_replayed() {
    let rules = "allow everyone any #\ndeny user=bob subscribe x\ndeny user=bob replay b/#\n";
    let setup = setup(rules, "wide_filters = \"sieve\"\n");
    let mut ann = setup.client("ann");
    assert_eq!(published(&mut ann, "b/1", 1, true), SUCCESS);
    for _ in 0..3 {
        assert_eq!(published(&mut ann, "a/1", 1, false), SUCCESS);
    }
    // One at a time: as long as it is not acknowledged, the replay goes on.
    let one = property::short(0x21, 1);
    let hello = Hello { properties: &one, login: login("bob"), ..Hello::new("bob") };
    let (mut bob, _) = Wire::greet(setup.broker.address(), &hello);
    // Retained messages are not asked for by this one.
    bob.subscribe5("#", 0x21);
    bob.subscribe5("$s/earliest/a/#", 1);
    let first = bob.packet_of(kind::PUBLISH);
    assert_eq!(first.topic(), "a/1");
    bob.send(&subscribe(Version::V5, 7, &[("b/+", 0)]));
    assert_eq!(bob.packet_of(kind::SUBACK).body().last(), Some(&0));
    assert_eq!(bob.packet_of(kind::PUBLISH).topic(), "b/1");
    bob.acknowledge(kind::PUBACK, first.id());
    assert_eq!(bob.packet_of(kind::PUBLISH).topic(), "a/1");
}

#[test]
fn a_publisher_who_lost_its_right_is_refused_at_once_and_may_end_what_it_began() {
    let setup = setup("allow user=bob any #\n", "");
    let mut bob = setup.client("bob");
    bob.publish(&Publish::new("a", "x", 2, 3));
    bob.answered(kind::PUBREC, 3);
    setup.change("allow user=ann any #\n");
    bob.acknowledge(kind::PUBREL, 3);
    bob.answered(kind::PUBCOMP, 3);
    assert_eq!(published(&mut bob, "a", 1, false), NOT_AUTHORIZED);
    assert_eq!(published(&mut bob, "a", 2, false), NOT_AUTHORIZED);
}

#[test]
fn rules_that_are_wrong_change_nothing_and_none_deny_everything() {
    let setup = setup("allow user=bob any #\n", "");
    let mut bob = setup.client("bob");
    std::fs::write(&setup.rules, "allow user=bob any #\nallow bob\n").expect("written");
    setup.broker.await_output("access rules stay as they were");
    setup.broker.await_output(":2: ");
    assert_eq!(published(&mut bob, "a", 1, false), SUCCESS);
    setup.change("# nothing\n");
    assert_eq!(published(&mut bob, "a", 1, false), NOT_AUTHORIZED);
    assert_eq!(subscribed(&mut bob, &["a"]), [NOT_AUTHORIZED]);
}

#[test]
fn a_session_belongs_to_the_user_who_made_it() {
    let mut setup = setup("allow everyone any #\n", "");
    let expiry = property::session_expiry(3600);
    let hello = |user| Hello {
        clean: false,
        properties: &expiry,
        login: login(user),
        ..Hello::new("device")
    };
    let clean = |user| Hello { clean: true, ..hello(user) };
    let mut ann = setup.client_called("device", "ann");
    assert_eq!(subscribed(&mut ann, &["secret"]), [1]);
    // While its client is connected.
    for user in ["bob", "eve", ""] {
        assert_eq!(setup.refused(&hello(user)), NOT_AUTHORIZED, "{user}");
        assert_eq!(setup.refused(&clean(user)), NOT_AUTHORIZED, "{user}");
    }
    assert_eq!(published(&mut ann, "secret", 1, false), SUCCESS, "ann was not touched");
    ann.vanish();
    // While it is away, and after a crash of the broker.
    setup.broker.kill9();
    setup.broker.restart();
    for user in ["bob", ""] {
        assert_eq!(setup.refused(&hello(user)), NOT_AUTHORIZED, "{user}");
        assert_eq!(setup.refused(&clean(user)), NOT_AUTHORIZED, "{user}");
    }
    let (mut ann, present) = Wire::greet(setup.broker.address(), &hello("ann"));
    assert!(present);
    assert_eq!(ann.packet_of(kind::PUBLISH).topic(), "secret");
    // A session of nobody is whose who takes it up.
    let mut nobody = setup.client_called("free", "");
    assert_eq!(subscribed(&mut nobody, &["x"]), [1]);
    nobody.disconnect();
    drop(setup.client_called("free", "bob"));
    let by_ann = Hello { client_id: "free", ..hello("ann") };
    assert_eq!(setup.refused(&by_ann), NOT_AUTHORIZED);
    assert_eq!(setup.refused(&Hello { client_id: "free", ..hello("") }), NOT_AUTHORIZED);
}

#[test]
fn a_file_of_mosquitto_is_obeyed_and_wide_filters_are_sieved() {
    let rules = "topic read news/#\nuser bob\ntopic read news/#\ntopic deny news/secret\n\
                 topic write from/bob\npattern readwrite own/%u/#\n";
    let setup = setup_with("mosquitto_file", rules, "");
    let mut bob = setup.client("bob");
    let (mut ann, address) = (setup.client("ann"), setup.broker.address());
    assert_eq!(published(&mut bob, "from/bob", 1, false), SUCCESS);
    assert_eq!(published(&mut bob, "news/x", 1, false), NOT_AUTHORIZED);
    assert_eq!(subscribed(&mut bob, &["#", "nothing/#"]), [1, NOT_AUTHORIZED]);
    assert_eq!(published(&mut ann, "own/ann/x", 1, false), SUCCESS);
    assert_eq!(published(&mut bob, "own/bob/x", 1, false), SUCCESS);
    assert_eq!(bob.packet_of(kind::PUBLISH).topic(), "own/bob/x", "and not that of ann");
    for version in Mosquitto::VERSIONS {
        let client = Mosquitto::new(address, version);
        let eve = ["-u", "eve", "-P", "eve", "-q", "1"];
        let subscriber = client.subscribe("own/#", &eve);
        client.publish("own/eve/1", version, &eve);
        assert!(subscriber.message().ends_with(version));
    }
}

#[test]
fn before_mqtt_5_a_message_that_may_not_be_published_is_dropped_or_its_client_closed() {
    for (word, is_closed) in [("drop", false), ("close", true)] {
        let more = format!("unauthorized_publish = \"{word}\"\n");
        let setup = setup("allow everyone any open\n", &more);
        let mut old = Wire::open(setup.broker.address(), Version::V4);
        old.send(&connect(Version::V4, "old", true, 60, None));
        assert!(!old.connected());
        old.subscribe(1, &[("open", 1)]);
        old.publish(&Publish::new("shut", "x", 1, 2));
        if is_closed {
            let _ = old.expect_closed();
            continue;
        }
        old.answered(kind::PUBACK, 2);
        old.publish_acknowledged(&Publish::new("shut", "x", 2, 3));
        old.publish_acknowledged(&Publish::new("open", "y", 1, 4));
        let _ = old.receive("y");
    }
}

#[test]
fn the_command_names_the_line_that_decides() {
    let setup = setup(RULES, "");
    let config = setup.folder.path().join("config.toml");
    for (arguments, code, told) in [
        (&["bob", "publish", "home/bob/x"][..], 0, ":4: allow user=bob publish,subscribe"),
        (&["bob", "retained", "home/bob/raw"], 1, ":5: deny  user=bob retained"),
        (&["bob", "publish", "home/ann"], 1, "denied: no rule allows it"),
        (&["ann", "subscribe", "#"], 0, ":3: allow group=staff any #"),
        (&["bob", "subscribe", "home/#"], 1, "allowed in part by"),
        (&["-", "publish", "dev/dev-1/x", "--client", "dev-1"], 0, ":8: allow client=dev-*"),
        (&["bob", "sing", "x"], 2, "one of publish"),
    ] {
        let mut command = Command::new(places::built_program("tidewire"));
        command.arg("--config").arg(&config).args(["acl", "check"]).args(arguments);
        let output = command.output().expect("the program was built");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(told), "{arguments:?}: {text}");
    }
}
