//! What a mistake looks like to the one who made it: place, meaning, what to try.

use tidewire::config::{Config, ConfigErrors, Flag, Sources};

/// The errors of a file, with its folder cut off.
#[track_caller]
fn errors_of(text: &str, change: impl FnOnce(&mut Sources)) -> (ConfigErrors, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    std::fs::write(&path, text).expect("written");
    let mut sources = Sources { file: Some(path), ..Sources::default() };
    change(&mut sources);
    let errors = Config::load(&sources).expect_err("the file is wrong");
    let shown = errors.to_string().replace(&format!("{}/", folder.path().display()), "");
    (errors, shown)
}

/// One mistake in a file is told in these words.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (errors, shown) = errors_of(text, |_| ());
    assert_eq!(errors.count(), 1, "{shown}");
    assert!(shown.contains(expected), "expected:\n{expected}\n\nfound:\n{shown}");
}

#[test]
fn a_misspelt_setting_is_shown_with_the_nearest_name() {
    check(
        "[mqtt]\nreceive_max = 9\npacket_byte_max = 4096\n",
        "t.toml:3:1: there is no setting `mqtt.packet_byte_max`
    3 | packet_byte_max = 4096
      | ^^^^^^^^^^^^^^^
     did you mean `mqtt.packet_bytes_max`?",
    );
}

#[test]
fn a_misspelt_section_is_shown_with_the_nearest_name() {
    check("[mqt]\nx = 1\n", "t.toml:1:2: there is no setting `mqt`");
    check("[listner.mqtt]\n", "did you mean `listener`?");
    check("[listener.mqttt]\n", "did you mean `listener.mqtt`?");
}

#[test]
fn a_right_name_in_the_wrong_section_is_sent_home() {
    check("[mqtt]\nwal_file_bytes = 1\n", "did you mean `store.wal_file_bytes`?");
}

#[test]
fn a_name_like_no_other_is_answered_with_all_names() {
    check("[log]\nzzz = 1\n", "known here: filter, format");
}

#[test]
fn each_bad_value_says_what_was_expected() {
    let rows = [
        ("[data]\ndir = 5", "2:7: `data.dir` is to be the path of a folder, but it is 5"),
        ("[data]\ndir = \"\"", "the path of a folder, but it is \"\""),
        ("[mqtt]\nreceive_max = 70000", "2:15: `mqtt.receive_max` is to be a whole number from 1"),
        ("[mqtt]\nreceive_max = 0", "from 1 to 65535, but it is 0"),
        ("[mqtt]\nreceive_max = -3", "from 1 to 65535, but it is -3"),
        ("[mqtt]\nreceive_max = 1.5", "from 1 to 65535, but it is 1.5"),
        ("[mqtt]\nreceive_max = true", "from 1 to 65535, but it is true"),
        ("[mqtt]\nreceive_max = [1]", "from 1 to 65535, but it is a list"),
        ("[mqtt]\nreceive_max = \"many\"", "from 1 to 65535, but it is \"many\""),
        ("[mqtt]\npacket_bytes_max = 1", "a size in bytes from 128 B to 256 MiB, but it is 1"),
        ("[mqtt]\npacket_bytes_max = \"3 lb\"", "from 128 B to 256 MiB, but it is \"3 lb\""),
        ("[mqtt]\nconnect_timeout_ms = 1", "a time in milliseconds from 100 ms to 10 min"),
        ("[mqtt]\nkeep_alive_s_max = 0", "a time in seconds from 1 s to 65535 s, but it is 0"),
        ("[mqtt]\nclient_id_bytes_max = 22", "from 23 to 65535, but it is 22"),
        ("mqtt = 5", "1:8: `mqtt` is to be a table of settings, but it is 5"),
        ("[listener.mqtt]\nbind = \"localhost\"", "2:8: `listener.mqtt.bind` is to be an address"),
        ("[log]\nformat = \"jsn\"", "one of auto, human, json, but it is \"jsn\""),
        ("[log]\nformat = 1", "`log.format` is to be a word in quotes, but it is 1"),
        ("[log]\nfilter = \"loud\"", "2:10: `log.filter` is to be a level"),
        ("[threads]\ncores = 5000", "from 0 to 1024, but it is 5000"),
        ("stream = 1", "`stream` is to be a list in [ ], but it is 1"),
    ];
    for (text, expected) in rows {
        check(text, expected);
    }
}

