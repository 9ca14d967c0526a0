//! `[listener.*]`: what is served, and where.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tidewire_proto::websocket::Origins;

use super::auth::{Anonymous, AuthConfig};
use super::defaults;
use super::http::{HttpListener, check_http};
use super::kafka::{KafkaListener, KafkasListener};
use super::origins::check_origins;
use super::proxy::{ProxyProtocol, check_proxy, proxy_protocol};
use super::quantity::count;
use super::rate::RateConfig;
use super::rules::Breach;
use super::text::{address_or_off, address_or_off_out, word};
use super::tls::{ClientAuth, TlsConfig, TlsIdentity, check_tls};
use super::unix::UnixListener;
use crate::address_range::AddressRange;

/// `[listener.*]`: one section per protocol that we serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// MQTT over TCP.
    pub mqtt: MqttListener,
    /// MQTT over TLS.
    pub mqtts: MqttsListener,
    /// MQTT over WebSocket.
    pub websocket: WebSocketListener,
    /// MQTT over WebSocket over TLS.
    pub wss: WssListener,
    /// MQTT over a socket file.
    pub unix: UnixListener,
    /// The streams, for Kafka clients.
    pub kafka: KafkaListener,
    /// The same over TLS.
    pub kafkas: KafkasListener,
    /// Health, metrics and the API.
    pub http: HttpListener,
}

/// `[listener.websocket]`: MQTT over WebSocket, for pages and for networks that let nothing else
/// through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketListener {
    /// Address and port, or `off` (`None`).
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Origins whose pages may connect; none named: any, but where `anonymous = "auto"` lets
    /// anonymous clients in only those of this machine.
    pub origins: Vec<String>,
    /// Whether a proxy says before each connection whose it is.
    #[serde(deserialize_with = "proxy_protocol")]
    pub proxy_protocol: ProxyProtocol,
    /// The proxies whose headers count; from anywhere else nobody is let in.
    pub proxy_from: Vec<AddressRange>,
    /// Open connections of this listener; 0: as many as `mqtt.connections_max` allows.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_max: u32,
    /// New connections per second; 0: any number. Beyond it they wait to be accepted.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_s_max: u32,
    /// New connections at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_burst_max: u32,
    /// Open connections from one address; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_per_address_max: u32,
    /// New connections from one address in a minute, at once or spread; 0: any number. Beyond it
    /// they are closed.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_address_per_minute_max: u32,
    /// How fast messages may come over all clients of this listener.
    pub rate: RateConfig,
}

impl WebSocketListener {
    /// What it has in common with the listener on TCP.
    #[must_use]
    pub fn common(&self) -> MqttListener {
        MqttListener {
            bind: self.bind,
            anonymous: self.anonymous,
            proxy_protocol: self.proxy_protocol,
            proxy_from: self.proxy_from.clone(),
            connections_max: self.connections_max,
            connections_per_s_max: self.connections_per_s_max,
            connections_burst_max: self.connections_burst_max,
            connections_per_address_max: self.connections_per_address_max,
            connections_per_address_per_minute_max: self.connections_per_address_per_minute_max,
            rate: self.rate.clone(),
        }
    }
}

/// `[listener.mqtt]`: MQTT 5, 3.1.1 and 3.1 over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttListener {
    /// Address and port, or `off` (`None`). The default is for this machine only.
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Whether a proxy says before each connection whose it is.
    #[serde(deserialize_with = "proxy_protocol")]
    pub proxy_protocol: ProxyProtocol,
    /// The proxies whose headers count; from anywhere else nobody is let in.
    pub proxy_from: Vec<AddressRange>,
    /// Open connections of this listener; 0: as many as `mqtt.connections_max` allows.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_max: u32,
    /// New connections per second; 0: any number. Beyond it they wait to be accepted.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_s_max: u32,
    /// New connections at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_burst_max: u32,
    /// Open connections from one address; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_per_address_max: u32,
    /// New connections from one address in a minute, at once or spread; 0: any number. Beyond it
    /// they are closed.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_address_per_minute_max: u32,
    /// How fast messages may come over all clients of this listener.
    pub rate: RateConfig,
}

