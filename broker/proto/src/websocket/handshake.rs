//! The HTTP request that asks for WebSocket, and what it is answered.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Bytes of a request that are waited for.
pub const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;

/// What the key of a request is hashed with.
pub(super) const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The name of MQTT over WebSocket, and that of MQTT 3.1.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Whose pages may connect. A client that names no origin is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Those of any origin.
    Any,
    /// Those of these origins.
    Named(Vec<String>),
    /// Those that this machine serves itself.
    Local,
    /// Those of the host that the request is for. Within TLS alone: there a browser has seen that
    /// the host is ours, and a name of somebody else that leads here is none.
    SameHost,
}

impl Origins {
    /// Whether they have this one; the request is for `host`, if it says for which.
    fn has(&self, origin: &str, host: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| name == origin),
            Self::Local => is_local(origin),
            Self::SameHost => host.is_some_and(|host| is_of(origin, host)),
        }
    }
}

/// Whether an origin is of this machine, whatever its port is.
fn is_local(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = host_of(authority);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether an origin is of this host, whatever the ports are. A page that came without TLS is
/// nobody's: whoever was on its way may have written it.
fn is_of(origin: &str, host: &str) -> bool {
    let Some(authority) = origin.strip_prefix("https://") else { return false };
    let (page, asked) = (host_of(authority), host_of(host));
    !page.is_empty() && page.eq_ignore_ascii_case(asked)
}

/// Without the port, and the brackets of an address.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or(v6, |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// A request that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What to send.
    pub answer: Vec<u8>,
    /// How many bytes the request had; what follows is frames.
    pub used: usize,
}

/// A request that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than [`HANDSHAKE_BYTES_MAX`] without an end.
    #[error("431 Request Header Fields Too Large")]
    TooLarge,
    /// Not a request for WebSocket, version 13.
    #[error("400 Bad Request")]
    NotWebSocket,
    /// TLS, where there is none.
    #[error("400 Bad Request")]
    Tls,
    /// MQTT as it is spoken over TCP.
    #[error("400 Bad Request")]
    BareMqtt,
    /// MQTT is not among the protocols that it names.
    #[error("400 Bad Request")]
    NotMqtt,
    /// A page from elsewhere asks.
    #[error("403 Forbidden")]
    Origin,
}

impl Refusal {
    /// In words.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::TooLarge => "the request is too long",
            Self::Tls => "it speaks TLS, and this port WebSocket without it",
            Self::BareMqtt => "it speaks MQTT without WebSocket; this port is for WebSocket",
            Self::NotWebSocket => "this port speaks MQTT over WebSocket",
            Self::NotMqtt => "Sec-WebSocket-Protocol must name mqtt",
            Self::Origin => {
                "pages of this origin may not connect: name it in `origins` of the listener if \
                 they are to"
            }
        }
    }

    /// What to send before closing.
    #[must_use]
    pub fn answer(self) -> Vec<u8> {
        let why = self.why();
        let length = why.len();
        format!(
            "HTTP/1.1 {self}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: \
             {length}\r\n\r\n{why}"
        )
        .into_bytes()
    }
}

/// Reads a request once it is whole. `origins` are those whose pages may connect.
///
/// # Errors
/// When it is refused.
pub fn read_upgrade(bytes: &[u8], origins: &Origins) -> Result<Option<Upgrade>, Refusal> {
    // Whoever speaks something else would wait for an answer until his time is over.
    match bytes.first() {
        Some(0x16) => return Err(Refusal::Tls),
        Some(0x10) => return Err(Refusal::BareMqtt),
        Some(first) if !first.is_ascii_uppercase() => return Err(Refusal::NotWebSocket),
        _ => (),
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let is_too_large = bytes.len() > HANDSHAKE_BYTES_MAX;
        return if is_too_large { Err(Refusal::TooLarge) } else { Ok(None) };
    };
    if end > HANDSHAKE_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Refusal::NotWebSocket)?;
    let request = Request::of(text).ok_or(Refusal::NotWebSocket)?;
    if !request.origin.is_none_or(|origin| origins.has(origin, request.host)) {
        return Err(Refusal::Origin);
    }
    let protocol = request.protocol.ok_or(Refusal::NotMqtt)?;
    let accept = STANDARD.encode(Sha1::digest(format!("{}{MAGIC}", request.key)));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    Ok(Some(Upgrade { answer: answer.into_bytes(), used: end + 4 }))
}

/// What a request says that matters.
#[derive(Default)]
struct Request<'a> {
    key: &'a str,
    host: Option<&'a str>,
    origin: Option<&'a str>,
    protocol: Option<&'static str>,
    has_upgrade: bool,
    has_connection: bool,
    has_version: bool,
}