#[test]
fn each_bad_value_of_a_stream_is_shown_in_its_own_table() {
    let good = "[[stream]]\nname = \"a\"\nfilters = [\"a\"]\n";
    let rows = [
        ("durability = \"dsk\"", "8:14: `stream.1.durability` is to be one of disk, os, none"),
        ("durability = \"dsk\"", "did you mean \"disk\"?"),
        ("partitions = 0", "8:14: `stream.1.partitions` is to be a whole number from 1 to 1024"),
        ("log_qos0 = \"yes\"", "8:12: `stream.1.log_qos0` is to be true or false"),
        ("partition = 4", "did you mean `stream.1.partitions`?"),
    ];
    for (line, expected) in rows {
        check(&format!("{good}\n[[stream]]\nname = \"b\"\nfilters = [\"b\"]\n{line}\n"), expected);
    }
    check(&format!("{good}[[stream]]\nfilters = [\"b\"]\n"), "4:1: a stream needs a `name`");
    check("[[stream]]\nname = \"a\"\n", "a stream needs at least one of `filters`");
    check(&format!("{good}{good}"), "5:8: there are two streams with the name \"a\"");
    check("[[stream]]\nname = \"a\"\nfilters = [\"b\", \"c#\"]\n", "3:17: \"c#\" is not a topic");
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    check(
        "[mqtt]\npacket_bytes_max = \"64 MiB\"\n",
        "2:20: `store.wal_file_bytes` is 67108864, too small for `mqtt.packet_bytes_max`",
    );
    check(
        "[mqtt]\nconnect_bytes_max = \"1 MiB\"\npacket_bytes_max = 4096\n",
        "raise `mqtt.packet_bytes_max` to 1048576",
    );
}

#[test]
fn all_mistakes_are_told_in_one_run_in_the_order_of_the_file() {
    let text = "[log]\nformat = 1\n[mqtt]\nreceive_max = 0\nqueue = 1\n[data]\ndir = 2\n";
    let (errors, shown) = errors_of(text, |sources| {
        sources.variables.push(("TIDEWIRE_THREADS__CORES".into(), "-1".into()));
        let flag = Flag { name: "--log", setting: "log.filter", value: "loud".into() };
        sources.flags.push(flag);
    });
    assert_eq!(errors.count(), 6, "{shown}");
    let marks =
        ["t.toml:2:", "t.toml:4:", "t.toml:5:", "t.toml:7:", "variable TIDEWIRE_T", "flag --log"];
    let places: Vec<_> = marks.iter().map(|mark| shown.find(mark).expect(mark)).collect();
    assert!(places.is_sorted(), "{shown}");
    assert!(shown.starts_with("6 mistakes in the configuration\n"), "{shown}");
}

#[test]
fn a_syntax_error_has_its_line_and_so_has_the_next() {
    let (errors, shown) = errors_of("a = \n[mqtt\nreceive_max = 1\n", |_| ());
    assert!(errors.count() >= 2, "{shown}");
    assert!(shown.contains("t.toml:1:5: not TOML") && shown.contains("t.toml:2:6: not TOML"));
}

#[test]
fn a_bad_variable_is_named_and_the_file_is_not() {
    let (errors, shown) = errors_of("[mqtt]\nreceive_max = 5\n", |sources| {
        sources.variables.push(("TIDEWIRE_MQTT__RECEIVE_MAX".into(), "lots".into()));
    });
    assert_eq!(errors.count(), 1);
    let expected = "environment variable TIDEWIRE_MQTT__RECEIVE_MAX: `mqtt.receive_max` is to be";
    assert!(shown.contains(expected), "{shown}");
    assert!(!shown.contains("t.toml:"), "{shown}");
}

#[test]
fn a_misspelt_variable_is_corrected_as_a_variable() {
    let check = |name: &str, expected: &str| {
        let (_, shown) = errors_of("", |sources| sources.variables.push((name.into(), "1".into())));
        assert!(shown.contains(&format!("did you mean {expected}?")), "{shown}");
    };
    check("TIDEWIRE_LISTENR__MQTT__BIND", "TIDEWIRE_LISTENER");
    check("TIDEWIRE_MQTT__RECIEVE_MAX", "TIDEWIRE_MQTT__RECEIVE_MAX");
    check("TIDEWIRE_MQTT_RECEIVE_MAX", "TIDEWIRE_MQTT__RECEIVE_MAX");
}