impl Default for MqttListener {
    fn default() -> Self {
        Self {
            bind: Some((Ipv4Addr::LOCALHOST, defaults::MQTT_PORT).into()),
            anonymous: Anonymous::Auto,
            proxy_protocol: ProxyProtocol::Off,
            proxy_from: Vec::new(),
            connections_max: 0,
            connections_per_s_max: 0,
            connections_burst_max: 0,
            connections_per_address_max: 0,
            connections_per_address_per_minute_max: 0,
            rate: RateConfig::default(),
        }
    }
}

impl MqttListener {
    /// Whether clients are let in that do not show who they are.
    #[must_use]
    pub fn takes_anonymous(&self, auth: &AuthConfig) -> bool {
        self.anonymous.lets_in(self.reach(), auth)
    }

    /// The address as far as it says who can come: to one behind a proxy, everybody may.
    #[must_use]
    pub fn reach(&self) -> Option<SocketAddr> {
        let everywhere = |bind: SocketAddr| (Ipv4Addr::UNSPECIFIED, bind.port()).into();
        match self.proxy_protocol {
            ProxyProtocol::Off => self.bind,
            ProxyProtocol::Required => self.bind.map(everywhere),
        }
    }

    /// Whose pages may connect by WebSocket, where these origins are named. Where nobody is asked
    /// who he is because only this machine can come, pages from elsewhere that a browser on it
    /// shows may not, unless they are named; nor where clients may show certificates: a browser
    /// shows that of its user for every page.
    #[must_use]
    pub fn pages(
        &self,
        origins: Vec<String>,
        auth: &AuthConfig,
        client_auth: ClientAuth,
    ) -> Origins {
        let is_open = self.anonymous == Anonymous::Auto && self.takes_anonymous(auth);
        match origins.is_empty() {
            true if client_auth != ClientAuth::None => Origins::SameHost,
            true if is_open => Origins::Local,
            true => Origins::Any,
            false => Origins::Named(origins),
        }
    }
}

/// `[listener.mqtts]`: MQTT over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttsListener {
    /// Address and port, or `off` (`None`).
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Whether a proxy says before each connection whose it is.
    #[serde(deserialize_with = "proxy_protocol")]
    pub proxy_protocol: ProxyProtocol,
    /// The proxies whose headers count; from anywhere else nobody is let in.
    pub proxy_from: Vec<AddressRange>,
    /// Open connections of this listener; 0: as many as `mqtt.connections_max` allows.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_max: u32,
    /// New connections per second; 0: any number. Beyond it they wait to be accepted.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_s_max: u32,
    /// New connections at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_burst_max: u32,
    /// Open connections from one address; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_per_address_max: u32,
    /// New connections from one address in a minute, at once or spread; 0: any number. Beyond it
    /// they are closed.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_address_per_minute_max: u32,
    /// How fast messages may come over all clients of this listener.
    pub rate: RateConfig,
    /// Certificates, and who may come.
    pub tls: TlsConfig,
}

impl MqttsListener {
    /// What it has in common with the listener on TCP.
    #[must_use]
    pub fn common(&self) -> MqttListener {
        MqttListener {
            bind: self.bind,
            anonymous: self.anonymous,
            proxy_protocol: self.proxy_protocol,
            proxy_from: self.proxy_from.clone(),
            connections_max: self.connections_max,
            connections_per_s_max: self.connections_per_s_max,
            connections_burst_max: self.connections_burst_max,
            connections_per_address_max: self.connections_per_address_max,
            connections_per_address_per_minute_max: self.connections_per_address_per_minute_max,
            rate: self.rate.clone(),
        }
    }
}

