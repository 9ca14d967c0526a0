//! Where a broker is, as a URL: its scheme and its place. Connects to nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where most brokers speak it.
const WEBSOCKET_PATH: &str = "/mqtt";

/// A broker's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port.
    pub(crate) address: String,
    /// By TLS.
    pub(crate) is_secret: bool,
    /// Within WebSocket, at this path.
    pub(crate) websocket_path: Option<String>,
}

impl Url {
    /// A listener on this machine: "every address" is no place to go to.
    pub(crate) fn of(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let address = SocketAddr::new(ip, address.port()).to_string();
        Self { address, is_secret: false, websocket_path: None }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.websocket_path.is_some(), self.is_secret) {
            (false, false) => "mqtt",
            (false, true) => "mqtts",
            (true, false) => "ws",
            (true, true) => "wss",
        };
        let path = self.websocket_path.as_deref().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.address)
    }
}

/// `mqtt://host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt`, `wss://host:443/mqtt`; without a
/// scheme `mqtt://`, without a port or a path the usual.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
    let (is_web, is_secret, port) = match scheme {
        "mqtt" | "tcp" => (false, false, 1883),
        "mqtts" | "ssl" | "tls" => (false, true, 8883),
        "ws" => (true, false, 80),
        "wss" => (true, true, 443),
        _ => {
            let spoken = "mqtt://, mqtts://, ws:// or wss://";
            return Err(format!("{scheme}:// is not spoken here: {spoken}"));
        }
    };
    let (place, path) = match rest.find('/').filter(|_| is_web) {
        Some(at) => rest.split_at(at),
        None => (rest.trim_end_matches('/'), ""),
    };
    if place.contains('@') {
        return Err("say who you are by --user and --password-file, not in the address".into());
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    if place.is_empty() || place.contains('/') || rest.contains(is_odd) {
        return Err("to be like mqtt://host:1883 or ws://host:8083/mqtt".into());
    }
    let path = if path.len() > 1 { path } else { WEBSOCKET_PATH };
    let websocket_path = is_web.then(|| path.to_owned());
    Ok(Url { address: with_port(place, port)?, is_secret, websocket_path })
}

fn with_port(place: &str, usual: u16) -> Result<String, String> {
    let behind_host = place.rsplit_once(']').map_or(place, |(_, rest)| rest);
    match behind_host.matches(':').count() {
        0 => Ok(format!("{place}:{usual}")),
        1 => {
            let (_, port) = behind_host.split_once(':').unwrap_or_default();
            let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
            is_port.then(|| place.into()).ok_or_else(|| format!("{port:?} is no port"))
        }
        _ => Ok(format!("[{place}]:{usual}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Url, parse};

    #[test]
    fn a_listener_on_every_address_is_reached_on_this_machine() {
        for (address, url) in [
            ("0.0.0.0:1884", "mqtt://127.0.0.1:1884"),
            ("[::]:1884", "mqtt://[::1]:1884"),
            ("192.0.2.7:1", "mqtt://192.0.2.7:1"),
        ] {
            assert_eq!(Url::of(address.parse().unwrap()).to_string(), url);
        }
    }

    #[test]
    fn a_place_has_a_scheme_and_a_port_or_gets_the_usual() {
        for (text, address, is_secret) in [
            ("mqtt://a:1884", "a:1884", false),
            ("mqtt://a", "a:1883", false),
            ("mqtts://a/", "a:8883", true),
            ("localhost", "localhost:1883", false),
            ("127.0.0.1:18", "127.0.0.1:18", false),
            ("mqtt://[::1]:18", "[::1]:18", false),
            ("mqtts://[::1]", "[::1]:8883", true),
            ("::1", "[::1]:1883", false),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.address.as_str(), url.is_secret), (address, is_secret), "{text}");
        }
        for (text, shown) in [
            ("ws://a", "ws://a:80/mqtt"),
            ("wss://a/", "wss://a:443/mqtt"),
            ("ws://a:8083/other/path", "ws://a:8083/other/path"),
            ("wss://[::1]/m?token=1", "wss://[::1]:443/m?token=1"),
        ] {
            let url = parse(text).unwrap();
            assert!(url.websocket_path.is_some(), "{text}");
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(parse(shown).unwrap(), url, "{text}");
        }
        for (wrong, said) in [
            ("", "to be like"),
            ("http://a", "http:// is not spoken"),
            ("ws:///mqtt", "to be like"),
            ("ws://a/m q", "to be like"),
            ("mqtt://a/mqtt", "to be like"),
            ("mqtt://me:secret@a", "--password-file"),
            ("mqtt://a:0", "is no port"),
            ("mqtt://a:99999", "is no port"),
        ] {
            assert!(parse(wrong).unwrap_err().contains(said), "{wrong}");
        }
    }
}
