//! The message to ourselves that says that all is read. Shows nothing.

use std::time::Duration;

use tidewire_bridge::links::Writer;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, Publish, Unsubscribe,
    UnsubscribeFiltersBuilder,
};
use tidewire_proto::qos::Qos;
use tokio::time::{Instant, timeout};

use crate::cli::connection::{Connection, lost, unwritten};

/// Where all of them are.
const BELOW: &str = "$until-end/";
/// No past takes longer to be read.
const EXPIRY_S: u32 = 7 * 86_400;
/// The packet id of its message; of SUBSCRIBE it is the first.
const MESSAGE_ID: u16 = 2;
/// The packet id of its UNSUBSCRIBE.
const FORGET_ID: u16 = 3;
/// It is acknowledged, and so long nothing comes: before MQTT 5 a broker that takes no messages of
/// ours cannot say so.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// So long a broker may take to forget it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What comes when all is read that was there.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) topic: String,
    /// Since when nothing came, once the broker has it.
    quiet: Option<Instant>,
}

impl Mark {
    /// One that nobody else has.
    pub(crate) fn new(name: &str) -> Self {
        Self { topic: format!("{BELOW}{name}"), quiet: None }
    }

    /// Whether a topic is that of any.
    pub(crate) fn is_one(topic: &str) -> bool {
        topic.starts_with(BELOW)
    }

    /// Sends it: what comes by this connection comes before it.
    pub(crate) fn put(&self, is_5: bool, writer: &mut Writer) -> Result<(), String> {
        let mut properties = PropertiesBuilder::new();
        if is_5 {
            let expiry = PropertyValue::FourByte(EXPIRY_S);
            properties.push(PropertyId::MessageExpiry, expiry).map_err(unwritten)?;
        }
        let message = Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: &self.topic,
            packet_id: PacketId::new(MESSAGE_ID),
            properties: properties.as_properties(),
            payload: b"",
        };
        writer.put(&Packet::Publish(message)).map_err(unwritten)
    }

    /// The broker has it.
    pub(crate) fn stored(&mut self) {
        self.quiet = Some(Instant::now());
    }

    /// A message came.
    pub(crate) fn passed(&mut self) {
        self.quiet = self.quiet.map(|_| Instant::now());
    }

    /// Until when it is waited for.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.quiet.map(|quiet| quiet + SILENCE_MAX)
    }
}

/// The session goes on without it. What comes meanwhile is not acknowledged: it comes again.
pub(crate) async fn forget(connection: &mut Connection, topic: &str) -> Result<(), String> {
    let Connection { reader, writer, .. } = connection;
    let mut filters = UnsubscribeFiltersBuilder::new();
    filters.push(topic).map_err(unwritten)?;
    let packet_id = PacketId::new(FORGET_ID).unwrap_or(PacketId::MIN);
    let (properties, filters) = (Properties::EMPTY, filters.as_filters());
    let unsubscribe = Unsubscribe { packet_id, properties, filters };
    writer.put(&Packet::Unsubscribe(unsubscribe)).map_err(unwritten)?;
    let answered = timeout(PATIENCE, async {
        loop {
            while let Some(packet) = reader.packet()? {
                if let Packet::UnsubAck(_) = packet {
                    return Ok(());
                }
            }
            tokio::select! {
                read = reader.read() => read.map_err(lost)?,
                written = writer.write(), if !writer.is_idle() => written.map_err(lost)?,
            }
        }
    });
    answered.await.unwrap_or_else(|_| Err("the broker does not answer UNSUBSCRIBE".into()))
}

/// It is not to be had.
pub(crate) fn refused(words: &str) -> String {
    format!(
        "--until-end sends itself a message below $until-end/ to see when all is read, and may \
         not: {words}\n  try: --wait TIME instead, or rules that let this user publish and \
         subscribe below $until-end"
    )
}
