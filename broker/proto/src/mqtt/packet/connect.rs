//! CONNECT and the will in it, all three versions. Never judges who connects.

use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::{Reader, put_binary, put_text, put_topic, put_u16};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::version::Version;
use crate::qos::Qos;

const PLACE: PropertyPlace = PropertyPlace::Packet(PacketKind::Connect);

/// The first packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What the client speaks from here on.
    pub version: Version,
    /// Forget the session of before. Before MQTT 5: and the one of now, when it ends.
    pub clean_start: bool,
    /// The longest silence, in seconds; 0 is no limit.
    pub keep_alive_s: u16,
    /// Names the session; empty asks for a name.
    pub client_id: &'a str,
    /// What to publish when the client is lost.
    pub will: Option<Will<'a>>,
    /// Who it says it is.
    pub user_name: Option<&'a str>,
    /// Any bytes.
    pub password: Option<&'a [u8]>,
    /// None before MQTT 5.
    pub properties: Properties<'a>,
}

/// A message that the server publishes for a client that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The promise to its subscribers.
    pub qos: Qos,
    /// To be kept for later subscribers.
    pub retain: bool,
    /// Not empty, without wildcards.
    pub topic: &'a str,
    /// Any bytes.
    pub payload: &'a [u8],
    /// Those of a message, and the delay. None before MQTT 5.
    pub properties: Properties<'a>,
}

const RESERVED: u8 = 1;
const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_QOS: u8 = 0b11 << WILL_QOS_SHIFT;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

impl<'a> Connect<'a> {
    pub(crate) fn decode(mut body: Reader<'a>) -> Result<Self, DecodeError> {
        let version = read_version(&mut body)?;
        let flags = body.u8()?;
        check_flags(flags, version)?;
        let keep_alive_s = body.u16()?;
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PLACE)?
        } else {
            Properties::EMPTY
        };
        let client_id = body.text()?;
        let will =
            if flags & WILL != 0 { Some(Will::decode(&mut body, flags, version)?) } else { None };
        let user_name =
            if is_there(body, flags, USER_NAME, version) { Some(body.text()?) } else { None };
        let password =
            if is_there(body, flags, PASSWORD, version) { Some(body.binary()?) } else { None };
        body.end(PacketKind::Connect)?;
        Ok(Self {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive_s,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Writes it in the version that it names.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let flags = self.flags();
        check_flags(flags, self.version)?;
        put_text(self.version.protocol_name(), out)?;
        out.push(self.version.protocol_level());
        out.push(flags);
        put_u16(self.keep_alive_s, out);
        if self.version.has_properties() {
            put_properties(self.properties, PLACE, out)?;
        }
        put_text(self.client_id, out)?;
        if let Some(will) = &self.will {
            will.encode(self.version, out)?;
        }
        if let Some(user_name) = self.user_name {
            put_text(user_name, out)?;
        }
        if let Some(password) = self.password {
            put_binary(password, out)?;
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            WILL | will.qos.bits() << WILL_QOS_SHIFT | flag(will.retain, WILL_RETAIN)
        });
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }
}

impl<'a> Will<'a> {
    fn decode(body: &mut Reader<'a>, flags: u8, version: Version) -> Result<Self, DecodeError> {
        let qos = (flags & WILL_QOS) >> WILL_QOS_SHIFT;
        let properties = if version.has_properties() {
            Properties::decode(body, PropertyPlace::Will)?
        } else {
            Properties::EMPTY
        };
        let topic = body.topic()?;
        if topic.is_empty() {
            return Err(DecodeErrorKind::TopicEmpty.into());
        }
        Ok(Self {
            qos: Qos::from_bits(qos).ok_or(DecodeErrorKind::QosReserved)?,
            retain: flags & WILL_RETAIN != 0,
            topic,
            payload: body.binary()?,
            properties,
        })
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.topic.is_empty() {
            return Err(DecodeErrorKind::TopicEmpty.into());
        }
        if version.has_properties() {
            put_properties(self.properties, PropertyPlace::Will, out)?;
        }
        put_topic(self.topic, out)?;
        put_binary(self.payload, out)
    }
}

/// Name and level go together; anything else is another protocol.
fn read_version(body: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = body.binary()?;
    let is_named_so = |version: &Version| version.protocol_name().as_bytes() == name;
    if !Version::ALL.iter().any(is_named_so) {
        return Err(DecodeErrorKind::ProtocolName.into());
    }
    let level = body.u8()?;
    Version::ALL
        .into_iter()
        .filter(is_named_so)
        .find(|version| version.protocol_level() == level)
        .ok_or_else(|| DecodeErrorKind::ProtocolLevel(level).into())
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & RESERVED != 0 {
        return Err(DecodeErrorKind::ConnectFlagsReserved.into());
    }
    // MQTT 3.1 disregards the will flags when there is no will.
    let has_stray_flags = flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0;
    if has_stray_flags && version != Version::V31 {
        return Err(DecodeErrorKind::WillFlagsWithoutWill.into());
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && version != Version::V5 {
        return Err(DecodeErrorKind::PasswordWithoutUserName.into());
    }
    Ok(())
}

/// MQTT 3.1 lets user name and password be missing although their flags are set.
fn is_there(body: Reader<'_>, flags: u8, flag: u8, version: Version) -> bool {
    flags & flag != 0 && !(version == Version::V31 && body.is_empty())
}
