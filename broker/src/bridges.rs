//! The bridges of this broker: from their settings to bridges at work. Copies nothing itself.

use std::sync::Arc;
use std::time::Duration;

use tidewire_bridge::bridges::{BridgeNumbers, Bridges, BridgesThread, Needs, Plan, Retry, Start};
use tidewire_bridge::exports::{self, ExportOptions, export};
use tidewire_bridge::imports::{self, ImportOptions, import};
use tidewire_bridge::links::{self, LinkOptions, LinkTls};
use tidewire_bridge::pushes::{Form, PushOptions, push};
use tidewire_bridge::{Packing, Sasl, SignIn, Target, TlsFiles};
use tidewire_proto::mqtt::Version;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::placement::Placement;
use tidewire_proto::scram::Method;
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Store;

use crate::config::{
    AtRefusedTopic, BridgeStart, Change, ClusterConfig, Config, ExportConfig, ExportStart,
    HeadersWord, ImportConfig, LinkConfig, LinkProtocol, PackingWord, PartitionWord, PushBody,
    PushConfig, SaslWord, dead_letter_topic,
};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::kafka;

/// Puts messages where the streams' filters say.
pub(crate) type Placing = Box<dyn Fn() -> Placement + Send + Sync>;

/// What there is to be, in the order of the configuration.
pub(crate) fn plans(config: &Config) -> Vec<Plan> {
    let links = config.bridge.link.iter().map(|link| links::plan(link_options(link)));
    let exports = links.chain(config.bridge.export.iter().filter_map(of_export));
    let imports = exports.chain(config.bridge.import.iter().filter_map(of_import));
    let retry = retry(config);
    imports.chain(config.bridge.push.iter().map(|push| of_push(push, retry))).collect()
}

/// Names of all bridges, and what they are.
pub(crate) fn names(config: &Config) -> Vec<(String, &'static str)> {
    plans(config).iter().map(Plan::name_and_kind).collect()
}

/// By what messages are known that links of ours have sent on; `None` without links.
pub(crate) fn mark(store: &Store, config: &Config) -> Option<String> {
    (!config.bridge.link.is_empty()).then(|| links::mark(store)).flatten()
}

/// How long those wait that fail.
pub(crate) fn retry(config: &Config) -> Retry {
    Retry { min: config.bridge.retry_ms_min, max: config.bridge.retry_ms_max }
}

/// Whether the entry of a bridge is the same in both.
pub(crate) fn is_same(changes: &[Change], name: &str) -> bool {
    let is_of_it = |change: &Change| {
        let bridge = change.setting.strip_prefix("bridge.");
        let entry = bridge.and_then(|setting| setting.split_once('['));
        entry.and_then(|(_, entry)| entry.split_once(']')).is_some_and(|(known, _)| known == name)
    };
    !changes.iter().any(is_of_it)
}

/// Starts their thread, and them. What one of them lacks keeps nobody from starting.
pub(crate) fn open(
    shared: &Arc<Shared>,
    config: &Config,
    placement: Placing,
    numbers: BridgeNumbers,
) -> Result<(Bridges, BridgesThread), StartError> {
    let plans = plans(config);
    let needs = Needs {
        store: shared.store.clone(),
        placement,
        retained: kafka::retained_limit(shared),
        forecasts: Arc::clone(&shared.forecasts),
        numbers,
        retry: retry(config),
    };
    Bridges::open(plans, needs).map_err(|error| StartError::System("a thread", error))
}

fn link_options(link: &LinkConfig) -> LinkOptions {
    let tls = &link.tls;
    LinkOptions {
        name: link.name.clone(),
        addresses: link.addresses.clone(),
        version: match link.protocol {
            LinkProtocol::V5 => Version::V5,
            LinkProtocol::V311 => Version::V311,
        },
        client_id: link.client_id.clone(),
        user: link.user.clone(),
        password_file: link.password_file.clone(),
        tls: tls.enabled.then(|| LinkTls {
            files: TlsFiles {
                authorities: tls.ca_file.clone(),
                shown: tls.cert_file.clone().zip(tls.key_file.clone()),
            },
            server_name: tls.server_name.clone(),
        }),
        websocket_path: link.websocket_path.clone(),
        keep_alive: Duration::from_secs(link.keep_alive_s.into()),
        session_expiry_s: link.session_expiry_s,
        in_flight_max: link.in_flight_max,
        packet_bytes_max: link.packet_bytes_max,
        remote_packet_bytes_max: link.remote_packet_bytes_max,
        start: match link.start {
            BridgeStart::Latest => Start::Latest,
            BridgeStart::Earliest => Start::Earliest,
        },
        try_private: link.try_private,
        remote_state_topic: link.remote_state_topic.clone(),
        rules: link.link_rules(),
    }
}

