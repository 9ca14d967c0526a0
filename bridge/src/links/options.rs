//! Everything about a link that can be chosen. Decides nothing.

use std::path::PathBuf;
use std::time::Duration;

use tidewire_proto::mqtt::Version;

use crate::bridges::Start;
use crate::client::files::TlsFiles;
use crate::links::rules::LinkRule;

/// A link to another MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// Its name here.
    pub name: String,
    /// Where the other broker is: hosts with ports.
    pub addresses: Vec<String>,
    /// Which version is spoken.
    pub version: Version,
    /// What we are called there; `None`: a name that no other broker has.
    pub client_id: Option<String>,
    /// User name.
    pub user: Option<String>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// How TLS is spoken, if it is.
    pub tls: Option<LinkTls>,
    /// Where MQTT is spoken within WebSocket, if it is: the path of the request.
    pub websocket_path: Option<String>,
    /// How often we show that we are there.
    pub keep_alive: Duration,
    /// How long the other side is asked to keep our session, in seconds.
    pub session_expiry_s: u32,
    /// Messages on their way at a time, in each direction.
    pub in_flight_max: u16,
    /// The largest packet that we take.
    pub packet_bytes_max: u32,
    /// The largest packet that is sent; 0: as large as the other side says.
    pub remote_packet_bytes_max: u32,
    /// Where it begins.
    pub start: Start,
    /// Before MQTT 5: say that we are a bridge, in Mosquitto's manner.
    pub try_private: bool,
    /// A topic there that says whether we are connected.
    pub remote_state_topic: Option<String>,
    /// What is copied.
    pub rules: Vec<LinkRule>,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkTls {
    /// By which files.
    pub files: TlsFiles,
    /// The name that the certificate of the other side must have.
    pub server_name: Option<String>,
}
