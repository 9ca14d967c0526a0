//! The beginning of a connection: CONNECT, and what the other side says to it. Resumes nothing.

use std::fs;
use std::time::Duration;

use tidewire_proto::mqtt::{
    ConnAck, Connect, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode,
    Version, Will, encode,
};
use tidewire_proto::qos::Qos;

use crate::links::options::LinkOptions;
use crate::links::wire::Wire;
use crate::links::words;

/// Before MQTT 5 nobody says how much he takes at a time. Mosquitto takes so many, and drops what
/// is beyond, acknowledged.
const UNSAID_RECEIVE_MAX: u16 = 20;
/// So long the other side may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The bit of the protocol's level by which Mosquitto knows a bridge.
const PRIVATE: u8 = 0x80;
/// Where the level stands behind the length: behind the name `MQTT` and its length.
const LEVEL_AT: usize = 6;

/// What the other side is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) session_present: bool,
    /// What it takes at a time.
    pub(crate) receive_max: u16,
    /// The largest packet that it takes.
    pub(crate) packet_bytes_max: usize,
    pub(crate) qos_max: Qos,
    pub(crate) takes_retained: bool,
    pub(crate) keep_alive: Duration,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// It does not take bridges that say that they are: the same without that.
    Private,
    /// In words.
    Refused(String),
}

impl From<String> for Unwelcome {
    fn from(words: String) -> Self {
        Self::Refused(words)
    }
}

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    pub(crate) client_id: &'a str,
    /// It says that it is a bridge.
    pub(crate) is_private: bool,
    /// Only to see whether it may: leaves no session.
    pub(crate) is_test: bool,
}

/// Says hello and hears the answer.
pub(crate) async fn greet(
    wire: &mut Wire,
    options: &LinkOptions,
    guest: Guest<'_>,
) -> Result<Greeting, Unwelcome> {
    wire.writer.put_bytes(&connect(options, guest)?);
    let answered = tokio::time::timeout(PATIENCE, answer(wire, options, guest)).await;
    answered.unwrap_or_else(|_| Err("it does not answer CONNECT".to_owned().into()))
}

async fn answer(
    wire: &mut Wire,
    options: &LinkOptions,
    guest: Guest<'_>,
) -> Result<Greeting, Unwelcome> {
    let io = |error: std::io::Error| format!("before it answered CONNECT: {error}");
    while !wire.writer.is_idle() {
        wire.writer.write().await.map_err(io)?;
    }
    loop {
        match wire.reader.packet()? {
            Some(Packet::ConnAck(connack)) => return heard(&connack, options, guest),
            Some(Packet::Auth(_)) => {
                return Err("it wants another kind of authentication".to_owned().into());
            }
            Some(other) => {
                return Err(format!("it answers CONNECT with {}", other.kind()).into());
            }
            None => wire.reader.read().await.map_err(io)?,
        }
    }
}

fn heard(
    connack: &ConnAck<'_>,
    options: &LinkOptions,
    guest: Guest<'_>,
) -> Result<Greeting, Unwelcome> {
    let properties = connack.properties;
    if connack.reason.is_error() {
        let is_version = connack.reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
        if guest.is_private && is_version {
            return Err(Unwelcome::Private);
        }
        let words = words::reason(connack.reason, properties);
        return Err(format!("it refuses the connection: {words}").into());
    }
    let keep_alive = properties.server_keep_alive();
    let keep_alive = keep_alive.map(|seconds| Duration::from_secs(seconds.into()));
    let largest = properties.maximum_packet_size().unwrap_or(u32::MAX);
    let largest = match options.remote_packet_bytes_max {
        0 => largest,
        ours => largest.min(ours),
    };
    Ok(Greeting {
        session_present: connack.session_present,
        receive_max: properties.receive_maximum().unwrap_or(match options.version {
            Version::V5 => u16::MAX,
            _ => UNSAID_RECEIVE_MAX,
        }),
        packet_bytes_max: usize::try_from(largest).unwrap_or(usize::MAX),
        qos_max: properties.maximum_qos().unwrap_or(Qos::ExactlyOnce),
        takes_retained: properties.retain_available().unwrap_or(true),
        keep_alive: keep_alive.filter(|it| !it.is_zero()).unwrap_or(options.keep_alive),
    })
}

fn connect(options: &LinkOptions, guest: Guest<'_>) -> Result<Vec<u8>, String> {
    let password = options.password_file.as_deref().map(|file| {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        Ok::<_, String>(text.lines().next().unwrap_or_default().to_owned())
    });
    let password = password.transpose()?;
    let properties = properties(options, guest).map_err(|error| error.to_string())?;
    let will = options.remote_state_topic.as_deref().filter(|_| !guest.is_test);
    let will = will.map(|topic| Will {
        qos: Qos::AtLeastOnce,
        retain: true,
        topic,
        payload: b"0",
        properties: Properties::EMPTY,
    });
    let connect = Connect {
        version: options.version,
        // Before MQTT 5 a clean session is one that ends with the connection.
        clean_start: guest.is_test,
        keep_alive_s: u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: guest.client_id,
        will,
        user_name: options.user.as_deref(),
        password: password.as_deref().map(str::as_bytes),
        properties: properties.as_properties(),
    };
    let mut bytes = Vec::new();
    encode(&Packet::Connect(connect), options.version, &mut bytes)
        .map_err(|error| format!("CONNECT cannot be written: {error}"))?;
    if guest.is_private && options.version != Version::V5 {
        let length_bytes = bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
        if let Some(level) = bytes.get_mut(1 + length_bytes + LEVEL_AT) {
            *level |= PRIVATE;
        }
    }
    Ok(bytes)
}

fn properties(
    options: &LinkOptions,
    guest: Guest<'_>,
) -> Result<PropertiesBuilder, tidewire_proto::mqtt::EncodeError> {
    let mut properties = PropertiesBuilder::new();
    if options.version == Version::V5 {
        let expiry_s = if guest.is_test { 0 } else { options.session_expiry_s };
        let largest = options.packet_bytes_max;
        properties.push(PropertyId::SessionExpiry, PropertyValue::FourByte(expiry_s))?;
        let at_a_time = PropertyValue::TwoByte(options.in_flight_max);
        properties.push(PropertyId::ReceiveMaximum, at_a_time)?;
        properties.push(PropertyId::MaximumPacketSize, PropertyValue::FourByte(largest))?;
    }
    Ok(properties)
}
