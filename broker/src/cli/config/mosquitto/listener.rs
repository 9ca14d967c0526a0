//! Listeners of a `mosquitto.conf`, and which of ours they become. Writes no text around them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::line::{Fate, Line, Said, always, decide, missing, quoted, taken};

/// TOML by section and key.
pub(crate) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A word on a line that others than it have a part in.
pub(crate) type Word = (usize, Fate, String);

/// All listeners, as they were said.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// The one that stands before all others and need not be named, once a line is about it.
    usual: Option<Listener>,
    named: Vec<Listener>,
    /// Who may come is said for each listener, and not for all.
    pub(crate) is_each_its_own: bool,
    anonymous: Option<bool>,
}

/// One listener, as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listener {
    number: usize,
    port: u16,
    /// The port, or the address, was said.
    is_named: bool,
    host: Option<String>,
    /// A socket file instead.
    path: Option<String>,
    is_web: bool,
    /// Keys of the section of its TLS, and their lines.
    tls: BTreeMap<&'static str, (usize, String)>,
    /// Authorities were named that cannot be taken over.
    has_authorities: bool,
    origins: Vec<String>,
    connections_max: Option<u64>,
    anonymous: Option<bool>,
    /// Files of its own, and their lines.
    passwords: Option<(usize, String)>,
    rules: Option<(usize, String)>,
    /// Not all of its address can be had: this machine only.
    is_near: bool,
    /// Why it is not there at all: without what guards it, it would be open.
    left_out: Option<&'static str>,
}

impl Listeners {
    /// Takes a line that is of a listener.
    pub(crate) fn take(&mut self, line: Line<'_>) -> Said {
        match line.key {
            "listener" => self.take_listener(line),
            "port" => {
                let Some(port) = port(line.value) else { return missing("no port") };
                let usual = self.usual(line.number);
                (usual.port, usual.is_named) = (port, true);
                taken("listener.mqtt.bind")
            }
            "bind_address" => {
                let usual = self.usual(line.number);
                (usual.host, usual.is_named) = (Some(line.value.into()), true);
                taken("listener.mqtt.bind")
            }
            "allow_anonymous" if !self.is_each_its_own => {
                decide(&mut self.anonymous, line, "listener.*.anonymous")
            }
            "allow_anonymous" | "listener_allow_anonymous" => {
                decide(&mut self.last(line.number).anonymous, line, "anonymous of the listener")
            }
            "password_file" if self.is_each_its_own => {
                self.last(line.number).passwords = Some((line.number, line.value.into()));
                taken("auth.password_file, which holds on all listeners")
            }
            "acl_file" if self.is_each_its_own => {
                self.last(line.number).rules = Some((line.number, line.value.into()));
                taken("access.mosquitto_file, which holds on all listeners")
            }
            _ => self.take_tls(line).or_else(|| self.take_place(line)),
        }
    }

    fn take_listener(&mut self, line: Line<'_>) -> Said {
        let (number, place) =
            line.value.split_once(char::is_whitespace).unwrap_or((line.value, ""));
        let place = Some(place.trim().to_owned()).filter(|place| !place.is_empty());
        let mut listener = Listener { number: line.number, is_named: true, ..Listener::default() };
        match (number, place, port(number)) {
            ("0", Some(path), _) => listener.path = Some(path),
            (_, host, Some(port)) => (listener.host, listener.port) = (host, port),
            // The lines behind it are about it, and about no other.
            _ => listener.left_out = Some("it has no port"),
        }
        self.named.push(listener);
        taken("a section of listener")
    }

    fn take_tls(&mut self, line: Line<'_>) -> Said {
        let text = quoted(line.value);
        let (key, value) = match (line.key, line.value) {
            ("certfile", _) => ("cert_file", text),
            ("keyfile", _) => ("key_file", text),
            ("cafile", _) => ("client_ca_file", text),
            ("crlfile", _) => ("crl_files", format!("[{text}]")),
            ("tls_version", "tlsv1.3") => ("version_min", "\"1.3\"".into()),
            ("tls_version", _) => ("version_min", "\"1.2\"".into()),
            ("require_certificate" | "use_identity_as_username", "false" | "0") => {
                return always("the default");
            }
            // What is neither true nor false is no reason to let anybody in.
            ("require_certificate", _) => ("client_auth", "\"required\"".into()),
            ("use_identity_as_username", _) => ("identity", "\"cn\"".into()),
            ("capath", _) => {
                // Who asks for certificates and names no file of authorities does not start.
                self.last(line.number).has_authorities = true;
                return missing("authorities stand in one file: client_ca_file");
            }
            ("psk_hint", _) => return self.leave_out(line, "TLS by pre-shared keys: not here"),
            ("ciphers" | "ciphers_tls1.3" | "dhparamfile" | "tls_engine", _) => {
                return missing("rustls chooses");
            }
            _ => return None,
        };
        self.last(line.number).tls.insert(key, (line.number, value));
        taken(format!("{key} of the listener's TLS"))
    }

