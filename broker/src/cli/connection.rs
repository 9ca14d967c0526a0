//! A connection of the commands that are clients of a broker: where to, as whom, and what it
//! says to that. Sends and takes no message.

mod advice;
mod pings;
mod url;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tidewire_bridge::TlsFiles;
use tidewire_bridge::links::{LinkTls, Reader, Wire, Writer, dial, reason};
use tidewire_proto::mqtt::{
    ConnAck, Connect, Disconnect, Packet, PacketKind, Properties, PropertiesBuilder, PropertyId,
    PropertyValue, ReasonCode, Version,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use advice::refused;
pub(crate) use pings::Pings;
pub(crate) use url::{Url, parse as parse_url};

/// The broker that is meant when none is named.
const USUAL: &str = "mqtt://127.0.0.1:1883";
/// How often we show that we are there, where the broker does not want it otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// So long a broker may take to answer CONNECT.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest packet that we take.
const PACKET_BYTES_MAX: u32 = 256 << 20;
/// Before MQTT 5 no broker says how much it takes at a time; some drop what is beyond.
const UNSAID_RECEIVE_MAX: u16 = 20;

/// Where to, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Whom {
    /// The broker: mqtt://host:port, ws://host:port/path within WebSocket; mqtts:// and wss:// with
    /// TLS.
    #[arg(long, value_name = "URL", default_value = USUAL)]
    #[arg(value_parser = parse_url)]
    url: Url,
    /// What the client is called; without it, a name is made up.
    #[arg(short = 'i', long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Who says so.
    #[arg(short = 'u', long, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The authorities to believe, for mqtts:// and wss://; without it, those of the system.
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Our certificate, for mqtts:// and wss:// where clients show one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The version of MQTT.
    #[arg(long, value_enum, default_value = "5")]
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    #[value(name = "5")]
    V5,
    #[value(name = "3.1.1")]
    V311,
}

/// One connection, welcomed.
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// How many messages the broker takes at a time.
    pub(crate) receive_max: u16,
    /// When to show that we are there.
    pub(crate) pings: Pings,
}

/// What the broker wants of a client, as far as it says so.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    receive_max: Option<u16>,
    keep_alive_s: Option<u16>,
}

impl Whom {
    /// The same broker, for one who is called so.
    pub(crate) fn called(&self, id: String) -> Self {
        Self { id: Some(id), ..self.clone() }
    }

    /// The same for the broker that listens there.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { url: Url::of(address), ..self.clone() }
    }

    /// The broker, as it is named on a command line.
    pub(crate) fn shown(&self) -> String {
        self.url.to_string()
    }

    /// It need not be named.
    pub(crate) fn is_usual(&self) -> bool {
        self.shown() == USUAL
    }

    fn version(&self) -> Version {
        match self.protocol {
            Protocol::V5 => Version::V5,
            Protocol::V311 => Version::V311,
        }
    }

    pub(crate) fn is_5(&self) -> bool {
        self.protocol == Protocol::V5
    }

    /// What only MQTT 5 can say.
    pub(crate) fn demands_5(&self, flag: &str) -> Result<(), String> {
        match self.is_5() {
            true => Ok(()),
            false => Err(format!("{flag} is of MQTT 5\n  try: without --protocol 3.1.1")),
        }
    }

    /// Connects. A session is left behind for so long, and taken up again if there is one;
    /// without it, it ends with the connection.
    pub(crate) async fn connect(&self, keep: Option<Duration>) -> Result<Connection, String> {
        let Url { address, is_secret, websocket_path } = &self.url;
        let shown = self.cert.clone().zip(self.key.clone());
        let files = TlsFiles { authorities: self.cafile.clone(), shown };
        let tls = LinkTls { files, server_name: None };
        let stream = dial(address, is_secret.then_some(&tls), websocket_path.as_deref()).await;
        let stream = stream.map_err(|words| advice::unreached(&words))?;
        let mut wire = Wire::new(stream, self.version(), PACKET_BYTES_MAX);
        self.greet(&mut wire, keep)?;
        let answered = tokio::time::timeout(PATIENCE, welcome(&mut wire)).await;
        let answered = answered.unwrap_or_else(|_| Err("it does not answer CONNECT".into()));
        let terms = answered.map_err(|words| format!("{address}: {words}"))?;
        let receive_max = terms.receive_max.unwrap_or(match self.protocol {
            Protocol::V5 => u16::MAX,
            Protocol::V311 => UNSAID_RECEIVE_MAX,
        });
        // 0: it does not look. Whether it is there is of interest all the same.
        let said = terms.keep_alive_s.filter(|seconds| *seconds > 0);
        let keep_alive = said.map_or(KEEP_ALIVE, |seconds| Duration::from_secs(seconds.into()));
        let pings = Pings::new(keep_alive);
        let Wire { reader, writer } = wire;
        Ok(Connection { reader, writer, receive_max, pings })
    }

    fn greet(&self, wire: &mut Wire, keep: Option<Duration>) -> Result<(), String> {
        let mut properties = PropertiesBuilder::new();
        if let Some(keep) = keep.filter(|_| self.is_5()) {
            let seconds = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
            let seconds = PropertyValue::FourByte(seconds);
            properties.push(PropertyId::SessionExpiry, seconds).map_err(unwritten)?;
        }
        let made_up;
        let client_id = match &self.id {
            Some(id) => id.as_str(),
            None => {
                made_up = format!("tidewire-{}", random_hex()?);
                made_up.as_str()
            }
        };
        let password = self.password_file.as_deref().map(first_line).transpose()?;
        let connect = Connect {
            version: self.version(),
            clean_start: keep.is_none(),
            keep_alive_s: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
            client_id,
            will: None,
            user_name: self.user.as_deref(),
            password: password.as_deref().map(str::as_bytes),
            properties: properties.as_properties(),
        };
        wire.writer.put(&Packet::Connect(connect)).map_err(unwritten)
    }
}

