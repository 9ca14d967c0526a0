//! A `mosquitto.conf` as a configuration of ours, with a word on each of its lines. Reads no file
//! and makes none.

mod bridge;
mod line;
mod listener;

use std::collections::BTreeMap;
use std::fmt::Write;

use bridge::Link;
use line::{Line, Said, always, missing, quoted, taken, undecided};
use listener::{Listeners, Sections, Word};

pub(crate) use line::Fate;

/// A configuration, and how many lines met which fate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) toml: String,
    pub(crate) counts: BTreeMap<Fate, usize>,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    sections: Sections,
    listeners: Listeners,
    links: Vec<Link>,
    notes: Vec<Note>,
}

/// What became of a line.
#[derive(Debug)]
struct Note {
    number: usize,
    /// The line, without secrets.
    line: String,
    key: String,
    fate: Fate,
    words: String,
}

/// Takes a file over.
pub(crate) fn import(text: &str, name: &str) -> Imported {
    let lines = || text.lines().enumerate().filter_map(|(at, text)| Line::of(at + 1, text));
    let mut draft = Draft::default();
    // Wherever it stands: Mosquitto wants it first.
    draft.listeners.is_each_its_own =
        lines().any(|line| line.key == "per_listener_settings" && line.flag() != Some(false));
    for line in lines() {
        let said = draft.take(line);
        let shown = line.shown(said.is_some());
        let (fate, words) = said.unwrap_or_else(|| {
            (Fate::Undecided, "not known here: it may guard something".to_owned())
        });
        let key = shown.split(' ').next().unwrap_or_default().to_owned();
        draft.notes.push(Note { number: line.number, line: shown, key, fate, words });
    }
    draft.finish(name)
}

impl Draft {
    fn take(&mut self, line: Line<'_>) -> Said {
        bridge::take(&mut self.links, line)
            .or_else(|| self.listeners.take(line))
            .or_else(|| self.take_file(line))
            .or_else(|| self.take_limit(line))
            .or_else(|| self.take_other(line))
    }

    fn set(&mut self, section: &str, key: &str, value: String) -> Said {
        let words = format!("{section}.{key}");
        let section = self.sections.entry(section.into()).or_default();
        match section.insert(key.into(), value.clone()) {
            Some(before) if before != value => undecided("said twice, and not the same"),
            _ => taken(words),
        }
    }

    fn take_file(&mut self, line: Line<'_>) -> Said {
        match line.key {
            "password_file" => self.set("auth", "password_file", quoted(line.value)),
            "acl_file" => self.set("access", "mosquitto_file", quoted(line.value)),
            "user" => self.set("system", "run_as", quoted(line.value)),
            "persistence_location" => missing("our data have a folder of their own: data.dir"),
            "include_dir" => undecided("put its files in here, in their order, and import that"),
            "log_dest" | "log_facility" | "log_timestamp" | "log_timestamp_format" => {
                missing("logs go to standard error, for journald or whoever starts us")
            }
            "log_type" | "connection_messages" => missing("log.filter says how much is logged"),
            "pid_file" => missing("systemd knows the process: config/tidewire.service"),
            "psk_file" => undecided("TLS by pre-shared keys: use certificates"),
            "plugin" | "auth_plugin" | "global_plugin" | "plugin_load" | "plugin_use" => {
                undecided("no plugins: docs/authentication.md has tokens and an HTTP hook")
            }
            key if key.starts_with("plugin_opt_") || key.starts_with("auth_opt_") => {
                missing("no plugins")
            }
            "auth_plugin_deny_special_chars" => missing("no plugins"),
            _ => None,
        }
    }