    fn take_place(&mut self, line: Line<'_>) -> Said {
        let number = line.number;
        match (line.key, line.value) {
            ("protocol", "mqtt") => always("the default"),
            ("protocol", "websockets") => {
                self.last(number).is_web = true;
                taken("listener.websocket, or listener.wss with TLS")
            }
            ("protocol", _) => self.leave_out(line, "no such protocol here"),
            ("websockets_origin", origin) => {
                self.last(number).origins.push(quoted(origin));
                taken("origins of the listener")
            }
            ("max_connections", text) => {
                // -1: any number.
                self.last(number).connections_max = Some(text.parse().unwrap_or(0));
                taken("connections_max of the listener")
            }
            ("bind_interface", _) => {
                self.last(number).is_near = true;
                missing("no interfaces here: this machine only, until its address is a number")
            }
            ("socket_domain", "ipv4") => always("an address of IPv4 says so"),
            ("socket_domain", _) => {
                self.last(number).is_near = true;
                missing("an address of IPv6 says so: this machine only, until it is there")
            }
            ("mount_point", _) => {
                self.leave_out(line, "topics are not moved here: its clients would see all of them")
            }
            ("use_username_as_clientid" | "use_subject_as_username", "false" | "0") => {
                always("the default")
            }
            ("use_username_as_clientid", _) => {
                self.leave_out(line, "client ids are free here: rules may ask for them")
            }
            ("use_subject_as_username", _) => {
                self.leave_out(line, "no whole subject as a user name: tls.identity has others")
            }
            ("enable_proxy_protocol" | "proxy_protocol_v2_require_tls", _) => {
                self.leave_out(line, "proxy_protocol of a listener, and proxy_from, say so here")
            }
            ("max_qos" | "accept_protocol_versions", _) => {
                missing("no such setting of a listener here")
            }
            _ => None,
        }
    }

    /// Without what the line says the listener would be open to more than before.
    fn leave_out(&mut self, line: Line<'_>, words: &'static str) -> Said {
        self.last(line.number).left_out.get_or_insert(words);
        missing(words)
    }

    fn usual(&mut self, number: usize) -> &mut Listener {
        self.usual.get_or_insert_with(|| Listener { number, port: 1883, ..Listener::default() })
    }

    /// The one that lines are about.
    fn last(&mut self, number: usize) -> &mut Listener {
        match self.named.is_empty() {
            true => self.usual(number),
            false => self.named.last_mut().expect("there is one"),
        }
    }
}

/// A port that can be listened at: 0 would be any.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

impl Listener {
    /// What it is here.
    fn kind(&self) -> &'static str {
        match (&self.path, self.tls.contains_key("cert_file"), self.is_web) {
            (Some(_), ..) => "unix",
            (None, false, false) => "mqtt",
            (None, true, false) => "mqtts",
            (None, false, true) => "websocket",
            (None, true, true) => "wss",
        }
    }

    /// Why it cannot be there.
    fn obstacle(&self, sections: &Sections) -> Option<&'static str> {
        let asks_tls = self.has_authorities || !self.tls.is_empty();
        let has_tls = ["mqtts", "wss"].contains(&self.kind());
        match self.left_out {
            Some(words) => Some(words),
            None if asks_tls && !has_tls => Some("TLS is said of it, and no certfile"),
            None if sections.contains_key(&format!("listener.{}", self.kind())) => {
                Some("there is one listener of each kind")
            }
            None => None,
        }
    }

    /// Where it listens, and what is to be said of that.
    fn bind(&self) -> (SocketAddr, Option<(Fate, &'static str)>) {
        let here = IpAddr::from([127, 0, 0, 1]);
        let everywhere = IpAddr::from([0, 0, 0, 0]);
        let (ip, words) = match self.host.as_deref() {
            _ if self.is_near => (here, None),
            None if !self.is_named => {
                (here, Some((Fate::Missing, "nobody says where it listens: this machine only")))
            }
            None => (everywhere, None),
            Some("localhost") => (here, None),
            Some(host) => match host.parse::<IpAddr>() {
                // There it is of IPv6 alone.
                Ok(ip) if ip.is_ipv6() && ip.is_unspecified() => {
                    (ip, Some((Fate::Undecided, "here this address is open for IPv4, too")))
                }
                Ok(ip) => (ip, None),
                Err(_) => {
                    let words = "its address is to be a number: this machine only, meanwhile";
                    (here, Some((Fate::Missing, words)))
                }
            },
        };
        (SocketAddr::new(ip, self.port), words)
    }

    /// Whether its clients show certificates.
    fn asks_certificates(&self) -> bool {
        self.tls.contains_key("client_auth")
    }
}

