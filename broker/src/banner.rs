//! What the user sees first: who we are, where we listen, what to try. Prints nothing itself.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::Durability;

/// What the banner tells; addresses as they were bound, not as they were asked for.
#[derive(Clone, Debug)]
pub struct BannerFacts {
    /// How this program was called: the commands to try are typed so.
    pub program: String,
    /// Our version.
    pub version: &'static str,
    /// The config file; `None` is the built-in defaults.
    pub config: Option<PathBuf>,
    /// The data folder.
    pub data: PathBuf,
    /// Whether this start made the data folder.
    pub data_is_new: bool,
    /// The weakest promise of any stream.
    pub durability: Durability,
    /// What listens where.
    pub listeners: Vec<BoundListener>,
    /// The socket file, if there is one.
    pub unix: Option<PathBuf>,
    /// Whether stdout is a terminal that likes colours.
    pub colours: bool,
}

/// One open port.
#[derive(Clone, Debug)]
pub struct BoundListener {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The address that the system gave us.
    pub address: SocketAddr,
    /// Who is let in.
    pub who: Who,
    /// Whether a proxy stands before it: then its address does not say who can come.
    pub behind_proxy: bool,
}

/// Who is let in somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Clients that show nothing of themselves, too.
    Anybody,
    /// Clients that sign in.
    SignedIn,
    /// Clients with a certificate.
    Certified,
}

impl Who {
    /// Whom a listener lets in that asks all for a certificate, or takes anonymous clients.
    pub(crate) const fn of(asks_certificate: bool, takes_anonymous: bool) -> Self {
        match (asks_certificate, takes_anonymous) {
            (true, _) => Self::Certified,
            (false, true) => Self::Anybody,
            (false, false) => Self::SignedIn,
        }
    }
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    WebSocket,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// The Kafka protocol.
    Kafka,
    /// The Kafka protocol over TLS.
    Kafkas,
    /// Health, metrics and the API.
    Http,
    /// The same over TLS.
    Https,
}

impl Protocol {
    /// What the HTTP port speaks.
    pub(crate) const fn of_http(is_secret: bool) -> Self {
        if is_secret { Self::Https } else { Self::Http }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::WebSocket => "ws",
            Self::Wss => "wss",
            Self::Kafka => "kafka",
            Self::Kafkas => "kafkas",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The section of the configuration.
    pub(crate) const fn section(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::WebSocket => "websocket",
            Self::Wss => "wss",
            Self::Kafka => "kafka",
            Self::Kafkas => "kafkas",
            Self::Http | Self::Https => "http",
        }
    }

    /// As a sentence would name it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Mqtts => "MQTT over TLS",
            Self::WebSocket => "WebSocket",
            Self::Wss => "WebSocket over TLS",
            Self::Kafka => "Kafka",
            Self::Kafkas => "Kafka over TLS",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }

    /// Where its port is said.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::Mqtt => "--mqtt",
            Self::Mqtts => "listener.mqtts.bind",
            Self::WebSocket => "listener.websocket.bind",
            Self::Wss => "listener.wss.bind",
            Self::Kafka => "--kafka",
            Self::Kafkas => "listener.kafkas.bind",
            Self::Http | Self::Https => "--http",
        }
    }

    fn speaks(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT 5, 3.1.1, 3.1",
            Self::Mqtts => "the same over TLS",
            Self::WebSocket => "the same over WebSocket, any path",
            Self::Wss => "the same over WebSocket and TLS, any path",
            Self::Kafka => "streams as topics",
            Self::Kafkas => "streams as topics, over TLS",
            Self::Http | Self::Https => "/api/v1, /metrics, /healthz, /readyz",
        }
    }
}

