//! Where Kafka clients are told to connect to, and cannot: a client that reaches the port asks
//! there once, and goes where it is told from then on. Looks at settings alone, refuses nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::config::Config;

/// Files that Docker and Podman put into every container.
const CONTAINER_FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// One port for Kafka clients.
struct Told {
    /// Its section.
    name: &'static str,
    bind: SocketAddr,
    /// The host and the port that clients are told; `None`: where they came in.
    advertised: Option<(String, u16)>,
}

/// What is worth a thought.
pub(crate) fn doubts(config: &Config) -> Vec<String> {
    let (plain, secret) = (&config.listener.kafka, &config.listener.kafkas);
    let all =
        [("kafka", plain.bind, plain.advertised()), ("kafkas", secret.bind, secret.advertised())];
    let told = |(name, bind, advertised)| Some(Told { name, bind: bind?, advertised });
    let told: Vec<Told> = all.into_iter().filter_map(told).collect();
    judge(&told, CONTAINER_FILES.iter().any(|file| Path::new(file).exists()))
}

fn judge(told: &[Told], is_contained: bool) -> Vec<String> {
    let mut doubts: Vec<String> = told.iter().filter_map(|told| told.doubt(is_contained)).collect();
    if let [Told { advertised: Some(one), .. }, Told { advertised: Some(other), .. }] = told
        && one == other
    {
        let (host, port) = one;
        doubts.push(format!(
            "listener.kafka.advertised and listener.kafkas.advertised are both {host}:{port}: \
             clients of one of them are sent to the other, and one speaks TLS"
        ));
    }
    doubts
}

impl Told {
    fn doubt(&self, is_contained: bool) -> Option<String> {
        let Self { name, bind, advertised } = self;
        let is_open = !bind.ip().is_loopback();
        match advertised {
            Some((host, port)) if is_open && is_of_this_machine(host) => Some(format!(
                "listener.{name}.advertised = \"{host}:{port}\" sends Kafka clients on other \
                 machines to themselves: name an address that they can reach"
            )),
            Some((host, port)) if !is_open && !is_of_this_machine(host) => Some(format!(
                "listener.{name}.bind = {bind} is for this machine only, and Kafka clients are \
                 sent to {host}:{port}: bind an address that the network reaches, unless \
                 something forwards from there"
            )),
            None if is_open && is_contained => Some(format!(
                "listener.{name}.advertised is off, and this is a container: Kafka clients from \
                 outside are sent to the container's own address, so name the one that they use"
            )),
            _ => None,
        }
    }
}

fn is_of_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    is_loopback || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::{Told, judge};

    fn told(name: &'static str, bind: &str, advertised: &str) -> Told {
        let place = advertised.rsplit_once(':');
        let advertised = place.map(|(host, port)| (host.to_owned(), port.parse().unwrap()));
        Told { name, bind: bind.parse().unwrap(), advertised }
    }

    #[test]
    fn who_sends_kafka_clients_where_they_get_nowhere_hears_it() {
        for (bind, advertised, is_contained, expected) in [
            ("127.0.0.1:9092", "", false, None),
            ("127.0.0.1:9092", "", true, None),
            ("127.0.0.1:9092", "localhost:9092", true, None),
            ("127.0.0.1:9092", "broker.example:9092", false, Some("for this machine only")),
            ("[::1]:9092", "10.1.2.3:9092", false, Some("for this machine only")),
            ("0.0.0.0:9092", "", false, None),
            ("0.0.0.0:9092", "", true, Some("this is a container")),
            ("0.0.0.0:9092", "broker.example:9092", true, None),
            ("0.0.0.0:9092", "localhost:9092", false, Some("to themselves")),
            ("10.1.2.3:9092", "127.0.0.1:9092", false, Some("to themselves")),
            ("[::]:9092", "[::1]:9092", false, Some("to themselves")),
        ] {
            let doubts = judge(&[told("kafka", bind, advertised)], is_contained);
            let is_right = match (&doubts[..], expected) {
                ([], None) => true,
                ([doubt], Some(words)) => doubt.contains(words),
                _ => false,
            };
            assert!(is_right, "{bind} {advertised:?}: {doubts:?}");
        }
    }

    #[test]
    fn two_ports_that_send_to_one_place_are_told() {
        let other = |advertised| {
            let kafka = told("kafka", "0.0.0.0:9092", "broker.example:9092");
            judge(&[kafka, told("kafkas", "0.0.0.0:9093", advertised)], false).len()
        };
        assert_eq!([other("broker.example:9092"), other("broker.example:9093")], [1, 0]);
    }
}
