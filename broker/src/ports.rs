//! All ports of clients: bound and their certificates read before anything is served, then opened
//! together, with the threads that TLS needs. Serves nobody itself.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::banner::{BoundListener, Protocol, Who};
use crate::cert_watch::CertWatch;
use crate::config::{AuthConfig, Config, ListenerConfig, MqttListener, ProxyProtocol, TlsConfig};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::handshakes::{Entrance, Handshakes};
use crate::link::Door;
use crate::listener::{self, Incoming, Listener};
use crate::metrics::TlsListener;
use crate::reserved::Reserved;
use crate::tls::{Settings, Slot, TlsError};
use crate::unix_socket::SocketFile;

/// What is spoken within TLS, as clients may ask for it.
const ALPN_MQTT: &[u8] = b"mqtt";
const ALPN_WEB: &[u8] = b"http/1.1";

/// Ports that are bound; nobody is accepted yet.
pub(crate) struct Ports {
    bound: Vec<Bound>,
    unix: Option<(UnixListener, SocketFile)>,
}

struct Bound {
    protocol: Protocol,
    address: SocketAddr,
    socket: TcpListener,
    common: MqttListener,
    /// Of WebSocket.
    origins: Option<Vec<String>>,
    slot: Option<Arc<Slot>>,
}

/// What a listener is to be.
struct Plan<'c> {
    protocol: Protocol,
    common: MqttListener,
    origins: Option<&'c [String]>,
    tls: Option<(TlsListener, &'c TlsConfig)>,
}

/// Ports that are open.
pub(crate) struct OpenPorts {
    accepting: Vec<JoinHandle<()>>,
    listeners: Vec<BoundListener>,
    tls: Option<Tls>,
    /// Removed when the ports go.
    _file: Option<SocketFile>,
}

/// The threads of TLS.
struct Tls {
    handshakes: Arc<Handshakes>,
    watch: Arc<CertWatch>,
}

impl Ports {
    /// Binds what the configuration names.
    pub(crate) fn bind(
        config: &ListenerConfig,
        reserved: &mut Reserved,
    ) -> Result<Self, StartError> {
        let mut ports = Self { bound: Vec::new(), unix: None };
        for plan in plans(config) {
            // Without an address it is off.
            if let Some(address) = plan.common.bind {
                ports.bound.push(bind(plan, address, reserved)?);
            }
        }
        if let Some(socket) = reserved.claim_file(config)? {
            let path = config.unix.path.clone().unwrap_or_default();
            let listening = socket.listen();
            ports.unix = Some(listening.map_err(|error| StartError::SocketFile(path, error))?);
        }
        Ok(ports)
    }

    /// Takes clients from now on. The certificates of Kafka's listener are watched with the others.
    pub(crate) fn open(
        self,
        shared: &Arc<Shared>,
        config: &Config,
        of_kafka: Option<Arc<Slot>>,
    ) -> Result<OpenPorts, StartError> {
        let failed = |error| StartError::System("a thread", error);
        let slots = self.bound.iter().filter_map(|bound| bound.slot.clone());
        let slots: Vec<_> = slots.chain(of_kafka).collect();
        let tls = match slots.is_empty() {
            true => None,
            false => {
                let handshakes = Handshakes::start(shared, config.threads.handshakes);
                let handshakes = Arc::new(handshakes.map_err(failed)?);
                let watch = CertWatch::start(Arc::clone(shared), slots).map_err(failed)?;
                Some(Tls { handshakes, watch: Arc::new(watch) })
            }
        };
        let mut open = OpenPorts { accepting: Vec::new(), listeners: Vec::new(), tls, _file: None };
        for bound in self.bound {
            open.take_in(bound, shared, &config.auth);
        }
        if let Some((socket, file)) = self.unix {
            open.take_in_local(socket, shared, config);
            open._file = Some(file);
        }
        Ok(open)
    }
}