    fn take_limit(&mut self, line: Line<'_>) -> Said {
        let number: Option<u64> = line.value.parse().ok();
        match (line.key, number) {
            ("max_inflight_messages", Some(0)) => self.set("mqtt", "inflight_max", "65535".into()),
            ("max_inflight_messages", Some(most)) => {
                self.set("mqtt", "inflight_max", most.min(65_535).to_string())
            }
            ("max_packet_size" | "message_size_limit", Some(0)) => {
                self.set("mqtt", "packet_bytes_max", "\"256 MiB\"".into())
            }
            ("max_packet_size" | "message_size_limit", Some(most)) => {
                let most = most.clamp(128, 256 << 20).to_string();
                self.set("mqtt", "packet_bytes_max", most)
            }
            ("max_keepalive", Some(most)) => {
                let most = if most == 0 { 65_535 } else { most.min(65_535) };
                self.set("mqtt", "keep_alive_s_max", most.to_string())
            }
            ("sys_interval", Some(seconds)) => {
                self.set("system", "sys_interval_s", seconds.min(3_600).to_string())
            }
            ("max_topic_alias", Some(most)) => {
                self.set("mqtt", "topic_alias_max", most.min(65_535).to_string())
            }
            ("persistent_client_expiration", _) => match expiry_s(line.value) {
                Some(seconds) => self.set("mqtt", "session_expiry_s_max", seconds.to_string()),
                None => missing("not a time such as 14d"),
            },
            ("retain_available", _) if !line.is_on() => {
                self.set("mqtt", "retained_messages_max", "0".into())
            }
            ("max_queued_messages" | "max_queued_bytes" | "memory_limit", _) => {
                missing("nothing waits in memory: messages stay in the log, see [[stream]]")
            }
            ("max_inflight_bytes" | "max_packet_buffering", _) => {
                missing("mqtt.outbound_buffer_bytes_max bounds what waits for a socket")
            }
            _ => None,
        }
    }

    fn take_other(&mut self, line: Line<'_>) -> Said {
        match line.key {
            "persistence" | "retain_available" if line.is_on() => always("always so"),
            "persistence" => missing("messages are always kept; see durability of a stream"),
            "autosave_interval" | "autosave_on_changes" | "persistence_file" => {
                always("not needed: what is acknowledged is on disk")
            }
            "set_tcp_nodelay" | "allow_zero_length_clientid" if line.is_on() => always("always so"),
            "allow_duplicate_messages" | "upgrade_outgoing_qos" | "queue_qos0_messages" => {
                missing("a stream's log_qos0 says whether QoS 0 is kept")
            }
            "per_listener_settings" if !line.is_on() => always("always so"),
            "per_listener_settings" => {
                missing("users and rules hold on all listeners; rules may name one: listener=mqtts")
            }
            "clientid_prefixes" => undecided("rules may ask for client ids: client=sensor-*"),
            "auto_id_prefix" | "listener_auto_id_prefix" => missing("ids that are made up"),
            "allow_zero_length_clientid" => missing("who brings no client id gets one"),
            "global_max_connections" | "global_max_clients" => missing("mqtt.connections_max"),
            "check_retain_source" if !line.is_on() => always("not asked here either"),
            "set_tcp_nodelay"
            | "retain_available"
            | "check_retain_source"
            | "max_topic_alias_broker"
            | "retry_interval"
            | "store_clean_interval"
            | "max_log_entries"
            | "retain_expiry_interval"
            | "enable_control_api"
            | "disable_client_cert_date_checks"
            | "tls_keylog"
            | "websockets_log_level"
            | "websockets_headers_size"
            | "http_dir" => missing("no such setting here"),
            _ => None,
        }
    }

    /// A word on a line that stands in the light of others.
    fn amend(&mut self, (number, fate, words): Word) {
        match self.notes.iter_mut().find(|note| note.number == number) {
            Some(note) if note.fate == Fate::Taken => (note.fate, note.words) = (fate, words),
            Some(note) => {
                note.fate = note.fate.max(fate);
                note.words = format!("{}; {words}", note.words);
            }
            None => {
                let key = String::from("listener");
                self.notes.push(Note { number, line: key.clone(), key, fate, words });
            }
        }
    }

    fn finish(mut self, name: &str) -> Imported {
        let listeners = std::mem::take(&mut self.listeners);
        for word in listeners.finish(&mut self.sections) {
            self.amend(word);
        }
        let mut counts = BTreeMap::new();
        let mut toml = format!("# Made of {name}. What became of its lines:\n#\n");
        for Note { number, line, fate, words, .. } in &self.notes {
            *counts.entry(*fate).or_default() += 1;
            // Writing to a String cannot fail.
            let _ = writeln!(toml, "# {number:>4}  {line:<44} {}  {words}", fate.mark());
        }
        toml.push_str(&self.decisions());
        for (section, entries) in &self.sections {
            let _ = writeln!(toml, "\n[{section}]");
            for (key, value) in entries {
                let _ = writeln!(toml, "{key} = {value}");
            }
        }
        self.links.iter().for_each(|link| toml.push_str(&link.toml()));
        Imported { toml, counts }
    }