/// `[listener.wss]`: MQTT over WebSocket over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WssListener {
    /// Address and port, or `off` (`None`).
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Origins whose pages may connect; none named: any, but where `anonymous = "auto"` lets
    /// anonymous clients in only those of this machine, and where clients are asked for
    /// certificates only those of the same host.
    pub origins: Vec<String>,
    /// Whether a proxy says before each connection whose it is.
    #[serde(deserialize_with = "proxy_protocol")]
    pub proxy_protocol: ProxyProtocol,
    /// The proxies whose headers count; from anywhere else nobody is let in.
    pub proxy_from: Vec<AddressRange>,
    /// Open connections of this listener; 0: as many as `mqtt.connections_max` allows.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_max: u32,
    /// New connections per second; 0: any number. Beyond it they wait to be accepted.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_s_max: u32,
    /// New connections at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_burst_max: u32,
    /// Open connections from one address; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_per_address_max: u32,
    /// New connections from one address in a minute, at once or spread; 0: any number. Beyond it
    /// they are closed.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_address_per_minute_max: u32,
    /// How fast messages may come over all clients of this listener.
    pub rate: RateConfig,
    /// Certificates, and who may come.
    pub tls: TlsConfig,
}

impl WssListener {
    /// What it has in common with the listener on TCP.
    #[must_use]
    pub fn common(&self) -> MqttListener {
        MqttListener {
            bind: self.bind,
            anonymous: self.anonymous,
            proxy_protocol: self.proxy_protocol,
            proxy_from: self.proxy_from.clone(),
            connections_max: self.connections_max,
            connections_per_s_max: self.connections_per_s_max,
            connections_burst_max: self.connections_burst_max,
            connections_per_address_max: self.connections_per_address_max,
            connections_per_address_per_minute_max: self.connections_per_address_per_minute_max,
            rate: self.rate.clone(),
        }
    }
}

impl UnixListener {
    /// What it has in common with the listener on TCP.
    #[must_use]
    pub fn common(&self) -> MqttListener {
        MqttListener {
            bind: None,
            anonymous: self.anonymous,
            connections_max: self.connections_max,
            connections_per_s_max: self.connections_per_s_max,
            connections_burst_max: self.connections_burst_max,
            rate: self.rate.clone(),
            ..MqttListener::default()
        }
    }

    /// Whether clients are let in that do not show who they are.
    #[must_use]
    pub fn takes_anonymous(&self, auth: &AuthConfig) -> bool {
        self.common().takes_anonymous(auth)
    }
}

/// The HTTP hook is not asked about Kafka clients: a certificate that names one would let it in
/// whatever the hook says.
pub(super) fn check_hook(listeners: &ListenerConfig, auth: &AuthConfig) -> Option<Breach> {
    let kafkas = &listeners.kafkas;
    let names = kafkas.bind.is_some() && kafkas.tls.identity != TlsIdentity::None;
    (names && auth.http.url.is_some() && auth.http.asks_for_certificates).then(|| {
        let settings = ["listener.kafkas.tls.identity", "auth.http.asks_for_certificates"];
        let message = format!(
            "`{}` lets Kafka clients in by their certificates, and the HTTP hook is not asked for \
             them, though `{}` is set",
            settings[0], settings[1]
        );
        Breach::new(&settings, message)
            .hint("set `listener.kafkas.tls.identity` = \"none\": they sign in with a password")
    })
}

/// What listeners need: certificates to speak TLS, proxies to stand behind one.
pub(super) fn check_listeners(listeners: &ListenerConfig) -> Vec<Breach> {
    let ListenerConfig { mqtt, mqtts, websocket, wss, kafkas, .. } = listeners;
    let rows = [
        ("mqtts", mqtts.bind, &mqtts.tls),
        ("wss", wss.bind, &wss.tls),
        ("kafkas", kafkas.bind, &kafkas.tls),
    ];
    let open = rows.into_iter().filter(|(_, bind, _)| bind.is_some());
    let secret = open.flat_map(|(name, _, tls)| check_tls(name, tls));
    let rows = [
        ("mqtt", mqtt.proxy_protocol, &mqtt.proxy_from),
        ("mqtts", mqtts.proxy_protocol, &mqtts.proxy_from),
        ("websocket", websocket.proxy_protocol, &websocket.proxy_from),
        ("wss", wss.proxy_protocol, &wss.proxy_from),
    ];
    let behind = rows.into_iter().filter_map(|(name, word, from)| check_proxy(name, word, from));
    let rows = [("websocket", &websocket.origins), ("wss", &wss.origins)];
    let strange = rows.into_iter().flat_map(|(name, origins)| check_origins(name, origins));
    let of_http = check_http(&listeners.http);
    secret.chain(behind).chain(strange).chain(of_http).collect()
}