#[test]
fn a_bad_flag_is_named() {
    let (_, shown) = errors_of("", |sources| {
        let setting = "listener.mqtt.bind";
        sources.flags.push(Flag { name: "--mqtt", setting, value: "1884".into() });
    });
    assert!(shown.contains("flag --mqtt: `listener.mqtt.bind` is to be an address"), "{shown}");
}

#[test]
fn a_missing_file_is_told_with_a_way_on() {
    let sources = Sources { file: Some("no/such.toml".into()), ..Sources::default() };
    let shown = Config::load(&sources).unwrap_err().to_string();
    assert!(shown.contains("no/such.toml: cannot be read: No such file"), "{shown}");
    assert!(shown.contains("without --config, tidewire starts with its defaults"), "{shown}");
}

#[test]
fn every_report_ends_with_the_command_to_try() {
    let (_, shown) = errors_of("[log]\nzzz = 1\n", |_| ());
    assert!(shown.ends_with("try again: tidewire check --config t.toml"), "{shown}");
}

/// Wherever a file is cut or a character is lost: an answer with a place, never a panic.
#[test]
fn a_mangled_file_is_answered_not_tripped_over() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/tidewire.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    let sources = Sources { file: Some(file.clone()), ..Sources::default() };
    let mut refused = 0;
    // All of them would take minutes.
    for (at, lost) in text.char_indices().step_by(7) {
        let (before, after) = (&text[..at], &text[at + lost.len_utf8()..]);
        for mangled in [before.to_owned(), format!("{before}{after}"), format!("{before}é{after}")]
        {
            std::fs::write(&file, mangled).unwrap();
            let Err(errors) = Config::load(&sources) else { continue };
            refused += 1;
            assert!(errors.to_string().contains("t.toml:"), "at {at}: {errors}");
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
}

#[test]
fn a_wrong_rule_for_topics_is_shown_where_it_stands() {
    check(
        "[[topics.rewrite]]\nfrom = \"old/+\"\nto = \"new/$2\"\n",
        "t.toml:3:6: \"new/$2\" makes no rewrite rule: $2 stands for no wildcard: there are 1, \
         counted from $1
    3 | to = \"new/$2\"
      |      ^^^^^^^^",
    );
    check(
        "[topics]\nauto_subscribe = [{ filter = \"d/%c#\" }]\n",
        "t.toml:2:30: \"d/%c#\" cannot be subscribed to: '#' must be the whole last level",
    );
    check(
        "[[topics.rewrite]]\nfrom = \"a\"\nto = \"b\"\non = \"sub\"\n",
        "one of publish, subscribe",
    );
}

#[test]
fn a_hook_that_is_asked_for_certificates_is_not_got_around_at_the_kafka_port() {
    check(
        "[auth.http]\nurl = \"http://127.0.0.1:1/\"\nasks_for_certificates = true\n\
         [listener.kafkas]\nbind = \"127.0.0.1:9093\"\n[listener.kafkas.tls]\n\
         cert_file = \"c.pem\"\nkey_file = \"k.pem\"\nclient_auth = \"required\"\n\
         client_ca_file = \"ca.pem\"\nidentity = \"cn\"\n",
        "the HTTP hook is not asked for",
    );
}

#[test]
fn a_proxy_is_named_and_never_optional() {
    let listener = "[listener.mqtts]\nproxy_protocol = ";
    check(
        &format!("{listener}\"required\"\n"),
        "`listener.mqtts.proxy_protocol` needs to know whose",
    );
    let optional = format!("{listener}\"optional\"\nproxy_from = [\"10.0.0.0/8\"]\n");
    check(
        &optional,
        "there is no \"optional\": whoever leaves the header out would pass for the proxy",
    );
    let named = "[listener.wss]\nproxy_from = [\"10.0.0.0/8\"]\n";
    check(named, "`listener.wss.proxy_from` says nothing while `listener.wss.proxy_protocol` is");
    let wrong = format!("{listener}\"required\"\nproxy_from = [\"10.0.0.0/40\"]\n");
    let (_, shown) = errors_of(&wrong, |_| ());
    assert!(shown.contains("not an address or a range of them, such as 10.1.2.3"), "{shown}");
}