/// The banner as text, with a line end.
#[must_use]
pub fn render(facts: &BannerFacts) -> String {
    let ink = Ink { colours: facts.colours };
    let mut text = format!("\n {} {}\n\n", ink.bold("tidewire"), facts.version);
    for listener in &facts.listeners {
        let name = listener.protocol.name();
        let BoundListener { address, who, behind_proxy, .. } = *listener;
        let reach = reach(address.ip(), who, behind_proxy);
        let notes = format!("{}; {reach}", listener.protocol.speaks());
        row(&mut text, &ink, (name, &format!("{name}://{address}")), &notes);
    }
    if let Some(path) = &facts.unix {
        let path = path.display().to_string();
        row(&mut text, &ink, ("unix", &path), "the same by a socket file; this machine only");
    }
    let age = if facts.data_is_new { "new" } else { "continued" };
    let data = format!("{} ({age})", facts.data.display());
    row(&mut text, &ink, ("data", &data), promise(facts.durability));
    let config = facts.config.as_ref().map(|path| path.display().to_string());
    let config = config.unwrap_or_else(|| "built-in defaults".into());
    row(&mut text, &ink, ("config", &config), "");
    text.push_str(&invitation(facts, &ink));
    text
}

/// Who can come in at an address.
#[must_use]
pub fn reach(address: IpAddr, who: Who, behind_proxy: bool) -> &'static str {
    match (behind_proxy, address.is_loopback(), who) {
        (false, true, Who::Anybody | Who::SignedIn) => "this machine only",
        (false, true, Who::Certified) => "this machine only, with a certificate",
        (false, false, Who::Anybody) => "open to the network, no password asked",
        (false, false, Who::SignedIn) => "open to the network, for clients that sign in",
        (false, false, Who::Certified) => "open to clients with a certificate",
        (true, _, Who::Anybody) => "behind a proxy, no password asked",
        (true, _, Who::SignedIn) => "behind a proxy, for clients that sign in",
        (true, _, Who::Certified) => "behind a proxy, for clients with a certificate",
    }
}

fn promise(durability: Durability) -> &'static str {
    match durability {
        Durability::Disk => "acknowledged = on disk",
        Durability::Os => "acknowledged = with the system; a power cut may lose messages",
        Durability::None => "acknowledged = in memory; a crash may lose messages",
    }
}

fn row(text: &mut String, ink: &Ink, (name, fact): (&str, &str), notes: &str) {
    let line = format!("   {name:<7} {fact:<28} ");
    let line = if notes.is_empty() { line.trim_end().to_owned() } else { line };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}{}", ink.faint(notes));
}