    /// Lines that are no settings: with them nothing starts.
    fn decisions(&self) -> String {
        let mut text = String::new();
        let undecided = self.notes.iter().filter(|note| note.fate == Fate::Undecided);
        for Note { number, key, words, .. } in undecided {
            if text.is_empty() {
                text =
                    "\n# Nothing starts until each of these lines is decided and deleted:\n".into();
            }
            let why = quoted(&format!("{key}: {words}"));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "decide_line_{number} = {why}");
        }
        text
    }
}

/// `14d`, `2h`, `1m` (a month).
fn expiry_s(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let worth = match unit {
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "m" => 30 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()?.checked_mul(worth)?.min(u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::{Fate, import};
    use crate::config::{Anonymous, ClientAuth, Config, TlsIdentity};

    /// TLS of a listener, but for who may come.
    const TLS: &str = "certfile /c\nkeyfile /k\n";

    /// What it says if it may start, and all of it.
    #[track_caller]
    fn undecided(text: &str, lines: &[usize]) -> String {
        let toml = import(text, "m.conf").toml;
        let read: Result<Config, _> = toml::from_str(&toml);
        assert_eq!(read.is_err(), !lines.is_empty(), "{text}\n{toml}");
        let open = |line: &str| Some(line.strip_prefix("decide_line_")?.split_once(' ')?.0.into());
        let found: Vec<String> = toml.lines().filter_map(open).collect();
        let expected: Vec<_> = lines.iter().map(usize::to_string).collect();
        assert_eq!(found, expected, "{toml}");
        let rest = toml.lines().filter(|line| !line.starts_with("decide_line_"));
        rest.collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn read(text: &str) -> (Config, String) {
        let imported = import(text, "mosquitto.conf");
        let config = toml::from_str(&imported.toml);
        (config.unwrap_or_else(|error| panic!("{error}\n{}", imported.toml)), imported.toml)
    }

    #[test]
    fn each_line_has_its_fate() {
        let text = "persistence true\n# a comment\nmax_keepalive 60\nplugin /x.so\nfrobnicate 7\n";
        let imported = import(text, "m.conf");
        let count = |fate| imported.counts.get(&fate).copied();
        assert_eq!(count(Fate::Taken), Some(1));
        assert_eq!(count(Fate::Always), Some(1));
        assert_eq!(count(Fate::Undecided), Some(2));
        let expected = format!("#    3  {:<44} ->  mqtt.keep_alive_s_max", "max_keepalive 60");
        assert!(imported.toml.contains(&expected), "{}", imported.toml);
    }

    #[test]
    fn limits_are_taken_in_the_units_that_are_ours() {
        let (config, _) = read(
            "max_inflight_messages 0\nmax_packet_size 1000000\npersistent_client_expiration 2w\n\
             retain_available false\n",
        );
        assert_eq!(config.mqtt.inflight_max, 65_535);
        assert_eq!(config.mqtt.packet_bytes_max, 1_000_000);
        assert_eq!(config.mqtt.session_expiry_s_max, 14 * 86_400);
        assert_eq!(config.mqtt.retained_messages_max, 0);
    }

    #[test]
    fn listeners_go_where_their_protocol_is_spoken() {
        let (config, _) = read(
            "listener 1883 127.0.0.1\nlistener 8883\ncertfile /c.pem\nkeyfile /k.pem\n\
             cafile /ca.pem\nrequire_certificate true\nuse_identity_as_username true\n\
             listener 9001\nprotocol websockets\nlistener 0 /run/m.sock\nallow_anonymous true\n",
        );
        let listener = &config.listener;
        let bound = |bind: Option<std::net::SocketAddr>| bind.map(|it| it.to_string());
        assert_eq!(bound(listener.mqtt.bind).as_deref(), Some("127.0.0.1:1883"));
        assert_eq!(bound(listener.mqtts.bind).as_deref(), Some("0.0.0.0:8883"));
        assert_eq!(bound(listener.websocket.bind).as_deref(), Some("0.0.0.0:9001"));
        assert_eq!(listener.unix.path.as_deref(), Some(std::path::Path::new("/run/m.sock")));
        assert_eq!(listener.mqtts.tls.client_auth, ClientAuth::Required);
        assert_eq!(listener.mqtts.tls.identity, TlsIdentity::Cn);
        assert_eq!(listener.mqtt.anonymous, Anonymous::Allow);
    }

    #[test]
    fn without_a_plain_listener_there_is_none_and_strangers_stay_out() {
        let (config, text) = read(
            "listener 8883\ncertfile /c\nkeyfile /k\nlistener 8884\n\
             certfile /d\nkeyfile /l\n",
        );
        assert_eq!(config.listener.mqtt.bind, None);
        assert_eq!(config.listener.mqtts.anonymous, Anonymous::Refuse);
        assert!(text.contains("there is one listener of each kind"), "{text}");
    }

    #[test]
    fn a_bridge_becomes_a_link_and_its_password_stays_out_of_the_file() {
        let (config, text) = read(
            "connection cloud\naddress broker.example:8883\nremote_username me\n\
             remote_password secret\nremote_clientid site-7\ncleansession false\n\
             bridge_cafile /ca.pem\ntopic sensors/# out 1 \"\" site-7/\n\
             topic commands/# in 2 \"\" site-7/\ntopic x both\n",
        );
        let link = &config.bridge.link[0];
        assert_eq!((link.name.as_str(), link.user.as_deref()), ("cloud", Some("me")));
        assert_eq!(link.addresses, ["broker.example:8883"]);
        assert!(link.tls.enabled && !text.contains("secret"), "{text}");
        let rules: Vec<_> =
            link.rules.iter().map(|rule| (rule.filter.as_str(), rule.qos)).collect();
        assert_eq!(rules, [("sensors/#", 1), ("commands/#", 2), ("x", 0)]);
        assert_eq!(link.rules[1].remote_prefix, "site-7/");
        assert!(text.contains("put the password into /etc/tidewire/cloud-password"), "{text}");
    }

    /// Where a plain and a TLS listener are, and whether strangers may come there.
    #[track_caller]
    fn check(text: &str, lines: &[usize], plain: Option<(&str, bool)>, tls: Option<(&str, bool)>) {
        let rest = undecided(text, lines);
        let config: Config = toml::from_str(&rest).unwrap_or_else(|it| panic!("{it}\n{rest}"));
        let shown = |bind: Option<std::net::SocketAddr>, anonymous: Anonymous| {
            bind.map(|bind| (bind.to_string(), anonymous == Anonymous::Allow))
        };
        let (mqtt, mqtts) = (config.listener.mqtt, config.listener.mqtts);
        let owned = |it: Option<(&str, bool)>| it.map(|(bind, is_open)| (bind.to_owned(), is_open));
        assert_eq!(shown(mqtt.bind, mqtt.anonymous), owned(plain), "{text}\n{rest}");
        assert_eq!(shown(mqtts.bind, mqtts.anonymous), owned(tls), "{text}\n{rest}");
    }

    #[test]
    fn a_listener_that_says_that_strangers_stay_out_keeps_them_out() {
        let each = "per_listener_settings true\n";
        let outside = format!("listener 8883\n{TLS}allow_anonymous false\n");
        let inside = "listener 1883 127.0.0.1\nallow_anonymous true\n";
        let (here, there) = (("127.0.0.1:1883", true), ("0.0.0.0:8883", false));
        check(&format!("{each}{outside}{inside}"), &[], Some(here), Some(there));
        check(&format!("{each}{inside}{outside}"), &[], Some(here), Some(there));
        check(&format!("{outside}{inside}{each}"), &[], Some(here), Some(there));
        // For all of them, and not the same: a person is to say what was meant.
        let here = ("127.0.0.1:1883", false);
        check(&format!("{outside}{inside}"), &[6], Some(here), Some(there));
        check("listener 1883\nallow_anonymous yes\n", &[2], Some(("0.0.0.0:1883", false)), None);
    }

    #[test]
    fn users_of_one_listener_do_not_come_in_at_another_unasked() {
        let each = "per_listener_settings true\nlistener 1883\npassword_file /a\nacl_file /x\n";
        let (plain, tls) = (Some(("0.0.0.0:1883", false)), Some(("0.0.0.0:8883", false)));
        let more = format!("{each}listener 8883\n{TLS}");
        check(&more, &[5], plain, tls);
        check(&format!("{more}password_file /b\nacl_file /y\n"), &[8, 9], plain, tls);
        check(&format!("{more}password_file /a\nacl_file /x\n"), &[], plain, tls);
        let certificates = "cafile /ca\nrequire_certificate true\nuse_identity_as_username true\n";
        check(&format!("{more}{certificates}"), &[], plain, tls);
        let (config, text) = read(&format!("{more}{certificates}"));
        assert_eq!(config.auth.password_file.as_deref(), Some(std::path::Path::new("/a")));
        assert!(text.contains("the rules of /x hold here, too"), "{text}");
        let twice = "password_file /a\nlistener 1883\npassword_file /b\n";
        check(twice, &[3], plain, None);
    }

    #[test]
    fn one_is_as_true_as_true_and_what_is_neither_opens_nothing() {
        for word in ["true", "1", "yes"] {
            let (config, _) = read(&format!(
                "allow_anonymous true\nlistener 8883\n{TLS}cafile /ca\n\
                 require_certificate {word}\nuse_identity_as_username {word}\n"
            ));
            let tls = &config.listener.mqtts.tls;
            assert_eq!(tls.client_auth, ClientAuth::Required, "{word}");
            assert_eq!(tls.identity, TlsIdentity::Cn, "{word}");
            assert_eq!(config.listener.kafka.anonymous, Anonymous::Refuse);
            assert_eq!(config.listener.http.anonymous, Anonymous::Refuse);
        }
        let (config, text) = read(&format!("listener 8883\n{TLS}cafile /ca\n"));
        assert_eq!(config.listener.mqtts.tls.client_ca_file, None);
        assert!(text.contains("ok  of no use"), "{text}");
    }

    #[test]
    fn a_listener_that_cannot_be_guarded_here_as_it_was_is_left_out() {
        for guard in [
            "psk_hint x",
            "require_certificate true",
            "cafile /ca",
            "capath /ca",
            "keyfile /k",
            "mount_point /tenant",
            "use_username_as_clientid 1",
            "use_subject_as_username true",
            "protocol mqttsn",
            "enable_proxy_protocol 2",
        ] {
            let text = format!("allow_anonymous true\nlistener 8883\n{guard}\n");
            check(&text, &[], None, None);
            let toml = import(&text, "m.conf").toml;
            let line = toml.lines().find(|line| line.contains("listener 8883")).expect("told");
            assert!(line.contains("!!") && line.contains("left out"), "{toml}");
        }
        check("allow_anonymous true\nlistener x\nlistener 0\n", &[], None, None);
        // What stands behind a listener that is no listener is not of the one before.
        let text = "per_listener_settings true\nlistener 1883\nlistener x\nallow_anonymous true\n";
        check(text, &[], Some(("0.0.0.0:1883", false)), None);
    }

    #[test]
    fn what_guards_all_and_is_not_here_waits_for_a_person() {
        let open = Some(("0.0.0.0:1883", true));
        for guard in [
            "plugin /usr/lib/mosquitto_dynamic_security.so",
            "auth_plugin /usr/lib/go-auth.so",
            "psk_file /psk",
            "clientid_prefixes sensor-",
            "include_dir /etc/mosquitto/conf.d",
            "frobnicate 7",
        ] {
            check(&format!("listener 1883\nallow_anonymous true\n{guard}\n"), &[3], open, None);
        }
    }

    #[test]
    fn an_address_that_is_not_wholly_known_is_of_this_machine() {
        for line in ["bind_interface lo", "bind_interface eth1", "socket_domain ipv6"] {
            let text = format!("listener 1883\nallow_anonymous true\n{line}\n");
            check(&text, &[], Some(("127.0.0.1:1883", true)), None);
        }
        check("listener 1883 ::\n", &[1], Some(("[::]:1883", false)), None);
        check("listener 1883 broker.example\n", &[], Some(("127.0.0.1:1883", false)), None);
        check("max_connections 7\n", &[], Some(("127.0.0.1:1883", false)), None);
    }

    #[test]
    fn without_a_listener_strangers_stay_out_who_were_told_to() {
        check("allow_anonymous false\n", &[], Some(("127.0.0.1:1883", false)), None);
        check("allow_anonymous true\n", &[], Some(("127.0.0.1:1883", true)), None);
        let each = "per_listener_settings true\nallow_anonymous false\n";
        check(each, &[], Some(("127.0.0.1:1883", false)), None);
        check(
            "auth_plugin /x\nallow_anonymous false\n",
            &[1],
            Some(("127.0.0.1:1883", false)),
            None,
        );
        let (config, _) = read("allow_anonymous false\n");
        assert_eq!(config.listener.kafka.anonymous, Anonymous::Refuse);
    }

    #[test]
    fn the_port_of_the_usual_listener_is_not_that_of_another() {
        let text = format!("listener 8883\n{TLS}port 1883\nbind_address 127.0.0.1\n");
        let (here, there) = (("127.0.0.1:1883", false), ("0.0.0.0:8883", false));
        check(&text, &[], Some(here), Some(there));
        let text = format!("port 1884\nlistener 8883\n{TLS}");
        check(&text, &[], Some(("0.0.0.0:1884", false)), Some(there));
        // What stands before all listeners and names no port takes no place from them.
        let text = "per_listener_settings true\nallow_anonymous true\nlistener 1883\n";
        check(text, &[], Some(("0.0.0.0:1883", false)), None);
    }

    #[test]
    fn a_bridge_that_spoke_tls_never_says_its_password_without() {
        let link = "connection c\naddress b.example:8883\nremote_username me\ntopic # out\n";
        for (line, lines) in [
            ("bridge_capath /etc/ssl/certs", &[][..]),
            ("bridge_capath /corp/", &[5][..]),
            ("bridge_tls_use_os_certs true", &[]),
            ("bridge_psk deadbeef", &[]),
            ("bridge_identity me", &[]),
            ("bridge_alpn mqtt", &[]),
            ("bridge_insecure true", &[]),
            ("bridge_tls_version tlsv1.2", &[]),
            ("bridge_require_ocsp true", &[5]),
            ("bridge_cafile /ca", &[]),
        ] {
            let rest = undecided(&format!("{link}{line}\n"), lines);
            let config: Config = toml::from_str(&rest).expect("TOML");
            assert!(config.bridge.link[0].tls.enabled, "{line}: {rest}");
        }
        for line in ["bridge_insecure false", "bridge_tls_use_os_certs 0", "try_private true"] {
            let (config, _) = read(&format!("{link}{line}\n"));
            assert!(!config.bridge.link[0].tls.enabled, "{line}");
        }
    }

    #[test]
    fn what_a_bridge_says_twice_is_written_once() {
        let (config, _) = read(
            "connection c\naddress b:1\nremote_password a\npassword b\nbridge_cafile /a\n\
             bridge_cafile /b\nkeepalive_interval 5\nkeepalive_interval x\ntopic # out\n",
        );
        let link = &config.bridge.link[0];
        assert_eq!(link.tls.ca_file.as_deref(), Some(std::path::Path::new("/b")));
        assert_eq!(link.keep_alive_s, 5);
    }

    #[test]
    fn no_secret_of_the_old_file_stands_in_the_new_one() {
        let text = "auth_opt_mysql_pass s3cr3t\nplugin_opt_jwt_secret s3cr3t\n\
                    tls_engine_kpass_sha1 s3cr3t\nfrobnicate s3cr3t\npassword=s3cr3t\n\
                    max_keepalive s3cr3t\nconnection c\naddress b:1\nbridge_psk s3cr3t\n\
                    bridge_identity s3cr3t\nremote_password s3cr3t\nlocal_password s3cr3t\n";
        let toml = import(text, "m.conf").toml;
        assert!(!toml.contains("s3cr3t") && toml.contains("frobnicate …"), "{toml}");
        let toml = import("password_file /etc/p\nkeyfile /etc/k\n", "m.conf").toml;
        assert!(toml.contains("password_file /etc/p") && toml.contains("keyfile /etc/k"), "{toml}");
    }
}