impl OpenPorts {
    /// What is open, as the system gave it.
    pub(crate) fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// Who reads certificates anew, if any are in use.
    pub(crate) fn cert_watch(&self) -> Option<Arc<CertWatch>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.watch))
    }

    /// Who does handshakes, if any listener speaks TLS.
    pub(crate) fn handshakes(&self) -> Option<Arc<Handshakes>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.handshakes))
    }

    /// Takes nobody more.
    pub(crate) fn close(&self) {
        for task in &self.accepting {
            task.abort();
        }
    }

    /// Ends the threads.
    pub(crate) fn stop(&self) {
        if let Some(Tls { handshakes, watch }) = &self.tls {
            handshakes.stop();
            watch.stop();
        }
    }

    fn take_in(&mut self, bound: Bound, shared: &Arc<Shared>, auth: &AuthConfig) {
        let Bound { protocol, address, socket, common, origins, slot } = bound;
        let asks_certificate = slot.as_ref().is_some_and(|slot| slot.asks_everybody());
        let (anonymous, reach) = (common.anonymous, common.reach());
        let takes_anonymous = anonymous.lets_in_certified(reach, auth, asks_certificate);
        let who = Who::of(asks_certificate, takes_anonymous);
        let behind_proxy = common.proxy_protocol == ProxyProtocol::Required;
        self.listeners.push(BoundListener { protocol, address, who, behind_proxy });
        let door = Door { listener: protocol.section(), takes_anonymous };
        if !takes_anonymous && !asks_certificate && !auth.has_users() {
            let listener = door.listener;
            tracing::warn!(
                listener,
                "nobody can connect here without a certificate: name auth.password_file, \
                 or set anonymous = \"allow\" for this listener"
            );
        }
        let mut listener = Listener::new(Incoming::Net(socket), door, &common, &shared.clock);
        if let Some(origins) = origins {
            listener = listener.web(common.pages(origins, auth));
        }
        if let (Some(slot), Some(tls)) = (slot, &self.tls) {
            listener = listener.secret(Entrance::new(slot), Arc::clone(&tls.handshakes));
        }
        self.accepting.push(tokio::spawn(listener.accept(Arc::clone(shared))));
    }

    fn take_in_local(&mut self, socket: UnixListener, shared: &Arc<Shared>, config: &Config) {
        let unix = &config.listener.unix;
        let door = Door { listener: "unix", takes_anonymous: unix.takes_anonymous(&config.auth) };
        let incoming = Incoming::Local(socket);
        let listener = Listener::new(incoming, door, &unix.common(), &shared.clock);
        self.accepting.push(tokio::spawn(listener.accept(Arc::clone(shared))));
    }
}

/// The TLS listeners that cannot be opened, and why. Binds nothing.
pub(crate) fn unusable(config: &ListenerConfig) -> Vec<(&'static str, TlsError)> {
    let open = plans(config).into_iter().filter(|plan| plan.common.bind.is_some());
    let kafkas = config.kafkas.bind.map(|_| (TlsListener::Kafkas, &config.kafkas.tls));
    let secret = open.filter_map(|plan| plan.tls).chain(kafkas);
    let error = |(listener, tls): (TlsListener, &TlsConfig)| {
        let error = slot(listener, tls).err()?;
        Some((listener.word(), error))
    };
    secret.filter_map(error).collect()
}

fn plans(config: &ListenerConfig) -> Vec<Plan<'_>> {
    let ListenerConfig { mqtt, mqtts, websocket, wss, .. } = config;
    vec![
        Plan { protocol: Protocol::Mqtt, common: mqtt.clone(), origins: None, tls: None },
        Plan {
            protocol: Protocol::Mqtts,
            common: mqtts.common(),
            origins: None,
            tls: Some((TlsListener::Mqtts, &mqtts.tls)),
        },
        Plan {
            protocol: Protocol::WebSocket,
            common: websocket.common(),
            origins: Some(&websocket.origins),
            tls: None,
        },
        Plan {
            protocol: Protocol::Wss,
            common: wss.common(),
            origins: Some(&wss.origins),
            tls: Some((TlsListener::Wss, &wss.tls)),
        },
    ]
}

fn bind(plan: Plan<'_>, address: SocketAddr, reserved: &mut Reserved) -> Result<Bound, StartError> {
    let Plan { protocol, common, origins, tls } = plan;
    let slot = tls.map(|(listener, tls)| {
        slot(listener, tls).map_err(|error| StartError::Tls(listener.word(), error))
    });
    let slot = slot.transpose()?;
    let failed = |error| StartError::Bind(address, protocol.title(), protocol.setting(), error);
    let socket = listener::listen(reserved.claim(protocol, address)?).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let origins = origins.map(<[String]>::to_vec);
    Ok(Bound { protocol, address, socket, common, origins, slot: slot.map(Arc::new) })
}

/// Reads the certificates of a listener.
pub(crate) fn slot(listener: TlsListener, tls: &TlsConfig) -> Result<Slot, TlsError> {
    let alpn = match listener {
        TlsListener::Mqtts => Some(ALPN_MQTT),
        TlsListener::Wss => Some(ALPN_WEB),
        TlsListener::Kafkas => None,
    };
    Slot::new(Settings { listener, config: tls.clone(), alpn })
}
