//! The Kafka port of this broker: from its settings to an open port. Speaks no Kafka itself.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tidewire_bridge::{
    BoundPort, Door, Greeter, Listening, OnGreeted, Port, PortNumbers, PortOptions, RetainedLimit,
    Settle,
};
use tidewire_proto::record::Batch;

use crate::banner::{BoundListener, Protocol, Who};
use crate::config::{ClientAuth, Config};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::handshakes::{Arrival, Entrance, Handshakes};
use crate::kafka_access::StreamAccess;
use crate::kafka_advertised;
use crate::kafka_gate::UsersGate;
use crate::kafka_socket::greeted;
use crate::metrics::{TlsListener, TlsResult};
use crate::ports;
use crate::reserved::Reserved;
use crate::retained::{Claims, Footprint};
use crate::tls::{Shaken, Slot};

/// The ports that are bound; nobody is accepted yet.
pub(crate) struct KafkaPorts {
    bound: Vec<(Protocol, BoundPort)>,
    slot: Option<Arc<Slot>>,
}

/// Takes the ports that there are to be.
pub(crate) fn bind(config: &Config, reserved: &mut Reserved) -> Result<KafkaPorts, StartError> {
    let (plain, secret) = (&config.listener.kafka, &config.listener.kafkas);
    let slot = secret.bind.map(|_| {
        let listener = TlsListener::Kafkas;
        let slot = ports::slot(listener, &secret.tls).map(Arc::new);
        slot.map_err(|error| StartError::Tls(listener.word(), error))
    });
    let slot = slot.transpose()?;
    let wanted = [(Protocol::Kafka, plain.bind), (Protocol::Kafkas, secret.bind)];
    let mut bound = Vec::new();
    for (protocol, address) in wanted {
        let Some(address) = address else { continue };
        let (title, setting) = (protocol.title(), protocol.setting());
        let port = BoundPort::of(reserved.claim(protocol, address)?.into())
            .map_err(|error| StartError::Bind(address, title, setting, error))?;
        bound.push((protocol, port));
    }
    Ok(KafkaPorts { bound, slot })
}

impl KafkaPorts {
    /// The certificates that are shown there.
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        self.slot.clone()
    }

    /// What is bound, as the system gave it.
    pub(crate) fn listeners(&self, config: &Config) -> Vec<BoundListener> {
        let asks = self.slot.as_ref().is_some_and(|slot| slot.asks_everybody());
        let listener = |(protocol, port): &(Protocol, BoundPort)| BoundListener {
            protocol: *protocol,
            address: port.address(),
            who: Who::of(
                asks && *protocol == Protocol::Kafkas,
                door(*protocol, config).takes_anonymous,
            ),
            behind_proxy: false,
        };
        self.bound.iter().map(listener).collect()
    }

    /// Serves Kafka clients there, if anywhere.
    pub(crate) fn open(
        self,
        shared: &Arc<Shared>,
        config: &Config,
        (numbers, handshakes): (PortNumbers, Option<Arc<Handshakes>>),
    ) -> Result<Option<Port>, StartError> {
        let Self { bound, slot } = self;
        if bound.is_empty() {
            return Ok(None);
        }
        for doubt in kafka_advertised::doubts(config) {
            tracing::warn!("{doubt}");
        }
        let greeter = slot.zip(handshakes).map(|(slot, handshakes)| {
            let (entrance, shared) = (Arc::new(Entrance::new(slot)), Arc::clone(shared));
            Arc::new(TlsGreeter { entrance, handshakes, shared }) as Arc<dyn Greeter>
        });
        let listening = |(protocol, bound)| Listening {
            bound,
            door: door(protocol, config),
            greeter: greeter.clone().filter(|_| protocol == Protocol::Kafkas),
        };
        let listening = bound.into_iter().map(listening).collect();
        let options = options(shared, config, numbers);
        // As with a core: nobody is left connected to nothing.
        let told = Arc::clone(shared);
        let alarm = move || {
            told.failed.send_replace(true);
        };
        let port = Port::open(listening, shared.store.clone(), options, alarm);
        port.map(Some).map_err(StartError::Kafka)
    }
}

fn door(protocol: Protocol, config: &Config) -> Door {
    let (plain, secret) = (&config.listener.kafka, &config.listener.kafkas);
    let (advertised, anonymous, bind) = match protocol {
        Protocol::Kafkas => (secret.advertised(), secret.anonymous, secret.bind),
        _ => (plain.advertised(), plain.anonymous, plain.bind),
    };
    let asks = protocol == Protocol::Kafkas && secret.tls.client_auth == ClientAuth::Required;
    let takes_anonymous = anonymous.lets_in_certified(bind, &config.auth, asks);
    Door { listener: protocol.section(), advertised, takes_anonymous }
}

fn options(shared: &Arc<Shared>, config: &Config, numbers: PortNumbers) -> PortOptions {
    PortOptions {
        limits: config.listener.kafka.limits(config.mqtt.topic_levels_max),
        groups: config.consumer_groups.limits(),
        transactions: config.transactions.limits(config.store.wal_file_bytes),
        numbers,
        access: Arc::new(StreamAccess::new(shared, config)),
        gate: Arc::new(UsersGate(Arc::clone(shared))),
        retained: Arc::new(Retained(Arc::clone(shared))),
        forecasts: Arc::clone(&shared.forecasts),
    }
}

/// The threads that do handshakes for MQTT do them for Kafka too.
struct TlsGreeter {
    entrance: Arc<Entrance>,
    handshakes: Arc<Handshakes>,
    shared: Arc<Shared>,
}

impl Greeter for TlsGreeter {
    fn greet(&self, stream: TcpStream, peer: SocketAddr, done: OnGreeted) {
        let next = Box::new(move |_: &Shared, shaken: Shaken| done(greeted(shaken)));
        let arrival = Arrival { stream, peer, tls: Arc::clone(&self.entrance), next };
        if !self.handshakes.take(arrival) {
            self.shared.metrics.tls_handshakes.add(TlsResult::Limit, 1);
        }
    }
}

/// Stands for the port where cores are numbered.
const NO_CORE: usize = usize::MAX;

/// For whoever writes into the log without being a client of a core.
pub(crate) fn retained_limit(shared: &Arc<Shared>) -> Arc<dyn RetainedLimit> {
    Arc::new(Retained(Arc::clone(shared)))
}

/// Retained messages are counted in one place, whoever publishes them.
struct Retained(Arc<Shared>);

impl RetainedLimit for Retained {
    fn claim(&self, topic: &str, kept: Option<&Batch>) -> Option<Settle> {
        let footprint = kept.map(|kept| Footprint::of(topic, kept));
        self.0.retained.claim_one(topic, footprint, NO_CORE).map(|claimed| self.settles(claimed))
    }

    fn claim_ahead(&self, topic: &str, kept: Option<&Batch>) -> Option<Settle> {
        let footprint = kept.map(|kept| Footprint::of(topic, kept));
        self.0.retained.claim_ahead(topic, footprint).map(|claimed| self.settles(claimed))
    }
}

impl Retained {
    fn settles(&self, claimed: Claims) -> Settle {
        let shared = Arc::clone(&self.0);
        Box::new(move |is_durable| shared.retained.settle(&claimed, &shared.store, is_durable))
    }
}