fn of_export(config: &ExportConfig) -> Option<Plan> {
    let filters = config.filters.iter().filter_map(|filter| TopicFilter::parse(filter).ok());
    let options = ExportOptions {
        target: target(&config.cluster),
        streams: config.streams.clone(),
        filters: filters.collect(),
        from_earliest: config.start == ExportStart::Earliest,
        rule: rule(config)?,
        packing: packing(config.compression),
        exactly_once: config.exactly_once,
        transactional_id: config.transactional_id.clone(),
        transaction_timeout: config.transaction_timeout_ms,
        transaction_bytes_max: config.transaction_bytes_max as usize,
        batch_bytes_max: config.batch_bytes_max as usize,
        message_bytes_max: config.message_bytes_max as usize,
        inflight_max: usize::from(config.in_flight_max),
        linger: config.linger_ms,
        may_make_topics: config.create_topics,
        topic_wait: config.topic_wait_ms,
        at_refused_topic: match config.at_refused_topic {
            AtRefusedTopic::DeadLetter => exports::AtRefusedTopic::DeadLetter,
            AtRefusedTopic::Wait => exports::AtRefusedTopic::Wait,
        },
        dead_letter_topic: dead_letter_topic(config.dead_letter_topic.as_ref(), &config.name),
    };
    Some(export(config.name.clone(), options))
}

/// `None` for what the rules of the settings do not let pass.
fn rule(config: &ExportConfig) -> Option<exports::Rule> {
    Some(exports::Rule {
        topic: exports::topic(&config.topic).ok()?,
        key: config.key.clone(),
        headers: match config.headers {
            HeadersWord::All => exports::Headers::All,
            HeadersWord::User => exports::Headers::User,
            HeadersWord::None => exports::Headers::None,
        },
        partition: match config.partition {
            PartitionWord::Key => exports::Partition::Key,
            PartitionWord::Source => exports::Partition::Source,
        },
    })
}

fn packing(word: PackingWord) -> Packing {
    match word {
        PackingWord::None => Packing::None,
        PackingWord::Gzip => Packing::Gzip,
        PackingWord::Snappy => Packing::Snappy,
        PackingWord::Lz4 => Packing::Lz4,
        PackingWord::Zstd => Packing::Zstd,
    }
}

fn of_import(config: &ImportConfig) -> Option<Plan> {
    let options = ImportOptions {
        source: target(&config.cluster),
        topics: config.topics.clone(),
        from: config.from()?,
        rule: imports::Rule {
            topic: imports::topic(&config.topic).ok()?,
            qos: Qos::from_bits(config.qos)?,
            retain: config.retain,
            headers: config.headers,
        },
        read_committed: config.read_committed,
        fetch_bytes_max: config.fetch_bytes_max as usize,
        commit_bytes_max: config.commit_bytes_max as usize,
        fetch_wait: config.fetch_wait_ms,
        look: config.look_ms,
        dead_letter_topic: dead_letter_topic(config.dead_letter_topic.as_ref(), &config.name),
    };
    Some(import(config.name.clone(), options))
}

fn of_push(config: &PushConfig, retry: Retry) -> Plan {
    let filters = config.filters.iter().filter_map(|filter| TopicFilter::parse(filter).ok());
    let shown = config.cert_file.clone().zip(config.key_file.clone());
    let options = PushOptions {
        url: config.url.clone(),
        tls: TlsFiles { authorities: config.ca_file.clone(), shown },
        streams: config.streams.clone(),
        filters: filters.collect(),
        start: match config.start {
            ExportStart::Latest => Start::Latest,
            ExportStart::Earliest => Start::Earliest,
        },
        form: match config.body {
            PushBody::Array => Form::Array,
            PushBody::Object => Form::Object,
        },
        messages_max: usize::from(config.messages_max),
        request_bytes_max: config.request_bytes_max as usize,
        linger: config.linger_ms,
        timeout: config.timeout_ms,
        retry,
        tries_max: config.tries_max,
        retry_after_max: config.retry_after_ms_max,
        secret_file: config.secret_file.clone(),
        authorization_file: config.authorization_file.clone(),
        dead_letter_topic: dead_letter_topic(config.dead_letter_topic.as_ref(), &config.name),
    };
    push(config.name.clone(), options)
}

fn target(config: &ClusterConfig) -> Target {
    let shown = config.cert_file.clone().zip(config.key_file.clone());
    let tls = TlsFiles { authorities: config.ca_file.clone(), shown };
    Target {
        addresses: config.places(),
        client_id: config.client_id.clone(),
        tls: config.tls.then_some(tls),
        sign_in: sign_in(config),
        connect: config.connect_timeout_ms,
        answer: config.answer_timeout_ms,
        answer_bytes_max: config.answer_bytes_max as usize,
    }
}

fn sign_in(config: &ClusterConfig) -> Option<SignIn> {
    let mechanism = match config.sasl {
        SaslWord::Off => return None,
        SaslWord::Plain => Sasl::Plain,
        SaslWord::Scram256 => Sasl::Scram(Method::Sha256),
        SaslWord::Scram512 => Sasl::Scram(Method::Sha512),
    };
    let (user, password_file) = config.user.clone().zip(config.password_file.clone())?;
    Some(SignIn { mechanism, user, password_file })
}