fn invitation(facts: &BannerFacts, ink: &Ink) -> String {
    let find = |protocol| facts.listeners.iter().find(|l| l.protocol == protocol);
    let Some(listener) = find(Protocol::Mqtt) else {
        return format!("\n {}  nothing listens: give --mqtt 127.0.0.1:1883\n\n", ink.bold("try"));
    };
    let (program, to) = (&facts.program, destination(listener.address, listener.who));
    let mut lines = vec![
        (format!("{program} sub 'sensors/#' -v{to}"), "and in another shell:"),
        (format!("{program} pub sensors/t1 21.5{to}"), ""),
        (format!("{program} demo{to}"), "20 devices to look at"),
    ];
    if let Some(kafka) = find(Protocol::Kafka).filter(|kafka| kafka.who == Who::Anybody) {
        let to = reachable(kafka.address);
        lines.push((format!("kcat -b {to} -C -t mqtt -o beginning -e"), "any Kafka client"));
    }
    let is_local = |l: &BoundListener| l.address.ip().is_loopback() && !l.behind_proxy;
    if facts.config.is_none() && facts.listeners.iter().all(is_local) {
        let why = "a configuration, a user and certificates, to let other machines in";
        lines.push((format!("{program} init"), why));
    }
    let mut text = String::from("\n");
    for (number, (line, note)) in lines.iter().enumerate() {
        let head = if number == 0 { ink.bold("try") } else { "   ".into() };
        let (line, note) = match note.is_empty() {
            true => (line.clone(), String::new()),
            // A comment to a shell: the line can be pasted whole.
            false => (format!("{line:<44}  "), format!("# {note}")),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {head}  {line}{}", ink.faint(&note));
    }
    text + "\n"
}

/// How our own commands are told where to go and as whom, if it is not the usual place.
fn destination(address: SocketAddr, who: Who) -> String {
    let place = match reachable(address) {
        usual if usual.to_string() == "127.0.0.1:1883" => String::new(),
        other => format!(" --url mqtt://{other}"),
    };
    match who {
        Who::SignedIn => format!("{place} -u NAME --password-file FILE"),
        Who::Anybody | Who::Certified => place,
    }
}

/// "Every address" is no place to go to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

struct Ink {
    colours: bool,
}

impl Ink {
    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BannerFacts, BoundListener, Durability, Protocol, Who, render};

    fn facts(address: &str) -> BannerFacts {
        let listener = BoundListener {
            protocol: Protocol::Mqtt,
            address: address.parse().unwrap(),
            who: Who::Anybody,
            behind_proxy: false,
        };
        BannerFacts {
            program: "tidewire".into(),
            version: "0.1.0",
            config: None,
            data: "./tidewire-data".into(),
            data_is_new: true,
            durability: Durability::Disk,
            listeners: vec![listener],
            unix: None,
            colours: false,
        }
    }

    #[test]
    fn the_first_start_shows_all_that_matters() {
        let expected = "
 tidewire 0.1.0

   mqtt    mqtt://127.0.0.1:1883        MQTT 5, 3.1.1, 3.1; this machine only
   data    ./tidewire-data (new)        acknowledged = on disk
   config  built-in defaults

 try  tidewire sub 'sensors/#' -v                   # and in another shell:
      tidewire pub sensors/t1 21.5
      tidewire demo                                 # 20 devices to look at
      tidewire init                                 # \
a configuration, a user and certificates, to let other machines in

";
        assert_eq!(render(&facts("127.0.0.1:1883")), expected);
    }

    #[test]
    fn the_commands_reach_the_port_that_was_bound() {
        let check = |address: &str, expected: &str| {
            let text = render(&facts(address));
            assert!(text.contains(&format!("tidewire pub sensors/t1 21.5{expected}\n")), "{text}");
        };
        check("127.0.0.1:1883", "");
        check("0.0.0.0:1883", "");
        check("127.0.0.1:40123", " --url mqtt://127.0.0.1:40123");
        check("[::]:1883", " --url mqtt://[::1]:1883");
        check("192.168.1.7:1883", " --url mqtt://192.168.1.7:1883");
    }

    #[test]
    fn the_commands_are_those_of_what_is_there_and_of_who_may_come() {
        let mut facts = facts("0.0.0.0:1883");
        facts.listeners.push(BoundListener {
            protocol: Protocol::Kafka,
            address: "127.0.0.1:9092".parse().unwrap(),
            ..facts.listeners[0].clone()
        });
        let text = render(&facts);
        assert!(text.contains("kcat -b 127.0.0.1:9092 -C -t mqtt"), "{text}");
        assert!(!text.contains("tidewire init"), "others come already: {text}");
        facts.listeners.iter_mut().for_each(|listener| listener.who = Who::SignedIn);
        let text = render(&facts);
        assert!(text.contains("pub sensors/t1 21.5 -u NAME --password-file FILE\n"), "{text}");
        assert!(!text.contains("kcat"), "{text}");
    }

    #[test]
    fn an_open_port_and_a_weak_promise_are_said() {
        let weak = BannerFacts { durability: Durability::None, ..facts("0.0.0.0:1883") };
        let text = render(&weak);
        assert!(text.contains("open to the network"), "{text}");
        assert!(text.contains("a crash may lose messages"), "{text}");
    }

    #[test]
    fn colours_only_add_escapes() {
        let coloured = render(&BannerFacts { colours: true, ..facts("127.0.0.1:1883") });
        assert!(coloured.contains("\u{1b}[1mtidewire\u{1b}[0m"), "{coloured:?}");
        let stripped =
            coloured.replace("\u{1b}[1m", "").replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
        assert_eq!(stripped, render(&facts("127.0.0.1:1883")));
    }

    #[test]
    fn without_a_listener_the_banner_says_what_to_do() {
        let text = render(&BannerFacts { listeners: Vec::new(), ..facts("127.0.0.1:1") });
        assert!(text.contains("--mqtt 127.0.0.1:1883"), "{text}");
    }
}
