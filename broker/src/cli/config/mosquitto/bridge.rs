//! Bridges of a `mosquitto.conf`, as links of ours. Reads no password's file.

use std::fmt::Write;

use super::line::{Line, Said, always, missing, quoted, taken, undecided};

/// How settings of its TLS begin.
const TLS: [&str; 10] = [
    "bridge_ca",
    "bridge_cert",
    "bridge_key",
    "bridge_tls",
    "bridge_psk",
    "bridge_identity",
    "bridge_alpn",
    "bridge_insecure",
    "bridge_ciphers",
    "bridge_require_ocsp",
];
/// The authorities of the system, which are believed when none are named.
const SYSTEM: &str = "/etc/ssl/certs";

/// One bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    name: String,
    /// Keys of the link.
    entries: Vec<(&'static str, String)>,
    /// Anything was said of TLS: without TLS it would not say its password to anybody.
    is_secret: bool,
    /// Keys of its TLS.
    tls: Vec<(&'static str, String)>,
    rules: Vec<String>,
}

/// Takes a line that is of a bridge.
pub(crate) fn take(links: &mut Vec<Link>, line: Line<'_>) -> Said {
    if line.key == "connection" {
        links.push(Link { name: line.value.into(), ..Link::default() });
        return taken("a [[bridge.link]]");
    }
    let link = links.last_mut()?;
    let text = quoted(line.value);
    if TLS.iter().any(|start| line.key.starts_with(start)) {
        return link.take_tls(line);
    }
    let entry = match line.key {
        "topic" => return link.rule(line.value),
        "address" | "addresses" => {
            let one = |address: &str| match address.rsplit_once(':') {
                Some(_) => quoted(address),
                None => quoted(&format!("{address}:1883")),
            };
            let all: Vec<String> = line.value.split_whitespace().map(one).collect();
            ("addresses", format!("[{}]", all.join(", ")))
        }
        "remote_username" | "username" => ("user", text),
        "remote_clientid" | "clientid" => ("client_id", text),
        "remote_password" | "password" => {
            let file = format!("/etc/tidewire/{}-password", link.name);
            put(&mut link.entries, "password_file", quoted(&file));
            return taken(format!("password_file: put the password into {file}"));
        }
        "keepalive_interval" => match line.value.parse::<u16>() {
            Ok(seconds) => ("keep_alive_s", seconds.max(1).to_string()),
            Err(_) => return missing("no number of seconds: the default, meanwhile"),
        },
        "bridge_protocol_version" if line.value == "mqttv50" => ("protocol", "\"5\"".into()),
        "bridge_protocol_version" => ("protocol", "\"3.1.1\"".into()),
        "try_private" => ("try_private", line.is_on().to_string()),
        "notification_topic" => ("remote_state_topic", text),
        "cleansession" | "start_type" | "notifications" | "restart_timeout" | "round_robin" => {
            return always("a link keeps its session and its place, and tries again by itself");
        }
        key if key.starts_with("bridge_") || key.starts_with("local_") => {
            return missing("no such setting of a link: docs/bridges.md");
        }
        _ => return None,
    };
    let (key, value) = entry;
    put(&mut link.entries, key, value);
    taken(format!("{key} of the link"))
}

/// Of what is said twice the last holds; TOML has no key twice.
fn put(entries: &mut Vec<(&'static str, String)>, key: &'static str, value: String) {
    entries.retain(|(old, _)| *old != key);
    entries.push((key, value));
}

impl Link {
    /// Whatever is said of TLS: it is spoken then, and what is not there is told.
    fn take_tls(&mut self, line: Line<'_>) -> Said {
        if line.flag() == Some(false) {
            return always("the default");
        }
        self.is_secret = true;
        let text = quoted(line.value);
        match line.key {
            "bridge_cafile" => self.tls("ca_file", text),
            "bridge_certfile" => self.tls("cert_file", text),
            "bridge_keyfile" => self.tls("key_file", text),
            "bridge_tls_use_os_certs" => taken("tls.enabled of the link"),
            "bridge_capath" if line.value.trim_end_matches('/') == SYSTEM => {
                taken("tls.enabled of the link")
            }
            "bridge_capath" => {
                undecided("put them into one file, for tls.ca_file: else those of the system count")
            }
            "bridge_require_ocsp" => {
                undecided("nobody is asked here whether the certificate there was revoked")
            }
            "bridge_psk" | "bridge_identity" => {
                missing("no pre-shared keys: the link speaks TLS with certificates, or not at all")
            }
            "bridge_insecure" => missing("the name in the certificate is always looked at"),
            _ => missing("the link speaks TLS, without this: docs/bridges.md"),
        }
    }

    fn tls(&mut self, key: &'static str, value: String) -> Said {
        put(&mut self.tls, key, value);
        taken(format!("tls.{key} of the link"))
    }

    /// `pattern [direction [qos [local-prefix [remote-prefix]]]]`.
    fn rule(&mut self, value: &str) -> Said {
        let mut words = value.split_whitespace();
        let filter = words.next()?;
        let direction = words.next().unwrap_or("out");
        let qos = words.next().unwrap_or("0");
        let prefix = |word: Option<&str>| word.filter(|word| *word != "\"\"").map(str::to_owned);
        let (local, remote) = (prefix(words.next()), prefix(words.next()));
        if !["in", "out", "both"].contains(&direction) || !["0", "1", "2"].contains(&qos) {
            return missing("not a pattern, a direction, a QoS and prefixes");
        }
        let mut rule =
            format!("direction = {}, filter = {}, qos = {qos}", quoted(direction), quoted(filter));
        for (key, prefix) in [("local_prefix", local), ("remote_prefix", remote)] {
            if let Some(prefix) = prefix {
                // Writing to a String cannot fail.
                let _ = write!(rule, ", {key} = {}", quoted(&prefix));
            }
        }
        self.rules.push(rule);
        taken("a rule of the link")
    }

    pub(crate) fn toml(&self) -> String {
        let mut text = format!("\n[[bridge.link]]\nname = {}\n", quoted(&self.name));
        for (key, value) in &self.entries {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        }
        if self.is_secret {
            let tls: String = self.tls.iter().map(|(key, it)| format!(", {key} = {it}")).collect();
            let _ = writeln!(text, "tls = {{ enabled = true{tls} }}");
        }
        text.push_str("rules = [\n");
        for rule in &self.rules {
            let _ = writeln!(text, "    {{ {rule} }},");
        }
        text + "]\n"
    }
}