impl Listeners {
    /// Writes them down; answers what of them cannot be.
    pub(crate) fn finish(mut self, sections: &mut Sections) -> Vec<Word> {
        let mut words = Vec::new();
        let each = self.is_each_its_own;
        if self.anonymous.is_some() && self.named.is_empty() && self.usual.is_none() {
            // Mosquitto without any listener is there for this machine.
            let here = Some("localhost".into());
            self.usual =
                Some(Listener { port: 1883, is_named: true, host: here, ..Listener::default() });
        }
        // What nobody named takes no place from what somebody did.
        let (first, last) = match self.usual {
            Some(usual) if usual.is_named => (Some(usual), None),
            usual => (None, usual),
        };
        let all: Vec<_> = first.into_iter().chain(self.named).chain(last).collect();
        let (mut taken, mut is_open) = (Vec::new(), false);
        for listener in &all {
            if let Some(why) = listener.obstacle(sections) {
                words.push((listener.number, Fate::Missing, format!("{why}: it is left out")));
                continue;
            }
            let said = if each { None } else { self.anonymous };
            // Mosquitto lets nobody in who is not named, unless it is told to.
            let is_anonymous = listener.anonymous.or(said) == Some(true);
            is_open |= is_anonymous && !listener.tls.contains_key("cert_file");
            listener.write(is_anonymous, sections, &mut words);
            taken.push((listener, is_anonymous));
        }
        if each {
            words.extend(one_file_for_all(&taken, sections));
        }
        if !all.is_empty() {
            close_others(is_open, sections);
        }
        words
    }
}

/// Ours are there unless they are told not to be.
fn close_others(is_open: bool, sections: &mut Sections) {
    let plain = sections.entry("listener.mqtt".into()).or_default();
    plain.entry("bind".into()).or_insert_with(|| "\"off\"".into());
    let has_users = sections.get("auth").is_some_and(|auth| auth.contains_key("password_file"));
    if is_open || has_users {
        return;
    }
    // Without users, who is on this machine would come in by ports that Mosquitto has not.
    for port in ["listener.kafka", "listener.http"] {
        let section = sections.entry(port.into()).or_default();
        section.insert("anonymous".into(), "\"refuse\"".into());
    }
}

/// Users and rules hold on all listeners here. The first file holds; where another was said, a
/// person decides.
fn one_file_for_all(taken: &[(&Listener, bool)], sections: &mut Sections) -> Vec<Word> {
    let mut words = Vec::new();
    let passwords = taken.iter().find_map(|(listener, _)| listener.passwords.clone());
    let rules = taken.iter().find_map(|(listener, _)| listener.rules.clone());
    for (listener, is_anonymous) in taken {
        let number = listener.number;
        match (&passwords, &listener.passwords) {
            (Some((_, first)), Some((at, other))) if first != other => {
                let text = format!("one file of users holds on all listeners: {first}, meanwhile");
                words.push((*at, Fate::Undecided, text));
            }
            // By a name and a password nobody came in there.
            (Some((_, first)), None) if !is_anonymous && !listener.tls.contains_key("identity") => {
                let text = format!("the users of {first} may come in here, too");
                words.push((number, Fate::Undecided, text));
            }
            _ => (),
        }
        match (&rules, &listener.rules) {
            (Some((_, first)), Some((at, other))) if first != other => {
                let text = format!("one file of rules holds on all listeners: {first}, meanwhile");
                words.push((*at, Fate::Undecided, text));
            }
            (Some((_, first)), None) => {
                words.push((number, Fate::Missing, format!("the rules of {first} hold here, too")));
            }
            _ => (),
        }
    }
    let files = [("auth", "password_file", passwords), ("access", "mosquitto_file", rules)];
    for (section, key, file) in files {
        if let Some((_, file)) = file {
            sections.entry(section.into()).or_default().insert(key.into(), quoted(&file));
        }
    }
    words
}

impl Listener {
    fn write(&self, is_anonymous: bool, sections: &mut Sections, words: &mut Vec<Word>) {
        let name = format!("listener.{}", self.kind());
        let section = sections.entry(name.clone()).or_default();
        if let Some(path) = &self.path {
            section.insert("path".into(), quoted(path));
        } else {
            let (bind, word) = self.bind();
            let word = word.map(|(fate, word)| (self.number, fate, word.to_owned()));
            words.extend(word);
            section.insert("bind".into(), quoted(&bind.to_string()));
        }
        let word = if is_anonymous { "\"allow\"" } else { "\"refuse\"" };
        section.insert("anonymous".into(), word.into());
        if let Some(most) = self.connections_max.filter(|most| *most > 0) {
            section.insert("connections_max".into(), most.to_string());
        }
        if !self.origins.is_empty() && ["websocket", "wss"].contains(&self.kind()) {
            section.insert("origins".into(), format!("[{}]", self.origins.join(", ")));
        }
        for (key, (number, value)) in &self.tls {
            if ["client_ca_file", "crl_files"].contains(key) && !self.asks_certificates() {
                let text = "of no use: no client is asked for a certificate";
                words.push((*number, Fate::Always, text.into()));
                continue;
            }
            let tls = sections.entry(format!("{name}.tls")).or_default();
            tls.insert((*key).to_owned(), value.clone());
        }
    }
}