impl<'a> Request<'a> {
    /// `None` when it is no request for WebSocket.
    fn of(text: &'a str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let is_get = first.next() == Some("GET") && first.next().is_some();
        if !is_get || first.next() != Some("HTTP/1.1") {
            return None;
        }
        let mut request = Self::default();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            request.take(name, value.trim());
        }
        let is_key = STANDARD.decode(request.key).is_ok_and(|key| key.len() == 16);
        let is_asked = request.has_upgrade && request.has_connection && request.has_version;
        (is_key && is_asked).then_some(request)
    }

    fn take(&mut self, name: &str, value: &'a str) {
        let holds = |wanted: &str| words(value).any(|word| word.eq_ignore_ascii_case(wanted));
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => self.has_upgrade |= holds("websocket"),
            "connection" => self.has_connection |= holds("upgrade"),
            "sec-websocket-version" => self.has_version = value == "13",
            "sec-websocket-key" => self.key = value,
            "host" => self.host = Some(value),
            "origin" => self.origin = Some(value),
            "sec-websocket-protocol" => {
                let known = |word| PROTOCOLS.into_iter().find(|known| *known == word);
                self.protocol = self.protocol.or_else(|| words(value).find_map(known));
            }
            _ => (),
        }
    }
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{HANDSHAKE_BYTES_MAX, Origins, Refusal, read_upgrade};

    const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: \
        keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: \
        https://a.example\r\nSec-WebSocket-Protocol: chat, mqtt\r\nSec-WebSocket-Version: \
        13\r\n\r\n";

    fn refusal(request: &str) -> Option<Refusal> {
        let named = Origins::Named(vec!["https://a.example".into()]);
        read_upgrade(request.as_bytes(), &named).err()
    }

    #[test]
    fn a_request_for_mqtt_is_granted_with_the_hash_of_its_key() {
        let upgrade = read_upgrade(format!("{REQUEST}rest").as_bytes(), &Origins::Any);
        let upgrade = upgrade.expect("granted").expect("whole");
        assert_eq!(upgrade.used, REQUEST.len());
        let answer = String::from_utf8(upgrade.answer).expect("text");
        // The example of RFC 6455.
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{answer}");
        for cut in 0..REQUEST.len() {
            let part = read_upgrade(&REQUEST.as_bytes()[..cut], &Origins::Any);
            assert_eq!(part, Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(refusal(REQUEST), None);
        for (wrong, refused) in [
            (REQUEST.replace("GET", "POST"), Refusal::NotWebSocket),
            (REQUEST.replace("13\r\n", "8\r\n"), Refusal::NotWebSocket),
            (REQUEST.replace("upgrade: WebSocket\r\n", ""), Refusal::NotWebSocket),
            (REQUEST.replace("dGhl", ""), Refusal::NotWebSocket),
            (REQUEST.replace("Host: a", "Host"), Refusal::NotWebSocket),
            (REQUEST.replace("chat, mqtt", "chat"), Refusal::NotMqtt),
            (REQUEST.replace("a.example", "b.example"), Refusal::Origin),
            ("GET /".repeat(HANDSHAKE_BYTES_MAX), Refusal::TooLarge),
        ] {
            assert_eq!(refusal(&wrong), Some(refused), "{}", &wrong[..40]);
        }
        assert_eq!(refusal(&REQUEST.replace("Origin: https://a.example\r\n", "")), None);
    }

    #[test]
    fn pages_of_this_machine_are_told_from_others_by_their_host() {
        for (origin, is_local) in [
            ("http://localhost", true),
            ("http://localhost:8080", true),
            ("https://app.localhost:3000", true),
            ("http://127.0.0.1:5000", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080", true),
            ("http://[::1]", true),
            ("https://evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://evil-localhost", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://192.0.2.1", false),
            ("http://[2001:db8::1]", false),
            ("null", false),
            ("", false),
        ] {
            let request = REQUEST.replace("https://a.example", origin);
            let granted = read_upgrade(request.as_bytes(), &Origins::Local);
            assert_eq!(granted.is_ok(), is_local, "{origin:?}");
        }
        let no_page = REQUEST.replace("Origin: https://a.example\r\n", "");
        assert!(read_upgrade(no_page.as_bytes(), &Origins::Local).is_ok());
    }

    #[test]
    fn pages_of_the_same_host_are_told_from_others_whatever_the_ports_are() {
        for (origin, host, is_same) in [
            ("https://plant.example", "plant.example:8084", true),
            ("https://plant.example:3000", "plant.example", true),
            ("https://plant.example", "Plant.Example:8084", true),
            ("https://[2001:db8::1]:3000", "[2001:db8::1]:8084", true),
            ("https://192.0.2.1", "192.0.2.1:8084", true),
            ("http://plant.example", "plant.example:8084", false),
            ("https://evil.example", "plant.example:8084", false),
            ("https://plant.example.evil.example", "plant.example", false),
            ("https://sub.plant.example", "plant.example", false),
            ("http://localhost:3000", "plant.example", false),
            ("null", "plant.example", false),
            ("https://", "", false),
            ("", "", false),
        ] {
            let request = REQUEST.replace("https://a.example", origin);
            let request = request.replace("Host: a\r\n", &format!("Host: {host}\r\n"));
            let granted = read_upgrade(request.as_bytes(), &Origins::SameHost);
            assert_eq!(granted.is_ok(), is_same, "{origin:?} at {host:?}");
        }
        let no_host = REQUEST.replace("Host: a\r\n", "");
        assert_eq!(read_upgrade(no_host.as_bytes(), &Origins::SameHost), Err(Refusal::Origin));
        let no_page = REQUEST.replace("Origin: https://a.example\r\n", "");
        assert!(read_upgrade(no_page.as_bytes(), &Origins::SameHost).is_ok());
    }
}