impl Connection {
    /// Says that we leave, and that all is well.
    pub(crate) async fn farewell(mut self) {
        let (reason, properties) = (ReasonCode::SUCCESS, Properties::EMPTY);
        let bye = self.writer.put(&Packet::Disconnect(Disconnect { reason, properties }));
        if bye.is_ok() {
            // What matters is acknowledged: who does not hear it, hears the end of the connection.
            let _ = tokio::time::timeout(PATIENCE, async {
                while !self.writer.is_idle() && self.writer.write().await.is_ok() {}
            })
            .await;
        }
    }
}

async fn welcome(wire: &mut Wire) -> Result<Terms, String> {
    let io = |error: std::io::Error| format!("before it answered CONNECT: {error}");
    while !wire.writer.is_idle() {
        wire.writer.write().await.map_err(io)?;
    }
    loop {
        match wire.reader.packet()? {
            Some(Packet::ConnAck(connack)) => return heard(&connack),
            Some(Packet::Auth(_)) => return Err("it wants another kind of authentication".into()),
            Some(other) => return Err(format!("it answers CONNECT with {}", other.kind())),
            None => wire.reader.read().await.map_err(io)?,
        }
    }
}

fn heard(connack: &ConnAck<'_>) -> Result<Terms, String> {
    if connack.reason.is_error() {
        let words = reason(connack.reason, connack.properties);
        let what = "it refuses the connection";
        return Err(refused(what, connack.reason, &words, PacketKind::Connect));
    }
    let properties = connack.properties;
    let (receive_max, keep_alive_s) =
        (properties.receive_maximum(), properties.server_keep_alive());
    Ok(Terms { receive_max, keep_alive_s })
}

/// The broker ends the connection.
pub(crate) fn parted(disconnect: &Disconnect<'_>) -> String {
    let words = reason(disconnect.reason, disconnect.properties);
    let what = "the broker closes the connection";
    refused(what, disconnect.reason, &words, PacketKind::Disconnect)
}

/// The connection ended by itself.
pub(crate) fn lost(error: std::io::Error) -> String {
    format!("the connection is lost: {error}")
}

/// A packet that cannot be written.
pub(crate) fn unwritten(error: tidewire_proto::mqtt::EncodeError) -> String {
    format!("that cannot be said in MQTT: {error}")
}

/// Ctrl-C and SIGTERM, which end a command in good order.
#[derive(Debug)]
pub(crate) struct Interrupt {
    interrupt: Signal,
    term: Signal,
}

/// From now on neither ends the program by itself.
pub(crate) fn interrupted() -> Result<Interrupt, String> {
    let caught = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let (interrupt, term) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    Ok(Interrupt { interrupt, term })
}

impl Interrupt {
    /// What it was that came.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "ctrl-C",
            _ = self.term.recv() => "SIGTERM",
        }
    }
}

/// A name that nobody else has.
pub(crate) fn random_hex() -> Result<String, String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

fn first_line(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
